//! The processor `parse`: makes fields of the text of one.

mod json;

use crate::config::plan::{Nil, OnFailure, ParseFormat, ParsePlan};
use crate::record::Batch;

pub(super) struct Parse {
    plan: ParsePlan,
    json: json::Parser,
}

impl Parse {
    pub(super) fn new(plan: &ParsePlan, nil: Nil) -> Parse {
        Parse { plan: plan.clone(), json: json::Parser::new(nil) }
    }

    /// Parses the field of one record that the plan names; a record without it has nothing to parse. False when the record
    /// is to be dropped.
    pub(super) fn apply(&self, batch: &mut Batch, record: usize) -> bool {
        let parsed = match self.plan.format {
            ParseFormat::Json { .. } => self.json.apply(&self.plan, batch, record),
            _ => false,
        };
        parsed || self.plan.on_failure != OnFailure::Discard
    }
}
