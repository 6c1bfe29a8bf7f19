//! An input as typed: which type it is, and the keys of that type.

use super::docker::{RawDocker, RawDockerPlugin, docker, docker_plugin};
use super::file::{RawFile, file};
use super::forward::{RawForward, forward};
use super::gelf::{RawGelf, gelf};
use super::splunk::{RawSplunk, splunk};
use super::syslog::{RawSyslog, syslog};
use crate::config::reader::Leaf;

#[derive(Clone, Copy)]
enum Type {
    Forward,
    Syslog,
    Gelf,
    Splunk,
    DockerPlugin,
    Docker,
    File,
}

/// An input whose name is one of these needs no key `type`.
const TYPES: [(&str, Type); 7] = [
    ("forward", Type::Forward),
    ("syslog", Type::Syslog),
    ("gelf", Type::Gelf),
    ("splunk", Type::Splunk),
    ("docker_plugin", Type::DockerPlugin),
    ("docker", Type::Docker),
    ("file", Type::File),
];

pub(in crate::config) struct RawInput {
    pub(in crate::config) name: String,
    /// Absent when its type is: then nobody knows what its keys would mean.
    pub(in crate::config) keys: Option<RawKeys>,
}

pub(in crate::config) enum RawKeys {
    Forward(Box<RawForward>),
    Syslog(Box<RawSyslog>),
    Gelf(Box<RawGelf>),
    Splunk(Box<RawSplunk>),
    DockerPlugin(RawDockerPlugin),
    Docker(RawDocker),
    File(Box<RawFile>),
}

pub(super) fn input((name, leaf): (String, Leaf<'_>)) -> Option<RawInput> {
    let mut table = leaf.table()?;
    let typed = table.take("type");
    let by_name = TYPES.into_iter().find(|(word, _)| *word == name).map(|(_, kind)| kind);
    let kind = if typed.is_present() || by_name.is_none() {
        let words = TYPES.map(|(word, _)| word).join(", ");
        typed.required(&format!("write one of {words}")).choice(&TYPES)
    } else {
        by_name
    };
    let Some(kind) = kind else { return Some(RawInput { name, keys: None }) };
    let keys = match kind {
        Type::Forward => RawKeys::Forward(Box::new(forward(&mut table))),
        Type::Syslog => RawKeys::Syslog(Box::new(syslog(&mut table))),
        Type::Gelf => RawKeys::Gelf(Box::new(gelf(&mut table))),
        Type::Splunk => RawKeys::Splunk(Box::new(splunk(&mut table))),
        Type::DockerPlugin => RawKeys::DockerPlugin(docker_plugin(&mut table)),
        Type::Docker => RawKeys::Docker(docker(&mut table)),
        Type::File => RawKeys::File(Box::new(file(&mut table))),
    };
    table.finish();
    Some(RawInput { name, keys: Some(keys) })
}
