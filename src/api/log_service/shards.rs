//! Shards: listed, split, merged, deleted. Keys are 32 hex digits; the last range ends at 32 times `f`.

use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::request::{Target, short};
use crate::store::shards::{Route, Shard};
use crate::store::{Store, hash_key};

pub(super) fn list(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    Ok(described(&store.shards(target.project()?, logstore)?))
}

/// `action=split` (with `key` and `shardCount`) or `action=merge` with the right neighbour.
pub(super) async fn change(
    store: &Store,
    target: &Target,
    logstore: &str,
    shard: u32,
) -> Result<Answer, Refusal> {
    let project = target.project()?;
    let changed = match target.parameter("action") {
        Some("split") => {
            let key = target.parameter("key").map(|key| match hash_key(key) {
                Some(Route::Key(key)) => Ok(key),
                _ => {
                    Err(Refusal::new("ParameterInvalid", format!("key {} is not 32 hex digits", short(key))))
                }
            });
            let count = target.number("shardCount")?.unwrap_or(2);
            store.split_shard((project, logstore), shard, key.transpose()?, count).await?
        }
        Some("merge") => store.merge_shards(project, logstore, shard).await?,
        Some(other) => {
            let message = format!("action {} is not split or merge", short(other));
            return Err(Refusal::new("ParameterInvalid", message));
        }
        None => return Err(Refusal::missing_parameter("action")),
    };
    Ok(described(&changed))
}

pub(super) async fn delete(
    store: &Store,
    target: &Target,
    logstore: &str,
    shard: u32,
) -> Result<Answer, Refusal> {
    store.delete_shard(target.project()?, logstore, shard).await?;
    Ok(Answer::empty())
}

fn described(shards: &[Shard]) -> Answer {
    let all: Vec<Value> = shards
        .iter()
        .map(|shard| {
            json!({
                "shardID": shard.id,
                "status": if shard.is_open() { "readwrite" } else { "readonly" },
                "inclusiveBeginKey": format!("{:032x}", shard.begin),
                "exclusiveEndKey": format!("{:032x}", shard.end),
                "createTime": shard.created,
            })
        })
        .collect();
    Answer::json(&Value::from(all))
}
