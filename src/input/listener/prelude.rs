//! What comes before an input's own protocol: the PROXY header, the choice between TLS and plain, the TLS handshake.
//! All of it has one deadline.
//!
//! ```text
//! first byte          TLS only       TLS and plain                                no TLS
//! 16 (a ClientHello)  handshake      handshake                                    plain: the input names it
//! another             closed, said   plain                                        plain
//! none                closed, said   plain, after 1 s where we speak first,       plain, at once
//!                     at the         else at the deadline: a silent plain peer
//!                     deadline       is no fault
//! closed              a probe or heartbeat: silent in every case
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::faults::{PLAIN, PROXY_HEADER, TIMEOUT};
use super::peers::Slot;
use super::proxy::{self, Header};
use super::socket::{Accepted, label};
use super::{Connection, Gate, Peer, Stream};
use crate::base::tls::{Fault, ServerTls};

/// The first byte of every TLS connection: a handshake record.
const CLIENT_HELLO: u8 = 0x16;
/// A TLS client speaks at once. Who has said nothing for so long may be a plain one that waits for our greeting.
const SILENCE: Duration = Duration::from_secs(1);

/// A connection that is ready, with its place among those of its peer.
pub(super) struct Prepared {
    pub(super) connection: Connection,
    pub(super) slot: Slot,
}

enum First {
    Byte(u8),
    Closed,
    Silent,
}

async fn first_byte(stream: &TcpStream, until: Instant) -> First {
    let mut byte = [0];
    match timeout_at(until, stream.peek(&mut byte)).await {
        Ok(Ok(1..)) => First::Byte(byte[0]),
        Ok(_) => First::Closed,
        Err(_) => First::Silent,
    }
}

impl Gate {
    /// Brings a connection to where its input takes over. `None` when it is closed instead; that has been said.
    pub(super) async fn prepare(
        &self,
        accepted: Accepted,
        mut slot: Slot,
        deadline: Instant,
    ) -> Option<Prepared> {
        let (mut stream, socket_address) = match accepted {
            Accepted::Tcp(stream, address) => (stream, address),
            Accepted::Unix(stream) => {
                let peer = Peer { label: label(None), address: None, client: None, tls: false };
                let first = BytesMut::new();
                let connection = Connection { stream: Stream::Unix(stream), peer, deadline, first };
                return Some(Prepared { connection, slot });
            }
            Accepted::Passed(stream, address, first) => {
                let peer =
                    Peer { label: label(Some(address)), address: Some(address), client: None, tls: false };
                let connection = Connection { stream: Stream::Tcp(stream), peer, deadline, first };
                return Some(Prepared { connection, slot });
            }
        };
        let mut address = socket_address;
        if self.is_proxy(socket_address) {
            address = self.proxied(&mut stream, socket_address, deadline).await?;
            slot = self.enter(address)?;
        }
        let mut peer = Peer { label: label(Some(address)), address: Some(address), client: None, tls: false };
        let stream = match &self.tls {
            Some(tls) if self.speaks_tls(&stream, address, deadline).await? => {
                peer.tls = true;
                let (stream, client) = self.handshake(tls, stream, address, deadline).await?;
                peer.client = client;
                stream
            }
            _ => Stream::Tcp(stream),
        };
        Some(Prepared { connection: Connection { stream, peer, deadline, first: BytesMut::new() }, slot })
    }
}

impl Gate {
    pub(super) fn is_proxy(&self, address: SocketAddr) -> bool {
        self.settings.proxies.iter().any(|network| network.contains(address.ip()))
    }

    /// A place among the connections of a peer; `None` when it has all it may have.
    pub(super) fn enter(&self, address: SocketAddr) -> Option<Slot> {
        let slot = self.peers.enter(address.ip());
        if slot.is_err()
            && let Some(suppressed) = self.peer_full.count()
        {
            tracing::warn!(input = %self.input, peer = %label(Some(address)), suppressed,
                "connection closed: this peer has as many as max_connections_per_peer of inputs.{} lets it have",
                self.input);
        }
        slot.ok()
    }

    fn fault(&self, reason: &str, address: SocketAddr, text: &dyn std::fmt::Display) {
        if let Some(suppressed) = self.faults.count(reason) {
            tracing::warn!(input = %self.input, peer = %label(Some(address)), suppressed, "connection closed: {text}");
        }
    }

    fn late(&self, address: SocketAddr, what: &str) {
        let seconds = self.settings.handshake_timeout.as_secs_f64();
        self.fault(TIMEOUT, address, &format!("{what} within {seconds} s (handshake_timeout)"));
    }

    /// Reads the header of a proxy: the peer it stands for, or its own address.
    async fn proxied(
        &self,
        stream: &mut TcpStream,
        proxy: SocketAddr,
        deadline: Instant,
    ) -> Option<SocketAddr> {
        match timeout_at(deadline, proxy::read(stream)).await {
            Ok(Ok(Header::Source(source))) => Some(source.unwrap_or(proxy)),
            Ok(Ok(Header::Bad(what))) => {
                self.fault(
                    PROXY_HEADER,
                    proxy,
                    &format!(
                        "the PROXY header that a peer in inputs.{}.proxy_protocol must send first is wrong: {what}",
                        self.input
                    ),
                );
                None
            }
            Ok(Ok(Header::Nothing) | Err(_)) => None,
            Err(_) => {
                self.late(proxy, "a peer in proxy_protocol sent no PROXY header");
                None
            }
        }
    }

    /// Whether TLS begins here. `None` when the connection is closed instead.
    async fn speaks_tls(&self, stream: &TcpStream, peer: SocketAddr, deadline: Instant) -> Option<bool> {
        let allow_plain = self.settings.tls.as_ref().is_some_and(|tls| tls.allow_plain);
        let until = if allow_plain && self.settings.speaks_first {
            deadline.min(Instant::now() + SILENCE)
        } else {
            deadline
        };
        match first_byte(stream, until).await {
            First::Closed => None,
            First::Byte(CLIENT_HELLO) => Some(true),
            First::Byte(_) | First::Silent if allow_plain => Some(false),
            First::Byte(byte) => {
                self.fault(
                    PLAIN,
                    peer,
                    &format!(
                        "plain client on the TLS port (its first byte is {byte:02x}): turn TLS on in it, or set \
                         tls.allow_plain of inputs.{}",
                        self.input
                    ),
                );
                None
            }
            First::Silent => {
                self.late(peer, "the peer sent no byte on the TLS port");
                None
            }
        }
    }

    async fn handshake(
        &self,
        tls: &ServerTls,
        stream: TcpStream,
        peer: SocketAddr,
        deadline: Instant,
    ) -> Option<(Stream, Option<Arc<str>>)> {
        match timeout_at(deadline, tls.accept(stream)).await {
            Ok(Ok(accepted)) => Some((Stream::Tls(Box::new(accepted.stream)), accepted.client)),
            Ok(Err(error)) => {
                if let Some(fault) = Fault::of(&error) {
                    self.fault(fault.reason, peer, &format!("TLS handshake failed: {}", fault.text));
                }
                None
            }
            Err(_) => {
                self.late(peer, "the TLS handshake was not done");
                None
            }
        }
    }
}
