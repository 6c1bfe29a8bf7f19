//! Any bytes of a file of the local driver come to an end, and the entries behind damage are found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::input::docker::local_entries::{Next, next};
use sluicegate::wire::log_entry::LogEntry;

/// The texts found, and what is left waiting.
fn read(file: &[u8], ended: bool) -> (Vec<&[u8]>, usize) {
    let (mut texts, mut at) = (Vec::new(), 0);
    while at < file.len() {
        match next(&file[at..], ended) {
            Next::Entry(entry, taken) => {
                texts.push(entry.line);
                at += taken;
            }
            Next::Damaged(len) => {
                assert!(len > 0);
                at += len;
            }
            Next::Wait => break,
        }
        assert!(at <= file.len());
    }
    (texts, file.len() - at)
}

fuzz_target!(|input: &[u8]| {
    assert_eq!(read(input, true).1, 0);
    let mut entry = Vec::new();
    LogEntry { source: b"stdout", time_nano: 1, line: input, ..LogEntry::default() }.append(&mut entry);
    let length = (entry.len() as u32).to_be_bytes();
    let framed = [length.as_slice(), &entry, &length].concat();
    let twice = [framed.as_slice(), &framed].concat();
    assert_eq!(read(&twice, false), (vec![input, input], 0));
    // Damage may swallow what comes behind it, but not for longer than an entry can be.
    let damaged = [input, &framed].concat();
    read(&damaged, false);
});
