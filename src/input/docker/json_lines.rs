//! The lines of the json-file driver.
//!
//! ```text
//! {"log":"text\n","stream":"stdout","attrs":{"k":"v"},"time":"2026-11-22T23:03:07.723254855Z"} LF
//! ```
//!
//! The engine writes its members in this order, which is read in one pass, and the text of a line without escapes stays
//! where it is, its `\n` cut off. Any other order is read as JSON. A text that does not end in `\n` is a piece: the next
//! one of the same stream and time goes on.
//!
//! A host that lost power and a file truncated under its writer leave runs of NULs and halves of lines, which are told
//! apart here: a sound line behind them is read. What is no line of this kind is given as it stands.

use memchr::{memchr, memchr2, memmem};

use crate::base::limits;
use crate::input::follow::rfc3339::Times;
pub use crate::input::follow::stream::Stream;
use crate::record::json::{ReadLimits, Value, read_object, read_value};
use crate::record::{Batch, Span, Timestamp};

/// The engine's longest line has 16 KiB of text, each byte of which may take six, and its attributes.
pub const MAX_LINE: usize = limits::MIB;

const START: &[u8] = b"{\"log\":\"";
const LIMITS: ReadLimits = ReadLimits { depth: 8, members: 64 };

/// One line, or one piece of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonLine {
    /// Without its line feed.
    pub text: Span,
    /// It ended in a line feed.
    pub ends: bool,
    /// `None` when it names another one than the engine does.
    pub stream: Option<Stream>,
    /// `None` when it is no time.
    pub time: Option<Timestamp>,
    /// An object, as it stands; empty when there is none.
    pub attrs: Span,
}

/// What comes next in a file. Ends are places in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Line(JsonLine, usize),
    /// No line of this driver, and where it ends.
    Malformed(Span, usize),
    /// NULs, or an empty line.
    Nothing(usize),
    /// The line's end is not there yet.
    Wait,
}

/// Reads what comes next in `all`, the batch's frame, from `from` on, which is not its end. `ended`: nothing will be
/// written behind it. What it makes is at the end of the arena.
pub fn next(batch: &mut Batch, all: &[u8], times: &mut Times, from: usize, ended: bool) -> Next {
    let unread = all.get(from..).unwrap_or_default();
    if unread.first() == Some(&0) {
        return Next::Nothing(from + nulls(unread));
    }
    if let Some(quick) = quick(batch, all, times, from) {
        return quick;
    }
    let (line, end) = match memchr(b'\n', unread) {
        Some(len) => (&unread[..len], from + len + 1),
        None if ended || unread.len() >= MAX_LINE => {
            let len = unread.len().min(MAX_LINE);
            (&unread[..len], from + len)
        }
        None => return Next::Wait,
    };
    if line.iter().all(u8::is_ascii_whitespace) {
        return Next::Nothing(end);
    }
    if let Some(line) = slow(batch, times, Span::frame(from, line.len())) {
        return Next::Line(line, end);
    }
    if let Some(sound) = memchr(0, line) {
        return match slow(batch, times, Span::frame(from, sound)) {
            Some(line) => Next::Line(line, from + sound),
            None => Next::Malformed(Span::frame(from, sound), from + sound),
        };
    }
    // Half a line, and the next one behind it.
    if let Some(at) = memmem::rfind(line, START).filter(|at| *at > 0)
        && slow(batch, times, Span::frame(from + at, line.len() - at)).is_some()
    {
        return Next::Malformed(Span::frame(from, at), from + at);
    }
    Next::Malformed(Span::frame(from, line.len()), end)
}

fn nulls(bytes: &[u8]) -> usize {
    let whole = bytes.chunks_exact(64).take_while(|chunk| **chunk == [0; 64]).count() * 64;
    whole + bytes[whole..].iter().take_while(|byte| **byte == 0).count()
}

/// A line as the engine writes it; anything else is left to [`slow`].
fn quick(batch: &mut Batch, all: &[u8], times: &mut Times, from: usize) -> Option<Next> {
    let text_at = from + START.len();
    let text = all.get(from..)?.strip_prefix(START)?;
    let len = memchr2(b'"', b'\\', text)?;
    let (text, ends, at) = match text[len..] {
        [b'"', ..] => (Span::frame(text_at, len), false, text_at + len + 1),
        [b'\\', b'n', b'"', ..] => (Span::frame(text_at, len), true, text_at + len + 3),
        _ => {
            let (Value::Text(text), taken) =
                read_value(batch, Span::frame(text_at - 1, all.len() - text_at + 1), &LIMITS).ok()?
            else {
                return None;
            };
            let (text, ends) = without_line_feed(batch, text);
            (text, ends, text_at - 1 + taken)
        }
    };
    let rest = all[at..].strip_prefix(b",\"stream\":\"std")?;
    let (stream, rest) = match rest {
        [b'o', b'u', b't', b'"', b',', rest @ ..] => (Stream::Stdout, rest),
        [b'e', b'r', b'r', b'"', b',', rest @ ..] => (Stream::Stderr, rest),
        _ => return None,
    };
    let (mut attrs, mut rest) = (Span::EMPTY, rest);
    if let Some(object) = rest.strip_prefix(b"\"attrs\":") {
        let at = all.len() - object.len();
        let (Value::Nested(span), taken) = read_value(batch, Span::frame(at, object.len()), &LIMITS).ok()?
        else {
            return None;
        };
        attrs = span;
        rest = object[taken..].strip_prefix(b",")?;
    }
    let time = rest.strip_prefix(b"\"time\":\"")?;
    // No time is longer.
    let len = memchr(b'"', &time[..time.len().min(40)])?;
    let rest = time[len..].strip_prefix(b"\"}\n")?;
    let time = Some(times.read(&time[..len])?);
    Some(Next::Line(JsonLine { text, ends, stream: Some(stream), time, attrs }, all.len() - rest.len()))
}

/// Any object with some of the members. Nothing but blanks may stand behind it.
fn slow(batch: &mut Batch, times: &mut Times, line: Span) -> Option<JsonLine> {
    let (mut text, mut stream, mut time, mut attrs) = (None, None, None, Span::EMPTY);
    let taken = read_object(batch, line, &LIMITS, &mut |batch, key, value| match (batch.bytes(key), value) {
        (b"log", Value::Text(span)) => text = Some(span),
        (b"stream", Value::Text(span)) => stream = Some(span),
        (b"time", Value::Text(span)) => time = Some(span),
        (b"attrs", Value::Nested(span)) => attrs = span,
        _ => {}
    })
    .ok()?;
    let rest = batch.bytes(line).get(taken..)?;
    if !rest.iter().all(u8::is_ascii_whitespace) || (text, stream, time) == (None, None, None) {
        return None;
    }
    let (text, ends) = without_line_feed(batch, text.unwrap_or(Span::EMPTY));
    let stream = stream.and_then(|stream| Stream::of(batch.bytes(stream)));
    let time = time.and_then(|time| times.read(batch.bytes(time)));
    Some(JsonLine { text, ends, stream, time, attrs })
}

fn without_line_feed(batch: &Batch, text: Span) -> (Span, bool) {
    match batch.bytes(text) {
        [.., b'\n'] => (text.slice(0, text.len() - 1), true),
        _ => (text, false),
    }
}

#[cfg(test)]
mod tests;
