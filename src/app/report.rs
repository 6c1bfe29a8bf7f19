//! What the gateway says about itself: health, readiness, metrics and the status document.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use super::doors::Place;
use super::stopping::is_shipped;
use crate::api::operations::Report;
use crate::base::metrics::{Counter, Gauge, counter, gauge};
use crate::collection::report::Board;
use crate::config::plan::Plan;
use crate::input::file::{FileState, Files};
use crate::input::{Intake, duplicates, positions};
use crate::journal::{Journal, QueueId, QueueStats, Stats};
use crate::output::deliver::Delivery;

/// Work that waits for so long without any movement is a fault of ours.
const WEDGED: Duration = Duration::from_secs(60);

const STARTING: u8 = 0;
const RUNNING: u8 = 1;
const DRAINING: u8 = 2;

pub(super) struct Status {
    plan: Arc<Plan>,
    /// Set once it is open.
    journal: OnceLock<Journal>,
    metrics: Option<PrometheusHandle>,
    phase: AtomicU8,
    started: Instant,
    parts: Mutex<Parts>,
    gauges: Gauges,
}

#[derive(Default)]
struct Parts {
    intake: Option<Arc<Intake>>,
    inputs: Vec<(String, Place)>,
    /// Inputs that read files.
    files: Vec<(String, Arc<Files>)>,
    destinations: Vec<(String, Arc<Delivery>)>,
    /// Labels of destinations that are served no more.
    retired: HashSet<String>,
    /// Why nothing can be sent to a destination, by its label.
    broken: BTreeMap<String, String>,
    buffers: HashMap<QueueId, Buffer>,
    orphans: Vec<String>,
    log_service: Option<Value>,
    /// What others say is to be collected.
    collection: Option<Arc<Board>>,
    movement: Movement,
}

struct Gauges {
    disk_bytes: Gauge,
    segments: Gauge,
    budget_used: Gauge,
    sync_seconds: Gauge,
}

/// Metrics of one queue.
struct Buffer {
    bytes: Gauge,
    age: Gauge,
    blocked: Gauge,
    evicted: Counter,
}

impl Buffer {
    fn new(queue: &str) -> Buffer {
        let labels = [("queue", queue)];
        Buffer {
            bytes: gauge("sluicegate_buffer_bytes", "Bytes stored and not yet delivered.", &labels),
            age: gauge(
                "sluicegate_buffer_age_seconds",
                "Age of the oldest entry that is not delivered.",
                &labels,
            ),
            blocked: gauge(
                "sluicegate_buffer_blocked",
                "Connections that wait for room in this buffer.",
                &labels,
            ),
            evicted: counter(
                "sluicegate_dropped_records_total",
                "Records dropped, by reason.",
                &[("queue", queue), ("reason", "evicted")],
            ),
        }
    }

    fn set(&self, queue: &QueueStats) {
        self.bytes.set(queue.live_bytes as f64);
        self.age.set(queue.oldest.map_or(0.0, |age| age.as_secs_f64()));
        self.blocked.set(queue.blocked as f64);
        self.evicted.absolute(queue.evicted.records);
    }
}

