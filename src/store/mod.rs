//! The embedded Log Service's memory: projects and logstores in one SQLite file, packs in others, and the scans over
//! them.
//!
//! ```text
//! DIR/catalog.db            projects, logstores and what belongs to them
//! DIR/packs/30d-START.db    packs that are kept 30 days and arrived in the day of START ...
//!
//! put  -> bounded channel -> writer thread -> one transaction for all that wait -> COMMIT -> answers
//! scan -> a permit -> scan thread -> packs in order of time, or in any -> a visitor -> rows, sums
//! keeper -> expired files go, packs get their filters
//! ```
//!
//! Invariants: a `put` that returned `Ok` is on the disk; packs are kept as they came and never changed; a scan
//! holds one inflated pack at a time and thread; what a client asks wrongly is [`Refused`], what the machine lacks is another
//! [`StoreError`].

mod access_key;
mod analyse;
pub mod analytics;
mod bounds;
mod catalog;
mod changes;
pub mod collection;
mod consumer_groups;
mod consumers;
mod context;
mod error;
mod files;
mod histogram;
mod index;
mod keeper;
mod metrics;
mod pack;
mod partition;
mod pull;
pub mod query;
mod rows;
pub mod scan;
mod schema;
mod search;
pub mod shards;
mod threads;
mod topics;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

pub use access_key::{AccessKey, FILE_NAME as ACCESS_KEY_FILE};
pub use analyse::{Analyse, Analysed};
pub use bounds::OnFull;
pub use catalog::{Catalog, Checkpoint, ConsumerGroup, GroupPlace, Logstore, Place, Project, Settings};
pub use context::{Anchor, Context, LINES as CONTEXT_LINES};
pub use error::{Refused, StoreError};
pub use files::{PackFile, Reader};
pub use histogram::{Count, PIECES, Piece, width};
pub use index::{Index, Indexed, JsonKeys, Key, Kind, Line};
pub use pack::Pack;
pub use partition::Slice;
pub use pull::{From, PULL_BYTES, Pull, Pulled, cursor_of, cursor_text, hash_key};
pub use rows::{Extras, Row};
pub use search::{ANSWER_BYTES, Found, OFFSET, Search};

use crate::base::clock::Clock;
use crate::base::file as private;
use crate::base::log_limit::LogLimit;
use bounds::Bounds;
use consumers::Members;
use files::Files;
use keeper::{Keeper, Stop};
use metrics::Metrics;
use scan::Scan;
use threads::{ANALYSES, LONG, SCANS, Threads};
use writer::{Committed, Job, Writer};

/// How often a crowded file system is worth a line.
const CROWDED_LOG: Duration = Duration::from_secs(60);
/// How often, and after which pause, room is asked for again while dropped files are still being read.
const MAKE_ROOM: usize = 100;
const LEAVING: Duration = Duration::from_millis(50);
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
    keeper: Option<std::thread::JoinHandle<()>>,
    stop: Arc<Stop>,
    files: Arc<Files>,
    threads: Threads,
    permits: Arc<Semaphore>,
    /// Taken before one of `permits`.
    long: Arc<Semaphore>,
    analyses: Arc<Semaphore>,
    clock: Clock,
    committed: Committed,
    /// Who reads in which consumer group; lost at a stop, and consumers come again.
    members: Mutex<HashMap<(i64, String), Members>>,
    /// Who sent heartbeats; lost at a stop, and agents send the next one.
    machines: Mutex<collection::Machines>,
    started: Instant,
    metrics: Metrics,
    bounds: Arc<Bounds>,
    crowded: LogLimit,
    // Held as long as the store: one gateway per directory.
    _lock: std::fs::File,
}

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// By which packs arrive and age.
    pub clock: Clock,
    /// All files together; `None`: as much as the file system gives, but for its last tenth, 2 GiB at most.
    pub max_bytes: Option<u64>,
    pub on_full: OnFull,
}

