//! The fluent forward protocol: what Docker's fluentd driver, Fluent Bit, Fluentd and the fluent-logger clients speak.
//!
//! Decoding is pure and knows no sockets ([`message`], [`entries`], [`signal`], [`tally`]); a connection is a
//! [`session`] with a [`window`] of acks. Source of the formats: the protocol's specification v1 and v1.5, and what the
//! peers were seen to send.

pub mod ack;
pub mod entries;
pub mod faults;
pub mod handshake;
pub mod json;
pub mod message;
pub mod session;
pub mod signal;
pub mod tag;
pub mod tally;
mod time;
#[cfg(test)]
mod vectors;
pub mod window;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;

use super::Intake;
use super::duplicates::{Conversation, Duplicates};
use super::listener::{Connection, Gate, Peer, ReadSide, Socket, Stream, WriteSide};
use crate::base::limits;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, Histogram, counter, histogram};
use crate::base::resolver::Resolver;
use crate::base::shutdown::{Passed, Stop};
use crate::base::signal::Signal;
use crate::config::plan::{ForwardPlan, Nil};
use crate::output::refused::{DeadLetters, LetterError, Unkept};
use crate::pipeline::join::{JoinSettings, Marks};
use crate::pipeline::stream::Origin;
use crate::record::msgpack::Limits;
use entries::Extra;
use faults::Faults;
use handshake::{Failures, HandshakeError, KeyRing};
use session::{Left, Session, SessionError};
use tally::{Invalid, Tally};

/// One line so often about messages of one kind.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// One forward input: its settings and what its connections share.
pub struct Forward {
    name: Arc<str>,
    plan: ForwardPlan,
    drop_nil: bool,
    join: Option<JoinSettings>,
    intake: Arc<Intake>,
    metrics: Metrics,
    faults: Faults,
    /// Of a secured input.
    keys: Option<Arc<KeyRing>>,
    failures: Failures,
    letters: Arc<DeadLetters>,
    /// Absent when no names are looked up.
    resolver: Option<Resolver>,
    limits: LogLimits,
}

/// One line so often about each.
struct LogLimits {
    invalid: LogLimit,
    oversize: LogLimit,
    set_aside: LogLimit,
}

struct Metrics {
    received_bytes: Counter,
    records: Counter,
    acks: Counter,
    unread_acks: Counter,
    ack_latency: Histogram,
    kept: Counter,
    unshared: Counter,
    duplicates: Counter,
    set_aside: Counter,
    cut_messages: Counter,
    dropped: [Counter; Invalid::ALL.len()],
}

impl Forward {
    pub fn new(
        name: &str,
        plan: ForwardPlan,
        keys: Option<Arc<KeyRing>>,
        nil: Nil,
        intake: Arc<Intake>,
        letters: Arc<DeadLetters>,
    ) -> Self {
        let labels = [("input", name)];
        let dropped = Invalid::ALL.map(|reason| {
            counter(
                "sluicegate_dropped_records_total",
                "Records dropped, by reason.",
                &[("input", name), ("reason", reason.name())],
            )
        });
        let metrics = Metrics {
            received_bytes: counter("sluicegate_received_bytes_total", "Bytes read from peers.", &labels),
            records: counter("sluicegate_received_records_total", "Records decoded.", &labels),
            acks: counter("sluicegate_acks_total", "Acks given to peers.", &labels),
            unread_acks: counter(
                "sluicegate_acks_unread_total",
                "Acks not written, since the peer asks for them and reads none.",
                &labels,
            ),
            ack_latency: histogram(
                "sluicegate_ack_latency_seconds",
                "From a message's last byte to its records being stored, for messages with an ack.",
                &labels,
            ),
            kept: counter(
                "sluicegate_invalid_events_kept_total",
                "Events that are none and were kept all the same, since skip_invalid_event is false.",
                &labels,
            ),
            unshared: counter(
                "sluicegate_attributes_left_out_total",
                "Records stored without all attributes of their group, resource or scope, since those would multiply the message too often.",
                &labels,
            ),
            duplicates: Duplicates::hits(name),
            set_aside: counter(
                "sluicegate_dead_letter_messages_total",
                "Messages kept as dead letters because no record can hold them; they were acknowledged.",
                &labels,
            ),
            cut_messages: counter(
                "sluicegate_input_cut_messages_total",
                "Connections that ended inside a message; its sender sends it again.",
                &labels,
            ),
            dropped,
        };
        Forward {
            name: name.into(),
            drop_nil: nil == Nil::Drop,
            join: JoinSettings::new(&plan.join, Marks::Fields),
            intake,
            metrics,
            faults: Faults::new(name),
            keys,
            failures: Failures::new(name),
            letters,
            resolver: plan.resolve_hostname.then(Resolver::default),
            limits: LogLimits {
                invalid: LogLimit::new(SAY_EVERY),
                oversize: LogLimit::new(SAY_EVERY),
                set_aside: LogLimit::new(SAY_EVERY),
            },
            plan,
        }
    }

