//! The protocol's vectors, from the stream to the records; recorded bytes, bad input and JSON are in the rooms below.

mod bad_input;
mod json;
mod recordings;

use bytes::Bytes;
use proptest::prelude::*;

use super::entries::{Settings, decode_array, decode_dropped, decode_event, decode_packed};
use super::json::{Framer, begins, transcode};
use super::message::{Body, Frame, Signal, open_with};
use super::signal::{Payload, payload};
use super::tally::{Invalid, Tally};
use crate::record::msgpack::{Limits, Scanner, foreign};
use crate::record::{Batch, Timestamp};
use crate::wire::compress::chunk::{Inflate, Progress, sniff};

const T: i64 = 1_441_588_984;
const N: u32 = 123_456_789;
const RECEIVED: Timestamp = Timestamp { seconds: 7, nanos: 7 };

/// What became of a message.
#[derive(Debug, Default, PartialEq)]
struct Message {
    tag: String,
    records: Vec<(Timestamp, Vec<(String, String)>)>,
    dropped: Vec<(Invalid, u64)>,
    /// The id to echo, and whether as str.
    chunk: Option<(String, bool)>,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Heartbeat,
    Message(Message),
    Closed(String),
}

/// What became of a stream: its outcomes, and the bytes left over.
fn receive(stream: &[u8], piece: usize) -> (Vec<Outcome>, usize) {
    if begins(stream) {
        return receive_json(stream, piece);
    }
    let mut scanner = Scanner::new(Limits::default());
    let (mut outcomes, mut start, mut end) = (Vec::new(), 0, 0);
    while end < stream.len() {
        end = end.saturating_add(piece).min(stream.len());
        loop {
            if scanner.is_idle()
                && let Some(peer) = foreign(&stream[start..end])
            {
                outcomes.push(Outcome::Closed(peer.to_string()));
                return (outcomes, end - start);
            }
            match scanner.scan(&stream[start..end]) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    let outcome = decode(&stream[start..start + length], scanner.body_end());
                    let closed = matches!(outcome, Outcome::Closed(_));
                    outcomes.push(outcome);
                    start += length;
                    if closed {
                        return (outcomes, end - start);
                    }
                }
                Err(error) => {
                    outcomes.push(Outcome::Closed(error.to_string()));
                    return (outcomes, end - start);
                }
            }
        }
    }
    (outcomes, end - start)
}

/// The same for a connection of JSON texts.
fn receive_json(stream: &[u8], piece: usize) -> (Vec<Outcome>, usize) {
    let mut framer = Framer::new(Limits::default());
    let (mut outcomes, mut start, mut end) = (Vec::new(), 0, 0);
    while end < stream.len() {
        end = end.saturating_add(piece).min(stream.len());
        loop {
            let outcome = match framer.scan(&stream[start..end]) {
                Ok(None) => break,
                Ok(Some(cut)) => {
                    let text = &stream[start + cut.start..start + cut.end];
                    start += cut.end;
                    if text.is_empty() {
                        continue;
                    }
                    let mut frame = Vec::new();
                    match transcode(text, Limits::default(), &mut frame) {
                        Ok(()) => decode(&frame, 0),
                        Err(error) => Outcome::Closed(error.to_string()),
                    }
                }
                Err(error) => Outcome::Closed(error.to_string()),
            };
            let closed = matches!(outcome, Outcome::Closed(_));
            outcomes.push(outcome);
            if closed {
                return (outcomes, end - start);
            }
        }
    }
    (outcomes, end - start)
}

fn decode(bytes: &[u8], body_end: usize) -> Outcome {
    decode_as(bytes, body_end, &Settings::new(RECEIVED))
}

