//! Admission: who brings new entries waits here until there is room, before anything is read into memory for good.
//!
//! Three bounds: live bytes of each queue; live bytes and file bytes of the whole journal; and the last tenth of the
//! file system, 2 GiB at most, which is never ours. A queue that evicts never waits. A waiting caller holds nothing, so that settles,
//! joins and other queues go on. Admission is no reservation: callers admitted at the same moment may together pass a
//! bound by what they bring, which the byte budget of the inputs bounds.

use super::handle::Journal;
use super::shared::Shared;
use super::state::State;
use super::{OnFull, QueueId, Storage};
use std::time::{Duration, Instant};

/// How old a look at the file system may be, in time and in bytes written since.
const SPACE_AGE: Duration = Duration::from_secs(1);
const SPACE_BYTES: u64 = 64 << 20;

/// The last look at the file system.
#[derive(Default)]
pub(super) struct SpaceLook {
    at: Option<Instant>,
    /// Bytes that may be written until what is never ours.
    spare: u64,
    admitted: u64,
}

/// Counts one waiting caller, also when it goes away.
struct Blocked<'a> {
    shared: &'a Shared,
    queues: Vec<QueueId>,
}

impl<'a> Blocked<'a> {
    fn new(shared: &'a Shared, state: &mut State, queues: Vec<QueueId>) -> Self {
        state.blocked += 1;
        for id in &queues {
            if let Some(queue) = state.queue_mut(*id) {
                queue.blocked += 1;
            }
        }
        Blocked { shared, queues }
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.blocked -= 1;
        for id in &self.queues {
            if let Some(queue) = state.queue_mut(*id) {
                queue.blocked -= 1;
            }
        }
    }
}

/// Where bytes whose way is not decided yet may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub queue: QueueId,
    /// They go to this queue or to another candidate; else the queue only stands for others with its options, and what it
    /// holds itself says nothing.
    pub exact: bool,
}

impl Journal {
    /// Waits until every queue has room for its bytes, each per its [`OnFull`]. Returns at once after the journal was
    /// closed. Dropping the future gives up the place; nothing is reserved.
    pub async fn admit(&self, need: &[(QueueId, u64)]) {
        self.wait_while_full(|shared, state| shared.full(state, need)).await;
    }

    /// As [`Journal::admit`] for bytes that go to one of several queues, not known which: waits until one of them has room.
    /// Nothing is evicted for it.
    pub async fn admit_to_any(&self, candidates: &[Candidate], bytes: u64) {
        self.wait_while_full(|shared, state| {
            if candidates.iter().any(|candidate| shared.has_room(state, *candidate, bytes)) {
                return Vec::new();
            }
            candidates.iter().map(|candidate| candidate.queue).collect()
        })
        .await;
    }

    async fn wait_while_full(&self, full: impl Fn(&Shared, &mut State) -> Vec<QueueId>) {
        let shared = self.shared();
        loop {
            let room = shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            let blocked = {
                let mut state = shared.lock();
                let full = full(shared, &mut state);
                if full.is_empty() || state.closing {
                    return;
                }
                let blocked = Blocked::new(shared, &mut state, full);
                if state.pressed {
                    shared.wake.notify_one();
                }
                blocked
            };
            // Space of the file system comes back without a word to us.
            let _ = tokio::time::timeout(SPACE_AGE, room).await;
            drop(blocked);
        }
    }
}

impl Shared {
    fn has_room(&self, state: &mut State, candidate: Candidate, bytes: u64) -> bool {
        let Some(queue) = state.queue(candidate.queue) else { return true };
        let (options, live) = (queue.options, queue.live_bytes);
        if options.on_full == OnFull::EvictOldest {
            return true;
        }
        let over = candidate.exact && live > 0 && live.saturating_add(bytes) > options.max_bytes;
        let crowded = options.storage == Storage::Disk && self.crowded(state, bytes);
        !over && !crowded
    }

    /// Queues that have no room for what is needed, after evicting where that is wanted.
    fn full(&self, state: &mut State, need: &[(QueueId, u64)]) -> Vec<QueueId> {
        let of_disk =
            |state: &State, id| state.queue(id).is_some_and(|queue| queue.options.storage == Storage::Disk);
        let on_disk: u64 = need.iter().filter(|(id, _)| of_disk(state, *id)).map(|(_, bytes)| *bytes).sum();
        let crowded = on_disk > 0 && self.crowded(state, on_disk);
        let mut full = Vec::new();
        for &(id, bytes) in need {
            let Some(queue) = state.queue(id) else { continue };
            let over = match queue.live_bytes {
                0 => 0,
                live => live.saturating_add(bytes).saturating_sub(queue.options.max_bytes),
            };
            let crowded = crowded && queue.options.storage == Storage::Disk;
            match queue.options.on_full {
                OnFull::EvictOldest => {
                    let evict = if crowded { over.max(bytes) } else { over };
                    state.evict(id, evict);
                }
                OnFull::Block if over > 0 || crowded => full.push(id),
                OnFull::Block => {}
            }
        }
        full
    }

    /// Whether all queues together have no room.
    fn crowded(&self, state: &mut State, bytes: u64) -> bool {
        let limit = self.options.max_bytes;
        let live_full = state.live_bytes > 0 && state.live_bytes.saturating_add(bytes) > limit;
        // Files may hold what is settled; a journal without live entries is never full of itself.
        let disk_full = state.live_bytes > 0 && state.disk_bytes().saturating_add(bytes) > limit;
        let space_full = self.spare_space(bytes) < bytes;
        if disk_full || space_full {
            state.pressed = true;
        }
        live_full || disk_full || space_full
    }

    /// Bytes the file system has before what is never ours; looked up now and then.
    fn spare_space(&self, bytes: u64) -> u64 {
        let mut look = self.space.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let old = look.at.is_none_or(|at| at.elapsed() >= SPACE_AGE) || look.admitted >= SPACE_BYTES;
        if old || look.spare < bytes {
            // A file system that does not tell is taken for large enough; a write will say more.
            let space = self.files.space().ok();
            look.spare = space.map_or(u64::MAX, |space| space.spare());
            (look.at, look.admitted) = (Some(Instant::now()), 0);
        }
        let spare = look.spare;
        look.spare = spare.saturating_sub(bytes);
        look.admitted = look.admitted.saturating_add(bytes);
        spare
    }
}
