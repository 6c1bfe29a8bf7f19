//! GELF as it was recorded, as libraries write it, and as nobody should.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::config::plan::{ConnectionsPlan, DatagramsPlan, JoinPlan, UnixPlan};
use crate::config::{self, Flags};
use crate::input::Intake;
use crate::input::budget::Budget;
use crate::journal::{Journal, Options};
use crate::pipeline::Pipeline;
use crate::pipeline::destinations::Destinations;
use crate::pipeline::route::Router;
use crate::pipeline::stream::{Identity, Origin};
use crate::pipeline::tidy::Tidy;

mod shapes;
mod stream;

const RECEIVED: Timestamp = Timestamp { seconds: 1_800_000_000, nanos: 7 };
/// With a fixed tag, so that all records stay in one batch.
const TAG: &str = "app";

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
            max_connections: 10,
            max_connections_per_peer: None,
            window: 1 << 20,
        },
        datagrams: DatagramsPlan { receive_buffer: 1 << 20 },
        max_message: 64 * 1024,
        chunk_timeout: Duration::from_secs(5),
        max_incomplete: 16,
        max_incomplete_bytes: 1 << 20,
        tag: Some(TAG.to_owned()),
        keep_command: false,
        source_address_key: None,
        join: JoinPlan { partial: true, timeout: Duration::from_secs(2), max_line: 1 << 20 },
    }
}

/// A decoder with the batch it fills.
struct Bench {
    decoder: GelfDecoder,
    batcher: Batcher,
    _journal: Journal,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(plan: &GelfPlan) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let env = [("HOME".to_owned(), "/home/u".to_owned())];
        let house = config::load(None, env.into_iter(), &Flags::default()).unwrap();
        let journal = Journal::open(Options::new(dir.path())).unwrap();
        let (destinations, _) = Destinations::new(&house, journal.clone());
        let identity = Identity { instance: "1".repeat(32), host: "host".to_owned(), source: None };
        let tidy = Tidy::new(house.time.out_of_range);
        let router = Router::new(&house);
        let pipeline = Pipeline::new(router, destinations, None, identity, tidy, journal.clone());
        let intake = Arc::new(Intake::new(Arc::new(pipeline), Budget::new(1 << 24)));
        let origin = Origin::new("gelf", "192.0.2.1");
        Bench {
            decoder: Gelf::new("gelf", plan).decoder(),
            batcher: Batcher::new(intake, origin, None),
            _journal: journal,
            _dir: dir,
        }
    }

    /// All datagrams as one round of receiving; gives the records.
    fn datagrams(&mut self, datagrams: &[Vec<u8>]) -> Vec<String> {
        self.batcher.open(Bytes::from(datagrams.concat()));
        let mut at = 0;
        for datagram in datagrams {
            let range = at..at + datagram.len();
            at = range.end;
            self.decoder.datagram(&sender(), range, RECEIVED, &mut self.batcher);
        }
        self.records()
    }

    fn datagram(&mut self, datagram: impl AsRef<[u8]>) -> Vec<String> {
        self.datagrams(&[datagram.as_ref().to_vec()])
    }

    /// The records gathered, one line each, and forgets them.
    fn records(&mut self) -> Vec<String> {
        let batch = &self.batcher.batch;
        let records = batch.records.iter().map(|record| {
            let mut line = format!(
                "{} {}.{:09}",
                String::from_utf8_lossy(batch.tag()),
                record.time.seconds,
                record.time.nanos
            );
            for field in batch.fields_of(record) {
                let (key, value) = (batch.bytes(field.key), batch.bytes(field.value));
                write!(line, " {}={}", key.escape_ascii(), String::from_utf8_lossy(value)).unwrap();
            }
            line
        });
        let records = records.collect();
        self.batcher.batch.clear();
        self.batcher.store();
        records
    }
}

fn sender() -> Sender {
    Sender { label: "192.0.2.1".into(), address: Some(SocketAddr::from(([192, 0, 2, 1], 40_000))) }
}

fn recorded(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/gelf/{name}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Each behind its length as 4 bytes, big end first.
fn recorded_datagrams(name: &str) -> Vec<Vec<u8>> {
    let bytes = recorded(name);
    let (mut rest, mut datagrams) = (bytes.as_slice(), Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (datagram, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        datagrams.push(datagram.to_vec());
        rest = behind;
    }
    datagrams
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn chunked(id: u64, text: &[u8], size: usize) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = text.chunks(size).collect();
    let head =
        |number: usize| [&chunks::MAGIC[..], &id.to_be_bytes(), &[number as u8, parts.len() as u8]].concat();
    parts.iter().enumerate().map(|(number, part)| [&head(number), *part].concat()).collect()
}
