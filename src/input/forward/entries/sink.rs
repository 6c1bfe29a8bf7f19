//! One entry into the batch's tables: the table entries of its fields, and beside them what was said about the record.
//!
//! ```text
//! fields of a record   its own | metadata | group | extra fields of the connection
//! ```
//!
//! A record that turns out to be none leaves no field behind; text that was made for it stays in the arena until the
//! step ends. Everything but the plain record is out of line, so that the hot path stays short.

use std::ops::Range;

use super::super::tally::{Invalid, Tally};
use super::super::time::{self, Marker};
use super::Settings;
use crate::config::plan::Metadata;
use crate::record::msgpack::Walker;
use crate::record::{Batch, Field, Record, Span, Timestamp, json};

/// Fields of one record: more is no log line but an attack on the table.
const RECORD_FIELDS: usize = 65_536;
/// Bytes of one nested value, as MessagePack. Log Service takes 1 MiB of text; JSON can be several times as long.
pub(super) const NESTED_BYTES: usize = 16 * 1024 * 1024;
/// Spans address 2 GiB; no nested value can lead from here to there.
pub(super) const ARENA_BYTES: usize = 1 << 30;

/// What an entry turned out to be.
pub(super) enum Entry {
    Record,
    /// With the place of the attributes its records share, when there are any.
    GroupStart(Option<Range<usize>>),
    GroupEnd,
}

/// What a record gets beside its own fields and metadata: what its group gives, and the connection's extra fields. One
/// look tells the hot path that there is neither.
#[derive(Clone, Copy)]
pub(super) enum Shared {
    Nothing,
    /// The extra fields alone.
    Extra,
    /// The group as one field of compact JSON.
    Json(Span),
    /// The group as the leaves given with this, so many bytes in keys and values.
    Leaves(usize),
    /// The group has cost what it may cost.
    Spent,
}

impl Shared {
    /// Text made for it.
    pub(super) fn bytes(self) -> usize {
        match self {
            Shared::Json(text) => text.len(),
            Shared::Leaves(size) => size,
            Shared::Nothing | Shared::Extra | Shared::Spent => 0,
        }
    }
}

/// The batch, taken apart so that its frame can be read while its tables grow.
pub(super) struct Sink<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) arena: &'a mut Vec<u8>,
    pub(super) fields: &'a mut Vec<Field>,
    pub(super) records: &'a mut Vec<Record>,
    pub(super) settings: &'a Settings<'a>,
    pub(super) tally: &'a mut Tally,
    /// The record decoded last has fields of these names of its own.
    has_metadata: bool,
    has_group: bool,
    /// Bytes of text that may still be added to records beside their own.
    pub(super) shared_left: usize,
    /// Where the step's extra fields stand in the arena, once they do.
    pub(super) extra_at: Option<usize>,
}

