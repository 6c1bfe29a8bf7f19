//! The pieces of a search, one after the other: bare words, quoted texts, phrases, keywords, and the space behind each.

use super::super::{QueryError, range};
use super::{Parser, error_at};

/// What a value or a name was written as.
pub(super) enum Piece {
    Bare(String),
    Quoted(String),
    Phrase(String),
}

impl Piece {
    pub(super) fn text(&self) -> &str {
        match self {
            Piece::Bare(text) | Piece::Quoted(text) | Piece::Phrase(text) => text,
        }
    }

    pub(super) fn is_bare(&self) -> bool {
        matches!(self, Piece::Bare(_))
    }

    /// A bare run of stars.
    pub(super) fn is_star(&self) -> bool {
        self.is_bare() && self.text().chars().all(|c| c == '*')
    }
}

impl<'a> Parser<'a> {
    /// One bare word, quoted text or phrase, and the space behind it.
    pub(super) fn piece(&mut self) -> Result<Piece, QueryError> {
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
            if stops || (at > 0 && matches!(c, '<' | '>' | '=') && range::comparison(&rest[at..]).is_some()) {
                end = at;
                break;
            }
        }
        if end == 0 {
            return Err(self.error("expected a word"));
        }
        let word = rest[..end].to_owned();
        self.advance(end);
        Ok(Piece::Bare(word))
    }

    pub(super) fn quoted(&mut self) -> Result<String, QueryError> {
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

    pub(super) fn keyword(&mut self, word: &str) -> bool {
        let found = self.peek_keyword(word);
        if found {
            self.at += word.len();
            self.skip_space();
        }
        found
    }

    pub(super) fn peek_keyword(&self, word: &str) -> bool {
        let rest = self.rest().as_bytes();
        let Some((head, tail)) = rest.split_at_checked(word.len()) else { return false };
        let ends = self.rest()[..]
            .get(word.len()..)
            .and_then(|tail| tail.chars().next())
            .is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '#'));
        head.eq_ignore_ascii_case(word.as_bytes()) && (tail.is_empty() || ends)
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(super) fn advance(&mut self, taken: usize) {
        self.at += taken;
        self.skip_space();
    }

    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> QueryError {
        self.error_at(self.at, reason)
    }

    pub(super) fn error_at(&self, at: usize, reason: impl Into<String>) -> QueryError {
        error_at(self.text, at, reason)
    }
}
