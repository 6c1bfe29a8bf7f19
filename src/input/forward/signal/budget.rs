//! The text that one message may become. A label or a resource attribute stands once in a payload and once more in
//! every record of it; without a bound, a megabyte of label before a million samples would be a terabyte.
//!
//! So much for any message, and so many times a message's length, as long as it stays below what a message may inflate
//! to (or four times the message, where that is more). A histogram takes a hundred bytes on the wire and becomes two dozen
//! records of some hundred bytes each, so an honest message comes near a hundred times its length.

use crate::base::limits::{INFLATED_BYTES, MIB};

const BYTES: usize = 8 * MIB;
const TIMES: usize = 128;
const LARGE_TIMES: usize = 4;

/// Text that may still be made.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    /// For a payload of so many bytes.
    pub(super) fn new(payload: usize) -> Self {
        let most = INFLATED_BYTES.max(payload.saturating_mul(LARGE_TIMES));
        Budget { left: BYTES.saturating_add(payload.saturating_mul(TIMES)).min(most) }
    }

    /// Takes `bytes`; false when there are not so many left, and from then on for good.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }
}
