//! Regular expressions as they are typed: always those whose time is linear in the text, whatever a peer or a file brings.
//!
//! What other engines know beside that (look-around, back-references, possessive and atomic groups) is told apart from a slip
//! of the pen, with what can be written instead. Possessive quantifiers are refused although they could be read: `a++` would
//! mean `(a+)+` here, and who wrote it meant something else.

use std::fmt;
use std::ops::Deref;

use regex::bytes::Regex;

/// A regular expression, known by its text.
#[derive(Clone, Debug)]
pub struct LinearRegex(Regex);

impl LinearRegex {
    /// The error says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<LinearRegex, String> {
        if let Some(foreign) = foreign(text) {
            return Err(foreign);
        }
        match Regex::new(text) {
            Ok(regex) => Ok(LinearRegex(regex)),
            Err(error) => Err(format!("is not a regular expression: {}", last_line(&error.to_string()))),
        }
    }
}

/// Syntax errors come as a drawing of several lines; the last one says what is wrong.
fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

const AHEAD: &str = "match the text behind it as well, and take what is wanted as a group";
const NOT_AHEAD: &str =
    "say what may stand there, such as [^,]*, or drop such records in a step of their own";
const BEHIND: &str = "match the text before it as well, and take what is wanted as a group";
const NOT_BEHIND: &str =
    "say what may stand before it, such as (?:^|[^,]), and take what is wanted as a group";
const BACK: &str = "take both places as groups of their own, and compare their fields later";
const ATOMIC: &str = "write (?:...), which is as fast here: nothing is ever tried twice";
const POSSESSIVE: &str = "leave the + out, which changes nothing here: nothing is ever tried twice";
const CONDITIONAL: &str = "write both alternatives out, as (?:a|b)";
const RECURSION: &str = "write the levels out that can occur";
const RESET: &str = "take what is wanted as a group";

/// What a group can begin with that needs more than linear time. The longer ones first.
const GROUPS: [(&str, &str, &str); 9] = [
    ("(?<=", "a look-behind", BEHIND),
    ("(?<!", "a look-behind", NOT_BEHIND),
    ("(?=", "a look-ahead", AHEAD),
    ("(?!", "a look-ahead", NOT_AHEAD),
    ("(?>", "an atomic group", ATOMIC),
    ("(?(", "a conditional group", CONDITIONAL),
    ("(?P=", "a back-reference", BACK),
    ("(?R", "a recursion", RECURSION),
    ("(?&", "a recursion", RECURSION),
];

/// What a backslash can stand before that needs more than linear time.
const ESCAPES: [(&str, &str, &str); 6] = [
    ("k<", "a back-reference", BACK),
    ("k{", "a back-reference", BACK),
    ("k'", "a back-reference", BACK),
    ("g{", "a back-reference", BACK),
    ("K", "a reset of the match", RESET),
    ("G", "an anchor at the last match", "leave it out: each text is matched once"),
];

