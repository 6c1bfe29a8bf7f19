//! The processors `filter` and `drop`: whether a record goes on.

use crate::config::plan::Condition;
use crate::record::Batch;

pub(super) struct Filter {
    conditions: Vec<(String, Condition)>,
    /// What becomes of records for which all conditions hold.
    keeps: bool,
}

impl Filter {
    pub(super) fn new(conditions: &[(String, Condition)], keeps: bool) -> Filter {
        Filter { conditions: conditions.to_vec(), keeps }
    }

    pub(super) fn takes(&self, batch: &Batch, record: usize) -> bool {
        let record = &batch.records[record];
        let holds = self.conditions.iter().all(|(key, condition)| {
            condition.holds(batch.value_of(record, key.as_bytes()).map(|value| batch.bytes(value)))
        });
        holds == self.keeps
    }
}
