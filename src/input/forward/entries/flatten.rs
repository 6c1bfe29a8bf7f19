//! Fields beside a record's own: the leaves of its metadata and of its group, and the extra fields of its connection.
//!
//! ```text
//! metadata {"otlp":{"severity_number":9,"ids":[1,2]}}   metadata.otlp.severity_number  9
//!                                                       metadata.otlp.ids              [1,2]
//! ```
//!
//! A leaf is anything but a map; an empty map gives nothing. Keys are made in the arena: the path of each open map
//! stands there once, and each leaf copies it. Since a long path before many leaves multiplies a message, the leaves of
//! one map and the text of their keys are bounded, and so is that text over the whole message; what goes beyond stays
//! nested, as one field of JSON, so that nothing is lost. A group is taken apart once a step, and its records share
//! the spans.

use std::collections::HashSet;
use std::ops::Range;

use super::super::tally::Invalid;
use super::sink::{Shared, Sink};
use crate::base::limits::DEPTH;
use crate::config::plan::Metadata;
use crate::record::msgpack::Walker;
use crate::record::{Field, Span};

/// Leaves of one metadata or group map.
const LEAVES: usize = 1024;
/// Text of their keys.
const LEAF_KEYS_BYTES: usize = 64 * 1024;

const GROUP: &[u8] = b"group.";

/// A map that is being taken apart: its pairs still to come, and its path in the arena with the dot behind it.
#[derive(Clone, Copy)]
struct Open {
    left: usize,
    path: usize,
    length: usize,
}

impl Open {
    const NONE: Open = Open { left: 0, path: 0, length: 0 };
}

