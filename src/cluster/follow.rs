//! All resources of a kind, and every change of them: a list, then a watch from the version of the list.
//!
//! ```text
//! list in pages --> Change::All     version V of the list
//! watch from V  --> ADDED, MODIFIED: Put   DELETED: Gone   BOOKMARK: V alone   ERROR: list again
//!    ends (the server ends each after some minutes), falls silent: watch again from the last version
//!    410 Gone, a line that is none: list again
//! ```
//!
//! A failure is told and tried again, longer each time; what is known stays. Pages and watches are bounded: a list of
//! [`LIST_BYTES`], a line of [`LINE_BYTES`].

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Client, OBJECT_BYTES, Page};
use super::error::{ApiError, StatusObject};
use super::kind::Kind;
use crate::base::backoff::Backoff;
use crate::base::limits;

const LIST_BYTES: usize = 32 * limits::MIB;
/// A change: an object, and a few words.
const LINE_BYTES: usize = OBJECT_BYTES;
const PAGE: &str = "250";
/// A page that is told again from the beginning so often is never complete.
const RESTARTS: usize = 3;

/// What happened to resources of a kind.
#[derive(Debug)]
pub enum Change {
    /// All there are now.
    All(Vec<Value>),
    /// One that is new or another now.
    Put(Value),
    /// One as it was when it went.
    Gone(Value),
    /// Nobody knows at the moment; it is tried again.
    Failed(ApiError),
    /// What is known is so again, after a failure.
    Well,
}

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Pauses after failures, the first and the longest.
    pub pauses: (Duration, Duration),
    /// A kind that is not there is looked for again so often.
    pub absent: Duration,
    /// A watch is asked to end after this.
    pub watch: Duration,
    /// One that says nothing for so long, not even its version, is begun anew. Servers say it about once a minute.
    pub quiet: Duration,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            pauses: (Duration::from_millis(500), Duration::from_secs(30)),
            absent: Duration::from_secs(60),
            watch: Duration::from_secs(290),
            quiet: Duration::from_secs(100),
        }
    }
}

/// Tells all changes until nobody listens.
pub async fn follow(
    client: &Client,
    kind: &Kind,
    namespace: Option<&str>,
    manners: Manners,
    changes: &mpsc::Sender<Change>,
) {
    let mut follower = Follower {
        client,
        kind,
        namespace,
        manners,
        changes,
        version: None,
        has_news: false,
        has_failed: false,
    };
    let mut backoff = Backoff::new(manners.pauses.0, manners.pauses.1);
    while !changes.is_closed() {
        let begun = Instant::now();
        follower.has_news = false;
        let result = follower.step().await;
        let has_lasted = begun.elapsed() >= manners.pauses.0;
        if follower.has_news || matches!(result, Ok(Step::Watched)) && has_lasted {
            backoff.reset();
        }
        let pause = match result {
            Ok(Step::Listed) => Duration::ZERO,
            Ok(Step::Watched) if has_lasted => Duration::ZERO,
            // A server that ends each watch at once is not asked without pause.
            Ok(Step::Watched) | Err(ApiError::Outdated { .. }) => backoff.next_wait(),
            Err(error) => {
                let pause = match &error {
                    ApiError::Absent { .. } => manners.absent,
                    error => backoff.next_wait().max(error.wait().unwrap_or_default()),
                };
                follower.tell(Change::Failed(error)).await;
                follower.has_failed = true;
                pause
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = changes.closed() => return,
        }
    }
}

struct Follower<'a> {
    client: &'a Client,
    kind: &'a Kind,
    namespace: Option<&'a str>,
    manners: Manners,
    changes: &'a mpsc::Sender<Change>,
    /// What is known is of this version. Absent: all is to be listed.
    version: Option<String>,
    /// A watch said something.
    has_news: bool,
    /// A failure was told, and nothing since then.
    has_failed: bool,
}

enum Step {
    Listed,
    Watched,
}

/// A line of a watch.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    event: String,
    object: Value,
}

