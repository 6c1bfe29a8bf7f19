//! Wiring: builds everything from the plan, binds, runs, and stops in reverse.
//!
//! ```text
//! start   data directory -> journal -> embedded Log Service -> pipeline, senders -> inputs -> operations: ready
//! stop    inputs end (what was read is stored and acknowledged) -> senders deliver until the deadline -> journal
//!         -> embedded Log Service -> operations
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::{self, operations};
use crate::base::host;
use crate::config::plan::{InputKind, InputPlan, Plan};
use crate::input::budget::Budget;
use crate::input::forward::Forward;
use crate::input::{Intake, Stop};
use crate::journal::{self, Journal};
use crate::output::refused::DeadLetters;
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::{Destination, Destinations};
use crate::pipeline::join::{JoinSettings, Joiner};
use crate::pipeline::route::Router;
use crate::pipeline::stream::Identity;
use crate::pipeline::tidy::Tidy;
use crate::store::Store;

mod report;
mod shipping;

use report::Status;
use shipping::Shipping;

/// How often lines that wait for pieces are looked at.
const JOIN_TICK: Duration = Duration::from_millis(200);
/// Histograms that nobody scrapes are drained by us.
const METRICS_TICK: Duration = Duration::from_secs(5);

pub struct Gateway {
    plan: Arc<Plan>,
    status: Arc<Status>,
    journal: Journal,
    shipping: Arc<Shipping>,
    inputs: Stop,
    service: Stop,
    ticks: Stop,
    /// Where everything listens, in the order it is printed.
    pub addresses: Vec<(String, SocketAddr)>,
}

impl Gateway {
    pub async fn start(plan: Plan, metrics: Option<PrometheusHandle>) -> Result<Gateway> {
        let plan = Arc::new(plan);
        open_data_dir(&plan.data_dir)?;
        let journal = Journal::open(journal::Options {
            dir: plan.data_dir.join("journal"),
            segment_bytes: plan.journal.segment_bytes,
            max_bytes: plan.journal.max_bytes,
            fresh_bytes: plan.journal.fresh_bytes,
        })?;
        let identity = Identity { instance: instance(&plan.data_dir)?, host: host::name() };
        let status = Arc::new(Status::new(plan.clone(), journal.clone(), metrics));
        let (service, ticks, inputs) = (Stop::default(), Stop::default(), Stop::default());
        let mut addresses = Vec::new();

        let store = match &plan.log_service {
            Some(settings) => {
                let listener = bind("log_service.listen", &settings.listen.to_string()).await?;
                let address = listener.local_addr()?;
                let dir = plan.data_dir.join("log-service");
                let store = Arc::new(Store::open(&dir)?);
                store.ensure(&settings.project, &settings.logstore).await?;
                let router = api::log_service::router(store.clone());
                service.tasks.spawn(api::server::serve(listener, router, service.draining.clone()));
                status.set_log_service(
                    address,
                    &settings.project,
                    &settings.logstore,
                    dir.join(crate::store::ACCESS_KEY_FILE),
                );
                Some((store, address))
            }
            None => None,
        };
        let service_address = store.as_ref().map(|(_, address)| *address);

        let letters = DeadLetters::open(&plan.data_dir.join("refused"), plan.limits.dead_letter_bytes)
            .with_context(|| format!("cannot use {}", plan.data_dir.join("refused").display()))?;
        let shipping = Arc::new(Shipping::new(journal.clone(), Arc::new(letters), store, status.clone()));
        let (destinations, announced) = Destinations::new(&plan, journal.clone());
        ticks.tasks.spawn(start_senders(shipping.clone(), announced, ticks.draining.clone()));

        let joining = plan.inputs.iter().any(|input| match &input.kind {
            InputKind::Forward(forward) => forward.join_partial,
        });
        let joiner = (joining || journal.recovered().iter().any(|queue| queue == "pending"))
            .then(|| Joiner::new(journal.clone(), join_settings(&plan)));
        let waiting: Vec<String> = journal.recovered();
        let orphans = destinations.reopen(&waiting);
        status.set_orphans(orphans);
        let router = Router::new(&plan);
        let tidy = Tidy::new(plan.time.out_of_range);
        let pipeline = Arc::new(Pipeline::new(router, destinations, joiner, identity, tidy, journal.clone()));
        let intake = Arc::new(Intake::new(pipeline.clone(), Budget::new(plan.limits.byte_budget)));
        status.set_intake(intake.clone());

        for input in &plan.inputs {
            match &input.kind {
                InputKind::Forward(settings) => {
                    let forward = Arc::new(Forward::new(
                        &input.name,
                        settings.clone(),
                        plan.records.nil,
                        intake.clone(),
                    ));
                    for address in &settings.listen {
                        let key = format!("inputs.{}.listen", input.name);
                        let listener = bind(&key, &address.to_string()).await?;
                        let address = listener.local_addr()?;
                        addresses.push((input.name.clone(), address));
                        status.add_input(&input.name, address, &forward);
                        inputs.tasks.spawn(forward.clone().listen(listener, inputs.clone()));
                    }
                }
            }
        }
        if let Some(address) = service_address {
            addresses.push(("log service".to_owned(), address));
        }
        let listener = bind("operations.listen", &plan.operations.listen.to_string()).await?;
        addresses.push(("operations".to_owned(), listener.local_addr()?));
        let router = operations::router(status.clone());
        ticks.tasks.spawn(api::server::serve(listener, router, ticks.draining.clone()));
        ticks.tasks.spawn(tick(pipeline, status.clone(), ticks.draining.clone()));
        status.set_ready();
        Ok(Gateway { plan, status, journal, shipping, inputs, service, ticks, addresses })
    }

