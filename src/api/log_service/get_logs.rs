//! GetLogs: `POST /logstores/L/logs`, and the older `GET /logstores/L?type=log`. Both search alike; the new form
//! answers an object with `meta` and `data` (compressed when asked for), the old one an array, with the rest in headers.

use std::sync::Arc;
use std::time::Instant;

use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::analysis;
use super::answer::{Answer, Refusal};
use super::body::{Incoming, JSON_BYTES};
use super::request::{Target, short};
use super::rows::{write_json, write_rows};
use crate::store::analytics::Limits;
use crate::store::query::{self, Analysis, Query};
use crate::store::{Analyse, Extras, Found, Index, OFFSET, Search, Store};

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
    highlight: bool,
}

pub(super) async fn post(
    store: &Store,
    head: &Parts,
    target: &Target,
    logstore: &str,
    incoming: &mut Incoming,
) -> Result<Answer, Refusal> {
    let known = known(store, target, logstore)?;
    let body = incoming.read(JSON_BYTES).await?;
    let ask: Ask = serde_json::from_slice(&body).map_err(|error| {
        Refusal::new("ParameterInvalid", format!("the body is not a GetLogs request: {error}"))
    })?;
    let mut text = Vec::new();
    if let Some((where_text, analyse)) = analysis_of(&known, logstore, &ask)? {
        let outcome = analysis::run(store, where_text, analyse).await?;
        text.extend_from_slice(b"{\"meta\":");
        write_json(&outcome.meta(), &mut text);
        text.extend_from_slice(b",\"data\":");
        outcome.write_rows(&mut text);
        text.push(b'}');
        return Answer::packed(text, head);
    }
    let started = Instant::now();
    let (found, query, where_text) = search(store, &known, &ask).await?;
    text.extend_from_slice(b"{\"meta\":");
    write_json(&meta(&ask, &found, &query, &where_text, started), &mut text);
    text.extend_from_slice(b",\"data\":");
    write_rows(&found.rows, &mut text);
    text.push(b'}');
    Answer::packed(text, head)
}

pub(super) async fn get(store: &Store, target: &Target, logstore: &str) -> Result<Answer, Refusal> {
    let known = known(store, target, logstore)?;
    let number = |name| target.number::<i64>(name);
    let boolean = |name: &str, code| match target.parameter(name) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(text) => Err(Refusal::new(code, format!("{name} {} is not true or false", short(text)))),
    };
    let ask = Ask {
        from: number("from")?,
        to: number("to")?,
        from_ns: number("fromNs")?.unwrap_or(0),
        to_ns: number("toNs")?.unwrap_or(0),
        query: target.parameter("query").map(str::to_owned),
        line: number("line")?,
        offset: number("offset")?.unwrap_or(0),
        reverse: boolean("reverse", "InvalidReverse")?,
        highlight: boolean("highlight", "ParameterInvalid")?,
        topic: target.parameter("topic").map(str::to_owned),
    };
    if let Some((where_text, analyse)) = analysis_of(&known, logstore, &ask)? {
        return Ok(analysis::run(store, where_text, analyse).await?.old_answer());
    }
    let started = Instant::now();
    let (found, query, where_text) = search(store, &known, &ask).await?;
    let mut text = Vec::new();
    write_rows(&found.rows, &mut text);
    let meta = meta(&ask, &found, &query, &where_text, started);
    let terms: Vec<Value> = query.terms.iter().map(|(key, term)| json!([term, key])).collect();
    let mut info = json!({ "terms": terms });
    for name in ["keys", "limited", "mode", "marker", "isAccurate", "columnTypes", "highlights"] {
        if let Some(value) = meta.get(name) {
            info[name] = value.clone();
        }
    }
    Ok(Answer::bytes(text)
        .with("x-log-progress", "Complete")
        .with("x-log-count", found.rows.len())
        .with("x-log-processed-rows", found.scanned_logs)
        .with("x-log-processed-bytes", found.scanned_bytes)
        .with("x-log-elapsed-millisecond", &meta["elapsedMillisecond"])
        .with("x-log-has-sql", "false")
        .with("x-log-where-query", meta["whereQuery"].as_str().unwrap_or(""))
        .with("x-log-agg-query", "")
        .with("x-log-cpu-sec", "0")
        .with("x-log-cpu-cores", "0")
        .with("x-log-power-sql", "false")
        .with("x-log-insertedsql", "")
        .with("x-log-query-info", info))
}

