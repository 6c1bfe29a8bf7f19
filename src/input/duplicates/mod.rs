//! Messages that come again: acknowledged again, and not stored again.
//!
//! A peer that does not see its ack sends the message once more, perhaps on another connection, perhaps hundreds of
//! times, perhaps after our restart. Senders name their messages by an id; some make it at random, and some from the
//! data, so that equal data has an equal id although it was meant to be stored twice. Both are told apart by
//! their [`Class`]:
//!
//! ```text
//! random   claimed ----store----> stored ---------------- window ----------------> forgotten
//! content  of its connection ---- its ack was read ------------------------------> forgotten
//!                            `--- the connection ended before that ---> armed ---> taken over by the connection
//!                                                                                  on which it comes again
//! ```
//!
//! * What is found again gets the receipt of the first copy: it is acknowledged when that is stored, and not before.
//! * Ids are stored in the commit of their records, in the journal's queue [`QUEUE`]: after a crash an id is known if and
//!   only if its records are there. Records in a memory buffer are gone then, so their ids are not written.
//! * A message in several parts is known from its last part on; a crash between them stores the first ones again.
//! * Everything is bounded, in bytes and in time. What is forgotten too early costs a duplicate and never a record.
//! * Equal fingerprints are equal messages: 128 bits of a hash whose key is this data directory's own.
//!
//! Reading order: [`chunk_id`] (the forward protocol's rule), `table` (memory), `section` and `ledger` (disk), [`conversation`]
//! (what a connection calls).

pub mod chunk_id;
pub mod conversation;
mod ledger;
mod section;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_secret};

pub use conversation::{Conversation, Meeting};
pub use ledger::QUEUE;
pub use table::Fingerprint;

use crate::base::metrics::{Counter, Gauge, counter, gauge};
use crate::config::plan::DuplicatesPlan;
use crate::journal::{Journal, Receipt};
use ledger::Ledger;
use table::{State, Table};

/// What an id says about data that comes with the same id again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It is the same message: nobody makes this id twice.
    Random,
    /// It may be new data: the id is made from the data.
    Content,
}

/// A message's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    fingerprint: Fingerprint,
    class: Class,
}

/// Ids in a commit that is not submitted yet.
pub(crate) struct Boarded(ledger::Boarded);

/// Bytes of a key of the hash.
const KEY_BYTES: usize = 192;

/// What all connections share.
pub struct Duplicates {
    key: [u8; KEY_BYTES],
    table: Table,
    ledger: Ledger,
    receipts: Receipts,
    clock: Clock,
    /// Wakes those who wait for a claim.
    released: Notify,
    early: Counter,
    remembered: Gauge,
}

impl Duplicates {
    /// Opens the memory and takes back what an earlier run stored. `None` when the plan wants none: then nothing is
    /// hashed, kept or written, and what an earlier run stored is let go of. Blocking.
    ///
    /// `secret` is known to no peer and the same as long as the journal is.
    pub fn open(plan: &DuplicatesPlan, journal: Journal, secret: &str) -> Option<Arc<Duplicates>> {
        Duplicates::open_with(plan, journal, secret, Clock::new(plan))
    }

    fn open_with(
        plan: &DuplicatesPlan,
        journal: Journal,
        secret: &str,
        clock: Clock,
    ) -> Option<Arc<Duplicates>> {
        if plan.window.is_zero() {
            ledger::discard(&journal);
            return None;
        }
        let table = Table::new(plan.max_bytes, clock.window);
        let unix = clock.unix();
        let receipts = Receipts::new(journal.last_receipt());
        let (ledger, recovered) = Ledger::open(journal, clock.window.into(), table.capacity(), unix);
        let duplicates = Duplicates {
            key: key(secret),
            table,
            ledger,
            receipts,
            clock,
            released: Notify::new(),
            early: counter(
                "sluicegate_duplicates_forgotten_total",
                "Message ids forgotten before their time because duplicates.max_bytes was reached.",
                &[],
            ),
            remembered: gauge("sluicegate_duplicates_remembered", "Message ids in memory.", &[]),
        };
        let (stored, armed) = (recovered.random.iter(), recovered.armed.iter());
        let known = stored.map(|id| (id, State::Stored(0))).chain(armed.map(|id| (id, State::Armed(0))));
        for ((stored_at, fingerprint), state) in known {
            let at = duplicates.clock.tick_of(*stored_at, unix);
            duplicates.put(*fingerprint, state, at);
        }
        duplicates.remembered.set(duplicates.table.len() as f64);
        Some(Arc::new(duplicates))
    }

    /// The counter of an input's messages that came again.
    pub fn hits(input: &str) -> Counter {
        counter(
            "sluicegate_duplicates_total",
            "Messages that came again: acknowledged and not stored again.",
            &[("input", input)],
        )
    }

    /// For a new connection. `peer` is what stays the same when the peer connects again: its address without port, its
    /// name.
    pub fn conversation(self: &Arc<Self>, peer: &str, hits: Counter) -> Conversation {
        Conversation::new(self.clone(), peer, hits)
    }

