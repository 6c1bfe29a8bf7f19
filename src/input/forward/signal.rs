//! Messages whose `fluent_signal` says they carry no logs: metrics, traces, profiles, blobs and what is not known yet.
//!
//! They are kept whole, as one record a message, so that nothing a sender got an ack for is lost:
//!
//! ```text
//! fluent_signal   the number as digits
//! payload         base64 of the body: the inflated chunk, or the MessagePack of what stood in its place
//! ```
//!
//! A payload that would not fit a Log Service value is dropped and counted.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::entries::Settings;
use super::message::{Body, Message};
use super::tally::{Invalid, Tally};
use crate::record::{Batch, number};

/// The longest base64 text that is kept.
pub const PAYLOAD_TEXT_BYTES: usize = 786_432;

/// Where a message of another signal has its payload; for a packed body, the bytes before inflating.
pub fn payload(message: &Message) -> Option<Range<usize>> {
    match &message.body {
        Body::Event(event) => Some(event.record.clone()),
        Body::Entries(place) | Body::Packed(place) => Some(place.clone()),
        Body::Dropped(_) => None,
    }
}

/// Adds the record for the payload at `place` of the batch's frame, dated with the time of receipt.
pub fn decode_signal(
    batch: &mut Batch,
    signal: i64,
    place: Range<usize>,
    settings: &Settings<'_>,
    tally: &mut Tally,
) {
    let length = place.len().div_ceil(3) * 4;
    let Some(payload) = batch.frame.get(place).filter(|_| length <= PAYLOAD_TEXT_BYTES) else {
        tally.drop(Invalid::Payload);
        return;
    };
    let arena = &mut batch.arena;
    let from = arena.len();
    arena.resize(from + length, 0);
    // Sized exactly above, so the encoder cannot run out of room.
    let written = STANDARD.encode_slice(payload, &mut arena[from..]).unwrap_or(0);
    arena.truncate(from + written);
    let text = crate::record::Span::arena(from, written);
    let signal_key = batch.keep(b"fluent_signal");
    let digits = batch.make(|arena| number::append_i64(arena, signal));
    let payload_key = batch.keep(b"payload");
    batch.begin(settings.received);
    batch.push(signal_key, digits);
    batch.push(payload_key, text);
    tally.records += 1;
}
