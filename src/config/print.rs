//! The effective configuration: a plan written as YAML that says everything, with `***` for every secret.
//!
//! With the secrets put back it is a configuration that gives the same plan; with `***` it is none.

mod cloud;
mod collection;
mod connections;
mod file;
mod forward;
mod native;
mod steps;

use std::fmt::Write;

use super::leaf::{Address, duration_text, size_text};
use super::placeholder::escape;
use super::plan::*;
use crate::base::secret::Secret;

pub(super) fn effective(plan: &Plan) -> String {
    let mut page = Page::default();
    page.line(0, "data_dir", quoted(&plan.data_dir.to_string_lossy()));
    page.heading(0, "inputs");
    for input in &plan.inputs {
        page.heading(1, &input.name);
        match &input.kind {
            InputKind::Forward(forward) => page.forward(forward),
            InputKind::Syslog(syslog) => page.syslog(syslog),
            InputKind::Gelf(gelf) => page.gelf(gelf),
            InputKind::Splunk(splunk) => page.splunk(splunk),
            InputKind::DockerPlugin(plugin) => page.docker_plugin(plugin),
            InputKind::Docker(docker) => page.docker(docker),
            InputKind::File(file) => page.file(file),
        }
    }
    if !plan.routes.is_empty() {
        page.heading(0, "routes");
    }
    for route in &plan.routes {
        page.route(route, plan);
    }
    page.heading(0, "destinations");
    for destination in &plan.destinations {
        page.heading(1, &destination.name);
        page.destination(destination, plan);
    }
    if let Some(default) = plan.destinations.get(plan.default_destination) {
        page.line(0, "default_destination", &default.name);
    }
    page.heading(0, "buffers");
    for buffer in &plan.buffers {
        page.heading(1, &buffer.name);
        page.line(
            2,
            "storage",
            match buffer.storage {
                Storage::Disk => "disk",
                Storage::Memory => "memory",
            },
        );
        page.line(2, "max_bytes", size_text(buffer.max_bytes));
        page.line(
            2,
            "on_full",
            match buffer.on_full {
                OnFull::Block => "block",
                OnFull::EvictOldest => "evict_oldest",
            },
        );
    }
    page.heading(0, "records");
    page.line(
        1,
        "nil",
        match plan.records.nil {
            Nil::Empty => "empty",
            Nil::Drop => "drop",
        },
    );
    page.heading(0, "time");
    page.line(
        1,
        "out_of_range",
        match plan.time.out_of_range {
            OutOfRange::Keep => "keep",
            OutOfRange::Now => "now",
        },
    );
    page.heading(0, "duplicates");
    page.line(1, "window", duration_text(plan.duplicates.window));
    page.line(1, "max_bytes", size_text(plan.duplicates.max_bytes as u64));
    page.heading(0, "journal");
    page.line(1, "max_bytes", size_text(plan.journal.max_bytes));
    page.line(1, "segment_bytes", size_text(plan.journal.segment_bytes));
    page.line(1, "fresh_bytes", size_text(plan.journal.fresh_bytes as u64));
    page.heading(0, "limits");
    page.line(1, "byte_budget", size_text(plan.limits.byte_budget as u64));
    page.line(1, "dead_letter_bytes", size_text(plan.limits.dead_letter_bytes));
    page.line(1, "stop_deadline", duration_text(plan.limits.stop_deadline));
    page.heading(0, "log_service");
    page.line(1, "enabled", plan.log_service.is_some());
    if let Some(service) = &plan.log_service {
        page.line(1, "listen", address(&service.listen));
        page.line(1, "project", quoted(&service.project));
        page.line(1, "logstore", quoted(&service.logstore));
        if let Some(bytes) = service.max_bytes {
            page.line(1, "max_bytes", size_text(bytes));
        }
        page.line(
            1,
            "on_full",
            match service.on_full {
                StoreFull::Refuse => "refuse",
                StoreFull::DropOldest => "drop_oldest",
            },
        );
    }
    page.heading(0, "operations");
    page.line(1, "listen", address(&plan.operations.listen));
    page.agent(&plan.agent);
    if let Some(collection) = &plan.collection {
        page.collection(collection, plan);
    }
    page.yaml
}

#[derive(Default)]
struct Page {
    yaml: String,
}

