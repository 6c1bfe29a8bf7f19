//! A package list of any bytes: read to its end or to its fault, never past either.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::wire::loggroup::list;

fuzz_target!(|bytes: &[u8]| {
    let mut again = Vec::new();
    for package in list::packages(bytes) {
        let Ok(package) = package else { return };
        assert!(package.data.len() <= bytes.len());
        again.clear();
        list::put(&mut again, &package);
        assert_eq!(list::packages(&again).next(), Some(Ok(package)));
    }
});
