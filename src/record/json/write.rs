//! MessagePack values as text: plain text for a field's value, compact JSON for what is nested.
//!
//! ```text
//! str, bin    as they are              inside JSON: a string, broken UTF-8 repaired
//! integer     its digits               a number
//! float       shortest digits          a number; NaN and infinities a string
//! true/false  true, false              true, false
//! nil         nothing                  null
//! array, map  compact JSON             keys that are no text are written as their text: {"1":..,"[1,2]":..}
//! EventTime   1441588984.123456789     the same number
//! other ext   {"ext":5,"data":"0aff"}  the same object
//! ```
//!
//! Nothing recurses: open arrays and maps stand in a small fixed stack, and a value nested deeper than the limit of a
//! message is an error. A map may repeat a key; both are written, and a JSON reader takes the last.

use crate::base::limits::DEPTH;
use crate::record::msgpack::{Token, WalkError, Walker};
use crate::record::{number, text};

/// The extension type of the forward protocol's EventTime.
pub const EVENT_TIME: i8 = 0;

/// Seconds and nanoseconds of an EventTime extension; `None` for another type or length.
pub fn event_time(kind: i8, data: &[u8]) -> Option<(u32, u32)> {
    match (kind, data) {
        (EVENT_TIME, &[a, b, c, d, e, f, g, h]) => {
            Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])))
        }
        _ => None,
    }
}

/// Appends the next value of `walker` as the text of a field.
pub fn append_text(out: &mut Vec<u8>, bytes: &[u8], walker: &mut Walker<'_>) -> Result<(), WalkError> {
    let mut ahead = walker.clone();
    match ahead.next()? {
        Token::Nil => {}
        Token::Str(place) | Token::Bin(place) => out.extend_from_slice(bytes.get(place).unwrap_or_default()),
        Token::F32(float) => number::append_f32(out, float),
        Token::F64(float) => number::append_f64(out, float),
        _ => return append_json(out, bytes, walker),
    }
    *walker = ahead;
    Ok(())
}

/// An array or map that is being written: the elements still to come, and whether the next one is a key.
#[derive(Clone, Copy)]
struct Open {
    left: usize,
    map: bool,
}

impl Open {
    const NONE: Open = Open { left: 0, map: false };

    fn key_is_next(self) -> bool {
        self.map && self.left.is_multiple_of(2)
    }
}

/// Appends the next value of `walker`, a cursor over `bytes`, as compact JSON. After an error `out` holds the part
/// that was written.
pub fn append_json(out: &mut Vec<u8>, bytes: &[u8], walker: &mut Walker<'_>) -> Result<(), WalkError> {
    append(out, bytes, walker, false)
}

fn append(
    out: &mut Vec<u8>,
    bytes: &[u8],
    walker: &mut Walker<'_>,
    within_key: bool,
) -> Result<(), WalkError> {
    let mut stack = [Open::NONE; DEPTH];
    let mut depth = 0;
    loop {
        let key = depth > 0 && stack[depth - 1].key_is_next();
        if key {
            append_key(out, bytes, walker, within_key)?;
            out.push(b':');
        } else {
            let opened = match walker.next()? {
                Token::Array(count) => Some((b'[', Open { left: count, map: false })),
                Token::Map(count) => Some((b'{', Open { left: count.saturating_mul(2), map: true })),
                scalar => {
                    append_scalar(out, bytes, scalar);
                    None
                }
            };
            if let Some((bracket, open)) = opened {
                if depth == DEPTH {
                    return Err(WalkError::Depth);
                }
                out.push(bracket);
                if open.left > 0 {
                    stack[depth] = open;
                    depth += 1;
                    continue;
                }
                out.push(if open.map { b'}' } else { b']' });
            }
        }
        loop {
            if depth == 0 {
                return Ok(());
            }
            let inner = &mut stack[depth - 1];
            inner.left -= 1;
            if inner.left > 0 {
                if !key {
                    out.push(b',');
                }
                break;
            }
            out.push(if inner.map { b'}' } else { b']' });
            depth -= 1;
        }
    }
}

/// A key that is no text is rendered and then quoted. A map or array as a key may hold such keys itself; there they
/// are refused, which bounds the recursion to one step.
fn append_key(
    out: &mut Vec<u8>,
    bytes: &[u8],
    walker: &mut Walker<'_>,
    within_key: bool,
) -> Result<(), WalkError> {
    if let Some(place) = walker.take_bytes() {
        text::append_json_string(out, bytes.get(place).unwrap_or_default());
        return Ok(());
    }
    if within_key && matches!(walker.peek(), Some(0x80..=0x9f | 0xdc..=0xdf)) {
        return Err(WalkError::Depth);
    }
    let mut rendered = Vec::new();
    append(&mut rendered, bytes, walker, true)?;
    // A scalar that JSON writes as a string (NaN) already has its quotes.
    if rendered.first() == Some(&b'"') {
        out.extend_from_slice(&rendered);
    } else {
        text::append_json_string(out, &rendered);
    }
    Ok(())
}

