//! A forward input as typed. Its section `security` has a file of its own, and so has what all inputs share.
//!
//! Names are those of Fluentd and Fluent Bit where they have the same thing.

use std::time::Duration;

use super::connections::{RawConnections, RawJoin, connections, join, source_address_key, tag};
use super::listen::{Sockets, listen};
use super::{GIB, HOUR, MOMENT, new_key, security};
use crate::base::limits::{DEPTH, KIB};
use crate::config::plan::{Listen, Metadata, SecurityPlan};
use crate::config::reader::Table;

/// Offsets inside one frame have 31 bits; broken text takes three bytes for one when it is repaired.
pub(super) const FRAME_BYTES: u64 = GIB / 2;
const MINUTE: Duration = Duration::from_secs(60);
/// In tags, the name in the peer's certificate.
pub(in crate::config) const CLIENT: &str = "client";

#[derive(Default)]
pub(in crate::config) struct RawForward {
    pub(in crate::config) listen: Option<Vec<Listen>>,
    pub(in crate::config) connections: RawConnections,
    pub(in crate::config) udp_heartbeat: Option<bool>,
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
    pub(in crate::config) full_timeout: Option<Duration>,
    pub(in crate::config) max_message: Option<u64>,
    pub(in crate::config) chunk_size_limit: Option<u64>,
    pub(in crate::config) chunk_size_warn_limit: Option<u64>,
    pub(in crate::config) max_inflated: Option<u64>,
    pub(in crate::config) max_depth: Option<usize>,
    pub(in crate::config) join: RawJoin,
}

pub(super) fn forward(table: &mut Table<'_>) -> RawForward {
    let message = KIB as u64..=FRAME_BYTES;
    RawForward {
        listen: listen(table.take("listen"), Sockets::Streams),
        connections: connections(table),
        udp_heartbeat: table.take("udp_heartbeat").boolean(),
        security: security::security(table.take("security")),
        tag: table.take("tag").marked(CLIENT, tag),
        add_tag_prefix: table.take("add_tag_prefix").marked(CLIENT, tag),
        tag_prefix: table.take("tag_prefix").marked(CLIENT, tag),
        source_address_key: source_address_key(table),
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
        full_timeout: table.take("full_timeout").duration(MOMENT..=HOUR),
        max_message: table.take("max_message").size(message.clone()),
        chunk_size_limit: table.take("chunk_size_limit").size(message.clone()),
        chunk_size_warn_limit: table.take("chunk_size_warn_limit").size(message.clone()),
        max_inflated: table.take("max_inflated").size(message),
        max_depth: table.take("max_depth").integer(4..=DEPTH),
        join: join(table),
    }
}
