//! Any bytes are a PROXY header, its beginning or none, in one verdict however they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::input::listener::proxy::{Parsed, parse};

fuzz_target!(|input: &[u8]| {
    let whole = parse(input);
    let pieces = (0..=input.len()).map(|end| parse(&input[..end])).find(|parsed| *parsed != Parsed::Partial);
    assert_eq!(pieces.unwrap_or(Parsed::Partial), whole);
    if let Parsed::Done { len, .. } = whole {
        assert!(len <= input.len());
    }
});
