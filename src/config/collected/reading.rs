//! Reads a foreign JSON document key by key: each value typed in one way, and every fault kept with the key's path as its
//! author wrote it.
//!
//! ```text
//! reason   what keeps the whole from being honoured        inputDetail.filterKey[1]: is a number and must be text
//! note     what is understood and changes nothing here     inputDetail.priority: has no effect here: ...
//! ```
//!
//! A null is an absent key. A key nobody took is a note, never silence: [`Object::finish`].

use std::cell::RefCell;

use serde_json::{Map, Value};

/// Said of each configuration, at most; what is beyond would be read by nobody.
const MOST: usize = 100;
/// Characters of a foreign text that a reason shows.
const SHOWN: usize = 120;

/// What is said of a configuration.
#[derive(Debug, Default)]
pub(super) struct Report {
    reasons: RefCell<Vec<String>>,
    notes: RefCell<Vec<String>>,
}

impl Report {
    pub(super) fn reason(&self, text: String) {
        push(&self.reasons, text);
    }

    pub(super) fn note(&self, text: String) {
        push(&self.notes, text);
    }

    pub(super) fn is_refused(&self) -> bool {
        !self.reasons.borrow().is_empty()
    }

    pub(super) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        (self.reasons.into_inner(), self.notes.into_inner())
    }
}

fn push(list: &RefCell<Vec<String>>, text: String) {
    let mut list = list.borrow_mut();
    if list.len() < MOST && !list.contains(&text) {
        list.push(text);
    }
}

/// A foreign text as a reason shows it: in one line, and not at any length.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push_str("...");
    }
    format!("`{short}`")
}

/// An object with known keys.
pub(super) struct Object<'r> {
    report: &'r Report,
    path: String,
    members: Option<&'r Map<String, Value>>,
    taken: Vec<&'static str>,
}

/// One value, or the place where it could be.
#[derive(Clone)]
pub(super) struct Item<'r> {
    report: &'r Report,
    path: String,
    value: Option<&'r Value>,
}

impl<'r> Object<'r> {
    /// The whole document.
    pub(super) fn root(report: &'r Report, body: &'r Value) -> Object<'r> {
        Item::at(report, String::new(), body).object()
    }

    pub(super) fn report(&self) -> &'r Report {
        self.report
    }

    /// Takes a key, present or not.
    pub(super) fn take(&mut self, key: &'static str) -> Item<'r> {
        self.taken.push(key);
        let value = self.members.and_then(|members| members.get(key)).filter(|value| !value.is_null());
        Item { report: self.report, path: joined(&self.path, key), value }
    }

    /// Where a key stands, for what is said of it later.
    pub(super) fn path_of(&self, key: &str) -> String {
        joined(&self.path, key)
    }

    /// Keys that are known and change nothing here. What says the default, or says nothing, needs no note.
    pub(super) fn no_effect(&mut self, keys: &[(&'static str, Value, &str)]) {
        for (key, default, why) in keys {
            let item = self.take(key);
            if item.value.is_some_and(|value| value != default && !is_nothing(value)) {
                item.note(format!("has no effect here: {why}"));
            }
        }
    }

    /// Keys that are known and cannot be honoured. What says the default, or says nothing, asks for nothing.
    pub(super) fn refuse(&mut self, keys: &[(&'static str, Value, &str)]) {
        for (key, default, why) in keys {
            let item = self.take(key);
            if item.value.is_some_and(|value| value != default && !is_nothing(value)) {
                item.fault(*why);
            }
        }
    }

    /// Notes what nobody took.
    pub(super) fn finish(self) {
        for (key, value) in self.members.into_iter().flatten() {
            if !self.taken.contains(&key.as_str()) && !is_nothing(value) {
                let path = joined(&self.path, key);
                self.report.note(format!("{}: is not known, and has no effect here", plain(&path)));
            }
        }
    }
}

/// Null and what is empty ask for nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

impl<'r> Item<'r> {
    fn at(report: &'r Report, path: String, value: &'r Value) -> Item<'r> {
        Item { report, path, value: Some(value).filter(|value| !value.is_null()) }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn is_present(&self) -> bool {
        self.value.is_some()
    }

    pub(super) fn value(&self) -> Option<&'r Value> {
        self.value
    }

    pub(super) fn fault(&self, what: impl AsRef<str>) {
        self.report.reason(said(&self.path, what.as_ref()));
    }

    pub(super) fn note(&self, what: impl AsRef<str>) {
        self.report.note(said(&self.path, what.as_ref()));
    }

    /// Text; an empty one is there.
    pub(super) fn text(&self) -> Option<&'r str> {
        match self.value? {
            Value::String(text) => Some(text),
            other => self.wrong(other, "text"),
        }
    }

    /// Text; an empty one is the same as none.
    pub(super) fn some_text(&self) -> Option<&'r str> {
        self.text().filter(|text| !text.is_empty())
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value? {
            Value::Bool(value) => Some(*value),
            other => self.wrong(other, "true or false"),
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self.value? {
            Value::Number(number) if number.is_i64() => number.as_i64(),
            other => self.wrong(other, "a whole number"),
        }
    }

    /// The items of a list; an absent one has none.
    pub(super) fn list(&self) -> Vec<Item<'r>> {
        match self.value {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let item = |(at, value)| Item::at(self.report, format!("{}[{at}]", self.path), value);
                items.iter().enumerate().map(item).collect()
            }
            Some(other) => {
                self.wrong::<()>(other, "a list");
                Vec::new()
            }
        }
    }

    /// A list of texts, each with its place. Absent and empty are none.
    pub(super) fn texts(&self) -> Vec<(Item<'r>, &'r str)> {
        let text = |item: Item<'r>| match item.value {
            None => {
                item.fault("is null and must be text");
                None
            }
            Some(_) => item.text().map(|text| (item.clone(), text)),
        };
        self.list().into_iter().filter_map(text).collect()
    }

    /// An object; an absent one has no keys.
    pub(super) fn object(&self) -> Object<'r> {
        let members = match self.value {
            Some(Value::Object(members)) => Some(members),
            None => None,
            Some(other) => self.wrong(other, "an object"),
        };
        Object { report: self.report, path: self.path.clone(), members, taken: Vec::new() }
    }

    /// The members of an object with free keys that are texts.
    pub(super) fn members(&self) -> Vec<(&'r str, Item<'r>, &'r str)> {
        let object = self.object();
        let members = object.members.into_iter().flatten().filter_map(|(key, value)| {
            let item = Item { report: self.report, path: joined(&self.path, key), value: Some(value) };
            let text = item.text()?;
            Some((key.as_str(), item, text))
        });
        members.collect()
    }

    fn wrong<T>(&self, found: &Value, kind: &str) -> Option<T> {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.fault(format!("is {found} and must be {kind}"));
        None
    }
}

fn said(path: &str, what: &str) -> String {
    if path.is_empty() { format!("the configuration {what}") } else { format!("{}: {what}", plain(path)) }
}

/// Keys are foreign text as well.
fn plain(path: &str) -> String {
    path.chars()
        .take(2 * SHOWN)
        .flat_map(|char| if char.is_control() { char.escape_debug().collect() } else { vec![char] })
        .collect()
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
