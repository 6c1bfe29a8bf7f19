//! A cursor over complete MessagePack objects: one token after the other, strings as places, nothing copied.
//!
//! The cursor trusts nothing: bytes that end too early are [`WalkError::End`], never a panic, so the inside of a packed
//! chunk, which no scanner has walked, is read as it stands. It does not recurse: skipping a value counts what is
//! missing. Old senders know no bin and write raw bytes with the headers that mean str today, so whoever wants bytes
//! takes either.

use std::ops::Range;

use super::{Long, SHORT, WIDTH, long};

/// One header with its scalar, or with the place of its bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Nil,
    Bool(bool),
    /// Any integer below 2^63.
    Int(i64),
    /// An integer of 2^63 and above.
    Huge(u64),
    F32(f32),
    F64(f64),
    Str(Range<usize>),
    Bin(Range<usize>),
    /// Type and place of the data.
    Ext(i8, Range<usize>),
    /// So many elements follow.
    Array(usize),
    /// So many pairs follow.
    Map(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    #[error("the bytes end inside a value")]
    End,
    #[error("the byte c1, which MessagePack never uses")]
    Reserved,
    #[error("a value nested deeper than {} levels", crate::base::limits::DEPTH)]
    Depth,
}

/// A cursor; a failed step leaves it where it was.
#[derive(Clone, Debug)]
pub struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walker<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Walker { bytes, at: 0 }
    }

    /// A cursor that stands at `at`; places are still counted from the start of `bytes`.
    pub fn at(bytes: &'a [u8], at: usize) -> Self {
        Walker { bytes, at }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The first byte of the next token.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn array<const N: usize>(&self, from: usize) -> Result<[u8; N], WalkError> {
        match self.bytes.get(from..).and_then(<[u8]>::first_chunk::<N>) {
            Some(bytes) => Ok(*bytes),
            None => Err(WalkError::End),
        }
    }

    #[inline]
    fn place(&self, header: usize, length: usize) -> Result<Range<usize>, WalkError> {
        let start = self.at + header;
        let end = start.saturating_add(length);
        if end > self.bytes.len() { Err(WalkError::End) } else { Ok(start..end) }
    }

    /// The next token as text or raw bytes, when it is one: the way of nearly every key and value of a log record.
    #[inline]
    pub fn take_bytes(&mut self) -> Option<Range<usize>> {
        let marker = self.peek()?;
        let (header, length) = match marker {
            0xa0..=0xbf => (1, usize::from(marker & 0x1f)),
            0xd9 | 0xc4 => (2, usize::from(*self.bytes.get(self.at + 1)?)),
            0xda | 0xc5 => (3, usize::from(u16::from_be_bytes(self.array(self.at + 1).ok()?))),
            0xdb | 0xc6 => (5, u32::from_be_bytes(self.array(self.at + 1).ok()?) as usize),
            _ => return None,
        };
        let place = self.place(header, length).ok()?;
        self.at = place.end;
        Some(place)
    }

    /// The element count of the array that is next, and steps into it; `None` when the next value is no array.
    #[inline]
    pub fn take_array(&mut self) -> Option<usize> {
        match self.peek()? {
            marker @ 0x90..=0x9f => {
                self.at += 1;
                Some(usize::from(marker & 0x0f))
            }
            0xdc | 0xdd => match self.next() {
                Ok(Token::Array(count)) => Some(count),
                _ => None,
            },
            _ => None,
        }
    }

    /// The pair count of the map that is next, and steps into it; `None` when the next value is no map.
    #[inline]
    pub fn take_map(&mut self) -> Option<usize> {
        match self.peek()? {
            marker @ 0x80..=0x8f => {
                self.at += 1;
                Some(usize::from(marker & 0x0f))
            }
            0xde | 0xdf => match self.next() {
                Ok(Token::Map(count)) => Some(count),
                _ => None,
            },
            _ => None,
        }
    }

    /// The next value is a map that is not empty. The cursor stays.
    pub fn filled_map(&self) -> bool {
        self.clone().take_map().is_some_and(|pairs| pairs > 0)
    }

    /// Reads one token. Of an array or map this is the header; its elements are the tokens that follow.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Token, WalkError> {
        let at = self.at;
        let marker = self.peek().ok_or(WalkError::End)?;
        let behind = at + 1;
        let (token, end) = match marker {
            0x00..=0x7f => (Token::Int(i64::from(marker)), behind),
            0x80..=0x8f => (Token::Map(usize::from(marker & 0x0f)), behind),
            0x90..=0x9f => (Token::Array(usize::from(marker & 0x0f)), behind),
            0xa0..=0xbf => self.text(1, usize::from(marker & 0x1f))?,
            0xc0 => (Token::Nil, behind),
            0xc1 => return Err(WalkError::Reserved),
            0xc2 => (Token::Bool(false), behind),
            0xc3 => (Token::Bool(true), behind),
            0xc4 => self.raw(2, usize::from(u8::from_be_bytes(self.array(behind)?)))?,
            0xc5 => self.raw(3, usize::from(u16::from_be_bytes(self.array(behind)?)))?,
            0xc6 => self.raw(5, u32::from_be_bytes(self.array(behind)?) as usize)?,
            0xc7 => self.ext(2, usize::from(u8::from_be_bytes(self.array(behind)?)))?,
            0xc8 => self.ext(3, usize::from(u16::from_be_bytes(self.array(behind)?)))?,
            0xc9 => self.ext(5, u32::from_be_bytes(self.array(behind)?) as usize)?,
            0xca => (Token::F32(f32::from_be_bytes(self.array(behind)?)), at + 5),
            0xcb => (Token::F64(f64::from_be_bytes(self.array(behind)?)), at + 9),
            0xcc => (Token::Int(i64::from(u8::from_be_bytes(self.array(behind)?))), at + 2),
            0xcd => (Token::Int(i64::from(u16::from_be_bytes(self.array(behind)?))), at + 3),
            0xce => (Token::Int(i64::from(u32::from_be_bytes(self.array(behind)?))), at + 5),
            0xcf => {
                let number = u64::from_be_bytes(self.array(behind)?);
                (i64::try_from(number).map_or(Token::Huge(number), Token::Int), at + 9)
            }
            0xd0 => (Token::Int(i64::from(i8::from_be_bytes(self.array(behind)?))), at + 2),
            0xd1 => (Token::Int(i64::from(i16::from_be_bytes(self.array(behind)?))), at + 3),
            0xd2 => (Token::Int(i64::from(i32::from_be_bytes(self.array(behind)?))), at + 5),
            0xd3 => (Token::Int(i64::from_be_bytes(self.array(behind)?)), at + 9),
            0xd4..=0xd8 => self.ext(1, 1 << (marker - 0xd4))?,
            0xd9 => self.text(2, usize::from(u8::from_be_bytes(self.array(behind)?)))?,
            0xda => self.text(3, usize::from(u16::from_be_bytes(self.array(behind)?)))?,
            0xdb => self.text(5, u32::from_be_bytes(self.array(behind)?) as usize)?,
            0xdc => (Token::Array(usize::from(u16::from_be_bytes(self.array(behind)?))), at + 3),
            0xdd => (Token::Array(u32::from_be_bytes(self.array(behind)?) as usize), at + 5),
            0xde => (Token::Map(usize::from(u16::from_be_bytes(self.array(behind)?))), at + 3),
            0xdf => (Token::Map(u32::from_be_bytes(self.array(behind)?) as usize), at + 5),
            0xe0..=0xff => (Token::Int(i64::from(marker as i8)), behind),
        };
        self.at = end;
        Ok(token)
    }

    fn text(&self, header: usize, length: usize) -> Result<(Token, usize), WalkError> {
        let place = self.place(header, length)?;
        let end = place.end;
        Ok((Token::Str(place), end))
    }

    fn raw(&self, header: usize, length: usize) -> Result<(Token, usize), WalkError> {
        let place = self.place(header, length)?;
        let end = place.end;
        Ok((Token::Bin(place), end))
    }

    fn ext(&self, header: usize, length: usize) -> Result<(Token, usize), WalkError> {
        let [kind] = self.array::<1>(self.at + header)?;
        let place = self.place(header + 1, length)?;
        let end = place.end;
        Ok((Token::Ext(kind as i8, place), end))
    }

    /// Steps over one whole value, however it is nested, and gives its place.
    pub fn skip(&mut self) -> Result<Range<usize>, WalkError> {
        let start = self.at;
        let (mut at, mut left) = (start, 1usize);
        while left > 0 {
            let marker = *self.bytes.get(at).ok_or(WalkError::End)?;
            let code = WIDTH[usize::from(marker)];
            left -= 1;
            if code < SHORT {
                at += usize::from(code);
                continue;
            }
            match long(code, marker, self.bytes.get(at + 1..).unwrap_or_default()) {
                Long::Bytes { header, content } => at = at.saturating_add(header).saturating_add(content),
                Long::Elements { header, count } => {
                    at += header;
                    left = left.saturating_add(count);
                }
                Long::Cut => return Err(WalkError::End),
                Long::Reserved => return Err(WalkError::Reserved),
            }
        }
        if at > self.bytes.len() {
            return Err(WalkError::End);
        }
        self.at = at;
        Ok(start..at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Result<Token, WalkError> {
        Walker::new(bytes).next()
    }

    #[test]
    fn every_header_form_reads() {
        assert_eq!(one(&[0x7f]), Ok(Token::Int(127)));
        assert_eq!(one(&[0xff]), Ok(Token::Int(-1)));
        assert_eq!(one(&[0xd0, 0x80]), Ok(Token::Int(-128)));
        assert_eq!(one(&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]), Ok(Token::Int(i64::MIN)));
        assert_eq!(one(&[0xcf, 0, 0, 0, 0, 0, 0, 0, 5]), Ok(Token::Int(5)));
        assert_eq!(one(&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]), Ok(Token::Huge(u64::MAX)));
        assert_eq!(one(&[0xca, 0x3f, 0x80, 0, 0]), Ok(Token::F32(1.0)));
        assert_eq!(one(b"\xa2hi"), Ok(Token::Str(1..3)));
        assert_eq!(one(b"\xdb\0\0\0\x02hi"), Ok(Token::Str(5..7)));
        assert_eq!(one(b"\xc5\0\x02hi"), Ok(Token::Bin(3..5)));
        assert_eq!(one(&[0xd7, 0, 1, 2, 3, 4, 5, 6, 7, 8]), Ok(Token::Ext(0, 2..10)));
        assert_eq!(one(&[0xc7, 1, 0xff, 9]), Ok(Token::Ext(-1, 3..4)));
        assert_eq!(one(&[0xdd, 255, 255, 255, 255]), Ok(Token::Array(u32::MAX as usize)));
        assert_eq!(one(&[0xde, 0, 2]), Ok(Token::Map(2)));
        assert_eq!(one(&[0xc1]), Err(WalkError::Reserved));
    }

    #[test]
    fn cut_values_are_an_end_and_move_nothing() {
        for bytes in
            [&b""[..], b"\xa2h", b"\xd9", b"\xdb\xff\xff\xff\xff", b"\xd7\0\x01", b"\xc7\x08", b"\xcb\0\0"]
        {
            let mut walker = Walker::new(bytes);
            assert_eq!(walker.next(), Err(WalkError::End), "{bytes:x?}");
            assert_eq!(walker.skip(), Err(WalkError::End), "{bytes:x?}");
            assert_eq!(walker.take_bytes(), None);
            assert_eq!(walker.position(), 0);
        }
    }

    #[test]
    fn skip_steps_over_nests_without_recursion() {
        let mut deep = vec![0x91; 100_000];
        deep.push(0xc0);
        deep.push(0x2a);
        let mut walker = Walker::new(&deep);
        assert_eq!(walker.skip(), Ok(0..100_001));
        assert_eq!(walker.next(), Ok(Token::Int(42)));
        assert!(walker.is_done());
        assert_eq!(Walker::new(&[0xdf, 255, 255, 255, 255, 1]).skip(), Err(WalkError::End));
    }
}