    fn scan_limits(&self) -> Limits {
        Limits { message: self.plan.max_message, depth: self.plan.max_depth, elements: limits::ENTRIES }
    }

    /// Accepts on one address until the input drains.
    pub async fn listen(self: Arc<Self>, gate: Arc<Gate>, socket: Socket, stop: Stop) {
        let inner = stop.clone();
        gate.listen(socket, stop, move |connection| self.clone().serve(connection, inner.clone())).await;
    }

    async fn serve(self: Arc<Self>, mut connection: Connection, stop: Stop) {
        let mut first = std::mem::take(&mut connection.first);
        if let Some(keys) = &self.keys {
            // Boxed, so that an open connection does not carry what only its beginning needed.
            let shaken = tokio::select! {
                biased;
                shaken = Box::pin(self.shake(keys, &mut connection)) => shaken,
                () = stop.draining.cancelled() => return,
            };
            // What failed is counted and said by the handshake itself.
            let Ok(behind) = shaken else { return };
            first = behind;
        }
        let Connection { stream, peer, .. } = connection;
        let (reader, writer) = stream.into_halves();
        let ran = Session::new(self.clone(), reader, writer, &peer, first).run(stop.clone()).await;
        let error = match ran {
            Ok(None) => return,
            Ok(Some(left)) => return self.pass(left, &peer, &stop).await,
            Err(error) => error,
        };
        let peer = self.called(&peer);
        match error {
            // A peer that goes away is its own business.
            SessionError::Read(error) => {
                tracing::debug!(input = %self.name, %peer, "connection lost: {error}")
            }
            SessionError::Window(error) => {
                tracing::debug!(input = %self.name, %peer, "connection closed: {error}")
            }
            error => {
                if let Some(suppressed) = self.faults.count(&error) {
                    tracing::warn!(input = %self.name, %peer, suppressed, "connection closed: {error}");
                }
            }
        }
    }

    /// Goes on with a connection that another process had.
    pub fn adopt(self: &Arc<Self>, gate: &Arc<Gate>, passed: Passed, stop: &Stop) {
        let (forward, inner) = (self.clone(), stop.clone());
        gate.clone().adopt(passed, stop, &move |connection| forward.clone().serve(connection, inner.clone()));
    }

    async fn pass(&self, left: Left<ReadSide, WriteSide>, peer: &Peer, stop: &Stop) {
        let stream = Stream::tcp_of(left.read, left.write).map(TcpStream::into_std);
        if let (Some(Ok(stream)), Some(address)) = (stream, peer.address) {
            let unread = left.unread.to_vec();
            let passed = Passed { input: self.name.to_string(), peer: address, stream, unread };
            stop.successor.pass(passed).await;
        }
    }

    /// The shared-key handshake; gives the bytes that came behind it.
    async fn shake(&self, keys: &KeyRing, connection: &mut Connection) -> Result<BytesMut, HandshakeError> {
        let Connection { stream, peer, deadline, .. } = connection;
        let ip = peer.address.map(|address| address.ip());
        let who = handshake::Peer { ip, label: &self.called(peer) };
        let keepalive = !self.plan.deny_keepalive;
        let shaken = handshake::serve(stream, keys, who, *deadline, keepalive, &self.failures).await;
        shaken.map(|(_, behind)| behind)
    }

    /// Takes the keys of another configuration for the connections to come. Looks names up, so it blocks.
    pub fn reload(&self, plan: &ForwardPlan) {
        match (&self.keys, &plan.security) {
            (None, None) => {}
            (Some(keys), Some(security)) => match keys.replace(security) {
                Ok(()) => tracing::info!(input = %self.name, "shared keys and users are read again"),
                Err(error) => {
                    tracing::error!(input = %self.name, "the shared keys stay as they were: {error}")
                }
            },
            _ => {
                tracing::warn!(input = %self.name, "inputs.{}.security comes or goes at a restart only", self.name)
            }
        }
    }

