//! Events that are none, for inputs that keep them: whatever of an entry can be read becomes a record.
//!
//! ```text
//! [bad time, {record}]     the record, with the time of receipt
//! [time, no record]        invalid_event: the entry as JSON, with its time
//! no entry at all          invalid_event: what stands there as JSON, with the time of receipt
//! ```
//!
//! What is cut or damaged has no end and what is too large has no place: both stay dropped and counted.

use std::ops::Range;

use super::super::tally::Invalid;
use super::super::time;
use super::sink::{ARENA_BYTES, NESTED_BYTES, Shared, Sink, take_metadata};
use crate::record::msgpack::Walker;
use crate::record::{Field, Record, Span, Timestamp, json};

const INVALID_EVENT: &[u8] = b"invalid_event";

impl Sink<'_> {
    /// Keeps the entry at `place`, which is framed well but was refused for `reason`; or gives the reason back.
    #[cold]
    pub(super) fn keep_entry(
        &mut self,
        place: Range<usize>,
        reason: Invalid,
        group: Shared,
        leaves: &[Field],
    ) -> Result<(), Invalid> {
        if self.settings.skip_invalid {
            return Err(reason);
        }
        let reason = match reason {
            Invalid::Time => match self.timeless(&place, group, leaves) {
                Ok(()) => return Ok(()),
                Err(reason) => reason,
            },
            reason => reason,
        };
        if !matches!(reason, Invalid::Entry | Invalid::Record | Invalid::Time) {
            return Err(reason);
        }
        let time = self.time_of_entry(&place);
        let mut walker = Walker::at(self.bytes, place.start);
        let text = self.text_of(place.len(), |out, bytes| json::append_json(out, bytes, &mut walker))?;
        self.keep_text(time, text);
        Ok(())
    }

    /// Keeps the whole message at `place` without what its record would be; or gives the reason back.
    #[cold]
    pub(super) fn keep_message(&mut self, place: Range<usize>, reason: Invalid) -> Result<(), Invalid> {
        if self.settings.skip_invalid || !matches!(reason, Invalid::Tag | Invalid::Record) {
            return Err(reason);
        }
        let mut walker = Walker::at(self.bytes, place.start);
        let whole = walker.clone();
        let elements = walker.take_array().ok_or(reason)?;
        walker.skip()?;
        let time = self.time(&mut walker.clone()).unwrap_or(self.settings.received);
        let text = self.text_of(place.len(), |out, bytes| {
            if reason == Invalid::Tag {
                return json::append_json(out, bytes, &mut { whole });
            }
            // As an entry: without the tag and the options.
            out.push(b'[');
            for element in 1..elements.min(3) {
                if element > 1 {
                    out.push(b',');
                }
                json::append_json(out, bytes, &mut walker)?;
            }
            out.push(b']');
            Ok(())
        })?;
        self.keep_text(time, text);
        Ok(())
    }

    /// Adds the record of an entry whose time is none, with the time of receipt.
    fn timeless(&mut self, place: &Range<usize>, group: Shared, leaves: &[Field]) -> Result<(), Invalid> {
        let mut walker = Walker::at(self.bytes, place.start);
        let elements = walker.take_array().ok_or(Invalid::Entry)?;
        let mut inner = walker.clone();
        let mut metadata = None;
        if inner.take_array() == Some(2) {
            walker = inner;
            walker.skip()?;
            metadata = take_metadata(&mut walker)?;
        } else {
            walker.skip()?;
        }
        self.finish(&mut walker, elements, self.settings.received, metadata, group, leaves)?;
        self.tally.kept += 1;
        Ok(())
    }

    /// The time that stands in a refused entry, else that of receipt.
    fn time_of_entry(&mut self, place: &Range<usize>) -> Timestamp {
        let received = self.settings.received;
        let mut walker = Walker::at(self.bytes, place.start);
        if walker.take_array().is_none_or(|elements| elements == 0) {
            return received;
        }
        if walker.clone().take_array() == Some(2) {
            walker.take_array();
            if !matches!(time::group_marker(self.bytes, &mut walker), Ok(None)) {
                return received;
            }
        }
        self.time(&mut walker).unwrap_or(received)
    }

    /// Text in the arena, written from a value of `length` bytes.
    fn text_of(
        &mut self,
        length: usize,
        write: impl FnOnce(&mut Vec<u8>, &[u8]) -> Result<(), crate::record::msgpack::WalkError>,
    ) -> Result<Span, Invalid> {
        let from = self.arena.len();
        if length > NESTED_BYTES || from > ARENA_BYTES {
            return Err(Invalid::Large);
        }
        if let Err(error) = write(self.arena, self.bytes) {
            self.arena.truncate(from);
            return Err(error.into());
        }
        Ok(Span::arena(from, self.arena.len() - from))
    }

    fn keep_text(&mut self, time: Timestamp, text: Span) {
        self.records.push(Record { time, first: self.fields.len() as u32, count: 0 });
        self.aside(INVALID_EVENT, false, text);
        self.tally.kept += 1;
        if !self.settings.extra.is_empty() {
            self.add_extra();
        }
    }
}
