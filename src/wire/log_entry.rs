//! The entry in which Docker Engine hands a line to a logging plugin, and keeps it in the files of its `local` driver.
//!
//! ```text
//! message LogEntry { string source=1; int64 time_nano=2; bytes line=3; bool partial=4;
//!                    Partial partial_log_metadata=5; repeated Attr attrs=6; }      attrs: engine 29.5, `local` only
//! message Partial  { bool last=1; string id=2; int32 ordinal=3; }
//! message Attr     { string key=1; string value=2; }
//!
//! plugin's FIFO    length (u32 BE) | LogEntry
//! local's file     length (u32 BE) | LogEntry | the same length (u32 BE), so that it reads from both ends
//! ```
//!
//! Entries are read in place: every text is a slice of the received bytes and nothing is allocated. A field that is at its
//! default is absent, unknown fields are skipped, one that comes twice counts as it came last. Refused: lengths that leave
//! the entry, numbers of more than 64 bits, a known field of another wire type, and protobuf's abandoned groups. Sources
//! other than `stdout` and `stderr` are read; who resynchronises a damaged stream asks [`LogEntry::is_docker`] as well.

/// No entry is longer; the engine itself reads none that is.
pub const MAX_ENTRY: usize = 1_000_000;
/// Bytes of the length before an entry, and of the one behind it in a file.
pub const LENGTH_BYTES: usize = 4;

use crate::wire::protobuf::{BYTES, FieldError, Fields, VARINT};

const SOURCE: u32 = 1;
const TIME: u32 = 2;
const LINE: u32 = 3;
const PARTIAL: u32 = 4;
const METADATA: u32 = 5;
const ATTRS: u32 = 6;

/// One line, or one piece of a line, of a container's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEntry<'b> {
    /// `stdout` or `stderr`.
    pub source: &'b [u8],
    /// Nanoseconds since 1970; all pieces of a line have the first one's.
    pub time_nano: i64,
    /// Without its line feed.
    pub line: &'b [u8],
    /// On every piece of a line that was cut, the last one included.
    pub partial: bool,
    /// Of a piece: the line ends with it.
    pub last: bool,
    /// Of a piece: what all pieces of its line share. Empty when absent.
    pub id: &'b [u8],
    /// Of a piece: its place in the line, from 1.
    pub ordinal: i32,
    /// The container's labels and variables.
    pub attrs: Attrs<'b>,
}

/// Keys and values, still encoded and checked.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Attrs<'b> {
    entry: &'b [u8],
}

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a log entry {0}")]
pub struct EntryError(#[from] FieldError);

impl<'b> LogEntry<'b> {
    /// Reads one entry that fills `bytes`.
    pub fn read(bytes: &'b [u8]) -> Result<LogEntry<'b>, EntryError> {
        let mut entry = LogEntry::default();
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field.number {
                SOURCE => entry.source = field.bytes()?,
                TIME => entry.time_nano = field.number_of(VARINT)? as i64,
                LINE => entry.line = field.bytes()?,
                PARTIAL => entry.partial = field.number_of(VARINT)? != 0,
                METADATA => entry.read_metadata(field.bytes()?)?,
                ATTRS => {
                    pair(field.bytes()?)?;
                    entry.attrs = Attrs { entry: bytes };
                }
                _ => {}
            }
        }
        Ok(entry)
    }

    fn read_metadata(&mut self, bytes: &'b [u8]) -> Result<(), EntryError> {
        let mut fields = Fields::new(bytes);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.last = field.number_of(VARINT)? != 0,
                2 => self.id = field.bytes()?,
                // An int32 is read from the low bits of what is sent, as protobuf says.
                3 => self.ordinal = field.number_of(VARINT)? as i32,
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the engine can have written it: its source is one of the two.
    pub fn is_docker(&self) -> bool {
        self.source == b"stdout" || self.source == b"stderr"
    }

    /// Whether a line feed belongs behind its text: it is a whole line, or the last piece of one.
    pub fn ends_line(&self) -> bool {
        !self.partial || self.last
    }

    /// Appends the entry as the engine would write it, without a length.
    pub fn append(&self, out: &mut Vec<u8>) {
        append_bytes(SOURCE, self.source, out);
        append_number(TIME, self.time_nano as u64, out);
        append_bytes(LINE, self.line, out);
        append_number(PARTIAL, u64::from(self.partial), out);
        if self.last || !self.id.is_empty() || self.ordinal != 0 {
            append_varint(u64::from(METADATA << 3 | u32::from(BYTES)), out);
            let (last, ordinal) = (u64::from(self.last), i64::from(self.ordinal) as u64);
            let len = number_len(last) + bytes_len(self.id) + number_len(ordinal);
            append_varint(len as u64, out);
            append_number(1, last, out);
            append_bytes(2, self.id, out);
            append_number(3, ordinal, out);
        }
        for (key, value) in self.attrs.iter() {
            append_varint(u64::from(ATTRS << 3 | u32::from(BYTES)), out);
            append_varint((bytes_len(key) + bytes_len(value)) as u64, out);
            append_bytes(1, key, out);
            append_bytes(2, value, out);
        }
    }
}

impl<'b> Attrs<'b> {
    /// Keys and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + use<'b> {
        let mut fields = Fields::new(self.entry);
        std::iter::from_fn(move || {
            loop {
                let field = fields.next().ok().flatten()?;
                if field.number == ATTRS {
                    return pair(field.bytes().ok()?).ok();
                }
            }
        })
    }

    pub fn is_empty(&self) -> bool {
        self.entry.is_empty()
    }
}

impl std::fmt::Debug for Attrs<'_> {
    /// Without values: a container's variables may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(|(key, _)| String::from_utf8_lossy(key))).finish()
    }
}

