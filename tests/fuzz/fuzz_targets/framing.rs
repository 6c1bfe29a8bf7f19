//! A stream gives the same frames, and the same error, however it is cut into reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::record::msgpack::{Limits, ScanError, Scanner};

type Frames = (Vec<(usize, usize)>, Option<ScanError>);

fn frames(stream: &[u8], cuts: impl Iterator<Item = usize>) -> Frames {
    let limits = Limits { message: 4096, depth: 16, elements: 1024 };
    let (mut scanner, mut found, mut start) = (Scanner::new(limits), Vec::new(), 0);
    for end in cuts {
        loop {
            match scanner.scan(&stream[start..end]) {
                Ok(Some(length)) => {
                    assert!(length > 0 && start + length <= end && length <= limits.message);
                    found.push((length, scanner.body_end()));
                    start += length;
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

// The first bytes are the lengths of the reads, used in turn; the rest is the stream.
fuzz_target!(|input: &[u8]| {
    let Some((reads, stream)) = input.split_at_checked(4) else { return };
    let mut end = 0;
    let cuts = reads.iter().cycle().map_while(|read| {
        let before = end;
        end = (end + usize::from(*read) + 1).min(stream.len());
        (before < stream.len()).then_some(end)
    });
    let once = frames(stream, std::iter::once(stream.len()));
    assert_eq!(once, frames(stream, cuts));
    assert_eq!(once, frames(stream, 1..=stream.len()));
});
