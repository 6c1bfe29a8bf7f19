//! Where to ask: the embedded service of the running gateway, a destination of a configuration, or an endpoint that is
//! named here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::service::Service;
use super::{TIMEOUT, key};
use crate::cli::{status, variables};
use crate::config::names::{clean_logstore_name, is_logstore_name};
use crate::config::plan::{Plan, Target};
use crate::config::{self, Flags};
use crate::output::Client;

/// The destination that the flags below make.
const NAMED_HERE: &str = "query";

#[derive(Args)]
pub(super) struct Place {
    /// The logstore; without it, the destination's own.
    #[arg(long, value_name = "NAME")]
    logstore: Option<String>,
    /// The operations port of the running gateway.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:24290")]
    pub(super) operations: String,
    /// Query a destination of this configuration file instead of the embedded service.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which destination, where the configuration has several.
    #[arg(long, value_name = "NAME", requires = "config")]
    destination: Option<String>,
    /// Query this endpoint, such as cn-hangzhou.log.aliyuncs.com or http://127.0.0.1:24280. Keys come from the flags below, or
    /// from ALIBABA_CLOUD_ACCESS_KEY_ID and the other places where the vendor's tools look.
    #[arg(long, value_name = "URL", conflicts_with = "config", requires_all = ["project", "logstore"])]
    endpoint: Option<String>,
    /// The project at --endpoint.
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    project: Option<String>,
    /// The key at --endpoint.
    #[arg(long, value_name = "ID", requires_all = ["endpoint", "access_key_file"])]
    access_key_id: Option<String>,
    /// A file with the secret of --access-key-id.
    #[arg(long, value_name = "FILE", requires = "access_key_id")]
    access_key_file: Option<PathBuf>,
}

impl Place {
    pub(super) fn is_embedded(&self) -> bool {
        self.config.is_none() && self.endpoint.is_none()
    }

    pub(super) async fn service(&self) -> Result<Service> {
        if let Some(name) = &self.logstore {
            check_logstore(name)?;
        }
        let mut service = match (&self.config, &self.endpoint) {
            (Some(file), _) => self.configured(file)?,
            (None, Some(endpoint)) => self.named_here(endpoint)?,
            (None, None) => self.embedded().await?,
        };
        if let Some(name) = &self.logstore {
            service.logstore.clone_from(name);
        }
        Ok(service)
    }

    async fn embedded(&self) -> Result<Service> {
        let found = Embedded::find(&self.operations).await?;
        let key = key::read(Path::new(&found.key_file))?;
        let client = Client::new(&format!("http://{}", found.address), &found.project, key, TIMEOUT)?;
        Ok(Service { client, logstore: found.logstore })
    }

    fn configured(&self, file: &Path) -> Result<Service> {
        let plan = plan(Some(file), Vec::new())?;
        let name = match &self.destination {
            Some(name) => name,
            None => match plan.destinations.get(plan.default_destination) {
                Some(default) => &default.name,
                None => bail!("{}: has no destination; name the place with --endpoint", file.display()),
            },
        };
        service_of(&plan, name).with_context(|| file.display().to_string())
    }

    /// Read as a destination of a configuration would be, so that all sources of keys are there.
    fn named_here(&self, endpoint: &str) -> Result<Service> {
        let secret = match &self.access_key_file {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                Some(text.trim().to_owned())
            }
        };
        let said = [
            ("ENDPOINT", Some(endpoint.to_owned())),
            ("PROJECT", self.project.clone()),
            ("LOGSTORE", self.logstore.clone()),
            ("ACCESS_KEY_ID", self.access_key_id.clone()),
            ("ACCESS_KEY_SECRET", secret),
        ];
        let name = NAMED_HERE.to_uppercase();
        let said = said
            .into_iter()
            .filter_map(|(key, value)| Some((format!("SLUICEGATE__DESTINATIONS__{name}__{key}"), value?)));
        service_of(&plan(None, said.collect())?, NAMED_HERE)
    }
}

/// The embedded Log Service of a running gateway.
pub(in crate::cli) struct Embedded {
    pub(in crate::cli) address: String,
    pub(in crate::cli) project: String,
    pub(in crate::cli) logstore: String,
    pub(in crate::cli) key_file: PathBuf,
}

impl Embedded {
    /// The gateway says where it listens and where the key lies, and never the key.
    pub(in crate::cli) async fn find(operations: &str) -> Result<Embedded> {
        let status = status::fetch(operations).await?;
        let service = &status["log_service"];
        let text = |key: &str| service[key].as_str().map(str::to_owned);
        let (Some(address), Some(project), Some(logstore), Some(file)) =
            (text("address"), text("project"), text("logstore"), text("access_key_file"))
        else {
            bail!(
                "this gateway runs without the embedded Log Service; name its configuration with --config FILE to query the cloud"
            );
        };
        Ok(Embedded { address, project, logstore, key_file: file.into() })
    }
}

fn plan(file: Option<&Path>, said: Vec<(String, String)>) -> Result<Plan> {
    config::load(file, variables().chain(said), &Flags { data_dir: None })
        .map_err(|errors| anyhow::anyhow!("{errors}"))
}

fn service_of(plan: &Plan, name: &str) -> Result<Service> {
    let destination = plan
        .destinations
        .iter()
        .find(|destination| destination.name == name)
        .with_context(|| format!("there is no destinations.{name}"))?;
    let Target::Cloud(cloud) = &destination.target else {
        bail!("destination {name} is the embedded Log Service; leave --config out to query it");
    };
    let client = Client::for_cloud(cloud, &destination.project, TIMEOUT)?;
    Ok(Service { client, logstore: destination.logstore.clone() })
}

/// Names that Log Service cannot have are not asked for; most of them are names of containers.
fn check_logstore(name: &str) -> Result<()> {
    if !is_logstore_name(name) {
        let mut cleaned = String::new();
        clean_logstore_name(name.as_bytes(), &mut cleaned);
        bail!(
            "--logstore {name:?}: Log Service takes 3 to 63 of a-z, 0-9, - and _; the gateway makes that name {cleaned}, \
             so try --logstore {cleaned}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_containers_are_told_what_they_became() {
        assert!(check_logstore("web").is_ok());
        for (name, cleaned) in [("db", "db0"), ("/web", "web"), ("My App", "my-app")] {
            let error = check_logstore(name).unwrap_err().to_string();
            assert!(error.ends_with(&format!("try --logstore {cleaned}")), "{error}");
        }
    }
}
