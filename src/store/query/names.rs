//! What a name in a query means: where its values stand, what they are, how they are cut.
//!
//! Without an index configuration every field is text that compares as a number where it is one. With one, a name is a
//! field with an index of its own, its alias, or a path in such a field's JSON; any other falls back to the full-text
//! index, where that covers it. A name with dots may be a field of just that name, or a path: both are looked at.
//!
//! `__topic__` and `__source__` are compared whole. `source` alone is a record's own field, and the LogGroup's source
//! where it has none.

use std::sync::Arc;

use super::{Cutter, Names, Node, Place, Scope, Test};
use crate::store::index::{Index, Kind, Line};

/// Dots of a name at which a path may begin.
const DOTS: usize = 8;
const TAG: &str = "__tag__:";

/// The meanings of names for one query.
pub(super) struct Resolver<'i> {
    index: Option<&'i Index>,
    default: Arc<Cutter>,
}

/// What a name means.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    /// As the answer calls it.
    pub(super) name: String,
    places: Vec<Place>,
    /// The LogGroup's source, for a log without these places.
    or_source: bool,
    pub(super) values: Values,
    pub(super) cutter: Arc<Cutter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Nobody says what they are: text, and numbers where they compare.
    Any,
    Text,
    /// `long` or `double`, as the index calls it.
    Number(&'static str),
    /// Text that is compared whole.
    Whole,
}

