//! Files that others write: found by patterns of their paths, followed over rotation, read into records.
//!
//! ```text
//! walks, hints of the kernel  [scan]  ->  [table]: an entry for each file, which rests or is followed
//!                                             |
//!   who reads which file: [contents]      [follow]: a task  ->  [reader]: blocks, [cut] into records  ->  [sink]
//!                                                                  `- over the chain of its rotations ([crate::input::follow])
//! ```
//!
//! Walks are the truth and hints make it sooner, so that volumes without hints work. How far a file is read is stored in the
//! commit of its records ([`crate::input::positions`]): neither lost nor doubled by a crash. `start` is about files that were
//! there before the input ever ran; what comes later is read from its beginning.
//!
//! Nothing is written beside the files, which may be mounted read-only.

mod contents;
pub mod cut;
pub mod discover;
mod follow;
mod kubernetes;
mod looks;
pub mod pod;
mod rate;
mod reader;
mod scan;
mod sink;
mod start;
mod table;
mod tags;
mod topic;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::base::metrics::{Counter, Gauge, counter, gauge};
use crate::base::shutdown::Stop;
use crate::config::path_pattern::PathPattern;
use crate::config::plan::FilePlan;
use crate::input::Intake;
use crate::input::follow::chain::Losses;
use crate::input::follow::tally::Tally as ReadTally;
use crate::input::follow::{FileError, OpenFiles};
use crate::input::positions::Positions;
use crate::pipeline::steps::Steps;
use contents::Contents;
use cut::Cutter;
use kubernetes::{Kubernetes, Verdict};
use looks::Looks;
use rate::Rate;
use scan::Scan;
use table::{Status, Table};
use topic::PathTopic;

pub use table::{FileReport, FileState};

/// Files read at the same moment: more would only wait for the processor.
const TURNS: usize = 4;
/// Files that keep their buffers for what comes soon: making them anew, several times a second, costs a tenth of reading.
const WARM: usize = 8;
/// Faults that are named in such a time; the others are in the report.
const NAMED: (u32, Duration) = (20, Duration::from_secs(10));

/// How long silence lasts until something is done.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A file that is read to its end rests.
    pub rest: Duration,
    /// A file whose name is gone is given up: who still writes to it has had time to open the new one.
    pub gone: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { rest: Duration::from_secs(60), gone: Duration::from_secs(60) }
    }
}

/// What the files of an input share.
struct Shared {
    name: Arc<str>,
    plan: FilePlan,
    steps: Arc<Steps>,
    intake: Arc<Intake>,
    positions: Arc<Positions>,
    /// Each file has a clone.
    cutter: Cutter,
    kubernetes: Option<Arc<Kubernetes>>,
    path_topic: Option<PathTopic>,
    turns: Semaphore,
    looks: Arc<Looks>,
    warm: Semaphore,
    rate: Option<Rate>,
    open: OpenFiles,
    losses: Losses,
    tally: Tally,
    /// Bytes in unfinished lines.
    waiting: Arc<AtomicUsize>,
    table: Arc<Table>,
    patience: Patience,
    contents: Arc<Contents>,
    named: Mutex<(Option<Instant>, u32)>,
    /// What is there is read a last time.
    last: CancellationToken,
}

struct Tally {
    read: ReadTally,
    dropped: Counter,
    found: Gauge,
    followed: Gauge,
}

impl Tally {
    fn new(input: &str) -> Tally {
        let labels = [("input", input)];
        let read = [
            ("sluicegate_files_joined_total", "Lines put together of a container runtime's pieces."),
            (
                "sluicegate_files_malformed_total",
                "Lines that no container runtime can have written; their text is kept as it stands.",
            ),
            (
                "sluicegate_files_skipped_bytes_total",
                "Bytes that hold no line: runs of NULs, byte order marks.",
            ),
        ];
        Tally {
            read: ReadTally::new(input, read),
            dropped: counter(
                "sluicegate_files_dropped_lines_total",
                "Lines outside of any multi-line record, dropped as multiline.unmatched says.",
                &labels,
            ),
            found: gauge("sluicegate_files_found", "Files that the patterns match.", &labels),
            followed: gauge(
                "sluicegate_files_followed",
                "Files that are followed; the others rest.",
                &labels,
            ),
        }
    }
}

impl Shared {
    /// Where a file's position is kept.
    fn key(&self, path: &Path) -> Bytes {
        let mut key = self.prefix().into_bytes();
        key.extend_from_slice(path.as_os_str().as_bytes());
        Bytes::from(key)
    }

    fn prefix(&self) -> String {
        prefix(&self.name)
    }

    /// Whether the patterns ask for it, and its Pod is none that is refused.
    fn is_wanted(&self, path: &Path) -> bool {
        let any = |patterns: &[PathPattern]| patterns.iter().any(|pattern| pattern.matches(path));
        any(&self.plan.paths) && !any(&self.plan.exclude) && self.is_taken(path)
    }

    /// Whether its Pod, if it has one, is none that is refused.
    fn is_taken(&self, path: &Path) -> bool {
        let verdict = self.kubernetes.as_ref().map(|kubernetes| kubernetes.judge(path));
        match verdict {
            None | Some(Verdict::Taken) => true,
            Some(Verdict::Refused) => false,
            Some(Verdict::Known) => self.positions.get(&self.key(path)).is_some(),
        }
    }

