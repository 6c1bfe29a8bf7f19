//! Wiring: builds everything from the plan, binds, runs, and stops in reverse.
//!
//! ```text
//! start   bind every address -> operations (starting) -> data directory, journal, embedded Log Service -> pipeline
//!         -> listen: Log Service, senders, inputs (ready)
//! stop    inputs end (what was read is stored and acknowledged) -> senders deliver until the deadline -> journal
//!         -> embedded Log Service -> operations
//! ```
//!
//! Nothing that can fail comes after the first record could be accepted. All of a stop fits into `limits.stop_deadline`,
//! which is what Docker waits for before it kills.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::api::{self, operations};
use crate::base::shutdown::Stop;
use crate::base::tls::ServerTls;
use crate::config::plan::{InputKind, InputPlan, JoinPlan, Plan};
use crate::input::Intake;
use crate::input::budget::Budget;
use crate::input::duplicates::{self, Duplicates};
use crate::input::forward::Forward;
use crate::journal::Journal;
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::{Destination, Destinations};
use crate::pipeline::join::{JoinSettings, Joiner, Marks};
use crate::pipeline::route::Router;
use crate::pipeline::tidy::Tidy;
use crate::store::ACCESS_KEY_FILE;

mod data;
mod descriptors;
mod doors;
mod report;
mod shipping;

pub use doors::{Address, Door, Place};

use data::Data;
use doors::{Doors, InputDoors};
use report::Status;
use shipping::Shipping;

/// How often lines that wait for pieces are looked at.
const JOIN_TICK: Duration = Duration::from_millis(200);
/// How often old message ids are forgotten.
const MEMORY_TICK: Duration = Duration::from_secs(1);
/// Histograms that nobody scrapes are drained by us.
const METRICS_TICK: Duration = Duration::from_secs(5);
/// The part of a stop that is kept for closing the journal and the HTTP ports.
const CLOSING: Duration = Duration::from_millis(1500);
/// Queues reopened at once: far fewer than the channel of announced destinations holds.
const REOPENED: usize = 64;

pub struct Gateway {
    plan: Arc<Plan>,
    status: Arc<Status>,
    journal: Journal,
    shipping: Arc<Shipping>,
    duplicates: Option<Arc<Duplicates>>,
    secured: Secured,
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
        let plan = Arc::new(plan);
        let doors = Doors::bind(&plan).await?;
        let addresses = doors.addresses(&plan);
        let Doors { operations, log_service, inputs } = doors;
        let status = Arc::new(Status::new(plan.clone(), metrics));
        let ticks = Stop::default();
        let router = operations::router(status.clone());
        ticks.tasks.spawn(api::server::serve(operations.listen()?, router, ticks.draining.clone()));

        let opening = plan.clone();
        let opened = tokio::task::spawn_blocking(move || Data::open(&opening)).await;
        let started = match opened.context("opening the data directory").flatten() {
            Ok(data) => {
                let journal = data.journal.clone();
                let started = wire(plan, status, data, log_service, inputs, addresses, &ticks).await;
                if started.is_err() {
                    journal.close().await;
                }
                started
            }
            Err(error) => Err(error),
        };
        if started.is_err() {
            end(&ticks, Instant::now() + CLOSING, "operations").await;
        }
        started
    }

    /// Stops in order, within the plan's deadline. What is not delivered by then stays in the journal.
    pub async fn stop(self) {
        let total = self.plan.limits.stop_deadline;
        let deadline = Instant::now() + total;
        // A short deadline is not all for closing.
        let shipped = deadline - CLOSING.min(total / 4);
        self.status.set_draining();
        self.stop_inputs(shipped).await;
        if let Some(duplicates) = &self.duplicates {
            duplicates.tend();
        }
        self.shipping.stop(shipped).await;
        let closed = deadline.max(Instant::now() + CLOSING);
        if timeout_at(closed, self.journal.close()).await.is_err() {
            tracing::warn!("the journal did not end before limits.stop_deadline");
        }
        end(&self.service, closed, "log service").await;
        end(&self.ticks, closed, "operations").await;
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

    /// Inputs that do not end may take half of the time from senders that have something to deliver, and all of it from
    /// senders that have nothing.
    async fn stop_inputs(&self, deadline: Instant) {
        self.inputs.draining.cancel();
        self.inputs.tasks.close();
        let now = Instant::now();
        let half = now + deadline.saturating_duration_since(now) / 2;
        let mut ended = timeout_at(half, self.inputs.tasks.wait()).await.is_ok();
        if !ended && !self.has_work() {
            ended = timeout_at(deadline, self.inputs.tasks.wait()).await.is_ok();
        }
        if !ended {
            tracing::warn!(
                connections = self.inputs.tasks.len(),
                "connections did not end in time for limits.stop_deadline; what they were not acknowledged will come again"
            );
        }
    }

    fn has_work(&self) -> bool {
        self.journal.stats().queues.iter().any(|queue| is_shipped(&queue.name) && queue.entries > 0)
    }

    /// Where the operations port listens.
    pub fn operations(&self) -> Option<SocketAddr> {
        self.addresses.iter().find(|address| address.door == Door::Operations)?.socket()
    }

    pub fn project(&self) -> Option<&str> {
        self.plan.log_service.as_ref().map(|service| service.project.as_str())
    }
}

