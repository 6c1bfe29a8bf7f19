//! Any text is a query or an error that points into it or at its end, under any index; a query looks at any LogGroup
//! without a fault, and a pack with a match is never skipped.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluicegate::store::Index;
use sluicegate::store::query::filter::{Filter, tokens_of};
use sluicegate::store::query::{Subject, read};
use sluicegate::wire::loggroup::walk;

/// One log: `level: error`, `text: GET /index 404`; topic `web`.
const GROUP: &[u8] = b"\x0a\x2f\x08\x01\x12\x0e\x0a\x05level\x12\x05error\x12\x1b\x0a\x04text\x12\x13GET /index.html 404\x1a\x03web";

static INDEXES: LazyLock<Vec<Option<Index>>> = LazyLock::new(|| {
    let configs = [
        r#"{"line":{"chn":true,"token":[" ","，"]},"keys":{"level":{"type":"long"},"__tag__:a:b":{"type":"text"}}}"#,
        r#"{"keys":{"text":{"type":"text","token":["."],"caseSensitive":true,"alias":"t"}}}"#,
        r#"{"line":{"exclude_keys":["level"]},"keys":{"text":{"type":"json","index_all":true}}}"#,
    ];
    let indexes = configs.map(|config| Some(Index::parse(config.as_bytes(), 0).unwrap()));
    [None].into_iter().chain(indexes).collect()
});

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let index = INDEXES[usize::from(*first) % INDEXES.len()].as_ref();
    match read(text, index) {
        // Positions count characters from 1, the end of the text included.
        Err(error) => assert!((1..=text.chars().count() + 1).contains(&error.position), "{error:?}"),
        Ok(query) => {
            let group = walk(GROUP).unwrap();
            let mut subject = Subject::new(&group);
            for log in group.logs() {
                let answer = subject.matches(&query.search, &log);
                assert_eq!(answer, subject.matches(&query.search, &log));
                if answer {
                    let mut hashes = Vec::new();
                    tokens_of(&group, &mut |hash| hashes.push(hash));
                    let filter = Filter::build(hashes.into_iter());
                    assert!(query.search.needed().is_none_or(|needed| needed.may_be_in(&filter)));
                    assert!(query.search.may_match(GROUP));
                }
            }
        }
    }
});
