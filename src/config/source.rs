//! The sources of a configuration, merged into one tree: the YAML file, and over it the environment.
//!
//! ```text
//! SLUICEGATE__INPUTS__FORWARD__LISTEN=...   ->   inputs.forward.listen   (a list's inside has no variable)
//! ```
//!
//! Variables match in any case, and `-` and `_` are the same to them, since a shell cannot export `MY-CLOUD`. What they
//! hold stays text. Only two underscores make the prefix ours: Kubernetes gives every pod of a namespace with a service
//! `sluicegate` variables such as `SLUICEGATE_SERVICE_HOST`. With one underscore, only what is nearly one of ours is a
//! fault.
//!
//! The file is parsed by `config`, but not merged by it: its paths would turn the top-level key `a[999999999]` into as
//! many elements, and its environment source loses which variable set what.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use config::{FileFormat, Source, Value, ValueKind};

use super::errors::Faults;
use super::names::nearest;
use super::yaml_fault::in_words;

pub(super) type Tree = HashMap<String, Value>;

const PREFIX: &str = "SLUICEGATE__";
const SHORT_PREFIX: &str = "SLUICEGATE_";
/// The variables that are no keys of the file, behind the short prefix.
const SHORT: [&str; 2] = ["data_dir", "log"];
/// Keys whose names are no common words, so that a variable that begins with one and has one underscore is meant for us.
const KEYS: [&str; 8] = [
    "inputs_",
    "destinations_",
    "buffers_",
    "duplicates_",
    "journal_",
    "limits_",
    "log_service_",
    "operations_",
];
/// A configuration of ten thousand routes is smaller.
const FILE_BYTES: u64 = 1 << 20;
/// The YAML parser is recursive. Flow collections have its own limit; block collections can open many in one line.
const OPENED_IN_A_LINE: usize = 32;

/// Reads the file into a tree; faults are collected.
pub(super) fn read_file(path: &Path, faults: &Faults) -> Option<Tree> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        faults.whole_file(format!("cannot be read: {error}"));
        return None;
    }
    if bytes.len() as u64 > FILE_BYTES {
        faults.whole_file("is larger than 1 MiB, which is no configuration");
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, faults),
        Err(_) => {
            faults.whole_file("is not UTF-8 text");
            None
        }
    }
}

/// Parses YAML into a tree; faults are collected.
pub(super) fn parse(text: &str, faults: &Faults) -> Option<Tree> {
    // Some editors put a byte order mark first; it is no part of the first key.
    let text = text.trim_start_matches('\u{feff}');
    if let Some(line) = text.lines().position(|line| opened(line) > OPENED_IN_A_LINE) {
        faults.whole_file(format!("line {} opens too many lists and maps at once", line + 1));
        return None;
    }
    let nothing = text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    });
    if nothing {
        return Some(Tree::new());
    }
    match config::File::from_str(text, FileFormat::Yaml).collect() {
        Ok(tree) => Some(tree),
        Err(error) => {
            faults.whole_file(in_words(text, &error.to_string()));
            None
        }
    }
}

/// Block collections that a line may open: `- - ? - x`.
fn opened(line: &str) -> usize {
    line.split_whitespace().take_while(|word| matches!(*word, "-" | "?" | ":")).count()
}

/// Lays the environment's variables over the tree.
pub(super) fn overlay(tree: &mut Tree, env: &BTreeMap<String, String>, faults: &mut Faults) {
    for (name, value) in env {
        let begins =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
        if !begins(PREFIX) {
            if begins(SHORT_PREFIX)
                && let Some(meant) = misspelt(&name[SHORT_PREFIX.len()..])
            {
                faults.at_variable(name, format!("is no variable of Sluicegate; did you mean {meant}?"));
            }
            continue;
        }
        let parts: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        if parts.iter().any(String::is_empty) {
            faults.at_variable(name, "names no key; write it as SLUICEGATE__OPERATIONS__LISTEN");
            continue;
        }
        place(tree, &parts, name, value, faults);
    }
}

/// What was meant by a variable with one underscore behind `SLUICEGATE`, if it is near to one of ours and is none.
fn misspelt(rest: &str) -> Option<String> {
    // Services `sluicegate` and `sluicegate-operations`: SERVICE_HOST, OPERATIONS_PORT_24290_TCP_ADDR, ...
    let part = |word: &str| {
        rest == word || rest.starts_with(&format!("{word}_")) || rest.contains(&format!("_{word}"))
    };
    if part("SERVICE_HOST")
        || part("SERVICE_PORT")
        || part("PORT")
        || SHORT.iter().any(|ours| ours.to_uppercase() == rest)
    {
        return None;
    }
    let rest = rest.to_lowercase();
    let meant = match rest.as_str() {
        "log_level" => Some("log"),
        _ if rest.replace('_', "").starts_with("datadir") => Some("data_dir"),
        _ => nearest(&rest, SHORT),
    };
    if let Some(meant) = meant {
        return Some(format!("{SHORT_PREFIX}{}", meant.to_uppercase()));
    }
    let key = KEYS.into_iter().find(|key| rest.starts_with(key))?;
    let inner = rest.get(key.len()..).unwrap_or_default().trim_start_matches('_');
    let words = format!("{}__{inner}", key.trim_end_matches('_')).to_uppercase();
    Some(format!("{PREFIX}{words}, with two underscores between keys"))
}

fn place(tree: &mut Tree, parts: &[String], name: &str, value: &str, faults: &mut Faults) {
    let mut table = tree;
    let mut path = String::new();
    let Some((last, inner)) = parts.split_last() else { return };
    for part in inner {
        let key = existing(table, part);
        path = join(&path, &key);
        let entry = table.entry(key).or_insert_with(|| Value::new(None, ValueKind::Nil));
        if entry.kind == ValueKind::Nil {
            entry.kind = ValueKind::Table(Tree::new());
            faults.came_from(&path, name);
        }
        match &mut entry.kind {
            ValueKind::Table(inner) => table = inner,
            ValueKind::Array(_) => {
                faults
                    .at_variable(name, format!("{path} is a list; what is inside a list is set in the file"));
                return;
            }
            _ => {
                faults.at_variable(name, format!("names no key: {path} is one value and has nothing inside"));
                return;
            }
        }
    }
    let key = existing(table, last);
    path = join(&path, &key);
    if let Some(other) = faults.variable(&path) {
        let what = format!("sets {path}, which {other} sets too");
        faults.at_variable(name, what);
        return;
    }
    faults.came_from(&path, name);
    table.insert(key, Value::new(None, ValueKind::String(value.to_owned())));
}

/// The key of this table that a part of a variable's name means, or the part itself.
fn existing(table: &Tree, part: &str) -> String {
    let meant = |key: &&String| key.to_lowercase().replace('-', "_") == part.replace('-', "_");
    match table.get_key_value(part) {
        Some((key, _)) => key.clone(),
        None => table.keys().filter(meant).min().map_or_else(|| part.to_owned(), String::clone),
    }
}

/// The path of a key inside another.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
