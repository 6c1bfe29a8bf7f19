//! What a search needs to be somewhere in a pack: by the pack's token filter, and by its inflated bytes.
//!
//! A filter knows the tokens of a pack as cut at the default separators, in lower case. A word of a query gives such
//! tokens where their edges are sure to be those of a token in every value that the word is found in: a separator inside
//! the word, or its own edge where the index cuts at default separators only. Wildcards, ranges, and what is negated
//! need nothing. Two ideographs in a row are sure to be found wherever they stand.

use memchr::memmem;

use super::filter::{Filter, hash_of, pairs};
use super::letters::{is_chinese, is_separator};
use super::word::Word;
use super::{Node, Place, Query, Test, Words};

/// Tokens that each pack with a match holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed {
    /// By its hash, as in a [`Filter`].
    Token(u64),
    All(Vec<Needed>),
    Any(Vec<Needed>),
}

impl Needed {
    /// False when a pack with this filter holds no match.
    pub fn may_be_in(&self, filter: &[u8]) -> bool {
        match self {
            Needed::Token(hash) => Filter::may_hold(filter, *hash),
            Needed::All(all) => all.iter().all(|needed| needed.may_be_in(filter)),
            Needed::Any(any) => any.iter().any(|needed| needed.may_be_in(filter)),
        }
    }
}

impl Query {
    /// What each pack with a match holds; none when that may be anything.
    pub fn needed(&self) -> Option<Needed> {
        needed(&self.root)
    }

    /// False when no log of a LogGroup matches, told from its bytes without walking it.
    pub fn may_match(&self, raw: &[u8]) -> bool {
        may_match(&self.root, raw)
    }
}

fn needed(node: &Node) -> Option<Needed> {
    match node {
        Node::All | Node::Not(_) => None,
        Node::And(nodes) => all(nodes.iter().filter_map(needed).collect()),
        Node::Or(nodes) => Some(Needed::Any(nodes.iter().map(needed).collect::<Option<_>>()?)),
        Node::Anywhere(_, words) | Node::Field(_, Test::Words(words)) => all(of_words(words)),
        Node::Field(_, Test::Whole(word)) => {
            let mut tokens = Vec::new();
            of_word(word, true, &mut tokens);
            all(tokens)
        }
        Node::Field(_, Test::Exists | Test::Empty | Test::Range(_)) => None,
    }
}

fn all(mut needed: Vec<Needed>) -> Option<Needed> {
    match needed.len() {
        0 => None,
        1 => needed.pop(),
        _ => Some(Needed::All(needed)),
    }
}

fn of_words(words: &Words) -> Vec<Needed> {
    let mut tokens = Vec::new();
    // In a phrase of Chinese each ideograph is a word; a filter does not know single ones.
    let alone = |word: &&Word| word.text().chars().all(|c| words.cutter.stands_alone(c));
    for word in words.words.iter().filter(|word| word.is_ideographs() || !alone(word)) {
        of_word(word, words.cutter.cuts_as_filters, &mut tokens);
    }
    tokens
}

/// `sure`: the word begins and ends where a token of the filter does.
fn of_word(word: &Word, sure: bool, tokens: &mut Vec<Needed>) {
    if word.is_ideographs() {
        tokens.extend(pairs(word.text()).map(|pair| Needed::Token(hash_of(pair))));
        return;
    }
    let wild = |c: char| word.is_wild() && matches!(c, '*' | '?');
    let separates =
        |c: char| u8::try_from(c).is_ok_and(|byte| byte.is_ascii() && is_separator(byte)) && !wild(c);
    let mut pieces = word.text().split(separates).enumerate().peekable();
    while let Some((place, piece)) = pieces.next() {
        let inside = place > 0 && pieces.peek().is_some();
        if (sure || inside) && !piece.contains(wild) {
            if !piece.is_empty() {
                tokens.push(Needed::Token(hash_of(piece)));
            }
            continue;
        }
        for run in piece.split(|c| !is_chinese(c)) {
            tokens.extend(pairs(run).map(|pair| Needed::Token(hash_of(pair))));
        }
    }
}

fn may_match(node: &Node, raw: &[u8]) -> bool {
    match node {
        Node::All | Node::Not(_) => true,
        Node::And(nodes) => nodes.iter().all(|node| may_match(node, raw)),
        Node::Or(nodes) => nodes.iter().any(|node| may_match(node, raw)),
        Node::Anywhere(_, words) => words.words.iter().all(|word| word.may_occur(raw)),
        Node::Field(place, test) => {
            let (name, plain) = match place {
                Place::Content(name) | Place::Tag(name) => (name.as_str(), true),
                // Its strings may be escaped.
                Place::Json { key, .. } => (key.as_str(), false),
                Place::Topic | Place::Source => ("", true),
                Place::Time | Place::TimeNs => return true,
            };
            let held = match test {
                Test::Words(words) => !plain || words.words.iter().all(|word| word.may_occur(raw)),
                Test::Whole(word) => word.may_occur(raw),
                Test::Exists | Test::Empty | Test::Range(_) => true,
            };
            held && memmem::find(raw, name.as_bytes()).is_some()
        }
    }
}
