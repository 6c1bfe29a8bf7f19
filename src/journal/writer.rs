//! The one writer: takes all waiting commits, writes them with one call, syncs once, publishes.
//!
//! A step is synchronous and knows no clock, so that tests drive it by hand; the thread around it only decides when.
//! After a failed write or sync the segment is left as it is: the kernel may have dropped the pages and say "fine" the
//! next time. The commits are still here and go to a fresh segment, with new frame numbers.

use super::batch::Batch;
use super::files::write_all;
use super::frame::{AppendOp, Identity, SealOp};
use super::queue::Place;
use super::ranges::Ranges;
use super::shared::Shared;
use super::state::Waiting;
use super::upkeep::Copying;
use crate::base::backoff::Backoff;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, Histogram, counter, histogram};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// One write is at most about this large: the first of its waiters should not wait for a second of disk time.
const WRITE_BYTES: u64 = 16 << 20;
/// A segment without live entries is left after this long without commits.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// What could not be done.
pub(super) struct Failure {
    pub(super) what: &'static str,
    pub(super) error: io::Error,
}

/// When the next step is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    /// After a failure: new commits do not make it sooner.
    After(Duration),
    /// At the latest then, or as soon as a commit comes.
    Within(Duration),
    Whenever,
}

/// The segment that is written.
pub(super) struct Head {
    pub(super) identity: Identity,
    pub(super) file: Box<dyn super::SegmentFile>,
    pub(super) len: u64,
    /// Queues below this number are named in this segment.
    pub(super) named: usize,
    /// Written and not synced.
    pub(super) dirty: bool,
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) durable: watch::Sender<u64>,
    pub(super) head: Option<Head>,
    pub(super) next_segment: u32,
    pub(super) next_frame: u64,
    pub(super) durable_frame: u64,
    /// The newest segment whose snapshot is durable: older ones may go.
    pub(super) newest: u32,
    pub(super) batch: Batch,
    pub(super) copying: Option<Copying>,
    /// The last failure was for want of space.
    full: bool,
    /// Commits that were taken and are not stored yet.
    taken: Vec<Waiting>,
    backoff: Backoff,
    log: LogLimit,
    meters: Meters,
}

struct Meters {
    commits: Counter,
    bytes: Counter,
    syncs: Histogram,
    failures: Counter,
}

