//! GetLogs: `POST /logstores/L/logs`, and the older `GET /logstores/L?type=log`. Both search alike; the new form
//! answers an object with `meta` and `data` (LZ4 when asked for), the old one an array, with the rest in headers.
//!
//! Rows are objects of text to text. Names that meet twice in a row become `name`, `name_0`, `name_1` ...

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::body::{Incoming, JSON_BYTES};
use super::request::{Target, short};
use crate::store::query::{self, Analysis, Query};
use crate::store::{Found, Index, OFFSET, Row, Search, Store};

/// Rows of one answer.
const LINES: i64 = 100;

/// The body of the new form; unknown fields are let be. The old form is read into the same shape.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ask {
    from: Option<i64>,
    to: Option<i64>,
    #[serde(rename = "fromNs")]
    from_ns: i64,
    #[serde(rename = "toNs")]
    to_ns: i64,
    query: Option<String>,
    #[serde(alias = "lines")]
    line: Option<i64>,
    offset: i64,
    reverse: bool,
    topic: Option<String>,
}

pub(super) async fn post(
    store: &Store,
    head: &Parts,
    target: &Target,
    logstore: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let (id, index) = known(store, target, logstore)?;
    let body = incoming.read(JSON_BYTES).await?;
    let ask: Ask = serde_json::from_slice(&body).map_err(|error| {
        Refusal::new("ParameterInvalid", format!("the body is not a GetLogs request: {error}"))
    })?;
    let started = Instant::now();
    let (found, query) = search(store, id, index.as_deref(), &ask).await?;
    let mut text = Vec::new();
    text.extend_from_slice(b"{\"meta\":");
    write_json(&meta(&ask, &found, &query, started), &mut text);
    text.extend_from_slice(b",\"data\":");
    write_rows(&found.rows, &mut text);
    text.push(b'}');
    Answer::packed(text, head)
}

pub(super) async fn get(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    let (id, index) = known(store, target, logstore)?;
    let number = |name: &str| match target.parameter(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<i64>()
            .map(Some)
            .map_err(|_| Refusal::new("ParameterInvalid", format!("{name} {} is no number", short(text)))),
    };
    let ask = Ask {
        from: number("from")?,
        to: number("to")?,
        from_ns: number("fromNs")?.unwrap_or(0),
        to_ns: number("toNs")?.unwrap_or(0),
        query: target.parameter("query").map(str::to_owned),
        line: number("line")?,
        offset: number("offset")?.unwrap_or(0),
        reverse: match target.parameter("reverse") {
            None => false,
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            Some(text) => {
                return Err(Refusal::new(
                    "InvalidReverse",
                    format!("reverse {} is not true or false", short(text)),
                ));
            }
        },
        topic: target.parameter("topic").map(str::to_owned),
    };
    let started = Instant::now();
    let (found, query) = search(store, id, index.as_deref(), &ask).await?;
    let mut text = Vec::new();
    write_rows(&found.rows, &mut text);
    let meta = meta(&ask, &found, &query, started);
    let terms: Vec<Value> = query.terms.iter().map(|(key, term)| json!([term, key])).collect();
    let info = json!({ "keys": meta["keys"], "terms": terms, "limited": meta["limited"], "mode": 0 });
    Ok(Answer::bytes(text)
        .with("x-log-progress", "Complete")
        .with("x-log-count", found.rows.len())
        .with("x-log-processed-rows", found.scanned_logs)
        .with("x-log-processed-bytes", found.scanned_bytes)
        .with("x-log-elapsed-millisecond", &meta["elapsedMillisecond"])
        .with("x-log-has-sql", "false")
        .with("x-log-where-query", ask.query.as_deref().unwrap_or(""))
        .with("x-log-agg-query", "")
        .with("x-log-cpu-sec", "0")
        .with("x-log-cpu-cores", "0")
        .with("x-log-power-sql", "false")
        .with("x-log-insertedsql", "")
        .with("x-log-query-info", info))
}

/// The id of a logstore, and how it is searched.
fn known(store: &Store, target: &Target, logstore: &str) -> Result<(i64, Option<Arc<Index>>), Refusal> {
    let catalog = store.catalog();
    let logstore = catalog.logstore(target.project()?, logstore)?;
    Ok((logstore.id, logstore.index.clone()))
}

