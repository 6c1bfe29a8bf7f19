//! What several fuzz targets need: a text as the field of a record, and the parse step on it.

use sluicegate::config::plan::{Nil, OnFailure, ParseFormat, ParsePlan, Step};
use sluicegate::pipeline::steps::{Scratch, Steps};
use sluicegate::record::{Batch, Timestamp};

/// Whether a text is of a format, and the values of the record's fields afterwards: where it is not, the text alone.
pub fn parse(format: ParseFormat, text: &[u8]) -> (bool, Vec<Vec<u8>>) {
    let plan = ParsePlan {
        format,
        key: "log".to_owned(),
        keep: false,
        prefix: String::new(),
        on_failure: OnFailure::Discard,
    };
    let mut batch = Batch::default();
    batch.begin(Timestamp::default());
    let (key, value) = (batch.keep(b"log"), batch.keep(text));
    batch.push(key, value);
    let steps = Steps::new(&[Step::Parse(plan)], Nil::Empty);
    let parsed = steps.apply(&mut batch, 0, &mut Scratch::default());
    let fields = batch.fields_of(&batch.records[0]).iter();
    (parsed, fields.map(|field| batch.bytes(field.value).to_vec()).collect())
}
