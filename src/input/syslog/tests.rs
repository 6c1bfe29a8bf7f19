//! Whole messages, from bytes to the fields of records: Docker's driver as recorded, and what the settings change.

use bytes::Bytes;

use super::*;
use crate::base::limits;
use crate::config::docker_tag::DockerTag;
use crate::config::plan::{ConnectionsPlan, DatagramsPlan, JoinPlan, Plan, UnixPlan};
use crate::config::{self, Flags};
use crate::input::Intake;
use crate::input::budget::Budget;
use crate::journal::{DiskFiles, Journal, Options};
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::Destinations;
use crate::pipeline::route::Router;
use crate::pipeline::stream::{Identity, Origin};
use crate::pipeline::tidy::Tidy;

/// 2026-11-22T22:54:30.25Z, when the recordings were made, more or less.
const RECEIVED: Timestamp = Timestamp { seconds: 1_795_388_070, nanos: 250_000_000 };

fn plan() -> SyslogPlan {
    SyslogPlan {
        listen: Vec::new(),
        connections: ConnectionsPlan {
            unix: UnixPlan { mode: 0o660, user: None, group: None },
            tls: None,
            proxy_protocol: Vec::new(),
            handshake_timeout: limits::HANDSHAKE,
            idle_timeout: None,
            stall_timeout: limits::STALL,
            max_connections: 1,
            max_connections_per_peer: None,
            window: limits::WINDOW_BYTES,
        },
        datagrams: DatagramsPlan { receive_buffer: 0 },
        max_message: 64 * limits::KIB,
        tag: None,
        time: SyslogTime::Auto,
        time_zone: "UTC".to_owned(),
        container_tags: ["{{.Name}}/{{.ID}}", "{{.ID}}"].map(|form| DockerTag::parse(form).unwrap()).to_vec(),
        source_address_key: None,
        join: JoinPlan { partial: true, timeout: limits::JOIN_TIMEOUT, max_line: limits::JOINED_BYTES },
    }
}

/// A decoder with a batcher behind which everything is stored in a directory of its own.
struct Bench {
    decoder: SyslogDecoder,
    batcher: Batcher,
    sender: Sender,
    _dir: tempfile::TempDir,
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    tag: String,
    time: Timestamp,
    fields: Vec<(String, Vec<u8>)>,
}

impl Seen {
    fn get(&self, key: &str) -> &[u8] {
        self.fields.iter().find(|(known, _)| known == key).map_or(b"", |(_, value)| value)
    }

    fn keys(&self) -> Vec<&str> {
        self.fields.iter().map(|(key, _)| key.as_str()).collect()
    }
}

impl Bench {
    fn new(plan: &SyslogPlan) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let env = [("HOME".to_owned(), "/home/u".to_owned())];
        let house: Plan = config::load(None, env.into_iter(), &Flags::default()).unwrap();
        let files = Arc::new(DiskFiles::open(dir.path()).unwrap());
        let journal = Journal::open_with(Options::new(dir.path()), files).unwrap();
        let (destinations, _) = Destinations::new(&house, journal.clone());
        let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
        let tidy = Tidy::new(house.time.out_of_range);
        let pipeline = Pipeline::new(Router::new(&house), destinations, None, identity, tidy, journal);
        let intake = Arc::new(Intake::new(Arc::new(pipeline), Budget::new(1 << 20)));
        let origin = Origin::new("syslog", "192.0.2.1");
        Bench {
            decoder: Syslog::new("syslog", plan).unwrap().decoder(),
            batcher: Batcher::new(intake, origin, None),
            sender: Sender { label: "192.0.2.1".into(), address: None },
            _dir: dir,
        }
    }

    /// The record written last.
    fn seen(&self) -> Seen {
        let batch = &self.batcher.batch;
        let record = batch.records.last().unwrap();
        let fields = batch.fields_of(record).iter().map(|field| {
            (String::from_utf8(batch.bytes(field.key).to_vec()).unwrap(), batch.bytes(field.value).to_vec())
        });
        let tag = String::from_utf8(batch.tag().to_vec()).unwrap();
        Seen { tag, time: record.time, fields: fields.collect() }
    }

    fn stream(&mut self, bytes: &[u8], piece: usize) -> Vec<Seen> {
        let (mut seen, mut start, mut end) = (Vec::new(), 0, 0);
        loop {
            let ended = end == bytes.len();
            let mut messages = Vec::new();
            let done = self.decoder.cut(&bytes[start..end], ended, &mut messages).unwrap();
            self.batcher.open(Bytes::copy_from_slice(&bytes[start..start + done]));
            start += done;
            for message in messages {
                self.decoder.message(&self.sender, &message, RECEIVED, &mut self.batcher);
                seen.push(self.seen());
            }
            if ended {
                return seen;
            }
            end = (end + piece).min(bytes.len());
        }
    }

    fn datagram(&mut self, bytes: &[u8]) -> Seen {
        // Some bytes before it, as when a frame has several.
        self.batcher.open(Bytes::from([b"before", bytes].concat()));
        self.decoder.datagram(&self.sender, 6..6 + bytes.len(), RECEIVED, &mut self.batcher);
        self.seen()
    }

    /// A recording's datagrams, each behind its length.
    fn datagrams(&mut self, mut bytes: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
            let (datagram, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
            seen.push(self.datagram(datagram));
            bytes = rest;
        }
        seen
    }
}

