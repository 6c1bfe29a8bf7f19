//! A GELF input as typed.

use std::time::Duration;

use super::connections::{
    RawConnections, RawJoin, connections, join, receive_buffer, source_address_key, tag,
};
use super::listen::{Sockets, listen};
use super::{GIB, HOUR, MOMENT};
use crate::base::limits::{KIB, MIB};
use crate::config::plan::Listen;
use crate::config::reader::Table;

/// Each waiting message has an entry in a table that is walked.
const INCOMPLETE: usize = 65_536;
/// One message of Docker's has up to 128 chunks of 1,408 bytes.
const INCOMPLETE_BYTES: usize = 256 * KIB;

pub(in crate::config) struct RawGelf {
    pub(in crate::config) listen: Option<Vec<Listen>>,
    pub(in crate::config) connections: RawConnections,
    pub(in crate::config) receive_buffer: Option<u64>,
    pub(in crate::config) max_message: Option<u64>,
    pub(in crate::config) chunk_timeout: Option<Duration>,
    pub(in crate::config) max_incomplete: Option<usize>,
    pub(in crate::config) max_incomplete_bytes: Option<u64>,
    pub(in crate::config) tag: Option<String>,
    pub(in crate::config) keep_command: Option<bool>,
    pub(in crate::config) source_address_key: Option<String>,
    pub(in crate::config) join: RawJoin,
}

pub(super) fn gelf(table: &mut Table<'_>) -> RawGelf {
    RawGelf {
        listen: listen(table.take("listen"), Sockets::StreamsAndUdp),
        connections: connections(table),
        receive_buffer: receive_buffer(table.take("receive_buffer")),
        max_message: table.take("max_message").size(KIB as u64..=64 * MIB as u64),
        chunk_timeout: table.take("chunk_timeout").duration(MOMENT..=HOUR),
        max_incomplete: table.take("max_incomplete").integer(1..=INCOMPLETE),
        max_incomplete_bytes: table.take("max_incomplete_bytes").size(INCOMPLETE_BYTES as u64..=GIB),
        tag: table.take("tag").parsed("text", tag),
        keep_command: table.take("keep_command").boolean(),
        source_address_key: source_address_key(table),
        join: join(table),
    }
}
