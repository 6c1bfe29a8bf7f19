//! The middle between a foreign configuration and a plan: a tree of our own language, each key with the place that it came
//! from, so that a fault found in ours is told in theirs.
//!
//! ```text
//! inputs:       { collected: { type: file, paths, multiline, processors, ... } }
//! destinations: { local: { compression, max_rate, shard_key } }     what overrides the destination's own
//! routes:       [ { topic } ]
//! ```
//!
//! Foreign text is always escaped: no `${...}` of it is ever filled in. There are no variables here either.

use std::collections::BTreeMap;

use config::{Value, ValueKind};

use super::reading::Report;
use super::{Collected, Surroundings};
use crate::base::signal::Signal;
use crate::config::errors::{Faults, Place};
use crate::config::linear_regex::LinearRegex;
use crate::config::load::{Flags, plan};
use crate::config::pattern::Pattern;
use crate::config::placeholder::escape;
use crate::config::plan::{BatchGroup, DestinationPlan, InputKind, LOCAL, Plan, RoutePlan, SignalLogstores};
use crate::config::reader::Context;
use crate::config::source::Tree;
use crate::config::template::Template;

/// The input's name until it has its own, which is none of our language.
const NAME: &str = "collected";
const INPUT: &str = "inputs.collected";
const DESTINATION: &str = "destinations.local";
/// The field of a line's text, as Logtail calls it.
pub(super) const CONTENT: &str = "content";

/// What the topic of a LogGroup is.
pub(super) enum Topic {
    Text(String),
    /// What this takes of the file's path.
    Path(LinearRegex),
}

pub(super) struct Draft {
    input: Tree,
    destination: Tree,
    steps: Vec<Value>,
    /// Keys of ours and whose they are.
    origins: Vec<(String, String)>,
    /// The field that has the text.
    pub(super) source: String,
    /// Whether a record holds that field alone.
    pub(super) is_alone: bool,
    pub(super) topic: Topic,
    /// Checked.
    pub(super) project: String,
    /// Checked.
    pub(super) logstore: String,
}

/// A text that stands for itself, whatever it holds.
pub(super) fn text(text: &str) -> Value {
    Value::new(None, ValueKind::String(escape(text)))
}

pub(super) fn texts<'t>(list: impl IntoIterator<Item = &'t str>) -> Value {
    Value::new(None, ValueKind::Array(list.into_iter().map(text).collect()))
}

pub(super) fn flag(value: bool) -> Value {
    Value::new(None, ValueKind::Boolean(value))
}

pub(super) fn number(value: i64) -> Value {
    Value::new(None, ValueKind::I64(value))
}

pub(super) fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
    let entries = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
    Value::new(None, ValueKind::Table(entries))
}

/// `${record.KEY}`; none for a key that cannot stand there.
pub(super) fn copy_of(key: &str) -> Option<Value> {
    let is_plain = !key.is_empty() && !key.contains('}') && !key.contains(":-");
    is_plain.then(|| Value::new(None, ValueKind::String(format!("${{record.{key}}}"))))
}

impl Draft {
    pub(super) fn new(project: &str) -> Draft {
        let mut draft = Draft {
            input: Tree::new(),
            destination: Tree::new(),
            steps: Vec::new(),
            origins: Vec::new(),
            source: CONTENT.to_owned(),
            is_alone: true,
            topic: Topic::Text(String::new()),
            project: project.to_owned(),
            logstore: String::new(),
        };
        draft.input.insert("type".to_owned(), text("file"));
        draft
    }

    /// A key of the input; `theirs` is the key that says so.
    pub(super) fn input(&mut self, key: &str, value: Value, theirs: &str) {
        self.input.insert(key.to_owned(), value);
        self.origins.push((format!("{INPUT}.{key}"), theirs.to_owned()));
    }

    /// Whose a key inside one of the input is.
    pub(super) fn origin(&mut self, key: &str, theirs: &str) {
        self.origins.push((format!("{INPUT}.{key}"), theirs.to_owned()));
    }

    /// Adds to a list of the input.
    pub(super) fn add(&mut self, key: &str, item: &str, theirs: &str) {
        let list = self
            .input
            .entry(key.to_owned())
            .or_insert_with(|| Value::new(None, ValueKind::Array(Vec::new())));
        if let ValueKind::Array(items) = &mut list.kind {
            self.origins.push((format!("{INPUT}.{key}[{}]", items.len()), theirs.to_owned()));
            items.push(text(item));
        }
        // A list of paths is judged as a whole.
        self.origins.push((format!("{INPUT}.{key}"), theirs.to_owned()));
    }

