//! Charsets, as far as cutting needs them, and the way from each to UTF-8.
//!
//! ```text
//! UTF-8       0A                 a line feed is a byte
//! GBK, 18030  0A                 the same: trail bytes are 30..39 and 40..FE
//! UTF-16      0A 00 | 00 0A      a line feed is a unit of two bytes, at an even distance from the file's beginning
//! ```
//!
//! A byte order mark is no text at a file's beginning and text anywhere else. What is no character becomes U+FFFD; UTF-8 is
//! left as it is here, since it is checked and repaired when a record is encoded.

use encoding_rs::{Encoding, GB18030, GBK, UTF_16BE, UTF_16LE};
use memchr::{memchr, memchr_iter};

use crate::config::plan::Charset;
use crate::record::{Batch, Span};

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";
const CHINESE_MARK: &[u8] = b"\x84\x31\x95\x33";
const LITTLE_MARK: &[u8] = b"\xff\xfe";
const BIG_MARK: &[u8] = b"\xfe\xff";

/// How a text's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Utf8,
    Chinese(&'static Encoding),
    Utf16 {
        big_end_first: bool,
        /// A byte order mark may say otherwise.
        is_guess: bool,
    },
}

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A byte order mark of so many bytes, or none: 0.
    Is(usize),
    /// Not enough is there to tell.
    Unknown,
}

impl Reading {
    pub(super) fn of(charset: Charset) -> Reading {
        match charset {
            Charset::Utf8 => Reading::Utf8,
            Charset::Gbk => Reading::Chinese(GBK),
            Charset::Gb18030 => Reading::Chinese(GB18030),
            Charset::Utf16 => Reading::Utf16 { big_end_first: false, is_guess: true },
            Charset::Utf16Le => Reading::Utf16 { big_end_first: false, is_guess: false },
            Charset::Utf16Be => Reading::Utf16 { big_end_first: true, is_guess: false },
        }
    }

    /// Bytes of the smallest unit; texts begin at multiples of it.
    pub(super) fn unit(self) -> usize {
        if let Reading::Utf16 { .. } = self { 2 } else { 1 }
    }

    /// What stands at a file's beginning; of UTF-16 it decides the byte order.
    pub(super) fn take_mark(&mut self, head: &[u8]) -> Mark {
        let marks: &[&[u8]] = match self {
            Reading::Utf8 => &[UTF_8_MARK],
            Reading::Chinese(_) => &[CHINESE_MARK],
            Reading::Utf16 { is_guess: true, .. } => &[LITTLE_MARK, BIG_MARK],
            Reading::Utf16 { big_end_first: false, .. } => &[LITTLE_MARK],
            Reading::Utf16 { big_end_first: true, .. } => &[BIG_MARK],
        };
        if let Some(mark) = marks.iter().find(|mark| head.starts_with(mark)) {
            if let Reading::Utf16 { big_end_first, is_guess: true } = self {
                *big_end_first = *mark == BIG_MARK;
            }
            return Mark::Is(mark.len());
        }
        if marks.iter().any(|mark| mark.starts_with(head)) { Mark::Unknown } else { Mark::Is(0) }
    }

