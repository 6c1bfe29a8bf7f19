//! Tag patterns as Fluentd's `<match>` has them.
//!
//! ```text
//! *       anything within one dotted part          a.*     a.b        not a, not a.b.c
//! **      any number of parts, none included       a.**    a  a.b  a.b.c     not ab
//!                                                  **.c    c  b.c  a.b.c     a.**.c   a.c  a.b.c
//! {x,y}   x or y, each a pattern itself            {a,b.*}.c     a.c  b.x.c
//! \x      the character x itself                   blanks separate patterns, any of which may match
//! ```
//!
//! The meaning is that of `Fluent::GlobMatchPattern`: a `*` also stands inside a part (`web*`), and a `**` right behind
//! a dot takes that dot with it when nothing follows. All patterns of a route become one regular expression whose time is
//! linear in the tag, since the tag comes from the network; matching allocates nothing. Stricter than Fluentd: an
//! unclosed brace is an error, and `/regex/` is refused (field conditions take those).

use regex::bytes::{Regex, RegexBuilder};

/// Braces in braces: nobody nests deeper, and compiling is recursive.
const DEPTH: usize = 16;

#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Everything,
    Regex(Regex),
}

impl Pattern {
    /// Matches every tag: a route without `match`.
    pub fn everything() -> Pattern {
        Pattern { text: "**".to_owned(), matcher: Matcher::Everything }
    }

    /// Parses one or several patterns separated by blanks; the error says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let patterns: Vec<&str> = text.split_whitespace().collect();
        if patterns.is_empty() {
            return Err("is empty; write ** to match every tag".to_owned());
        }
        if patterns.contains(&"**") {
            return Ok(Pattern { text: patterns.join(" "), matcher: Matcher::Everything });
        }
        let mut source = String::from("\\A(?:");
        for (index, pattern) in patterns.iter().enumerate() {
            if index > 0 {
                source.push('|');
            }
            translate(pattern, &mut source)?;
        }
        source.push_str(")\\z");
        let regex = RegexBuilder::new(&source)
            .unicode(false)
            .dot_matches_new_line(true)
            // Makes `(?m:$)` mean: here a part ends.
            .line_terminator(b'.')
            .build()
            .map_err(|_| "is too large a pattern".to_owned())?;
        Ok(Pattern { text: patterns.join(" "), matcher: Matcher::Regex(regex) })
    }

    pub fn matches(&self, tag: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Everything => true,
            Matcher::Regex(regex) => regex.is_match(tag),
        }
    }

    pub fn matches_everything(&self) -> bool {
        matches!(self.matcher, Matcher::Everything)
    }

    /// The pattern as typed.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Writes one pattern as a regular expression over bytes.
fn translate(pattern: &str, out: &mut String) -> Result<(), String> {
    if pattern.len() > 1 && pattern.starts_with('/') && pattern.ends_with('/') {
        return Err(format!("has the regular expression {pattern}; tags take *, ** and {{a,b}}"));
    }
    let mut depth = 0usize;
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        // A dot in front of `**` belongs to it: `a.**` also matches `a`, but never `ab`.
        let (dotted, stars) = match rest.strip_prefix('.') {
            Some(after) if after.starts_with("**") => (true, after),
            _ => (false, rest),
        };
        if let Some(after) = stars.strip_prefix("**") {
            if dotted {
                out.push_str("(?m:$)");
            }
            rest = match after.strip_prefix('.') {
                Some(after) => {
                    out.push_str(r"(?:.*\.|\A)");
                    after
                }
                None => {
                    out.push_str(".*");
                    after
                }
            };
            continue;
        }
        rest = &rest[letter.len_utf8()..];
        match letter {
            '*' => out.push_str(r"[^.]*"),
            '{' if depth == DEPTH => return Err("has braces nested too deeply".to_owned()),
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            '\\' => {
                let Some(escaped) = rest.chars().next() else {
                    return Err("ends with a backslash; write \\\\ for one".to_owned());
                };
                rest = &rest[escaped.len_utf8()..];
                push_literal(escaped, out);
            }
            other => push_literal(other, out),
        }
    }
    if depth > 0 {
        return Err(format!(
            "has a {{ without its }} in {pattern}; blanks separate patterns, also within braces"
        ));
    }
    Ok(())
}

