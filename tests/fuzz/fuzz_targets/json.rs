//! Any bytes are cut into JSON texts the same way however they arrive, and what a text becomes is one whole MessagePack
//! object that the decoder can open.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::input::forward::json::{Cut, Framer, transcode};
use sluicegate::input::forward::message;
use sluicegate::record::msgpack::{Limits, Scanner};

const LIMITS: Limits = Limits { message: 1 << 16, depth: 32, elements: 4_096 };

/// The cuts of a stream that arrives in pieces, as places in the whole stream; false at its end when it broke.
fn cuts(stream: &[u8], piece: usize) -> (Vec<Cut>, bool) {
    let mut framer = Framer::new(LIMITS);
    let (mut cuts, mut taken, mut seen) = (Vec::new(), 0, 0);
    while seen < stream.len() {
        seen = (seen + piece).min(stream.len());
        loop {
            match framer.scan(&stream[taken..seen]) {
                Ok(Some(cut)) => {
                    if cut.start < cut.end {
                        cuts.push(Cut { start: taken + cut.start, end: taken + cut.end });
                    }
                    taken += cut.end;
                }
                Ok(None) => break,
                Err(_) => return (cuts, false),
            }
        }
    }
    (cuts, true)
}

fuzz_target!(|input: &[u8]| {
    let (whole, sound) = cuts(input, input.len().max(1));
    assert_eq!(cuts(input, 1), (whole.clone(), sound));
    for cut in whole {
        let mut frame = Vec::new();
        if transcode(&input[cut.start..cut.end], LIMITS, &mut frame).is_ok() {
            let mut scanner = Scanner::new(Limits { message: usize::MAX >> 1, ..LIMITS });
            assert_eq!(scanner.scan(&frame), Ok(Some(frame.len())));
            let _ = message::open(&frame);
        }
    }
});
