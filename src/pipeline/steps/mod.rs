//! Processors: what is done with a record on its way, one step after the other. A route has some, and an input of files.
//!
//! ```text
//! add remove keep rename    fields                 parse     fields of a text: JSON, a regular expression, a log format, columns
//! time                      the time of a field    filter drop    whether the record goes on         mask    secrets
//! ```
//!
//! A step is made once of its plan. The received bytes are never touched: what is cut out of them are spans, what has to be
//! made goes to the batch's arena and lives until the record is encoded. All of it is linear in the text, whatever it says.

#[cfg(test)]
mod collected;
mod fields;
mod filter;
mod mask;
mod parse;
mod timestamp;

use crate::config::plan::{self, Nil};
use crate::record::Batch;

/// The processors of a route or an input, ready to be applied.
#[derive(Default)]
pub struct Steps {
    list: Vec<Step>,
}

enum Step {
    Fields(plan::Step),
    Parse(Box<parse::Parse>),
    Time(Box<timestamp::Timestamps>),
    Filter(filter::Filter),
    Mask(mask::Mask),
}

/// What applying needs beside the record and may remember between two; each lane has its own.
#[derive(Default)]
pub struct Scratch {
    rendered: Vec<u8>,
    times: timestamp::Remembered,
    parse: parse::Scratch,
}

impl Steps {
    pub fn new(plans: &[plan::Step], nil: Nil) -> Steps {
        let list = plans.iter().map(|step| match step {
            plan::Step::Parse(plan) => Step::Parse(Box::new(parse::Parse::new(plan, nil))),
            plan::Step::Time(plan) => Step::Time(Box::new(timestamp::Timestamps::new(plan))),
            plan::Step::Filter(conditions) => Step::Filter(filter::Filter::new(conditions, true)),
            plan::Step::Drop(conditions) => Step::Filter(filter::Filter::new(conditions, false)),
            plan::Step::Mask(plan) => Step::Mask(mask::Mask::new(plan)),
            step => Step::Fields(step.clone()),
        });
        Steps { list: list.collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Applies all in order to one record; false when it is to be dropped, which is counted.
    pub fn apply(&self, batch: &mut Batch, record: usize, scratch: &mut Scratch) -> bool {
        self.list.iter().all(|step| match step {
            Step::Fields(step) => {
                fields::apply(step, batch, record, &mut scratch.rendered);
                true
            }
            Step::Parse(parse) => parse.apply(batch, record, &mut scratch.parse),
            Step::Time(times) => {
                times.apply(batch, record, &mut scratch.times);
                true
            }
            Step::Filter(filter) => filter.takes(batch, record),
            Step::Mask(mask) => {
                mask.apply(batch, record, &mut scratch.rendered);
                true
            }
        })
    }
}
