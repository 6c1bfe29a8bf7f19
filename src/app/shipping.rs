//! The senders: one per destination, started when a destination appears, stopped together.
//!
//! A queue never has two senders. What is collected because others say so comes and goes while the gateway runs: a
//! destination that appears with other settings waits for the sender before it, and one that is retired is served until its
//! queue is empty.
//!
//! A destination whose client cannot be made (a name that is not resolved, a full disk) is tried again for as long as
//! it takes; its records are stored meanwhile, and `status` says why they wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::report::Status;
use crate::base::backoff::Backoff;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::gauge;
use crate::collection::machine_groups::Service;
use crate::config::plan::{BatchGroup, Compression, DestinationPlan, OutOfRange, Target};
use crate::input::{duplicates, positions};
use crate::journal::{Journal, QueueId};
use crate::output::concurrency::{Concurrency, Share};
use crate::output::credentials::{AccessKey, Credentials, Keyring};
use crate::output::deliver::{Delivery, DeliveryMetrics, Lists, Waits};
use crate::output::ensure::Ensure;
use crate::output::rate::Rate;
use crate::output::refused::DeadLetters;
use crate::output::shard_key::ShardKey;
use crate::output::{Client, Outbox, Sender};
use crate::pipeline::destinations::Destination;
use crate::store::Store;
use crate::wire::compress::Kind;

/// Waiting times between tries to make a client.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Projects whose destinations share connections; beyond, all of them begin anew.
const SHARED_CLIENTS: usize = 100;

pub(super) struct Shipping {
    journal: Journal,
    letters: Arc<DeadLetters>,
    store: Option<(Arc<Store>, std::net::SocketAddr)>,
    keyring: Keyring,
    status: Arc<Status>,
    out_of_range: OutOfRange,
    concurrency: Arc<Concurrency>,
    /// Of the destinations that have one, by their names in the configuration.
    rates: Mutex<HashMap<String, (u64, Arc<Rate>)>>,
    /// Of what is collected, by project and how it is reached: a thousand destinations share some connections, of which
    /// the embedded service takes 512.
    clients: Mutex<HashMap<String, Arc<Client>>>,
    outlets: Mutex<HashMap<QueueId, Outlet>>,
    /// Where the next sender of a retired queue begins: configurations come and go under ever new names, so that is all
    /// that is remembered of theirs.
    left: Mutex<HashMap<QueueId, u64>>,
    stop: CancellationToken,
    /// The deadline has passed: senders end where they are.
    abort: CancellationToken,
    tasks: TaskTracker,
}

/// A queue and the sender that was started last for it.
struct Outlet {
    /// Held by the sender that runs, with the number above which the next one has to begin; none ran yet when it is absent.
    turn: Arc<tokio::sync::Mutex<Option<u64>>>,
    destination: Arc<Destination>,
    /// It ends when the queue is empty.
    retired: CancellationToken,
    /// It ends when it has delivered what it holds.
    replaced: CancellationToken,
    ended: CancellationToken,
}

/// Whether a sender that was started for the one also serves the other.
fn serve_alike(one: &DestinationPlan, other: &DestinationPlan) -> bool {
    let of = |plan: &DestinationPlan| {
        let sent =
            (plan.compression, plan.batch_group, plan.batch_bytes, plan.batch_age, plan.shard_key.clone());
        let paced = (plan.in_flight, plan.max_rate, plan.request_timeout);
        (sent, paced, plan.auto_create.clone(), plan.hostname_tag, plan.tags.clone())
    };
    of(one) == of(other)
}

