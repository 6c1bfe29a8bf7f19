//! What inputs have in common: its defaults.

use std::time::Duration;

use super::in_memory;
use crate::base::limits;
use crate::config::plan::{ConnectionsPlan, DatagramsPlan, JoinPlan, UnixPlan};
use crate::config::raw::{RawConnections, RawJoin, RawUnix};

/// Everyone in the socket's group may write to it, nobody else.
const UNIX_MODE: u32 = 0o660;

pub(super) fn connections(raw: RawConnections) -> ConnectionsPlan {
    ConnectionsPlan {
        unix: unix(raw.unix, UNIX_MODE),
        tls: raw.tls.flatten(),
        proxy_protocol: raw.proxy_protocol.unwrap_or_default(),
        handshake_timeout: raw.handshake_timeout.unwrap_or(limits::HANDSHAKE),
        idle_timeout: raw.idle_timeout.flatten(),
        stall_timeout: raw.stall_timeout.unwrap_or(limits::STALL),
        max_connections: raw.max_connections.unwrap_or(limits::CONNECTIONS),
        max_connections_per_peer: raw.max_connections_per_peer,
        window: in_memory(raw.window, limits::WINDOW_BYTES),
    }
}

pub(super) fn unix(raw: RawUnix, mode: u32) -> UnixPlan {
    let (user, group) = raw.owner.unwrap_or_default();
    UnixPlan { mode: raw.mode.unwrap_or(mode), user, group }
}

pub(super) fn datagrams(receive_buffer: Option<u64>) -> DatagramsPlan {
    DatagramsPlan { receive_buffer: in_memory(receive_buffer, limits::RECEIVE_BUFFER) }
}

pub(super) fn join(raw: RawJoin, timeout: Duration) -> JoinPlan {
    JoinPlan {
        partial: raw.partial.unwrap_or(true),
        timeout: raw.timeout.unwrap_or(timeout),
        max_line: in_memory(raw.max_line, limits::JOINED_BYTES),
    }
}
