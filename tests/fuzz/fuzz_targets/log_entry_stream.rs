//! Whatever lies in a container's FIFO is cut without a hang, and every entry that is found can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::input::docker_plugin::frames::{Frames, Next};
use sluicegate::wire::log_entry::{LogEntry, MAX_ENTRY};

fuzz_target!(|input: &[u8]| {
    let mut frames = Frames::new(input, MAX_ENTRY);
    let mut written = Vec::new();
    loop {
        let before = frames.at();
        match frames.step() {
            Next::Entry(range, entry) => {
                assert!(entry.is_docker());
                assert_eq!(LogEntry::read(&input[range]), Ok(entry));
                written.clear();
                entry.append(&mut written);
                let again = LogEntry::read(&written).unwrap();
                assert_eq!(
                    (again.source, again.time_nano, again.line),
                    (entry.source, entry.time_nano, entry.line)
                );
                assert!(again.attrs.iter().eq(entry.attrs.iter()));
            }
            Next::Skipped(bytes) => assert!(bytes > 0 && frames.at() == before + bytes),
            Next::More => break,
        }
    }
    let at = frames.at();
    assert!(at <= input.len() && frames.step() == Next::More && frames.at() == at);
    let _ = LogEntry::read(input);
});
