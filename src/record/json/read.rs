//! JSON objects as fields: each member's key and value as spans, in one pass.
//!
//! ```text
//! {"log":"hello \"you\"\n","n":1.50,"ok":true,"ctx":{"a": [1]},"none":null}
//!   ---                      ----                                          spans into the text as it stands
//! hello "you"<LF>                              {"a":[1]}                   made: unescaped, compacted
//! ```
//!
//! A string without escapes stays where it is, and so do numbers, with the digits that the sender wrote, and nested values
//! that are compact already. All else is made in the arena. What is made of a text is shorter than the text, but for
//! control bytes that a nested value holds unescaped: they are escaped there, as a field that says it is JSON must be
//! JSON.
//!
//! Values are bytes: what is no UTF-8 is kept, and repaired when the record is encoded. Control bytes in strings are
//! tolerated. A surrogate without its other half becomes U+FFFD. A key that comes twice is given twice.
//!
//! It refuses what else is no JSON, and what is nested deeper or has more members than its limits say. Nothing recurses.

use memchr::memchr;

use super::scan::{self, RawString, RawValue};
use crate::base::limits::DEPTH;
use crate::record::{Batch, Span};

/// What a member's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Unescaped.
    Text(Span),
    /// With the digits that were sent.
    Number(Span),
    Bool(bool),
    Null,
    /// An array or object, as compact JSON.
    Nested(Span),
}

/// Bounds of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Brackets that may be open at once, those of the object that is read included; above 128 it is 128.
    pub depth: usize,
    /// Members of the object that is read. Those of nested values are not given, and not counted.
    pub members: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        ReadLimits { depth: DEPTH, members: 4096 }
    }
}

/// Why a text is not taken. Places are bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("the JSON ends before it is complete")]
    Cut,
    #[error("this is no JSON: byte {at} cannot stand there")]
    Syntax { at: usize },
    #[error("the JSON is nested too deep")]
    Depth,
    #[error("the JSON object has too many members")]
    Members,
}

impl Value {
    /// The value as the text of a field: `true` and `false` are words, null is nothing.
    pub fn text(self, batch: &mut Batch) -> Option<Span> {
        match self {
            Value::Text(span) | Value::Number(span) | Value::Nested(span) => Some(span),
            Value::Bool(true) => Some(batch.keep(b"true")),
            Value::Bool(false) => Some(batch.keep(b"false")),
            Value::Null => None,
        }
    }
}

/// Reads the object that begins, after blanks, at the beginning of `text`, and calls `each` for every member, in order,
/// with its key and value. Gives the bytes of `text` it took, those of the closing brace included.
///
/// The arena may grow, also by what `each` does; it must not shrink. After an error the members before it were given.
pub fn read_object(
    batch: &mut Batch,
    text: Span,
    limits: &ReadLimits,
    each: &mut dyn FnMut(&mut Batch, Span, Value),
) -> Result<usize, JsonError> {
    let bytes = batch.bytes(text);
    let mut at = scan::expect(bytes, scan::blanks(bytes, 0), b'{')?;
    let depth = limits.depth.checked_sub(1).ok_or(JsonError::Depth)?;
    at = scan::blanks(bytes, at);
    if bytes.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    for _ in 0..limits.members {
        let bytes = batch.bytes(text);
        let key = scan::string(bytes, at)?;
        at = scan::expect(bytes, scan::blanks(bytes, key.end + 1), b':')?;
        let (value, end) = scan::value(bytes, scan::blanks(bytes, at), depth)?;
        at = scan::blanks(bytes, end);
        let last = match bytes.get(at) {
            Some(b',') => false,
            Some(b'}') => true,
            Some(_) => return Err(JsonError::Syntax { at }),
            None => return Err(JsonError::Cut),
        };
        at += 1;
        if !last {
            at = scan::blanks(bytes, at);
        }
        let key = unescaped(batch, text, key);
        let value = made(batch, text, value);
        each(batch, key, value);
        if last {
            return Ok(at);
        }
    }
    Err(JsonError::Members)
}

/// Reads the value that begins, after blanks, at the beginning of `text`: gives it and the bytes of `text` it took. An
/// object comes as one nested value.
pub fn read_value(batch: &mut Batch, text: Span, limits: &ReadLimits) -> Result<(Value, usize), JsonError> {
    let bytes = batch.bytes(text);
    let (value, end) = scan::value(bytes, scan::blanks(bytes, 0), limits.depth)?;
    Ok((made(batch, text, value), end))
}

