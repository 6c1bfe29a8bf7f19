//! The groups of a regular expression that become fields, and the expression as `parse: regex` applies it.
//!
//! It has to match the whole text, as in Logtail; a search in it would parse lines that are not of the format. It reads
//! bytes, as Logtail's does: `.` is any byte, a newline too, and `\w`, `\d`, `\s` are those of ASCII, so that a line in
//! another charset, or cut inside a character, matches as well. `(?u)` and `(?-s)` change that. An expression with
//! characters beyond ASCII in it is read by characters, since a class of them means nothing to bytes.

use regex::bytes::{Regex, RegexBuilder};

use super::linear_regex::LinearRegex;

/// Stands for a group, or a column, that becomes no field.
pub const SKIPPED: &str = "_";

/// The expression that matches what this one matches from the first byte to the last. It begins at the beginning, so that
/// one pass over the text finds all groups where the expression allows that.
pub fn whole(regex: &LinearRegex) -> Result<Regex, String> {
    let text = regex.as_str();
    // The newline ends a comment, where the expression may have some.
    let both = [format!("^(?:{text})$"), format!("^(?:{text}\n)$")];
    let build = |unicode: bool| {
        both.iter()
            .find_map(|text| RegexBuilder::new(text).unicode(unicode).dot_matches_new_line(true).build().ok())
    };
    build(false).or_else(|| build(true)).ok_or_else(|| "is too large a regular expression".to_owned())
}

/// The groups that become fields: their numbers and the fields' names. Without keys they are those that have a name.
pub fn named(regex: &LinearRegex, keys: &[String]) -> Vec<(usize, String)> {
    let skipped = |(_, key): &(usize, String)| key != SKIPPED;
    if keys.is_empty() {
        let names = regex.capture_names().enumerate();
        return names.filter_map(|(at, name)| Some((at, name?.to_owned()))).filter(skipped).collect();
    }
    keys.iter().enumerate().map(|(at, key)| (at + 1, key.clone())).filter(skipped).collect()
}

/// Whether the expression has a group for each key, or names of its own where there are no keys, and something comes of a
/// match. The error says what is wrong and what would be right.
pub fn check(regex: &LinearRegex, keys: &[String]) -> Result<(), String> {
    whole(regex)?;
    let groups = regex.captures_len() - 1;
    if keys.is_empty() && regex.capture_names().flatten().next().is_none() {
        return Err("has no named group, as (?<status>\\d+); name its groups here or list `keys`".to_owned());
    }
    if keys.len() > groups {
        return Err(format!(
            "has {groups} groups for {} keys; put what each key takes in parentheses",
            keys.len()
        ));
    }
    let named = named(regex, keys);
    if named.is_empty() {
        return Err(format!("becomes no field: all its groups are `{SKIPPED}`"));
    }
    for (at, (_, key)) in named.iter().enumerate() {
        if named.iter().take(at).any(|(_, other)| other == key) {
            return Err(format!("has two groups for `{key}`; use `{SKIPPED}` for one that is not needed"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, keys: &[&str]) -> Result<Vec<(usize, String)>, String> {
        let regex = LinearRegex::parse(text).unwrap();
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        check(&regex, &keys).map(|()| named(&regex, &keys))
    }

    fn owned(groups: &[(usize, &str)]) -> Vec<(usize, String)> {
        groups.iter().map(|&(at, name)| (at, name.to_owned())).collect()
    }

    #[test]
    fn groups_have_names_or_keys_in_order() {
        assert_eq!(of("(a)(?<x>b)(?<_>c)", &[]), Ok(owned(&[(2, "x")])));
        assert_eq!(of("(?<x>a)(b)(c)(d)", &["k", "_", "l"]), Ok(owned(&[(1, "k"), (3, "l")])));
        for (regex, keys, wrong) in [
            ("(a)", &["a", "b"][..], "has 1 groups for 2 keys"),
            ("(?:a)", &["a"], "has 0 groups"),
            ("(a)", &[], "has no named group"),
            ("(a)", &["_"], "becomes no field"),
            ("(?<_>a)", &[], "becomes no field"),
            ("(a)(b)", &["a", "a"], "has two groups for `a`"),
        ] {
            let found = of(regex, keys).unwrap_err();
            assert!(found.starts_with(wrong), "{found}");
        }
        assert!(of("(a)(b)(c)", &["_", "_", "a"]).is_ok());
    }

    #[test]
    fn only_the_whole_text_matches_and_bytes_are_enough() {
        let is_match =
            |regex: &str, text: &[u8]| whole(&LinearRegex::parse(regex).unwrap()).unwrap().is_match(text);
        assert!(is_match("a|ab", b"ab"));
        assert!(!is_match("a|b", b"ab") && !is_match("(?m)a", b"x\na\nx") && !is_match("a$", b"a\n"));
        assert!(is_match("(?x) a b # two", b"ab") && !is_match("(?x) a # )", b"ab"));
        assert!(is_match("\\[(.*)\\]", b"[\xff\n\xd6\xd0]") && !is_match("(?-s).*", b"a\nb"));
        assert!(!is_match("\\w", "é".as_bytes()) && is_match("(?u)\\w", "é".as_bytes()));
        assert!(is_match("[é]\\w", "éé".as_bytes()) && is_match("\\p{Lu}", "É".as_bytes()));
    }
}
