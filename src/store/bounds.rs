//! How much the store may hold, and whether there is room for more.
//!
//! Two bounds count: what was configured for all its files, and the last tenth of the file system, 2 GiB at most,
//! which is nobody's. When a pack would go past one of them, it is refused, or the oldest file is dropped, as configured.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::StoreError;
use crate::base::disk::{Space, Watch};

/// Files of one class when the store is full: dropping one of them drops so small a part.
const FILES: u64 = 16;
const LEAST_ROLL: u64 = 1 << 20;
const MOST_ROLL: u64 = 8 << 30;

/// What becomes of a pack for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// It is refused, and its sender comes again.
    #[default]
    Refuse,
    /// The oldest file goes.
    DropOldest,
}

pub(super) struct Bounds {
    dir: PathBuf,
    max_bytes: Option<u64>,
    pub(super) on_full: OnFull,
    space: Watch,
    /// Bytes of all files, as measured last, and what was added since.
    pub(super) used: AtomicU64,
}

impl Bounds {
    pub(super) fn new(dir: &Path, max_bytes: Option<u64>, on_full: OnFull) -> std::io::Result<Bounds> {
        Ok(Bounds {
            dir: dir.to_owned(),
            max_bytes,
            on_full,
            space: Watch::new(File::open(dir)?),
            used: AtomicU64::new(0),
        })
    }

    /// The size at which a file is succeeded by the next.
    pub(super) fn roll(&self) -> u64 {
        let most = File::open(&self.dir).and_then(Space::of).map_or(MOST_ROLL, |space| space.total / 32);
        self.max_bytes.unwrap_or(most).min(most).div_ceil(FILES).clamp(LEAST_ROLL, MOST_ROLL)
    }

    /// Admits a body of so many bytes. [`StoreError::AtLimit`] past the configured bound, [`StoreError::Crowded`]
    /// in what is never ours of the file system: it is needed to delete something.
    pub(super) fn admit(&self, bytes: u64) -> Result<(), StoreError> {
        let used = self.used.load(Relaxed);
        if let Some(max) = self.max_bytes.filter(|max| used.saturating_add(bytes) > *max) {
            return Err(StoreError::AtLimit { dir: self.dir.clone(), used, max });
        }
        // A pack goes to the WAL first and to the database later.
        self.space
            .admit(bytes.saturating_mul(2))
            .map_err(|space| StoreError::Crowded { file: self.dir.clone(), available: space.available })
    }

    /// As [`admit`](Bounds::admit), and that nothing is taken.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let within = self.max_bytes.is_none_or(|max| self.used.load(Relaxed).saturating_add(bytes) <= max);
        let space = File::open(&self.dir).and_then(Space::of);
        // A file system that cannot say has room: the write itself will tell.
        within && space.map_or(true, |space| space.spare() > bytes.saturating_mul(2))
    }
}
