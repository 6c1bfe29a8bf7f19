//! What stands beside a record's own fields: leaves of metadata and groups, fields of the connection.

use super::*;

fn fields_of(blob: &[u8], settings: Settings<'_>) -> (Vec<Fields>, Tally) {
    let (batch, tally) = packed(blob, settings);
    (records(&batch).into_iter().map(|(_, fields)| fields).collect(), tally)
}

fn pairs(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn as_fields() -> Settings<'static> {
    Settings { metadata: Metadata::Fields, ..Settings::new(NOW) }
}

/// `{"resource":{"attributes":{"service.name":"a"},"schema_url":nil},"ids":[1,2],"none":{}}` as what a group shares.
const GROUP_START: &[u8] =
    b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x81\xa6schema\xa4otlp\x83\xa8resource\x82\
    \xaaattributes\x81\xacservice.name\xa1a\xaaschema_url\xc0\xa3ids\x92\x01\x02\xa4none\x80";

#[test]
fn metadata_and_groups_become_one_field_per_leaf() {
    let record = b"\x92\x92\x01\x83\xa4otlp\x82\xafseverity_number\x09\xa1n\x81\x05\xc3\xa5empty\x80\xa3k.l\xa1v\x81\xa3log\xa2hi";
    let plain = b"\x92\x92\x02\x80\x81\xa3log\xa2ho";
    let blob = [GROUP_START, record, plain].concat();
    let (found, tally) = fields_of(&blob, as_fields());
    let group = [
        ("group.resource.attributes.service.name", "a"),
        ("group.resource.schema_url", ""),
        ("group.ids", "[1,2]"),
    ];
    let own = [
        ("log", "hi"),
        ("metadata.otlp.severity_number", "9"),
        ("metadata.otlp.n.5", "true"),
        ("metadata.k.l", "v"),
    ];
    assert_eq!(found[0], pairs(&[&own[..], &group[..]].concat()));
    assert_eq!(found[1], pairs(&[&[("log", "ho")], &group[..]].concat()));
    assert_eq!((tally.records, tally.dropped_in_all(), tally.unshared), (2, 0, 0));
    // One text serves all records of a step.
    let (batch, _) = packed(&blob, as_fields());
    let last = |record: &Record| batch.fields_of(record).last().map(|field| (field.key, field.value));
    assert_eq!(last(&batch.records[0]), last(&batch.records[1]));
    let (found, _) = fields_of(&blob, Settings { drop_nil: true, ..as_fields() });
    assert_eq!(found[1].len(), 3);
    // Dropped, nothing of it is made.
    let (batch, tally) = packed(&blob, Settings { metadata: Metadata::Drop, ..Settings::new(NOW) });
    assert_eq!((batch.fields.len(), batch.arena.len(), tally.records), (2, 0, 2));
}

#[test]
fn a_record_s_own_fields_keep_their_names() {
    let record =
        b"\x92\x92\x01\x82\xa1k\xa1v\xa1l\xa1w\x83\xaametadata.k\xa3own\xa9group.ids\x07\xa8metadata\x01";
    let (found, _) = fields_of(&[GROUP_START, record].concat(), as_fields());
    let expected = [
        ("metadata.k", "own"),
        ("group.ids", "7"),
        ("metadata", "1"),
        ("_metadata.k", "v"),
        ("metadata.l", "w"),
        ("group.resource.attributes.service.name", "a"),
        ("group.resource.schema_url", ""),
        ("_group.ids", "[1,2]"),
    ];
    assert_eq!(found[0], pairs(&expected));
}

/// Metadata with too many leaves, or too long paths before them, stays nested; nothing is lost.
#[test]
fn what_would_multiply_stays_nested() {
    let mut wide = b"\x92\x92\x01\xde\x04\x01".to_vec();
    for at in 0..1025 {
        wide.extend([0xa4]);
        wide.extend(format!("{at:04}").bytes());
        wide.push(at as u8 & 0x7f);
    }
    wide.extend(b"\x80");
    let (found, tally) = fields_of(&wide, as_fields());
    assert_eq!((found[0].len(), found[0][0].0.as_str(), tally.records), (1, "metadata", 1));
    let mut long = b"\x92\x92\x01\x81\xda\x20\x00".to_vec();
    long.extend(vec![b'p'; 0x2000]);
    long.push(0x8f);
    for at in 0..15 {
        long.extend([0xa1, b'a' + at, at]);
    }
    long.extend(b"\x80");
    let (found, _) = fields_of(&long, as_fields());
    assert_eq!((found[0].len(), found[0][0].0.as_str()), (1, "metadata"));
    // 8,500 bytes of keys a record, 4,000 times: bounded over the message, the rest nested.
    let mut record = b"\x92\x92\x01\x81\xd9\xff".to_vec();
    record.extend([b'p'; 255]);
    record.extend(b"\xde\x00\x20");
    for at in 0..32 {
        record.extend([0xa1, b'0' + at, at]);
    }
    record.extend(b"\x80");
    let (batch, tally) = packed(&record.repeat(4000), as_fields());
    let nested = batch.records.iter().filter(|record| record.count == 1).count();
    assert_eq!((tally.records, tally.dropped_in_all()), (4000, 0));
    assert!(nested > 0 && nested < 4000, "{nested}");
    assert!(batch.arena.len() < SHARED_BYTES + 4000 * 360 * (SHARED_TIMES + 2), "{}", batch.arena.len());
    // A group that is too wide is shared as JSON.
    let mut group = b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x80".to_vec();
    group.extend(&wide[3..wide.len() - 1]);
    group.extend(b"\x92\x92\x01\x80\x80");
    let (found, _) = fields_of(&group, as_fields());
    assert_eq!((found[0].len(), found[0][0].0.as_str()), (1, "group"));
}

