//! Where does one object of a MessagePack stream end? The answer, resumable.
//!
//! A forward connection carries bare objects with no lengths around them, so a boundary is found only by walking. The
//! scanner keeps its place and a stack of what is still missing, so that a message which arrives in a thousand reads
//! is walked once: a string that has not arrived yet is a position ahead of the buffer, not a wait in its middle.
//!
//! ```text
//! buffer  93 a3 "tag" ce .. .. .. .. 81 a3 "log" d9 ff "hello ...          ("...": not here yet)
//!         ^0                                                ^buffer.len()      ^at
//! stack   [outer: 0 more]  left: 0 more in the map
//! ```
//!
//! Every bound is checked at the header that breaks it, before the bytes it announces arrive: sizes and counts that the
//! largest allowed message could not hold, nesting, and the one byte MessagePack never uses. A scanner that has given
//! an error has lost the stream's rhythm; its connection is over.

use super::{Long, SHORT, WIDTH, long};
use crate::base::limits;

/// The bounds of one message.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes, header of the message included.
    pub message: usize,
    /// Arrays and maps that may be open inside each other.
    pub depth: usize,
    /// Elements of one array, pairs of one map counted twice.
    pub elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { message: limits::MESSAGE_BYTES, depth: limits::DEPTH, elements: 2 * limits::ENTRIES }
    }
}

/// Why a stream cannot be read on. The peer's fault in every case, or a limit set too low for an honest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error(
        "the peer sent the byte c1 at offset {at} of a message, which MessagePack never uses: not a forward peer, or the stream is damaged"
    )]
    Reserved { at: usize },
    #[error(
        "the peer sends a message of at least {claimed} bytes, the limit is {limit}: raise the input's largest message, or lower the sender's chunk size"
    )]
    Message { claimed: usize, limit: usize },
    #[error("the peer sends a message nested deeper than {limit} levels")]
    Depth { limit: usize },
    #[error("the peer announces an array or map of {claimed} elements, the limit is {limit}")]
    Elements { claimed: usize, limit: usize },
}

/// A resumable walk over a stream of objects; see the module's story.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    /// Offset of the next token, from the message's start; ahead of the buffer while a string is arriving.
    at: usize,
    /// Elements still missing in the innermost open array or map; 1 before a message, 0 when only bytes are missing.
    left: usize,
    /// The same for the arrays and maps around it.
    outer: Vec<usize>,
    body_end: usize,
}

impl Scanner {
    pub fn new(limits: Limits) -> Self {
        Scanner { limits, at: 0, left: 1, outer: Vec::new(), body_end: 0 }
    }

