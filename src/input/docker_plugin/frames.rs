//! Cuts what lies in a container's FIFO into entries.
//!
//! ```text
//! length (u32 BE) | LogEntry, which begins 0a 06 "stdout" or "stderr" | length | LogEntry | ...
//! ```
//!
//! The engine writes whole entries under a lock, and only whole ones are taken off the FIFO, so as a rule a frame begins
//! where the last one ended. Where none does (a writer died within an entry, or somebody else has read from the FIFO), the
//! next place is looked for at which one can begin, and what lies before it is skipped and counted. An entry that was cut
//! short swallows the beginning of what follows it; that shows when no frame begins behind it and one begins inside it.
//!
//! Pure and without memory: the same bytes are cut the same way, however often they are looked at.

use std::ops::Range;

use memchr::memmem;

use crate::wire::log_entry::{LENGTH_BYTES, LogEntry};

/// How every entry of the engine begins: field 1, and the first letters of both outputs.
const BEGIN: &[u8] = b"\x0a\x06std";
/// A length and the beginning of an entry: what a place is judged by.
const HEAD_BYTES: usize = LENGTH_BYTES + BEGIN.len();
/// Field 1 alone.
const SHORTEST: usize = 8;

/// Goes over received bytes, frame by frame.
pub struct Frames<'b> {
    bytes: &'b [u8],
    at: usize,
    max_entry: usize,
}

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'b> {
    /// An entry, and where its message lies.
    Entry(Range<usize>, LogEntry<'b>),
    /// So many bytes are no frame.
    Skipped(usize),
    /// A frame that is not all there yet, or nothing.
    More,
}

enum Head<'b> {
    Entry(usize, LogEntry<'b>),
    More,
    Damaged,
}

