//! Messages whose `fluent_signal` says that they carry no logs.
//!
//! ```text
//! 1  metrics    one record a sample, in Log Service's metric layout          (metrics, samples, labels)
//! 2  traces     one record a span, in Log Service's trace layout             (traces, span_text)
//! 3  blobs      one record a message, its payload in base64                  (whole)
//! 4  profiles   as blobs
//! other         nothing is known about it: a dead letter, as is a payload too large for a record
//! ```
//!
//! What these payloads look like is what Fluent Bit 5.1 writes: cmetrics and ctraces contexts as MessagePack maps, one
//! behind the other in a chunk, or, from `fluentd_compat`, as the arrays that stand where the records of entries do.
//! All contexts of a payload are read, to its end. A damaged context, metric, sample or span is counted in the [`Tally`]
//! and costs itself and what cannot be found behind it; the message is acknowledged all the same, since its sender could
//! only send the same bytes again.
//!
//! A [`Payload`] is decoded in steps, as entries are: between two steps the caller stores the batch's records. All
//! text that a message becomes is bounded by a multiple of its length, since labels and attributes that many records
//! share would multiply it without end (`budget`).

mod budget;
mod contexts;
mod labels;
mod metrics;
mod samples;
mod span_text;
mod traces;
mod whole;

use std::ops::Range;

use super::entries::Settings;
use super::message::{Body, Message};
use super::tally::Tally;
use crate::base::signal::Signal;
use crate::record::Batch;
use contexts::Contexts;
use metrics::Metrics;
use traces::Traces;
pub use whole::PAYLOAD_TEXT_BYTES;

/// A step ends when it has made so much text, or at least one record.
const STEP_ARENA_BYTES: usize = 16 * 1024 * 1024;

/// Why a payload can only be kept as a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    #[error(
        "{signal} of {bytes} bytes: too large for a record, which takes {PAYLOAD_TEXT_BYTES} bytes of base64"
    )]
    TooLarge { signal: Signal, bytes: usize },
    /// -1 also stands for what was no integer.
    #[error("the signal {0}, which nobody has defined")]
    Unknown(i64),
}

impl Unkept {
    /// The signal, when it is a known one.
    pub fn signal(&self) -> Option<Signal> {
        match self {
            Unkept::TooLarge { signal, .. } => Some(*signal),
            Unkept::Unknown(_) => None,
        }
    }

    /// The reason's name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Unkept::TooLarge { .. } => "payload",
            Unkept::Unknown(_) => "unknown_signal",
        }
    }
}

/// How a message holds its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The bytes of a chunk, after inflating.
    Packed,
    /// The array of entries, header included.
    Entries,
    /// The record of a single event.
    Event,
}

/// Where a message of another signal has its payload, and how; for a packed body, the bytes before inflating. `None`
/// for a body that was dropped.
pub fn payload(message: &Message) -> Option<(Shape, Range<usize>)> {
    match &message.body {
        Body::Event(event) => Some((Shape::Event, event.record.clone())),
        Body::Entries(place) => Some((Shape::Entries, place.clone())),
        Body::Packed(place) => Some((Shape::Packed, place.clone())),
        Body::Dropped(_) => None,
    }
}

/// A payload on its way into batches.
#[derive(Debug)]
pub struct Payload {
    signal: Signal,
    decoder: Decoder,
}

#[derive(Debug)]
enum Decoder {
    Metrics(Box<Metrics>),
    Traces(Box<Traces>),
    /// `None` once it was decoded.
    Whole(Option<Range<usize>>),
}

impl Payload {
    /// Opens the payload at `place` of a batch's frame; `number` is the message's `fluent_signal`. Nothing is read
    /// yet.
    pub fn open(number: i64, shape: Shape, place: Range<usize>) -> Result<Payload, Unkept> {
        let whole = |signal| match whole::fits(place.len()) {
            true => Ok(Payload { signal, decoder: Decoder::Whole(Some(place.clone())) }),
            false => Err(Unkept::TooLarge { signal, bytes: place.len() }),
        };
        let contexts = Contexts::new(shape, place.clone());
        match number {
            1 => {
                let decoder = Decoder::Metrics(Box::new(Metrics::new(contexts, place.len())));
                Ok(Payload { signal: Signal::Metrics, decoder })
            }
            2 => {
                let decoder = Decoder::Traces(Box::new(Traces::new(contexts, place.len())));
                Ok(Payload { signal: Signal::Traces, decoder })
            }
            3 => whole(Signal::Blobs),
            4 => whole(Signal::Profiles),
            _ => Err(Unkept::Unknown(number)),
        }
    }

    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Decodes up to `at_most` records into the batch, whose frame holds the payload, and names its signal; fewer when
    /// they make much text. True when there may be more. Between two steps the caller may clear the batch's records,
    /// but must keep its frame.
    pub fn step(
        &mut self,
        batch: &mut Batch,
        settings: &Settings,
        tally: &mut Tally,
        at_most: usize,
    ) -> bool {
        batch.signal = self.signal;
        let before = batch.records.len();
        let more = match &mut self.decoder {
            Decoder::Metrics(metrics) => metrics.step(batch, settings, tally, at_most),
            Decoder::Traces(traces) => traces.step(batch, settings, tally, at_most),
            Decoder::Whole(place) => {
                if let Some(place) = place.take() {
                    whole::decode(batch, self.signal, place, settings);
                }
                false
            }
        };
        tally.records += (batch.records.len() - before) as u64;
        more
    }
}

#[cfg(test)]
mod tests;
