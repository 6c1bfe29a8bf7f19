//! Metrics: handles are made here, once per input, destination or store, and used without a look-up afterwards.
//!
//! Every name starts with `sluicegate_`. Labels are inputs, destinations and reasons; never peers or tags, whose
//! number nobody bounds.
#![allow(clippy::disallowed_macros)]

pub use metrics::{Counter, Gauge, Histogram};
use metrics::{Label, describe_counter, describe_gauge, describe_histogram};

pub fn counter(name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Counter {
    describe_counter!(name, help);
    metrics::counter!(name, to_labels(labels))
}

pub fn gauge(name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
    describe_gauge!(name, help);
    metrics::gauge!(name, to_labels(labels))
}

pub fn histogram(name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
    describe_histogram!(name, help);
    metrics::histogram!(name, to_labels(labels))
}

fn to_labels(labels: &[(&'static str, &str)]) -> Vec<Label> {
    labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned())).collect()
}
