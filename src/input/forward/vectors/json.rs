//! Connections of JSON texts: what the senders of JSON write, and what only an attacker would.

use super::*;

fn messages(stream: &[u8]) -> Vec<Message> {
    let (outcomes, rest) = receive(stream, usize::MAX);
    assert_eq!(rest, 0);
    for piece in [1, 2, 7] {
        assert_eq!(receive(stream, piece), (receive(stream, piece).0, 0));
        assert_eq!(receive(stream, piece).0, outcomes, "in pieces of {piece}");
    }
    let message = |outcome| match outcome {
        Outcome::Message(message) => message,
        other => panic!("{other:?}"),
    };
    outcomes.into_iter().map(message).collect()
}

fn refused(stream: &[u8], why: &str) {
    match receive(stream, usize::MAX).0.last() {
        Some(Outcome::Closed(reason)) => assert!(reason.contains(why), "{reason}"),
        other => panic!("{other:?}"),
    }
}

fn only(stream: &[u8]) -> (Timestamp, Vec<(String, String)>) {
    let mut messages = messages(stream);
    assert_eq!((messages.len(), messages[0].records.len()), (1, 1));
    messages.remove(0).records.remove(0)
}

#[test]
fn the_json_vector() {
    let messages = messages(&vector("T23"));
    let at = |seconds| Timestamp { seconds, nanos: 0 };
    assert_eq!((messages[0].tag.as_str(), messages[1].tag.as_str()), ("app.log", "app.log"));
    assert_eq!(messages[0].records, [(at(T), fields(&[("m", "foo")]))]);
    assert_eq!(messages[1].records, [(at(T), fields(&[("m", "a")])), (at(T + 1), fields(&[("m", "b")]))]);
    assert_eq!((&messages[0].chunk, &messages[1].chunk), (&None, &Some(("c1".into(), true))));
    let mut ack = Vec::new();
    crate::input::forward::ack::append_json(&mut ack, b"c1");
    assert_eq!(ack, br#"{"ack":"c1"}"#);
}

/// Golang's `MarshalAsJSON` writes four elements, its option empty, nil or with a chunk; the PHP logger three, with no
/// line end; Fluentd's own test two texts on two connections.
#[test]
fn forms_of_known_senders() {
    let golang = br#"["tag",1441588984,{"k":"v","n":{"a":[1,null]}},{"chunk":"NXGkVwAAAABUcu6cqzEkAg=="}]"#;
    let messages_of_golang = messages(golang);
    assert_eq!(messages_of_golang[0].chunk, Some(("NXGkVwAAAABUcu6cqzEkAg==".into(), true)));
    assert_eq!(messages_of_golang[0].records[0].1, fields(&[("k", "v"), ("n", r#"{"a":[1,null]}"#)]));
    for option in ["{}", "null"] {
        let text = format!(r#"["tag",1441588984,{{"k":"v"}},{option}]"#);
        assert_eq!(only(text.as_bytes()).1, fields(&[("k", "v")]));
    }
    let php = br#"["fluentd.test.follow",1441588984,{"hello":"world"}]["fluentd.test.follow",1441588985,{"hello":"again"}]"#;
    assert_eq!(messages(php).len(), 2);
    let spaced = b"[\"t\" ,\r\n\t1441588984 , { \"a\" : 1 } ]\n\n  [\"t\",1,{}]\r\n";
    assert_eq!(messages(spaced).len(), 2);
    let single = only(br#"["tag1",1441588984,{"a":1}]"#);
    assert_eq!(single, (Timestamp { seconds: T, nanos: 0 }, fields(&[("a", "1")])));
}

#[test]
fn values_keep_what_json_says() {
    let text = r#"["t",1441588984.5,{"max":18446744073709551615,"min":-9223372036854775808,"more":18446744073709551616,
        "f":0.1,"t":true,"n":null,"u":"\u65e5\ud83d\ude00\u0000\"\\\/","d":1,"d":2,"":"no name","o":{"x":[]}}]"#;
    let (time, found) = only(text.as_bytes());
    assert_eq!(time, Timestamp { seconds: T, nanos: 500_000_000 });
    let expected = [
        ("max", "18446744073709551615"),
        ("min", "-9223372036854775808"),
        ("more", "1.8446744073709552e19"),
        ("f", "0.1"),
        ("t", "true"),
        ("n", ""),
        ("u", "日😀\0\"\\/"),
        ("d", "1"),
        ("d", "2"),
        ("", "no name"),
        ("o", r#"{"x":[]}"#),
    ];
    assert_eq!(found, fields(&expected));
    let received = only(br#"["t",0,{"a":1}]"#);
    assert_eq!(received.0, RECEIVED);
    assert_eq!(only(br#"["t",null,{"a":1}]"#).0, RECEIVED);
    // Milliseconds, as some loggers send them.
    assert_eq!(only(br#"["t",1441588984123,{"a":1}]"#).0, Timestamp { seconds: T, nanos: 123_000_000 });
}

#[test]
fn bad_events_cost_only_themselves() {
    let messages = messages(br#"["t",[[1,{"a":1}],[1,"x"],7,["yesterday",{}],[2,{"b":2}]],{"chunk":"c"}]"#);
    assert_eq!(messages[0].records.len(), 2);
    assert_eq!(messages[0].dropped, [(Invalid::Entry, 1), (Invalid::Time, 1), (Invalid::Record, 1)]);
    assert!(messages[0].chunk.is_some());
}

#[test]
fn texts_that_are_no_messages_cost_the_connection() {
    refused(br#"{"log":"x"}"#, "a map");
    refused(br#"["t"]"#, "an array of 1");
    refused(b"[]", "an array of 0");
    refused(br#"["t",true]"#, "a boolean");
    refused(b"[\"t\",1,{\"a\":1}]x", "the byte 78");
    refused(b"[\"t\",1,{\"a\":1}]\n]", "the byte 5d");
    refused(b"[\"t\",1,{\"a\":1]]", "no JSON message");
    refused(b"[\"t\",1,{\"a\":\"\xff\"}]", "unicode");
    refused(br#"["t",1,{"a":"\ud800"}]"#, "hex escape");
    refused(br#"["t",1,{"a":"\udc00x"}]"#, "surrogate");
    refused(br#"["t",1,{"a":"\x"}]"#, "escape");
    refused(b"[\"t\",1,{\"a\":\"\n\"}]", "control character");
    refused(br#"["t",1,{"a":1e999}]"#, "out of range");
    refused(br#"["t",1,{"a":NaN}]"#, "no JSON message");
    refused(br#"["t",01,{}]"#, "no JSON message");
    refused(br#"["t",1,{1:2}]"#, "key must be a string");
    refused(br#"["t",1,{"a":1,}]"#, "trailing comma");
    // What came before is kept.
    let (outcomes, _) = receive(b"[\"t\",1,{\"a\":1}] [\"t\",1,{]]", usize::MAX);
    assert!(matches!(outcomes[..], [Outcome::Message(_), Outcome::Closed(_)]));
}

#[test]
fn white_space_is_nothing_and_can_be_let_go() {
    let mut framer = Framer::new(Limits::default());
    assert_eq!(framer.scan(b""), Ok(None));
    let blank = framer.scan(b" \r\n\t").unwrap().unwrap();
    assert_eq!((blank.start, blank.end), (4, 4));
    assert!(framer.is_idle());
    assert_eq!(framer.scan(b" [").unwrap(), None);
    assert!(!framer.is_idle());
    let cut = framer.scan(b" [1]  ").unwrap().unwrap();
    assert_eq!((cut.start, cut.end), (1, 4));
}

/// A 5 MB record that comes in 80 pieces is one record, and is walked once.
#[test]
fn a_large_record_in_many_pieces() {
    let line = r#"quote \" brackets ]}[{ backslash \\ "#.repeat(140_000);
    let text = format!(r#"["big",1441588984,{{"log":"{line}"}},{{"chunk":"c"}}]"#);
    assert!(text.len() > 5_000_000);
    let (outcomes, rest) = receive(text.as_bytes(), text.len().div_ceil(80));
    let [Outcome::Message(message)] = &outcomes[..] else { panic!("{} outcomes", outcomes.len()) };
    assert_eq!((rest, message.records.len()), (0, 1));
    assert_eq!(message.records[0].1[0].1, line.replace("\\\"", "\"").replace("\\\\", "\\"));
    // The framer looks at no byte twice: what it has seen may be overwritten.
    let mut framer = Framer::new(Limits::default());
    let mut seen = text.clone().into_bytes();
    let half = seen.len() / 2;
    assert_eq!(framer.scan(&seen[..half]), Ok(None));
    seen[1..half].fill(b']');
    assert_eq!(framer.scan(&seen).unwrap().unwrap().end, seen.len());
}

#[test]
fn texts_cut_at_every_byte_are_waited_for() {
    let text = br#"["t",[[1,{"a\"]":"\u65e5\\","n":{"x":[1,2]}}]],{"chunk":"c]"}]"#;
    for cut in 0..text.len() {
        assert_eq!(receive(&text[..cut], usize::MAX), (vec![], cut), "{cut}");
        let mut framer = Framer::new(Limits::default());
        assert_eq!(framer.scan(&text[..cut]), Ok(None));
        assert_eq!(framer.scan(text).unwrap().unwrap().end, text.len(), "{cut}");
    }
}

#[test]
fn bombs_are_refused_where_they_begin() {
    let mut deep = b"[".repeat(100_000);
    refused(&deep, "nested deeper");
    deep.splice(0..0, *b"[\"t\",1,{\"a\":");
    refused(&deep, "nested deeper");
    refused(&br#"{"a":"#.repeat(100_000), "nested deeper");
    let limits = Limits { message: 100, depth: 8, elements: 10 };
    let mut framer = Framer::new(limits);
    let endless = [b"[\"".as_slice(), &[b'x'; 200]].concat();
    assert_eq!(framer.scan(&endless[..99]), Ok(None));
    assert!(framer.scan(&endless).is_err());
    let reason = |text: &[u8]| transcode(text, limits, &mut Vec::new()).unwrap_err().to_string();
    assert!(reason(b"[1,2,3,4,5,6,7,8,9,10,11]").contains("more than 10 elements"));
    assert!(reason(b"[[[[[[[[[]]]]]]]]]").contains("deeper than 8"));
    // Nine bytes for three, again and again.
    let grown = format!("[[{0}],[{0}],[{0}]]", ["-0"; 9].join(","));
    assert!(grown.len() < 100 && reason(grown.as_bytes()).contains("more than 100 bytes"));
    let mut out = Vec::new();
    assert!(transcode(b"[1] 2", limits, &mut out).is_err());
}

proptest! {
    /// Any JSON value comes out of MessagePack as it went in.
    #[test]
    fn transcoding_changes_the_form_alone(
        integers: Vec<i64>,
        naturals: Vec<u64>,
        floats in prop::collection::vec((-1_000_000_000i32..1_000_000_000).prop_map(|number| f64::from(number) / 1e3), 0..5),
        texts: Vec<String>,
    ) {
        let value = serde_json::json!({"i": integers, "n": naturals, "f": floats, "t": texts, "o": {"x": null, "y": true}});
        let text = serde_json::to_vec(&value).unwrap();
        let mut frame = Vec::new();
        transcode(&text, Limits::default(), &mut frame).unwrap();
        let mut walker = crate::record::msgpack::Walker::new(&frame);
        let mut back = Vec::new();
        crate::record::json::append_json(&mut back, &frame, &mut walker).unwrap();
        prop_assert!(walker.is_done());
        let back: serde_json::Value = serde_json::from_slice(&back).unwrap();
        // Floats that are whole numbers are written without a fraction.
        prop_assert_eq!(back["f"].as_array().unwrap().len(), floats.len());
        for (found, float) in back["f"].as_array().unwrap().iter().zip(&floats) {
            prop_assert_eq!(found.as_f64(), Some(*float));
        }
        for key in ["i", "n", "t", "o"] {
            prop_assert_eq!(&back[key], &value[key]);
        }
    }

    #[test]
    fn damaged_texts_never_panic(at: prop::sample::Index, byte: u8, piece in 1usize..20) {
        let mut bytes = vector("T23");
        let at = at.index(bytes.len() - 1) + 1;
        bytes[at] = byte;
        let (whole, _) = receive(&bytes, usize::MAX);
        if whole.iter().all(|outcome| !matches!(outcome, Outcome::Closed(_))) {
            prop_assert_eq!(receive(&bytes, piece).0, whole);
        }
    }
}
