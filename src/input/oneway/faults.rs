//! What ends a connection, and how it is counted and said: each fault of a peer costs its connection, one count by reason,
//! and one log line a second by reason.

use std::io;
use std::time::Duration;

use super::CutError;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::journal::NotStored;

/// Why a connection ended, where it was not the peer's wish.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Cut(#[from] CutError),
    #[error("the peer sent no byte for {0} s in the middle of a message")]
    Stalled(u64),
    #[error("the peer took {0} s of pauses for one message, whose memory others wait for")]
    Slow(u64),
    #[error("the peer sent nothing for {0} s, which is idle_timeout")]
    Idle(u64),
    #[error(transparent)]
    NotStored(#[from] NotStored),
    #[error("reading failed: {0}")]
    Read(#[from] io::Error),
}

const REASONS: [&str; 4] = ["framing", "foreign", "stalled", "idle"];

pub(super) struct Faults([(&'static str, LogLimit, Counter); REASONS.len()]);

impl Faults {
    pub(super) fn new(input: &str) -> Faults {
        Faults(REASONS.map(|reason| {
            let closed = counter(
                "sluicegate_input_closed_total",
                "Connections that the gateway closed, by reason.",
                &[("input", input), ("reason", reason)],
            );
            (reason, LogLimit::new(Duration::from_secs(1)), closed)
        }))
    }

    /// Counts a fault. `Some(n)` when it may be logged; `n` like it were not.
    pub(super) fn count(&self, fault: &Fault) -> Option<u64> {
        let reason = reason(fault)?;
        let (_, limit, closed) = self.0.iter().find(|(known, _, _)| *known == reason)?;
        closed.increment(1);
        limit.allow()
    }
}

/// `None` where the peer is not to blame: it went away, or the gateway did.
fn reason(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Cut(CutError::Foreign(_)) => Some("foreign"),
        Fault::Cut(CutError::TooLong(_) | CutError::Length) => Some("framing"),
        Fault::Stalled(_) | Fault::Slow(_) => Some("stalled"),
        Fault::Idle(_) => Some("idle"),
        Fault::NotStored(_) | Fault::Read(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_hides_no_other() {
        let faults = Faults::new("test");
        for fault in [Fault::Cut(CutError::Length), Fault::Cut(CutError::Foreign("TLS")), Fault::Idle(1)] {
            assert_eq!(faults.count(&fault), Some(0), "{fault}");
            assert_eq!(faults.count(&fault), None, "{fault}");
        }
        assert_eq!(faults.count(&Fault::NotStored(NotStored::Closed)), None);
    }
}