impl Page {
    fn line(&mut self, depth: usize, key: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.yaml, "{:width$}{key}: {value}", "", width = depth * 2);
    }

    fn heading(&mut self, depth: usize, key: &str) {
        let _ = writeln!(self.yaml, "{:width$}{key}:", "", width = depth * 2);
    }

    /// Left out where nothing is said.
    fn agent(&mut self, agent: &AgentPlan) {
        if *agent == (AgentPlan { ignored: agent.ignored.clone(), ..AgentPlan::default() }) {
            return;
        }
        self.heading(0, "agent");
        self.line(1, "user_ids", list(&agent.user_ids));
        self.line(1, "user_defined_ids", list(&agent.user_defined_ids));
        for (key, text) in [("hostname", &agent.hostname), ("source", &agent.source)] {
            if let Some(text) = text {
                self.line(1, key, typed(text));
            }
        }
        self.line(1, "tags", map(&agent.tags, |value| escape(value)));
    }

    fn route(&mut self, route: &RoutePlan, plan: &Plan) {
        self.line(1, "- match", typed(route.pattern.text()));
        let signals: Vec<&str> = route.signals.iter().map(|signal| signal.name()).collect();
        self.line(2, "signal", format!("[{}]", signals.join(", ")));
        if !route.conditions.is_empty() {
            self.heading(2, "when");
        }
        for (key, condition) in &route.conditions {
            self.line(3, &quoted(key), steps::quoted_condition(condition));
        }
        if let Some(destination) = plan.destinations.get(route.destination) {
            self.line(2, "destination", &destination.name);
        }
        for (key, template) in [("logstore", &route.logstore), ("topic", &route.topic)] {
            if let Some(template) = template {
                self.line(2, key, quoted(&template.text()));
            }
        }
        self.processors(&route.processors);
    }

    fn destination(&mut self, destination: &DestinationPlan, plan: &Plan) {
        if let Target::Cloud(cloud) = &destination.target {
            self.place(cloud);
            self.line(2, "project", quoted(&destination.project));
            self.line(2, "logstore", quoted(&destination.logstore));
            self.keys(&cloud.credentials);
        }
        let stores = &destination.signal_logstores;
        self.line(2, "metrics_logstore", quoted(&stores.metrics));
        self.line(2, "traces_logstore", quoted(&stores.traces));
        self.line(2, "blobs_logstore", quoted(&stores.blobs));
        self.line(2, "profiles_logstore", quoted(&stores.profiles));
        self.sending(destination, plan);
    }

    /// How records are sent, wherever that is.
    fn sending(&mut self, destination: &DestinationPlan, plan: &Plan) {
        self.line(2, "topic", quoted(&destination.topic.text()));
        self.line(
            2,
            "compression",
            match destination.compression {
                Compression::Lz4 => "lz4",
                Compression::Zstd => "zstd",
                Compression::None => "none",
            },
        );
        self.line(2, "in_flight", destination.in_flight);
        if let Some(rate) = destination.max_rate {
            self.line(2, "max_rate", size_text(rate));
        }
        self.line(2, "shard_key", list(&destination.shard_key));
        self.line(
            2,
            "batch_group",
            match destination.batch_group {
                BatchGroup::Auto => "auto",
                BatchGroup::On => "on",
                BatchGroup::Off => "off",
            },
        );
        if let Some(AutoCreate { shards, ttl, mode, index, .. }) = &destination.auto_create {
            self.heading(2, "auto_create");
            self.line(3, "shards", shards);
            self.line(3, "ttl", ttl);
            self.line(3, "mode", mode.name());
            self.line(3, "index", index);
        }
        self.line(2, "request_timeout", duration_text(destination.request_timeout));
        self.line(2, "batch_bytes", size_text(destination.batch_bytes as u64));
        self.line(2, "batch_age", duration_text(destination.batch_age));
        self.line(
            2,
            "source",
            match destination.source {
                SourceAddress::Peer => "peer",
                SourceAddress::Host => "host",
            },
        );
        self.line(2, "tags", map(&destination.tags, |value| escape(value)));
        self.line(2, "hostname_tag", destination.hostname_tag);
        self.line(2, "receive_time_tag", destination.receive_time_tag);
        if let Some(buffer) = plan.buffer_of(destination) {
            self.line(2, "buffer", &buffer.name);
        }
    }
}

fn map<V>(entries: &[(String, V)], show: impl Fn(&V) -> String) -> String {
    if entries.is_empty() {
        return "{}".to_owned();
    }
    let entries: Vec<String> =
        entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), quoted(&show(value)))).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// Texts of a key that takes no template.
fn list<T: ToString>(texts: &[T]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| typed(&text.to_string())).collect();
    format!("[{}]", texts.join(", "))
}

fn address(address: &Address) -> String {
    quoted(&address.to_string())
}

/// Text of a key that takes no template, as it has to be typed.
fn typed(text: &str) -> String {
    quoted(&escape(text))
}

/// An empty one is none, and says so.
fn secret(secret: &Secret) -> String {
    if secret.expose().is_empty() { quoted("") } else { quoted(&secret.to_string()) }
}

/// A YAML scalar in double quotes, which are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}
