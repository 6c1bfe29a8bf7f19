//! The journal: one append-only log of a data directory, where bytes are safe. It knows no logs.
//!
//! ```text
//!  submit --> waiting commits --> writer: one vectored write, one fdatasync --> receipts resolve, entries leasable
//!                                                                                      |
//!  segment files <-- copy forward, delete <-- settle <-- (sent, delivered) <-- seal <-- lease
//! ```
//!
//! * A *commit* is all or nothing: appends to any number of queues, settles and seals. Its *receipt* resolves when it
//!   is on the disk. `submit` never waits and numbers entries in the order it is called.
//! * A *queue* belongs to one destination. Its entries are leased, perhaps sealed, and settled once delivered; what is
//!   leased when the process ends is leasable after the restart.
//! * A *seal* fixes which entries make one LogGroup; after a restart open seals are handed out with their entries.
//! * Settles are written lazily: losing one costs a duplicate and never a record.
//! * A segment goes when all its entries are settled. What a stuck queue holds in mostly settled segments is copied
//!   forward. A segment begins with a snapshot, so that any older one can go without the others.
//! * A failed write or sync poisons its segment: it is not retried there, the commits go to a fresh one.
//! * Damage is set aside under another name, never erased; what is whole around it is kept.
//!
//! Reading order: [`frame`] and `batch` (bytes), [`files`] (the disk), [`queue`] and [`state`] (what is known in memory),
//! [`writer`] (the only one who writes), [`recover`] and [`scan`] (what a start finds), [`handle`] (what others call), [`quota`].

mod batch;
mod candidate;
mod files;
mod frame;
mod handle;
mod queue;
mod quota;
mod ranges;
mod recover;
mod scan;
mod shared;
mod snapshot;
mod state;
mod survey;
mod thread;
mod upkeep;
mod writer;

#[cfg(test)]
mod disasters;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod model;

pub use files::{DirectoryError, DiskFiles, Files, SegmentFile, Space};
pub use handle::{Journal, OpenError};
pub use queue::Evicted;
pub use quota::Candidate;
pub use shared::ReadError;
pub use state::{QueueStats, Stats};
pub use survey::{mend, survey};

use crate::base::limits;
use bytes::Bytes;
use std::path::PathBuf;
use std::time::SystemTime;
use tokio::sync::watch;

/// What a journal may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// The journal's own directory; made when it is missing.
    pub dir: PathBuf,
    /// A segment is followed by the next one at this size, or at an eighth of `max_bytes`.
    pub segment_bytes: u64,
    /// All segments, and all live bytes of queues on the disk.
    pub max_bytes: u64,
    /// Entries that stay in memory after they were written.
    pub fresh_bytes: usize,
}

impl Options {
    /// The defaults of [`limits`] in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Options {
            dir: dir.into(),
            segment_bytes: limits::SEGMENT_BYTES,
            max_bytes: limits::JOURNAL_BYTES,
            fresh_bytes: limits::FRESH_BYTES,
        }
    }
}

/// Where a queue's new entries live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    Disk,
    /// Gone with the process; its commits are stored at once.
    Memory,
}

/// What happens to new entries of a queue that has reached its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// [`Journal::admit`] waits.
    Block,
    /// The oldest entries that nobody has leased are dropped and counted; nobody waits. Who leases must hold far less
    /// than the quota, a quarter at most: leased bytes count and cannot be dropped.
    EvictOldest,
}

/// Settings of one queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    /// Live bytes of the queue.
    pub max_bytes: u64,
    pub on_full: OnFull,
    pub storage: Storage,
}

/// A queue of this journal, in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub(super) u32);

/// One entry to be stored. The journal never looks into its bytes.
#[derive(Clone, Debug)]
pub struct Append {
    pub queue: QueueId,
    pub stream: u64,
    /// How many records the payload holds, for the counters.
    pub records: u32,
    /// Room for what identifies the sender's message, such as its chunk id and a payload hash.
    pub mark: Bytes,
    /// What closes a LogGroup of this stream; kept once per stream in memory.
    pub trailer: Bytes,
    pub payload: Bytes,
}

/// One LogGroup: the entries of `stream` in the queue with `first <= index <= last`, sent as `sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    pub queue: QueueId,
    pub stream: u64,
    pub sequence: u64,
    pub first: u64,
    pub last: u64,
}

/// What is stored together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    appends: Vec<Append>,
    settles: Vec<(QueueId, u64)>,
    seals: Vec<Seal>,
}

impl Commit {
    pub fn new() -> Self {
        Commit::default()
    }

    pub fn append(&mut self, append: Append) {
        self.appends.push(append);
    }

    /// Settles an entry if and when this commit is stored, such as a piece that the commit's append completes.
    pub fn settle(&mut self, queue: QueueId, index: u64) {
        self.settles.push((queue, index));
    }

    /// Seals leased entries. All live entries of the stream in the range must be leased and in no other seal; else
    /// this seals nothing and is logged.
    pub fn seal(&mut self, seal: Seal) {
        self.seals.push(seal);
    }

    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.settles.is_empty() && self.seals.is_empty()
    }

    /// About what this takes on the disk.
    fn bytes(&self) -> u64 {
        let appends: u64 = self.appends.iter().map(Append::bytes).sum();
        appends + 32 * (self.settles.len() + self.seals.len()) as u64
    }
}

impl Append {
    fn bytes(&self) -> u64 {
        (self.payload.len() + self.trailer.len() + self.mark.len()) as u64 + queue::ENTRY_OVERHEAD
    }
}

/// What [`Journal::submit`] gives back.
#[derive(Debug)]
pub struct Submitted {
    pub receipt: Receipt,
    /// Queue and index of each append, in order.
    pub entries: Vec<(QueueId, u64)>,
}

/// A stored entry that was leased.
#[derive(Clone, Debug)]
pub struct Entry {
    pub queue: QueueId,
    pub index: u64,
    pub stream: u64,
    pub records: u32,
    pub mark: Bytes,
    pub trailer: Bytes,
    /// Bytes of the payload.
    pub bytes: u32,
    /// To the second.
    pub stored_at: SystemTime,
    payload: Option<Bytes>,
}

impl Entry {
    /// The entry without its bytes, for a holder that will ask for them later.
    pub fn without_payload(mut self) -> Entry {
        self.payload = None;
        self
    }
}

/// Resolves when a commit is stored.
#[derive(Clone, Debug)]
pub struct Receipt {
    number: u64,
    durable: watch::Receiver<u64>,
}

/// Why a commit will not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    #[error("the journal was closed before this was stored; the sender keeps it and sends it again")]
    Closed,
    #[error("one commit holds more than 2 GiB; the sender must send less at once")]
    TooLarge,
}

impl Receipt {
    /// The receipt of what needs no commit: it is stored elsewhere, or there was nothing.
    pub fn nothing() -> Receipt {
        Receipt { number: 0, durable: watch::channel(0).1 }
    }

    /// Counts commits in the order they were submitted; 0 when there was nothing to write.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The one of two receipts that resolves last.
    pub fn later(self, other: Receipt) -> Receipt {
        if self.number >= other.number { self } else { other }
    }

    pub fn is_stored(&self) -> bool {
        self.number <= *self.durable.borrow()
    }

    /// Waits until the commit is on the disk; may be dropped and called again.
    pub async fn stored(&mut self) -> Result<(), NotStored> {
        if self.number == u64::MAX {
            return Err(NotStored::TooLarge);
        }
        let number = self.number;
        match self.durable.wait_for(|durable| *durable >= number).await {
            Ok(_) => Ok(()),
            Err(_) => Err(NotStored::Closed),
        }
    }
}
