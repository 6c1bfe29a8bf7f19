//! The logs of containers as Docker Engine keeps them on this machine: the files of its json-file and local drivers.
//!
//! ```text
//! <data_root>/containers/<id>/config.v2.json, hostconfig.json         name, image, labels | which driver
//!                            /<id>-json.log    .1  .2.gz ...          json-file
//!                            /local-logs/container.log  .1.gz ...     local
//! ```
//!
//! A scan finds containers; each has a task ([`container`]) with a reader ([`reader`]) over its chain of files
//! ([`crate::input::follow`]). Containers that come after the first start are read from their beginning; `start` is about
//! those that were there before the gateway ever ran. Those of other drivers are left alone: their lines come another way.
//!
//! Nothing is written under the engine's directory, which may be mounted read-only.

mod container;
pub mod json_lines;
pub mod local_entries;
pub mod metadata;
mod reader;
mod sink;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Gauge, gauge};
use crate::base::shutdown::Stop;
use crate::config::plan::{DockerPlan, Start};
use crate::input::Intake;
use crate::input::follow::OpenFiles;
use crate::input::follow::chain::Losses;
use crate::input::follow::hints::Hints;
use crate::input::follow::tally::Tally as ReadTally;
use crate::input::positions::Positions;
use metadata::Driver;
use reader::{First, Reader};

/// Files held open beyond those being read, where nobody says how many.
const OPEN_FILES: usize = 1_024;
/// Containers read at the same moment: more would only wait for the processor.
const TURNS: usize = 4;
/// A new container's directory fills within moments: how soon, and for how long, it is looked at again.
const YOUNG: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

static UNREADABLE: LogLimit = LogLimit::new(Duration::from_secs(60));

/// What the containers of an input share.
pub(super) struct Shared {
    name: Arc<str>,
    plan: DockerPlan,
    intake: Arc<Intake>,
    positions: Arc<Positions>,
    hints: Hints,
    turns: Semaphore,
    open: OpenFiles,
    losses: Losses,
    tally: Tally,
    /// Bytes in unfinished lines.
    waiting: Arc<AtomicUsize>,
}

struct Tally {
    read: ReadTally,
    containers: Gauge,
}

impl Tally {
    fn new(input: &str) -> Tally {
        let read = [
            ("sluicegate_docker_files_joined_total", "Lines put together of pieces."),
            (
                "sluicegate_docker_files_malformed_total",
                "Lines that the json-file driver cannot have written; their text is kept as it stands.",
            ),
            (
                "sluicegate_docker_files_skipped_bytes_total",
                "Bytes that hold no line: runs of NULs, and damage in files of the local driver.",
            ),
        ];
        Tally {
            read: ReadTally::new(input, read),
            containers: gauge(
                "sluicegate_docker_files_containers",
                "Containers that are followed.",
                &[("input", input)],
            ),
        }
    }
}

impl Shared {
    /// Where a container's position is kept.
    fn key(&self, id: &str) -> Bytes {
        Bytes::from(format!("{}{id}", self.prefix()))
    }

    /// Of all keys of this input; by itself the key of the note that it ran before. Names hold no blank.
    fn prefix(&self) -> String {
        format!("docker {} ", self.name)
    }
}

/// The input.
pub struct DockerFiles {
    name: Arc<str>,
    plan: DockerPlan,
    intake: Arc<Intake>,
    positions: Arc<Positions>,
    open_files: usize,
}

/// A container that was met.
enum Known {
    Followed(JoinHandle<()>),
    /// Another driver's.
    Ignored,
    /// Not described yet, since then.
    Young(Instant),
}

impl DockerFiles {
    pub fn new(name: &str, plan: DockerPlan, intake: Arc<Intake>, positions: Arc<Positions>) -> DockerFiles {
        DockerFiles { name: name.into(), plan, intake, positions, open_files: OPEN_FILES }
    }

    /// Files held open beyond those being read.
    pub fn with_open_files(self, open_files: usize) -> DockerFiles {
        DockerFiles { open_files, ..self }
    }