fn is_of_datagrams(name: &str) -> bool {
    name.contains("udp") || name.contains("unixgram") || name == "docker-default-devlog.bin"
}

#[test]
fn every_recording_of_dockers_driver_has_the_one_shape() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/syslog");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.contains("tag") {
            continue;
        }
        count += 1;
        let bytes = std::fs::read(&path).unwrap();
        let mut bench = Bench::new(&plan());
        let seen = if is_of_datagrams(&name) {
            bench.datagrams(&bytes)
        } else {
            let seen = bench.stream(&bytes, usize::MAX / 2);
            assert_eq!(
                Bench::new(&plan()).stream(&bytes, 1000).iter().map(|seen| &seen.fields).collect::<Vec<_>>(),
                seen.iter().map(|seen| &seen.fields).collect::<Vec<_>>()
            );
            seen
        };
        check_recording(&name, &seen);
    }
    assert_eq!(count, 22);
}

fn check_recording(name: &str, seen: &[Seen]) {
    let first = b"0".repeat(16_384);
    let second = [b"0".repeat(3_615), b"7".to_vec()].concat();
    let stdout: [&[u8]; 7] =
        [b"hello", b"caf\xc3\xa9 bin\x00\x01\xff end", b"cr\r", b"a\tb  ", &first, &second, b"no newline"];
    let of = |source: &[u8]| -> Vec<&[u8]> {
        seen.iter().filter(|seen| seen.get("source") == source).map(|seen| seen.get("log")).collect()
    };
    assert_eq!(of(b"stdout"), stdout, "{name}");
    assert_eq!(of(b"stderr"), [b"oops"], "{name}");
    for one in seen {
        let has_host = !name.starts_with("docker-default");
        let mut keys =
            vec!["log", "source", "container_id", "facility", "severity", "hostname", "appname", "timestamp"];
        keys.retain(|key| has_host || *key != "hostname");
        assert_eq!((one.keys(), one.tag.as_str()), (keys, "syslog.daemon"), "{name}");
        assert_eq!(
            (one.get("container_id").len(), one.get("hostname")),
            (12, &b"vm"[..if has_host { 2 } else { 0 }])
        );
        assert!(one.get("container_id").iter().all(u8::is_ascii_hexdigit), "{name}");
        assert_eq!(one.get("container_id"), one.get("appname"));
        let is_fine = name.contains("micro");
        assert_eq!(
            one.time.nanos % 1000 == 0 && one.time.nanos != 0,
            is_fine || one.time == RECEIVED,
            "{name} {one:?}"
        );
    }
}

