//! Metrics, traces and blobs from bytes to records: built here value by value, since peers send few of the cases.

mod any;
mod traces;

use bytes::Bytes;
use rmp_serde::encode::to_vec_named;
use serde_json::{Value, json};

use super::*;
use crate::input::forward::tally::Invalid;
use crate::record::Timestamp;

const NOW: Timestamp = Timestamp { seconds: 9, nanos: 9 };
const NS: u64 = 1_441_588_984_123_456_789;

fn packed(contexts: &[Value]) -> Vec<u8> {
    contexts.iter().flat_map(|context| to_vec_named(context).unwrap()).collect()
}

fn open(number: i64, shape: Shape, bytes: &[u8]) -> (Payload, Batch) {
    // Bytes before and behind, as of a message.
    let frame = [b"..", bytes, b"\xc1\xc1"].concat();
    let payload = Payload::open(number, shape, 2..2 + bytes.len()).unwrap();
    (payload, Batch { frame: Bytes::from(frame), ..Batch::default() })
}

fn texts(batch: &Batch) -> Vec<(Timestamp, Vec<(String, String)>)> {
    let text = |span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
    let fields =
        |record| batch.fields_of(record).iter().map(|field| (text(field.key), text(field.value))).collect();
    batch.records.iter().map(|record| (record.time, fields(record))).collect()
}

type Records = Vec<(Timestamp, Vec<(String, String)>)>;

fn decode_by(number: i64, shape: Shape, bytes: &[u8], at_most: usize) -> (Records, Tally) {
    let (mut payload, mut batch) = open(number, shape, bytes);
    let (mut records, mut tally) = (Vec::new(), Tally::default());
    loop {
        let more = payload.step(&mut batch, &Settings::new(NOW), &mut tally, at_most);
        assert!(batch.records.len() <= at_most);
        assert_eq!(batch.signal, payload.signal());
        records.extend(texts(&batch));
        batch.clear_records();
        if !more {
            assert_eq!(tally.records, records.len() as u64);
            return (records, tally);
        }
    }
}

/// Decodes in one step, and makes sure that small steps give the same.
fn decode(number: i64, shape: Shape, bytes: &[u8]) -> (Records, Tally) {
    let whole = decode_by(number, shape, bytes, usize::MAX);
    assert_eq!(whole, decode_by(number, shape, bytes, 1));
    whole
}

/// Samples as `name{labels} value`.
fn samples(contexts: &[Value]) -> (Vec<String>, Tally) {
    let (records, tally) = decode(1, Shape::Packed, &packed(contexts));
    (records.iter().map(|(_, fields)| sample(fields)).collect(), tally)
}

fn sample(fields: &[(String, String)]) -> String {
    let keys: Vec<&str> = fields.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["__labels__", "__time_nano__", "__value__", "__name__"]);
    format!("{}{{{}}} {}", fields[3].1, fields[0].1, fields[2].1)
}

fn context(meta: Value, metrics: Value) -> Value {
    json!({"metrics": metrics, "meta": meta})
}

fn metric(kind: u8, name: &str, meta: Value, values: Value) -> Value {
    let mut all =
        json!({"ver": 2, "type": kind, "opts": {"ns": "", "ss": "", "name": name, "desc": "", "unit": ""}});
    all.as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
    json!({"values": values, "meta": all})
}

fn one(metric: Value) -> (Vec<String>, Tally) {
    samples(&[context(json!({}), json!([metric]))])
}

#[test]
fn names_labels_and_times_are_made_to_fit() {
    let metric = json!({
        "meta": {"type": 1, "opts": {"ns": "9ns", "ss": "", "name": "cpu.load:avg-1"}, "labels": ["z", "a.b", "a_b", null, "static"]},
        "values": [
            {"ts": NS, "value": 0.5, "labels": ["Z|1", "x", "y", null, ""]},
            {"ts": 0, "value": 1.0},
            {"ts": NS, "value": 2.0, "labels": ["1", "2", "3", "4", "5", "6"]},
        ],
    });
    let meta = json!({"processing": {"static_labels": [["static", "s"], ["b", ""], [null, "x"]]}});
    let (records, tally) = decode(1, Shape::Packed, &packed(&[context(meta, json!([metric]))]));
    assert_eq!(sample(&records[0].1), "_9ns_cpu_load:avg_1{a_b#$#x;y|static#$#s|z#$#Z_1} 0.5");
    assert_eq!(records[0].0, Timestamp { seconds: 1_441_588_984, nanos: 123_456_789 });
    assert_eq!(records[0].1[1].1, "1441588984123456789");
    assert_eq!((records[1].0, records[1].1[1].1.as_str()), (NOW, "9000000009"));
    assert_eq!(sample(&records[1].1), "_9ns_cpu_load:avg_1{static#$#s} 1");
    // More label values than keys: whose series it is cannot be known.
    assert_eq!((records.len(), tally.dropped(Invalid::Signal)), (2, 1));
}

