//! Wiring: builds everything from the plan, binds, runs, and stops in reverse.
//!
//! ```text
//! start   bind every address -> operations (starting) -> data directory, journal, embedded Log Service -> pipeline
//!         -> listen: Log Service, senders, inputs (ready)
//! stop    inputs end (what was read is stored and acknowledged) -> senders deliver until the deadline -> journal
//!         -> embedded Log Service -> operations
//! ```
//!
//! Nothing that can fail comes after the first record could be accepted. All of a stop ([`stopping`]) fits into
//! `limits.stop_deadline`, which is what Docker waits for before it kills.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{self, operations};
use crate::base::shutdown::{Passed, Stop};
use crate::base::tls::ServerTls;
use crate::collection::context::SourceContext;
use crate::config::plan::{InputKind, InputPlan, JoinPlan, LimitsPlan, Plan};
use crate::input::Intake;
use crate::input::budget::Budget;
use crate::input::duplicates::Duplicates;
use crate::input::forward::Forward;
use crate::input::listener::Outlive;
use crate::journal::Journal;
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::{Destination, Destinations};
use crate::pipeline::join::{JoinSettings, Joiner, Marks};
use crate::pipeline::route::Router;
use crate::pipeline::tidy::Tidy;
use crate::store::ACCESS_KEY_FILE;

mod collection;
mod data;
mod descriptors;
mod doors;
mod handover;
mod inherited;
mod inputs;
mod report;
mod shipping;
mod stopping;

pub use doors::{Address, Door, Place};
pub use handover::take_over;
pub use inherited::Inherited;

use collection::{Collection, House};
use data::Data;
use doors::{Doors, InputDoors};
use handover::HandOver;
use inputs::{Inputs, Shared};
use report::Status;
use shipping::Shipping;
use stopping::end;

/// How often lines that wait for pieces are looked at.
const JOIN_TICK: Duration = Duration::from_millis(200);
/// How often old message ids are forgotten.
const MEMORY_TICK: Duration = Duration::from_secs(1);
/// Histograms that nobody scrapes are drained by us.
const METRICS_TICK: Duration = Duration::from_secs(5);
/// A predecessor that hands over ends within its stop's deadline; one that does not is in trouble.
const PREDECESSOR: Duration = Duration::from_secs(90);
/// Queues reopened at once: far fewer than the channel of announced destinations holds.
const REOPENED: usize = 64;

pub struct Gateway {
    plan: Arc<Plan>,
    status: Arc<Status>,
    journal: Journal,
    shipping: Arc<Shipping>,
    duplicates: Option<Arc<Duplicates>>,
    secured: Secured,
    /// Where a successor asks; absent when it cannot.
    handover: Option<HandOver>,
    /// What runs because others say so; absent when nobody is asked.
    collection: Option<Collection>,
    outlive: Outlive,
    inputs: Stop,
    service: Stop,
    ticks: Stop,
    /// Where everything listens, in the order it is printed.
    pub addresses: Vec<Address>,
}

/// What can be read again while the gateway runs.
#[derive(Clone)]
struct Secured {
    forwards: Vec<(String, Arc<Forward>)>,
    tls: Vec<Arc<ServerTls>>,
}

impl Gateway {
    /// Starts the gateway. Dropping the future before it is done leaves the data directory as a crash would: in order.
    pub async fn start(plan: Plan, metrics: Option<PrometheusHandle>) -> Result<Gateway> {
        Gateway::start_with(plan, metrics, Inherited::default()).await
    }

    /// As [`Gateway::start`], with sockets that are open already.
    pub async fn start_with(
        plan: Plan,
        metrics: Option<PrometheusHandle>,
        mut inherited: Inherited,
    ) -> Result<Gateway> {
        let plan = Arc::new(plan);
        let outlive = Outlive::default();
        let follows = inherited.has_predecessor();
        if inherited.is_supervised() || follows {
            outlive.set();
        }
        // Who had these sockets still has the data directory, and lets go of it.
        let patience = if follows { PREDECESSOR } else { Duration::ZERO };
        let doors = Doors::bind(&plan, &mut inherited, &outlive).await?;
        // A failure before this leaves the other gateway as it was, with its sockets and their files.
        let passing = inherited.succeed().await?;
        if follows {
            outlive.clear();
        }
        inherited.close_rest();
        let addresses = doors.addresses(&plan);
        let Doors { operations, log_service, inputs } = doors;
        let status = Arc::new(Status::new(plan.clone(), metrics));
        let ticks = Stop::default();
        let router = operations::router(status.clone());
        let operations = operations.listen()?;
        let handle = operations.as_fd().try_clone_to_owned()?;
        ticks.tasks.spawn(api::server::serve(operations, router, ticks.draining.clone()));

        let opening = plan.clone();
        let opened = tokio::task::spawn_blocking(move || Data::open(&opening, patience)).await;
        let started = match opened.context("opening the data directory").flatten() {
            Ok(data) => {
                let journal = data.journal.clone();
                let sockets =
                    Sockets { log_service, inputs, addresses, operations: handle, passing, outlive };
                let started = wire(plan, status, data, sockets, &ticks).await;
                if started.is_err() {
                    journal.close().await;
                }
                started
            }
            Err(error) => Err(error),
        };
        if started.is_err() {
            end(&ticks, Instant::now() + LimitsPlan::CLOSING, "operations").await;
        }
        started
    }

