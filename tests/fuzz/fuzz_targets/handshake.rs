//! Any bytes are a handshake message, its beginning or none, in one verdict however they are cut; none opens the gateway.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use sluicegate::input::forward::handshake::digest::key_digest;
use sluicegate::input::forward::handshake::message::{Helo, MESSAGE_BYTES, Parsed, Ping, Pong};

fn check<T: PartialEq + Debug>(bytes: &[u8], parse: impl Fn(&[u8]) -> Parsed<T>) -> Option<T> {
    let whole = parse(bytes);
    let pieces = (0..=bytes.len()).map(|end| parse(&bytes[..end])).find(|parsed| *parsed != Parsed::Partial);
    assert_eq!(pieces.unwrap_or(Parsed::Partial), whole);
    match whole {
        Parsed::Done(message, length) => {
            assert!(length <= bytes.len() && length <= MESSAGE_BYTES);
            Some(message)
        }
        Parsed::Partial => {
            assert!(bytes.len() < MESSAGE_BYTES);
            None
        }
        Parsed::Bad(_) => None,
    }
}

fuzz_target!(|input: &[u8]| {
    check(input, Helo::parse);
    check(input, Pong::parse);
    if let Some(ping) = check(input, Ping::parse) {
        let ours = key_digest(&ping.salt, &ping.hostname, &[7; 16], b"a key that no input knows");
        assert_ne!(ping.key_digest, ours);
    }
});
