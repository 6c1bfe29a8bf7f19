//! The generations of one log, read one after the other from the oldest to the one that is being written.
//!
//! Who reads looks before each block ([`Chain::look`]): so a file that is rotated while an older one is read, or while
//! nothing can be stored, is opened before it is removed. A generation is left when its end was read after its successor
//! was seen: nobody writes to it any more then.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::generation::{Change, Generation};
use super::identity::{At, FileId, Fingerprint, Point, Position};
use super::survey::{self, Found, survey};
use super::{FileError, OpenFiles};
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};

/// Generations that were read to their end and may still be met.
const REMEMBERED: usize = 32;

static UNSEEN: LogLimit = LogLimit::new(Duration::from_secs(10));

/// What happened to files, by input.
#[derive(Clone)]
pub struct Losses {
    truncated: Counter,
    lost: Counter,
    unseen: Counter,
    damaged: Counter,
}

impl Losses {
    pub fn new(input: &str) -> Losses {
        let labels = [("input", input)];
        Losses {
            truncated: counter(
                "sluicegate_files_truncated_total",
                "Files whose content was replaced in place; the new one is read from its beginning.",
                &labels,
            ),
            lost: counter(
                "sluicegate_files_lost_total",
                "Files that were gone before they had been read to their end.",
                &labels,
            ),
            unseen: counter(
                "sluicegate_files_unseen_total",
                "Times that a log had only new files when it was looked at: files between may have come and gone unseen.",
                &labels,
            ),
            damaged: counter(
                "sluicegate_files_damaged_total",
                "Compressed files that could not be read to their end.",
                &labels,
            ),
        }
    }
}

pub struct Chain {
    base: PathBuf,
    open: OpenFiles,
    losses: Losses,
    generations: VecDeque<Generation>,
    recent: VecDeque<Left>,
    next: u64,
    /// What was read of the first generation behind its offset.
    buffer: Vec<u8>,
    /// Where the last generation ended that was left.
    end: Point,
    truncations: u64,
    is_gone: bool,
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

/// What a stored position turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// What lies before it was stored, but for lines that were unfinished.
    pub read: Option<At>,
    /// Where each output's unfinished line begins.
    pub unfinished: [Option<At>; super::identity::STREAMS],
}

impl Chain {
    /// `base` is the path of the file that is written to.
    pub fn new(base: PathBuf, open: OpenFiles, losses: Losses) -> Chain {
        Chain {
            base,
            open,
            losses,
            generations: VecDeque::new(),
            recent: VecDeque::new(),
            next: 1,
            buffer: Vec::new(),
            end: Point::default(),
            truncations: 0,
            is_gone: false,
            rested: None,
        }
    }

    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Turns to where an earlier run stopped, or to the oldest file there is. To be called once, before all else.
    pub fn resume(&mut self, position: Option<&Position>) -> Result<Resumed, FileError> {
        let Some(found) = survey(&self.base, |_| false)? else {
            self.is_gone = true;
            return Ok(Resumed::default());
        };
        let place = |point: &Point| {
            (0..found.len())
                .rev()
                .max_by_key(|at| found[*at].likeness(point))
                .filter(|at| found[*at].likeness(point) > 0)
        };
        let Some(position) = position else {
            found.into_iter().for_each(|found| self.append(found));
            return Ok(Resumed::default());
        };
        let read = place(&position.read);
        let unfinished = position.unfinished.map(|point| point.and_then(|point| place(&point)));
        let first = match read {
            Some(read) => unfinished.iter().flatten().copied().fold(read, usize::min),
            None => {
                // Replaced in place, or rotated away unseen. Inodes are used again, so they do not tell which; what came
                // before the lost content does: only when that is there, too, something was replaced.
                let before = position.before.and_then(|point| place(&point));
                let loss = if before.is_some() { &self.losses.truncated } else { &self.losses.lost };
                loss.increment(1);
                tracing::warn!(
                    file = %self.base.display(),
                    offset = position.read.offset,
                    "the content that was being read is gone; what it had behind this offset was not seen"
                );
                before.or(unfinished.iter().flatten().max().copied()).map_or(0, |known| known + 1)
            }
        };
        let number = |at: usize| self.next + (at - first) as u64;
        let mut resumed = Resumed::default();
        if let Some(read) = read {
            resumed.read = Some(At { generation: number(read), offset: position.read.offset });
            for (slot, (at, point)) in
                resumed.unfinished.iter_mut().zip(unfinished.iter().zip(&position.unfinished))
            {
                *slot = at
                    .zip(*point)
                    .filter(|(at, _)| *at <= read)
                    .map(|(at, point)| At { generation: number(at), offset: point.offset });
            }
        }
        let known = found.iter().take(first).map(|found| Left {
            id: found.id,
            print: Fingerprint::of(&found.head),
            size: (!found.gzip).then_some(found.size),
        });
        self.recent.extend(known);
        found.into_iter().skip(first).for_each(|found| self.append(found));
        // The earliest of all places is where reading begins.
        let begin = resumed.unfinished.iter().flatten().copied().chain(resumed.read).min();
        if let (Some(begin), Some(front)) = (begin, self.generations.front_mut())
            && begin.generation == front.number
        {
            if front.gzip || begin.offset <= front.size {
                front.offset = begin.offset;
            } else {
                // Truncated while nobody looked.
                self.losses.truncated.increment(1);
                resumed = Resumed::default();
            }
        }
        Ok(resumed)
    }

