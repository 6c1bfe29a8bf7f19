//! A tiny typed reader over the tree: takes keys out of tables, types their values, and keeps every fault.
//!
//! A leaf answers with nothing when its key is absent and when it is faulty; the fault is then on the list, and reading
//! goes on to find the others. A table that is finished reports the keys nobody took, with the nearest known one.
//! Maps and lists are here, single values in [`values`].

mod values;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::PathBuf;

use config::{Value, ValueKind};

use super::errors::Faults;
use super::names::{check_map_key, nearest};
use super::source::{Tree, join};

/// What reading needs besides the tree.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) faults: Faults,
    /// For `${env:NAME}`.
    pub(super) env: BTreeMap<String, String>,
    /// What `${file:...}` named so far.
    pub(super) files: RefCell<BTreeSet<PathBuf>>,
}

impl Context {
    pub(super) fn new(faults: Faults, env: BTreeMap<String, String>) -> Context {
        Context { faults, env, files: RefCell::default() }
    }
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

    /// What the environment says, where that is a default.
    pub(super) fn variable(&self, name: &str) -> Option<&'c str> {
        self.context.env.get(name).map(String::as_str)
    }

    /// All of the environment, for what is set up there.
    pub(super) fn env(&self) -> &'c BTreeMap<String, String> {
        &self.context.env
    }

    /// Whether a key that was not taken yet was typed.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A fault of a key that shows only beside another.
    pub(super) fn fault(&self, key: &str, what: impl Into<String>) {
        self.context.faults.key(&join(&self.path, key), what);
    }

    /// A fault of the table itself.
    pub(super) fn fault_here(&self, what: impl Into<String>) {
        self.context.faults.key(&self.path, what);
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
#[derive(Clone)]
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

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value.as_ref().map(|value| &value.kind), Some(ValueKind::Array(_)))
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.value.as_ref().map(|value| &value.kind), Some(ValueKind::String(_)))
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.value.as_ref().map(|value| &value.kind), Some(ValueKind::Table(_)))
    }

    /// Whether it is a map with this key.
    pub(super) fn has(&self, key: &str) -> bool {
        let table = self.value.as_ref().map(|value| &value.kind);
        matches!(table, Some(ValueKind::Table(entries)) if entries.contains_key(key))
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
        self.items().unwrap_or_default()
    }

    /// The items of a list; an absent one is empty, and what is no list is nothing.
    pub(super) fn items(self) -> Option<Vec<Leaf<'c>>> {
        let items = match self.value.as_ref().map(|value| value.kind.clone()) {
            None | Some(ValueKind::Nil) => Vec::new(),
            Some(ValueKind::Array(items)) => items,
            Some(_) => return self.wrong("a list"),
        };
        let leaf = |(index, value)| {
            let path = format!("{}[{index}]", self.path);
            Leaf { context: self.context, path, value: Some(value) }
        };
        Some(items.into_iter().enumerate().map(leaf).collect())
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
