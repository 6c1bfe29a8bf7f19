//! Free space of a file system, and the part of it that is never ours.
//!
//! The last tenth, 2 GiB at most, is left to others and to tidying up: deleting from a database needs a little space as
//! well. A tenth of a large disk would be more than anybody needs for that, and full disks are often large ones.

use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, io};

/// The most that is left of a large file system.
const LEFT_MOST: u64 = 2 << 30;
/// How old a look may be, in time and in bytes written since.
const LOOK_AGE: Duration = Duration::from_secs(1);
const LOOK_BYTES: u64 = 64 << 20;

/// Space of the file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this process may still write.
    pub available: u64,
    pub total: u64,
}

impl Space {
    /// Of the file system that holds this file or directory.
    pub fn of(file: impl AsFd) -> io::Result<Space> {
        let found = rustix::fs::fstatvfs(file)?;
        Ok(Space {
            available: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    /// Bytes that are never ours.
    pub fn left(&self) -> u64 {
        (self.total / 10).min(LEFT_MOST)
    }

    /// Bytes that may be written until those that are never ours.
    pub fn spare(&self) -> u64 {
        self.available.saturating_sub(self.left())
    }
}

/// Looks at a file system, but not for every write.
#[derive(Debug)]
pub struct Watch {
    place: fs::File,
    last: Mutex<Option<Look>>,
}

#[derive(Debug)]
struct Look {
    at: Instant,
    space: Space,
    admitted: u64,
}

impl Watch {
    /// Over an open file or directory.
    pub fn new(place: fs::File) -> Watch {
        Watch { place, last: Mutex::new(None) }
    }

    /// `Err` with the space there is when `bytes` more would reach into what is never ours. A file system that cannot say
    /// has room: the write itself will tell.
    pub fn admit(&self, bytes: u64) -> Result<(), Space> {
        self.admit_with(bytes, || Space::of(&self.place))
    }

    fn admit_with(&self, bytes: u64, look: impl FnOnce() -> io::Result<Space>) -> Result<(), Space> {
        let mut last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = Instant::now();
        let fresh = last.as_ref().is_some_and(|last| {
            now.duration_since(last.at) < LOOK_AGE
                && last.admitted.saturating_add(bytes) < LOOK_BYTES.min(last.space.spare())
        });
        if !fresh {
            *last = look().ok().map(|space| Look { at: now, space, admitted: 0 });
        }
        let Some(last) = last.as_mut() else { return Ok(()) };
        if bytes >= last.space.spare().saturating_sub(last.admitted) {
            return Err(last.space);
        }
        last.admitted += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tenth_is_not_given_away_and_a_look_is_not_trusted_past_it() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(fs::File::open(dir.path()).unwrap());
        let with = |available| move || Ok(Space { available, total: 1000 });
        assert_eq!(watch.admit_with(50, with(200)), Ok(()));
        assert_eq!(watch.admit_with(40, with(0)), Ok(()), "a fresh look is not taken again");
        assert_eq!(watch.admit_with(20, with(110)), Err(Space { available: 110, total: 1000 }));
        assert_eq!(watch.admit_with(20, with(500)), Ok(()), "space came back");
        assert_eq!(watch.admit_with(1 << 40, || Err(io::ErrorKind::Unsupported.into())), Ok(()));
        let large = Space { available: 5 << 30, total: 1 << 40 };
        assert_eq!(large.spare(), 3 << 30, "2 GiB are enough to tidy up");
        let space = Space::of(&watch.place).unwrap();
        assert!(space.available <= space.total && space.total > 0);
    }
}
