//! Analytics: what stands behind the bar of a query, `search | SELECT ...`, in Log Service's dialect of Presto.
//!
//! ```text
//! text -> lex -> parse -> tree -> translate -> one SQLite statement and the columns of the log it needs
//!                                                  |
//! logs that passed the search -> load -> temporary table `log` -> run -> Table
//! ```
//!
//! Invariants: what reaches SQLite is made by us, from a tree we have read; its connection may read that one table and
//! call functions from our list, nothing else (an authorizer sees to it). The temporary database lies in the data
//! directory, is unlinked as soon as it is open, and is bounded in rows, bytes and time; the error says which bound it was.
//! Equal rows are loaded once where the statement only aggregates ([`weighted`]). Times are UTC.
//!
//! Where it is kinder than the service: a division by zero gives NULL; texts that are numbers compare with numbers; a
//! function that cannot read its text (a time, JSON) gives NULL. CAST fails as there, TRY_CAST gives NULL.

mod ast;
mod call;
mod emit;
mod error;
mod expression;
mod from;
mod functions;
mod grouping;
mod lex;
mod load;
mod names;
mod operand;
mod parse;
mod relations;
mod run;
mod series;
mod translate;
mod types;
mod weighted;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use error::{AnalyticsError, Bound};
pub use types::{Column, Fields, Kind};

use super::StoreError;

/// Where logs come from.
pub trait Source {
    /// Calls `take` for each log that passed the search, with the values of these columns in this order, `None` where it
    /// has none, until `take` breaks off. Logs that are equal in them may come in one call, with their number.
    fn load(&mut self, columns: &[Column], take: &mut Take<'_>) -> Result<(), StoreError>;

    /// Names of the fields that the logs have, or some of them: what `SELECT *` means without an index.
    fn names(&mut self) -> Result<Vec<String>, StoreError>;
}

pub type Take<'a> = dyn FnMut(&[Option<&[u8]>], u64) -> ControlFlow<()> + 'a;

/// Bounds of one analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of the temporary table.
    pub rows: u64,
    /// Bytes of the temporary database.
    pub bytes: u64,
    pub time: Duration,
    /// Bytes of the answer, which is cut there.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { rows: 20_000_000, bytes: 4 << 30, time: Duration::from_secs(60), answer_bytes: 32 << 20 }
    }
}

/// What a statement is run with.
pub struct Session<'a> {
    /// The fields of the index; without one every name is a field.
    pub fields: Option<&'a Fields>,
    /// A name for FROM besides `log`.
    pub logstore: &'a str,
    /// What `now()` is, in milliseconds since 1970.
    pub now: i64,
    pub limits: Limits,
    /// Directory of the temporary database.
    pub spill: &'a Path,
    /// Ends the analysis when it becomes true.
    pub stop: &'a Arc<AtomicBool>,
}

/// The rows of an answer, as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    /// `bigint`, `double`, `varchar` or `boolean`, for each column.
    pub types: Vec<&'static str>,
    /// `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// There were more rows than the answer may have.
    pub cut: bool,
}

/// Runs a statement over the logs of a source.
pub fn run(sql: &str, session: &Session<'_>, source: &mut dyn Source) -> Result<Table, AnalyticsError> {
    run::run(sql, session, source, true)
}

/// Says what is wrong with a statement without running it.
pub fn check(sql: &str, fields: Option<&Fields>, logstore: &str) -> Result<(), AnalyticsError> {
    let query = parse::parse(sql).map_err(|fault| error::place(sql, fault))?;
    let setting = names::Setting { fields, logstore, now: 0, all: vec!["__time__".to_owned()] };
    translate::translate(&query, &setting, true).map(drop).map_err(|fault| error::place(sql, fault))
}

#[cfg(test)]
mod tests;
