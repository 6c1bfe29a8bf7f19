//! What an index configuration changes: which fields are searched, as what, how they are cut.

use super::{field, pair};
use crate::store::Index;
use crate::store::query::{QueryError, Subject, read};
use crate::wire::loggroup::walk;

const LOG: &[(&str, &str)] = &[
    ("level", "Error"),
    ("path", "/api/v2/Users"),
    ("status", "404"),
    ("latency", "12.5"),
    ("payload", r#"{"user": {"id": 7, "name": "Ann\nLee", "tags": ["x", "y"]}, "ok": true, "n": "1e2"}"#),
    ("msg", "\u{8ba2}\u{5355}123\u{672a}\u{652f}\u{4ed8}\u{ff0c}Order-Not=paid"),
    ("hidden", "secret"),
];

fn index(config: &str) -> Index {
    Index::parse(config.as_bytes(), 0).unwrap_or_else(|error| panic!("{config}: {error}"))
}

fn answer(config: &str, query: &str) -> Result<bool, QueryError> {
    let mut log = vec![0x08, 0x07];
    for (key, value) in LOG {
        pair(2, key, value.as_bytes(), &mut log);
    }
    let mut raw = Vec::new();
    field(1, &log, &mut raw);
    field(3, b"Web Shop", &mut raw);
    field(4, b"10.0.0.9", &mut raw);
    pair(6, "a:b", b"one", &mut raw);
    pair(6, "a", b"two", &mut raw);
    let query = read(query, Some(&index(config)))?.search;
    let group = walk(&raw).unwrap();
    let log = group.logs().next().unwrap();
    let found = Subject::new(&group).matches(&query, &log);
    assert!(!found || query.may_match(&raw));
    Ok(found)
}

fn check(config: &str, found: &[&str], not_found: &[&str]) {
    for (queries, expected) in [(found, true), (not_found, false)] {
        for query in queries {
            assert_eq!(answer(config, query), Ok(expected), "{config}\n{query}");
        }
    }
}

fn fails(config: &str, cases: &[(&str, usize, &str)]) {
    for (query, position, part) in cases {
        let error = answer(config, query).unwrap_err();
        assert!(error.reason.contains(part), "{query}: {error}");
        assert_eq!(error.position, *position, "{query}: {error}");
    }
}

const FIELDS: &str = r#"{"line":{"token":[" ",",","="]},"keys":{
    "level":{"type":"text","caseSensitive":true},
    "path":{"type":"text","token":["/"],"alias":"url"},
    "status":{"type":"long"},
    "latency":{"type":"double"},
    "payload":{"type":"json","index_all":true,"json_keys":{"user.id":{"type":"long","alias":"uid"},"n":{"type":"double"}}},
    "__tag__:a:b":{"type":"text"}}}"#;

#[test]
fn fields_have_their_own_case_tokens_and_types() {
    check(
        FIELDS,
        &[
            "level:Error",
            "level:Err*",
            "not level:error",
            "path:users",
            "url:v2",
            "path:\"api/users\"",
            "path:#\"api/v2\"",
            "status:404",
            "status:\"404.0\"",
            "status > 400",
            "status in [400 500)",
            "status:(200 or 404)",
            "status:*",
            "not status:\"\"",
            "latency:12.50",
            "latency < 13 and latency>=12.5",
            "payload.user.id: 7",
            "uid >= 7",
            "uid in (6 7]",
            "payload.n = 100",
            "payload.user.name: ann",
            "payload.user.name: lee",
            "payload.user.name: #\"ann lee\"",
            "payload.user.tags: y",
            "payload.ok: true",
            "payload.user: *",
            "payload: ann*",
            "__tag__:a:b:one",
            "\"__tag__:a:b\": one",
            "__tag__:a:two",
            "__tag__:a : two",
        ],
        &[
            "level:error",
            "path:\"/api\" and path:nothing",
            "path:v2 and status:403",
            "status > 404",
            "latency in (12.5 13]",
            "payload.user.id: 8",
            "payload.user.name: leeann",
            "payload.absent: *",
            "payload.user.absent: x",
            "__tag__:a:b:two",
            "__tag__:a:one",
        ],
    );
}

#[test]
fn full_text_is_cut_by_its_own_tokens() {
    check(
        FIELDS,
        &["/api/v2/users", "error", "secret", "hidden:SECRET", "12.5", "paid", "one", "two"],
        &["users", "api", "Order", "order-not"],
    );
    // On what is no number, an operator is part of the text.
    let text = r#"{"line":{},"keys":{"level":{"type":"text"}}}"#;
    check(text, &["level > 5 or error", "404>12.5", "status > 404 or error"], &["level>5", "status>404"]);
    let lone = r#"{"line":{"token":[" "],"caseSensitive":true}}"#;
    check(lone, &["Error", "10.0.0.9 or Error", "status:404"], &["error", "level:error"]);
}

