//! What peers get wrong before their first message: each costs its connection, one count by reason, and one log line a
//! second by reason.

use std::time::Duration;

use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::base::tls::Fault;

pub(super) const PLAIN: &str = "plain";
pub(super) const PROXY_HEADER: &str = "proxy_header";
pub(super) const TIMEOUT: &str = "handshake_timeout";

pub(super) struct Faults {
    reasons: Vec<(&'static str, LogLimit, Counter)>,
}

impl Faults {
    pub(super) fn new(input: &str) -> Faults {
        let all = [PLAIN, PROXY_HEADER, TIMEOUT].into_iter().chain(Fault::REASONS);
        let reasons = all
            .map(|reason| {
                let closed = counter(
                    "sluicegate_input_closed_total",
                    "Connections closed for a fault of the peer, by reason.",
                    &[("input", input), ("reason", reason)],
                );
                (reason, LogLimit::new(Duration::from_secs(1)), closed)
            })
            .collect();
        Faults { reasons }
    }

    /// Counts a fault. `Some(n)` when it may be logged; `n` like it were not.
    pub(super) fn count(&self, reason: &str) -> Option<u64> {
        let (_, limit, closed) = self.reasons.iter().find(|(known, _, _)| *known == reason)?;
        closed.increment(1);
        limit.allow()
    }
}
