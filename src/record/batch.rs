//! The batch: the records decoded from one read, request or file block, with the bytes they point into.
//!
//! Keys and values are spans. A span points into the frame (the bytes as received, or as inflated) or into the arena,
//! where everything lives that had to be made: numbers as text, nested maps as JSON, joined lines. Clearing a batch
//! keeps its tables, so a connection that reuses one batch allocates nothing per record.
//!
//! ```text
//! frame   ... a3 "log" ab "hello world" ...        arena   42 {"a":1} ...
//!                 ^key      ^value                         ^  ^ spans with the top bit of `at` set
//! fields  [key,value][key,value]...    records  [time, first field, count]...
//! ```
//!
//! Invariant: every span of a batch was cut from its own frame or arena. Values are bytes, not text: the one UTF-8
//! check and repair happens when a record is encoded, since senders cut inside characters.

use bytes::Bytes;

use super::time::Timestamp;
use crate::base::signal::Signal;

const IN_ARENA: u32 = 1 << 31;

/// Bytes of a batch: a place in its frame or in its arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    at: u32,
    len: u32,
}

impl Span {
    pub const EMPTY: Span = Span { at: 0, len: 0 };

    /// A span of the frame. Frames are bounded far below 2 GiB by the limits of every input.
    pub fn frame(at: usize, len: usize) -> Span {
        debug_assert!(at + len < IN_ARENA as usize);
        Span { at: at as u32, len: len as u32 }
    }

    pub fn arena(at: usize, len: usize) -> Span {
        debug_assert!(at + len < IN_ARENA as usize);
        Span { at: at as u32 | IN_ARENA, len: len as u32 }
    }

    pub fn len(self) -> usize {
        self.len as usize
    }

    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The bytes it stands for in a batch of this frame and arena, for whoever has taken the batch apart.
    pub fn of<'a>(self, frame: &'a [u8], arena: &'a [u8]) -> &'a [u8] {
        let (from, len) = ((self.at & !IN_ARENA) as usize, self.len());
        if self.at & IN_ARENA == 0 { &frame[from..from + len] } else { &arena[from..from + len] }
    }

    /// The part of this span that starts `from` bytes in and is `len` long; cut to what there is.
    pub fn slice(self, from: usize, len: usize) -> Span {
        let from = (from as u32).min(self.len);
        Span { at: self.at + from, len: (len as u32).min(self.len - from) }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub key: Span,
    pub value: Span,
}

/// One event: its time and its fields, a run of the batch's field table.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub time: Timestamp,
    pub first: u32,
    pub count: u32,
}

impl Record {
    pub fn range(&self) -> std::ops::Range<usize> {
        self.first as usize..self.first as usize + self.count as usize
    }
}

#[derive(Debug, Default)]
pub struct Batch {
    pub frame: Bytes,
    pub arena: Vec<u8>,
    pub tag: Span,
    /// What the records are; routes and logstores depend on it.
    pub signal: Signal,
    pub fields: Vec<Field>,
    pub records: Vec<Record>,
}

impl Batch {
    pub fn bytes(&self, span: Span) -> &[u8] {
        let (from, len) = ((span.at & !IN_ARENA) as usize, span.len());
        if span.at & IN_ARENA == 0 { &self.frame[from..from + len] } else { &self.arena[from..from + len] }
    }

