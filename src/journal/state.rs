//! What the journal knows in memory: queues, segments and the commits that wait for the writer.
//!
//! Everything here is plain code under one mutex, held for microseconds; only the writer touches the disk. Segment
//! accounting follows one rule: an entry counts in its segment until its settling could not be forgotten in a way that
//! loses it, that is at once for a plain settle (it was delivered), and with the commit for one a commit carries.

use super::queue::{Evicted, OpenSeal, Phase, Place, Queue, Slot};
use super::{Append, Commit, OnFull, QueueId, QueueOptions, Seal, Storage};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

/// What one commit may hold: a frame's length has 32 bits, and this leaves half of them free.
const COMMIT_BYTES: u64 = 2 << 30;

/// A commit on its way to the disk.
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) appends: Vec<(u64, Append)>,
    pub(super) settles: Vec<(QueueId, u64)>,
    /// With the count of their entries.
    pub(super) seals: Vec<(Seal, u64)>,
    pub(super) bytes: u64,
}

impl Waiting {
    /// Numbers of the queues it is about; some more than once.
    pub(super) fn queues(&self) -> impl Iterator<Item = u32> + '_ {
        let appends = self.appends.iter().map(|(_, append)| append.queue.0);
        let settles = self.settles.iter().map(|(queue, _)| queue.0);
        appends.chain(settles).chain(self.seals.iter().map(|(seal, _)| seal.queue.0))
    }
}

/// A segment file.
pub(super) struct Segment {
    pub(super) name: String,
    /// Everything up to here is synced and whole.
    pub(super) good: u64,
    pub(super) written: u64,
    /// Bytes of the good part that a torn write had broken before anything in them was promised.
    pub(super) broken: u64,
    /// Entries and about how many bytes of them are live.
    pub(super) live: u64,
    pub(super) live_bytes: u64,
    /// To be set aside, not deleted, when nothing live is left in it.
    pub(super) damaged: bool,
    /// Some of it cannot be read, so that copying it forward would not end.
    pub(super) stuck: bool,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) queues: Vec<Queue>,
    names: HashMap<String, QueueId>,
    pub(super) waiting: VecDeque<Waiting>,
    /// Number of the last commit that has something to write.
    pub(super) submitted: u64,
    pub(super) segments: BTreeMap<u32, Segment>,
    pub(super) fresh_limit: usize,
    fresh_bytes: usize,
    /// Bytes of live entries that are on the disk or on their way there.
    pub(super) live_bytes: u64,
    pub(super) stalled: Option<String>,
    /// It is stalled for want of space.
    pub(super) disk_full: bool,
    pub(super) closing: bool,
    /// How many wait in admit, for whatever reason.
    pub(super) blocked: usize,
    /// The disk is full of what is settled: the writer should clean up sooner than usual.
    pub(super) pressed: bool,
    /// Queues that got something to lease or to announce since the last look.
    pub(super) touched: BTreeSet<QueueId>,
    pub(super) last_sync: Duration,
    pub(super) stored: u64,
    pub(super) damaged_bytes: u64,
    pub(super) damaged_files: u64,
    pub(super) lost_entries: u64,
}

impl State {
    pub(super) fn queue(&self, id: QueueId) -> Option<&Queue> {
        self.queues.get(id.0 as usize)
    }

    pub(super) fn queue_mut(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.queues.get_mut(id.0 as usize)
    }