#[test]
fn deep_or_cut_metadata_costs_its_record_alone() {
    for (settings, depth) in [(as_fields(), 100_000), (Settings::new(NOW), 100_000), (as_fields(), 65)] {
        let mut blob = b"\x92\x01\x80\x92\x92\x01".to_vec();
        blob.extend(b"\x81\xa1a".repeat(depth));
        blob.extend(b"\x01\x81\xa1m\xa1x\x92\x01\x80");
        let (batch, tally) = packed(&blob, settings);
        assert_eq!((tally.records, tally.dropped(Invalid::Damaged)), (2, 1), "{depth}");
        assert!(batch.fields.is_empty());
    }
    let (found, tally) = fields_of(b"\x92\x92\x01\x81\xa1a\x82\xa1b\x01", as_fields());
    assert_eq!((found.len(), tally.dropped(Invalid::Cut)), (0, 1));
}

#[test]
fn a_group_goes_over_steps_as_fields() {
    let entry = b"\x92\x92\x01\x81\xa1k\x05\x81\xa1a\x91\x07";
    let blob =
        [GROUP_START, entry, entry, entry, b"\x92\x92\xd7\0\xff\xff\xff\xfe\0\0\0\0\x80\x80", entry].concat();
    let (whole, _) = packed(&blob, as_fields());
    for at_most in 1..4 {
        let mut batch = Batch { frame: Bytes::copy_from_slice(&blob), ..Batch::default() };
        let (mut tally, mut found) = (Tally::default(), Vec::new());
        let mut entries = Entries::packed(0..blob.len());
        while {
            let more = entries.step(&mut batch, &as_fields(), &mut tally, at_most);
            found.extend(records(&batch));
            batch.clear_records();
            more
        } {}
        assert_eq!(found, records(&whole));
    }
    assert_eq!(records(&whole)[3].1, pairs(&[("a", "[7]"), ("metadata.k", "5")]));
}

#[test]
fn fields_of_the_connection_replace_the_record_s_own() {
    let extra = [
        Extra { key: "source_address".into(), value: "192.0.2.1".into() },
        Extra { key: "client".into(), value: "".into() },
    ];
    let settings = Settings { extra: &extra, ..Settings::new(NOW) };
    let blob =
        b"\x92\x01\x84\xaesource_address\xa4fake\xa1a\x01\xa6client\xc0\xaesource_address\xa1x\x92\x02\x80";
    let (found, _) = fields_of(blob, settings);
    let added = [("source_address", "192.0.2.1"), ("client", "")];
    assert_eq!(found[0], pairs(&[&[("a", "1")], &added[..]].concat()));
    assert_eq!(found[1], pairs(&added));
    // Their text is made once a step, and once for each message of one event.
    let (batch, _) = packed(&b"\x92\x01\x80".repeat(100), settings);
    assert_eq!((batch.arena.len(), batch.fields.len()), ("source_address192.0.2.1client".len(), 200));
    let event = Event { time: 1..2, record: 2..3, metadata: None };
    let mut batch = Batch { frame: Bytes::from_static(b"\x92\x01\x80"), ..Batch::default() };
    decode_event(&mut batch, 0, &event, &settings, &mut Tally::default());
    decode_event(&mut batch, 0, &event, &settings, &mut Tally::default());
    assert_eq!(records(&batch).len(), 2);
    assert!(records(&batch).iter().all(|(_, fields)| *fields == pairs(&added)));
    // Beside metadata and groups, which they may replace too.
    let extra = [Extra { key: "metadata.k".into(), value: "ours".into() }];
    let (found, _) =
        fields_of(b"\x92\x92\x01\x81\xa1k\xa1v\x81\xa1a\x01", Settings { extra: &extra, ..as_fields() });
    assert_eq!(found[0], pairs(&[("a", "1"), ("metadata.k", "ours")]));
}
