//! The processor `mask`: replaces secrets in values. A value without one stays the span it was; another is made anew in the
//! arena, whole.
//!
//! ```text
//! (?:password|pwd)=(?<secret>\S+)      user=eve password=hunter2 ok  ->  user=eve password=*** ok
//! ```
//!
//! A search is linear in the text, and where it finds nothing there is one. A pattern that looks far ahead behind every match
//! (`a|.*b`) costs as many searches as it matches.

use md5::{Digest, Md5};
use regex::bytes::CaptureLocations;

use crate::base::limits;
use crate::config::linear_regex::LinearRegex;
use crate::config::plan::{MaskPlan, MaskWith};
use crate::record::Batch;

/// The group that is replaced where a pattern has it, else the whole match is.
const GROUP: &str = "secret";
/// Bytes by which a record may grow; more than this, Log Service takes no record that long. What is beyond is left out.
const GROWTH: usize = 8 * limits::MIB;
const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

pub(super) struct Mask {
    keys: Vec<String>,
    pattern: LinearRegex,
    /// Place of the group [`GROUP`] in the pattern.
    group: Option<usize>,
    with: MaskWith,
    first: bool,
}

impl Mask {
    pub(super) fn new(plan: &MaskPlan) -> Mask {
        let group = plan.pattern.capture_names().position(|name| name == Some(GROUP));
        let MaskPlan { keys, pattern, with, first } = plan.clone();
        Mask { keys, pattern, group, with, first }
    }

    pub(super) fn apply(&self, batch: &mut Batch, record: usize, scratch: &mut Vec<u8>) {
        let mut growth = GROWTH;
        for at in batch.records[record].range() {
            let field = batch.fields[at];
            let is_meant =
                self.keys.is_empty() || self.keys.iter().any(|key| key.as_bytes() == batch.bytes(field.key));
            if !is_meant || !self.write(batch.bytes(field.value), growth, scratch) {
                continue;
            }
            growth -= scratch.len().saturating_sub(field.value.len()).min(growth);
            batch.fields[at].value = batch.keep(scratch);
        }
    }

    /// Writes the text without its secrets, if it has any.
    fn write(&self, text: &[u8], growth: usize, out: &mut Vec<u8>) -> bool {
        let Some(found) = self.pattern.find(text) else { return false };
        let room = text.len() + growth;
        out.clear();
        let mut written = 0;
        let mut replace = |secret: std::ops::Range<usize>| {
            out.extend_from_slice(&text[written..secret.start]);
            self.put(&text[secret.clone()], out);
            written = secret.end;
            !self.first && out.len() < room
        };
        let is_whole = match self.group {
            None => replace_all(&self.pattern, text, &mut replace),
            Some(group) => replace_groups(&self.pattern, group, text, found.start(), &mut replace),
        };
        if written == 0 {
            // Matches of nothing alone.
            return false;
        }
        if is_whole || self.first {
            out.extend_from_slice(&text[written..]);
        }
        out.truncate(room);
        true
    }

    fn put(&self, secret: &[u8], out: &mut Vec<u8>) {
        match &self.with {
            MaskWith::Text(text) => out.extend_from_slice(text.as_bytes()),
            MaskWith::Md5 => {
                let digits = |byte: u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
                out.extend(Md5::digest(secret).iter().flat_map(|&byte| digits(byte)));
            }
        }
    }
}

/// Hands all matches but empty ones to `replace`, until it says it is enough: then it is false.
fn replace_all(
    pattern: &LinearRegex,
    text: &[u8],
    replace: &mut impl FnMut(std::ops::Range<usize>) -> bool,
) -> bool {
    pattern.find_iter(text).filter(|found| !found.is_empty()).all(|found| replace(found.range()))
}

