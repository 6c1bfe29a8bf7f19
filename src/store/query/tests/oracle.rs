//! Searches against a slow evaluation that is written down as the language is defined, under several indexes; and that a
//! pack with a match is never skipped.

use proptest::prelude::*;

use super::{field, pair};
use crate::store::Index;
use crate::store::query::filter::{Filter, tokens_of};
use crate::store::query::{Subject, read};
use crate::wire::loggroup::walk;

/// Texts of a regular expression that is read once.
fn texts(expression: &str) -> impl Strategy<Value = String> + use<> {
    prop::string::string_regex(expression).unwrap()
}

/// How a field is cut and compared.
#[derive(Clone, Copy, Debug)]
struct Cut {
    tokens: &'static str,
    sensitive: bool,
    chinese: bool,
}

const DEFAULT: Cut = Cut { tokens: ", '\";=()[]{}?@&<>/:\n\t\r", sensitive: false, chinese: false };

/// An index, as JSON and as what it means: for the full text, and for the field `f`.
fn indexes() -> impl Strategy<Value = (Option<String>, Cut, Cut)> {
    let cut = || {
        let tokens = prop::sample::select(vec![DEFAULT.tokens, " ,", "-", " \u{ff0c}", ""]);
        (tokens, any::<bool>(), any::<bool>()).prop_map(|(tokens, sensitive, chinese)| Cut {
            tokens,
            sensitive,
            chinese,
        })
    };
    prop_oneof![
        1 => Just((None, DEFAULT, DEFAULT)),
        4 => (cut(), cut()).prop_map(|(line, own)| (Some(config(line, own)), line, own)),
    ]
}

fn config(line: Cut, own: Cut) -> String {
    let part = |cut: Cut| {
        let tokens: Vec<String> = cut.tokens.chars().map(String::from).collect();
        serde_json::json!({ "type": "text", "token": tokens, "caseSensitive": cut.sensitive, "chn": cut.chinese })
    };
    serde_json::json!({ "line": part(line), "keys": { "f": part(own), "n": { "type": "long" } } }).to_string()
}

#[derive(Clone, Debug)]
enum Ask {
    /// In `f`, or anywhere; quoted or with wildcards.
    Words {
        field: bool,
        text: String,
        wild: bool,
    },
    Phrase {
        field: bool,
        text: String,
    },
    JsonPath(String),
    Exists(bool),
    AtLeast(i64),
    Not(Box<Ask>),
    And(Box<Ask>, Box<Ask>),
    Or(Box<Ask>, Box<Ask>),
}

const WORD: &str = "[aAb\u{e9}\u{c9}\u{8ba2}\u{5355}\u{672a}\u{ff0c}.-]{1,4}";

fn asks() -> impl Strategy<Value = Ask> {
    let leaf = prop_oneof![
        4 => (any::<bool>(), texts("[aAb\u{e9}\u{c9}\u{8ba2}\u{5355}\u{672a}\u{ff0c}., =/-]{1,6}"))
            .prop_map(|(field, text)| Ask::Words { field, text, wild: false }),
        2 => (any::<bool>(), texts("[aAb\u{e9}\u{8ba2}/-][aAb\u{e9}\u{c9}\u{8ba2}*?/-]{0,4}"))
            .prop_map(|(field, text)| Ask::Words { field, text, wild: true }),
        2 => (any::<bool>(), texts("[aAb\u{8ba2}\u{5355}\u{672a} ,/-]{0,4}a")).prop_map(|(field, text)| Ask::Phrase { field, text }),
        1 => texts(WORD).prop_map(Ask::JsonPath),
        1 => any::<bool>().prop_map(Ask::Exists),
        1 => (-2i64..3).prop_map(Ask::AtLeast),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ask| Ask::Not(Box::new(ask))),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| Ask::And(Box::new(one), Box::new(other))),
            (inner.clone(), inner).prop_map(|(one, other)| Ask::Or(Box::new(one), Box::new(other))),
        ]
    })
}

fn written(ask: &Ask) -> String {
    let name = |field: &bool| if *field { "f: " } else { "" };
    match ask {
        Ask::Words { field, text, wild: true } => format!("{}{text}", name(field)),
        Ask::Words { field, text, .. } => format!("{}\"{text}\"", name(field)),
        Ask::Phrase { field, text } => format!("{}#\"{text}\"", name(field)),
        Ask::JsonPath(text) => format!("j.x: \"{text}\""),
        Ask::Exists(own) => format!("{}:*", if *own { "f" } else { "absent" }),
        Ask::AtLeast(number) => format!("n >= {number}"),
        Ask::Not(ask) => format!("not ({})", written(ask)),
        Ask::And(one, other) => format!("({}) ({})", written(one), written(other)),
        Ask::Or(one, other) => format!("({}) OR ({})", written(one), written(other)),
    }
}

fn is_chinese(c: char) -> bool {
    "\u{8ba2}\u{5355}\u{672a}".contains(c)
}

/// Words of a value; ideographs by themselves where Chinese is cut.
fn words(value: &str, cut: Cut, wildcards: bool) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in value.chars() {
        let separates = cut.tokens.contains(c) || (cut.chinese && c == '\u{ff0c}');
        if separates && !(wildcards && c == '?') {
            words.push(String::new());
        } else if cut.chinese && is_chinese(c) {
            words.extend([c.to_string(), String::new()]);
        } else {
            words.last_mut().unwrap().push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn same(one: &str, other: &str, cut: Cut) -> bool {
    if cut.sensitive { one == other } else { one.to_lowercase() == other.to_lowercase() }
}

fn glob(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => glob(rest, text) || (!text.is_empty() && glob(pattern, &text[1..])),
        (Some(('?', rest)), Some((_, text))) => glob(rest, text),
        (Some((wanted, rest)), Some((found, text))) => wanted == found && glob(rest, text),
        _ => false,
    }
}

struct Reference<'a> {
    line: Cut,
    own: Cut,
    values: &'a [(&'a str, String)],
}

