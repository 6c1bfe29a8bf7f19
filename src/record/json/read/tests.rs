use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;

type Members = Vec<(String, String)>;

const LIMITS: ReadLimits = ReadLimits { depth: 8, members: 16 };

fn shown(batch: &Batch, value: Value) -> String {
    let text = |span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
    match value {
        Value::Text(span) => format!("text {}", text(span)),
        Value::Number(span) => format!("number {}", text(span)),
        Value::Bool(is) => format!("bool {is}"),
        Value::Null => "null".to_owned(),
        Value::Nested(span) => format!("nested {}", text(span)),
    }
}

fn read(batch: &mut Batch, text: Span, limits: &ReadLimits) -> Result<(Members, usize), JsonError> {
    let mut members = Vec::new();
    let taken = read_object(batch, text, limits, &mut |batch, key, value| {
        members.push((String::from_utf8_lossy(batch.bytes(key)).into_owned(), shown(batch, value)));
    })?;
    Ok((members, taken))
}

/// Reads the text out of a frame and out of an arena, which must come to the same.
fn members(text: &[u8]) -> Result<(Members, usize), JsonError> {
    let mut batch = Batch { frame: Bytes::copy_from_slice(text), ..Batch::default() };
    let found = read(&mut batch, Span::frame(0, text.len()), &LIMITS);
    let mut batch = Batch::default();
    batch.keep(b"before");
    let span = batch.keep(text);
    assert_eq!(read(&mut batch, span, &LIMITS), found);
    found
}

fn only(text: &[u8]) -> Vec<(String, String)> {
    let (members, taken) = members(text).unwrap();
    assert_eq!(taken, text.len());
    members
}

