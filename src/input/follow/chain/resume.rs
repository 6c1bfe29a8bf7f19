//! Where reading begins: at the place that an earlier run noted, or, without one, where the caller chooses.
//!
//! A noted place is looked for by its content: in the log and its rotated files first, then in all files of the directory,
//! since a rename may have given any name. What was truncated meanwhile goes on in the copy that was made of it, and else
//! begins anew.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::FileError;
use super::super::identity::{At, Point, Position, STREAMS};
use super::super::search;
use super::super::survey::{self, Found, survey};
use super::{Chain, Left};

/// What is read of a log that no earlier run has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstSight {
    /// All that is there, the oldest first.
    #[default]
    All,
    /// The newest file alone.
    Newest,
    /// The newest file, and what was rotated and had been written to since then.
    Since(SystemTime),
}

/// What a stored position turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// What lies before it was stored, but for lines that were unfinished.
    pub read: Option<At>,
    /// Where each output's unfinished line begins.
    pub unfinished: [Option<At>; STREAMS],
}

impl Chain {
    /// Turns to where an earlier run stopped, or to the oldest file there is. To be called once, before all else.
    pub fn resume(&mut self, position: Option<&Position>) -> Result<Resumed, FileError> {
        if let Some(real) = survey::resolve(&self.base) {
            self.real = real;
        }
        let Some(position) = position else { return self.begin().map(|()| Resumed::default()) };
        let Some(mut found) = survey(&self.real, self.open.listings(), |_| false)? else {
            self.is_gone = true;
            return Ok(Resumed::default());
        };
        let mut ours = self.claims_of(&found);
        let place = |found: &[Found], ours: &[bool], point: &Point| {
            (0..found.len())
                .rev()
                .max_by_key(|at| (found[*at].likeness(point), ours[*at]))
                .filter(|at| found[*at].likeness(point) > 0)
        };
        let mut met = place(&found, &ours, &position.read);
        // Truncated while nobody looked, and nobody made a copy.
        let truncated = match met {
            Some(_) => None,
            None => (0..found.len()).find(|at| ours[*at] && found[*at].lost(&position.read)),
        };
        if met.is_none() && truncated.is_none() {
            found = self.with_renamed(found, &position.read)?;
            ours = self.claims_of(&found);
            met = place(&found, &ours, &position.read);
        }
        if self.is_read && !ours.contains(&true) {
            self.is_missing = true;
            self.release(position.read.id);
            return Ok(Resumed::default());
        }
        let is_ours = |at: &usize| ours[*at];
        let read = met.filter(is_ours);
        let unfinished = position
            .unfinished
            .map(|point| point.and_then(|point| place(&found, &ours, &point)).filter(is_ours));
        let first = match (met, truncated) {
            // Others read it to its end, or go on with it.
            (Some(met), _) if read.is_none() => met + 1,
            (Some(read), _) => unfinished.iter().flatten().copied().fold(read, usize::min),
            (None, Some(truncated)) => {
                self.losses.truncated.increment(1);
                truncated
            }
            (None, None) => {
                // Replaced in place, or rotated away unseen. Inodes are used again, so they do not tell which; what came
                // before the lost content does: only when that is there, too, something was replaced.
                let before = position.before.and_then(|point| place(&found, &ours, &point));
                let loss = if before.is_some() { &self.losses.truncated } else { &self.losses.lost };
                loss.increment(1);
                tracing::warn!(
                    file = %self.base.display(),
                    offset = position.read.offset,
                    "the content that was being read is gone; what it had behind this offset was not seen"
                );
                // What was written to last before the lost file was made is older than it.
                let born = UNIX_EPOCH + Duration::from_nanos(position.read.id.born);
                let rotated = found.get(..found.len().saturating_sub(1)).unwrap_or_default();
                let older = rotated.iter().rposition(|found| found.modified < born);
                let known = before.or(unfinished.iter().flatten().max().copied());
                known.max(older).map_or(0, |known| known + 1)
            }
        };
        // Only what is read has a number.
        let number = |at: usize| self.next + ours[first..at].iter().filter(|ours| **ours).count() as u64;
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
        for (at, (found, is_ours)) in found.into_iter().zip(ours).enumerate() {
            if is_ours && at >= first {
                self.append(found);
            } else if is_ours || found.path != self.real {
                // What is known to others may be met when they have forgotten it.
                self.remember(&found);
            }
        }
        // The earliest of all places is where reading begins.
        let begin = resumed.unfinished.iter().flatten().copied().chain(resumed.read).min();
        if let (Some(begin), Some(front)) = (begin, self.generations.front_mut())
            && begin.generation == front.number
        {
            front.go_on_at(begin.offset);
        }
        self.release(position.read.id);
        Ok(resumed)
    }

    /// Which of these are read by this chain, and by no other before.
    fn claims_of(&self, found: &[Found]) -> Vec<bool> {
        found.iter().map(|found| self.claim(found)).collect()
    }

    /// The first look at a log that no earlier run has read.
    fn begin(&mut self) -> Result<(), FileError> {
        let mut newest = None;
        let first_sight = self.first_sight;
        let mut older = None;
        let is_older = |found: &Found| {
            let is_newest = *newest.get_or_insert(found.id) == found.id;
            let is_older = !is_newest
                && match first_sight {
                    FirstSight::All => false,
                    FirstSight::Newest => true,
                    FirstSight::Since(time) => found.modified < time,
                };
            let is_known = is_older || !self.claim(found);
            if is_known && found.path != self.real {
                older = Some(Left::from(found));
            }
            is_known
        };
        match survey(&self.real, self.open.listings(), is_older)? {
            Some(found) => {
                self.complain_of_many(found.len());
                found.into_iter().for_each(|found| self.append(found));
            }
            None => self.is_gone = true,
        }
        self.recent.extend(older);
        Ok(())
    }

    /// Looks for a noted place among all files of the directory; puts what is found before the log's own, of which
    /// those are left out, and known as read, that are older.
    fn with_renamed(&mut self, found: Vec<Found>, point: &Point) -> Result<Vec<Found>, FileError> {
        let mut all = search::search(&self.real, self.open.listings(), point)?;
        let Some(hit) = all.first() else { return Ok(found) };
        let since = hit.modified;
        let newest = found.last().map(|newest| newest.id);
        for found in found {
            if all.iter().any(|other| other.id == found.id) {
                continue;
            }
            if found.modified > since || Some(found.id) == newest {
                all.push(found);
            } else {
                self.remember(&found);
            }
        }
        Ok(all)
    }
}
