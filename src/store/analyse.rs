//! Analyses over stored logs: a search whose logs go to [`super::analytics`] instead of a page.
//!
//! It runs on a scan thread and stops when nobody waits for it. Fields are found by their names in the log; a name the
//! index knows as an alias or as a path into JSON is looked for where that says. The temporary database lies in the
//! store's directory.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::analytics::{self, AnalyticsError, Column, Fields, Limits, Session, Source, Table, Take};
use super::query::{Query, Subject};
use super::scan::{Next, PackMeta, Scan, Scope, Visitor};
use super::{Index, Kind, Store, StoreError};
use crate::record::number::append_u64;
use crate::wire::loggroup::{Group, Log};

/// Logs whose fields `SELECT *` shows when no index says them, and how many fields at most.
const SAMPLED: usize = 1_000;
const SAMPLED_NAMES: usize = 200;
/// Columns of a log that are handed on without a list on the heap.
const FEW: usize = 16;

/// A search and the statement behind its bar.
#[derive(Clone, Debug)]
pub struct Analyse {
    pub logstore: i64,
    /// A name for FROM besides `log`.
    pub name: String,
    pub index: Option<Arc<Index>>,
    /// Nanoseconds since 1970; `from` is within, `to` is not.
    pub from: i64,
    pub to: i64,
    /// Exactly this topic, when given.
    pub topic: Option<String>,
    pub query: Query,
    pub sql: String,
    pub limits: Limits,
}

/// The rows, and what was looked at for them.
#[derive(Clone, Debug, Default)]
pub struct Analysed {
    pub table: Table,
    pub scanned_logs: u64,
    pub scanned_bytes: u64,
}

impl Store {
    /// Runs a statement over the logs of a search. When the caller goes away it stops soon.
    pub async fn analyse(&self, analyse: Analyse) -> Result<Analysed, AnalyticsError> {
        struct StopOnDrop(Arc<AtomicBool>);
        impl Drop for StopOnDrop {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let fields = analyse.index.as_deref().and_then(fields);
        // A fault of the statement waits for no thread.
        analytics::check(&analyse.sql, fields.as_ref(), &analyse.name)?;
        let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
        let stopped = stop.0.clone();
        let (spill, now) = (self.dir().to_owned(), self.clock().nanoseconds() / 1_000_000);
        let permit = self.analyses.clone().acquire_owned().await.map_err(|_| AnalyticsError::Stopped)?;
        let outcome = self
            .long_scan(move |scan| {
                let _permit = permit;
                Ok(run(scan, &analyse, fields.as_ref(), &spill, now, &stopped))
            })
            .await
            .unwrap_or_else(|error| Err(error.into()));
        drop(stop);
        outcome
    }
}

fn run(
    scan: &mut Scan<'_>,
    analyse: &Analyse,
    fields: Option<&Fields>,
    spill: &Path,
    now: i64,
    stop: &Arc<AtomicBool>,
) -> Result<Analysed, AnalyticsError> {
    let session = Session { fields, logstore: &analyse.name, now, limits: analyse.limits, spill, stop };
    // A moment behind the deadline itself, so that a scan that ended here is always told as too long.
    let until = Instant::now() + analyse.limits.time + Duration::from_millis(100);
    let table = analytics::run(&analyse.sql, &session, &mut Logs { scan, analyse, until })?;
    Ok(Analysed { table, scanned_logs: scan.scanned.logs, scanned_bytes: scan.scanned.bytes })
}

/// The fields a statement may name. An index of the full text alone, or of tags, leaves all names free.
fn fields(index: &Index) -> Option<Fields> {
    let kind_of = |kind: Kind| match kind {
        Kind::Text => analytics::Kind::Text,
        Kind::Long => analytics::Kind::Long,
        Kind::Double => analytics::Kind::Double,
        Kind::Json => analytics::Kind::Json,
    };
    let mut fields = Vec::new();
    for (name, key) in index.keys().filter(|(name, _)| !name.starts_with("__")) {
        fields.push((name.to_owned(), kind_of(key.kind)));
        let paths = key.json.iter().flat_map(|json| &json.paths);
        fields.extend(paths.map(|(path, (kind, _))| (format!("{name}.{path}"), kind_of(*kind))));
    }
    if fields.is_empty() {
        return None;
    }
    for alias in index.aliases() {
        if let Some(found) = index.find(alias) {
            fields.push((alias.to_owned(), kind_of(found.kind)));
        }
    }
    Some(Fields(fields))
}

/// The logs of a search.
struct Logs<'s, 'f, 'a> {
    scan: &'s mut Scan<'f>,
    analyse: &'a Analyse,
    /// The analysis has its own deadline, and sees the clock only where a log matches: past this, the scan ends.
    until: Instant,
}

