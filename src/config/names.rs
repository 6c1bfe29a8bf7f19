//! Names: of Log Service's projects and logstores, of our own maps, and what was probably meant by a misspelt one.
//!
//! ```text
//! project   3..63 of [a-z0-9-], first and last a letter or digit        (Log Service: limits, "names")
//! logstore  3..63 of [a-z0-9_-], first and last a letter or digit
//! map key   1..63 of [a-z0-9_-], first a letter; no `__`, which separates the parts of an environment variable
//! ```

/// Longest name of a project or logstore.
pub const NAME_BYTES: usize = 63;
/// Shortest name of a project or logstore.
const NAME_BYTES_AT_LEAST: usize = 3;
/// The logstore of a record whose template gives nothing that could be a name.
pub const UNNAMED_LOGSTORE: &str = "unnamed";

/// Whether Log Service takes this name for a logstore.
pub fn is_logstore_name(name: &str) -> bool {
    is_name(name, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

/// Whether Log Service takes this name for a project.
pub fn is_project_name(name: &str) -> bool {
    is_name(name, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_name(name: &str, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = name.as_bytes();
    (NAME_BYTES_AT_LEAST..=NAME_BYTES).contains(&bytes.len())
        && bytes.iter().all(|byte| inner(*byte))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// Why a key of `inputs`, `destinations` or `buffers` is no name, if it is none.
pub(super) fn check_map_key(name: &str) -> Result<(), String> {
    let legal = name.len() <= NAME_BYTES
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
        && !name.contains("__");
    if legal { Ok(()) } else { Err("is not a name; use a-z, 0-9, - and single _, a letter first".to_owned()) }
}

/// Makes any text a legal logstore name, replacing what is in `out`: lower case, runs of other characters become one
/// `-`, ends are trimmed to letters or digits, long names are cut, short ones padded with `0`. When nothing is left, it
/// is [`UNNAMED_LOGSTORE`]. Cleaning a legal name changes nothing. Does not allocate once `out` holds 63 bytes.
pub fn clean_logstore_name(raw: &[u8], out: &mut String) {
    out.clear();
    let mut replaced = false;
    for byte in raw {
        if out.len() == NAME_BYTES {
            break;
        }
        let byte = byte.to_ascii_lowercase();
        if byte.is_ascii_alphanumeric() || (matches!(byte, b'-' | b'_') && !out.is_empty()) {
            out.push(byte as char);
            replaced = false;
        } else if !replaced && !out.is_empty() {
            // A template often has its own hyphen before a value that begins with what is replaced, such as `/web`.
            if !out.ends_with('-') {
                out.push('-');
            }
            replaced = true;
        }
    }
    let kept = out.trim_end_matches(['-', '_']).len();
    out.truncate(kept);
    if out.is_empty() {
        out.push_str(UNNAMED_LOGSTORE);
    }
    while out.len() < NAME_BYTES_AT_LEAST {
        out.push('0');
    }
}

/// The known name that is nearest to a misspelt one, if one is near enough to be meant.
pub(super) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|name| (distance(&typed, name), name))
        .min()
        .filter(|(distance, name)| *distance <= (name.len().min(typed.len()) / 3).clamp(1, 3))
        .map(|(_, name)| name)
}

/// Edits (insert, remove, replace) between two words.
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (line, from) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&two) {
            let above = *cell;
            left = (above + 1).min(left + 1).min(diagonal + usize::from(from != *to));
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cleaned(raw: &[u8]) -> String {
        let mut out = "left over".to_owned();
        clean_logstore_name(raw, &mut out);
        out
    }

    #[test]
    fn legal_names() {
        for name in ["abc", "a-b_c", "123", &"a".repeat(63)] {
            assert!(is_logstore_name(name), "{name}");
        }
        for name in ["", "ab", "-ab", "ab-", "_ab", "aBc", "a b", "a.b", "äbc", &"a".repeat(64)] {
            assert!(!is_logstore_name(name), "{name}");
        }
        assert!(is_project_name("my-project"));
        assert!(!is_project_name("my_project"));
        assert!(check_map_key("a").is_ok() && check_map_key("a_b-1").is_ok());
        for name in ["", "A", "1a", "a__b", "a.b", "_a"] {
            assert!(check_map_key(name).is_err(), "{name}");
        }
    }

    #[test]
    fn cleaning_names() {
        for (raw, name) in [
            ("/web", "web"),
            ("My App!", "my-app"),
            ("a..//b", "a-b"),
            ("a--b", "a--b"),
            ("x", "x00"),
            ("", UNNAMED_LOGSTORE),
            ("/// --__", UNNAMED_LOGSTORE),
            ("größe", "gr-e"),
            ("日志", UNNAMED_LOGSTORE),
        ] {
            assert_eq!(cleaned(raw.as_bytes()), name, "{raw}");
        }
        assert_eq!(cleaned(&[b'a'; 100]), "a".repeat(63));
        assert_eq!(cleaned(b"\xff\xfeok\x00ok"), "ok-ok");
    }

    #[test]
    fn nearest_names() {
        let keys = ["listen", "max_message", "window"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("Max-Message", keys), Some("max_message"));
        assert_eq!(nearest("max_mesage", keys), Some("max_message"));
        assert_eq!(nearest("colour", keys), None);
    }

    proptest! {
        #[test]
        fn what_is_cleaned_is_legal_and_stays(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let once = cleaned(&raw);
            prop_assert!(is_logstore_name(&once), "{once}");
            prop_assert_eq!(cleaned(once.as_bytes()), once);
        }

        #[test]
        fn legal_names_are_left_alone(name in "[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]") {
            prop_assert_eq!(cleaned(name.as_bytes()), name);
        }
    }
}