impl Status {
    pub(super) fn new(plan: Arc<Plan>, metrics: Option<PrometheusHandle>) -> Self {
        Status {
            plan,
            journal: OnceLock::new(),
            metrics,
            phase: AtomicU8::new(STARTING),
            started: Instant::now(),
            parts: Mutex::default(),
            gauges: Gauges {
                disk_bytes: gauge("sluicegate_journal_disk_bytes", "Bytes of all journal segments.", &[]),
                segments: gauge("sluicegate_journal_segments", "Journal segment files.", &[]),
                budget_used: gauge("sluicegate_byte_budget_used", "Bytes read and not yet stored.", &[]),
                sync_seconds: gauge(
                    "sluicegate_journal_last_sync_seconds",
                    "How long the last fdatasync took.",
                    &[],
                ),
            },
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn set_journal(&self, journal: Journal) {
        // There is one journal to a gateway; a second call would change nothing.
        let _ = self.journal.set(journal);
    }

    pub(super) fn set_ready(&self) {
        self.phase.store(RUNNING, Ordering::Release);
    }

    pub(super) fn set_draining(&self) {
        self.phase.store(DRAINING, Ordering::Release);
    }

    pub(super) fn set_intake(&self, intake: Arc<Intake>) {
        self.parts().intake = Some(intake);
    }

    pub(super) fn set_orphans(&self, orphans: Vec<String>) {
        for queue in &orphans {
            tracing::warn!(queue, "stored records wait for a destination that is no longer configured");
        }
        self.parts().orphans = orphans;
    }

    pub(super) fn add_input(&self, name: &str, place: Place) {
        self.parts().inputs.push((name.to_owned(), place));
    }

    pub(super) fn add_files(&self, name: &str, files: Arc<Files>) {
        self.parts().files.push((name.to_owned(), files));
    }

    pub(super) fn remove_files(&self, name: &str) {
        self.parts().files.retain(|(known, _)| known != name);
    }

    pub(super) fn add_destination(&self, label: &str, delivery: Arc<Delivery>) {
        let mut parts = self.parts();
        parts.retired.remove(label);
        parts.destinations.retain(|(known, _)| known != label);
        parts.destinations.push((label.to_owned(), delivery));
    }

    /// Nothing is sent there any more, and nothing waits.
    pub(super) fn retire_destination(&self, label: &str) {
        let mut parts = self.parts();
        parts.destinations.retain(|(known, _)| known != label);
        parts.retired.insert(label.to_owned());
    }

    pub(super) fn set_collection(&self, board: Arc<Board>) {
        self.parts().collection = Some(board);
    }

    /// Says why nothing can be sent to a destination, or that this is over. True when that is news.
    pub(super) fn set_broken(&self, label: &str, problem: Option<&str>) -> bool {
        let broken = &mut self.parts().broken;
        match problem {
            Some(problem) => {
                broken.insert(label.to_owned(), problem.to_owned()).is_none_or(|known| known != problem)
            }
            None => broken.remove(label).is_some(),
        }
    }

    pub(super) fn set_log_service(
        &self,
        address: SocketAddr,
        project: &str,
        logstore: &str,
        key_file: PathBuf,
    ) {
        self.parts().log_service = Some(json!({
            "address": address.to_string(),
            "project": project,
            "logstore": logstore,
            "access_key_file": key_file,
        }));
    }

    /// Called every few seconds: gauges, and the watch over the journal.
    pub(super) fn upkeep(&self) {
        if let Some(journal) = self.journal.get() {
            let stats = journal.stats();
            self.watch(journal, &stats);
            self.measure(&stats);
        }
        if let Some(metrics) = &self.metrics {
            metrics.run_upkeep();
        }
    }

    fn measure(&self, stats: &Stats) {
        self.gauges.disk_bytes.set(stats.disk_bytes as f64);
        self.gauges.segments.set(stats.segments as f64);
        self.gauges.sync_seconds.set(stats.last_sync.as_secs_f64());
        let mut parts = self.parts();
        if let Some(intake) = &parts.intake {
            self.gauges.budget_used.set(intake.budget.used() as f64);
        }
        for queue in stats.queues.iter().filter(|queue| is_waited_for(&queue.name)) {
            parts.buffers.entry(queue.id).or_insert_with(|| Buffer::new(&queue.name)).set(queue);
        }
    }

    /// How long something has waited to be stored without the journal storing anything.
    fn watch(&self, journal: &Journal, stats: &Stats) -> Option<Duration> {
        // A full disk does not count: a restart would not help, and it goes on by itself once there is space.
        let waits = !stats.disk_full && !journal.last_receipt().is_stored();
        self.parts().movement.look(Instant::now(), stats.stored, waits)
    }
}

/// Whether what a queue holds waits for something. Remembered ids and places in files do not, so their age is no news.
fn is_waited_for(queue: &str) -> bool {
    queue != duplicates::QUEUE && queue != positions::QUEUE
}

/// The journal's progress when it last moved, while something waits to be stored.
#[derive(Default)]
struct Movement(Option<(u64, Instant)>);

impl Movement {
    fn look(&mut self, now: Instant, stored: u64, waits: bool) -> Option<Duration> {
        match self.0 {
            _ if !waits => self.0 = None,
            Some((known, since)) if known == stored => return Some(now.duration_since(since)),
            _ => self.0 = Some((stored, now)),
        }
        None
    }
}

impl Report for Status {
    fn health(&self) -> Result<(), String> {
        let Some(journal) = self.journal.get() else { return Ok(()) };
        let stats = journal.stats();
        match self.watch(journal, &stats) {
            Some(stuck) if stuck >= WEDGED => Err(format!(
                "the journal has stored nothing for {} s although records wait{}",
                stuck.as_secs(),
                stats.stalled.map(|why| format!(": {why}")).unwrap_or_default()
            )),
            _ => Ok(()),
        }
    }

    fn ready(&self) -> Result<(), String> {
        match self.phase.load(Ordering::Acquire) {
            STARTING => Err("starting".to_owned()),
            DRAINING => Err("draining".to_owned()),
            _ => Ok(()),
        }
    }

    fn metrics(&self) -> String {
        self.upkeep();
        self.metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    }

    fn files(&self) -> Value {
        let inputs = self.parts().files.clone();
        let one = |(input, files): &(String, Arc<Files>)| -> Vec<Value> {
            let reports = files.report().into_iter();
            let shown = reports.map(|file| {
                json!({
                    "input": input,
                    "path": file.path.to_string_lossy(),
                    "size": file.size,
                    "offset": file.offset,
                    "lag": file.lag,
                    "state": match file.state {
                        FileState::Resting => "resting",
                        FileState::Followed => "followed",
                    },
                    "last_error": file.last_error,
                })
            });
            shown.collect()
        };
        json!({ "files": inputs.iter().flat_map(one).collect::<Vec<Value>>() })
    }

    fn status(&self) -> Value {
        let stats = self.journal.get().map(Journal::stats);
        let queues = stats.as_ref().map_or(&[][..], |stats| &stats.queues);
        let parts = self.parts();
        let mut problems: Vec<String> = Vec::new();
        problems.extend(stats.iter().filter_map(|stats| stats.stalled.clone()));
        for (label, problem) in &parts.broken {
            problems.push(format!("{label}: {problem}"));
        }
        for queue in &parts.orphans {
            problems
                .push(format!("{queue}: stored records wait for a destination that is no longer configured"));
        }
        let destinations: Vec<Value> = queues
            .iter()
            .filter(|queue| is_shipped(&queue.name) || queue.name == "pending" && queue.entries > 0)
            .filter(|queue| queue.entries > 0 || !parts.retired.contains(&queue.name))
            .map(|queue| {
                let delivery = parts.destinations.iter().find(|(label, _)| *label == queue.name);
                let trouble = delivery.and_then(|(_, delivery)| delivery.trouble().clone());
                if let Some(trouble) = &trouble {
                    problems.push(format!("{}: {trouble}", queue.name));
                }
                if queue.blocked > 0 {
                    problems.push(format!(
                        "{}: {} connections wait for room in its buffer",
                        queue.name, queue.blocked
                    ));
                }
                json!({
                    "name": queue.name,
                    "buffered_bytes": queue.live_bytes,
                    "buffered_entries": queue.entries,
                    "oldest_seconds": queue.oldest.map(|age| age.as_secs_f64()),
                    "blocked_connections": queue.blocked,
                    "evicted_records": queue.evicted.records,
                    "trouble": trouble,
                })
            })
            .collect();
        let inputs: Vec<Value> = parts
            .inputs
            .iter()
            .map(|(name, place)| json!({ "name": name, "listen": place.to_string() }))
            .collect();
        let log_service = parts.log_service.clone();
        let collection = parts.collection.clone();
        drop(parts);
        problems.extend(collection.iter().flat_map(|board| board.problems()));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "data_dir": self.plan.data_dir,
            "state": match self.phase.load(Ordering::Acquire) { STARTING => "starting", RUNNING => "running", _ => "draining" },
            "healthy": self.health().is_ok(),
            "health": self.health().err(),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "inputs": inputs,
            "destinations": destinations,
            "journal": {
                "disk_bytes": stats.as_ref().map_or(0, |stats| stats.disk_bytes),
                "segments": stats.as_ref().map_or(0, |stats| stats.segments),
            },
            "log_service": log_service,
            "collection": collection.map(|board| board.document()),
            "problems": problems,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_files_wait_for_nobody() {
        assert!(is_waited_for("pending") && is_waited_for("local/logs"));
        assert!(!is_waited_for(positions::QUEUE) && !is_waited_for(duplicates::QUEUE));
    }

    #[test]
    fn only_what_waits_and_does_not_move_is_wedged() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut movement = Movement::default();
        assert_eq!(movement.look(start, 1, true), None);
        assert_eq!(movement.look(after(70), 1, true), Some(Duration::from_secs(70)));
        assert_eq!(movement.look(after(71), 2, true), None, "it moved");
        assert_eq!(movement.look(after(72), 2, false), None, "nothing waits, or the disk is full");
        assert_eq!(movement.look(after(200), 2, true), None, "it waits anew");
        assert_eq!(movement.look(after(261), 2, true), Some(Duration::from_secs(61)));
    }
}
