//! The fields that say of a record that it is not a whole line: `__cut__: <key of the text>`, `__partial__: true`.

use super::pieces::Line;
use crate::base::metrics::Counter;
use crate::pipeline::join;
use crate::record::Batch;

/// What a record is marked with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// The line goes on, or had more: it was longer than allowed.
    pub is_cut: bool,
    /// Pieces are missing.
    pub is_partial: bool,
}

impl Marks {
    pub fn of(line: &Line) -> Marks {
        Marks { is_cut: line.is_cut, is_partial: line.is_partial }
    }
}

/// Writes marks, and counts them as the joiner of the other inputs does.
pub struct Marker {
    cut: Counter,
    unfinished: Counter,
}

impl Default for Marker {
    fn default() -> Self {
        Marker { cut: join::cut_lines(), unfinished: join::unfinished_lines() }
    }
}

impl Marker {
    /// Marks the record written last, whose text has this key.
    pub fn mark(&self, batch: &mut Batch, marks: Marks, key: &str) {
        for (is_marked, name, value, count) in [
            (marks.is_cut, "__cut__", key, &self.cut),
            (marks.is_partial, "__partial__", "true", &self.unfinished),
        ] {
            if is_marked {
                count.increment(1);
                let (key, value) = (batch.keep(name.as_bytes()), batch.keep(value.as_bytes()));
                batch.push(key, value);
            }
        }
    }
}
