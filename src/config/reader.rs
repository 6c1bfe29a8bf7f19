//! A tiny typed reader over the tree: takes keys out of tables, types their values, and keeps every fault.
//!
//! A leaf answers with nothing when its key is absent and when it is faulty; the fault is then on the list, and reading
//! goes on to find the others. A table that is finished reports the keys nobody took, with the nearest known one.
//! A text key whose YAML value is a number or a boolean is a fault, never a conversion.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Value, ValueKind};

use super::errors::Faults;
use super::leaf::{Address, Endpoint, duration_text, parse_duration, parse_size, size_text};
use super::names::{check_map_key, nearest};
use super::placeholder::{Piece, cut, fill};
use super::source::{Tree, join};
use super::template::Template;
use crate::base::secret::Secret;

/// How a secret shows where it must not: a configuration that was printed has lost it.
const HIDDEN: &str = "***";

/// What reading needs besides the tree.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) faults: Faults,
    /// For `${env:NAME}`.
    pub(super) env: BTreeMap<String, String>,
}

/// A map with known keys.
pub(super) struct Table<'c> {
    context: &'c Context,
    path: String,
    entries: Tree,
    known: Vec<&'static str>,
}

impl<'c> Table<'c> {
    pub(super) fn root(context: &'c Context, entries: Tree) -> Table<'c> {
        Table { context, path: String::new(), entries, known: Vec::new() }
    }

    /// Takes a key out, present or not.
    pub(super) fn take(&mut self, key: &'static str) -> Leaf<'c> {
        self.known.push(key);
        Leaf { context: self.context, path: join(&self.path, key), value: self.entries.remove(key) }
    }

    /// Takes a table out; nothing below it is the same as an empty one.
    pub(super) fn take_table(&mut self, key: &'static str) -> Table<'c> {
        let context = self.context;
        let path = join(&self.path, key);
        let empty = Table { context, path, entries: Tree::new(), known: Vec::new() };
        self.take(key).table().unwrap_or(empty)
    }

    /// Refuses a key that is known, but not here.
    pub(super) fn refuse(&mut self, key: &'static str, why: &str) {
        let leaf = self.take(key);
        if leaf.value.is_some() {
            leaf.fault(why);
        }
    }

    /// Reports what nobody took.
    pub(super) fn finish(self) {
        let mut unknown: Vec<&String> = self.entries.keys().collect();
        unknown.sort();
        for key in unknown {
            let what = match nearest(key, self.known.iter().copied()) {
                Some(meant) => format!("is not a key; did you mean {meant}?"),
                None => format!("is not a key; there are {}", self.known.join(", ")),
            };
            self.context.faults.key(&join(&self.path, key), what);
        }
    }
}

/// One value, or the place where it could be.
pub(super) struct Leaf<'c> {
    context: &'c Context,
    path: String,
    value: Option<Value>,
}

impl<'c> Leaf<'c> {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn is_present(&self) -> bool {
        self.value.is_some()
    }

    pub(super) fn fault(&self, what: impl Into<String>) {
        self.context.faults.key(&self.path, what);
    }

    /// Reports an absent key.
    pub(super) fn required(self, hint: &str) -> Leaf<'c> {
        if self.value.is_none() {
            self.fault(format!("is missing; {hint}"));
        }
        self
    }

    pub(super) fn table(self) -> Option<Table<'c>> {
        let entries = match self.value.as_ref()?.kind.clone() {
            ValueKind::Table(entries) => entries,
            ValueKind::Nil => Tree::new(),
            _ => return self.wrong("a map of keys"),
        };
        Some(Table { context: self.context, path: self.path, entries, known: Vec::new() })
    }

    /// The entries of a map with free keys, in the order of their names.
    pub(super) fn entries(self) -> Vec<(String, Leaf<'c>)> {
        let Some(table) = self.table() else { return Vec::new() };
        let sorted: BTreeMap<String, Value> = table.entries.into_iter().collect();
        let leaf = |(key, value): (String, Value)| {
            let path = join(&table.path, &key);
            (key, Leaf { context: table.context, path, value: Some(value) })
        };
        sorted.into_iter().map(leaf).collect()
    }

