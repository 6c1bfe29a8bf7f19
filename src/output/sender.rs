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
use super::deliver::{Delivery, Load};
use crate::base::backoff::Backoff;
use crate::base::limits;
use crate::base::metrics::Gauge;
use crate::journal::{Commit, Entry, Journal, QueueId, ReadError, Seal};
use crate::wire::loggroup::{encode, packed};

/// Bytes leased at once: enough for the groups of many streams to fill.
const HELD_BYTES: usize = 8 * limits::MIB;

/// What a sender ships from.
pub struct Outbox {
    pub journal: Journal,
    pub queue: QueueId,
    pub batch_bytes: usize,
    pub batch_age: Duration,
    /// Bytes the queue may hold; a sender leases a small part of it, so that the rest can be evicted.
    pub quota: u64,
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
        let most = most.min((self.outbox.quota / 4) as usize).max(1);
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
            // The journal decides what stays in memory; a group that waits must not hold it there.
            self.coalescer.add(entry.without_payload(), now, &mut self.ready);
        }
    }

    /// Seals ready groups with one commit and sends them, while there are slots.
    fn take_off(&mut self) {
        let (mut leaving, mut seals) = (Vec::new(), Commit::new());
        while !self.ready.is_empty()
            && let Ok(slot) = self.slots.clone().try_acquire_owned()
            && let Some(group) = self.ready.pop_front()
        {
            let sequence = group.sealed.unwrap_or(self.next_sequence);
            let seal = self.seal_of(&group, sequence);
            if group.sealed.is_none() {
                self.next_sequence += 1;
                seals.seal(seal);
            }
            leaving.push((slot, group, seal));
        }
        let receipt = (!seals.is_empty()).then(|| self.outbox.journal.submit(seals).receipt);
        for (slot, group, seal) in leaving {
            let sealed = receipt.clone().filter(|_| group.sealed.is_none());
            let (journal, delivery, flying) =
                (self.outbox.journal.clone(), self.delivery.clone(), self.flying.clone());
            self.flights.spawn(async move {
                flying.increment(1.0);
                if let Some(mut receipt) = sealed
                    && receipt.stored().await.is_err()
                {
                    // The journal closed before the seal was stored: the next run seals it anew.
                    std::future::pending::<()>().await;
                }
                let bytes = group.bytes;
                fly(&journal, &delivery, group, seal).await;
                flying.decrement(1.0);
                drop(slot);
                bytes
            });
        }
    }

    fn seal_of(&self, group: &Group, sequence: u64) -> Seal {
        let index = |entry: Option<&Entry>| entry.map(|entry| entry.index).unwrap_or_default();
        Seal {
            queue: self.outbox.queue,
            stream: group.stream,
            sequence,
            first: index(group.entries.first()),
            last: index(group.entries.last()),
        }
    }
}

/// Builds the LogGroup of a sealed group, delivers it and settles its entries.
async fn fly(journal: &Journal, delivery: &Delivery, group: Group, seal: Seal) {
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
    if let Some(load) = load {
        delivery.deliver(load, records).await;
    }
    journal.settle_seal(&seal);
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
