//! Cuts what a connection brings into messages, whichever framing its peer uses; found out message by message.
//!
//! ```text
//! counted    "69 <30>1 ...\n"     RFC 6587, RFC 5425: decimal length, blank, so many bytes; one LF at their end is not text
//! by LF      "<30>... text\n"     a CR before the LF is text: Docker's terminals send it
//! by NUL     "<30>... text\0"     text may have several lines
//! ```
//!
//! Digits are a length when a blank and `<` stand behind them, or on a connection that has counted before; "2026 was
//! good" is a line. Docker ends lines by LF and lets NUL bytes through as text, so NUL has to earn its place: until the
//! first LF has ended a message, a NUL ends one when a priority `<n>` stands behind it (from then on NUL is what ends
//! messages here) or when nothing at all has come behind it yet (a peer that sends one message and waits). The first LF
//! that ends a message makes LF the end for good, and so does, where NUL was, an LF with a priority behind it.
//!
//! Of a message longer than allowed the beginning is a message that is marked as cut; its rest is skipped, and so a peer
//! costs one message of memory at most. A connection ends when its first bytes show another protocol, or when a length
//! is beyond all reason: what follows it could be anything.

use std::ops::Range;

use memchr::{memchr, memchr2};

use crate::base::limits;
use crate::input::oneway::{CutError, Message};

const LF: u8 = b'\n';
const NUL: u8 = 0;
/// No peer means a length of more digits.
const LENGTH_DIGITS: usize = 10;
/// What the request lines of HTTP/1 and of HTTP/2's preface end in.
const HTTP: [&[u8]; 3] = [b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0"];

/// The framing of one connection.
#[derive(Debug)]
pub struct Framer {
    max_message: usize,
    /// No message was cut yet.
    is_fresh: bool,
    /// The peer has counted octets before.
    counts: bool,
    ends: Ends,
    skip: Skip,
    /// Bytes of what is unread that hold no end of a message.
    searched: usize,
}

/// What ends the messages that are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Unknown,
    Lf,
    Nul,
}

/// The rest of a message that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    Nothing,
    Bytes(usize),
    ToEnd,
}

enum Step {
    Wait,
    Drop(usize),
    Message { range: Range<usize>, cut: bool, len: usize },
}

enum Find {
    /// The end stands here.
    At(usize),
    /// There is none yet, and none before this place.
    Nowhere(usize),
    TooLong,
}

enum Count {
    Wait,
    None,
    /// So many bytes, behind so many bytes.
    Octets {
        count: u64,
        behind: usize,
    },
}

/// Whether a priority `<n>` stands somewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begins {
    Yes,
    No,
    /// What has come so far could become one.
    Perhaps,
    /// Nothing has come.
    Nothing,
}

impl Framer {
    /// `max_message`: bytes of one message.
    pub fn new(max_message: usize) -> Framer {
        Framer {
            max_message: max_message.max(1),
            is_fresh: true,
            counts: false,
            ends: Ends::Unknown,
            skip: Skip::Nothing,
            searched: 0,
        }
    }

    /// As [`crate::input::oneway::Decoder::is_between_messages`].
    pub fn is_between_messages(&self) -> bool {
        self.skip == Skip::Nothing
    }

    /// As [`crate::input::oneway::Decoder::cut`].
    pub fn cut(
        &mut self,
        unread: &[u8],
        ended: bool,
        messages: &mut Vec<Message>,
    ) -> Result<usize, CutError> {
        let mut done = 0;
        loop {
            let len = match self.step(&unread[done..], ended)? {
                Step::Wait => return Ok(done),
                Step::Drop(len) => len,
                Step::Message { range, cut, len } => {
                    let text = &unread[done + range.start..done + range.end];
                    if cut || !matches!(text, b"" | b"\r") {
                        messages.push(Message { range: done + range.start..done + range.end, cut });
                    }
                    self.is_fresh = false;
                    len
                }
            };
            done += len;
            self.searched = 0;
        }
    }

    /// What the bytes at a message's beginning, or inside one that is skipped, are.
    fn step(&mut self, rest: &[u8], ended: bool) -> Result<Step, CutError> {
        let Some(&first) = rest.first() else { return Ok(Step::Wait) };
        match self.skip {
            Skip::Nothing => {}
            Skip::Bytes(left) => {
                let len = left.min(rest.len());
                self.skip = if len < left { Skip::Bytes(left - len) } else { Skip::Nothing };
                return Ok(Step::Drop(len));
            }
            Skip::ToEnd => return Ok(self.skip_to_end(rest, ended)),
        }
        if self.is_fresh
            && let Some(step) = foreign(rest, ended)?
        {
            return Ok(step);
        }
        if first == LF || first == NUL {
            let empty = rest.iter().take_while(|byte| matches!(**byte, LF | NUL)).count();
            return Ok(Step::Drop(empty));
        }
        match self.count(rest, ended)? {
            Count::Wait => Ok(Step::Wait),
            Count::Octets { count, behind } => self.counted(rest, count, behind, ended),
            Count::None => self.line(rest, ended),
        }
    }

    fn skip_to_end(&mut self, rest: &[u8], ended: bool) -> Step {
        match self.find(rest, usize::MAX - 1, ended) {
            Find::At(at) => {
                self.skip = Skip::Nothing;
                Step::Drop(at + 1)
            }
            Find::Nowhere(_) | Find::TooLong if ended => Step::Drop(rest.len()),
            Find::Nowhere(0) => Step::Wait,
            Find::Nowhere(searched) => Step::Drop(searched),
            Find::TooLong => Step::Drop(rest.len()),
        }
    }

