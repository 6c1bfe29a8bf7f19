//! The one thread that writes: it takes all waiting packs into one transaction and answers them after its commit.
//!
//! ```text
//! jobs -> at most 256 packs, 32 MiB -> ids -> a transaction for each file they belong to (nearly always one)
//!      -> COMMIT -> answers
//! ```
//!
//! The channel is bounded; who waits for room waits in `put`. A failed transaction fails every pack in it: a client
//! sends again, and only what was committed was acknowledged. A pack's id is the nanosecond of its arrival, made unique
//! and increasing over all files, so that a reader who has seen an id of a logstore has seen all before it.
//!
//! It also decides about files, since it alone adds to them: when the next one begins, which are expired, and which go to
//! make room ([`upkeep`]). What is under way in each file is in [`transactions`].

mod transactions;
mod upkeep;

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::bounds::Bounds;
use super::catalog::Catalog;
use super::files::Files;
use super::metrics::Metrics;
use super::pack::Pack;
use super::partition::Slice;
use super::{Refused, StoreError, schema};
use crate::base::clock::Clock;
use transactions::{Open, insert};

/// Packs of one transaction: enough to share a sync, few enough to answer soon.
const GATHER_JOBS: usize = 256;
const GATHER_BYTES: usize = 32 << 20;
pub(super) type Answer = oneshot::Sender<Result<(), StoreError>>;
/// A change of the catalog, which runs in a transaction of its own and answers for itself.
pub(super) type Change = Box<dyn FnOnce(&mut Connection) + Send>;

pub(super) enum Job {
    Put {
        logstore: i64,
        packs: Vec<Pack>,
        answer: Answer,
    },
    Change(Change),
    /// Filters of packs of a file, which nobody waits for.
    Filters(Slice, Vec<(i64, Vec<u8>)>),
    /// Looks for expired files.
    Tidy,
    /// Drops the oldest files until there is room for so many bytes; the answer is `false` when there is nothing to drop.
    MakeRoom(u64, oneshot::Sender<bool>),
    /// Gives the space of WALs back.
    FoldBack,
    #[cfg(test)]
    Pragma(&'static str, i64),
}

pub(super) struct Writer {
    files: Arc<Files>,
    catalog_file: Connection,
    catalog: Arc<RwLock<Catalog>>,
    metrics: Metrics,
    clock: Clock,
    bounds: Arc<Bounds>,
    /// A file of this size is succeeded by the next.
    roll: u64,
    open: Vec<Open>,
    /// The latest start of each class, which the next one has to be above.
    starts: HashMap<i64, i64>,
    /// The id given last.
    last: i64,
    /// Counts packs, for the turns of shards.
    turn: usize,
    /// See [`Committed`].
    committed: Committed,
    /// The file to erase from next, while there is something to erase.
    erasing: Option<Slice>,
    /// Deletions of logstores that were looked after.
    deletions: u64,
    /// When the files were measured.
    measured: Option<Instant>,
}

/// The highest id of which all packs up to it are on the disk or failed: a reader of several files who goes no further
/// misses none, whichever file is committed first.
#[derive(Clone, Debug, Default)]
pub(super) struct Committed(Arc<AtomicI64>);

impl Committed {
    fn set(&self, id: i64) {
        self.0.store(id, Ordering::Release);
    }

    pub(super) fn get(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

struct Waiting {
    answer: Answer,
    /// Where the first and the last were written, or why not.
    outcome: Result<[Slice; 2], StoreError>,
    packs: usize,
    logs: usize,
    raw: usize,
    packed: usize,
    odd_times: u64,
}

/// Before all files.
const FIRST: Slice = Slice { start: i64::MIN, ttl: 0 };

impl Writer {
    /// Looks into each file: one that is no database of ours is set aside now, and not when somebody waits for it.
    pub(super) fn new(
        files: Arc<Files>,
        catalog_file: Connection,
        catalog: Arc<RwLock<Catalog>>,
        metrics: Metrics,
        clock: Clock,
        bounds: Arc<Bounds>,
        committed: Committed,
    ) -> Result<Writer, StoreError> {
        // So that ids of this run are above every cursor that was handed out.
        let (mut last, mut starts) = (clock.nanoseconds(), HashMap::new());
        // The clock may have gone back, and packs may be gone.
        last = last.max(catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner()).highest_cursor());
        for file in files.all() {
            let highest = files.open_writer(file.slice).and_then(|(_, connection)| {
                connection
                    .query_row("SELECT max(id) FROM packs", [], |row| row.get::<_, Option<i64>>(0))
                    .map_err(|cause| StoreError::database(file.path(), cause))
                    .inspect_err(|error| files.mind(&file, error))
            });
            match highest {
                Ok(highest) => last = last.max(highest.unwrap_or(0)),
                Err(StoreError::Damaged { .. }) => {}
                Err(other) => return Err(other),
            }
            let start = starts.entry(file.slice.ttl).or_insert(file.slice.start);
            *start = file.slice.start.max(*start);
        }
        for file in files.all() {
            if starts.get(&file.slice.ttl) != Some(&file.slice.start) {
                file.seal();
            }
        }
        committed.set(last);
        let mut writer = Writer {
            files,
            catalog_file,
            catalog,
            metrics,
            clock,
            roll: bounds.roll(),
            bounds,
            open: Vec::new(),
            starts,
            last,
            turn: 0,
            committed,
            erasing: Some(FIRST),
            deletions: 0,
            measured: None,
        };
        writer.tidy();
        Ok(writer)
    }

    /// Runs until the last sender is gone.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let mut job = if self.erasing.is_some() {
                match jobs.try_recv() {
                    Ok(job) => Some(job),
                    Err(mpsc::error::TryRecvError::Empty) => {
                        self.erase();
                        None
                    }
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            } else {
                match jobs.blocking_recv() {
                    Some(job) => Some(job),
                    None => return,
                }
            };
            while let Some(this) = job.take() {
                match this {
                    Job::Put { logstore, packs, answer } => {
                        job = self.write(logstore, packs, answer, &mut jobs);
                    }
                    Job::Change(change) => self.change(change),
                    Job::Filters(slice, filters) => self.add_filters(slice, &filters),
                    Job::Tidy => self.tidy(),
                    Job::MakeRoom(bytes, done) => {
                        let _ = done.send(self.make_room(bytes));
                    }
                    Job::FoldBack => {
                        schema::fold_back(&self.catalog_file);
                        self.open.iter().for_each(|open| schema::fold_back(&open.connection));
                    }
                    #[cfg(test)]
                    Job::Pragma(name, value) => {
                        for open in &self.open {
                            open.connection.pragma_update(None, name, value).unwrap();
                        }
                    }
                }
            }
        }
    }

