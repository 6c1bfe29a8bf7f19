//! The senders: one per destination, started when a destination appears, stopped together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::report::Status;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::gauge;
use crate::config::plan::{Compression, Target};
use crate::journal::Journal;
use crate::output::credentials::{AccessKey, Credentials};
use crate::output::deliver::{Delivery, DeliveryMetrics};
use crate::output::refused::DeadLetters;
use crate::output::{Client, Outbox, Sender};
use crate::pipeline::destinations::Destination;
use crate::store::Store;
use crate::wire::compress::Kind;

pub(super) struct Shipping {
    journal: Journal,
    letters: Arc<DeadLetters>,
    store: Option<(Arc<Store>, std::net::SocketAddr)>,
    status: Arc<Status>,
    stop: CancellationToken,
    tasks: TaskTracker,
    aborts: Mutex<Vec<tokio::task::AbortHandle>>,
}

impl Shipping {
    pub(super) fn new(
        journal: Journal,
        letters: Arc<DeadLetters>,
        store: Option<(Arc<Store>, std::net::SocketAddr)>,
        status: Arc<Status>,
    ) -> Self {
        Shipping {
            journal,
            letters,
            store,
            status,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            aborts: Mutex::default(),
        }
    }

    /// Starts the sender of a destination. One that cannot be started says so in `status` and keeps its records.
    pub(super) async fn start(&self, destination: Arc<Destination>) {
        let label = destination.label();
        let client = match self.client(&destination).await {
            Ok(client) => client,
            Err(problem) => {
                tracing::error!(destination = %label, "records are stored but cannot be sent: {problem:#}");
                self.status.add_broken(&label, format!("{problem:#}"));
                return;
            }
        };
        let delivery = Arc::new(self.delivery(&destination, client));
        self.status.add_destination(&label, delivery.clone());
        let plan = &destination.plan;
        let outbox = Outbox {
            journal: self.journal.clone(),
            queue: destination.queue,
            batch_bytes: plan.batch_bytes,
            batch_age: plan.batch_age,
            quota: destination.quota,
            in_flight: plan.in_flight,
        };
        let flying =
            gauge("sluicegate_requests_in_flight", "PutLogs requests in flight.", &[("destination", &label)]);
        let sender = Sender::new(outbox, delivery, flying);
        let task = self.tasks.spawn(sender.run(self.stop.clone()));
        self.aborts.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(task.abort_handle());
    }

    fn delivery(&self, destination: &Destination, client: Client) -> Delivery {
        let label = destination.label();
        Delivery {
            client,
            logstore: destination.logstore.clone(),
            compression: match destination.plan.compression {
                Compression::Lz4 => Kind::Lz4,
                Compression::Zstd => Kind::Zstd,
                Compression::None => Kind::None,
            },
            letters: self.letters.clone(),
            trouble: Mutex::default(),
            metrics: DeliveryMetrics::new(&label),
            complaint: LogLimit::new(Duration::from_secs(10)),
            label,
        }
    }

    async fn client(&self, destination: &Destination) -> anyhow::Result<Client> {
        let plan = &destination.plan;
        let timeout = plan.request_timeout;
        match (&plan.target, &self.store) {
            (Target::Cloud(cloud), _) => {
                let key = AccessKey {
                    id: cloud.access_key_id.clone(),
                    secret: cloud.access_key_secret.clone(),
                    security_token: cloud.security_token.clone(),
                };
                let credentials = Credentials::Static(Arc::new(key));
                let connect = cloud.connect.as_ref().map(|address| address.to_string());
                Ok(Client::new(
                    &cloud.endpoint.to_string(),
                    &plan.project,
                    connect.as_deref(),
                    credentials,
                    timeout,
                )?)
            }
            (Target::Embedded, Some((store, address))) => {
                store.ensure(&plan.project, &destination.logstore).await?;
                let own = store.access_key();
                let key = AccessKey { id: own.id.clone(), secret: own.secret.clone(), security_token: None };
                let credentials = Credentials::Static(Arc::new(key));
                Ok(Client::new(&format!("http://{address}"), &plan.project, None, credentials, timeout)?)
            }
            (Target::Embedded, None) => anyhow::bail!("the embedded Log Service is off"),
        }
    }

    /// Lets every sender deliver what is stored until `deadline`, then ends them.
    pub(super) async fn stop(&self, deadline: tokio::time::Instant) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_err() {
            let left: u64 = self.journal.stats().queues.iter().map(|queue| queue.live_bytes).sum();
            tracing::info!("{left} bytes are not delivered yet; they stay in the journal for the next start");
            for abort in self.aborts.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).drain(..) {
                abort.abort();
            }
            self.tasks.wait().await;
        }
    }
}
