//! Whether a log matches a search. A [`Subject`] is refilled for each log and keeps its memory within a pack.
//!
//! Words are looked for in the bytes of the log as it was encoded first, whatever stands between its values: where they
//! are not, nothing of it is taken apart.

use super::json_path::any_at;
use super::{Names, Node, Place, Query, Scope, Test, Words};
use crate::store::pack::PACK_ID;
use crate::wire::loggroup::{Group, Log};

/// A log as a search sees it: its own fields and those of its LogGroup.
#[derive(Debug)]
pub struct Subject<'a> {
    topic: &'a [u8],
    source: &'a [u8],
    tags: Vec<(&'a [u8], &'a [u8])>,
    log: Option<Log<'a>>,
    contents: Vec<(&'a [u8], &'a [u8])>,
    /// The contents are those of the log.
    filled: bool,
    /// For strings that have to be unescaped.
    buffer: Vec<u8>,
}

impl<'a> Subject<'a> {
    /// For the logs of one LogGroup.
    pub fn new(group: &Group<'a>) -> Subject<'a> {
        Subject {
            topic: group.topic,
            source: group.source,
            // The sender's bookkeeping is nothing a person searches for.
            tags: group.tags().filter(|tag| tag.0 != PACK_ID).collect(),
            log: None,
            contents: Vec::new(),
            filled: false,
            buffer: Vec::new(),
        }
    }

    /// Whether this log matches.
    pub fn matches(&mut self, query: &Query, log: &Log<'a>) -> bool {
        self.log = Some(*log);
        self.filled = false;
        self.holds(&query.root)
    }

    fn holds(&mut self, node: &Node) -> bool {
        match node {
            Node::All => true,
            Node::And(nodes) => nodes.iter().all(|node| self.holds(node)),
            Node::Or(nodes) => nodes.iter().any(|node| self.holds(node)),
            Node::Not(node) => !self.holds(node),
            Node::Anywhere(scope, words) if words.phrase => {
                let in_log = words.words.iter().all(|word| word.may_occur(self.bytes()));
                self.any_text(scope, in_log, |value| has_phrase(value, words))
            }
            Node::Anywhere(scope, words) => words.words.iter().all(|word| {
                let in_log = word.may_occur(self.bytes());
                self.any_text(scope, in_log, |value| word.occurs(value, &words.cutter))
            }),
            Node::Field(place, Test::Words(words)) => {
                let in_log = !matches!(place, Place::Content(_))
                    || words.words.iter().all(|word| word.may_occur(self.bytes()));
                in_log && self.any_value(place, |value| has_words(value, words))
            }
            Node::Field(place, Test::Whole(word)) => self.any_value(place, |value| word.is(value)),
            Node::Field(place, Test::Exists) => self.any_value(place, |_| true),
            Node::Field(place, Test::Empty) => self.any_value(place, <[u8]>::is_empty),
            Node::Field(place, Test::Range(range)) => self.any_value(place, |value| range.holds(value)),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.log.map_or(b"", |log| log.bytes())
    }

    fn fill(&mut self) {
        if !self.filled {
            self.contents.clear();
            self.contents.extend(self.log.iter().flat_map(Log::contents));
            self.filled = true;
        }
    }

    /// Tests the values of a scope; those of the log itself only when it may be `in_log`.
    fn any_text(&mut self, scope: &Scope, in_log: bool, test: impl Fn(&[u8]) -> bool) -> bool {
        if in_log {
            self.fill();
            let covered = |key: &[u8]| scope.covers(key, |names| &names.contents);
            if self.contents.iter().any(|(key, value)| covered(key) && test(value)) {
                return true;
            }
        }
        self.tags.iter().any(|(key, value)| scope.covers(key, |names| &names.tags) && test(value))
    }

    /// Tests the values of a place.
    fn any_value(&mut self, place: &Place, test: impl Fn(&[u8]) -> bool) -> bool {
        match place {
            Place::Topic => test(self.topic),
            Place::Source => test(self.source),
            Place::Time => self.log.is_some_and(|log| test(Decimal::of(log.time).text())),
            Place::TimeNs => {
                self.log.and_then(|log| log.time_ns).is_some_and(|ns| test(Decimal::of(ns).text()))
            }
            Place::Tag(name) => self.tags.iter().any(|(key, value)| *key == name.as_bytes() && test(value)),
            Place::Content(name) => {
                self.fill();
                self.contents.iter().any(|(key, value)| *key == name.as_bytes() && test(value))
            }
            Place::Json { key: name, path } => {
                self.fill();
                let buffer = &mut self.buffer;
                self.contents.iter().any(|(key, value)| {
                    *key == name.as_bytes() && any_at(value, path, buffer, &mut |value| test(value))
                })
            }
        }
    }
}

impl Scope {
    fn covers(&self, key: &[u8], kind: impl Fn(&Names) -> &Vec<String>) -> bool {
        let among = |names| kind(names).binary_search_by(|name| name.as_bytes().cmp(key)).is_ok();
        match self {
            Scope::All => true,
            Scope::Only(names) => among(names),
            Scope::Except(names) => !among(names),
        }
    }
}

fn has_words(value: &[u8], words: &Words) -> bool {
    if words.phrase {
        return has_phrase(value, words);
    }
    words.words.iter().all(|word| word.occurs(value, &words.cutter))
}

/// The words one behind the other.
fn has_phrase(value: &[u8], words: &Words) -> bool {
    let Some((first, others)) = words.words.split_first() else { return true };
    if !words.words.iter().all(|word| word.may_occur(value)) {
        return false;
    }
    let mut tokens = words.cutter.tokens(value);
    while let Some(token) = tokens.next() {
        let mut following = tokens.clone();
        if first.is(token) && others.iter().all(|word| following.next().is_some_and(|token| word.is(token))) {
            return true;
        }
    }
    false
}

/// A number as text, without allocating.
struct Decimal {
    digits: [u8; 10],
    from: usize,
}

impl Decimal {
    fn of(mut number: u32) -> Decimal {
        let mut made = Decimal { digits: [b'0'; 10], from: 10 };
        loop {
            made.from -= 1;
            made.digits[made.from] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return made;
            }
        }
    }

    fn text(&self) -> &[u8] {
        &self.digits[self.from..]
    }
}
