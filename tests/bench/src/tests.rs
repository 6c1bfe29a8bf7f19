//! Load and sink against each other and against a recorder that reads MessagePack its own way.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    http,
    load::{self, Load},
    loggroup, msgpack,
    msgpack::Mode,
    records::{Line, Stream, number_of},
    sink,
};

/// A MessagePack value, as far as the load uses them.
#[derive(Debug)]
pub enum Value {
    Bytes(Vec<u8>),
    Number(u64),
    Time(u32, u32),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

impl Value {
    pub fn bytes(&self) -> &[u8] {
        let Value::Bytes(bytes) = self else { panic!("not bytes: {self:?}") };
        bytes
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(pairs) = self else { panic!("not a map: {self:?}") };
        pairs.iter().find(|(name, _)| name.bytes() == key.as_bytes()).map(|(_, value)| value)
    }
}

/// Reads one value; `None` at the end of the bytes.
pub fn value(from: &mut impl Read) -> Option<Value> {
    let mut marker = [0];
    from.read_exact(&mut marker).ok()?;
    let mut take = |len: usize| {
        let mut bytes = vec![0; len];
        from.read_exact(&mut bytes).unwrap();
        bytes
    };
    let number = |bytes: Vec<u8>| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some(match marker[0] {
        tiny @ 0x00..=0x7f => Value::Number(u64::from(tiny)),
        0xce => Value::Number(number(take(4))),
        0xcf => Value::Number(number(take(8))),
        short @ 0xa0..=0xbf => Value::Bytes(take(usize::from(short & 31))),
        0xd9 => {
            let len = number(take(1));
            Value::Bytes(take(len as usize))
        }
        0xda => {
            let len = number(take(2));
            Value::Bytes(take(len as usize))
        }
        0xc6 => {
            let len = number(take(4));
            Value::Bytes(take(len as usize))
        }
        0xd7 => {
            assert_eq!(take(1), [0], "EventTime is extension type 0");
            Value::Time(number(take(4)) as u32, number(take(4)) as u32)
        }
        array @ 0x90..=0x9f => Value::Array((0..array & 15).map(|_| value(from).unwrap()).collect()),
        map @ 0x80..=0x8f => {
            Value::Map((0..map & 15).map(|_| (value(from).unwrap(), value(from).unwrap())).collect())
        }
        other => panic!("the load does not write {other:#x}"),
    })
}

/// The numbers of a message's records, and its chunk id.
fn open(message: &Value) -> (Vec<u64>, Option<Vec<u8>>) {
    let Value::Array(parts) = message else { panic!("not an array: {message:?}") };
    assert_eq!(parts[0].bytes().len(), 12, "tag");
    let record = |time: &Value, record: &Value| {
        assert!(
            matches!(time, Value::Time(seconds, nanos) if *seconds > 1_600_000_000 && *nanos < 1_000_000_000)
        );
        assert_eq!(record.get("container_id").unwrap().bytes().len(), 64);
        assert!(record.get("container_name").unwrap().bytes().starts_with(b"/"));
        assert!(record.get("source").unwrap().bytes().starts_with(b"std"));
        number_of(record.get("log").unwrap().bytes()).unwrap()
    };
    let numbers = match parts.as_slice() {
        [_, time @ Value::Time(..), map, _] => vec![record(time, map)],
        [_, Value::Bytes(blob), option] => {
            let mut blob = blob.as_slice();
            let mut numbers = Vec::new();
            while let Some(Value::Array(entry)) = value(&mut blob) {
                numbers.push(record(&entry[0], &entry[1]));
            }
            assert!(matches!(option.get("size"), Some(Value::Number(size)) if *size == numbers.len() as u64));
            numbers
        }
        other => panic!("no mode of the load: {other:?}"),
    };
    let chunk = parts[parts.len() - 1].get("chunk").map(|id| id.bytes().to_vec());
    (numbers, chunk)
}

/// Accepts connections, acknowledges every chunk, and gives the numbers of all records once the connections are closed.
fn recorder(connections: u64) -> (SocketAddr, JoinHandle<Vec<u64>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |socket: TcpStream| {
        let mut reader = std::io::BufReader::new(&socket);
        let mut all = Vec::new();
        while let Some(message) = value(&mut reader) {
            let (numbers, chunk) = open(&message);
            all.extend(numbers);
            if let Some(id) = chunk {
                (&socket).write_all(&msgpack::ack(&id.try_into().unwrap())).unwrap();
            }
        }
        all
    };
    let recorded = thread::spawn(move || {
        let threads: Vec<_> = (0..connections)
            .map(|_| {
                let socket = listener.accept().unwrap().0;
                thread::spawn(move || serve(socket))
            })
            .collect();
        threads.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    (address, recorded)
}

fn run(mode: Mode, acks: bool, window: usize, burst: usize) {
    let (to, recorded) = recorder(4);
    let load = Load { to, mode, acks, records: 5_003, connections: 4, seed: 3, entries: 100, window, burst };
    let prepared = load::prepare(&load, 1_700_000_000).unwrap();
    let (outcome, sockets) = load::send(&load, prepared).unwrap();
    drop(sockets);
    let mut numbers = recorded.join().unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..5_003).collect::<Vec<_>>());
    let messages = if mode == Mode::Message { 5_003 } else { 4 * 13 };
    assert_eq!(outcome.messages, messages);
    assert_eq!(outcome.latencies.len() as u64, if acks { messages } else { 0 });
    let bytes = outcome.bytes / 5_003;
    assert!((325..395).contains(&bytes), "{bytes} bytes a record");
}

#[test]
fn every_mode_arrives_whole_and_every_ack_is_read() {
    for mode in [Mode::Packed, Mode::Message] {
        for (acks, window, burst) in
            [(false, 8, 1), (false, 8, 64), (true, 1, 64), (true, 8, 1), (true, 256, 64)]
        {
            run(mode, acks, window, burst);
        }
    }
}

#[test]
fn a_wrong_ack_and_a_lost_connection_are_errors() {
    for answer in [msgpack::ack(&msgpack::chunk_id(9, 9)).to_vec(), Vec::new()] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = listener.local_addr().unwrap();
        let peer = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            assert!(value(&mut socket).is_some());
            socket.write_all(&answer).unwrap();
        });
        let load = Load {
            to,
            mode: Mode::Message,
            acks: true,
            records: 1_000,
            connections: 1,
            seed: 3,
            entries: 1,
            window: 64,
            burst: 16,
        };
        let prepared = load::prepare(&load, 1_700_000_000).unwrap();
        assert!(load::send(&load, prepared).is_err());
        peer.join().unwrap();
    }
}

