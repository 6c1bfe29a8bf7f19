//! Syslog as it is spoken: RFC 5424, RFC 3164 and what devices make of them, and Docker's syslog driver, whose lines get
//! the shape that all of Docker's drivers have here.
//!
//! ```text
//! bytes -> framing -> header (rfc5424 | rfc3164, stamp, structured) -> clock, fields (container) -> Batcher
//! ```
//!
//! Nothing is refused once a connection speaks syslog at all: what no rule fits is text, with facility user and severity
//! notice where no priority says otherwise. Decoding copies nothing but unescaped structured data and allocates nothing
//! per message.
//!
//! A record's time is the header's when that is finer than a second, or some seconds from now (a delayed message). A header
//! of whole seconds that is from just now says less than the time of receipt, which then counts; messages that were read
//! together get times one nanosecond apart, so that sorting by time keeps their order.

pub mod clock;
mod container;
#[cfg(test)]
mod devices;
mod fields;
pub mod framing;
pub mod header;
mod rfc3164;
mod rfc5424;
pub mod stamp;
pub mod structured;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::batcher::Batcher;
use super::oneway::{CutError, Decoder, Message, Protocol, Sender};
use crate::base::metrics::{Counter, counter};
use crate::config::plan::{SyslogPlan, SyslogTime, time_zone};
use crate::record::Timestamp;
use clock::Clock;
use container::Containers;
use fields::{Said, Shape};
use framing::Framer;
use header::Malformed;

/// A header of whole seconds this near to the receipt is from now.
const NOW_NANOS: i64 = 2_000_000_000;
/// A clock that was set back by more is believed.
const CLOCK_SET_BACK: i64 = 1;

/// The name of a time zone that no list knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("input {input}: time_zone {name:?} is not known; write `local` or a name such as Asia/Shanghai")]
pub struct UnknownTimeZone {
    pub input: String,
    pub name: String,
}

/// The protocol of one syslog input.
#[derive(Debug)]
pub struct Syslog {
    plan: SyslogPlan,
    zone: TimeZone,
    tallies: Arc<Tallies>,
}

/// What was not as it should be, by reason.
struct Tallies {
    malformed: [Counter; Malformed::ALL.len()],
    too_long: Counter,
}

impl std::fmt::Debug for Tallies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tallies")
    }
}

impl Syslog {
    /// `name`: the input's, for metrics and errors.
    pub fn new(name: &str, plan: &SyslogPlan) -> Result<Syslog, UnknownTimeZone> {
        let zone = time_zone(&plan.time_zone)
            .ok_or_else(|| UnknownTimeZone { input: name.to_owned(), name: plan.time_zone.clone() })?;
        let tally = |reason: &str| {
            counter(
                "sluicegate_syslog_malformed_total",
                "Messages that were not as syslog's RFCs say, or too long; none was dropped.",
                &[("input", name), ("reason", reason)],
            )
        };
        let tallies = Tallies {
            malformed: Malformed::ALL.map(|(_, reason)| tally(reason)),
            too_long: tally("too_long"),
        };
        Ok(Syslog { plan: plan.clone(), zone, tallies: Arc::new(tallies) })
    }
}

impl Protocol for Syslog {
    type Decoder = SyslogDecoder;

    fn decoder(&self) -> SyslogDecoder {
        SyslogDecoder {
            max_message: self.plan.max_message,
            framer: Framer::new(self.plan.max_message),
            which_time: self.plan.time,
            clock: Clock::new(self.zone.clone()),
            containers: Containers::new(self.plan.container_tags.clone()),
            shape: Shape::new(&self.plan),
            last_received: Timestamp::default(),
            tallies: self.tallies.clone(),
        }
    }
}

/// Decodes what one connection or one datagram socket brings.
#[derive(Debug)]
pub struct SyslogDecoder {
    max_message: usize,
    framer: Framer,
    which_time: SyslogTime,
    clock: Clock,
    containers: Containers,
    shape: Shape,
    last_received: Timestamp,
    tallies: Arc<Tallies>,
}

impl Decoder for SyslogDecoder {
    fn cut(&mut self, unread: &[u8], ended: bool, messages: &mut Vec<Message>) -> Result<usize, CutError> {
        self.framer.cut(unread, ended, messages)
    }

    fn is_between_messages(&self) -> bool {
        self.framer.is_between_messages()
    }

    fn message(&mut self, from: &Sender, message: &Message, received: Timestamp, batcher: &mut Batcher) {
        let Some(text) = batcher.batch.frame.get(message.range.clone()) else { return };
        let parsed = header::parse(text);
        if let Some(malformed) = parsed.malformed {
            self.tallies.malformed[malformed as usize].increment(1);
        }
        if message.cut {
            self.tallies.too_long.increment(1);
        }
        let time = self.time(&parsed, received);
        let said = Said { parsed: &parsed, base: message.range.start, cut: message.cut, time };
        self.shape.write(&said, &mut self.containers, from, batcher);
    }

    fn datagram(
        &mut self,
        from: &Sender,
        datagram: Range<usize>,
        received: Timestamp,
        batcher: &mut Batcher,
    ) {
        let Some(bytes) = batcher.batch.frame.get(datagram.clone()) else { return };
        let text = one_message(bytes);
        if text.is_empty() {
            return;
        }
        let cut = text.len() > self.max_message;
        let range = datagram.start + text.start..datagram.start + text.end.min(text.start + self.max_message);
        self.message(from, &Message { range, cut }, received, batcher);
    }
}

impl SyslogDecoder {
    fn time(&mut self, parsed: &header::Parsed, received: Timestamp) -> Timestamp {
        let header = match (self.which_time, &parsed.stamp) {
            (SyslogTime::Received, _) | (_, None) => None,
            (which, Some(stamp)) => {
                let moment = self.clock.moment(stamp, received);
                let says_less = which == SyslogTime::Auto && !stamp.has_fraction;
                moment.filter(|moment| !says_less || distance(*moment, received) >= NOW_NANOS)
            }
        };
        header.unwrap_or_else(|| self.next_received(received))
    }

    /// The time of receipt, or the nanosecond behind the last one.
    fn next_received(&mut self, received: Timestamp) -> Timestamp {
        let last = self.last_received;
        let is_behind = received <= last && last.seconds - received.seconds <= CLOCK_SET_BACK;
        self.last_received = if is_behind { Timestamp::new(last.seconds, last.nanos + 1) } else { received };
        self.last_received
    }
}

/// Nanoseconds between two moments, or very many.
fn distance(one: Timestamp, other: Timestamp) -> i64 {
    let seconds = one.seconds.saturating_sub(other.seconds);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(one.nanos) - i64::from(other.nanos))
        .saturating_abs()
}

/// The message in a datagram: without the LF at its end, which Docker and most libraries put there, or the NUL bytes of
/// others; and without the length that some put before it although nothing needs one here.
fn one_message(bytes: &[u8]) -> Range<usize> {
    let digits = bytes.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
    let mut from = 0;
    if digits > 0 && bytes[digits..].starts_with(b" <") {
        let count = bytes[..digits].iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        if count == bytes.len() - digits - 1 {
            from = digits + 1;
        }
    }
    let to = match bytes.last() {
        Some(b'\n') => bytes.len() - 1,
        Some(0) => bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1),
        _ => bytes.len(),
    };
    from..to.max(from)
}
