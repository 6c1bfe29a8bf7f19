//! Protocols whose peers send and hear nothing back: syslog and gelf, over connections and over datagrams.
//!
//! ```text
//! connection   read -> Decoder::cut -> Decoder::message  --.
//! datagrams    receive many         -> Decoder::datagram --+-> Batcher -> Intake
//! ```
//!
//! A protocol is pure: it cuts and decodes bytes that lie in the batcher's frame. Everything that waits is here. Without
//! acks, what a peer has handed to the kernel and we have not read is lost when we go; so at a stop the read side is shut
//! where the socket allows it, what is there is read to its end, and then the connection is closed.

mod connection;
mod datagrams;
mod faults;
mod held;
mod peer;
mod peers;
mod socket;
#[cfg(test)]
pub(super) mod tests;
mod udp;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

pub use socket::DatagramSocket;
pub use udp::Udp;

use super::Intake;
use super::batcher::Batcher;
use super::listener::{self, Gate, Socket};
use crate::base::metrics::{Counter, counter};
use crate::base::shutdown::{Passed, Stop};
use crate::config::plan::{ConnectionsPlan, DatagramsPlan};
use crate::pipeline::join::JoinSettings;
use crate::record::Timestamp;
use connection::Connection;
use datagrams::Datagrams;
use faults::{Fault, Faults};
use peer::Peer;

/// Who sent something.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Its address without port, or "unix".
    pub label: Arc<str>,
    /// A Unix peer has none.
    pub address: Option<SocketAddr>,
}

/// One message of a connection, in the bytes that were cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub range: Range<usize>,
    /// Its end is missing, because it was too long.
    pub cut: bool,
}

/// Makes a decoder for each connection and each datagram socket.
pub trait Protocol: Send + Sync + 'static {
    type Decoder: Decoder;

    fn decoder(&self) -> Self::Decoder;
}

/// What one connection or one datagram socket is read with.
pub trait Decoder: Send + 'static {
    /// Puts the messages at the beginning of `unread` into `messages` and gives the number of bytes that are done with.
    /// `ended`: no more bytes will come, and what is there without its end is a message or none. Called again with what
    /// was left and more behind it; must not look at the same bytes twice without need. An error ends the connection;
    /// the messages before it count.
    fn cut(&mut self, unread: &[u8], ended: bool, messages: &mut Vec<Message>) -> Result<usize, CutError>;

    /// Decodes one message, which lies at `message.range` of the batcher's frame. What cannot be decoded is counted.
    fn message(&mut self, from: &Sender, message: &Message, received: Timestamp, batcher: &mut Batcher);

    /// Decodes one datagram, which lies at `datagram` of the batcher's frame.
    fn datagram(&mut self, from: &Sender, datagram: Range<usize>, received: Timestamp, batcher: &mut Batcher);

    /// Whether another decoder could go on where this one is: it carries nothing from one message to the next that the next
    /// bytes would not tell.
    fn is_between_messages(&self) -> bool {
        true
    }

    /// Called about every second on datagram sockets: what has waited too long is given up.
    fn tick(&mut self, _now: Instant) {}
}

/// Why a connection cannot be cut into messages any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    #[error("a message says it has {0} bytes, which is more than max_message")]
    TooLong(u64),
    #[error("a message's length is no number; the peer does not count octets as RFC 6587 says")]
    Length,
    #[error("this is {0}; the port takes no such connections")]
    Foreign(&'static str),
}

/// One input of such a protocol: its settings and what its connections and datagram sockets share.
pub struct Oneway<P: Protocol> {
    name: Arc<str>,
    protocol: P,
    connections: ConnectionsPlan,
    datagrams: DatagramsPlan,
    join: Option<JoinSettings>,
    intake: Arc<Intake>,
    metrics: Metrics,
    faults: Faults,
}

struct Metrics {
    received_bytes: Counter,
    records: Counter,
    cut_messages: Counter,
}

impl<P: Protocol> Oneway<P> {
    pub fn new(
        name: &str,
        protocol: P,
        connections: ConnectionsPlan,
        datagrams: DatagramsPlan,
        join: Option<JoinSettings>,
        intake: Arc<Intake>,
    ) -> Oneway<P> {
        let labels = [("input", name)];
        let metrics = Metrics {
            received_bytes: counter("sluicegate_received_bytes_total", "Bytes read from peers.", &labels),
            records: counter("sluicegate_received_records_total", "Records decoded.", &labels),
            cut_messages: counter(
                "sluicegate_input_cut_messages_total",
                "Connections that ended inside a message.",
                &labels,
            ),
        };
        let (name, faults) = (name.into(), Faults::new(name));
        Oneway { name, protocol, connections, datagrams, join, intake, metrics, faults }
    }

    /// Accepts on one address until the input drains.
    pub async fn listen(self: Arc<Self>, gate: Arc<Gate>, socket: Socket, stop: Stop) {
        let inner = stop.clone();
        gate.listen(socket, stop, move |connection| self.clone().serve(connection, inner.clone())).await;
    }

    /// Goes on with a connection that another process had.
    pub fn adopt(self: &Arc<Self>, gate: &Arc<Gate>, passed: Passed, stop: &Stop) {
        let (oneway, inner) = (self.clone(), stop.clone());
        gate.clone().adopt(passed, stop, &move |connection| oneway.clone().serve(connection, inner.clone()));
    }

    async fn serve(self: Arc<Self>, connection: listener::Connection, stop: Stop) {
        let listener::Connection { stream, peer, first, .. } = connection;
        let sender = Sender { label: peer.label, address: peer.address };
        let label = sender.label.clone();
        let Err(fault) = Connection::new(self.clone(), stream, first, sender).run(&stop).await else {
            return;
        };
        match fault {
            // A peer that goes away is its own business.
            Fault::Read(_) | Fault::NotStored(_) => {
                tracing::debug!(input = %self.name, peer = %label, "connection lost: {fault}");
            }
            fault => {
                if let Some(suppressed) = self.faults.count(&fault) {
                    tracing::warn!(input = %self.name, peer = %label, suppressed, "connection closed: {fault}");
                }
            }
        }
    }

    /// Receives on one datagram socket until the input drains.
    pub async fn receive(self: Arc<Self>, socket: DatagramSocket, stop: Stop) {
        let name = self.name.clone();
        if let Err(error) = Datagrams::new(self, socket).run(&stop).await {
            tracing::debug!(input = %name, "no more datagrams are received: {error}");
        }
    }

    fn peer(&self, sender: Sender) -> Peer {
        Peer::new(&self.name, sender, &self.intake, self.join.clone())
    }
}
