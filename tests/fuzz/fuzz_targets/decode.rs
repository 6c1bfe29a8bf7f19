//! Any complete frame decodes into a batch whose spans are all sound, in one step or in many.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluicegate::input::forward::entries::{Entries, Settings, decode_event};
use sluicegate::input::forward::message::{Body, Frame, open, open_with};
use sluicegate::input::forward::tally::Tally;
use sluicegate::record::msgpack::{Limits, Scanner};
use sluicegate::record::{Batch, Timestamp};

type Fields = Vec<(Timestamp, Vec<(Vec<u8>, Vec<u8>)>)>;

fn records(batch: &Batch) -> Fields {
    let fields = |record| {
        let fields = batch.fields_of(record).iter();
        fields.map(|field| (batch.bytes(field.key).to_vec(), batch.bytes(field.value).to_vec())).collect()
    };
    batch.records.iter().map(|record| (record.time, fields(record))).collect()
}

fn decode(frame: &Bytes, mut entries: Entries, at_most: usize) -> (Fields, Tally) {
    let mut batch = Batch { frame: frame.clone(), ..Batch::default() };
    let (mut found, mut tally) = (Vec::new(), Tally::default());
    loop {
        let more = entries.step(&mut batch, &Settings::new(Timestamp::default()), &mut tally, at_most);
        found.extend(records(&batch));
        batch.arena.clear();
        batch.fields.clear();
        batch.records.clear();
        if !more {
            return (found, tally);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let frame = Bytes::copy_from_slice(input);
    assert_eq!(
        decode(&frame, Entries::packed(0..frame.len()), usize::MAX),
        decode(&frame, Entries::packed(0..frame.len()), 1),
    );
    let mut scanner = Scanner::new(Limits::default());
    let Ok(Some(length)) = scanner.scan(&frame) else { return };
    let frame = frame.slice(..length);
    let opened = open_with(&frame, scanner.body_end());
    assert_eq!(opened, open(&frame));
    let Ok(Frame::Message(message)) = opened else { return };
    let mut batch = Batch { frame: frame.clone(), ..Batch::default() };
    let (settings, mut tally) = (Settings::new(Timestamp::default()), Tally::default());
    match &message.body {
        Body::Event(event) => decode_event(&mut batch, 0, event, &settings, &mut tally),
        Body::Entries(place) => {
            let entries = Entries::array(&batch.frame, place.clone());
            assert_eq!(decode(&frame, entries.clone(), usize::MAX), decode(&frame, entries, 2));
        }
        Body::Packed(place) => {
            decode(&frame, Entries::packed(place.clone()), usize::MAX);
        }
        Body::Dropped(_) => {}
    }
    records(&batch);
});