impl<'a> Sink<'a> {
    #[inline]
    pub(super) fn new(
        batch: &'a mut Batch,
        settings: &'a Settings<'a>,
        tally: &'a mut Tally,
        shared_left: usize,
    ) -> Self {
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
            shared_left,
            extra_at: None,
        }
    }

    /// The single event of Message mode.
    #[inline]
    pub(super) fn event(
        &mut self,
        time: usize,
        record: usize,
        metadata: Option<Range<usize>>,
    ) -> Result<(), Invalid> {
        let bytes = self.bytes;
        let time = match self.time(&mut Walker::at(bytes, time)) {
            Err(Invalid::Time) if !self.settings.skip_invalid => {
                return self.timeless_event(record, metadata);
            }
            time => time?,
        };
        self.record(&mut Walker::at(bytes, record), time, metadata)?;
        if !self.settings.extra.is_empty() {
            self.add_extra();
        }
        Ok(())
    }

    /// An event whose time is none, with the time of receipt.
    #[cold]
    fn timeless_event(&mut self, record: usize, metadata: Option<Range<usize>>) -> Result<(), Invalid> {
        self.record(&mut Walker::at(self.bytes, record), self.settings.received, metadata)?;
        self.tally.kept += 1;
        self.beside(self.alone(), &[]);
        Ok(())
    }

    #[inline]
    pub(super) fn entry(
        &mut self,
        walker: &mut Walker<'_>,
        group: Shared,
        leaves: &[Field],
    ) -> Result<Entry, Invalid> {
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
            metadata = take_metadata(walker)?;
        } else {
            time = self.time(walker)?;
        }
        self.finish(walker, elements, time, metadata, group, leaves)
    }

    /// The rest of an entry of so many elements, from its record on.
    #[inline(always)]
    pub(super) fn finish(
        &mut self,
        walker: &mut Walker<'_>,
        elements: usize,
        time: Timestamp,
        metadata: Option<Range<usize>>,
        group: Shared,
        leaves: &[Field],
    ) -> Result<Entry, Invalid> {
        self.record(walker, time, metadata)?;
        if let Err(reason) = skip_extra(walker, elements) {
            self.abandon();
            return Err(reason);
        }
        if !matches!(group, Shared::Nothing) {
            self.beside(group, leaves);
        }
        Ok(Entry::Record)
    }

    /// What a record gets that stands in no group.
    pub(super) fn alone(&self) -> Shared {
        if self.settings.extra.is_empty() { Shared::Nothing } else { Shared::Extra }
    }

    /// Adds to the record added last what its group gives, and the connection.
    fn beside(&mut self, group: Shared, leaves: &[Field]) {
        match group {
            Shared::Json(text) if self.afford(text.len()) => self.aside(b"group", self.has_group, text),
            Shared::Leaves(size) if self.afford(size) => self.add_leaves(leaves),
            Shared::Spent => self.tally.unshared += 1,
            _ => {}
        }
        if !self.settings.extra.is_empty() {
            self.add_extra();
        }
    }

    /// So much shared text may be added to one more record; else the record stays without, which is counted.
    fn afford(&mut self, size: usize) -> bool {
        match self.shared_left.checked_sub(size) {
            Some(left) => {
                self.shared_left = left;
                true
            }
            None => {
                self.tally.unshared += 1;
                false
            }
        }
    }

    #[inline]
    pub(super) fn time(&mut self, walker: &mut Walker<'_>) -> Result<Timestamp, Invalid> {
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
        if let Some(place) = metadata
            && let Err(reason) = self.metadata(place)
        {
            self.abandon();
            return Err(reason);
        }
        Ok(())
    }

    /// Adds what stands at `place` about the record added last.
    fn metadata(&mut self, place: Range<usize>) -> Result<(), Invalid> {
        let form = self.settings.metadata;
        if form == Metadata::Drop
            || !Walker::at(self.bytes, place.start).filled_map()
            || form == Metadata::Fields && self.add_flattened(b"metadata.", place.clone())?
        {
            return Ok(());
        }
        let text = self.json(place)?;
        self.aside(b"metadata", self.has_metadata, text);
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
            let mut names_container = false;
            let key = match walker.take_bytes() {
                Some(place) => {
                    match place.len() {
                        14 => names_container = self.bytes.get(place.clone()) == Some(b"container_name"),
                        8 => self.has_metadata |= self.bytes.get(place.clone()) == Some(b"metadata"),
                        5 => self.has_group |= self.bytes.get(place.clone()) == Some(b"group"),
                        _ => {}
                    }
                    Span::frame(place.start, place.len())
                }
                None => self.made(walker)?,
            };
            let value = match walker.take_bytes() {
                // Docker's fluentd driver alone writes the slash of the engine's API before it.
                Some(place)
                    if names_container && self.bytes.get(place.start) == Some(&b'/') && !place.is_empty() =>
                {
                    Span::frame(place.start + 1, place.len() - 1)
                }
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
    pub(super) fn made(&mut self, walker: &mut Walker<'_>) -> Result<Span, Invalid> {
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

    /// The map or array at `place` as compact JSON.
    pub(super) fn json(&mut self, place: Range<usize>) -> Result<Span, Invalid> {
        self.made(&mut Walker::at(self.bytes, place.start))
    }

    /// Adds a field of ours to the record added last, under another name when the record has one of that name.
    pub(super) fn aside(&mut self, name: &[u8], taken: bool, value: Span) {
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

/// Steps over the metadata beside a time and gives its place, when there is any.
#[inline]
pub(super) fn take_metadata(walker: &mut Walker<'_>) -> Result<Option<Range<usize>>, Invalid> {
    match walker.peek() {
        Some(0x80 | 0xc0) => {
            walker.skip()?;
            Ok(None)
        }
        Some(0x81..=0x8f | 0xde | 0xdf) => {
            let filled = walker.filled_map();
            Ok(Some(walker.skip()?).filter(|_| filled))
        }
        _ => Err(Invalid::Entry),
    }
}

/// Steps over what a longer entry has behind its record.
fn skip_extra(walker: &mut Walker<'_>, elements: usize) -> Result<(), Invalid> {
    for _ in 2..elements {
        walker.skip()?;
    }
    Ok(())
}
