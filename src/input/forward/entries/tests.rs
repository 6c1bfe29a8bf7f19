//! Entries from bytes to records: times, values, damage, groups, steps.

mod beside;

use bytes::Bytes;

use super::*;
use crate::record::Record;

const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 5 };

type Fields = Vec<(String, String)>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn records(batch: &Batch) -> Vec<(Timestamp, Fields)> {
    let fields = |record| {
        let pair = |field: &Field| (text(batch.bytes(field.key)), text(batch.bytes(field.value)));
        batch.fields_of(record).iter().map(pair).collect()
    };
    batch.records.iter().map(|record| (record.time, fields(record))).collect()
}

fn packed(blob: &[u8], settings: Settings) -> (Batch, Tally) {
    let mut batch = Batch { frame: Bytes::copy_from_slice(blob), ..Batch::default() };
    let mut tally = Tally::default();
    decode_packed(&mut batch, 0..blob.len(), &settings, &mut tally);
    (batch, tally)
}

fn time_of(time: &[u8]) -> Result<Timestamp, Tally> {
    let (batch, tally) = packed(&[b"\x92", time, b"\x80"].concat(), Settings::new(NOW));
    batch.records.first().map(|record| record.time).ok_or(tally)
}

fn at(seconds: i64, nanos: u32) -> Result<Timestamp, Tally> {
    Ok(Timestamp { seconds, nanos })
}

#[test]
fn times_of_all_kinds() {
    assert_eq!(time_of(b"\xce\x55\xec\xe6\xf8"), at(1441588984, 0));
    assert_eq!(time_of(b"\xd7\0\x55\xec\xe6\xf8\x07\x5b\xcd\x15"), at(1441588984, 123456789));
    assert_eq!(time_of(b"\xc7\x08\0\x55\xec\xe6\xf8\x07\x5b\xcd\x15"), at(1441588984, 123456789));
    assert_eq!(time_of(b"\xd7\0\x55\xec\xe6\xf8\x3b\x9a\xca\x00"), at(1441588985, 0));
    // Only inside `[time, metadata]` are these a group's marks.
    assert_eq!(time_of(b"\xd7\0\xff\xff\xff\xff\0\0\0\0"), at(0xffff_ffff, 0));
    assert_eq!(time_of(b"\xff"), at(-1, 0));
    assert_eq!(time_of(b"\xd3\xff\xff\xff\xff\xff\xff\xff\xfe"), at(-2, 0));
    for receipt in
        [&b"\0"[..], b"\xc0", b"\xd7\0\0\0\0\0\0\0\0\x07", b"\xcf\0\0\0\0\0\0\0\0", b"\xca\0\0\0\0"]
    {
        assert_eq!(time_of(receipt), Ok(NOW), "{receipt:x?}");
    }
    assert_eq!(time_of(b"\xcb\x41\xd5\x7b\x39\xbe\x20\0\0"), at(1441588984, 500_000_000));
    let odd = [
        &b"\xcb\x7f\xf8\0\0\0\0\0\0"[..],
        b"\xcb\x7f\xf0\0\0\0\0\0\0",
        b"\xd6\0\x55\xec\xe6\xf8",
        b"\xd7\x01\x55\xec\xe6\xf8\x07\x5b\xcd\x15",
        b"\xa1x",
        b"\xc3",
    ];
    for odd in odd {
        assert_eq!(time_of(odd).unwrap_err().dropped(Invalid::Time), 1, "{odd:x?}");
    }
}

#[test]
fn the_size_of_an_integer_tells_its_unit() {
    let integer = |number: u64| time_of(&[&[0xcf][..], &number.to_be_bytes()].concat());
    assert_eq!(integer(99_999_999_999), at(99_999_999_999, 0));
    assert_eq!(integer(1_441_588_984_123), at(1441588984, 123_000_000));
    assert_eq!(integer(1_441_588_984_123_456), at(1441588984, 123_456_000));
    assert_eq!(integer(1_441_588_984_123_456_789), at(1441588984, 123_456_789));
    assert_eq!(integer(u64::MAX), at(18_446_744_073, 709_551_615));
    let exact = Settings { guess_units: false, ..Settings::new(NOW) };
    let (batch, tally) = packed(b"\x92\xcf\0\0\x01\x4f\xa5\x5f\x65\x7b\x80", exact);
    assert_eq!((batch.records[0].time.nanos, tally.guessed_units), (0, 0));
    let (_, tally) = packed(b"\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x80", exact);
    assert_eq!(tally.dropped(Invalid::Time), 1);
}

