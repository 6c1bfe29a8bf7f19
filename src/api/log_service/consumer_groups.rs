//! Consumer groups: several readers share the shards of a logstore, and each says how far it has read.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::json_of;
use super::answer::{Answer, Refusal};
use super::body::{Incoming, JSON_BYTES};
use super::request::Target;
use crate::store::Store;

pub(super) async fn create(
    store: &Store,
    target: &Target,
    logstore: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    #[derive(Deserialize)]
    struct Create {
        #[serde(rename = "consumerGroup")]
        name: String,
        timeout: i64,
        #[serde(default)]
        order: bool,
    }
    let body: Create = json_of(incoming).await?;
    let place = (target.project()?, logstore, body.name.as_str());
    store.create_consumer_group(place, body.timeout, body.order).await?;
    Ok(Answer::empty())
}

pub(super) fn list(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    let catalog = store.catalog();
    let groups = &catalog.logstore(target.project()?, logstore)?.groups;
    let all: Vec<Value> = groups
        .iter()
        .map(|(name, group)| json!({ "name": name, "timeout": group.timeout, "order": group.in_order }))
        .collect();
    Ok(Answer::json(&Value::from(all)))
}

pub(super) async fn update(
    store: &Store,
    target: &Target,
    (logstore, name): (&str, &str),
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    #[derive(Deserialize)]
    struct Update {
        timeout: Option<i64>,
        order: Option<bool>,
    }
    let body: Update = json_of(incoming).await?;
    store.update_consumer_group((target.project()?, logstore, name), body.timeout, body.order).await?;
    Ok(Answer::empty())
}

pub(super) async fn delete(
    store: &Store,
    target: &Target,
    (logstore, name): (&str, &str),
) -> Result<Answer, Refusal> {
    store.delete_consumer_group((target.project()?, logstore, name)).await?;
    Ok(Answer::empty())
}

/// The body lists the shards that the consumer holds, the answer those it shall hold.
pub(super) async fn heartbeat(
    store: &Store,
    target: &Target,
    (logstore, name): (&str, &str),
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let consumer = target.parameter("consumer").ok_or_else(|| Refusal::missing_parameter("consumer"))?;
    let body = incoming.read(JSON_BYTES).await?;
    let listed: Vec<u32> = match body.is_empty() {
        true => Vec::new(),
        false => serde_json::from_slice(&body).map_err(|error| {
            Refusal::new("PostBodyInvalid", format!("the body is no array of shard numbers: {error}"))
        })?,
    };
    let held = store.heartbeat((target.project()?, logstore, name), consumer, &listed).await?;
    Ok(Answer::json(&json!(held)))
}

pub(super) async fn update_checkpoint(
    store: &Store,
    target: &Target,
    (logstore, name): (&str, &str),
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    #[derive(Deserialize)]
    struct Update {
        shard: u32,
        checkpoint: String,
    }
    let body: Update = json_of(incoming).await?;
    let consumer = target.parameter("consumer").unwrap_or("");
    // Without the parameter: by force, as tools do that are no consumers.
    let force = match target.parameter("forceSuccess") {
        Some(text) => text.eq_ignore_ascii_case("true"),
        None => consumer.is_empty(),
    };
    let place = (target.project()?, logstore, name);
    store.set_checkpoint(place, consumer, body.shard, &body.checkpoint, force).await?;
    Ok(Answer::empty())
}

/// One entry for each shard there is, or for the one that is asked for; an empty checkpoint where none was written.
pub(super) fn checkpoints(
    store: &Store,
    target: &Target,
    (logstore, name): (&str, &str),
) -> Result<Answer, Refusal> {
    let project = target.project()?;
    let wanted: Option<u32> = target.number("shard")?;
    let catalog = store.catalog();
    let group = catalog.consumer_group((project, logstore, name))?;
    let shards = &catalog.logstore(project, logstore)?.shards;
    let there: BTreeSet<u32> = shards.iter().map(|shard| shard.id).collect();
    let all: Vec<Value> = there
        .into_iter()
        .filter(|shard| wanted.is_none_or(|wanted| wanted == *shard))
        .map(|shard| match group.checkpoints.get(&shard) {
            Some(found) => json!({
                "shard": shard, "checkpoint": found.cursor, "updateTime": found.updated, "consumer": found.consumer,
            }),
            None => json!({ "shard": shard, "checkpoint": "", "updateTime": 0, "consumer": "" }),
        })
        .collect();
    Ok(Answer::json(&Value::from(all)))
}
