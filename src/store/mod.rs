//! The embedded Log Service's memory: projects and logstores in one SQLite file, packs in others, and the scans over
//! them.
//!
//! ```text
//! DIR/catalog.db            projects, logstores and what belongs to them
//! DIR/packs/30d-START.db    packs that are kept 30 days and arrived in the day of START ...
//!
//! put  -> bounded channel -> writer thread -> one transaction for all that wait -> COMMIT -> answers
//! scan -> a permit -> scan thread -> packs in order of time, or in any -> a visitor -> rows, sums
//! ```
//!
//! Invariants: a `put` that returned `Ok` is on the disk; packs are kept as they came and never changed; a scan
//! holds one inflated pack at a time and thread; what a client asks wrongly is [`Refused`], what the machine lacks is another
//! [`StoreError`].

mod access_key;
mod catalog;
mod consumers;
mod error;
mod files;
mod pack;
mod partition;
mod pull;
pub mod query;
pub mod scan;
mod schema;
mod search;
pub mod shards;
mod threads;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use access_key::{AccessKey, FILE_NAME as ACCESS_KEY_FILE};
pub use catalog::{Catalog, Checkpoint, ConsumerGroup, GroupPlace, Logstore, Project, Settings};
pub use error::{Refused, StoreError};
pub use files::{PackFile, Reader};
pub use pack::Pack;
pub use partition::Slice;
pub use pull::{From, PULL_BYTES, Pull, Pulled, cursor_of, cursor_text, hash_key};

pub use search::{ANSWER_BYTES, Found, OFFSET, Row, Search};

use crate::base::clock::Clock;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use crate::base::{disk, file as private};
use catalog::ChangeError;
use consumers::Members;
use files::Files;
use scan::Scan;
use threads::{SCANS, Threads};
use writer::{Committed, Job, Writer};

/// How often a crowded file system is worth a line.
const CROWDED_LOG: Duration = Duration::from_secs(60);
/// Packs that wait for the writer; the bytes they hold are bounded by who hands them over.
const WAITING: usize = 256;

pub struct Store {
    dir: PathBuf,
    catalog_file: PathBuf,
    key: AccessKey,
    catalog: Arc<RwLock<Catalog>>,
    /// Taken when the store closes.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<std::thread::JoinHandle<()>>,
    files: Arc<Files>,
    threads: Threads,
    permits: Arc<Semaphore>,
    clock: Clock,
    committed: Committed,
    /// Who reads in which consumer group; lost at a stop, and consumers come again.
    members: Mutex<HashMap<(i64, String), Members>>,
    started: Instant,
    metrics: Metrics,
    space: disk::Watch,
    crowded: LogLimit,
    // Held as long as the store: one gateway per directory.
    _lock: std::fs::File,
}

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Options { clock: Clock::real() }
    }
}

/// Handles made once.
#[derive(Clone)]
struct Metrics {
    packs: Counter,
    logs: Counter,
    raw_bytes: Counter,
    packed_bytes: Counter,
    failed: Counter,
    odd_times: Counter,
    files: Gauge,
    file_bytes: Gauge,
    put_seconds: Histogram,
    search_seconds: Histogram,
}

impl Metrics {
    fn new() -> Metrics {
        let bytes = |kind| {
            counter(
                "sluicegate_store_bytes_total",
                "Bytes of stored LogGroups, as sent and inflated",
                &[("kind", kind)],
            )
        };
        Metrics {
            packs: counter(
                "sluicegate_store_packs_total",
                "LogGroups stored by the embedded Log Service",
                &[],
            ),
            logs: counter("sluicegate_store_logs_total", "Logs stored by the embedded Log Service", &[]),
            raw_bytes: bytes("raw"),
            packed_bytes: bytes("compressed"),
            failed: counter(
                "sluicegate_store_failed_commits_total",
                "Transactions that could not be stored",
                &[],
            ),
            odd_times: counter(
                "sluicegate_store_odd_times_total",
                "Logs stored whose time is more than 7 days before or 15 minutes after their arrival",
                &[],
            ),
            files: gauge("sluicegate_store_files", "Files of packs", &[]),
            file_bytes: gauge("sluicegate_store_file_bytes", "Size of all files of packs", &[]),
            put_seconds: histogram(
                "sluicegate_store_put_seconds",
                "Time from the writer taking a LogGroup up to its commit",
                &[],
            ),
            search_seconds: histogram(
                "sluicegate_store_search_seconds",
                "Time of one search, waiting for its turn included",
                &[],
            ),
        }
    }