#[inline]
fn made(batch: &mut Batch, text: Span, value: RawValue) -> Value {
    match value {
        RawValue::Text(raw) => Value::Text(unescaped(batch, text, raw)),
        RawValue::Number(start, end) => Value::Number(text.slice(start, end - start)),
        RawValue::Bool(is) => Value::Bool(is),
        RawValue::Null => Value::Null,
        RawValue::Nested { start, end, tidy } => {
            let raw = text.slice(start, end - start);
            Value::Nested(if tidy { raw } else { compacted(batch, raw) })
        }
    }
}

#[inline]
fn unescaped(batch: &mut Batch, text: Span, raw: RawString) -> Span {
    let span = text.slice(raw.start, raw.end - raw.start);
    let Some(escape) = raw.escape else { return span };
    // An escape is longer than what it stands for, so a copy has the room for it.
    let kept = batch.arena.len();
    batch.keep_again(span);
    let text = batch.arena.get_mut(kept..).unwrap_or_default();
    let len = unescape(text, escape - raw.start);
    batch.arena.truncate(kept + len);
    Span::arena(kept, len)
}

/// Unescapes in place a text that was scanned and whose first backslash stands at `first`; gives its new length.
fn unescape(text: &mut [u8], first: usize) -> usize {
    let (mut from, mut to) = (first, first);
    while from < text.len() {
        let (point, taken) = escape(text, from);
        // No escape is shorter than the character it stands for, so this stays behind what is still to be read.
        to += point.encode_utf8(&mut text[to..]).len();
        from += taken;
        let rest = text.get(from..).unwrap_or_default();
        let run = memchr(b'\\', rest).unwrap_or(rest.len());
        text.copy_within(from..from + run, to);
        (from, to) = (from + run, to + run);
    }
    to
}

/// What the escape at `at` stands for, and how many bytes it has.
fn escape(text: &[u8], at: usize) -> (char, usize) {
    match text.get(at + 1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b') => ('\x08', 2),
        Some(b'f') => ('\x0c', 2),
        Some(b'u') => match (unit(text, at), unit(text, at + 6)) {
            (high @ 0xd800..=0xdbff, low @ 0xdc00..=0xdfff) => {
                let point = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                (char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            (alone, _) => (char::from_u32(alone).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
        },
        // The quote, the backslash and the slash stand for themselves.
        Some(&byte) => (char::from(byte), 2),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

/// The UTF-16 unit of the escape `\uXXXX` at `at`; what no unit can be when there is none.
fn unit(text: &[u8], at: usize) -> u32 {
    match text.get(at..at + 6) {
        Some(&[b'\\', b'u', a, b, c, d]) => [a, b, c, d]
            .into_iter()
            .fold(0, |unit, digit| unit << 4 | char::from(digit).to_digit(16).unwrap_or_default()),
        _ => u32::MAX,
    }
}

/// A copy without the blanks outside strings, and with the control bytes inside them escaped.
fn compacted(batch: &mut Batch, raw: Span) -> Span {
    let kept = batch.arena.len();
    batch.keep_again(raw);
    let text = batch.arena.get_mut(kept..).unwrap_or_default();
    let len = drop_blanks(text);
    // What is left of control bytes stands in strings.
    if !scan::has_control(&text[..len]) {
        batch.arena.truncate(kept + len);
        return Span::arena(kept, len);
    }
    let compact = text[..len].to_vec();
    batch.arena.truncate(kept);
    batch.make(|arena| {
        for byte in compact {
            if byte < 0x20 { append_control(arena, byte) } else { arena.push(byte) }
        }
    })
}

/// Drops, in place, the blanks outside strings of a text that was scanned; gives its new length.
fn drop_blanks(text: &mut [u8]) -> usize {
    let (mut at, mut to, mut run) = (0, 0, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = scan::string(text, at).map_or(text.len(), |string| string.end + 1),
            b' ' | b'\n' | b'\r' | b'\t' => {
                text.copy_within(run..at, to);
                to += at - run;
                at = scan::blanks(text, at);
                run = at;
            }
            _ => at += 1,
        }
    }
    text.copy_within(run..at, to);
    to + at - run
}

fn append_control(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

#[cfg(test)]
mod tests;
