//! Foreign regular expressions, in ours: Logtail's match a whole text and read bytes; ours search.
//!
//! As in [`crate::config::regex_groups`], `.` is any byte and `\w`, `\d`, `\s` are those of ASCII; an expression with characters
//! beyond ASCII in it is read by characters.

use super::reading::{Item, shown};
use crate::config::linear_regex::LinearRegex;

/// The expression as its author wrote it, when it can be used; else the item's fault says why.
pub(super) fn checked(item: &Item<'_>, text: &str) -> Option<LinearRegex> {
    match LinearRegex::parse(text) {
        Ok(regex) => Some(regex),
        Err(what) => {
            item.fault(format!("{} {what}", shown(text)));
            None
        }
    }
}

/// An expression that finds what this one matches from the first byte to the last, as the processors take it.
pub(super) fn whole(item: &Item<'_>, text: &str) -> Option<String> {
    checked(item, text)?;
    wrapped(
        item,
        text,
        [("(?s-u)^(?:", ")$"), ("(?s-u)^(?:", "\n)$"), ("(?s)^(?:", ")$"), ("(?s)^(?:", "\n)$")],
    )
}

/// An expression that finds this one anywhere and takes all around it, for what matches whole names.
pub(super) fn somewhere(item: &Item<'_>, text: &str) -> Option<String> {
    checked(item, text)?;
    wrapped(item, text, [("^.*(?:", ").*$"), ("^.*(?:", "\n).*$")])
}

/// The expression of a record's first line; none where every line is one.
pub(super) fn begin(item: &Item<'_>, text: &str) -> Option<Option<String>> {
    checked(item, text)?;
    if matches!(text, "" | ".*" | "(.*)" | "^.*" | ".*$" | "^.*$") {
        return Some(None);
    }
    match without_rest(text) {
        Some("") => Some(None),
        Some(head) => Some(Some(format!("/(?s-u:{head})/"))),
        None => whole(item, text).map(Some),
    }
}

/// Without the `.*` that takes the rest of a line: an expression that is looked for at a line's beginning needs none, and
/// without it the line is not read to its end. Nothing where it is not certain that this changes nothing.
fn without_rest(text: &str) -> Option<&str> {
    let head = text.strip_suffix(".*")?;
    let is_escaped = head.len() % 2 != head.trim_end_matches('\\').len() % 2;
    let is_plain = !is_escaped && !head.contains('|') && !head.contains("(?");
    (is_plain && (head.is_empty() || LinearRegex::parse(&format!("(?s-u:{head})")).is_ok())).then_some(head)
}

/// In slashes, so that slashes of its own are no delimiters. The newline ends a comment that the expression may end in.
fn wrapped<const N: usize>(item: &Item<'_>, text: &str, forms: [(&str, &str); N]) -> Option<String> {
    let found = forms.iter().map(|(before, behind)| format!("{before}{text}{behind}"));
    let found = found.into_iter().find(|text| LinearRegex::parse(text).is_ok());
    if found.is_none() {
        item.fault(format!("{} cannot be matched against a whole text", shown(text)));
    }
    found.map(|text| format!("/{text}/"))
}

/// Whether the expression is one group that takes everything.
pub(super) fn is_everything(text: &str) -> bool {
    matches!(text.trim_start_matches('^').trim_end_matches('$'), "(.*)" | "([\\s\\S]*)")
}