    /// Takes keys, users and certificates anew, for the connections to come; the rest of the plan is not looked at.
    pub async fn reload(&self, plan: Plan) {
        let secured = self.secured.clone();
        // Files are read and names are looked up.
        let reloading = tokio::task::spawn_blocking(move || {
            for (name, forward) in &secured.forwards {
                let input = plan.inputs.iter().find(|input| input.name == *name);
                match input {
                    Some(InputPlan { kind: InputKind::Forward(settings), .. }) => forward.reload(settings),
                    _ => tracing::warn!(input = %name,
                        "inputs.{name} is no longer configured; until a restart it runs on, with the keys it has"),
                }
            }
            for tls in &secured.tls {
                tls.reload_if_changed();
            }
        });
        if let Err(error) = reloading.await {
            tracing::error!("keys and certificates could not be read again: {error}");
        }
    }

    /// Where the operations port listens.
    pub fn operations(&self) -> Option<SocketAddr> {
        self.addresses.iter().find(|address| address.door == Door::Operations)?.socket()
    }

    /// A way to say what is to be collected, as a source of it does; absent when nobody is asked.
    pub fn collection(&self) -> Option<SourceContext> {
        self.collection.as_ref().map(Collection::context)
    }

    pub fn project(&self) -> Option<&str> {
        self.plan.log_service.as_ref().map(|service| service.project.as_str())
    }
}

/// What is bound, and what goes with it.
struct Sockets {
    log_service: Option<doors::Bound>,
    inputs: Vec<InputDoors>,
    addresses: Vec<Address>,
    /// A second handle of the operations port.
    operations: OwnedFd,
    passing: Option<JoinHandle<Vec<Passed>>>,
    outlive: Outlive,
}

