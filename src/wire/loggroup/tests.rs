//! Our reading of LogGroups against prost's, both ways.

use super::*;
use proptest::prelude::*;
use prost::Message;

use crate::wire::protobuf::FieldError;

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(bytes = "vec", required, tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PeerLog {
    #[prost(uint32, required, tag = "1")]
    time: u32,
    #[prost(message, repeated, tag = "2")]
    contents: Vec<Pair>,
    /// Only agents write it: unknown to us.
    #[prost(string, repeated, tag = "3")]
    values: Vec<String>,
    #[prost(fixed32, optional, tag = "4")]
    time_ns: Option<u32>,
    #[prost(fixed64, optional, tag = "900")]
    from_the_future: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct PeerGroup {
    #[prost(message, repeated, tag = "1")]
    logs: Vec<PeerLog>,
    #[prost(string, optional, tag = "2")]
    category: Option<String>,
    #[prost(string, optional, tag = "3")]
    topic: Option<String>,
    #[prost(string, optional, tag = "4")]
    source: Option<String>,
    #[prost(string, optional, tag = "5")]
    machine_uuid: Option<String>,
    #[prost(message, repeated, tag = "6")]
    tags: Vec<Pair>,
    #[prost(sint64, optional, tag = "77")]
    from_the_future: Option<i64>,
}

fn pair() -> impl Strategy<Value = Pair> {
    (prop::collection::vec(any::<u8>(), 0..12), prop::collection::vec(any::<u8>(), 0..200))
        .prop_map(|(key, value)| Pair { key, value })
}

fn peer_log() -> impl Strategy<Value = PeerLog> {
    let values = prop::collection::vec(".{0,3}", 0..2);
    let contents = prop::collection::vec(pair(), 0..5);
    (any::<u32>(), contents, values, any::<Option<u32>>(), any::<Option<u64>>()).prop_map(
        |(time, contents, values, time_ns, from_the_future)| PeerLog {
            time,
            contents,
            values,
            time_ns,
            from_the_future,
        },
    )
}

fn peer_group() -> impl Strategy<Value = PeerGroup> {
    let text = || prop::option::of(".{0,6}");
    let logs = prop::collection::vec(peer_log(), 0..7);
    (logs, text(), text(), text(), text(), prop::collection::vec(pair(), 0..3), any::<Option<i64>>())
        .prop_map(|(logs, category, topic, source, machine_uuid, tags, from_the_future)| PeerGroup {
            logs,
            category,
            topic,
            source,
            machine_uuid,
            tags,
            from_the_future,
        })
}

/// What we read, as prost would hold it; fields we do not know stay behind.
fn read(bytes: &[u8]) -> Result<PeerGroup, WalkError> {
    let group = walk(bytes)?;
    let own = |pair: (&[u8], &[u8])| Pair { key: pair.0.to_vec(), value: pair.1.to_vec() };
    let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned());
    let logs: Vec<PeerLog> = group
        .logs()
        .map(|log| PeerLog {
            time: log.time,
            contents: log.contents().map(own).collect(),
            time_ns: log.time_ns,
            ..PeerLog::default()
        })
        .collect();
    assert_eq!(logs.len(), group.log_count());
    Ok(PeerGroup {
        logs,
        topic: text(group.topic),
        source: text(group.source),
        machine_uuid: text(group.machine_uuid),
        tags: group.tags().map(own).collect(),
        ..PeerGroup::default()
    })
}

fn known_part(mut group: PeerGroup) -> PeerGroup {
    for log in &mut group.logs {
        log.values.clear();
        log.from_the_future = None;
    }
    group.category = None;
    group.from_the_future = None;
    for text in [&mut group.topic, &mut group.source, &mut group.machine_uuid] {
        *text = text.take().filter(|text| !text.is_empty());
    }
    group
}

proptest! {
    #[test]
    fn reads_what_a_peer_writes(group in peer_group()) {
        prop_assert_eq!(read(&group.encode_to_vec()).unwrap(), known_part(group));
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let _ = (walk(&bytes), split(&bytes));
    }

    #[test]
    fn spoiled_groups_never_panic(group in peer_group(), at: prop::sample::Index, byte: u8) {
        let mut bytes = group.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if read(&bytes).is_ok() {
            // Text that is no UTF-8 is ours to repair, so only its absence is the peer's to judge.
            if let Ok(peer) = PeerGroup::decode(bytes.as_slice()) {
                prop_assert_eq!(read(&bytes).unwrap().logs.len(), peer.logs.len());
            }
        }
        for cut in 0..bytes.len().min(64) {
            let _ = read(&bytes[..cut]);
        }
    }

    #[test]
    fn halves_hold_all_logs_and_every_trailer(group in peer_group()) {
        let bytes = group.encode_to_vec();
        match split(&bytes).unwrap() {
            None => prop_assert!(group.logs.len() < 2),
            Some((first, second)) => {
                let mut first = PeerGroup::decode(first.as_slice()).unwrap();
                let second = PeerGroup::decode(second.as_slice()).unwrap();
                prop_assert!(first.logs.len().abs_diff(second.logs.len()) < 2);
                prop_assert_eq!(&first.tags, &second.tags);
                first.logs.extend(second.logs);
                prop_assert_eq!(first, group);
            }
        }
    }

    #[test]
    fn fragments_and_a_trailer_are_one_group(
        logs in prop::collection::vec(peer_log(), 0..6),
        cut: prop::sample::Index,
        topic in ".{0,200}",
        tag in ".{0,150}",
    ) {
        let cut = cut.index(logs.len() + 1);
        let run = |logs: &[PeerLog]| PeerGroup { logs: logs.to_vec(), ..PeerGroup::default() }.encode_to_vec();
        let (first, second) = (run(&logs[..cut]), run(&logs[cut..]));
        let mut bytes = [first, second].concat();
        let tags = [("__pack_id__", "AB-1"), (tag.as_str(), topic.as_str())];
        encode::put_trailer(&mut bytes, topic.as_bytes(), b"host", &tags);
        let group = PeerGroup::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(group.logs, logs);
        prop_assert_eq!(group.topic.unwrap_or_default(), topic.clone());
        prop_assert_eq!(group.source.as_deref(), Some("host"));
        prop_assert_eq!(&group.tags[1].value, topic.as_bytes());
        prop_assert_eq!(walk(&bytes).unwrap().tag(b"__pack_id__"), Some(b"AB-1".as_slice()));
    }
}

#[test]
fn the_recorded_group_reads_as_written() {
    let packed = "f1260a2f0880e2cfaa06120d0a056c6576656c1204696e666f12130a036d7367120c68656c6c6f20e4b896e7958c2515cd5b070a2808813100140e310082056572726f72120b3200f01604626f6f6d25050000001a03776562220831302e302e302e39320a0a03656e761203646576";
    let packed: Vec<u8> =
        (0..packed.len()).step_by(2).map(|at| u8::from_str_radix(&packed[at..at + 2], 16).unwrap()).collect();
    let mut raw = Vec::new();
    crate::wire::compress::decompress(crate::wire::compress::Kind::Lz4, &packed, 118, 118, &mut raw).unwrap();
    let group = walk(&raw).unwrap();
    assert_eq!((group.topic, group.source), (b"web".as_slice(), b"10.0.0.9".as_slice()));
    assert_eq!(group.tag(b"env"), Some(b"dev".as_slice()));
    let logs: Vec<_> = group.logs().collect();
    assert_eq!((logs[0].time, logs[0].time_ns), (1_700_000_000, Some(123_456_789)));
    assert_eq!(logs[1].contents().last(), Some((b"msg".as_slice(), b"boom".as_slice())));
}

#[test]
fn refuses_what_is_no_log_group() {
    let refused: [(&[u8], WalkError); 6] = [
        (b"\x0a\x05", FieldError::Truncated(0).into()),
        (b"\x0a\x00", WalkError::Missing { message: "Log", field: "Time" }),
        (b"\x0a\x06\x08\x01\x12\x02\x0a\x00", WalkError::Missing { message: "Content", field: "Value" }),
        (b"\x08\x01", FieldError::WireType { field: 1, wire_type: 0 }.into()),
        (b"\x0b\x0c", FieldError::WireType { field: 1, wire_type: 3 }.into()),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", FieldError::LongNumber(10).into()),
    ];
    for (bytes, error) in refused {
        assert_eq!(walk(bytes).unwrap_err(), error, "{bytes:02x?}");
    }
}
