//! Where a file is begun that was there before its input ever ran: its beginning, its end, or the last part of it, always
//! at the beginning of a line.

use crate::base::limits;
use crate::config::plan::FileStart;
use crate::input::follow::generation::Generation;

/// Where a line's beginning or end is looked for; a longer line is begun in its middle.
const LINE_BYTES: u64 = 2 * limits::MIB as u64;
const BLOCK: usize = limits::READ_BYTES;

/// Where a file begins of which nothing is known.
pub(super) type First = FileStart;

/// The place in the file; `wide`: its characters have two bytes.
pub(super) fn place(file: &mut Generation, first: First, wide: bool) -> u64 {
    match first {
        FileStart::Beginning => 0,
        FileStart::End => {
            let from = even(file.size.saturating_sub(LINE_BYTES), wide);
            let tail = read(file, from, file.size);
            last_line_feed(&tail, wide).map_or(even(file.size, wide), |end| from + end as u64)
        }
        FileStart::Tail(bytes) if file.size <= bytes => 0,
        FileStart::Tail(bytes) => {
            let from = even(file.size - bytes, wide);
            // One that begins right there is whole.
            let unit = if wide { 2 } else { 1 };
            let before = from.saturating_sub(unit);
            let tail = read(file, before, before + LINE_BYTES);
            first_line_feed(&tail, wide).map_or(from, |end| before + end as u64)
        }
    }
}

fn even(at: u64, wide: bool) -> u64 {
    if wide { at & !1 } else { at }
}

fn read(file: &mut Generation, from: u64, to: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while from + (bytes.len() as u64) < to {
        match file.read(from + bytes.len() as u64, BLOCK, &mut bytes) {
            Ok(1..) => {}
            _ => break,
        }
    }
    bytes
}

/// Behind the last line feed.
fn last_line_feed(text: &[u8], wide: bool) -> Option<usize> {
    match wide {
        false => memchr::memrchr(b'\n', text).map(|at| at + 1),
        true => pairs(text).rposition(is_line_feed).map(|at| 2 * at + 2),
    }
}

/// Behind the first line feed.
fn first_line_feed(text: &[u8], wide: bool) -> Option<usize> {
    match wide {
        false => memchr::memchr(b'\n', text).map(|at| at + 1),
        true => pairs(text).position(is_line_feed).map(|at| 2 * at + 2),
    }
}

fn pairs(text: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator {
    text.chunks_exact(2)
}

/// In either byte order: the character that would be one in the other order is hardly ever written.
fn is_line_feed(pair: &[u8]) -> bool {
    matches!(pair, [b'\n', 0] | [0, b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metrics::gauge;
    use crate::input::follow::{OpenFiles, survey};

    fn placed(text: &[u8], first: First, wide: bool) -> u64 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, text).unwrap();
        let open = OpenFiles::new(10, gauge("sluicegate_files_open", "", &[]));
        let found = survey::open(path, false).unwrap().unwrap();
        place(&mut Generation::new(1, found, &open), first, wide)
    }

    #[test]
    fn a_place_is_the_beginning_of_a_line() {
        let text = b"one\ntwo\nthree\nfo";
        for (first, place) in [
            (FileStart::Beginning, 0),
            (FileStart::End, 14),
            (FileStart::Tail(16), 0),
            (FileStart::Tail(15), 4),
            (FileStart::Tail(12), 4),
            (FileStart::Tail(11), 8),
            (FileStart::Tail(5), 14),
            // There is no further line; the one that is there is begun in its middle.
            (FileStart::Tail(1), 15),
        ] {
            assert_eq!(placed(text, first, false), place, "{first:?}");
        }
        let wide: Vec<u8> = "a\nĊb\nc".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(placed(&wide, FileStart::End, true), 10);
        assert_eq!(placed(b"", FileStart::End, false), 0);
        let long = vec![b'x'; 3 << 20];
        assert_eq!(placed(&long, FileStart::End, false), 3 << 20);
    }
}
