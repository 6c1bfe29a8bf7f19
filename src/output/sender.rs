//! The sender of one destination: leases entries, coalesces them, seals each LogGroup before it is sent, keeps several
//! requests in flight, and settles what was delivered.
//!
//! A group is sealed by a journal entry that fixes its entries and its pack id, and is sent only after the commit that
//! carries the seal: whatever happens, it is sent again byte for byte.
//!
//! Sequences count up by one within a series, and begin above all earlier ones with every start, through the journal's
//! generation; a sender that takes another's place begins above that one's. Small groups that are ready together go in one request where the destination takes lists. With a shard
//! key, groups of one bucket go one behind the other, and those of other buckets pass them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::coalesce::{Coalescer, Group};
use super::deliver::{Delivery, Load};
use super::shard_key::{Bucket, ShardKey};
use crate::base::backoff::Backoff;
use crate::base::limits;
use crate::base::metrics::Gauge;
use crate::journal::{Commit, Entry, Journal, QueueId, ReadError, Seal};
use crate::wire::loggroup::{encode, packed};

/// Bytes leased at once: enough for the groups of many streams to fill.
const HELD_BYTES: usize = 8 * limits::MIB;

/// Series whose last sequence is remembered; beyond, all of them go on above the highest.
const SERIES: usize = 100_000;

/// What a sender ships from.
pub struct Outbox {
    pub journal: Journal,
    pub queue: QueueId,
    pub batch_bytes: usize,
    pub batch_age: Duration,
    /// Bytes the queue may hold; a sender leases a small part of it, so that the rest can be evicted.
    pub quota: u64,
    /// Requests at once, those that wait between two tries included.
    pub in_flight: usize,
    pub shard_key: Option<ShardKey>,
}

pub struct Sender {
    outbox: Outbox,
    delivery: Arc<Delivery>,
    coalescer: Coalescer,
    ready: VecDeque<Group>,
    /// Bytes of all groups that are open, ready or in flight.
    held: usize,
    sequences: Sequences,
    slots: Arc<Semaphore>,
    flying: Gauge,
    /// Groups on their way; each flight answers with its bytes.
    flights: JoinSet<Landed>,
    /// Buckets with a group on its way.
    busy: HashSet<Bucket>,
}

struct Landed {
    bytes: usize,
    bucket: Option<Bucket>,
}

/// A group that is sealed, or will be when the flight's receipt says so.
struct Sealed {
    group: Group,
    seal: Seal,
}

/// The next sequence of each series.
struct Sequences {
    next: HashMap<u64, u64>,
    /// Of a series that is not known: above everything that was given.
    first: u64,
    most: usize,
}

impl Sequences {
    fn next(&mut self, series: u64) -> u64 {
        if self.next.len() >= self.most && !self.next.contains_key(&series) {
            self.first = self.next.drain().map(|(_, next)| next).max().unwrap_or(0).max(self.first);
        }
        let next = self.next.entry(series).or_insert(self.first);
        *next += 1;
        *next - 1
    }

    /// Above everything that was given.
    fn highest(&self) -> u64 {
        self.next.values().copied().max().unwrap_or(0).max(self.first)
    }
}

impl Sender {
    /// `floor` is what an earlier sender of this queue in this process left behind it, else nothing.
    pub fn new(outbox: Outbox, delivery: Arc<Delivery>, flying: Gauge, floor: u64) -> Self {
        Sender {
            coalescer: Coalescer::new(outbox.batch_bytes, outbox.batch_age),
            ready: VecDeque::new(),
            held: 0,
            sequences: Sequences {
                next: HashMap::new(),
                first: (outbox.journal.generation() << 32).max(floor),
                most: SERIES,
            },
            slots: Arc::new(Semaphore::new(outbox.in_flight)),
            flights: JoinSet::new(),
            busy: HashSet::new(),
            flying,
            outbox,
            delivery,
        }
    }

