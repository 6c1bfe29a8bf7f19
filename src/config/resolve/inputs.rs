//! Inputs: each completed by its type, and what holds for all of them.

use super::docker::{docker, docker_plugin};
use super::file::{file, patterns};
use super::forward::forward;
use super::network::{gelf, splunk, syslog};
use crate::config::errors::Faults;
use crate::config::plan::*;
use crate::config::raw::{RawInput, RawKeys};

/// `has_default`: without any there is one.
pub(super) fn inputs(mut raw: Vec<RawInput>, has_default: bool, faults: &Faults) -> Vec<InputPlan> {
    if raw.is_empty() && has_default {
        let keys = RawKeys::Forward(Box::default());
        raw.push(RawInput { name: "forward".to_owned(), keys: Some(keys) });
    }
    let input = |RawInput { name, keys }: RawInput| {
        let key = |key: &str| format!("inputs.{name}.{key}");
        let kind = match keys? {
            RawKeys::Forward(raw) => InputKind::Forward(Box::new(forward(*raw, key, faults))),
            RawKeys::Syslog(raw) => InputKind::Syslog(syslog(*raw, key, faults)),
            RawKeys::Gelf(raw) => InputKind::Gelf(gelf(*raw)),
            RawKeys::Splunk(raw) => InputKind::Splunk(splunk(*raw, key, faults)),
            RawKeys::DockerPlugin(raw) => InputKind::DockerPlugin(docker_plugin(raw)?),
            RawKeys::Docker(raw) => InputKind::Docker(docker(raw)?),
            RawKeys::File(raw) => InputKind::File(Box::new(file(*raw, key, faults))),
        };
        locks(&kind, key, faults);
        Some(InputPlan { name, kind })
    };
    let plans: Vec<InputPlan> = raw.into_iter().filter_map(input).collect();
    directories(&plans, faults);
    patterns(&plans, faults);
    plans
}

/// TLS that no socket speaks would look like a lock and be none.
fn locks(kind: &InputKind, key: impl Fn(&str) -> String, faults: &Faults) {
    let tls = kind.connections().is_some_and(|connections| connections.tls.is_some());
    if tls && !kind.listen().iter().any(|listen| matches!(listen, Listen::Tcp(_))) {
        let what = "protects nothing, since listen names no TCP address; take it out, or write host:port";
        faults.key(&key("tls"), what);
    }
}

/// Two readers of one directory would bring each line twice.
fn directories(plans: &[InputPlan], faults: &Faults) {
    let roots = plans.iter().filter_map(|input| match &input.kind {
        InputKind::Docker(docker) => Some((&input.name, &docker.data_root)),
        _ => None,
    });
    let roots: Vec<_> = roots.collect();
    for (index, (name, root)) in roots.iter().enumerate() {
        if let Some((other, _)) = roots.iter().take(index).find(|(_, before)| before == root) {
            let root = root.display();
            let what = format!("`{root}` is read by inputs.{other} already, so each line would come twice");
            faults.key(&format!("inputs.{name}.data_root"), what);
        }
    }
}
