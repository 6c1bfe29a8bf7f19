//! Dead letters sent again: the same LogGroup with its pack id, to the destination that refused it or to another. Each
//! is tried once; who is accepted is removed, who is not stays as it was. Nobody else sends a letter meanwhile.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use super::super::{complain, say};
use super::Place;
use crate::config::plan::{Compression, DestinationPlan, Plan, Target};
use crate::output::Client;
use crate::output::credentials::{AccessKey, Credentials};
use crate::output::refused::{Claim, Letter};
use crate::output::shard_key::ShardKey;
use crate::store::{ACCESS_KEY_FILE, AccessKey as StoredKey};
use crate::wire::compress::{Kind, compress};
use crate::wire::errors::{self, Verdict};

/// What became of a letter.
enum Sent {
    /// By this logstore.
    Accepted(String),
    /// It stays, for this reason.
    Kept(String),
    /// Somebody else has sent or dropped it.
    Gone,
}

/// True when all of them were accepted.
pub(super) async fn resend(place: &Place, letters: &[&Letter], to: Option<&str>) -> Result<bool> {
    let Some(plan) = &place.plan else {
        bail!("where destinations are is in the configuration of the gateway; name it with --config FILE");
    };
    let mut clients: HashMap<String, Client> = HashMap::new();
    let mut kept = 0;
    for letter in letters {
        // What is wrong with one says nothing of the others.
        let sent = match claimed(place, plan, &mut clients, letter, to).await {
            Ok(sent) => sent,
            Err(error) => Sent::Kept(format!("{error:#}")),
        };
        match sent {
            Sent::Accepted(by) => {
                say(&format!("accepted {} ({} records to {by})", letter.name, letter.head.records));
            }
            Sent::Kept(why) => {
                kept += 1;
                complain(&format!("kept {}: {why}", letter.name));
            }
            Sent::Gone => {
                complain(&format!("{} is gone: it was sent, dropped or removed meanwhile", letter.name))
            }
        }
    }
    if kept > 0 {
        complain(&format!("{kept} of {} dead letters were not accepted and are kept", letters.len()));
    }
    Ok(kept == 0)
}

/// Sends a letter unless somebody else does.
async fn claimed(
    place: &Place,
    plan: &Plan,
    clients: &mut HashMap<String, Client>,
    letter: &Letter,
    to: Option<&str>,
) -> Result<Sent> {
    if !letter.is_log_group() {
        return Ok(Sent::Kept("it is no LogGroup; see `sluicegate refused show --raw`".to_owned()));
    }
    let unread = || format!("cannot read {}", letter.path.display());
    let _ours = match letter.claim().with_context(unread)? {
        Claim::Ours(file) => file,
        Claim::Taken => return Ok(Sent::Kept("somebody else sends it right now".to_owned())),
        Claim::Gone => return Ok(Sent::Gone),
    };
    let group = match letter.payload() {
        // The gateway makes room while we look.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Sent::Gone),
        group => group.with_context(unread)?,
    };
    let label = to.unwrap_or(&letter.head.destination);
    let (name, logstore) = label.split_once('/').unwrap_or((label, ""));
    let destination =
        plan.destinations.iter().find(|destination| destination.name == name).with_context(|| {
            format!(
                "the configuration has no destinations.{name}; name the gateway's with --config FILE, or another \
                 destination with --to NAME"
            )
        })?;
    let logstore = if logstore.is_empty() { &destination.logstore } else { logstore };
    let client = match clients.entry(name.to_owned()) {
        std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
        std::collections::hash_map::Entry::Vacant(free) => free.insert(client(place, destination)?),
    };
    if let Err(why) = send(client, destination, logstore, &group).await? {
        return Ok(Sent::Kept(why));
    }
    let by = format!("{name}/{logstore}");
    Ok(match letter.remove() {
        Ok(()) => Sent::Accepted(by),
        Err(error) => Sent::Kept(format!(
            "{by} accepted it, but its file cannot be removed, so remove it by hand: {error}"
        )),
    })
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
    group: &[u8],
) -> Result<Result<(), String>> {
    let kind = match destination.compression {
        Compression::Lz4 => Kind::Lz4,
        Compression::Zstd => Kind::Zstd,
        Compression::None => Kind::None,
    };
    let mut body = Vec::new();
    compress(kind, group, &mut body)?;
    // To the shard it was for: equal keys keep their order there.
    let key = (!destination.shard_key.is_empty())
        .then(|| ShardKey(destination.shard_key.clone()).bucket(group).key());
    let way = if key.is_some() { "route" } else { "lb" };
    let path = format!("/logstores/{logstore}/shards/{way}");
    let query = key.as_deref().map(|key| ("key", key));
    let mut headers = vec![("Content-Type", "application/x-protobuf")];
    headers.extend(kind.header().map(|name| ("x-log-compresstype", name)));
    let answer =
        match client.call("POST", &path, query.as_slice(), &headers, Bytes::from(body), group.len()).await {
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
