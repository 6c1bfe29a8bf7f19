//! The processors `filter` and `drop`: whether a record goes on. What does not is counted.
//!
//! A condition on a field that the record lacks never holds: `filter` drops such a record, `drop` lets it go on.

use crate::base::metrics::{Counter, counter};
use crate::config::plan::Condition;
use crate::record::Batch;

pub(super) struct Filter {
    conditions: Vec<(String, Condition)>,
    /// What becomes of records for which all conditions hold.
    keeps: bool,
    dropped: Counter,
}

impl Filter {
    pub(super) fn new(conditions: &[(String, Condition)], keeps: bool) -> Filter {
        let reason = if keeps { "filter" } else { "drop" };
        let dropped =
            counter("sluicegate_dropped_records_total", "Records dropped, by reason.", &[("reason", reason)]);
        Filter { conditions: conditions.to_vec(), keeps, dropped }
    }

    pub(super) fn takes(&self, batch: &Batch, record: usize) -> bool {
        let record = &batch.records[record];
        let holds = self.conditions.iter().all(|(key, condition)| {
            condition.holds(batch.value_of(record, key.as_bytes()).map(|value| batch.bytes(value)))
        });
        if holds != self.keeps {
            self.dropped.increment(1);
        }
        holds == self.keeps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::linear_regex::LinearRegex;
    use crate::record::Timestamp;

    #[test]
    fn all_conditions_have_to_hold() {
        let equals = |text: &str| Condition::Equals(text.to_owned());
        let regex = |text: &str| Condition::Regex(LinearRegex::parse(text).unwrap());
        let mut batch = Batch::default();
        batch.begin(Timestamp::default());
        for (key, value) in
            [("level", &b"error"[..]), ("code", b"500"), ("raw", b"a\xff\x00b"), ("none", b"")]
        {
            let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value));
            batch.push(key, value);
        }
        for (conditions, holds) in [
            (vec![], true),
            (vec![("level", equals("error"))], true),
            (vec![("level", equals("err"))], false),
            (vec![("level", regex("^(error|warn)$"))], true),
            (vec![("level", regex("rr"))], true),
            (vec![("level", regex("^rr"))], false),
            (vec![("level", equals("error")), ("code", regex("^5"))], true),
            (vec![("level", equals("error")), ("code", regex("^4"))], false),
            (vec![("raw", regex(r"(?-u:\xff)"))], true),
            (vec![("none", equals(""))], true),
            (vec![("none", regex("^$"))], true),
            // A field that is not there is not an empty one.
            (vec![("missing", equals(""))], false),
            (vec![("missing", regex(""))], false),
            (vec![("level", equals("error")), ("missing", regex(".*"))], false),
        ] {
            let conditions: Vec<(String, Condition)> =
                conditions.into_iter().map(|(key, condition)| (key.to_owned(), condition)).collect();
            assert_eq!(Filter::new(&conditions, true).takes(&batch, 0), holds, "filter {conditions:?}");
            assert_eq!(Filter::new(&conditions, false).takes(&batch, 0), !holds, "drop {conditions:?}");
        }
    }
}
