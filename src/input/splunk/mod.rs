//! The HTTP Event Collector: what Docker's splunk driver speaks, and many other senders.
//!
//! ```text
//! Gate -> Paced -> hyper -> Exchange: request -> body -> events | lines -> Batcher -> receipt -> answer
//! ```
//!
//! 200 is answered after the receipt, so a client that heard it may forget. A client that did not hear it sends again,
//! and Docker's driver then cuts its batches anew and gives no ids: at least once, and copies are not recognised.
//!
//! Decoding is pure ([`events`], [`envelope`], [`lines`], [`tag`], [`time`]). Source of the formats: Splunk's
//! documentation of the collector, Docker's driver, and what both were seen to say.
//!
//! **Pieces.** The driver marks the pieces of a long line by nothing but the length of their text, 16 KiB, so only what
//! it sends is joined, by that length. In its format `raw` the tag stands before the text and the stream is not named; the
//! tag is taken off where it has a form with an id. Attributes there cannot be told from the text: such pieces stay records
//! of their own.
//!
//! **Acknowledgement.** A request that names a channel gets an ack id. Since ids are given after the events were stored,
//! every id that was given is true whenever it is asked for, also a second time, and also by a client that asks after a
//! restart of the gateway: ids count up from the time of the start, over all channels, so those of earlier runs are below
//! them. Nothing is kept for a channel.

mod answer;
mod body;
mod envelope;
pub mod events;
mod exchange;
mod fields;
mod lines;
mod pace;
mod request;
mod tag;
#[cfg(test)]
mod tests;
mod time;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;

pub use answer::Code;

use super::Intake;
use super::listener::{Connection, Gate, Socket};
use crate::base::http;
use crate::base::limits::KIB;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::base::shutdown::Stop;
use crate::config::plan::SplunkPlan;
use crate::pipeline::join::{JoinSettings, Marks};
use events::{Settings, Tally};
use exchange::Exchange;
use pace::{Paced, Phase};

/// Request line and headers, and the buffer a connection reads into.
const BUFFER_BYTES: usize = 64 * KIB;
/// So long a request waits for room in a full buffer.
const FULL_TIMEOUT: Duration = Duration::from_secs(5);
/// One line so often about answers of one code.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// One input: its settings and what its connections share.
pub struct Splunk {
    name: Arc<str>,
    plan: SplunkPlan,
    settings: Arc<Settings>,
    join: Option<JoinSettings>,
    intake: Arc<Intake>,
    acks: Acks,
    full_timeout: Duration,
    metrics: Metrics,
    answers: Vec<(Code, Counter, LogLimit)>,
}

struct Metrics {
    received_bytes: Counter,
    records: Counter,
    kept: Counter,
    cut: Counter,
    untimed: Counter,
}

impl Splunk {
    pub fn new(name: &str, plan: SplunkPlan, intake: Arc<Intake>) -> Splunk {
        let labels = [("input", name)];
        let mended = |reason| {
            counter(
                "sluicegate_splunk_mended_events_total",
                "Events kept although they are not as they should be: kept (blank, missing or too deep), cut, or with a time that is none.",
                &[("input", name), ("reason", reason)],
            )
        };
        let metrics = Metrics {
            received_bytes: counter("sluicegate_received_bytes_total", "Bytes read from peers.", &labels),
            records: counter("sluicegate_received_records_total", "Records decoded.", &labels),
            kept: mended("kept"),
            cut: mended("cut"),
            untimed: mended("time"),
        };
        let answer = |code: Code| {
            let answers = counter(
                "sluicegate_splunk_answers_total",
                "Answers to requests of the HTTP Event Collector, by Splunk's code.",
                &[("input", name), ("code", &code.number().to_string())],
            );
            (code, answers, LogLimit::new(SAY_EVERY))
        };
        Splunk {
            name: name.into(),
            settings: Arc::new(Settings::new(&plan)),
            join: JoinSettings::new(&plan.join, Marks::LengthAndTime),
            intake,
            acks: Acks::new(),
            full_timeout: FULL_TIMEOUT,
            metrics,
            answers: Code::ALL.into_iter().map(answer).collect(),
            plan,
        }
    }

    /// Accepts on one address until the input drains.
    pub async fn listen(self: Arc<Self>, gate: Arc<Gate>, socket: Socket, stop: Stop) {
        let inner = stop.clone();
        gate.listen(socket, stop, move |connection| self.clone().serve(connection, inner.clone())).await;
    }

    async fn serve(self: Arc<Self>, connection: Connection, stop: Stop) {
        let Connection { stream, peer, .. } = connection;
        let connections = &self.plan.connections;
        let phase = Phase::default();
        let paced = Paced::new(stream, phase.clone(), connections.idle_timeout, connections.stall_timeout);
        let exchange = Arc::new(Exchange::new(self.clone(), &peer, stop.draining.clone()));
        let service = service_fn(move |request: Request<Incoming>| {
            let (exchange, phase) = (exchange.clone(), phase.clone());
            async move {
                phase.serving();
                let response = exchange.handle(request).await;
                phase.answered();
                Ok::<_, Infallible>(response)
            }
        });
        let settings = http::Settings { header_timeout: None, buffer_bytes: BUFFER_BYTES };
        if let Err(error) = http::serve(paced, service, settings, &stop.draining).await {
            // A peer that goes away is its own business.
            tracing::debug!(input = %self.name, peer = %peer.label, "connection lost: {error}");
        }
    }

    /// Counts an answer, and says now and then why somebody is refused.
    fn note(&self, code: Code, peer: &str, why: &str) {
        let Some((_, answers, limit)) = self.answers.iter().find(|(known, ..)| *known == code) else {
            return;
        };
        answers.increment(1);
        if !why.is_empty()
            && let Some(suppressed) = limit.allow()
        {
            tracing::warn!(input = %self.name, %peer, suppressed, code = code.number(), "request refused: {why}");
        }
    }

    fn count(&self, tally: &Tally) {
        self.metrics.records.increment(tally.records);
        self.metrics.kept.increment(tally.kept);
        self.metrics.cut.increment(tally.cut);
        self.metrics.untimed.increment(tally.untimed);
    }
}

/// Ack ids, given after their events were stored.
struct Acks(AtomicU64);

impl Acks {
    /// Counts from the microseconds of now: a number below 2^53, as JSON wants it, and above what earlier runs gave, even
    /// those that answered thousands of requests in a second.
    fn new() -> Acks {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Acks(AtomicU64::new(since.as_micros() as u64))
    }

    fn give(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn is_given(&self, id: u64) -> bool {
        id < self.0.load(Ordering::Relaxed)
    }
}