#[test]
fn what_otlp_says_of_its_resource_becomes_labels() {
    let external = json!({
        "resource": {"attributes": {"service.name": "a", "port": 80, "big": "x".repeat(5000)}, "metadata": {}},
        "scope": {"metadata": {"name": "lib", "version": "1"}, "attributes": {"k": true}},
    });
    let meta = json!({"external": external, "processing": {"static_labels": [["port", "81"]]}});
    let metric =
        metric(0, "c", json!({"labels": ["otel_scope_k"]}), json!([{"value": 1.0, "labels": ["own"]}]));
    let (found, tally) = samples(&[context(meta, json!([metric]))]);
    let labels = "otel_scope_k#$#own|otel_scope_name#$#lib|otel_scope_version#$#1|port#$#81|service_name#$#a";
    assert_eq!(found, [format!("c{{{labels}}} 1")]);
    assert_eq!((tally.unshared, tally.dropped_in_all()), (1, 0));
}

#[test]
fn numbers_are_exact() {
    let values = json!([
        {"value": 1e300}, {"value": 9_007_199_254_740_993u64, "value_type": 2, "value_uint64": u64::MAX},
        {"value": 0.0, "value_type": 1, "value_int64": i64::MIN}, {"value": 0.1}, {"value": 3}, {"value": "3"}, {},
    ]);
    let (found, tally) = one(metric(4, "u", json!({}), values));
    assert_eq!(
        found,
        ["u{} 1e300", "u{} 18446744073709551615", "u{} -9223372036854775808", "u{} 0.1", "u{} 3"]
    );
    assert_eq!(tally.dropped(Invalid::Signal), 2);
    let endless = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    for (number, text) in endless.into_iter().zip(["NaN", "+Inf", "-Inf", "-0"]) {
        let mut bytes =
            packed(&[context(json!({}), json!([metric(1, "g", json!({}), json!([{"value": 12345.5}]))]))]);
        let at = bytes.windows(8).position(|window| window == 12345.5f64.to_be_bytes()).unwrap();
        bytes[at..at + 8].copy_from_slice(&number.to_be_bytes());
        assert_eq!(sample(&decode(1, Shape::Packed, &bytes).0[0].1), format!("g{{}} {text}"));
    }
}

#[test]
fn histograms_are_cumulative_whoever_sent_them() {
    let meta = json!({"buckets": [0.5, 1.0], "labels": ["a", "le", "z"]});
    let value = |buckets: Value| json!({"labels": ["1", "own", "2"], "histogram": {"buckets": buckets, "sum": 2.5, "count": 6}});
    let expected = [
        "h_bucket{a#$#1|le#$#0.5|z#$#2} 1",
        "h_bucket{a#$#1|le#$#1|z#$#2} 3",
        "h_bucket{a#$#1|le#$#+Inf|z#$#2} 6",
        "h_sum{a#$#1|le#$#own|z#$#2} 2.5",
        "h_count{a#$#1|le#$#own|z#$#2} 6",
    ];
    for buckets in [json!([1, 2, 3]), json!([1, 3, 6]), json!([1, 2])] {
        let (found, _) = one(metric(2, "h", meta.clone(), json!([value(buckets)])));
        assert_eq!(found, expected);
    }
    let (found, tally) = one(metric(
        2,
        "h",
        meta,
        json!([value(json!([1])), value(json!([1, 2, 3, 4])), value(json!([-1, 1, 1]))]),
    ));
    assert_eq!((found.len(), tally.dropped(Invalid::Signal)), (0, 3));
    let (found, _) = one(metric(2, "h", json!({}), json!([{"histogram": {"count": 6}}])));
    assert_eq!(found, ["h_bucket{le#$#+Inf} 6", "h_count{} 6"]);
}

