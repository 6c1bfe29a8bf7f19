//! Cursors and PullLogs. The vendor's clients write parameters in two ways: `type=log` with `end_cursor`, and
//! `type=logs` with `endCursor`. The answer is a LogGroupList, in the compression that was asked for.

use axum::http::request::Parts;
use axum::http::{HeaderName, header};

use super::answer::{Answer, Refusal};
use super::request::{Target, short};
use crate::store::query::{self, Query};
use crate::store::{From, Pull, Store, cursor_of, cursor_text};

/// LogGroups of one answer when the client does not say, and at most.
const GROUPS: usize = 100;
const MOST_GROUPS: usize = 1000;

pub(super) async fn cursor(
    store: &Store,
    target: &Target,
    logstore: &str,
    shard: u32,
) -> Result<Answer, Refusal> {
    let from = match target.parameter("from") {
        Some("begin") => From::Begin,
        Some("end") => From::End,
        Some(text) => From::Time(text.parse().map_err(|_| {
            Refusal::new("ParameterInvalid", format!("from {} is not begin, end or a time", short(text)))
        })?),
        None => return Err(Refusal::missing_parameter("from")),
    };
    let cursor = store.cursor(target.project()?, logstore, shard, from).await?;
    let text = cursor_text(cursor);
    Ok(Answer::json(&serde_json::json!({ "cursor": text })).with("x-log-cursor", text))
}

pub(super) fn cursor_time(
    store: &Store,
    target: &Target,
    logstore: &str,
    shard: u32,
) -> Result<Answer, Refusal> {
    let cursor = cursor_in(target, &["cursor"])?.ok_or_else(|| Refusal::missing_parameter("cursor"))?;
    let time = store.cursor_time(target.project()?, logstore, shard, cursor)?;
    Ok(Answer::json(&serde_json::json!({ "cursor_time": time })))
}

pub(super) async fn pull(
    store: &Store,
    head: &Parts,
    target: &Target,
    logstore: &str,
    shard: u32,
) -> Result<Answer, Refusal> {
    let cursor = cursor_in(target, &["cursor"])?.ok_or_else(|| Refusal::missing_parameter("cursor"))?;
    let count = target.number::<usize>("count")?.unwrap_or(GROUPS);
    if !(1..=MOST_GROUPS).contains(&count) {
        return Err(Refusal::new("ParameterInvalid", "count must be within range [1, 1000]"));
    }
    let text = target.parameter("query").unwrap_or("");
    let has_query = !text.trim().is_empty();
    let query = if has_query { Some(search_of(store, target, logstore, text)?) } else { None };
    let end = cursor_in(target, &["end_cursor", "endCursor"])?;
    let pulled = store.pull(target.project()?, logstore, Pull { shard, cursor, end, count, query }).await?;
    let (groups, next) = (pulled.groups, pulled.next);
    let mut answer = if pulled.list.is_empty() {
        Answer::empty().with("x-log-bodyrawsize", 0)
    } else {
        Answer::packed(pulled.list, head)?
    };
    let is_type = |(name, _): &(HeaderName, String)| *name == header::CONTENT_TYPE;
    answer.headers.retain(|header| !is_type(header));
    answer.headers.push((header::CONTENT_TYPE, "application/x-protobuf".into()));
    if has_query {
        answer = answer
            .with("x-log-rawdatasize", pulled.read_bytes)
            .with("x-log-rawdatacount", pulled.read_groups)
            .with("x-log-rawdatalines", pulled.read_logs)
            .with("x-log-resultlines", pulled.logs)
            .with("x-log-failedlines", 0);
    }
    if pulled.is_end {
        answer = answer.with("x-log-end-of-cursor", 1);
    }
    Ok(answer
        .with("x-log-count", groups)
        .with("x-log-cursor", cursor_text(next))
        .with("x-log-cursor-time", next / 1_000_000_000)
        .with("x-log-read-last-cursor", next.saturating_sub(1)))
}

/// The search that logs have to match.
fn search_of(store: &Store, target: &Target, logstore: &str, text: &str) -> Result<Query, Refusal> {
    let catalog = store.catalog();
    let index = catalog.logstore(target.project()?, logstore)?.index.as_deref();
    let parsed =
        query::read(text, index).map_err(|error| Refusal::new("InvalidQueryString", error.to_string()))?;
    match parsed.analysis {
        None => Ok(parsed.search),
        Some(_) => Err(Refusal::new(
            "InvalidQueryString",
            "a pull can be filtered by a search only, without what stands behind `|`",
        )),
    }
}

/// The first of these parameters that is there, as a cursor.
fn cursor_in(target: &Target, names: &[&str]) -> Result<Option<i64>, Refusal> {
    let Some(text) = names.iter().find_map(|name| target.parameter(name)) else { return Ok(None) };
    cursor_of(text)
        .map(Some)
        .ok_or_else(|| Refusal::new("InvalidCursor", format!("Cursor {} is invalid.", short(text))))
}