fn decode_as(bytes: &[u8], body_end: usize, settings: &Settings<'_>) -> Outcome {
    // Bytes in front, as when several messages share a frame.
    const BASE: usize = 3;
    let mut frame = b"...".to_vec();
    frame.extend(bytes);
    let message = match open_with(bytes, body_end) {
        Ok(Frame::Heartbeat) => return Outcome::Heartbeat,
        Ok(Frame::Message(message)) => message,
        Err(error) => return Outcome::Closed(error.to_string()),
    };
    assert_eq!(open_with(bytes, 0).as_ref(), Ok(&Frame::Message(open_message(bytes, body_end))));
    let mut batch = Batch { frame: frame.into(), ..Batch::default() };
    let mut tally = Tally::default();
    let moved = |place: std::ops::Range<usize>| place.start + BASE..place.end + BASE;
    let shape = payload(&message).map(|(shape, _)| shape);
    let mut place = payload(&message).map(|(_, place)| moved(place));
    if let Body::Packed(blob) = &message.body {
        match inflated(&bytes[blob.clone()], message.options.compressed) {
            Ok(None) => {}
            Ok(Some(inflated)) => {
                place = Some(0..inflated.len());
                batch.frame = inflated;
            }
            Err(error) => return Outcome::Closed(error.to_string()),
        }
    }
    match (message.options.signal, &message.body, place) {
        (_, Body::Dropped(reason), _) => {
            decode_dropped(&mut batch, BASE..BASE + bytes.len(), *reason, settings, &mut tally);
        }
        (Signal::Other(signal), _, Some(place)) => {
            match shape.map(|shape| Payload::open(signal, shape, place)) {
                Some(Ok(mut payload)) => while payload.step(&mut batch, settings, &mut tally, usize::MAX) {},
                _ => tally.drop(Invalid::Payload),
            }
        }
        (Signal::Logs, Body::Event(event), _) => decode_event(&mut batch, BASE, event, settings, &mut tally),
        (Signal::Logs, Body::Entries(_), Some(place)) => {
            decode_array(&mut batch, place, settings, &mut tally);
        }
        (Signal::Logs, Body::Packed(_), Some(place)) => {
            decode_packed(&mut batch, place, settings, &mut tally);
        }
        (_, _, None) => unreachable!("every body that is kept has a payload"),
    }
    assert_eq!(tally.records, batch.records.len() as u64);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let records = batch.records.iter().map(|record| {
        let fields = batch.fields_of(record).iter();
        let fields = fields.map(|field| (text(batch.bytes(field.key)), text(batch.bytes(field.value))));
        (record.time, fields.collect())
    });
    Outcome::Message(Message {
        tag: text(&bytes[message.tag.clone()]),
        records: records.collect(),
        dropped: Invalid::ALL
            .into_iter()
            .map(|reason| (reason, tally.dropped(reason)))
            .filter(|(_, count)| *count > 0)
            .collect(),
        chunk: message.options.chunk.map(|chunk| (text(&bytes[chunk.id]), chunk.text)),
    })
}