/// Everything from the opened data to the inputs. All that can fail does so before the first task is spawned.
async fn wire(
    plan: Arc<Plan>,
    status: Arc<Status>,
    data: Data,
    sockets: Sockets,
    ticks: &Stop,
) -> Result<Gateway> {
    let Sockets { log_service, inputs: doors, addresses, operations, passing, outlive } = sockets;
    let Data { identity, journal, duplicates, positions, letters, store } = data;
    status.set_journal(journal.clone());
    let mut service_listener = None;
    let mut embedded = None;
    if let (Some(settings), Some(store), Some(bound)) = (&plan.log_service, store, log_service) {
        store.ensure(&settings.project, &settings.logstore).await?;
        let key_file = plan.data_dir.join("log-service").join(ACCESS_KEY_FILE);
        status.set_log_service(bound.address, &settings.project, &settings.logstore, key_file);
        embedded = Some((store.clone(), bound.address));
        service_listener = Some((bound.listen()?, store));
    }
    let shipping = Arc::new(Shipping::new(
        journal.clone(),
        letters.clone(),
        embedded,
        status.clone(),
        plan.time.out_of_range,
    ));

    let (destinations, mut announced) = Destinations::new(&plan, journal.clone());
    let joining = plan.inputs.iter().any(|input| input.kind.join().partial);
    let waiting = journal.recovered();
    let joiner = (joining || waiting.iter().any(|queue| queue == "pending"))
        .then(|| Joiner::new(journal.clone(), join_settings(&plan)));
    let (mut reopened, mut orphans) = (Vec::new(), Vec::new());
    let queues: Vec<String> = waiting.into_iter().filter(|queue| queue != "pending").collect();
    for some in queues.chunks(REOPENED) {
        orphans.extend(destinations.reopen(some));
        // However many an earlier run left, each gets its sender.
        reopened.extend(std::iter::from_fn(|| announced.try_recv().ok()));
    }
    let collected = collection::take_queues(&plan, &mut orphans);
    status.set_orphans(orphans);
    let instance = identity.instance.clone();
    let router = Router::new(&plan);
    let tidy = Tidy::new(plan.time.out_of_range);
    let pipeline = Arc::new(Pipeline::new(router, destinations, joiner, identity, tidy, journal.clone()));
    let budget = Budget::new(plan.limits.byte_budget);
    let intake = Intake::new(pipeline.clone(), budget.clone());
    let intake = Arc::new(intake.with_duplicates(duplicates.clone()));
    status.set_intake(intake.clone());

    let (service, inputs) = (Stop::default(), Stop::default());
    let shared = Shared {
        intake: intake.clone(),
        letters: letters.clone(),
        positions: positions.clone(),
        nil: plan.records.nil,
        data_dir: &plan.data_dir,
        stop: inputs.clone(),
    };
    for address in &addresses {
        if let Door::Forward(name) | Door::Input(name) = &address.door {
            status.add_input(name, address.place.clone());
        }
    }
    for (name, why) in &plan.agent.ignored {
        tracing::warn!("{name} {why}");
    }
    let mut ready = Inputs::default();
    for (input, doors) in plan.inputs.iter().zip(doors) {
        ready.add(input, doors, &shared)?;
    }
    drop(shared);
    for (name, files) in std::mem::take(&mut ready.files) {
        status.add_files(&name, files);
    }
    let mut handles = std::mem::take(&mut ready.handles);
    handles.push(operations);
    if let Some((listener, _)) = &service_listener {
        handles.push(listener.as_fd().try_clone_to_owned()?);
    }
    let handover = HandOver::open(&plan.data_dir, handles);
    let handover =
        handover.map_err(|error| tracing::warn!("no successor can take over (run --take-over): {error:#}"));

    if let Some((listener, store)) = service_listener {
        let router = api::log_service::router(store);
        service.tasks.spawn(api::server::serve(listener, router, service.draining.clone()));
    }
    reopened.into_iter().for_each(|destination| shipping.start(destination));
    ticks.tasks.spawn(start_senders(shipping.clone(), announced, ticks.draining.clone()));
    ready.start(&inputs);
    let house = House {
        plan: plan.clone(),
        instance,
        journal: journal.clone(),
        budget,
        duplicates: duplicates.clone(),
        positions,
        shipping: shipping.clone(),
        status: status.clone(),
        inputs: inputs.clone(),
        ticks: ticks.clone(),
    };
    let collection = Collection::start(house, collected).await;
    if let Some(passing) = passing {
        // Who passed them has let go of the data directory, after them.
        let passed = passing.await.unwrap_or_default();
        ready.adopt(passed);
    }
    for tls in ready.tls.iter().cloned() {
        ticks.tasks.spawn(tls.watch(ticks.draining.clone()));
    }
    ticks.tasks.spawn(tick(pipeline, duplicates.clone(), status.clone(), ticks.draining.clone()));
    status.set_ready();
    let ticks = ticks.clone();
    let secured = Secured { forwards: ready.forwards, tls: ready.tls };
    Ok(Gateway {
        plan,
        status,
        journal,
        shipping,
        duplicates,
        secured,
        handover: handover.ok(),
        collection,
        outlive,
        inputs,
        service,
        ticks,
        addresses,
    })
}

/// Starts the sender of each destination that appears.
async fn start_senders(
    shipping: Arc<Shipping>,
    mut announced: mpsc::Receiver<Arc<Destination>>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            Some(destination) = announced.recv() => shipping.start(destination),
            () = stop.cancelled() => return,
            else => return,
        }
    }
}

async fn tick(
    pipeline: Arc<Pipeline>,
    duplicates: Option<Arc<Duplicates>>,
    status: Arc<Status>,
    stop: CancellationToken,
) {
    let mut memory = tokio::time::interval(MEMORY_TICK);
    let mut joins = tokio::time::interval(JOIN_TICK);
    let mut upkeep = tokio::time::interval(METRICS_TICK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = joins.tick() => pipeline.store_overdue(std::time::Instant::now()),
            _ = memory.tick() => {
                if let Some(duplicates) = &duplicates {
                    duplicates.tend();
                }
            }
            _ = upkeep.tick() => status.upkeep(),
        }
    }
}

/// How each input joins, by name: for the pieces an earlier run left.
fn join_settings(plan: &Plan) -> HashMap<String, JoinSettings> {
    let of_input = |input: &InputPlan| {
        let JoinPlan { timeout, max_line, .. } = *input.kind.join();
        (input.name.clone(), JoinSettings { timeout, max_line, marks: Marks::Fields })
    };
    plan.inputs.iter().map(of_input).collect()
}
