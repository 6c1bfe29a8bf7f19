//! The table of what was stored: fingerprints with the number of their commit, bounded in bytes and in time.
//!
//! ```text
//! shard (of 16, by the fingerprint's high bits)
//!     young  fingerprint -> (state, time)      new ones come here
//!     old    fingerprint -> (state, time)      looked up only
//! rotate: when young is full, or began a window ago: old is emptied and changes places with young
//! ```
//!
//! Forgetting thus costs one clearing of a map per thousands of ids, and nothing is ever removed one by one: what is
//! given up is marked gone and leaves with its generation. The maps never grow past their share of the bound, at least
//! half of which is always full of the newest. A look-up checks the time, so the window is exact.
//!
//! Times are ticks: seconds of a clock that only goes forward.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::{Mutex, MutexGuard};

/// What tells a message from all others: a keyed hash over all that makes it the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub(super) u128);

const SHARDS: usize = 16;
/// Bytes of a bucket: fingerprint, state, time, and the map's own byte.
const BUCKET_BYTES: usize = size_of::<(Key, Slot)>() + 1;

const GONE: u64 = u64::MAX;
const CLAIMED: u64 = u64::MAX - 1;
const ARMED: u64 = 1 << 63;

/// What is known about a fingerprint. Numbers are those of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Somebody is about to store it.
    Claimed,
    Stored(u64),
    /// Stored, its connection is gone, and nobody knows whether the ack was read.
    Armed(u64),
}

impl State {
    fn pack(self) -> u64 {
        match self {
            State::Claimed => CLAIMED,
            State::Stored(number) => number & !ARMED,
            State::Armed(number) => number | ARMED,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key([u32; 4]);

/// Without padding a bucket is an eighth smaller.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
struct Slot {
    state: u64,
    at: u32,
}

impl Key {
    fn new(fingerprint: Fingerprint) -> Key {
        let wide = fingerprint.0;
        Key([wide as u32, (wide >> 32) as u32, (wide >> 64) as u32, (wide >> 96) as u32])
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(u64::from(self.0[0]) | u64::from(self.0[1]) << 32);
    }
}

/// A fingerprint is a keyed hash already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Generation = HashMap<Key, Slot, BuildHasherDefault<AsItIs>>;

#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
    /// When the young generation began.
    since: u32,
}

pub(super) struct Table {
    shards: [Mutex<Shard>; SHARDS],
    /// Ids of one generation of a shard.
    limit: usize,
    window: u32,
}

impl Table {
    /// `bytes` bounds the memory, `window` the age in ticks.
    pub(super) fn new(bytes: usize, window: u32) -> Table {
        let buckets = (bytes / (2 * SHARDS * BUCKET_BYTES)).max(16);
        // The map's own sizes: powers of two, filled to seven eighths.
        let buckets = if buckets.is_power_of_two() { buckets } else { buckets.next_power_of_two() / 2 };
        Table { shards: Default::default(), limit: buckets / 8 * 7, window }
    }

    /// The most ids it ever holds.
    pub(super) fn capacity(&self) -> usize {
        2 * SHARDS * self.limit
    }

    /// Ids it holds, some of them perhaps too old to count.
    pub(super) fn len(&self) -> usize {
        (0..SHARDS).map(|at| lock(&self.shards[at])).map(|shard| shard.young.len() + shard.old.len()).sum()
    }

    fn shard(&self, fingerprint: Fingerprint) -> MutexGuard<'_, Shard> {
        lock(&self.shards[(fingerprint.0 >> 124) as usize % SHARDS])
    }

    pub(super) fn get(&self, fingerprint: Fingerprint, now: u32) -> Option<State> {
        self.shard(fingerprint).get(Key::new(fingerprint), now, self.window)
    }

    /// Claims an unknown fingerprint and gives `None`, or says what is known.
    pub(super) fn claim(&self, fingerprint: Fingerprint, now: u32, forgotten: &mut usize) -> Option<State> {
        let key = Key::new(fingerprint);
        let mut shard = self.shard(fingerprint);
        let known = shard.get(key, now, self.window);
        if known.is_none() {
            *forgotten += shard.put(key, State::Claimed, now, now, self);
        }
        known
    }

    /// Sets what is known since `at`; says how many were forgotten early to make room.
    pub(super) fn put(&self, fingerprint: Fingerprint, state: State, at: u32, now: u32) -> usize {
        self.shard(fingerprint).put(Key::new(fingerprint), state, at, now, self)
    }

    /// Gives a claim up.
    pub(super) fn release(&self, fingerprint: Fingerprint) {
        let mut shard = self.shard(fingerprint);
        if let Some(slot) = shard.slot(Key::new(fingerprint))
            && slot.state == CLAIMED
        {
            slot.state = GONE;
        }
    }

    /// Takes an armed fingerprint out; gives the number of its commit and the time it was stored.
    pub(super) fn disarm(&self, fingerprint: Fingerprint, now: u32) -> Option<(u64, u32)> {
        let (key, mut shard) = (Key::new(fingerprint), self.shard(fingerprint));
        let Some(State::Armed(number)) = shard.get(key, now, self.window) else { return None };
        let slot = shard.slot(key)?;
        slot.state = GONE;
        Some((number, slot.at))
    }

    /// Lets generations go whose time is up, where no new ids push them out.
    pub(super) fn age(&self, now: u32) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            if now.saturating_sub(shard.since) >= self.window
                && !(shard.young.is_empty() && shard.old.is_empty())
            {
                shard.rotate(now, self.window);
            }
        }
    }
}