impl Follower<'_> {
    /// Lists, or watches until the watch ends.
    async fn step(&mut self) -> Result<Step, ApiError> {
        let Some(version) = self.version.clone() else {
            let (items, version) = self.list().await?;
            self.version = Some(version);
            self.has_failed = false;
            self.tell(Change::All(items)).await;
            return Ok(Step::Listed);
        };
        let watched = self.watch(&version).await;
        if let Err(error) = &watched {
            let goes_on = match error {
                ApiError::Token { .. } | ApiError::Tls(_) | ApiError::Call { .. } => true,
                ApiError::Token401 { .. } | ApiError::Forbidden { .. } => true,
                ApiError::Status { status, .. } => *status == 429,
                _ => false,
            };
            if !goes_on {
                self.version = None;
            }
        }
        watched.map(|()| Step::Watched)
    }

    async fn list(&self) -> Result<(Vec<Value>, String), ApiError> {
        let asked = self.client.asked("list", self.kind.plural);
        let (mut items, mut next, mut rest, mut restarts) = (Vec::new(), String::new(), LIST_BYTES, 0);
        loop {
            let mut parameters = vec![("limit", PAGE)];
            if !next.is_empty() {
                parameters.push(("continue", &next));
            }
            let listed: Result<Page<Value>, ApiError> =
                self.client.list(self.kind, self.namespace, &parameters, rest).await;
            let page = match listed {
                Ok(page) => page,
                // The first pages are too old for the server to go on from.
                Err(ApiError::Outdated { .. }) if !next.is_empty() && restarts < RESTARTS => {
                    (items, next, rest) = (Vec::new(), String::new(), LIST_BYTES);
                    restarts += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let bytes: usize = page.items.iter().map(size).sum();
            rest = rest.checked_sub(bytes).ok_or_else(|| asked.too_large(LIST_BYTES))?;
            items.extend(page.items.into_iter().map(slim));
            if page.metadata.next.is_empty() {
                if page.metadata.resource_version.is_empty() {
                    return Err(asked.malformed("the list has no resourceVersion"));
                }
                return Ok((items, page.metadata.resource_version));
            }
            next = page.metadata.next;
        }
    }

    async fn watch(&mut self, version: &str) -> Result<(), ApiError> {
        let asked = self.client.asked("watch", self.kind.plural);
        let mut answer = self.client.watch(self.kind, self.namespace, version, self.manners.watch).await?;
        if std::mem::take(&mut self.has_failed) {
            self.tell(Change::Well).await;
        }
        let mut unread = Vec::new();
        loop {
            let part = match timeout(self.manners.quiet, answer.chunk()).await {
                Ok(Ok(Some(part))) => part,
                Ok(Ok(None)) | Err(_) => return Ok(()),
                Ok(Err(error)) => return Err(self.client.failed(&error)),
            };
            let mut from = unread.len();
            unread.extend_from_slice(&part);
            let mut taken = 0;
            while let Some(at) = memchr::memchr(b'\n', &unread[from..]) {
                let line = &unread[taken..from + at];
                (taken, from) = (from + at + 1, from + at + 1);
                if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    let line = serde_json::from_slice(line).map_err(|error| asked.malformed(error))?;
                    self.take(line).await?;
                }
            }
            unread.drain(..taken);
            if unread.len() > LINE_BYTES {
                return Err(asked.too_large(LINE_BYTES));
            }
        }
    }

    async fn take(&mut self, line: Line) -> Result<(), ApiError> {
        let Line { event, object } = line;
        if event == "ERROR" {
            let asked = self.client.asked("watch", self.kind.plural);
            let said: StatusObject = serde_json::from_value(object).unwrap_or_default();
            let status = reqwest::StatusCode::from_u16(said.code);
            let status = status.unwrap_or(reqwest::StatusCode::INTERNAL_SERVER_ERROR);
            return Err(asked.refused(status, &reqwest::header::HeaderMap::new(), &said));
        }
        if let Some(version) = object["metadata"]["resourceVersion"].as_str() {
            self.version = Some(version.to_owned());
        }
        self.has_news = true;
        match event.as_str() {
            "ADDED" | "MODIFIED" => self.tell(Change::Put(slim(object))).await,
            "DELETED" => self.tell(Change::Gone(slim(object))).await,
            // BOOKMARK, and what servers may say later.
            _ => {}
        }
        Ok(())
    }

    async fn tell(&self, change: Change) {
        // Whoever listened may have ended; the loop sees it.
        let _ = self.changes.send(change).await;
    }
}

/// Without what only servers and `kubectl` need, which is often more than the rest.
fn slim(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        metadata.remove("annotations");
    }
    object
}

/// Bytes of an object in memory, about.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(items) => 32 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 32 + map.iter().map(|(key, value)| 32 + key.len() + size(value)).sum::<usize>(),
        _ => 32,
    }
}
