//! Any bytes are an index configuration or an error; a configuration comes back as it was sent, and what is shown of it
//! is a configuration with the same fields.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::store::Index;

fuzz_target!(|input: &[u8]| {
    let Ok(index) = Index::parse(input, 7) else { return };
    let again = Index::parse(index.config().as_bytes(), 7).unwrap();
    assert_eq!(again.config(), index.config());
    let shown = Index::parse(index.described(30).to_string().as_bytes(), 7).unwrap();
    assert!(shown.keys().map(|(name, _)| name).eq(index.keys().map(|(name, _)| name)));
    for (name, key) in index.keys() {
        assert_eq!(index.find(name).map(|found| found.kind), Some(key.kind));
        let path = format!("{name}.a.b");
        assert_eq!(shown.find(&path).map(|found| found.kind), index.find(&path).map(|found| found.kind));
    }
});
