//! The search language on logs, and its errors.

mod indexed;
mod oracle;

use super::*;
use crate::wire::loggroup::walk;
use proptest::prelude::*;

fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    assert!(bytes.len() < 16_384);
    out.extend([bytes.len() as u8 & 0x7f | 0x80, (bytes.len() >> 7) as u8]);
    out.extend_from_slice(bytes);
}

fn pair(number: u8, key: &str, value: &[u8], out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    field(1, key.as_bytes(), &mut inner);
    field(2, value, &mut inner);
    field(number, &inner, out);
}

/// Whether a query matches the one log of a group made of these fields.
fn matches(query: &str, contents: &[(&str, &[u8])]) -> bool {
    let query = parse(query).unwrap_or_else(|error| panic!("{query:?}: {error}"));
    let mut log = vec![0x08, 0x07];
    for (key, value) in contents {
        pair(2, key, value, &mut log);
    }
    let mut raw = Vec::new();
    field(1, &log, &mut raw);
    field(3, b"Web Shop", &mut raw);
    field(4, b"10.0.0.9", &mut raw);
    pair(6, "__path__", b"/var/log/a.log", &mut raw);
    pair(6, "n", b"3", &mut raw);
    pair(6, "__pack_id__", b"SECRET-1", &mut raw);
    let group = walk(&raw).unwrap();
    let log = group.logs().next().unwrap();
    Subject::new(&group).matches(&query, &log)
}

const LOG: &[(&str, &[u8])] = &[
    ("level", b"ERROR"),
    ("msg", "Connection to db-1 reset: order not paid, \u{4e16}\u{754c} \u{00c9}T\u{00c9}".as_bytes()),
    ("path", b"/api/v2/users?id=7"),
    ("status", b"503"),
    ("latency", b" 12.5 "),
    ("empty", b""),
    ("a.b", b"dotted"),
    ("raw", b"\xff\xfebinary"),
    ("payload", b"{\"user\": {\"id\": 7, \"name\": \"O'Neil\"}}"),
];

#[test]
fn finds_what_it_should() {
    for query in [
        "",
        "*",
        "error",
        "Error connection",
        "connection and RESET",
        "nothing or error",
        "not nothing",
        "error not nothing",
        "not not error",
        "NOT (nothing OR absent) AND level:error",
        "level: error and not path: \"/health\"",
        "level:\"ERROR\"",
        "path:/api/v2/users",
        "users",
        "db-1",
        "conn*",
        "level:e??or",
        "level:er*r",
        "msg:c*n",
        "path:/api/*",
        "\"reset connection\"",
        "#\"order not paid\"",
        "msg: #\"order not paid\"",
        "status>=500",
        "status > 502.5",
        "status in [500 599] and level:error",
        "status in (502 503]",
        "status = 503",
        "latency<13",
        "latency in [12.5 12.5]",
        "empty:\"\"",
        "level:*",
        "not absent:*",
        "a.b: dotted",
        "__topic__: \"web shop\"",
        "__source__: 10.0.0.9",
        "source:10.0.0.9",
        "__tag__:__path__: \"/var/log/a.log\"",
        "\"__tag__:__path__\":a.log",
        "__tag__:__path__:*",
        "a.log",
        "__time__ >= 7",
        "__time__: 7",
        "\u{4e16}\u{754c}",
        "\u{4e16}?",
        "\u{00e9}t\u{00e9}",
        "\u{00e9}*\u{00e9}",
        "(error)",
        "level:(info or ERROR) and reset",
        "level: (not (info or warn))",
        "((error) and (not (nothing)))",
        "a > level or error",
        "\"=\"",
        "payload.user.id: 7",
        "payload.user.id > 6 and payload.user.name: \"o'neil\"",
        "status in [500 599] and host: web-* or error",
        "\"connection reset\" or timeout",
        "msg: #\"order not paid\"",
        "level : error",
        "raw:bin* or level:ERROR",
        "level:error OR nothing Not absent",
        "url=/a?b=5 or error",
        "__tag__:n > 5 or __tag__:n = 3",
        "latency>12.4e0",
    ] {
        assert!(matches(query, LOG), "{query}");
    }
}

