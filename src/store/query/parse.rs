//! Recursive descent over the characters of a search. Only parentheses recurse, at most [`DEPTH`] deep; `not`s are
//! counted and `and` / `or` lists are loops, so no text can overflow the stack.

use super::range::{self, Range};
use super::tokens::Word;
use super::{DEPTH, Field, Node, QUERY_BYTES, Query, QueryError, WORDS};

/// Parses a search; empty text and `*` are everything.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    let mut parser =
        Parser { text, at: 0, words: 0, depth: 0, negated: false, terms: Vec::new(), scope: None };
    if text.len() > QUERY_BYTES {
        return Err(parser.error(format!("the query is longer than {QUERY_BYTES} bytes")));
    }
    if let Some(bar) = bar(text) {
        parser.at = bar;
        let mut error = parser.error("analysis behind `|` is not supported by this Log Service; search only");
        error.is_analysis = true;
        return Err(error);
    }
    parser.skip_space();
    if parser.rest().is_empty() {
        return Ok(Query::all());
    }
    let root = parser.or()?;
    if !parser.rest().is_empty() {
        return Err(parser.error("expected a word, `and`, `or` or the end of the query"));
    }
    Ok(Query { root, terms: parser.terms })
}

/// The first bar outside double quotes.
fn bar(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'|' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    words: usize,
    depth: usize,
    /// Inside an odd number of `not`s: such words are no terms of the answer.
    negated: bool,
    terms: Vec<(String, String)>,
    /// The field in front of the parentheses we are in: `level:(info or error)`.
    scope: Option<Field>,
}

/// What a value or a name was written as.
enum Piece {
    Bare(String),
    Quoted(String),
    Phrase(String),
}

