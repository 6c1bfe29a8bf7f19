//! One JSON text as one MessagePack value, in a single pass and without a tree.
//!
//! ```text
//! [..], {..}   array32, map32: the count is written into the header when the end is reached
//! "text"       str, its escapes resolved
//! 42, -7       the shortest integer form, exact up to 2^64 - 1 and down to -2^63
//! 4.2, 1e3     float64, and so are integers beyond these
//! null, true   nil, true
//! ```
//!
//! A repeated key stays repeated: whoever looks a value up takes the last. MessagePack may be up to three times as long
//! as its JSON (`-0,` is nine bytes of float), so the output is held to the limit of a message too.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::record::msgpack::Limits;

/// Why a text is not the JSON it should be. The peer's fault.
#[derive(Debug, thiserror::Error)]
#[error("the peer sent what is no JSON message: {0}")]
pub struct TranscodeError(#[from] serde_json::Error);

/// Appends `text`, one JSON text, to `out` as MessagePack. After an error `out` holds the part that was written.
pub fn transcode(text: &[u8], limits: Limits, out: &mut Vec<u8>) -> Result<(), TranscodeError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let end = out.len().saturating_add(limits.message);
    Value { out, limits, end, depth: 0 }.deserialize(&mut reader)?;
    Ok(reader.end()?)
}

/// Writes the value that comes next.
struct Value<'a> {
    out: &'a mut Vec<u8>,
    limits: Limits,
    /// The length that `out` may reach.
    end: usize,
    depth: usize,
}

impl Value<'_> {
    fn inner(&mut self) -> Value<'_> {
        Value { out: self.out, limits: self.limits, end: self.end, depth: self.depth + 1 }
    }

    fn put<E: Error>(&mut self, header: &[u8], content: &[u8]) -> Result<(), E> {
        let length = self.out.len().saturating_add(header.len()).saturating_add(content.len());
        if length > self.end {
            let limit = self.limits.message;
            return Err(E::custom(format_args!(
                "as MessagePack it takes more than {limit} bytes, the limit of a message (max_message)"
            )));
        }
        self.out.extend_from_slice(header);
        self.out.extend_from_slice(content);
        Ok(())
    }

    /// Writes a header whose count is not known yet, and gives its place.
    fn open<E: Error>(&mut self, marker: u8) -> Result<usize, E> {
        if self.depth >= self.limits.depth {
            let limit = self.limits.depth;
            return Err(E::custom(format_args!("it is nested deeper than {limit} levels (max_depth)")));
        }
        self.put(&[marker, 0, 0, 0, 0], &[])?;
        Ok(self.out.len() - 4)
    }

    fn count<E: Error>(&self, count: usize) -> Result<(), E> {
        let limit = self.limits.elements;
        if count > limit {
            return Err(E::custom(format_args!("it has an array or object of more than {limit} elements")));
        }
        Ok(())
    }

    /// Writes the count. It fits: the output is bounded far below 4 GiB, and an element takes a byte.
    fn close(&mut self, place: usize, count: usize) {
        if let Some(header) = self.out.get_mut(place..place + 4) {
            header.copy_from_slice(&(count as u32).to_be_bytes());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.put(&[0xc0], &[])
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.put(&[0xc2 | u8::from(value)], &[])
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        match value {
            0..=0x7f => self.put(&[value as u8], &[]),
            0x80..=0xff => self.put(&[0xcc], &[value as u8]),
            0x100..=0xffff => self.put(&[0xcd], &(value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.put(&[0xce], &(value as u32).to_be_bytes()),
            _ => self.put(&[0xcf], &value.to_be_bytes()),
        }
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        match value {
            0.. => self.visit_u64(value as u64),
            -32..=-1 => self.put(&[value as u8], &[]),
            -0x80..=-33 => self.put(&[0xd0], &[value as u8]),
            -0x8000..=-0x81 => self.put(&[0xd1], &(value as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => self.put(&[0xd2], &(value as i32).to_be_bytes()),
            _ => self.put(&[0xd3], &value.to_be_bytes()),
        }
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        self.put(&[0xcb], &value.to_be_bytes())
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        let length = value.len();
        match length {
            0..=31 => self.put(&[0xa0 | length as u8], value.as_bytes()),
            32..=0xff => self.put(&[0xd9, length as u8], value.as_bytes()),
            0x100..=0xffff => {
                let [a, b] = (length as u16).to_be_bytes();
                self.put(&[0xda, a, b], value.as_bytes())
            }
            _ => {
                // A longer text than a u32 counts is refused by the limit.
                let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
                self.put(&[0xdb, a, b, c, d], value.as_bytes())
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let place = self.open(0xdd)?;
        let mut count = 0;
        while elements.next_element_seed(self.inner())?.is_some() {
            count += 1;
            self.count(count)?;
        }
        self.close(place, count);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut pairs: A) -> Result<(), A::Error> {
        let place = self.open(0xdf)?;
        let mut count = 0;
        while pairs.next_key_seed(self.inner())?.is_some() {
            pairs.next_value_seed(self.inner())?;
            count += 1;
            self.count(count)?;
        }
        self.close(place, count);
        Ok(())
    }
}
