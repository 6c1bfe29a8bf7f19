//! The embedded Log Service's memory: projects, logstores and packs in one SQLite file, and the search over them.
//!
//! ```text
//! put -> bounded channel -> writer thread -> one transaction for all that wait -> COMMIT -> answers
//! get -> a permit -> blocking thread with a reading connection -> packs in order of time -> rows
//! ```
//!
//! Invariants: a `put` that returned `Ok` is on the disk; packs are kept as they came and never changed; a search
//! holds one inflated pack at a time; what a client asks wrongly is [`Refused`], what the machine lacks is another
//! [`StoreError`].

mod access_key;
mod catalog;
mod error;
mod pack;
pub mod query;
mod schema;
mod search;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use access_key::{AccessKey, FILE_NAME as ACCESS_KEY_FILE};
pub use catalog::{Catalog, Logstore, Project, Settings};
pub use error::{Refused, StoreError};
pub use pack::Pack;
pub use search::{ANSWER_BYTES, Found, OFFSET, Row, Search};

use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use crate::base::{disk, file as files};
use crate::record::Timestamp;
use catalog::ChangeError;
use writer::{Answer, Job, Writer};

/// How often a crowded file system is worth a line.
const CROWDED_LOG: Duration = Duration::from_secs(60);
/// Packs that wait for the writer; the bytes they hold are bounded by who hands them over.
const WAITING: usize = 256;

pub struct Store {
    file: PathBuf,
    key: AccessKey,
    catalog: Arc<RwLock<Catalog>>,
    /// Taken when the store closes.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<std::thread::JoinHandle<()>>,
    readers: Arc<Readers>,
    metrics: Metrics,
    space: disk::Watch,
    crowded: LogLimit,
    // Held as long as the store: one gateway per directory.
    _lock: std::fs::File,
}

struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
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
            file_bytes: gauge(
                "sluicegate_store_file_bytes",
                "Size of the embedded Log Service's database",
                &[],
            ),
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

    fn stored(&self, packs: usize, logs: usize, raw: usize, packed: usize) {
        self.packs.increment(packs as u64);
        self.logs.increment(logs as u64);
        self.raw_bytes.increment(raw as u64);
        self.packed_bytes.increment(packed as u64);
    }
}

