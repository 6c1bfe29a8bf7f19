//! Dead letters sent again: the same LogGroup with its pack id, to the destination that refused it or to another. Each
//! is tried once; who is accepted is removed, who is not stays as it was.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use super::super::{complain, say};
use super::Place;
use crate::config::plan::{Compression, DestinationPlan, Target};
use crate::output::Client;
use crate::output::credentials::{AccessKey, Credentials};
use crate::output::refused::Letter;
use crate::store::{ACCESS_KEY_FILE, AccessKey as StoredKey};
use crate::wire::compress::{Kind, compress};
use crate::wire::errors::{self, Verdict};

/// True when all of them were accepted.
pub(super) async fn resend(place: &Place, letters: &[&Letter], to: Option<&str>) -> Result<bool> {
    let Some(plan) = &place.plan else {
        bail!("where destinations are is in the configuration of the gateway; name it with --config FILE");
    };
    let mut clients: HashMap<String, Client> = HashMap::new();
    let mut kept = 0;
    for letter in letters {
        if !letter.is_log_group() {
            complain(&format!(
                "kept {}: it is no LogGroup; see `sluicegate refused show --raw`",
                letter.name
            ));
            kept += 1;
            continue;
        }
        let label = to.unwrap_or(&letter.head.destination);
        let (name, logstore) = label.split_once('/').unwrap_or((label, ""));
        let destination = plan
            .destinations
            .iter()
            .find(|destination| destination.name == name)
            .with_context(|| format!("{}: the configuration has no destinations.{name}; name the gateway's with --config FILE, or another destination \
                     with --to NAME", letter.name))?;
        let logstore = if logstore.is_empty() { &destination.logstore } else { logstore };
        let client = match clients.entry(name.to_owned()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(free) => free.insert(client(place, destination)?),
        };
        match send(client, destination, logstore, letter).await? {
            Ok(()) => {
                letter.remove().with_context(|| {
                    format!("{} was accepted but cannot be removed", letter.path.display())
                })?;
                say(&format!(
                    "accepted {} ({} records to {name}/{logstore})",
                    letter.name, letter.head.records
                ));
            }
            Err(why) => {
                kept += 1;
                complain(&format!("kept {}: {why}", letter.name));
            }
        }
    }
    if kept > 0 {
        complain(&format!("{kept} of {} dead letters were not accepted and are kept", letters.len()));
    }
    Ok(kept == 0)
}

fn client(place: &Place, destination: &DestinationPlan) -> Result<Client> {
    let timeout = destination.request_timeout;
    match &destination.target {
        Target::Cloud(cloud) => Ok(Client::for_cloud(cloud, &destination.project, timeout)?),
        Target::Embedded => {
            let address = place.status.as_ref().and_then(|status| status["log_service"]["address"].as_str());
            let Some(address) = address else {
                bail!(
                    "destination {} is the embedded Log Service of a gateway that does not run, or not on this data \
                     directory; start it, and say --operations ADDR where it is not at its usual port",
                    destination.name
                );
            };
            let key = key(&place.data_dir)?;
            Ok(Client::new(&format!("http://{address}"), &destination.project, key, timeout)?)
        }
    }
}

fn key(data_dir: &Path) -> Result<Credentials> {
    let StoredKey { id, secret } = StoredKey::load(&data_dir.join("log-service").join(ACCESS_KEY_FILE))
        .context("the embedded Log Service's key")?;
    Ok(Credentials::Static(Arc::new(AccessKey { id, secret, security_token: None })))
}

/// One PutLogs. What the service says against it is the inner error.
async fn send(
    client: &Client,
    destination: &DestinationPlan,
    logstore: &str,
    letter: &Letter,
) -> Result<Result<(), String>> {
    let group = letter.payload().with_context(|| format!("cannot read {}", letter.path.display()))?;
    let kind = match destination.compression {
        Compression::Lz4 => Kind::Lz4,
        Compression::Zstd => Kind::Zstd,
        Compression::None => Kind::None,
    };
    let mut body = Vec::new();
    compress(kind, &group, &mut body)?;
    let path = format!("/logstores/{logstore}/shards/lb");
    let mut headers = vec![("Content-Type", "application/x-protobuf")];
    headers.extend(kind.header().map(|name| ("x-log-compresstype", name)));
    let answer = match client.call("POST", &path, &[], &headers, Bytes::from(body), group.len()).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if answer.status == 200 && answer.request_id.is_some() {
        return Ok(Ok(()));
    }
    let error = answer.error();
    let later = match errors::judge(answer.status, &error.code, &error.message) {
        Verdict::RetrySoon | Verdict::Throttle => "; try again later",
        Verdict::Credentials => "; check the access key of the destination",
        Verdict::Configuration => "; check project, logstore and rights of the destination",
        _ => "",
    };
    let id = answer.request_id.as_deref().unwrap_or("none, so something before Log Service answered");
    Ok(Err(format!("HTTP {} {}: {}{later} (request {id})", answer.status, error.code, error.message)))
}