/// As [`replace_all`] with a group of each match, from where the first one begins.
fn replace_groups(
    pattern: &LinearRegex,
    group: usize,
    text: &[u8],
    first: usize,
    replace: &mut impl FnMut(std::ops::Range<usize>) -> bool,
) -> bool {
    let mut places: CaptureLocations = pattern.capture_locations();
    let mut at = first;
    while at <= text.len()
        && let Some(found) = pattern.captures_read_at(&mut places, text, at)
    {
        if let Some((from, to)) = places.get(group)
            && from < to
            && !replace(from..to)
        {
            return false;
        }
        at = if found.is_empty() { found.end() + 1 } else { found.end() };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Timestamp;
    use proptest::prelude::*;

    fn mask(pattern: &str, with: &str, first: bool, keys: &[&str]) -> Mask {
        Mask::new(&MaskPlan {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            pattern: LinearRegex::parse(pattern).unwrap(),
            with: if with == "md5" { MaskWith::Md5 } else { MaskWith::Text(with.to_owned()) },
            first,
        })
    }

    fn record(values: &[(&str, &[u8])]) -> Batch {
        let mut batch = Batch::default();
        batch.begin(Timestamp::default());
        for (key, value) in values {
            let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value));
            batch.push(key, value);
        }
        batch
    }

    fn masked(mask: &Mask, text: &[u8]) -> Vec<u8> {
        let mut batch = record(&[("log", text)]);
        mask.apply(&mut batch, 0, &mut Vec::new());
        batch.bytes(batch.fields[0].value).to_vec()
    }

    #[test]
    fn what_the_pattern_finds_is_replaced() {
        for (pattern, with, first, text, expected) in [
            (r"\d{4}", "#", false, "1234 x 5678", "# x #"),
            (r"\d{4}", "#", true, "1234 x 5678", "# x 5678"),
            (r"\d{4}", "", false, "1234 x 5678", " x "),
            (r"\d{4}", "$0", false, "1234", "$0"),
            (
                r"(?:pwd|password)=(?<secret>\S+)",
                "***",
                false,
                "pwd=a password=b c",
                "pwd=*** password=*** c",
            ),
            (r"(?:pwd|password)=(?<secret>\S+)", "***", true, "pwd=a password=b c", "pwd=*** password=b c"),
            (
                r#""key":"(?P<secret>[^"]*)""#,
                "-",
                false,
                r#"{"key":"","key":"k"}"#,
                r#"{"key":"","key":"-"}"#,
            ),
            (r"a(?<secret>b)?", "-", true, "a ab ab", "a a- ab"),
            // Other groups mean nothing.
            (r"(pwd=)(\S+)", "***", false, "x pwd=a", "x ***"),
            ("none", "***", false, "text", "text"),
            // There is nothing to hide in nothing.
            (r"\d*", "#", false, "a12b", "a#b"),
            (r"(?<secret>\d*)", "#", false, "a12b3", "a#b#"),
            (r"\b", "#", false, "a b", "a b"),
            ("secret", "md5", false, "a secret!", "a 5EBE2294ECD0E0F08EAB7690D2A6EE69!"),
            ("é+", "e", false, "caféé", "cafe"),
        ] {
            let mask = mask(pattern, with, first, &[]);
            let found = String::from_utf8(masked(&mask, text.as_bytes())).unwrap();
            assert_eq!(found, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn only_the_named_fields_are_looked_at_and_nothing_is_made_without_need() {
        let mut batch = record(&[("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"\xff4")]);
        let made = batch.arena.len();
        mask("x", "-", false, &[]).apply(&mut batch, 0, &mut Vec::new());
        assert_eq!(batch.arena.len(), made);
        mask(r"\d", "-", false, &["a", "c", "missing"]).apply(&mut batch, 0, &mut Vec::new());
        let values: Vec<&[u8]> = batch.fields.iter().map(|field| batch.bytes(field.value)).collect();
        assert_eq!(values, [&b"-"[..], b"2", b"-", b"\xff4"]);
        mask(r"\d", "-", false, &[]).apply(&mut batch, 0, &mut Vec::new());
        let values: Vec<&[u8]> = batch.fields.iter().map(|field| batch.bytes(field.value)).collect();
        assert_eq!(values, [&b"-"[..], b"-", b"-", b"\xff-"]);
    }

    #[test]
    fn a_record_cannot_grow_without_bound() {
        let text = vec![b'a'; limits::MIB];
        let mut batch = record(&[("log", &text), ("log2", &text)]);
        mask("a", "md5", false, &[]).apply(&mut batch, 0, &mut Vec::new());
        let lengths: Vec<usize> = batch.fields.iter().map(|field| field.value.len()).collect();
        assert_eq!(lengths, [limits::MIB + GROWTH, limits::MIB]);
        assert!(!batch.fields.iter().any(|field| batch.bytes(field.value).contains(&b'a')));
    }

    proptest! {
        #[test]
        fn as_a_replacement_of_all(text in "[ab=é ]{0,40}", first: bool) {
            let plain = mask("a=[^ ]+", "<a>", first, &[]);
            let limit = usize::from(first);
            let expected = plain.pattern.replacen(text.as_bytes(), limit, &b"<a>"[..]).into_owned();
            prop_assert_eq!(masked(&plain, text.as_bytes()), expected);
            let grouped = mask("a=(?<secret>[^ ]+)", "<a>", first, &[]);
            let expected = grouped.pattern.replacen(text.as_bytes(), limit, &b"a=<a>"[..]).into_owned();
            prop_assert_eq!(masked(&grouped, text.as_bytes()), expected);
        }
    }
}