fn open_message(bytes: &[u8], body_end: usize) -> super::message::Message {
    match open_with(bytes, body_end) {
        Ok(Frame::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn inflated(blob: &[u8], label: crate::wire::compress::chunk::Label) -> Result<Option<Bytes>, String> {
    let Some(packing) = sniff(label, blob).map_err(|error| error.to_string())? else { return Ok(None) };
    let inflate = Inflate::new(packing, Bytes::copy_from_slice(blob), 1 << 20);
    let mut inflate = inflate.map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    while inflate.step(&mut out, 1000).map_err(|error| error.to_string())? == Progress::More {}
    Ok(Some(out.into()))
}

fn vectors() -> Vec<(String, Vec<u8>)> {
    include_str!("../../../tests/data/forward/vectors.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (id, hex) = line.split_once(' ').unwrap();
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (id.to_string(), (0..hex.len()).step_by(2).map(byte).collect())
        })
        .collect()
}

fn vector(id: &str) -> Vec<u8> {
    vectors().into_iter().find(|(name, _)| name == id).unwrap().1
}

/// The one message of a vector.
fn one(id: &str) -> Message {
    let (mut outcomes, rest) = receive(&vector(id), usize::MAX);
    assert_eq!((outcomes.len(), rest), (1, 0), "{id}: {outcomes:?}");
    match outcomes.remove(0) {
        Outcome::Message(message) => message,
        other => panic!("{id}: {other:?}"),
    }
}

fn closed(id: &str, why: &str) {
    match receive(&vector(id), usize::MAX).0.last() {
        Some(Outcome::Closed(reason)) => assert!(reason.contains(why), "{id}: {reason}"),
        other => panic!("{id}: {other:?}"),
    }
}

fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

type Events<'a> = &'a [(i64, u32, &'a str, &'a str)];

/// A message with these one-field records.
fn expect(id: &str, tag: &str, events: Events<'_>, chunk: Option<&str>, dropped: &[(Invalid, u64)]) {
    let records = events.iter().map(|(seconds, nanos, key, value)| {
        (Timestamp { seconds: *seconds, nanos: *nanos }, fields(&[(key, value)]))
    });
    let expected = Message {
        tag: tag.into(),
        records: records.collect(),
        dropped: dropped.to_vec(),
        chunk: chunk.map(|chunk| (chunk.to_string(), true)),
    };
    assert_eq!(one(id), expected, "{id}");
}

#[test]
fn well_formed_vectors() {
    let tag = "app.log";
    let foo: Events<'_> = &[(T, 0, "m", "foo")];
    let exact: Events<'_> = &[(T, N, "m", "foo")];
    let two: Events<'_> = &[(T, N, "m", "foo"), (T + 1, 0, "m", "bar")];
    expect("T01", tag, foo, None, &[]);
    expect("T02", tag, exact, Some("p8n9gmxTQVC8/nh2wlKKeQ=="), &[]);
    expect("T03", tag, exact, None, &[]);
    expect("T04", tag, &[(T, 500_000_000, "m", "foo")], None, &[]);
    expect("T05", tag, foo, None, &[]);
    expect("T06", tag, &[(7, 7, "m", "foo")], None, &[]);
    expect("T07", tag, two, Some("c1"), &[]);
    expect("T08", tag, two, Some("c2"), &[]);
    expect("T09", tag, two, Some("AAECAwQFBgcICQoLDA0ODw==\n"), &[]);
    for id in ["T10", "T11", "T12", "T13", "T14"] {
        expect(id, tag, two, None, &[]);
    }
    assert_eq!(one("T15").records[0].1, fields(&[("m", "foo"), ("metadata", r#"{"k":"v"}"#)]));
    let group = r#"{"resource":{"attributes":{"service.name":"a"}},"scope":{"name":"s"}}"#;
    let metadata = r#"{"otlp":{"severity_number":9}}"#;
    let grouped = fields(&[("log", "hi"), ("metadata", metadata), ("group", group)]);
    assert_eq!(one("T16").records, [(Timestamp { seconds: T, nanos: N }, grouped)]);
    let (outcomes, rest) = receive(&vector("T17"), usize::MAX);
    assert_eq!((outcomes.len(), rest), (2, 6));
    assert_eq!(receive(&vector("T18"), 1), (vec![Outcome::Heartbeat], 0));
    expect("T19", "t", exact, None, &[]);
}

/// Samples as `name{labels} value`, all of one time.
fn samples(message: &Message, time: Timestamp) -> Vec<String> {
    let sample = |(at, fields): &(Timestamp, Vec<(String, String)>)| {
        assert_eq!((*at, fields[1].1.clone()), (time, format!("{}{:09}", time.seconds, time.nanos)));
        format!("{}{{{}}} {}", fields[3].1, fields[0].1, fields[2].1)
    };
    message.records.iter().map(sample).collect()
}

#[test]
fn signal_vectors() {
    assert_eq!(
        samples(&one("T20"), Timestamp { seconds: T, nanos: N }),
        [
            "k8s_reqs{code#$#200|host#$#h1} 3",
            "lat_bucket{host#$#h1|le#$#0.5} 1",
            "lat_bucket{host#$#h1|le#$#1} 2",
            "lat_bucket{host#$#h1|le#$#+Inf} 3",
            "lat_sum{host#$#h1} 2.5",
            "lat_count{host#$#h1} 3",
            "su{host#$#h1|quantile#$#0.5} 1.5",
            "su_sum{host#$#h1} 3",
            "su_count{host#$#h1} 2",
        ]
    );
    assert_eq!(
        samples(&one("T21"), Timestamp { seconds: T, nanos: 0 }),
        [
            "u{a#$#x} 7",
            "e_bucket{le#$#0} 1",
            "e_bucket{le#$#2} 3",
            "e_bucket{le#$#4} 4",
            "e_bucket{le#$#+Inf} 4",
            "e_sum{} 5.5",
            "e_count{} 4",
        ]
    );
    let traces = one("T22");
    assert_eq!((traces.records.len(), traces.records[0].0), (1, Timestamp { seconds: T, nanos: 0 }));
    for (key, value) in [
        ("service", "a"),
        ("resource", "{}"),
        ("name", "op"),
        ("traceID", "000102030405060708090a0b0c0d0e0f"),
        ("spanID", "0001020304050607"),
        ("parentSpanID", ""),
        ("kind", "server"),
        ("start", "1441588984000000"),
        ("end", "1441588984000000"),
        ("duration", "0"),
        ("attribute", r#"{"k":"v"}"#),
        ("statusCode", "OK"),
    ] {
        assert_eq!(field(&traces, 0, key), Some(value), "{key}");
    }
    let profiles = one("M17");
    assert_eq!(profiles.records[0].0, RECEIVED);
    assert_eq!(profiles.records[0].1[0], ("fluent_signal".into(), "4".into()));
    assert_eq!(profiles.chunk, Some(("c8".into(), true)));
}

fn field<'a>(message: &'a Message, record: usize, key: &str) -> Option<&'a str> {
    let mut fields = message.records[record].1.iter();
    fields.find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}

#[test]
fn malformed_and_odd_vectors() {
    let good: Events<'_> = &[(T, N, "m", "foo")];
    let whole: Events<'_> = &[(T, 0, "m", "foo")];
    for (id, why) in [
        ("M01", "c1"),
        ("M02", "announces"),
        ("M03", "at least"),
        ("M04", "nested"),
        ("M05", "81"),
        ("M06", "an array of 1"),
        ("M11", "too early"),
        ("M12", "CRC"),
        ("M19", "HTTP"),
        ("M20", "TLS"),
    ] {
        closed(id, why);
    }
    expect("M07", "t", &[(T + 1, 0, "m", "foo")], None, &[]);
    expect("M08", "t", &[], None, &[(Invalid::Time, 1)]);
    expect("M09", "t", &[], None, &[(Invalid::Time, 1)]);
    expect("M10", "t", good, Some("c3"), &[]);
    expect("M13", "t", good, Some("c6"), &[(Invalid::Cut, 1)]);
    expect("M14", "t", whole, Some("c7"), &[(Invalid::Record, 1)]);
    expect("M15", "t", whole, None, &[]);
    expect("M16", "t", whole, None, &[]);
    expect("M18", "t", &[], Some("c9"), &[(Invalid::Record, 1)]);
    expect("M21", "t", &[(-1, 0, "m", "foo")], None, &[]);
    expect("M22", "t", &[(T, 500_000_000, "m", "foo")], None, &[]);
    expect("M23", "t", &[(7, 7, "m", "foo")], None, &[]);
    expect("M24", "t", whole, None, &[]);
    expect("M25", "t", good, Some("c6"), &[(Invalid::Entry, 1)]);
    expect("M26", "t", good, Some("cb"), &[]);
    expect("M27", "t", &[], Some("cc"), &[]);
}

/// The protocol sheet's vectors are all here, and each is judged above or in the rooms below.
#[test]
fn no_vector_is_missing() {
    let ids: Vec<String> = vectors().into_iter().map(|(id, _)| id).collect();
    let all =
        (1..=23).map(|number| format!("T{number:02}")).chain((1..=27).map(|number| format!("M{number:02}")));
    assert_eq!(ids, all.collect::<Vec<_>>());
}

/// A stream that is cut anywhere is waited for; what was complete before the cut is there.
#[test]
fn cut_vectors_ask_for_more() {
    for (id, bytes) in vectors() {
        let (whole, _) = receive(&bytes, usize::MAX);
        for cut in 0..bytes.len() {
            let (outcomes, rest) = receive(&bytes[..cut], usize::MAX);
            if id.starts_with('T') {
                assert!(outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Closed(_))), "{id} {cut}");
                assert!(rest > 0 || cut == 0 || id == "T17" || id == "T23", "{id} {cut}");
            }
            assert!(outcomes.len() <= whole.len(), "{id} {cut}");
        }
        if id != "M19" && id != "M20" {
            assert_eq!(receive(&bytes, 1).0, whole, "{id}");
        }
    }
}

proptest! {
    /// Vectors with damaged bytes: anything but a panic, and the same in pieces as at once.
    #[test]
    fn damaged_vectors_never_panic(pick: prop::sample::Index, at: prop::sample::Index, byte: u8, piece in 2usize..50) {
        let mut all = vectors();
        all.retain(|(id, _)| id != "M19" && id != "M20");
        let (_, mut bytes) = all.swap_remove(pick.index(all.len()));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        // The name of a foreign peer depends on how much of it is there.
        prop_assume!(begins(&bytes) || foreign(&bytes).is_none());
        let (whole, _) = receive(&bytes, usize::MAX);
        if whole.iter().all(|outcome| !matches!(outcome, Outcome::Closed(_))) {
            prop_assert_eq!(receive(&bytes, piece).0, whole);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes: Vec<u8>) {
        receive(&bytes, usize::MAX);
        for head in [&b"\x93\xa1t"[..], b"\x93\xa1t\x01\x81\xa1a", b"\x92\xa1t\xc5\x00\x10", b"\x93\xa1t\x91\x92\x92\x01", b"[\"t\",[[1,"] {
            receive(&[head, &bytes].concat(), usize::MAX);
        }
    }
}