#[test]
fn values_of_all_kinds_are_text() {
    let blob = b"\x92\x01\x8a\xa1s\xa2hi\xc4\x01b\xc4\x02\xff\xfe\xa1i\xcd\x01\x00\xa1n\xc0\xa1t\xc3\
                 \xa1f\xcb\x40\x0a\0\0\0\0\0\0\xa1m\x81\xa1k\x92\x01\xa1x\x05\x07\xa1s\xa5again\xa1e\xd4\x07\x2a";
    let (batch, tally) = packed(blob, Settings::new(NOW));
    let (_, fields) = records(&batch).remove(0);
    let expected = [
        ("s", "hi"),
        ("b", "\u{fffd}\u{fffd}"),
        ("i", "256"),
        ("n", ""),
        ("t", "true"),
        ("f", "3.25"),
        ("m", r#"{"k":[1,"x"]}"#),
        ("5", "7"),
        ("s", "again"),
        ("e", r#"{"ext":7,"data":"2a"}"#),
    ];
    let expected: Fields = expected.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    assert_eq!(fields, expected);
    assert_eq!((tally.records, tally.dropped_in_all(), tally.guessed_units), (1, 0, 0));
    assert_eq!(
        batch.value_of(&batch.records[0], b"s").map(|span| text(batch.bytes(span))),
        Some("again".into())
    );
    let (batch, _) = packed(blob, Settings { drop_nil: true, ..Settings::new(NOW) });
    assert_eq!(batch.records[0].count, 9);
}

#[test]
fn bad_entries_cost_only_themselves() {
    let good = b"\x92\x01\x81\xa1a\x01";
    let bad: [(&[u8], Invalid); 10] = [
        (b"\x05", Invalid::Entry),
        (b"\x91\x01", Invalid::Entry),
        (b"\x80", Invalid::Entry),
        (b"\x92\x01\xa1x", Invalid::Record),
        (b"\x92\x01\xc0", Invalid::Record),
        (b"\x92\xa1x\x80", Invalid::Time),
        (b"\x92\x93\x01\x80\x80\x80", Invalid::Time),
        (b"\x92\x92\x01\x05\x80", Invalid::Entry),
        (b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\x01\x80\x80", Invalid::Time),
        (b"\x92\x01\xdf\0\x01\0\x01", Invalid::Cut),
    ];
    for (bytes, reason) in bad {
        let blob = [&good[..], bytes, &good[..]].concat();
        let (batch, tally) = packed(&blob, Settings::new(NOW));
        let kept = if reason == Invalid::Cut { 1 } else { 2 };
        assert_eq!(
            (tally.records, tally.dropped(reason), tally.dropped_in_all()),
            (kept, 1, 1),
            "{bytes:x?}"
        );
        assert_eq!((batch.records.len() as u64, batch.fields.len() as u64), (kept, kept), "{bytes:x?}");
    }
    let (_, tally) = packed(&[&good[..], b"\x92\x01\x81\xa1a\xc1", good].concat(), Settings::new(NOW));
    assert_eq!((tally.records, tally.dropped(Invalid::Damaged)), (1, 1));
    // Longer than an entry should be: what is known is kept.
    let (_, tally) = packed(b"\x93\x01\x80\x07\x92\x01\x80", Settings::new(NOW));
    assert_eq!((tally.records, tally.dropped_in_all()), (2, 0));
}

#[test]
fn a_cut_blob_keeps_what_stands_before_the_cut() {
    let blob = b"\x92\x01\x82\xa1a\x01\xa1b\x92\x01\x02\x92\x92\x02\x81\xa1k\x01\x81\xa1c\xa1d";
    for cut in 0..=blob.len() {
        let (batch, tally) = packed(&blob[..cut], Settings::new(NOW));
        let whole = if cut == blob.len() { 2 } else { u64::from(cut >= 11) };
        let clean = cut == 0 || cut == 11 || cut == blob.len();
        assert_eq!((tally.records, tally.dropped_in_all()), (whole, u64::from(!clean)), "{cut}");
        assert_eq!(
            batch.records.iter().map(|record| record.count as usize).sum::<usize>(),
            batch.fields.len()
        );
    }
}

#[test]
fn hostile_claims_and_nests_are_refused() {
    let mut deep = b"\x92\x01\x81\xa1a".to_vec();
    deep.extend(vec![0x91; 100_000]);
    deep.push(0xc0);
    deep.extend(b"\x92\x01\x80");
    let (batch, tally) = packed(&deep, Settings::new(NOW));
    assert_eq!((tally.records, tally.dropped(Invalid::Damaged)), (1, 1));
    assert!(batch.fields.is_empty());
    for claim in
        [&b"\xdd\xff\xff\xff\xff"[..], b"\x92\x01\xdf\xff\xff\xff\xff", b"\x92\x01\x81\xdb\xff\xff\xff\xff"]
    {
        let (batch, tally) = packed(claim, Settings::new(NOW));
        assert_eq!((tally.records, tally.dropped_in_all()), (0, 1));
        assert_eq!(batch.fields.capacity() + batch.arena.capacity(), 0);
    }
    let mut wide = b"\x92\x01\xdf\0\x01\0\x01".to_vec();
    wide.extend(vec![0xa0; 2 * 65_537]);
    let (_, tally) = packed(&wide, Settings::new(NOW));
    assert_eq!(tally.dropped(Invalid::Large), 1);
}

#[test]
fn metadata_and_groups_stand_beside_the_fields() {
    let start = b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x81\xa2id\x01\x81\xa8resource\x81\xa1r\x01";
    let end = b"\x92\x92\xd7\0\xff\xff\xff\xfe\0\0\0\0\x80\x80";
    let record = b"\x92\x92\x01\x81\xa1k\xa1v\x82\xa5group\xa1g\xa8metadata\xa1m";
    let plain = b"\x92\x92\x01\xc0\x80";
    let blob = [&start[..], record, plain, end, plain, end, start, start, plain].concat();
    let (batch, tally) = packed(&blob, Settings::new(NOW));
    assert_eq!((tally.records, tally.dropped_in_all()), (4, 0));
    let fields: Vec<Fields> = records(&batch).into_iter().map(|(_, fields)| fields).collect();
    let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
    let group = r#"{"resource":{"r":1}}"#;
    assert_eq!(
        fields[0],
        [pair("group", "g"), pair("metadata", "m"), pair("_metadata", r#"{"k":"v"}"#), pair("_group", group)]
    );
    assert_eq!(fields[1], [pair("group", group)]);
    assert!(fields[2].is_empty());
    assert_eq!(fields[3], [pair("group", group)]);
    // One text serves all records of a group.
    assert_eq!(batch.fields[3].value, batch.fields[4].value);
    // A start whose body has nothing to share.
    let bare = b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x80\xc0";
    let (batch, _) = packed(&[&start[..], bare, plain].concat(), Settings::new(NOW));
    assert!(batch.fields.is_empty());
}

#[test]
fn steps_give_what_one_call_gives() {
    let start = b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x80\x81\xa1r\x01";
    let entry = b"\x92\x92\x01\x80\x81\xa1a\x91\x07";
    let blob = [&start[..], entry, entry, b"\x05", entry, entry, entry].concat();
    let (whole, whole_tally) = packed(&blob, Settings::new(NOW));
    for at_most in 1..7 {
        let mut batch = Batch { frame: Bytes::copy_from_slice(&blob), ..Batch::default() };
        let (mut tally, mut found) = (Tally::default(), Vec::new());
        let mut entries = Entries::packed(0..blob.len());
        loop {
            let more = entries.step(&mut batch, &Settings::new(NOW), &mut tally, at_most);
            assert!(batch.records.len() <= at_most);
            found.extend(records(&batch));
            batch.arena.clear();
            batch.fields.clear();
            batch.records.clear();
            if !more {
                break;
            }
        }
        assert_eq!((found, tally), (records(&whole), whole_tally.clone()));
    }
}

#[test]
fn shared_attributes_do_not_multiply_without_bound() {
    let mut blob = b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x80\x81\xa1r\xdb\0\x10\0\0".to_vec();
    blob.extend(vec![b'x'; 1 << 20]);
    blob.extend(b"\x92\x92\x01\x80\x80".repeat(100));
    let (batch, tally) = packed(&blob, Settings::new(NOW));
    assert_eq!((tally.records, batch.fields.len() as u64 + tally.unshared), (100, 100));
    assert_eq!(batch.fields.len(), 24);
}

/// Steps through all entries; gives how many there were, and the most fields and made bytes a step held.
fn step_through(blob: &[u8]) -> (u64, usize, usize) {
    let mut batch = Batch { frame: Bytes::copy_from_slice(blob), ..Batch::default() };
    let (mut entries, mut tally) = (Entries::packed(0..blob.len()), Tally::default());
    let (mut fields, mut made) = (0, 0);
    loop {
        let more = entries.step(&mut batch, &Settings::new(NOW), &mut tally, 4_096);
        (fields, made) = (fields.max(batch.fields.len()), made.max(batch.arena.len()));
        batch.clear_records();
        if !more {
            return (tally.records + tally.dropped_in_all(), fields, made);
        }
    }
}

#[test]
fn a_step_of_wide_records_is_bounded() {
    let wide = [&b"\x92\0\xde\xff\xff"[..], &[0xa0; 2 * 0xffff]].concat();
    let (records, fields, _) = step_through(&wide.repeat(20));
    assert_eq!(records, 20);
    assert!(fields <= 400_000, "{fields}");
}

#[test]
fn a_step_of_groups_or_of_refused_records_is_bounded() {
    let mib = 1 << 20;
    let length = (mib as u32).to_be_bytes();
    let text = [&b"\x81\xa1k\xdb"[..], &length, &vec![1; mib]].concat();
    let group = [&b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x80"[..], &text].concat();
    let (_, _, made) = step_through(&group.repeat(12));
    assert!(made <= 32 * mib, "{made}");
    // Made for a field, and then something that can be none.
    let refused = [&b"\x92\0\x82\xa1a"[..], &text, b"\xa1b\x81\x81\x81\x80\x01\x02\x03"].concat();
    let (refusals, _, made) = step_through(&refused.repeat(12));
    assert_eq!(refusals, 12);
    assert!(made <= 32 * mib, "{made}");
}