#[test]
fn summaries_have_quantiles_where_they_are_set() {
    let bits = |number: f64| number.to_bits();
    let summary = |set: u8| json!({"summary": {"quantiles_set": set, "quantiles": [bits(0.0), bits(1.5)], "count": 2, "sum": bits(3.0)}});
    let (found, _) = one(metric(3, "s", json!({"quantiles": [0.5, 0.99]}), json!([summary(1), summary(0)])));
    assert_eq!(
        found,
        [
            "s{quantile#$#0.5} 0",
            "s{quantile#$#0.99} 1.5",
            "s_sum{} 3",
            "s_count{} 2",
            "s_sum{} 3",
            "s_count{} 2"
        ]
    );
    let (found, tally) = one(metric(3, "s", json!({"quantiles": [0.5]}), json!([summary(1)])));
    assert_eq!((found.len(), tally.dropped(Invalid::Signal)), (0, 1));
}

#[test]
fn exponential_buckets_go_from_the_least_to_the_largest_value() {
    let value = json!({"exp_histogram": {
        "scale": 1, "zero_count": 2, "zero_threshold": 0.25, "positive_offset": 1, "positive_buckets": [1, 2],
        "negative_offset": 0, "negative_buckets": [3, 4], "count": 12, "sum_set": 1, "sum": 2.5f64.to_bits(),
    }});
    let (found, _) = one(metric(5, "e", json!({}), json!([value])));
    assert_eq!(
        found,
        [
            "e_bucket{le#$#-1.4142135623730951} 4",
            "e_bucket{le#$#-1} 7",
            "e_bucket{le#$#0.25} 9",
            "e_bucket{le#$#2} 10",
            "e_bucket{le#$#2.8284271247461903} 12",
            "e_bucket{le#$#+Inf} 12",
            "e_sum{} 2.5",
            "e_count{} 12",
        ]
    );
    // Bounds that a double cannot hold fall together, none is lost and none comes twice.
    for (scale, offset, bounds) in [(-10, 0, 1), (0, 2_000_000_000, 1), (0, -2_000_000_000, 2), (32, 0, 4)] {
        let value = json!({"exp_histogram": {
            "scale": scale, "positive_offset": offset, "positive_buckets": [1, 1, 1], "count": 3, "sum_set": 0, "sum": 5,
        }});
        let (found, _) = one(metric(5, "e", json!({}), json!([value])));
        assert_eq!(found.len(), bounds + 1, "{found:?}");
        assert_eq!(found[bounds - 1..], ["e_bucket{le#$#+Inf} 3", "e_count{} 3"]);
    }
    for odd in [
        json!({"scale": 33, "count": 1}),
        json!({"scale": 0}),
        json!({"positive_offset": i64::MAX, "count": 1}),
    ] {
        let (found, tally) = one(metric(5, "e", json!({}), json!([{"exp_histogram": odd}])));
        assert_eq!((found.len(), tally.dropped(Invalid::Signal)), (0, 1));
    }
}

#[test]
fn damage_costs_itself() {
    let good = || metric(0, "good", json!({}), json!([{"value": 1}, 7, {"value": 2}]));
    let contexts = [
        context(
            json!({}),
            json!([good(), 5, {"meta": {}}, metric(9, "x", json!({}), json!([{}, {}])), metric(0, "", json!({}), json!([{}])), good()]),
        ),
        json!("no context"),
        context(json!({"processing": {"static_labels": [["k"]]}}), json!([good()])),
        json!({"meta": {}}),
        context(json!(null), json!([good()])),
    ];
    let (found, tally) = samples(&contexts);
    assert_eq!(found.len(), 6);
    // 7 three times, 5, no values, the values of x and of no name, no context, three of the third, no metrics.
    assert_eq!((tally.dropped(Invalid::Signal), tally.dropped_in_all()), (13, 13));
}

#[test]
fn bounds_come_first() {
    let many = |n: usize| (0..n).map(|n| n as f64).collect::<Vec<_>>();
    let value = json!([{"histogram": {"buckets": [1], "sum": 1.0, "count": 1}}]);
    let (_, tally) = one(metric(2, "h", json!({"buckets": many(5000)}), value.clone()));
    assert_eq!(tally.dropped(Invalid::Large), 1);
    let (_, tally) = one(metric(
        2,
        "h",
        json!({"buckets": many(4096)}),
        json!([{"histogram": {"buckets": many(10), "count": 1}}]),
    ));
    assert_eq!(tally.dropped(Invalid::Signal), 1);
    let (_, tally) = one(metric(1, "h", json!({"labels": vec!["k"; 300]}), json!([{"value": 1}])));
    assert_eq!(tally.dropped(Invalid::Large), 1);
    let (_, tally) = one(metric(1, &"n".repeat(2000), json!({}), json!([{"value": 1}])));
    assert_eq!(tally.dropped(Invalid::Large), 1);
    let (_, tally) =
        one(metric(1, "n", json!({"labels": ["k"]}), json!([{"value": 1, "labels": ["v".repeat(70_000)]}])));
    assert_eq!(tally.dropped(Invalid::Large), 1);
    // Headers that lie about what follows.
    for claim in [&b"\xdd\xff\xff\xff\xff"[..], b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc1"] {
        for number in [1, 2] {
            let (found, tally) = decode(number, Shape::Packed, claim);
            assert_eq!((found.len(), tally.dropped_in_all()), (0, 1));
        }
    }
}