async fn search(
    store: &Store,
    logstore: i64,
    index: Option<&Index>,
    ask: &Ask,
) -> Result<(Found, Query), Refusal> {
    let from = ask.from.ok_or_else(|| Refusal::missing_parameter("from"))?;
    let to = ask.to.ok_or_else(|| Refusal::missing_parameter("to"))?;
    let at = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    let (from, to) = (at(from, ask.from_ns), at(to, ask.to_ns));
    if from >= to {
        return Err(Refusal::new("InvalidTimeRange", "from must be before to"));
    }
    let line = ask.line.unwrap_or(LINES);
    if !(0..=LINES).contains(&line) {
        return Err(Refusal::new("InvalidLine", format!("line {line} must be within range [0, {LINES}]")));
    }
    let offset = usize::try_from(ask.offset).ok().filter(|offset| *offset <= OFFSET);
    let offset = offset.ok_or_else(|| {
        let message =
            format!("offset {} must be within range [0, {OFFSET}]; narrow the time range", ask.offset);
        Refusal::new("InvalidOffset", message)
    })?;
    let parsed = query::read(ask.query.as_deref().unwrap_or(""), index)
        .map_err(|error| Refusal::new("InvalidQueryString", error.to_string()))?;
    match parsed.analysis {
        None => {}
        Some(Analysis::Spl(..)) => return Err(Refusal::new("NotSupported", query::SPL)),
        Some(Analysis::Sql(..) | Analysis::PackMeta) => {
            return Err(Refusal::new("NotSupported", "analysis behind `|` is not supported; search only"));
        }
    }
    let query = parsed.search;
    let search = Search {
        from,
        to,
        topic: ask.topic.clone().filter(|topic| !topic.is_empty()),
        query: query.clone(),
        offset,
        line: line as usize,
        reverse: ask.reverse,
    };
    Ok((store.search(logstore, search).await?, query))
}

fn meta(ask: &Ask, found: &Found, query: &Query, started: Instant) -> Value {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in found.rows.iter().flat_map(|row| &row.contents) {
        if !keys.contains(&key.as_str()) && keys.len() < 256 {
            keys.push(key);
        }
    }
    let terms: Vec<Value> =
        query.terms.iter().map(|(key, term)| json!({ "key": key, "term": term })).collect();
    json!({
        "progress": "Complete",
        "count": found.rows.len(),
        "processedRows": found.scanned_logs,
        "processedBytes": found.scanned_bytes,
        "elapsedMillisecond": started.elapsed().as_millis() as u64,
        "hasSQL": false,
        "whereQuery": ask.query.as_deref().unwrap_or(""),
        "aggQuery": "",
        "cpuSec": 0.0,
        "cpuCores": 0,
        "limited": found.cut,
        "mode": 0,
        "isAccurate": true,
        "keys": keys,
        "terms": terms,
        "columnTypes": [],
        "telementryType": "",
        "powerSql": false,
        "insertedSQL": "",
        "marker": "",
    })
}

fn write_rows(rows: &[Row], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_row(row, out);
    }
    out.push(b']');
}

fn write_row(row: &Row, out: &mut Vec<u8>) {
    let _ = write!(out, "{{\"__time__\":\"{}\"", row.time);
    if let Some(ns) = row.time_ns {
        let _ = write!(out, ",\"__time_ns_part__\":\"{ns}\"");
    }
    let mut used = std::collections::HashSet::new();
    let reserved = ["__time__", "__time_ns_part__", "__source__", "__topic__"];
    used.extend(reserved.map(str::to_owned));
    for (name, value) in [("__source__", &row.source), ("__topic__", &row.topic)] {
        let _ = write!(out, ",\"{name}\":");
        write_json(&value, out);
    }
    let tags = row.tags.iter().map(|(key, value)| (format!("__tag__:{key}"), value));
    let contents = row.contents.iter().map(|(key, value)| (key.clone(), value));
    for (name, value) in tags.chain(contents) {
        let mut unique = name.clone();
        let mut count = 0;
        while !used.insert(unique.clone()) {
            unique = format!("{name}_{count}");
            count += 1;
        }
        out.push(b',');
        write_json(&unique, out);
        out.push(b':');
        write_json(&value, out);
    }
    out.push(b'}');
}

fn write_json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Text into memory: there is nothing that could fail.
    let _ = serde_json::to_writer(out, value);
}
