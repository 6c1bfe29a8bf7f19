//! Writing LogGroup protobuf by hand, because its bytes are laid end to end here and never rebuilt.
//!
//! A LogGroup's field 1 (`Logs`) is repeated, so the encoded logs of one stream can be written when they arrive, stored,
//! and concatenated later; topic, source and tags follow as a trailer, and last the pack id.
//!
//! ```text
//! LogGroup   0a len Log  0a len Log ...   1a len topic  22 len source  32 len LogTag ...
//! Log        08 time  12 len Content ...  25 nanoseconds (fixed32, little endian)
//! Content    0a len key  12 len value        LogTag  0a len key  12 len value
//! ```
//!
//! Sizes are computed first, so that every log is written in one go and no length is patched afterwards.

/// Bytes of `value` as a protobuf varint.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// A buffer with so much room more than what is written into it does not grow meanwhile.
pub const SPARE: usize = 24;

/// Tags and lengths that stand together, gathered so that the output is extended once for all of them.
struct Head {
    bytes: [u8; SPARE],
    len: usize,
}

impl Head {
    fn new() -> Self {
        Head { bytes: [0; SPARE], len: 0 }
    }

    /// Adds a tag and a varint. Two of them fit, with room to spare.
    fn put(&mut self, tag: u8, mut value: u64) -> &mut Self {
        self.bytes[self.len] = tag;
        self.len += 1;
        while value >= 0x80 {
            self.bytes[self.len] = value as u8 | 0x80;
            self.len += 1;
            value >>= 7;
        }
        self.bytes[self.len] = value as u8;
        self.len += 1;
        self
    }

    /// All of it is copied, which is a few instructions and no call, and what is not meant is cut off again.
    fn write(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

/// A key-value pair with its own tag and length, as it stands inside a Log or (with another tag) a LogGroup.
pub fn pair_len(key: usize, value: usize) -> usize {
    let inner = pair_body_len(key, value);
    1 + varint_len(inner as u64) + inner
}

fn pair_body_len(key: usize, value: usize) -> usize {
    1 + varint_len(key as u64) + key + 1 + varint_len(value as u64) + value
}

fn put_pair(out: &mut Vec<u8>, tag: u8, key: &[u8], value: &[u8]) {
    let body = pair_body_len(key.len(), value.len());
    Head::new().put(tag, body as u64).put(0x0a, key.len() as u64).write(out);
    out.extend_from_slice(key);
    put_bytes(out, 0x12, value);
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    Head::new().put(tag, bytes.len() as u64).write(out);
    out.extend_from_slice(bytes);
}

/// Writes one Log with its tag: `contents_len` is the sum of [`pair_len`] over `contents`.
pub fn put_log<'a>(
    out: &mut Vec<u8>,
    seconds: u32,
    nanos: u32,
    contents_len: usize,
    contents: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    let body = log_body_len(seconds, contents_len);
    Head::new().put(0x0a, body as u64).put(0x08, u64::from(seconds)).write(out);
    for (key, value) in contents {
        put_pair(out, 0x12, key, value);
    }
    let [a, b, c, d] = nanos.to_le_bytes();
    out.extend_from_slice(&[0x25, a, b, c, d]);
}

fn log_body_len(seconds: u32, contents_len: usize) -> usize {
    1 + varint_len(u64::from(seconds)) + contents_len + 5
}

/// What [`put_log`] will write.
pub fn log_len(seconds: u32, contents_len: usize) -> usize {
    let body = log_body_len(seconds, contents_len);
    1 + varint_len(body as u64) + body
}

/// What a LogGroup says about all its logs, behind them: topic, source and tags. Empty texts are left out.
pub fn put_trailer(out: &mut Vec<u8>, topic: &[u8], source: &[u8], tags: &[(&str, &str)]) {
    for (tag, text) in [(0x1a, topic), (0x22, source)] {
        if !text.is_empty() {
            put_bytes(out, tag, text);
        }
    }
    for (key, value) in tags {
        put_tag(out, key.as_bytes(), value.as_bytes());
    }
}

pub fn put_tag(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    put_pair(out, 0x32, key, value);
}

/// Adds a LogGroup to a LogGroupList.
pub fn put_group(out: &mut Vec<u8>, group: &[u8]) {
    put_bytes(out, 0x0a, group);
}

/// The `__pack_id__` tag: the series in 16 hex digits, a hyphen, the sequence in hex, as Log Service's agents write it.
pub fn put_pack_id(out: &mut Vec<u8>, series: u64, sequence: u64) {
    put_tag(out, b"__pack_id__", format!("{series:016X}-{sequence:X}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct Content {
        #[prost(bytes = "vec", required, tag = "1")]
        key: Vec<u8>,
        #[prost(bytes = "vec", required, tag = "2")]
        value: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Log {
        #[prost(uint32, required, tag = "1")]
        time: u32,
        #[prost(message, repeated, tag = "2")]
        contents: Vec<Content>,
        #[prost(fixed32, optional, tag = "4")]
        time_ns: Option<u32>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct LogGroup {
        #[prost(message, repeated, tag = "1")]
        logs: Vec<Log>,
        #[prost(bytes = "vec", optional, tag = "3")]
        topic: Option<Vec<u8>>,
        #[prost(bytes = "vec", optional, tag = "4")]
        source: Option<Vec<u8>>,
        #[prost(message, repeated, tag = "6")]
        tags: Vec<Content>,
    }

    #[test]
    fn an_independent_reader_sees_what_was_written() {
        let long = vec![b'x'; 300];
        type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;
        let logs: [(u32, u32, Pairs<'_>); 3] = [
            (1441588984, 123456789, vec![(b"log", b"hello"), (b"source", b"stdout")]),
            (0, 0, vec![]),
            (u32::MAX, 999_999_999, vec![(b"k", &long), (b"empty", b"")]),
        ];
        let mut out = Vec::new();
        for (seconds, nanos, pairs) in &logs {
            let before = out.len();
            let len = pairs.iter().map(|(key, value)| pair_len(key.len(), value.len())).sum();
            put_log(&mut out, *seconds, *nanos, len, pairs.iter().copied());
            assert_eq!(out.len() - before, log_len(*seconds, len));
        }
        put_trailer(&mut out, b"web", b"10.0.0.9", &[("env", "dev")]);
        put_pack_id(&mut out, 0x85C8_97C7_4035_2DC6, 0x808);

        let group = LogGroup::decode(&out[..]).unwrap();
        assert_eq!(group.logs.len(), 3);
        assert_eq!((group.logs[0].time, group.logs[0].time_ns), (1441588984, Some(123456789)));
        assert_eq!(group.logs[0].contents[1].value, b"stdout");
        assert_eq!(group.logs[2].contents[0].value, long);
        assert_eq!(group.topic.as_deref(), Some(&b"web"[..]));
        assert_eq!(group.source.as_deref(), Some(&b"10.0.0.9"[..]));
        assert_eq!(group.tags[1].value, b"85C897C740352DC6-808");
    }

    #[test]
    fn varints_have_the_length_they_say() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(Head::new().put(0, value).len, 1 + varint_len(value), "{value}");
        }
    }
}
