//! The one thread that writes: it takes all waiting packs into one transaction and answers them after its commit.
//!
//! ```text
//! jobs -> at most 256 packs, 32 MiB -> ids -> a transaction for each file they belong to (nearly always one)
//!      -> COMMIT -> answers
//! ```
//!
//! The channel is bounded; who waits for room waits in `put`. A failed transaction fails every pack in it: a client
//! sends again, and only what was committed was acknowledged. A pack's id is the nanosecond of its arrival, made unique
//! and increasing over all files, so that a reader who has seen an id of a logstore has seen all before it. Between
//! transactions the thread erases, some at a time, the packs of logstores that were deleted, so that a large deletion
//! never holds up a write.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::catalog::Catalog;
use super::files::{Files, PackFile};
use super::pack::{Pack, compression_number};
use super::partition::Slice;
use super::{Metrics, Refused, StoreError, schema};
use crate::base::clock::Clock;
use crate::base::log_limit::LogLimit;

/// Packs of one transaction: enough to share a sync, few enough to answer soon.
const GATHER_JOBS: usize = 256;
const GATHER_BYTES: usize = 32 << 20;
/// Packs erased between two looks at the channel.
const ERASE_PACKS: usize = 32;
const IDLE: Duration = Duration::from_millis(500);
/// Files that stay open for writing: one for each class of ttl that is in use at a time.
const OPEN: usize = 8;
/// How often the size of all files is looked up.
const MEASURE: Duration = Duration::from_secs(1);

static FAILED: LogLimit = LogLimit::new(Duration::from_secs(30));

pub(super) type Answer = oneshot::Sender<Result<(), StoreError>>;
/// A change of the catalog, which runs in a transaction of its own and answers for itself.
pub(super) type Change = Box<dyn FnOnce(&mut Connection) + Send>;

pub(super) enum Job {
    Put {
        logstore: i64,
        pack: Box<Pack>,
        answer: Answer,
    },
    Change(Change),
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
    open: Vec<Open>,
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

/// A file open for writing.
struct Open {
    file: Arc<PackFile>,
    connection: Connection,
    /// The transaction that is under way in it, and how it goes.
    state: Option<Result<(), StoreError>>,
}

struct Waiting {
    answer: Answer,
    /// Where it was written, or why not.
    outcome: Result<Slice, StoreError>,
    logs: usize,
    raw: usize,
    packed: usize,
    odd_times: u64,
}

impl Writer {
    pub(super) fn new(
        files: Arc<Files>,
        catalog_file: Connection,
        catalog: Arc<RwLock<Catalog>>,
        metrics: Metrics,
        clock: Clock,
        committed: Committed,
    ) -> Result<Writer, StoreError> {
        // So that ids of this run are above every cursor that was handed out.
        let mut last = clock.nanoseconds();
        // Ids of a slice are above those of the slices before it; classes lie side by side.
        for file in files.all().iter().rev() {
            if file.slice.end() <= last {
                continue;
            }
            let highest: Option<i64> = files
                .reader(file)?
                .with(|connection| connection.query_row("SELECT max(id) FROM packs", [], |row| row.get(0)))?;
            last = last.max(highest.unwrap_or(0));
        }
        committed.set(last);
        Ok(Writer {
            files,
            catalog_file,
            catalog,
            metrics,
            clock,
            open: Vec::new(),
            last,
            turn: 0,
            committed,
            erasing: Some(Slice { start: i64::MIN, ttl: 0 }),
            deletions: 0,
            measured: None,
        })
    }