/// What only engines know that go back, with what to write instead; a walk that knows escapes, classes and quantifiers.
fn foreign(text: &str) -> Option<String> {
    let mut rest = text;
    // Whether what stands just before is a quantifier, behind which a + is possessive.
    let mut quantified = false;
    let refused = |what: &str, typed: &str, instead: &str| {
        Some(format!("has {what} ({typed}), which takes more than linear time; {instead}"))
    };
    while let Some(first) = rest.chars().next() {
        if let Some(escaped) = rest.strip_prefix('\\') {
            if let Some((typed, what, instead)) =
                ESCAPES.iter().find(|(typed, ..)| escaped.starts_with(typed))
            {
                return refused(what, &format!("\\{typed}"), instead);
            }
            if let Some(digit) = escaped.chars().next().filter(|first| matches!(first, '1'..='9')) {
                return refused("a back-reference", &format!("\\{digit}"), BACK);
            }
            rest = behind_escape(escaped);
            quantified = false;
        } else if first == '[' {
            rest = behind_class(rest);
            quantified = false;
        } else if let Some(inner) = rest.strip_prefix("(?") {
            if let Some((typed, what, instead)) = GROUPS.iter().find(|(typed, ..)| rest.starts_with(typed)) {
                return refused(what, typed, instead);
            }
            // With the flag x, a # begins a comment, in which anything may stand.
            let flags = inner.find([':', ')', '<']).and_then(|end| inner.get(..end)).unwrap_or_default();
            if flags.split('-').next().is_some_and(|on| on.contains('x')) {
                return None;
            }
            rest = inner;
            quantified = false;
        } else {
            if quantified && first == '+' {
                return refused("a possessive quantifier", "a + behind a quantifier", POSSESSIVE);
            }
            // A ? behind a quantifier makes it lazy, and is none itself.
            quantified = match first {
                '*' | '+' | '}' => true,
                '?' => !quantified,
                _ => false,
            };
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    None
}

/// The text behind an escape, from behind its backslash: `d`, `x{41}`, `p{Greek}`.
fn behind_escape(escaped: &str) -> &str {
    let Some(first) = escaped.chars().next() else { return "" };
    let rest = escaped.get(first.len_utf8()..).unwrap_or_default();
    if matches!(first, 'x' | 'u' | 'U' | 'p' | 'P')
        && let Some(inner) = rest.strip_prefix('{')
    {
        return inner.split_once('}').map_or("", |(_, behind)| behind);
    }
    rest
}

/// The text behind a class, which may hold others, and a `]` as its first character.
fn behind_class(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
        match first {
            '\\' => rest = behind_escape(rest),
            '[' => {
                depth += 1;
                rest = rest.strip_prefix('^').unwrap_or(rest);
                rest = rest.strip_prefix(']').unwrap_or(rest);
            }
            ']' => {
                depth -= 1;
                if depth == 0 {
                    return rest;
                }
            }
            _ => {}
        }
    }
    rest
}

impl Deref for LinearRegex {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl fmt::Display for LinearRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl PartialEq for LinearRegex {
    fn eq(&self, other: &LinearRegex) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for LinearRegex {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_needs_another_engine_is_named_with_what_to_write() {
        for (text, what) in [
            (r"a(?=b)", "a look-ahead ((?=)"),
            (r"^(?!DEBUG).*", "a look-ahead ((?!)"),
            (r"(?<=a)b", "a look-behind ((?<=)"),
            (r"(?<!a)b", "a look-behind ((?<!)"),
            (r"(a)\1", r"a back-reference (\1)"),
            (r"(?<q>a)\k<q>", r"a back-reference (\k<)"),
            (r"(?P<q>a)(?P=q)", "a back-reference ((?P=)"),
            (r"(?>a+)b", "an atomic group ((?>)"),
            (r"a++b", "a possessive quantifier"),
            (r"[^]+]*+b", "a possessive quantifier"),
            (r"\d{2}+b", "a possessive quantifier"),
            (r"a?+b", "a possessive quantifier"),
            (r"\p{L}++", "a possessive quantifier"),
            (r"(?(1)a|b)", "a conditional group"),
            (r"a\Kb", "a reset of the match"),
        ] {
            let error = LinearRegex::parse(text).unwrap_err();
            assert!(error.starts_with(&format!("has {what}")), "{text}: {error}");
            assert!(error.contains("more than linear time; "), "{text}: {error}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_read() {
        for text in [
            r"[(?=a)]+",
            r"\(\?=a",
            r"a+?b*?c??",
            r"\++",
            r"[+*]+",
            r"[]+*+]+",
            r"[a-z&&[^+*+]]+",
            r"\p{L}+\x{41}+",
            r"a{2,3}?",
            r"(?<name>a+)",
            r"(?P<name>a)",
            r"(?i-u:a)+",
            "(?x) a+ # (?=b) a++\n b",
            r"\\1",
        ] {
            assert!(LinearRegex::parse(text).is_ok(), "{text}: {:?}", LinearRegex::parse(text));
        }
        assert_eq!(LinearRegex::parse("(").unwrap_err(), "is not a regular expression: unclosed group");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r"[\\()\[\]?<=!>+*{}^1kKaé,]{0,12}") {
            let _ = LinearRegex::parse(&text);
        }
    }
}
