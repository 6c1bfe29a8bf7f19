//! Bad input beyond the vectors: what is cut, what claims too much, what is nested too deep, and odd types in every place.

use std::io::Write;

use super::*;
use crate::input::forward::entries::Extra;

/// A str or bin header of 32 bits, and the bytes.
fn long(marker: u8, bytes: &[u8]) -> Vec<u8> {
    [&[marker][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

fn decoded(frame: &[u8], settings: &Settings<'_>) -> Message {
    match decode_as(frame, 0, settings) {
        Outcome::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

fn keeping() -> Settings<'static> {
    Settings { skip_invalid: false, ..Settings::new(RECEIVED) }
}

/// Every vector, cut at every byte and ended there: its message is dropped whole or not there at all, never in part,
/// but for a blob, which was framed before it was cut.
#[test]
fn truncated_at_every_byte() {
    for (id, bytes) in vectors() {
        let (whole, _) = receive(&bytes, usize::MAX);
        for cut in 0..bytes.len() {
            for piece in [1, usize::MAX] {
                let (outcomes, _) = receive(&bytes[..cut], piece);
                for (found, expected) in outcomes.iter().zip(&whole) {
                    assert!(
                        found == expected || matches!(found, Outcome::Closed(_)),
                        "{id} {cut}: {found:?}"
                    );
                }
            }
        }
    }
}

/// The inside of every packed vector, cut at every byte: no more than what stands before the cut, and one count.
#[test]
fn blobs_truncated_at_every_byte() {
    for id in ["T08", "T09", "T10", "M13", "M25"] {
        let bytes = vector(id);
        let message = open_message(&bytes, 0);
        let Body::Packed(blob) = message.body else { panic!("{id}") };
        let whole = one(id).records;
        for cut in 0..blob.len() {
            let frame = [b"\x92\xa1t".as_slice(), &long(0xdb, &bytes[blob.start..blob.start + cut])].concat();
            let found = decoded(&frame, &Settings::new(RECEIVED));
            assert_eq!(found.records[..], whole[..found.records.len()], "{id} {cut}");
            assert!(found.dropped.iter().map(|(_, count)| count).sum::<u64>() <= 2, "{id} {cut}");
            let kept = decoded(&frame, &keeping());
            assert!(kept.records.len() >= found.records.len(), "{id} {cut}");
        }
    }
}

/// Lengths and counts of 4 GiB in every place where one can stand.
#[test]
fn claims_of_four_gibibytes() {
    let huge =
        [b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"];
    let places = [
        &b""[..],
        b"\x93",
        b"\x93\xa1t",
        b"\x93\xa1t\x01",
        b"\x93\xa1t\x01\x81",
        b"\x93\xa1t\x01\x81\xa1a",
        b"\x93\xa1t\x91",
        b"\x93\xa1t\x91\x92",
        b"\x93\xa1t\x91\x92\x01\x81\xa1a\x81",
        b"\x94\xa1t\x01\x80",
        b"\x93\xa1t\x90\x81\xa5chunk",
    ];
    for place in places {
        for claim in huge {
            let (outcomes, _) = receive(&[place, claim].concat(), usize::MAX);
            assert!(matches!(outcomes[..], [Outcome::Closed(_)]), "{place:x?} {claim:x?}: {outcomes:?}");
        }
        let extension = [place, b"\xc9\xff\xff\xff\xff\0"].concat();
        assert!(matches!(receive(&extension, usize::MAX).0[..], [Outcome::Closed(_)]), "{place:x?}");
    }
}

#[test]
fn nests_of_a_hundred_thousand() {
    for opener in [&b"\x91"[..], b"\x81", b"\x81\xa1a", b"\xdd\0\0\0\x01", b"\xdf\0\0\0\x01\xa1a"] {
        for head in
            [&b""[..], b"\x93\xa1t\x01\x81\xa1a", b"\x92\xa1t\x91\x92\x01\x81\xa1a", b"\x94\xa1t\x01\x80"]
        {
            let stream = [head, &opener.repeat(100_000)].concat();
            let (outcomes, _) = receive(&stream, usize::MAX);
            assert!(matches!(outcomes[..], [Outcome::Closed(_)]), "{head:x?} {opener:x?}");
        }
        // Inside a blob nothing was framed: the entry is lost, the connection stays.
        let blob = [b"\x92\x01\x80\x92\x01\x81\xa1a", &opener.repeat(100_000)[..]].concat();
        let frame = [b"\x92\xa1t".as_slice(), &long(0xc6, &blob)].concat();
        for settings in [Settings::new(RECEIVED), keeping()] {
            let message = decoded(&frame, &settings);
            assert_eq!((message.records.len(), message.dropped.len()), (1, 1), "{opener:x?}");
        }
    }
}

#[test]
fn odd_keys_are_rendered() {
    let record =
        b"\x93\xa1t\x01\x8b\x01\x01\xc0\x02\xc3\x03\xcb\x7f\xf8\0\0\0\0\0\0\x04\x91\x01\x05\x81\xa1a\x01\x06\
        \xc4\x01b\x07\xd7\0\x55\xec\xe6\xf8\0\0\0\0\x08\xd4\x05\x01\x09\xa0\x0a\xa2\xff\xfe\x0b";
    let found = decoded(record, &Settings::new(RECEIVED)).records.remove(0).1;
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    let expected = [
        "1",
        "",
        "true",
        "NaN",
        "[1]",
        r#"{"a":1}"#,
        "b",
        "1441588984.000000000",
        r#"{"ext":5,"data":"01"}"#,
        "",
        "\u{fffd}\u{fffd}",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn odd_times() {
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let float = |number: f64| [&[0xcb][..], &number.to_be_bytes()].concat();
    let integer = |number: i64| [&[0xd3][..], &number.to_be_bytes()].concat();
    let cases = [
        (float(f64::NAN), None),
        (float(f64::INFINITY), None),
        (float(f64::NEG_INFINITY), None),
        (float(1e300), None),
        (b"\xca\x7f\xc0\0\0".to_vec(), None),
        (b"\xca\xff\x80\0\0".to_vec(), None),
        (float(0.0), Some(RECEIVED)),
        (float(-0.5), at(-1, 500_000_000)),
        (b"\0".to_vec(), Some(RECEIVED)),
        (b"\xc0".to_vec(), Some(RECEIVED)),
        (b"\xd7\0\0\0\0\0\0\0\0\x05".to_vec(), Some(RECEIVED)),
        // The last second of 1969, and the first days of 2107.
        (integer(-1), at(-1, 0)),
        (integer(i64::from(i32::MIN)), at(-2_147_483_648, 0)),
        (integer(4_323_369_600), at(4_323_369_600, 0)),
        (b"\xd7\0\xff\xff\xff\xff\x3b\x9a\xc9\xff".to_vec(), at(0xffff_ffff, 999_999_999)),
        (b"\xa4noon".to_vec(), None),
        (b"\xc3".to_vec(), None),
        (b"\xd4\0\x01".to_vec(), None),
    ];
    for (time, expected) in cases {
        let entry = [b"\x92", &time[..], b"\x81\xa1m\xa1x"].concat();
        let forward = [b"\x92\xa1t\x91", &entry[..]].concat();
        let packed = [b"\x92\xa1t".as_slice(), &long(0xc6, &entry)].concat();
        let mut frames = vec![forward, packed];
        if !matches!(time[0], 0xa4 | 0xc3) {
            frames.push([b"\x93\xa1t", &time[..], b"\x81\xa1m\xa1x"].concat());
        }
        for frame in frames {
            let found = decoded(&frame, &Settings::new(RECEIVED));
            assert_eq!(found.records.first().map(|(time, _)| *time), expected, "{time:x?}");
            assert_eq!(found.dropped, if expected.is_some() { vec![] } else { vec![(Invalid::Time, 1)] });
            let kept = decoded(&frame, &keeping());
            assert_eq!(kept.records, [(expected.unwrap_or(RECEIVED), fields(&[("m", "x")]))], "{time:x?}");
            assert!(kept.dropped.is_empty());
        }
    }
}

/// Every option with a value of every type: none breaks a message, and an ack id is text or raw bytes or none at all.
#[test]
fn mixed_option_types() {
    let values = [
        &b"\xc0"[..],
        b"\xc2",
        b"\x05",
        b"\xff",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xcb\x7f\xf8\0\0\0\0\0\0",
        b"\xa2id",
        b"\xc4\x02id",
        b"\x90",
        b"\x91\xa2id",
        b"\x80",
        b"\x81\xa1k\xa1v",
        b"\xd7\0\x55\xec\xe6\xf8\0\0\0\0",
        b"\xd4\x07\x01",
    ];
    for key in ["chunk", "size", "compressed", "metadata", "unknown", ""] {
        for value in values {
            let head = [&[0x81, 0xa0 | key.len() as u8], key.as_bytes(), value].concat();
            for message in [&b"\x93\xa1t\x91\x92\x01\x81\xa1a\x01"[..], b"\x94\xa1t\x01\x81\xa1a\x01"] {
                let found = decoded(&[message, &head].concat(), &Settings::new(RECEIVED));
                assert_eq!(found.records.len(), 1, "{key} {value:x?}");
                let chunk = match value[0] {
                    0xa2 if key == "chunk" => Some(("id".to_string(), true)),
                    0xc4 if key == "chunk" => Some(("id".to_string(), false)),
                    _ => None,
                };
                assert_eq!(found.chunk, chunk, "{key} {value:x?}");
            }
        }
    }
    // Of two ids the last counts, and a key of another type is no option.
    let two = b"\x93\xa1t\x90\x83\xa5chunk\xa1a\x05\xa1x\xa5chunk\xa1b";
    assert_eq!(decoded(two, &Settings::new(RECEIVED)).chunk, Some(("b".into(), true)));
}

/// A thousandfold and more, by gzip and by zstd, in one piece and nested: refused at the cap, with nothing kept.
#[test]
fn compression_bombs() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![0x90; 16 << 20]).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&vec![0x90; 16 << 20][..], 3).unwrap();
    assert!(gzip.len() * 900 < 16 << 20 && zstd.len() * 5_000 < 16 << 20);
    for (label, bomb) in [("gzip", &gzip), ("zstd", &zstd)] {
        let option = [b"\x81\xaacompressed\xa4", label.as_bytes()].concat();
        let frame = [b"\x93\xa1t", &long(0xc6, bomb)[..], &option].concat();
        let Outcome::Closed(reason) = decode(&frame, 0) else { panic!("{label}") };
        assert!(reason.contains("1048576"), "{label}: {reason}");
    }
    // A bomb in a bomb is no chunk: the inner one is bytes that are no entries.
    let inner = zstd::encode_all(&zstd[..], 3).unwrap();
    let frame = [b"\x93\xa1t", &long(0xc6, &inner)[..], b"\x81\xaacompressed\xa4zstd"].concat();
    let message = decoded(&frame, &Settings::new(RECEIVED));
    assert!(message.records.is_empty() && !message.dropped.is_empty());
}

#[test]
fn what_is_no_text_stays_a_record() {
    let frame =
        b"\x94\xa2\xff\xfe\x01\x82\xa2\xff\xfe\xa3a\xffb\xa1n\x81\xa1k\xa1\xff\x81\xa5chunk\xa2\xff\xfe";
    let found = decoded(frame, &Settings::new(RECEIVED));
    let broken = "\u{fffd}\u{fffd}";
    assert_eq!(found.tag, broken);
    assert_eq!(found.records[0].1, fields(&[(broken, "a\u{fffd}b"), ("n", "{\"k\":\"\u{fffd}\"}")]));
    assert_eq!(found.chunk, Some((broken.into(), true)));
}

/// An input that keeps what is no event: as a record where it can be read, as one field of JSON where not.
#[test]
fn invalid_events_are_kept_where_the_input_is_set_so() {
    let kept = |frame: &[u8]| decoded(frame, &keeping());
    let event = |text: &str| fields(&[("invalid_event", text)]);
    let at = |seconds| Timestamp { seconds, nanos: 0 };
    // M14 and M18, where the record is a string; in Message mode the entry stands without tag and options.
    let found = kept(&vector("M14"));
    assert_eq!(found.records[1], (at(T), event(r#"[1441588984,"x"]"#)));
    assert_eq!((found.records.len(), found.dropped.len()), (2, 0));
    let found = kept(&vector("M18"));
    assert_eq!(found.records, [(at(T), event(r#"[1441588984,"hello"]"#))]);
    assert_eq!(found.chunk, Some(("c9".into(), true)));
    assert_eq!(kept(b"\x92\xa1t\x05").records, [(at(5), event("[5]"))]);
    // M08, a time of an unknown kind.
    assert_eq!(kept(&vector("M08")).records, [(RECEIVED, fields(&[("m", "foo")]))]);
    // M25 has an integer where an entry belongs, M13 half an entry, which stays dropped.
    assert_eq!(kept(&vector("M25")).records[1], (RECEIVED, event("5")));
    assert_eq!(kept(&vector("M13")).dropped, [(Invalid::Cut, 1)]);
    // A tag that is none: all of the message, with its time.
    let found = kept(b"\x93\x05\x06\x81\xa1a\xa1b");
    assert_eq!((found.tag.as_str(), &found.records), ("", &vec![(at(6), event(r#"[5,6,{"a":"b"}]"#))]));
    // Bad times beside metadata and in groups; a group's mark with nanoseconds is neither a mark nor a time.
    let found = kept(
        b"\x92\xa1t\x93\x92\x92\xc3\x81\xa1k\xa1v\x81\xa1m\xa1x\x92\x93\x01\x80\x80\x80\
        \x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\x01\x80\x81\xa1m\xa1x",
    );
    let metadata = fields(&[("m", "x"), ("metadata", r#"{"k":"v"}"#)]);
    assert_eq!(found.records, [(RECEIVED, metadata), (RECEIVED, vec![]), (RECEIVED, fields(&[("m", "x")]))]);
    assert!(found.dropped.is_empty());
    // Strings and nil are JSON too.
    let found = kept(b"\x92\xa1t\x92\xa3abc\xc0");
    assert_eq!(found.records, [(RECEIVED, event(r#""abc""#)), (RECEIVED, event("null"))]);
    let extra = [Extra { key: "peer".into(), value: "10.0.0.1".into() }];
    let found = decoded(&vector("M18"), &Settings { extra: &extra, ..keeping() });
    assert_eq!(found.records[0].1[1], ("peer".into(), "10.0.0.1".into()));
    // Without the setting they are counted.
    assert_eq!(one("M18").dropped, [(Invalid::Record, 1)]);
}
