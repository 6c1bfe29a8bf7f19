//! The parts of the gateway's hot path alone, for counting their instructions under callgrind (`counts.sh`).
//!
//! Only what happens inside [`framing`], [`decode`] and [`encode`] is counted: callgrind switches on at their door. Making
//! the bytes, and what comes before a part, stays outside.

use std::error::Error;

use sluicegate::{
    config::plan::OutOfRange,
    input::forward::{
        entries::{self, Settings},
        message::{self, Body, Frame},
        tally::Tally,
    },
    pipeline::{encode, tidy::Tidy},
    record::{
        Batch, Span, Timestamp,
        msgpack::{Limits, ScanError, Scanner},
    },
};

use crate::{
    msgpack::{self, Mode},
    records::Stream,
};

/// One read of a busy connection; a message larger than that is a read of its own.
const READ_BYTES: usize = 64 * 1024;
const ENTRIES: u64 = 1_000;

/// Messages that are decoded into one batch.
#[derive(Default)]
struct Read {
    bytes: Vec<u8>,
    messages: Vec<Place>,
}

/// Where a message starts in its read, its length, and where its body ends in it.
struct Place {
    base: usize,
    len: usize,
    body_end: usize,
}

/// The subcommand: does one part and prints how many records it did it to.
pub fn main(part: &str, mode: Mode, records: u64) -> Result<(), Box<dyn Error>> {
    let mut stream = Stream::all(records, 1, 1, 1_700_000_000).remove(0);
    let bytes = msgpack::build(&mut stream, 0, mode, false, ENTRIES).bytes;
    let places = framing(&bytes)?;
    if part == "framing" {
        let found = places.len() as u64 * if mode == Mode::Packed { ENTRIES } else { 1 };
        return report(found, records);
    }
    let tidy = Tidy::new(OutOfRange::Keep);
    let (mut batch, mut logs, mut found) = (Batch::default(), Vec::new(), 0);
    for read in reads(&bytes, places) {
        decode(&mut batch, read)?;
        found += batch.records.len() as u64;
        if part == "encode" {
            encode(&tidy, &mut batch, &mut logs);
        }
    }
    report(found, records)
}

fn report(found: u64, records: u64) -> Result<(), Box<dyn Error>> {
    if found != records {
        return Err(
            format!("{found} records came out of {records}; packed counts want whole thousands").into()
        );
    }
    println!("records {records}");
    Ok(())
}

/// Finds the end of every message.
#[inline(never)]
fn framing(mut bytes: &[u8]) -> Result<Vec<Place>, ScanError> {
    let mut scanner = Scanner::new(Limits::default());
    let mut places = Vec::new();
    let mut base = 0;
    while let Some(len) = scanner.scan(bytes)? {
        places.push(Place { base, len, body_end: scanner.body_end() });
        base += len;
        bytes = &bytes[len..];
    }
    Ok(places)
}

/// Groups messages as reads bring them.
fn reads(bytes: &[u8], places: Vec<Place>) -> Vec<Read> {
    let mut reads: Vec<Read> = Vec::new();
    for mut place in places {
        let message = &bytes[place.base..place.base + place.len];
        if reads.last().is_none_or(|read| read.bytes.len() + place.len > READ_BYTES) {
            reads.push(Read::default());
        }
        if let Some(read) = reads.last_mut() {
            place.base = read.bytes.len();
            read.bytes.extend_from_slice(message);
            read.messages.push(place);
        }
    }
    reads
}

/// Opens every message of a read and decodes its events into the batch.
#[inline(never)]
fn decode(batch: &mut Batch, read: Read) -> Result<(), Box<dyn Error>> {
    let settings = Settings::new(Timestamp::new(1_700_000_000, 0));
    let mut tally = Tally::default();
    batch.clear();
    batch.frame = read.bytes.into();
    for Place { base, len, body_end } in read.messages {
        let Frame::Message(message) = message::open_with(&batch.frame[base..base + len], body_end)? else {
            continue;
        };
        batch.tag = Span::frame(base + message.tag.start, message.tag.len());
        match message.body {
            Body::Event(event) => entries::decode_event(batch, base, &event, &settings, &mut tally),
            Body::Packed(blob) => {
                let blob = base + blob.start..base + blob.end;
                entries::decode_packed(batch, blob, &settings, &mut tally);
            }
            other => return Err(format!("the load does not send {other:?}").into()),
        }
    }
    Ok(())
}

/// Checks every record and writes it as a Log, behind the others.
#[inline(never)]
fn encode(tidy: &Tidy, batch: &mut Batch, logs: &mut Vec<u8>) {
    logs.clear();
    let now = Timestamp::new(1_700_000_000, 0);
    for at in 0..batch.records.len() {
        let (seconds, nanos) = tidy.time(batch, at, now);
        tidy.fields(batch, at);
        let record = &batch.records[at];
        let measured = encode::measure(batch, record, seconds);
        encode::write(logs, batch, record, &measured, nanos);
    }
}
