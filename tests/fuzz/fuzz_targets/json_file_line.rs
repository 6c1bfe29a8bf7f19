//! Any bytes of a json-file come to an end, piece by piece, and what is in sound lines among them is found however the file
//! is damaged.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sluicegate::input::docker::json_lines::{Next, next};
use sluicegate::input::follow::rfc3339::Times;
use sluicegate::record::Batch;

const SOUND: &[u8] = b"{\"log\":\"sound\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-22T23:03:07.5Z\"}\n";

/// The sound lines found, and what is left waiting.
fn read(file: &[u8], ended: bool) -> (usize, usize) {
    let mut batch = Batch { frame: Bytes::copy_from_slice(file), ..Batch::default() };
    let (mut times, mut at, mut sound) = (Times::default(), 0, 0);
    while at < file.len() {
        let end = match next(&mut batch, file, &mut times, at, ended) {
            Next::Line(line, end) => {
                // Control bytes are escaped in what is said to be JSON.
                assert!(batch.bytes(line.attrs).len() <= 6 * file.len());
                sound += usize::from(batch.bytes(line.text) == b"sound" && line.ends);
                end
            }
            Next::Malformed(text, end) => {
                assert!(!batch.bytes(text).is_empty());
                end
            }
            Next::Nothing(end) => end,
            Next::Wait => break,
        };
        assert!(at < end && end <= file.len());
        at = end;
    }
    (sound, file.len() - at)
}

fuzz_target!(|input: &[u8]| {
    assert_eq!(read(input, true).1, 0);
    let (before, _) = read(input, false);
    let (after, left) = read(&[input, b"\n", SOUND, SOUND].concat(), false);
    assert!(after >= before.max(1) && left == 0);
});
