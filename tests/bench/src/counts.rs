//! The parts of the gateway's hot path alone, for counting their instructions under callgrind (`counts.sh`).
//!
//! Only what happens inside [`framing`] and [`decode`] is counted: callgrind switches on at their door. Making the
//! bytes, and for decoding also finding the messages, stays outside.

use std::error::Error;

use sluicegate::{
    input::forward::{
        entries::{self, Settings},
        message::{self, Body, Frame},
        tally::Tally,
    },
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
    let found = match part {
        "framing" => places.len() as u64 * if mode == Mode::Packed { ENTRIES } else { 1 },
        "decode" => decode(reads(&bytes, places))?,
        _ => return Err("--part is framing or decode".into()),
    };
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

/// Opens every message and decodes its events into one batch per read.
#[inline(never)]
fn decode(reads: Vec<Read>) -> Result<u64, Box<dyn Error>> {
    let settings = Settings::new(Timestamp::new(1_700_000_000, 0));
    let mut batch = Batch::default();
    let mut tally = Tally::default();
    for read in reads {
        batch.clear();
        batch.frame = read.bytes.into();
        for Place { base, len, body_end } in read.messages {
            let Frame::Message(message) = message::open_with(&batch.frame[base..base + len], body_end)?
            else {
                continue;
            };
            batch.tag = Span::frame(base + message.tag.start, message.tag.len());
            match message.body {
                Body::Event(event) => entries::decode_event(&mut batch, base, &event, &settings, &mut tally),
                Body::Packed(blob) => {
                    let blob = base + blob.start..base + blob.end;
                    entries::decode_packed(&mut batch, blob, &settings, &mut tally);
                }
                other => return Err(format!("the load does not send {other:?}").into()),
            }
        }
    }
    Ok(tally.records)
}