#[test]
fn recorded_tags_are_split_where_a_form_fits() {
    let bytes = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/syslog/docker-rfc5424-udp-tag-facility.bin"
    ))
    .unwrap();
    let form = "{{.Name}}/{{.ImageName}}";
    let plan = SyslogPlan { container_tags: vec![DockerTag::parse(form).unwrap()], ..plan() };
    let seen = Bench::new(&plan).datagrams(&bytes);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].tag, "syslog.local3");
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    assert_eq!(
        seen[1].fields.iter().map(|(key, value)| (key.as_str(), text(value))).collect::<Vec<_>>(),
        [
            ("log", "tagged".to_owned()),
            ("source", "stdout".to_owned()),
            ("container_name", "cap-syslog".to_owned()),
            ("image_name", "busybox:local".to_owned()),
            ("facility", "local3".to_owned()),
            ("severity", "info".to_owned()),
            ("hostname", "vm".to_owned()),
            ("appname", "cap-syslog/busybox:local".to_owned()),
            ("timestamp", "2026-11-22T22:54:32Z".to_owned()),
        ]
    );
    let bytes = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/syslog/docker-rfc3164-tcp-tag-with-space.bin"
    ))
    .unwrap();
    let seen = Bench::new(&plan).stream(&bytes, 10);
    assert_eq!(seen.len(), 2);
    assert_eq!(
        seen[0].keys(),
        ["message", "facility", "severity", "hostname", "appname", "procid", "timestamp"]
    );
    assert_eq!((seen[0].get("hostname"), seen[0].get("appname")), (&b"vm"[..], &b"my tag"[..]));
}

#[test]
fn a_tag_with_blanks_and_no_host_is_whole_again() {
    let form = "docker {{.Name}} {{.ID}}";
    let plan = SyslogPlan { container_tags: vec![DockerTag::parse(form).unwrap()], ..plan() };
    let seen = Bench::new(&plan).datagram(b"<27>Nov 22 22:54:30 docker web 840771ea7ba9[7025]: x\n");
    assert_eq!(
        seen.keys(),
        ["log", "source", "container_id", "container_name", "facility", "severity", "appname", "timestamp"]
    );
    assert_eq!(seen.get("appname"), b"docker web 840771ea7ba9");
    assert_eq!((seen.get("container_name"), seen.get("container_id")), (&b"web"[..], &b"840771ea7ba9"[..]));
}

#[test]
fn other_messages_have_the_rfcs_names() {
    let mut bench = Bench::new(&SyslogPlan { source_address_key: Some("client".to_owned()), ..plan() });
    let seen = bench.datagram(
        b"<165>1 2026-11-22T22:54:29.003Z h app 12 ID47 [a@1 b=\"3\\\"\" c=\"\"][d] \xef\xbb\xbftext\n",
    );
    let expected: [(&str, &[u8]); 12] = [
        ("message", b"text"),
        ("facility", b"local4"),
        ("severity", b"notice"),
        ("hostname", b"h"),
        ("appname", b"app"),
        ("procid", b"12"),
        ("msgid", b"ID47"),
        ("a@1.b", b"3\""),
        ("a@1.c", b""),
        ("d", b""),
        ("timestamp", b"2026-11-22T22:54:29.003Z"),
        ("client", b"192.0.2.1"),
    ];
    assert_eq!(seen.fields, expected.map(|(key, value)| (key.to_owned(), value.to_vec())));
    assert_eq!(
        (seen.tag.as_str(), seen.time),
        ("syslog.local4", Timestamp::new(RECEIVED.seconds - 1, 3_000_000))
    );
    // Docker knows two severities; a program that looks like a container is none.
    assert_eq!(bench.datagram(b"<29>Nov 22 22:54:30 840771ea7ba9: x").keys()[0], "message");
    let seen = bench.datagram(b"<189>7: Nov 22 22:54:30: %A-1-B: x");
    assert_eq!((seen.get("sequence"), seen.get("appname")), (&b"7"[..], &b"%A-1-B"[..]));
    let seen = Bench::new(&SyslogPlan { tag: Some("net".to_owned()), ..plan() }).datagram(b"no header");
    assert_eq!((seen.tag.as_str(), seen.keys()), ("net", vec!["message", "facility", "severity"]));
}

