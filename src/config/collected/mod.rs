//! Collection configurations of Log Service as parts of a plan: one input, one route, one destination.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{DestinationPlan, Plan};

/// In which of Log Service's two languages a configuration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A Logtail config: `inputType`, `inputDetail`, `outputDetail`.
    Classic,
    /// A pipeline config: `inputs`, `processors`, `flushers`.
    Pipeline,
}

/// What a configuration stands in.
pub struct Surroundings<'a> {
    /// Name of the input and of the destination.
    pub id: &'a str,
    pub project: &'a str,
    /// The topic of the machine group it came through.
    pub group_topic: Option<&'a str>,
    /// How the service is reached, and how records are sent; project and logstore are the configuration's.
    pub destination: &'a DestinationPlan,
    /// Buffers, limits and the like are the gateway's own.
    pub main: &'a Plan,
}

/// A plan of one input, one route and one destination.
#[derive(Clone, Debug)]
pub struct Collected {
    pub plan: Plan,
    /// Keys that are understood and have no effect here, each with the reason.
    pub notes: Vec<String>,
}

/// All that keeps a configuration from being honoured, each reason with its key.
pub fn translate(_form: Form, _body: &Value, _around: &Surroundings<'_>) -> Result<Collected, Vec<String>> {
    Err(vec!["inputType: is not understood".to_owned()])
}
