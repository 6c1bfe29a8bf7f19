//! Events into a batch: the single event of Message mode, the array of Forward mode, the blob of PackedForward.
//!
//! ```text
//! entry      [time, {record}]                      what all peers understand
//! newer      [[time, {metadata}], {record}]        Fluent Bit since 5.0.5, by default
//! group      [[-1, {identity}], {shared}]  entries...  [[-2, {}], {}]      times as EventTime
//! time       integer seconds | EventTime (ext 0: u32 seconds, u32 nanoseconds) | float seconds | 0, nil: of receipt
//! ```
//!
//! Strings become spans of the frame; what has to be made (numbers, nested maps as JSON) goes into the arena, so that a
//! record of strings costs its table entries and nothing else. A repeated key stays repeated; whoever looks a value up
//! takes the last. Metadata becomes the field `metadata`, what a group shares the field `group`, both as compact JSON,
//! or one field per leaf ([`Metadata::Fields`]); a record that has a field of that name already gets `_` before it.
//! Group markers are no records, and a group ends with its message or blob at the latest.
//!
//! A bad entry is counted in the [`Tally`] and skipped, or kept as far as it can be read ([`Settings::skip_invalid`]).
//! A blob has not been walked by the scanner, so it may also end inside an entry, or hold a byte after which no entry
//! can be found: what stands before is kept.

use std::ops::Range;

use super::message::Event;
use super::tally::{Invalid, Tally};
use crate::base::limits::INFLATED_BYTES;
use crate::config::plan::Metadata;
use crate::record::msgpack::{WalkError, Walker};
use crate::record::{Batch, Field, Timestamp};
use sink::{Entry, Shared, Sink};

mod flatten;
mod keep;
mod sink;

/// A step ends when it has made so much text, whether that became records or not, and has gone one entry on at least.
const STEP_ARENA_BYTES: usize = 16 * 1024 * 1024;
/// A step also ends when its records have so many fields: a field of two bytes takes 16 in the table.
const STEP_FIELDS: usize = 256 * 1024;
/// Text that groups, and names of metadata leaves, may add to the records of one message: so much for any message, and so many times a message's
/// length, as long as it stays below what a message may inflate to. Without it, a megabyte of attributes before a
/// million empty records would be a terabyte.
const SHARED_BYTES: usize = 8 * 1024 * 1024;
const SHARED_TIMES: usize = 16;

/// What decoding needs to know beside the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The time of receipt, for events without one.
    pub received: Timestamp,
    /// Leave out fields whose value is nil, instead of keeping them empty.
    pub drop_nil: bool,
    /// Take integer times from 10^11 up as milliseconds, from 10^14 as microseconds, from 10^17 as nanoseconds.
    pub guess_units: bool,
    pub metadata: Metadata,
    /// Drop and count an event that is none. Else it is kept: with the time of receipt when its time is bad, and as one
    /// field `invalid_event` when its record or the entry itself is no such thing.
    pub skip_invalid: bool,
    /// Fields of the connection, for every record, in place of the record's own of these names.
    pub extra: &'a [Extra],
}

/// A field that the connection gives to every record: the peer's address, its name, the name in its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    pub key: Box<str>,
    pub value: Box<str>,
}

impl Settings<'_> {
    /// What a peer's bytes become when nothing is configured.
    pub fn new(received: Timestamp) -> Self {
        Settings {
            received,
            drop_nil: false,
            guess_units: true,
            metadata: Metadata::Nested,
            skip_invalid: true,
            extra: &[],
        }
    }
}

/// Adds the event of a Message-mode message to the batch. `base` is the message's offset in the batch's frame: the
/// messages of one read are decoded into one batch while their tags are equal.
pub fn decode_event(
    batch: &mut Batch,
    base: usize,
    event: &Event,
    settings: &Settings<'_>,
    tally: &mut Tally,
) {
    let mut sink = Sink::new(batch, settings, tally, SHARED_BYTES);
    let metadata = event.metadata.as_ref().map(|place| base + place.start..base + place.end);
    match sink.event(base + event.time.start, base + event.record.start, metadata) {
        Ok(()) => tally.records += 1,
        Err(reason) => tally.drop(reason),
    }
}

/// Counts the one event of a message that can never be stored (`Body::Dropped`), or keeps its bytes as JSON when the
/// settings say so. `place` is the whole message in the batch's frame.
pub fn decode_dropped(
    batch: &mut Batch,
    place: Range<usize>,
    reason: Invalid,
    settings: &Settings<'_>,
    tally: &mut Tally,
) {
    let mut sink = Sink::new(batch, settings, tally, 0);
    match sink.keep_message(place, reason) {
        Ok(()) => tally.records += 1,
        Err(reason) => tally.drop(reason),
    }
}

