//! Answers of GetLogs to a query with a statement behind its bar: rows of columns instead of logs.
//!
//! Values are text in both forms, as logs are; NULL is the text `null`. `keys` has the columns in order, `columnTypes`
//! their types. Columns of the same name become `name`, `name_0`, `name_1` ...

use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use crate::store::analytics::AnalyticsError;
use crate::store::{Analyse, Analysed, Store};

/// Rows, and what the answer says of them.
pub(super) struct Outcome {
    found: Analysed,
    keys: Vec<String>,
    where_text: String,
    sql: String,
    terms: Vec<(String, String)>,
    started: Instant,
}

/// `where_text` is what stands before the bar.
pub(super) async fn run(store: &Store, where_text: String, analyse: Analyse) -> Result<Outcome, Refusal> {
    let started = Instant::now();
    let (sql, terms) = (analyse.sql.clone(), analyse.query.terms.clone());
    let found = store.analyse(analyse).await?;
    let keys = distinct(&found.table.columns);
    Ok(Outcome { found, keys, where_text, sql, terms, started })
}

impl From<AnalyticsError> for Refusal {
    fn from(error: AnalyticsError) -> Refusal {
        match error {
            AnalyticsError::Store(error) => error.into(),
            AnalyticsError::Stopped => Refusal::new("ServerBusy", "the server is stopping"),
            AnalyticsError::Database(_) => Refusal::new("InternalServerError", error.to_string()),
            AnalyticsError::Statement { .. } | AnalyticsError::Value(_) | AnalyticsError::Bound(_) => {
                Refusal::new("ParameterInvalid", error.to_string())
            }
        }
    }
}

impl Outcome {
    /// `meta` of the new form.
    pub(super) fn meta(&self) -> Value {
        let table = &self.found.table;
        let terms: Vec<Value> =
            self.terms.iter().map(|(key, term)| json!({ "key": key, "term": term })).collect();
        json!({
            "progress": "Complete",
            "count": table.rows.len(),
            "processedRows": self.found.scanned_logs,
            "processedBytes": self.found.scanned_bytes,
            "elapsedMillisecond": self.started.elapsed().as_millis() as u64,
            "hasSQL": true,
            "whereQuery": self.where_text,
            "aggQuery": self.sql,
            "cpuSec": 0.0,
            "cpuCores": 0,
            "limited": u8::from(table.cut),
            "mode": 0,
            "isAccurate": true,
            "keys": self.keys,
            "terms": terms,
            "columnTypes": table.types,
            "telementryType": "",
            "powerSql": false,
            "insertedSQL": "",
            "marker": "",
        })
    }

    /// The rows as an array of objects.
    pub(super) fn write_rows(&self, out: &mut Vec<u8>) {
        let names: Vec<String> = self.keys.iter().map(|key| Value::from(key.as_str()).to_string()).collect();
        out.push(b'[');
        for (index, row) in self.found.table.rows.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
            for (column, (name, cell)) in names.iter().zip(row).enumerate() {
                let comma = if column > 0 { "," } else { "" };
                // Text into memory: there is nothing that could fail.
                let _ = write!(out, "{comma}{name}:");
                let _ = serde_json::to_writer(&mut *out, cell.as_deref().unwrap_or("null"));
            }
            out.push(b'}');
        }
        out.push(b']');
    }

    /// The answer of the old form: an array, the rest in headers.
    pub(super) fn old_answer(&self) -> Answer {
        let mut text = Vec::new();
        self.write_rows(&mut text);
        let terms: Vec<Value> = self.terms.iter().map(|(key, term)| json!([term, key])).collect();
        let table = &self.found.table;
        let info = json!({
            "keys": self.keys,
            "terms": terms,
            "columnTypes": table.types,
            "limited": u8::from(table.cut),
            "isAccurate": 1,
            "mode": 0,
        });
        Answer::bytes(text)
            .with("x-log-progress", "Complete")
            .with("x-log-count", table.rows.len())
            .with("x-log-processed-rows", self.found.scanned_logs)
            .with("x-log-processed-bytes", self.found.scanned_bytes)
            .with("x-log-elapsed-millisecond", self.started.elapsed().as_millis())
            .with("x-log-has-sql", "true")
            .with("x-log-where-query", on_one_line(&self.where_text))
            .with("x-log-agg-query", on_one_line(&self.sql))
            .with("x-log-cpu-sec", "0")
            .with("x-log-cpu-cores", "0")
            .with("x-log-power-sql", "false")
            .with("x-log-insertedsql", "")
            .with("x-log-query-info", info)
    }
}

/// As a header can carry it.
fn on_one_line(text: &str) -> String {
    text.replace(|character: char| character.is_ascii_control(), " ")
}

fn distinct(columns: &[String]) -> Vec<String> {
    let mut used = std::collections::HashSet::new();
    let mut names = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column.clone();
        let mut count = 0;
        while !used.insert(name.clone()) {
            name = format!("{column}_{count}");
            count += 1;
        }
        names.push(name);
    }
    names
}
