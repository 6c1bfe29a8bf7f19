//! Whether a log matches a search. A [`Subject`] is refilled for each log and keeps its memory within a pack.

use super::tokens::{Word, tokens};
use super::{Field, Node, Query};
use crate::store::pack::PACK_ID;
use crate::wire::loggroup::{Group, Log};

/// A log as a search sees it: its own fields and those of its LogGroup.
#[derive(Debug)]
pub struct Subject<'a> {
    topic: &'a [u8],
    source: &'a [u8],
    tags: Vec<(&'a [u8], &'a [u8])>,
    contents: Vec<(&'a [u8], &'a [u8])>,
    time: u32,
    time_ns: Option<u32>,
}

impl<'a> Subject<'a> {
    /// For the logs of one LogGroup.
    pub fn new(group: &Group<'a>) -> Subject<'a> {
        Subject {
            topic: group.topic,
            source: group.source,
            // The sender's bookkeeping is nothing a person searches for.
            tags: group.tags().filter(|tag| tag.0 != PACK_ID).collect(),
            contents: Vec::new(),
            time: 0,
            time_ns: None,
        }
    }

    /// Whether this log matches.
    pub fn matches(&mut self, query: &Query, log: &Log<'a>) -> bool {
        if query.root == Node::All {
            return true;
        }
        self.contents.clear();
        self.contents.extend(log.contents());
        (self.time, self.time_ns) = (log.time, log.time_ns);
        self.holds(&query.root)
    }

    fn holds(&self, node: &Node) -> bool {
        match node {
            Node::All => true,
            Node::And(nodes) => nodes.iter().all(|node| self.holds(node)),
            Node::Or(nodes) => nodes.iter().any(|node| self.holds(node)),
            Node::Not(node) => !self.holds(node),
            Node::Words(None, words) => {
                words.iter().all(|word| self.any_text(|value| tokens(value).any(|token| word.matches(token))))
            }
            Node::Words(Some(field), words) => self.any_value(field, |value, whole| match whole {
                true => words.iter().all(|word| word.matches(value)),
                false => words.iter().all(|word| tokens(value).any(|token| word.matches(token))),
            }),
            Node::Phrase(None, words) => self.any_text(|value| has_phrase(value, words)),
            Node::Phrase(Some(field), words) => self.any_value(field, |value, _| has_phrase(value, words)),
            Node::Exists(field) => self.any_value(field, |_, _| true),
            Node::Empty(field) => self.any_value(field, |value, _| value.is_empty()),
            Node::Range(field, range) => self.any_value(field, |value, _| range.holds(value)),
        }
    }

    fn any_text(&self, test: impl Fn(&[u8]) -> bool) -> bool {
        self.contents.iter().chain(&self.tags).any(|(_, value)| test(value))
    }

    /// Tests the values of a field; `true` goes with those that are compared whole.
    fn any_value(&self, field: &Field, test: impl Fn(&[u8], bool) -> bool) -> bool {
        match field {
            Field::Topic => test(self.topic, true),
            Field::Source { or_content: false } => test(self.source, true),
            Field::Source { or_content: true } => {
                let mut own = self.contents.iter().filter(|(key, _)| *key == b"source").peekable();
                if own.peek().is_none() {
                    test(self.source, false)
                } else {
                    own.any(|(_, value)| test(value, false))
                }
            }
            Field::Time => test(Decimal::of(self.time).text(), false),
            Field::TimeNs => self.time_ns.is_some_and(|ns| test(Decimal::of(ns).text(), false)),
            Field::Tag(name) => {
                self.tags.iter().any(|(key, value)| *key == name.as_bytes() && test(value, false))
            }
            Field::Content(name) => {
                self.contents.iter().any(|(key, value)| *key == name.as_bytes() && test(value, false))
            }
        }
    }
}

/// The words one behind the other.
fn has_phrase(value: &[u8], words: &[Word]) -> bool {
    let mut rest = tokens(value);
    loop {
        // The tail of a split can be looked at again from every token.
        let Some(token) = rest.next() else { return false };
        let Some((first, others)) = words.split_first() else { return true };
        if !first.matches(token) {
            continue;
        }
        let after = token.as_ptr_range().end as usize - value.as_ptr_range().start as usize;
        let mut following = tokens(value.get(after..).unwrap_or(b""));
        if others.iter().all(|word| following.next().is_some_and(|token| word.matches(token))) {
            return true;
        }
    }
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
