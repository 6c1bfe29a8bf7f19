//! The journal as others see it: open it, define queues, submit, lease, read, settle, close.

use super::files::{DirectoryError, DiskFiles, Files};
use super::recover;
use super::shared::{ReadError, Shared};
use super::state::{State, Stats};
#[cfg(test)]
use super::writer::Next;
use super::writer::Writer;
use super::{Commit, Entry, OnFull, Options, QueueId, QueueOptions, Receipt, Seal, Storage, Submitted};
use bytes::Bytes;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use tokio::sync::{Notify, watch};

/// Why a journal cannot be opened. The text names the cause, so it is no `source` that would be printed again.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("cannot {what} in {}: {cause}; the gateway must be able to write there, and space must be left", dir.display())]
    Io { what: &'static str, dir: PathBuf, cause: io::Error },
}

/// The journal of one data directory. Clones are handles of the same one.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// False once the writer's thread has ended.
    running: watch::Receiver<bool>,
    /// Where a test drives the writer by hand.
    #[cfg(test)]
    by_hand: Mutex<Option<Writer>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_all();
    }
}

impl Journal {
    /// Opens the journal of `options.dir`, recovers what it holds and starts the writer's thread. Blocking.
    pub fn open(options: Options) -> Result<Journal, OpenError> {
        let files = Arc::new(DiskFiles::open(&options.dir)?);
        Journal::open_with(options, files)
    }