#[test]
fn fields_are_included_and_excluded() {
    let only = r#"{"line":{"include_keys":["level","__tag__:a"]}}"#;
    check(only, &["error", "two", "level:error", "__tag__:a:two"], &["secret", "one", "404"]);
    fails(
        only,
        &[
            ("hidden:secret", 1, "no index covers the field \"hidden\""),
            ("a and __tag__:b:x", 7, "__tag__:b"),
        ],
    );
    let but = r#"{"line":{"exclude_keys":["hidden"]},"keys":{"status":{"type":"long"}}}"#;
    check(but, &["error", "two", "404", "status:404"], &["secret"]);
    fails(but, &[("error and hidden:x", 11, "no index covers")]);
}

#[test]
fn without_full_text_all_text_fields_are_searched() {
    let config = r#"{"keys":{"level":{"type":"text"},"path":{"type":"text","token":["/"]},"status":{"type":"long"},
        "__tag__:a":{"type":"text"}}}"#;
    check(
        config,
        &[
            "error",
            "users",
            "two",
            "users error",
            "__topic__:\"web shop\"",
            "__source__:10.0.0.9",
            "source:10.0.0.9",
        ],
        &["404", "secret", "one"],
    );
    fails(config, &[("hidden:x", 1, "no index covers"), ("level:a and :b", 13, "field name")]);
    fails(r#"{"keys":{"status":{"type":"long"}}}"#, &[("a", 1, "no full-text index")]);
}

#[test]
fn numbers_are_numbers() {
    fails(
        FIELDS,
        &[
            ("status:4*", 8, "expected a number: the field \"status\" is of type long"),
            ("a latency: slow", 12, "type double"),
            ("status:#\"404\"", 8, "type long"),
            ("status:(200 or x)", 16, "type long"),
            ("level in [1 2]", 7, "`in` needs a field of type long or double"),
            ("status in [1]", 8, "two numbers"),
            ("status in (1 or 2)", 8, "two numbers"),
            ("__time__: soon", 11, "type long"),
        ],
    );
    let large = r#"{"keys":{"id":{"type":"long"}}}"#;
    let ids = |value: &str, query: &str| {
        let mut raw = Vec::new();
        let mut log = vec![0x08, 0x07];
        pair(2, "id", value.as_bytes(), &mut log);
        field(1, &log, &mut raw);
        let group = walk(&raw).unwrap();
        let query = read(query, Some(&index(large))).unwrap().search;
        Subject::new(&group).matches(&query, &group.logs().next().unwrap())
    };
    assert!(ids("9007199254740993", "id = 9007199254740993"));
    assert!(!ids("9007199254740992", "id = 9007199254740993"));
    assert!(ids("-5", "id:-5") && ids("-5", "id < -4.5") && ids(" 5 ", "id:+5"));
    assert!(!ids("inf", "id > 1") && !ids("5s", "id:5"));
}

#[test]
fn any_piece_of_chinese_finds_its_text() {
    let chinese = r#"{"line":{"chn":true}}"#;
    check(
        chinese,
        &[
            "\u{8ba2}\u{5355}",
            "\u{5355}",
            "\u{672a}\u{652f}",
            "\"\u{4ed8}\u{ff0c}\"",
            "\u{8ba2}\u{5355}*",
            "123",
            "order-not",
            "\u{8ba2}\u{5355}123",
            "#\"\u{8ba2}\u{5355}123\u{672a}\"",
            "msg:#\"\u{652f}\u{4ed8}\u{ff0c}order-not\"",
            "msg:\u{652f}\u{4ed8}",
        ],
        &["\u{8ba2}\u{672a}", "\u{5355}\u{8ba2}", "#\"\u{8ba2}\u{5355}\u{672a}\"", "12", "paid\u{8ba2}zz"],
    );
    let whole = r#"{"line":{}}"#;
    check(whole, &["\u{8ba2}\u{5355}123*"], &["\u{8ba2}\u{5355}", "123"]);
}

#[test]
fn phrases_stand_alone() {
    fails(
        FIELDS,
        &[
            ("not #\"a b\"", 5, "behind `not`"),
            ("error not (x or level:#\"a\")", 23, "behind `not`"),
            ("x #\"order paid\" | select 1", 3, "phrase"),
        ],
    );
    assert!(answer(FIELDS, "not not #\"a b\"").is_ok());
}
