//! What inputs have in common, as typed: keys of connections, of Unix sockets, of joining, and tags.

use std::time::Duration;

use super::{GIB, HOUR, MOMENT, new_key, tls};
use crate::base::limits::{KIB, VALUE_BYTES};
use crate::config::docker_tag::DockerTag;
use crate::config::leaf::Network;
use crate::config::plan::TlsPlan;
use crate::config::reader::{Leaf, Table};

const CONNECTIONS: usize = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// A tag has 4 KiB in all, and the peer's own part needs room too.
const TAG_BYTES: usize = KIB;

#[derive(Default)]
pub(in crate::config) struct RawConnections {
    pub(in crate::config) unix: RawUnix,
    /// Inside, absent when it is faulty.
    pub(in crate::config) tls: Option<Option<TlsPlan>>,
    pub(in crate::config) proxy_protocol: Option<Vec<Network>>,
    pub(in crate::config) handshake_timeout: Option<Duration>,
    /// Inside, absent when it is off.
    pub(in crate::config) idle_timeout: Option<Option<Duration>>,
    pub(in crate::config) stall_timeout: Option<Duration>,
    pub(in crate::config) max_connections: Option<usize>,
    pub(in crate::config) max_connections_per_peer: Option<usize>,
    pub(in crate::config) window: Option<u64>,
}

#[derive(Default)]
pub(in crate::config) struct RawUnix {
    pub(in crate::config) mode: Option<u32>,
    pub(in crate::config) owner: Option<Owner>,
}

#[derive(Default)]
pub(in crate::config) struct RawJoin {
    pub(in crate::config) partial: Option<bool>,
    pub(in crate::config) timeout: Option<Duration>,
    pub(in crate::config) max_line: Option<u64>,
}

/// User and group; one of them may be absent.
pub(in crate::config) type Owner = (Option<String>, Option<String>);

pub(super) fn connections(table: &mut Table<'_>) -> RawConnections {
    RawConnections {
        unix: unix(table),
        tls: tls::tls(table.take("tls")),
        proxy_protocol: table.take("proxy_protocol").any_number("one network", Network::parse),
        handshake_timeout: table.take("handshake_timeout").duration(MOMENT..=HOUR),
        idle_timeout: table.take("idle_timeout").duration_or_off(SECOND..=7 * DAY),
        stall_timeout: table.take("stall_timeout").duration(MOMENT..=HOUR),
        max_connections: table.take("max_connections").integer(1..=CONNECTIONS),
        max_connections_per_peer: table.take("max_connections_per_peer").integer(1..=CONNECTIONS),
        window: table.take("window").size(KIB as u64..=GIB),
    }
}

pub(super) fn unix(table: &mut Table<'_>) -> RawUnix {
    RawUnix {
        mode: table.take("unix_mode").parsed("text", mode),
        owner: table.take("unix_owner").parsed("text", owner),
    }
}

pub(super) fn join(table: &mut Table<'_>) -> RawJoin {
    RawJoin {
        partial: table.take("join_partial").boolean(),
        timeout: table.take("join_timeout").duration(MOMENT..=HOUR),
        max_line: table.take("max_line").size(KIB as u64..=VALUE_BYTES as u64),
    }
}

pub(super) fn receive_buffer(leaf: Leaf<'_>) -> Option<u64> {
    leaf.size(4 * KIB as u64..=GIB)
}

pub(super) fn source_address_key(table: &mut Table<'_>) -> Option<String> {
    table.take("source_address_key").parsed("a field's name", new_key)
}

pub(super) fn tag(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; leave the key out or write a tag".to_owned());
    }
    if text.len() > TAG_BYTES {
        return Err(format!("is longer than {TAG_BYTES} bytes"));
    }
    Ok(text.to_owned())
}

/// A tag that is made of what is known of a container.
pub(super) fn docker_tag(text: &str) -> Result<DockerTag, String> {
    if text.len() > TAG_BYTES {
        return Err(format!("is longer than {TAG_BYTES} bytes"));
    }
    DockerTag::parse(text)
}

/// The forms of tags that tell of a container; an empty list is none.
pub(super) fn container_tags(leaf: Leaf<'_>) -> Option<Vec<DockerTag>> {
    leaf.any_number("one form of a tag", |text| {
        let tag = docker_tag(text)?;
        if tag.tells_of_container() {
            Ok(tag)
        } else {
            Err("tells nothing of a container; write {{.Name}}/{{.ID}}".to_owned())
        }
    })
}

fn mode(text: &str) -> Result<u32, String> {
    let octal = (1..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = if octal { u32::from_str_radix(text, 8).ok() } else { None };
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "is no mode of a file; write \"0660\", from \"0000\" to \"0777\"".to_owned())
}

fn owner(text: &str) -> Result<Owner, String> {
    let name =
        |text: &str| !text.is_empty() && !text.contains(|each: char| each == ':' || each.is_whitespace());
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (Some(user).filter(|user| !user.is_empty()), Some(group)),
        None => (Some(text), None),
    };
    if [user, group].into_iter().flatten().all(name) {
        Ok((user.map(str::to_owned), group.map(str::to_owned)))
    } else {
        Err("is no owner; write user, user:group or :group".to_owned())
    }
}
