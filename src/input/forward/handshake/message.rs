//! The three messages of the handshake, read and written by both sides. Pure: bytes in, bytes out.
//!
//! ```text
//! server -> client   ["HELO", {"nonce": N, "auth": A, "keepalive": bool}]
//! client -> server   ["PING", client host name, salt, D1, user name, D2]
//! server -> client   ["PONG", ok, reason, server host name, D3]
//! ```
//!
//! N and A are 16 random bytes and go out as bin8: clients in JavaScript decode a str as UTF-8 and fail. All strings are
//! taken as str or bin, since Fluent Bit sends raw bytes as str. Elements beyond those drawn are ignored. What a header
//! claims is checked against a limit before its bytes are waited for, so a peer is refused at the header; a message
//! gives the same verdict however it is cut into reads, and all of it fits [`MESSAGE_BYTES`].

use super::digest::Hex;
use crate::base::limits::KIB;
use crate::record::msgpack::{WalkError, Walker};

/// Bytes of our nonce and of our auth salt.
pub const NONCE: usize = 16;
/// One message of the handshake. The longest PING within the limits of its fields has about 770 bytes.
pub const MESSAGE_BYTES: usize = 4 * KIB;
pub const HOSTNAME_BYTES: usize = 255;
pub const USERNAME_BYTES: usize = 255;
const SALT_BYTES: usize = 128;
const DIGEST_BYTES: usize = 128;
/// A server's nonce and auth salt, as Fluent Bit's client bounds them.
const NONCE_BYTES: usize = 1024;
/// Far above Fluentd's texts.
const REASON_BYTES: usize = 1024;
/// Elements of an array, pairs of a map: far above what any version of the protocol has.
const COUNT: usize = 32;

/// What bytes are so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The beginning of a message.
    Partial,
    /// A message and its length; what follows it is the next one's.
    Done(T, usize),
    /// Not the message that is due, whatever follows.
    Bad(BadMessage),
}