impl<'b> Frames<'b> {
    /// Entries longer than `max_entry` are taken for damage.
    pub fn new(bytes: &'b [u8], max_entry: usize) -> Frames<'b> {
        Frames { bytes, at: 0, max_entry }
    }

    /// Bytes that are done with.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next entry or gap. After [`Next::More`] it stays that.
    pub fn step(&mut self) -> Next<'b> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match self.judge(rest) {
            Head::Entry(len, entry) => {
                let end = LENGTH_BYTES + len;
                if let Some(swallowed) = self.swallowed(rest, end) {
                    self.at += swallowed;
                    return Next::Skipped(swallowed);
                }
                let from = self.at + LENGTH_BYTES;
                self.at += end;
                Next::Entry(from..self.at, entry)
            }
            Head::More => Next::More,
            Head::Damaged => {
                let gap = self.find(rest, 1, rest.len()).unwrap_or_else(|| self.tail(rest));
                self.at += gap;
                Next::Skipped(gap)
            }
        }
    }

    fn judge(&self, bytes: &'b [u8]) -> Head<'b> {
        if !self.can_begin(bytes) {
            return Head::Damaged;
        }
        let Some((length, behind)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return Head::More };
        let len = u32::from_be_bytes(*length) as usize;
        match behind.get(..len).map(LogEntry::read) {
            None => Head::More,
            Some(Ok(entry)) if entry.is_docker() => Head::Entry(len, entry),
            Some(_) => Head::Damaged,
        }
    }

    /// Whether a frame can begin like this, as far as there are bytes.
    fn can_begin(&self, bytes: &[u8]) -> bool {
        let Some((length, behind)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return bytes.first().is_none_or(|byte| *byte == 0);
        };
        let len = u32::from_be_bytes(*length) as usize;
        let seen = behind.len().min(BEGIN.len());
        (SHORTEST..=self.max_entry).contains(&len) && behind.get(..seen) == BEGIN.get(..seen)
    }

    /// Where a frame begins inside the one that ends at `end`, when none begins behind it.
    fn swallowed(&self, rest: &'b [u8], end: usize) -> Option<usize> {
        let behind = rest.get(end..)?;
        if self.can_begin(behind) {
            return None;
        }
        self.find(rest, HEAD_BYTES, end)
    }

    /// The first place in `from..to` at which a frame begins.
    fn find(&self, bytes: &'b [u8], from: usize, to: usize) -> Option<usize> {
        let searched = bytes.get(from + LENGTH_BYTES..)?;
        memmem::find_iter(searched, BEGIN)
            .map(|place| from + place)
            .take_while(|place| *place < to)
            .find(|place| !matches!(self.judge(bytes.get(*place..).unwrap_or_default()), Head::Damaged))
    }

    /// Where no frame begins but one could at the end, of which little has come: how many bytes are before that.
    fn tail(&self, rest: &[u8]) -> usize {
        let from = rest.len().saturating_sub(HEAD_BYTES - 1).max(1);
        let possible = |place: &usize| rest.get(*place..).is_some_and(|tail| self.can_begin(tail));
        (from..rest.len()).find(possible).unwrap_or(rest.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::log_entry::MAX_ENTRY;

    fn frame(line: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        LogEntry { source: b"stderr", time_nano: 7, line, ..LogEntry::default() }.append(&mut message);
        [&(message.len() as u32).to_be_bytes()[..], &message].concat()
    }

    /// The lines, and the bytes skipped.
    fn cut(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
        let (mut lines, mut skipped) = (Vec::new(), 0);
        let mut frames = Frames::new(bytes, MAX_ENTRY);
        loop {
            match frames.step() {
                Next::Entry(_, entry) => lines.push(entry.line.to_vec()),
                Next::Skipped(bytes) => skipped += bytes,
                Next::More => return (lines, skipped),
            }
        }
    }

    #[test]
    fn a_recorded_fifo() {
        let bytes = include_bytes!("../../../tests/data/docker/plugin-fifo.bin");
        let mut frames = Frames::new(bytes, MAX_ENTRY);
        let mut found = Vec::new();
        while let Next::Entry(_, entry) = frames.step() {
            found.push((entry.source, entry.line.len(), entry.partial, entry.ordinal, entry.last));
        }
        assert_eq!(frames.at(), bytes.len());
        let (out, err) = (b"stdout".as_slice(), b"stderr".as_slice());
        assert_eq!(
            found,
            [
                (out, 5, false, 0, false),
                (err, 4, false, 0, false),
                (out, 0, false, 0, false),
                (out, 16, false, 0, false),
                (out, 16384, true, 1, false),
                (out, 3616, true, 2, true),
                (out, 10, true, 1, false),
            ]
        );
    }

    #[test]
    fn a_writer_that_died_within_an_entry() {
        let next = [frame(b"two"), frame(b"three")].concat();
        let one = frame(&[b'1'; 300]);
        for end in 0..one.len() {
            let bytes = [&one[..end], &next, &frame(b"four")].concat();
            let (lines, skipped) = cut(&bytes);
            // What swallows all that follows waits for more, or ends where a frame ends and keeps their text.
            let all = lines.concat();
            let kept = |text: &[u8]| memmem::find(&all, text).is_some();
            assert!(lines.is_empty() || (kept(b"three") && kept(b"four")), "{end}: {skipped}");
        }
        let bytes = [&one[..250], &next, &frame(b"four"), &frame(&[b'5'; 90])].concat();
        assert_eq!(cut(&bytes).0.len(), 4);
        assert_eq!(cut(&bytes).1, 250);
    }

    #[test]
    fn garbage_is_skipped_up_to_the_next_frame() {
        let garbage = [b"x\0\0\0\x05hello\x0a\x06std".as_slice(), &[0; 40], b"\xff\xff\xff\xff"].concat();
        let bytes = [frame(b"a"), garbage.clone(), frame(b"b"), garbage.clone()].concat();
        let (lines, skipped) = cut(&bytes);
        assert_eq!(lines, [b"a", b"b"]);
        assert_eq!(skipped, 2 * garbage.len());
        let huge = [&2_000_000u32.to_be_bytes()[..], b"\x0a\x06stdout", &frame(b"c")].concat();
        assert_eq!(cut(&huge), (vec![b"c".to_vec()], 12));
    }

    #[test]
    fn a_line_may_hold_what_looks_like_a_frame() {
        let inner = frame(b"inner");
        let bytes = [frame(&inner), frame(b"next")].concat();
        assert_eq!(cut(&bytes), (vec![inner, b"next".to_vec()], 0));
    }

    proptest! {
        #[test]
        fn whole_frames_come_whole_however_they_arrive(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
            garbage in prop::collection::vec(any::<u8>(), 0..40),
            split in any::<prop::sample::Index>(),
        ) {
            let good: Vec<u8> = lines.iter().flat_map(|line| frame(line)).collect();
            let bytes = [&good[..], &garbage].concat();
            let split = split.index(bytes.len());
            let (first, _) = cut(&bytes[..split]);
            prop_assert!(first.len() <= lines.len() && first == lines[..first.len()]);
            let mut frames = Frames::new(&bytes, MAX_ENTRY);
            let mut seen = 0;
            loop {
                let before = frames.at();
                match frames.step() {
                    Next::Entry(range, entry) => {
                        prop_assert_eq!(LogEntry::read(&bytes[range]).unwrap(), entry);
                        seen += 1;
                    }
                    Next::Skipped(gap) => prop_assert!(gap > 0 && frames.at() == before + gap),
                    Next::More => break,
                }
            }
            // The last one may be given up when garbage follows that it seems to have swallowed a frame from.
            prop_assert!(seen >= lines.len());
        }
    }
}
