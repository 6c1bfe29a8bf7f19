//! Recorded payloads cut and damaged, and any bytes and trees: alike in any steps, and never a panic.

use proptest::prelude::*;

use super::traces::trace;
use super::*;

/// The payloads of recorded messages, with their signals.
fn recorded(name: &str) -> Vec<(i64, Vec<u8>)> {
    use crate::input::forward::message::{self, Frame, Signal};
    use crate::record::msgpack::{Limits, Scanner};
    let path = format!("{}/tests/data/forward/fluent-bit-{name}.bin", env!("CARGO_MANIFEST_DIR"));
    let stream = std::fs::read(path).unwrap();
    let (mut found, mut rest) = (Vec::new(), &stream[..]);
    while let Ok(Some(length)) = Scanner::new(Limits::default()).scan(rest) {
        let Ok(Frame::Message(message)) = message::open(&rest[..length]) else { panic!("no message") };
        let Signal::Other(number) = message.options.signal else { panic!("logs") };
        found.push((number, rest[super::payload(&message).unwrap().1].to_vec()));
        rest = &rest[length..];
    }
    found
}

#[test]
fn recorded_payloads_may_end_anywhere_and_come_together() {
    for name in ["event-type-metrics", "event-type-traces", "own-metrics", "node-metrics"] {
        for (number, payload) in recorded(name) {
            for end in (0..payload.len()).step_by(payload.len() / 2_000 + 1) {
                let (records, tally) = decode_by(number, Shape::Packed, &payload[..end], usize::MAX);
                assert_eq!(
                    (records.len(), tally.dropped(Invalid::Cut)),
                    (0, u64::from(end > 0)),
                    "{name} {end}"
                );
            }
            let once = decode(number, Shape::Packed, &payload).0.len();
            let (records, tally) = decode(number, Shape::Packed, &payload.repeat(4));
            assert_eq!((records.len(), tally.dropped_in_all()), (4 * once, 0), "{name}");
        }
    }
}

fn nodes() -> impl Strategy<Value = Value> {
    let keys = [
        "meta",
        "metrics",
        "values",
        "type",
        "opts",
        "name",
        "labels",
        "buckets",
        "quantiles",
        "value",
        "histogram",
        "count",
        "sum",
        "resourceSpans",
        "scope_spans",
        "spans",
        "span_id",
        "events",
        "attributes",
        "resource",
        "scope",
        "processing",
        "static_labels",
        "external",
        "exp_histogram",
        "positive_buckets",
        "scale",
        "ts",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<u64>().prop_map(Value::from),
        (0..6u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(7, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(keys.to_vec()), inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_decode_alike_in_any_steps(bytes: Vec<u8>, number in 1i64..=2) {
        for shape in [Shape::Packed, Shape::Entries, Shape::Event] {
            decode(number, shape, &bytes);
        }
    }

    #[test]
    fn damaged_payloads_decode_alike_in_any_steps(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        traces: bool,
    ) {
        let name = if traces { "event-type-traces" } else { "event-type-metrics" };
        let (number, mut payload) = recorded(name).remove(0);
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        decode(number, Shape::Packed, &payload);
    }

    #[test]
    fn any_tree_decodes_alike_in_any_steps(trees in prop::collection::vec(nodes(), 0..3), cut: prop::sample::Index) {
        let metrics = context(trees.first().cloned().unwrap_or_default(), json!([{"meta": trees, "values": trees}, trees]));
        let mut bytes = packed(&[metrics, trace(trees.first().cloned().unwrap_or_default(), json!(trees))]);
        for number in [1, 2] {
            decode(number, Shape::Packed, &bytes);
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        for number in [1, 2] {
            decode(number, Shape::Packed, &bytes);
        }
    }
}
