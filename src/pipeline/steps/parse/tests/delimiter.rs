use proptest::prelude::*;

use super::*;
use crate::config::plan::{DelimiterPlan, ExtraColumns};

fn columns(separator: &str, keys: &[&str]) -> DelimiterPlan {
    DelimiterPlan {
        separator: separator.to_owned(),
        quote: Some('"'),
        keys: keys.iter().map(|&key| key.to_owned()).collect(),
        strict: false,
        extra: ExtraColumns::Extend,
    }
}

fn parser(plan: DelimiterPlan) -> Parse {
    Parse::new(&of(ParseFormat::Delimiter(plan)), Nil::Empty)
}

/// `key=value` of each field.
fn shown(plan: DelimiterPlan, text: &str) -> Option<String> {
    let parts = parts(&parser(plan), text.as_bytes())?;
    let parts = parts.iter().map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value)));
    Some(parts.collect::<Vec<_>>().join(" "))
}

fn split(text: &str) -> Option<String> {
    shown(columns(",", &["a", "b", "_", "d"]), text)
}

#[test]
fn columns_become_fields() {
    assert_eq!(split("1,2,3,4").as_deref(), Some("a=1 b=2 d=4"));
    assert_eq!(
        split("1,\"x, \"\"y\"\"\",\"\",,5,6").as_deref(),
        Some("a=1 b=x, \"y\" d= __column4__=5 __column5__=6")
    );
    assert_eq!(split("  1, 2 ,3,4 \r\r ").as_deref(), Some("a=1 b= 2  d=4"));
    assert_eq!(split(",").as_deref(), Some("a= b="));
    assert_eq!(split("1").as_deref(), Some("a=1"));
    assert_eq!(split("\"a\"\"\"").as_deref(), Some("a=a\""));
    let long = |text| shown(DelimiterPlan { quote: Some('"'), ..columns("||", &["a", "b"]) }, text);
    assert_eq!(long("\"1||2|\"||3").as_deref(), Some("a=\"1 b=2|\" __column2__=3"));
    let wide = |text| shown(DelimiterPlan { quote: Some('\u{ab}'), ..columns("\u{b7}", &["a", "b"]) }, text);
    assert_eq!(
        wide("\u{ab}1\u{b7}\u{ab}\u{ab}x\u{ab}\u{b7}2\u{b8}").as_deref(),
        Some("a=1\u{b7}\u{ab}x b=2\u{b8}")
    );
    let none = |text| shown(DelimiterPlan { quote: None, ..columns("\t", &["a", "b"]) }, text);
    assert_eq!(none("\"1\t2\"x").as_deref(), Some("a=\"1 b=2\"x"));
}

#[test]
fn what_is_not_of_the_format_is_refused() {
    for text in
        ["", "  ", " \r", "\"a", "\"a\"b", "a\"b", "a,b\"", "\"a\" ,b", "1,2,3,4,\"5", "1, \"2\"", "a,\"\"\""]
    {
        assert_eq!(split(text), None, "{text}");
        for extra in [ExtraColumns::Keep, ExtraColumns::Discard] {
            assert_eq!(shown(DelimiterPlan { extra, ..columns(",", &["a"]) }, text), None, "{text}");
        }
    }
    // Nothing comes of it.
    assert_eq!(shown(columns(",", &["_", "a"]), "1"), None);
    assert_eq!(shown(columns(",", &["a"]), &",".repeat(600)), None);
}

#[test]
fn too_few_and_too_many_columns() {
    let strict = |text| shown(DelimiterPlan { strict: true, ..columns(",", &["a", "b"]) }, text);
    assert_eq!(
        (strict("1"), strict("1,").as_deref(), strict("1,2,3").is_some()),
        (None, Some("a=1 b="), true)
    );
    for quote in [None, Some('"')] {
        let with = |extra, text| {
            shown(DelimiterPlan { quote, extra, strict: true, ..columns(",", &["a", "b"]) }, text)
        };
        assert_eq!(with(ExtraColumns::Keep, "1,2,3,,4").as_deref(), Some("a=1 b=2 __column2__=3,,4"));
        assert_eq!(with(ExtraColumns::Keep, "1,2,").as_deref(), Some("a=1 b=2 __column2__="));
        assert_eq!(with(ExtraColumns::Keep, "1,2").as_deref(), Some("a=1 b=2"));
        assert_eq!(with(ExtraColumns::Discard, "1,2,3,,4").as_deref(), Some("a=1 b=2"));
    }
    let keep = DelimiterPlan { extra: ExtraColumns::Keep, ..columns(",", &["a"]) };
    assert_eq!(shown(keep, "1,\"2,\"\"\",3").as_deref(), Some("a=1 __column1__=\"2,\"\"\",3"));
    let prefixed = ParsePlan { prefix: "p_".to_owned(), ..of(ParseFormat::Delimiter(columns(" ", &["a"]))) };
    assert_eq!(parsed(&prefixed, &[("log", "1 2")]), owned(&[("p_a", "1"), ("p___column1__", "2")]));
}

/// The columns of a text, character by character; `None` when it is not of the format.
fn slow(text: &str, separator: char, quote: Option<char>) -> Option<Vec<String>> {
    let text = text.trim_start_matches(' ').trim_end_matches([' ', '\r']);
    let (mut columns, mut rest) = (Vec::new(), text.chars().collect::<Vec<_>>());
    if rest.is_empty() {
        return None;
    }
    rest.push(separator);
    let mut chars = rest.into_iter().peekable();
    while chars.peek().is_some() {
        let mut column = String::new();
        if chars.next_if(|c| Some(*c) == quote).is_some() {
            // The separator that was put behind the text closes no quote.
            loop {
                let c = chars.next()?;
                if Some(c) != quote || chars.next_if_eq(&c).is_some() {
                    column.push(c);
                } else {
                    break;
                }
            }
            if chars.next()? != separator {
                return None;
            }
        } else {
            loop {
                match chars.next()? {
                    c if c == separator => break,
                    c if Some(c) == quote => return None,
                    c => column.push(c),
                }
            }
        }
        columns.push(column);
    }
    Some(columns)
}

proptest! {
    #[test]
    fn columns_are_those_of_a_plain_reader(text in "[ab,\" \r]{0,14}", quoted: bool) {
        let quote = quoted.then_some('"');
        let found = parts(&parser(DelimiterPlan { quote, ..columns(",", &[]) }), text.as_bytes());
        let found = found.map(|parts| parts.into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect::<Vec<_>>());
        prop_assert_eq!(found, slow(&text, ',', quote));
    }

    #[test]
    fn what_a_writer_of_csv_wrote_comes_back(row in proptest::collection::vec("[a,\"\n\\PC]{0,6}", 1..6)) {
        let written: Vec<String> = row.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
        let found = parts(&parser(columns(",", &[])), written.join(",").as_bytes()).unwrap();
        let found: Vec<String> = found.into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect();
        prop_assert_eq!(found, row);
    }
}
