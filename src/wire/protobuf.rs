//! Protobuf's wire format, read in place: the fields of one message in their order, as slices of the received bytes; and
//! written a field at a time.
//!
//! Refused: lengths that leave the message, numbers of more than 64 bits, field numbers that cannot be, and the format's
//! abandoned groups. What a field means is the business of who reads it ([`super::loggroup`], [`super::log_entry`],
//! [`super::config_server`]).

/// Wire types.
pub(super) const VARINT: u8 = 0;
pub(super) const BYTES: u8 = 2;

/// Why bytes are no message; reads behind what the message is called.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FieldError {
    #[error("ends inside a field, {0} bytes before its end")]
    Truncated(usize),
    #[error("has a number of more than 64 bits, {0} bytes before its end")]
    LongNumber(usize),
    #[error("has wire type {wire_type} in field {field}")]
    WireType { field: u32, wire_type: u8 },
}

/// The fields of one message, in order.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// One field: its number and what it holds. `whole` is the field with its tag, as it would be copied.
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) whole: &'a [u8],
    wire_type: u8,
    payload: &'a [u8],
    value: u64,
}

impl<'a> Field<'a> {
    pub(super) fn bytes(&self) -> Result<&'a [u8], FieldError> {
        match self.wire_type {
            BYTES => Ok(self.payload),
            wire_type => Err(FieldError::WireType { field: self.number, wire_type }),
        }
    }

    /// A number of this wire type.
    pub(super) fn number_of(&self, wanted: u8) -> Result<u64, FieldError> {
        match self.wire_type {
            wire_type if wire_type == wanted => Ok(self.value),
            wire_type => Err(FieldError::WireType { field: self.number, wire_type }),
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Fields { rest: bytes }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, FieldError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.rest;
        let tag = self.varint()?;
        let wire_type = (tag & 7) as u8;
        let number = match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 && number < 1 << 29 => number,
            _ => return Err(FieldError::WireType { field: 0, wire_type }),
        };
        let (mut value, mut payload) = (0, &start[..0]);
        match wire_type {
            VARINT => value = self.varint()?,
            1 => value = little_endian(self.take(8)?),
            BYTES => {
                let len = self.varint()?;
                payload = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
            }
            5 => value = little_endian(self.take(4)?),
            wire_type => return Err(FieldError::WireType { field: number, wire_type }),
        }
        let whole = &start[..start.len() - self.rest.len()];
        Ok(Some(Field { number, whole, wire_type, payload, value }))
    }

    /// As an iterator, for bytes that were checked.
    pub(super) fn checked(mut self) -> impl Iterator<Item = Field<'a>> {
        std::iter::from_fn(move || self.next().ok().flatten())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], FieldError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(FieldError::Truncated(self.rest.len()))?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, FieldError> {
        // Nearly all tags and lengths are one byte.
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, FieldError> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            if index == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        let left = self.rest.len();
        Err(if left < 10 { FieldError::Truncated(left) } else { FieldError::LongNumber(left) })
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Writes a field that is a number. One at its default of 0 is not written.
pub(super) fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(field) << 3 | u64::from(VARINT));
        put_varint(out, value);
    }
}

/// Writes a field of bytes, text or a message, even when it is empty: as an item of a list it counts.
pub(super) fn put_item(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_varint(out, u64::from(field) << 3 | u64::from(BYTES));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a field of bytes or text. One at its default, empty, is not written.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_item(out, field, bytes);
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
