//! The files of an input, as its walks and its tasks know them.
//!
//! ```text
//!             news: another size, time or identity than was seen
//!   Resting  ------------------------------------------------------>  Followed (a task, open files)
//!            <------------------------------------------------------
//!             read to its end, and silent for a while
//! ```
//!
//! A file that rests is this entry and nothing else, so ten thousand of them cost little. What was seen of it was looked up
//! before the last look at its end: whatever comes later is news.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::input::follow::identity::FileId;

/// Files that a report names.
const REPORTED: usize = 1_000;

/// How a file looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: FileId,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

impl Seen {
    pub(super) fn of(metadata: &Metadata) -> Seen {
        Seen {
            id: FileId::of(metadata),
            size: metadata.len(),
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }

    pub(super) fn at(path: &Path) -> io::Result<Seen> {
        fs::metadata(path).map(|metadata| Seen::of(&metadata))
    }
}

pub(super) struct Entry {
    pub(super) state: State,
    pub(super) status: Arc<Status>,
    /// The walk that met it last.
    pub(super) walk: u64,
    /// As a walk met it last.
    pub(super) id: FileId,
}

pub(super) enum State {
    /// Nothing is newer than what was seen; `None`: whatever is there is news.
    Resting {
        seen: Option<Seen>,
        /// Where reading goes on, when it was ever read. The journal has the same, unless the records are kept in memory.
        position: Option<Bytes>,
    },
    /// Wakes its task.
    Followed(Arc<Notify>),
}

/// What a file's task tells about it.
#[derive(Debug, Default)]
pub(super) struct Status {
    pub(super) size: AtomicU64,
    pub(super) offset: AtomicU64,
    pub(super) lag: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Status {
    /// Takes note of what went wrong; whether that is new.
    pub(super) fn set_error(&self, error: Option<String>) -> bool {
        let mut known = self.error.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_new = error.is_some() && *known != error;
        *known = error;
        is_new
    }

    fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    pub path: PathBuf,
    /// Of the file that is written to, as it was seen last.
    pub size: u64,
    /// The place in it, or in the one that was rotated away from it and is still being read.
    pub offset: u64,
    /// Bytes that were not read, over all of its files.
    pub lag: u64,
    pub state: FileState,
    pub last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It is read to its end and was silent for a while.
    Resting,
    Followed,
}

#[derive(Default)]
pub(super) struct Table(Mutex<HashMap<Arc<Path>, Entry>>);

impl Table {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Path>, Entry>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Its task has ended.
    pub(super) fn rest(&self, path: &Path, seen: Option<Seen>, position: Option<Bytes>) {
        if let Some(entry) = self.lock().get_mut(path) {
            entry.state = State::Resting { seen, position };
        }
    }

    /// There is nothing left of it.
    pub(super) fn remove(&self, path: &Path) {
        self.lock().remove(path);
    }

    /// What is known of each file: those with an error first, then those that are behind the most.
    pub(super) fn report(&self) -> Vec<FileReport> {
        let mut reports: Vec<FileReport> =
            self.lock().iter().map(|(path, entry)| report(path, entry)).collect();
        reports.sort_unstable_by(|a, b| {
            let rank = |report: &FileReport| (report.last_error.is_none(), u64::MAX - report.lag);
            rank(a).cmp(&rank(b)).then_with(|| a.path.cmp(&b.path))
        });
        reports.truncate(REPORTED);
        reports
    }
}

fn report(path: &Path, entry: &Entry) -> FileReport {
    let status = &*entry.status;
    FileReport {
        path: path.to_owned(),
        size: status.size.load(Ordering::Relaxed),
        offset: status.offset.load(Ordering::Relaxed),
        lag: status.lag.load(Ordering::Relaxed),
        state: match entry.state {
            State::Resting { .. } => FileState::Resting,
            State::Followed(_) => FileState::Followed,
        },
        last_error: status.error(),
    }
}
