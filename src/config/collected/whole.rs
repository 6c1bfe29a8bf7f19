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
    if matches!(text, "" | ".*" | "(.*)" | "^.*" | ".*$" | "^.*$") {
        return Some(None);
    }
    whole(item, text).map(Some)
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
