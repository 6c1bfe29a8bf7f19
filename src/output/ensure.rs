//! `auto_create`: project, logstore and a default index are made when the service says that they do not exist.
//!
//! ```text
//! PutLogs -> 404 ProjectNotExist  -> CreateProject -.
//! PutLogs -> 404 LogStoreNotExist ------------------+-> CreateLogstore -> CreateIndex | CreateSubStore -> PutLogs, for a while 404
//! ```
//!
//! What exists already is a success and stays as it is, its settings and its index included: an index is made only for a
//! logstore that was made here. A new project or logstore is not known everywhere at once, so each step repeats the
//! 404 of the step before it for a while. Of all requests of a destination that find it missing, one makes it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::client::{Client, ServiceError};
use crate::config::plan::AutoCreate;

/// A step that is told of what was just made that it does not exist is tried so often, after this.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(2);
/// What was made counts as made for so long, whatever PutLogs says.
const SETTLING: Duration = Duration::from_secs(120);
/// The word separators of a new index, as the vendor's console sets them.
pub const TOKENS: &str = ", '\";=()[]{}?@&<>/:\n\t\r";

/// What is made for one destination.
pub struct Ensure {
    settings: AutoCreate,
    project: String,
    logstore: String,
    /// A metric store.
    metrics: bool,
    /// Tags with an index of their own.
    tags: Vec<String>,
    made: tokio::sync::Mutex<Option<Instant>>,
}

/// Why it cannot be made; a sentence for people.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be made: {why}")]
pub struct EnsureError {
    what: String,
    why: String,
    /// Whether it may well work soon.
    pub passing: bool,
}

impl Ensure {
    pub fn new(
        settings: AutoCreate,
        project: &str,
        logstore: &str,
        metrics: bool,
        tags: Vec<String>,
    ) -> Ensure {
        let (project, logstore) = (project.to_owned(), logstore.to_owned());
        Ensure { settings, project, logstore, metrics, tags, made: tokio::sync::Mutex::default() }
    }

    /// Makes the logstore, and the project where that is what is missing. `Ok` when they were made here or elsewhere;
    /// PutLogs may not know it yet.
    pub async fn make(&self, client: &Client, project_too: bool) -> Result<(), EnsureError> {
        let mut made = self.made.lock().await;
        if made.is_some_and(|made| made.elapsed() < SETTLING) {
            return Ok(());
        }
        if project_too {
            let body = json!({ "projectName": self.project, "description": "made by Sluicegate" });
            let what = format!("project {}", self.project);
            if self.step(client, "/", &body, &what).await? {
                tracing::info!(project = %self.project, "made the project, which did not exist");
            }
        }
        let AutoCreate { shards, ttl, mode, index, auto_split, max_split_shards, append_meta, .. } =
            &self.settings;
        let mut body = json!({
            "logstoreName": self.logstore,
            "ttl": ttl,
            "shardCount": shards,
            "autoSplit": auto_split,
            "maxSplitShard": max_split_shards,
            "appendMeta": append_meta,
            "enable_tracking": false,
            "mode": mode.name(),
            "telemetryType": if self.metrics { "Metrics" } else { "" },
        });
        if let Some(days) = self.settings.hot_ttl {
            body["hot_ttl"] = days.into();
        }
        let what = format!("logstore {}/{}", self.project, self.logstore);
        if self.step(client, "/logstores", &body, &what).await? {
            tracing::info!(project = %self.project, logstore = %self.logstore, "made the logstore, which did not exist");
            if self.metrics {
                let path = format!("/logstores/{}/substores", self.logstore);
                self.step(client, &path, &self.substore(), &format!("the metrics of {what}")).await?;
            } else if *index {
                let path = format!("/logstores/{}/index", self.logstore);
                self.step(client, &path, &self.index(), &format!("the index of {what}")).await?;
            }
        }
        *made = Some(Instant::now());
        Ok(())
    }

    /// One POST; true when it made something, false when that was there.
    async fn step(&self, client: &Client, path: &str, body: &Value, what: &str) -> Result<bool, EnsureError> {
        let body = Bytes::from(body.to_string());
        let headers = [("Content-Type", "application/json")];
        let failed = |why, passing| EnsureError { what: what.to_owned(), why, passing };
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = client
                .call("POST", path, &[], &headers, body.clone(), body.len())
                .await
                .map_err(|error| failed(error.to_string(), true))?;
            if answer.status == 200 {
                return Ok(true);
            }
            let ServiceError { code, message } = answer.error();
            if code.ends_with("AlreadyExist") {
                return Ok(false);
            }
            let absent = matches!(code.as_str(), "ProjectNotExist" | "LogStoreNotExist");
            if !absent || tries == TRIES {
                let id = answer.request_id.unwrap_or_default();
                let why = format!("HTTP {} {code}: {message} (request {id})", answer.status);
                return Err(failed(why, absent || answer.status >= 500));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn index(&self) -> Value {
        if let Some(own) = &self.settings.own_index {
            return own.clone();
        }
        let tokens: Vec<String> = TOKENS.chars().map(String::from).collect();
        let text = json!({ "type": "text", "token": tokens, "caseSensitive": false, "chn": false, "doc_value": true });
        let keys: Map<String, Value> =
            self.tags.iter().map(|tag| (format!("__tag__:{tag}"), text.clone())).collect();
        json!({ "line": { "token": tokens, "caseSensitive": false, "chn": false }, "keys": keys })
    }

    /// The columns of a metric store.
    fn substore(&self) -> Value {
        json!({
            "name": "prom",
            "ttl": self.settings.ttl,
            "sortedKeyCount": 2,
            "timeIndex": 2,
            "keys": [
                { "name": "__name__", "type": "text" },
                { "name": "__labels__", "type": "labels" },
                { "name": "__time_nano__", "type": "long" },
                { "name": "__value__", "type": "double" },
            ],
        })
    }
}
