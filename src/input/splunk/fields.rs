//! The fields of a record, as each becomes one: its time, its text, what a tag says of a container, and members of objects.

use super::events::{Context, Tally};
use super::tag::TagRanges;
use super::time;
use crate::input::batcher::Batcher;
use crate::record::json::Value;
use crate::record::{Batch, Span, Timestamp};

/// Names that tell where a record comes from.
const OURS: [&[u8]; 12] = [
    b"log",
    b"source",
    b"container_id",
    b"container_name",
    b"image_name",
    b"image_id",
    b"tag",
    b"host",
    b"splunk_source",
    b"sourcetype",
    b"index",
    b"time",
];

/// Gives the record begun last its time; or gives back the text that is none.
pub(super) fn set_time(value: Value, batcher: &mut Batcher) -> Option<Span> {
    let text = value.text(&mut batcher.batch).filter(|text| !text.is_empty())?;
    match time::parse(batcher.batch.bytes(text)) {
        // What senders write that know no time.
        Some(Timestamp { seconds: 0, nanos: 0 }) => {}
        Some(time) => {
            if let Some(record) = batcher.batch.records.last_mut() {
                record.time = time;
            }
        }
        None => return Some(text),
    }
    None
}

/// Pushes a text as the line of its record, cut and marked where it is too long.
pub(super) fn push_log(text: Span, max_event: usize, batcher: &mut Batcher, tally: &mut Tally) {
    batcher.push("log", text.slice(0, max_event));
    if text.len() > max_event {
        tally.cut += 1;
        batcher.push_text("__cut__", b"log");
    }
}

/// Pushes what the forms found in a tag; `tag` begins with it.
pub(super) fn push_container(found: &TagRanges, tag: Span, batcher: &mut Batcher) {
    for (key, range) in [
        ("container_id", &found.id),
        ("container_name", &found.name),
        ("image_name", &found.image_name),
        ("image_id", &found.image_id),
    ] {
        if let Some(range) = range {
            batcher.push(key, tag.slice(range.start, range.len()));
        }
    }
}

/// Pushes the field that all records of a peer have.
pub(super) fn push_extra(context: &Context, batcher: &mut Batcher) {
    if let Some((key, value)) = &context.extra {
        let (key, value) = (batcher.batch.keep(key.as_bytes()), batcher.batch.keep(value.as_bytes()));
        batcher.batch.push(key, value);
    }
}

/// Pushes a member by its name, or behind `prefix` where the name is the gateway's.
pub(super) fn push_member(prefix: &[u8], key: Span, value: Value, batch: &mut Batch) {
    let value = value.text(batch).unwrap_or_default();
    let key = match OURS.contains(&batch.bytes(key)) {
        true => {
            let name = batch.bytes(key).to_vec();
            batch.make(|arena| {
                arena.extend_from_slice(prefix);
                arena.extend_from_slice(&name);
            })
        }
        false => key,
    };
    batch.push(key, value);
}
