//! The sender of one destination: leases entries, coalesces them, seals each LogGroup before it is sent, keeps several
//! requests in flight, and settles what was delivered.
//!
//! A group is sealed by a journal entry that fixes its entries and its pack id, and is sent only after the commit that
//! carries the seal: whatever happens, it is sent again byte for byte. Sequences rise with every group of a destination
//! and, through the journal's generation, with every start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::coalesce::{Coalescer, Group};
use super::deliver::Delivery;
use crate::base::limits;
use crate::base::metrics::Gauge;
use crate::journal::{Commit, Entry, Journal, QueueId, Receipt, Seal};
use crate::wire::loggroup::encode;

/// Entries leased at once: enough for groups of many streams to fill, and the rest can still be evicted.
const HELD_BYTES: usize = 8 * limits::MIB;

/// What a sender ships from.
pub struct Outbox {
    pub journal: Journal,
    pub queue: QueueId,
    pub batch_bytes: usize,
    pub batch_age: Duration,
    pub in_flight: usize,
}

pub struct Sender {
    outbox: Outbox,
    delivery: Arc<Delivery>,
    coalescer: Coalescer,
    ready: VecDeque<Group>,
    /// Bytes of all groups that are open, ready or in flight.
    held: usize,
    next_sequence: u64,
    slots: Arc<Semaphore>,
    flying: Gauge,
    /// Groups on their way; each answers with its bytes.
    flights: JoinSet<usize>,
}

impl Sender {
    pub fn new(outbox: Outbox, delivery: Arc<Delivery>, flying: Gauge) -> Self {
        Sender {
            coalescer: Coalescer::new(outbox.batch_bytes, outbox.batch_age),
            ready: VecDeque::new(),
            held: 0,
            next_sequence: outbox.journal.generation() << 32,
            slots: Arc::new(Semaphore::new(outbox.in_flight)),
            flights: JoinSet::new(),
            flying,
            outbox,
            delivery,
        }
    }

    /// Ships until told to stop, then what is there, at once. The caller ends it at the deadline; what is not delivered
    /// by then stays in the journal.
    pub async fn run(mut self, stop: CancellationToken) {
        self.take_back();
        let most = (self.outbox.batch_bytes * (self.outbox.in_flight + 2)).max(HELD_BYTES);
        loop {
            let stopping = stop.is_cancelled();
            if stopping {
                self.lease(most);
                self.coalescer.due(Instant::now(), true, &mut self.ready);
            }
            self.take_off();
            if stopping && self.held == 0 {
                return;
            }
            let next_due = self.coalescer.next_due();
            tokio::select! {
                Some(landed) = self.flights.join_next() => self.held -= landed.unwrap_or(0),
                () = self.outbox.journal.leasable(self.outbox.queue), if self.held < most => self.lease(most),
                () = sleep_until(next_due) => self.coalescer.due(Instant::now(), false, &mut self.ready),
                () = stop.cancelled(), if !stopping => {}
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
            self.coalescer.add(entry, now, &mut self.ready);
        }
    }

    /// Seals and sends ready groups while there are slots.
    fn take_off(&mut self) {
        while !self.ready.is_empty() {
            let Ok(slot) = self.slots.clone().try_acquire_owned() else { return };
            let Some(group) = self.ready.pop_front() else { return };
            let (sequence, sealed) = match group.sealed {
                Some(sequence) => (sequence, None),
                None => {
                    let (sequence, receipt) = self.seal(&group);
                    (sequence, Some(receipt))
                }
            };
            let (journal, delivery, flying) =
                (self.outbox.journal.clone(), self.delivery.clone(), self.flying.clone());
            let queue = self.outbox.queue;
            self.flights.spawn(async move {
                flying.increment(1.0);
                if let Some(mut receipt) = sealed
                    && receipt.stored().await.is_err()
                {
                    // The journal closed before the seal was stored: the next run seals it anew.
                    std::future::pending::<()>().await;
                }
                let bytes = group.bytes;
                fly(&journal, queue, &delivery, group, sequence).await;
                flying.decrement(1.0);
                drop(slot);
                bytes
            });
        }
    }

    fn seal(&mut self, group: &Group) -> (u64, Receipt) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let index = |entry: Option<&Entry>| entry.map(|entry| entry.index).unwrap_or_default();
        let mut commit = Commit::new();
        commit.seal(Seal {
            queue: self.outbox.queue,
            stream: group.stream,
            sequence,
            first: index(group.entries.first()),
            last: index(group.entries.last()),
        });
        (sequence, self.outbox.journal.submit(commit).receipt)
    }
}

/// Builds the LogGroup of a sealed group, delivers it and settles its entries.
async fn fly(journal: &Journal, queue: QueueId, delivery: &Delivery, group: Group, sequence: u64) {
    let Group { stream, trailer, entries, bytes, records, .. } = group;
    let mut raw = Vec::with_capacity(bytes + trailer.len() + 64);
    let mut lost = 0;
    for entry in &entries {
        match read(journal, entry).await {
            Some(payload) => raw.extend_from_slice(&payload),
            None => lost += entry.records as usize,
        }
    }
    raw.extend_from_slice(&trailer);
    encode::put_pack_id(&mut raw, stream, sequence);
    debug_assert!(raw.len() < limits::LOG_GROUP_BYTES + limits::MIB);
    if records > lost {
        delivery.deliver(raw, records - lost).await;
    }
    journal.settle(queue, entries.iter().map(|entry| entry.index));
}

/// The bytes of an entry, from memory or its segment. `None` when the disk no longer gives them back: the journal has
/// said so and set the damaged file aside.
async fn read(journal: &Journal, entry: &Entry) -> Option<Bytes> {
    if entry.is_resident() {
        return journal.read(entry).ok();
    }
    let (journal, entry) = (journal.clone(), entry.clone());
    let read = tokio::task::spawn_blocking(move || journal.read(&entry)).await;
    match read {
        Ok(Ok(payload)) => Some(payload),
        Ok(Err(error)) => {
            tracing::error!("a stored entry cannot be read again: {error}");
            None
        }
        Err(_) => None,
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
