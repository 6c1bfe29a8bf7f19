//! Gathers records into batches and hands each to the intake: what an input's decoder writes into.
//!
//! ```text
//! begin: tag a   a   b   a        frame ends
//!         |--batch--|-b-|-a-|          |
//!              encode behind each other `-> one commit
//! ```
//!
//! A batch has one tag and one frame. Whoever begins a record with another tag has what was there encoded, behind what
//! was encoded before, and all of it is one commit: senders whose tags alternate cost no more commits than others, and
//! the records of a stream keep their order. Who opens another frame, or has gathered as much as a commit may have, stores
//! what was there first; storing never waits. Keys that an input names itself are written once per batch.

use std::sync::Arc;

use bytes::Bytes;

use super::Intake;
use crate::base::limits;
use crate::journal::{Commit, Receipt, Submitted};
use crate::pipeline::join::JoinSettings;
use crate::pipeline::lane::Lane;
use crate::pipeline::steps::Steps;
use crate::pipeline::stream::Origin;
use crate::record::{Batch, Span, Timestamp};

/// Records of one commit.
const RECORDS: usize = limits::GROUP_RECORDS;
/// Made text of one commit.
const ARENA_BYTES: usize = limits::MIB;

pub struct Batcher {
    pub batch: Batch,
    lane: Lane,
    intake: Arc<Intake>,
    join: Option<JoinSettings>,
    /// Keys that are in the batch's arena, by the address of their name.
    keys: Vec<(&'static str, Span)>,
    /// The place of the key that came behind the last one before: records of an input name theirs in one order.
    next_key: usize,
    /// Records that are encoded and wait for their commit.
    gathered: usize,
    /// What was made for these.
    gathered_bytes: usize,
    /// Records of all batches before the one in hand.
    handed: u64,
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
            next_key: 0,
            gathered: 0,
            gathered_bytes: 0,
            handed: 0,
            stored: None,
            made: 0,
        }
    }

    /// With what is done to each record before it is routed.
    pub fn with_steps(self, steps: Arc<Steps>) -> Batcher {
        Batcher { lane: self.lane.with_steps(steps), ..self }
    }

    /// Turns to a frame: spans of the records to come lie in it.
    pub fn open(&mut self, frame: Bytes) {
        self.store();
        self.batch.frame = frame;
    }

    /// As [`Batcher::open`], and what was there is gathered: it is stored with what comes.
    pub fn turn(&mut self, frame: Bytes) {
        self.gather();
        self.batch.frame = frame;
    }

    /// Begins a record. What is in hand under another tag is gathered first. Spans made before this call are void, save
    /// those into the frame.
    pub fn begin(&mut self, tag: &[u8], time: Timestamp) {
        if self.is_full() {
            self.store();
        } else if !self.batch.is_empty() && self.batch.tag() != tag {
            self.gather();
        }
        if self.batch.is_empty() {
            self.batch.tag = self.batch.keep(tag);
        }
        self.next_key = 0;
        self.batch.begin(time);
    }

    /// Whether it is as much as one commit may have.
    fn is_full(&self) -> bool {
        self.gathered + self.batch.records.len() >= RECORDS
            || self.gathered_bytes + self.batch.arena.len() >= ARENA_BYTES
            || (self.gathered > 0 && self.lane.is_overgrown())
    }

    /// Records begun since the start, without those that were abandoned.
    pub fn count(&self) -> u64 {
        self.handed + self.batch.records.len() as u64
    }

    /// Records that are in hand or gathered, and not stored.
    pub fn waiting(&self) -> usize {
        self.gathered + self.batch.records.len()
    }

    /// The span of a key that the input names itself.
    pub fn key(&mut self, name: &'static str) -> Span {
        let is_it = |known: &(&'static str, Span)| std::ptr::eq(known.0, name);
        let at = match self.keys.get(self.next_key) {
            Some(next) if is_it(next) => self.next_key,
            _ => self.keys.iter().position(is_it).unwrap_or(self.keys.len()),
        };
        self.next_key = at + 1;
        if let Some((_, span)) = self.keys.get(at) {
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

    /// Encodes what is in hand; it waits for the next commit. The frame stays, and nothing gathered needs it.
    pub fn gather(&mut self) {
        if !self.batch.is_empty() {
            self.hand();
            self.gathered_bytes += self.batch.arena.len();
            self.intake.gather(&mut self.lane, &mut self.batch, self.join.as_ref());
        }
        self.forget();
    }

    /// Hands over what is gathered and in hand. The frame stays.
    pub fn store(&mut self) {
        if self.waiting() == 0 {
            self.forget();
            return;
        }
        self.hand();
        let receipt = self.intake.store(&mut self.lane, &mut self.batch, self.join.as_ref());
        self.note(receipt);
    }

    /// As [`Batcher::store`], with what else belongs into the same commit: stored with the records, or not at all. Not
    /// called when some of what was gathered since the last such call goes with the process (a buffer in memory).
    pub fn store_with<T>(&mut self, board: impl FnOnce(&mut Commit) -> T) -> Option<(T, Submitted)> {
        self.hand();
        let (submitted, boarded) =
            self.intake.store_with(&mut self.lane, &mut self.batch, self.join.as_ref(), board);
        self.note(submitted.receipt.clone());
        boarded.map(|boarded| (boarded, submitted))
    }

    fn hand(&mut self) {
        self.gathered += self.batch.records.len();
        self.handed += self.batch.records.len() as u64;
    }

    fn note(&mut self, receipt: Receipt) {
        (self.gathered, self.gathered_bytes) = (0, 0);
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
        self.next_key = 0;
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

    /// Gives large buffers back while nothing comes. What is in hand is to be stored before.
    pub fn rest(&mut self) {
        self.gather();
        self.lane.rest();
        self.batch = Batch::default();
        self.keys.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::oneway::tests::house::House;

    fn line(batcher: &mut Batcher, tag: &str, text: &str) {
        batcher.begin(tag.as_bytes(), Timestamp::now());
        batcher.push_text("log", text.as_bytes());
        batcher.push_text("level", b"info");
    }

    #[tokio::test]
    async fn alternating_tags_are_one_commit_and_keep_their_order() {
        let house = House::new();
        let mut batcher = Batcher::new(house.intake.clone(), Origin::new("test", "peer"), None);
        let texts: Vec<String> = (0..1_000).map(|number| format!("line {number}")).collect();
        for (number, text) in texts.iter().enumerate() {
            line(&mut batcher, ["syslog.kern", "syslog.mail", "syslog.auth"][number % 3], text);
        }
        assert_eq!((batcher.count(), batcher.waiting()), (1_000, 1_000));
        batcher.open(Bytes::new());
        assert_eq!((batcher.count(), batcher.waiting()), (1_000, 0));
        let (_, made) = batcher.take_receipt().unwrap();
        assert!(made > 1_000 && batcher.take_receipt().is_none());
        // Each tag is a topic, and so a stream of its own here.
        let lines = house.lines().await;
        assert_eq!(lines.len(), 1_000);
        for tag in 0..3 {
            let stream = lines.iter().find(|(_, line)| *line == texts[tag]).unwrap().0;
            let of_stream = lines.iter().filter(|(series, _)| *series == stream).map(|(_, line)| line);
            assert!(of_stream.eq(texts.iter().skip(tag).step_by(3)), "{tag}");
        }
        assert_eq!(house.entries(), 3, "one for each stream");
    }

    #[tokio::test]
    async fn a_commit_is_bounded_whatever_the_tags() {
        let house = House::new();
        let mut batcher = Batcher::new(house.intake.clone(), Origin::new("test", "peer"), None);
        for number in 0..2 * RECORDS + 1 {
            line(&mut batcher, &format!("tag.{}", number % 7), "x");
            assert!(batcher.waiting() <= RECORDS);
        }
        let large = "x".repeat(ARENA_BYTES / 4);
        for number in 0..12 {
            line(&mut batcher, &format!("tag.{}", number % 7), &large);
            assert!(batcher.gathered_bytes < 2 * ARENA_BYTES);
        }
        batcher.store();
        assert_eq!(house.texts().await.len(), 2 * RECORDS + 1 + 12);
    }

    #[test]
    fn a_key_is_written_once_in_any_order() {
        let mut batcher = {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _guard = runtime.enter();
            Batcher::new(House::new().intake, Origin::new("test", "peer"), None)
        };
        batcher.begin(b"tag", Timestamp::default());
        let first = ["a", "b", "c"].map(|name| batcher.key(name));
        batcher.begin(b"tag", Timestamp::default());
        assert_eq!(["a", "c", "b", "c", "a"].map(|name| batcher.key(name).len()), [1; 5]);
        let arena = batcher.batch.arena.len();
        assert_eq!(["a", "b", "c"].map(|name| batcher.key(name)), first);
        assert_eq!(batcher.batch.arena.len(), arena);
        let key = batcher.key("b");
        assert_eq!(batcher.batch.bytes(key), b"b");
    }
}
