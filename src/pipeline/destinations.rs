//! The destinations that exist: one per (configured destination, logstore), made when the first record goes there.
//!
//! A logstore name can come from a template, so a record can make a destination. At most [`MADE_DESTINATIONS`] are made
//! that way; records beyond go to their destination's default logstore, counted. Each signal has a default logstore,
//! which is configured and made when its first record comes. Each new destination is announced on a
//! bounded channel, whose reader starts the sender; queues are named after it, so a restart finds them again.
//!
//! [`MADE_DESTINATIONS`]: crate::base::limits::MADE_DESTINATIONS

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::base::limits;
use crate::base::metrics::{Counter, counter};
use crate::base::signal::Signal;
use crate::config::plan::{self, BufferPlan, DestinationPlan, Plan};
use crate::journal::{Journal, OnFull, QueueId, QueueOptions, Storage};

/// Where records go: a logstore of a configured destination, and the queue that buffers them.
pub struct Destination {
    pub plan: Arc<DestinationPlan>,
    pub logstore: String,
    pub queue: QueueId,
    /// Bytes the queue may hold.
    pub quota: u64,
    /// What the queue holds outlives the process.
    pub durable: bool,
}

impl Destination {
    /// `name/logstore`: its name in metrics, in `status` and as a queue.
    pub fn label(&self) -> String {
        queue_name(&self.plan.name, &self.logstore)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.plan.name, self.logstore)
    }
}

fn queue_name(destination: &str, logstore: &str) -> String {
    format!("{destination}/{logstore}")
}

fn queue_options(buffer: &BufferPlan) -> QueueOptions {
    QueueOptions {
        max_bytes: buffer.max_bytes,
        on_full: match buffer.on_full {
            plan::OnFull::Block => OnFull::Block,
            plan::OnFull::EvictOldest => OnFull::EvictOldest,
        },
        storage: match buffer.storage {
            plan::Storage::Disk => Storage::Disk,
            plan::Storage::Memory => Storage::Memory,
        },
    }
}

pub struct Destinations {
    plans: Vec<(Arc<DestinationPlan>, QueueOptions)>,
    journal: Journal,
    table: Mutex<Table>,
    announce: mpsc::Sender<Arc<Destination>>,
    overflow: Counter,
}

#[derive(Default)]
struct Table {
    by_name: HashMap<(usize, String), Arc<Destination>>,
    made: usize,
}

impl Destinations {
    /// The table, and the channel on which new destinations arrive.
    pub fn new(plan: &Plan, journal: Journal) -> (Self, mpsc::Receiver<Arc<Destination>>) {
        let plans: Vec<_> = plan
            .destinations
            .iter()
            .map(|destination| {
                (Arc::new(destination.clone()), queue_options(&plan.buffers[destination.buffer]))
            })
            .collect();
        // Every destination that can ever be announced: configured, made, and found in the journal.
        let room = plans.len() * Signal::ALL.len() + limits::MADE_DESTINATIONS + journal.recovered().len();
        let (announce, announced) = mpsc::channel(room);
        let overflow = counter(
            "sluicegate_destinations_overflow_total",
            "Logstore names led to the default logstore because placeholders had made too many destinations.",
            &[],
        );
        (Destinations { plans, journal, table: Mutex::default(), announce, overflow }, announced)
    }

    /// The default logstore of a configured destination for a signal.
    pub fn default_of(&self, plan: usize, signal: Signal) -> Arc<Destination> {
        self.open(plan, self.plans[plan].0.logstore_of(signal), None)
    }

    /// The destination for a rendered logstore name, or the signal's default when too many were made.
    pub fn made(&self, plan: usize, logstore: &str, signal: Signal) -> Arc<Destination> {
        self.open(plan, logstore, Some(signal))
    }

    /// Opens the queues that hold records from an earlier run. Gives the names nobody is configured for any more.
    pub fn reopen(&self, queues: &[String]) -> Vec<String> {
        let mut orphans = Vec::new();
        for queue in queues {
            let known = queue.split_once('/').and_then(|(name, logstore)| {
                self.plans.iter().position(|(plan, _)| plan.name == name).map(|plan| (plan, logstore))
            });
            match known {
                Some((plan, logstore)) => {
                    self.open(plan, logstore, None);
                }
                None => orphans.push(queue.clone()),
            }
        }
        orphans
    }

    /// `made_for` is the signal of the record whose template made the name.
    fn open(&self, plan: usize, logstore: &str, made_for: Option<Signal>) -> Arc<Destination> {
        let mut table = self.table.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(found) = table.by_name.get(&(plan, logstore.to_owned())) {
            return found.clone();
        }
        let settings = &self.plans[plan].0;
        let configured = Signal::ALL.iter().any(|signal| settings.logstore_of(*signal) == logstore);
        if let Some(signal) = made_for.filter(|_| !configured) {
            if table.made >= limits::MADE_DESTINATIONS {
                drop(table);
                self.overflow.increment(1);
                return self.default_of(plan, signal);
            }
            table.made += 1;
        }
        let (settings, options) = &self.plans[plan];
        let queue = self.journal.queue(&queue_name(&settings.name, logstore), *options);
        let destination = Arc::new(Destination {
            plan: settings.clone(),
            logstore: logstore.to_owned(),
            queue,
            quota: options.max_bytes,
            durable: options.storage == Storage::Disk,
        });
        table.by_name.insert((plan, logstore.to_owned()), destination.clone());
        // The channel holds more than can ever be made; a closed one means that the gateway is stopping.
        let _ = self.announce.try_send(destination.clone());
        destination
    }
}
