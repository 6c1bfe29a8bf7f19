//! The query language of Log Service: a search, and what may follow it behind a bar.
//!
//! ```text
//! query  = [ search ] [ "|" ( sql | "with_pack_meta" ) ]
//! search = or      or = and { "or" and }      and = not { [ "and" ] not }      not = { "not" } atom
//! atom   = "(" search ")" | name ":" value | name op number | name "in" range | #"phrase" | "quoted" | word
//! ```
//!
//! ```text
//! text -> bar (split) -> parse -> Query -> Needed -> filters of packs (filter)      which packs
//!                          |        `----> Subject of a log (eval)                  which logs
//!          Index -> names -'   what a name means: field, tag, JSON path; its type, tokens, case
//! ```
//!
//! [`read`] and [`parse`] are pure and never panic; their recursion is bounded by the parentheses they allow. What an index
//! says is put into the query once, so that evaluation goes over a walked log and allocates nothing.

mod bar;
mod cutter;
mod eval;
pub mod filter;
mod json_path;
mod letters;
mod names;
mod needed;
mod parse;
mod range;
mod word;

pub use bar::{Analysis, Parsed, SPL, read};
pub use cutter::Cutter;
pub use eval::Subject;
pub use needed::Needed;
pub use parse::parse;

pub(in crate::store) use letters::SEPARATORS;

use std::sync::Arc;

use range::Range;
use word::Word;

/// Words of one search, as in Log Service.
pub const WORDS: usize = 30;
/// Parentheses inside each other.
pub const DEPTH: usize = 64;
/// Bytes of one query.
pub const QUERY_BYTES: usize = 32 * 1024;

/// A parsed search.
#[derive(Clone, Debug)]
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

    /// It matches every log.
    pub fn is_all(&self) -> bool {
        matches!(self.root, Node::All)
    }
}

/// Why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {position}: {reason}")]
pub struct QueryError {
    /// Counted in characters, from 1.
    pub position: usize,
    pub reason: String,
}

#[derive(Clone, Debug)]
enum Node {
    All,
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// In any field of a scope: each word in any of them, a phrase in one.
    Anywhere(Arc<Scope>, Words),
    Field(Place, Test),
}

/// Words as the values they are looked for in are cut.
#[derive(Clone, Debug)]
struct Words {
    words: Vec<Word>,
    cutter: Arc<Cutter>,
    /// One behind the other, and not just anywhere.
    phrase: bool,
}

/// What is asked of one field: of any of its values, where it is repeated.
#[derive(Clone, Debug)]
enum Test {
    Words(Words),
    /// The whole value is this word.
    Whole(Word),
    Exists,
    Empty,
    Range(Range),
}

/// The fields a word without a name is looked for in; tags by their own names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    All,
    /// Sorted.
    Only(Names),
    Except(Names),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    contents: Vec<String>,
    tags: Vec<String>,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Topic,
    Source,
    Time,
    TimeNs,
    Tag(String),
    Content(String),
    /// At a path of the JSON that a field holds.
    Json {
        key: String,
        path: String,
    },
}

#[cfg(test)]
mod tests;
