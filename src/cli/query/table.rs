//! Rows of columns: aligned for people, or as CSV (RFC 4180) for programs.

use super::line::harmless;
use super::pages::Record;

/// Columns of text on the screen that a cell may take.
const CELL: usize = 120;

/// Rows with their columns by name; a row may lack some.
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    /// Whether a column holds numbers, which are aligned to the right.
    pub(super) numeric: Vec<bool>,
    pub(super) rows: Vec<Record>,
}

impl Table {
    /// Of records: all the names that they have, the time first.
    pub(super) fn of_records(rows: Vec<Record>) -> Table {
        let mut columns: Vec<String> = Vec::new();
        for key in ["__time__", "__time_ns_part__", "__source__", "__topic__"] {
            if rows.iter().any(|row| row.contains_key(key)) {
                columns.push(key.to_owned());
            }
        }
        let mut known: std::collections::HashSet<String> = columns.iter().cloned().collect();
        for key in rows.iter().flat_map(Record::keys) {
            if known.insert(key.clone()) {
                columns.push(key.clone());
            }
        }
        Table { numeric: vec![false; columns.len()], columns, rows }
    }

    fn cell<'a>(row: &'a Record, column: &str) -> &'a str {
        row.get(column).and_then(serde_json::Value::as_str).unwrap_or("")
    }

    /// Lines of CSV, each ended as the format wants it.
    pub(super) fn csv(&self) -> impl Iterator<Item = String> {
        let head = joined(self.columns.iter().map(String::as_str));
        let rows =
            self.rows.iter().map(|row| joined(self.columns.iter().map(|column| Self::cell(row, column))));
        std::iter::once(head).chain(rows)
    }

    /// Lines for people; `colour` for a terminal.
    pub(super) fn lines(&self, colour: bool) -> Vec<String> {
        let heads: Vec<String> = self.columns.iter().map(|column| cut(&harmless(column))).collect();
        let cells: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| self.columns.iter().map(|column| cut(&harmless(Self::cell(row, column)))).collect())
            .collect();
        let widths: Vec<usize> = heads
            .iter()
            .enumerate()
            .map(|(at, head)| {
                let cells = cells.iter().filter_map(|row| row.get(at)).map(|cell| width(cell));
                cells.chain([width(head)]).max().unwrap_or(0)
            })
            .collect();
        let aligned = |row: &[String]| {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                let wanted = widths.get(at).copied().unwrap_or(0);
                let pad = " ".repeat(wanted.saturating_sub(width(cell)));
                let (before, behind) =
                    if self.numeric.get(at) == Some(&true) { (pad.as_str(), "") } else { ("", pad.as_str()) };
                let gap = if at > 0 { "  " } else { "" };
                line.push_str(&format!("{gap}{before}{cell}{behind}"));
            }
            line.truncate(line.trim_end().len());
            line
        };
        let head = aligned(&heads);
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let mut lines = vec![if colour { format!("\x1b[1m{head}\x1b[0m") } else { head }, rule.join("  ")];
        lines.extend(cells.iter().map(|row| aligned(row)));
        lines
    }
}

fn joined<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let quoted = |cell: &str| match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    };
    let mut line = cells.map(quoted).collect::<Vec<_>>().join(",");
    line.push('\r');
    line
}

/// At most so much as fits a line.
fn cut(text: &str) -> String {
    if width(text) <= CELL {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = text.chars().take_while(|c| {
        taken += columns_of(*c);
        taken < CELL
    });
    fits.chain(['\u{2026}']).collect()
}

/// Columns of the screen that a text takes.
fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// East Asian wide characters and most pictures take two columns, what combines takes none.
fn columns_of(c: char) -> usize {
    match c as u32 {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(value: Value) -> Record {
        let Value::Object(record) = value else { panic!() };
        record
    }

    #[test]
    fn columns_are_aligned() {
        let table = Table {
            columns: vec!["status".into(), "n".into()],
            numeric: vec![false, true],
            rows: vec![
                record(json!({ "status": "200", "n": "1234" })),
                record(json!({ "status": "\u{4e16}\u{754c}\x1b[2J", "n": "5" })),
                record(json!({ "n": "null" })),
            ],
        };
        assert_eq!(
            table.lines(false),
            [
                "status       n",
                "--------  ----",
                "200       1234",
                "\u{4e16}\u{754c}\u{fffd}[2J     5",
                "          null"
            ]
        );
        assert!(table.lines(true)[0].starts_with("\x1b[1m"));
        let long = Table {
            columns: vec!["a".into()],
            numeric: vec![false],
            rows: vec![record(json!({ "a": "\u{4e16}".repeat(200) }))],
        };
        assert!(width(&long.lines(false)[2]) <= CELL);
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        let rows = vec![
            record(json!({ "__time__": "1", "b": "x,y", "a": "he said \"no\"" })),
            record(json!({ "__time__": "2", "c": "two\nlines" })),
        ];
        let csv: Vec<String> = Table::of_records(rows).csv().collect();
        assert_eq!(csv, ["__time__,a,b,c\r", "1,\"he said \"\"no\"\"\",\"x,y\",\r", "2,,,\"two\nlines\"\r"]);
    }
}
