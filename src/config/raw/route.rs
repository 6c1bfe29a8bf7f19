//! A route as typed: a tag pattern, signals, conditions, and what becomes of the records.

use super::{field_key, new_key};
use crate::base::limits::KEY_BYTES;
use crate::base::signal::Signal;
use crate::config::linear_regex::LinearRegex;
use crate::config::pattern::Pattern;
use crate::config::plan::{Condition, OnFailure, ParseFormat, ParsePlan, Step};
use crate::config::reader::{Leaf, Table};
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
        conditions: when
            .into_iter()
            .filter_map(|(key, leaf)| Some((key, leaf.parsed("text or a /regex/", condition)?)))
            .collect(),
        destination: table.take("destination").text(),
        logstore: table.take("logstore").template(),
        topic: table.take("topic").template(),
        processors: table.take("processors").list().into_iter().filter_map(step).collect(),
    };
    table.finish();
    Some(route)
}

fn pattern(leaf: Leaf<'_>) -> Option<Pattern> {
    if leaf.is_present() { leaf.parsed("a tag pattern", Pattern::parse) } else { Some(Pattern::everything()) }
}

fn condition(text: &str) -> Result<Condition, String> {
    let Some(source) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) else {
        return Ok(Condition::Equals(text.to_owned()));
    };
    LinearRegex::parse(source).map(Condition::Regex)
}

fn step(leaf: Leaf<'_>) -> Option<Step> {
    if leaf.has("parse") {
        return leaf.table().and_then(parse);
    }
    let only_one = "is not a processor; write one of add, remove, rename, parse";
    let (kind, value) = leaf.single(only_one)?;
    match kind.as_str() {
        "add" => {
            let fields = value.entries().into_iter();
            Some(Step::Add(
                fields.filter_map(|(key, leaf)| Some((field_key(key, &leaf)?, leaf.template()?))).collect(),
            ))
        }
        "remove" => Some(Step::Remove(value.list().into_iter().filter_map(Leaf::text).collect())),
        "rename" => {
            let fields = value.entries().into_iter();
            let pair =
                |(from, leaf): (String, Leaf<'_>)| Some((from, leaf.parsed("a field's name", new_key)?));
            Some(Step::Rename(fields.filter_map(pair).collect()))
        }
        _ => {
            value.fault(only_one);
            None
        }
    }
}

/// The one processor with keys beside its own.
fn parse(mut table: Table<'_>) -> Option<Step> {
    let format = table.take("parse").choice(&[("json", ())]).map(|()| ParseFormat::Json { depth: 1 });
    let key = table.take("key").parsed("a field's name", new_key);
    let keep = table.take("keep").boolean();
    let prefix = table.take("prefix").parsed("text", |text| {
        if text.len() < KEY_BYTES {
            Ok(text.to_owned())
        } else {
            Err(format!("leaves no room for a key; Log Service takes {KEY_BYTES} bytes in all"))
        }
    });
    table.finish();
    Some(Step::Parse(ParsePlan {
        format: format?,
        key: key.unwrap_or_else(|| "log".to_owned()),
        keep: keep.unwrap_or(false),
        prefix: prefix.unwrap_or_default(),
        on_failure: OnFailure::Keep,
    }))
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
