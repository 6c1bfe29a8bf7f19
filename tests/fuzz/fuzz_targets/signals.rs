//! Any bytes are read as metrics and as traces into batches whose spans are all sound, in one step or in many. The first
//! byte tells the signal and the shape.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluicegate::input::forward::entries::Settings;
use sluicegate::input::forward::signal::{Payload, Shape};
use sluicegate::input::forward::tally::Tally;
use sluicegate::record::{Batch, Timestamp};

type Fields = Vec<(Timestamp, Vec<(Vec<u8>, Vec<u8>)>)>;

fn decode(frame: &Bytes, number: i64, shape: Shape, at_most: usize) -> (Fields, Tally) {
    let mut batch = Batch { frame: frame.clone(), ..Batch::default() };
    let (mut found, mut tally) = (Vec::new(), Tally::default());
    let Ok(mut payload) = Payload::open(number, shape, 0..frame.len()) else { return (found, tally) };
    loop {
        let more = payload.step(&mut batch, &Settings::new(Timestamp::default()), &mut tally, at_most);
        for record in &batch.records {
            let fields = batch.fields_of(record).iter();
            let fields =
                fields.map(|field| (batch.bytes(field.key).to_vec(), batch.bytes(field.value).to_vec()));
            found.push((record.time, fields.collect()));
        }
        batch.clear_records();
        if !more {
            return (found, tally);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let frame = Bytes::copy_from_slice(rest);
    let number = i64::from(first % 5);
    let shape = [Shape::Packed, Shape::Entries, Shape::Event][usize::from(first / 5 % 3)];
    assert_eq!(decode(&frame, number, shape, usize::MAX), decode(&frame, number, shape, 1));
});
