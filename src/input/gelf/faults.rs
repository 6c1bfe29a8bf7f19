//! What of GELF cannot be kept: counted by reason, and said now and then with the sender's name.

use std::time::Duration;

use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::record::json::read::JsonError;
use crate::wire::compress::packet::PacketError;

/// One line so often about each kind.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("it is longer than max_message, or the sum of its chunks is")]
    TooLong,
    #[error("{0}")]
    Packed(#[from] PacketError),
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error("something stands behind its closing brace")]
    Behind,
    #[error("it has no field")]
    Empty,
}

const DROPPED: [&str; 4] = ["large", "compression", "json", "empty"];

impl Invalid {
    fn reason(self) -> usize {
        match self {
            Invalid::TooLong | Invalid::Packed(PacketError::Size { .. }) => 0,
            Invalid::Json(JsonError::Depth | JsonError::Members) => 0,
            Invalid::Packed(_) => 1,
            Invalid::Json(_) | Invalid::Behind => 2,
            Invalid::Empty => 3,
        }
    }
}

/// Why chunks were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incomplete {
    Timeout,
    Room,
    /// A chunk that is none, or does not fit its message.
    Invalid,
}

pub(super) struct Faults {
    input: String,
    dropped: [Counter; DROPPED.len()],
    incomplete: [Counter; 3],
    again: Counter,
    say_dropped: [LogLimit; DROPPED.len()],
    say_incomplete: LogLimit,
}

impl Faults {
    pub(super) fn new(input: &str) -> Faults {
        let dropped = |reason| {
            counter(
                "sluicegate_dropped_records_total",
                "Records dropped, by reason.",
                &[("input", input), ("reason", reason)],
            )
        };
        let incomplete = |reason| {
            counter(
                "sluicegate_gelf_incomplete_total",
                "Messages in several datagrams that were given up, and chunks that fit no message, by reason.",
                &[("input", input), ("reason", reason)],
            )
        };
        Faults {
            input: input.to_owned(),
            dropped: DROPPED.map(dropped),
            incomplete: ["timeout", "room", "invalid"].map(incomplete),
            again: counter(
                "sluicegate_gelf_duplicate_chunks_total",
                "Chunks received again and not used.",
                &[("input", input)],
            ),
            say_dropped: DROPPED.map(|_| LogLimit::new(SAY_EVERY)),
            say_incomplete: LogLimit::new(SAY_EVERY),
        }
    }

    pub(super) fn drop(&self, peer: &str, why: Invalid) {
        let reason = why.reason();
        if let Some(counter) = self.dropped.get(reason) {
            counter.increment(1);
        }
        if let Some(suppressed) = self.say_dropped.get(reason).and_then(LogLimit::allow) {
            tracing::warn!(input = %self.input, %peer, suppressed, "a GELF message was dropped: {why}");
        }
    }

    /// `peer` is nothing where the messages are of several.
    pub(super) fn give_up(&self, peer: &str, why: Incomplete, messages: u64) {
        if messages == 0 {
            return;
        }
        let (counter, text) = match why {
            Incomplete::Timeout => (0, "GELF messages did not get all their chunks within chunk_timeout"),
            Incomplete::Room => (1, "incomplete GELF messages gave way to newer ones; see max_incomplete"),
            Incomplete::Invalid => (2, "a chunk of a GELF message is damaged or fits no message"),
        };
        if let Some(counter) = self.incomplete.get(counter) {
            counter.increment(messages);
        }
        if let Some(suppressed) = self.say_incomplete.allow() {
            tracing::warn!(input = %self.input, %peer, suppressed, messages, "{text}");
        }
    }

    pub(super) fn again(&self) {
        self.again.increment(1);
    }
}
