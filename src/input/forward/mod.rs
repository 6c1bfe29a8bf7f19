//! The fluent forward protocol: what Docker's fluentd driver, Fluent Bit, Fluentd and the fluent-logger clients speak.
//!
//! Decoding is pure and knows no sockets ([`message`], [`entries`], [`signal`], [`tally`]); a connection is a
//! [`session`] with a [`window`] of acks. Source of the formats: the protocol's specification v1 and v1.5, and what the
//! peers were seen to send.

pub mod ack;
pub mod entries;
pub mod faults;
pub mod json;
pub mod message;
pub mod reader;
pub mod session;
pub mod signal;
pub mod tag;
pub mod tally;
mod time;
#[cfg(test)]
mod vectors;
pub mod window;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Intake;
use super::listener::Listener;
use crate::base::limits;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, Histogram, counter, gauge, histogram};
use crate::base::shutdown::Stop;
use crate::config::plan::{ForwardPlan, Nil};
use crate::pipeline::join::JoinSettings;
use crate::pipeline::stream::Origin;
use crate::record::msgpack::Limits;
use faults::Faults;
use session::{Session, SessionError};
use tally::{Invalid, Tally};

/// One forward input: its settings and what its connections share.
pub struct Forward {
    name: Arc<str>,
    plan: ForwardPlan,
    drop_nil: bool,
    join: Option<JoinSettings>,
    intake: Arc<Intake>,
    metrics: Metrics,
    permits: Arc<Semaphore>,
    faults: Faults,
    invalid: LogLimit,
}

struct Metrics {
    received_bytes: Counter,
    records: Counter,
    acks: Counter,
    ack_latency: Histogram,
    cut_messages: Counter,
    dropped: [Counter; Invalid::ALL.len()],
}

impl Forward {
    pub fn new(name: &str, plan: ForwardPlan, nil: Nil, intake: Arc<Intake>) -> Self {
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
            ack_latency: histogram(
                "sluicegate_ack_latency_seconds",
                "From a message's last byte to its records being stored, for messages with an ack.",
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
            join: plan
                .join_partial
                .then_some(JoinSettings { timeout: plan.join_timeout, max_line: plan.max_line }),
            permits: Arc::new(Semaphore::new(plan.max_connections)),
            plan,
            intake,
            metrics,
            faults: Faults::new(name),
            invalid: LogLimit::new(Duration::from_secs(10)),
        }
    }

    fn scan_limits(&self) -> Limits {
        Limits { message: self.plan.max_message, depth: self.plan.max_depth, elements: limits::ENTRIES }
    }

    /// Accepts on one address until the input drains.
    pub async fn listen(self: Arc<Self>, socket: TcpListener, stop: Stop) {
        let Ok(address) = socket.local_addr() else { return };
        let labels = [("input", &*self.name)];
        let listener = Listener {
            socket,
            address,
            input: self.name.clone(),
            permits: self.permits.clone(),
            accepted: counter("sluicegate_connections_total", "Connections accepted.", &labels),
            refused: counter(
                "sluicegate_connections_refused_total",
                "Connections closed because max_connections was reached.",
                &labels,
            ),
            open: gauge("sluicegate_connections_open", "Connections open now.", &labels),
        };
        let inner = stop.clone();
        listener.run(stop, move |stream, peer| self.clone().serve(stream, peer, inner.clone())).await;
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, stop: Stop) {
        let origin = Origin { input: self.name.clone(), peer: peer.ip().to_canonical().to_string().into() };
        let (reader, writer) = stream.into_split();
        let Err(error) = Session::new(self.clone(), reader, writer, origin).run(stop).await else { return };
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

    /// Counts what decoding kept and dropped, and says so now and then.
    fn count(&self, origin: &Origin, tally: &Tally) {
        self.metrics.records.increment(tally.records);
        if tally.dropped_in_all() == 0 {
            return;
        }
        for (reason, counter) in Invalid::ALL.into_iter().zip(&self.metrics.dropped) {
            counter.increment(tally.dropped(reason));
        }
        if let Some(suppressed) = self.invalid.allow() {
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