#[test]
fn finds_nothing_else() {
    for query in [
        "err",
        "nothing",
        "error nothing",
        "error and not reset",
        "not error",
        "level:info",
        "absent:*",
        "level:\"\"",
        "absent:\"\"",
        "#\"not order paid\"",
        "#\"paid order\"",
        "level:e?or",
        "level:\"e*\"",
        "status>503",
        "level:(info or reset)",
        "status in (503 599]",
        "status in [100 503)",
        "level > 5",
        "msg in [1 2]",
        "__topic__:web",
        "__topic__:shop",
        "__source__:10.0.0",
        "secret",
        "__time__ > 7",
        "\u{4e16}",
        "source:stderr",
        "__tag__:absent:*",
        "binary",
    ] {
        assert!(!matches(query, LOG), "{query}");
    }
}

#[test]
fn a_records_own_source_comes_before_the_groups() {
    let log: &[(&str, &[u8])] = &[("source", b"stderr"), ("log", b"x")];
    assert!(matches("source:stderr", log));
    assert!(!matches("source:10.0.0.9", log));
    assert!(matches("__source__:10.0.0.9", log));
}

#[test]
fn any_of_repeated_keys_will_do() {
    let log: &[(&str, &[u8])] = &[("k", b"one"), ("k", b"two")];
    assert!(matches("k:one and k:two", log));
}

#[test]
fn errors_say_where_and_what() {
    for (query, position, part) in [
        ("(a or b", 8, "expected `)` for the `(` at character 1"),
        ("a and", 6, "expected a word"),
        ("a )", 3, "expected a word, `and`, `or` or the end"),
        ("or a", 1, "keyword"),
        ("a: ", 4, "expected a value"),
        (":a", 1, "expected a field name"),
        ("k:a:b", 4, "quote a value"),
        ("k:(a or b", 10, "expected `)`"),
        ("k:(a or b:c)", 10, "quote a value"),
        ("\u{4e16} \"open", 3, "closing"),
        ("*abc", 1, "cannot start"),
        ("k:?bc", 3, "cannot start"),
        ("#\"\"", 1, "expected a word in the phrase"),
        ("level: and x", 8, "found a keyword"),
        ("level:not x", 7, "found a keyword"),
        ("a not #\"b c\"", 7, "behind `not`"),
        ("status in [500]", 8, "two numbers in brackets"),
        ("x in (a or b)", 3, "two numbers in brackets"),
        ("__tag__:x", 10, "value after the name of the tag"),
        ("* | select 1", 3, "without `|`"),
    ] {
        let error = parse(query).unwrap_err();
        assert!(error.to_string().contains(part), "{query}: {error}");
        assert_eq!(error.position, position, "{query}: {error}");
    }
    assert!(parse("\"a | b\"").is_ok());
}

#[test]
fn words_and_depth_are_bounded() {
    let words = |count: usize| vec!["w"; count].join(" ");
    assert!(parse(&words(WORDS)).is_ok());
    assert!(parse(&words(WORDS + 1)).unwrap_err().reason.contains("30 words"));
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(DEPTH)).is_ok());
    assert!(parse(&nested(DEPTH + 1)).is_err());
    assert!(parse(&"(".repeat(QUERY_BYTES)).is_err());
    assert!(parse(&format!("{}a", "not ".repeat(5_000))).is_ok());
    assert!(parse(&"a".repeat(QUERY_BYTES + 1)).is_err());
    assert!(parse(&format!("{}*", "a".repeat(64))).is_err());
}

#[test]
fn terms_are_what_is_asked_for() {
    let terms = parse("level: info and (\"hello world\" or not bad) and __tag__:k:(v)").unwrap().terms;
    let terms: Vec<_> = terms.iter().map(|(key, term)| (key.as_str(), term.as_str())).collect();
    assert_eq!(terms, [("level", "info"), ("", "hello world"), ("__tag__:k", "v")]);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_of_the_language_panics(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "(", ")", "\"", "#\"", ":", "and", "or", "NOT", " ", " ", "a", "key", "*", "?", ">", ">=", "=", "5",
                "-1.5", "in", "[", "]", "|", "\\", "__tag__", "\u{4e16}", "\u{0130}",
            ]),
            0..25,
        ),
    ) {
        if let Ok(query) = parse(&parts.concat()) {
            let _ = matches_parsed(&query);
        }
    }
}

fn matches_parsed(query: &Query) -> bool {
    let group = walk(b"\x0a\x0e\x08\x07\x12\x0a\x0a\x03key\x12\x035 a").unwrap();
    let log = group.logs().next().unwrap();
    Subject::new(&group).matches(query, &log)
}
