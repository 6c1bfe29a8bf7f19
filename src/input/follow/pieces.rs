//! The unfinished lines of one container: one for each of its outputs.
//!
//! The engine cuts lines at 16 KiB. Here nothing is stored for a piece: the container's position stays at the line's
//! beginning until the line is stored, so after a restart its pieces are read again. A line ends with its last piece, with
//! a piece of another line, or when it has waited too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::Point;
use super::stream::Stream;
use crate::config::plan::JoinPlan;
use crate::record::Timestamp;

/// Bytes that wait in unfinished lines, over all containers of an input; a line that would go beyond ends as it is.
const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// What all pieces of a line share and no other line has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineKey {
    pub time: Timestamp,
    /// Hash of the line's id where the driver writes one.
    pub id: u64,
}

/// A piece as its file has it.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'t> {
    pub text: &'t [u8],
    pub key: LineKey,
    /// The line ends with it.
    pub ends: bool,
    /// From 1; 0 where the driver does not count.
    pub ordinal: i32,
}

/// A line of more than one piece.
#[derive(Debug)]
pub struct Line {
    pub text: Vec<u8>,
    pub time: Timestamp,
    /// Some of it is missing at its end, for it was too long.
    pub is_cut: bool,
    /// Pieces of it are missing.
    pub is_partial: bool,
}

struct Open {
    line: Line,
    key: LineKey,
    start: Point,
    next: i32,
    until: Instant,
    waiting: Arc<AtomicUsize>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.line.text.len(), Ordering::Relaxed);
    }
}

pub struct Pieces {
    plan: JoinPlan,
    open: [Option<Open>; 2],
    waiting: Arc<AtomicUsize>,
}

impl Pieces {
    /// `waiting` counts the bytes of all containers' lines.
    pub fn new(plan: JoinPlan, waiting: Arc<AtomicUsize>) -> Pieces {
        Pieces { plan, open: [None, None], waiting }
    }

    /// Whether pieces are put together at all.
    pub fn is_on(&self) -> bool {
        self.plan.partial
    }

    /// Whether something of this output waits.
    pub fn is_open(&self, stream: Stream) -> bool {
        self.open[stream as usize].is_some()
    }

    /// Whether what waits of this output is another line than this one's, and so came to its end.
    pub fn is_other(&self, stream: Stream, key: LineKey) -> bool {
        self.open[stream as usize].as_ref().is_some_and(|open| open.key != key)
    }

    /// Adds a piece, which begins at `start`. To be followed by [`Pieces::take`] when it is complete: true.
    pub fn add(&mut self, stream: Stream, piece: &Piece<'_>, start: Point, now: Instant) -> bool {
        let until = now + self.plan.timeout;
        let open = self.open[stream as usize].get_or_insert_with(|| Open {
            line: Line {
                text: Vec::new(),
                time: piece.key.time,
                is_cut: false,
                // The engine drops pieces in its non-blocking mode, and a rotated file takes some with it.
                is_partial: piece.ordinal > 1,
            },
            key: piece.key,
            start,
            next: piece.ordinal,
            until,
            waiting: self.waiting.clone(),
        });
        open.until = until;
        open.line.is_partial |= open.next != piece.ordinal;
        open.next = if piece.ordinal == 0 { 0 } else { piece.ordinal.saturating_add(1) };
        let room = self.plan.max_line.saturating_sub(open.line.text.len());
        let text = &piece.text[..piece.text.len().min(room)];
        open.line.is_cut |= text.len() < piece.text.len();
        let waiting = self.waiting.fetch_add(text.len(), Ordering::Relaxed) + text.len();
        open.line.text.extend_from_slice(text);
        let crowded = !piece.ends && waiting > WAITING_BYTES;
        open.line.is_partial |= crowded;
        piece.ends || crowded
    }