    /// Where the first line feed begins.
    #[inline]
    pub(super) fn line_feed(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Reading::Utf16 { big_end_first, .. } => memchr_iter(b'\n', bytes).find_map(|at| {
                let (first, other) = if big_end_first { (at.checked_sub(1)?, at - 1) } else { (at, at + 1) };
                (first % 2 == 0 && bytes.get(other) == Some(&0)).then_some(first)
            }),
            _ => memchr(b'\n', bytes),
        }
    }

    /// Bytes of a text without the carriage return at its end.
    #[inline]
    pub(super) fn without_return(self, text: &[u8]) -> usize {
        let is_there = match self {
            Reading::Utf16 { big_end_first, .. } => {
                text.len().is_multiple_of(2) && text.ends_with(if big_end_first { b"\0\r" } else { b"\r\0" })
            }
            _ => text.ends_with(b"\r"),
        };
        if is_there { text.len() - self.unit() } else { text.len() }
    }

    /// Bytes of whole units that are nothing but NULs at the beginning of `bytes`.
    pub(super) fn nulls(self, bytes: &[u8]) -> usize {
        let whole = bytes.chunks_exact(64).take_while(|chunk| **chunk == [0; 64]).count() * 64;
        let nulls = whole + bytes[whole..].iter().take_while(|byte| **byte == 0).count();
        nulls - nulls % self.unit()
    }

    /// Where a text that is longer than `most` is cut: at the last character that ends by then. Where there is none, as in
    /// what is not of this charset, at `most`.
    pub(super) fn border(self, bytes: &[u8], most: usize) -> usize {
        if bytes.len() <= most {
            return bytes.len();
        }
        let border = match self {
            Reading::Utf8 => {
                let is_inside = |at: &usize| bytes[*at] & 0xc0 == 0x80;
                (most.saturating_sub(3)..=most).rev().find(|at| !is_inside(at)).unwrap_or(most)
            }
            Reading::Chinese(_) => chinese_border(bytes, most),
            Reading::Utf16 { big_end_first, .. } => {
                let even = most - most % 2;
                let high = bytes[..even].last_chunk::<2>().map(|unit| unit[usize::from(!big_end_first)]);
                if high.is_some_and(|high| high & 0xfc == 0xd8) { even - 2 } else { even }
            }
        };
        if border == 0 { most } else { border }
    }

    /// The UTF-8 of a part of the batch's frame: the part itself where it is that already.
    pub(super) fn span(self, batch: &mut Batch, text: std::ops::Range<usize>) -> Span {
        let span = Span::frame(text.start, text.len());
        match self.encoding(batch.bytes(span)) {
            None => span,
            Some(encoding) => {
                batch.rewrite(span, room(encoding, text.len()), |bytes, out| decode(encoding, bytes, out))
            }
        }
    }

    /// The UTF-8 of a text, which is made in `scratch` unless the text is that already.
    pub(super) fn utf8<'t>(self, text: &'t [u8], scratch: &'t mut Vec<u8>) -> &'t [u8] {
        let Some(encoding) = self.encoding(text) else { return text };
        scratch.clear();
        scratch.resize(room(encoding, text.len()), 0);
        let len = decode(encoding, text, scratch);
        &scratch[..len]
    }

    /// What has to be decoded, if anything.
    fn encoding(self, text: &[u8]) -> Option<&'static Encoding> {
        match self {
            Reading::Utf8 => None,
            Reading::Chinese(encoding) => (!text.is_ascii()).then_some(encoding),
            Reading::Utf16 { big_end_first: false, .. } => Some(UTF_16LE),
            Reading::Utf16 { big_end_first: true, .. } => Some(UTF_16BE),
        }
    }
}

/// Characters have one byte, four where the second is a digit, else two. What is broken costs a character at most.
fn chinese_border(bytes: &[u8], most: usize) -> usize {
    let mut at = 0;
    while at < most {
        let len = match bytes[at..] {
            [0..=0x80 | 0xff, ..] => 1,
            [_, b'0'..=b'9', ..] => 4,
            [_, 0x40..=0xff, ..] => 2,
            _ => 1,
        };
        if at + len > most {
            break;
        }
        at += len;
    }
    at
}

/// No charset here needs more: a byte that is no character becomes three, two bytes that are one become three at most.
fn room(encoding: &'static Encoding, len: usize) -> usize {
    encoding.new_decoder_without_bom_handling().max_utf8_buffer_length(len).unwrap_or(0)
}

