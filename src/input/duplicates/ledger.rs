//! What of the table is on the disk: the journal's queue `chunks`, which nobody ships.
//!
//! ```text
//! entry     version u8 = 1, section...
//! section   time u64 LE (Unix seconds), count u32 LE, count x (kind u8, fingerprint 16 bytes LE)
//! kind      0 random id, stored    1 content id, stored    2 content id whose ack was read
//! ```
//!
//! The entry of a batch is stored in the batch's own commit: an id is on the disk if and only if its records are. At a
//! start random ids are known again; content ids are armed as often as they were stored and not seen read, whatever
//! the order of entries. That an ack was read is written with the next commit of anybody, or by [`Ledger::tend`].
//!
//! An entry costs memory in the journal, so [`MANY`] small ones become one, and the small ones are settled in the same
//! commit; stored and read ones cancel out on the way. Entries are settled when the window has passed, or when they
//! name more ids than the table can hold.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use super::table::Fingerprint;
use crate::base::limits;
use crate::journal::{Append, Commit, Entry, Journal, OnFull, QueueId, QueueOptions, Storage, Submitted};

/// The name of the queue.
pub const QUEUE: &str = "chunks";

const VERSION: u8 = 1;
const RANDOM: u8 = 0;
const CONTENT: u8 = 1;
const READ: u8 = 2;
const SECTION_BYTES: usize = 12;
const ID_BYTES: usize = 17;
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
        let queue = journal.queue(
            QUEUE,
            QueueOptions { max_bytes: u64::MAX, on_full: OnFull::Block, storage: Storage::Disk },
        );
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
            each(payload, |time, kind, fingerprint| {
                if time.saturating_add(self.window) <= now {
                    return;
                }
                (newest, ids) = (newest.max(time), ids + 1);
                match kind {
                    RANDOM => random.push((time, fingerprint)),
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
        let mut payload = Vec::with_capacity(1 + SECTION_BYTES + ids * ID_BYTES);
        payload.push(VERSION);
        put_section(&mut payload, now, ids);
        random.iter().for_each(|fingerprint| put_id(&mut payload, RANDOM, *fingerprint));
        content.for_each(|fingerprint| put_id(&mut payload, CONTENT, fingerprint));
        reads.into_iter().for_each(|fingerprint| put_id(&mut payload, READ, fingerprint));
        let small = (ids > 0).then(|| Draft { newest: now, ids, payload: Bytes::from(payload) });
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
        merge(small.iter().map(|kept| &kept.payload), now.saturating_sub(window))
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

/// One payload with the ids of many, without those stored at `oldest` or before, and without those that cancel out.
fn merge<'a>(payloads: impl Iterator<Item = &'a Bytes>, oldest: u64) -> Option<Draft> {
    let mut by_time: BTreeMap<u64, Vec<(u8, Fingerprint)>> = BTreeMap::new();
    let mut balance = Balance::default();
    for payload in payloads {
        each(payload, |time, kind, fingerprint| match kind {
            _ if time <= oldest => {}
            RANDOM => by_time.entry(time).or_default().push((kind, fingerprint)),
            kind => balance.add(time, kind, fingerprint),
        });
    }
    for (time, kind, fingerprint) in balance.left() {
        by_time.entry(time).or_default().push((kind, fingerprint));
    }
    let newest = *by_time.last_key_value()?.0;
    let ids: usize = by_time.values().map(Vec::len).sum();
    let mut payload = Vec::with_capacity(1 + by_time.len() * SECTION_BYTES + ids * ID_BYTES);
    payload.push(VERSION);
    for (time, section) in by_time {
        put_section(&mut payload, time, section.len());
        section.into_iter().for_each(|(kind, fingerprint)| put_id(&mut payload, kind, fingerprint));
    }
    Some(Draft { newest, ids, payload: Bytes::from(payload) })
}

/// How often content ids were stored, less how often their acks were read, and when last.
#[derive(Default)]
struct Balance(HashMap<Fingerprint, (i64, u64)>);

impl Balance {
    fn add(&mut self, time: u64, kind: u8, fingerprint: Fingerprint) {
        let (count, last) = self.0.entry(fingerprint).or_default();
        *count += if kind == CONTENT { 1 } else { -1 };
        *last = time.max(*last);
    }

    fn left(self) -> impl Iterator<Item = (u64, u8, Fingerprint)> {
        self.0.into_iter().flat_map(|(fingerprint, (count, last))| {
            let kind = if count > 0 { CONTENT } else { READ };
            (0..count.unsigned_abs()).map(move |_| (last, kind, fingerprint))
        })
    }

    fn stored_and_unread(self) -> Vec<(u64, Fingerprint)> {
        let unread = self.0.into_iter().filter(|(_, (count, _))| *count > 0);
        unread.map(|(fingerprint, (_, last))| (last, fingerprint)).collect()
    }
}

fn put_section(payload: &mut Vec<u8>, time: u64, ids: usize) {
    payload.extend_from_slice(&time.to_le_bytes());
    payload.extend_from_slice(&(ids as u32).to_le_bytes());
}

fn put_id(payload: &mut Vec<u8>, kind: u8, fingerprint: Fingerprint) {
    payload.push(kind);
    payload.extend_from_slice(&fingerprint.0.to_le_bytes());
}

/// Calls `with` for every id of a payload with its time and kind. False when the payload is not of this form; what was
/// read of it until then is good.
fn each(payload: &[u8], mut with: impl FnMut(u64, u8, Fingerprint)) -> bool {
    let Some((&VERSION, mut rest)) = payload.split_first() else { return false };
    while !rest.is_empty() {
        let Some((time, behind)) = rest.split_first_chunk() else { return false };
        let Some((count, behind)) = behind.split_first_chunk() else { return false };
        let (time, count) = (u64::from_le_bytes(*time), u32::from_le_bytes(*count) as usize);
        let Some((ids, behind)) = count.checked_mul(ID_BYTES).and_then(|len| behind.split_at_checked(len))
        else {
            return false;
        };
        for id in ids.chunks_exact(ID_BYTES) {
            if let Some((&kind @ RANDOM..=READ, fingerprint)) = id.split_first()
                && let Some(fingerprint) = fingerprint.first_chunk()
            {
                with(time, kind, Fingerprint(u128::from_le_bytes(*fingerprint)));
            }
        }
        rest = behind;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Sections = Vec<(u64, Vec<(u8, u128)>)>;

    fn payload(sections: &Sections) -> Bytes {
        let mut payload = vec![VERSION];
        for (time, ids) in sections {
            put_section(&mut payload, *time, ids.len());
            ids.iter().for_each(|(kind, id)| put_id(&mut payload, *kind, Fingerprint(*id)));
        }
        Bytes::from(payload)
    }

    fn read(payload: &[u8]) -> (bool, Vec<(u64, u8, u128)>) {
        let mut ids = Vec::new();
        let whole = each(payload, |time, kind, fingerprint| ids.push((time, kind, fingerprint.0)));
        (whole, ids)
    }

    #[test]
    fn what_is_not_of_this_form_is_refused() {
        let whole = payload(&vec![(7, vec![(RANDOM, 1), (CONTENT, 2)]), (8, vec![(READ, 2)])]);
        assert_eq!(read(&whole), (true, vec![(7, 0, 1), (7, 1, 2), (8, 2, 2)]));
        for end in 0..whole.len() {
            let section = 1 + SECTION_BYTES + 2 * ID_BYTES;
            assert_eq!(read(&whole[..end]).0, end == 1 || end == section, "{end}");
        }
        assert!(!read(b"\x02").0);
        let mut huge = vec![VERSION];
        put_section(&mut huge, 1, u32::MAX as usize);
        assert_eq!(read(&huge), (false, vec![]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
            read(&[&[VERSION][..], &bytes].concat());
        }

        /// Merging changes nothing that a start would make of it.
        #[test]
        fn merging_keeps_what_counts(
            entries in proptest::collection::vec(
                proptest::collection::vec((90u64..110, proptest::collection::vec((0u8..3, 0u128..6), 0..5)), 0..4),
                0..8,
            ),
        ) {
            let payloads: Vec<Bytes> = entries.iter().map(payload).collect();
            let of = |payloads: &[Bytes]| {
                let (mut random, mut balance) = (Vec::new(), HashMap::new());
                for (time, kind, id) in payloads.iter().flat_map(|payload| read(payload).1) {
                    match kind {
                        _ if time <= 95 => {}
                        RANDOM => random.push((time, id)),
                        CONTENT => *balance.entry(id).or_insert(0) += 1,
                        _ => *balance.entry(id).or_insert(0) -= 1,
                    }
                }
                random.sort_unstable();
                balance.retain(|_, count| *count != 0);
                (random, balance)
            };
            let merged: Vec<Bytes> = merge(payloads.iter(), 95).into_iter().map(|draft| draft.payload).collect();
            prop_assert_eq!(of(&merged), of(&payloads));
        }
    }
}
