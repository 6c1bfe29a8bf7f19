//! Traces: the layout of spans, and damage.

use super::*;

pub(super) fn trace(attributes: Value, spans: Value) -> Value {
    let scope = json!({"scope": {"name": "lib", "version": "1", "attributes": {"s": 1}}, "schema_url": null, "spans": spans});
    json!({"resourceSpans": [{"resource": {"attributes": attributes}, "schema_url": "http://r", "scope_spans": [scope]}]})
}

fn field<'a>(record: &'a (Timestamp, Vec<(String, String)>), key: &str) -> &'a str {
    record.1.iter().find(|(known, _)| known == key).map_or("-", |(_, value)| value)
}

#[test]
fn spans_have_log_service_s_layout() {
    let span = json!({
        "trace_id": "0a", "span_id": "0b", "parent_span_id": null, "trace_state": "k=v", "name": "op", "kind": 3,
        "start_time_unix_nano": NS, "end_time_unix_nano": NS + 5_600, "attributes": {"a": {"b": [1, true, null]}},
        "dropped_attributes_count": 1, "dropped_events_count": 0, "dropped_links_count": 0,
        "events": [{"time_unix_nano": NS, "name": "e\"", "attributes": {"k": 1.5}, "dropped_attributes_count": 2}, {"name": null}],
        "links": [{"trace_id": "0c", "span_id": "0d", "trace_state": null, "attributes": null}],
        "schema_url": null, "status": {"code": 2, "message": "bad"},
    });
    let attributes = json!({"host.name": "h", "service.name": "svc", "n": 1, "nested": {"x": []}});
    let (records, tally) = decode(2, Shape::Packed, &packed(&[trace(attributes, json!([span]))]));
    assert_eq!((records.len(), tally.dropped_in_all()), (1, 0));
    assert_eq!(records[0].0, Timestamp { seconds: 1_441_588_984, nanos: 123_456_789 });
    let expected = [
        ("host", "h"),
        ("service", "svc"),
        ("resource", r#"{"n":1,"nested":{"x":[]}}"#),
        ("otlp.name", "lib"),
        ("otlp.version", "1"),
        ("traceID", "0a"),
        ("spanID", "0b"),
        ("parentSpanID", ""),
        ("kind", "client"),
        ("name", "op"),
        ("links", r#"[{"traceID":"0c","spanID":"0d","traceState":"","attribute":{}}]"#),
        (
            "logs",
            r#"[{"name":"e\"","time":1441588984123456789,"attribute":{"k":1.5},"droppedAttributes":2},{"name":"","time":0,"attribute":{}}]"#,
        ),
        ("traceState", "k=v"),
        ("start", "1441588984123456"),
        ("end", "1441588984123462"),
        ("duration", "5"),
        ("attribute", r#"{"a":{"b":[1,true,null]}}"#),
        ("statusCode", "ERROR"),
        ("statusMessage", "bad"),
        ("otlp.attribute", r#"{"s":1}"#),
        ("schemaUrl", "http://r"),
        ("droppedAttributes", "1"),
    ];
    let found: Vec<_> = records[0].1.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn bare_spans_have_the_time_of_receipt() {
    let (records, _) = decode(2, Shape::Packed, &packed(&[trace(json!(null), json!([{"span_id": "01"}]))]));
    assert_eq!(records[0].0, NOW);
    for (key, value) in [
        ("resource", "{}"),
        ("attribute", "{}"),
        ("links", "[]"),
        ("statusCode", "UNSET"),
        ("kind", ""),
        ("start", "0"),
    ] {
        assert_eq!(field(&records[0], key), value, "{key}");
    }
}

#[test]
fn a_key_without_a_value_costs_its_context_alone() {
    let spans = |id: &str| json!([{"trace_id": id, "attributes": {"k": "lost"}}, {"trace_id": id}]);
    let mut bytes = packed(&[trace(json!({}), spans("one"))]);
    // The value is left out, so that all behind it is read one value off.
    let at = bytes.windows(5).position(|window| window == b"\xa4lost").unwrap();
    bytes.drain(at..at + 5);
    bytes.extend(packed(&[trace(json!({}), spans("two")), trace(json!({}), spans("three"))]));
    let (records, tally) = decode(2, Shape::Packed, &bytes);
    let ids: Vec<&str> = records.iter().map(|record| field(record, "traceID")).collect();
    assert_eq!(ids, ["two", "two", "three", "three"]);
    assert!(tally.dropped_in_all() > 0);
    // So does a context whose end is missing, wherever it stands.
    let mut bytes = packed(&[trace(json!({}), spans("one"))]);
    bytes.truncate(bytes.len() - 20);
    bytes.extend(packed(&[trace(json!({}), spans("two"))]));
    assert!(
        decode(2, Shape::Packed, &bytes).0.iter().filter(|record| field(record, "traceID") == "two").count()
            == 2
    );
    // Searches have an end, however many contexts are no contexts.
    let (_, tally) = decode(2, Shape::Packed, &b"\x81\xadresourceSpans\xdd\xff\xff\xff\xff".repeat(1_000));
    assert!(tally.dropped_in_all() <= 17, "{tally:?}");
}

#[test]
fn events_that_do_not_fit_are_counted() {
    let events: Vec<Value> =
        (0..40).map(|n| json!({"name": "x".repeat(50_000), "time_unix_nano": n})).collect();
    let (records, tally) =
        decode(2, Shape::Packed, &packed(&[trace(json!({}), json!([{"span_id": "1", "events": events}]))]));
    let logs: Value = serde_json::from_str(field(&records[0], "logs")).unwrap();
    let kept = logs.as_array().unwrap().len() as u64;
    assert_eq!((kept, tally.dropped(Invalid::Large)), (20, 20));
}

#[test]
fn a_large_resource_before_many_spans_is_no_flood() {
    let spans: Vec<Value> = (0..2_000).map(|_| json!({"span_id": "1"})).collect();
    let with = |length: usize| {
        let bytes = packed(&[trace(json!({"k": "v".repeat(length)}), json!(spans))]);
        let (records, tally) = decode_by(2, Shape::Packed, &bytes, 512);
        let made: usize = records.iter().flat_map(|(_, fields)| fields).map(|(_, text)| text.len()).sum();
        assert!(made < 8 * 1024 * 1024 + 129 * bytes.len(), "{made}");
        assert_eq!((records.len(), tally.dropped_in_all()), (2_000, 0));
        (records, tally)
    };
    let (records, tally) = with(100_000);
    assert!(tally.unshared > 0 && field(&records[0], "resource").len() > 100_000);
    assert_eq!(with(1_000).1.unshared, 0);
    // Too long for any span.
    let (records, tally) = with(300_000);
    assert_eq!((field(&records[0], "resource"), tally.unshared), ("{}", 2_000));
}