/// Adds all entries of the array of a Forward message at `place` of the batch's frame, its header included.
pub fn decode_array(batch: &mut Batch, place: Range<usize>, settings: &Settings<'_>, tally: &mut Tally) {
    let mut entries = Entries::array(&batch.frame, place);
    while entries.step(batch, settings, tally, usize::MAX) {}
}

/// Adds all entries of the blob at `place` of the batch's frame.
pub fn decode_packed(batch: &mut Batch, place: Range<usize>, settings: &Settings<'_>, tally: &mut Tally) {
    let mut entries = Entries::packed(place);
    while entries.step(batch, settings, tally, usize::MAX) {}
}

/// Entries that are decoded in steps, so that a message of a million records needs tables for a few thousand: between
/// two steps the caller may encode the batch's records and clear its tables and arena, but must keep its frame.
#[derive(Clone, Debug)]
pub struct Entries {
    place: Range<usize>,
    /// Entries still to come: the array's count, or as many as a blob may hold.
    left: usize,
    packed: bool,
    /// Where the shared part of the group that is open stands, and how much text it makes.
    group: Option<(Range<usize>, usize)>,
    /// That part as fields, made anew in each step.
    leaves: Vec<Field>,
    /// Bytes of shared text that records may still get.
    shared_left: usize,
}

impl Entries {
    /// The array at `place` of a frame, its header included.
    pub fn array(frame: &[u8], place: Range<usize>) -> Self {
        let mut walker = Walker::at(frame, place.start);
        let left = walker.take_array().unwrap_or(0);
        Entries::new(walker.position()..place.end, left, false)
    }

    /// The concatenated entries at `place`.
    pub fn packed(place: Range<usize>) -> Self {
        Entries::new(place, usize::MAX, true)
    }

    fn new(place: Range<usize>, left: usize, packed: bool) -> Self {
        let shared_left =
            SHARED_BYTES.saturating_add(place.len().saturating_mul(SHARED_TIMES)).min(INFLATED_BYTES);
        Entries { place, left, packed, group: None, leaves: Vec::new(), shared_left }
    }

    /// Decodes up to `at_most` records, fewer when they make much text or many fields, perhaps none; true when there may
    /// be more.
    pub fn step(
        &mut self,
        batch: &mut Batch,
        settings: &Settings<'_>,
        tally: &mut Tally,
        at_most: usize,
    ) -> bool {
        let mut sink = Sink::new(batch, settings, tally, self.shared_left);
        let bytes = sink.bytes.get(..self.place.end).unwrap_or(sink.bytes);
        let mut walker = Walker::at(bytes, self.place.start);
        let (arena_from, fields_from, left_before) = (sink.arena.len(), sink.fields.len(), self.left);
        let leaves = &mut self.leaves;
        let mut group = match self.group.clone() {
            // Made anew for each step, which a large group and small records would make endless.
            Some((_, bytes)) if bytes > sink.shared_left => Shared::Spent,
            Some((place, bytes)) => {
                sink.shared_left -= bytes;
                sink.share(place, leaves).unwrap_or(sink.alone())
            }
            None => sink.alone(),
        };
        let mut records = 0;
        while self.left > 0 && records < at_most && !(self.packed && walker.is_done()) {
            let large = sink.arena.len() - arena_from > STEP_ARENA_BYTES
                || sink.fields.len() - fields_from > STEP_FIELDS;
            if large && self.left < left_before {
                break;
            }
            self.left -= 1;
            let start = walker.position();
            match sink.entry(&mut walker, group, leaves) {
                Ok(Entry::Record) => records += 1,
                Ok(Entry::GroupEnd) => (self.group, group) = (None, sink.alone()),
                Ok(Entry::GroupStart(shared)) => {
                    (self.group, group) = (None, sink.alone());
                    if let Some(place) = shared {
                        match sink.share(place.clone(), leaves) {
                            Ok(shared) => (self.group, group) = (Some((place, shared.bytes())), shared),
                            Err(reason) => sink.tally.drop(reason),
                        }
                    }
                }
                Err(reason) => {
                    walker = Walker::at(bytes, start);
                    match walker.skip() {
                        Ok(place) => match sink.keep_entry(place, reason, group, leaves) {
                            Ok(()) => records += 1,
                            Err(reason) => sink.tally.drop(reason),
                        },
                        Err(error) => {
                            sink.tally.drop(error.into());
                            self.left = 0;
                        }
                    }
                }
            }
        }
        self.place.start = walker.position();
        self.shared_left = sink.shared_left;
        sink.tally.records += records as u64;
        self.left > 0 && !(self.packed && walker.is_done())
    }
}

impl From<WalkError> for Invalid {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::End => Invalid::Cut,
            WalkError::Reserved | WalkError::Depth => Invalid::Damaged,
        }
    }
}

#[cfg(test)]
mod tests;
