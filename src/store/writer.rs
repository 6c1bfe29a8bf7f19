//! The one thread that writes: it takes all waiting packs into one transaction and answers them after its commit.
//!
//! The channel is bounded; who waits for room waits in `put`. A failed transaction fails every pack in it: a client
//! sends again, and only what was committed was acknowledged. Between transactions the thread erases, slice by slice,
//! the packs of logstores that were deleted, so that a large deletion never holds up a write.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::catalog::Catalog;
use super::pack::{Pack, compression_number};
use super::{Metrics, Refused, StoreError};
use crate::base::log_limit::LogLimit;
use crate::record::Timestamp;

/// Packs of one transaction: enough to share a sync, few enough to answer soon.
const GATHER_JOBS: usize = 256;
const GATHER_BYTES: usize = 32 << 20;
/// Packs erased between two looks at the channel.
const ERASE_PACKS: usize = 32;
const IDLE: Duration = Duration::from_millis(500);

static FAILED: LogLimit = LogLimit::new(Duration::from_secs(30));

pub(super) type Answer = oneshot::Sender<Result<(), StoreError>>;
/// A change of the catalog, which runs in a transaction of its own and answers for itself.
pub(super) type Change = Box<dyn FnOnce(&mut Connection) + Send>;

pub(super) enum Job {
    Put { logstore: i64, packs: Vec<Pack>, answer: Answer },
    Change(Change),
}

pub(super) struct Writer {
    pub(super) file: PathBuf,
    pub(super) connection: Connection,
    pub(super) catalog: Arc<RwLock<Catalog>>,
    pub(super) metrics: Metrics,
}

struct Waiting {
    answer: Answer,
    outcome: Result<(), StoreError>,
    packs: usize,
    logs: usize,
    raw: usize,
    packed: usize,
    odd_times: u64,
}

impl Writer {
    /// Runs until the last sender is gone.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut erasing = true;
        loop {
            let job = if erasing {
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
            match job {
                None => {
                    erasing = self.erase_slice().unwrap_or_else(|error| {
                        tracing::warn!(%error, "cannot erase packs of a deleted logstore; they stay on the disk for now");
                        std::thread::sleep(IDLE);
                        false
                    });
                }
                Some(Job::Change(change)) => {
                    change(&mut self.connection);
                    erasing = true;
                }
                Some(Job::Put { logstore, packs, answer }) => {
                    let change = self.write(logstore, packs, answer, &mut jobs);
                    if let Some(change) = change {
                        change(&mut self.connection);
                        erasing = true;
                    }
                }
            }
        }
    }

    /// Writes these packs and all that wait behind them; a change found among them is handed back, to be made next.
    fn write(
        &mut self,
        logstore: i64,
        packs: Vec<Pack>,
        answer: Answer,
        jobs: &mut mpsc::Receiver<Job>,
    ) -> Option<Change> {
        let started = Instant::now();
        let mut waiting = Vec::new();
        let mut change = None;
        let written = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let catalog = self.catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner());
            let (mut next, mut bytes) = (Some((logstore, packs, answer)), 0);
            while let Some((logstore, packs, answer)) = next.take() {
                let sum = |of: fn(&Pack) -> usize| packs.iter().map(of).sum::<usize>();
                let packed = sum(|pack| pack.body.len());
                bytes += packed;
                waiting.push(Waiting {
                    answer,
                    outcome: Ok(()),
                    packs: packs.len(),
                    logs: sum(|pack| pack.logs),
                    raw: sum(|pack| pack.raw_size),
                    packed,
                    odd_times: packs.iter().map(|pack| pack.odd_times).sum(),
                });
                if catalog.is_live(logstore) {
                    for pack in &packs {
                        insert(&transaction, logstore, pack)?;
                    }
                } else if let Some(last) = waiting.last_mut() {
                    // Deleted while the pack was on its way.
                    last.outcome = Err(Refused::NoLogstore(String::new()).into());
                }
                if waiting.len() < GATHER_JOBS && bytes < GATHER_BYTES {
                    match jobs.try_recv() {
                        Ok(Job::Put { logstore, packs, answer }) => next = Some((logstore, packs, answer)),
                        Ok(Job::Change(found)) => change = Some(found),
                        Err(_) => {}
                    }
                }
            }
            drop(catalog);
            transaction.commit()
        })();
        if let Err(error) = &written {
            self.metrics.failed.increment(1);
            if let Some(suppressed) = FAILED.allow() {
                let packs = waiting.len();
                tracing::error!(%error, packs, suppressed, "the embedded Log Service could not store packs");
            }
        }
        self.measure_file();
        let took = started.elapsed().as_secs_f64();
        for mut one in waiting {
            if let Err(error) = &written {
                one.outcome = Err(StoreError::database(&self.file, copy_of(error)));
            }
            if one.outcome.is_ok() {
                self.metrics.stored(one.packs, one.logs, one.raw, one.packed);
                self.metrics.odd_times.increment(one.odd_times);
                self.metrics.put_seconds.record(took);
            }
            // A client that has gone away needs no answer.
            let _ = one.answer.send(one.outcome);
        }
        change
    }

    fn measure_file(&self) {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        if let (Ok(pages), Ok(size)) = (pragma("page_count"), pragma("page_size")) {
            self.metrics.file_bytes.set((pages * size) as f64);
        }
    }

    /// Erases some packs of logstores that are no more; `false` when there are none left.
    fn erase_slice(&mut self) -> rusqlite::Result<bool> {
        let mut logstore = 0;
        loop {
            // A step from logstore to logstore along the index, however many packs each has.
            let next: Option<i64> = self.connection.query_row(
                "SELECT min(logstore) FROM packs WHERE logstore > ?1",
                [logstore],
                |row| row.get(0),
            )?;
            let Some(found) = next else { return Ok(false) };
            logstore = found;
            let catalog = self.catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner());
            if !catalog.is_live(found) {
                break;
            }
        }
        self.connection.execute(
            "DELETE FROM packs WHERE id IN (SELECT id FROM packs WHERE logstore = ?1 LIMIT ?2)",
            params![logstore, ERASE_PACKS as i64],
        )?;
        // Gives the freed pages back to the file system, some at a time.
        let mut vacuum = self.connection.prepare_cached("PRAGMA incremental_vacuum(1024)")?;
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }
}

fn insert(connection: &Connection, logstore: i64, pack: &Pack) -> rusqlite::Result<()> {
    let now = Timestamp::now();
    let arrived = now.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(now.nanos));
    connection
        .prepare_cached(
            "INSERT INTO packs (logstore, arrived, first_time, last_time, logs, raw_size, compression, series, \
             sequence, topic, source, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            logstore,
            arrived,
            pack.first_time,
            pack.last_time,
            pack.logs as i64,
            pack.raw_size as i64,
            compression_number(pack.kind),
            pack.series,
            pack.sequence,
            pack.topic,
            pack.source,
            pack.body.as_ref(),
        ])?;
    Ok(())
}

/// The same error for each pack of a failed transaction.
fn copy_of(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
        other => rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    }
}
