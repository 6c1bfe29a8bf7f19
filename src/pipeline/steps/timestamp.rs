//! The processor `time`: takes the record's time from a field.

use crate::config::plan::TimestampPlan;
use crate::record::Batch;

pub(super) struct Timestamps {
    plan: TimestampPlan,
}

/// What was read last, for the next record is often of the same second.
#[derive(Default)]
pub(super) struct Remembered {}

impl Timestamps {
    pub(super) fn new(plan: &TimestampPlan) -> Timestamps {
        Timestamps { plan: plan.clone() }
    }

    pub(super) fn apply(&self, batch: &mut Batch, record: usize, remembered: &mut Remembered) {
        let _ = (&self.plan, batch, record, remembered);
    }
}
