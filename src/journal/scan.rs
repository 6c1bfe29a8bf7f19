//! Walking the frames of one segment, and finding the next whole frame behind a broken place.
//!
//! Nothing in the file is trusted before its checksum fits. Payloads are checked through a window, so that a segment
//! costs a megabyte of memory however large its frames are.

use super::SegmentFile;
use super::files::read_full;
use super::frame::{FRAME_HEAD, FrameHead, Op, parse_ops};

const WINDOW: usize = 1 << 20;
/// A search behind a broken place checks at most this many times the segment's bytes: places that look like frames
/// and are none must not make it endless.
const SEARCH: u64 = 8;

/// A frame whose ops are sound.
pub(super) struct Frame {
    pub(super) head: FrameHead,
    pub(super) ops: Vec<u8>,
    /// Offset in the file of each append's payload, and whether its checksum fits.
    pub(super) payloads: Vec<(u64, bool)>,
}

impl Frame {
    pub(super) fn is_whole(&self) -> bool {
        self.payloads.iter().all(|(_, sound)| *sound)
    }
}

pub(super) struct Scan<'a> {
    file: &'a dyn SegmentFile,
    /// Nothing behind this is looked at.
    limit: u64,
    seed: u32,
    window: Vec<u8>,
    window_at: u64,
    /// Something could not be read; it counts as zeros.
    pub(super) unreadable: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(file: &'a dyn SegmentFile, limit: u64, seed: u32) -> Self {
        Scan { file, limit, seed, window: Vec::new(), window_at: 0, unreadable: false }
    }

    /// `count` bytes at `at`; None behind the limit.
    pub(super) fn bytes(&mut self, at: u64, count: usize) -> Option<&[u8]> {
        let end = at.checked_add(count as u64).filter(|end| *end <= self.limit)?;
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if at < held.start || end > held.end {
            let size = (self.limit - at).min(WINDOW.max(count) as u64) as usize;
            self.window.clear();
            self.window.resize(size, 0);
            self.window_at = at;
            if read_full(self.file, &mut self.window, at).is_err() {
                self.unreadable = true;
                self.read_around(at);
            }
        }
        let start = (at - self.window_at) as usize;
        self.window.get(start..start + count)
    }

    /// Reads the window in small pieces, so that a bad sector costs no more than itself.
    fn read_around(&mut self, at: u64) {
        for (number, piece) in self.window.chunks_mut(4096).enumerate() {
            if read_full(self.file, piece, at + number as u64 * 4096).is_err() {
                piece.fill(0);
            }
        }
    }

    /// The frame at `at`, if its ops are sound.
    pub(super) fn frame(&mut self, at: u64) -> Option<Frame> {
        let head = FrameHead::parse(self.bytes(at, FRAME_HEAD)?)?;
        if at.checked_add(head.total())? > self.limit {
            return None;
        }
        let seed = self.seed;
        let ops = self.bytes(at + FRAME_HEAD as u64, head.ops_len as usize)?;
        if !head.matches(seed, ops) {
            return None;
        }
        let ops = ops.to_vec();
        let mut place = at + FRAME_HEAD as u64 + u64::from(head.ops_len);
        let end = at + head.total();
        let mut payloads = Vec::new();
        for op in parse_ops(&ops)? {
            let Op::Append(append) = op else { continue };
            let next = place + u64::from(append.len);
            if next > end {
                return None;
            }
            payloads.push((place, self.checksum(place, next)? == append.crc));
            place = next;
        }
        (place == end).then_some(Frame { head, ops, payloads })
    }

    fn checksum(&mut self, mut from: u64, to: u64) -> Option<u32> {
        let mut crc = 0;
        while from < to {
            let count = (to - from).min(WINDOW as u64) as usize;
            crc = crc32c::crc32c_append(crc, self.bytes(from, count)?);
            from += count as u64;
        }
        Some(crc)
    }

    /// Where the first sound frame at or behind `from` starts, numbered above `last`.
    pub(super) fn search(&mut self, from: u64, last: u64) -> Option<u64> {
        let mut budget = self.limit.saturating_mul(SEARCH);
        let mut at = from;
        while let Some(bytes) = self.bytes(at, FRAME_HEAD) {
            let likely = FrameHead::parse(bytes)
                .filter(|head| head.number > last && head.number - last < 1 << 32)
                .filter(|head| head.total() <= self.limit - at);
            if let Some(head) = likely {
                if self.frame(at).is_some() {
                    return Some(at);
                }
                budget = budget.checked_sub(head.total())?;
            }
            at += 1;
        }
        None
    }
}
