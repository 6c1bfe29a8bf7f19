//! Coalescing: entries of one stream are laid end to end until they make a LogGroup worth sending.
//!
//! A group closes at the batch size, at the record limit, at its age, or when its stream's topic or tags change. Only
//! entries of one stream share a group, because a group has one pack id. A packed entry is large by itself and makes a
//! group alone, behind what was open before it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

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
            opened: now,
        }
    }

    pub fn push(&mut self, entry: Entry) {
        self.bytes += entry.bytes as usize;
        self.records += entry.records as usize;
        self.entries.push(entry);
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

    /// Closes every group that is old enough; all of them when `everything`.
    pub fn due(&mut self, now: Instant, everything: bool, closed: &mut impl Extend<Group>) {
        let age = self.batch_age;
        let mut due: Vec<(Instant, u64)> = self
            .open
            .iter()
            .filter(|(_, group)| everything || now.duration_since(group.opened) >= age)
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
