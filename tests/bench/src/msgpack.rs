//! The forward messages of the load, as bytes (forward protocol v1, MessagePack).
//!
//! ```text
//! Message mode   94 tag time {4 fields} {} | {"chunk": id}
//! PackedForward  93 tag bin32(1,000 times 92 EventTime {4 fields}) {"size": n} | {"chunk": id, "size": n}
//! EventTime      d7 00 seconds(u32) nanoseconds(u32)
//! ack            81 a3 "ack" b8 id
//! ```
//!
//! Chunk ids have 24 characters, as Docker's and Fluent Bit's: base64 of 16 bytes, here of the connection and
//! the message's index, so that the reader of acks can tell what must come next.

use crate::{
    random::Random,
    records::{Line, Stream},
};

pub const ID_BYTES: usize = 24;
pub const ACK_BYTES: usize = 6 + ID_BYTES;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Packed,
    Message,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Packed => "packed",
            Mode::Message => "message",
        }
    }

    pub fn parse(text: &str) -> Option<Mode> {
        [Mode::Packed, Mode::Message].into_iter().find(|mode| mode.name() == text)
    }
}

/// The messages of one connection, laid end to end; `ends[i]` is where message `i` ends.
#[derive(Default)]
pub struct Messages {
    pub bytes: Vec<u8>,
    pub ends: Vec<usize>,
}

/// Builds all messages of a stream. `entries` is the number of records in one PackedForward message.
pub fn build(stream: &mut Stream, connection: u64, mode: Mode, acks: bool, entries: u64) -> Messages {
    let mut messages = Messages::default();
    messages.bytes.reserve(stream.remaining() as usize * 400);
    let mut line = Line::default();
    let mut blob = Vec::new();
    while stream.remaining() > 0 {
        let out = &mut messages.bytes;
        let id = acks.then(|| chunk_id(connection, messages.ends.len() as u64));
        match mode {
            Mode::Message => {
                stream.advance(&mut line);
                out.push(0x94);
                text(out, stream.tag.as_bytes());
                time(out, &line);
                record(out, stream, &line);
                out.push(if id.is_some() { 0x81 } else { 0x80 });
                chunk_option(out, id.as_ref());
            }
            Mode::Packed => {
                blob.clear();
                let mut count: u32 = 0;
                while u64::from(count) < entries && stream.advance(&mut line) {
                    blob.push(0x92);
                    time(&mut blob, &line);
                    record(&mut blob, stream, &line);
                    count += 1;
                }
                out.push(0x93);
                text(out, stream.tag.as_bytes());
                out.push(0xc6);
                out.extend_from_slice(&(blob.len() as u32).to_be_bytes());
                out.extend_from_slice(&blob);
                out.push(if id.is_some() { 0x82 } else { 0x81 });
                chunk_option(out, id.as_ref());
                text(out, b"size");
                out.push(0xce);
                out.extend_from_slice(&count.to_be_bytes());
            }
        }
        messages.ends.push(messages.bytes.len());
    }
    messages
}

pub fn time(out: &mut Vec<u8>, line: &Line) {
    out.extend_from_slice(&[0xd7, 0x00]);
    out.extend_from_slice(&line.seconds.to_be_bytes());
    out.extend_from_slice(&line.nanoseconds.to_be_bytes());
}

pub fn record(out: &mut Vec<u8>, stream: &Stream, line: &Line) {
    out.push(0x84);
    for (key, value) in stream.fields(line) {
        text(out, key.as_bytes());
        text(out, value);
    }
}

fn chunk_option(out: &mut Vec<u8>, id: Option<&[u8; ID_BYTES]>) {
    if let Some(id) = id {
        text(out, b"chunk");
        text(out, id);
    }
}

/// A str in its shortest header, as Go's and C's encoders write it.
pub fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len @ 32..=255 => out.extend_from_slice(&[0xd9, len as u8]),
        len => {
            out.push(0xda);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

pub fn chunk_id(connection: u64, message: u64) -> [u8; ID_BYTES] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = Random::new(connection << 40 | message);
    let bits = u128::from(random.next()) << 64 | u128::from(random.next());
    let mut id = [b'='; ID_BYTES];
    for (place, digit) in id.iter_mut().take(22).enumerate() {
        // 21 digits of 6 bits and one that carries the last 2
        let six = if place < 21 { bits >> (122 - 6 * place) } else { bits << 4 };
        *digit = DIGITS[(six & 63) as usize];
    }
    id
}

pub fn ack(id: &[u8; ID_BYTES]) -> [u8; ACK_BYTES] {
    let mut ack = [0; ACK_BYTES];
    ack[..6].copy_from_slice(b"\x81\xa3ack\xb8");
    ack[6..].copy_from_slice(id);
    ack
}
