//! The lines that wait for pieces, and the ids of those that are done.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::line::Line;
use super::piece::{Piece, StreamKey};

/// Line ids remembered after completion, so that a resent piece does not start the line again.
const FINISHED: usize = 4_096;

#[derive(Default)]
pub(super) struct Lines {
    pub(super) open: HashMap<StreamKey, Line>,
    pub(super) bytes: usize,
    /// Ended by something other than their own batch; the timer sends them.
    pub(super) overdue: Vec<Line>,
    /// Ids of lines that are done, and whether they were cut.
    finished: HashMap<u64, bool>,
    finished_order: VecDeque<u64>,
}

impl Lines {
    pub(super) fn take(&mut self, key: &StreamKey) -> Option<Line> {
        let line = self.open.remove(key)?;
        self.bytes -= line.bytes();
        Some(line)
    }

    /// Whether the piece's line is done already, and was cut.
    pub(super) fn finished_cut(&self, piece: &Piece) -> Option<bool> {
        if self.finished.is_empty() || !piece.has_id() {
            return None;
        }
        self.finished.get(&finger(&piece.stream, &piece.id)).copied()
    }

    /// Remembers a line of which nothing more is wanted. One that was given up early may still get its other pieces.
    pub(super) fn remember(&mut self, line: &Line) {
        if !line.has_id() || !line.is_complete() {
            return;
        }
        if self.finished_order.len() == FINISHED
            && let Some(oldest) = self.finished_order.pop_front()
        {
            self.finished.remove(&oldest);
        }
        let finger = finger(&line.stream, &line.id);
        if self.finished.insert(finger, line.is_cut()).is_none() {
            self.finished_order.push_back(finger);
        }
    }
}

fn finger(stream: &StreamKey, id: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    stream.hash(&mut hasher);
    id.hash(&mut hasher);
    hasher.finish()
}
