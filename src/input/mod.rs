//! The inputs: what accepts bytes and makes batches of them. An input is a file or a folder here, a structure in the
//! configuration, and an arm where the app starts them ([`crate::app`]).
//!
//! Every input hands its batches to the one [`Intake`], which holds the byte budget and the way into the pipeline.

pub mod batcher;
pub mod budget;
pub mod docker;
pub mod docker_plugin;
pub mod duplicates;
pub mod file;
pub mod follow;
pub mod forward;
pub mod gelf;
pub mod heartbeat;
pub mod listener;
pub mod oneway;
pub mod positions;
pub mod reader;
pub mod splunk;
pub mod syslog;

use std::sync::Arc;

pub use crate::base::shutdown::Stop;
use crate::base::signal::Signal;
use crate::journal::{Commit, Receipt, Submitted};
use crate::pipeline::Pipeline;
use crate::pipeline::join::JoinSettings;
use crate::pipeline::lane::Lane;
use crate::record::Batch;
use budget::Budget;
use duplicates::{Conversation, Duplicates};

/// What all inputs share.
pub struct Intake {
    pub budget: Budget,
    pipeline: Arc<Pipeline>,
    duplicates: Option<Arc<Duplicates>>,
}

impl Intake {
    pub fn new(pipeline: Arc<Pipeline>, budget: Budget) -> Self {
        Intake { budget, pipeline, duplicates: None }
    }

    /// With a memory for messages that come again.
    pub fn with_duplicates(self, duplicates: Option<Arc<Duplicates>>) -> Self {
        Intake { duplicates, ..self }
    }

    /// The memory for messages that come again, where there is one.
    pub fn duplicates(&self) -> Option<&Arc<Duplicates>> {
        self.duplicates.as_ref()
    }

    /// Processes a batch and hands it to the journal; the receipt resolves when it is stored. The batch keeps
    /// its frame and nothing else. Never waits: that is what [`Intake::ready`] is for, before the next read.
    pub fn store(&self, lane: &mut Lane, batch: &mut Batch, join: Option<&JoinSettings>) -> Receipt {
        self.pipeline.store(lane, batch, join)
    }

    /// Processes a batch and keeps it in the lane: it goes with the next batch that is stored, in one commit with it.
    pub fn gather(&self, lane: &mut Lane, batch: &mut Batch, join: Option<&JoinSettings>) {
        self.pipeline.gather(lane, batch, join);
    }

    /// As [`Intake::store`], with the messages' ids, which are stored with their records or not at all. To be called for
    /// the batch that ends the messages met since the last time; parts of a message before its last go without ids.
    pub fn store_met(
        &self,
        lane: &mut Lane,
        batch: &mut Batch,
        join: Option<&JoinSettings>,
        conversation: &mut Conversation,
    ) -> Receipt {
        if !conversation.has_claims() {
            return self.store(lane, batch, join);
        }
        let (submitted, boarded) = self.store_with(lane, batch, join, |commit| conversation.board(commit));
        conversation.handed_over(boarded, &submitted);
        submitted.receipt
    }

    /// As [`Intake::store`], and lets `board` put what belongs to these records into their commit. Not called when some of
    /// what this lane stored since the last such call goes with the process.
    pub fn store_with<T>(
        &self,
        lane: &mut Lane,
        batch: &mut Batch,
        join: Option<&JoinSettings>,
        board: impl FnOnce(&mut Commit) -> T,
    ) -> (Submitted, Option<T>) {
        let mut boarded = None;
        let submitted = self.pipeline.store_with(lane, batch, join, |commit| boarded = Some(board(commit)));
        (submitted, boarded)
    }

    /// Waits until the buffers this lane wrote to last have room again. A connection whose destination blocks is not
    /// read, so it holds none of the budget that others need.
    pub async fn ready(&self, lane: &mut Lane) {
        self.pipeline.ready(lane).await;
    }

    /// Waits until there is room for the first message of a lane that has stored nothing yet.
    pub async fn ready_for_first(&self, signal: Signal, tag: &[u8], bytes: u64) {
        self.pipeline.ready_for_first(signal, tag, bytes).await;
    }
}
