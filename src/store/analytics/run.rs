//! Runs a translated statement: a temporary database, its fence, and the rows of the answer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::ast::{Body, Item, Query, RelationSource};
use super::error::{fault, place};
use super::functions::{real_text, register};
use super::load::{Deadline, failed, load, make_table};
use super::names::Setting;
use super::parse::parse;
use super::translate::{DEFAULT_ROWS, Plan, translate};
use super::types::Type;
use super::{AnalyticsError, Bound, Limits, Session, Source, Table};
use crate::base::disk::Space;

/// Memory of the database's pages; what is more goes to the disk.
const CACHE_KIB: i64 = 64 * 1024;
const PAGE_BYTES: u64 = 16 * 1024;
/// Bytes of one value, and of the statement we make.
const VALUE_BYTES: i32 = 64 << 20;
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 20_000;
/// Between two looks at the disk; and how much free space has to vanish meanwhile for the analysis to be blamed for it.
const LOOK_AT_DISK: Duration = Duration::from_millis(200);
const SPILL: u64 = 64 << 20;
/// Functions of SQLite's own that translations call.
const NATIVE: [&str; 28] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "length",
    "substr",
    "trim",
    "ltrim",
    "rtrim",
    "abs",
    "char",
    "unicode",
    "coalesce",
    "group_concat",
    "like",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "total",
    "json_each",
];

pub(super) fn run(
    sql: &str,
    session: &Session<'_>,
    source: &mut dyn Source,
    may_weigh: bool,
) -> Result<Table, AnalyticsError> {
    let limits = &session.limits;
    let deadline = Deadline {
        at: Instant::now() + limits.time,
        seconds: limits.time.as_secs(),
        stop: session.stop.clone(),
    };
    let query = parse(sql).map_err(|fault| place(sql, fault))?;
    let setting = Setting {
        fields: session.fields,
        logstore: session.logstore,
        now: session.now,
        all: if wants_all(&query) { all_names(session, source)? } else { Vec::new() },
    };
    let plan = translate(&query, &setting, may_weigh).map_err(|fault| place(sql, fault))?;
    let database = |error| failed(error, limits);
    let mut connection = open(session.spill, limits).map_err(database)?;
    register(&connection).map_err(database)?;
    connection.execute_batch("BEGIN").map_err(database)?;
    make_table(&connection, &plan.loads, plan.is_weighted).map_err(database)?;
    // The statement's own faults come before the work.
    connection.prepare(&plan.sql).map(drop).map_err(|error| refused(sql, &plan, error, limits))?;
    load(&connection, &plan.loads, plan.is_weighted, source, limits, &deadline)?;
    fence(&mut connection).map_err(database)?;
    let ended = watch(&mut connection, session.spill, deadline.clone()).map_err(database)?;
    let answered = answer(&connection, &plan, limits);
    let filled = answered.map(|mut table| {
        if let Some(series) = super::series::of(&query).filter(|_| !table.cut) {
            table.rows = series.fill(table.rows);
        }
        table
    });
    filled.map_err(|failure| match failure {
        Failure::Prepare(error) => refused(sql, &plan, error, limits),
        Failure::Step(error) => match (error.sqlite_error_code(), ended.load(Ordering::Relaxed)) {
            (Some(ErrorCode::OperationInterrupted), BY_DISK) => AnalyticsError::Bound(Bound::Disk),
            (Some(ErrorCode::OperationInterrupted), _) => {
                deadline.check().err().unwrap_or(AnalyticsError::Stopped)
            }
            (Some(ErrorCode::OutOfMemory | ErrorCode::TooBig), _) => {
                AnalyticsError::Value("a value of the analysis is too large".to_owned())
            }
            (Some(ErrorCode::Unknown), _) => AnalyticsError::Value(message(&error)),
            _ => failed(error, limits),
        },
    })
}

