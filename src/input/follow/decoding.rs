//! How a reader turns the bytes that its chain holds into records: one decoder's step after the other, over one frame.
//!
//! ```text
//! frame   ... | step | step | step | begin of what is not all there
//!             ^ 0           ^ commits stand behind whole steps     ^ done: given back to the chain
//! ```
//!
//! A batch is handed over before it is more than a commit should have. What a step made in the batch and no record names is
//! forgotten.

use bytes::Bytes;

use super::Chain;
use super::tally::Tally;
use crate::input::batcher::Batcher;

/// A batch is handed over at so many records, or so much made text, before the next line: what a line makes still fits
/// well below what a batcher stores by itself.
const RECORDS: usize = 4_000;
const ARENA_BYTES: usize = 256 * 1024;

/// A reader whose bytes are decoded.
pub trait Decoding {
    fn chain(&mut self) -> &mut Chain;

    fn batcher(&mut self) -> &mut Batcher;

    fn tally(&self) -> &Tally;

    /// Where what all records of the batch in hand share ends in its arena.
    fn laid_out(&self) -> usize;

    /// Stores the batch with the position `done` bytes behind the chain's, of which `silent` were not told of before.
    fn commit(&mut self, done: usize, silent: usize);

    /// Decodes what the chain holds: `next` decodes what begins at a place of the frame, and gives its end, or nothing when it
    /// is not all there. Gives the bytes that were decoded.
    fn decode_with(&mut self, mut next: impl FnMut(&mut Self, &Bytes, usize) -> Option<usize>) -> usize
    where
        Self: Sized,
    {
        if self.chain().unread().is_empty() {
            return 0;
        }
        let frame = self.chain().lend();
        self.batcher().batch.frame = frame.clone();
        let mut done = 0;
        while done < frame.len() {
            let batch = &self.batcher().batch;
            let (mut records, mut arena) = (batch.records.len(), batch.arena.len());
            if records >= RECORDS || arena >= ARENA_BYTES {
                self.commit(done, 0);
                let batch = &self.batcher().batch;
                (records, arena) = (batch.records.len(), batch.arena.len());
            }
            let Some(end) = next(self, &frame, done) else { break };
            debug_assert!(end >= done && end <= frame.len());
            done = end;
            if self.batcher().batch.records.len() == records {
                // What was made for a piece is kept with its line.
                let kept = if records == 0 { 0 } else { self.laid_out() };
                self.batcher().batch.arena.truncate(arena.max(kept));
            }
        }
        self.tally().bytes.increment(done as u64);
        self.commit(done, done);
        self.batcher().batch.frame = Bytes::new();
        self.chain().give_back(frame, done);
        done
    }
}
