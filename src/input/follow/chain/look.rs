//! What a look finds: files that were rotated, replaced, truncated or removed since the one before, and which of them are
//! this chain's to read.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::super::FileError;
use super::super::generation::{Change, Generation};
use super::super::identity::FileId;
use super::super::survey::{self, Found, survey};
use super::{Chain, Left, REMEMBERED};
use crate::base::log_limit::LogLimit;

static UNSEEN: LogLimit = LogLimit::new(Duration::from_secs(10));

impl Chain {
    /// Looks for what was rotated, replaced, truncated or removed.
    pub fn look(&mut self) -> Result<(), FileError> {
        let failed = |path: &Path, cause| FileError { what: "cannot look at", path: path.to_owned(), cause };
        if let Some(newest) = self.generations.back_mut() {
            let change = match newest.check() {
                Err(error) if survey::is_gone(&error) => Change::Grown,
                change => change.map_err(|cause| failed(&self.base, cause))?,
            };
            match change {
                Change::Grown => {}
                Change::Replaced(former) => self.replaced(former, false)?,
                Change::Holed(former) => self.replaced(former, true)?,
            }
        }
        self.is_taken = false;
        match fs::metadata(&self.base) {
            Ok(metadata) => {
                self.is_missing = false;
                let id = FileId::of(&metadata);
                if let Some(newest) = self.generations.back_mut()
                    && newest.id == id
                {
                    newest.is_at(&self.real);
                    self.is_gone = false;
                    return Ok(());
                }
            }
            Err(error) if survey::is_gone(&error) => self.is_missing = true,
            Err(cause) => return Err(failed(&self.base, cause)),
        }
        let real = survey::resolve(&self.base).unwrap_or_else(|| self.real.clone());
        let is_swapped = real != self.real;
        let (meets_known, is_taken) = (Cell::new(false), Cell::new(false));
        let known = |found: &Found| {
            let is_known = self.generations.iter().any(|known| known.is(found))
                || self.recent.iter().any(|left| found.is(left.id, &left.print, || left.size));
            let is_others = !is_known && !self.claim(found);
            is_taken.set(is_taken.get() || (is_others && found.path == real));
            meets_known.set(meets_known.get() || is_known || is_others);
            is_known || is_others
        };
        let mut found = Vec::new();
        if is_swapped {
            // What happened where the link pointed before comes first.
            found = survey(&self.real, self.open.listings(), known)?.unwrap_or_default();
        }
        let Some(new) = survey(&real, self.open.listings(), known)? else {
            self.is_gone = true;
            return Ok(());
        };
        for new in new {
            if found.iter().all(|other| other.id != new.id) {
                found.push(new);
            }
        }
        self.is_gone = false;
        let had_some = !self.generations.is_empty() || !self.recent.is_empty();
        if had_some && !is_swapped && !meets_known.get() && !found.is_empty() {
            self.unseen();
        }
        if !had_some {
            self.complain_of_many(found.len());
        }
        (self.is_taken, self.real) = (is_taken.get(), real);
        self.is_missing |= self.is_taken;
        found.into_iter().for_each(|found| self.append(found));
        Ok(())
    }

    /// At first sight there are as many files of a log as are kept, which began a moment ago: the first ones may be gone.
    pub(super) fn complain_of_many(&self, found: usize) {
        if found > 1 && self.kept.is_some_and(|kept| found >= kept) {
            self.unseen();
        }
    }

    fn unseen(&self) {
        self.losses.unseen.increment(1);
        if let Some(suppressed) = UNSEEN.allow() {
            tracing::warn!(
                file = %self.base.display(), suppressed,
                "none of the files that were known are left; files between may have come and gone unseen: keep more or \
                 larger ones (max-file, max-size)"
            );
        }
    }

    /// Whether a file that was met may be read by this chain.
    pub(super) fn claim(&self, found: &Found) -> bool {
        self.claims.as_ref().is_none_or(|claims| claims.claim(found))
    }

    /// What becomes of a content that is not read any more is not for this chain to say.
    pub(super) fn release(&self, id: FileId) {
        if let Some(claims) = &self.claims
            && self.contents().all(|known| known != id)
        {
            claims.release(id);
        }
    }

    pub(super) fn append(&mut self, found: Found) {
        self.generations.push_back(Generation::new(self.next, found, &self.open));
        self.next += 1;
    }

    /// A content that will not be read again, or was never to be.
    pub(super) fn remember(&mut self, found: &Found) {
        self.release(found.id);
        self.recent.push_back(Left::from(found));
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
    }
}
