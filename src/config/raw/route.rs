//! A route as typed: a tag pattern, signals, conditions, and what becomes of the records.

use super::steps::{conditions, steps};
use crate::base::signal::Signal;
use crate::config::pattern::Pattern;
use crate::config::plan::{Condition, Step};
use crate::config::reader::Leaf;
use crate::config::template::Template;

/// Stands for every signal.
const ANY: &str = "any";

pub(in crate::config) struct RawRoute {
    /// The key's path, for faults found later.
    pub(in crate::config) path: String,
    /// Absent when it is faulty.
    pub(in crate::config) pattern: Option<Pattern>,
    /// Empty when it is faulty.
    pub(in crate::config) signals: Option<Vec<Signal>>,
    /// Whether conditions were typed, right or wrong.
    pub(in crate::config) conditional: bool,
    pub(in crate::config) conditions: Vec<(String, Condition)>,
    pub(in crate::config) destination: Option<String>,
    pub(in crate::config) logstore: Option<Template>,
    pub(in crate::config) topic: Option<Template>,
    pub(in crate::config) processors: Vec<Step>,
}

pub(super) fn route(leaf: Leaf<'_>) -> Option<RawRoute> {
    let path = leaf.path().to_owned();
    let mut table = leaf.table()?;
    let when = table.take("when").entries();
    let route = RawRoute {
        path,
        conditional: !when.is_empty(),
        pattern: pattern(table.take("match")),
        signals: signals(table.take("signal")),
        conditions: conditions(when),
        destination: table.take("destination").text(),
        logstore: table.take("logstore").template(),
        topic: table.take("topic").template(),
        processors: steps(table.take("processors")),
    };
    table.finish();
    Some(route)
}

fn pattern(leaf: Leaf<'_>) -> Option<Pattern> {
    if leaf.is_present() { leaf.parsed("a tag pattern", Pattern::parse) } else { Some(Pattern::everything()) }
}

/// One or a list; each once, in their own order. Absent, or empty when it is faulty.
fn signals(leaf: Leaf<'_>) -> Option<Vec<Signal>> {
    if !leaf.is_present() {
        return None;
    }
    let typed = leaf.several("one signal", |text| {
        if text == ANY {
            return Ok(Signal::ALL.to_vec());
        }
        match Signal::ALL.into_iter().find(|signal| signal.name() == text) {
            Some(signal) => Ok(vec![signal]),
            None => Err(format!("is not one of {}, {ANY}", Signal::ALL.map(Signal::name).join(", "))),
        }
    });
    let typed = typed.unwrap_or_default();
    let wanted = |signal: &Signal| typed.iter().flatten().any(|typed| typed == signal);
    Some(Signal::ALL.into_iter().filter(wanted).collect())
}
