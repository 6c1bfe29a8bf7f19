//! One line: where it ends, and where it is cut when it is too long.
//!
//! ```text
//! <--- most bytes at most --->
//! text ................... [CR] LF            a line, whole
//! text ........................|.... [CR] LF  a longer one: cut at the last character that fits, the rest is a line again
//! ```
//!
//! What a line becomes depends on its bytes alone, not on how many of them a read brought: nothing is said of a line before
//! its line feed is there, or so many bytes that it is too long wherever that comes.

use super::More;
use super::charset::Reading;

/// What begins at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Bytes of its text, and of all of it. Without a line feed it is what is there when no more is waited for.
    Line { text: usize, all: usize, has_end: bool },
    /// Bytes that are taken of a line that is too long; some are left.
    Piece(usize),
    /// Not all there yet.
    Wait,
}

/// Bytes at most that must be there to know a line.
pub(super) fn longest(reading: Reading, most: usize) -> usize {
    most + 2 * reading.unit()
}

/// Looks at the line that `bytes` begins with. Its first `searched` bytes hold no line feed, and need not be searched again.
#[inline]
pub(super) fn find(reading: Reading, bytes: &[u8], searched: &mut usize, most: usize, more: More) -> Found {
    let unit = reading.unit();
    let longest = longest(reading, most);
    let window = &bytes[..bytes.len().min(longest)];
    let from = (*searched).min(window.len());
    if let Some(at) = reading.line_feed(&window[from..]) {
        let at = from + at;
        // Searching again, if ever, finds it at once.
        *searched = at;
        let text = reading.without_return(&window[..at]);
        if text > most {
            return Found::Piece(reading.border(bytes, most));
        }
        return Found::Line { text, all: at + unit, has_end: true };
    }
    *searched = window.len() - window.len() % unit;
    if bytes.len() >= longest {
        return Found::Piece(reading.border(bytes, most));
    }
    // Half a unit is completed or the last there is.
    let there = match more {
        More::Yes => 0,
        More::Quiet => *searched,
        More::Never => bytes.len(),
    };
    if there == 0 {
        return Found::Wait;
    }
    let text = reading.without_return(&bytes[..there]);
    if text > most {
        return Found::Piece(reading.border(bytes, most));
    }
    Found::Line { text, all: there, has_end: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Charset;

    fn found(bytes: &[u8], most: usize, more: More) -> Found {
        find(Reading::Utf8, bytes, &mut 0, most, more)
    }

    fn line(text: usize, all: usize, has_end: bool) -> Found {
        Found::Line { text, all, has_end }
    }

    #[test]
    fn lines_end_at_their_line_feed() {
        assert_eq!(found(b"abc\nd", 8, More::Yes), line(3, 4, true));
        assert_eq!(found(b"abc\r\nd", 8, More::Yes), line(3, 5, true));
        assert_eq!(found(b"a\rc\r\r\n", 8, More::Yes), line(4, 6, true));
        assert_eq!(found(b"\n", 8, More::Yes), line(0, 1, true));
        assert_eq!(found(b"", 8, More::Never), Found::Wait);
        assert_eq!(found(b"abc", 8, More::Yes), Found::Wait);
        assert_eq!(found(b"abc", 8, More::Quiet), line(3, 3, false));
        assert_eq!(found(b"abc\r", 8, More::Never), line(3, 4, false));
    }

    #[test]
    fn lines_that_are_too_long_are_cut_at_a_character() {
        assert_eq!(found(b"12345678\n", 8, More::Yes), line(8, 9, true));
        assert_eq!(found(b"12345678\r\n", 8, More::Yes), line(8, 10, true));
        assert_eq!(found(b"123456789\n", 8, More::Yes), Found::Piece(8));
        // It may be a carriage return and a line feed that come.
        assert_eq!(found(b"123456789", 8, More::Yes), Found::Wait);
        assert_eq!(found(b"123456789", 8, More::Quiet), Found::Piece(8));
        assert_eq!(found(b"1234567890", 8, More::Yes), Found::Piece(8));
        assert_eq!(found("123456äöü".as_bytes(), 7, More::Yes), Found::Piece(6));
        assert_eq!(found("123456äöü".as_bytes(), 8, More::Yes), Found::Piece(8));
        assert_eq!(found(&[0x80; 20], 8, More::Yes), Found::Piece(8));
    }

    #[test]
    fn half_a_unit_waits_for_its_other_half() {
        let reading = Reading::of(Charset::Utf16Le);
        let find = |bytes: &[u8], more| find(reading, bytes, &mut 0, 8, more);
        assert_eq!(find(b"a\0\n", More::Quiet), line(2, 2, false));
        assert_eq!(find(b"a\0\n", More::Never), line(3, 3, false));
        assert_eq!(find(b"a", More::Quiet), Found::Wait);
        assert_eq!(find(b"a\0\r\0\n\0", More::Yes), line(2, 6, true));
        assert_eq!(find(b"a\0b\0c\0d\0\r\0\n\0", More::Yes), line(8, 12, true));
        assert_eq!(find(b"a\0b\0c\0d\0e\0\n\0", More::Yes), Found::Piece(8));
    }

    #[test]
    fn what_was_searched_is_not_searched_again() {
        let mut searched = 0;
        assert_eq!(find(Reading::Utf8, b"abc", &mut searched, 80, More::Yes), Found::Wait);
        assert_eq!(searched, 3);
        // A line feed that was not there before.
        assert_eq!(find(Reading::Utf8, b"a\nc\n", &mut searched, 80, More::Yes), line(3, 4, true));
    }
}