    /// The same over another file layer.
    pub fn open_with(options: Options, files: Arc<dyn Files>) -> Result<Journal, OpenError> {
        let (running, ended) = watch::channel(true);
        let (journal, writer) = Journal::prepare(options, files, ended)?;
        let dir = journal.inner.shared.options.dir.clone();
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                writer.run();
                running.send_replace(false);
            })
            .map_err(|cause| OpenError::Io { what: "start the writer", dir, cause })?;
        Ok(journal)
    }

    /// Without a thread: the writer moves when [`Journal::step`] is called.
    #[cfg(test)]
    pub(super) fn open_by_hand(options: Options, files: Arc<dyn Files>) -> Result<Journal, OpenError> {
        let (_, ended) = watch::channel(false);
        let (journal, writer) = Journal::prepare(options, files, ended)?;
        *journal.inner.by_hand.lock().unwrap() = Some(writer);
        Ok(journal)
    }

    #[cfg(test)]
    pub(super) fn step(&self, idle: bool) -> Next {
        self.inner.by_hand.lock().unwrap().as_mut().unwrap().step(idle)
    }

    fn prepare(
        options: Options,
        files: Arc<dyn Files>,
        running: watch::Receiver<bool>,
    ) -> Result<(Journal, Writer), OpenError> {
        let dir = options.dir.clone();
        let failure = |what| {
            let dir = dir.clone();
            move |cause| OpenError::Io { what, dir, cause }
        };
        let found = recover::recover(&*files).map_err(failure("read the journal"))?;
        let (durable, stored) = watch::channel(0);
        let mut state = State::default();
        state.fresh_limit = options.fresh_bytes;
        let generation = found.generation + 1;
        let (next_segment, next_frame) = (found.next_segment, found.next_frame());
        found.fill(&mut state);
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            wake: Condvar::new(),
            room: Notify::new(),
            files,
            options,
            generation,
            space: Mutex::default(),
            durable: stored,
        });
        let mut writer = Writer::new(shared.clone(), durable, next_segment, next_frame);
        // The new generation is durable with the first segment that carries it.
        writer.open_segment().map_err(|failed| failure(failed.what)(failed.error))?;
        let inner = Inner {
            shared,
            running,
            #[cfg(test)]
            by_hand: Mutex::new(None),
        };
        Ok((Journal { inner: Arc::new(inner) }, writer))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Counts how often this directory was opened; the number is durable before it is known here.
    pub fn generation(&self) -> u64 {
        self.shared().generation
    }

    /// Defines a queue, or takes a recovered one over with its entries.
    pub fn queue(&self, name: &str, options: QueueOptions) -> QueueId {
        let mut state = self.shared().lock();
        let id = state.define(name, options);
        if let Some(queue) = state.queue_mut(id) {
            queue.options = options;
            queue.opened = true;
        }
        id
    }

    /// Queues with entries that nobody asked for since the start.
    pub fn recovered(&self) -> Vec<String> {
        let state = self.shared().lock();
        let orphans = state.queues.iter().filter(|queue| !queue.opened && !queue.slots.is_empty());
        orphans.map(|queue| queue.name.clone()).collect()
    }

    /// A receipt for everything submitted so far.
    pub fn last_receipt(&self) -> Receipt {
        let shared = self.shared();
        let number = shared.lock().submitted;
        Receipt { number, durable: shared.durable.clone() }
    }

    /// Hands a commit to the writer and numbers its entries. Never waits.
    pub fn submit(&self, commit: Commit) -> Submitted {
        let shared = self.shared();
        let durable = shared.durable.clone();
        let mut state = shared.lock();
        let Some((number, entries)) = state.submit(commit) else {
            return Submitted { receipt: Receipt { number: u64::MAX, durable }, entries: Vec::new() };
        };
        state.announce();
        drop(state);
        if number > 0 {
            shared.wake.notify_one();
        }
        Submitted { receipt: Receipt { number, durable }, entries }
    }

    /// Resolves when [`Journal::lease`] would give something.
    pub async fn leasable(&self, queue: QueueId) {
        let Some(leasable) = self.shared().lock().queue(queue).map(|queue| queue.leasable.clone()) else {
            return std::future::pending().await;
        };
        loop {
            let changed = leasable.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.shared().lock().queue(queue).is_some_and(|queue| queue.has_ready()) {
                return;
            }
            changed.await;
        }
    }

    /// Takes the oldest stored, free entries: at least one if there is one, else up to `max_bytes` of payload.
    pub fn lease(&self, queue: QueueId, max_bytes: usize) -> Vec<Entry> {
        let mut state = self.shared().lock();
        state.queue_mut(queue).map(|queue| queue.lease(max_bytes)).unwrap_or_default()
    }

    /// Gives leased entries back, unless they are sealed.
    pub fn unlease(&self, queue: QueueId, indices: impl IntoIterator<Item = u64>) {
        let mut state = self.shared().lock();
        if let Some(found) = state.queue_mut(queue) {
            indices.into_iter().for_each(|index| found.unlease(index));
        }
        state.touched.insert(queue);
        state.announce();
    }

    /// Open seals that were found at the start, by first entry, with their entries, which are leased.
    pub fn sealed(&self, queue: QueueId) -> Vec<(Seal, Vec<Entry>)> {
        let state = self.shared().lock();
        state.queue(queue).map(|queue| queue.recovered_seals()).unwrap_or_default()
    }

    /// An entry's bytes, when they are in memory.
    pub fn resident(&self, entry: &Entry) -> Option<Bytes> {
        if entry.payload.is_some() {
            return entry.payload.clone();
        }
        let state = self.shared().lock();
        state.queue(entry.queue)?.slots.get(&entry.index)?.payload.as_deref().cloned()
    }

    /// The payload of a leased entry, from memory or, blocking, from its segment.
    pub fn read(&self, entry: &Entry) -> Result<Bytes, ReadError> {
        if let Some(payload) = &entry.payload {
            return Ok(payload.clone());
        }
        let shared = self.shared();
        let mut known = None;
        loop {
            let (payload, place) = {
                let state = shared.lock();
                let slot = state.queue(entry.queue).and_then(|queue| queue.slots.get(&entry.index));
                slot.map(|slot| (slot.payload.as_deref().cloned(), slot.place)).ok_or(ReadError::Settled)?
            };
            if let Some(payload) = payload {
                return Ok(payload);
            }
            let place = place.ok_or(ReadError::Settled)?;
            match shared.read_at(&place, entry.bytes) {
                // It may have been copied forward in between; the same answer from the same place is final.
                Err(_) if known != Some(place) => known = Some(place),
                answer => return answer,
            }
        }
    }

    /// Settles delivered or dropped entries; written down soon. A sealed group goes when all its entries are settled,
    /// in one call or in many, and is whole until then.
    pub fn settle(&self, queue: QueueId, indices: impl IntoIterator<Item = u64>) {
        self.settle_with(|state| indices.into_iter().for_each(|index| state.settle(queue, index)));
    }

    /// Settles all entries of a seal as one.
    pub fn settle_seal(&self, seal: &Seal) {
        self.settle_with(|state| {
            let members = state.queue(seal.queue);
            let members = members.map(|queue| queue.sealed_indices(seal.stream, seal.first, seal.last));
            members.unwrap_or_default().into_iter().for_each(|index| state.settle(seal.queue, index));
        });
    }

    fn settle_with(&self, settle: impl FnOnce(&mut State)) {
        let shared = self.shared();
        let (first, free) = {
            let mut state = shared.lock();
            let before = state.has_lazy();
            settle(&mut state);
            (!before && state.has_lazy(), state.blocked > 0)
        };
        if first {
            shared.wake.notify_one();
        }
        if free {
            shared.room.notify_waiters();
        }
    }

    pub fn stats(&self) -> Stats {
        self.shared().lock().stats()
    }

    /// Stores what was submitted, writes the settles down and ends the writer; the directory can be opened again.
    /// Receipts of what could not be stored answer [`super::NotStored::Closed`].
    pub async fn close(&self) {
        self.shared().lock().closing = true;
        self.shared().wake.notify_all();
        self.shared().room.notify_waiters();
        let mut running = self.inner.running.clone();
        // An error means that the thread is gone, which is as good.
        let _ = running.wait_for(|running| !running).await;
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Journal").field("dir", &self.shared().files.place()).finish_non_exhaustive()
    }
}

/// Whose journal it is, for a queue that was recovered and not asked for yet.
pub(super) const UNCLAIMED: QueueOptions =
    QueueOptions { max_bytes: u64::MAX, on_full: OnFull::Block, storage: Storage::Disk };

#[cfg(test)]
mod tests;
