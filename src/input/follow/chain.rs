//! The generations of one log, read one after the other from the oldest to the one that is being written.
//!
//! Who reads looks before each block ([`Chain::look`]): so a file that is rotated while an older one is read, or while
//! nothing can be stored, is opened before it is removed. A generation is left when its end was read after its successor
//! was seen: nobody writes to it any more then.
//!
//! A content that was truncated away goes on in the copy that was made of it before, if there is one: it is read from
//! the place that was reached, and the new content behind it from its beginning. So does what stood behind a symbolic link
//! that points elsewhere now.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::generation::Generation;
use super::identity::{At, FileId, Fingerprint, Point};
use super::survey::Found;
use super::{Claims, FileError, OpenFiles};

mod look;
mod losses;
mod replace;
mod resume;

pub use losses::Losses;
pub use resume::{FirstSight, Resumed};

/// Generations that were read to their end and may still be met.
const REMEMBERED: usize = 32;

/// What is kept of an unfinished line while nothing comes.
const KEPT_BYTES: usize = 4 * 1024;

/// Several writers do not turn to a new file at the very same time.
const MOMENT: Duration = Duration::from_secs(1);

pub struct Chain {
    base: PathBuf,
    /// Where it stood when it was last seen: symbolic links may come to point elsewhere.
    real: PathBuf,
    first_sight: FirstSight,
    /// Of a log whose files are all to be met: how many its writer keeps.
    kept: Option<usize>,
    open: OpenFiles,
    /// Absent: all that bears the log's name is this chain's.
    claims: Option<Box<dyn Claims>>,
    losses: Losses,
    generations: VecDeque<Generation>,
    recent: VecDeque<Left>,
    next: u64,
    /// What was read of the first generation behind its offset.
    buffer: Vec<u8>,
    /// The same, while it is lent.
    lent: Bytes,
    /// Where the last generation ended that was left.
    end: Point,
    truncations: u64,
    is_gone: bool,
    /// All was read once.
    is_read: bool,
    is_missing: bool,
    is_taken: bool,
    /// Place in the first generation up to which everything was seen when it rested.
    rested: Option<At>,
}

/// A content that was left behind.
struct Left {
    id: FileId,
    print: Fingerprint,
    /// Its bytes, where they are known.
    size: Option<u64>,
}

impl From<&Found> for Left {
    fn from(found: &Found) -> Left {
        let size = if found.gzip { found.inflated_size() } else { Some(found.size) };
        Left { id: found.id, print: Fingerprint::of(&found.head), size }
    }
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// There is more in the buffer.
    More,
    /// The first generation was read to its end for good; [`Chain::leave`] turns to the next.
    Ended,
    /// All is read that was written so far.
    Idle,
}

impl Chain {
    /// `base` is the path of the file that is written to.
    pub fn new(base: PathBuf, open: OpenFiles, losses: Losses) -> Chain {
        Chain {
            real: base.clone(),
            base,
            first_sight: FirstSight::All,
            kept: None,
            open,
            claims: None,
            losses,
            // Nearly always there is one, and thousands of chains rest.
            generations: VecDeque::with_capacity(1),
            recent: VecDeque::new(),
            next: 1,
            buffer: Vec::new(),
            lent: Bytes::new(),
            end: Point::default(),
            truncations: 0,
            is_gone: false,
            is_read: false,
            is_missing: false,
            is_taken: false,
            rested: None,
        }
    }

    /// What [`Chain::resume`] reads where there is no position.
    pub fn with_first_sight(self, first_sight: FirstSight) -> Chain {
        Chain { first_sight, ..self }
    }

    /// The log began while others were followed, and its writer keeps so many files.
    pub fn expect_all(&mut self, kept: Option<usize>) {
        self.kept = kept;
    }

    /// Reads nothing that is another's.
    pub fn with_claims(self, claims: Box<dyn Claims>) -> Chain {
        Chain { claims: Some(claims), ..self }
    }

