//! One piece of a cut line, read from a record's `partial_*` fields or known by its length, and the bytes it has in the
//! journal.
//!
//! ```text
//! stored   version 1 | flags (1 last, 2 has id, 4 has a wish, 8 text is a message) | ordinal u32 | seconds i64 | nanos u32
//!          then, each with a u32 length: input, peer, [logstore, topic,] tag, container, source, id, text, and the other
//!          fields as pairs
//! ```

use super::super::stream::{Origin, Wish};
use super::Marks;
use crate::record::{Batch, Record, Timestamp};

const VERSION: u8 = 1;
const LAST: u8 = 1;
const HAS_ID: u8 = 2;
const HAS_WISH: u8 = 4;
const IS_MESSAGE: u8 = 8;

/// Where the engine cuts lines (moby's copier: `defaultBufSize`).
const CUT: usize = 16 * 1024;

/// The container and its output that a line belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    pub container: Vec<u8>,
    pub source: Vec<u8>,
}

#[derive(Debug)]
pub struct Piece {
    pub stream: StreamKey,
    /// `partial_id`, or where there is none (engines before 19.03, pieces without marks) the time of the first piece.
    pub id: Vec<u8>,
    has_id: bool,
    /// From 1; 0 when the engine gives none.
    pub ordinal: u32,
    pub last: bool,
    pub time: Timestamp,
    /// The text's own key: `log`, or `message` where the sender may be none of Docker's.
    pub key: &'static str,
    pub text: Vec<u8>,
    /// All other fields of the record, without `log` and `partial_*`.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Fields of a piece beside its text take at most so much; Docker's names and labels are far below.
const OTHER_BYTES: usize = 64 * 1024;

/// Whether the record is a piece, and small enough to be kept as one.
pub(super) fn is_piece(batch: &Batch, record: &Record, marks: Marks) -> bool {
    if marks != Marks::Fields {
        return text_of(batch, record).is_some_and(|(_, text)| is_full(text, marks))
            && is_small(batch, record);
    }
    let says_so = batch.fields_of(record).iter().any(|field| {
        field.key.len() == 15
            && batch.bytes(field.key) == b"partial_message"
            && batch.bytes(field.value) == b"true"
    });
    says_so && is_small(batch, record)
}

fn is_small(batch: &Batch, record: &Record) -> bool {
    let text = text_bytes(batch, record);
    let all: usize = batch.fields_of(record).iter().map(|field| field.key.len() + field.value.len()).sum();
    all - text <= OTHER_BYTES
}

pub(super) fn text_bytes(batch: &Batch, record: &Record) -> usize {
    text_of(batch, record).map_or(0, |(_, text)| text.len())
}

fn text_of<'b>(batch: &'b Batch, record: &Record) -> Option<(&'static str, &'b [u8])> {
    let text = |key: &'static str| Some((key, batch.bytes(batch.value_of(record, key.as_bytes())?)));
    text("log").or_else(|| text("message"))
}

/// Whether a text is as long as the engine's pieces are. JSON encoders have put three bytes in the place of each that was
/// no UTF-8.
fn is_full(text: &[u8], marks: Marks) -> bool {
    if text.len() == CUT {
        return true;
    }
    if marks != Marks::LengthAndTime || text.len() < CUT || text.len() > 3 * CUT || text.len() % 2 != CUT % 2
    {
        return false;
    }
    let grown = (text.len() - CUT) / 2;
    memchr::memmem::find_iter(text, "\u{fffd}").take(grown).count() == grown
}

/// The container and output a line belongs to, where it names them. Where drivers name none, what the sender calls itself
/// stands in the container's place. Nothing where marks are missing and the record is none that Docker's drivers send.
pub(super) fn stream_of(origin: &Origin, batch: &Batch, record: &Record, marks: Marks) -> Option<StreamKey> {
    let value = |key: &[u8]| batch.value_of(record, key).map(|value| batch.bytes(value));
    if marks == Marks::Fields {
        return Some(StreamKey {
            container: value(b"container_id")?.to_vec(),
            source: value(b"source")?.to_vec(),
        });
    }
    let source = match value(b"source") {
        Some(source) => source.to_vec(),
        None if marks == Marks::Length => syslog_severity(value)?.to_vec(),
        // Splunk's raw format names no stream; what has a container's id is Docker's all the same.
        None => {
            value(b"container_id")?;
            Vec::new()
        }
    };
    let container = match value(b"container_id") {
        Some(id) => id.to_vec(),
        None => {
            let names: Vec<&[u8]> = NAMES.iter().map(|key| value(key).unwrap_or_default()).collect();
            [b"peer ", origin.peer.as_bytes(), b" ", &names.join(&b' ')].concat()
        }
    };
    Some(StreamKey { container, source })
}

/// Fields in which senders of unmarked pieces say who they are, where they tell no container's id: syslog's, Splunk's.
const NAMES: [&[u8]; 6] = [b"container_name", b"hostname", b"appname", b"procid", b"host", b"tag"];

