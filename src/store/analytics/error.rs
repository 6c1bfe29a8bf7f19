//! What can go wrong with a statement, said so that its author finds the place.

use crate::store::StoreError;

/// Why there is no table. The texts of [`AnalyticsError::Statement`] and [`AnalyticsError::Value`] are for the author of
/// the statement.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// The statement is at fault. Line and character count from 1, characters inside their line.
    #[error("line {line}:{character}: {reason}")]
    Statement { line: usize, character: usize, reason: String },
    /// A value of some log, or the outcome of a computation, is not what the statement takes it for.
    #[error("{0}")]
    Value(String),
    #[error("the analysis was ended: {0}")]
    Bound(Bound),
    #[error("the query was stopped")]
    Stopped,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the temporary database of the analysis failed: {0}")]
    Database(rusqlite::Error),
}

/// Which of [`super::Limits`] ended an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bound {
    #[error("it takes more than {0} rows; narrow the search or the time range, or aggregate")]
    Rows(u64),
    #[error("it takes more than {} MiB of temporary space; narrow the search, the time range or the columns", .0 >> 20)]
    Bytes(u64),
    #[error("it takes longer than {0} s; narrow the search or the time range")]
    Time(u64),
    #[error("the file system of the data directory is nearly full")]
    Disk,
}

/// A fault at a byte of the statement; [`place`] makes an error of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: String,
}

pub(super) fn fault(at: usize, reason: impl Into<String>) -> Fault {
    Fault { at, reason: reason.into() }
}

/// The fault with line and character of the statement.
pub(super) fn place(sql: &str, fault: Fault) -> AnalyticsError {
    let mut at = fault.at.min(sql.len());
    while !sql.is_char_boundary(at) {
        at -= 1;
    }
    let before = sql.get(..at).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    AnalyticsError::Statement {
        line: before.matches('\n').count() + 1,
        character: before.get(line_start..).unwrap_or("").chars().count() + 1,
        reason: fault.reason,
    }
}

/// The known name nearest to a wrong one, when it is near enough to be what was meant.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_ascii_lowercase();
    let allowed = ((wrong.chars().count() + 1) / 3).min(3);
    known
        .map(|name| (distance(&wrong, &name.to_ascii_lowercase(), allowed), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Characters to insert, remove or replace; names of very different length are just far.
fn distance(one: &str, other: &str, allowed: usize) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let length = one.chars().count();
    if length.abs_diff(other.len()) > allowed || length > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, from) in one.chars().enumerate() {
        let mut corner = line;
        let mut left = line + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(&other) {
            let replaced = corner + usize::from(from != *to);
            corner = *cell;
            left = replaced.min(corner + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_placed_by_line_and_character() {
        let error = place("select 世界,\n  x y", fault("select 世界,\n  x".len(), "here"));
        assert_eq!(error.to_string(), "line 2:4: here");
    }

    #[test]
    fn a_name_that_is_near_is_found() {
        let known = ["count", "count_if", "date_format", "sum"];
        assert_eq!(nearest("cuont", known.into_iter()), Some("count"));
        assert_eq!(nearest("coun", known.into_iter()), Some("count"));
        assert_eq!(nearest("dateformat", known.into_iter()), Some("date_format"));
        assert_eq!(nearest("zzz", known.into_iter()), None);
    }
}