/// Does the statement name columns by `*`?
fn wants_all(query: &Query) -> bool {
    fn of_body(body: &Body) -> bool {
        match body {
            Body::Select(select) => {
                select.items.iter().any(|item| matches!(item, Item::All { .. }))
                    || select.from.iter().any(|join| match &join.relation.source {
                        RelationSource::Query(query) => wants_all(query),
                        _ => false,
                    })
            }
            Body::Nested(query) => wants_all(query),
            Body::Set { left, right, .. } => of_body(left) || of_body(right),
        }
    }
    query.with.iter().any(|named| wants_all(&named.query)) || of_body(&query.body)
}

fn all_names(session: &Session<'_>, source: &mut dyn Source) -> Result<Vec<String>, AnalyticsError> {
    let mut names: Vec<String> = ["__time__", "__source__", "__topic__"].map(str::to_owned).into();
    let of_logs = match session.fields {
        Some(fields) => fields.0.iter().map(|(name, _)| name.clone()).collect(),
        None => source.names()?,
    };
    for name in of_logs {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// A new database that is gone when its connection is.
fn open(spill: &Path, limits: &Limits) -> rusqlite::Result<Connection> {
    let name = format!("analytics-{:016x}.db", getrandom::u64().unwrap_or_default());
    let path: PathBuf = spill.join(name);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
        let pages = (limits.bytes / PAGE_BYTES).clamp(16, 4_000_000_000);
        connection.execute_batch(&format!(
            "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
             PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA max_page_count = {pages};
             PRAGMA temp_store = FILE; PRAGMA case_sensitive_like = ON;"
        ))?;
        Ok(connection)
    });
    // The open file stays; a crash leaves nothing behind.
    let _ = std::fs::remove_file(&path);
    let connection = opened?;
    temporary_files_in(&connection, spill)?;
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, VALUE_BYTES / 8),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    ] {
        connection.set_limit(limit, most)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(connection)
}

/// Sorting spills to the data directory as well. SQLite knows one such directory for the whole process; the first one
/// serves all, and where it is gone SQLite takes the system's.
fn temporary_files_in(connection: &Connection, spill: &Path) -> rusqlite::Result<()> {
    static ONCE: Once = Once::new();
    let Some(spill) = spill.to_str() else { return Ok(()) };
    let mut outcome = Ok(());
    ONCE.call_once(|| {
        outcome = connection
            .execute_batch(&format!("PRAGMA temp_store_directory = '{}'", spill.replace('\'', "''")));
    });
    outcome
}

/// From here on the connection reads one table, with functions from the lists.
fn fence(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA query_only = ON")?;
    connection.authorizer(Some(|context: rusqlite::hooks::AuthContext<'_>| match context.action {
        AuthAction::Select => Authorization::Allow,
        AuthAction::Read { table_name: "log" | "json_each" | "", .. } => Authorization::Allow,
        AuthAction::Function { function_name }
            if function_name.starts_with("p_") || NATIVE.contains(&function_name) =>
        {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }))
}

const BY_DISK: u8 = 1;

/// Ends the statement at its deadline, when it is stopped, and when the disk fills.
fn watch(connection: &mut Connection, spill: &Path, deadline: Deadline) -> rusqlite::Result<Arc<AtomicU8>> {
    let ended = Arc::new(AtomicU8::new(0));
    let disk = std::fs::File::open(spill).ok();
    let space = move || disk.as_ref().and_then(|disk| Space::of(disk).ok());
    let before = space().map_or(u64::MAX, |space| space.available);
    let mut looked = Instant::now();
    let by = ended.clone();
    connection.progress_handler(
        STEPS,
        Some(move || {
            if deadline.check().is_err() {
                return true;
            }
            if looked.elapsed() < LOOK_AT_DISK {
                return false;
            }
            looked = Instant::now();
            // What does not spill may run on a disk that others have filled.
            let fills = |space: Space| space.spare() == 0 && before.saturating_sub(space.available) > SPILL;
            let is_crowded = space().is_some_and(fills);
            if is_crowded {
                by.store(BY_DISK, Ordering::Relaxed);
            }
            is_crowded
        }),
    )?;
    Ok(ended)
}