    /// Ships until told to stop, then what is there, at once. The caller ends it at the deadline; what is not delivered
    /// by then stays in the journal. Once `successor` is there it delivers what it holds and takes no more. Gives the number
    /// above which another sender of this queue has to begin.
    pub async fn run(mut self, stop: CancellationToken, successor: CancellationToken, is_first: bool) -> u64 {
        if is_first {
            self.take_back();
        }
        let most = (self.outbox.batch_bytes * (self.outbox.in_flight + 2)).max(HELD_BYTES);
        let most = most.min((self.outbox.quota / 4) as usize).max(1);
        loop {
            let replaced = successor.is_cancelled();
            let stopping = stop.is_cancelled() || replaced;
            if stopping {
                if !replaced {
                    self.lease(most);
                }
                self.coalescer.close_all(&mut self.ready);
            }
            self.take_off();
            if stopping && self.held == 0 {
                return self.sequences.highest();
            }
            let next_due = self.coalescer.next_due();
            tokio::select! {
                Some(landed) = self.flights.join_next() => {
                    if let Ok(Landed { bytes, bucket }) = landed {
                        self.held -= bytes;
                        bucket.map(|bucket| self.busy.remove(&bucket));
                    }
                }
                () = self.outbox.journal.leasable(self.outbox.queue), if !replaced && self.held < most => self.lease(most),
                () = sleep_until(next_due) => {
                    let together = self.makes_lists();
                    self.coalescer.due(Instant::now(), together, &mut self.ready);
                }
                () = stop.cancelled(), if !stopping => {}
                () = successor.cancelled(), if !replaced => {}
            }
            while self.held >= most && self.ready.len() < self.outbox.in_flight && self.coalescer.bytes() > 0
            {
                self.coalescer.close_oldest(&mut self.ready);
            }
        }
    }

    /// Groups that an earlier run sealed go first, as they were.
    fn take_back(&mut self) {
        let now = Instant::now();
        for (seal, entries) in self.outbox.journal.sealed(self.outbox.queue) {
            let mut entries = entries.into_iter();
            let Some(first) = entries.next() else { continue };
            let mut group = Group::new(first, now);
            for entry in entries {
                group.push(entry);
            }
            group.sealed = Some(seal.sequence);
            self.held += group.bytes;
            self.ready.push_back(group);
        }
    }

    fn lease(&mut self, most: usize) {
        let now = Instant::now();
        for entry in self.outbox.journal.lease(self.outbox.queue, most.saturating_sub(self.held).max(1)) {
            self.held += entry.bytes as usize;
            // The journal decides what stays in memory; a group that waits must not hold it there.
            self.coalescer.add(entry.without_payload(), now, &mut self.ready);
        }
    }

    fn makes_lists(&self) -> bool {
        self.outbox.shard_key.is_none() && self.delivery.takes_lists()
    }

    /// Seals what is ready with one commit and sends it, while there are slots.
    fn take_off(&mut self) {
        let (mut leaving, mut seals) = (Vec::new(), Commit::new());
        while !self.ready.is_empty()
            && let Ok(slot) = self.slots.clone().try_acquire_owned()
            && let Some((groups, bucket)) = self.next_flight()
        {
            self.busy.extend(bucket);
            let is_new = groups.iter().any(|group| group.sealed.is_none());
            let sealed: Vec<Sealed> = groups.into_iter().map(|group| self.seal(group, &mut seals)).collect();
            leaving.push((slot, sealed, bucket, is_new));
        }
        let receipt = (!seals.is_empty()).then(|| self.outbox.journal.submit(seals).receipt);
        for (slot, sealed, bucket, is_new) in leaving {
            let receipt = receipt.clone().filter(|_| is_new);
            let (journal, delivery, flying) =
                (self.outbox.journal.clone(), self.delivery.clone(), self.flying.clone());
            self.flights.spawn(async move {
                let (count, bytes) = (sealed.len() as f64, sealed.iter().map(|one| one.group.bytes).sum());
                flying.increment(count);
                if let Some(mut receipt) = receipt
                    && receipt.stored().await.is_err()
                {
                    // The journal closed before the seals were stored: the next run seals them anew.
                    std::future::pending::<()>().await;
                }
                fly(&journal, &delivery, sealed, bucket).await;
                flying.decrement(count);
                drop(slot);
                Landed { bytes, bucket }
            });
        }
    }

    /// What goes next: one group, as many small ones as follow each other, or the first whose bucket is free.
    fn next_flight(&mut self) -> Option<(Vec<Group>, Option<Bucket>)> {
        if let Some(key) = &self.outbox.shard_key {
            // Thousands may wait behind one bucket, and each landing looks through them: a key is hashed once.
            let mut buckets = self
                .ready
                .iter_mut()
                .map(|group| *group.bucket.get_or_insert_with(|| key.bucket(&group.trailer)))
                .enumerate();
            let (at, bucket) = buckets.find(|(_, bucket)| !self.busy.contains(bucket))?;
            return Some((vec![self.ready.remove(at)?], Some(bucket)));
        }
        let mut groups = vec![self.ready.pop_front()?];
        if !self.makes_lists() || !groups[0].is_small() {
            return Some((groups, None));
        }
        let mut bytes = groups[0].bytes;
        while groups.len() < limits::LIST_GROUPS {
            let follows = |group: &mut Group| group.is_small() && bytes + group.bytes <= limits::LIST_BYTES;
            let Some(group) = self.ready.pop_front_if(follows) else { break };
            bytes += group.bytes;
            groups.push(group);
        }
        Some((groups, None))
    }

