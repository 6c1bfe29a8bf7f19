//! What became of resources, written back into their status.
//!
//! ```text
//! AliyunLogConfig              status { status: "OK" | reasons, statusCode: 200 | 400 }
//! ClusterAliyunPipelineConfig  status { success, message, lastAppliedConfig { project, config } }
//! ```
//!
//! Many gateways write the same. So each waits a moment before it writes, looks whether somebody else has, and never answers
//! what another one wrote: one write at most for each outcome of its own. Who refuses waits longer than who does not, so
//! that a refusal of one is what remains.
//!
//! A write that fails is tried again, and later each time; where the right is missing, everything else goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::Outcome;
use crate::base::backoff::Backoff;
use crate::base::metrics::{Counter, counter};
use crate::cluster::{ApiError, Client, Kind};

/// Of a message, which has its place in the table that `kubectl get` prints.
const MESSAGE_BYTES: usize = 1_000;
/// Writes at once.
const AT_ONCE: usize = 4;

/// Kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Of [`super::cluster::KINDS`].
    pub(super) kind: usize,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// What is to be written, or was.
struct Entry {
    uid: String,
    status: Value,
    due: Option<Instant>,
    is_under_way: bool,
}

pub(super) struct Statuses {
    client: Arc<Client>,
    kinds: [Kind; 2],
    entries: BTreeMap<Key, Entry>,
    calls: JoinSet<(Key, Value, Result<bool, ApiError>)>,
    /// How long is waited for others.
    patience: Duration,
    backoff: Backoff,
    written: Counter,
    failed: Counter,
}

impl Statuses {
    pub(super) fn new(
        client: Arc<Client>,
        kinds: [Kind; 2],
        patience: Duration,
        longest: Duration,
    ) -> Statuses {
        let count = |outcome| {
            let help = "Statuses of custom resources, written back to the API server.";
            counter("sluicegate_custom_resource_statuses_total", help, &[("outcome", outcome)])
        };
        Statuses {
            client,
            kinds,
            entries: BTreeMap::new(),
            calls: JoinSet::new(),
            patience,
            backoff: Backoff::new(patience.max(Duration::from_millis(10)), longest),
            written: count("written"),
            failed: count("failed"),
        }
    }

    /// All of this gateway's, with what became of each: what is to be written is so later, and what is gone is forgotten.
    pub(super) fn plan(&mut self, outcomes: &BTreeMap<Key, (&Value, Outcome)>) {
        self.entries.retain(|key, _| outcomes.contains_key(key));
        for (key, (object, outcome)) in outcomes {
            let status = status(key.kind, object, outcome);
            let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
            let known = self.entries.get(key);
            if known.is_some_and(|entry| entry.uid == uid && entry.status == status) {
                continue;
            }
            let waits = match outcome {
                Outcome::Applied { .. } => self.patience,
                Outcome::Refused { .. } => self.patience * 2,
            };
            let due = (!stands(object, &status)).then(|| Instant::now() + jitter(waits));
            let is_under_way = known.is_some_and(|entry| entry.is_under_way);
            self.entries.insert(key.clone(), Entry { uid: uid.to_owned(), status, due, is_under_way });
        }
    }

    /// When there is something to write.
    pub(super) fn due(&self) -> Option<Instant> {
        let waiting = self.entries.values().filter(|entry| !entry.is_under_way);
        waiting.filter_map(|entry| entry.due).min().filter(|_| self.calls.len() < AT_ONCE)
    }

    /// Begins what is due. `object`: as it is now.
    pub(super) fn write<'a>(&mut self, object: impl Fn(&Key) -> Option<&'a Value>) {
        let now = Instant::now();
        for (key, entry) in &mut self.entries {
            if self.calls.len() >= AT_ONCE {
                return;
            }
            if entry.is_under_way || entry.due.is_none_or(|due| due > now) {
                continue;
            }
            let Some(object) = object(key).filter(|object| !stands(object, &entry.status)) else {
                entry.due = None;
                continue;
            };
            let patch = changes(&object["status"], &entry.status);
            entry.is_under_way = true;
            let (client, kind) = (self.client.clone(), self.kinds[key.kind.min(1)]);
            let (key, status) = (key.clone(), entry.status.clone());
            self.calls.spawn(async move {
                let result = client.patch_status(&kind, key.namespace.as_deref(), &key.name, &patch).await;
                (key, status, result)
            });
        }
    }

    /// Waits for an end of a write, while there is one. The error is what is missing for all.
    pub(super) async fn ended(&mut self) -> Result<(), ApiError> {
        let Some(Ok((key, status, result))) = self.calls.join_next().await else { return Ok(()) };
        let wait = match &result {
            Ok(_) => Duration::ZERO,
            Err(error) => self.backoff.next_wait().max(error.wait().unwrap_or_default()),
        };
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.is_under_way = false;
            // Another outcome may have come meanwhile, which has its own time.
            if entry.status == status {
                entry.due = result.is_err().then(|| Instant::now() + wait);
            }
        }
        match result {
            Ok(_) => {
                self.written.increment(1);
                self.backoff.reset();
                Ok(())
            }
            Err(error) => {
                self.failed.increment(1);
                // The same would happen to all others.
                let until = Instant::now() + wait;
                for due in self.entries.values_mut().filter_map(|entry| entry.due.as_mut()) {
                    *due = (*due).max(until);
                }
                Err(error)
            }
        }
    }

    pub(super) fn is_writing(&self) -> bool {
        !self.calls.is_empty()
    }
}

/// Between half and all of it.
fn jitter(most: Duration) -> Duration {
    Backoff::new(most, most).next_wait()
}

fn status(kind: usize, object: &Value, outcome: &Outcome) -> Value {
    let text = |lines: &[String]| {
        let text = lines.join("; ");
        text[..text.floor_char_boundary(MESSAGE_BYTES)].to_owned()
    };
    match (kind, outcome) {
        (0, Outcome::Applied { .. }) => json!({ "status": "OK", "statusCode": 200 }),
        (0, Outcome::Refused { reasons }) => json!({ "status": text(reasons), "statusCode": 400 }),
        (_, Outcome::Applied { notes }) => {
            let message = if notes.is_empty() { "success".to_owned() } else { text(notes) };
            let spec = &object["spec"];
            let applied = json!({ "project": spec["project"]["name"], "config": spec["config"] });
            json!({ "success": true, "message": message, "lastAppliedConfig": applied })
        }
        (_, Outcome::Refused { reasons }) => json!({ "success": false, "message": text(reasons) }),
    }
}

/// A merge patch of a status; what else is in it stays.
fn changes(standing: &Value, status: &Value) -> Value {
    let keys = status.as_object().into_iter().flatten();
    Value::Object(keys.map(|(key, value)| (key.clone(), patch(&standing[key], value))).collect())
}

/// What makes one value of the other, as a merge patch: a key that is to go is null, since maps are merged.
fn patch(from: &Value, to: &Value) -> Value {
    let (Some(before), Some(after)) = (from.as_object(), to.as_object()) else { return to.clone() };
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let there = after.iter().map(|(key, value)| {
        let nothing = &Value::Null;
        (key.clone(), patch(before.get(key).unwrap_or(nothing), value))
    });
    Value::Object(gone.chain(there).collect())
}

/// Whether an object has this status already, whatever else is in its own.
fn stands(object: &Value, status: &Value) -> bool {
    let Some(keys) = status.as_object() else { return true };
    keys.iter().all(|(key, value)| object["status"][key] == *value)
}
