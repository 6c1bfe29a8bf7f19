//! The senders: one per destination, started when a destination appears, stopped together.
//!
//! A destination whose client cannot be made (a name that is not resolved, a full disk) is tried again for as long as
//! it takes; its records are stored meanwhile, and `status` says why they wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::report::Status;
use crate::base::backoff::Backoff;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::gauge;
use crate::config::plan::{BatchGroup, Compression, OutOfRange, Target};
use crate::input::{duplicates, positions};
use crate::journal::Journal;
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

pub(super) struct Shipping {
    journal: Journal,
    letters: Arc<DeadLetters>,
    store: Option<(Arc<Store>, std::net::SocketAddr)>,
    keyring: Keyring,
    status: Arc<Status>,
    out_of_range: OutOfRange,
    concurrency: Arc<Concurrency>,
    /// Of the destinations that have one, by their names in the configuration.
    rates: Mutex<HashMap<String, Arc<Rate>>>,
    stop: CancellationToken,
    /// The deadline has passed: senders end where they are.
    abort: CancellationToken,
    tasks: TaskTracker,
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
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts the sender of a destination, in a task of its own.
    pub(super) fn start(self: &Arc<Self>, destination: Arc<Destination>) {
        let shipping = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = shipping.abort.cancelled() => {}
                () = shipping.ship(&destination) => {}
            }
        });
    }

    async fn ship(&self, destination: &Destination) {
        let label = destination.label();
        let Some(client) = self.connect(destination, &label).await else { return };
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
        Sender::new(outbox, delivery, flying).run(self.stop.clone()).await;
    }

    /// Makes the client, however often it takes. `None` when the gateway stops before.
    async fn connect(&self, destination: &Destination, label: &str) -> Option<Client> {
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
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    fn delivery(&self, destination: &Destination, client: Client) -> Delivery {
        let label = destination.label();
        let plan = &destination.plan;
        let rate = plan.max_rate.map(|bytes| {
            let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
            rates.entry(plan.name.clone()).or_insert_with(|| Arc::new(Rate::new(bytes))).clone()
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
            ensure: plan.auto_create.map(|settings| {
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

    async fn client(&self, destination: &Destination) -> anyhow::Result<Client> {
        let plan = &destination.plan;
        let timeout = plan.request_timeout;
        match (&plan.target, &self.store) {
            (Target::Cloud(cloud), _) => {
                let credentials = self.keyring.of(&plan.name, &cloud.credentials, &cloud.transport);
                let (cloud, project) = (cloud.clone(), plan.project.clone());
                // Looking up a name and reading certificates may take long.
                let make = move || Client::with_credentials(&cloud, &project, credentials, timeout);
                Ok(tokio::task::spawn_blocking(make).await??)
            }
            (Target::Embedded, Some((store, address))) => {
                store.ensure(&plan.project, &destination.logstore).await?;
                let own = store.access_key();
                let key = AccessKey { id: own.id.clone(), secret: own.secret.clone(), security_token: None };
                let credentials = Credentials::Static(Arc::new(key));
                Ok(Client::new(&format!("http://{address}"), &plan.project, credentials, timeout)?)
            }
            (Target::Embedded, None) => anyhow::bail!("the embedded Log Service is off"),
        }
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