impl Reference<'_> {
    /// Whether the values of a field, or all, hold each word of a text; a word in any of them when no field is named.
    fn holds(&self, values: &[&str], text: &str, wild: bool, cut: Cut, together: bool) -> bool {
        // Ideographs that stand together are looked for together.
        let mut parts: Vec<String> = Vec::new();
        let mut run = false;
        for c in text.chars() {
            let ideograph = cut.chinese && is_chinese(c);
            let separator =
                (cut.tokens.contains(c) && !(wild && "*?".contains(c))) || (cut.chinese && c == '\u{ff0c}');
            if parts.is_empty() || separator || ideograph != run {
                parts.push(String::new());
            }
            run = ideograph;
            if !separator {
                parts.last_mut().unwrap().push(c);
            }
        }
        let nothing = |part: &str| wild && part.chars().all(|c| c == '*' || (c == '?' && cut.chinese));
        parts.retain(|part| !part.is_empty() && !nothing(part));
        let one = |value: &str, part: &str| {
            if cut.chinese && part.chars().all(is_chinese) {
                return value.contains(part);
            }
            words(value, cut, false).iter().any(|word| {
                if !wild {
                    return same(word, part, cut);
                }
                let (word, part) = match cut.sensitive {
                    true => (word.clone(), part.to_owned()),
                    false => (word.to_lowercase(), part.to_lowercase()),
                };
                glob(&part.chars().collect::<Vec<_>>(), &word.chars().collect::<Vec<_>>())
            })
        };
        if together {
            return values.iter().any(|value| parts.iter().all(|part| one(value, part)));
        }
        parts.iter().all(|part| values.iter().any(|value| one(value, part)))
    }

    fn matches(&self, ask: &Ask) -> bool {
        let of = |name: &str| {
            self.values.iter().filter(|(key, _)| *key == name).map(|(_, value)| value.as_str()).collect()
        };
        let all: Vec<&str> = self.values.iter().map(|(_, value)| value.as_str()).collect();
        let own: Vec<&str> = of("f");
        let place = |field: bool| if field { (&own, self.own) } else { (&all, self.line) };
        match ask {
            Ask::Words { field, text, wild } => {
                let (values, cut) = place(*field);
                self.holds(values, text, *wild, cut, *field)
            }
            Ask::Phrase { field, text } => {
                let (values, cut) = place(*field);
                let wanted = words(text, cut, false);
                values.iter().any(|value| {
                    let found = words(value, cut, false);
                    found
                        .windows(wanted.len())
                        .any(|found| found.iter().zip(&wanted).all(|(one, other)| same(one, other, cut)))
                })
            }
            Ask::JsonPath(text) => {
                let leaf = |json: &str| {
                    let json: serde_json::Value = serde_json::from_str(json).unwrap();
                    json["x"].as_str().unwrap().to_owned()
                };
                let leaves: Vec<String> = of("j").into_iter().map(leaf).collect();
                self.holds(
                    &leaves.iter().map(String::as_str).collect::<Vec<_>>(),
                    text,
                    false,
                    self.line,
                    true,
                )
            }
            Ask::Exists(own) => *own && self.values.iter().any(|(key, _)| *key == "f"),
            Ask::AtLeast(number) => {
                of("n").iter().any(|value| value.parse::<i64>().is_ok_and(|found| found >= *number))
            }
            Ask::Not(ask) => !self.matches(ask),
            Ask::And(one, other) => self.matches(one) && self.matches(other),
            Ask::Or(one, other) => self.matches(one) || self.matches(other),
        }
    }
}

fn values() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let text = || texts("[aAb\u{e9}\u{c9}\u{8ba2}\u{5355}\u{672a}\u{ff0c}., =/-]{0,10}");
    let json = texts("[aAb\u{e9}\u{8ba2}\u{5355}., \n\"/-]{0,6}")
        .prop_map(|text| serde_json::json!({ "x": text }).to_string());
    let one = prop_oneof![
        3 => text().prop_map(|value| ("f", value)),
        3 => text().prop_map(|value| ("g", value)),
        1 => json.prop_map(|value| ("j", value)),
        1 => prop_oneof![(-2i64..3).prop_map(|n| n.to_string()), Just("x".to_owned())].prop_map(|value| ("n", value)),
    ];
    prop::collection::vec(one, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn searches_match_as_defined_and_skip_no_match((config, line, own) in indexes(), ask in asks(), values in values()) {
        let index = config.as_deref().map(|config| Index::parse(config.as_bytes(), 0).unwrap());
        let text = written(&ask);
        // A phrase behind `not`, or a word that starts with a wildcard once it is cut, is refused.
        let Ok(parsed) = read(&text, index.as_ref()) else { return Ok(()) };
        let mut log = vec![0x08, 0x07];
        for (key, value) in &values {
            pair(2, key, value.as_bytes(), &mut log);
        }
        let mut raw = Vec::new();
        field(1, &log, &mut raw);
        let group = walk(&raw).unwrap();
        let found = Subject::new(&group).matches(&parsed.search, &group.logs().next().unwrap());
        prop_assert_eq!(found, Reference { line, own, values: &values }.matches(&ask), "{}", text);
        if found {
            let mut hashes = Vec::new();
            tokens_of(&group, &mut |hash| hashes.push(hash));
            let filter = Filter::build(hashes.into_iter());
            prop_assert!(parsed.search.needed().is_none_or(|needed| needed.may_be_in(&filter)), "{}", text);
            prop_assert!(parsed.search.may_match(&raw), "{}", text);
        }
    }
}
