//! LogGroups: a small encoder for the yardstick and a walker for the sink, both independent of the gateway's.
//!
//! ```text
//! LogGroup  0a Log ...            Log      08 time(varint) 12 Content ... 25 time_ns(fixed32)
//!                                 Content  0a key 12 value
//! ```

use crate::records::{Line, Stream};

/// Appends one record as a Log of a LogGroup.
pub fn append(out: &mut Vec<u8>, stream: &Stream, line: &Line) {
    let fields = stream.fields(line);
    let content = |key: &str, value: &[u8]| text_size(key.len()) + text_size(value.len());
    let size = 1
        + varint_size(line.seconds as usize)
        + fields.iter().map(|(key, value)| text_size(content(key, value))).sum::<usize>()
        + 5;
    out.push(0x0a);
    varint(out, size);
    out.push(0x08);
    varint(out, line.seconds as usize);
    for (key, value) in fields {
        out.push(0x12);
        varint(out, content(key, value));
        out.push(0x0a);
        varint(out, key.len());
        out.extend_from_slice(key.as_bytes());
        out.push(0x12);
        varint(out, value.len());
        out.extend_from_slice(value);
    }
    out.push(0x25);
    out.extend_from_slice(&line.nanoseconds.to_le_bytes());
}

fn text_size(len: usize) -> usize {
    1 + varint_size(len) + len
}

fn varint_size(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Calls `each` with the value of the field `log` of every Log (`None` where a Log has none).
/// False when the bytes are no LogGroup to their end.
pub fn walk(mut group: &[u8], mut each: impl FnMut(Option<&[u8]>)) -> bool {
    while !group.is_empty() {
        let Some((number, value)) = field(&mut group) else { return false };
        if number != 1 {
            continue;
        }
        let Some(text) = log_text(value) else { return false };
        each(text);
    }
    true
}

fn log_text(mut log: &[u8]) -> Option<Option<&[u8]>> {
    let mut text = None;
    while !log.is_empty() {
        let (number, mut content) = field(&mut log)?;
        if number != 2 {
            continue;
        }
        let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
        while !content.is_empty() {
            match field(&mut content)? {
                (1, bytes) => key = bytes,
                (2, bytes) => value = bytes,
                _ => {}
            }
        }
        if key == b"log" {
            text = Some(value);
        }
    }
    Some(text)
}

/// The next protobuf field: its number and, for length-delimited ones, its bytes.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let key = read_varint(bytes)?;
    let len = match key & 7 {
        0 => {
            read_varint(bytes)?;
            0
        }
        1 => 8,
        2 => usize::try_from(read_varint(bytes)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (value, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some((key >> 3, value))
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::number_of;

    #[test]
    fn what_is_encoded_is_walked() {
        let mut group = Vec::new();
        let mut line = Line::default();
        for mut stream in Stream::all(1_000, 4, 1, 1_700_000_000) {
            while stream.advance(&mut line) {
                append(&mut group, &stream, &line);
            }
        }
        group.extend_from_slice(b"\x1a\x03top\x32\x06\x0a\x01k\x12\x01v");
        let mut numbers = Vec::new();
        assert!(walk(&group, |text| numbers.push(text.and_then(number_of).unwrap())));
        assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
        assert!(!walk(&group[..group.len() - 1], |_| {}));
    }
}
