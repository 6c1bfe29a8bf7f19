use proptest::prelude::*;

use super::*;
use crate::config::linear_regex::LinearRegex;

fn plan(regex: &str, keys: &[&str]) -> ParsePlan {
    let keys = keys.iter().map(|&key| key.to_owned()).collect();
    of(ParseFormat::Regex { regex: LinearRegex::parse(regex).unwrap(), keys })
}

#[test]
fn groups_become_fields() {
    let before = [("source", "stdout"), ("log", "GET /a 200"), ("b", "1")];
    let wanted = [("source", "stdout"), ("method", "GET"), ("uri", "/a"), ("status", "200"), ("b", "1")];
    assert_eq!(parsed(&plan(r"(\w+) (\S+) (\d+)", &["method", "uri", "status"]), &before), owned(&wanted));
    let named = plan(r"(?<method>\w+) (?<uri>\S+) (?<status>\d+)(?<more> .*)?", &[]);
    let wanted = [&wanted[..4], &[("more", ""), ("b", "1")]].concat();
    assert_eq!(parsed(&named, &before), owned(&wanted));
    let some = ParsePlan { prefix: "p_".to_owned(), ..plan(r"(\w+) (\S+) (\d+)", &["_", "uri"]) };
    assert_eq!(parsed(&some, &[("log", "GET /a 200")]), owned(&[("p_uri", "/a")]));
}

#[test]
fn only_a_whole_text_is_of_the_format() {
    let parse = Parse::new(&plan(r"(a+)b?(?<c>c)*", &["a"]), Nil::Empty);
    assert_eq!(parts(&parse, b"aab"), Some(vec![("a".to_owned(), b"aa".to_vec())]));
    for text in ["", "b", "aabx", "xaab", "aab\n"] {
        assert_eq!(parts(&parse, text.as_bytes()), None, "{text}");
    }
    let any = Parse::new(&plan(r"<(.*)>", &["a"]), Nil::Empty);
    assert_eq!(parts(&any, b"<\xff\n>"), Some(vec![("a".to_owned(), b"\xff\n".to_vec())]));
}

#[test]
fn expressions_of_one_lane_do_not_get_into_each_others_way() {
    let mut scratch = Scratch::default();
    let one = Parse::new(&plan("(a)(b)(c)", &["a", "b", "c"]), Nil::Empty);
    let other = Parse::new(&plan("(abc)", &["all"]), Nil::Empty);
    for _ in 0..2 {
        let mut batch = Batch::default();
        for (parse, text) in
            [(&one, vec![("a", "a"), ("b", "b"), ("c", "c")]), (&other, vec![("all", "abc")])]
        {
            record(&mut batch, &[("log", "abc")]);
            let last = batch.records.len() - 1;
            parse.apply(&mut batch, last, &mut scratch);
            assert_eq!(fields(&batch, last), owned(&text));
        }
    }
}

proptest! {
    #[test]
    fn groups_are_those_of_a_match_of_the_whole_text(text in "[abc]{0,12}") {
        for regex in ["(a*)(b|bc)*(c?)(.*)", "(a+?)(.*?)(b*)(c+)", "(?:(a)|(b)|(c))*", "(.*)(b)(.*)()"] {
            let keys: Vec<String> = (1..LinearRegex::parse(regex).unwrap().captures_len()).map(|n| format!("k{n}")).collect();
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let parse = Parse::new(&plan(regex, &keys), Nil::Empty);
            let slow = ::regex::Regex::new(&format!(r"\A(?s:{regex})\z")).unwrap();
            let wanted = slow.captures(&text).map(|found| {
                let value = |at: usize| found.get(at).map_or(vec![], |group| group.as_str().as_bytes().to_vec());
                keys.iter().enumerate().map(|(at, key)| ((*key).to_owned(), value(at + 1))).collect::<Vec<_>>()
            });
            prop_assert_eq!(parts(&parse, text.as_bytes()), wanted);
        }
    }
}