impl Logs<'_, '_, '_> {
    fn scope(&self) -> Scope {
        Scope {
            from: self.analyse.from,
            to: self.analyse.to,
            topic: self.analyse.topic.clone(),
            words: self.analyse.query.needed(),
            ..Scope::all(self.analyse.logstore)
        }
    }
}

impl Source for Logs<'_, '_, '_> {
    fn load(&mut self, columns: &[Column], take: &mut Take<'_>) -> Result<(), StoreError> {
        let index = self.analyse.index.as_deref();
        let places: Vec<Place> = columns.iter().map(|column| place(column, index)).collect();
        let scope = self.scope();
        let mut loader = Loader {
            analyse: self.analyse,
            until: self.until,
            places,
            take,
            time: Vec::new(),
            nanoseconds: Vec::new(),
            counted: 0,
        };
        let done = self.scan.in_order(&scope, false, &mut loader);
        let counted = loader.counted;
        self.scan.scanned.logs += counted;
        done
    }

    fn names(&mut self) -> Result<Vec<String>, StoreError> {
        let scope = self.scope();
        let mut sampler = Sampler { analyse: self.analyse, until: self.until, logs: 0, names: Vec::new() };
        self.scan.in_order(&scope, false, &mut sampler)?;
        Ok(sampler.names)
    }
}

/// Where the value of a column is found.
enum Place {
    Time,
    TimeNs,
    Source,
    Topic,
    Tag(String),
    Field(String),
    /// Keys inside the JSON of a field.
    Path(String, String),
    /// A field of this name, or a path with dots whose first part is one.
    Dotted(String),
}

fn place(column: &Column, index: Option<&Index>) -> Place {
    let name = match column {
        Column::Time => return Place::Time,
        Column::TimeNs => return Place::TimeNs,
        Column::Source => return Place::Source,
        Column::Topic => return Place::Topic,
        Column::Tag(tag) => return Place::Tag(tag.clone()),
        Column::Field(name) | Column::JsonPath(name) => name,
    };
    match (index.and_then(|index| index.find(name)), column) {
        (Some(found), _) => match found.path {
            Some(path) => Place::Path(found.key.to_owned(), path.to_owned()),
            None => Place::Field(found.key.to_owned()),
        },
        (None, Column::JsonPath(_)) => Place::Dotted(name.clone()),
        (None, _) => Place::Field(name.clone()),
    }
}

/// Hands on the logs that match.
struct Loader<'l, 't> {
    analyse: &'l Analyse,
    until: Instant,
    places: Vec<Place>,
    take: &'l mut Take<'t>,
    /// Digits of the log's times.
    time: Vec<u8>,
    nanoseconds: Vec<u8>,
    /// Logs that were handed on without being looked at.
    counted: u64,
}

impl Visitor for Loader<'_, '_> {
    /// Where nothing but the number of logs is wanted, a pack that has no others need not be inflated.
    fn before(&mut self, meta: &PackMeta) -> Next {
        let analyse = self.analyse;
        let is_within = meta.first_time >= analyse.from && meta.last_time < analyse.to;
        if !(is_within && self.places.is_empty() && analyse.query.is_all()) {
            return until(self.until);
        }
        self.counted += meta.logs;
        match (self.take)(&[], meta.logs) {
            ControlFlow::Continue(()) if until(self.until) == Next::Go => Next::Skip,
            _ => Next::End,
        }
    }

    fn is_worth(&mut self, raw: &[u8]) -> bool {
        self.analyse.query.may_match(raw)
    }