    fn change(&mut self, change: Change) {
        change(&mut self.catalog_file);
        let deletions = self.catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner()).deletions();
        if deletions != self.deletions {
            self.deletions = deletions;
            self.erasing = Some(FIRST);
        }
    }

    /// Writes these packs and all that wait behind them; another job found among them is handed back, to be done next.
    fn write(
        &mut self,
        logstore: i64,
        packs: Vec<Pack>,
        answer: Answer,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> Option<Job> {
        let started = Instant::now();
        let (mut waiting, mut behind, mut bytes) = (Vec::new(), None, 0);
        let mut next = Some((logstore, packs, answer));
        let catalog = self.catalog.clone();
        let catalog = catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        while let Some((logstore, packs, answer)) = next.take() {
            let sum = |of: fn(&Pack) -> usize| packs.iter().map(of).sum::<usize>();
            let packed = sum(|pack| pack.body.len());
            bytes += packed;
            let outcome = match catalog.ttl(logstore) {
                Some(ttl) => self.insert_all(&catalog, ttl, logstore, &packs),
                // Deleted while the packs were on their way.
                None => Err(Refused::NoLogstore(String::new()).into()),
            };
            waiting.push(Waiting {
                answer,
                outcome,
                packs: packs.len(),
                logs: sum(|pack| pack.logs),
                raw: sum(|pack| pack.raw_size),
                packed,
                odd_times: packs.iter().map(|pack| pack.odd_times).sum(),
            });
            if waiting.len() < GATHER_JOBS && bytes < GATHER_BYTES {
                match jobs.try_recv() {
                    Ok(Job::Put { logstore, packs, answer }) => next = Some((logstore, packs, answer)),
                    Ok(other) => behind = Some(other),
                    Err(_) => {}
                }
            }
        }
        drop(catalog);
        self.end_transactions();
        self.committed.set(self.last);
        let took = started.elapsed().as_secs_f64();
        for one in waiting {
            let outcome = one.outcome.and_then(|[first, last]| {
                self.outcome_of(first)?;
                if first == last { Ok(()) } else { self.outcome_of(last) }
            });
            if outcome.is_ok() {
                self.metrics.stored(one.packs, one.logs, one.raw, one.packed);
                self.metrics.odd_times.increment(one.odd_times);
                self.metrics.put_seconds.record(took);
            }
            // A client that has gone away needs no answer.
            let _ = one.answer.send(outcome);
        }
        self.close_former();
        self.measure();
        behind
    }

    /// Writes packs into the transaction of their file; of two, where one file is followed by the next just then.
    fn insert_all(
        &mut self,
        catalog: &Catalog,
        ttl: i64,
        logstore: i64,
        packs: &[Pack],
    ) -> Result<[Slice; 2], StoreError> {
        let mut slices = None;
        for pack in packs {
            self.turn = self.turn.wrapping_add(1);
            let shard = catalog.shard_for(logstore, pack.route, self.turn)?;
            let slice = self.insert(ttl, logstore, shard, pack)?;
            slices = Some([slices.map_or(slice, |[first, _]: [Slice; 2]| first), slice]);
        }
        Ok(slices.unwrap_or([FIRST; 2]))
    }

    /// Writes a pack into the transaction of its file.
    fn insert(&mut self, ttl: i64, logstore: i64, shard: u32, pack: &Pack) -> Result<Slice, StoreError> {
        let arrived = self.clock.nanoseconds().max(self.last + 1);
        let slice = self.slice_for(ttl, arrived);
        // A file may have to begin in the second after.
        let id = arrived.max(slice.start);
        let open = self.begin(slice)?;
        open.bytes += pack.body.len() as u64;
        if let Some(Ok(())) = open.state
            && let Err(cause) = insert(&open.connection, id, logstore, shard, pack)
        {
            open.failed(cause);
        }
        self.last = id;
        self.bounds.used.fetch_add(pack.body.len() as u64, Relaxed);
        Ok(slice)
    }

    /// The file that takes packs of a class now.
    fn slice_for(&mut self, ttl: i64, arrived: i64) -> Slice {
        let takes = |slice: Slice| slice.ttl == ttl && slice.may_hold(arrived);
        let open =
            self.open.iter().map(|open| &open.file).find(|file| takes(file.slice) && !file.is_sealed());
        if let Some(file) = open {
            return file.slice;
        }
        let newest = self.files.newest(ttl);
        if let Some(file) = newest.filter(|file| takes(file.slice) && !file.is_sealed()) {
            return file.slice;
        }
        let whole = Slice::of(ttl, arrived);
        let slice = match self.starts.get(&ttl) {
            Some(start) if whole.start <= *start => Slice::rest(ttl, arrived, *start),
            _ => whole,
        };
        self.starts.insert(ttl, slice.start);
        slice
    }
}
