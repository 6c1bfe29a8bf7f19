//! Any datagrams, in chunks and packed or not, become records whose spans are all sound, and what waits stays in its bounds;
//! a connection gives the same records however it is read. The first byte tells which of the two.
#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluicegate::config::plan::{ConnectionsPlan, DatagramsPlan, GelfPlan, JoinPlan, UnixPlan};
use sluicegate::config::{self, Flags};
use sluicegate::input::Intake;
use sluicegate::input::batcher::Batcher;
use sluicegate::input::budget::Budget;
use sluicegate::input::gelf::Gelf;
use sluicegate::input::oneway::{Decoder, Protocol, Sender};
use sluicegate::journal::{Journal, Options};
use sluicegate::pipeline::Pipeline;
use sluicegate::pipeline::destinations::Destinations;
use sluicegate::pipeline::route::Router;
use sluicegate::pipeline::stream::{Identity, Origin};
use sluicegate::pipeline::tidy::Tidy;
use sluicegate::record::Timestamp;

const MESSAGE: usize = 4 * 1024;
/// Few enough that nothing of it is ever stored: all of one input is one batch.
const DATAGRAMS: usize = 100;

type Fields = Vec<(Timestamp, Vec<(Vec<u8>, Vec<u8>)>)>;

fn plan() -> GelfPlan {
    GelfPlan {
        listen: Vec::new(),
        connections: ConnectionsPlan {
            unix: UnixPlan { mode: 0o600, user: None, group: None },
            tls: None,
            proxy_protocol: Vec::new(),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: None,
            stall_timeout: Duration::from_secs(60),
            max_connections: 1,
            max_connections_per_peer: None,
            window: 1 << 20,
        },
        datagrams: DatagramsPlan { receive_buffer: 1 << 20 },
        max_message: MESSAGE,
        chunk_timeout: Duration::from_secs(5),
        max_incomplete: 4,
        max_incomplete_bytes: 1_000,
        tag: Some("gelf".to_owned()),
        keep_command: true,
        source_address_key: Some("peer".to_owned()),
        join: JoinPlan { partial: false, timeout: Duration::from_secs(1), max_line: 1 << 20 },
    }
}

fn batcher() -> Batcher {
    static INTAKE: OnceLock<Arc<Intake>> = OnceLock::new();
    let intake = INTAKE.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("sluicegate-fuzz-gelf-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let env = [("HOME".to_owned(), "/home/u".to_owned())];
        let plan = config::load(None, env.into_iter(), &Flags::default()).unwrap();
        let journal = Journal::open(Options::new(dir)).unwrap();
        let (destinations, _) = Destinations::new(&plan, journal.clone());
        let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
        let tidy = Tidy::new(plan.time.out_of_range);
        let pipeline = Pipeline::new(Router::new(&plan), destinations, None, identity, tidy, journal);
        Arc::new(Intake::new(Arc::new(pipeline), Budget::new(1 << 20)))
    });
    Batcher::new(intake.clone(), Origin::new("gelf", "192.0.2.1"), None)
}

fn sender(port: u8) -> Sender {
    let address = SocketAddr::from(([192, 0, 2, port % 3], u16::from(port)));
    Sender { label: "192.0.2.1".into(), address: Some(address) }
}

fn take(batcher: &mut Batcher) -> Fields {
    let batch = &batcher.batch;
    let fields = |record| {
        let fields = batch.fields_of(record).iter();
        fields.map(|field| (batch.bytes(field.key).to_vec(), batch.bytes(field.value).to_vec())).collect()
    };
    let found = batch.records.iter().map(|record| (record.time, fields(record))).collect();
    batcher.batch.clear();
    batcher.store();
    found
}

/// A zlib stream of one stored block, which a fuzzer would not find.
fn packed(text: &[u8]) -> Vec<u8> {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in text {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    let len = text.len() as u16;
    let block = [&[0x78, 0x01, 0x01][..], &len.to_le_bytes(), &(!len).to_le_bytes()].concat();
    [&block, text, &(b << 16 | a).to_be_bytes()].concat()
}

/// Each datagram: how it is made, its sender, its length, its bytes.
fn datagrams(mut rest: &[u8]) {
    let mut decoder = Gelf::new("gelf", &plan()).decoder();
    let mut batcher = batcher();
    let mut now = Instant::now();
    for _ in 0..DATAGRAMS {
        let [how, from, len, behind @ ..] = rest else { break };
        let (body, behind) = behind.split_at(usize::from(*len).min(behind.len()));
        rest = behind;
        let chunk = |body: &[u8]| {
            let (head, part) = body.split_at(body.len().min(3));
            let mut datagram = vec![0x1e, 0x0f, 0, 0, 0, 0, 0, 0, 0];
            datagram.extend_from_slice(head);
            datagram.extend_from_slice(part);
            datagram
        };
        let datagram = match how % 6 {
            0 | 1 => body.to_vec(),
            2 => packed(body),
            3 => chunk(body),
            4 => chunk(&[&body[..body.len().min(3)], &packed(&body[body.len().min(3)..])[..]].concat()),
            _ => {
                now += Duration::from_secs(u64::from(*from));
                decoder.tick(now);
                continue;
            }
        };
        let len = datagram.len();
        // The frame of the records before is theirs no more, as if each came alone.
        take(&mut batcher);
        batcher.open(Bytes::from(datagram));
        decoder.datagram(&sender(*from), 0..len, Timestamp::default(), &mut batcher);
        assert!(batcher.batch.arena.len() < 64 * 1024);
    }
    take(&mut batcher);
}

fn connection(bytes: &[u8], step: usize) -> Option<Fields> {
    let mut decoder = Gelf::new("gelf", &plan()).decoder();
    let (mut batcher, mut found) = (batcher(), Fields::new());
    let (mut unread, mut messages) = (Vec::new(), Vec::new());
    let reads = bytes.chunks(step).map(|read| (read, false));
    for (read, ended) in reads.chain([(&b""[..], true)]) {
        unread.extend_from_slice(read);
        let done = decoder.cut(&unread, ended, &mut messages).ok()?;
        batcher.open(Bytes::copy_from_slice(&unread[..done]));
        for message in messages.drain(..) {
            decoder.message(&sender(1), &message, Timestamp::default(), &mut batcher);
        }
        found.extend(take(&mut batcher));
        unread.drain(..done);
    }
    assert!(unread.is_empty());
    Some(found)
}

fuzz_target!(|input: &[u8]| {
    match input {
        [0, step, bytes @ ..] if bytes.len() < 16 * 1024 => {
            let whole = connection(bytes, usize::MAX);
            assert_eq!(connection(bytes, usize::from(*step).max(1)), whole);
        }
        [_, rest @ ..] => datagrams(rest),
        [] => {}
    }
});