    /// An earlier chain came to its end: when nothing is left of it, [`Chain::resume`] has lost nothing.
    pub fn with_all_read(self, is_read: bool) -> Chain {
        Chain { is_read, ..self }
    }

    /// Takes it away to where it may block; what is left is not to be used until it is put back.
    pub fn take(&mut self) -> Chain {
        let away = Chain::new(PathBuf::new(), self.open.clone(), self.losses.clone());
        std::mem::replace(self, away)
    }

    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Passes over everything that is there now, up to the offset that `align` makes of the newest file's size.
    pub fn pass_over(&mut self, align: impl FnOnce(&mut Generation) -> u64) {
        while self.generations.len() > 1 {
            self.leave();
        }
        match self.generations.front_mut() {
            Some(newest) if newest.gzip => self.leave(),
            Some(newest) => {
                let offset = align(newest);
                newest.go_on_at(offset);
            }
            None => {}
        }
    }

    /// Reads some of the first generation, about `want` bytes, behind what is in the buffer.
    pub fn fill(&mut self, want: usize) -> Result<Filled, FileError> {
        let alone = self.generations.len() == 1;
        let Some(front) = self.generations.front_mut() else { return Ok(Filled::Idle) };
        if front.is_over {
            return Ok(Filled::Ended);
        }
        if !front.open(&self.real, &self.open)? {
            // All of it that was ever seen is read, and it went with its directory.
            if alone && (self.is_gone || self.is_missing) && !front.gzip && front.lag() == 0 {
                return Ok(Filled::Ended);
            }
            self.losses.lost.increment(1);
            tracing::warn!(
                file = %front.path().display(),
                offset = front.offset,
                "a rotated file is gone before it was read to its end"
            );
            return Ok(Filled::Ended);
        }
        let before = self.buffer.len();
        let from = front.offset + before as u64;
        match front.read(from, want, &mut self.buffer) {
            Ok(1..) if alone && front.is_swallowed(&self.buffer[..before]) => {
                self.buffer.truncate(before);
                self.torn()?;
                // Of one that is torn nothing more is read, and one that has a copy is not alone.
                if self.generations.len() == 1 { Ok(Filled::More) } else { self.fill(want) }
            }
            Ok(0) if front.gzip || !alone => Ok(Filled::Ended),
            Ok(0) => Ok(Filled::Idle),
            Ok(_) => Ok(Filled::More),
            Err(error) if front.gzip => {
                self.losses.damaged.increment(1);
                tracing::warn!(
                    file = %front.path().display(),
                    offset = from,
                    %error,
                    "a compressed file is damaged; what comes behind this offset cannot be read"
                );
                Ok(Filled::Ended)
            }
            Err(cause) => Err(FileError { what: "cannot read", path: front.path().to_owned(), cause }),
        }
    }

    /// What was read and is not done with.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Lends all that was read and is not done with; [`Chain::give_back`] follows.
    pub fn lend(&mut self) -> Bytes {
        self.lent = Bytes::from(std::mem::take(&mut self.buffer));
        self.lent.clone()
    }

    /// Takes the bytes back, of which the first `done` are not needed any more. Their memory is used again.
    pub fn give_back(&mut self, lent: Bytes, done: usize) {
        self.lent = Bytes::new();
        if let Some(front) = self.generations.front_mut() {
            front.pass(&lent[..done]);
        }
        self.buffer = match lent.try_into_mut() {
            Ok(bytes) => {
                let mut bytes = Vec::from(bytes);
                bytes.drain(..done);
                bytes
            }
            Err(shared) => shared[done..].to_vec(),
        };
    }

    /// Turns to the next generation.
    pub fn leave(&mut self) {
        self.buffer.clear();
        if let Some(left) = self.generations.pop_front() {
            self.end = left.point(&[]);
            self.release(left.id);
            if left.is_over {
                return;
            }
            self.recent.push_back(Left {
                id: left.id,
                print: left.complete_print(),
                size: left.complete_size(),
            });
            if self.recent.len() > REMEMBERED {
                self.recent.pop_front();
            }
        }
    }