    /// Stops in order, within the plan's deadline. What is not delivered by then stays in the journal.
    pub async fn stop(self) {
        let deadline = tokio::time::Instant::now() + self.plan.limits.stop_deadline;
        self.status.set_draining();
        end(&self.inputs, deadline, "inputs").await;
        self.shipping.stop(deadline).await;
        self.journal.close().await;
        end(&self.service, deadline, "log service").await;
        end(&self.ticks, deadline, "operations").await;
    }

    pub fn operations(&self) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name == "operations").map(|(_, address)| *address)
    }

    pub fn project(&self) -> Option<&str> {
        self.plan.log_service.as_ref().map(|service| service.project.as_str())
    }
}

async fn end(stop: &Stop, deadline: tokio::time::Instant, what: &str) {
    stop.draining.cancel();
    stop.tasks.close();
    if tokio::time::timeout_at(deadline, stop.tasks.wait()).await.is_err() {
        tracing::warn!("{what} did not end before limits.stop_deadline");
    }
}

async fn bind(key: &str, address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{key}: cannot listen on {address}; is another program using it? Choose another address or stop that one")
    })
}

fn open_data_dir(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir)
        .and_then(|()| {
            let probe = dir.join(".writable");
            std::fs::write(&probe, b"")?;
            std::fs::remove_file(probe)
        })
        .with_context(|| {
            format!(
                "cannot write to the data directory {}; give this user write access or choose another with --data-dir",
                dir.display()
            )
        })
}

/// The gateway's own name in pack ids: random, made once per data directory.
fn instance(dir: &Path) -> Result<String> {
    let path: PathBuf = dir.join("instance");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() == 32 => Ok(text.trim().to_owned()),
        Ok(_) => bail!("{} is damaged; remove it to start new pack_id series", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut random = [0u8; 16];
            getrandom::fill(&mut random).context("the system gives no random bytes")?;
            let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            std::fs::write(&path, format!("{text}\n"))
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

async fn start_senders(
    shipping: Arc<Shipping>,
    mut announced: mpsc::Receiver<Arc<Destination>>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            Some(destination) = announced.recv() => shipping.start(destination).await,
            () = stop.cancelled() => return,
            else => return,
        }
    }
}

async fn tick(pipeline: Arc<Pipeline>, status: Arc<Status>, stop: CancellationToken) {
    let mut joins = tokio::time::interval(JOIN_TICK);
    let mut upkeep = tokio::time::interval(METRICS_TICK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = joins.tick() => pipeline.store_overdue(Instant::now()),
            _ = upkeep.tick() => status.upkeep(),
        }
    }
}

/// How each input joins, by name: for the pieces an earlier run left.
fn join_settings(plan: &Plan) -> HashMap<String, JoinSettings> {
    let of_input = |input: &InputPlan| match &input.kind {
        InputKind::Forward(forward) => {
            (input.name.clone(), JoinSettings { timeout: forward.join_timeout, max_line: forward.max_line })
        }
    };
    plan.inputs.iter().map(of_input).collect()
}
