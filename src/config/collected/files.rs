//! Which files, and how their bytes become records: what both languages say of an input of files.

use super::draft::{Draft, map, number, text};
use super::reading::{Item, shown};

/// Kibibytes of a large file that is met for the first time, as Logtail's default is.
const TAIL_KIB: i64 = 1_024;
/// Logtail's bound.
const MOST_TAIL_KIB: i64 = 10_485_760;
/// Logtail's bound.
const MOST_DEPTH: i64 = 1_000;
/// Names with these endings are never read: they are what rotation made of a log.
const PACKED: &str = "*{gz,bz,tar}";

/// A pattern of Logtail in our own: in a name, several `*` are one, and braces are characters.
pub(super) fn glob(pattern: &str) -> String {
    let names: Vec<String> = pattern.split('/').map(name).collect();
    names.join("/")
}

fn name(name: &str) -> String {
    if name == "**" {
        return name.to_owned();
    }
    name_alone(name)
}

/// As [`glob`], of a name in whose place directories cannot stand.
pub(super) fn name_alone(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut escaped = false;
    for char in name.chars() {
        match char {
            '*' if !escaped && out.ends_with('*') && !out.ends_with("\\*") => continue,
            '{' | '}' if !escaped => out.push('\\'),
            _ => {}
        }
        out.push(char);
        escaped = char == '\\' && !escaped;
    }
    out
}

/// A path, and that packed files beside it are no logs where the pattern would take them.
pub(super) fn path(draft: &mut Draft, pattern: &str, theirs: &str) {
    draft.add("paths", pattern, theirs);
    if pattern.ends_with('*') {
        draft.add("exclude", &format!("/**/{PACKED}"), theirs);
    }
}

/// Absolute patterns of files.
pub(super) fn exclude_paths(draft: &mut Draft, item: &Item<'_>) {
    for (item, pattern) in item.texts() {
        draft.add("exclude", &glob(pattern), item.path());
    }
}

/// Patterns of names, wherever they are.
pub(super) fn exclude_names(draft: &mut Draft, item: &Item<'_>) {
    for (item, pattern) in item.texts() {
        if pattern.contains('/') {
            item.fault(format!("{} is a path, and names of files stand here", shown(pattern)));
        } else {
            draft.add("exclude", &format!("/**/{}", name_alone(pattern)), item.path());
        }
    }
}

/// Directories, and all that is below them.
pub(super) fn exclude_dirs(draft: &mut Draft, item: &Item<'_>) {
    for (item, pattern) in item.texts() {
        draft.add("exclude", &format!("{}/**", glob(pattern).trim_end_matches('/')), item.path());
    }
}

/// Directories that are gone down; the bound of Logtail is ours.
pub(super) fn depth(item: &Item<'_>, default: i64) -> i64 {
    let depth = item.integer().unwrap_or(default);
    if !(0..=MOST_DEPTH).contains(&depth) {
        item.fault(format!("is {depth}; it must lie between 0 and {MOST_DEPTH}"));
    }
    depth.clamp(0, MOST_DEPTH)
}

pub(super) fn max_depth(draft: &mut Draft, depth: i64, theirs: &str) {
    draft.input("max_depth", number(depth), theirs);
}

/// Where a large file begins that is met for the first time.
pub(super) fn tail(draft: &mut Draft, item: &Item<'_>) {
    let kib = item.integer().unwrap_or(TAIL_KIB);
    if !(0..=MOST_TAIL_KIB).contains(&kib) {
        return item.fault(format!("is {kib}; it must lie between 0 and {MOST_TAIL_KIB}"));
    }
    if kib == 0 {
        return draft.input("start", text("end"), item.path());
    }
    draft.input("start", text("tail"), item.path());
    draft.input("tail_bytes", number(kib * 1_024), item.path());
}

pub(super) fn encoding(draft: &mut Draft, item: &Item<'_>) {
    match item.some_text().map(str::to_ascii_lowercase).as_deref() {
        None => {}
        Some("utf8" | "utf-8") => draft.input("charset", text("utf-8"), item.path()),
        Some("gbk") => draft.input("charset", text("gbk"), item.path()),
        Some(_) => {
            let typed = item.text().unwrap_or_default();
            item.fault(format!("{} is not one of utf8, gbk", shown(typed)));
        }
    }
}

/// Which lines are one record; patterns are ours already, each with whose key it is.
pub(super) fn multiline(
    draft: &mut Draft,
    patterns: &[(&'static str, String, String)],
    keeps_unmatched: bool,
    timeout: Option<i64>,
    theirs: &str,
) {
    let mut entries: Vec<(&str, config::Value)> =
        patterns.iter().map(|(key, pattern, _)| (*key, text(pattern))).collect();
    entries.push(("unmatched", text(if keeps_unmatched { "keep" } else { "discard" })));
    if let Some(seconds) = timeout {
        entries.push(("timeout", text(&format!("{seconds}s"))));
    }
    draft.input("multiline", map(entries), theirs);
    for (key, _, said) in patterns {
        draft.origin(&format!("multiline.{key}"), said);
    }
}
