//! The Docker logging plugin: `docker run --log-driver=NAME`, with no network between the engine and the gateway.
//!
//! ```text
//! dockerd -- StartLogging, StopLogging, ReadLogs over a Unix socket --> rpc
//!    |                                                                   | what is known of the container
//!    |                                                                   v
//!    `-- FIFO per container: entries --> follow: look, store, take --> Intake
//!                                           `--> copies, which `docker logs` reads
//! ```
//!
//! * Every call is answered at once and waits for nothing but this machine's disk, save a StopLogging while a buffer is
//!   full: the engine removes the FIFO as soon as it is answered, so what is in it is stored first, if that goes.
//! * StartLogging is answered when what it told is on the disk: the engine never repeats it. A start opens all FIFOs again.
//! * Entries leave the FIFO when they are stored. A killed gateway loses none and stores none twice; meanwhile containers
//!   run on until their FIFO is full.
//! * One task reads a FIFO, so the lines of a container keep their order.
//!
//! [`container`]: what is known, from options and [`tag`] templates. [`states`]: where it is kept. [`fifo`], [`frames`] and
//! [`records`]: from bytes to records. [`follow`]: the task. [`copies`]: for `docker logs`. [`rpc`]: the socket.

pub mod container;
pub mod copies;
pub mod fifo;
mod follow;
pub mod frames;
pub mod records;
mod rpc;
mod states;
pub mod tag;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::positions::Positions;
use super::{Intake, Stop};
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, Gauge, counter, gauge};
use crate::config::plan::DockerPluginPlan;
use container::{Container, Info, Refused};
use copies::Copies;
use fifo::{Fifo, FifoError, Pipes};
use follow::{End, FollowError, Follower};
use states::States;

/// The copies for `docker logs` lie beside the state directory, whose name has this at its end. No input is called so.
const COPIES: &str = ".logs";
/// How often copies that are not needed any more are looked for.
const SWEEP: Duration = Duration::from_secs(600);
/// After a failure to read a FIFO it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// So long a StopLogging waits for room in a full buffer. A managed plugin has 30 s for a call.
const EMPTYING: Duration = Duration::from_secs(10);
/// Longest path of a FIFO; the kernel's own bound.
const PATH_BYTES: usize = 4096;

/// Why the plugin cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "this kernel does not let the plugin look into a FIFO without taking from it ({0}), so a crash would lose lines; \
         use another log driver, such as fluentd over a Unix socket"
    )]
    Tee(io::Error),
    #[error("cannot {what} in {}: {error}; the gateway must be able to write there", dir.display())]
    Directory { what: &'static str, dir: PathBuf, error: io::Error },
}

/// Why a container's output cannot be read. The engine shows it to who starts the container.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0:?} is no absolute path of a FIFO")]
    Path(PathBuf),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Fifo(#[from] FifoError),
    #[error("cannot keep what is known of the container: {0}")]
    State(io::Error),
}

pub struct DockerPlugin {
    name: Arc<str>,
    plan: DockerPluginPlan,
    intake: Arc<Intake>,
    positions: Arc<Positions>,
    states: Arc<States>,
    /// Absent when `docker logs` is not to work.
    copies: Option<Arc<Copies>>,
    pipes: Pipes,
    /// Found at the start, to be read again.
    found: Mutex<Vec<Container>>,
    /// FIFOs that are read.
    active: Mutex<HashMap<PathBuf, Active>>,
    metrics: Metrics,
    damage: LogLimit,
    copying: LogLimit,
    failing: LogLimit,
    refusing: LogLimit,
}

#[derive(Clone, Default)]
struct Active {
    /// Cancelled when the engine says that it writes no more.
    stopped: CancellationToken,
    /// Cancelled when nobody reads it any more.
    ended: CancellationToken,
}

struct Metrics {
    containers: Gauge,
    records: Counter,
    bytes: Counter,
    skipped: Counter,
    stored_before: Counter,
    copy_failures: Counter,
}

