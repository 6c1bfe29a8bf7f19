//! The search language of Log Service: what stands before the bar of a query.
//!
//! ```text
//! search = or      or = and { "or" and }      and = not { [ "and" ] not }      not = { "not" } atom
//! atom   = "(" search ")" | name ":" value | name op number | name "in" range | #"phrase" | "quoted" | word
//! ```
//!
//! [`parse`] is pure and never panics; its recursion is bounded by the parentheses it allows. Words and quoted texts
//! are cut by [`tokens`], as values are, and all parts must occur. The evaluation in [`eval`] goes over a walked log
//! and allocates nothing per log.

mod eval;
pub mod filter;
mod letters;
mod needed;
mod parse;
mod range;
mod tokens;

pub use eval::Subject;
pub use needed::Needed;
pub use parse::parse;

use range::Range;
use tokens::Word;

/// Words of one search, as in Log Service.
pub const WORDS: usize = 30;
/// Parentheses inside each other.
pub const DEPTH: usize = 64;
/// Bytes of one query.
pub const QUERY_BYTES: usize = 32 * 1024;

/// A parsed search.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    root: Node,
    /// Field (empty without one) and text of each positive word, in order, for the answer's `terms`.
    pub terms: Vec<(String, String)>,
}

impl Query {
    /// Matches every log.
    pub fn all() -> Query {
        Query { root: Node::All, terms: Vec::new() }
    }
}

/// Why a text is no search.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {position}: {reason}")]
pub struct QueryError {
    /// Counted in characters, from 1.
    pub position: usize,
    pub reason: String,
    /// The text has a part behind a bar, which is no fault of the search before it.
    pub is_analysis: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    All,
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// Every word occurs; without a field, anywhere in the log.
    Words(Option<Field>, Vec<Word>),
    /// The words occur one behind the other, in one value.
    Phrase(Option<Field>, Vec<Word>),
    Exists(Field),
    Empty(Field),
    Range(Field, Range),
}

/// What a field name means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Topic,
    /// `__source__`; also what a record's own field `source` falls back to when there is none.
    Source {
        or_content: bool,
    },
    Time,
    TimeNs,
    Tag(String),
    Content(String),
}

#[cfg(test)]
mod tests;