#[test]
fn a_long_label_before_many_samples_is_no_flood() {
    let values: Vec<Value> = (0..3_000).map(|n| json!({"value": n})).collect();
    let with = |length: usize| {
        let meta = json!({"processing": {"static_labels": [["k", "v".repeat(length)]]}});
        let bytes = packed(&[context(meta, json!([metric(0, "c", json!({}), json!(values))]))]);
        let (records, tally) = decode_by(1, Shape::Packed, &bytes, 512);
        let made: usize =
            records.iter().flat_map(|(_, fields)| fields).map(|(key, text)| key.len() + text.len()).sum();
        assert!(made < 8 * 1024 * 1024 + 128 * bytes.len(), "{made}");
        (records.len(), tally)
    };
    let (kept, tally) = with(1_000_000);
    assert_eq!((kept, tally.dropped(Invalid::Large)), (0, 3_000));
    let (kept, tally) = with(60_000);
    assert!(kept > 200 && kept < 3_000, "{kept}");
    assert_eq!(tally.dropped(Invalid::Multiplied), 3_000 - kept as u64);
    assert_eq!(with(500).0, 3_000);
}

#[test]
fn labels_that_are_refused_cost_what_they_took() {
    let attributes: serde_json::Map<_, _> =
        (0..17).map(|n| (format!("k{n}"), json!("x".repeat(4_000)))).collect();
    let meta = json!({"external": {"resource": {"attributes": attributes}}});
    let values: Vec<Value> = (0..3_000).map(|n| json!({"ts": 1, "value": n})).collect();
    let (found, tally) = samples(&[context(meta, json!([metric(0, "m", json!({}), json!(values))]))]);
    assert_eq!(found.len(), 0);
    assert_eq!(tally.dropped_in_all(), 3_000);
    assert!(tally.dropped(Invalid::Multiplied) > 0, "all of 3,000 were worked on");
}

#[test]
fn contexts_may_stand_in_entries() {
    let metrics = |n: u64| context(json!({}), json!([metric(0, "c", json!({}), json!([{"value": n}]))]));
    let entries = json!([[1, [metrics(1), metrics(2)]], [[1, {}], metrics(3)], 5, [1], [1, [metrics(4), 7]]]);
    let (records, tally) = decode(1, Shape::Entries, &to_vec_named(&entries).unwrap());
    let found: Vec<String> = records.iter().map(|(_, fields)| sample(fields)).collect();
    assert_eq!(found, ["c{} 1", "c{} 2", "c{} 3", "c{} 4"]);
    assert_eq!((tally.dropped(Invalid::Entry), tally.dropped(Invalid::Signal)), (2, 1));
    let (records, _) = decode(1, Shape::Event, &to_vec_named(&metrics(5)).unwrap());
    assert_eq!(sample(&records[0].1), "c{} 5");
    let (records, tally) = decode(2, Shape::Entries, b"\xc0");
    assert_eq!((records.len(), tally.dropped_in_all()), (0, 0));
}

#[test]
fn blobs_are_kept_whole_or_not_at_all() {
    let (records, _) = decode(3, Shape::Packed, b"blob");
    assert_eq!(
        records,
        [(NOW, vec![("fluent_signal".into(), "3".into()), ("payload".into(), "YmxvYg==".into())])]
    );
    assert!(Payload::open(4, Shape::Packed, 0..589_824).is_ok());
    let large = Payload::open(4, Shape::Packed, 0..589_825).unwrap_err();
    assert_eq!(large, Unkept::TooLarge { signal: Signal::Profiles, bytes: 589_825 });
    assert_eq!((large.signal(), large.name()), (Some(Signal::Profiles), "payload"));
    for unknown in [-1, 5, i64::MAX] {
        assert_eq!(Payload::open(unknown, Shape::Event, 0..1).unwrap_err(), Unkept::Unknown(unknown));
    }
}
