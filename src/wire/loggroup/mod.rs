//! The LogGroup, the unit of PutLogs: protobuf that is written by [`encode`], read in place by [`walk`], and taken apart
//! and put together here without decoding a log.
//!
//! ```text
//! LogGroup  0a Log   12 Category   1a Topic   22 Source   2a MachineUUID   32 LogTag
//! Log       08 Time (varint, s)    12 Content             25 Time_ns (fixed32, little-endian)
//! Content   0a Key   12 Value      LogTag  0a Key   12 Value
//! ```
//!
//! Logs are a repeated field, so encoded logs laid end to end, with the other fields (the *trailer*) behind them, are a
//! LogGroup: that is how fragments become one, and how a refused LogGroup is halved.

pub mod encode;
pub mod packed;
pub mod walk;

pub use walk::{Group, Log, WalkError, walk};

use walk::{Fields, LOGS};

/// What a LogGroup says about all its logs, to be appended behind them. Empty texts are left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trailer<'a> {
    pub topic: &'a str,
    pub source: &'a str,
    /// In the order written; `__pack_id__` is one of them.
    pub tags: &'a [(&'a str, &'a str)],
}

impl Trailer<'_> {
    /// Appends the fields of the trailer.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (field, text) in [(walk::TOPIC, self.topic), (walk::SOURCE, self.source)] {
            if !text.is_empty() {
                write_bytes(field, text.as_bytes(), out);
            }
        }
        for (key, value) in self.tags {
            let inner = bytes_len(key.len()) + bytes_len(value.len());
            write_tag(walk::TAGS, out);
            write_varint(inner as u64, out);
            write_bytes(1, key.as_bytes(), out);
            write_bytes(2, value.as_bytes(), out);
        }
    }
}

/// Makes one LogGroup of fragments (each a run of encoded logs with their field tags) and a trailer, appended to `out`.
pub fn concatenate<'a>(
    fragments: impl IntoIterator<Item = &'a [u8]>,
    trailer: &Trailer<'_>,
    out: &mut Vec<u8>,
) {
    for fragment in fragments {
        out.extend_from_slice(fragment);
    }
    trailer.write(out);
}

/// The two LogGroups that one was split into.
pub type Halves = (Vec<u8>, Vec<u8>);

/// Halves a LogGroup by its logs; both halves keep every other field. `None` when there is one log or none.
pub fn split(group: &[u8]) -> Result<Option<Halves>, WalkError> {
    let logs = walk(group)?.log_count();
    if logs < 2 {
        return Ok(None);
    }
    let (mut first, mut second) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    let mut seen = 0;
    let mut fields = Fields::new(group);
    while let Some(field) = fields.next()? {
        if field.number != LOGS {
            first.extend_from_slice(field.whole);
            second.extend_from_slice(field.whole);
            continue;
        }
        let half = if seen < logs / 2 { &mut first } else { &mut second };
        half.extend_from_slice(field.whole);
        seen += 1;
    }
    Ok(Some((first, second)))
}

/// Makes one LogGroup of parts that [`split`] made: all their logs, and the first one's other fields once.
pub fn merge(parts: &[Vec<u8>]) -> Result<Vec<u8>, WalkError> {
    let mut merged = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    for (at, part) in parts.iter().enumerate() {
        let mut fields = Fields::new(part);
        while let Some(field) = fields.next()? {
            if field.number == LOGS || at == 0 {
                merged.extend_from_slice(field.whole);
            }
        }
    }
    Ok(merged)
}

fn write_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    write_tag(field, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A length-delimited field's tag; the numbers here are below 16, so it is one byte.
fn write_tag(field: u32, out: &mut Vec<u8>) {
    out.push((field << 3) as u8 | 2);
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Size of a length-delimited field with a one-byte tag.
fn bytes_len(len: usize) -> usize {
    let varint = (64 - (len as u64 | 1).leading_zeros()).div_ceil(7) as usize;
    1 + varint + len
}

#[cfg(test)]
mod tests;
