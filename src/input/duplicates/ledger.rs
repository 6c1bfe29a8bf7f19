//! What of the table is on the disk: the journal's queue `chunks`, which nobody ships.
//!
//! The entry of a batch is stored in the batch's own commit: an id is on the disk if and only if its records are. At a
//! start random ids are known again; content ids are armed as often as they were stored and not seen read, whatever
//! the order of entries. That an ack was read is written with the next commit of anybody, or by [`Ledger::tend`].
//!
//! An entry costs memory in the journal, so [`MANY`] small ones become one, and the small ones are settled in the same
//! commit; stored and read ones cancel out on the way. Entries are settled when the window has passed, or when they
//! name more ids than the table can hold.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use super::section::{self, Balance, Kind, Merged};
use super::table::Fingerprint;
use crate::base::limits;
use crate::journal::{Append, Commit, Entry, Journal, OnFull, QueueId, QueueOptions, Storage, Submitted};

/// The name of the queue.
pub const QUEUE: &str = "chunks";

/// The queue bounds itself, by the window and by the size of the table, so that it needs no quota.
const OPTIONS: QueueOptions =
    QueueOptions { max_bytes: u64::MAX, on_full: OnFull::Block, storage: Storage::Disk };

/// Small entries that become one.
const MANY: usize = 1_024;
/// Also when they hold so many bytes.
const LARGE_BYTES: usize = 512 * limits::KIB;
/// Acks seen read that wait to be written down; a gateway that stores nothing meanwhile writes them each second.
const READS: usize = 4_096;

pub(super) struct Ledger {
    journal: Journal,
    queue: QueueId,
    /// Seconds.
    window: u64,
    /// Ids that are kept on the disk.
    most: usize,
    books: Mutex<Books>,
}

/// Live entries, oldest first.
#[derive(Default)]
struct Books {
    small: Vec<Kept>,
    small_bytes: usize,
    large: VecDeque<Kept>,
    large_ids: usize,
    /// Content ids whose ack was read.
    reads: Vec<Fingerprint>,
}

struct Kept {
    index: u64,
    /// When its newest section was written.
    newest: u64,
    ids: usize,
    /// Of a small one.
    payload: Bytes,
}

/// An entry on its way to the journal.
struct Draft {
    newest: u64,
    ids: usize,
    payload: Bytes,
}

/// What was put into a commit; its entries are known once the commit was submitted.
pub(super) struct Boarded {
    large: Option<Draft>,
    small: Option<Draft>,
}

/// Settles all that an earlier run left.
pub(super) fn discard(journal: &Journal) {
    if !journal.recovered().iter().any(|queue| queue == QUEUE) {
        return;
    }
    let queue = journal.queue(QUEUE, OPTIONS);
    loop {
        let entries = journal.lease(queue, usize::MAX);
        if entries.is_empty() {
            return;
        }
        journal.settle(queue, entries.iter().map(|entry| entry.index));
    }
}

/// What an earlier run left.
#[derive(Default)]
pub(super) struct Recovered {
    /// With the time they were stored, oldest first.
    pub(super) random: Vec<(u64, Fingerprint)>,
    pub(super) armed: Vec<(u64, Fingerprint)>,
}