    /// Looks for the end of the message that starts at `buffer[0]`. `Ok(Some(length))` when it is complete: the next
    /// call expects `buffer` to start behind it. `Ok(None)` when bytes are missing: the next call expects the same
    /// bytes and more.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, ScanError> {
        let Limits { message: limit, .. } = self.limits;
        // What lies beyond the limit cannot belong to this message.
        let seen = &buffer[..buffer.len().min(limit)];
        let (mut at, mut left) = (self.at, self.left);
        if at == 0 {
            self.body_end = 0;
        }
        'walk: while left > 0 {
            let Some(&marker) = seen.get(at) else { break };
            let code = WIDTH[usize::from(marker)];
            if code < SHORT {
                at += usize::from(code);
            } else {
                match long(code, marker, &seen[at + 1..]) {
                    Long::Bytes { header, content } => {
                        // Cannot overflow: `at` is at most the limit and some bytes, `content` a u32.
                        at = at.saturating_add(header).saturating_add(content);
                        if at > limit {
                            return Err(ScanError::Message { claimed: at, limit });
                        }
                    }
                    Long::Elements { header, count } => {
                        at += header;
                        if count > 0 {
                            self.open(at, count)?;
                            self.outer.push(left - 1);
                            left = count;
                            continue 'walk;
                        }
                        if self.outer.len() == 1 && self.body_end == 0 {
                            self.body_end = at;
                        }
                    }
                    Long::Cut => break,
                    Long::Reserved => return Err(ScanError::Reserved { at }),
                }
            }
            left -= 1;
            while left == 0 {
                match self.outer.pop() {
                    Some(outer) => left = outer,
                    None => break 'walk,
                }
                if self.outer.len() == 1 && self.body_end == 0 {
                    self.body_end = at;
                }
            }
        }
        if left == 0 && at <= seen.len() {
            (self.at, self.left) = (0, 1);
            return Ok(Some(at));
        }
        if at > limit || (left > 0 && at.max(buffer.len()) >= limit) {
            return Err(ScanError::Message { claimed: at.max(limit.saturating_add(1)), limit });
        }
        (self.at, self.left) = (at, left);
        Ok(None)
    }

    #[inline]
    fn open(&self, at: usize, count: usize) -> Result<(), ScanError> {
        let Limits { message, depth, elements } = self.limits;
        if count > elements {
            return Err(ScanError::Elements { claimed: count, limit: elements });
        }
        // Every element takes a byte at least.
        if count > message.saturating_sub(at) {
            return Err(ScanError::Message { claimed: at.saturating_add(count), limit: message });
        }
        if self.outer.len() >= depth {
            return Err(ScanError::Depth { limit: depth });
        }
        Ok(())
    }

    /// No byte of a message has been walked.
    pub fn is_idle(&self) -> bool {
        self.at == 0
    }

    /// How many bytes of the present message are accounted for, arrived or announced by a string's header. A caller
    /// may size its next read by this; it never exceeds the message limit by more than one token.
    pub fn progress(&self) -> usize {
        self.at
    }

    /// After a message was found: where the first array or map directly inside it ended, 0 when it has none. In a
    /// forward message that is the end of its entries or its record, which saves a second walk over them.
    pub fn body_end(&self) -> usize {
        self.body_end
    }
}

/// What speaks on a connection whose first bytes are no forward message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    Tls,
    Http,
    Proxy,
    /// Welcome as the first bytes of a connection without a shared key, where the caller looks for it first.
    Json,
    Syslog,
    Other(u8),
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Foreign::Tls => {
                f.write_str("TLS on a plain port: set the sender to plain, or give this input a certificate")
            }
            Foreign::Http => f.write_str("HTTP: this port speaks the fluent forward protocol"),
            Foreign::Proxy => f.write_str("a PROXY protocol header: switch it off at the load balancer, or name its network in proxy_protocol"),
            Foreign::Json => f.write_str("JSON where MessagePack is spoken: JSON has to begin a connection, and one without a shared key"),
            Foreign::Syslog => f.write_str("syslog: send it to a syslog input"),
            Foreign::Other(byte) => {
                write!(f, "no forward message: its first byte is {byte:02x}, a message begins with an array")
            }
        }
    }
}

/// Judges the first bytes of a message: `None` for what may be a forward message (an array, or the nil some clients
/// send as a heartbeat), else who it seems to be. One byte is enough for a verdict; more give it a better name.
pub fn foreign(first: &[u8]) -> Option<Foreign> {
    let starts = |word: &[u8]| first.iter().zip(word).all(|(a, b)| a == b);
    Some(match *first.first()? {
        0x90..=0x9f | 0xdc | 0xdd | 0xc0 => return None,
        0x16 if starts(b"\x16\x03") => Foreign::Tls,
        b'\r' if starts(b"\r\n\r\n\0\r\nQ") => Foreign::Proxy,
        b'P' if first.len() > 1 && starts(b"PROXY") => Foreign::Proxy,
        _ if [
            &b"GET "[..],
            b"POST ",
            b"PUT ",
            b"HEAD ",
            b"DELETE ",
            b"OPTIONS ",
            b"PATCH ",
            b"CONNECT ",
            b"PRI ",
        ]
        .iter()
        .any(|word| starts(word)) =>
        {
            Foreign::Http
        }
        b'{' | b'[' => Foreign::Json,
        b'<' => Foreign::Syslog,
        byte => Foreign::Other(byte),
    })
}

#[cfg(test)]
mod tests;