impl Store {
    /// Opens the store of a directory, which is made when it is not there. Blocks; call it before serving.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |cause| StoreError::Path { path, cause }
        };
        files::own_private_dir(dir).map_err(at(dir))?;
        let lock = lock(dir)?;
        let space = disk::Watch::new(std::fs::File::open(dir).map_err(at(dir))?);
        let key = AccessKey::load_or_make(dir)?;
        let file = dir.join(schema::FILE_NAME);
        let connection = schema::open_writer(&file)?;
        let catalog = Catalog::load(&connection).map_err(|cause| StoreError::database(&file, cause))?;
        let catalog = Arc::new(RwLock::new(catalog));
        let (jobs, waiting) = mpsc::channel(WAITING);
        let metrics = Metrics::new();
        let writer =
            Writer { file: file.clone(), connection, catalog: catalog.clone(), metrics: metrics.clone() };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(waiting))
            .map_err(at(dir))?;
        // A core stays free for what comes in.
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let readers = Arc::new(Readers {
            file: file.clone(),
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))),
        });
        Ok(Store {
            file,
            key,
            catalog,
            jobs: Some(jobs),
            writer: Some(thread),
            readers,
            metrics,
            space,
            crowded: LogLimit::new(CROWDED_LOG),
            _lock: lock,
        })
    }

    pub fn access_key(&self) -> &AccessKey {
        &self.key
    }

    /// The database file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Projects and logstores as they are now. Hold it for a moment only.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Stores a pack; `Ok` when it is on the disk. [`StoreError::Crowded`] in the last tenth of the file system: what is
    /// left there is needed to delete something.
    pub async fn put(&self, logstore: i64, pack: Pack) -> Result<(), StoreError> {
        self.put_all(logstore, vec![pack]).await
    }

    /// Stores packs, all of them or none, in their order.
    pub async fn put_all(&self, logstore: i64, packs: Vec<Pack>) -> Result<(), StoreError> {
        if packs.is_empty() {
            return Ok(());
        }
        self.admit(packs.iter().map(|pack| pack.body.len() as u64).sum())?;
        let (answer, stored) = oneshot::channel();
        self.send(Job::Put { logstore, packs, answer }).await?;
        stored.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Searches a logstore. When the caller goes away the scan stops at the next pack.
    pub async fn search(&self, logstore: i64, search: Search) -> Result<Found, StoreError> {
        struct StopOnDrop(Arc<AtomicBool>);
        impl Drop for StopOnDrop {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let started = Instant::now();
        let permit = self.readers.permits.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let readers = self.readers.clone();
        let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let stopped = stop.0.clone();
        let scan = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.with(|connection| search::search(connection, logstore, &search, &stopped))?
        });
        let found = scan.await.unwrap_or(Err(StoreError::Stopped));
        drop(stop);
        self.metrics.search_seconds.record(started.elapsed().as_secs_f64());
        found
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
        let (name, description) = (name.to_owned(), description.to_owned());
        self.change(move |catalog, db| catalog.create_project(db, &name, &description, seconds_now())).await
    }

    pub async fn update_project(&self, name: &str, description: &str) -> Result<(), StoreError> {
        let (name, description) = (name.to_owned(), description.to_owned());
        self.change(move |catalog, db| catalog.update_project(db, &name, &description, seconds_now())).await
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
        let (project, name) = (project.to_owned(), name.to_owned());
        self.change(move |catalog, db| catalog.create_logstore(db, &project, &name, settings, seconds_now()))
            .await
    }

    pub async fn update_logstore(
        &self,
        project: &str,
        name: &str,
        settings: Settings,
    ) -> Result<(), StoreError> {
        let (project, name) = (project.to_owned(), name.to_owned());
        self.change(move |catalog, db| catalog.update_logstore(db, &project, &name, settings, seconds_now()))
            .await
    }

    /// Deletes a logstore at once and its packs soon after.
    pub async fn delete_logstore(&self, project: &str, name: &str) -> Result<(), StoreError> {
        let (project, name) = (project.to_owned(), name.to_owned());
        self.change(move |catalog, db| catalog.delete_logstore(db, &project, &name)).await
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut Catalog, &Connection) -> Result<(), ChangeError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (answer, done): (Answer, _) = oneshot::channel();
        let (catalog, file) = (self.catalog.clone(), self.file.clone());
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

    fn admit(&self, bytes: u64) -> Result<(), StoreError> {
        // A pack goes to the WAL first and to the database later.
        let Err(space) = self.space.admit(bytes.saturating_mul(2)) else { return Ok(()) };
        let error = StoreError::Crowded { file: self.file.clone(), available: space.available };
        if let Some(suppressed) = self.crowded.allow() {
            tracing::warn!(suppressed, "the embedded Log Service refuses records for now: {error}");
            // The WAL may hold space that is nobody's. Whether there is room for the job does not matter.
            if let Some(jobs) = &self.jobs {
                let _ = jobs.try_send(Job::Change(Box::new(|connection| schema::fold_back(connection))));
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
        // The writer's connection shall be the last one, which folds the WAL back into the database.
        self.readers.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Readers {
    fn with<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&self.file)?,
        };
        let done = read(&connection).map_err(|cause| StoreError::database(&self.file, cause))?;
        // A connection that failed is closed; there are never more of them than permits.
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(connection);
        Ok(done)
    }
}

fn lock(dir: &Path) -> Result<std::fs::File, StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = dir.join("lock");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(files::PRIVATE)
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

fn seconds_now() -> i64 {
    Timestamp::now().seconds
}

#[cfg(test)]
mod tests;