    fn is_secured(&self) -> bool {
        self.keys.is_some()
    }

    /// What a new connection of a peer remembers of its messages.
    fn conversation(&self, peer: &str) -> Option<Conversation> {
        let duplicates = self.intake.duplicates()?;
        Some(duplicates.conversation(peer, self.metrics.duplicates.clone()))
    }

    /// The fields that a connection gives to all its records. Until a peer's name is known its address stands for it.
    fn extra(&self, peer: &Peer) -> Vec<Extra> {
        let name = peer.address.and_then(|address| self.name_of(address.ip()));
        let name = name.as_deref().unwrap_or(&peer.label);
        let fields = [
            (&self.plan.source_address_key, Some(&*peer.label)),
            (&self.plan.source_hostname_key, Some(name)),
            (&self.plan.client_name_key, peer.client.as_deref()),
        ];
        let extra = |(key, value): (&Option<String>, Option<&str>)| {
            Some(Extra { key: key.as_deref()?.into(), value: value?.into() })
        };
        fields.into_iter().filter_map(extra).collect()
    }

    /// What a peer is called in log lines: its address, and its name where that is known.
    fn called(&self, peer: &Peer) -> String {
        match peer.address.and_then(|address| self.name_of(address.ip())) {
            Some(name) => format!("{} ({name})", peer.label),
            None => peer.label.to_string(),
        }
    }

    /// The address whose name is still to be learned for the records.
    fn nameless(&self, peer: &Peer) -> Option<IpAddr> {
        let address = peer.address?.ip();
        (self.plan.source_hostname_key.is_some() && self.name_of(address).is_none()).then_some(address)
    }

    /// The name of an address, as far as it is known now.
    fn name_of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.resolver.as_ref()?.name(address)
    }

    /// Whether a message is to be kept as a dead letter for its size. Large ones are spoken of.
    fn is_oversize(&self, origin: &Origin, bytes: usize) -> bool {
        if self.plan.chunk_size_warn_limit.is_some_and(|limit| bytes > limit)
            && let Some(suppressed) = self.limits.oversize.allow()
        {
            tracing::warn!(input = %self.name, peer = %origin.peer, suppressed, bytes,
                "a message is larger than chunk_size_warn_limit");
        }
        self.plan.chunk_size_limit.is_some_and(|limit| bytes > limit)
    }

    /// Writes a dead letter; what cannot be kept at all is dropped, counted and said. Blocks.
    fn set_aside(
        &self,
        peer: &str,
        tag: &[u8],
        signal: Option<Signal>,
        reason: &'static str,
        payload: &[u8],
    ) -> Result<(), LetterError> {
        let letter = Unkept { input: &self.name, peer, tag, signal, reason };
        let bytes = payload.len();
        match self.letters.write_payload(&letter, payload) {
            Ok(path) => {
                self.metrics.set_aside.increment(1);
                if let Some(suppressed) = self.limits.set_aside.allow() {
                    tracing::warn!(input = %self.name, %peer, suppressed, bytes, reason, file = %path.display(),
                        "a message that no record can hold is kept as a dead letter and acknowledged");
                }
                Ok(())
            }
            Err(error @ LetterError::TooLarge { .. }) => {
                let mut tally = Tally::default();
                tally.drop(Invalid::Payload);
                let origin = Origin::new(self.name.clone(), peer);
                self.count(&origin, &tally);
                tracing::debug!("{error}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Counts what decoding kept and dropped, and says so now and then.
    fn count(&self, origin: &Origin, tally: &Tally) {
        self.metrics.records.increment(tally.records);
        self.metrics.kept.increment(tally.kept);
        self.metrics.unshared.increment(tally.unshared);
        if tally.dropped_in_all() == 0 {
            return;
        }
        for (reason, counter) in Invalid::ALL.into_iter().zip(&self.metrics.dropped) {
            counter.increment(tally.dropped(reason));
        }
        if let Some(suppressed) = self.limits.invalid.allow() {
            let reasons: Vec<&str> = Invalid::ALL
                .into_iter()
                .filter(|reason| tally.dropped(*reason) > 0)
                .map(Invalid::name)
                .collect();
            tracing::warn!(input = %self.name, peer = %origin.peer, suppressed, events = tally.dropped_in_all(),
                "events that cannot be kept were dropped and acknowledged, since sending them again would not help: {}",
                reasons.join(", "));
        }
    }
}
