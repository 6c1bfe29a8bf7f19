//! One queue: its live entries, in order, and what state each is in.
//!
//! ```text
//!  waiting --stored--> ready --lease--> leased --seal--> leased + sealed --settle--> gone
//!     |                  ^   <-unlease---'                                    ^
//!     `-- settled before it is stored: gone once it is     evict: ready -> gone
//! ```
//!
//! A sealed group goes as one: what is settled of it stays until the last of its entries is, so that no moment shows
//! a group in parts.
//!
//! An entry that a waiting commit settles is *settling*: nobody can lease it, and it is live until that commit is
//! stored, because a crash before must find it again.

use super::{Append, Entry, QueueId, QueueOptions, Seal};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

use super::ranges::Ranges;

/// What an entry costs beside its bytes, on the disk and in the quota.
pub(super) const ENTRY_OVERHEAD: u64 = 48;

/// Where an entry's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) crc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Ready,
    Leased,
}

/// What entries of one stream share.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) number: u64,
    pub(super) trailer: Bytes,
}

/// One live entry. Small, since a long outage makes millions of them.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) stream: Arc<Stream>,
    pub(super) mark: Option<Box<Bytes>>,
    /// Boxed like the mark: of a million entries in an outage few have either.
    pub(super) payload: Option<Box<Bytes>>,
    /// None while it waits, and in a memory queue.
    pub(super) place: Option<Place>,
    pub(super) len: u32,
    pub(super) records: u32,
    /// Seconds since 1970.
    pub(super) stored_at: u32,
    pub(super) phase: Phase,
    /// A waiting commit settles it.
    pub(super) settling: bool,
    /// Settled, and still here: it waits to be stored, or for the rest of its sealed group.
    pub(super) abandoned: bool,
    pub(super) sealed: bool,
}

impl Slot {
    pub(super) fn new(append: &Append, stream: Arc<Stream>) -> Self {
        Slot {
            stream,
            mark: (!append.mark.is_empty()).then(|| Box::new(append.mark.clone())),
            payload: Some(Box::new(append.payload.clone())),
            place: None,
            len: append.payload.len() as u32,
            records: append.records,
            stored_at: now_seconds(),
            phase: Phase::Waiting,
            settling: false,
            abandoned: false,
            sealed: false,
        }
    }

    pub(super) fn recovered(stream: Arc<Stream>, mark: Bytes, place: Place, len: u32) -> Self {
        Slot {
            stream,
            mark: (!mark.is_empty()).then(|| Box::new(mark)),
            payload: None,
            place: Some(place),
            len,
            records: 0,
            stored_at: 0,
            phase: Phase::Ready,
            settling: false,
            abandoned: false,
            sealed: false,
        }
    }

    pub(super) fn with(self, records: u32, stored_at: u64) -> Self {
        Slot { records, stored_at: u32::try_from(stored_at).unwrap_or(u32::MAX), ..self }
    }

    pub(super) fn mark(&self) -> Bytes {
        self.mark.as_deref().cloned().unwrap_or_default()
    }

    /// What it counts in quotas, and about what it takes in its segment.
    pub(super) fn bytes(&self) -> u64 {
        let mark = self.mark.as_deref().map_or(0, Bytes::len);
        u64::from(self.len) + (self.stream.trailer.len() + mark) as u64 + ENTRY_OVERHEAD
    }

    fn entry(&self, queue: QueueId, index: u64) -> Entry {
        Entry {
            queue,
            index,
            stream: self.stream.number,
            records: self.records,
            mark: self.mark(),
            trailer: self.stream.trailer.clone(),
            bytes: self.len,
            stored_at: SystemTime::UNIX_EPOCH + Duration::from_secs(self.stored_at.into()),
            payload: self.payload.as_deref().cloned(),
        }
    }
}

pub(super) fn now_seconds() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenSeal {
    pub(super) last: u64,
    pub(super) sequence: u64,
    /// Entries it holds.
    pub(super) entries: u64,
    /// Those not settled yet.
    pub(super) unsettled: u64,
    pub(super) recovered: bool,
}

/// Entries and records that were dropped to make room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    pub entries: u64,
    pub records: u64,
    pub bytes: u64,
}

