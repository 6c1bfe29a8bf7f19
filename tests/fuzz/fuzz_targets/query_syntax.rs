//! Any text is a query or an error that points into it or at its end; a query looks at any LogGroup without a fault.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::store::query::{Subject, parse};
use sluicegate::wire::loggroup::walk;

/// One log: `level: error`, `text: GET /index 404`; topic `web`.
const GROUP: &[u8] = b"\x0a\x2f\x08\x01\x12\x0e\x0a\x05level\x12\x05error\x12\x1b\x0a\x04text\x12\x13GET /index.html 404\x1a\x03web";

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match parse(text) {
        // Positions count characters from 1, the end of the text included.
        Err(error) => assert!((1..=text.chars().count() + 1).contains(&error.position), "{error:?}"),
        Ok(query) => {
            let group = walk(GROUP).unwrap();
            let mut subject = Subject::new(&group);
            for log in group.logs() {
                let answer = subject.matches(&query, &log);
                assert_eq!(answer, subject.matches(&query, &log));
            }
        }
    }
});