    /// The length before a counted message.
    fn count(&self, rest: &[u8], ended: bool) -> Result<Count, CutError> {
        if !matches!(rest.first(), Some(b'1'..=b'9')) {
            return Ok(Count::None);
        }
        let digits = rest.iter().take(LENGTH_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
        if digits > LENGTH_DIGITS {
            return if self.counts { Err(CutError::Length) } else { Ok(Count::None) };
        }
        let open = if ended { Count::None } else { Count::Wait };
        match (rest.get(digits), rest.get(digits + 1)) {
            (None, _) | (Some(b' '), None) => return Ok(open),
            (Some(b' '), Some(b'<')) => {}
            (Some(b' '), Some(_)) if self.counts => {}
            _ => return Ok(Count::None),
        }
        let count = rest[..digits].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        if count > limits::MESSAGE_BYTES as u64 {
            return Err(CutError::TooLong(count));
        }
        Ok(Count::Octets { count, behind: digits + 1 })
    }

    fn counted(&mut self, rest: &[u8], count: u64, behind: usize, ended: bool) -> Result<Step, CutError> {
        let count = count as usize;
        let wanted = count.min(self.max_message);
        let there = rest.len() - behind;
        if there < wanted && !ended {
            return Ok(Step::Wait);
        }
        self.counts = true;
        let len = behind + wanted.min(there);
        let cut = len < behind + count;
        if there >= wanted && count > wanted {
            self.skip = Skip::Bytes(count - wanted);
        }
        let end = if !cut && rest[behind..len].last() == Some(&LF) { len - 1 } else { len };
        Ok(Step::Message { range: behind..end, cut, len })
    }

    fn line(&mut self, rest: &[u8], ended: bool) -> Result<Step, CutError> {
        match self.find(rest, self.max_message, ended) {
            Find::At(at) => {
                if self.is_fresh && is_http(&rest[..at]) {
                    return Err(CutError::Foreign("an HTTP request"));
                }
                Ok(Step::Message { range: 0..at, cut: false, len: at + 1 })
            }
            Find::TooLong => {
                self.skip = Skip::ToEnd;
                let len = self.max_message;
                Ok(Step::Message { range: 0..len, cut: true, len })
            }
            Find::Nowhere(_) if ended => {
                Ok(Step::Message { range: 0..rest.len(), cut: false, len: rest.len() })
            }
            Find::Nowhere(searched) => {
                self.searched = searched;
                Ok(Step::Wait)
            }
        }
    }

    /// The end of a message of at most `limit` bytes.
    fn find(&mut self, rest: &[u8], limit: usize, ended: bool) -> Find {
        let window = &rest[..rest.len().min(limit + 1)];
        let mut from = self.searched.min(window.len());
        loop {
            let place = match self.ends {
                Ends::Lf => memchr(LF, &window[from..]),
                Ends::Unknown | Ends::Nul => memchr2(LF, NUL, &window[from..]),
            };
            let Some(place) = place else {
                return if window.len() > limit { Find::TooLong } else { Find::Nowhere(window.len()) };
            };
            let at = from + place;
            match (self.ends, window[at]) {
                (Ends::Unknown, LF) => {
                    self.ends = Ends::Lf;
                    return Find::At(at);
                }
                (Ends::Unknown, _) => match begins(&rest[at + 1..], ended) {
                    Begins::Yes => {
                        self.ends = Ends::Nul;
                        return Find::At(at);
                    }
                    Begins::Nothing => return Find::At(at),
                    Begins::Perhaps => return Find::Nowhere(at),
                    Begins::No => from = at + 1,
                },
                (Ends::Nul, LF) => match begins(&rest[at + 1..], ended) {
                    Begins::Yes => {
                        self.ends = Ends::Lf;
                        return Find::At(at);
                    }
                    Begins::Perhaps => return Find::Nowhere(at),
                    Begins::Nothing if !ended => return Find::Nowhere(at),
                    Begins::Nothing | Begins::No => from = at + 1,
                },
                (Ends::Nul | Ends::Lf, _) => return Find::At(at),
            }
        }
    }
}

fn begins(bytes: &[u8], ended: bool) -> Begins {
    let open = if ended { Begins::No } else { Begins::Perhaps };
    match bytes.split_first() {
        None => Begins::Nothing,
        Some((b'<', behind)) => {
            let digits = behind.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
            match behind.get(digits) {
                _ if digits > 3 => Begins::No,
                None => open,
                Some(b'>') if digits > 0 => Begins::Yes,
                Some(_) => Begins::No,
            }
        }
        Some(_) => Begins::No,
    }
}

/// Protocols whose first two bytes give them away. Both of them are no text: TLS records begin with 0x16 0x03, forward
/// messages with an array of two to four whose first element is a string.
fn foreign(rest: &[u8], ended: bool) -> Result<Option<Step>, CutError> {
    match (rest.first(), rest.get(1)) {
        (Some(0x16 | 0x92..=0x94), None) if !ended => Ok(Some(Step::Wait)),
        (Some(0x16), Some(0x03)) => Err(CutError::Foreign("a TLS handshake")),
        (Some(0x92..=0x94), Some(0xa0..=0xbf | 0xd9..=0xdb)) => {
            Err(CutError::Foreign("a message of the forward protocol"))
        }
        _ => Ok(None),
    }
}

/// A connection's first line that is an HTTP request's.
fn is_http(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let method = line.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    (3..=7).contains(&method)
        && line.get(method) == Some(&b' ')
        && HTTP.iter().any(|version| line.ends_with(version))
}

#[cfg(test)]
mod tests;
