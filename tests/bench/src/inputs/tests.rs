//! The feeder against recorders: what it sends is what it built.

use std::{
    io::{Read, Write},
    net::{TcpListener, UdpSocket},
    thread,
};

use super::{feed::*, kind::Kind};
use crate::{http, records};

fn feed(kind: Kind, to: Target) -> Feed {
    Feed { kind, to, records: 1_001, connections: 1, seed: 1, batch: 100, rate: 20_000 }
}

#[test]
fn flags_are_read_back() {
    for kind in Kind::ALL {
        for to in [Target::Address(([127, 0, 0, 1], 9).into()), Target::Path("/run/x.sock".into())] {
            let feed = feed(kind, to);
            let back = Feed::read(feed.flags().into_iter()).unwrap();
            assert_eq!((back.kind, back.to, back.records, back.rate), (feed.kind, feed.to, 1_001, 20_000));
        }
    }
}

#[test]
fn lines_arrive_on_connections() {
    for (kind, end) in [(Kind::SyslogTcp, b'\n'), (Kind::GelfTcp, 0)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let feed = feed(kind, Target::Address(listener.local_addr().unwrap()));
        let recorder = thread::spawn(move || {
            let mut bytes = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
            bytes
        });
        drop(send(&feed, open(&feed).unwrap()).unwrap());
        let bytes = recorder.join().unwrap();
        assert_eq!(bytes.split(|byte| *byte == end).count(), 1_002, "{kind:?}");
    }
}

#[test]
fn requests_wait_for_their_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let feed = feed(Kind::Splunk, Target::Address(listener.local_addr().unwrap()));
    let recorder = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let (mut reader, mut events) = (http::Reader::new(&socket), 0);
        while let Some(head) = reader.head().unwrap() {
            let mut body = Vec::new();
            reader.body(head.content_length().unwrap(), &mut body).unwrap();
            events += body.windows(9).filter(|part| part == b"{\"event\":").count();
            (&socket).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        }
        events
    });
    drop(send(&feed, open(&feed).unwrap()).unwrap());
    assert_eq!(recorder.join().unwrap(), 1_001);
}

#[test]
fn datagrams_are_gzip() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let feed = feed(Kind::GelfUdp, Target::Address(socket.local_addr().unwrap()));
    let feeder = thread::spawn(move || drop(send(&feed, open(&feed).unwrap()).unwrap()));
    let mut datagram = [0; 2_000];
    let len = socket.recv(&mut datagram).unwrap();
    let mut text = String::new();
    flate2::bufread::GzDecoder::new(&datagram[..len]).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("{\"version\":\"1.1\",") && text.ends_with("\"}"), "{text}");
    feeder.join().unwrap();
}

#[test]
fn files_lie_as_the_engine_has_them() {
    let root = std::env::temp_dir().join(format!("bench-files-{}", std::process::id()));
    let feed = feed(Kind::JsonFile, Target::Path(root.clone()));
    drop(send(&feed, open(&feed).unwrap()).unwrap());
    let dir = std::fs::read_dir(root.join("containers")).unwrap().next().unwrap().unwrap();
    let id = dir.file_name().into_string().unwrap();
    let log = std::fs::read(dir.path().join(format!("{id}-json.log"))).unwrap();
    let numbers = log.split(|byte| *byte == b'\n').filter_map(|line| {
        let text = line.split(|byte| *byte == b'"').nth(3)?;
        records::number_of(text.strip_suffix(b"\\n")?)
    });
    assert!(numbers.eq(0..1_001));
    assert!(dir.path().join("config.v2.json").is_file());
    std::fs::remove_dir_all(root).unwrap();
}
