//! What is counted of files that change while they are read.

use crate::base::metrics::{Counter, counter};

/// What happened to files, by input.
#[derive(Clone)]
pub struct Losses {
    pub(super) truncated: Counter,
    pub(super) lost: Counter,
    pub(super) unseen: Counter,
    pub(super) damaged: Counter,
}

impl Losses {
    pub fn new(input: &str) -> Losses {
        let labels = [("input", input)];
        Losses {
            truncated: counter(
                "sluicegate_files_truncated_total",
                "Files whose content was replaced in place; the new one is read from its beginning.",
                &labels,
            ),
            lost: counter(
                "sluicegate_files_lost_total",
                "Files that were gone before they had been read to their end.",
                &labels,
            ),
            unseen: counter(
                "sluicegate_files_unseen_total",
                "Times that a log had only new files when it was looked at: files between may have come and gone unseen.",
                &labels,
            ),
            damaged: counter(
                "sluicegate_files_damaged_total",
                "Compressed files that could not be read to their end.",
                &labels,
            ),
        }
    }
}