fn append_scalar(out: &mut Vec<u8>, bytes: &[u8], token: Token) {
    match token {
        Token::Nil => out.extend_from_slice(b"null"),
        Token::Bool(true) => out.extend_from_slice(b"true"),
        Token::Bool(false) => out.extend_from_slice(b"false"),
        Token::Int(integer) => number::append_i64(out, integer),
        Token::Huge(integer) => number::append_u64(out, integer),
        Token::F32(float) => quoted_unless(float.is_finite(), out, |out| number::append_f32(out, float)),
        Token::F64(float) => quoted_unless(float.is_finite(), out, |out| number::append_f64(out, float)),
        Token::Str(place) | Token::Bin(place) => {
            text::append_json_string(out, bytes.get(place).unwrap_or_default());
        }
        Token::Ext(kind, place) => append_ext(out, kind, bytes.get(place).unwrap_or_default()),
        // Opened by the caller.
        Token::Array(_) | Token::Map(_) => {}
    }
}

fn quoted_unless(plain: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if !plain {
        out.push(b'"');
    }
    write(out);
    if !plain {
        out.push(b'"');
    }
}

fn append_ext(out: &mut Vec<u8>, kind: i8, data: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if let Some((seconds, nanos)) = event_time(kind, data) {
        let time = crate::record::Timestamp::new(i64::from(seconds), nanos);
        return number::append_seconds(out, time.seconds, time.nanos);
    }
    out.extend_from_slice(b"{\"ext\":");
    number::append_i64(out, i64::from(kind));
    out.extend_from_slice(b",\"data\":\"");
    for byte in data {
        out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(bytes: &[u8]) -> Result<String, WalkError> {
        let mut out = Vec::new();
        append_json(&mut out, bytes, &mut Walker::new(bytes)).map(|()| String::from_utf8(out).unwrap())
    }

    fn plain(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        append_text(&mut out, bytes, &mut Walker::new(bytes)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nested_values_are_compact_json() {
        assert_eq!(
            json(b"\x83\xa1a\x93\x01\xa3two\x81\xa1b\x80\xa1c\x90\xa1d\xc0").unwrap(),
            r#"{"a":[1,"two",{"b":{}}],"c":[],"d":null}"#
        );
        assert_eq!(json(b"\x92\x91\x91\x90\xc2").unwrap(), "[[[[]]],false]");
        assert_eq!(json(b"\x91\xcb\x7f\xf8\0\0\0\0\0\0").unwrap(), r#"["NaN"]"#);
        assert_eq!(json(b"\x91\xc4\x02\xff\x0a").unwrap(), "[\"\u{fffd}\\n\"]");
    }

    #[test]
    fn keys_that_are_no_text_are_written_as_text() {
        assert_eq!(
            json(b"\x84\x01\x02\xc0\x03\x92\x01\xa1x\x04\xc3\x05").unwrap(),
            r#"{"1":2,"null":3,"[1,\"x\"]":4,"true":5}"#
        );
        assert_eq!(json(b"\x81\xca\x7f\xc0\0\0\x01").unwrap(), r#"{"NaN":1}"#);
        // A map whose key is a map whose key is a map.
        assert_eq!(json(b"\x81\x81\x81\x80\x01\x02\x03"), Err(WalkError::Depth));
    }

    #[test]
    fn scalars_are_plain_text_outside_json() {
        assert_eq!(plain(b"\xc0"), "");
        assert_eq!(plain(b"\xc3"), "true");
        assert_eq!(plain(b"\xa2\"x"), "\"x");
        assert_eq!(plain(b"\xcb\x7f\xf0\0\0\0\0\0\0"), "Infinity");
        assert_eq!(plain(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "18446744073709551615");
        assert_eq!(plain(b"\xd7\0\x55\xec\xe6\xf8\x07\x5b\xcd\x15"), "1441588984.123456789");
        assert_eq!(plain(b"\xd5\x05\x0a\xff"), r#"{"ext":5,"data":"0aff"}"#);
    }

    #[test]
    fn depth_is_bounded() {
        let mut deep = vec![0x91; DEPTH];
        deep.push(0xc0);
        assert!(json(&deep).is_ok());
        deep.insert(0, 0x91);
        assert_eq!(json(&deep), Err(WalkError::Depth));
        let keys = vec![0x81; 100_000];
        assert!(json(&keys).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_json_or_an_error(bytes: Vec<u8>) {
            if let Ok(text) = json(&bytes) {
                let read = serde_json::from_str::<serde::de::IgnoredAny>(&text);
                prop_assert!(read.is_ok(), "{}", text);
            }
        }
    }
}
