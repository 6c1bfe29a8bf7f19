//! How a gateway stops: inputs first, then senders, then what they stand on, all of it within `limits.stop_deadline`.
//!
//! ```text
//! |-- stop_delay --|-- inputs end --|-- senders deliver --|-- closing: journal, HTTP ports --|
//! begin                                                shipped                        stop_deadline
//! ```
//!
//! What is not delivered by then stays in the journal, for the next start or the successor.

use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::collection::Collection;
use super::{Gateway, handover};
use crate::base::shutdown::Stop;
use crate::config::plan::{InputKind, InputPlan, LimitsPlan};
use crate::input::{duplicates, positions};

/// A successor waits, and peers with it: reading what connections hold and answering it is all that is worth that.
const SUCCESSOR: Duration = Duration::from_secs(4);
/// Connections on their way to a successor.
const PASSED: usize = 64;

impl Gateway {
    /// Stops in order, within the plan's deadline. What is not delivered by then stays in the journal.
    pub async fn stop(mut self) {
        // Its handles would keep the addresses open.
        self.handover = None;
        let total = self.plan.limits.stop_deadline;
        self.stop_within(total).await;
    }

    /// Resolves when another gateway has taken our sockets, to take our place: then [`Gateway::make_way`] is due.
    pub async fn handed_over(&self) -> UnixStream {
        match &self.handover {
            Some(handover) => handover.handed().await,
            None => std::future::pending().await,
        }
    }

    /// Stops for a successor, which waits for the data directory: what is stored is delivered by it. `successor` is what
    /// [`Gateway::handed_over`] gave.
    pub async fn make_way(mut self, successor: UnixStream) {
        // At the end of the stop its file would be the successor's.
        self.handover = None;
        self.outlive.set();
        let (connections, passed) = mpsc::channel(PASSED);
        self.inputs.successor.set(connections);
        let ended = CancellationToken::new();
        let passing = tokio::spawn(handover::pass_on(successor, passed, ended.clone()));
        let total = self.plan.limits.stop_deadline.min(SUCCESSOR);
        let inputs = self.inputs.clone();
        let all_passed = async {
            let _ = tokio::time::timeout(total, inputs.tasks.wait()).await;
            ended.cancel();
        };
        tokio::join!(self.stop_within(total), all_passed);
        let _ = passing.await;
    }

    async fn stop_within(self, total: Duration) {
        let deadline = Instant::now() + total;
        let shipped = deadline - LimitsPlan::closing(total);
        self.status.set_draining();
        self.stop_inputs(shipped).await;
        if let Some(duplicates) = &self.duplicates {
            duplicates.tend();
        }
        self.shipping.stop(shipped).await;
        let closed = deadline.max(Instant::now() + LimitsPlan::CLOSING);
        if timeout_at(closed, self.journal.close()).await.is_err() {
            tracing::warn!("the journal did not end before limits.stop_deadline");
        }
        end(&self.service, closed, "log service").await;
        end(&self.ticks, closed, "operations").await;
        self.shipping.ended().await;
    }

    /// Inputs that do not end may take half of the time from senders that have something to deliver, and all of it from
    /// senders that have nothing. What a configuration says is to be waited for does not count: those who write are not late.
    async fn stop_inputs(&self, deadline: Instant) {
        self.inputs.draining.cancel();
        self.inputs.tasks.close();
        let delay = if self.inputs.successor.is_there() { Duration::ZERO } else { self.longest_delay() };
        let begin = deadline.min(Instant::now() + delay);
        let half = begin + deadline.saturating_duration_since(begin) / 2;
        let mut ended = timeout_at(half, self.inputs.tasks.wait()).await.is_ok();
        if !ended && !self.has_work() {
            ended = timeout_at(deadline, self.inputs.tasks.wait()).await.is_ok();
        }
        if !ended {
            tracing::warn!(
                connections = self.inputs.tasks.len(),
                "connections did not end in time for limits.stop_deadline; what they were not acknowledged will come again"
            );
        }
    }

    /// How long inputs read on at a stop, those included that others asked for.
    fn longest_delay(&self) -> Duration {
        let collected = self.collection.as_ref().map(Collection::longest_delay).unwrap_or_default();
        longest_delay(&self.plan.inputs).max(collected)
    }

    fn has_work(&self) -> bool {
        self.journal.stats().queues.iter().any(|queue| is_shipped(&queue.name) && queue.entries > 0)
    }
}

/// How long inputs read on at a stop, before they end.
pub(super) fn longest_delay(inputs: &[InputPlan]) -> Duration {
    let delay = |input: &InputPlan| match &input.kind {
        InputKind::File(plan) => plan.stop_delay,
        _ => Duration::ZERO,
    };
    inputs.iter().map(delay).max().unwrap_or_default()
}

/// Whether a queue is a destination's; the others are the gateway's own.
pub(super) fn is_shipped(queue: &str) -> bool {
    queue != "pending" && queue != duplicates::QUEUE && queue != positions::QUEUE
}

pub(super) async fn end(stop: &Stop, deadline: Instant, what: &str) {
    stop.draining.cancel();
    stop.tasks.close();
    if timeout_at(deadline, stop.tasks.wait()).await.is_err() {
        tracing::warn!("{what} did not end before limits.stop_deadline");
    }
}
