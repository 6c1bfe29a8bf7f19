//! Metric stores: logstores of telemetry type Metrics under other names.
//!
//! `/metricstores` makes, shows, changes, lists and deletes them; the logs of one are samples. Each has one sub-store,
//! `prom`, which is there as long as the metric store is: its schema is fixed, so that nothing is kept of it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::{json_of, page_of};
use super::answer::{Answer, Refusal};
use super::body::Incoming;
use super::request::{Target, short};
use crate::store::{Logstore, Settings, Store};

const SUBSTORE: &str = "prom";
const METRICS: &str = "Metrics";

/// Settings of a metric store as the API names them.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    name: String,
    #[serde(flatten)]
    settings: Settings,
}

pub(super) async fn create(
    store: &Store,
    target: &Target,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let Body { name, settings } = json_of(incoming).await?;
    let settings = Settings { telemetry_type: METRICS.to_owned(), ..settings };
    store.create_logstore(target.project()?, &name, settings).await?;
    Ok(Answer::empty())
}

pub(super) async fn update(
    store: &Store,
    target: &Target,
    name: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    known(store, target, name)?;
    let Body { settings, .. } = json_of(incoming).await?;
    store.update_logstore(target.project()?, name, settings).await?;
    Ok(Answer::empty())
}

pub(super) fn get(store: &Store, target: &Target, name: &str) -> Result<Answer, Refusal> {
    let Logstore { name, settings, created, modified, .. } = known(store, target, name)?;
    Ok(Answer::json(&json!({
        "name": name,
        "ttl": settings.ttl,
        "shardCount": settings.shard_count,
        "autoSplit": settings.auto_split,
        "maxSplitShard": settings.max_split_shard,
        "metricType": "prometheus",
        "mode": settings.mode,
        "createTime": created,
        "lastModifyTime": modified,
    })))
}

pub(super) async fn delete(store: &Store, target: &Target, name: &str) -> Result<Answer, Refusal> {
    known(store, target, name)?;
    store.delete_logstore(target.project()?, name).await?;
    Ok(Answer::empty())
}

pub(super) fn list(store: &Store, target: &Target) -> Result<Answer, Refusal> {
    let part = target.parameter("name").unwrap_or("");
    let catalog = store.catalog();
    let logstores = catalog.project(target.project()?)?.logstores.values();
    let all: Vec<&str> = logstores
        .filter(|logstore| is_metric(logstore) && logstore.name.contains(part))
        .map(|logstore| logstore.name.as_str())
        .collect();
    let page = page_of(target, &all)?;
    Ok(Answer::json(&json!({ "count": page.len(), "total": all.len(), "metricstores": page })))
}

pub(super) async fn create_substore(
    store: &Store,
    target: &Target,
    logstore: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    known(store, target, logstore)?;
    let body: Value = json_of(incoming).await?;
    check_substore(body["name"].as_str().unwrap_or(""))
}

/// Changed or deleted: it stays what it is.
pub(super) fn keep_substore(
    store: &Store,
    target: &Target,
    logstore: &str,
    name: &str,
) -> Result<Answer, Refusal> {
    known(store, target, logstore)?;
    check_substore(name)
}

pub(super) fn get_substore(
    store: &Store,
    target: &Target,
    logstore: &str,
    name: &str,
) -> Result<Answer, Refusal> {
    let logstore = known(store, target, logstore)?;
    check_substore(name)?;
    let key = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    Ok(Answer::json(&json!({
        "name": SUBSTORE,
        "ttl": logstore.settings.ttl,
        "sortedKeyCount": 2,
        "timeIndex": 2,
        "keys": [
            key("__name__", "text"),
            key("__labels__", "text"),
            key("__time_nano__", "long"),
            key("__value__", "double"),
        ],
    })))
}

pub(super) fn list_substores(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    let catalog = store.catalog();
    let logstore = catalog.logstore(target.project()?, logstore)?;
    let names: &[&str] = if is_metric(logstore) { &[SUBSTORE] } else { &[] };
    Ok(Answer::json(&json!({ "substores": names })))
}

/// Its ttl is the metric store's.
pub(super) fn substore_ttl(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    Ok(Answer::json(&json!({ "ttl": known(store, target, logstore)?.settings.ttl })))
}

pub(super) async fn set_substore_ttl(
    store: &Store,
    target: &Target,
    logstore: &str,
) -> Result<Answer, Refusal> {
    let settings = known(store, target, logstore)?.settings;
    let ttl = target.number("ttl")?.ok_or_else(|| Refusal::missing_parameter("ttl"))?;
    store.update_logstore(target.project()?, logstore, Settings { ttl, ..settings }).await?;
    Ok(Answer::empty())
}

fn check_substore(name: &str) -> Result<Answer, Refusal> {
    if name == SUBSTORE {
        return Ok(Answer::empty());
    }
    let message = format!("a metric store has one sub-store here, {SUBSTORE}, and not {}", short(name));
    Err(Refusal::new("NotSupported", message))
}

fn known(store: &Store, target: &Target, name: &str) -> Result<Logstore, Refusal> {
    let logstore = store.catalog().logstore(target.project()?, name)?.clone();
    if is_metric(&logstore) {
        return Ok(logstore);
    }
    Err(Refusal::new("ParameterInvalid", format!("logstore {} is no metric store", short(name))))
}

fn is_metric(logstore: &Logstore) -> bool {
    logstore.settings.telemetry_type == METRICS
}
