//! What a search needs to be somewhere in a pack: by the pack's token filter.

use super::filter::Filter;

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