impl DockerPlugin {
    /// Reads what an earlier run knew. `state_dir` is the input's own; copies for `docker logs` lie beside it. Blocking.
    pub fn open(
        name: &str,
        plan: DockerPluginPlan,
        intake: Arc<Intake>,
        positions: Arc<Positions>,
        state_dir: &Path,
    ) -> Result<DockerPlugin, OpenError> {
        let failed = |what, dir: &Path| {
            let dir = dir.to_owned();
            move |error| OpenError::Directory { what, dir, error }
        };
        let pipes = Pipes::new().map_err(OpenError::Tee)?;
        let states =
            States::open(state_dir).map_err(failed("keep what is known of containers", state_dir))?;
        let found = states.load().map_err(failed("read what is known of containers", state_dir))?;
        let copies = if plan.read_logs_bytes > 0 {
            let mut dir = state_dir.as_os_str().to_owned();
            dir.push(COPIES);
            let dir = PathBuf::from(dir);
            let copies = Copies::open(dir.clone(), plan.read_logs_bytes);
            Some(Arc::new(copies.map_err(failed("keep what docker logs reads", &dir))?))
        } else {
            None
        };
        follow::forget_others(name, &positions, &found);
        Ok(DockerPlugin {
            metrics: Metrics::new(name),
            name: name.into(),
            plan,
            intake,
            positions,
            states: Arc::new(states),
            copies,
            pipes,
            found: Mutex::new(found),
            active: Mutex::default(),
            damage: LogLimit::new(Duration::from_secs(30)),
            copying: LogLimit::new(Duration::from_secs(60)),
            failing: LogLimit::new(Duration::from_secs(30)),
            refusing: LogLimit::new(Duration::from_secs(10)),
        })
    }

    /// Reads all FIFOs that are known and answers the engine until the stop. FIFOs are read by tasks of `stop`.
    pub async fn run(self: Arc<Self>, listener: UnixListener, stop: Stop) {
        let found = std::mem::take(&mut *lock(&self.found));
        for container in found {
            self.resume(container, &stop).await;
        }
        let sweeping = stop.tasks.spawn(self.clone().sweep(stop.draining.clone()));
        rpc::serve(&self, listener, &stop).await;
        // It ends with the same stop.
        let _ = sweeping.await;
    }