impl Sink<'_> {
    /// Makes what the group whose attributes stand at `place` gives to its records.
    pub(super) fn share(&mut self, place: Range<usize>, leaves: &mut Vec<Field>) -> Result<Shared, Invalid> {
        match self.settings.metadata {
            Metadata::Drop => return Ok(self.alone()),
            Metadata::Nested => {}
            Metadata::Fields => {
                let first = self.fields.len();
                if self.flatten(GROUP, place.start, LEAF_KEYS_BYTES)?.is_some() {
                    leaves.clear();
                    leaves.extend(self.fields.drain(first..));
                    let size = leaves.iter().map(|leaf| leaf.key.len() + leaf.value.len()).sum();
                    return Ok(if leaves.is_empty() { self.alone() } else { Shared::Leaves(size) });
                }
            }
        }
        self.json(place).map(Shared::Json)
    }

    /// Adds a group's leaves to the record added last.
    pub(super) fn add_leaves(&mut self, leaves: &[Field]) {
        let first = self.fields.len();
        self.fields.extend_from_slice(leaves);
        self.own(first, GROUP);
    }

    /// Adds the leaves of the map at `place` to the record added last. False when there are too many or their keys too
    /// long, for the record or for what the message has already been given; then nothing is added.
    pub(super) fn add_flattened(&mut self, prefix: &[u8], place: Range<usize>) -> Result<bool, Invalid> {
        let first = self.fields.len();
        let Some(text) = self.flatten(prefix, place.start, LEAF_KEYS_BYTES.min(self.shared_left))? else {
            return Ok(false);
        };
        self.shared_left -= text;
        self.own(first, prefix);
        Ok(true)
    }

    /// Makes the fields from `first` on, whose keys begin with `prefix`, fields of the record added last, whose fields
    /// end there. A key that the record has already gets `_` before it.
    fn own(&mut self, first: usize, prefix: &[u8]) {
        let Some(record) = self.records.last_mut() else { return };
        let theirs = record.range();
        record.count += (self.fields.len() - first) as u32;
        let (bytes, arena) = (self.bytes, &*self.arena);
        let text = |field: &Field| field.key.of(bytes, arena);
        let own = self.fields.get(theirs).unwrap_or_default();
        if !own.iter().any(|field| text(field).starts_with(prefix)) {
            return;
        }
        let names: HashSet<&[u8]> = own.iter().map(text).filter(|name| name.starts_with(prefix)).collect();
        let is_taken = |at: &usize| self.fields.get(*at).is_some_and(|leaf| names.contains(text(leaf)));
        let taken: Vec<usize> = (first..self.fields.len()).filter(is_taken).collect();
        for at in taken {
            let Some(leaf) = self.fields.get_mut(at) else { continue };
            let name = leaf.key.of(self.bytes, self.arena).to_vec();
            let from = self.arena.len();
            self.arena.push(b'_');
            self.arena.extend_from_slice(&name);
            leaf.key = Span::arena(from, self.arena.len() - from);
        }
    }

    /// Pushes the leaves of the map at `at` onto the field table, for no record yet, and gives the bytes of their keys;
    /// `None`, and no field, when there are more than [`LEAVES`] or their keys take more than `at_most` bytes.
    fn flatten(&mut self, prefix: &[u8], at: usize, at_most: usize) -> Result<Option<usize>, Invalid> {
        let (fields, arena) = (self.fields.len(), self.arena.len());
        let text = self.push_leaves(prefix, at, at_most);
        if !matches!(text, Ok(Some(_))) {
            self.fields.truncate(fields);
            self.arena.truncate(arena);
        }
        text
    }

    fn push_leaves(&mut self, prefix: &[u8], at: usize, at_most: usize) -> Result<Option<usize>, Invalid> {
        let bytes = self.bytes;
        let mut walker = Walker::at(bytes, at);
        let Some(left) = walker.take_map() else { return Ok(Some(0)) };
        let mut open = [Open::NONE; DEPTH];
        let mut depth = 1;
        open[0] = Open { left, path: self.arena.len(), length: prefix.len() };
        self.arena.extend_from_slice(prefix);
        let (first, mut text) = (self.fields.len(), prefix.len());
        while depth > 0 {
            let map = &mut open[depth - 1];
            if map.left == 0 {
                depth -= 1;
                continue;
            }
            map.left -= 1;
            let Open { path, length, .. } = *map;
            let from = self.arena.len();
            let name = walker.take_bytes();
            text += length + name.as_ref().map_or(0, |name| name.len());
            if text > at_most || self.fields.len() - first >= LEAVES {
                return Ok(None);
            }
            self.arena.extend_from_within(path..path + length);
            match name {
                Some(name) => self.arena.extend_from_slice(bytes.get(name).unwrap_or_default()),
                None => text += self.made(&mut walker)?.len(),
            }
            if let Some(left) = walker.take_map() {
                if depth == DEPTH {
                    return Err(Invalid::Damaged);
                }
                self.arena.push(b'.');
                open[depth] = Open { left, path: from, length: self.arena.len() - from };
                depth += 1;
                continue;
            }
            let key = Span::arena(from, self.arena.len() - from);
            let value = match walker.take_bytes() {
                Some(place) => Span::frame(place.start, place.len()),
                None if self.settings.drop_nil && walker.peek() == Some(0xc0) => {
                    walker.skip()?;
                    continue;
                }
                None => self.made(&mut walker)?,
            };
            self.fields.push(Field { key, value });
        }
        Ok(Some(text).filter(|text| *text <= at_most))
    }

    /// Gives the connection's fields to the record added last, in place of its own of these names.
    #[cold]
    pub(super) fn add_extra(&mut self) {
        let extra = self.settings.extra;
        let mut at = match self.extra_at {
            Some(at) => at,
            None => {
                let at = self.arena.len();
                for field in extra {
                    self.arena.extend_from_slice(field.key.as_bytes());
                    self.arena.extend_from_slice(field.value.as_bytes());
                }
                *self.extra_at.insert(at)
            }
        };
        let Some(record) = self.records.last_mut() else { return };
        let mut kept = record.range().start;
        for own in record.range() {
            let Some(field) = self.fields.get(own).copied() else { continue };
            let key = field.key.of(self.bytes, self.arena);
            if extra.iter().all(|extra| extra.key.as_bytes() != key)
                && let Some(place) = self.fields.get_mut(kept)
            {
                *place = field;
                kept += 1;
            }
        }
        self.fields.truncate(kept);
        for field in extra {
            let key = Span::arena(at, field.key.len());
            at += field.key.len();
            self.fields.push(Field { key, value: Span::arena(at, field.value.len()) });
            at += field.value.len();
        }
        record.count = (self.fields.len() - record.range().start) as u32;
    }
}
