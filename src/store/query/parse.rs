//! Recursive descent over the characters of a search. Only parentheses recurse, at most [`DEPTH`] deep; `not`s are
//! counted and `and` / `or` lists are loops, so no text can overflow the stack. What is read at a time is in [`pieces`].

mod pieces;

use std::sync::Arc;

use super::bar::bar;
use super::names::{Meaning, Resolver, Values};
use super::range::{self, Range};
use super::word::Word;
use super::{Cutter, DEPTH, Node, QUERY_BYTES, Query, QueryError, Scope, Test, WORDS, Words};
use crate::store::Index;
use pieces::Piece;

/// Characters of a word with wildcards.
const WILD: usize = 64;

/// Parses a search alone, for a logstore without index configuration; empty text and `*` are everything.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > QUERY_BYTES {
        return Err(error_at(text, 0, format!("the query is longer than {QUERY_BYTES} bytes")));
    }
    if let Some(at) = bar(text) {
        return Err(error_at(text, at, "expected a search alone, without `|` and what follows it"));
    }
    search(text, None).map(|(query, _)| query)
}

/// A search as the index of its logstore has it, and where its first phrase stands.
pub(super) fn search(text: &str, index: Option<&Index>) -> Result<(Query, Option<usize>), QueryError> {
    let names = Resolver::new(index);
    let anywhere = names.anywhere();
    let mut parser = Parser {
        text,
        at: 0,
        names,
        anywhere,
        words: 0,
        depth: 0,
        negated: false,
        terms: Vec::new(),
        scope: None,
        first_phrase: None,
    };
    parser.skip_space();
    if parser.rest().is_empty() {
        return Ok((Query::all(), None));
    }
    let root = parser.or()?;
    if !parser.rest().is_empty() {
        return Err(parser.error("expected a word, `and`, `or` or the end of the query"));
    }
    Ok((Query { root, terms: parser.terms }, parser.first_phrase))
}