pub(super) struct Queue {
    pub(super) id: QueueId,
    pub(super) name: String,
    pub(super) options: QueueOptions,
    /// Somebody called [`super::Journal::queue`] for it in this process.
    pub(super) opened: bool,
    pub(super) next: u64,
    pub(super) slots: BTreeMap<u64, Slot>,
    ready: BTreeSet<u64>,
    streams: HashMap<u64, Arc<Stream>>,
    /// By first entry and stream.
    pub(super) seals: BTreeMap<(u64, u64), OpenSeal>,
    pub(super) live_bytes: u64,
    /// Entries on the disk whose payload is also in memory, oldest first; some may be gone meanwhile.
    fresh: VecDeque<u64>,
    pub(super) fresh_bytes: usize,
    /// Settled, and not written down yet.
    pub(super) lazy: Ranges,
    pub(super) evicted: Evicted,
    /// How many wait in [`super::Journal::admit`] because of this queue.
    pub(super) blocked: usize,
    pub(super) leasable: Arc<Notify>,
}

impl Queue {
    pub(super) fn new(id: QueueId, name: String, options: QueueOptions) -> Self {
        Queue {
            id,
            name,
            options,
            opened: false,
            next: 0,
            slots: BTreeMap::new(),
            ready: BTreeSet::new(),
            streams: HashMap::new(),
            seals: BTreeMap::new(),
            live_bytes: 0,
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            lazy: Ranges::default(),
            evicted: Evicted::default(),
            blocked: 0,
            leasable: Arc::new(Notify::new()),
        }
    }

    /// The shared part of entries of a stream; a changed trailer starts a new one.
    pub(super) fn stream(&mut self, number: u64, trailer: &Bytes) -> Arc<Stream> {
        match self.streams.get(&number) {
            Some(stream) if stream.trailer == *trailer => stream.clone(),
            _ => {
                let stream = Arc::new(Stream { number, trailer: trailer.clone() });
                self.streams.insert(number, stream.clone());
                stream
            }
        }
    }