    /// Passes over everything that is there now, up to the offset that `align` makes of the newest file's size.
    pub fn pass_over(&mut self, align: impl FnOnce(&mut Generation) -> u64) {
        while self.generations.len() > 1 {
            self.leave();
        }
        match self.generations.front_mut() {
            Some(newest) if newest.gzip => self.leave(),
            Some(newest) => newest.offset = align(newest),
            None => {}
        }
    }

    /// Looks for what was rotated, replaced, truncated or removed.
    pub fn look(&mut self) -> Result<(), FileError> {
        let failed = |path: &Path, cause| FileError { what: "cannot look at", path: path.to_owned(), cause };
        if let Some(newest) = self.generations.back_mut() {
            let change = match newest.check() {
                Err(error) if survey::is_gone(&error) => Change::Grown,
                change => change.map_err(|cause| failed(&self.base, cause))?,
            };
            if change == Change::Replaced {
                self.replaced();
            }
        }
        match fs::metadata(&self.base) {
            Ok(metadata) => {
                let id = FileId::of(&metadata);
                if let Some(newest) = self.generations.back_mut()
                    && newest.id == id
                {
                    newest.is_at(&self.base);
                    self.is_gone = false;
                    return Ok(());
                }
            }
            Err(error) if survey::is_gone(&error) => {}
            Err(cause) => return Err(failed(&self.base, cause)),
        }
        let mut meets_known = false;
        let known = |found: &Found| {
            meets_known = self.generations.iter().any(|known| known.is(found))
                || self.recent.iter().any(|left| found.is(left.id, &left.print, || left.size));
            meets_known
        };
        let Some(found) = survey(&self.base, known)? else {
            self.is_gone = true;
            return Ok(());
        };
        self.is_gone = false;
        let had_some = !self.generations.is_empty() || !self.recent.is_empty();
        if had_some && !meets_known && !found.is_empty() {
            self.losses.unseen.increment(1);
            if let Some(suppressed) = UNSEEN.allow() {
                tracing::warn!(
                    file = %self.base.display(), suppressed,
                    "none of the files that were known are left; files between may have come and gone unseen: keep more or \
                     larger ones (max-file, max-size)"
                );
            }
        }
        found.into_iter().for_each(|found| self.append(found));
        Ok(())
    }

    fn append(&mut self, found: Found) {
        self.generations.push_back(Generation::new(self.next, found, &self.open));
        self.next += 1;
    }

    /// The newest file begins anew.
    fn replaced(&mut self) {
        self.losses.truncated.increment(1);
        if self.generations.len() == 1 {
            self.buffer.clear();
        }
        if let Some(newest) = self.generations.back_mut() {
            newest.number = self.next;
            newest.offset = 0;
            self.next += 1;
            self.truncations += 1;
        }
    }

    /// Reads some of the first generation, about `want` bytes, behind what is in the buffer.
    pub fn fill(&mut self, want: usize) -> Result<Filled, FileError> {
        let alone = self.generations.len() == 1;
        let Some(front) = self.generations.front_mut() else { return Ok(Filled::Idle) };
        if !front.open(&self.base, &self.open)? {
            // All of it that was ever seen is read, and it went with its directory.
            if alone && self.is_gone && !front.gzip && front.lag() == 0 {
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
        let from = front.offset + self.buffer.len() as u64;
        match front.read(from, want, &mut self.buffer) {
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
        Bytes::from(std::mem::take(&mut self.buffer))
    }

    /// Takes the bytes back, of which the first `done` are not needed any more. Their memory is used again.
    pub fn give_back(&mut self, lent: Bytes, done: usize) {
        self.buffer = match lent.try_into_mut() {
            Ok(bytes) => {
                let mut bytes = Vec::from(bytes);
                bytes.drain(..done);
                bytes
            }
            Err(shared) => shared[done..].to_vec(),
        };
        if let Some(front) = self.generations.front_mut() {
            front.offset += done as u64;
        }
    }

    /// Turns to the next generation.
    pub fn leave(&mut self) {
        self.buffer.clear();
        if let Some(left) = self.generations.pop_front() {
            self.end = left.point(left.offset);
            self.recent.push_back(Left { id: left.id, print: left.print, size: left.complete_size() });
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
            Some(front) => front.point(front.offset + done as u64),
            None => self.end,
        }
    }

    /// The content that was read before the one at this place.
    pub fn before(&self) -> Option<Point> {
        self.recent.back().map(|left| Point { id: left.id, print: left.print, offset: 0 })
    }

    /// Counts contents that were replaced in place: what was read before a change does not go on behind it.
    pub fn truncations(&self) -> u64 {
        self.truncations
    }

    /// Whether there is not even a directory.
    pub fn is_gone(&self) -> bool {
        self.is_gone
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
            self.buffer = Vec::new();
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
mod tests;
