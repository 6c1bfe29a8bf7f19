//! What Log Service and Kubernetes say is to be collected: nobody edits this gateway's configuration.
//!
//! ```text
//! sources: machine groups of Log Service, custom resources (a directory, the API server)
//!    `-> Found (all that a source knows at the moment)
//!           `-> manager: keeps the last good set on disk, translates ([`crate::config::collected`]), starts and ends inputs
//!                  `-> reports: status, metric, a record in a logstore; a source may write the outcome back
//! ```
//!
//! A source that cannot be asked keeps what it last said. A configuration that cannot be honoured is reported by name and
//! reason, and nothing of it runs; its last good version goes on until it is removed.

pub mod context;
pub mod custom_resources;
pub mod heartbeat;
pub mod identity;
pub mod kept;
pub mod machine_groups;
pub mod report;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::config::collected::Form;
use crate::config::collected::resource::LogstoreSpec;

/// Who says that something is to be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Configurations that are applied to machine groups of this gateway.
    MachineGroups,
    /// Custom resources as files.
    Directory,
    /// Custom resources of the API server.
    Kubernetes,
}

/// A collection configuration as its author wrote it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    pub source: Source,
    /// Where its records go.
    pub project: String,
    pub name: String,
    pub form: Form,
    /// As Log Service has it: the body of GetConfig or GetLogtailPipelineConfig.
    pub body: Value,
    /// The topic of the machine group it came through.
    pub group_topic: Option<String>,
    /// How logstores are made that are missing, where a custom resource says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logstores: Vec<LogstoreSpec>,
}

/// All that a source knows at the moment; what it no longer names is to end.
#[derive(Clone, Debug)]
pub struct Found {
    pub source: Source,
    pub wanted: Vec<Wanted>,
    /// Of which no configuration can be made at the moment, by [`Wanted::id`], with all reasons: what it was before goes on.
    pub refused: Vec<(String, Vec<String>)>,
}

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs; keys that have no effect here are named.
    Applied { notes: Vec<String> },
    /// It does not run, or an older version of it does.
    Refused { reasons: Vec<String> },
}

impl Wanted {
    /// Its name here: of its input, its destination and in reports. No project's name has a dot.
    pub fn id(&self) -> String {
        format!("{}.{}", self.project, self.name)
    }
}