    /// The only entry of a map that must have one.
    pub(super) fn single(self, hint: &str) -> Option<(String, Leaf<'c>)> {
        let (context, path) = (self.context, self.path.clone());
        let mut entries = self.entries().into_iter();
        let first = entries.next();
        if first.is_none() {
            context.faults.key(&path, hint);
        }
        if let Some((_, second)) = entries.next() {
            second.fault("is a second entry where one belongs; give each a `-` of its own");
            return None;
        }
        first
    }

    /// The entries of a map by name: inputs, destinations, buffers.
    pub(super) fn named(self) -> Vec<(String, Leaf<'c>)> {
        let entries = self.entries();
        for (name, leaf) in &entries {
            if let Err(what) = check_map_key(name) {
                leaf.fault(what);
            }
        }
        entries
    }

    pub(super) fn list(self) -> Vec<Leaf<'c>> {
        let items = match self.value.as_ref().map(|value| value.kind.clone()) {
            None | Some(ValueKind::Nil) => Vec::new(),
            Some(ValueKind::Array(items)) => items,
            Some(_) => self.wrong("a list").unwrap_or_default(),
        };
        let leaf = |(index, value)| {
            let path = format!("{}[{index}]", self.path);
            Leaf { context: self.context, path, value: Some(value) }
        };
        items.into_iter().enumerate().map(leaf).collect()
    }

    pub(super) fn text(self) -> Option<String> {
        self.parsed("text", |text| Ok(text.to_owned()))
    }

    /// Text that is not empty and that `check` accepts; its error says what would be right.
    pub(super) fn parsed<T>(self, kind: &str, check: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let typed = self.typed_text(kind)?;
        let text = self.filled(&typed)?;
        check(&text).map_err(|what| self.fault(format!("`{typed}` {what}"))).ok()
    }

    pub(super) fn secret(self) -> Option<Secret> {
        let typed = self.typed_text("text")?;
        let text = self.filled(&typed)?;
        if text.is_empty() {
            self.fault("is empty");
            return None;
        }
        if text == HIDDEN {
            self.fault(
                "is *** as `check --print` hides it; write the secret itself, ${env:NAME} or ${file:/path}",
            );
            return None;
        }
        Some(Secret::new(text))
    }

    pub(super) fn template(self) -> Option<Template> {
        let typed = self.typed_text("text")?;
        let pieces = self.pieces(&typed)?;
        Template::from_pieces(pieces).map_err(|what| self.fault(format!("`{typed}` {what}"))).ok()
    }

    pub(super) fn address(self) -> Option<Address> {
        self.parsed("an address as host:port", Address::parse)
    }

    /// One address or a list of them; in an environment variable they are separated by commas.
    pub(super) fn addresses(self) -> Option<Vec<Address>> {
        if let Some(ValueKind::Array(items)) = self.value.as_ref().map(|value| &value.kind) {
            if items.is_empty() {
                self.fault("is an empty list; write at least one address");
                return None;
            }
            return Some(self.list().into_iter().filter_map(Leaf::address).collect());
        }
        let each = |text: &str| text.split(',').map(|one| Address::parse(one.trim())).collect();
        self.parsed("an address as host:port, or a list of them", each)
    }

    pub(super) fn endpoint(self) -> Option<Endpoint> {
        self.parsed("an endpoint as https://host", Endpoint::parse)
    }

    pub(super) fn size(self, range: RangeInclusive<u64>) -> Option<u64> {
        let bytes = match self.integer_value() {
            Some(number) => u64::try_from(number).map_err(|_| self.fault("is no size; write 64MiB")).ok()?,
            None => self.parsed_ref("a size such as 64MiB", parse_size)?,
        };
        self.within(bytes, range, |bytes| size_text(*bytes))
    }

    pub(super) fn duration(self, range: RangeInclusive<Duration>) -> Option<Duration> {
        if let Some(number) = self.integer_value() {
            self.fault(format!("`{number}` has no unit; write {number}s (units: ms, s, m, h)"));
            return None;
        }
        let duration = self.parsed_ref("a duration such as 60s", parse_duration)?;
        self.within(duration, range, |duration| duration_text(*duration))
    }

    pub(super) fn integer(self, range: RangeInclusive<usize>) -> Option<usize> {
        let number = match self.integer_value() {
            Some(number) => usize::try_from(number).map_err(|_| self.fault("is out of bounds")).ok()?,
            None => self.parsed_ref("a whole number", |text| {
                text.parse().map_err(|_| "is not a whole number".to_owned())
            })?,
        };
        self.within(number, range, usize::to_string)
    }

    pub(super) fn boolean(self) -> Option<bool> {
        self.choice(&[("true", true), ("false", false)])
    }

    /// One of some words; `true` and `false` may be among them, as text or as YAML booleans.
    pub(super) fn choice<T: Copy>(self, words: &[(&str, T)]) -> Option<T> {
        let find = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let wrong = || format!("is not one of {all}");
        match self.value.as_ref()?.kind {
            ValueKind::Boolean(value) => {
                let text = value.to_string();
                find(&text).or_else(|| {
                    self.fault(format!("`{text}` {}", wrong()));
                    None
                })
            }
            ValueKind::String(_) => self.parsed("", |text| find(text).ok_or_else(wrong)),
            _ => {
                self.fault(format!("must be one of {all}"));
                None
            }
        }
    }

    fn parsed_ref<T>(&self, kind: &str, check: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let leaf = Leaf { context: self.context, path: self.path.clone(), value: self.value.clone() };
        leaf.parsed(kind, check)
    }

    fn within<T: PartialOrd>(
        &self,
        value: T,
        range: RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        self.fault(format!(
            "is {}; it must lie between {} and {}",
            show(&value),
            show(range.start()),
            show(range.end())
        ));
        None
    }

    fn integer_value(&self) -> Option<i128> {
        match self.value.as_ref()?.kind {
            ValueKind::I64(number) => Some(number.into()),
            ValueKind::U64(number) => Some(number.into()),
            ValueKind::I128(number) => Some(number),
            ValueKind::U128(number) => i128::try_from(number).ok(),
            _ => None,
        }
    }

    /// The text as typed, before placeholders.
    fn typed_text(&self, kind: &str) -> Option<String> {
        match &self.value.as_ref()?.kind {
            ValueKind::String(text) => Some(text.clone()),
            ValueKind::Nil => {
                self.fault("has no value; give it one or leave the key out");
                None
            }
            ValueKind::Boolean(_) => {
                self.fault("is a boolean to YAML where text belongs; put it in quotes");
                None
            }
            ValueKind::Table(_) | ValueKind::Array(_) => self.wrong(kind),
            _ => {
                self.fault("is a number to YAML where text belongs; put it in quotes");
                None
            }
        }
    }

    fn wrong<T>(&self, kind: &str) -> Option<T> {
        let found = match self.value.as_ref()?.kind {
            ValueKind::Table(_) => "a map",
            ValueKind::Array(_) => "a list",
            _ => "one value",
        };
        self.fault(format!("is {found} and must be {kind}"));
        None
    }

    /// Text of a key that takes no template.
    fn filled(&self, typed: &str) -> Option<String> {
        let mut text = String::new();
        for piece in self.pieces(typed)? {
            match piece {
                Piece::Literal(literal) => text.push_str(&literal),
                Piece::Placeholder(inner) => {
                    self.fault(format!(
                        "has ${{{inner}}}, which this key does not take; here are ${{env:NAME}} and ${{file:/path}}, and $${{ \
                         stands for ${{"
                    ));
                    return None;
                }
            }
        }
        Some(text)
    }

    fn pieces(&self, typed: &str) -> Option<Vec<Piece>> {
        let pieces = cut(typed).map_err(|what| self.fault(what)).ok()?;
        let report = |faults: Vec<String>| faults.iter().for_each(|what| self.fault(what));
        fill(pieces, &self.context.env).map_err(report).ok()
    }
}

/// A fault about one of several names, with the nearest.
pub(super) fn no_such(kind: &str, name: &str, known: &[&str]) -> String {
    let listed: &dyn Display = &known.join(", ");
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("there is no {kind} `{name}`; did you mean {meant}?"),
        None if known.is_empty() => format!("there is no {kind} `{name}`"),
        None => format!("there is no {kind} `{name}`; there are {listed}"),
    }
}
