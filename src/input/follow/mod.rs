//! Following log files that others write, rotate, truncate and remove.
//!
//! ```text
//! directory   app.log.2.gz   app.log.1   app.log          one chain: its generations, oldest first
//!                  |             |          |
//! Chain       [ generation 7, generation 8, generation 9 ]
//!                    ^ read front to back, each by an open file where there is one
//!                       at (7, 4711)  ->  blocks  ->  the input's decoder  ->  Position in the commit of its records
//! ```
//!
//! * A generation is one content: known by device and inode, and by a hash of its first bytes, since inodes are used again
//!   and a compressed file has another one. What is renamed is followed, what was unlinked is read to its end, what was
//!   truncated is read again from its beginning, and a compressed file whose content was read before is not read twice.
//! * Where reading goes on after a crash is a [`identity::Position`] in the journal, in the same commit as the records
//!   before it: neither lost nor doubled.
//! * Nothing here knows a format or a runtime, save [`hints`] and [`watches`], which ask the kernel when it is worth looking again.
//!   Looking is the truth: without hints everything is found, only later.

pub mod chain;
pub mod decoding;
pub mod generation;
pub mod hints;
#[cfg(test)]
pub(in crate::input) mod house;
pub mod identity;
pub mod listings;
pub mod marks;
pub mod naming;
pub mod pieces;
pub mod progress;
pub mod rfc3339;
pub mod search;
pub mod stream;
pub mod survey;
pub mod tally;
pub mod watches;
pub mod window;

pub use chain::{Chain, Filled, FirstSight};
pub use identity::{At, Point, Position};

use identity::FileId;
use survey::Found;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::metrics::Gauge;
use listings::Listings;

/// Why a file cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {cause}; it is tried again", path = path.display())]
pub struct FileError {
    pub what: &'static str,
    pub path: PathBuf,
    pub cause: std::io::Error,
}

/// What a chain may read, where a file may come to bear the name that another chain follows.
pub trait Claims: Send {
    /// Whether a file that was met is nobody else's, now and before. If so it is this chain's.
    fn claim(&self, found: &Found) -> bool;

    /// This chain does not read it any more.
    fn release(&self, id: FileId);
}

/// Files held open beyond the one that is being read: a bound over all chains of an input. What is past it is closed and
/// found again when its turn comes, if it is still there. They share the names of their directories, too.
#[derive(Clone)]
pub struct OpenFiles {
    open: Arc<AtomicUsize>,
    most: usize,
    gauge: Gauge,
    listings: Arc<Listings>,
}

impl OpenFiles {
    pub fn new(most: usize, gauge: Gauge) -> OpenFiles {
        OpenFiles { open: Arc::default(), most, gauge, listings: Arc::default() }
    }

    /// Whether files that are not being read should be closed.
    pub fn is_crowded(&self) -> bool {
        self.open.load(Ordering::Relaxed) > self.most
    }

    /// The names beside the files.
    pub fn listings(&self) -> &Listings {
        &self.listings
    }

    /// Counts one, until it is dropped.
    fn enter(&self) -> OpenCount {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.gauge.set(open as f64);
        OpenCount(self.clone())
    }
}

struct OpenCount(OpenFiles);

impl Drop for OpenCount {
    fn drop(&mut self) {
        let open = self.0.open.fetch_sub(1, Ordering::Relaxed) - 1;
        self.0.gauge.set(open as f64);
    }
}