impl Failure {
    /// Space is what is missing.
    fn is_full(&self) -> bool {
        matches!(self.error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        durable: watch::Sender<u64>,
        next_segment: u32,
        next_frame: u64,
    ) -> Self {
        let meters = Meters {
            commits: counter("sluicegate_journal_commits_total", "Commits stored", &[]),
            bytes: counter("sluicegate_journal_written_bytes_total", "Bytes written to the journal", &[]),
            syncs: histogram("sluicegate_journal_sync_seconds", "Time of one write and fdatasync", &[]),
            failures: counter("sluicegate_journal_failures_total", "Failed writes and syncs", &[]),
        };
        Writer {
            shared,
            durable,
            head: None,
            next_segment,
            next_frame,
            durable_frame: next_frame - 1,
            newest: 0,
            batch: Batch::default(),
            copying: None,
            full: false,
            taken: Vec::new(),
            backoff: Backoff::new(Duration::from_millis(10), Duration::from_secs(5)),
            log: LogLimit::new(Duration::from_secs(10)),
            meters,
        }
    }

    /// Does what is due. `idle`: no commit came for a while.
    pub(super) fn step(&mut self, idle: bool) -> Next {
        match self.try_step(idle) {
            Ok(next) => {
                if self.backoff.tries() > 0 {
                    self.backoff.reset();
                    let mut state = self.shared.lock();
                    (state.stalled, state.disk_full) = (None, false);
                    drop(state);
                    tracing::info!(journal = %self.shared.place(), "the journal can be written again");
                }
                next
            }
            Err(failure) => self.failed(&failure),
        }
    }

    fn try_step(&mut self, idle: bool) -> Result<Next, Failure> {
        let limit = self.shared.segment_bytes();
        match &self.head {
            None => {
                let opened = self.open_segment();
                if opened.as_ref().err().map_or(self.full, Failure::is_full) {
                    // What is settled goes first, and when nothing can be written, without a word of it on the disk.
                    self.retire()?;
                    if opened.is_err() {
                        self.open_segment()?;
                    }
                } else {
                    opened?;
                }
            }
            Some(head) if head.len >= limit && self.has_work() => self.open_segment()?,
            Some(_) => {}
        }
        self.store(limit)?;
        let busy = self.upkeep(idle)?;
        let state = self.shared.lock();
        Ok(match (&self.head, busy) {
            _ if !state.waiting.is_empty() || busy => Next::Now,
            _ if state.has_lazy() => Next::Within(super::thread::LAZY),
            (Some(head), _) if state.live_bytes == 0 && head.len > self.shared.small_head() => {
                Next::Within(IDLE)
            }
            _ => Next::Whenever,
        })
    }

    pub(super) fn has_work(&self) -> bool {
        let state = self.shared.lock();
        !self.taken.is_empty() || !state.waiting.is_empty() || state.has_lazy()
    }

    fn failed(&mut self, failure: &Failure) -> Next {
        self.head = None;
        self.copying = None;
        let kind = failure.error.kind();
        self.full = failure.is_full();
        self.meters.failures.increment(1);
        let wait = self.backoff.next_wait();
        let advice = match kind {
            _ if self.full => "free space on this file system",
            io::ErrorKind::PermissionDenied => "let the gateway's user write there",
            io::ErrorKind::ReadOnlyFilesystem => "mount it writable",
            _ => "check the disk",
        };
        let place = self.shared.place();
        let message = format!(
            "cannot {} in {place}: {}; {advice}. Nothing is acknowledged until it works again",
            failure.what, failure.error
        );
        if let Some(suppressed) = self.log.allow() {
            tracing::error!(suppressed, "{message}");
        }
        let mut state = self.shared.lock();
        (state.stalled, state.disk_full) = (Some(message), self.full);
        Next::After(wait)
    }

    /// Writes what waits: commits with a sync, settles alone without.
    fn store(&mut self, limit: u64) -> Result<(), Failure> {
        let Some(head) = &mut self.head else { return Ok(()) };
        let room = limit.saturating_sub(head.len).min(WRITE_BYTES);
        let mut bytes: u64 = self.taken.iter().map(|commit| commit.bytes).sum();
        self.batch.clear();
        let seed = head.identity.seed();
        let (lazy, fresh) = {
            let mut state = self.shared.lock();
            while self.taken.is_empty() || bytes < room {
                let Some(commit) = state.waiting.pop_front() else { break };
                bytes += commit.bytes;
                self.taken.push(commit);
            }
            let fresh = state.queues.iter().skip(head.named).map(|queue| (queue.id.0, queue.name.clone()));
            let fresh: BTreeMap<u32, String> = fresh.collect();
            (take_lazy(&mut state.queues), fresh)
        };
        if self.taken.is_empty() && lazy.is_empty() {
            return Ok(());
        }
        if !self.taken.is_empty() && !fresh.is_empty() {
            self.batch.begin(self.next_frame, self.durable_frame);
            fresh.iter().for_each(|(number, name)| self.batch.queue(*number, name));
            self.batch.end(seed);
            self.next_frame += 1;
            head.named += fresh.len();
        }
        for commit in &self.taken {
            self.batch.begin(self.next_frame, self.durable_frame);
            name_queues(&mut self.batch, &fresh, commit.queues());
            encode(&mut self.batch, commit);
            self.batch.end(seed);
            self.next_frame += 1;
        }
        if !lazy.is_empty() {
            self.batch.begin(self.next_frame, self.durable_frame);
            name_queues(&mut self.batch, &fresh, lazy.iter().map(|(queue, _)| *queue));
            lazy.iter().for_each(|(queue, ranges)| self.batch.settle(*queue, ranges));
            self.batch.end(seed);
            self.next_frame += 1;
        }
        let start = self.write(!self.taken.is_empty())?;
        if self.taken.is_empty() {
            return Ok(());
        }
        self.publish(start);
        Ok(())
    }

    /// Writes the batch to the head; says where it starts there.
    pub(super) fn write(&mut self, sync: bool) -> Result<u64, Failure> {
        let Some(head) = &mut self.head else {
            return Err(Failure { what: "write", error: io::ErrorKind::NotFound.into() });
        };
        let started = Instant::now();
        let start = head.len;
        let written = write_all(&*head.file, &mut self.batch.slices())
            .map_err(|error| Failure { what: "write a segment", error })
            .and_then(|()| match sync {
                true => head.file.sync().map_err(|error| Failure { what: "sync a segment", error }),
                false => Ok(()),
            });
        if let Err(failure) = written {
            if failure.is_full() {
                // Half a batch must not take the space that the next attempt needs.
                let _ = head.file.cut(start);
            }
            return Err(failure);
        }
        head.len += self.batch.bytes();
        head.dirty = true;
        if sync {
            head.dirty = false;
            self.durable_frame = self.next_frame - 1;
            self.meters.syncs.record(started.elapsed().as_secs_f64());
        }
        self.meters.bytes.increment(self.batch.bytes());
        let mut state = self.shared.lock();
        if let Some(segment) = state.segments.get_mut(&head.identity.segment) {
            segment.written = head.len;
            if sync {
                segment.good = head.len;
                state.last_sync = started.elapsed();
            }
        }
        Ok(start)
    }

    /// The taken commits are on the disk: entries become leasable, receipts resolve.
    fn publish(&mut self, start: u64) {
        let Some(head) = &self.head else { return };
        let segment = head.identity.segment;
        let mut placed = self.batch.placed().iter();
        let mut last = 0;
        let count = self.taken.len() as u64;
        let mut state = self.shared.lock();
        // Payloads are freed after the lock is.
        let taken = std::mem::take(&mut self.taken);
        for commit in &taken {
            for (index, append) in &commit.appends {
                let Some((offset, crc)) = placed.next() else { break };
                let place = Place { segment, offset: start + offset, crc: *crc };
                state.stored_at(append.queue, *index, place);
            }
            for (queue, index) in &commit.settles {
                state.take_out(*queue, *index);
            }
            last = commit.number;
        }
        state.stored += count;
        state.announce();
        let free = state.blocked > 0;
        drop(state);
        self.durable.send_replace(last);
        self.meters.commits.increment(count);
        if free {
            self.shared.room.notify_waiters();
        }
    }
}

/// Names those queues of a frame that its segment does not name yet: the frame in front of it that does may be torn
/// while this one is whole.
fn name_queues(batch: &mut Batch, fresh: &BTreeMap<u32, String>, queues: impl Iterator<Item = u32>) {
    if fresh.is_empty() {
        return;
    }
    for number in queues.collect::<BTreeSet<_>>() {
        if let Some(name) = fresh.get(&number) {
            batch.queue(number, name);
        }
    }
}

fn encode(batch: &mut Batch, commit: &Waiting) {
    for (index, append) in &commit.appends {
        let op = AppendOp {
            queue: append.queue.0,
            index: *index,
            stream: append.stream,
            records: append.records,
            stored_at: super::queue::now_seconds().into(),
            mark: &append.mark,
            trailer: &append.trailer,
            len: 0,
            crc: 0,
        };
        batch.append(&op, append.payload.clone());
    }
    if !commit.settles.is_empty() {
        let mut by_queue: HashMap<u32, Ranges> = HashMap::new();
        for (queue, index) in &commit.settles {
            by_queue.entry(queue.0).or_default().insert(*index, *index);
        }
        by_queue.iter().for_each(|(queue, ranges)| batch.settle(*queue, ranges));
    }
    for (seal, entries) in &commit.seals {
        batch.seal(&SealOp {
            queue: seal.queue.0,
            stream: seal.stream,
            first: seal.first,
            last: seal.last,
            sequence: seal.sequence,
            entries: *entries,
        });
    }
}

/// Takes what was settled since the last look.
pub(super) fn take_lazy(queues: &mut [super::queue::Queue]) -> Vec<(u32, Ranges)> {
    let settled = queues.iter_mut().filter(|queue| !queue.lazy.is_empty());
    settled.map(|queue| (queue.id.0, std::mem::take(&mut queue.lazy))).collect()
}