#[test]
fn chunk_ids_differ() {
    let ids: std::collections::HashSet<_> = (0..4)
        .flat_map(|connection| (0..10_000).map(move |index| msgpack::chunk_id(connection, index)))
        .collect();
    assert_eq!(ids.len(), 40_000);
}

#[test]
fn the_sink_counts_what_it_was_sent() {
    let port = sink::start(true).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut group = Vec::new();
    let mut line = Line::default();
    let mut stream = Stream::all(500, 1, 1, 1_700_000_000).remove(0);
    while stream.advance(&mut line) {
        loggroup::append(&mut group, &stream, &line);
    }
    let packed = lz4_flex::block::compress(&group);
    let mut socket = TcpStream::connect(address).unwrap();
    for (body, compression) in [(&packed, "x-log-compresstype: lz4\r\n"), (&group, ""), (&packed, "")] {
        let head = format!(
            "POST /logstores/l/shards/lb HTTP/1.1\r\nHost: p\r\nContent-Length: {}\r\nx-log-bodyrawsize: {}\r\n{compression}\r\n",
            body.len(),
            group.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body).unwrap();
        let head = http::Reader::new(&socket).head().unwrap().unwrap();
        assert_eq!(head.start_line(), "HTTP/1.1 200 OK");
        assert_eq!(head.header("X-Log-RequestId").unwrap().len(), 24);
        assert!(head.header("date").is_some());
    }
    let (_, stats) = http::get(address, "/stats", Duration::from_secs(5)).unwrap();
    assert!(stats.starts_with(&format!("requests 3\nbytes {}\n", 2 * packed.len() + group.len())), "{stats}");
    let (_, count) = http::get(address, "/count", Duration::from_secs(5)).unwrap();
    assert!(count.starts_with("records 1000\nunique 500\ntwice 500\nstrange 0\nbroken 1\n"), "{count}");
}