/// Why a message is not the one that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    #[error("it is no {0} but something else, perhaps records of a sender that does not know of shared keys")]
    Other(&'static str),
    #[error("its {0} has a wrong type")]
    Type(&'static str),
    #[error("its {field} has {length} bytes, more than {limit}")]
    Length { field: &'static str, length: usize, limit: usize },
    #[error("it is longer than {MESSAGE_BYTES} bytes")]
    TooLong,
    #[error("it is damaged: {0}")]
    Damaged(WalkError),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Helo {
    pub nonce: Vec<u8>,
    /// Salt of the password's digest. Empty when the server asks for none.
    pub auth: Vec<u8>,
    /// False: the server closes after one message.
    pub keepalive: bool,
}

/// What a client says. Its bytes are the peer's, unchecked but for their lengths.
#[derive(Debug, PartialEq, Eq)]
pub struct Ping {
    pub hostname: Vec<u8>,
    pub salt: Vec<u8>,
    /// D1.
    pub key_digest: Vec<u8>,
    pub username: Vec<u8>,
    /// D2; empty when the client has no user.
    pub password_digest: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Pong {
    pub ok: bool,
    pub reason: Vec<u8>,
    pub hostname: Vec<u8>,
    /// D3.
    pub key_digest: Vec<u8>,
}

impl Helo {
    pub fn encode(nonce: &[u8; NONCE], auth: &[u8; NONCE], keepalive: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        out.extend_from_slice(b"\x92\xa4HELO\x83\xa5nonce\xc4\x10");
        out.extend_from_slice(nonce);
        out.extend_from_slice(b"\xa4auth\xc4\x10");
        out.extend_from_slice(auth);
        out.extend_from_slice(b"\xa9keepalive");
        out.push(if keepalive { 0xc3 } else { 0xc2 });
        out
    }

    /// A nonce or auth salt that is missing or nil is empty; keys we do not know are skipped.
    pub fn parse(bytes: &[u8]) -> Parsed<Helo> {
        parse(bytes, |cursor| {
            let extra = cursor.begin("HELO", 2)?;
            let mut helo = Helo { nonce: Vec::new(), auth: Vec::new(), keepalive: true };
            for _ in 0..cursor.map("options")? {
                match cursor.field("option", NONCE_BYTES)? {
                    b"nonce" => helo.nonce = cursor.field_or_nil("nonce", NONCE_BYTES)?.to_vec(),
                    b"auth" => helo.auth = cursor.field_or_nil("auth", NONCE_BYTES)?.to_vec(),
                    b"keepalive" if cursor.is_bool() => helo.keepalive = cursor.bool("keepalive")?,
                    _ => cursor.skip(1)?,
                }
            }
            cursor.skip(extra)?;
            Ok(helo)
        })
    }
}

impl Ping {
    pub fn encode(hostname: &[u8], salt: &[u8], key: &Hex, username: &[u8], password: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"\x96\xa4PING");
        for field in [hostname, salt, key, username, password] {
            text(&mut out, field);
        }
        out
    }

    pub fn parse(bytes: &[u8]) -> Parsed<Ping> {
        parse(bytes, |cursor| {
            let extra = cursor.begin("PING", 6)?;
            let ping = Ping {
                hostname: cursor.field("host name", HOSTNAME_BYTES)?.to_vec(),
                salt: cursor.field("salt", SALT_BYTES)?.to_vec(),
                key_digest: cursor.field("digest of the shared key", DIGEST_BYTES)?.to_vec(),
                username: cursor.field("user name", USERNAME_BYTES)?.to_vec(),
                password_digest: cursor.field("digest of the password", DIGEST_BYTES)?.to_vec(),
            };
            cursor.skip(extra)?;
            Ok(ping)
        })
    }
}

impl Pong {
    /// The client may send.
    pub fn accept(hostname: &[u8], key: &Hex) -> Vec<u8> {
        pong(0xc3, b"", hostname, key)
    }

    /// The client may not; the connection is closed behind it.
    pub fn deny(reason: &str) -> Vec<u8> {
        pong(0xc2, reason.as_bytes(), b"", b"")
    }

    pub fn parse(bytes: &[u8]) -> Parsed<Pong> {
        parse(bytes, |cursor| {
            let extra = cursor.begin("PONG", 5)?;
            let pong = Pong {
                ok: cursor.bool("result")?,
                reason: cursor.field_or_nil("reason", REASON_BYTES)?.to_vec(),
                hostname: cursor.field_or_nil("host name", HOSTNAME_BYTES)?.to_vec(),
                key_digest: cursor.field_or_nil("digest of the shared key", DIGEST_BYTES)?.to_vec(),
            };
            cursor.skip(extra)?;
            Ok(pong)
        })
    }
}

fn pong(ok: u8, reason: &[u8], hostname: &[u8], key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"\x95\xa4PONG");
    out.push(ok);
    for field in [reason, hostname, key] {
        text(&mut out, field);
    }
    out
}

/// Appends a str. Longer ones than 255 bytes do not exist here and would be cut.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bytes.get(..255).unwrap_or(bytes);
    match bytes.len() {
        len @ 0..=31 => out.push(0xa0 | len as u8),
        len => out.extend_from_slice(&[0xd9, len as u8]),
    }
    out.extend_from_slice(bytes);
}

enum Stop {
    Partial,
    Bad(BadMessage),
}

impl From<BadMessage> for Stop {
    fn from(bad: BadMessage) -> Stop {
        Stop::Bad(bad)
    }
}

fn parse<T>(bytes: &[u8], read: impl FnOnce(&mut Cursor<'_>) -> Result<T, Stop>) -> Parsed<T> {
    // Bytes beyond the limit are as good as not there, so that the verdict does not depend on how much was read.
    let within = bytes.get(..MESSAGE_BYTES).unwrap_or(bytes);
    let mut cursor = Cursor { bytes: within, at: 0 };
    match read(&mut cursor) {
        Ok(message) => Parsed::Done(message, cursor.at),
        Err(Stop::Bad(bad)) => Parsed::Bad(bad),
        Err(Stop::Partial) if within.len() == MESSAGE_BYTES => Parsed::Bad(BadMessage::TooLong),
        Err(Stop::Partial) => Parsed::Partial,
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Headers: the marker, then so many bytes of length.
const STR: [u8; 3] = [0xd9, 0xda, 0xdb];
const BIN: [u8; 3] = [0xc4, 0xc5, 0xc6];

impl<'a> Cursor<'a> {
    fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::Partial)
    }

    /// Steps over a marker and the big-endian number of `width` bytes behind it.
    fn number(&mut self, width: usize) -> Result<usize, Stop> {
        let start = self.at + 1;
        let bytes = self.bytes.get(start..start + width).ok_or(Stop::Partial)?;
        self.at = start + width;
        Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    /// The array, its name, and how many elements stand behind the `needed` ones.
    fn begin(&mut self, name: &'static str, needed: usize) -> Result<usize, Stop> {
        let found = match self.peek()? {
            marker @ 0x90..=0x9f => self.number(0).map(|_| usize::from(marker & 15))?,
            0xdc => self.number(2)?,
            0xdd => self.number(4)?,
            _ => return Err(BadMessage::Other(name).into()),
        };
        // A wrong count is judged before the name is there: an event has fewer elements than a PING.
        if found < needed || found > COUNT {
            return Err(BadMessage::Other(name).into());
        }
        match self.field(name, COUNT) {
            Ok(found) if found == name.as_bytes() => {}
            Err(Stop::Partial) => return Err(Stop::Partial),
            _ => return Err(BadMessage::Other(name).into()),
        }
        Ok(found - needed)
    }

    fn map(&mut self, field: &'static str) -> Result<usize, Stop> {
        let length = match self.peek()? {
            marker @ 0x80..=0x8f => self.number(0).map(|_| usize::from(marker & 15))?,
            0xde => self.number(2)?,
            0xdf => self.number(4)?,
            _ => return Err(BadMessage::Type(field).into()),
        };
        if length > COUNT {
            Err(BadMessage::Length { field, length, limit: COUNT }.into())
        } else {
            Ok(length)
        }
    }

    /// A str or bin of at most `limit` bytes.
    fn field(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], Stop> {
        let marker = self.peek()?;
        let form = |forms: [u8; 3]| forms.iter().position(|known| *known == marker);
        let length = match (marker, form(STR).or(form(BIN))) {
            (0xa0..=0xbf, _) => self.number(0).map(|_| usize::from(marker & 31))?,
            (_, Some(form)) => self.number(1 << form)?,
            _ => return Err(BadMessage::Type(field).into()),
        };
        if length > limit {
            return Err(BadMessage::Length { field, length, limit }.into());
        }
        let bytes = self.bytes.get(self.at..self.at + length).ok_or(Stop::Partial)?;
        self.at += length;
        Ok(bytes)
    }

    fn field_or_nil(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], Stop> {
        if self.peek()? != 0xc0 {
            return self.field(field, limit);
        }
        self.at += 1;
        Ok(b"")
    }

    fn is_bool(&self) -> bool {
        matches!(self.peek(), Ok(0xc2 | 0xc3))
    }

    fn bool(&mut self, field: &'static str) -> Result<bool, Stop> {
        let value = match self.peek()? {
            0xc2 => false,
            0xc3 => true,
            _ => return Err(BadMessage::Type(field).into()),
        };
        self.at += 1;
        Ok(value)
    }

    fn skip(&mut self, values: usize) -> Result<(), Stop> {
        let mut walker = Walker::at(self.bytes, self.at);
        for _ in 0..values {
            match walker.skip() {
                Ok(_) => self.at = walker.position(),
                Err(WalkError::End) => return Err(Stop::Partial),
                Err(error) => return Err(BadMessage::Damaged(error).into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
