//! One piece of a cut line, read from a record's `partial_*` fields, and the bytes it has in the journal.
//!
//! ```text
//! stored   version 1 | flags (1 last, 2 has id) | ordinal u32 | seconds i64 | nanos u32
//!          then, each with a u32 length: input, peer, tag, container, source, id, text, and the other fields as pairs
//! ```

use super::super::stream::Origin;
use crate::record::{Batch, Record, Timestamp};

const VERSION: u8 = 1;
const LAST: u8 = 1;
const HAS_ID: u8 = 2;

/// The container and its output that a line belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    pub container: Vec<u8>,
    pub source: Vec<u8>,
}

#[derive(Debug)]
pub struct Piece {
    pub stream: StreamKey,
    /// `partial_id`, or for engines before 19.03, which send none, the line's time.
    pub id: Vec<u8>,
    has_id: bool,
    /// From 1; 0 when the engine gives none.
    pub ordinal: u32,
    pub last: bool,
    pub time: Timestamp,
    pub text: Vec<u8>,
    /// All other fields of the record, without `log` and `partial_*`.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Fields of a piece beside its text take at most so much; Docker's names and labels are far below.
const OTHER_BYTES: usize = 64 * 1024;

/// Whether the record says of itself that it is a piece, and is small enough to be kept as one.
pub(super) fn is_piece(batch: &Batch, record: &Record) -> bool {
    let says_so = batch.fields_of(record).iter().any(|field| {
        field.key.len() == 15
            && batch.bytes(field.key) == b"partial_message"
            && batch.bytes(field.value) == b"true"
    });
    says_so && {
        let text = batch.value_of(record, b"log").map_or(0, |text| text.len());
        let all: usize =
            batch.fields_of(record).iter().map(|field| field.key.len() + field.value.len()).sum();
        all - text <= OTHER_BYTES
    }
}

/// The container and output a whole line belongs to, where it names them.
pub(super) fn stream_of(batch: &Batch, record: &Record) -> Option<StreamKey> {
    let value = |key: &[u8]| batch.value_of(record, key).map(|value| batch.bytes(value).to_vec());
    Some(StreamKey { container: value(b"container_id")?, source: value(b"source")? })
}

impl Piece {
    /// A peer that names no container has one line at a time.
    pub(super) fn from_record(origin: &Origin, batch: &Batch, record: &Record) -> Piece {
        let value =
            |key: &[u8]| batch.value_of(record, key).map(|value| batch.bytes(value)).unwrap_or_default();
        let container = match value(b"container_id") {
            b"" => [b"peer ", origin.peer.as_bytes()].concat(),
            id => id.to_vec(),
        };
        let given = value(b"partial_id");
        let id = if given.is_empty() {
            [record.time.seconds.to_le_bytes().as_slice(), &record.time.nanos.to_le_bytes()].concat()
        } else {
            given.to_vec()
        };
        let ordinal = std::str::from_utf8(value(b"partial_ordinal"))
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let is_other = |key: &[u8]| {
            key != b"log"
                && !matches!(key, b"partial_message" | b"partial_id" | b"partial_ordinal" | b"partial_last")
        };
        Piece {
            stream: StreamKey { container, source: value(b"source").to_vec() },
            has_id: !given.is_empty(),
            id,
            ordinal,
            last: value(b"partial_last") == b"true",
            time: record.time,
            text: value(b"log").to_vec(),
            fields: batch
                .fields_of(record)
                .iter()
                .map(|field| (batch.bytes(field.key), batch.bytes(field.value)))
                .filter(|(key, _)| is_other(key))
                .map(|(key, value)| (key.to_vec(), value.to_vec()))
                .collect(),
        }
    }

    pub(super) fn has_id(&self) -> bool {
        self.has_id
    }

    pub(super) fn to_stored(&self, origin: &Origin, tag: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len() + 512);
        out.push(VERSION);
        out.push(if self.last { LAST } else { 0 } | if self.has_id { HAS_ID } else { 0 });
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        out.extend_from_slice(&self.time.seconds.to_le_bytes());
        out.extend_from_slice(&self.time.nanos.to_le_bytes());
        let stream = &self.stream;
        let parts: [&[u8]; 7] = [
            origin.input.as_bytes(),
            origin.peer.as_bytes(),
            tag,
            &stream.container,
            &stream.source,
            &self.id,
            &self.text,
        ];
        let pairs = self.fields.iter().flat_map(|(key, value)| [key.as_slice(), value.as_slice()]);
        for part in parts.into_iter().chain(pairs) {
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    /// Reads what [`Piece::to_stored`] wrote: where the piece came from, its tag, and itself.
    pub(super) fn from_stored(bytes: &[u8]) -> Option<(Origin, Vec<u8>, Piece)> {
        let mut rest = bytes;
        let [version, flags] = take::<2>(&mut rest)?;
        if version != VERSION {
            return None;
        }
        let ordinal = u32::from_le_bytes(take(&mut rest)?);
        let seconds = i64::from_le_bytes(take(&mut rest)?);
        let nanos = u32::from_le_bytes(take(&mut rest)?);
        let mut part = || -> Option<Vec<u8>> {
            let len = u32::from_le_bytes(take(&mut rest)?) as usize;
            let (part, behind) = rest.split_at_checked(len)?;
            rest = behind;
            Some(part.to_vec())
        };
        let (input, peer, tag) = (part()?, part()?, part()?);
        let stream = StreamKey { container: part()?, source: part()? };
        let (id, text) = (part()?, part()?);
        let mut fields = Vec::new();
        while let Some(key) = part() {
            fields.push((key, part()?));
        }
        let origin = Origin {
            input: String::from_utf8_lossy(&input).into(),
            peer: String::from_utf8_lossy(&peer).into(),
        };
        let time = Timestamp::new(seconds, nanos);
        let (last, has_id) = (flags & LAST != 0, flags & HAS_ID != 0);
        Some((origin, tag, Piece { stream, id, has_id, ordinal, last, time, text, fields }))
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*head)
}