    /// Follows all containers until the gateway stops. Their tasks are among `stop.tasks`.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let labels = [("input", &*self.name)];
        let open = gauge("sluicegate_files_open", "Files held open.", &labels);
        let shared = Arc::new(Shared {
            name: self.name.clone(),
            plan: self.plan.clone(),
            intake: self.intake.clone(),
            positions: self.positions.clone(),
            hints: Hints::new(),
            turns: Semaphore::new(TURNS),
            open: OpenFiles::new(self.open_files, open),
            losses: Losses::new(&self.name),
            tally: Tally::new(&self.name),
            waiting: Arc::default(),
        });
        let scanning = async {
            let mut scan = Scan::new(shared.clone(), stop.clone());
            let waker = Arc::new(Notify::new());
            loop {
                shared.hints.always(&scan.root, &waker);
                let next = scan.look();
                let _ = timeout(next, waker.notified()).await;
                // An engine that starts many containers makes many directories at once.
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = stop.draining.cancelled() => {}
            () = scanning => {}
            () = shared.hints.run() => {}
        }
    }
}

/// The containers, as the scans find them.
struct Scan {
    root: PathBuf,
    shared: Arc<Shared>,
    stop: Stop,
    known: HashMap<String, Known>,
    /// Nothing of this input was ever stored, and this is its first scan.
    from_end: bool,
    is_first: bool,
}

impl Scan {
    fn new(shared: Arc<Shared>, stop: Stop) -> Scan {
        let prefix = shared.prefix();
        let ran_before = !shared.positions.keys(prefix.as_bytes()).is_empty();
        Scan {
            root: shared.plan.data_root.join("containers"),
            from_end: !ran_before && shared.plan.start == Start::End,
            is_first: true,
            known: HashMap::new(),
            shared,
            stop,
        }
    }

    /// Looks at all containers; gives the time until it should be done again.
    fn look(&mut self) -> Duration {
        let scan_interval = self.shared.plan.scan_interval;
        let found = match containers(&self.root) {
            Ok(found) => found,
            Err(error) => {
                if let Some(suppressed) = UNREADABLE.allow() {
                    tracing::warn!(
                        dir = %self.root.display(), %error, suppressed,
                        "Docker's containers cannot be listed; set data_root to the engine's data directory, and let the gateway read it"
                    );
                }
                return scan_interval;
            }
        };
        // A task that has ended is begun again if its container is still there.
        self.known.retain(|id, known| match known {
            Known::Followed(task) => !task.is_finished(),
            Known::Ignored | Known::Young(_) => found.contains(id),
        });
        let mut next = scan_interval;
        for id in &found {
            if matches!(self.known.get(id), Some(Known::Followed(_) | Known::Ignored)) {
                continue;
            }
            let dir = self.root.join(id);
            let known = match metadata::driver(&dir) {
                Some(Driver::Other) => Known::Ignored,
                Some(driver) => Known::Followed(self.follow(dir, id, driver)),
                None => {
                    let since = match self.known.get(id) {
                        Some(Known::Young(since)) => *since,
                        _ => Instant::now(),
                    };
                    if since.elapsed() < YOUNG.1 {
                        next = next.min(YOUNG.0);
                    }
                    Known::Young(since)
                }
            };
            self.known.insert(id.clone(), known);
        }
        if std::mem::take(&mut self.is_first) {
            self.note_first(&found);
        }
        let followed = self.known.values().filter(|known| matches!(known, Known::Followed(_))).count();
        self.shared.tally.containers.set(followed as f64);
        next
    }

    fn follow(&self, dir: PathBuf, id: &str, driver: Driver) -> JoinHandle<()> {
        tracing::debug!(container = id, ?driver, "a container is followed");
        let reader = Box::new(Reader::new(self.shared.clone(), dir, id, driver));
        self.stop.tasks.spawn(container::follow(
            self.shared.clone(),
            reader,
            match self.is_first {
                true if self.from_end => First::FromEnd,
                true => First::All,
                false => First::New,
            },
            self.stop.clone(),
        ))
    }

    /// Takes note that this input ran, and forgets containers that went while it did not.
    fn note_first(&self, found: &[String]) {
        let positions = &self.shared.positions;
        let prefix = Bytes::from(self.shared.prefix());
        for key in positions.keys(&prefix) {
            let id = &key[prefix.len()..];
            if !id.is_empty() && found.iter().all(|found| found.as_bytes() != id) {
                positions.forget(&key);
            }
        }
        if positions.get(&prefix).is_none() {
            positions.store(&prefix, Bytes::from_static(&[1]));
        }
    }
}

/// The ids of all containers.
fn containers(root: &Path) -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(root)? {
        if let Ok(name) = entry?.file_name().into_string()
            && metadata::is_id(&name)
        {
            ids.push(name);
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests;
