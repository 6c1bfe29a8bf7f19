//! How far each file or pipe has been read, kept in the journal's queue `positions`.
//!
//! A position is stored in the same commit as the records it stands behind: after a crash either both are there or
//! neither, so what is read again is neither lost nor stored twice. The newest entry of a key counts; it settles the one
//! before it in its own commit, so the queue holds one small entry per key.
//!
//! ```text
//! entry   mark = key | payload = value        both are the input's business
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use crate::base::limits;
use crate::journal::{Append, Commit, Journal, OnFull, QueueId, QueueOptions, Receipt, Storage, Submitted};

/// The name of the queue.
pub const QUEUE: &str = "positions";

/// One entry per key, and who reads bounds the keys.
const OPTIONS: QueueOptions =
    QueueOptions { max_bytes: u64::MAX, on_full: OnFull::Block, storage: Storage::Disk };

pub struct Positions {
    journal: Journal,
    queue: QueueId,
    newest: Mutex<HashMap<Bytes, Kept>>,
}

struct Kept {
    index: u64,
    value: Bytes,
}

/// A position in a commit that is not submitted yet.
#[must_use = "its entry is known once the commit was submitted"]
pub struct Boarded {
    key: Bytes,
    value: Bytes,
}

impl Positions {
    /// Opens the queue and reads what an earlier run left in it. Blocking.
    pub fn open(journal: Journal) -> Positions {
        let queue = journal.queue(QUEUE, OPTIONS);
        let mut newest: HashMap<Bytes, Kept> = HashMap::new();
        loop {
            let entries = journal.lease(queue, 16 * limits::MIB);
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let value = match journal.read(&entry) {
                    Ok(value) => value,
                    Err(error) => {
                        tracing::error!(%error, "a stored position cannot be read; its file is found again by its content");
                        journal.settle(queue, [entry.index]);
                        continue;
                    }
                };
                let kept = Kept { index: entry.index, value };
                if let Some(old) = newest.insert(entry.mark.clone(), kept) {
                    journal.settle(queue, [old.index]);
                }
            }
        }
        Positions { journal, queue, newest: Mutex::new(newest) }
    }

    /// The newest value of a key.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.lock().get(key).map(|kept| kept.value.clone())
    }

    /// All keys that begin with `prefix`.
    pub fn keys(&self, prefix: &[u8]) -> Vec<Bytes> {
        self.lock().keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Puts a position into the commit of its records. Only one task may have a key, and [`Positions::submitted`] follows
    /// before its next commit.
    pub fn board(&self, commit: &mut Commit, key: &Bytes, value: Bytes) -> Boarded {
        commit.append(Append {
            queue: self.queue,
            stream: 0,
            records: 0,
            mark: key.clone(),
            trailer: Bytes::new(),
            payload: value.clone(),
        });
        if let Some(old) = self.lock().get(key) {
            commit.settle(self.queue, old.index);
        }
        Boarded { key: key.clone(), value }
    }

    /// Takes note of what was boarded. A commit the journal refused leaves the older position.
    pub fn submitted(&self, boarded: Boarded, submitted: &Submitted) {
        let entry = submitted.entries.iter().rev().find(|(queue, _)| *queue == self.queue);
        if let Some((_, index)) = entry {
            self.lock().insert(boarded.key, Kept { index: *index, value: boarded.value });
        }
    }

    /// Stores a position without records.
    pub fn store(&self, key: &Bytes, value: Bytes) -> Receipt {
        let mut commit = Commit::new();
        let boarded = self.board(&mut commit, key, value);
        let submitted = self.journal.submit(commit);
        self.submitted(boarded, &submitted);
        submitted.receipt
    }

    /// Forgets a key whose file is gone for good.
    pub fn forget(&self, key: &[u8]) {
        if let Some(kept) = self.lock().remove(key) {
            self.journal.settle(self.queue, [kept.index]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bytes, Kept>> {
        self.newest.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Options;

    #[tokio::test]
    async fn the_newest_position_of_each_key_survives() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Bytes::from_static(b"file one"), Bytes::from_static(b"file two"));
        let journal = Journal::open(Options::new(dir.path())).unwrap();
        let positions = Positions::open(journal.clone());
        for at in 0..10u8 {
            positions.store(&one, Bytes::copy_from_slice(&[at])).stored().await.unwrap();
        }
        positions.store(&two, Bytes::from_static(b"2")).stored().await.unwrap();
        assert_eq!(positions.get(b"file one").unwrap(), [9].as_slice());
        assert_eq!(journal.stats().queues.iter().find(|queue| queue.name == QUEUE).unwrap().entries, 2);
        positions.forget(b"file two");
        journal.close().await;
        let again = Positions::open(Journal::open(Options::new(dir.path())).unwrap());
        assert_eq!(again.keys(b"file"), [one]);
        assert_eq!(again.get(b"file one").unwrap(), [9].as_slice());
    }
}