/// A character as its UTF-8 bytes, whatever it would mean in a regular expression.
fn push_literal(letter: char, out: &mut String) {
    if letter.is_ascii_alphanumeric() {
        out.push(letter);
        return;
    }
    let mut buffer = [0; 4];
    for byte in letter.encode_utf8(&mut buffer).bytes() {
        out.push_str(&format!("(?-u:\\x{byte:02x})"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap();
        for tag in yes {
            assert!(parsed.matches(tag.as_bytes()), "{pattern} must match {tag}");
        }
        for tag in no {
            assert!(!parsed.matches(tag.as_bytes()), "{pattern} must not match {tag}");
        }
    }

    #[test]
    fn literal_patterns() {
        check("a", &["a"], &["", "b", "ab", "a.b", "a.b.c", "A"]);
        check("a.b", &["a.b"], &["a", "axb", "a.b.c", "a."]);
        check("web-1_x:y/z", &["web-1_x:y/z"], &["web-1_x:y"]);
        check("a+(b)[c]^$|?", &["a+(b)[c]^$|?"], &["aab", "a"]);
        check("日志.*", &["日志.x"], &["日.x"]);
    }

    #[test]
    fn one_star_stays_within_a_part() {
        check("*", &["a", "web"], &["a.b", ".a"]);
        check("a*", &["a", "ab", "abc"], &["b", "a.b", "ab.c"]);
        check("*a", &["a", "ba"], &["ab", "b.a"]);
        check("*a*", &["a", "xay"], &["b", "x.a"]);
        check("a.*", &["a.b", "a.bc"], &["a", "a.b.c", "b.a", "ab.c"]);
        check("a.*.c", &["a.b.c", "a.bcd.c"], &["a.c", "a.b.d", "a.b.b.c"]);
        check("a.b*.c", &["a.b.c", "a.bcd.c"], &["a.x.c", "a.b.x.c"]);
        check("web*", &["web", "web1", "web-a"], &["aweb", "web.1"]);
    }

    #[test]
    fn two_stars_are_any_number_of_parts() {
        check("**", &["", "a", "a.b.c"], &[]);
        check("a.**", &["a", "a.b", "a.b.c", "a."], &["ab", "abc", "b.a", "ab.c"]);
        check("a**", &["a", "ab", "abc", "ab.c", "a.b"], &["b", "b.a"]);
        check("**a", &["a", "ba", "b.a", "c.ba"], &["ab", "b.b"]);
        check("**.a", &["a", "b.a", "c.b.a"], &["ba", "c.ba", "a.b"]);
        check("**.c", &["c", "a.c", "a.b.c"], &["ac", "c.d"]);
        check("a.**.c", &["a.c", "a.b.c", "a.b.x.c"], &["a", "ac", "a.bc", "a.b", "ab.c"]);
        check("a.**b", &["a.b", "a.xb", "a.x.b"], &["ab", "a", "a.bc", "a.x"]);
        check("a.**.b.*", &["a.b.x", "a.x.y.b.z"], &["a.b", "a.x.y"]);
        check("**.a.**", &["a", "x.a", "a.x", "x.a.y"], &["xa", "ax", "x.y"]);
        check("a.**.**.c", &["a.b.c", "a.b.x.c"], &["ac"]);
    }

    #[test]
    fn alternatives() {
        check("{a,b}", &["a", "b"], &["", "ab", "{a,b}", "c"]);
        check("a.{b,c}", &["a.b", "a.c"], &["a", "a.d", "a.b.c"]);
        check("{a,b}.*", &["a.x", "b.y"], &["c.x", "a", "a.x.y"]);
        check("a.{b,c.d}.**", &["a.b", "a.c.d", "a.b.x.y", "a.c.d.e"], &["a.c", "a.c.x", "a.bx", "a"]);
        check("a.{b,**}.d", &["a.b.d", "a.x.y.d"], &["a.b.e"]);
        check("{a.,b.}**", &["a.", "a.x", "b.x.y"], &["a", "b"]);
        check("{a,{b,c}x}.d", &["a.d", "bx.d", "cx.d"], &["b.d", "ax.d"]);
        check("a.**{.b,c}", &["a.b", "a.x.b", "a.c", "a.xc"], &["ab", "ac", "a"]);
        check("{,web}1", &["1", "web1"], &["web"]);
        check("a{b,c*}d", &["abd", "acd", "acxxd"], &["ad", "ac.d"]);
    }

    #[test]
    fn several_patterns() {
        check("a b.*  {c,d}.**", &["a", "b.x", "c", "d.e.f"], &["b", "a.x", "e"]);
        check("docker.** app.{web,api}", &["docker", "docker.x", "app.api"], &["app", "app.db"]);
        assert!(Pattern::parse("a **").unwrap().matches_everything());
        assert_eq!(Pattern::parse(" a \t b ").unwrap().text(), "a b");
    }

    #[test]
    fn escapes_and_odd_bytes() {
        check(r"a\*", &["a*"], &["ab", r"a\*"]);
        check(r"\{a\,b\}", &["{a,b}"], &["a"]);
        check("a}b,c", &["a}b,c"], &["a"]);
        assert!(Pattern::parse("a.**").unwrap().matches(b"a.\xff\n\xfe"));
        assert!(Pattern::parse("*").unwrap().matches(b"\xff\n"));
    }

    #[test]
    fn what_is_no_pattern() {
        for wrong in ["", "  ", "{a", "{a, b}", "a\\", "/a.*/", &"{".repeat(40)] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Fluentd's algorithm on a small scale, by trying every split; slow and obviously right.
    fn naive(pattern: &[u8], tag: &[u8], at_start: bool) -> bool {
        let any_split = |rest: &[u8]| (0..=tag.len()).any(|at| naive(rest, &tag[at..], at_start && at == 0));
        match pattern {
            [] => tag.is_empty(),
            [b'.', b'*', b'*', rest @ ..] => {
                (tag.is_empty() || tag[0] == b'.') && {
                    let stars: Vec<u8> = [b"**", rest].concat();
                    naive(&stars, tag, at_start)
                }
            }
            [b'*', b'*', b'.', rest @ ..] => {
                (at_start && naive(rest, tag, true))
                    || (0..tag.len()).any(|at| tag[at] == b'.' && naive(rest, &tag[at + 1..], false))
            }
            [b'*', b'*', rest @ ..] => any_split(rest),
            [b'*', rest @ ..] => (0..=tag.len())
                .take_while(|at| !tag[..*at].contains(&b'.'))
                .any(|at| naive(rest, &tag[at..], at_start && at == 0)),
            [letter, rest @ ..] => tag.first() == Some(letter) && naive(rest, &tag[1..], false),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_naive_one(pattern in "[ab.]{0,2}(\\*{1,2}[ab.]{0,2}){0,3}", tag in "[ab.]{0,7}") {
            if let Ok(parsed) = Pattern::parse(&pattern) {
                prop_assert_eq!(parsed.matches(tag.as_bytes()), naive(pattern.as_bytes(), tag.as_bytes(), true), "{} {}", pattern, tag);
            }
        }

        #[test]
        fn no_pattern_panics(pattern in "[ab.*{},\\\\/ é]{0,20}", tag in ".{0,20}") {
            if let Ok(parsed) = Pattern::parse(&pattern) {
                parsed.matches(tag.as_bytes());
            }
        }
    }
}