    /// Runs until the last sender is gone.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let job = if self.erasing.is_some() {
                match jobs.try_recv() {
                    Ok(job) => Some(job),
                    Err(mpsc::error::TryRecvError::Empty) => None,
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            } else {
                match jobs.blocking_recv() {
                    Some(job) => Some(job),
                    None => return,
                }
            };
            let mut job = match job {
                Some(job) => Some(job),
                None => {
                    self.erase();
                    None
                }
            };
            while let Some(this) = job.take() {
                match this {
                    Job::Put { logstore, pack, answer } => {
                        job = self.write(logstore, pack, answer, &mut jobs)
                    }
                    Job::Change(change) => self.change(change),
                    #[cfg(test)]
                    Job::Pragma(name, value) => {
                        for open in &self.open {
                            open.connection.pragma_update(None, name, value).unwrap();
                        }
                    }
                    Job::FoldBack => {
                        schema::fold_back(&self.catalog_file);
                        self.open.iter().for_each(|open| schema::fold_back(&open.connection));
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
            self.erasing = Some(Slice { start: i64::MIN, ttl: 0 });
        }
    }

    /// Writes this pack and all that wait behind it; another job found among them is handed back, to be done next.
    fn write(
        &mut self,
        logstore: i64,
        pack: Box<Pack>,
        answer: Answer,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> Option<Job> {
        let started = Instant::now();
        let (mut waiting, mut behind, mut bytes) = (Vec::new(), None, 0);
        let mut next = Some((logstore, pack, answer));
        let catalog = self.catalog.clone();
        let catalog = catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        while let Some((logstore, pack, answer)) = next.take() {
            bytes += pack.body.len();
            let (logs, raw, packed) = (pack.logs, pack.raw_size, pack.body.len());
            let odd_times = pack.odd_times;
            let outcome = match catalog.ttl(logstore) {
                Some(ttl) => {
                    self.turn = self.turn.wrapping_add(1);
                    catalog
                        .shard_for(logstore, pack.route, self.turn)
                        .map_err(StoreError::Refused)
                        .and_then(|shard| self.insert(ttl, logstore, shard, &pack))
                }
                // Deleted while the pack was on its way.
                None => Err(Refused::NoLogstore(String::new()).into()),
            };
            waiting.push(Waiting { answer, outcome, logs, raw, packed, odd_times });
            if waiting.len() < GATHER_JOBS && bytes < GATHER_BYTES {
                match jobs.try_recv() {
                    Ok(Job::Put { logstore, pack, answer }) => next = Some((logstore, pack, answer)),
                    Ok(other) => behind = Some(other),
                    Err(_) => {}
                }
            }
        }
        drop(catalog);
        for open in &mut self.open {
            if let Some(Ok(())) = open.state {
                let committed = open.connection.execute_batch("COMMIT");
                open.state = Some(committed.map_err(|cause| StoreError::database(open.file.path(), cause)));
            }
            if let Some(Err(error)) = &open.state {
                let _ = open.connection.execute_batch("ROLLBACK");
                self.metrics.failed.increment(1);
                if let Some(suppressed) = FAILED.allow() {
                    tracing::error!(%error, suppressed, "the embedded Log Service could not store packs");
                }
            }
        }
        self.committed.set(self.last);
        let took = started.elapsed().as_secs_f64();
        for one in waiting {
            let outcome = one.outcome.and_then(|slice| self.outcome_of(slice));
            if outcome.is_ok() {
                self.metrics.stored(one.logs, one.raw, one.packed);
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

    /// Writes a pack into the transaction of its file.
    fn insert(&mut self, ttl: i64, logstore: i64, shard: u32, pack: &Pack) -> Result<Slice, StoreError> {
        let id = self.clock.nanoseconds().max(self.last + 1);
        let slice = Slice::of(ttl, id);
        let open = self.begin(slice)?;
        if let Some(Ok(())) = open.state
            && let Err(cause) = insert(&open.connection, id, logstore, shard, pack)
        {
            open.state = Some(Err(StoreError::database(open.file.path(), cause)));
        }
        self.last = id;
        Ok(slice)
    }

    /// The file of a slice, open and in a transaction.
    fn begin(&mut self, slice: Slice) -> Result<&mut Open, StoreError> {
        let at = match self.open.iter().position(|open| open.file.slice == slice) {
            Some(at) => at,
            None => {
                if self.open.len() >= OPEN
                    && let Some(unused) = self.open.iter().position(|open| open.state.is_none())
                {
                    self.open.remove(unused);
                }
                let (file, connection) = self.files.open_writer(slice)?;
                self.open.push(Open { file, connection, state: None });
                self.open.len() - 1
            }
        };
        let open = &mut self.open[at];
        if open.state.is_none() {
            let begun = open.connection.execute_batch("BEGIN IMMEDIATE");
            open.state = Some(begun.map_err(|cause| StoreError::database(open.file.path(), cause)));
        }
        Ok(open)
    }

    fn outcome_of(&self, slice: Slice) -> Result<(), StoreError> {
        match self.open.iter().find(|open| open.file.slice == slice).and_then(|open| open.state.as_ref()) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error.for_another()),
            None => Err(StoreError::Stopped),
        }
    }

    /// Ends the transactions' states, and closes files that a later one of their class has replaced.
    fn close_former(&mut self) {
        self.open.iter_mut().for_each(|open| open.state = None);
        let newest = |ttl: i64, open: &[Open]| {
            open.iter().map(|open| open.file.slice).filter(|slice| slice.ttl == ttl).max()
        };
        let former = |open: &[Open]| {
            open.iter().position(|one| newest(one.file.slice.ttl, open) != Some(one.file.slice))
        };
        while let Some(at) = former(&self.open) {
            self.open.remove(at);
        }
    }

    fn measure(&mut self) {
        if self.measured.is_none_or(|last| last.elapsed() >= MEASURE) {
            self.measured = Some(Instant::now());
            let files = self.files.all();
            self.metrics.files.set(files.len() as f64);
            self.metrics.file_bytes.set(files.iter().map(|file| file.bytes()).sum::<u64>() as f64);
        }
    }

    /// Erases some packs of logstores that are no more.
    fn erase(&mut self) {
        let Some(from) = self.erasing else { return };
        let Some(file) = self.files.all().into_iter().find(|file| file.slice >= from) else {
            self.erasing = None;
            return;
        };
        match self.erase_from(&file) {
            // There is more in it.
            Ok(true) => self.erasing = Some(file.slice),
            Ok(false) => self.erasing = Some(file.slice.behind()),
            Err(error) => {
                tracing::warn!(%error, "cannot erase packs of a deleted logstore; they stay on the disk for now");
                std::thread::sleep(IDLE);
                self.erasing = Some(file.slice.behind());
            }
        }
    }

    /// `false` when there are none left in this file.
    fn erase_from(&mut self, file: &Arc<PackFile>) -> Result<bool, StoreError> {
        let or = |cause| StoreError::database(file.path(), cause);
        let (mut dead, mut is_live) = (None, false);
        let mut seen = 0;
        {
            let mut reader = self.files.reader(file)?;
            // A step from logstore to logstore along the index, however many packs each has.
            while let Some(logstore) = reader.with(|db| next_logstore(db, seen))? {
                seen = logstore;
                let catalog = self.catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner());
                match catalog.is_live(logstore) {
                    true => is_live = true,
                    false => dead = Some(logstore),
                }
            }
        }
        let is_past = file.slice.end() <= self.clock.nanoseconds();
        if !is_live && is_past {
            self.open.retain(|open| open.file.slice != file.slice);
            self.files.retire(file.slice);
            return Ok(false);
        }
        let Some(dead) = dead else { return Ok(false) };
        let open = self.begin(file.slice)?;
        let connection = &open.connection;
        let erased = if let Some(Ok(())) = open.state {
            erase(connection, dead).and_then(|()| connection.execute_batch("COMMIT")).map_err(or)
        } else {
            Err(StoreError::Stopped)
        };
        if erased.is_err() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        let vacuumed = erased.and_then(|()| give_back(connection).map_err(or));
        self.open.iter_mut().for_each(|open| open.state = None);
        if is_past {
            self.close_former();
        }
        vacuumed.map(|()| true)
    }
}

fn next_logstore(connection: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(logstore) FROM packs WHERE logstore > ?1")?
        .query_row([after], |row| row.get(0))
}

fn erase(connection: &Connection, logstore: i64) -> rusqlite::Result<()> {
    let chosen = "SELECT id FROM packs WHERE logstore = ?1 ORDER BY first_time, last_time, id LIMIT ?2";
    connection
        .prepare_cached(&format!("DELETE FROM filters WHERE pack IN ({chosen})"))?
        .execute(params![logstore, ERASE_PACKS as i64])?;
    connection
        .prepare_cached(&format!("DELETE FROM packs WHERE id IN ({chosen})"))?
        .execute(params![logstore, ERASE_PACKS as i64])?;
    Ok(())
}

/// Gives freed pages back to the file system, some at a time.
fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    let mut vacuum = connection.prepare_cached("PRAGMA incremental_vacuum(1024)")?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

fn insert(connection: &Connection, id: i64, logstore: i64, shard: u32, pack: &Pack) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO packs (id, logstore, shard, first_time, last_time, logs, raw_size, compression, series, \
             sequence, topic, source, client, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            id,
            logstore,
            shard,
            pack.first_time,
            pack.last_time,
            pack.logs as i64,
            pack.raw_size as i64,
            compression_number(pack.kind),
            pack.series,
            pack.sequence,
            pack.topic,
            pack.source,
            pack.client,
            pack.body.as_ref(),
        ])?;
    Ok(())
}