impl<'a> Parser<'a> {
    fn or(&mut self) -> Result<Node, QueryError> {
        let mut nodes = vec![self.and()?];
        while self.keyword("or") {
            nodes.push(self.and()?);
        }
        Ok(one_or(nodes, Node::Or))
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
                return Ok(one_or(nodes, Node::And));
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
            Some('(') => {
                let open = self.at;
                self.depth += 1;
                if self.depth > DEPTH {
                    return Err(self.error(format!("more than {DEPTH} parentheses inside each other")));
                }
                self.at += 1;
                self.skip_space();
                let node = self.or()?;
                if self.peek() != Some(')') {
                    let wanted = format!("expected `)` for the `(` at character {}", self.position_of(open));
                    return Err(self.error(wanted));
                }
                self.at += 1;
                self.depth -= 1;
                self.skip_space();
                return Ok(node);
            }
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
            return self.valued(start, field, piece);
        }
        let name = match piece {
            Piece::Phrase(text) => return self.phrase(start, None, &text),
            Piece::Quoted(ref text) | Piece::Bare(ref text) => text,
        };
        if self.peek() == Some(':') {
            self.at += 1;
            let field = self.field_named(name)?;
            self.skip_space();
            return self.value(field);
        }
        if let Some(range) = self.range() {
            self.count(start)?;
            return Ok(Node::Range(field_of(name), range));
        }
        match piece {
            Piece::Bare(text) if text.chars().all(|c| c == '*') => Ok(Node::All),
            piece => self.words(start, None, piece),
        }
    }

    /// The field a name in front of a colon means; `__tag__:` takes the tag's name with it.
    fn field_named(&mut self, name: &str) -> Result<Field, QueryError> {
        if name != "__tag__" {
            return Ok(field_of(name));
        }
        self.skip_space();
        let start = self.at;
        let key = match self.piece()? {
            Piece::Bare(text) | Piece::Quoted(text) => text,
            Piece::Phrase(_) => {
                return Err(self.error_at(start, "expected the name of a tag after `__tag__:`"));
            }
        };
        if self.peek() != Some(':') {
            return Err(self.error("expected `:` and a value after the name of the tag"));
        }
        self.at += 1;
        Ok(Field::Tag(key))
    }

    fn value(&mut self, field: Field) -> Result<Node, QueryError> {
        let start = self.at;
        match self.peek() {
            None | Some(')' | ':') => return Err(self.error("expected a value after `:`")),
            Some('(') => {
                self.scope = Some(field);
                let node = self.atom();
                self.scope = None;
                return node;
            }
            Some(_) => {}
        }
        let piece = self.piece()?;
        self.valued(start, field, piece)
    }

    fn valued(&mut self, start: usize, field: Field, piece: Piece) -> Result<Node, QueryError> {
        if self.peek() == Some(':') {
            return Err(self.error("expected a space or an operator; quote a value that contains `:`"));
        }
        match piece {
            Piece::Phrase(text) => self.phrase(start, Some(field), &text),
            Piece::Bare(text) if text.chars().all(|c| c == '*') => Ok(Node::Exists(field)),
            Piece::Quoted(text) if text.is_empty() => Ok(Node::Empty(field)),
            piece => self.words(start, Some(field), piece),
        }
    }

    fn words(&mut self, start: usize, field: Option<Field>, piece: Piece) -> Result<Node, QueryError> {
        let (text, wildcards) = match &piece {
            Piece::Bare(text) => (text, true),
            Piece::Quoted(text) | Piece::Phrase(text) => (text, false),
        };
        // Topic and source are compared whole.
        let whole = matches!(field, Some(Field::Topic | Field::Source { or_content: false }));
        let words = match (whole, wildcards) {
            (true, true) => vec![Word::wild(text)],
            (true, false) => vec![Word::literal(text)],
            (false, _) => Word::cut(text, wildcards),
        };
        for word in &words {
            if word.starts_wild() {
                return Err(self.error_at(start, "a word cannot start with `*` or `?`"));
            }
            if word.text().contains(['*', '?']) && wildcards && word.text().chars().count() > 64 {
                return Err(self.error_at(start, "a word with `*` or `?` has at most 64 characters"));
            }
            self.count(start)?;
        }
        self.remember(field.as_ref(), text);
        Ok(match (words.is_empty(), field) {
            // Only separators: nothing is asked, but of a field that it is there.
            (true, None) => Node::All,
            (true, Some(field)) => Node::Exists(field),
            (false, field) => Node::Words(field, words),
        })
    }

    fn phrase(&mut self, start: usize, field: Option<Field>, text: &str) -> Result<Node, QueryError> {
        let words = Word::cut(text, false);
        if words.is_empty() {
            return Err(self.error_at(start, "expected a word in the phrase"));
        }
        for _ in &words {
            self.count(start)?;
        }
        self.remember(field.as_ref(), text);
        Ok(Node::Phrase(field, words))
    }

    fn remember(&mut self, field: Option<&Field>, text: &str) {
        if !self.negated {
            self.terms.push((field.map_or(String::new(), name_of), text.to_owned()));
        }
    }

    fn count(&mut self, start: usize) -> Result<(), QueryError> {
        self.words += 1;
        if self.words > WORDS {
            return Err(self.error_at(start, format!("more than {WORDS} words in one search")));
        }
        Ok(())
    }

    /// A comparison or an interval behind a name; what does not fit is left to be read as words.
    fn range(&mut self) -> Option<Range> {
        let (taken, range) = range::comparison(self.rest()).or_else(|| range::interval(self.rest()))?;
        self.at += taken;
        self.skip_space();
        Some(range)
    }

    /// One bare word, quoted text or phrase, and the space behind it.
    fn piece(&mut self) -> Result<Piece, QueryError> {
        let rest = self.rest();
        if rest.starts_with("#\"") {
            self.at += 1;
            return Ok(Piece::Phrase(self.quoted()?));
        }
        if rest.starts_with('"') {
            return Ok(Piece::Quoted(self.quoted()?));
        }
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            let stops = c.is_whitespace() || matches!(c, '(' | ')' | '"' | '|' | ':');
            if stops || (at > 0 && range::comparison(&rest[at..]).is_some()) {
                end = at;
                break;
            }
        }
        if end == 0 {
            return Err(self.error("expected a word"));
        }
        let word = rest[..end].to_owned();
        self.at += end;
        self.skip_space();
        Ok(Piece::Bare(word))
    }

    fn quoted(&mut self) -> Result<String, QueryError> {
        let open = self.at;
        let mut text = String::new();
        let mut escaped = false;
        for (at, c) in self.text[open..].char_indices().skip(1) {
            match c {
                '"' | '\\' if escaped => {
                    text.push(c);
                    escaped = false;
                }
                _ if escaped => {
                    text.push('\\');
                    text.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.at = open + at + 1;
                    self.skip_space();
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(self.error_at(open, "expected a closing `\"` for the one"))
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = self.peek_keyword(word);
        if found {
            self.at += word.len();
            self.skip_space();
        }
        found
    }

    fn peek_keyword(&self, word: &str) -> bool {
        let rest = self.rest().as_bytes();
        let Some((head, tail)) = rest.split_at_checked(word.len()) else { return false };
        let ends = self.rest()[..]
            .get(word.len()..)
            .and_then(|tail| tail.chars().next())
            .is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '#'));
        head.eq_ignore_ascii_case(word.as_bytes()) && (tail.is_empty() || ends)
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn error(&self, reason: impl Into<String>) -> QueryError {
        self.error_at(self.at, reason)
    }

    fn error_at(&self, at: usize, reason: impl Into<String>) -> QueryError {
        QueryError { position: self.position_of(at), reason: reason.into(), is_analysis: false }
    }

    fn position_of(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or(self.text).chars().count() + 1
    }
}

fn one_or(mut nodes: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match (nodes.len(), nodes.pop()) {
        (1, Some(node)) => node,
        (_, last) => {
            nodes.extend(last);
            many(nodes)
        }
    }
}

fn field_of(name: &str) -> Field {
    match name {
        "__topic__" => Field::Topic,
        "__source__" => Field::Source { or_content: false },
        "source" => Field::Source { or_content: true },
        "__time__" => Field::Time,
        "__time_ns_part__" => Field::TimeNs,
        _ => match name.strip_prefix("__tag__:") {
            Some(tag) => Field::Tag(tag.to_owned()),
            None => Field::Content(name.to_owned()),
        },
    }
}

fn name_of(field: &Field) -> String {
    match field {
        Field::Topic => "__topic__".into(),
        Field::Source { or_content: false } => "__source__".into(),
        Field::Source { or_content: true } => "source".into(),
        Field::Time => "__time__".into(),
        Field::TimeNs => "__time_ns_part__".into(),
        Field::Tag(key) => format!("__tag__:{key}"),
        Field::Content(name) => name.clone(),
    }
}