    /// Whether what the log was rotated to would be taken for new files without it. Blocking.
    fn has_rotated(&self, path: &Path) -> bool {
        scan::has_rotated(path, |other| self.is_wanted(other))
    }

    /// A file is gone for good, or has another name. `is_kept`: it is known all the same.
    fn gone(&self, path: &Path, position: Option<Bytes>, is_kept: bool) {
        if is_kept {
            return self.table.rest(path, None, position);
        }
        self.give_up(path, position);
        self.forget(path);
    }

    /// Nothing is known of this path any more.
    fn forget(&self, path: &Path) {
        self.contents.release_all(path);
        self.table.remove(path);
    }

    /// Nobody reads under this name any more.
    fn give_up(&self, path: &Path, position: Option<Bytes>) {
        let key = self.key(path);
        if let Some(position) = position {
            self.contents.leave(path, position, self.positions.get(&key));
        }
        self.positions.forget(&key);
    }

    /// Notes what went wrong with a file, and says it when it is new.
    fn complain(&self, status: &Status, error: &FileError) {
        if status.set_error(Some(error.to_string())) && self.may_name() {
            tracing::warn!(input = %self.name, %error, "a file cannot be read");
        }
    }

    fn may_name(&self) -> bool {
        let mut named = self.named.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = Instant::now();
        if named.0.is_none_or(|since| now.duration_since(since) > NAMED.1) {
            *named = (Some(now), 0);
        }
        named.1 += 1;
        named.1 <= NAMED.0
    }
}

/// Of all keys of an input; by itself the key of the note that it ran before. Names hold no blank.
fn prefix(input: &str) -> String {
    format!("file {input} ")
}

fn open_gauge(input: &str) -> Gauge {
    gauge("sluicegate_files_open", "Files held open.", &[("input", input)])
}

/// The input.
pub struct Files {
    name: Arc<str>,
    plan: FilePlan,
    steps: Arc<Steps>,
    intake: Arc<Intake>,
    positions: Arc<Positions>,
    /// Files held open beyond those being read.
    open_files: usize,
    patience: Patience,
    hints: bool,
    table: Arc<Table>,
}

impl Files {
    pub fn new(
        name: &str,
        plan: FilePlan,
        steps: Steps,
        intake: Arc<Intake>,
        positions: Arc<Positions>,
        open_files: usize,
    ) -> Files {
        Files {
            name: name.into(),
            plan,
            steps: Arc::new(steps),
            intake,
            positions,
            open_files,
            patience: Patience::default(),
            hints: true,
            table: Arc::default(),
        }
    }

    pub fn with_patience(self, patience: Patience) -> Files {
        Files { patience, ..self }
    }

    /// Without the kernel's hints, as on volumes that have none: walks find everything.
    pub fn without_hints(self) -> Files {
        Files { hints: false, ..self }
    }

    fn kubernetes(&self) -> Option<Arc<Kubernetes>> {
        let plan = self.plan.kubernetes.as_ref()?;
        Some(Arc::new(Kubernetes::new(&self.name, plan)))
    }

    /// What is known of each file: those with an error first, then those that are behind the most; a thousand at most.
    pub fn report(&self) -> Vec<FileReport> {
        self.table.report()
    }

    /// Its input has ended for good: nothing of it is to be seen any more.
    pub fn retire(&self) {
        let tally = Tally::new(&self.name);
        open_gauge(&self.name).set(0.0);
        tally.found.set(0.0);
        tally.followed.set(0.0);
    }

    /// Follows all files until the gateway stops. Their tasks are among `stop.tasks`.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        let open = open_gauge(&self.name);
        let shared = Arc::new(Shared {
            name: self.name.clone(),
            plan: self.plan.clone(),
            steps: self.steps.clone(),
            intake: self.intake.clone(),
            positions: self.positions.clone(),
            cutter: Cutter::new(&self.plan),
            kubernetes: self.kubernetes(),
            path_topic: self.plan.path_topic.as_ref().and_then(PathTopic::new),
            turns: Semaphore::new(TURNS),
            looks: Arc::default(),
            warm: Semaphore::new(WARM),
            rate: self.plan.rate_limit.map(Rate::new),
            open: OpenFiles::new(self.open_files, open),
            losses: Losses::new(&self.name),
            tally: Tally::new(&self.name),
            waiting: Arc::default(),
            table: self.table.clone(),
            patience: self.patience,
            contents: Arc::new(Contents::new(prefix(&self.name), self.positions.clone())),
            named: Mutex::default(),
            last: CancellationToken::new(),
        });
        let mut scan = Scan::new(shared.clone(), stop.clone(), self.hints);
        let leaving = async {
            stop.draining.cancelled().await;
            // Who writes goes on while another gateway takes over, and that one will see it.
            if !stop.successor.is_there() {
                sleep(self.plan.stop_delay).await;
            }
        };
        tokio::select! {
            biased;
            () = leaving => {}
            () = scan.run() => {}
        }
        // What has news and no task gets one, which ends as the others do.
        shared.last.cancel();
        if !stop.successor.is_there() {
            scan.look().await;
        }
    }
}

#[cfg(test)]
mod tests;
