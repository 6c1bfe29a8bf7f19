use super::*;
use crate::record::Timestamp;

mod delimiter;
mod json;
mod log_format;
mod regex;

fn of(format: ParseFormat) -> ParsePlan {
    ParsePlan {
        format,
        key: "log".to_owned(),
        keep: false,
        prefix: String::new(),
        on_failure: OnFailure::Keep,
    }
}

fn record(batch: &mut Batch, fields: &[(&str, &str)]) {
    batch.begin(Timestamp::default());
    for (key, value) in fields {
        let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value.as_bytes()));
        batch.push(key, value);
    }
}

fn apply(plan: &ParsePlan, nil: Nil, batch: &mut Batch, record: usize) -> bool {
    Parse::new(plan, nil).apply(batch, record, &mut Scratch::default())
}

fn fields(batch: &Batch, record: usize) -> Vec<(String, String)> {
    let text = |span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
    let fields = batch.fields_of(&batch.records[record]).iter();
    fields.map(|field| (text(field.key), text(field.value))).collect()
}

fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn parsed_as(nil: Nil, plan: &ParsePlan, before: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut batch = Batch::default();
    record(&mut batch, before);
    record(&mut batch, &[("log", "another")]);
    apply(plan, nil, &mut batch, 0);
    assert_eq!(fields(&batch, 1), owned(&[("log", "another")]));
    fields(&batch, 0)
}

fn parsed(plan: &ParsePlan, before: &[(&str, &str)]) -> Vec<(String, String)> {
    parsed_as(Nil::Empty, plan, before)
}

/// The fields that a text becomes, as bytes; `None` when it is not of the format, and then the batch is as it was.
fn parts(parse: &Parse, text: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut batch = Batch::default();
    batch.begin(Timestamp::default());
    let (key, value) = (batch.keep(b"log"), batch.keep(text));
    batch.push(key, value);
    let (arena, range) = (batch.arena.clone(), batch.records[0].range());
    assert!(parse.apply(&mut batch, 0, &mut Scratch::default()));
    if batch.records[0].range() == range {
        assert_eq!((batch.fields.len(), batch.arena), (1, arena));
        return None;
    }
    let parts = batch.fields_of(&batch.records[0]).iter().map(|field| {
        (String::from_utf8_lossy(batch.bytes(field.key)).into_owned(), batch.bytes(field.value).to_vec())
    });
    Some(parts.collect())
}

#[test]
fn a_record_that_cannot_be_parsed_becomes_what_the_plan_says() {
    let failing = |on_failure| ParsePlan { on_failure, keep: true, ..of(ParseFormat::Json { depth: 1 }) };
    let mut batch = Batch::default();
    record(&mut batch, &[("a", "0"), ("log", "text"), ("b", "1")]);
    assert!(apply(&failing(OnFailure::Keep), Nil::Empty, &mut batch, 0));
    assert!(!apply(&failing(OnFailure::Discard), Nil::Empty, &mut batch, 0));
    assert_eq!(fields(&batch, 0), owned(&[("a", "0"), ("log", "text"), ("b", "1")]));
    assert!(apply(&failing(OnFailure::RawLog), Nil::Empty, &mut batch, 0));
    assert_eq!(fields(&batch, 0), owned(&[("a", "0"), ("__raw_log__", "text"), ("b", "1")]));
    // A record without the field has nothing to parse.
    assert!(apply(&failing(OnFailure::Discard), Nil::Empty, &mut batch, 0));
    let again = [("__raw_log__", "other"), ("log", "text")];
    let wanted = [("__raw_log__", "other"), ("log.__raw_log__", "text")];
    assert_eq!(parsed(&failing(OnFailure::RawLog), &again), owned(&wanted));
}
