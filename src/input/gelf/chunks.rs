//! Messages that came in several datagrams, until all their chunks are there.
//!
//! ```text
//! 1e 0f | message id (8) | number from 0 (1) | count (1) | part of the message, which may be empty in the last one
//! ```
//!
//! A message is known by its sender's address and port and its id. Chunks come in any order; one that comes again is not
//! used, also when its message is complete already. Bounded are the messages that wait, the memory of their chunks, the size
//! of one message and the time from its first chunk. When there is no room, the oldest message of the sender that takes most
//! of it gives way: one that floods the port with chunks of messages that never end displaces its own.
//!
//! It refuses chunks without a whole head, with a number that is not below the count, with a count of 0 or above 128, and
//! with another count than the message's first chunk.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

pub const MAGIC: [u8; 2] = [0x1e, 0x0f];
const HEAD: usize = 12;
/// As every sender has it.
const MOST: u8 = 128;
/// Messages that are done with and whose late chunks are known.
const CLOSED: usize = 1_024;

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Messages that wait.
    pub messages: usize,
    /// Memory of all their chunks.
    pub bytes: usize,
    /// The chunks of one message together.
    pub message_bytes: usize,
    pub timeout: Duration,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its message waits for others.
    Waiting,
    /// It was the last one; the message is in the caller's buffer.
    Complete,
    /// It was there already.
    Again,
    /// It is none, or does not fit its message.
    Invalid,
    /// Its message is too long and given up.
    TooLong,
    /// Its message is given up for want of room; counted by [`Chunks::take_displaced`].
    Displaced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    from: SocketAddr,
    id: [u8; 8],
}

struct Incomplete {
    /// In the order in which messages began.
    serial: u64,
    since: Instant,
    /// Where each chunk lies in `bytes`; `None` for one that has not come.
    parts: Box<[Option<(u32, u32)>]>,
    missing: usize,
    bytes: Vec<u8>,
}

/// What the messages of one address take.
#[derive(Default)]
struct Share {
    weight: usize,
    messages: BTreeMap<u64, Key>,
}

pub struct Chunks {
    bounds: Bounds,
    waiting: HashMap<Key, Incomplete>,
    shares: HashMap<IpAddr, Share>,
    by_weight: BTreeSet<(usize, IpAddr)>,
    /// Memory of the waiting messages' chunks.
    bytes: usize,
    serial: u64,
    displaced: u64,
    closed: HashSet<Key>,
    closed_order: VecDeque<(Instant, Key)>,
}

impl Chunks {
    pub fn new(bounds: Bounds) -> Chunks {
        Chunks {
            bounds,
            waiting: HashMap::new(),
            shares: HashMap::new(),
            by_weight: BTreeSet::new(),
            bytes: 0,
            serial: 0,
            displaced: 0,
            closed: HashSet::new(),
            closed_order: VecDeque::new(),
        }
    }

    /// Takes a datagram that begins with [`MAGIC`]. When it completes its message, that is put into `whole`.
    pub fn add(
        &mut self,
        from: Option<SocketAddr>,
        datagram: &[u8],
        now: Instant,
        whole: &mut Vec<u8>,
    ) -> Taken {
        let Some(([_, _, id @ .., number, count], part)) = datagram.split_first_chunk::<HEAD>() else {
            return Taken::Invalid;
        };
        let Some(id) = id.first_chunk::<8>() else { return Taken::Invalid };
        if *count > MOST || number >= count {
            return Taken::Invalid;
        }
        let from = from.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let key = Key { from, id: *id };
        if self.closed.contains(&key) {
            return Taken::Again;
        }
        let (number, count) = (usize::from(*number), usize::from(*count));
        match self.waiting.get(&key) {
            Some(message) if message.parts.len() != count => return Taken::Invalid,
            Some(message) if message.parts.get(number).is_some_and(Option::is_some) => return Taken::Again,
            Some(message) if message.bytes.len() + part.len() > self.bounds.message_bytes => {
                self.close(key, now);
                return Taken::TooLong;
            }
            None if part.len() > self.bounds.message_bytes => return Taken::TooLong,
            _ => {}
        }
        if !self.make_room(key, part.len(), now) {
            return Taken::Displaced;
        }
        if self.put(key, number, count, part, now) > 0 {
            return Taken::Waiting;
        }
        if let Some(message) = self.close(key, now) {
            whole.clear();
            for (at, len) in message.parts.iter().flatten() {
                let (at, len) = (*at as usize, *len as usize);
                whole.extend_from_slice(message.bytes.get(at..at + len).unwrap_or_default());
            }
        }
        Taken::Complete
    }

