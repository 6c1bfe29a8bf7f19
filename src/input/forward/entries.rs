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
//! takes the last. Metadata becomes the field `metadata`, what a group shares the field `group`, both as compact JSON;
//! a record that has a field of that name already gets `_metadata` or `_group` beside it. Group markers are no records,
//! and a group ends with its message or blob at the latest.
//!
//! A bad entry is counted in the [`Tally`] and skipped. A blob has not been walked by the scanner, so it may also end
//! inside an entry, or hold a byte after which no entry can be found: what stands before is kept.

use std::ops::Range;

use super::message::Event;
use super::tally::{Invalid, Tally};
use super::time::{self, Marker};
use crate::base::limits::INFLATED_BYTES;
use crate::record::msgpack::{WalkError, Walker};
use crate::record::{Batch, Field, Record, Span, Timestamp, json};

/// Fields of one record: more is no log line but an attack on the table.
const RECORD_FIELDS: usize = 65_536;
/// Bytes of one nested value, as MessagePack. Log Service takes 1 MiB of text; JSON can be several times as long.
const NESTED_BYTES: usize = 16 * 1024 * 1024;
/// A step ends when it has made so much text, or at least one record.
const STEP_ARENA_BYTES: usize = 16 * 1024 * 1024;
/// Text that groups may add to the records of one message: so much for any message, and so many times a message's
/// length, as long as it stays below what a message may inflate to. Without it, a megabyte of attributes before a
/// million empty records would be a terabyte.
const SHARED_BYTES: usize = 8 * 1024 * 1024;
const SHARED_TIMES: usize = 16;
/// Spans address 2 GiB; no nested value can lead from here to there.
const ARENA_BYTES: usize = 1 << 30;

/// What decoding needs to know beside the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The time of receipt, for events without one.
    pub received: Timestamp,
    /// Leave out fields whose value is nil, instead of keeping them empty.
    pub drop_nil: bool,
    /// Take integer times from 10^11 up as milliseconds, from 10^14 as microseconds, from 10^17 as nanoseconds.
    pub guess_units: bool,
}

impl Settings {
    pub fn new(received: Timestamp) -> Self {
        Settings { received, drop_nil: false, guess_units: true }
    }
}

/// Adds the event of a Message-mode message to the batch. `base` is the message's offset in the batch's frame: the
/// messages of one read are decoded into one batch while their tags are equal.
pub fn decode_event(batch: &mut Batch, base: usize, event: &Event, settings: &Settings, tally: &mut Tally) {
    let mut sink = Sink::new(batch, settings, tally);
    let bytes = sink.bytes;
    let added = sink.time(&mut Walker::at(bytes, base + event.time.start)).and_then(|time| {
        let metadata = event.metadata.as_ref().map(|place| base + place.start..base + place.end);
        sink.record(&mut Walker::at(bytes, base + event.record.start), time, metadata)
    });
    match added {
        Ok(()) => tally.records += 1,
        Err(reason) => tally.drop(reason),
    }
}

/// Adds all entries of the array of a Forward message at `place` of the batch's frame, its header included.
pub fn decode_array(batch: &mut Batch, place: Range<usize>, settings: &Settings, tally: &mut Tally) {
    let mut entries = Entries::array(batch, place);
    while entries.step(batch, settings, tally, usize::MAX) {}
}

/// Adds all entries of the blob at `place` of the batch's frame.
pub fn decode_packed(batch: &mut Batch, place: Range<usize>, settings: &Settings, tally: &mut Tally) {
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
    /// Where the shared part of the group that is open stands.
    group: Option<Range<usize>>,
    /// Bytes of shared text that records may still get.
    shared_left: usize,
}

impl Entries {
    /// The array at `place`, its header included.
    pub fn array(batch: &Batch, place: Range<usize>) -> Self {
        let mut walker = Walker::at(&batch.frame, place.start);
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
        Entries { place, left, packed, group: None, shared_left }
    }

