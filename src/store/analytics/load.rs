//! Fills the temporary table: a row for each log, or one for all logs that are equal in the columns of the statement.
//!
//! Equal logs are told by their values laid end to end, each behind its length, in a hash map that is emptied into the
//! table when it is full; a row may therefore come several times, each time with its own weight.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Statement};
use xxhash_rust::xxh3::Xxh3;

use super::functions::{natural, parse_number};
use super::names::Load;
use super::types::{Column, Form};
use super::{AnalyticsError, Bound, Limits, Source};

/// What the map of equal logs may hold before it is emptied.
const MAP_BYTES: usize = 64 << 20;
/// What an entry of the map takes besides its key.
const ENTRY_BYTES: usize = 48;
/// Logs between two looks at the clock.
const LOOK_EVERY: u64 = 4096;
/// Length of a value that is not there.
const ABSENT: u32 = u32::MAX;

type Counts = HashMap<Box<[u8]>, i64, BuildHasherDefault<Xxh3>>;

/// When an analysis has to end.
#[derive(Clone)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) seconds: u64,
    pub(super) stop: Arc<AtomicBool>,
}

impl Deadline {
    pub(super) fn check(&self) -> Result<(), AnalyticsError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(AnalyticsError::Stopped);
        }
        if Instant::now() >= self.at {
            return Err(AnalyticsError::Bound(Bound::Time(self.seconds)));
        }
        Ok(())
    }
}

/// Makes the table `log` with the columns `c0, c1, ...` and, with `is_weighted`, `w`.
pub(super) fn make_table(connection: &Connection, loads: &[Load], is_weighted: bool) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("CREATE TABLE log ({})", names(loads, is_weighted).join(", ")))
}

fn names(loads: &[Load], is_weighted: bool) -> Vec<String> {
    let mut names: Vec<String> = (0..loads.len()).map(|index| format!("c{index}")).collect();
    // A table has at least one column, also for `count(*)`.
    if is_weighted || names.is_empty() {
        names.push("w".to_owned());
    }
    names
}

/// Fills the table.
pub(super) fn load(
    connection: &Connection,
    loads: &[Load],
    is_weighted: bool,
    source: &mut dyn Source,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<(), AnalyticsError> {
    let width = names(loads, is_weighted).len();
    let insert = format!("INSERT INTO log VALUES ({})", vec!["?"; width].join(", "));
    // Each column is asked for once, in whatever forms it is needed.
    let mut columns: Vec<Column> = Vec::new();
    let mut table = Table {
        insert: connection.prepare(&insert).map_err(AnalyticsError::Database)?,
        values: Vec::new(),
        width,
        rows: 0,
        bytes: 0,
        limits,
    };
    for Load { column, form } in loads {
        let known = columns.iter().position(|known| known == column);
        if known.is_none() {
            columns.push(column.clone());
        }
        table.values.push((known.unwrap_or(columns.len() - 1), *form));
    }

    let mut seen = 0u64;
    let mut outcome = Ok(());
    let mut counts = Counts::default();
    let (mut key, mut held) = (Vec::new(), 0);
    source.load(&columns, &mut |values, logs| {
        seen += 1;
        let step = if seen.is_multiple_of(LOOK_EVERY) { deadline.check() } else { Ok(()) };
        outcome = step.and_then(|()| {
            if !is_weighted {
                return (0..logs).try_for_each(|_| table.add(values, 1));
            }
            let logs = i64::try_from(logs).unwrap_or(i64::MAX);
            write_key(values, &mut key);
            if let Some(count) = counts.get_mut(key.as_slice()) {
                *count = count.saturating_add(logs);
                return Ok(());
            }
            held += key.len() + ENTRY_BYTES;
            counts.insert(key.as_slice().into(), logs);
            if held <= MAP_BYTES {
                return Ok(());
            }
            held = 0;
            table.empty(&mut counts, columns.len())
        });
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    outcome?;
    table.empty(&mut counts, columns.len())?;
    deadline.check()
}

/// The temporary table as it fills.
struct Table<'a> {
    insert: Statement<'a>,
    /// Where each column's value is found among those of the source, and what it is made.
    values: Vec<(usize, Form)>,
    width: usize,
    rows: u64,
    bytes: u64,
    limits: &'a Limits,
}

impl Table<'_> {
    fn empty(&mut self, counts: &mut Counts, columns: usize) -> Result<(), AnalyticsError> {
        let mut values = Vec::with_capacity(columns);
        for (key, count) in counts.iter() {
            values.clear();
            read_key(key, &mut values);
            self.add(&values, *count)?;
        }
        counts.clear();
        Ok(())
    }

    fn add(&mut self, values: &[Option<&[u8]>], weight: i64) -> Result<(), AnalyticsError> {
        self.rows += 1;
        if self.rows > self.limits.rows {
            return Err(AnalyticsError::Bound(Bound::Rows(self.limits.rows)));
        }
        let failed = |error| failed(error, self.limits);
        for (place, (index, form)) in self.values.iter().enumerate() {
            let value = values.get(*index).copied().flatten();
            self.bytes += 2 + value.map_or(0, |value| value.len() as u64);
            let made = match (value, form) {
                (None, _) => ToSqlOutput::Owned(Value::Null),
                (Some(value), Form::Number) => ToSqlOutput::Owned(parse_number(value).unwrap_or(Value::Null)),
                (Some(value), _) => match std::str::from_utf8(value) {
                    Ok(_) if *form == Form::Natural => ToSqlOutput::Owned(natural(ValueRef::Text(value))),
                    Ok(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
                    Err(_) => ToSqlOutput::Owned(String::from_utf8_lossy(value).into_owned().into()),
                },
            };
            self.insert.raw_bind_parameter(place + 1, made).map_err(failed)?;
        }
        if self.width > self.values.len() {
            self.insert.raw_bind_parameter(self.width, weight).map_err(failed)?;
        }
        self.bytes += 8;
        if self.bytes > self.limits.bytes {
            return Err(AnalyticsError::Bound(Bound::Bytes(self.limits.bytes)));
        }
        self.insert.raw_execute().map(drop).map_err(failed)
    }
}

/// The bound of the database is met by SQLite itself.
pub(super) fn failed(error: rusqlite::Error, limits: &Limits) -> AnalyticsError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => AnalyticsError::Bound(Bound::Bytes(limits.bytes)),
        _ => AnalyticsError::Database(error),
    }
}

fn write_key(values: &[Option<&[u8]>], key: &mut Vec<u8>) {
    key.clear();
    for value in values {
        let len = value.map_or(ABSENT, |value| u32::try_from(value.len()).unwrap_or(ABSENT - 1));
        key.extend_from_slice(&len.to_le_bytes());
        key.extend_from_slice(value.unwrap_or_default());
    }
}

fn read_key<'a>(mut key: &'a [u8], values: &mut Vec<Option<&'a [u8]>>) {
    while let Some((len, rest)) = key.split_first_chunk() {
        let len = u32::from_le_bytes(*len);
        let (value, rest) = match len {
            ABSENT => (None, rest),
            len => match rest.split_at_checked(len as usize) {
                Some((value, rest)) => (Some(value), rest),
                None => (Some(rest), rest.get(..0).unwrap_or_default()),
            },
        };
        values.push(value);
        key = rest;
    }
}
