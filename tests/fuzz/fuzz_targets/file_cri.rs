//! Any bytes of a runtime's file come to an end, piece by piece, and a sound line behind them is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::input::file::cut::cri::{Next, next};
use sluicegate::input::follow::rfc3339::Times;

const SOUND: &[u8] = b"2026-11-22T23:03:07.5Z stdout F sound\n";

/// The sound lines found, and what is left waiting.
fn read(file: &[u8], ended: bool) -> (usize, usize) {
    let (mut times, mut at, mut sound) = (Times::default(), 0, 0);
    while at < file.len() {
        let end = match next(file, at, ended, &mut times) {
            Next::Line(line, end) => {
                assert!(at < line.text.start && line.text.start <= line.text.end && line.text.end <= end);
                assert!(line.time.is_some() || line.stream.is_some());
                sound += usize::from(&file[line.text] == b"sound" && line.is_full);
                end
            }
            Next::Malformed(text, end) => {
                assert!(at == text.start && text.start < text.end && text.end <= end);
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
    let (sound, left) = read(input, true);
    assert_eq!(left, 0);
    read(input, false);
    let mut file = input.to_vec();
    file.push(b'\n');
    file.extend_from_slice(SOUND);
    assert!(read(&file, false).0 > 0);
    // What stands behind a line takes nothing from the lines before.
    assert!(read(&file, true).0 > sound || input.last() != Some(&b'\n'));
});
