//! A line that waits for its pieces. Pieces are kept by ordinal, since after a reconnect the second may be read before
//! the first; resent ones are recognised by it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::super::stream::Origin;
use super::Marks;
use super::piece::{Piece, StreamKey};
use crate::record::{Batch, Record, Timestamp};

/// What a line and a piece cost beside their text.
const LINE_BYTES: usize = 512;
const PIECE_BYTES: usize = 160;

pub struct Line {
    pub origin: Origin,
    pub tag: Vec<u8>,
    pub stream: StreamKey,
    pub id: Vec<u8>,
    has_id: bool,
    /// The record's other fields, from the piece that came first.
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    pieces: BTreeMap<u32, Held>,
    text_bytes: usize,
    bytes: usize,
    last: Option<u32>,
    cut: bool,
    /// Entries of the queue `pending` that hold its pieces.
    pub stored: Vec<u64>,
    /// Entries being stored right now, whose indices come back in order.
    pub(super) awaited: usize,
    /// When it is emitted as it is.
    pub until: Instant,
}

struct Held {
    piece: Piece,
    saved: bool,
}

impl Line {
    pub fn new(origin: &Origin, tag: &[u8], first: &Piece, until: Instant) -> Line {
        Line {
            origin: origin.clone(),
            tag: tag.to_vec(),
            stream: first.stream.clone(),
            id: first.id.clone(),
            has_id: first.has_id(),
            fields: Vec::new(),
            pieces: BTreeMap::new(),
            text_bytes: 0,
            bytes: tag.len() + first.id.len() + LINE_BYTES,
            last: None,
            cut: false,
            stored: Vec::new(),
            awaited: 0,
            until,
        }
    }

    pub fn has_id(&self) -> bool {
        self.has_id
    }

    /// Whether the piece belongs to this line and not to the next one of the same container and output.
    pub fn continues_with(&self, piece: &Piece) -> bool {
        self.id == piece.id
    }

    /// Whether a record without marks is the next piece of this line.
    pub fn goes_on(&self, record: &Record, marks: Marks) -> bool {
        let first = self.pieces.values().next().map(|held| held.piece.time);
        let to_the_millisecond = |time: Timestamp| (time.seconds, time.nanos / 1_000_000);
        !self.has_id
            && (marks == Marks::Length
                || first.is_some_and(|first| to_the_millisecond(first) == to_the_millisecond(record.time)))
    }

    /// Whether so many bytes more are still within the longest line.
    pub fn has_room(&self, bytes: usize, max_line: usize) -> bool {
        bytes <= max_line.saturating_sub(self.text_bytes)
    }

    /// Adds a piece; false when it was there already. Text beyond `max_line` bytes is not kept, and ends the line.
    pub fn add(&mut self, mut piece: Piece, stored: Option<u64>, max_line: usize, until: Instant) -> bool {
        self.stored.extend(stored);
        let next = self.pieces.last_key_value().map_or(1, |(ordinal, _)| ordinal.saturating_add(1));
        let ordinal = if piece.ordinal == 0 { next } else { piece.ordinal };
        if self.pieces.contains_key(&ordinal) {
            return false;
        }
        let room = max_line.saturating_sub(self.text_bytes);
        if piece.text.len() > room {
            piece.text.truncate(room);
            self.cut = true;
        }
        if piece.last {
            self.last = Some(ordinal);
        }
        if self.fields.is_empty() {
            self.bytes +=
                piece.fields.iter().map(|(key, value)| key.len() + value.len() + PIECE_BYTES).sum::<usize>();
            self.fields.clone_from(&piece.fields);
        } else {
            // Only the first stored piece has to carry what all have in common.
            piece.fields = Vec::new();
        }
        self.text_bytes += piece.text.len();
        self.bytes += piece.text.len() + PIECE_BYTES;
        self.pieces.insert(ordinal, Held { piece, saved: stored.is_some() });
        self.until = until;
        true
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether nothing more is wanted: every piece up to the one marked as the last is there, or the line is cut.
    pub fn is_complete(&self) -> bool {
        self.cut || self.last.is_some_and(|last| self.pieces.len() as u64 == u64::from(last))
    }

    /// Complete, or from an engine that never says which piece is the last.
    pub fn is_whole(&self) -> bool {
        self.is_complete() || !self.has_id
    }

    /// The stored form of every piece that is not in the journal yet.
    pub fn unsaved(&mut self) -> Vec<Vec<u8>> {
        let (origin, tag) = (&self.origin, &self.tag);
        self.pieces
            .values_mut()
            .filter(|held| !held.saved)
            .map(|held| {
                held.saved = true;
                held.piece.to_stored(origin, tag)
            })
            .collect()
    }

    /// Writes the joined record behind the others of a batch.
    pub fn write(&self, batch: &mut Batch) {
        let Some(first) = self.pieces.values().next().map(|held| &held.piece) else { return };
        let time: Timestamp = first.time;
        batch.begin(time);
        for (key, value) in &self.fields {
            let (key, value) = (batch.keep(key), batch.keep(value));
            batch.push(key, value);
        }
        let key = batch.keep(first.key.as_bytes());
        let text = batch.make(|arena| {
            for held in self.pieces.values() {
                arena.extend_from_slice(&held.piece.text);
            }
        });
        batch.push(key, text);
        for (mark, name, value) in
            [(self.cut, "__cut__", first.key), (!self.is_whole(), "__partial__", "true")]
        {
            if mark {
                let (key, value) = (batch.keep(name.as_bytes()), batch.keep(value.as_bytes()));
                batch.push(key, value);
            }
        }
    }
}
