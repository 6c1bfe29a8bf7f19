//! A forward input as typed. Its sections `tls` and `security` have files of their own.
//!
//! Names are those of Fluentd and Fluent Bit where they have the same thing.

use std::path::PathBuf;
use std::time::Duration;

use super::{GIB, HOUR, MOMENT, new_key, security, tls};
use crate::base::limits::{DEPTH, KIB, VALUE_BYTES};
use crate::config::leaf::{Address, Network};
use crate::config::plan::{Listen, Metadata, SecurityPlan, TlsPlan};
use crate::config::reader::{Leaf, Table};

/// Offsets inside one frame have 31 bits; broken text takes three bytes for one when it is repaired.
const FRAME_BYTES: u64 = GIB / 2;
const CONNECTIONS: usize = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// What a socket's address holds, without the zero at its end.
const UNIX_PATH_BYTES: usize = 107;
/// A tag has 4 KiB in all, and the peer's own part needs room too.
const TAG_BYTES: usize = KIB;
/// In tags, the name in the peer's certificate.
pub(in crate::config) const CLIENT: &str = "client";

pub(in crate::config) struct RawInput {
    pub(in crate::config) name: String,
    pub(in crate::config) forward: RawForward,
}

#[derive(Default)]
pub(in crate::config) struct RawForward {
    pub(in crate::config) listen: Option<Vec<Listen>>,
    pub(in crate::config) unix_mode: Option<u32>,
    pub(in crate::config) unix_owner: Option<Owner>,
    pub(in crate::config) udp_heartbeat: Option<bool>,
    /// Inside, absent when it is faulty.
    pub(in crate::config) tls: Option<Option<TlsPlan>>,
    pub(in crate::config) proxy_protocol: Option<Vec<Network>>,
    /// Absent as well when it is faulty.
    pub(in crate::config) security: Option<SecurityPlan>,
    pub(in crate::config) tag: Option<String>,
    pub(in crate::config) add_tag_prefix: Option<String>,
    pub(in crate::config) tag_prefix: Option<String>,
    pub(in crate::config) source_address_key: Option<String>,
    pub(in crate::config) source_hostname_key: Option<String>,
    pub(in crate::config) client_name_key: Option<String>,
    pub(in crate::config) resolve_hostname: Option<bool>,
    pub(in crate::config) metadata: Option<Metadata>,
    pub(in crate::config) skip_invalid_event: Option<bool>,
    pub(in crate::config) deny_keepalive: Option<bool>,
    pub(in crate::config) linger_timeout: Option<Duration>,
    /// Inside, absent when it is off.
    pub(in crate::config) idle_timeout: Option<Option<Duration>>,
    pub(in crate::config) stall_timeout: Option<Duration>,
    pub(in crate::config) handshake_timeout: Option<Duration>,
    pub(in crate::config) full_timeout: Option<Duration>,
    pub(in crate::config) max_message: Option<u64>,
    pub(in crate::config) chunk_size_limit: Option<u64>,
    pub(in crate::config) chunk_size_warn_limit: Option<u64>,
    pub(in crate::config) max_inflated: Option<u64>,
    pub(in crate::config) max_depth: Option<usize>,
    pub(in crate::config) max_connections: Option<usize>,
    pub(in crate::config) max_connections_per_peer: Option<usize>,
    pub(in crate::config) window: Option<u64>,
    pub(in crate::config) join_partial: Option<bool>,
    pub(in crate::config) join_timeout: Option<Duration>,
    pub(in crate::config) max_line: Option<u64>,
}

/// User and group; one of them may be absent.
pub(in crate::config) type Owner = (Option<String>, Option<String>);

pub(super) fn input((name, leaf): (String, Leaf<'_>)) -> Option<RawInput> {
    let mut table = leaf.table()?;
    let kind = table.take("type");
    let named_forward = name == "forward";
    let kind = if named_forward { kind } else { kind.required("write type: forward, the one type there is") };
    kind.choice(&[("forward", ())]);
    let forward = forward(&mut table);
    table.finish();
    Some(RawInput { name, forward })
}

fn forward(table: &mut Table<'_>) -> RawForward {
    let message = KIB as u64..=FRAME_BYTES;
    RawForward {
        listen: table.take("listen").several("one address, as host:port or unix:/path", listen),
        unix_mode: table.take("unix_mode").parsed("text", mode),
        unix_owner: table.take("unix_owner").parsed("text", owner),
        udp_heartbeat: table.take("udp_heartbeat").boolean(),
        tls: tls::tls(table.take("tls")),
        proxy_protocol: table.take("proxy_protocol").any_number("one network", Network::parse),
        security: security::security(table.take("security")),
        tag: table.take("tag").marked(CLIENT, tag),
        add_tag_prefix: table.take("add_tag_prefix").marked(CLIENT, tag),
        tag_prefix: table.take("tag_prefix").marked(CLIENT, tag),
        source_address_key: table.take("source_address_key").parsed("a field's name", new_key),
        source_hostname_key: table.take("source_hostname_key").parsed("a field's name", new_key),
        client_name_key: table.take("client_name_key").parsed("a field's name", new_key),
        resolve_hostname: table.take("resolve_hostname").boolean(),
        metadata: table.take("metadata").choice(&[
            ("nested", Metadata::Nested),
            ("fields", Metadata::Fields),
            ("drop", Metadata::Drop),
        ]),
        skip_invalid_event: table.take("skip_invalid_event").boolean(),
        deny_keepalive: table.take("deny_keepalive").boolean(),
        linger_timeout: table.take("linger_timeout").duration(Duration::ZERO..=MINUTE),
        idle_timeout: table.take("idle_timeout").duration_or_off(SECOND..=7 * DAY),
        stall_timeout: table.take("stall_timeout").duration(MOMENT..=HOUR),
        handshake_timeout: table.take("handshake_timeout").duration(MOMENT..=HOUR),
        full_timeout: table.take("full_timeout").duration(MOMENT..=HOUR),
        max_message: table.take("max_message").size(message.clone()),
        chunk_size_limit: table.take("chunk_size_limit").size(message.clone()),
        chunk_size_warn_limit: table.take("chunk_size_warn_limit").size(message.clone()),
        max_inflated: table.take("max_inflated").size(message),
        max_depth: table.take("max_depth").integer(4..=DEPTH),
        max_connections: table.take("max_connections").integer(1..=CONNECTIONS),
        max_connections_per_peer: table.take("max_connections_per_peer").integer(1..=CONNECTIONS),
        window: table.take("window").size(KIB as u64..=GIB),
        join_partial: table.take("join_partial").boolean(),
        join_timeout: table.take("join_timeout").duration(MOMENT..=HOUR),
        max_line: table.take("max_line").size(KIB as u64..=VALUE_BYTES as u64),
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    let Some(path) = text.strip_prefix("unix:") else { return Address::parse(text).map(Listen::Tcp) };
    if !path.starts_with('/') || path.ends_with('/') || path.contains(char::is_control) {
        return Err("is no path of a socket; write unix:/run/sluicegate/forward.sock".to_owned());
    }
    if path.len() > UNIX_PATH_BYTES {
        return Err(format!(
            "has a path of {} bytes; the address of a Unix socket holds {UNIX_PATH_BYTES}",
            path.len()
        ));
    }
    Ok(Listen::Unix(PathBuf::from(path)))
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

fn tag(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("is empty; leave the key out or write a tag".to_owned());
    }
    if text.len() > TAG_BYTES {
        return Err(format!("is longer than {TAG_BYTES} bytes"));
    }
    Ok(text.to_owned())
}
