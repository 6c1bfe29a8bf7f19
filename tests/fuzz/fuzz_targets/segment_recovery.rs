//! Whatever a segment file holds, a start over it ends, invents nothing large, and leaves an intact neighbour alone.
//!
//! The input is a segment as it is on the disk (number 1, generation 1, salt 0), alone and behind itself. Checksums
//! stop most changes at the door, so each input is also tried with those of its frames put right. The seeds in
//! `seeds/segment_recovery` are segments a journal wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::journal::{mend, survey};

fuzz_target!(|input: &[u8]| {
    let alone = survey(&[input]);
    let twice = survey(&[input, input]);
    // Each entry takes some bytes of its frame.
    assert!(alone <= input.len() && twice <= 2 * input.len());
    let mended = mend(input);
    assert!(survey(&[&mended]) <= mended.len());
    survey(&[input, &mended]);
});
