//! In which Log Service: the embedded one of the running gateway, that of a configuration's destination, or one that is named
//! here by endpoint or region.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use super::names::CHANGES;
use crate::cli::query::{Embedded, key};
use crate::cli::variables;
use crate::config::plan::{CloudPlan, Plan, Target};
use crate::config::{self, Flags};
use crate::output::Client;
use crate::output::credentials::{AccessKey, Credentials};

/// The destination that the flags below make.
const NAMED_HERE: &str = "deploy";
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(super) struct Place {
    /// The operations port of the running gateway, whose embedded Log Service is used where no other is named.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:24290")]
    operations: String,
    /// Use the service and the keys of a destination of this configuration file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "region"])]
    config: Option<PathBuf>,
    /// Which destination, where the configuration has several.
    #[arg(long, value_name = "NAME", requires = "config")]
    destination: Option<String>,
    /// Use this endpoint, such as https://cn-hangzhou.log.aliyuncs.com or http://127.0.0.1:24280. Keys come from the flags
    /// below, or from ALIBABA_CLOUD_ACCESS_KEY_ID and the other places where the vendor's tools look.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Use the public endpoint of this region; beside --endpoint, the region that signatures are made for.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// The key at --endpoint or --region.
    #[arg(long, value_name = "ID", requires = "access_key_file")]
    access_key_id: Option<String>,
    /// A file with the secret of --access-key-id.
    #[arg(long, value_name = "FILE", requires = "access_key_id")]
    access_key_file: Option<PathBuf>,
}

/// A Log Service that was found.
pub(super) struct Reached {
    pub(super) client: Client,
    /// `scheme://host[:port]`, without a project.
    pub(super) endpoint: String,
    credentials: Credentials,
}

impl Place {
    pub(super) async fn reach(&self, project: &str) -> Result<Reached> {
        if let Some(file) = &self.config {
            let plan = plan(Some(file), Vec::new())?;
            let name = match &self.destination {
                Some(name) => name,
                None => &plan.destinations.get(plan.default_destination).context("no destination")?.name,
            };
            return cloud(&plan, name, project).with_context(|| file.display().to_string());
        }
        if self.endpoint.is_some() || self.region.is_some() {
            return self.named_here(project);
        }
        if self.access_key_id.is_some() {
            bail!(
                "--access-key-id goes with --endpoint or --region; the embedded Log Service has a key of its own"
            );
        }
        let found = Embedded::find(&self.operations).await.context(
            "no other Log Service was named (--endpoint URL, --region NAME or --config FILE), so the embedded one is looked for",
        )?;
        let stored = key::stored(&found.key_file)?;
        let own = AccessKey { id: stored.id, secret: stored.secret, security_token: None };
        let credentials = Credentials::Static(Arc::new(own));
        let endpoint = format!("http://{}", found.address);
        let client = Client::new(&endpoint, project, credentials.clone(), TIMEOUT)?;
        Ok(Reached { client, endpoint, credentials })
    }

    /// Read as a destination of a configuration would be, so that all sources of keys are there.
    fn named_here(&self, project: &str) -> Result<Reached> {
        let secret = match &self.access_key_file {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                Some(text.trim().to_owned())
            }
        };
        let said = [
            ("ENDPOINT", self.endpoint.clone()),
            ("REGION", self.region.clone()),
            ("PROJECT", Some(project.to_owned())),
            ("LOGSTORE", Some(CHANGES.to_owned())),
            ("ACCESS_KEY_ID", self.access_key_id.clone()),
            ("ACCESS_KEY_SECRET", secret),
        ];
        let name = NAMED_HERE.to_uppercase();
        let said = said
            .into_iter()
            .filter_map(|(key, value)| Some((format!("SLUICEGATE__DESTINATIONS__{name}__{key}"), value?)));
        cloud(&plan(None, said.collect())?, NAMED_HERE, project)
    }
}

impl Reached {
    /// A key that can be written down.
    pub(super) async fn lasting_key(&self) -> Result<Arc<AccessKey>> {
        let key = self.credentials.current().await?;
        if key.security_token.is_some() {
            bail!(
                "--include-key: the access key is a temporary one of a role and would end; leave it out, and make the Secret \
                 sluicegate-credentials of a lasting one"
            );
        }
        Ok(key)
    }
}

fn plan(file: Option<&std::path::Path>, said: Vec<(String, String)>) -> Result<Plan> {
    config::load(file, variables().chain(said), &Flags { data_dir: None })
        .map_err(|errors| anyhow!("{errors}"))
}

fn cloud(plan: &Plan, name: &str, project: &str) -> Result<Reached> {
    let destination = plan
        .destinations
        .iter()
        .find(|destination| destination.name == name)
        .with_context(|| format!("there is no destinations.{name}"))?;
    let Target::Cloud(cloud) = &destination.target else {
        bail!("destination {name} is the embedded Log Service; leave --config out to use it");
    };
    let CloudPlan { endpoint, credentials, transport, .. } = cloud.as_ref();
    let credentials = Credentials::of(NAMED_HERE, credentials, transport);
    let client = Client::with_credentials(cloud, project, credentials.clone(), TIMEOUT)?;
    Ok(Reached { client, endpoint: endpoint.to_string(), credentials })
}