/// An error at a byte of a query.
pub(super) fn error_at(text: &str, at: usize, reason: impl Into<String>) -> QueryError {
    let position = text.get(..at).unwrap_or(text).chars().count() + 1;
    QueryError { position, reason: reason.into() }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    names: Resolver<'a>,
    /// Where words without a name are looked for.
    anywhere: Vec<(Arc<Scope>, Arc<Cutter>)>,
    words: usize,
    depth: usize,
    /// Inside an odd number of `not`s: such words are no terms of the answer.
    negated: bool,
    terms: Vec<(String, String)>,
    /// The field in front of the parentheses we are in: `level:(info or error)`.
    scope: Option<Meaning>,
    first_phrase: Option<usize>,
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.and()?];
        while self.keyword("or") {
            nodes.push(self.and()?);
        }
        Ok(Node::one_or(nodes, Node::Or))
    }

    fn and(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.not()?];
        loop {
            if self.keyword("and") {
                nodes.push(self.not()?);
                continue;
            }
            // Neighbours without a word between them are joined by `and`.
            if self.rest().is_empty() || self.peek() == Some(')') || self.peek_keyword("or") {
                return Ok(Node::one_or(nodes, Node::And));
            }
            nodes.push(self.not()?);
        }
    }

    fn not(&mut self) -> Result<Node, QueryError> {
        let mut negative = false;
        while self.keyword("not") {
            negative = !negative;
        }
        self.negated ^= negative;
        let node = self.atom()?;
        self.negated ^= negative;
        Ok(if negative { Node::Not(Box::new(node)) } else { node })
    }

    fn atom(&mut self) -> Result<Node, QueryError> {
        match self.peek() {
            None => return Err(self.error("expected a word, found the end of the query")),
            Some('(') => return self.parentheses(),
            Some(')') => return Err(self.error("expected a word, found `)` without `(`")),
            Some(':') => return Err(self.error("expected a field name before `:`")),
            Some(_) => {}
        }
        if self.peek_keyword("and") || self.peek_keyword("or") {
            return Err(self.error("expected a word, found a keyword; quote it to search for it"));
        }
        let start = self.at;
        let piece = self.piece()?;
        if let Some(field) = self.scope.clone() {
            return self.valued(start, &field, piece);
        }
        if matches!(piece, Piece::Phrase(_)) {
            return self.words_anywhere(start, &piece);
        }
        if self.peek() == Some(':') {
            self.at += 1;
            if piece.text() == "__tag__" {
                return self.tag(start);
            }
            let field = self.field(start, piece.text())?;
            return self.value(&field);
        }
        if let Some(node) = self.compared(start, &piece)? {
            return Ok(node);
        }
        if piece.is_star() { Ok(Node::All) } else { self.words_anywhere(start, &piece) }
    }

    fn parentheses(&mut self) -> Result<Node, QueryError> {
        let open = self.at;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.error(format!("more than {DEPTH} parentheses inside each other")));
        }
        self.at += 1;
        self.skip_space();
        let node = self.or()?;
        if self.peek() != Some(')') {
            let place = error_at(self.text, open, "").position;
            return Err(self.error(format!("expected `)` for the `(` at character {place}")));
        }
        self.at += 1;
        self.depth -= 1;
        self.skip_space();
        Ok(node)
    }

    fn field(&self, start: usize, name: &str) -> Result<Meaning, QueryError> {
        self.names.meaning(name).ok_or_else(|| {
            let name: String = name.chars().take(100).collect();
            let reason = format!(
                "no index covers the field {name:?}, so it cannot be searched; add it to the index of the logstore, or \
                 quote a text that contains `:`"
            );
            self.error_at(start, reason)
        })
    }

    /// The name of a tag behind `__tag__:`, and what is asked of it. The longest known name wins; it may hold colons.
    fn tag(&mut self, start: usize) -> Result<Node, QueryError> {
        self.skip_space();
        let key = match self.names.known_tag(self.rest()) {
            Some(length) => {
                let key = self.rest().get(..length).unwrap_or("").to_owned();
                self.at += length;
                self.skip_space();
                key
            }
            None => match self.piece()? {
                Piece::Bare(text) | Piece::Quoted(text) => text,
                Piece::Phrase(_) => {
                    return Err(self.error_at(start, "expected the name of a tag after `__tag__:`"));
                }
            },
        };
        let name = format!("__tag__:{key}");
        if self.peek() == Some(':') {
            self.at += 1;
            let field = self.field(start, &name)?;
            return self.value(&field);
        }
        match self.compared(start, &Piece::Quoted(name))? {
            Some(node) => Ok(node),
            None => Err(self.error("expected `:` and a value after the name of the tag")),
        }
    }

    fn value(&mut self, field: &Meaning) -> Result<Node, QueryError> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            None | Some(')' | ':') => return Err(self.error("expected a value after `:`")),
            Some('(') => {
                self.scope = Some(field.clone());
                let node = self.atom();
                self.scope = None;
                return node;
            }
            Some(_) => {}
        }
        if ["and", "or", "not"].into_iter().any(|keyword| self.peek_keyword(keyword)) {
            return Err(self.error("expected a value after `:`, found a keyword; quote it to search for it"));
        }
        let piece = self.piece()?;
        self.valued(start, field, piece)
    }

    /// A value of a field: `level:error`, and each one in `level:(warn or error)`.
    fn valued(&mut self, start: usize, field: &Meaning, piece: Piece) -> Result<Node, QueryError> {
        if self.peek() == Some(':') {
            return Err(self.error("expected a space or an operator; quote a value that contains `:`"));
        }
        if piece.is_star() {
            return Ok(field.node(|_| Test::Exists));
        }
        if matches!(&piece, Piece::Quoted(text) if text.is_empty()) {
            return Ok(field.node(|_| Test::Empty));
        }
        self.remember(&field.name, &piece);
        if let Values::Number(kind) = field.values {
            let Some(range) = Range::equal_to(piece.text()).filter(|_| !matches!(piece, Piece::Phrase(_)))
            else {
                let reason = format!("expected a number: the field {:?} is of type {kind}", field.name);
                return Err(self.error_at(start, reason));
            };
            self.count(start, 1)?;
            return Ok(field.node(|_| Test::Range(range)));
        }
        let words = self.cut(start, &piece, &field.cutter)?;
        let whole = match &piece {
            Piece::Bare(text) => Word::wild(text, false),
            Piece::Quoted(text) | Piece::Phrase(text) => Word::literal(text, false),
        };
        // A value that is compared whole is one word.
        let whole_only = field.values == Values::Whole && !words.phrase;
        self.bounded(start, std::slice::from_ref(&whole))?;
        self.count(start, if whole_only { 1 } else { words.words.len() })?;
        Ok(field.node(|is_whole| match (is_whole && !words.phrase, words.words.is_empty()) {
            (true, _) => Test::Whole(whole.clone()),
            // Only separators: nothing is asked, but that the field is there.
            (false, true) => Test::Exists,
            (false, false) => Test::Words(words.clone()),
        }))
    }

    /// Words in any field.
    fn words_anywhere(&mut self, start: usize, piece: &Piece) -> Result<Node, QueryError> {
        if self.anywhere.is_empty() {
            return Err(
                self.error_at(start, "there is no full-text index and no field of type text; name a field")
            );
        }
        self.remember("", piece);
        let mut nodes = Vec::new();
        let mut most = 0;
        for (scope, cutter) in self.anywhere.clone() {
            let words = self.cut(start, piece, &cutter)?;
            most = most.max(words.words.len());
            if words.words.is_empty() {
                // Only separators: nothing is asked.
                return Ok(Node::All);
            }
            nodes.push(Node::Anywhere(scope, words));
        }
        self.count(start, most)?;
        Ok(Node::one_or(nodes, Node::Or))
    }

    /// A comparison or an interval behind a name. On what is no number, an operator only separates words.
    fn compared(&mut self, start: usize, name: &Piece) -> Result<Option<Node>, QueryError> {
        let comparison = range::comparison(self.rest());
        if comparison.is_none() && !range::begins_interval(self.rest()) {
            return Ok(None);
        }
        let meaning = self.names.meaning(name.text());
        let meaning = meaning.filter(|meaning| self.names.may_compare(name.text(), !name.is_bare(), meaning));
        match (comparison, meaning) {
            (Some((taken, range)), Some(field)) => {
                self.count(start, 1)?;
                self.advance(taken);
                Ok(Some(field.node(|_| Test::Range(range))))
            }
            (Some((taken, _)), None) => {
                let operator = self.rest().get(..taken).unwrap_or("").to_owned();
                self.advance(taken);
                // `a>1` is cut as it stands; `a > 1` is two words and an operator.
                let mut words = vec![Piece::Quoted(name.text().to_owned())];
                if name.is_bare() {
                    let as_written = self.text.get(start..self.at).unwrap_or("").split_whitespace();
                    words = as_written.map(|word| Piece::Bare(word.to_owned())).collect();
                } else {
                    words.extend(operator.split_whitespace().map(|word| Piece::Bare(word.to_owned())));
                }
                let nodes =
                    words.iter().map(|word| self.words_anywhere(start, word)).collect::<Result<_, _>>()?;
                Ok(Some(Node::one_or(nodes, Node::And)))
            }
            (None, Some(field)) => {
                let Some((taken, range)) = range::interval(self.rest()) else {
                    let wanted =
                        "expected two numbers in brackets, as in `in [500 599]`; quote `in` to search for it";
                    return Err(self.error(wanted));
                };
                self.count(start, 1)?;
                self.advance(taken);
                Ok(Some(field.node(|_| Test::Range(range))))
            }
            (None, None) => {
                Err(self.error("`in` needs a field of type long or double; quote it to search for it"))
            }
        }
    }

    fn cut(&mut self, start: usize, piece: &Piece, cutter: &Arc<Cutter>) -> Result<Words, QueryError> {
        let (words, phrase) = match piece {
            Piece::Phrase(text) => (Word::cut_phrase(text, cutter), true),
            Piece::Bare(text) => (Word::cut(text, true, cutter), false),
            Piece::Quoted(text) => (Word::cut(text, false, cutter), false),
        };
        if phrase && words.is_empty() {
            return Err(self.error_at(start, "expected a word in the phrase"));
        }
        if phrase && self.negated {
            return Err(self.error_at(start, "a phrase cannot stand behind `not`"));
        }
        self.bounded(start, &words)?;
        if phrase {
            self.first_phrase.get_or_insert(start);
        }
        Ok(Words { words, cutter: cutter.clone(), phrase })
    }

    fn bounded(&self, start: usize, words: &[Word]) -> Result<(), QueryError> {
        if words.iter().any(Word::starts_wild) {
            return Err(self.error_at(start, "a word cannot start with `*` or `?`"));
        }
        if words.iter().any(|word| word.is_wild() && word.text().chars().count() > WILD) {
            return Err(self.error_at(start, format!("a word with `*` or `?` has at most {WILD} characters")));
        }
        Ok(())
    }

    fn remember(&mut self, name: &str, piece: &Piece) {
        if !self.negated {
            self.terms.push((name.to_owned(), piece.text().to_owned()));
        }
    }

    fn count(&mut self, start: usize, words: usize) -> Result<(), QueryError> {
        self.words += words;
        if self.words > WORDS {
            return Err(self.error_at(start, format!("more than {WORDS} words in one search")));
        }
        Ok(())
    }
}