    pub(super) fn define(&mut self, name: &str, options: QueueOptions) -> QueueId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let id = QueueId(self.queues.len() as u32);
        self.names.insert(name.to_owned(), id);
        self.queues.push(Queue::new(id, name.to_owned(), options));
        id
    }

    /// Takes a commit in. None when it is larger than a frame can be.
    pub(super) fn submit(&mut self, commit: Commit) -> Option<(u64, Vec<(QueueId, u64)>)> {
        let bytes = commit.bytes();
        if bytes > COMMIT_BYTES {
            return None;
        }
        let mut waiting =
            Waiting { number: 0, appends: Vec::new(), settles: Vec::new(), seals: Vec::new(), bytes };
        let mut entries = Vec::with_capacity(commit.appends.len());
        for append in commit.appends {
            let Some(queue) = self.queues.get_mut(append.queue.0 as usize) else { continue };
            let index = queue.next;
            entries.push((append.queue, index));
            let stream = queue.stream(append.stream, &append.trailer);
            let mut slot = Slot::new(&append, stream);
            if queue.options.storage == Storage::Memory {
                slot.phase = Phase::Ready;
                queue.insert(index, slot);
                self.touched.insert(append.queue);
            } else {
                self.live_bytes += slot.bytes();
                queue.insert(index, slot);
                waiting.appends.push((index, append));
            }
        }
        for (id, index) in commit.settles {
            // A sealed entry goes with its group alone.
            let slot = self.slot(id, index).filter(|slot| !slot.sealed);
            let on_disk = slot.map(|slot| slot.place.is_some() || slot.phase == Phase::Waiting);
            match on_disk {
                Some(true) => {
                    if let Some(queue) = self.queue_mut(id) {
                        queue.set_settling(index);
                    }
                    waiting.settles.push((id, index));
                }
                Some(false) => self.take_out(id, index),
                None => {}
            }
        }
        for seal in commit.seals {
            let Some(queue) = self.queue_mut(seal.queue) else { continue };
            match queue.seal(&seal, None) {
                Some(entries) if queue.slots.get(&seal.first).is_none_or(|slot| slot.place.is_some()) => {
                    waiting.seals.push((seal, entries));
                }
                Some(_) => {}
                None => {
                    tracing::error!(queue = %queue.name, ?seal, "sealed entries that are not leased: ignored")
                }
            }
        }
        if waiting.appends.is_empty() && waiting.settles.is_empty() && waiting.seals.is_empty() {
            return Some((0, entries));
        }
        self.submitted += 1;
        waiting.number = self.submitted;
        let number = waiting.number;
        self.waiting.push_back(waiting);
        Some((number, entries))
    }

    fn slot(&self, id: QueueId, index: u64) -> Option<&Slot> {
        self.queue(id)?.slots.get(&index)
    }

    /// Settles an entry that was delivered or dropped.
    pub(super) fn settle(&mut self, id: QueueId, index: u64) {
        let Some(queue) = self.queues.get_mut(id.0 as usize) else { return };
        let Some(slot) = queue.slots.get_mut(&index) else { return };
        if slot.phase == Phase::Waiting {
            slot.abandoned = true;
            return;
        }
        let gone = if slot.sealed { queue.settle_sealed(index) } else { vec![index] };
        for index in gone {
            self.settle_now(id, index);
        }
    }

    fn settle_now(&mut self, id: QueueId, index: u64) {
        let Some(queue) = self.queues.get_mut(id.0 as usize) else { return };
        if queue.slots.get(&index).is_some_and(|slot| slot.place.is_some()) {
            queue.lazy.insert(index, index);
        }
        self.take_out(id, index);
    }

    /// Removes a live entry from its queue and its segment.
    pub(super) fn take_out(&mut self, id: QueueId, index: u64) {
        let Some(queue) = self.queues.get_mut(id.0 as usize) else { return };
        let Some(slot) = queue.remove(index) else { return };
        if let Some(place) = slot.place {
            if slot.payload.is_some() {
                self.fresh_bytes -= slot.len as usize;
            }
            self.live_bytes -= slot.bytes();
            self.leave_segment(place.segment, slot.bytes());
        }
    }

    fn leave_segment(&mut self, number: u32, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.live = segment.live.saturating_sub(1);
            segment.live_bytes = segment.live_bytes.saturating_sub(bytes);
        }
    }

    pub(super) fn enter_segment(&mut self, number: u32, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.live += 1;
            segment.live_bytes += bytes;
        }
    }

    /// A waiting entry is on the disk now.
    pub(super) fn stored_at(&mut self, id: QueueId, index: u64, place: Place) {
        let Some(queue) = self.queues.get_mut(id.0 as usize) else { return };
        let Some(slot) = queue.slots.get_mut(&index) else { return };
        slot.place = Some(place);
        let (bytes, len, abandoned) = (slot.bytes(), slot.len as usize, slot.abandoned);
        queue.make_ready(index);
        queue.keep_fresh(index, len);
        self.fresh_bytes += len;
        self.enter_segment(place.segment, bytes);
        self.touched.insert(id);
        if abandoned {
            self.settle(id, index);
        }
        self.trim_fresh();
    }

    /// A copy of a live entry is on the disk now. It may have been settled or moved meanwhile.
    pub(super) fn moved_to(&mut self, id: QueueId, index: u64, from: u32, place: Place) {
        let Some(slot) = self.queue_mut(id).and_then(|queue| queue.slots.get_mut(&index)) else { return };
        if slot.place.is_none_or(|place| place.segment != from) {
            return;
        }
        slot.place = Some(place);
        let bytes = slot.bytes();
        self.leave_segment(from, bytes);
        self.enter_segment(place.segment, bytes);
    }

    /// Keeps the memory bound: whoever holds most forgets first, so that a stuck queue does not send the reads of the
    /// others to the disk, and the newest goes first, being needed last.
    fn trim_fresh(&mut self) {
        while self.fresh_bytes > self.fresh_limit {
            let Some(largest) = self.queues.iter_mut().max_by_key(|queue| queue.fresh_bytes) else { return };
            match largest.drop_newest_fresh() {
                Some(bytes) => self.fresh_bytes -= bytes,
                None => return,
            }
        }
    }

    /// Takes a recovered entry in.
    pub(super) fn recovered_entry(&mut self, id: QueueId, index: u64, slot: Slot) {
        let bytes = slot.bytes();
        if let Some(place) = slot.place {
            self.enter_segment(place.segment, bytes);
        }
        self.live_bytes += bytes;
        if let Some(queue) = self.queue_mut(id) {
            queue.insert(index, slot);
        }
    }

    /// Drops the queue's oldest free entries until `bytes` are gone or none is left; says how many bytes went.
    pub(super) fn evict(&mut self, id: QueueId, bytes: u64) -> u64 {
        let mut gone = 0;
        while gone < bytes {
            let Some(queue) = self.queue_mut(id) else { break };
            let Some(index) = queue.oldest_evictable() else { break };
            let Some(slot) = queue.slots.get(&index) else { break };
            let (size, records) = (slot.bytes(), slot.records);
            queue.evicted.entries += 1;
            queue.evicted.records += u64::from(records);
            queue.evicted.bytes += size;
            gone += size;
            self.settle(id, index);
        }
        gone
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.written).sum()
    }

    pub(super) fn has_lazy(&self) -> bool {
        self.queues.iter().any(|queue| !queue.lazy.is_empty())
    }

    /// Wakes who waits for entries of the touched queues.
    pub(super) fn announce(&mut self) {
        for id in std::mem::take(&mut self.touched) {
            if let Some(queue) = self.queue(id) {
                queue.leasable.notify_waiters();
            }
        }
    }

    pub(super) fn open_seals(&self) -> impl Iterator<Item = (&Queue, (u64, u64), &OpenSeal)> {
        self.queues.iter().flat_map(|queue| queue.seals.iter().map(move |(key, open)| (queue, *key, open)))
    }

    pub(super) fn stats(&self) -> Stats {
        let queues = self.queues.iter().map(|queue| QueueStats {
            id: queue.id,
            name: queue.name.clone(),
            opened: queue.opened,
            live_bytes: queue.live_bytes,
            entries: queue.slots.len() as u64,
            oldest: queue.oldest(),
            evicted: queue.evicted,
            blocked: queue.blocked,
            blocks: queue.options.on_full == OnFull::Block,
        });
        Stats {
            queues: queues.collect(),
            live_bytes: self.live_bytes,
            fresh_bytes: self.fresh_bytes,
            disk_bytes: self.disk_bytes(),
            segments: self.segments.len(),
            waiting: self.waiting.len(),
            stalled: self.stalled.clone(),
            disk_full: self.disk_full,
            stored: self.stored,
            last_sync: self.last_sync,
            damaged_bytes: self.damaged_bytes,
            damaged_files: self.damaged_files,
            lost_entries: self.lost_entries,
        }
    }
}

