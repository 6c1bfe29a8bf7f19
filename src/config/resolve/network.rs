//! The inputs of Docker's drivers that send over a network: their defaults, and what holds between keys of one input.

use super::connections::{connections, datagrams, join};
use super::{LOOPBACK, in_memory};
use crate::base::limits;
use crate::config::docker_tag::DockerTag;
use crate::config::errors::Faults;
use crate::config::leaf::{Address, size_text};
use crate::config::plan::*;
use crate::config::raw::{RawGelf, RawSplunk, RawSyslog};

/// 514 is for root.
const SYSLOG_PORT: u16 = 5140;
const GELF_PORT: u16 = 12201;
const SPLUNK_PORT: u16 = 8088;
/// The engine's own default and the forms its documentation shows. A name has no slash, so who has more slashes comes
/// first; `docker.{{.Name}}` takes whatever begins so, and comes last.
const CONTAINER_TAGS: [&str; 6] = [
    "{{.ImageName}}/{{.Name}}/{{.ID}}",
    "{{.Name}}/{{.ID}}",
    "{{.ID}}",
    "{{.FullID}}",
    "docker.{{.Name}}.{{.ID}}",
    "docker.{{.Name}}",
];

pub(super) fn syslog(raw: RawSyslog, key: impl Fn(&str) -> String, faults: &Faults) -> SyslogPlan {
    SyslogPlan {
        listen: raw.listen.unwrap_or_else(|| both(SYSLOG_PORT)),
        connections: connections(raw.connections),
        datagrams: datagrams(raw.receive_buffer),
        max_message: in_memory(raw.max_message, limits::SYSLOG_BYTES),
        tag: raw.tag,
        time: raw.time.unwrap_or(SyslogTime::Auto),
        time_zone: raw.time_zone.unwrap_or_else(|| LOCAL_ZONE.to_owned()),
        container_tags: container_tags(raw.container_tags, key, faults),
        source_address_key: raw.source_address_key,
        join: join(raw.join, limits::UNMARKED_JOIN_TIMEOUT),
    }
}

pub(super) fn gelf(raw: RawGelf) -> GelfPlan {
    GelfPlan {
        listen: raw.listen.unwrap_or_else(|| both(GELF_PORT)),
        connections: connections(raw.connections),
        datagrams: datagrams(raw.receive_buffer),
        max_message: in_memory(raw.max_message, limits::GELF_BYTES),
        chunk_timeout: raw.chunk_timeout.unwrap_or(limits::GELF_CHUNK_TIMEOUT),
        max_incomplete: raw.max_incomplete.unwrap_or(limits::GELF_INCOMPLETE),
        max_incomplete_bytes: in_memory(raw.max_incomplete_bytes, limits::GELF_INCOMPLETE_BYTES),
        tag: raw.tag,
        keep_command: raw.keep_command.unwrap_or(false),
        source_address_key: raw.source_address_key,
        join: join(raw.join, limits::UNMARKED_JOIN_TIMEOUT),
    }
}

pub(super) fn splunk(raw: RawSplunk, key: impl Fn(&str) -> String, faults: &Faults) -> SplunkPlan {
    let max_body = in_memory(raw.max_body, limits::SPLUNK_BODY_BYTES);
    let max_event = in_memory(raw.max_event, limits::SPLUNK_EVENT_BYTES.min(max_body));
    if max_event > max_body {
        let most = size_text(max_body as u64);
        faults.key(&key("max_event"), format!("is more than max_body ({most}), above which nothing is read"));
    }
    SplunkPlan {
        listen: raw.listen.unwrap_or_else(|| vec![Listen::Tcp(Address::new(LOOPBACK, SPLUNK_PORT))]),
        connections: connections(raw.connections),
        tokens: raw.tokens.unwrap_or_default(),
        acknowledgement: raw.acknowledgement.unwrap_or(true),
        max_body,
        max_event,
        tag: raw.tag,
        container_tags: container_tags(raw.container_tags, key, faults),
        source_address_key: raw.source_address_key,
        join: join(raw.join, limits::UNMARKED_JOIN_TIMEOUT),
    }
}

fn both(port: u16) -> Vec<Listen> {
    let address = Address::new(LOOPBACK, port);
    vec![Listen::Udp(address.clone()), Listen::Tcp(address)]
}

/// Each form has a say behind those before it.
fn container_tags(
    typed: Option<Vec<DockerTag>>,
    key: impl Fn(&str) -> String,
    faults: &Faults,
) -> Vec<DockerTag> {
    let Some(tags) = typed else {
        return CONTAINER_TAGS.iter().filter_map(|tag| DockerTag::parse(tag).ok()).collect();
    };
    for (index, tag) in tags.iter().enumerate() {
        if let Some(before) = tags.iter().take(index).find(|before| before.shadows(tag)) {
            let what = format!(
                "`{tag}` has no say behind `{before}`, which takes all that it could; write it before"
            );
            faults.key(&key("container_tags"), what);
        }
    }
    tags
}