    /// Once a second: lets go of what is too old, and writes down what no commit of records took along.
    pub fn tend(&self) {
        self.table.age(self.clock.now());
        self.ledger.tend(self.clock.unix());
        self.remembered.set(self.table.len() as f64);
    }

    fn fingerprint(&self, class: Class, parts: [&[u8]; 4]) -> Fingerprint {
        let mut whole = [0; 65];
        for (digest, part) in whole.chunks_exact_mut(16).zip(parts) {
            digest.copy_from_slice(&xxh3_128_with_secret(part, &self.key).to_le_bytes());
        }
        whole[64] = class as u8;
        Fingerprint(xxh3_128_with_secret(&whole, &self.key))
    }

    fn claim(&self, fingerprint: Fingerprint) -> Option<State> {
        let mut forgotten = 0;
        let known = self.table.claim(fingerprint, self.clock.now(), &mut forgotten);
        if forgotten > 0 {
            self.early.increment(forgotten as u64);
        }
        known
    }

    fn put(&self, fingerprint: Fingerprint, state: State, at: u32) {
        let forgotten = self.table.put(fingerprint, state, at, self.clock.now());
        if forgotten > 0 {
            self.early.increment(forgotten as u64);
        }
    }

    fn stored(&self, claimed: &[Fingerprint], receipt: &Receipt) {
        if claimed.is_empty() {
            return;
        }
        self.receipts.keep(receipt);
        let (now, state) = (self.clock.now(), State::Stored(receipt.number()));
        let forgotten: usize =
            claimed.iter().map(|fingerprint| self.table.put(*fingerprint, state, now, now)).sum();
        if forgotten > 0 {
            self.early.increment(forgotten as u64);
        }
        self.released.notify_waiters();
    }

    fn release(&self, claimed: Vec<Fingerprint>) {
        if !claimed.is_empty() {
            claimed.into_iter().for_each(|fingerprint| self.table.release(fingerprint));
            self.released.notify_waiters();
        }
    }

    fn arm(&self, fingerprint: Fingerprint, receipt: &Receipt, at: u32) {
        self.receipts.keep(receipt);
        self.put(fingerprint, State::Armed(receipt.number()), at);
    }

    async fn released(&self, fingerprint: Fingerprint) {
        loop {
            let mut released = std::pin::pin!(self.released.notified());
            released.as_mut().enable();
            if self.table.get(fingerprint, self.clock.now()) != Some(State::Claimed) {
                return;
            }
            released.await;
        }
    }
}

/// Stretches the secret to what the hash takes, so that it need not do so for every message.
fn key(secret: &str) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    for (number, part) in (0u8..).zip(key.chunks_exact_mut(16)) {
        part.copy_from_slice(&xxh3_128(&[secret.as_bytes(), &[number]].concat()).to_le_bytes());
    }
    key
}

/// Receipts of commits by number, as long as they are not stored.
struct Receipts {
    /// Of a commit that was stored.
    done: Receipt,
    waiting: Mutex<BTreeMap<u64, Receipt>>,
}

impl Receipts {
    fn new(done: Receipt) -> Receipts {
        Receipts { done, waiting: Mutex::default() }
    }

    fn keep(&self, receipt: &Receipt) {
        let mut waiting = self.lock();
        while let Some(oldest) = waiting.first_entry()
            && oldest.get().is_stored()
        {
            oldest.remove();
        }
        if !receipt.is_stored() {
            waiting.entry(receipt.number()).or_insert_with(|| receipt.clone());
        }
    }

    fn get(&self, number: u64) -> Receipt {
        self.lock().get(&number).unwrap_or(&self.done).clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Receipt>> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Seconds that only go forward, for the table, and those of the calendar, for what is written down.
struct Clock {
    start: Instant,
    /// Seconds; also the tick at the start, so that what an earlier run stored has a tick, too.
    window: u32,
    #[cfg(test)]
    ahead: Arc<std::sync::atomic::AtomicU32>,
}

impl Clock {
    fn new(plan: &DuplicatesPlan) -> Clock {
        let seconds = plan.window.as_secs() + u64::from(plan.window.subsec_nanos() > 0);
        Clock {
            start: Instant::now(),
            window: u32::try_from(seconds).unwrap_or(u32::MAX / 4).min(u32::MAX / 4),
            #[cfg(test)]
            ahead: Arc::default(),
        }
    }

    fn ahead(&self) -> u32 {
        #[cfg(test)]
        return self.ahead.load(std::sync::atomic::Ordering::Relaxed);
        #[cfg(not(test))]
        0
    }

    fn now(&self) -> u32 {
        self.window.saturating_add(self.start.elapsed().as_secs() as u32).saturating_add(self.ahead())
    }

    fn unix(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs() + u64::from(self.ahead())
    }

    /// The tick of a calendar time, seen at the start. A time to come, by a clock that was set back, is now.
    fn tick_of(&self, stored_at: u64, unix: u64) -> u32 {
        let age = u32::try_from(unix.saturating_sub(stored_at)).unwrap_or(u32::MAX);
        self.now().saturating_sub(age)
    }
}
