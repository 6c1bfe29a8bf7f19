//! Statements over a small source: what goes in, what comes out.

mod cases;
mod faults;
mod soup;
mod weights;

use super::*;

/// Logs as lists of fields; `__time__`, `__source__`, `__topic__` and `__tag__:x` are fields of these names.
pub(super) struct Logs(pub(super) Vec<Vec<(String, String)>>);

impl Logs {
    /// A log a line: `name=value name=value`; `+` stands for a blank.
    pub(super) fn of(text: &str) -> Logs {
        let field = |word: &str| {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            (name.to_owned(), value.replace('+', " "))
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Logs(lines.map(|line| line.split_whitespace().map(field).collect()).collect())
    }
}

impl Source for Logs {
    fn load(&mut self, columns: &[Column], take: &mut Take<'_>) -> Result<(), StoreError> {
        for log in &self.0 {
            let value = |column: &Column| {
                let name = match column {
                    Column::Time => "__time__".to_owned(),
                    Column::TimeNs => "__time_ns_part__".to_owned(),
                    Column::Source => "__source__".to_owned(),
                    Column::Topic => "__topic__".to_owned(),
                    Column::Tag(tag) => format!("__tag__:{tag}"),
                    Column::Field(name) | Column::JsonPath(name) => name.clone(),
                };
                log.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes())
            };
            let values: Vec<Option<&[u8]>> = columns.iter().map(value).collect();
            if take(&values, 1).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn names(&mut self) -> Result<Vec<String>, StoreError> {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in self.0.iter().flatten() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Ok(names)
    }
}

/// 2023-11-14 22:13:20 UTC.
pub(super) const NOW: i64 = 1_700_000_000_000;

pub(super) fn run_over(
    logs: &str,
    sql: &str,
    fields: Option<&Fields>,
    may_weigh: bool,
) -> Result<Table, AnalyticsError> {
    run_within(logs, sql, fields, may_weigh, Limits::default())
}

pub(super) fn run_within(
    logs: &str,
    sql: &str,
    fields: Option<&Fields>,
    may_weigh: bool,
    limits: Limits,
) -> Result<Table, AnalyticsError> {
    let spill = std::env::temp_dir();
    let stop = Arc::new(AtomicBool::new(false));
    let session = Session { fields, logstore: "app", now: NOW, limits, spill: &spill, stop: &stop };
    run::run(sql, &session, &mut Logs::of(logs), may_weigh)
}

/// The rows as text: cells apart by ` | `, `null` for NULL.
pub(super) fn rows(table: &Table) -> Vec<String> {
    let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "null".to_owned());
    table.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" | ")).collect()
}