impl Shipping {
    pub(super) fn new(
        journal: Journal,
        letters: Arc<DeadLetters>,
        store: Option<(Arc<Store>, std::net::SocketAddr)>,
        status: Arc<Status>,
        out_of_range: OutOfRange,
    ) -> Self {
        Shipping {
            journal,
            letters,
            store,
            keyring: Keyring::default(),
            status,
            out_of_range,
            concurrency: Arc::default(),
            rates: Mutex::default(),
            clients: Mutex::default(),
            outlets: Mutex::default(),
            left: Mutex::default(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    fn outlets(&self) -> MutexGuard<'_, HashMap<QueueId, Outlet>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, HashMap<QueueId, u64>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many queues have a sender, or had one that was not retired.
    #[cfg(test)]
    pub(super) fn served(&self) -> usize {
        self.outlets().len()
    }

    /// Starts the sender of a destination, in a task of its own, behind the one that serves its queue already. Nothing is
    /// done when that one serves it as well.
    pub(super) fn start(self: &Arc<Self>, destination: Arc<Destination>) {
        let (retired, replaced) = (self.stop.child_token(), CancellationToken::new());
        let ended = CancellationToken::new();
        let mut outlets = self.outlets();
        let turn = match outlets.get(&destination.queue) {
            Some(before) => {
                let serves = !before.retired.is_cancelled() && !before.replaced.is_cancelled();
                if serves && serve_alike(&before.destination.plan, &destination.plan) {
                    return;
                }
                before.replaced.cancel();
                before.turn.clone()
            }
            None => {
                let left = self.left().remove(&destination.queue);
                Arc::new(tokio::sync::Mutex::new(left))
            }
        };
        let outlet = Outlet {
            turn: turn.clone(),
            destination: destination.clone(),
            retired: retired.clone(),
            replaced: replaced.clone(),
            ended: ended.clone(),
        };
        outlets.insert(destination.queue, outlet);
        drop(outlets);
        let shipping = self.clone();
        self.tasks.spawn(async move {
            let _ended = ended.drop_guard();
            let shipped = async {
                let mut turn = turn.lock().await;
                // Who was replaced while it waited has nothing to do.
                if !replaced.is_cancelled()
                    && let Some(floor) = shipping.ship(&destination, *turn, retired, replaced).await
                {
                    *turn = Some(floor);
                }
            };
            tokio::select! {
                biased;
                () = shipping.abort.cancelled() => {}
                () = shipped => {}
            }
        });
    }

    /// Ends the senders of a destination but that of the logstore to keep, each when its queue is empty. Everything that
    /// belongs there has been stored before.
    pub(super) fn retire(self: &Arc<Self>, name: &str, keep: Option<&str>) {
        let outlets = self.outlets();
        let retired = outlets.iter().filter(|(_, outlet)| {
            let destination = &outlet.destination;
            destination.plan.name == name && Some(destination.logstore.as_str()) != keep
        });
        for (queue, outlet) in retired {
            outlet.retired.cancel();
            let (shipping, queue) = (self.clone(), *queue);
            let (turn, ended, destination) =
                (outlet.turn.clone(), outlet.ended.clone(), outlet.destination.clone());
            self.tasks.spawn(async move {
                ended.cancelled().await;
                let floor = *turn.lock().await;
                let mut outlets = shipping.outlets();
                // Another one may have been started behind it.
                let is_last =
                    outlets.get(&queue).is_some_and(|outlet| Arc::ptr_eq(&outlet.destination, &destination));
                if is_last && !shipping.stop.is_cancelled() {
                    shipping.status.retire_destination(&destination.label());
                    outlets.remove(&queue);
                    if let Some(floor) = floor {
                        shipping.left().insert(queue, floor);
                    }
                }
            });
        }
    }

    async fn ship(
        &self,
        destination: &Destination,
        floor: Option<u64>,
        retired: CancellationToken,
        replaced: CancellationToken,
    ) -> Option<u64> {
        let label = destination.label();
        let client = self.connect(destination, &label, &retired, &replaced).await?;
        let delivery = Arc::new(self.delivery(destination, client));
        self.status.add_destination(&label, delivery.clone());
        let plan = &destination.plan;
        let outbox = Outbox {
            journal: self.journal.clone(),
            queue: destination.queue,
            batch_bytes: plan.batch_bytes,
            batch_age: plan.batch_age,
            quota: destination.quota,
            in_flight: plan.in_flight,
            shard_key: (!plan.shard_key.is_empty()).then(|| ShardKey(plan.shard_key.clone())),
        };
        let flying = gauge(
            "sluicegate_requests_in_flight",
            "LogGroups sealed and not yet accepted.",
            &[("destination", &label)],
        );
        let sender = Sender::new(outbox, delivery, flying, floor.unwrap_or_default());
        Some(sender.run(retired, replaced, floor.is_none()).await)
    }

    /// Makes the client, however often it takes. `None` when the gateway stops before, when another sender is to take over,
    /// or when nothing waits and nothing will.
    async fn connect(
        &self,
        destination: &Destination,
        label: &str,
        retired: &CancellationToken,
        replaced: &CancellationToken,
    ) -> Option<Client> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let mut failed = false;
        loop {
            match self.client(destination).await {
                Ok(client) => {
                    self.status.set_broken(label, None);
                    if failed {
                        tracing::info!(destination = %label, "records are sent now");
                    }
                    return Some(client);
                }
                Err(problem) => {
                    failed = true;
                    let problem = format!("{problem:#}");
                    if self.status.set_broken(label, Some(&problem)) {
                        tracing::error!(destination = %label,
                            "records are stored but cannot be sent: {problem}; trying again");
                    }
                }
            }
            if retired.is_cancelled() && !self.holds_any(destination.queue) {
                self.status.set_broken(label, None);
                return None;
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = replaced.cancelled() => return None,
                () = retired.cancelled(), if !retired.is_cancelled() => {}
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    fn holds_any(&self, queue: QueueId) -> bool {
        self.journal.stats().queues.iter().any(|known| known.id == queue && known.entries > 0)
    }

    fn delivery(&self, destination: &Destination, client: Client) -> Delivery {
        let label = destination.label();
        let plan = &destination.plan;
        let rate = plan.max_rate.map(|bytes| {
            let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            let rate = rates.entry(plan.name.clone()).or_insert_with(|| (bytes, Arc::new(Rate::new(bytes))));
            if rate.0 != bytes {
                *rate = (bytes, Arc::new(Rate::new(bytes)));
            }
            rate.1.clone()
        });
        let embedded = matches!(plan.target, Target::Embedded);
        Delivery {
            share: self.share(destination, &client),
            rate,
            lists: Lists::new(match plan.batch_group {
                BatchGroup::Auto => embedded,
                BatchGroup::On => true,
                BatchGroup::Off => false,
            }),
            ensure: plan.auto_create.clone().map(|settings| {
                let host = plan.hostname_tag.then(|| "__hostname__".to_owned());
                let tags = host.into_iter().chain(plan.tags.iter().map(|(key, _)| key.clone())).collect();
                let metrics = destination.logstore == plan.signal_logstores.metrics;
                Ensure::new(settings, &plan.project, &destination.logstore, metrics, tags)
            }),
            out_of_range: self.out_of_range,
            client,
            logstore: destination.logstore.clone(),
            compression: match plan.compression {
                Compression::Lz4 => Kind::Lz4,
                Compression::Zstd => Kind::Zstd,
                Compression::None => Kind::None,
            },
            letters: self.letters.clone(),
            waits: Waits::default(),
            trouble: Mutex::default(),
            metrics: DeliveryMetrics::new(&label),
            complaint: LogLimit::new(Duration::from_secs(60)),
            label,
        }
    }

    /// Its part in the limits of the endpoint it reaches, of its project and of its logstore.
    fn share(&self, destination: &Destination, client: &Client) -> Share {
        let plan = &destination.plan;
        let mut endpoint = client.base().replacen(&format!("://{}.", plan.project), "://", 1);
        if let Target::Cloud(cloud) = &plan.target
            && let Some(connect) = &cloud.connect
        {
            endpoint = format!("{endpoint} at {connect}");
        }
        self.concurrency.join(&endpoint, &plan.project, &destination.logstore, plan.in_flight)
    }

    /// Where a destination's machine groups are. `None`: in an embedded Log Service that is off.
    pub(super) fn service(&self, plan: &DestinationPlan) -> Option<Service> {
        match (&plan.target, &self.store) {
            (Target::Cloud(cloud), _) => {
                let credentials = self.keyring.of(&plan.name, &cloud.credentials, &cloud.transport);
                Some(Service::Cloud { plan: cloud.clone(), credentials })
            }
            (Target::Embedded, Some((store, address))) => {
                let own = store.access_key();
                let key = AccessKey { id: own.id.clone(), secret: own.secret.clone(), security_token: None };
                let credentials = Credentials::Static(Arc::new(key));
                Some(Service::Embedded { endpoint: format!("http://{address}"), credentials })
            }
            (Target::Embedded, None) => None,
        }
    }

    async fn client(&self, destination: &Destination) -> anyhow::Result<Client> {
        let plan = &destination.plan;
        let timeout = plan.request_timeout;
        // Each configuration has a destination of its own, and all of them are reached alike.
        let shared = super::collection::is_collected(&plan.name).then(|| match &plan.target {
            Target::Cloud(cloud) => {
                format!("{} {timeout:?} {:?}", plan.project, (&cloud.connect, &cloud.endpoint))
            }
            Target::Embedded => format!("{} {timeout:?}", plan.project),
        });
        let known = shared.as_ref().and_then(|key| self.clients().get(key).cloned());
        let client = match (&plan.target, &self.store) {
            (Target::Cloud(cloud), _) => {
                let credentials = self.keyring.of(&plan.name, &cloud.credentials, &cloud.transport);
                if let Some(known) = known {
                    return Ok(known.twin(credentials));
                }
                let (cloud, project) = (cloud.clone(), plan.project.clone());
                // Looking up a name and reading certificates may take long.
                let make = move || Client::with_credentials(&cloud, &project, credentials, timeout);
                tokio::task::spawn_blocking(make).await??
            }
            (Target::Embedded, Some((store, address))) => {
                // Who says how it is to be made has it made over the API, when it is missed.
                if plan.auto_create.is_none() {
                    store.ensure(&plan.project, &destination.logstore).await?;
                }
                let own = store.access_key();
                let key = AccessKey { id: own.id.clone(), secret: own.secret.clone(), security_token: None };
                let credentials = Credentials::Static(Arc::new(key));
                if let Some(known) = known {
                    return Ok(known.twin(credentials));
                }
                Client::new(&format!("http://{address}"), &plan.project, credentials, timeout)?
            }
            (Target::Embedded, None) => anyhow::bail!("the embedded Log Service is off"),
        };
        let Some(key) = shared else { return Ok(client) };
        let mut clients = self.clients();
        if clients.len() >= SHARED_CLIENTS {
            clients.clear();
        }
        let credentials = client.credentials();
        let shared = clients.entry(key).or_insert_with(|| Arc::new(client));
        Ok(shared.twin(credentials))
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<String, Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets every sender deliver what is stored until `deadline`, then ends them.
    pub(super) async fn stop(&self, deadline: tokio::time::Instant) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_err() {
            let stats = self.journal.stats();
            let kept = stats
                .queues
                .iter()
                .filter(|queue| queue.name != duplicates::QUEUE && queue.name != positions::QUEUE);
            let left: u64 = kept.map(|queue| queue.live_bytes).sum();
            tracing::info!("{left} bytes are not delivered yet; they stay in the journal for the next start");
        }
        self.abort.cancel();
        self.ended().await;
    }

    /// Waits for senders that were started behind the stop, for destinations that were announced just before: they end at
    /// once, and hold the data directory until then.
    pub(super) async fn ended(&self) {
        self.tasks.wait().await;
    }
}
