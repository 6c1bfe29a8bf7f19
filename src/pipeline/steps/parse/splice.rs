//! How parsed fields come into a record, whatever the format: they stand where their text stood.
//!
//! ```text
//! source=stdout  log=GET /a 200                            container_id=4f..
//!      |             |                                          |
//! source=stdout  method=GET  uri=/a  status=200            container_id=4f..      (`keep`: log stays, before method)
//! ```
//!
//! A field that the record has already wins over a parsed one of its name: `container_id`, `source` and the like are the
//! gateway's word, not that of what runs in the container. The parsed one is not lost, it is put under the name of the
//! parsed field, a dot and its own, as in `log.source`. The parsed field itself gives way, unless it is to stay.
//!
//! The record is written anew at the end of the batch's field table. Until it is closed, the splice can be undone, and the
//! batch is as it was.

use std::ops::Range;

use crate::config::plan::ParsePlan;
use crate::record::{Batch, Field, Span};

/// Fields of one record once it is parsed. Every parsed one may be compared with every field that was there.
pub(super) const FIELDS: usize = 512;

/// A record that is being written anew.
pub(super) struct Splice<'a> {
    plan: &'a ParsePlan,
    /// Length of the arena before.
    made: usize,
    /// Where the new record begins in the field table, and where its parsed fields do.
    first: usize,
    parsed: usize,
    /// The fields of the old record behind the text. None has the name of the parsed field.
    behind: Range<usize>,
    /// A bit for each length that a name among the fields that are there has.
    lengths: u64,
    /// Parsed fields that may still come.
    left: usize,
}

impl<'a> Splice<'a> {
    /// Begins with the fields before the text, which is the value of the field at `at`, the last one of its name.
    pub(super) fn open(plan: &'a ParsePlan, batch: &mut Batch, record: usize, at: usize) -> Splice<'a> {
        let (made, first) = (batch.arena.len(), batch.fields.len());
        let old = batch.records[record].range();
        let behind = at + 1..old.end;
        let mut lengths = 0;
        for at in old.start..behind.start {
            let field = batch.fields[at];
            if plan.keep || batch.bytes(field.key) != plan.key.as_bytes() {
                lengths |= length_bit(field.key);
                batch.fields.push(field);
            }
        }
        let parsed = batch.fields.len();
        for field in batch.fields.get(behind.clone()).unwrap_or_default() {
            lengths |= length_bit(field.key);
        }
        let left = FIELDS.saturating_sub(parsed - first + behind.len());
        Splice { plan, made, first, parsed, behind, lengths, left }
    }

    /// How many parsed fields may still come.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// A key with the plan's prefix before it.
    pub(super) fn prefixed(&self, batch: &mut Batch, key: Span) -> Span {
        if self.plan.prefix.is_empty() { key } else { joined(batch, &[&self.plan.prefix], key) }
    }

    /// Adds a parsed field; its name has the prefix already. False when there are too many.
    pub(super) fn put(&mut self, batch: &mut Batch, name: Span, value: Span) -> bool {
        if !self.pass() {
            return false;
        }
        let key = if self.lengths & length_bit(name) != 0 && self.is_taken(batch, name) {
            joined(batch, &[&self.plan.key, "."], name)
        } else {
            name
        };
        batch.fields.push(Field { key, value });
        true
    }

    /// Counts a field that does not come. False when there are too many.
    pub(super) fn pass(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or_default();
        left.is_some()
    }

    fn is_taken(&self, batch: &Batch, name: Span) -> bool {
        let bytes = batch.bytes(name);
        let is_named = |field: &Field| field.key.len() == name.len() && batch.bytes(field.key) == bytes;
        [self.first..self.parsed, self.behind.clone()]
            .into_iter()
            .any(|there| batch.fields.get(there).unwrap_or_default().iter().any(is_named))
    }

    /// Ends the record with the fields behind the text. False, and undone, when nothing was parsed.
    pub(super) fn close(self, batch: &mut Batch, record: usize) -> bool {
        if batch.fields.len() == self.parsed {
            self.undo(batch);
            return false;
        }
        batch.fields.extend_from_within(self.behind);
        let record = &mut batch.records[record];
        record.first = self.first as u32;
        record.count = (batch.fields.len() - self.first) as u32;
        true
    }

    pub(super) fn undo(self, batch: &mut Batch) {
        batch.fields.truncate(self.first);
        batch.arena.truncate(self.made);
    }
}

/// Lengths from 63 on share a bit.
fn length_bit(key: Span) -> u64 {
    1 << key.len().min(63)
}

/// A name with parts before it.
pub(super) fn joined(batch: &mut Batch, parts: &[&str], name: Span) -> Span {
    let len = parts.iter().map(|part| part.len()).sum::<usize>() + name.len();
    batch.rewrite(name, len, |name, mut out| {
        for part in parts.iter().map(|part| part.as_bytes()).chain([name]) {
            let (room, rest) = out.split_at_mut(part.len());
            room.copy_from_slice(part);
            out = rest;
        }
        len
    })
}

/// The names of the fields that a plan makes, to be laid into the arena by one copy for each record.
pub(super) struct Names {
    text: Vec<u8>,
    /// Where each begins and how long it is.
    places: Vec<(usize, usize)>,
}

impl Names {
    pub(super) fn new<'a>(prefix: &str, keys: impl IntoIterator<Item = &'a str>) -> Names {
        let mut names = Names { text: Vec::new(), places: Vec::new() };
        for key in keys {
            names.places.push((names.text.len(), prefix.len() + key.len()));
            names.text.extend_from_slice(prefix.as_bytes());
            names.text.extend_from_slice(key.as_bytes());
        }
        names
    }

    /// What [`Names::of`] cuts names out of.
    pub(super) fn lay(&self, batch: &mut Batch) -> Span {
        batch.keep(&self.text)
    }

    pub(super) fn of(&self, laid: Span, index: usize) -> Span {
        let (at, len) = self.places.get(index).copied().unwrap_or_default();
        laid.slice(at, len)
    }
}
