//! Fills the gaps of a time series: `time_series(time, window, pattern, padding)` gives a row for every window between
//! the first and the last one of the answer, also for those without logs.
//!
//! It does so where the series is a column of the outermost select, window, pattern and padding are texts, and the rows
//! come in the order of time, either way, each time once; else the rows stay as they are. `padding` is what the other
//! columns show then: `0`, `null`, `last`, `next` or `avg` (of the neighbours).

use super::ast::{Body, Item, Node, Query};
use super::functions::{format, read, real_text, window_seconds};

/// Rows that filling may make of an answer.
const ROWS: usize = 10_000;

/// A series to fill.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    column: usize,
    /// Milliseconds.
    window: i64,
    pattern: String,
    padding: String,
}

type Row = Vec<Option<String>>;

/// The series of a statement's outermost select.
pub(super) fn of(query: &Query) -> Option<Series> {
    let Body::Select(select) = &query.body else { return None };
    select.items.iter().enumerate().find_map(|(column, item)| {
        let Item::Expr { expr, .. } = item else { return None };
        let Node::Call(call) = &expr.node else { return None };
        let [_, window, pattern, padding] = call.arguments.as_slice() else { return None };
        let (Node::Text(window), Node::Text(pattern)) = (&window.node, &pattern.node) else { return None };
        let (Node::Text(padding) | Node::Number(padding)) = &padding.node else { return None };
        let window = window_seconds(window).filter(|_| call.name == "time_series")? * 1000;
        Some(Series { column, window, pattern: pattern.clone(), padding: padding.to_ascii_lowercase() })
    })
}

impl Series {
    pub(super) fn fill(&self, rows: Vec<Row>) -> Vec<Row> {
        let at = |row: &Row| read(row.get(self.column)?.as_deref()?, &self.pattern);
        let Some(times) = rows.iter().map(at).collect::<Option<Vec<i64>>>() else { return rows };
        let steps = || times.windows(2).map(|pair| pair.last().unwrap_or(&0) - pair.first().unwrap_or(&0));
        let descends = steps().next().is_some_and(|step| step < 0);
        let step = if descends { -self.window } else { self.window };
        let is_regular = steps().all(|between| between.signum() == step.signum() && between % step == 0);
        let wanted: i64 = steps().map(|between| between / step).sum::<i64>() + 1;
        if !is_regular || usize::try_from(wanted).is_ok_and(|wanted| wanted > ROWS) {
            return rows;
        }
        let mut filled: Vec<Row> = Vec::with_capacity(wanted.max(0) as usize);
        for (row, time) in rows.into_iter().zip(times) {
            if let Some(before) = filled.last().cloned() {
                let mut next = at(&before).map_or(time, |before| before + step);
                while next != time {
                    filled.push(self.between(&before, &row, next));
                    next += step;
                }
            }
            filled.push(row);
        }
        filled
    }

    fn between(&self, before: &Row, after: &Row, time: i64) -> Row {
        let cells = before.iter().zip(after).enumerate();
        let cell = |(column, (before, after)): (usize, (&Option<String>, &Option<String>))| {
            if column == self.column {
                return Some(format(time, &self.pattern));
            }
            match self.padding.as_str() {
                "last" => before.clone(),
                "next" => after.clone(),
                "null" => None,
                "avg" => {
                    let number = |cell: &Option<String>| cell.as_deref()?.parse::<f64>().ok();
                    Some(real_text((number(before)? + number(after)?) / 2.0))
                }
                other => Some(other.to_owned()),
            }
        };
        cells.map(cell).collect()
    }
}
