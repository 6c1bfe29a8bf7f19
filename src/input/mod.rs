//! The inputs: what accepts bytes and makes batches of them. An input is a file or a folder here, a structure in the
//! configuration, and an arm where the app starts them ([`crate::app`]).
//!
//! Every input hands its batches to the one [`Intake`], which holds the byte budget and the way into the pipeline.

pub mod budget;
pub mod forward;
pub mod heartbeat;
pub mod listener;

use std::sync::Arc;

pub use crate::base::shutdown::Stop;
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
}

impl Intake {
    pub fn new(pipeline: Arc<Pipeline>, budget: Budget) -> Self {
        Intake { budget, pipeline }
    }

    /// Processes a batch and hands it to the journal; the receipt resolves when it is stored. The batch keeps
    /// its frame and nothing else. Never waits: that is what [`Intake::ready`] is for, before the next read.
    pub fn store(&self, lane: &mut Lane, batch: &mut Batch, join: Option<&JoinSettings>) -> Receipt {
        self.pipeline.store(lane, batch, join)
    }

    /// Waits until the buffers this lane wrote to last have room again. A connection whose destination blocks is not
    /// read, so it holds none of the budget that others need.
    pub async fn ready(&self, lane: &Lane) {
        self.pipeline.ready(lane).await;
    }
}
