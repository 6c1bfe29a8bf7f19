//! Collection configurations of Log Service as parts of a plan: one input, one route, one destination.
//!
//! ```text
//! JSON -> [reading] (typed, every fault kept) -> [classic] | [pipeline] -> [draft] (a tree of our own language)
//!      -> the reader and resolver of our own configuration -> Plan
//! ```
//!
//! What both languages know is said once: [files], [steps], [container], [extended], [output]. Everything is honoured, noted as
//! without effect, or refused by its key; with one refusal nothing is translated. Foreign text never expands `${...}`.

mod classic;
mod container;
mod draft;
mod extended;
mod files;
mod output;
mod pipeline;
mod reading;
pub mod resource;
mod steps;
mod whole;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{DestinationPlan, Plan};
use draft::Draft;
use reading::{Object, Report};

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

/// All that keeps a configuration from being honoured, each reason with its key as its author wrote it. With one reason,
/// nothing of it is translated.
pub fn translate(form: Form, body: &Value, around: &Surroundings<'_>) -> Result<Collected, Vec<String>> {
    let report = Report::default();
    let mut draft = Draft::new(around.project);
    let mut root = Object::root(&report, body);
    match form {
        Form::Classic => classic::translate(&mut root, &mut draft, around),
        Form::Pipeline => pipeline::translate(&mut root, &mut draft, around),
    }
    root.finish();
    // What is wrong by itself would only be told a second time by what it is laid into.
    let collected = if report.is_refused() { None } else { draft.finish(&report, around) };
    let (mut reasons, notes) = report.into_parts();
    match collected {
        Some(collected) if reasons.is_empty() => Ok(Collected { notes, ..collected }),
        _ => {
            if reasons.is_empty() {
                reasons.push("the configuration cannot be used".to_owned());
            }
            Err(reasons)
        }
    }
}

#[cfg(test)]
mod tests;
