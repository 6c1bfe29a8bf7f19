//! Routes: the first one whose tag pattern and field conditions hold says where a record goes, under which topic and
//! through which processors. Records that no route wants go to the default destination, never away.
//!
//! A route takes the signals it names, logs when it names none; each signal has a default logstore of its own in every
//! destination. What depends on the signal and the tag alone is worked out once per tag; only conditions and templates that read a record cost
//! something per record.

use std::borrow::Cow;

use super::steps::Steps;
use crate::base::limits;
use crate::base::signal::Signal;
use crate::config::names::clean_logstore_name;
use crate::config::pattern::Pattern;
use crate::config::plan::{Condition, Plan};
use crate::config::template::Template;
use crate::record::{Batch, Record};

pub struct Router {
    /// The configured routes, and last the one that takes what is left. None where there is no destination, and so no input.
    routes: Vec<Route>,
}

pub struct Route {
    pattern: Option<Pattern>,
    /// `None` takes all signals.
    signals: Option<Vec<Signal>>,
    conditions: Vec<(String, Condition)>,
    pub destination: usize,
    pub logstore: Option<Template>,
    pub topic: Template,
    pub steps: Steps,
}

impl Router {
    pub fn new(plan: &Plan) -> Self {
        let topic_of = |destination: usize| plan.destinations[destination].topic.clone();
        let mut routes: Vec<Route> = plan
            .routes
            .iter()
            .map(|route| Route {
                pattern: Some(route.pattern.clone()),
                signals: Some(route.signals.clone()),
                conditions: route.conditions.clone(),
                destination: route.destination,
                logstore: route.logstore.clone(),
                topic: route.topic.clone().unwrap_or_else(|| topic_of(route.destination)),
                steps: Steps::new(&route.processors, plan.records.nil),
            })
            .collect();
        if plan.destinations.is_empty() {
            return Router { routes };
        }
        routes.push(Route {
            pattern: None,
            signals: None,
            conditions: Vec::new(),
            destination: plan.default_destination,
            logstore: None,
            topic: topic_of(plan.default_destination),
            steps: Steps::default(),
        });
        Router { routes }
    }

    pub fn route(&self, index: usize) -> &Route {
        &self.routes[index]
    }

    /// The routes that records of a signal with a tag can take, in order; the last one takes everything that comes to
    /// it.
    pub fn candidates(&self, signal: Signal, tag: &[u8]) -> Vec<usize> {
        let mut candidates = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            let carries = route.signals.as_ref().is_none_or(|signals| signals.contains(&signal));
            if carries && route.pattern.as_ref().is_none_or(|pattern| pattern.matches(tag)) {
                candidates.push(index);
                if route.conditions.is_empty() {
                    break;
                }
            }
        }
        candidates
    }
}

impl Route {
    /// Whether all field conditions hold.
    pub fn takes(&self, batch: &Batch, record: &Record) -> bool {
        self.conditions.iter().all(|(key, condition)| {
            condition.holds(batch.value_of(record, key.as_bytes()).map(|value| batch.bytes(value)))
        })
    }

    /// Whether destination and topic follow from the tag alone.
    pub fn is_fixed_by_tag(&self) -> bool {
        !self.topic.needs_record() && !self.logstore.as_ref().is_some_and(Template::needs_record)
    }

    /// The topic of a record: text of at most [`limits::TAG_BYTES`] rendered bytes.
    pub fn topic(&self, batch: &Batch, record: &Record, out: &mut Vec<u8>) {
        self.topic.render(
            batch.tag(),
            |key| batch.value_of(record, key).map(|value| batch.bytes(value)),
            out,
        );
        out.truncate(limits::TAG_BYTES);
        if let Cow::Owned(text) = String::from_utf8_lossy(out) {
            *out = text.into_bytes();
        }
    }

    /// The logstore of a record as a legal name; `None` is the destination's own.
    pub fn logstore(&self, batch: &Batch, record: &Record, scratch: &mut Vec<u8>) -> Option<String> {
        let template = self.logstore.as_ref()?;
        scratch.clear();
        template.render(
            batch.tag(),
            |key| batch.value_of(record, key).map(|value| batch.bytes(value)),
            scratch,
        );
        let mut name = String::new();
        clean_logstore_name(scratch, &mut name);
        Some(name)
    }
}