fn owned(members: &[(&str, &str)]) -> Members {
    members.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn value(text: &str) -> Result<(String, usize), JsonError> {
    let mut batch = Batch { frame: Bytes::copy_from_slice(text.as_bytes()), ..Batch::default() };
    let (value, taken) = read_value(&mut batch, Span::frame(0, text.len()), &LIMITS)?;
    Ok((shown(&batch, value), taken))
}

#[test]
fn a_line_of_docker_is_three_texts_and_only_the_escaped_one_is_made() {
    let line = br#"{"log":"hello \"you\"\n","stream":"stdout","time":"2024-05-01T00:00:00.1Z"}"#;
    let mut batch = Batch { frame: Bytes::from_static(line), ..Batch::default() };
    let (members, taken) = read(&mut batch, Span::frame(0, line.len()), &LIMITS).unwrap();
    let wanted =
        [("log", "text hello \"you\"\n"), ("stream", "text stdout"), ("time", "text 2024-05-01T00:00:00.1Z")];
    assert_eq!(members, owned(&wanted));
    assert_eq!(taken, line.len());
    assert_eq!(batch.arena, b"hello \"you\"\n");
}

#[test]
fn every_kind_of_value_keeps_its_text() {
    let text =
        br#" {"a" : 1.50 ,"b":-0e+1,"c":true,"d":false,"e":null,"f":[1,{"x":"y z"}],"g":{},"":""} rest"#;
    let wanted = [
        ("a", "number 1.50"),
        ("b", "number -0e+1"),
        ("c", "bool true"),
        ("d", "bool false"),
        ("e", "null"),
        ("f", r#"nested [1,{"x":"y z"}]"#),
        ("g", "nested {}"),
        ("", "text "),
    ];
    assert_eq!(members(text), Ok((owned(&wanted), text.len() - 5)));
    assert_eq!(members(b"\t{ \n} "), Ok((vec![], 5)));
}

#[test]
fn keys_may_be_escaped_and_may_come_twice() {
    let wanted = owned(&[("k\"", "number 1"), ("k\"", "number 2")]);
    assert_eq!(only(br#"{"k\"":1,"\u006b\"":2}"#), wanted);
}

#[test]
fn escapes_are_undone() {
    let of = |text: &str| only(format!("{{\"k\":\"{text}\"}}").as_bytes()).remove(0).1;
    assert_eq!(of(r#"\"\\\/\b\f\n\r\tend"#), "text \"\\/\x08\x0c\n\r\tend");
    assert_eq!(of(r"a\u00e9b\u4F60"), "text a\u{e9}b\u{4f60}");
    assert_eq!(of(r"\ud83d\ude00!"), "text \u{1f600}!");
    // A half without its other half, in every place.
    assert_eq!(of(r"\ud83d"), "text \u{fffd}");
    assert_eq!(of(r"\ud83dx\ude00"), "text \u{fffd}x\u{fffd}");
    assert_eq!(of(r"\ud83d\u0041"), "text \u{fffd}A");
    assert_eq!(of(r"\ud83d\ud83d\ude00"), "text \u{fffd}\u{1f600}");
    assert_eq!(of(r"\ud83d\n"), "text \u{fffd}\n");
    assert_eq!(of(r"\u0000"), "text \0");
}

#[test]
fn bytes_that_json_forbids_in_strings_are_kept() {
    let mut batch = Batch { frame: Bytes::from_static(b"{\"k\":\"a\n\0\xff\t\"}"), ..Batch::default() };
    let text = Span::frame(0, batch.frame.len());
    let mut found = Vec::new();
    read_object(&mut batch, text, &LIMITS, &mut |batch, _, value| {
        let Value::Text(span) = value else { panic!("{value:?}") };
        found.extend_from_slice(batch.bytes(span));
    })
    .unwrap();
    assert_eq!(found, b"a\n\0\xff\t");
}

#[test]
fn nested_values_are_compact_json() {
    let of = |text: &str| value(text).unwrap().0;
    assert_eq!(of("[ 1 , 2 ]"), "nested [1,2]");
    assert_eq!(of("{\"a b\" :\r\n [ \"c \\\" d\" , { } ] }"), r#"nested {"a b":["c \" d",{}]}"#);
    assert_eq!(of("[\"a\nb\0\"]"), r#"nested ["a\u000ab\u0000"]"#);
    assert_eq!(of("[ \"\t\" ]"), r#"nested ["\u0009"]"#);
}

#[test]
fn a_value_tells_how_much_of_the_text_it_took() {
    assert_eq!(value(" 12 x"), Ok(("number 12".to_owned(), 3)));
    assert_eq!(value("\"a\"{"), Ok(("text a".to_owned(), 3)));
    assert_eq!(value("[]{}"), Ok(("nested []".to_owned(), 2)));
    assert_eq!(value("nullx"), Ok(("null".to_owned(), 4)));
    assert_eq!(value("012"), Ok(("number 0".to_owned(), 1)));
}

#[test]
fn a_text_that_ends_too_early_is_cut_wherever_it_ends() {
    let whole = br#"{"a\u00e9":"x\ny","b":[1,{"c":null}],"d":-1.5e-3,"e":true}"#;
    for end in 0..whole.len() {
        assert_eq!(members(&whole[..end]), Err(JsonError::Cut), "{}", whole[..end].escape_ascii());
    }
    assert!(members(whole).is_ok());
    for text in ["", " ", "-", "1.", "1e", "1e+", "tr", "\"", "\"\\", "\"\\u00", "[", "[1,", "{\"a\""] {
        assert_eq!(value(text), Err(JsonError::Cut), "{text:?}");
    }
}

#[test]
fn what_is_no_json_is_refused_where_it_stops_being_it() {
    for (text, at) in [
        ("[]", 0),
        ("x", 0),
        ("{,}", 1),
        ("{1:2}", 1),
        ("{\"a\"}", 4),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("{\"a\":1 2}", 7),
        ("{\"a\":01}", 6),
        ("{\"a\":+1}", 5),
        ("{\"a\":.5}", 5),
        ("{\"a\":1.x}", 7),
        ("{\"a\":NaN}", 5),
        ("{\"a\":nuLl}", 7),
        ("{\"a\":\"\\x\"}", 7),
        ("{\"a\":\"\\u00g0\"}", 10),
        ("{\"a\":[1,]}", 8),
        ("{\"a\":[1}}", 7),
        ("{\"a\":{\"b\"]}", 9),
        ("{\"a\":{]}", 6),
        ("{\"a\":[,1]}", 6),
        ("{\"a\":1]", 6),
    ] {
        assert_eq!(members(text.as_bytes()), Err(JsonError::Syntax { at }), "{text}");
    }
}

#[test]
fn depth_and_members_are_bounded() {
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    assert!(members(&deep(LIMITS.depth - 1)).is_ok());
    assert_eq!(members(&deep(LIMITS.depth)), Err(JsonError::Depth));
    assert!(value(&"[".repeat(100_000)).is_err());
    let wide = |count: usize| format!("{{{}}}", vec!["\"a\":1"; count].join(",")).into_bytes();
    assert!(members(&wide(LIMITS.members)).is_ok());
    assert_eq!(members(&wide(LIMITS.members + 1)), Err(JsonError::Members));
    // Deeper than the brackets that can be remembered, whatever the limit says.
    let mut batch = Batch::default();
    let text = batch.keep("[".repeat(1000).as_bytes());
    let limits = ReadLimits { depth: usize::MAX, members: 1 };
    assert_eq!(read_value(&mut batch, text, &limits), Err(JsonError::Depth));
    let none = ReadLimits { depth: 0, members: 1 };
    let text = batch.keep(b"{}");
    assert_eq!(read_object(&mut batch, text, &none, &mut |_, _, _| {}), Err(JsonError::Depth));
}

#[test]
fn values_are_fields() {
    let mut batch = Batch::default();
    let text = |batch: &mut Batch, value: Value| value.text(batch).map(|span| batch.bytes(span).to_vec());
    assert_eq!(text(&mut batch, Value::Bool(true)).unwrap(), b"true");
    assert_eq!(text(&mut batch, Value::Bool(false)).unwrap(), b"false");
    assert_eq!(text(&mut batch, Value::Null), None);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|is| json!(is)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_another_writer_wrote_is_read_back(
        map in prop::collection::hash_map(any::<String>(), any_json(), 0..8),
        pretty: bool,
    ) {
        let whole = serde_json::Value::Object(map.into_iter().collect());
        let text = if pretty { serde_json::to_vec_pretty(&whole) } else { serde_json::to_vec(&whole) }.unwrap();
        let wanted: Members = whole.as_object().unwrap().iter().map(|(key, value)| (key.clone(), match value {
            serde_json::Value::String(text) => format!("text {text}"),
            serde_json::Value::Number(number) => format!("number {number}"),
            serde_json::Value::Bool(is) => format!("bool {is}"),
            serde_json::Value::Null => "null".to_owned(),
            nested => format!("nested {nested}"),
        })).collect();
        prop_assert_eq!(members(&text), Ok((wanted, text.len())));
    }

    /// Texts near JSON, which another reader must find as right or as wrong. Control bytes in strings and halves of
    /// surrogates are the exceptions, so they are not among the pieces.
    #[test]
    fn another_reader_takes_and_refuses_the_same(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\\n\"", "\"", "\\", "1", "0", "-", ".", "e", "true", "null", " ",
            "\u{e9}", "\"k\":", "{\"k\":1}", "[2]", "\\u0041",
        ]), 0..14),
    ) {
        let text = format!("{{\"k\":{}", pieces.concat());
        let mut batch = Batch { frame: Bytes::copy_from_slice(text.as_bytes()), ..Batch::default() };
        let limits = ReadLimits::default();
        let found = read_object(&mut batch, Span::frame(0, text.len()), &limits, &mut |_, _, _| {});
        let mut other = serde_json::Deserializer::from_str(&text).into_iter::<serde::de::IgnoredAny>();
        let wanted = other.next().unwrap();
        match (found, wanted) {
            (Ok(taken), Ok(_)) => prop_assert_eq!(taken, other.byte_offset()),
            (Err(_), Err(_)) => {}
            (found, wanted) => prop_assert!(false, "{}: {:?} but {:?}", text, found, wanted.is_ok()),
        }
    }

    #[test]
    fn any_bytes_end_and_what_is_nested_is_json(bytes: Vec<u8>, inner: String) {
        let _ = members(&bytes);
        let text = [b"{\"k\":[ \"", inner.as_bytes(), b"\" ]}"].concat();
        if let Ok((members, _)) = members(&text) {
            let nested = members[0].1.strip_prefix("nested ").unwrap();
            // A half of a surrogate is left to whoever reads it.
            let read = serde_json::from_str::<serde::de::IgnoredAny>(nested);
            prop_assert!(read.is_ok() || nested.contains("\\u"), "{}", nested);
        }
    }
}