    pub(super) fn destination(&mut self, key: &str, value: Value, theirs: &str) {
        self.destination.insert(key.to_owned(), value);
        self.origins.push((format!("{DESTINATION}.{key}"), theirs.to_owned()));
    }

    pub(super) fn step<K: Into<String>>(
        &mut self,
        entries: impl IntoIterator<Item = (K, Value)>,
        theirs: &str,
    ) {
        self.origins.push((format!("{INPUT}.processors[{}]", self.steps.len()), theirs.to_owned()));
        self.steps.push(map(entries));
    }

    /// Whose a key inside the last step is.
    pub(super) fn within(&mut self, key: &str, theirs: &str) {
        let at = self.steps.len().saturating_sub(1);
        self.origins.push((format!("{INPUT}.processors[{at}].{key}"), theirs.to_owned()));
    }

    /// As one of the gateway's own configurations, checked as they are.
    pub(super) fn finish(mut self, report: &Report, around: &Surroundings<'_>) -> Option<Collected> {
        let is_container = self.input.contains_key("format");
        if !is_container {
            self.input.insert("key".to_owned(), text(&self.source));
        }
        self.input.insert("processors".to_owned(), Value::new(None, ValueKind::Array(self.steps)));
        let mut faults = Faults::new(None);
        for (ours, theirs) in &self.origins {
            faults.came_from(ours, theirs);
        }
        let tree = Tree::from([
            ("inputs".to_owned(), map([(NAME, map(self.input))])),
            ("destinations".to_owned(), map([(LOCAL, map(self.destination))])),
        ]);
        let flags = Flags { data_dir: Some(around.main.data_dir.clone()) };
        let made = match plan(tree, Context::new(faults, BTreeMap::new()), &flags) {
            Ok(made) => made,
            Err(errors) => {
                for fault in errors.faults() {
                    report.reason(match &fault.place {
                        Place::Variable(theirs) => format!("{theirs}: {}", without_ours(&fault.what)),
                        Place::Key(ours) => format!("{ours}: {}", fault.what),
                        Place::File => format!("the configuration {}", fault.what),
                    });
                }
                return None;
            }
        };
        let says_compression = self.origins.iter().any(|(ours, _)| ours == "destinations.local.compression");
        let place = (self.project, self.logstore);
        let plan = assembled(made, around, &self.topic, place, says_compression)?;
        Some(Collected { plan, notes: Vec::new() })
    }
}

/// Without the key of ours, which nobody wrote.
fn without_ours(what: &str) -> &str {
    let is_ours = what.starts_with(INPUT) || what.starts_with(DESTINATION);
    what.split_once(": ").filter(|_| is_ours).map_or(what, |(_, rest)| rest)
}

/// What was made, in its surroundings.
fn assembled(
    made: Plan,
    around: &Surroundings<'_>,
    topic: &Topic,
    (project, logstore): (String, String),
    says_compression: bool,
) -> Option<Plan> {
    let typed = made.destinations.into_iter().next()?;
    let mut destination = DestinationPlan {
        name: around.id.to_owned(),
        project,
        signal_logstores: SignalLogstores::beside(&logstore),
        logstore,
        ..around.destination.clone()
    };
    destination.topic = match topic {
        Topic::Text(text) => Template::constant(text),
        // Its input gives each file a tag of its own.
        Topic::Path(_) => Template::tag(),
    };
    if says_compression {
        destination.compression = typed.compression;
    }
    if typed.max_rate.is_some() {
        destination.max_rate = typed.max_rate;
    }
    if !typed.shard_key.is_empty() {
        destination.shard_key = typed.shard_key;
        destination.batch_group = BatchGroup::Off;
    }
    let mut input = made.inputs.into_iter().find(|input| input.name == NAME)?;
    input.name = around.id.to_owned();
    if let (InputKind::File(file), Topic::Path(regex)) = (&mut input.kind, topic) {
        file.path_topic = Some(regex.clone());
    }
    let main = around.main;
    Some(Plan {
        data_dir: main.data_dir.clone(),
        inputs: vec![input],
        routes: vec![RoutePlan {
            pattern: Pattern::everything(),
            signals: Signal::ALL.to_vec(),
            conditions: Vec::new(),
            destination: 0,
            logstore: None,
            topic: None,
            processors: Vec::new(),
        }],
        destinations: vec![destination],
        default_destination: 0,
        buffers: main.buffers.clone(),
        records: main.records,
        time: main.time,
        duplicates: main.duplicates,
        journal: main.journal,
        limits: main.limits,
        log_service: None,
        operations: main.operations.clone(),
        agent: main.agent.clone(),
        collection: None,
        secret_files: Vec::new(),
    })
}
