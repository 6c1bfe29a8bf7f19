//! Where does one text of a JSON stream end? The answer, resumable.
//!
//! Only brackets, strings and escapes are looked at; whether the text between is JSON is the transcoder's business.
//!
//! ```text
//! buffer  \n ["app.log", 14, {"m":"]\"...              ("...": not here yet)
//!            ^start                     ^at, inside a string, two brackets open
//! ```
//!
//! Invariants: a byte is looked at once, however the stream is cut; nothing is reserved; a text that is too long or too
//! deep is refused at the byte that makes it so.

use crate::record::msgpack::Limits;

/// Why a stream of JSON texts cannot be cut. The peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the peer sent the byte {0:02x} where a JSON text, an array, begins")]
    Start(u8),
    #[error("the peer sent a JSON text of more than {limit} bytes, the limit of a message (max_message)")]
    Message { limit: usize },
    #[error("the peer sent a JSON text nested deeper than {limit} levels (max_depth)")]
    Depth { limit: usize },
}

/// A piece of the buffer that is complete: white space up to `start`, then a text up to `end`. The text may be missing
/// (`start == end`), so that white space alone can be let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub start: usize,
    pub end: usize,
}

/// Finds the ends of texts. After a cut the caller gives what follows it; after `None`, the same bytes and more.
#[derive(Clone, Debug)]
pub struct Framer {
    limits: Limits,
    start: usize,
    at: usize,
    /// Brackets open.
    depth: usize,
    in_string: bool,
    /// The byte before was a backslash in a string.
    escaped: bool,
}

impl Framer {
    /// `limits.elements` is the transcoder's.
    pub fn new(limits: Limits) -> Self {
        Framer { limits, start: 0, at: 0, depth: 0, in_string: false, escaped: false }
    }

    /// The next piece of `buffer`, `None` when it is not complete.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<Cut>, FrameError> {
        let limit = self.limits.message;
        if self.depth == 0 {
            self.start = buffer.iter().position(|byte| !is_blank(*byte)).unwrap_or(buffer.len());
            self.at = self.start;
            match buffer.get(self.at) {
                Some(b'[' | b'{') => {}
                Some(byte) => return Err(FrameError::Start(*byte)),
                None if buffer.is_empty() => return Ok(None),
                None => return Ok(Some(Cut { start: self.start, end: self.start })),
            }
        }
        let seen = &buffer[..buffer.len().min(self.start.saturating_add(limit))];
        while let Some(rest) = seen.get(self.at..).filter(|rest| !rest.is_empty()) {
            if self.in_string {
                self.step_in_string(rest);
            } else if self.step_outside(rest)? {
                let cut = Cut { start: self.start, end: self.at };
                (self.start, self.at) = (0, 0);
                return Ok(Some(cut));
            }
        }
        if buffer.len() - self.start >= limit {
            return Err(FrameError::Message { limit });
        }
        Ok(None)
    }

    /// Up to the string's end, or its next escape.
    fn step_in_string(&mut self, rest: &[u8]) {
        if std::mem::take(&mut self.escaped) {
            self.at += 1;
            return;
        }
        let Some(place) = memchr::memchr2(b'"', b'\\', rest) else {
            self.at += rest.len();
            return;
        };
        self.at += place + 1;
        if rest.get(place) == Some(&b'"') {
            self.in_string = false;
        } else {
            self.escaped = true;
        }
    }

    /// Up to the next string; true when the text ends before.
    fn step_outside(&mut self, rest: &[u8]) -> Result<bool, FrameError> {
        for &byte in rest {
            self.at += 1;
            match byte {
                b'"' => {
                    self.in_string = true;
                    return Ok(false);
                }
                b'[' | b'{' => {
                    if self.depth == self.limits.depth {
                        return Err(FrameError::Depth { limit: self.limits.depth });
                    }
                    self.depth += 1;
                }
                b']' | b'}' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(true);
                    }
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// No byte of a text has been seen: the connection stands between two messages.
    pub fn is_idle(&self) -> bool {
        self.depth == 0
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
