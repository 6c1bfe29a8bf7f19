//! The plan of what is collected because Log Service or Kubernetes says so.

use std::path::PathBuf;
use std::time::Duration;

use super::{AutoCreate, DestinationPlan};

#[derive(Clone, Debug)]
pub struct CollectionPlan {
    /// How the service is reached and records are sent. Its project is the only one that is asked, where it is not empty;
    /// its logstore has no meaning.
    pub destination: DestinationPlan,
    /// What is made for a custom resource when it is missing: by default the logstore it names.
    pub made_for_resources: Option<AutoCreate>,
    /// Whether machine groups are asked for.
    pub machine_groups: bool,
    /// Ids of this gateway beside `agent.user_defined_ids`, one a line; read again when it changes.
    pub user_defined_id_file: Option<PathBuf>,
    /// How often the service is asked.
    pub interval: Duration,
    /// Where heartbeats go, `http://host:port`. Absent: to an embedded Log Service, and nowhere else.
    pub config_server: Option<String>,
    /// Custom resources as YAML files.
    pub directory: Option<PathBuf>,
    /// Custom resources of the API server.
    pub kubernetes: Option<ClusterPlan>,
}

/// An API server of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPlan {
    /// `https://host:port`.
    pub server: String,
    pub token_file: PathBuf,
    pub ca_file: PathBuf,
    /// Only resources of this namespace, for those that have one.
    pub namespace: Option<String>,
}
