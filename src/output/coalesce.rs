//! Coalescing: entries of one stream are laid end to end until they make a LogGroup worth sending.
//!
//! A group closes at the batch size, at the record limit, at its age, or when its stream's topic or tags change. Only
//! entries of one stream share a group, because a group has one pack id. A packed entry is large by itself and makes a
//! group alone, behind what was open before it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::shard_key::Bucket;
use crate::base::limits;
use crate::journal::Entry;
use crate::wire::loggroup::packed;

/// Entries that will be one LogGroup, oldest first.
#[derive(Debug)]
pub struct Group {
    pub stream: u64,
    pub trailer: Bytes,
    pub entries: Vec<Entry>,
    pub bytes: usize,
    pub records: usize,
    /// The sequence of its seal, where an earlier run sealed it.
    pub sealed: Option<u64>,
    /// That of its shard key, once it was asked for.
    pub bucket: Option<Bucket>,
    opened: Instant,
}

impl Group {
    pub fn new(first: Entry, now: Instant) -> Group {
        Group {
            stream: first.stream,
            trailer: first.trailer.clone(),
            bytes: first.bytes as usize,
            records: first.records as usize,
            entries: vec![first],
            sealed: None,
            bucket: None,
            opened: now,
        }
    }

    pub fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes as usize;
        self.records += entry.records as usize;
        self.entries.push(entry);
    }

    /// Whether it is small enough to share a request. One that is packed is not, however well it was.
    pub fn is_small(&self) -> bool {
        let is_packed = |entry: &Entry| packed::raw_len(&entry.mark).is_some();
        self.bytes < limits::LISTED_BYTES && !self.entries.first().is_some_and(is_packed)
    }
}

pub struct Coalescer {
    batch_bytes: usize,
    batch_age: Duration,
    open: HashMap<u64, Group>,
    bytes: usize,
}

impl Coalescer {
    pub fn new(batch_bytes: usize, batch_age: Duration) -> Self {
        Coalescer { batch_bytes, batch_age, open: HashMap::new(), bytes: 0 }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an entry. Groups it closes go to `closed`, in order.
    pub fn add(&mut self, entry: Entry, now: Instant, closed: &mut impl Extend<Group>) {
        let stream = entry.stream;
        if packed::raw_len(&entry.mark).is_some() {
            closed.extend(self.close(stream));
            closed.extend([Group::new(entry, now)]);
            return;
        }
        let does_not_fit = self.open.get(&stream).is_some_and(|group| {
            group.trailer != entry.trailer
                || group.bytes + entry.bytes as usize > self.batch_bytes
                || group.records + entry.records as usize > limits::GROUP_RECORDS
        });
        if does_not_fit {
            closed.extend(self.close(stream));
        }
        self.bytes += entry.bytes as usize;
        let group = match self.open.entry(stream) {
            std::collections::hash_map::Entry::Occupied(open) => {
                let group = open.into_mut();
                group.push(entry);
                group
            }
            std::collections::hash_map::Entry::Vacant(free) => free.insert(Group::new(entry, now)),
        };
        if group.bytes >= self.batch_bytes || group.records >= limits::GROUP_RECORDS {
            closed.extend(self.close(stream));
        }
    }

    fn close(&mut self, stream: u64) -> Option<Group> {
        let group = self.open.remove(&stream)?;
        self.bytes -= group.bytes;
        Some(group)
    }

    /// Closes every group that is old enough. Where they travel together, those half as old go along: a thousand quiet
    /// streams come of age one by one, and would go one by one.
    pub fn due(&mut self, now: Instant, together: bool, closed: &mut impl Extend<Group>) {
        let oldest = self.open.values().map(|group| group.opened).min();
        if oldest.is_some_and(|oldest| now.duration_since(oldest) >= self.batch_age) {
            self.close_older(now, if together { self.batch_age / 2 } else { self.batch_age }, closed);
        }
    }

    /// Closes every group.
    pub fn close_all(&mut self, closed: &mut impl Extend<Group>) {
        self.close_older(Instant::now(), Duration::ZERO, closed);
    }

    fn close_older(&mut self, now: Instant, age: Duration, closed: &mut impl Extend<Group>) {
        let mut due: Vec<(Instant, u64)> = self
            .open
            .iter()
            .filter(|(_, group)| now.duration_since(group.opened) >= age)
            .map(|(stream, group)| (group.opened, *stream))
            .collect();
        due.sort_unstable();
        for (_, stream) in due {
            closed.extend(self.close(stream));
        }
    }

    /// Closes the oldest group, to make room.
    pub fn close_oldest(&mut self, closed: &mut impl Extend<Group>) {
        if let Some(stream) =
            self.open.iter().min_by_key(|(_, group)| group.opened).map(|(stream, _)| *stream)
        {
            closed.extend(self.close(stream));
        }
    }

    /// When the next group will be old enough.
    pub fn next_due(&self) -> Option<Instant> {
        self.open.values().map(|group| group.opened + self.batch_age).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_together_comes_of_age_together() {
        let start = Instant::now();
        let mut coalescer = Coalescer::new(limits::GROUP_BYTES, Duration::from_secs(1));
        for stream in 0..100u64 {
            let opened = start + Duration::from_millis(10 * stream);
            let group = Group {
                stream,
                trailer: Bytes::new(),
                entries: Vec::new(),
                bytes: 1,
                records: 1,
                sealed: None,
                bucket: None,
                opened,
            };
            coalescer.bytes += 1;
            coalescer.open.insert(stream, group);
        }
        let mut closed = Vec::new();
        coalescer.due(start + Duration::from_millis(999), true, &mut closed);
        assert!(closed.is_empty(), "nothing is of age");
        coalescer.due(start + Duration::from_millis(1_000), true, &mut closed);
        assert_eq!(closed.len(), 51, "those of half a second and more");
        assert!(closed.iter().map(|group| group.stream).eq(0..51), "the oldest first");
        coalescer.due(start + Duration::from_millis(1_520), false, &mut closed);
        assert_eq!(closed.len(), 53);
        coalescer.close_all(&mut closed);
        assert_eq!((closed.len(), coalescer.bytes(), coalescer.next_due()), (100, 0, None));
    }
}