    /// Reads a FIFO again after a restart.
    async fn resume(self: &Arc<Self>, container: Container, stop: &Stop) {
        if let Some(container) = self.try_resume(container, stop).await {
            let (plugin, stop) = (self.clone(), stop.clone());
            stop.tasks.clone().spawn(async move {
                let mut left = Some(container);
                while let Some(container) = left.take() {
                    tokio::select! {
                        () = stop.draining.cancelled() => return,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                    left = plugin.try_resume(container, &stop).await;
                }
            });
        }
    }

    /// Gives the container back when it is to be tried again.
    async fn try_resume(self: &Arc<Self>, container: Container, stop: &Stop) -> Option<Container> {
        match Fifo::open(&container.file, &self.pipes) {
            Ok(fifo) => {
                let active = Active::default();
                lock(&self.active).insert(container.file.clone(), active.clone());
                self.follow(container, fifo, active, false, stop);
            }
            Err(FifoError::Open { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                tracing::info!(container = %container.name, "a container ended while the gateway was away");
                self.forget(&container).await;
            }
            Err(error) => {
                if let Some(suppressed) = self.failing.allow() {
                    tracing::error!(container = %container.name, suppressed,
                        "a container's output cannot be read and is tried again: {error}");
                }
                return Some(container);
            }
        }
        None
    }

    /// StartLogging: begins to read a container's FIFO. The same FIFO again changes nothing.
    async fn start(self: Arc<Self>, file: PathBuf, info: Info, stop: Stop) -> Result<(), StartError> {
        if !file.is_absolute() || file.as_os_str().len() > PATH_BYTES {
            return Err(StartError::Path(file));
        }
        let new = Active::default();
        {
            let mut active = lock(&self.active);
            if active.contains_key(&file) {
                return Ok(());
            }
            active.insert(file.clone(), new.clone());
        }
        let started = self.begin(&file, &info).await;
        match started {
            Ok((container, fifo)) => {
                tracing::debug!(container = %container.name, tag = %container.tag, "a container's output is read");
                self.follow(container, fifo, new, true, &stop);
                Ok(())
            }
            Err(error) => {
                lock(&self.active).remove(&file);
                new.ended.cancel();
                if let Some(suppressed) = self.refusing.allow() {
                    tracing::warn!(container = %info.container_id, suppressed, "a container is refused: {error}");
                }
                Err(error)
            }
        }
    }

    async fn begin(&self, file: &Path, info: &Info) -> Result<(Container, Fifo), StartError> {
        let container = Container::new(file.to_owned(), info, &self.plan.tag)?;
        let fifo = Fifo::open(file, &self.pipes)?;
        let (states, kept) = (self.states.clone(), container.clone());
        let saved = tokio::task::spawn_blocking(move || states.save(&kept)).await;
        saved.map_err(io::Error::other).flatten().map_err(StartError::State)?;
        Ok((container, fifo))
    }

    /// StopLogging: the engine writes no more into this FIFO, and removes it when that is answered. Returns when all of it
    /// is stored; false when the gateway stops and has left something in it.
    async fn stop(&self, file: &Path) -> bool {
        let active = lock(&self.active).get(file).cloned();
        if let Some(Active { stopped, ended }) = active {
            stopped.cancel();
            if tokio::time::timeout(EMPTYING, ended.cancelled()).await.is_err() {
                if let Some(suppressed) = self.failing.allow() {
                    tracing::warn!(fifo = %file.display(), suppressed,
                        "a container has ended and its last lines wait for room in a full buffer; a gateway that is \
                         killed now loses them");
                }
                return true;
            }
        }
        !self.states.has(file)
    }

    fn follow(
        self: &Arc<Self>,
        container: Container,
        fifo: Fifo,
        Active { stopped, ended }: Active,
        is_new: bool,
        stop: &Stop,
    ) {
        let (plugin, draining) = (self.clone(), stop.draining.clone());
        // Made here, so that a `docker logs -f` which follows the start finds somebody who writes.
        let follower = Follower::new(self.clone(), container.clone(), fifo, stopped.clone());
        stop.tasks.spawn(async move {
            let _ended = ended.drop_guard();
            plugin.metrics.containers.increment(1.0);
            if plugin.read_to_end(follower, &container, is_new, &draining).await == End::Finished {
                if !stopped.is_cancelled() {
                    plugin.remove_orphan(&container.file).await;
                }
                plugin.forget(&container).await;
            }
            lock(&plugin.active).remove(&container.file);
            plugin.metrics.containers.decrement(1.0);
        });
    }

    async fn read_to_end(
        &self,
        mut follower: Follower,
        container: &Container,
        mut is_new: bool,
        draining: &CancellationToken,
    ) -> End {
        loop {
            let error = match follower.follow(is_new, draining).await {
                Ok(end) => return end,
                // The gateway ends; what was not stored is still in the FIFO.
                Err(FollowError::NotStored(_)) if draining.is_cancelled() => return End::Left,
                Err(error) => error,
            };
            if let Some(suppressed) = self.failing.allow() {
                tracing::error!(container = %container.name, suppressed,
                    "a container's output cannot be read and is tried again: {error}");
            }
            is_new = false;
            tokio::select! {
                () = draining.cancelled() => return End::Left,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// A FIFO whose engine died before it could remove it: nobody writes into it again.
    async fn remove_orphan(&self, file: &Path) {
        let file = file.to_owned();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(file)).await;
        if let Ok(Err(error)) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "a FIFO that nobody needs stays where it is");
        }
    }

    /// All of a FIFO is stored: nothing of it need be known any more.
    async fn forget(&self, container: &Container) {
        let (states, file) = (self.states.clone(), container.file.clone());
        let removed = tokio::task::spawn_blocking(move || states.remove(&file)).await;
        if let Err(error) = removed.map_err(io::Error::other).flatten() {
            tracing::warn!(container = %container.name, %error, "what was kept of a container cannot be removed");
        }
        self.positions.forget(&follow::position_key(&self.name, container));
    }

    async fn sweep(self: Arc<Self>, draining: CancellationToken) {
        let Some(copies) = self.copies.clone() else { return };
        loop {
            let copies = copies.clone();
            let swept = tokio::task::spawn_blocking(move || copies.sweep(SystemTime::now())).await;
            if let Err(error) = swept.map_err(io::Error::other).flatten() {
                tracing::warn!(%error, "old copies for docker logs cannot be removed");
            }
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }
}

impl Metrics {
    fn new(input: &str) -> Metrics {
        let labels = [("input", input)];
        Metrics {
            containers: gauge(
                "sluicegate_docker_plugin_containers",
                "Containers whose FIFO is read.",
                &labels,
            ),
            records: counter("sluicegate_received_records_total", "Records decoded.", &labels),
            bytes: counter("sluicegate_received_bytes_total", "Bytes read from peers.", &labels),
            skipped: counter(
                "sluicegate_docker_plugin_skipped_bytes_total",
                "Bytes in containers' FIFOs that are no log entries.",
                &labels,
            ),
            stored_before: counter(
                "sluicegate_docker_plugin_stored_before_bytes_total",
                "Bytes found in FIFOs after a restart that had been stored already.",
                &labels,
            ),
            copy_failures: counter(
                "sluicegate_docker_plugin_copy_failures_total",
                "Failures to write the copy that docker logs reads.",
                &labels,
            ),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