impl<'i> Resolver<'i> {
    pub(super) fn new(index: Option<&'i Index>) -> Resolver<'i> {
        Resolver { index, default: Arc::new(Cutter::default()) }
    }

    /// The meaning of a name; none when no index covers it.
    pub(super) fn meaning(&self, name: &str) -> Option<Meaning> {
        let fixed = |place, values| {
            let cutter = self.default.clone();
            Some(Meaning { name: name.to_owned(), places: vec![place], or_source: false, values, cutter })
        };
        match name {
            "__topic__" => return fixed(Place::Topic, Values::Whole),
            "__source__" => return fixed(Place::Source, Values::Whole),
            "__time__" => return fixed(Place::Time, Values::Number("long")),
            "__time_ns_part__" => return fixed(Place::TimeNs, Values::Number("long")),
            _ => {}
        }
        let own = self.own(name).or_else(|| self.fallback(name));
        if name == "source" {
            let source = fixed(Place::Source, Values::Whole);
            return own.map(|own| Meaning { or_source: true, ..own }).or(source);
        }
        own
    }

    /// By an index of its own.
    fn own(&self, name: &str) -> Option<Meaning> {
        let found = self.index?.find(name)?;
        let (place, label) = match found.path {
            None => (place_of(found.key), found.key.to_owned()),
            Some(path) => {
                let label = format!("{}.{path}", found.key);
                (Place::Json { key: found.key.to_owned(), path: path.to_owned() }, label)
            }
        };
        let values = match found.kind {
            Kind::Text | Kind::Json => Values::Text,
            Kind::Long => Values::Number("long"),
            Kind::Double => Values::Number("double"),
        };
        let cutter = found.cutter.clone();
        Some(Meaning { name: label, places: vec![place], or_source: false, values, cutter })
    }

    /// By the full-text index, or without any.
    fn fallback(&self, name: &str) -> Option<Meaning> {
        let line = self.index.map(Index::line);
        let covers = |name: &str| match line {
            None => true,
            Some(line) => line.is_some_and(|line: &Line| line.covers(name)),
        };
        let mut places: Vec<Place> = covers(name).then(|| place_of(name)).into_iter().collect();
        if !name.starts_with(TAG) {
            for (dot, _) in name.match_indices('.').take(DOTS) {
                let (key, path) = (name.get(..dot).unwrap_or(""), name.get(dot + 1..).unwrap_or(""));
                if !key.is_empty() && !path.is_empty() && covers(key) {
                    places.push(Place::Json { key: key.to_owned(), path: path.to_owned() });
                }
            }
        }
        let (values, cutter) = match line.flatten() {
            None => (Values::Any, &self.default),
            Some(line) => (Values::Text, &line.cutter),
        };
        let meaning =
            Meaning { name: name.to_owned(), places, or_source: false, values, cutter: cutter.clone() };
        (!meaning.places.is_empty()).then_some(meaning)
    }

    /// Whether a bare name in front of an operator is one, and not a word that happens to have one in it.
    pub(super) fn may_compare(&self, name: &str, quoted: bool, meaning: &Meaning) -> bool {
        let plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "._-".contains(c);
        match meaning.values {
            Values::Number(_) => true,
            Values::Any => quoted || name.chars().all(plain),
            Values::Text | Values::Whole => false,
        }
    }

    /// The longest known tag that stands, with a colon behind it, at the beginning of a text: the bytes of its name.
    pub(super) fn known_tag(&self, text: &str) -> Option<usize> {
        let tags = self.index?.keys().filter_map(|(name, _)| name.strip_prefix(TAG));
        let stands =
            |tag: &&str| text.strip_prefix(*tag).is_some_and(|rest| rest.trim_start().starts_with(':'));
        tags.filter(stands).map(str::len).max()
    }

    /// Where words without a name are looked for, and how they are cut there; empty when nothing is text.
    pub(super) fn anywhere(&self) -> Vec<(Arc<Scope>, Arc<Cutter>)> {
        let Some(index) = self.index else { return vec![(Arc::new(Scope::All), self.default.clone())] };
        if let Some(line) = index.line() {
            let scope = match (&line.include, &line.exclude) {
                (Some(only), _) => Scope::Only(names_of(only.iter().map(String::as_str))),
                (_, Some(except)) => Scope::Except(names_of(except.iter().map(String::as_str))),
                _ => Scope::All,
            };
            return vec![(Arc::new(scope), line.cutter.clone())];
        }
        // All fields with a text index, those together that are cut alike.
        let mut groups: Vec<(Vec<&str>, &Arc<Cutter>)> = Vec::new();
        for (name, key) in index.keys().filter(|(_, key)| matches!(key.kind, Kind::Text | Kind::Json)) {
            match groups.iter_mut().find(|(_, cutter)| **cutter == key.cutter) {
                Some((names, _)) => names.push(name),
                None => groups.push((vec![name], &key.cutter)),
            }
        }
        let scope = |(names, cutter): (Vec<&str>, &Arc<Cutter>)| {
            (Arc::new(Scope::Only(names_of(names.into_iter()))), cutter.clone())
        };
        groups.into_iter().map(scope).collect()
    }
}

impl Meaning {
    /// That some value of this name passes a test; `test` is told whether values are compared whole.
    pub(super) fn node(&self, test: impl Fn(bool) -> Test) -> Node {
        let field = |place: &Place| {
            let whole = matches!(place, Place::Topic | Place::Source);
            Node::Field(place.clone(), test(whole))
        };
        let mut nodes: Vec<Node> = self.places.iter().map(field).collect();
        if self.or_source {
            let own =
                self.places.iter().map(|place| Node::Not(Box::new(Node::Field(place.clone(), Test::Exists))));
            nodes.push(Node::And(own.chain([field(&Place::Source)]).collect()));
        }
        Node::one_or(nodes, Node::Or)
    }
}

impl Node {
    /// The only one of these, or all of them joined.
    pub(super) fn one_or(mut nodes: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
        match (nodes.len(), nodes.pop()) {
            (1, Some(node)) => node,
            (_, last) => {
                nodes.extend(last);
                many(nodes)
            }
        }
    }
}

fn place_of(name: &str) -> Place {
    match name.strip_prefix(TAG) {
        Some(tag) => Place::Tag(tag.to_owned()),
        None => Place::Content(name.to_owned()),
    }
}

fn names_of<'a>(names: impl Iterator<Item = &'a str>) -> Names {
    let mut made = Names::default();
    for name in names {
        match name.strip_prefix(TAG) {
            Some(tag) => made.tags.push(tag.to_owned()),
            None => made.contents.push(name.to_owned()),
        }
    }
    made.contents.sort_unstable();
    made.tags.sort_unstable();
    made
}