    pub fn tag(&self) -> &[u8] {
        self.bytes(self.tag)
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Forgets all records and bytes, keeps the tables.
    pub fn clear(&mut self) {
        self.frame = Bytes::new();
        self.clear_records();
    }

    /// Forgets all records, their tag and signal and what was made, keeps the frame.
    pub fn clear_records(&mut self) {
        self.arena.clear();
        self.tag = Span::EMPTY;
        self.signal = Signal::Logs;
        self.fields.clear();
        self.records.clear();
    }

    /// Copies bytes that are not in the frame into the arena.
    pub fn keep(&mut self, bytes: &[u8]) -> Span {
        let at = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span::arena(at, bytes.len())
    }

    /// Lets `write` make text of bytes of this batch: it gets them and `room` bytes at the end of the arena, and says how
    /// many of these it filled.
    pub fn rewrite(
        &mut self,
        span: Span,
        room: usize,
        write: impl FnOnce(&[u8], &mut [u8]) -> usize,
    ) -> Span {
        let (at, from) = (self.arena.len(), (span.at & !IN_ARENA) as usize);
        self.arena.resize(at + room, 0);
        let (made, out) = self.arena.split_at_mut(at);
        let source = if span.at & IN_ARENA == 0 { &self.frame[..] } else { &*made };
        let len = write(&source[from..from + span.len()], out).min(room);
        self.arena.truncate(at + len);
        Span::arena(at, len)
    }

    /// Lets `write` append made text to the arena and gives its span.
    pub fn make(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let at = self.arena.len();
        write(&mut self.arena);
        Span::arena(at, self.arena.len() - at)
    }

    /// Starts a record at the end of the field table; fields pushed until the next one belong to it.
    pub fn begin(&mut self, time: Timestamp) {
        self.records.push(Record { time, first: self.fields.len() as u32, count: 0 });
    }

    /// Adds a field to the record begun last.
    pub fn push(&mut self, key: Span, value: Span) {
        self.fields.push(Field { key, value });
        if let Some(record) = self.records.last_mut() {
            record.count += 1;
        }
    }

    /// Takes the record begun last back, with its fields. The arena keeps what was made for it.
    pub fn abandon(&mut self) {
        if let Some(record) = self.records.pop() {
            self.fields.truncate(record.first as usize);
        }
    }

    /// Adds a field to any record. Where its fields do not end the table they are moved there first.
    pub fn extend(&mut self, record: usize, key: Span, value: Span) {
        let range = self.records[record].range();
        if range.end != self.fields.len() {
            self.records[record].first = self.fields.len() as u32;
            self.fields.extend_from_within(range);
        }
        self.fields.push(Field { key, value });
        self.records[record].count += 1;
    }

    /// Drops the fields of a record whose key does not pass `keep`; the others stay in order.
    pub fn retain(&mut self, record: usize, keep: impl Fn(&[u8]) -> bool) {
        let range = self.records[record].range();
        let mut kept = range.start;
        for at in range {
            if keep(self.bytes(self.fields[at].key)) {
                self.fields[kept] = self.fields[at];
                kept += 1;
            }
        }
        self.records[record].count = (kept - self.records[record].first as usize) as u32;
    }

    pub fn fields_of(&self, record: &Record) -> &[Field] {
        &self.fields[record.range()]
    }

    /// The value of the record's last field with this key: where a sender repeats a key, the last one wins.
    pub fn value_of(&self, record: &Record, key: &[u8]) -> Option<Span> {
        self.fields_of(record)
            .iter()
            .rev()
            .find(|field| self.bytes(field.key) == key)
            .map(|field| field.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_find_their_bytes() {
        let mut batch = Batch { frame: Bytes::from_static(b"\xa3log\xa2hi"), ..Batch::default() };
        batch.begin(Timestamp::new(1, 2));
        batch.push(Span::frame(1, 3), Span::frame(5, 2));
        let number = batch.make(|arena| arena.extend_from_slice(b"42"));
        let key = batch.keep(b"n");
        batch.push(key, number);
        let record = batch.records[0];
        assert_eq!(batch.value_of(&record, b"log").map(|v| batch.bytes(v).to_vec()), Some(b"hi".to_vec()));
        assert_eq!(batch.value_of(&record, b"n").map(|v| batch.bytes(v).to_vec()), Some(b"42".to_vec()));
        assert_eq!(batch.bytes(number.slice(1, 9)), b"2");
        batch.begin(Timestamp::new(2, 0));
        batch.push(key, number);
        batch.abandon();
        assert_eq!((batch.records.len(), batch.fields.len()), (1, 2));
    }
}