    /// Takes what waits of an output; `whole` when its last piece came.
    pub fn take(&mut self, stream: Stream, whole: bool) -> Option<Line> {
        let mut open = self.open[stream as usize].take()?;
        self.waiting.fetch_sub(open.line.text.len(), Ordering::Relaxed);
        let text = std::mem::take(&mut open.line.text);
        let Line { time, is_cut, is_partial, .. } = open.line;
        Some(Line { text, time, is_cut, is_partial: is_partial || !whole })
    }

    /// Whether the line of this output has waited too long.
    pub fn is_overdue(&self, stream: Stream, now: Instant) -> bool {
        self.open[stream as usize].as_ref().is_some_and(|open| open.until <= now)
    }

    /// When the next line will have waited too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.open.iter().flatten().map(|open| open.until).min()
    }

    /// Where each output's unfinished line begins.
    pub fn starts(&self) -> [Option<Point>; 2] {
        [0, 1].map(|at| self.open[at].as_ref().map(|open: &Open| open.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn piece(text: &str, id: u64, ordinal: i32, ends: bool) -> Piece<'_> {
        let key = LineKey { time: Timestamp::new(5, 0), id };
        Piece { text: text.as_bytes(), key, ends, ordinal }
    }

    fn pieces(max_line: usize) -> Pieces {
        let plan = JoinPlan { partial: true, timeout: Duration::from_secs(5), max_line };
        Pieces::new(plan, Arc::default())
    }

    #[test]
    fn outputs_are_kept_apart() {
        let mut pieces = pieces(100);
        let (now, start) = (Instant::now(), Point::default());
        assert!(!pieces.add(Stream::Stdout, &piece("a", 1, 1, false), Point { offset: 3, ..start }, now));
        assert!(!pieces.add(Stream::Stderr, &piece("x", 2, 1, false), start, now));
        assert!(!pieces.is_other(Stream::Stdout, piece("", 1, 0, true).key));
        assert!(pieces.is_other(Stream::Stdout, piece("", 2, 0, true).key));
        assert!(pieces.add(Stream::Stdout, &piece("b", 1, 2, true), Point { offset: 9, ..start }, now));
        assert_eq!(pieces.starts()[0].unwrap().offset, 3);
        let line = pieces.take(Stream::Stdout, true).unwrap();
        assert_eq!((line.text.as_slice(), line.is_cut, line.is_partial), (&b"ab"[..], false, false));
        assert!(!pieces.is_overdue(Stream::Stderr, now));
        assert!(pieces.is_overdue(Stream::Stderr, now + Duration::from_secs(6)));
        assert!(pieces.take(Stream::Stderr, false).unwrap().is_partial);
        assert_eq!((pieces.deadline(), pieces.waiting.load(Ordering::Relaxed)), (None, 0));
    }

    #[test]
    fn long_lines_are_cut_and_gaps_are_told() {
        let mut pieces = pieces(3);
        let (now, start) = (Instant::now(), Point::default());
        pieces.add(Stream::Stdout, &piece("ab", 0, 0, false), start, now);
        assert!(pieces.add(Stream::Stdout, &piece("cd", 0, 0, true), start, now));
        let line = pieces.take(Stream::Stdout, true).unwrap();
        assert_eq!((line.text.as_slice(), line.is_cut, line.is_partial), (&b"abc"[..], true, false));
        for (first, second, partial) in [(1, 2, false), (1, 3, true), (2, 3, true)] {
            pieces.add(Stream::Stdout, &piece("a", 0, first, false), start, now);
            pieces.add(Stream::Stdout, &piece("b", 0, second, true), start, now);
            assert_eq!(pieces.take(Stream::Stdout, true).unwrap().is_partial, partial);
        }
        pieces.add(Stream::Stdout, &piece("a", 0, 1, false), start, now);
        let waiting = pieces.waiting.clone();
        assert_eq!(waiting.load(Ordering::Relaxed), 1);
        drop(pieces);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }
}