#[test]
fn the_time_is_the_finer_one_and_keeps_the_order() {
    let late = Timestamp::new(RECEIVED.seconds - 30, 0);
    let fine = Timestamp::new(RECEIVED.seconds, 1_000);
    let lines = b"<13>Nov 22 22:54:30 a: 1\n<13>Nov 22 22:54:29 a: 2\n<13>Nov 22 22:54:00 a: late\n\
        <13>2026-11-22T22:54:30.000001Z h a: fine\nnothing\n";
    let times = |which: SyslogTime| -> Vec<Timestamp> {
        let seen = Bench::new(&SyslogPlan { time: which, ..plan() }).stream(lines, 1 << 20);
        seen.iter().map(|seen| seen.time).collect()
    };
    let next = |at: u32| Timestamp::new(RECEIVED.seconds, RECEIVED.nanos + at);
    assert_eq!(times(SyslogTime::Auto), [RECEIVED, next(1), late, fine, next(2)]);
    assert_eq!(times(SyslogTime::Received), [RECEIVED, next(1), next(2), next(3), next(4)]);
    let second = |back: i64| Timestamp::new(RECEIVED.seconds - back, 0);
    assert_eq!(times(SyslogTime::Header), [second(0), second(1), late, fine, RECEIVED]);
    let shanghai = SyslogPlan { time_zone: "Asia/Shanghai".to_owned(), ..plan() };
    let seen = Bench::new(&shanghai).datagram(b"<13>Nov 23 06:54:00 a: x");
    assert_eq!(seen.time, late);
    assert!(Syslog::new("in", &SyslogPlan { time_zone: "Mars/Base".to_owned(), ..plan() }).is_err());
    assert!(Syslog::new("in", &SyslogPlan { time_zone: "local".to_owned(), ..plan() }).is_ok());
}

#[test]
fn a_clock_that_was_set_back_is_believed() {
    let mut decoder = Syslog::new("in", &plan()).unwrap().decoder();
    assert_eq!(decoder.next_received(RECEIVED), RECEIVED);
    assert_eq!(decoder.next_received(Timestamp::new(RECEIVED.seconds, 1)).nanos, RECEIVED.nanos + 1);
    let back = Timestamp::new(RECEIVED.seconds - 60, 0);
    assert_eq!(decoder.next_received(back), back);
}

#[test]
fn datagrams_lose_what_is_only_framing() {
    let mut bench = Bench::new(&SyslogPlan { max_message: 20, ..plan() });
    for (datagram, message) in [
        (&b"<13>a: b\n"[..], &b"a: b"[..]),
        (b"<13>two\nlines\n\n", b"two\nlines\n"),
        (b"<13>nul\0\0", b"nul"),
        (b"<13>nul\0\n", b"nul\0"),
        (b"8 <13>text", b"text"),
        (b"9 <13>text\n", b"text"),
        (b"7 <13>text", b"7 <13>text"),
        (b"\xef\xbb\xbf<13>bom\r\n", b"bom\r"),
    ] {
        assert_eq!(bench.datagram(datagram).get("message"), message);
    }
    let seen = bench.datagram(b"<13>0123456789abcdefghij\n");
    assert_eq!((seen.get("message"), seen.get("__cut__")), (&b"0123456789abcdef"[..], &b"message"[..]));
    bench.batcher.store();
    bench.decoder.datagram(&bench.sender, 0..0, RECEIVED, &mut bench.batcher);
    assert!(bench.batcher.batch.is_empty(), "an empty datagram is nothing");
}

#[test]
fn a_cut_line_of_a_container_says_so() {
    let mut bench = Bench::new(&SyslogPlan { max_message: 40, ..plan() });
    let line = format!("<30>Nov 22 22:54:30 840771ea7ba9[7025]: {}\n<13>next\n", "x".repeat(100));
    let seen = bench.stream(line.as_bytes(), 7);
    assert_eq!(
        (seen[0].get("__cut__"), seen[0].get("source"), seen[1].get("message")),
        (&b"log"[..], &b"stdout"[..], &b"next"[..])
    );
}

/// Each parameter's key repeats its element's id: a message of 64 KiB could become 200 MiB.
#[test]
fn structured_data_does_not_become_many_times_its_size() {
    let mut bench = Bench::new(&plan());
    let id = "i".repeat(32 * limits::KIB);
    let params = "a=\"\" ".repeat(6_000);
    let text = format!("<30>1 2026-11-22T22:54:30Z host app 1 - [{id} {params}] text");
    let seen = bench.datagram(text.as_bytes());
    assert!(bench.batcher.batch.arena.len() < limits::MIB, "{}", bench.batcher.batch.arena.len());
    assert_eq!(seen.get("message"), b"text");
    let rest = seen.get("structured_data");
    assert!(rest.starts_with(b"a=\"\" a") && rest.ends_with(b"]"), "what is not taken is there");
    let text = "<30>1 2026-11-22T22:54:30Z host app 1 - [a@1 b=\"c\"][d] text";
    let seen = bench.datagram(text.as_bytes());
    assert_eq!((seen.get("a@1.b"), seen.keys().contains(&"d")), (&b"c"[..], true));
    assert!(!seen.keys().contains(&"structured_data"));
}