/// Everything from the opened data to the inputs. All that can fail does so before the first task is spawned.
async fn wire(
    plan: Arc<Plan>,
    status: Arc<Status>,
    data: Data,
    log_service: Option<doors::Bound>,
    doors: Vec<InputDoors>,
    addresses: Vec<Address>,
    ticks: &Stop,
) -> Result<Gateway> {
    let Data { identity, journal, duplicates, letters, store } = data;
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
    let shipping = Arc::new(Shipping::new(journal.clone(), letters.clone(), embedded, status.clone()));

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
    status.set_orphans(orphans);
    let router = Router::new(&plan);
    let tidy = Tidy::new(plan.time.out_of_range);
    let pipeline = Arc::new(Pipeline::new(router, destinations, joiner, identity, tidy, journal.clone()));
    let intake = Intake::new(pipeline.clone(), Budget::new(plan.limits.byte_budget));
    let intake = Arc::new(intake.with_duplicates(duplicates.clone()));
    status.set_intake(intake.clone());

    let (service, inputs) = (Stop::default(), Stop::default());
    let (mut listening, mut heartbeats, mut watched, mut forwards) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (input, InputDoors { gate, keys, doors, .. }) in plan.inputs.iter().zip(doors) {
        let InputKind::Forward(settings) = &input.kind else { continue };
        let forward = Arc::new(Forward::new(
            &input.name,
            (**settings).clone(),
            keys,
            plan.records.nil,
            intake.clone(),
            letters.clone(),
        ));
        for door in doors {
            status.add_input(&input.name, door.place());
            let (socket, heartbeat) = door.listen(&input.name)?;
            listening.push((forward.clone(), gate.clone(), socket));
            heartbeats.extend(heartbeat);
        }
        watched.extend(gate.tls().cloned());
        forwards.push((input.name.clone(), forward));
    }

    if let Some((listener, store)) = service_listener {
        let router = api::log_service::router(store);
        service.tasks.spawn(api::server::serve(listener, router, service.draining.clone()));
    }
    reopened.into_iter().for_each(|destination| shipping.start(destination));
    ticks.tasks.spawn(start_senders(shipping.clone(), announced, ticks.draining.clone()));
    for (forward, gate, socket) in listening {
        inputs.tasks.spawn(forward.listen(gate, socket, inputs.clone()));
    }
    for heartbeat in heartbeats {
        inputs.tasks.spawn(heartbeat.run(inputs.draining.clone()));
    }
    for tls in watched.iter().cloned() {
        ticks.tasks.spawn(tls.watch(ticks.draining.clone()));
    }
    ticks.tasks.spawn(tick(pipeline, duplicates.clone(), status.clone(), ticks.draining.clone()));
    status.set_ready();
    let ticks = ticks.clone();
    let secured = Secured { forwards, tls: watched };
    Ok(Gateway { plan, status, journal, shipping, duplicates, secured, inputs, service, ticks, addresses })
}

/// Whether a queue is a destination's; the others are the gateway's own.
fn is_shipped(queue: &str) -> bool {
    queue != "pending" && queue != duplicates::QUEUE
}

async fn end(stop: &Stop, deadline: Instant, what: &str) {
    stop.draining.cancel();
    stop.tasks.close();
    if timeout_at(deadline, stop.tasks.wait()).await.is_err() {
        tracing::warn!("{what} did not end before limits.stop_deadline");
    }
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
