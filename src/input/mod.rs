//! The inputs: what accepts bytes and makes batches of them. An input is a file or a folder here, a structure in the
//! configuration, and an arm of [`start`].
//!
//! Every input hands its batches to the one [`Intake`], which holds the byte budget and the way into the pipeline.

pub mod budget;
pub mod forward;
pub mod listener;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::journal::Receipt;
use crate::pipeline::Pipeline;
use crate::pipeline::join::JoinSettings;
use crate::pipeline::lane::Lane;
use crate::record::Batch;
use budget::Budget;

/// What all inputs share.
pub struct Intake {
    pub budget: Budget,
    pipeline: Arc<Pipeline>,
    /// Counts batches that were taken, so that health can see movement.
    taken: AtomicU64,
}

impl Intake {
    pub fn new(pipeline: Arc<Pipeline>, budget: Budget) -> Self {
        Intake { budget, pipeline, taken: AtomicU64::new(0) }
    }

    /// Processes a batch and hands it to the journal; the receipt resolves when it is stored. The batch keeps
    /// its frame and nothing else. Never waits: that is what [`Intake::ready`] is for, before the next read.
    pub fn store(&self, lane: &mut Lane, batch: &mut Batch, join: Option<&JoinSettings>) -> Receipt {
        let receipt = self.pipeline.store(lane, batch, join);
        self.taken.fetch_add(1, Ordering::Relaxed);
        receipt
    }

    /// Waits until the buffers this lane wrote to last have room again. A connection whose destination blocks is not
    /// read, so it holds none of the budget that others need.
    pub async fn ready(&self, lane: &Lane) {
        self.pipeline.ready(lane).await;
    }

    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// How an input learns that it should end: first no new connections and no new bytes, then a deadline.
#[derive(Clone, Default)]
pub struct Stop {
    pub draining: CancellationToken,
    pub tasks: TaskTracker,
}
