//! What happens to a batch between its input and the journal: pieces are joined, every record finds its route, is
//! changed as the route says, made to fit Log Service, and encoded once, behind the other records of its stream.
//!
//! ```text
//! Batch -> join -> steps of the input -> route -> steps of the route -> tidy -> encode -> one Commit (a fragment per stream) -> journal -> Receipt
//! ```
//!
//! All of it is plain synchronous code in the task that owns the connection or file; the only wait is for room in a
//! destination's buffer. A batch for several destinations is one commit, stored whole or not at all.

pub mod destinations;
pub mod encode;
pub mod join;
pub mod lane;
pub mod route;
pub mod steps;
pub mod stream;
pub mod tidy;

use std::time::Instant;

use bytes::Bytes;

use crate::base::metrics::{Counter, counter};
use crate::base::signal::Signal;
use crate::config::plan::Compression;
use crate::journal::{Append, Candidate, Commit, Journal, QueueId, Receipt, Submitted};
use crate::record::{Batch, Timestamp};
use crate::wire::loggroup::packed;
use destinations::Destinations;
use join::{Absorbed, JoinSettings, Joiner};
use lane::{Fragment, Lane};
use route::Router;
use stream::Identity;
use tidy::Tidy;

/// Logs that fill this part of a LogGroup at once are packed before they are stored and sent as a group of their own.
/// LZ4 looks back 64 KiB, so a larger lot gains little.
const PACKED_SHARE: usize = 4;

pub struct Pipeline {
    pub router: Router,
    pub destinations: Destinations,
    /// Absent when no input joins.
    pub joiner: Option<Joiner>,
    identity: Identity,
    tidy: Tidy,
    journal: Journal,
    stored: Counter,
}

impl Pipeline {
    pub fn new(
        router: Router,
        destinations: Destinations,
        joiner: Option<Joiner>,
        identity: Identity,
        tidy: Tidy,
        journal: Journal,
    ) -> Self {
        let stored = counter("sluicegate_records_stored_total", "Records handed to the journal.", &[]);
        Pipeline { router, destinations, joiner, identity, tidy, journal, stored }
    }

    /// Takes a batch all the way to the journal and forgets its records; its frame stays. The receipt resolves when all
    /// of it, and all that was gathered before, is stored. Pieces are joined where `join` says how.
    ///
    /// Nothing here waits: a batch that was read is handed over whole, whatever happens to its connection. Waiting for
    /// room is [`Pipeline::ready`], before the next read.
    pub fn store(&self, lane: &mut Lane, batch: &mut Batch, join: Option<&JoinSettings>) -> Receipt {
        self.gather(lane, batch, join);
        let (commit, pieces) = self.finish(lane);
        self.submit(commit, pieces).receipt
    }

    /// As [`Pipeline::store`], and lets `board` put what belongs to these records into their commit, behind them. Not
    /// called when some of what this lane stored since the last such call goes with the process.
    pub fn store_with(
        &self,
        lane: &mut Lane,
        batch: &mut Batch,
        join: Option<&JoinSettings>,
        board: impl FnOnce(&mut Commit),
    ) -> Submitted {
        self.gather(lane, batch, join);
        let (mut commit, pieces) = self.finish(lane);
        if !std::mem::take(&mut lane.passing) {
            board(&mut commit);
        }
        self.submit(commit, pieces)
    }

    /// Takes a batch as far as the lane and forgets its records: they go with the lane's next commit, which has to come.
    /// Its frame is not needed any more.
    pub fn gather(&self, lane: &mut Lane, batch: &mut Batch, join: Option<&JoinSettings>) {
        if let (Some(joiner), Some(settings)) = (&self.joiner, join) {
            let Absorbed { settles, stored, need } = joiner.absorb(settings, &lane.origin, batch);
            lane.gathered.settles.extend(settles);
            lane.gathered.need.extend(need);
            if let Some(stored) = stored {
                lane.gathered.pieces = Some(match lane.gathered.pieces.take() {
                    Some(before) => before.later(stored),
                    None => stored,
                });
            }
        }
        self.encode(lane, batch);
        batch.clear_records();
    }

    fn submit(&self, commit: Commit, pieces: Option<Receipt>) -> Submitted {
        let mut submitted = if commit.is_empty() {
            Submitted { receipt: self.journal.last_receipt(), entries: Vec::new() }
        } else {
            self.journal.submit(commit)
        };
        if let Some(pieces) = pieces {
            submitted.receipt = submitted.receipt.later(pieces);
        }
        submitted
    }

    /// Waits until there is room for as much again as the lane stored since the last time.
    pub async fn ready(&self, lane: &mut Lane) {
        if !lane.last_need.is_empty() {
            self.journal.admit(&lane.last_need).await;
            lane.admitted = true;
        }
    }

