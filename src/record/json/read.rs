//! JSON objects as fields: each member's key and value as spans, in one pass.
//!
//! ```text
//! {"log":"hello \"you\"\n","n":1.50,"ok":true,"ctx":{"a": [1]},"none":null}
//!   ---                      ----                                          spans into the text as it stands
//! hello "you"<LF>                              {"a":[1]}                   made: unescaped, compacted
//! ```
//!
//! A string without escapes stays where it is, and so do numbers, with the digits that the sender wrote, and nested values
//! that are compact already. All else is made in the arena. What is made of a text is no longer than the text, but for
//! control bytes that a nested value holds unescaped: they become six bytes each there, as a field that says it is JSON
//! must be JSON.
//!
//! Values are bytes: what is no UTF-8 is kept, and repaired when the record is encoded. Control bytes in strings are
//! tolerated. A surrogate without its other half becomes U+FFFD. A key that comes twice is given twice.
//!
//! It refuses what else is no JSON, and what is nested deeper or has more members than its limits say. Nothing recurses.

use memchr::memchr;

use super::scan::{self, RawString, RawValue};
use crate::base::limits::DEPTH;
use crate::record::{Batch, Span};

/// Words of eight bytes that a run may have until it is a long one.
const SHORT: usize = 4;

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

#[inline(always)]
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

#[inline(always)]
fn unescaped(batch: &mut Batch, text: Span, raw: RawString) -> Span {
    let span = text.slice(raw.start, raw.end - raw.start);
    // No escape is shorter than the character it stands for.
    if raw.escaped { batch.rewrite(span, span.len(), unescape) } else { span }
}

/// Unescapes a text that was scanned into `out`, which is as long; gives the length of what was made.
#[inline(never)]
pub(crate) fn unescape(text: &[u8], out: &mut [u8]) -> usize {
    let (mut from, mut to, mut words) = (0, 0, 0);
    while let Some(&byte) = text.get(from) {
        if byte == b'\\' {
            words = 0;
            (from, to) = escape(text, from, out, to);
        } else if words == SHORT {
            // A long run: found and copied as one.
            let rest = text.get(from..).unwrap_or_default();
            let run = memchr(b'\\', rest).unwrap_or(rest.len());
            out[to..to + run].copy_from_slice(&rest[..run]);
            (from, to) = (from + run, to + run);
        } else if let (Some(word), Some(room)) = (scan::word_at(text, from), out.get_mut(to..to + 8)) {
            // What stands behind the run in this word is written over.
            room.copy_from_slice(&word.to_le_bytes());
            let run = scan::equal_bytes(word, b'\\').trailing_zeros() as usize / 8;
            (from, to, words) = (from + run, to + run, words + 1);
        } else {
            out[to] = byte;
            (from, to) = (from + 1, to + 1);
        }
    }
    to
}

/// Writes what the escape at `from` stands for at `to`; gives the places behind both.
#[inline(always)]
fn escape(text: &[u8], from: usize, out: &mut [u8], to: usize) -> (usize, usize) {
    out[to] = match text.get(from + 1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'u') => {
            let (point, taken) = code_point(text, from);
            return (from + taken, to + point.encode_utf8(&mut out[to..]).len());
        }
        // The quote, the backslash and the slash stand for themselves.
        byte => byte.copied().unwrap_or_default(),
    };
    (from + 2, to + 1)
}

/// The character of the escape `\uXXXX` at `at`, of both halves where it has two, and how many bytes that are.
fn code_point(text: &[u8], at: usize) -> (char, usize) {
    let (point, taken) = match (unit(text, at), unit(text, at + 6)) {
        (high @ 0xd800..=0xdbff, low @ 0xdc00..=0xdfff) => {
            (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        (alone, _) => (alone, 6),
    };
    (char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER), taken)
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
#[inline(never)]
fn compacted(batch: &mut Batch, raw: Span) -> Span {
    let control = batch.bytes(raw).iter().filter(|byte| **byte < 0x20).count();
    batch.rewrite(raw, raw.len() + control * (CONTROL.len() - 1), compact)
}

/// Compacts a text that was scanned into `out`, which has room for it; gives the length of what was made.
fn compact(text: &[u8], out: &mut [u8]) -> usize {
    let (mut at, mut to) = (0, 0);
    let mut put = |bytes: &[u8]| {
        if let Some(room) = out.get_mut(to..to + bytes.len()) {
            room.copy_from_slice(bytes);
            to += bytes.len();
        }
    };
    while let Some(byte) = text.get(at) {
        let start = at;
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {
                at = scan::blanks(text, at);
                continue;
            }
            b'"' => at = scan::string(text, at).map_or(text.len(), |string| string.end + 1),
            _ => at += 1,
        }
        for run in text[start..at].chunk_by(|one, next| *one >= 0x20 && *next >= 0x20) {
            match run {
                &[byte @ 0..0x20] => put(&control(byte)),
                run => put(run),
            }
        }
    }
    to
}

const CONTROL: [u8; 6] = *b"\\u0000";

/// The escape of a control byte.
fn control(byte: u8) -> [u8; 6] {
    let mut escape = CONTROL;
    escape[4] += byte >> 4;
    escape[5] = b"0123456789abcdef"[usize::from(byte & 15)];
    escape
}

#[cfg(test)]
mod tests;