    fn stored(&self, logs: usize, raw: usize, packed: usize) {
        self.packs.increment(1);
        self.logs.increment(logs as u64);
        self.raw_bytes.increment(raw as u64);
        self.packed_bytes.increment(packed as u64);
    }
}

impl Store {
    /// Opens the store of a directory, which is made when it is not there. Blocks; call it before serving.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        Store::open_with(dir, Options::default())
    }

    pub fn open_with(dir: &Path, options: Options) -> Result<Store, StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |cause| StoreError::Path { path, cause }
        };
        private::own_private_dir(dir).map_err(at(dir))?;
        let lock = lock(dir)?;
        let space = disk::Watch::new(std::fs::File::open(dir).map_err(at(dir))?);
        let former = dir.join(schema::FORMER);
        if former.exists() {
            return Err(StoreError::Former { file: former });
        }
        let key = AccessKey::load_or_make(dir)?;
        let catalog_file = dir.join(schema::CATALOG);
        let connection = schema::open_writer(&catalog_file, &schema::CATALOG_LAYOUT)?;
        let catalog =
            Catalog::load(&connection).map_err(|cause| StoreError::database(&catalog_file, cause))?;
        let catalog = Arc::new(RwLock::new(catalog));
        let files = Arc::new(Files::open(dir.join(schema::PACKS))?);
        let (jobs, waiting) = mpsc::channel(WAITING);
        let metrics = Metrics::new();
        let committed = Committed::default();
        let writer = Writer::new(
            files.clone(),
            connection,
            catalog.clone(),
            metrics.clone(),
            options.clock,
            committed.clone(),
        )?;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(waiting))
            .map_err(at(dir))?;
        Ok(Store {
            dir: dir.to_owned(),
            catalog_file,
            key,
            catalog,
            jobs: Some(jobs),
            writer: Some(thread),
            files,
            threads: Threads::start().map_err(at(dir))?,
            permits: Arc::new(Semaphore::new(SCANS)),
            clock: options.clock,
            committed,
            members: Mutex::default(),
            started: Instant::now(),
            metrics,
            space,
            crowded: LogLimit::new(CROWDED_LOG),
            _lock: lock,
        })
    }

    pub fn access_key(&self) -> &AccessKey {
        &self.key
    }

    /// The directory of all its files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The time by which packs arrive and age.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Projects and logstores as they are now. Hold it for a moment only.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Stores a pack; `Ok` when it is on the disk. [`StoreError::Crowded`] in the last tenth of the file system: what is
    /// left there is needed to delete something.
    pub async fn put(&self, logstore: i64, pack: Pack) -> Result<(), StoreError> {
        self.admit(pack.body.len() as u64)?;
        let (answer, stored) = oneshot::channel();
        self.send(Job::Put { logstore, pack: Box::new(pack), answer }).await?;
        stored.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Searches a logstore. When the caller goes away the scan stops at the next pack.
    pub async fn search(&self, logstore: i64, search: Search) -> Result<Found, StoreError> {
        self.scan(move |scan| search::search(scan, logstore, &search)).await
    }

    /// Lets `work` read packs on a scan thread, when one is free. When the caller goes away the scan stops at the next
    /// pack.
    pub async fn scan<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Scan<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        struct StopOnDrop(Arc<AtomicBool>);
        impl Drop for StopOnDrop {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let started = Instant::now();
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let (answer, done) = oneshot::channel();
        let (files, turns, stopped) = (self.files.clone(), self.threads.turns.clone(), stop.0.clone());
        let task = Box::new(move || {
            let outcome = work(&mut Scan::new(&files, &turns, &stopped));
            // Before the answer: a store that is dropped behind it shall be the last to know its files.
            drop(files);
            drop(permit);
            let _ = answer.send(outcome);
        });
        if !self.threads.run(task) {
            return Err(StoreError::Stopped);
        }
        let outcome = done.await.unwrap_or(Err(StoreError::Stopped));
        self.metrics.search_seconds.record(started.elapsed().as_secs_f64());
        outcome
    }

    /// Makes a project and a logstore where they are not there yet.
    pub async fn ensure(&self, project: &str, logstore: &str) -> Result<(), StoreError> {
        match self.create_project(project, "").await {
            Ok(()) | Err(StoreError::Refused(Refused::ProjectExists(_))) => {}
            Err(error) => return Err(error),
        }
        match self.create_logstore(project, logstore, Settings::default()).await {
            Ok(()) | Err(StoreError::Refused(Refused::LogstoreExists(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub async fn create_project(&self, name: &str, description: &str) -> Result<(), StoreError> {
        let (name, description, now) = (name.to_owned(), description.to_owned(), self.clock.seconds());
        self.change(move |catalog, db| catalog.create_project(db, &name, &description, now)).await
    }

    pub async fn update_project(&self, name: &str, description: &str) -> Result<(), StoreError> {
        let (name, description, now) = (name.to_owned(), description.to_owned(), self.clock.seconds());
        self.change(move |catalog, db| catalog.update_project(db, &name, &description, now)).await
    }

    /// Deletes a project with its logstores and, soon after, their packs.
    pub async fn delete_project(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.change(move |catalog, db| catalog.delete_project(db, &name)).await
    }

    pub async fn create_logstore(
        &self,
        project: &str,
        name: &str,
        settings: Settings,
    ) -> Result<(), StoreError> {
        let (project, name, now) = (project.to_owned(), name.to_owned(), self.clock.seconds());
        self.change(move |catalog, db| catalog.create_logstore(db, &project, &name, settings, now)).await
    }

    pub async fn update_logstore(
        &self,
        project: &str,
        name: &str,
        settings: Settings,
    ) -> Result<(), StoreError> {
        let (project, name, now) = (project.to_owned(), name.to_owned(), self.clock.seconds());
        self.change(move |catalog, db| catalog.update_logstore(db, &project, &name, settings, now)).await
    }

    /// Deletes a logstore at once and its packs soon after.
    pub async fn delete_logstore(&self, project: &str, name: &str) -> Result<(), StoreError> {
        let (project, name) = (project.to_owned(), name.to_owned());
        self.change(move |catalog, db| catalog.delete_logstore(db, &project, &name)).await
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Catalog, &Connection) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, done) = oneshot::channel();
        let (catalog, file) = (self.catalog.clone(), self.catalog_file.clone());
        let job = Job::Change(Box::new(move |connection| {
            let mut catalog = catalog.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            let outcome = change(&mut catalog, connection).map_err(|error| match error {
                ChangeError::Refused(refused) => StoreError::Refused(refused),
                ChangeError::Database(error) => StoreError::database(&file, error),
            });
            let _ = answer.send(outcome);
        }));
        self.send(job).await?;
        done.await.unwrap_or(Err(StoreError::Stopped))
    }

    fn members(&self) -> MutexGuard<'_, HashMap<(i64, String), Members>> {
        self.members.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn admit(&self, bytes: u64) -> Result<(), StoreError> {
        // A pack goes to the WAL first and to the database later.
        let Err(space) = self.space.admit(bytes.saturating_mul(2)) else { return Ok(()) };
        let error = StoreError::Crowded { file: self.dir.clone(), available: space.available };
        if let Some(suppressed) = self.crowded.allow() {
            tracing::warn!(suppressed, "the embedded Log Service refuses records for now: {error}");
            // The WAL may hold space that is nobody's. Whether there is room for the job does not matter.
            if let Some(jobs) = &self.jobs {
                let _ = jobs.try_send(Job::FoldBack);
            }
        }
        Err(error)
    }

    async fn send(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Stopped)?;
        jobs.send(job).await.map_err(|_| StoreError::Stopped)
    }
}

impl Drop for Store {
    /// Waits for the writer to finish what was handed to it.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        // The last connections fold the WALs back into the files.
        self.files.close_idle();
    }
}

fn lock(dir: &Path) -> Result<std::fs::File, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = dir.join("lock");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(private::PRIVATE)
        .open(&path)
        .map_err(|cause| StoreError::Path { path: path.clone(), cause })?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
            Err(StoreError::InUse { path: dir.to_owned() })
        }
        Err(error) => Err(StoreError::Path { path, cause: error.into() }),
    }
}

#[cfg(test)]
mod tests;