    /// Waits until there is room for the first message of a lane that has stored nothing yet: where it may go follows
    /// from its tag. A sender that connects anew for every chunk would else pass every bound.
    pub async fn ready_for_first(&self, signal: Signal, tag: &[u8], bytes: u64) {
        let candidate = |index: usize| {
            let route = self.router.route(index);
            let destination = self.destinations.default_of(route.destination, signal);
            Candidate { queue: destination.queue, exact: route.logstore.is_none() }
        };
        let candidates: Vec<Candidate> =
            self.router.candidates(signal, tag).into_iter().map(candidate).collect();
        self.journal.admit_to_any(&candidates, bytes).await;
    }

    /// Emits the lines whose time is up. Called by a timer, which a full buffer must not hold: lines are bounded, and
    /// their pieces leave the journal with the same commit.
    pub fn store_overdue(&self, now: Instant) {
        let Some(joiner) = &self.joiner else { return };
        let mut batch = Batch::default();
        for line in joiner.overdue(now) {
            batch.clear();
            batch.tag = batch.keep(&line.tag);
            line.write(&mut batch);
            let mut lane = Lane::new(line.origin.clone());
            self.encode(&mut lane, &mut batch);
            lane.gathered.settles = line.stored;
            let (commit, _) = self.finish(&mut lane);
            if !commit.is_empty() {
                self.journal.submit(commit);
            }
        }
    }

    /// Writes the records of a batch behind the others of their streams.
    fn encode(&self, lane: &mut Lane, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        lane.begin(&self.router, batch);
        let now = Timestamp::now();
        let mut stored = 0;
        for at in 0..batch.records.len() {
            // What is made for a record is not needed behind it; without this, a batch could make gigabytes.
            let (made, fields) = (batch.arena.len(), batch.fields.len());
            stored += u64::from(self.encode_one(lane, batch, at, now));
            batch.arena.truncate(made);
            batch.fields.truncate(fields);
        }
        self.stored.increment(stored);
    }

    /// False when a step drops the record.
    fn encode_one(&self, lane: &mut Lane, batch: &mut Batch, at: usize, now: Timestamp) -> bool {
        if !lane.apply_steps(batch, at) {
            return false;
        }
        let (route, outlet) = lane.route(self, batch, &batch.records[at]);
        if !self.router.route(route).steps.apply(batch, at, lane.scratch_of_steps()) {
            return false;
        }
        let time = self.tidy.time(batch, at, now);
        self.tidy.fields(batch, at);
        lane.write(&self.identity, batch, &batch.records[at], outlet, time);
        true
    }

    /// The commit of what a lane has gathered, perhaps empty, and the receipt of pieces that were stored on their own.
    fn finish(&self, lane: &mut Lane) -> (Commit, Option<Receipt>) {
        let now = Timestamp::now();
        let mut commit = Commit::new();
        let mut need: Vec<(QueueId, u64)> = Vec::new();
        for mut fragment in lane.take() {
            let queue = fragment.stream.destination.queue;
            lane.passing |= !fragment.stream.destination.durable;
            let trailer = self.trailer(&fragment, now);
            let (mark, payload) = packed_or_plain(lane, &mut fragment);
            let bytes = payload.len() as u64;
            match need.iter_mut().find(|(known, _)| *known == queue) {
                Some((_, sum)) => *sum += bytes,
                None => need.push((queue, bytes)),
            }
            let (stream, records) = (fragment.stream.series, fragment.records);
            commit.append(Append { queue, stream, records, mark, trailer, payload });
        }
        let gathered = std::mem::take(&mut lane.gathered);
        if let Some(joiner) = &self.joiner {
            for &index in &gathered.settles {
                commit.settle(joiner.queue(), index);
            }
        }
        need.extend(gathered.need);
        lane.note_need(&need);
        (commit, gathered.pieces)
    }

    /// The stream's trailer, with the time of receipt where the destination wants it: it is stored with the entry, so
    /// that a LogGroup that is sent again is the same to the byte.
    fn trailer(&self, fragment: &Fragment, now: Timestamp) -> Bytes {
        if !fragment.stream.destination.plan.receive_time_tag {
            return fragment.trailer();
        }
        let mut trailer = fragment.trailer().to_vec();
        crate::wire::loggroup::encode::put_tag(
            &mut trailer,
            b"__receive_time__",
            now.seconds.to_string().as_bytes(),
        );
        Bytes::from(trailer)
    }
}

/// The stored form of a fragment: packed when it is large by itself, else as it is.
fn packed_or_plain(lane: &mut Lane, fragment: &mut Fragment) -> (Bytes, Bytes) {
    let logs = std::mem::take(&mut fragment.payload);
    let plan = &fragment.stream.destination.plan;
    if plan.compression == Compression::Lz4 && logs.len() >= plan.batch_bytes / PACKED_SHARE {
        let block = Bytes::copy_from_slice(lane.pack(&logs));
        let mark = packed::mark(logs.len());
        lane.recycle(logs);
        return (mark, block);
    }
    if logs.len() < logs.capacity() / 2 {
        // A stored entry keeps its memory: it must not keep more than its bytes.
        let exact = Bytes::copy_from_slice(&logs);
        lane.recycle(logs);
        return (Bytes::new(), exact);
    }
    (Bytes::new(), Bytes::from(logs))
}
