//! Calls about what this Log Service does not have: lists of it are empty, tags are taken and not kept, logstores are metered
//! in no way. Anything else about it is refused as not implemented.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal};
use super::body::Incoming;
use super::request::Target;
use crate::store::Store;

/// Paths of lists, and the name under which their answers have the items.
const LISTS: &[(&str, &str)] = &[
    ("alerts", "alerts"),
    ("dashboards", "dashboards"),
    ("etljobs", "etlJobNameList"),
    ("etls", "results"),
    ("externalstores", "externalstores"),
    ("ingestions", "results"),
    ("jobs", "results"),
    ("savedsearches", "savedsearches"),
];

/// The name of the items of a list that is always empty.
pub(super) fn items_of(path: &str) -> Option<&'static str> {
    LISTS.iter().find(|(list, _)| *list == path).map(|(_, items)| *items)
}

pub(super) fn list(items: &'static str) -> Result<Answer, Refusal> {
    let mut answer = Map::new();
    answer.insert("count".into(), json!(0));
    answer.insert("total".into(), json!(0));
    answer.insert(items.into(), json!([]));
    Ok(Answer::json(&Value::Object(answer)))
}

pub(super) fn tags() -> Result<Answer, Refusal> {
    Ok(Answer::json(&json!({ "nextToken": "", "tagResources": [] })))
}

pub(super) fn metering(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    store.catalog().logstore(target.project()?, logstore)?;
    Ok(Answer::json(&json!({ "meteringMode": "ChargeByFunction" })))
}

/// What is said is taken for granted.
pub(super) async fn set_metering(
    store: &Store,
    target: &Target,
    logstore: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    store.catalog().logstore(target.project()?, logstore)?;
    super::admin::json_of::<Value>(incoming).await?;
    Ok(Answer::empty())
}