/// Bytes of `out` that were filled; it has [`room`].
fn decode(encoding: &'static Encoding, text: &[u8], out: &mut [u8]) -> usize {
    encoding.new_decoder_without_bom_handling().decode_to_utf8(text, out, true).2
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn text(charset: Charset, bytes: &[u8]) -> String {
        let mut batch = Batch { frame: Bytes::copy_from_slice(bytes), ..Batch::default() };
        let span = Reading::of(charset).span(&mut batch, 0..bytes.len());
        let mut scratch = Vec::new();
        assert_eq!(Reading::of(charset).utf8(bytes, &mut scratch), batch.bytes(span));
        String::from_utf8(batch.bytes(span).to_vec()).unwrap()
    }

    fn utf16(text: &str, big_end_first: bool) -> Vec<u8> {
        let bytes = if big_end_first { u16::to_be_bytes } else { u16::to_le_bytes };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn texts_become_utf8() {
        assert_eq!(text(Charset::Gbk, b"a \xc4\xe3\xba\xc3 \x80"), "a 你好 €");
        assert_eq!(text(Charset::Gb18030, b"\x81\x30\x81\x30 \x94\x39\xda\x33"), "\u{80} 💩");
        assert_eq!(text(Charset::Gbk, b"\xc4\xe3\xff\xc4"), "你\u{fffd}\u{fffd}");
        for big in [false, true] {
            let charset = if big { Charset::Utf16Be } else { Charset::Utf16Le };
            assert_eq!(text(charset, &utf16("a你💩\u{feff}", big)), "a你💩\u{feff}");
            let mut half = utf16("a💩", big);
            half.truncate(4);
            assert_eq!(text(charset, &half), "a\u{fffd}");
            half.push(b'x');
            assert_eq!(text(charset, &half).chars().next(), Some('a'));
        }
        assert_eq!(text(Charset::Utf16, &utf16("x", false)), "x");
        assert_eq!(text(Charset::Gbk, b""), "");
    }

    #[test]
    fn marks_say_the_byte_order() {
        let mut reading = Reading::of(Charset::Utf16);
        assert_eq!(reading.take_mark(b"\xfe"), Mark::Unknown);
        assert_eq!(reading.take_mark(b""), Mark::Unknown);
        assert_eq!(reading.take_mark(b"a\0"), Mark::Is(0));
        assert_eq!(reading.take_mark(b"\xfe\xff\0a"), Mark::Is(2));
        assert_eq!(reading, Reading::Utf16 { big_end_first: true, is_guess: true });
        assert_eq!(reading.take_mark(b"\xff\xfe"), Mark::Is(2));
        assert_eq!(reading, Reading::of(Charset::Utf16));
        assert_eq!(Reading::of(Charset::Utf16Be).take_mark(b"\xff\xfe"), Mark::Is(0));
        assert_eq!(Reading::of(Charset::Utf16Be).take_mark(b"\xfe\xff"), Mark::Is(2));
        assert_eq!(Reading::of(Charset::Utf8).take_mark(b"\xef\xbb"), Mark::Unknown);
        assert_eq!(Reading::of(Charset::Utf8).take_mark(b"\xef\xbb\xbfa"), Mark::Is(3));
        assert_eq!(Reading::of(Charset::Gb18030).take_mark(b"\x84\x31\x95\x33a"), Mark::Is(4));
        assert_eq!(Reading::of(Charset::Gbk).take_mark(b"a"), Mark::Is(0));
    }

    #[test]
    fn line_feeds_of_two_bytes_are_told_from_halves_of_characters() {
        let (little, big) = (Reading::of(Charset::Utf16Le), Reading::of(Charset::Utf16Be));
        // U+0A00 U+000A and U+0A0A U+000A
        assert_eq!(little.line_feed(b"\x00\x0a\x0a\x00"), Some(2));
        assert_eq!(big.line_feed(b"\x0a\x00\x00\x0a"), Some(2));
        assert_eq!(little.line_feed(b"\x0a\x0a\x0a\x00"), Some(2));
        assert_eq!(big.line_feed(b"\x0a\x0a\x00\x0a"), Some(2));
        assert_eq!(little.line_feed(b"a\0\x0a"), None);
        assert_eq!(big.line_feed(b"\x0a"), None);
        assert_eq!(little.without_return(b"a\0\r\0"), 2);
        assert_eq!(big.without_return(b"\0a\0\r"), 2);
        assert_eq!(little.nulls(&[0, 0, 0]), 2);
        assert_eq!(big.nulls(b"\0\0\0a"), 2);
    }

    proptest! {
        #[test]
        fn borders_are_between_characters(text in "[a0é你💩]{4,20}", most in 4usize..40) {
            for charset in [Charset::Utf8, Charset::Gb18030, Charset::Utf16Le, Charset::Utf16Be] {
                let reading = Reading::of(charset);
                let bytes = match charset {
                    Charset::Utf8 => text.clone().into_bytes(),
                    Charset::Gb18030 => GB18030.encode(&text).0.into_owned(),
                    _ => utf16(&text, charset == Charset::Utf16Be),
                };
                let border = reading.border(&bytes, most);
                prop_assert!(border <= most && (border == bytes.len() || border + 4 > most));
                let mut scratch = Vec::new();
                let head = reading.utf8(&bytes[..border], &mut scratch).to_vec();
                prop_assert!(text.as_bytes().starts_with(&head), "{:?}", String::from_utf8_lossy(&head));
            }
        }

        #[test]
        fn no_bytes_are_too_many_for_their_room(bytes in prop::collection::vec(any::<u8>(), 0..200), most in 0usize..200) {
            for charset in [Charset::Utf8, Charset::Gbk, Charset::Gb18030, Charset::Utf16, Charset::Utf16Be] {
                let reading = Reading::of(charset);
                if charset != Charset::Utf8 {
                    let expected = reading.encoding(&bytes).map(|e| e.decode_without_bom_handling(&bytes).0.into_owned());
                    prop_assert_eq!(text(charset, &bytes), expected.unwrap_or_else(|| String::from_utf8(bytes.clone()).unwrap()));
                }
                let border = reading.border(&bytes, most);
                prop_assert!(border <= most && (border > 0) == (most > 0 && !bytes.is_empty()));
            }
        }
    }
}