    /// Lets older messages give way until a chunk of `len` bytes fits; false when its own message had to, or when it
    /// cannot fit at all.
    fn make_room(&mut self, key: Key, len: usize, now: Instant) -> bool {
        loop {
            let (begins, grows) = match self.waiting.get(&key) {
                Some(message) => (0, growth(&message.bytes, len)),
                None => (1, len),
            };
            let fits = self.waiting.len() + begins <= self.bounds.messages
                && self.bytes.saturating_add(grows) <= self.bounds.bytes;
            if fits {
                return true;
            }
            let heaviest = self.by_weight.last().and_then(|(_, address)| self.shares.get(address));
            let Some(oldest) = heaviest.and_then(|share| share.messages.values().next().copied()) else {
                // Nothing waits, and still there is no room.
                self.displaced += 1;
                return false;
            };
            self.displaced += 1;
            self.close(oldest, now);
            if oldest == key {
                return false;
            }
        }
    }

    /// Puts a chunk to its message and gives the number of those that are missing yet. There is room.
    fn put(&mut self, key: Key, number: usize, count: usize, part: &[u8], now: Instant) -> usize {
        self.serial += 1;
        let serial = self.serial;
        let begun = matches!(self.waiting.entry(key), Entry::Vacant(_));
        let message = self.waiting.entry(key).or_insert_with(|| Incomplete {
            serial,
            since: now,
            parts: vec![None; count].into(),
            missing: count,
            bytes: Vec::new(),
        });
        let grown = growth(&message.bytes, part.len());
        let at = message.bytes.len();
        message.bytes.reserve_exact(grown.saturating_add(message.bytes.capacity()) - at);
        message.bytes.extend_from_slice(part);
        if let Some(slot) = message.parts.get_mut(number) {
            *slot = Some((at as u32, part.len() as u32));
        }
        message.missing -= 1;
        let missing = message.missing;
        self.bytes += grown;
        let each = self.each();
        self.weigh(key.from.ip(), |share| {
            if begun {
                share.messages.insert(serial, key);
                share.weight += each;
            }
            share.weight += grown;
        });
        missing
    }

    /// What a message weighs beside its bytes, so that many empty ones weigh as much as few large ones.
    fn each(&self) -> usize {
        (self.bounds.bytes / self.bounds.messages.max(1)).max(1)
    }

    fn weigh(&mut self, address: IpAddr, change: impl FnOnce(&mut Share)) {
        let share = self.shares.entry(address).or_default();
        self.by_weight.remove(&(share.weight, address));
        change(share);
        if share.messages.is_empty() {
            self.shares.remove(&address);
        } else {
            self.by_weight.insert((share.weight, address));
        }
    }

    /// Ends a message; chunks of it that come later are known.
    fn close(&mut self, key: Key, now: Instant) -> Option<Incomplete> {
        let message = self.waiting.remove(&key)?;
        let (bytes, each) = (message.bytes.capacity(), self.each());
        self.bytes = self.bytes.saturating_sub(bytes);
        self.weigh(key.from.ip(), |share| {
            share.messages.remove(&message.serial);
            share.weight = share.weight.saturating_sub(bytes + each);
        });
        if self.closed_order.len() >= CLOSED
            && let Some((_, oldest)) = self.closed_order.pop_front()
        {
            self.closed.remove(&oldest);
        }
        if self.closed.insert(key) {
            self.closed_order.push_back((now, key));
        }
        Some(message)
    }

    /// Gives up what has waited too long; gives the number of messages.
    pub fn expire(&mut self, now: Instant) -> u64 {
        let timeout = self.bounds.timeout;
        let is_old = |since: Instant| now.saturating_duration_since(since) >= timeout;
        let old: Vec<Key> =
            self.waiting.iter().filter(|(_, message)| is_old(message.since)).map(|(key, _)| *key).collect();
        for key in &old {
            self.close(*key, now);
        }
        while self.closed_order.front().is_some_and(|(since, _)| is_old(*since)) {
            if let Some((_, key)) = self.closed_order.pop_front() {
                self.closed.remove(&key);
            }
        }
        old.len() as u64
    }

    /// Messages given up for want of room since the last call.
    pub fn take_displaced(&mut self) -> u64 {
        std::mem::take(&mut self.displaced)
    }

    /// Messages that wait, and the memory of their chunks.
    pub fn held(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }
}

/// How much memory more `len` bytes take: half as much again as there is, so that a message is not copied for each
/// chunk, and no more than that, since it counts.
fn growth(bytes: &Vec<u8>, len: usize) -> usize {
    let need = (bytes.len() + len).saturating_sub(bytes.capacity());
    if need == 0 { 0 } else { need.max(bytes.capacity() / 2) }
}

#[cfg(test)]
mod tests;