    /// Takes an entry in; recovered ones keep their index.
    pub(super) fn insert(&mut self, index: u64, slot: Slot) {
        self.next = self.next.max(index.saturating_add(1));
        self.live_bytes += slot.bytes();
        if slot.phase == Phase::Ready {
            self.ready.insert(index);
        }
        self.slots.insert(index, slot);
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Lets a stored entry be leased.
    pub(super) fn make_ready(&mut self, index: u64) {
        if let Some(slot) = self.slots.get_mut(&index) {
            slot.phase = if slot.sealed { Phase::Leased } else { Phase::Ready };
            if !slot.settling && !slot.sealed {
                self.ready.insert(index);
            }
        }
    }

    pub(super) fn unlease(&mut self, index: u64) {
        if self.slots.get(&index).is_some_and(|slot| slot.phase == Phase::Leased && !slot.sealed) {
            self.make_ready(index);
        }
    }

    pub(super) fn lease(&mut self, max_bytes: usize) -> Vec<Entry> {
        let mut leased = Vec::new();
        let mut bytes = 0usize;
        while let Some(index) = self.ready.first().copied() {
            let Some(slot) = self.slots.get_mut(&index) else {
                self.ready.remove(&index);
                continue;
            };
            bytes = bytes.saturating_add(slot.len as usize);
            if !leased.is_empty() && bytes > max_bytes {
                break;
            }
            self.ready.remove(&index);
            slot.phase = Phase::Leased;
            leased.push(slot.entry(self.id, index));
        }
        leased
    }

    pub(super) fn set_settling(&mut self, index: u64) {
        if let Some(slot) = self.slots.get_mut(&index) {
            slot.settling = true;
            self.ready.remove(&index);
        }
    }

    /// Live entries a seal names.
    pub(super) fn sealed_indices(&self, stream: u64, first: u64, last: u64) -> Vec<u64> {
        if first > last {
            return Vec::new();
        }
        let of_stream = self.slots.range(first..=last).filter(|(_, slot)| slot.stream.number == stream);
        of_stream.map(|(index, _)| *index).collect()
    }

    /// Marks the entries of a seal. `expected` is how many there were when it was made, if it was made before.
    /// Says how many it holds, or None when it can no longer be what it was, or when some are not the caller's.
    pub(super) fn seal(&mut self, seal: &Seal, expected: Option<u64>) -> Option<u64> {
        let members = self.sealed_indices(seal.stream, seal.first, seal.last);
        let entries = members.len() as u64;
        let recovered = expected.is_some();
        let ours = members
            .iter()
            .filter_map(|index| self.slots.get(index))
            .all(|slot| !slot.sealed && !slot.settling && (recovered || slot.phase == Phase::Leased));
        if entries == 0 || !ours || expected.is_some_and(|expected| expected != entries) {
            return None;
        }
        for index in members {
            self.ready.remove(&index);
            if let Some(slot) = self.slots.get_mut(&index) {
                slot.sealed = true;
                slot.phase = Phase::Leased;
            }
        }
        let open =
            OpenSeal { last: seal.last, sequence: seal.sequence, entries, unsettled: entries, recovered };
        self.seals.insert((seal.first, seal.stream), open);
        Some(entries)
    }

    /// Open seals that were found at the start, with their entries.
    pub(super) fn recovered_seals(&self) -> Vec<(Seal, Vec<Entry>)> {
        let recovered = self.seals.iter().filter(|(_, open)| open.recovered);
        let whole = recovered.map(|(&(first, stream), open)| {
            let seal = Seal { queue: self.id, stream, sequence: open.sequence, first, last: open.last };
            let members = self.sealed_indices(stream, first, open.last).into_iter();
            let entries = members.filter_map(|index| Some(self.slots.get(&index)?.entry(self.id, index)));
            (seal, entries.collect())
        });
        whole.collect()
    }

    /// Settles one entry of a sealed group; gives the group's entries once all of them are settled.
    pub(super) fn settle_sealed(&mut self, index: u64) -> Vec<u64> {
        let Some(slot) = self.slots.get_mut(&index).filter(|slot| slot.sealed && !slot.abandoned) else {
            return Vec::new();
        };
        slot.abandoned = true;
        let number = slot.stream.number;
        let upto = self.seals.range_mut(..=(index, number)).rev();
        let mut holding = upto.filter(|((_, stream), open)| *stream == number && open.last >= index);
        let Some((&(first, stream), open)) = holding.next() else { return vec![index] };
        open.unsettled = open.unsettled.saturating_sub(1);
        if open.unsettled > 0 {
            return Vec::new();
        }
        let last = open.last;
        self.seals.remove(&(first, stream));
        self.sealed_indices(stream, first, last)
    }

    /// Takes a live entry out. The caller accounts for its segment.
    pub(super) fn remove(&mut self, index: u64) -> Option<Slot> {
        let slot = self.slots.remove(&index)?;
        self.ready.remove(&index);
        self.live_bytes -= slot.bytes();
        if slot.place.is_some() && slot.payload.is_some() {
            self.fresh_bytes -= slot.len as usize;
        }
        while self.fresh.front().is_some_and(|first| !self.slots.contains_key(first)) {
            self.fresh.pop_front();
        }
        // The map and this slot are the last two who know the stream.
        if Arc::strong_count(&slot.stream) == 2 {
            self.streams.remove(&slot.stream.number);
        }
        Some(slot)
    }

    /// The oldest entry that may be dropped to make room.
    pub(super) fn oldest_evictable(&self) -> Option<u64> {
        self.ready.first().copied()
    }

    /// A stored entry stays in memory.
    pub(super) fn keep_fresh(&mut self, index: u64, len: usize) {
        // One old entry that stays must not pin the numbers of all that came and went behind it.
        if self.fresh.len() > 64 + 2 * self.slots.len() {
            self.fresh.retain(|index| self.slots.contains_key(index));
        }
        self.fresh.push_back(index);
        self.fresh_bytes += len;
    }

    /// Forgets the payload of the newest entry in memory; says how many bytes that was.
    pub(super) fn drop_newest_fresh(&mut self) -> Option<usize> {
        while let Some(index) = self.fresh.pop_back() {
            if let Some(slot) = self.slots.get_mut(&index)
                && slot.payload.take().is_some()
            {
                self.fresh_bytes -= slot.len as usize;
                return Some(slot.len as usize);
            }
        }
        None
    }

    /// Since when its oldest entry waits.
    pub(super) fn oldest(&self) -> Option<Duration> {
        let (_, slot) = self.slots.first_key_value()?;
        Some(Duration::from_secs(now_seconds().saturating_sub(slot.stored_at).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_costs_little_memory() {
        assert!(size_of::<Slot>() <= 64, "{}", size_of::<Slot>());
    }
}