impl Ledger {
    /// Opens the queue and reads what an earlier run left in it. Blocking.
    pub(super) fn open(journal: Journal, window: u64, most: usize, now: u64) -> (Ledger, Recovered) {
        let queue = journal.queue(QUEUE, OPTIONS);
        let ledger = Ledger { journal, queue, window, most, books: Mutex::default() };
        let mut balance = Balance::default();
        let mut recovered = Recovered::default();
        loop {
            let entries = ledger.journal.lease(queue, 16 * limits::MIB);
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                ledger.take_back(entry, now, &mut recovered.random, &mut balance);
            }
        }
        // Stable: of one second, the order of entries tells which are the newest.
        recovered.random.sort_by_key(|(time, _)| *time);
        recovered.armed = balance.stored_and_unread();
        (ledger, recovered)
    }

    fn take_back(
        &self,
        entry: &Entry,
        now: u64,
        random: &mut Vec<(u64, Fingerprint)>,
        balance: &mut Balance,
    ) {
        let payload = self.journal.read(entry).ok();
        let (mut newest, mut ids) = (0, 0);
        let read = payload.as_ref().is_some_and(|payload| {
            section::each(payload, |time, kind, fingerprint| {
                if time.saturating_add(self.window) <= now {
                    return;
                }
                (newest, ids) = (newest.max(time), ids + 1);
                match kind {
                    Kind::Random => random.push((time, fingerprint)),
                    kind => balance.add(time, kind, fingerprint),
                }
            })
        });
        if !read {
            tracing::error!(
                index = entry.index,
                "an entry of remembered chunk ids cannot be read and is dropped; what is sent again may be stored again"
            );
        }
        let Some(payload) = payload.filter(|_| ids > 0) else {
            self.journal.settle(self.queue, [entry.index]);
            return;
        };
        let draft = Draft { newest, ids, payload };
        let mut books = self.lock();
        if draft.payload.len() < LARGE_BYTES / 64 {
            books.add_small(entry.index, draft);
        } else {
            books.add_large(entry.index, draft);
        }
    }

    /// Acks were read: their content ids may come again for new data. What finds no room is armed at the next start.
    pub(super) fn read(&self, fingerprints: impl IntoIterator<Item = Fingerprint>) {
        let mut books = self.lock();
        for fingerprint in fingerprints {
            if books.reads.len() < READS {
                books.reads.push(fingerprint);
            }
        }
    }

    /// Puts ids into the commit that stores their records, and what else there is to write.
    pub(super) fn board(
        &self,
        commit: &mut Commit,
        random: &[Fingerprint],
        content: impl ExactSizeIterator<Item = Fingerprint>,
        now: u64,
    ) -> Boarded {
        let mut books = self.lock();
        let reads = std::mem::take(&mut books.reads);
        let large = books.consolidate(commit, self.queue, self.window, now);
        books.settle_old(commit, self.queue, self.window, self.most, now);
        drop(books);

        let ids = random.len() + content.len() + reads.len();
        let small = (ids > 0).then(|| {
            let random = random.iter().map(|fingerprint| (Kind::Random, *fingerprint));
            let content = content.map(|fingerprint| (Kind::Content, fingerprint));
            let reads = reads.into_iter().map(|fingerprint| (Kind::Read, fingerprint));
            let payload = section::one(now, ids, random.chain(content).chain(reads));
            Draft { newest: now, ids, payload }
        });
        for draft in large.iter().chain(&small) {
            commit.append(Append {
                queue: self.queue,
                stream: 0,
                records: 0,
                mark: Bytes::new(),
                trailer: Bytes::new(),
                payload: draft.payload.clone(),
            });
        }
        Boarded { large, small }
    }

    /// Takes note of what [`Ledger::board`] put into the commit. Its appends are the last ones.
    pub(super) fn submitted(&self, boarded: Boarded, submitted: &Submitted) {
        let mut indices =
            submitted.entries.iter().filter(|(queue, _)| *queue == self.queue).map(|(_, index)| *index);
        let mut books = self.lock();
        if let Some(draft) = boarded.large
            && let Some(index) = indices.next()
        {
            books.add_large(index, draft);
        }
        if let Some(draft) = boarded.small
            && let Some(index) = indices.next()
        {
            books.add_small(index, draft);
        }
    }

    /// Writes what waits to be written and settles what is too old, where no commit of records comes along.
    pub(super) fn tend(&self, now: u64) {
        let mut commit = Commit::new();
        let has_reads = !self.lock().reads.is_empty();
        if has_reads {
            let boarded = self.board(&mut commit, &[], std::iter::empty(), now);
            let submitted = self.journal.submit(commit);
            return self.submitted(boarded, &submitted);
        }
        let mut old = Vec::new();
        let mut books = self.lock();
        let expired = |kept: &Kept| kept.newest.saturating_add(self.window) <= now;
        while books.large.front().is_some_and(expired)
            && let Some(kept) = books.pop_large()
        {
            old.push(kept.index);
        }
        // Small ones are in order, but for the width of a race between two commits.
        let count = books.small.iter().take_while(|kept| expired(kept)).count();
        let small: Vec<Kept> = books.small.drain(..count).collect();
        books.small_bytes -= small.iter().map(|kept| kept.payload.len()).sum::<usize>();
        drop(books);
        old.extend(small.iter().map(|kept| kept.index));
        if !old.is_empty() {
            self.journal.settle(self.queue, old);
        }
    }

    #[cfg(test)]
    pub(super) fn live_entries(&self) -> (usize, usize) {
        let books = self.lock();
        (books.small.len(), books.large.len())
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Books {
    fn add_small(&mut self, index: u64, draft: Draft) {
        self.small_bytes += draft.payload.len();
        self.small.push(Kept { index, newest: draft.newest, ids: draft.ids, payload: draft.payload });
    }

    fn add_large(&mut self, index: u64, draft: Draft) {
        self.large_ids += draft.ids;
        self.large.push_back(Kept { index, newest: draft.newest, ids: draft.ids, payload: Bytes::new() });
    }

    fn pop_large(&mut self) -> Option<Kept> {
        let kept = self.large.pop_front()?;
        self.large_ids -= kept.ids;
        Some(kept)
    }

    /// Makes one entry of many small ones, and settles those. `None` when there are not many, or nothing is left.
    fn consolidate(&mut self, commit: &mut Commit, queue: QueueId, window: u64, now: u64) -> Option<Draft> {
        if self.small.len() < MANY && self.small_bytes < LARGE_BYTES {
            return None;
        }
        let small = std::mem::take(&mut self.small);
        self.small_bytes = 0;
        small.iter().for_each(|kept| commit.settle(queue, kept.index));
        let merged = section::merge(small.iter().map(|kept| &kept.payload), now.saturating_sub(window))?;
        let Merged { newest, ids, payload } = merged;
        Some(Draft { newest, ids, payload })
    }

    fn settle_old(&mut self, commit: &mut Commit, queue: QueueId, window: u64, most: usize, now: u64) {
        while let Some(oldest) = self.large.front() {
            let expired = oldest.newest.saturating_add(window) <= now;
            if !expired && self.large_ids - oldest.ids < most {
                return;
            }
            commit.settle(queue, oldest.index);
            self.pop_large();
        }
    }
}