fn pair(bytes: &[u8]) -> Result<(&[u8], &[u8]), EntryError> {
    let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
    let mut fields = Fields::new(bytes);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => key = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn append_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field unless it is at its default.
fn append_number(field: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        append_varint(u64::from(field << 3 | u32::from(VARINT)), out);
        append_varint(value, out);
    }
}

/// Appends a field unless it is at its default.
fn append_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        append_varint(u64::from(field << 3 | u32::from(BYTES)), out);
        append_varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }
}

fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

fn number_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

fn bytes_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { 1 + varint_len(bytes.len() as u64) + bytes.len() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    /// The entry as another library reads and writes it.
    #[derive(Clone, PartialEq, Message)]
    struct Peer {
        #[prost(string, tag = "1")]
        source: String,
        #[prost(int64, tag = "2")]
        time_nano: i64,
        #[prost(bytes = "vec", tag = "3")]
        line: Vec<u8>,
        #[prost(bool, tag = "4")]
        partial: bool,
        #[prost(message, optional, tag = "5")]
        partial_log_metadata: Option<PeerPartial>,
        #[prost(message, repeated, tag = "6")]
        attrs: Vec<PeerAttr>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct PeerPartial {
        #[prost(bool, tag = "1")]
        last: bool,
        #[prost(string, tag = "2")]
        id: String,
        #[prost(int32, tag = "3")]
        ordinal: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    struct PeerAttr {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(string, tag = "2")]
        value: String,
    }

    fn peers() -> impl Strategy<Value = Peer> {
        let partial = (any::<bool>(), "[0-9a-f]{0,64}", any::<i32>())
            .prop_map(|(last, id, ordinal)| PeerPartial { last, id, ordinal });
        let attr = (".{0,9}", ".{0,9}").prop_map(|(key, value)| PeerAttr { key, value });
        (
            "stdout|stderr|",
            any::<i64>(),
            prop::collection::vec(any::<u8>(), 0..300),
            any::<bool>(),
            prop::option::of(partial),
            prop::collection::vec(attr, 0..3),
        )
            .prop_map(|(source, time_nano, line, partial, partial_log_metadata, attrs)| Peer {
                source,
                time_nano,
                line,
                partial,
                partial_log_metadata,
                attrs,
            })
    }

    proptest! {
        #[test]
        fn another_library_reads_and_writes_the_same(peer in peers()) {
            let bytes = peer.encode_to_vec();
            let entry = LogEntry::read(&bytes).unwrap();
            let partial = peer.partial_log_metadata.clone().unwrap_or_default();
            prop_assert_eq!(entry.source, peer.source.as_bytes());
            prop_assert_eq!(entry.time_nano, peer.time_nano);
            prop_assert_eq!(entry.line, &peer.line);
            prop_assert_eq!(entry.partial, peer.partial);
            prop_assert_eq!((entry.last, entry.ordinal), (partial.last, partial.ordinal));
            prop_assert_eq!(entry.id, partial.id.as_bytes());
            let attrs: Vec<_> = entry.attrs.iter().collect();
            let wanted: Vec<_> =
                peer.attrs.iter().map(|attr| (attr.key.as_bytes(), attr.value.as_bytes())).collect();
            prop_assert_eq!(attrs, wanted);
            let mut written = Vec::new();
            entry.append(&mut written);
            let mut read = Peer::decode(&*written).unwrap();
            // An empty metadata message says the same as none.
            read.partial_log_metadata.get_or_insert_default();
            prop_assert_eq!(read, Peer { partial_log_metadata: Some(partial), ..peer });
        }

        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(entry) = LogEntry::read(&bytes) {
                let mut written = Vec::new();
                entry.append(&mut written);
                let again = LogEntry::read(&written).unwrap();
                prop_assert_eq!(again.line, entry.line);
                prop_assert_eq!(again.attrs.iter().count(), entry.attrs.iter().count());
            }
        }
    }

    #[test]
    fn damaged_entries_are_refused() {
        let cases: [(&[u8], FieldError); 5] = [
            (b"\x0a\x06stdou", FieldError::Truncated(5)),
            (b"\x10\xff", FieldError::Truncated(1)),
            (b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", FieldError::LongNumber(10)),
            (b"\x08\x01", FieldError::WireType { field: 1, wire_type: 0 }),
            (b"\x0b", FieldError::WireType { field: 1, wire_type: 3 }),
        ];
        for (bytes, error) in cases {
            assert_eq!(LogEntry::read(bytes), Err(error.into()), "{bytes:?}");
        }
        assert_eq!(LogEntry::read(b""), Ok(LogEntry::default()));
        let unknown = LogEntry::read(b"\x0a\x06stdout\x3d1234\x79aaaaaaaa\x1a\x02hi").unwrap();
        assert_eq!((unknown.is_docker(), unknown.line), (true, b"hi".as_slice()));
    }

    #[test]
    fn attributes_are_not_shown() {
        let entry = LogEntry::read(b"\x32\x09\x0a\x01K\x12\x04pass").unwrap();
        assert_eq!(format!("{:?}", entry.attrs), r#"{"K"}"#);
    }
}
