//! GetHistograms: `GET /logstores/L?type=histogram`, or `GET /logstores/L/index?type=histogram`. What stands behind the bar of
//! the query is let be: the search alone is counted.

use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::get_logs::{known, range};
use super::request::Target;
use crate::store::{Count, PIECES, Store, query, width};

pub(super) async fn get(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    let known = known(store, target, logstore)?;
    let part = |name| target.number::<i64>(name).map(Option::unwrap_or_default);
    let (seconds_from, seconds_to) = (target.number("from")?, target.number("to")?);
    let (from, to) = range(seconds_from, seconds_to, part("fromNs")?, part("toNs")?)?;
    let (first, last) = (seconds_from.unwrap_or(0), seconds_to.unwrap_or(0));
    let width = match target.number::<i64>("interval")? {
        None => width(first, last),
        Some(interval) if interval >= 1 && last.saturating_sub(first) / interval < PIECES => interval,
        Some(interval) => {
            let message = format!("interval {interval} must make 1 to {PIECES} pieces of the time range");
            return Err(Refusal::new("ParameterInvalid", message));
        }
    };
    let parsed = query::read(target.parameter("query").unwrap_or(""), known.index.as_deref())
        .map_err(|error| Refusal::new("InvalidQueryString", error.to_string()))?;
    let count = Count {
        from,
        to,
        topic: target.parameter("topic").map(str::to_owned),
        shard: target.number("shard")?,
        query: parsed.search,
        width,
    };
    let pieces = store.histogram(known.id, count).await?;
    let total: u64 = pieces.iter().map(|piece| piece.count).sum();
    let body: Vec<Value> = pieces
        .iter()
        .map(|piece| {
            json!({ "from": piece.from, "to": piece.to, "count": piece.count, "progress": "Complete" })
        })
        .collect();
    let answer = Answer::bytes(Value::from(body).to_string().into_bytes());
    Ok(answer.with("x-log-progress", "Complete").with("x-log-count", total))
}
