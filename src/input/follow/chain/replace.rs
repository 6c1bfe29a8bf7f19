//! A content that was replaced in place: where the rest of the old one is, and where the new one begins.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

use super::super::FileError;
use super::super::generation::{Former, Generation};
use super::super::identity::Point;
use super::super::survey::{Found, survey};
use super::Chain;

impl Chain {
    /// The newest file begins anew. What was not read of it goes on in the copy that was made before, and contents that came
    /// and went meanwhile are copies of their own.
    pub(super) fn replaced(&mut self, former: Former, is_hole: bool) -> Result<(), FileError> {
        self.losses.truncated.increment(1);
        let alone = self.generations.len() == 1;
        let ahead = if alone { &self.buffer[..] } else { &[] };
        let Some(newest) = self.generations.back() else { return Ok(()) };
        let point = Point { print: former.print, ..newest.point(ahead) };
        let copy = Cell::new(None);
        let known = |found: &Found| {
            if copy.get() == Some(found.id) || found.id == point.id {
                return false;
            }
            let known = copy.get().is_some()
                || self.generations.iter().any(|known| known.is(found))
                || self.recent.iter().any(|left| found.is(left.id, &left.print, || left.size));
            if !known && !point.print.is_empty() && found.likeness(&point) > 0 && self.claim(found) {
                copy.set(Some(found.id));
            }
            known
        };
        let mut found = survey(&self.real, self.open.listings(), known)?.unwrap_or_default();
        // It may have been renamed or removed since: what came after it is read after it.
        let mut newer = match found.iter().position(|found| found.id == point.id) {
            Some(at) => {
                let newer = found.split_off(at + 1);
                found.pop();
                newer
            }
            None if copy.get().is_some() => found.split_off(1.min(found.len())),
            None => std::mem::take(&mut found),
        };
        if copy.get().is_none() {
            // What was rotated before is older than the last time that the lost content was seen.
            let (seconds, nanos) = former.modified;
            let seen = Duration::new(seconds.max(0) as u64, nanos.max(0) as u32);
            found.retain(|found| found.modified > UNIX_EPOCH + seen);
            newer.retain(|found| found.modified > UNIX_EPOCH + seen);
        }
        let Some(mut newest) = self.generations.pop_back() else { return Ok(()) };
        if is_hole && copy.get().is_none() {
            found.clear();
        }
        found.retain(|found| self.claim(found));
        newer.retain(|found| self.claim(found));
        // A hole is as long as what was copied before the file was truncated.
        let copied = found.last().filter(|copy| !copy.gzip).map_or(0, |copy| copy.size);
        let mut offset = if is_hole { newest.offset.max(copied) } else { 0 };
        let is_torn = copy.get().is_none() && alone && !self.buffer.is_empty();
        if copy.get().is_none() {
            if is_torn {
                // What was read of it and waits for its end is all there is.
                self.generations.push_back(newest.remains(former.print, self.buffer.len()));
                if is_hole {
                    offset += self.buffer.len() as u64;
                }
            } else if !is_hole {
                self.truncations += 1;
            }
        } else if !found.is_empty() {
            let copied = found.remove(0);
            let mut copied = Generation::new(newest.number, copied, &self.open);
            copied.go_on_from(&newest);
            copied.is_copy = true;
            self.generations.push_back(copied);
        }
        let is_continued = is_hole && copy.get().is_none() && !is_torn;
        found.into_iter().for_each(|found| self.append(found));
        if !is_continued {
            newest.number = self.next;
            self.next += 1;
        }
        newest.go_on_at(offset);
        self.generations.push_back(newest);
        newer.into_iter().for_each(|found| self.append(found));
        Ok(())
    }

    /// What was read and waits stands no more where it was read, so what stands behind that is not its rest: a hole came
    /// since the last look, or behind another one, where looks do not tell.
    pub(super) fn torn(&mut self) -> Result<(), FileError> {
        let number = |chain: &Chain| chain.generations.front().map(|front| front.number);
        let before = number(self);
        self.look()?;
        match self.generations.back() {
            Some(newest) if self.generations.len() == 1 && number(self) == before && !newest.is_over => {
                let former = newest.former();
                self.replaced(former, true)
            }
            _ => Ok(()),
        }
    }
}