    /// Gives a group its sequence, unless an earlier run has.
    fn seal(&mut self, group: Group, commit: &mut Commit) -> Sealed {
        let sequence = group.sealed.unwrap_or_else(|| self.sequences.next(group.stream));
        let index = |entry: Option<&Entry>| entry.map(|entry| entry.index).unwrap_or_default();
        let seal = Seal {
            queue: self.outbox.queue,
            stream: group.stream,
            sequence,
            first: index(group.entries.first()),
            last: index(group.entries.last()),
        };
        if group.sealed.is_none() {
            commit.seal(seal);
        }
        Sealed { group, seal }
    }
}

/// Delivers sealed groups, together where there are several, and settles each.
async fn fly(journal: &Journal, delivery: &Delivery, sealed: Vec<Sealed>, bucket: Option<Bucket>) {
    let (mut loads, mut seals) = (Vec::new(), Vec::new());
    for Sealed { group, seal } in sealed {
        match build(journal, delivery, group, seal).await {
            Some(load) => {
                loads.push(load);
                seals.push(seal);
            }
            None => journal.settle_seal(&seal),
        }
    }
    if loads.len() > 1 {
        let settle = |at: usize| seals.get(at).into_iter().for_each(|seal| journal.settle_seal(seal));
        return delivery.deliver_list(loads, settle).await;
    }
    for ((load, records), seal) in loads.into_iter().zip(seals) {
        delivery.deliver(load, records, bucket).await;
        journal.settle_seal(&seal);
    }
}

/// The LogGroup of a sealed group, and its number of records. `None` when the disk gives nothing of it back.
async fn build(journal: &Journal, delivery: &Delivery, group: Group, seal: Seal) -> Option<(Load, usize)> {
    let Group { trailer, entries, bytes, mut records, .. } = group;
    let mut tail = trailer.to_vec();
    encode::put_pack_id(&mut tail, seal.stream, seal.sequence);
    let mut raw = Vec::new();
    let mut load = None;
    for entry in &entries {
        let payload = match journal.resident(entry) {
            Some(payload) => Some(payload),
            None => read(journal, entry).await,
        };
        match (payload, packed::raw_len(&entry.mark)) {
            (None, _) => {
                records -= entry.records as usize;
                delivery.metrics.lost.increment(u64::from(entry.records));
            }
            (Some(block), Some(len)) => {
                load = Load::packed(&block, len, &tail);
                if load.is_none() {
                    tracing::error!("a packed entry is damaged, its records are lost");
                    delivery.metrics.lost.increment(u64::from(entry.records));
                }
            }
            (Some(logs), None) => {
                raw.reserve(bytes + tail.len());
                raw.extend_from_slice(&logs);
            }
        }
    }
    if !raw.is_empty() {
        raw.extend_from_slice(&tail);
        load = Some(Load::Raw(raw));
    }
    Some((load?, records))
}

/// The bytes of an entry, from memory or its segment. A disk that cannot be read right now is asked again; `None` is
/// final: the entry is damaged, the journal has said so and set the file aside.
async fn read(journal: &Journal, entry: &Entry) -> Option<Bytes> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
    loop {
        let (reader, wanted) = (journal.clone(), entry.clone());
        let read = match tokio::task::spawn_blocking(move || reader.read(&wanted)).await {
            Ok(Ok(payload)) => return Some(payload),
            Ok(Err(error @ (ReadError::Damaged { .. } | ReadError::Settled))) => {
                tracing::error!("a stored entry cannot be read again, its records are lost: {error}");
                return None;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!("a stored entry cannot be read now and will be asked for again: {read}");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_count_by_one_and_never_back() {
        let mut sequences = Sequences { next: HashMap::new(), first: 7 << 32, most: 3 };
        let at = |n: u64| (7 << 32) + n;
        for n in 0..5 {
            assert_eq!(sequences.next(1), at(n));
        }
        assert_eq!((sequences.next(2), sequences.next(3)), (at(0), at(0)));
        // A fourth series: what is forgotten goes on above everything.
        assert_eq!((sequences.next(4), sequences.next(1), sequences.next(1)), (at(5), at(5), at(6)));
    }
}