    fn visit(&mut self, _: &PackMeta, group: &Group<'_>) -> Result<Next, StoreError> {
        let mut subject = Subject::new(group);
        let tags: Vec<(&[u8], &[u8])> = group.tags().collect();
        for log in group.logs() {
            if !matches(self.analyse, &mut subject, &log) {
                continue;
            }
            self.time.clear();
            append_u64(&mut self.time, u64::from(log.time));
            if let Some(nanoseconds) = log.time_ns {
                self.nanoseconds.clear();
                append_u64(&mut self.nanoseconds, u64::from(nanoseconds));
            }
            let mut made: Vec<(usize, Vec<u8>)> = Vec::new();
            let (mut few, mut many) = ([None; FEW], Vec::new());
            let values: &mut [Option<&[u8]>] = match few.get_mut(..self.places.len()) {
                Some(few) => few,
                None => {
                    many.resize(self.places.len(), None);
                    &mut many
                }
            };
            for (at, (place, value)) in self.places.iter().zip(values.iter_mut()).enumerate() {
                *value = match place {
                    Place::Time => Some(self.time.as_slice()),
                    Place::TimeNs => log.time_ns.map(|_| self.nanoseconds.as_slice()),
                    Place::Source => Some(group.source),
                    Place::Topic => Some(group.topic),
                    Place::Tag(tag) => {
                        tags.iter().find(|(key, _)| *key == tag.as_bytes()).map(|(_, value)| *value)
                    }
                    Place::Field(name) => content(&log, name),
                    Place::Path(key, path) => {
                        made.extend(
                            content(&log, key).and_then(|json| at_path(json, path)).map(|made| (at, made)),
                        );
                        None
                    }
                    Place::Dotted(name) => content(&log, name).or_else(|| {
                        made.extend(dotted(&log, name).map(|made| (at, made)));
                        None
                    }),
                };
            }
            for (at, made) in &made {
                if let Some(value) = values.get_mut(*at) {
                    *value = Some(made);
                }
            }
            if let ControlFlow::Break(()) = (self.take)(values, 1) {
                return Ok(Next::End);
            }
        }
        Ok(Next::Go)
    }
}

fn until(deadline: Instant) -> Next {
    if Instant::now() < deadline { Next::Go } else { Next::End }
}

fn matches<'g>(analyse: &Analyse, subject: &mut Subject<'g>, log: &Log<'g>) -> bool {
    let time = log.nanoseconds();
    (analyse.from..analyse.to).contains(&time)
        && (analyse.query.is_all() || subject.matches(&analyse.query, log))
}

fn content<'g>(log: &Log<'g>, name: &str) -> Option<&'g [u8]> {
    log.contents().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
}

fn dotted(log: &Log<'_>, name: &str) -> Option<Vec<u8>> {
    let mut dots = name.match_indices('.');
    dots.find_map(|(dot, _)| at_path(content(log, name.get(..dot)?)?, name.get(dot + 1..)?))
}

/// The value at a path like `a.b` in JSON, as text: a text without quotes, anything else as JSON.
fn at_path(json: &[u8], path: &str) -> Option<Vec<u8>> {
    let json: serde_json::Value = serde_json::from_slice(json).ok()?;
    let mut found = &json;
    for step in path.split('.') {
        found = match found {
            serde_json::Value::Object(map) => map.get(step)?,
            serde_json::Value::Array(list) => list.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    match found {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone().into_bytes()),
        other => Some(other.to_string().into_bytes()),
    }
}

/// Gathers the names of fields.
struct Sampler<'l> {
    analyse: &'l Analyse,
    until: Instant,
    logs: usize,
    names: Vec<String>,
}

impl Visitor for Sampler<'_> {
    fn before(&mut self, _: &PackMeta) -> Next {
        until(self.until)
    }

    fn is_worth(&mut self, raw: &[u8]) -> bool {
        self.analyse.query.may_match(raw)
    }

    fn visit(&mut self, _: &PackMeta, group: &Group<'_>) -> Result<Next, StoreError> {
        let mut subject = Subject::new(group);
        for log in group.logs().filter(|log| matches(self.analyse, &mut subject, log)) {
            for (name, _) in log.contents() {
                let name = String::from_utf8_lossy(name);
                if self.names.len() < SAMPLED_NAMES && !self.names.iter().any(|known| *known == name) {
                    self.names.push(name.into_owned());
                }
            }
            self.logs += 1;
            if self.logs >= SAMPLED {
                return Ok(Next::End);
            }
        }
        Ok(Next::Go)
    }
}
