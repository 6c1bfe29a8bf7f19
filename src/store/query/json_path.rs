//! The values at a path of a JSON text, found in place: `user.id` in `{"user":{"id":7}}`.
//!
//! Names may hold dots themselves: `{"user.id":7}` is found too. Arrays are values as a whole, and have no paths below
//! them. A string with escapes is unescaped into a buffer that is kept from log to log; nothing else is copied. What is
//! no JSON has no values, but for those in front of its fault.

use crate::base::limits::DEPTH;
use crate::record::json::scan::{self, RawString, RawValue};
use crate::record::json::unescape;

/// Whether `test` holds for any value at the path. A string is given unescaped, null as nothing, all else as it stands.
pub(super) fn any_at(
    json: &[u8],
    path: &str,
    buffer: &mut Vec<u8>,
    test: &mut dyn FnMut(&[u8]) -> bool,
) -> bool {
    let start = scan::blanks(json, 0);
    match json.get(start) {
        Some(b'{') => any_in(json, start, path, buffer, test, DEPTH),
        _ => false,
    }
}

/// The object that begins at `at`. Each step down takes a name off the path.
fn any_in(
    json: &[u8],
    at: usize,
    path: &str,
    buffer: &mut Vec<u8>,
    test: &mut dyn FnMut(&[u8]) -> bool,
    depth: usize,
) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let mut at = scan::blanks(json, at + 1);
    loop {
        let Ok(key) = scan::string(json, at) else { return false };
        let Ok(colon) = scan::expect(json, scan::blanks(json, key.end + 1), b':') else { return false };
        let start = scan::blanks(json, colon);
        let Ok((value, end)) = scan::value(json, start, depth) else { return false };
        match rest_of(json, key, path, buffer) {
            Some("") => {
                let found = match value {
                    RawValue::Text(raw) => text(json, raw, buffer),
                    RawValue::Null => b"",
                    _ => json.get(start..end).unwrap_or_default(),
                };
                if test(found) {
                    return true;
                }
            }
            Some(rest)
                if json.get(start) == Some(&b'{') && any_in(json, start, rest, buffer, test, depth) =>
            {
                return true;
            }
            _ => {}
        }
        at = scan::blanks(json, end);
        if json.get(at) != Some(&b',') {
            return false;
        }
        at = scan::blanks(json, at + 1);
    }
}

/// What is left of the path behind this key; none when it is not on the path.
fn rest_of<'p>(json: &[u8], key: RawString, path: &'p str, buffer: &mut Vec<u8>) -> Option<&'p str> {
    let key = text(json, key, buffer);
    let rest = path.as_bytes().strip_prefix(key)?;
    match rest.first() {
        None => Some(""),
        Some(b'.') => path.get(key.len() + 1..).filter(|rest| !rest.is_empty()),
        Some(_) => None,
    }
}

fn text<'a>(json: &'a [u8], raw: RawString, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    let between = json.get(raw.start..raw.end).unwrap_or_default();
    if !raw.escaped {
        return between;
    }
    buffer.clear();
    // No escape is shorter than what it stands for.
    buffer.resize(between.len(), 0);
    let length = unescape(between, buffer);
    buffer.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(json: &str, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        any_at(json.as_bytes(), path, &mut Vec::new(), &mut |value| {
            found.push(String::from_utf8_lossy(value).into_owned());
            false
        });
        found
    }

    #[test]
    fn finds_values_by_path() {
        let json = r#" {"a": {"b": 7, "c.d": "x\ny", "e": {"f": null}}, "a.b": true, "l": [1, {"b": 2}], "\u0061": {"b":"z"}}"#;
        assert_eq!(at(json, "a.b"), ["7", "true", "z"]);
        assert_eq!(at(json, "a.c.d"), ["x\ny"]);
        assert_eq!(at(json, "a.e.f"), [""]);
        assert_eq!(at(json, "a.e"), [r#"{"f": null}"#]);
        assert_eq!(at(json, "l"), [r#"[1, {"b": 2}]"#]);
        for nothing in ["", "b", "a.", "l.b", "a.b.c", "l[0]"] {
            assert!(at(json, nothing).is_empty(), "{nothing}");
        }
        for no_object in ["", "7", "[1]", "{", "{}", "{\"a\"", "{\"a\":"] {
            assert!(at(no_object, "a").is_empty(), "{no_object}");
        }
        let deep = format!("{}7{}", "{\"a\":".repeat(1_000), "}".repeat(1_000));
        assert!(at(&deep, &["a"; 1_000].join(".")).is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(json: Vec<u8>, text in "[{}\\[\\]\",:a.\\\\ 1]{0,40}") {
            any_at(&json, "a.a", &mut Vec::new(), &mut |_| false);
            any_at(text.as_bytes(), "a.a", &mut Vec::new(), &mut |_| false);
        }
    }
}
