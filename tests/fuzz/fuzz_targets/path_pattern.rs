//! A pattern that is read can be matched against any path, and what it takes lies where it may be looked for.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sluicegate::config::path_pattern::PathPattern;

fuzz_target!(|input: &[u8]| {
    let split = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (text, path) = input.split_at(split);
    let Ok(pattern) = PathPattern::parse(&String::from_utf8_lossy(text)) else { return };
    let path = Path::new(OsStr::from_bytes(path.get(1..).unwrap_or_default()));
    if pattern.matches(path) {
        assert!(path.ancestors().skip(1).all(|dir| pattern.may_enter(dir)));
    }
});
