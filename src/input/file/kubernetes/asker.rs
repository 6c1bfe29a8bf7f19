//! The one task that asks the API server: the list of the node once, then Pod by Pod.
//!
//! [`AT_ONCE`] requests at most; after a failure of the server all wait, longer each time, and one tries. A request that is
//! refused for what it asks is not the server's failure: it waits by itself, and the others go on.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::facts::PodObject;
use super::pods::{Inner, Key};
use crate::base::backoff::Backoff;
use crate::base::limits;
use crate::cluster::{ApiError, Client, Kind, Page};

/// Requests at once.
const AT_ONCE: usize = 4;
/// All Pods of a node: some hundred, of some 10 KiB each.
const LIST_BYTES: usize = 32 * limits::MIB;

/// What is asked, and what came of it.
enum Done {
    List(Result<Page<PodObject>, ApiError>),
    Pod(Key, Result<Option<Box<PodObject>>, ApiError>),
}

pub(super) struct Asker {
    inner: Arc<Inner>,
    /// The node whose list is to be asked for.
    node: Option<String>,
    calls: JoinSet<Done>,
    backoff: Backoff,
    pause: Option<Instant>,
}

impl Asker {
    pub(super) fn new(inner: Arc<Inner>, node: Option<String>) -> Asker {
        let (first, longest) = inner.manners.pauses;
        Asker { backoff: Backoff::new(first, longest), inner, node, calls: JoinSet::new(), pause: None }
    }

    pub(super) async fn run(mut self) {
        loop {
            let now = Instant::now();
            if self.pause.is_some_and(|until| until <= now) {
                self.pause = None;
            }
            if self.pause.is_none() {
                self.call();
            }
            let (inner, calls) = (&self.inner, &mut self.calls);
            // While something is under way, its end is when to look again.
            let wake = self.pause.or_else(|| inner.next_later().filter(|_| calls.is_empty()));
            tokio::select! {
                Some(done) = calls.join_next() => {
                    match done {
                        Ok(done) => self.done(done),
                        Err(error) => tracing::error!(%error, "asking the Kubernetes API server failed"),
                    }
                }
                () = inner.news.notified() => {}
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// Begins what may be begun. The list comes first: it spares most of the others.
    fn call(&mut self) {
        let most = if self.backoff.tries() > 0 { 1 } else { AT_ONCE };
        if let Some(node) = self.node.clone() {
            if self.calls.is_empty() {
                let inner = self.inner.clone();
                self.calls.spawn(async move { Done::List(pods_of(&inner.client, &node).await) });
            }
            return;
        }
        while self.calls.len() < most {
            let Some(key) = self.inner.next() else { break };
            let inner = self.inner.clone();
            self.calls.spawn(async move {
                let path = key.path();
                let pod = inner.client.get(&Kind::POD, Some(&path.namespace), &path.pod).await;
                let pod = pod.map(|pod: Option<PodObject>| pod.filter(|pod| pod.is(&path)).map(Box::new));
                Done::Pod(key, pod)
            });
        }
    }

    fn done(&mut self, done: Done) {
        let error = match done {
            Done::List(Ok(list)) => {
                self.node = None;
                self.inner.tally.found.increment(1);
                self.inner.publish_all(list);
                None
            }
            Done::Pod(key, Ok(pod)) => {
                let tally = &self.inner.tally;
                let outcome = if pod.is_some() { &tally.found } else { &tally.gone };
                outcome.increment(1);
                self.inner.publish(&key, pod.map(|pod| *pod));
                None
            }
            Done::List(Err(error)) => {
                if error.is_of_request() {
                    // Each by itself, then.
                    self.node = None;
                } else {
                    self.inner.excuse_all(&error);
                }
                Some(error)
            }
            Done::Pod(key, Err(error)) => {
                self.inner.put_back(key, &error);
                Some(error)
            }
        };
        let Some(error) = error else { return self.backoff.reset() };
        self.inner.complain(&error);
        if error.is_of_request() {
            self.backoff.reset();
        } else {
            let pause = self.backoff.next_wait().max(error.wait().unwrap_or_default());
            self.pause = Some(Instant::now() + pause);
        }
    }
}

/// All Pods of a node. Without `resourceVersion=0` each would cost the server a walk through all Pods of the cluster.
async fn pods_of(client: &Client, node: &str) -> Result<Page<PodObject>, ApiError> {
    let node = format!("spec.nodeName={node}");
    let parameters = [("fieldSelector", node.as_str()), ("resourceVersion", "0")];
    client.list(&Kind::POD, None, &parameters, LIST_BYTES).await
}