impl Shard {
    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        match self.young.get_mut(&key) {
            Some(slot) => Some(slot),
            None => self.old.get_mut(&key),
        }
    }

    fn get(&self, key: Key, now: u32, window: u32) -> Option<State> {
        let Slot { state, at } = *self.young.get(&key).or_else(|| self.old.get(&key))?;
        match state {
            GONE => None,
            // However long a claimer may take, it stores or lets go.
            CLAIMED => Some(State::Claimed),
            _ if now.saturating_sub(at) >= window => None,
            _ if state & ARMED != 0 => Some(State::Armed(state & !ARMED)),
            _ => Some(State::Stored(state)),
        }
    }

    fn put(&mut self, key: Key, state: State, at: u32, now: u32, table: &Table) -> usize {
        let new = Slot { state: state.pack(), at };
        if let Some(slot) = self.young.get_mut(&key) {
            *slot = new;
            return 0;
        }
        let mut forgotten = 0;
        if self.young.len() >= table.limit || now.saturating_sub(self.since) >= table.window {
            forgotten = self.rotate(now, table.window);
        }
        // An older one of the same fingerprint is hidden by this one.
        self.young.insert(key, new);
        forgotten
    }

    /// Says how many ids are forgotten before their time.
    fn rotate(&mut self, now: u32, window: u32) -> usize {
        let early = |slot: &&Slot| slot.state != GONE && now.saturating_sub(slot.at) < window;
        let forgotten = self.old.values().filter(early).count();
        self.old.clear();
        std::mem::swap(&mut self.young, &mut self.old);
        self.since = now;
        forgotten
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finger(number: u64) -> Fingerprint {
        Fingerprint(xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()))
    }

    #[test]
    fn a_bucket_is_small_and_the_bound_holds() {
        assert_eq!(BUCKET_BYTES, 29);
        let table = Table::new(1 << 20, 600);
        let mut forgotten = 0;
        for number in 0..200_000 {
            forgotten += table.put(finger(number), State::Stored(number), 1, 1);
        }
        assert!(table.len() <= table.capacity());
        assert!(table.capacity() * 29 <= 1 << 20 && table.capacity() * 29 * 2 > 3 << 18);
        assert_eq!(forgotten + table.len(), 200_000);
        for shard in &table.shards {
            let shard = lock(shard);
            assert!(shard.young.capacity() <= table.limit && shard.old.capacity() <= table.limit);
        }
        // The newest half is there whatever came before.
        let kept = |number: &u64| table.get(finger(*number), 1) == Some(State::Stored(*number));
        assert!((200_000 - table.capacity() as u64 / 3..200_000).all(|number| kept(&number)));
        assert!(!(0..100_000).any(|number| kept(&number)));
    }

    #[test]
    fn claims_are_released_and_arms_are_taken_once() {
        let table = Table::new(1 << 20, 600);
        let mut early = 0;
        assert_eq!(table.claim(finger(1), 5, &mut early), None);
        assert_eq!(table.claim(finger(1), 5, &mut early), Some(State::Claimed));
        table.release(finger(1));
        assert_eq!(table.claim(finger(1), 5, &mut early), None);
        table.put(finger(1), State::Stored(7), 5, 5);
        table.release(finger(1));
        assert_eq!(table.get(finger(1), 5), Some(State::Stored(7)));
        table.put(finger(2), State::Armed(8), 3, 5);
        assert_eq!(table.disarm(finger(1), 5), None);
        assert_eq!(table.disarm(finger(2), 5), Some((8, 3)));
        assert_eq!(table.disarm(finger(2), 5), None);
        assert_eq!((table.get(finger(2), 5), early), (None, 0));
    }

    #[test]
    fn age_empties_it() {
        let table = Table::new(1 << 20, 10);
        table.put(finger(1), State::Stored(1), 1, 1);
        table.age(10);
        assert_eq!(table.get(finger(1), 10), Some(State::Stored(1)));
        assert_eq!(table.get(finger(1), 11), None);
        table.age(20);
        table.age(30);
        assert_eq!(table.len(), 0);
    }

    proptest! {
        /// Against a plain map: what is younger than the window is known, what is older is not.
        #[test]
        fn the_window_is_exact(steps in proptest::collection::vec((0u64..40, 0u32..7, 0u8..3), 1..400)) {
            let table = Table::new(1 << 20, 20);
            let mut model: HashMap<u64, (State, u32)> = HashMap::new();
            let mut now = 20;
            for (number, pause, kind) in steps {
                now += pause;
                let expected = model.get(&number).filter(|(_, at)| now - at < 20).map(|(state, _)| *state);
                prop_assert_eq!(table.get(finger(number), now), expected);
                let state = if kind == 0 { State::Armed(number) } else { State::Stored(number) };
                if kind == 2 {
                    table.age(now);
                    continue;
                }
                table.put(finger(number), state, now, now);
                model.insert(number, (state, now));
            }
        }
    }
}