    /// The place `done` bytes behind the beginning of the unread ones.
    pub fn at(&self, done: usize) -> At {
        match self.generations.front() {
            Some(front) => At { generation: front.number, offset: front.offset + done as u64 },
            None => At { generation: self.next, offset: 0 },
        }
    }

    /// The same place, as it is found again.
    pub fn point(&self, done: usize) -> Point {
        match self.generations.front() {
            Some(front) => {
                let read = if self.lent.is_empty() { &self.buffer[..] } else { &self.lent[..] };
                front.point(read.get(..done).unwrap_or(read))
            }
            None => self.end,
        }
    }

    /// The content that was read before the one at this place.
    pub fn before(&self) -> Option<Point> {
        self.recent.back().map(|left| Point { id: left.id, print: left.print, ..Point::default() })
    }

    /// The files that are read, or will be.
    pub fn contents(&self) -> impl Iterator<Item = FileId> {
        self.generations.iter().map(|generation| generation.id)
    }

    /// How the first generation begins; two bytes, or what there is of them.
    pub fn beginning(&mut self) -> Vec<u8> {
        let mut beginning = Vec::new();
        // Without them it is taken for what is usual.
        if let Some(front) = self.generations.front_mut().filter(|front| !front.gzip)
            && matches!(front.open(&self.real, &self.open), Ok(true))
        {
            let _ = front.read(0, 2, &mut beginning);
        }
        beginning.truncate(2);
        beginning
    }

    /// Counts contents that were replaced in place: what was read before a change does not go on behind it.
    pub fn truncations(&self) -> u64 {
        self.truncations
    }

    /// Whether there is not even a directory.
    pub fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Whether no file of this log had its name at the last look. What was there is read through its open file.
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// Whether another chain's file had the log's name at the last look.
    pub fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Whether the file of the first generation has another content now, which is read after this one.
    pub fn is_replaced(&self) -> bool {
        let mut contents = self.contents();
        contents.next().is_some_and(|first| contents.any(|other| other == first))
    }

    /// Whether somebody may still write to the first generation though the next is there: who writes opens a new file only
    /// when it is told to. So until something is in that, or for `patience` since the last write, and a moment longer.
    pub fn may_linger(&self, patience: Duration, now: SystemTime) -> bool {
        let (Some(front), Some(newest), 2) =
            (self.generations.front(), self.generations.back(), self.generations.len())
        else {
            return false;
        };
        let Some(modified) = front.modified().filter(|_| !front.is_copy) else { return false };
        let silent = now.duration_since(modified).unwrap_or_default();
        silent < if newest.size == 0 { patience } else { MOMENT.min(patience) }
    }

    /// Whether there is any file.
    pub fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }

    /// Bytes that are known to be there and not read. What compressed files have is not known.
    pub fn lag(&self) -> u64 {
        self.generations.iter().map(Generation::lag).sum()
    }

    /// Whether there is something to read that was not there when the chain came to rest, as far as the last look saw.
    pub fn has_news(&self) -> bool {
        let end = self.generations.front().map(|front| At { generation: front.number, offset: front.size });
        self.generations.len() > 1 || end != self.rested
    }

    /// Keeps little while nothing comes.
    pub fn rest(&mut self) {
        self.rested = self.generations.front().map(|_| self.at(self.buffer.len()));
        let plain = self.generations.front().is_some_and(|front| !front.gzip);
        if plain && self.generations.len() == 1 {
            // A few bytes of an unfinished line outlive what may happen to their file.
            match self.buffer.len() {
                0..=KEPT_BYTES => self.buffer.shrink_to_fit(),
                _ => self.buffer = Vec::new(),
            }
            if self.open.is_crowded()
                && !self.is_gone
                && let Some(front) = self.generations.front_mut()
            {
                front.close();
            }
        }
    }
}

#[cfg(test)]
mod changes;
#[cfg(test)]
mod holes;
#[cfg(test)]
mod tests;