    /// Decodes up to `at_most` records, fewer when they make much text; true when there may be more.
    pub fn step(
        &mut self,
        batch: &mut Batch,
        settings: &Settings,
        tally: &mut Tally,
        at_most: usize,
    ) -> bool {
        let mut sink = Sink::new(batch, settings, tally);
        sink.shared_left = self.shared_left;
        let bytes = sink.bytes.get(..self.place.end).unwrap_or(sink.bytes);
        let mut walker = Walker::at(bytes, self.place.start);
        let arena_from = sink.arena.len();
        let mut group = self.group.clone().and_then(|place| sink.json(place).ok());
        let mut records = 0;
        while self.left > 0 && records < at_most && !(self.packed && walker.is_done()) {
            if records > 0 && sink.arena.len() - arena_from > STEP_ARENA_BYTES {
                break;
            }
            self.left -= 1;
            let start = walker.position();
            match sink.entry(&mut walker, group) {
                Ok(Entry::Record) => records += 1,
                Ok(Entry::GroupEnd) => (self.group, group) = (None, None),
                Ok(Entry::GroupStart(shared)) => {
                    (self.group, group) = (None, None);
                    if let Some(place) = shared {
                        match sink.json(place.clone()) {
                            Ok(text) => (self.group, group) = (Some(place), Some(text)),
                            Err(reason) => sink.tally.drop(reason),
                        }
                    }
                }
                Err(reason) => {
                    walker = Walker::at(bytes, start);
                    match walker.skip() {
                        Ok(_) => sink.tally.drop(reason),
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

/// What an entry turned out to be.
enum Entry {
    Record,
    /// With the place of the attributes its records share, when there are any.
    GroupStart(Option<Range<usize>>),
    GroupEnd,
}

/// The batch, taken apart so that its frame can be read while its tables grow.
struct Sink<'a> {
    bytes: &'a [u8],
    arena: &'a mut Vec<u8>,
    fields: &'a mut Vec<Field>,
    records: &'a mut Vec<Record>,
    settings: &'a Settings,
    tally: &'a mut Tally,
    /// The record decoded last has fields of these names of its own.
    has_metadata: bool,
    has_group: bool,
    shared_left: usize,
}

impl<'a> Sink<'a> {
    #[inline]
    fn new(batch: &'a mut Batch, settings: &'a Settings, tally: &'a mut Tally) -> Self {
        let Batch { frame, arena, fields, records, .. } = batch;
        Sink {
            bytes: frame,
            arena,
            fields,
            records,
            settings,
            tally,
            has_metadata: false,
            has_group: false,
            shared_left: 0,
        }
    }

    #[inline]
    fn entry(&mut self, walker: &mut Walker<'_>, group: Option<Span>) -> Result<Entry, Invalid> {
        let elements = match walker.take_array() {
            Some(elements @ 2..) => elements,
            _ => return Err(Invalid::Entry),
        };
        let mut metadata = None;
        let time;
        if matches!(walker.peek(), Some(0x92 | 0xdc | 0xdd)) {
            if walker.take_array() != Some(2) {
                return Err(Invalid::Entry);
            }
            if let Some(marker) = time::group_marker(self.bytes, walker)? {
                walker.skip()?;
                let body = walker.clone();
                let place = walker.skip()?;
                skip_extra(walker, elements)?;
                return Ok(match marker {
                    Marker::End => Entry::GroupEnd,
                    Marker::Start => Entry::GroupStart(body.filled_map().then_some(place)),
                });
            }
            time = self.time(walker)?;
            metadata = match walker.peek() {
                Some(0x80 | 0xc0) => {
                    walker.skip()?;
                    None
                }
                Some(0x81..=0x8f | 0xde | 0xdf) => {
                    let filled = walker.filled_map();
                    Some(walker.skip()?).filter(|_| filled)
                }
                _ => return Err(Invalid::Entry),
            };
        } else {
            time = self.time(walker)?;
        }
        self.record(walker, time, metadata)?;
        if let Err(reason) = skip_extra(walker, elements) {
            self.abandon();
            return Err(reason);
        }
        if let Some(group) = group {
            match self.shared_left.checked_sub(group.len()) {
                Some(left) => {
                    self.shared_left = left;
                    self.aside(b"group", self.has_group, group);
                }
                None => self.tally.unshared += 1,
            }
        }
        Ok(Entry::Record)
    }

    #[inline]
    fn time(&mut self, walker: &mut Walker<'_>) -> Result<Timestamp, Invalid> {
        time::take(self.bytes, walker, self.settings, self.tally)
    }

    /// Adds the record at the cursor, or leaves the batch as it was.
    #[inline]
    fn record(
        &mut self,
        walker: &mut Walker<'_>,
        time: Timestamp,
        metadata: Option<Range<usize>>,
    ) -> Result<(), Invalid> {
        let first = self.fields.len();
        if let Err(reason) = self.fields(walker) {
            self.fields.truncate(first);
            return Err(reason);
        }
        let count = (self.fields.len() - first) as u32;
        self.records.push(Record { time, first: first as u32, count });
        if let Some(place) = metadata {
            let filled = Walker::at(self.bytes, place.start).filled_map();
            match self.json(place) {
                Ok(text) if filled => self.aside(b"metadata", self.has_metadata, text),
                Ok(_) => {}
                Err(reason) => {
                    self.abandon();
                    return Err(reason);
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn fields(&mut self, walker: &mut Walker<'_>) -> Result<(), Invalid> {
        let pairs = walker.take_map().ok_or(Invalid::Record)?;
        if pairs > RECORD_FIELDS {
            return Err(Invalid::Large);
        }
        (self.has_metadata, self.has_group) = (false, false);
        for _ in 0..pairs {
            let key = match walker.take_bytes() {
                Some(place) => {
                    match place.len() {
                        8 => self.has_metadata |= self.bytes.get(place.clone()) == Some(b"metadata"),
                        5 => self.has_group |= self.bytes.get(place.clone()) == Some(b"group"),
                        _ => {}
                    }
                    Span::frame(place.start, place.len())
                }
                None => self.made(walker)?,
            };
            let value = match walker.take_bytes() {
                Some(place) => Span::frame(place.start, place.len()),
                None if self.settings.drop_nil && walker.peek() == Some(0xc0) => {
                    walker.skip()?;
                    continue;
                }
                None => self.made(walker)?,
            };
            self.fields.push(Field { key, value });
        }
        Ok(())
    }

    /// The text of a value that is no string.
    fn made(&mut self, walker: &mut Walker<'_>) -> Result<Span, Invalid> {
        if walker.peek() == Some(0xc0) {
            walker.skip()?;
            return Ok(Span::EMPTY);
        }
        if matches!(walker.peek(), Some(0x80..=0x9f | 0xc7..=0xc9 | 0xdc..=0xdf))
            && walker.clone().skip()?.len() > NESTED_BYTES
            || self.arena.len() > ARENA_BYTES
        {
            return Err(Invalid::Large);
        }
        let from = self.arena.len();
        if let Err(error) = json::append_text(self.arena, self.bytes, walker) {
            self.arena.truncate(from);
            return Err(error.into());
        }
        Ok(Span::arena(from, self.arena.len() - from))
    }

    /// The value at `place` as compact JSON.
    fn json(&mut self, place: Range<usize>) -> Result<Span, Invalid> {
        self.made(&mut Walker::at(self.bytes, place.start))
    }

    /// Adds a field of ours to the record added last, under another name when the record has one of that name.
    fn aside(&mut self, name: &[u8], taken: bool, value: Span) {
        let Some(record) = self.records.last_mut() else { return };
        let from = self.arena.len();
        if taken {
            self.arena.push(b'_');
        }
        self.arena.extend_from_slice(name);
        self.fields.push(Field { key: Span::arena(from, self.arena.len() - from), value });
        record.count += 1;
    }

    fn abandon(&mut self) {
        if let Some(record) = self.records.pop() {
            self.fields.truncate(record.first as usize);
        }
    }
}

/// Steps over what a longer entry has behind its record.
fn skip_extra(walker: &mut Walker<'_>, elements: usize) -> Result<(), Invalid> {
    for _ in 2..elements {
        walker.skip()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
