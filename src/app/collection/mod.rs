//! What is collected because others say so, while the gateway runs.
//!
//! ```text
//! sources [sources] -> Found -> [manager]: one task; merges, keeps, translates, compares
//!                                  |   by way of [judge]: what each is here, or why it is not
//!                                  |-> [running]: a pipeline and an input for each configuration, on the gateway's journal
//!                                  |-> [changes]: a record in a logstore for each change of outcome
//!                                  `-> board ([crate::collection::report]): status, metrics, sources
//! ```
//!
//! A configuration that comes, changes or goes touches no other. Its destination is named after it, so that its queue says
//! by itself where its records belong: `<project>.<config>/<logstore>`. What is stored for one that is gone is delivered
//! all the same, after a restart too.

mod changes;
mod judge;
mod manager;
mod running;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::report::Status;
use super::shipping::Shipping;
use crate::base::shutdown::Stop;
use crate::collection::Source;
use crate::collection::context::SourceContext;
use crate::collection::identity::Looker;
use crate::collection::report::Board;
use crate::config::names::{is_logstore_name, is_project_name};
use crate::config::plan::{CollectionPlan, DestinationPlan, Plan};
use crate::input::budget::Budget;
use crate::input::duplicates::Duplicates;
use crate::input::positions::Positions;
use crate::journal::Journal;
use manager::Manager;

/// Sets on their way: a source sends its next one long after.
const FOUND: usize = 8;
/// Who we are is looked at at least so often, however seldom anybody is asked.
const LOOK: Duration = Duration::from_secs(20);
/// Behind a project's name: the destination of what happened to its configurations. No configuration has this name.
const CHANGES: &str = ":changes";

/// What all that is collected stands on and shares with the configured inputs.
#[derive(Clone)]
pub(super) struct House {
    pub(super) plan: Arc<Plan>,
    /// The gateway's own name in pack ids.
    pub(super) instance: String,
    pub(super) journal: Journal,
    pub(super) budget: Budget,
    pub(super) duplicates: Option<Arc<Duplicates>>,
    pub(super) positions: Arc<Positions>,
    pub(super) shipping: Arc<Shipping>,
    pub(super) status: Arc<Status>,
    /// Of the configured inputs: those that come to them end with them.
    pub(super) inputs: Stop,
    pub(super) ticks: Stop,
}

/// The running collection.
pub(super) struct Collection {
    context: SourceContext,
    delay: Arc<LongestDelay>,
}

/// How long the inputs that run read on at a stop, in milliseconds.
#[derive(Default)]
struct LongestDelay(AtomicU64);

impl Collection {
    /// Begins with what the last run kept, and then listens to the sources. `queues` are those that an earlier run left.
    pub(super) async fn start(house: House, queues: Vec<String>) -> Option<Collection> {
        let collection = Arc::new(house.plan.collection.clone()?);
        let enabled = sources_of(&collection);
        let board = Arc::new(Board::new(&enabled));
        house.status.set_collection(board.clone());
        let looker = Looker::new(&house.plan.agent, &collection);
        let first = looker.clone();
        let first = tokio::task::spawn_blocking(move || first.look(None)).await;
        // Looking does not panic; were it to, the first look of the watch would do it again.
        let first = first.unwrap_or_else(|_| looker.look(None));
        let (known, identity) = watch::channel(Arc::new(first));
        let watching = looker.watch(collection.interval.min(LOOK), known, house.ticks.draining.clone());
        house.ticks.tasks.spawn(watching);

        let (found, finds) = mpsc::channel(FOUND);
        let context = SourceContext {
            found,
            identity: identity.clone(),
            outcomes: board.outcomes(),
            stop: house.inputs.draining.clone(),
            board: board.clone(),
        };
        let delay = Arc::<LongestDelay>::default();
        let mut manager = Manager::new(house.clone(), collection.clone(), board, identity, delay.clone());
        manager.begin(&enabled, queues).await;
        let kept = manager.kept(Source::MachineGroups);
        house.inputs.tasks.spawn(manager.run(finds));
        for source in sources::all(&house, &collection, &context, kept) {
            let stop = house.inputs.draining.clone();
            house.ticks.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = source => {}
                }
            });
        }
        Some(Collection { context, delay })
    }

    pub(super) fn context(&self) -> SourceContext {
        self.context.clone()
    }

    /// How long what is collected is read on at a stop.
    pub(super) fn longest_delay(&self) -> Duration {
        Duration::from_millis(self.delay.0.load(Ordering::Relaxed))
    }
}

fn sources_of(collection: &CollectionPlan) -> BTreeSet<Source> {
    let all = [
        (Source::MachineGroups, collection.machine_groups),
        (Source::Directory, collection.directory.is_some()),
        (Source::Kubernetes, collection.kubernetes.is_some()),
    ];
    all.into_iter().filter(|(_, is_on)| *is_on).map(|(source, _)| source).collect()
}

/// Takes out the queues of what was collected, which need no configuration of their own.
pub(super) fn take_queues(plan: &Plan, queues: &mut Vec<String>) -> Vec<String> {
    if plan.collection.is_none() {
        return Vec::new();
    }
    queues.extract_if(.., |queue| place_of(queue).is_some()).collect()
}

/// Whether a destination is of something that is collected. None of the configuration has such a name.
pub(super) fn is_collected(destination: &str) -> bool {
    destination.ends_with(CHANGES) || destination.contains('.')
}

/// Name of the destination, project and logstore of a queue of something that is, or was, collected.
fn place_of(queue: &str) -> Option<(&str, &str, &str)> {
    let (name, logstore) = queue.split_once('/')?;
    let project = match name.strip_suffix(CHANGES) {
        Some(project) => project,
        // No destination of the configuration has a dot in its name.
        None => name.split_once('.')?.0,
    };
    (is_project_name(project) && is_logstore_name(logstore)).then_some((name, project, logstore))
}

/// A plan of one destination and nothing that leads there.
fn plan_to(main: &Plan, destination: DestinationPlan) -> Plan {
    Plan {
        inputs: Vec::new(),
        routes: Vec::new(),
        destinations: vec![destination],
        default_destination: 0,
        ..main.clone()
    }
}