/// The severity of a message whose tag has no known form, if it can be Docker's: that knows two severities, gives the
/// daemon's process number, and repeats the tag as message id.
fn syslog_severity<'b>(value: impl Fn(&[u8]) -> Option<&'b [u8]>) -> Option<&'b [u8]> {
    let severity = value(b"severity").filter(|severity| matches!(*severity, b"info" | b"err"))?;
    let is_numbered = value(b"procid").is_some_and(|procid| procid.iter().all(u8::is_ascii_digit));
    let is_dockers = is_numbered && value(b"msgid").is_none_or(|msgid| value(b"appname") == Some(msgid));
    is_dockers.then_some(severity)
}

/// Who stands for a line without an id: its first piece's time.
pub(super) fn id_of(time: Timestamp) -> Vec<u8> {
    [time.seconds.to_le_bytes().as_slice(), &time.nanos.to_le_bytes()].concat()
}

impl Piece {
    /// What a record without marks is: a piece when it is full, else the last of its line. `id` is the line's.
    pub(super) fn unmarked(
        stream: StreamKey,
        id: Vec<u8>,
        batch: &Batch,
        record: &Record,
        last: bool,
    ) -> Piece {
        let (key, text) = text_of(batch, record).unwrap_or(("log", b""));
        Piece {
            stream,
            id,
            has_id: false,
            ordinal: 0,
            last,
            time: record.time,
            key,
            text: text.to_vec(),
            fields: fields(batch, record, |field| field != key.as_bytes()),
        }
    }

    /// A peer that names no container has one line at a time.
    pub(super) fn from_record(origin: &Origin, batch: &Batch, record: &Record) -> Piece {
        let value =
            |key: &[u8]| batch.value_of(record, key).map(|value| batch.bytes(value)).unwrap_or_default();
        let container = match value(b"container_id") {
            b"" => [b"peer ", origin.peer.as_bytes()].concat(),
            id => id.to_vec(),
        };
        let given = value(b"partial_id");
        let id = if given.is_empty() { id_of(record.time) } else { given.to_vec() };
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
            key: "log",
            text: value(b"log").to_vec(),
            fields: fields(batch, record, is_other),
        }
    }

    pub(super) fn has_id(&self) -> bool {
        self.has_id
    }

    pub(super) fn to_stored(&self, origin: &Origin, tag: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len() + 512);
        out.push(VERSION);
        let flags = [
            (LAST, self.last),
            (HAS_ID, self.has_id),
            (HAS_WISH, origin.wish.is_some()),
            (IS_MESSAGE, self.key == "message"),
        ];
        out.push(flags.iter().filter(|(_, set)| *set).fold(0, |flags, (flag, _)| flags | flag));
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        out.extend_from_slice(&self.time.seconds.to_le_bytes());
        out.extend_from_slice(&self.time.nanos.to_le_bytes());
        let stream = &self.stream;
        let whence: [&[u8]; 2] = [origin.input.as_bytes(), origin.peer.as_bytes()];
        let text = |wish: &Option<String>| wish.clone().unwrap_or_default();
        let wish = origin.wish.iter().flat_map(|wish| [text(&wish.logstore), text(&wish.topic)]);
        let wish: Vec<String> = wish.collect();
        let parts: [&[u8]; 5] = [tag, &stream.container, &stream.source, &self.id, &self.text];
        let parts = whence.into_iter().chain(wish.iter().map(String::as_bytes)).chain(parts);
        let pairs = self.fields.iter().flat_map(|(key, value)| [key.as_slice(), value.as_slice()]);
        for part in parts.chain(pairs) {
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
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut origin = Origin::new(text(&part()?), text(&part()?));
        if flags & HAS_WISH != 0 {
            let mut wish = || Some(Some(text(&part()?)).filter(|wish| !wish.is_empty()));
            origin.wish = Some(Wish { logstore: wish()?, topic: wish()? }.into());
        }
        let tag = part()?;
        let stream = StreamKey { container: part()?, source: part()? };
        let (id, text) = (part()?, part()?);
        let mut fields = Vec::new();
        while let Some(key) = part() {
            fields.push((key, part()?));
        }
        let time = Timestamp::new(seconds, nanos);
        let (last, has_id) = (flags & LAST != 0, flags & HAS_ID != 0);
        let key = if flags & IS_MESSAGE != 0 { "message" } else { "log" };
        Some((origin, tag, Piece { stream, id, has_id, ordinal, last, time, key, text, fields }))
    }
}

/// The fields of a record whose key passes.
fn fields(batch: &Batch, record: &Record, wanted: impl Fn(&[u8]) -> bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fields =
        batch.fields_of(record).iter().map(|field| (batch.bytes(field.key), batch.bytes(field.value)));
    fields.filter(|(key, _)| wanted(key)).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*head)
}
