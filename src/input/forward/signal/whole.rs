//! Payloads that nobody takes apart: one record a message.
//!
//! ```text
//! fluent_signal   the number as digits
//! payload         base64 of the body: the inflated chunk, or the MessagePack of what stood in its place
//! ```

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::signal::Signal;
use crate::input::forward::entries::Settings;
use crate::record::{Batch, Span};

/// The longest base64 text that is kept: with what stands beside it, well inside one value of Log Service.
pub const PAYLOAD_TEXT_BYTES: usize = 786_432;

fn text_bytes(payload: usize) -> usize {
    payload.div_ceil(3).saturating_mul(4)
}

/// Whether a payload of so many bytes can become a record.
pub(super) fn fits(payload: usize) -> bool {
    text_bytes(payload) <= PAYLOAD_TEXT_BYTES
}

/// Adds the record for the payload at `place` of the batch's frame, dated with the time of receipt.
pub(super) fn decode(batch: &mut Batch, signal: Signal, place: Range<usize>, settings: &Settings) {
    let payload = batch.frame.get(place).unwrap_or_default();
    let arena = &mut batch.arena;
    let from = arena.len();
    arena.resize(from + text_bytes(payload.len()), 0);
    // Sized exactly above, so the encoder cannot run out of room.
    let written = STANDARD.encode_slice(payload, &mut arena[from..]).unwrap_or(0);
    arena.truncate(from + written);
    let text = Span::arena(from, written);
    let signal_key = batch.keep(b"fluent_signal");
    let digits = batch.keep(if signal == Signal::Blobs { b"3" } else { b"4" });
    let payload_key = batch.keep(b"payload");
    batch.begin(settings.received);
    batch.push(signal_key, digits);
    batch.push(payload_key, text);
}