/// The journal at one moment.
#[derive(Clone, Debug)]
pub struct Stats {
    pub queues: Vec<QueueStats>,
    /// Of all queues on the disk, with what waits to be written.
    pub live_bytes: u64,
    /// Payloads of stored entries that are also in memory.
    pub fresh_bytes: usize,
    pub disk_bytes: u64,
    pub segments: usize,
    /// Commits the writer has not taken yet.
    pub waiting: usize,
    /// Why nothing can be stored at the moment, and what to do.
    pub stalled: Option<String>,
    /// It is stalled because the disk or a quota is full, which is nobody's fault here: it goes on once there is space.
    pub disk_full: bool,
    /// Commits stored since the start.
    pub stored: u64,
    pub last_sync: Duration,
    /// Found damaged since the start; the files are kept under another name.
    pub damaged_bytes: u64,
    pub damaged_files: u64,
    /// Entries the start knew of and did not find.
    pub lost_entries: u64,
}

/// One queue at one moment.
#[derive(Clone, Debug)]
pub struct QueueStats {
    pub id: QueueId,
    pub name: String,
    /// False for a recovered queue that nobody asked for yet.
    pub opened: bool,
    pub live_bytes: u64,
    pub entries: u64,
    /// Age of the oldest entry.
    pub oldest: Option<Duration>,
    /// Dropped to make room, since the start.
    pub evicted: Evicted,
    /// How many wait for room here.
    pub blocked: usize,
    /// Whether a full queue blocks (or else evicts).
    pub blocks: bool,
}