enum Failure {
    Prepare(rusqlite::Error),
    Step(rusqlite::Error),
}

fn answer(connection: &Connection, plan: &Plan, limits: &Limits) -> Result<Table, Failure> {
    let mut statement = connection.prepare(&plan.sql).map_err(Failure::Prepare)?;
    let mut table = Table {
        columns: plan.outputs.iter().map(|output| output.name.clone()).collect(),
        ..Table::default()
    };
    let mut seen = vec![Seen::default(); plan.outputs.len()];
    let mut bytes = 0;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(Failure::Step)? {
        if plan.is_cut_by_default && table.rows.len() as u64 >= DEFAULT_ROWS {
            table.cut = true;
            break;
        }
        let mut cells = Vec::with_capacity(plan.outputs.len());
        for (index, (output, seen)) in plan.outputs.iter().zip(&mut seen).enumerate() {
            let cell = cell(row.get_ref(index).map_err(Failure::Step)?, output.kind, seen);
            bytes += 24 + cell.as_ref().map_or(0, String::len);
            cells.push(cell);
        }
        if bytes > limits.answer_bytes {
            table.cut = true;
            break;
        }
        table.rows.push(cells);
    }
    let types = plan.outputs.iter().zip(&seen);
    table.types = types.map(|(output, seen)| type_name(output.kind, *seen)).collect();
    Ok(table)
}

/// What kinds of values a column had.
#[derive(Clone, Copy, Default)]
struct Seen {
    whole: bool,
    real: bool,
    text: bool,
}

fn cell(value: ValueRef<'_>, kind: Type, seen: &mut Seen) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) if kind == Type::Bool => Some((number != 0).to_string()),
        ValueRef::Integer(number) => {
            seen.whole = true;
            Some(if kind == Type::Double { real_text(number as f64) } else { number.to_string() })
        }
        ValueRef::Real(number) => {
            seen.real = true;
            Some(real_text(number))
        }
        ValueRef::Text(text) | ValueRef::Blob(text) => {
            seen.text = true;
            Some(String::from_utf8_lossy(text).into_owned())
        }
    }
}

fn type_name(kind: Type, seen: Seen) -> &'static str {
    match kind {
        Type::Int => "bigint",
        Type::Double => "double",
        Type::Bool => "boolean",
        Type::Text | Type::Time | Type::Date | Type::Json => "varchar",
        Type::Any | Type::Mixed | Type::Number => match seen {
            Seen { text: true, .. } => "varchar",
            Seen { real: true, .. } => "double",
            Seen { whole: true, .. } => "bigint",
            _ if kind == Type::Number => "double",
            _ => "varchar",
        },
    }
}

/// SQLite's own objection to the statement, at the place of the author's text it is about.
fn refused(sql: &str, plan: &Plan, error: rusqlite::Error, limits: &Limits) -> AnalyticsError {
    let rusqlite::Error::SqlInputError { msg, offset, .. } = &error else {
        return match error.sqlite_error_code() {
            Some(ErrorCode::Unknown | ErrorCode::TooBig) => {
                place(sql, fault(0, format!("the statement is refused: {}", message(&error))))
            }
            _ => failed(error, limits),
        };
    };
    let before = usize::try_from(*offset).ok().and_then(|offset| plan.sql.get(..offset)).unwrap_or("");
    let mark = before.rfind("/*@").and_then(|mark| before.get(mark + 3..));
    let at = mark.and_then(|mark| mark.split_once("*/")).and_then(|(at, _)| at.parse().ok()).unwrap_or(0);
    place(sql, fault(at, format!("the statement is refused: {msg}")))
}

fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}