impl Default for Options {
    fn default() -> Self {
        Options { clock: Clock::real(), max_bytes: None, on_full: OnFull::Refuse }
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
        let bounds = Arc::new(Bounds::new(dir, options.max_bytes, options.on_full).map_err(at(dir))?);
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
            bounds.clone(),
            committed.clone(),
        )?;
        let threads = Threads::start().map_err(at(dir))?;
        let stop = Arc::new(Stop::default());
        let keeper = Keeper {
            files: files.clone(),
            turns: threads.turns.clone(),
            jobs: jobs.clone(),
            stop: stop.clone(),
            done: HashMap::new(),
        };
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run).map_err(at(dir))
        };
        let writer = start("store-writer", Box::new(move || writer.run(waiting)))?;
        let keeper = start("store-keeper", Box::new(move || keeper.run()))?;
        Ok(Store {
            dir: dir.to_owned(),
            catalog_file,
            key,
            catalog,
            jobs: Some(jobs),
            writer: Some(writer),
            keeper: Some(keeper),
            stop,
            files,
            threads,
            permits: Arc::new(Semaphore::new(SCANS)),
            long: Arc::new(Semaphore::new(LONG)),
            analyses: Arc::new(Semaphore::new(ANALYSES)),
            clock: options.clock,
            committed,
            members: Mutex::default(),
            machines: Mutex::default(),
            started: Instant::now(),
            metrics,
            bounds,
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

    /// Stores a pack; `Ok` when it is on the disk. Where there is no room it is refused, or the oldest logs go, by
    /// [`Options::on_full`].
    pub async fn put(&self, logstore: i64, pack: Pack) -> Result<(), StoreError> {
        self.put_all(logstore, vec![pack]).await
    }

    /// Stores packs, all of them or none, in their order.
    pub async fn put_all(&self, logstore: i64, packs: Vec<Pack>) -> Result<(), StoreError> {
        if packs.is_empty() {
            return Ok(());
        }
        self.admit(packs.iter().map(|pack| pack.body.len() as u64).sum()).await?;
        let (answer, stored) = oneshot::channel();
        self.send(Job::Put { logstore, packs, answer }).await?;
        stored.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Searches a logstore. When the caller goes away the scan stops at the next pack.
    pub async fn search(&self, logstore: i64, search: Search) -> Result<Found, StoreError> {
        self.long_scan(move |scan| search::search(scan, logstore, &search)).await
    }

    /// As [`scan`](Store::scan), for what may take long: some threads are left for what does not.
    pub(crate) async fn long_scan<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Scan<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = self.long.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        // It goes with the work: that may go on for a moment when nobody waits for it any more.
        self.scan(move |scan| {
            let _permit = permit;
            work(scan)
        })
        .await
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
        let metrics = self.metrics.clone();
        let task = Box::new(move || {
            let mut scan = Scan::new(&files, &turns, &stopped);
            let outcome = work(&mut scan);
            metrics.scanned.increment(scan.scanned.packs);
            metrics.spared.increment(scan.scanned.spared);
            metrics.broken.increment(scan.scanned.broken);
            drop(scan);
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

    fn members(&self) -> MutexGuard<'_, HashMap<(i64, String), Members>> {
        self.members.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn admit(&self, bytes: u64) -> Result<(), StoreError> {
        let Err(mut error) = self.bounds.admit(bytes) else { return Ok(()) };
        // Nothing is dropped for what would not fit into an empty store.
        let may_fit = !matches!(error, StoreError::AtLimit { max, .. } if bytes > max);
        if self.bounds.on_full == OnFull::DropOldest && may_fit {
            for _ in 0..MAKE_ROOM {
                let (done, made) = oneshot::channel();
                self.send(Job::MakeRoom(bytes, done)).await?;
                let may_help = made.await.unwrap_or(false);
                match self.bounds.admit(bytes) {
                    Ok(()) => return Ok(()),
                    Err(again) => error = again,
                }
                // The writer's word, and not a look at what leaves now: a file may have left, or others may have taken
                // the room, since it measured.
                if !may_help {
                    break;
                }
                if self.files.leaving() > 0 {
                    tokio::time::sleep(LEAVING).await;
                }
            }
        }
        if let Some(suppressed) = self.crowded.allow() {
            tracing::warn!(suppressed, "the embedded Log Service refuses records for now: {error}");
            // WALs may hold space that is nobody's. Whether there is room for the job does not matter.
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
        self.stop.stop();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
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
