//! What an earlier run had stored of a chain, until it is passed over, and the position that a commit carries meanwhile.
//!
//! ```text
//! chain    |--- stored ---|- piece -|- other output, stored -|- new ...
//!                         ^ unfinished                        ^ read
//! ```
//!
//! Reading begins at the earliest unfinished line. Up to `read` everything was stored but for what belongs to these lines.

use super::chain::Resumed;
use super::{At, Chain, Point, Position};
use crate::input::follow::identity::STREAMS;

#[derive(Default)]
pub struct Progress {
    resumed: Resumed,
    /// The position of the run before.
    former: Position,
}

impl Progress {
    /// `resumed` is what the chain made of the position `former`.
    pub fn new(resumed: Resumed, former: Position) -> Progress {
        Progress { resumed, former }
    }

    /// Whether an earlier run stored what begins `from` bytes behind the chain's place; `stream` is its output.
    pub fn is_stored(&mut self, chain: &Chain, from: usize, stream: Option<usize>) -> bool {
        let Some(read) = self.resumed.read else { return false };
        let at: At = chain.at(from);
        if at >= read {
            self.resumed = Resumed::default();
            return false;
        }
        let unfinished = stream.and_then(|stream| self.resumed.unfinished.get(stream).copied().flatten());
        unfinished.is_none_or(|start| at < start)
    }

    /// The position of a commit that holds everything up to `done` bytes behind the chain's place, save the lines that
    /// begin at `unfinished`.
    pub fn position(&self, chain: &Chain, done: usize, unfinished: [Option<Point>; STREAMS]) -> Position {
        let mut position =
            Position { read: chain.point(done), unfinished, before: chain.before(), ..Position::default() };
        let at = chain.at(done);
        if self.resumed.read.is_some_and(|read| at < read) {
            (position.read, position.before) = (self.former.read, self.former.before);
            for (stream, start) in self.resumed.unfinished.iter().enumerate() {
                if start.is_some_and(|start| start >= at) {
                    position.unfinished[stream] = self.former.unfinished[stream];
                }
            }
        }
        position
    }
}
