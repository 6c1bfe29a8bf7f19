//! Faults of peers: each costs its connection, one count by reason, and one log line a second by reason, so that peers
//! that fail in one way hide none that fails in another.

use std::time::Duration;

use super::session::SessionError;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::record::msgpack::Foreign;

/// The reasons, as they stand in metrics.
const REASONS: [&str; 13] = [
    "dead_letter",
    "tls",
    "http",
    "proxy",
    "json",
    "syslog",
    "foreign",
    "framing",
    "message",
    "compression",
    "stalled",
    "idle",
    "full",
];

pub struct Faults {
    reasons: [(&'static str, LogLimit, Counter); REASONS.len()],
}

impl Faults {
    pub fn new(input: &str) -> Self {
        let reasons = REASONS.map(|reason| {
            let closed = counter(
                "sluicegate_input_closed_total",
                "Connections that the gateway closed, by reason.",
                &[("input", input), ("reason", reason)],
            );
            (reason, LogLimit::new(Duration::from_secs(1)), closed)
        });
        Faults { reasons }
    }

    /// Counts a fault. `Some(n)` when it may be logged; `n` like it were not.
    pub fn count(&self, error: &SessionError) -> Option<u64> {
        let reason = reason(error)?;
        let (_, limit, closed) = self.reasons.iter().find(|(known, _, _)| *known == reason)?;
        closed.increment(1);
        limit.allow()
    }
}

/// `None` where the peer is not to blame: it went away, or the gateway did.
fn reason(error: &SessionError) -> Option<&'static str> {
    Some(match error {
        SessionError::Foreign(Foreign::Tls) => "tls",
        SessionError::Foreign(Foreign::Http) => "http",
        SessionError::Foreign(Foreign::Proxy) => "proxy",
        SessionError::Foreign(Foreign::Json) => "json",
        SessionError::Foreign(Foreign::Syslog) => "syslog",
        SessionError::Foreign(Foreign::Other(_)) => "foreign",
        SessionError::Scan(_) => "framing",
        SessionError::JsonFrame(_) | SessionError::Json(_) => "json",
        SessionError::Letter(_) => "dead_letter",
        SessionError::Message(_) => "message",
        SessionError::Inflate(_) => "compression",
        SessionError::Stalled(_) | SessionError::Slow(_) => "stalled",
        SessionError::Idle(_) => "idle",
        SessionError::Full(_) => "full",
        SessionError::Window(_) | SessionError::Read(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_hides_no_other() {
        let faults = Faults::new("test");
        for error in [
            SessionError::Foreign(Foreign::Http),
            SessionError::Foreign(Foreign::Tls),
            SessionError::Foreign(Foreign::Other(0)),
            SessionError::Stalled(1),
        ] {
            assert_eq!(faults.count(&error), Some(0), "{error}");
            assert_eq!(faults.count(&error), None, "{error}");
        }
        assert_eq!(faults.count(&SessionError::Read(std::io::ErrorKind::ConnectionReset.into())), None);
    }
}
