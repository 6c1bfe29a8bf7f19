//! Gathers records into batches and hands each to the intake: what an input's decoder writes into.
//!
//! A batch has one tag, one frame and a bounded number of records. Whoever begins a record with another tag, opens another
//! frame, or has filled the batch, stores what was there first; storing never waits. Keys that an input names itself are
//! written once per batch.

use std::sync::Arc;

use bytes::Bytes;

use super::Intake;
use crate::base::limits;
use crate::journal::{Commit, Receipt, Submitted};
use crate::pipeline::join::JoinSettings;
use crate::pipeline::lane::Lane;
use crate::pipeline::stream::Origin;
use crate::record::{Batch, Span, Timestamp};

/// Records decoded before they are handed on.
const RECORDS: usize = limits::GROUP_RECORDS;
/// Made text before it is handed on.
const ARENA_BYTES: usize = limits::MIB;

pub struct Batcher {
    pub batch: Batch,
    lane: Lane,
    intake: Arc<Intake>,
    join: Option<JoinSettings>,
    /// Keys that are in the batch's arena, by the address of their name.
    keys: Vec<(&'static str, Span)>,
    stored: Option<Receipt>,
    /// Bytes that what was stored became.
    made: usize,
}

impl Batcher {
    pub fn new(intake: Arc<Intake>, origin: Origin, join: Option<JoinSettings>) -> Batcher {
        Batcher {
            batch: Batch::default(),
            lane: Lane::new(origin),
            intake,
            join,
            keys: Vec::new(),
            stored: None,
            made: 0,
        }
    }

    /// Turns to a frame: spans of the records to come lie in it.
    pub fn open(&mut self, frame: Bytes) {
        self.store();
        self.batch.frame = frame;
    }

    /// Begins a record. What is gathered under another tag is stored first. Spans made before this call are void, save
    /// those into the frame.
    pub fn begin(&mut self, tag: &[u8], time: Timestamp) {
        let full = self.batch.records.len() >= RECORDS || self.batch.arena.len() >= ARENA_BYTES;
        if full || (!self.batch.is_empty() && self.batch.tag() != tag) {
            self.store();
        }
        if self.batch.is_empty() {
            self.batch.tag = self.batch.keep(tag);
        }
        self.batch.begin(time);
    }

    /// The span of a key that the input names itself.
    pub fn key(&mut self, name: &'static str) -> Span {
        if let Some((_, span)) = self.keys.iter().find(|(known, _)| std::ptr::eq(*known, name)) {
            return *span;
        }
        let span = self.batch.keep(name.as_bytes());
        self.keys.push((name, span));
        span
    }

    /// Adds a field to the record begun last.
    pub fn push(&mut self, key: &'static str, value: Span) {
        let key = self.key(key);
        self.batch.push(key, value);
    }

    /// Adds a field whose text is not in the frame.
    pub fn push_text(&mut self, key: &'static str, text: &[u8]) {
        let (key, value) = (self.key(key), self.batch.keep(text));
        self.batch.push(key, value);
    }

    /// Hands over what is gathered. The frame stays.
    pub fn store(&mut self) {
        if self.batch.is_empty() {
            self.forget();
            return;
        }
        let receipt = self.intake.store(&mut self.lane, &mut self.batch, self.join.as_ref());
        self.note(receipt);
    }

    /// As [`Batcher::store`], with what else belongs into the same commit: stored with the records, or not at all. Not
    /// called when some of what was gathered since the last such call goes with the process (a buffer in memory).
    pub fn store_with<T>(&mut self, board: impl FnOnce(&mut Commit) -> T) -> Option<(T, Submitted)> {
        let (submitted, boarded) =
            self.intake.store_with(&mut self.lane, &mut self.batch, self.join.as_ref(), board);
        self.note(submitted.receipt.clone());
        boarded.map(|boarded| (boarded, submitted))
    }

    fn note(&mut self, receipt: Receipt) {
        self.made += self.lane.made();
        self.stored = Some(match self.stored.take() {
            Some(before) => before.later(receipt),
            None => receipt,
        });
        self.forget();
    }

    fn forget(&mut self) {
        self.batch.clear_records();
        self.keys.clear();
    }

    /// The receipt of everything stored since the last call, and the bytes it became.
    pub fn take_receipt(&mut self) -> Option<(Receipt, usize)> {
        let receipt = self.stored.take()?;
        Some((receipt, std::mem::take(&mut self.made)))
    }

    /// Waits until the buffers that were written to last have room again.
    pub async fn ready(&mut self) {
        self.intake.ready(&mut self.lane).await;
    }

    /// Gives large buffers back while nothing comes.
    pub fn rest(&mut self) {
        self.lane.rest();
        self.batch = Batch::default();
        self.keys.clear();
    }
}