/// What a search has to know of a logstore.
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) index: Option<Arc<Index>>,
    /// Its logs say when they arrived and where from.
    pub(super) appends: bool,
}

pub(super) fn known(store: &Store, target: &Target, logstore: &str) -> Result<Known, Refusal> {
    let catalog = store.catalog();
    let logstore = catalog.logstore(target.project()?, logstore)?;
    let appends = logstore.settings.append_meta;
    Ok(Known { id: logstore.id, index: logstore.index.clone(), appends })
}

/// A time range in nanoseconds since 1970, from seconds and what is added to them.
pub(super) fn range(
    from: Option<i64>,
    to: Option<i64>,
    from_ns: i64,
    to_ns: i64,
) -> Result<(i64, i64), Refusal> {
    let from = from.ok_or_else(|| Refusal::missing_parameter("from"))?;
    let to = to.ok_or_else(|| Refusal::missing_parameter("to"))?;
    let at = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    let (from, to) = (at(from, from_ns), at(to, to_ns));
    match from < to {
        true => Ok((from, to)),
        false => Err(Refusal::new("InvalidTimeRange", "from must be before to")),
    }
}

/// What stands before the bar, and the analysis when a statement stands behind it. Lines and offset do not count then.
fn analysis_of(known: &Known, name: &str, ask: &Ask) -> Result<Option<(String, Analyse)>, Refusal> {
    let parsed = read(known, ask)?;
    let Some(Analysis::Sql(sql, _)) = parsed.analysis else { return Ok(None) };
    let (from, to) = range(ask.from, ask.to, ask.from_ns, ask.to_ns)?;
    let analyse = Analyse {
        logstore: known.id,
        name: name.to_owned(),
        index: known.index.clone(),
        from,
        to,
        topic: ask.topic.clone().filter(|topic| !topic.is_empty()),
        query: parsed.search,
        sql,
        limits: Limits::default(),
    };
    Ok(Some((parsed.where_text, analyse)))
}

fn read(known: &Known, ask: &Ask) -> Result<query::Parsed, Refusal> {
    query::read(ask.query.as_deref().unwrap_or(""), known.index.as_deref())
        .map_err(|error| Refusal::new("InvalidQueryString", error.to_string()))
}

/// What was found, by which search, and that as it was written.
async fn search(store: &Store, known: &Known, ask: &Ask) -> Result<(Found, Query, String), Refusal> {
    let (from, to) = range(ask.from, ask.to, ask.from_ns, ask.to_ns)?;
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
    let parsed = read(known, ask)?;
    let pack = match parsed.analysis {
        None => false,
        Some(Analysis::PackMeta) => true,
        // Statements are answered elsewhere.
        Some(Analysis::Spl(..) | Analysis::Sql(..)) => return Err(Refusal::new("NotSupported", query::SPL)),
    };
    let query = parsed.search;
    let search = Search {
        from,
        to,
        topic: ask.topic.clone().filter(|topic| !topic.is_empty()),
        query: query.clone(),
        offset,
        line: line as usize,
        reverse: ask.reverse,
        extras: Extras { pack, arrival: known.appends },
    };
    Ok((store.search(known.id, search).await?, query, parsed.where_text))
}

fn meta(ask: &Ask, found: &Found, query: &Query, where_text: &str, started: Instant) -> Value {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in found.rows.iter().flat_map(|row| &row.contents) {
        if !keys.contains(&key.as_str()) && keys.len() < 256 {
            keys.push(key);
        }
    }
    let terms: Vec<Value> =
        query.terms.iter().map(|(key, term)| json!({ "key": key, "term": term })).collect();
    let mut meta = json!({
        "progress": "Complete",
        "count": found.rows.len(),
        "processedRows": found.scanned_logs,
        "processedBytes": found.scanned_bytes,
        "elapsedMillisecond": started.elapsed().as_millis() as u64,
        "hasSQL": false,
        "whereQuery": where_text,
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
    });
    if ask.highlight {
        // Nothing is highlighted: where a term stands in a log is the client's to find.
        meta["highlights"] = json!([]);
    }
    meta
}
