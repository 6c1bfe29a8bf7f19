//! The journal against a simple model, over a disk that forgets, with generated operations.
//!
//! After every crash: what was stored and not settled is there with its bytes, in order; sealed groups are whole;
//! commits are there or not, never in part; settles that must have reached the disk hold; and nothing turns up that
//! was never submitted. One queue lives in memory: it takes part in everything and is empty afterwards.
//!
//! Damage, bits flipped in bytes that were synced, has a weaker promise: what was stored in other segments is there,
//! and everything that is there is what was submitted, bit for bit.

use super::fake::Disk;
use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod damage;
mod op;
use op::{Op, op};

const NAMES: [&str; 4] = ["first", "second", "third", "memory"];
/// The one that forgets.
const MEMORY: usize = 3;

fn options(at: usize) -> QueueOptions {
    let storage = if at == MEMORY { Storage::Memory } else { Storage::Disk };
    QueueOptions { max_bytes: u64::MAX, on_full: OnFull::Block, storage }
}

#[derive(Clone, Debug)]
struct Known {
    stream: u64,
    payload: Bytes,
    receipt: Receipt,
    /// Number of the last commit when it was settled.
    settled: Option<u64>,
    /// The commit that settles it, and the entry that commit appends.
    joined: Option<(Receipt, (usize, u64))>,
}

#[derive(Clone)]
struct KnownSeal {
    seal: Seal,
    at: usize,
    members: Vec<u64>,
    receipt: Receipt,
    settled: bool,
}

struct Model {
    disk: Disk,
    journal: Journal,
    queues: Vec<QueueId>,
    entries: BTreeMap<(usize, u64), Known>,
    commits: Vec<(Receipt, Vec<(usize, u64)>)>,
    leased: Vec<BTreeSet<u64>>,
    seals: Vec<KnownSeal>,
    /// All payloads there were.
    ever: BTreeSet<Bytes>,
    submitted: u64,
    made: u64,
    sequence: u64,
    /// The disk was full once: then the journal may believe that delivered entries are lost.
    was_full: bool,
}

fn open(disk: &Disk) -> (Journal, Vec<QueueId>) {
    let small = Options { segment_bytes: 4096, fresh_bytes: 8000, ..Options::new("/fake") };
    let journal = Journal::open_by_hand(small, Arc::new(disk.clone())).unwrap();
    let queues = NAMES.iter().enumerate().map(|(at, name)| journal.queue(name, options(at))).collect();
    (journal, queues)
}

impl Model {
    fn new() -> Self {
        let disk = Disk::default();
        let (journal, queues) = open(&disk);
        Model {
            disk,
            journal,
            queues,
            entries: BTreeMap::new(),
            commits: Vec::new(),
            leased: vec![BTreeSet::new(); NAMES.len()],
            seals: Vec::new(),
            ever: BTreeSet::new(),
            submitted: 0,
            made: 0,
            sequence: 0,
            was_full: false,
        }
    }

    fn append(&mut self, at: usize, stream: u64, size: usize) -> Append {
        self.made += 1;
        let mut payload = self.made.to_le_bytes().to_vec();
        payload.extend((0..size).map(|byte| (byte as u64 * 31 + self.made) as u8));
        let payload = Bytes::from(payload);
        self.ever.insert(payload.clone());
        Append {
            queue: self.queues[at],
            stream,
            records: 1,
            mark: Bytes::copy_from_slice(&self.made.to_le_bytes()),
            trailer: Bytes::copy_from_slice(&stream.to_le_bytes()),
            payload,
        }
    }

    fn submit(&mut self, commit: Commit) -> (Receipt, Vec<(usize, u64)>) {
        let appends = commit.appends.clone();
        let submitted = self.journal.submit(commit);
        self.submitted = self.submitted.max(submitted.receipt.number());
        let at = |id: &QueueId| self.queues.iter().position(|queue| queue == id).unwrap();
        let keys: Vec<_> = submitted.entries.iter().map(|(queue, index)| (at(queue), *index)).collect();
        for (key, append) in keys.iter().zip(appends) {
            let (stream, payload) = (append.stream, append.payload.clone());
            let receipt = submitted.receipt.clone();
            let known = Known { stream, payload, receipt, settled: None, joined: None };
            assert!(self.entries.insert(*key, known).is_none(), "{key:?} was given twice");
        }
        self.commits.push((submitted.receipt.clone(), keys.clone()));
        (submitted.receipt, keys)
    }

    fn settle(&mut self, at: usize, index: u64) {
        self.journal.settle(self.queues[at], [index]);
        self.entries.get_mut(&(at, index)).unwrap().settled = Some(self.submitted);
        self.leased[at].remove(&index);
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Submit(appends) => {
                let mut commit = Commit::new();
                for (at, stream, size) in appends {
                    commit.append(self.append(at, stream, size));
                }
                self.submit(commit);
            }
            Op::Join(at, size) => {
                let sealed: BTreeSet<u64> = self.sealed(at);
                let piece = self.entries.iter().find(|((queue, index), known)| {
                    *queue == at
                        && known.settled.is_none()
                        && known.joined.is_none()
                        && !sealed.contains(index)
                        && !self.leased[at].contains(index)
                });
                let Some((&(_, index), _)) = piece else { return };
                let mut commit = Commit::new();
                commit.append(self.append(at, 9, size));
                commit.settle(self.queues[at], index);
                let (receipt, keys) = self.submit(commit);
                self.entries.get_mut(&(at, index)).unwrap().joined = Some((receipt, keys[0]));
            }
            Op::Step(idle) => {
                self.journal.step(idle);
            }
            Op::Lease(at, bytes) => {
                for entry in self.journal.lease(self.queues[at], bytes) {
                    let known = &self.entries[&(at, entry.index)];
                    assert!(at == MEMORY || known.receipt.is_stored(), "leased before it was stored");
                    assert!(known.settled.is_none() && known.joined.is_none(), "leased after it was settled");
                    assert_eq!(self.journal.read(&entry).unwrap(), known.payload);
                    assert!(self.leased[at].insert(entry.index), "leased twice");
                }
            }
            Op::Settle(at, nth) => {
                let Some(&index) = self.leased[at].iter().nth(nth) else { return };
                self.settle(at, index);
            }
            Op::Unlease(at) => {
                let leased = std::mem::take(&mut self.leased[at]);
                self.journal.unlease(self.queues[at], leased);
            }
            Op::Seal(at) => {
                let Some(&first) = self.leased[at].first() else { return };
                let stream = self.entries[&(at, first)].stream;
                // The leased run of the stream: up to the first live entry of it that is not leased.
                let mut members = Vec::new();
                for ((queue, index), known) in self.entries.range((at, first)..) {
                    if *queue != at
                        || known.stream == stream
                            && known.settled.is_none()
                            && !self.leased[at].contains(index)
                    {
                        break;
                    }
                    if known.stream == stream && known.settled.is_none() {
                        members.push(*index);
                    }
                }
                let Some(&last) = members.last() else { return };
                self.sequence += 1;
                let seal = Seal { queue: self.queues[at], stream, sequence: self.sequence, first, last };
                let mut commit = Commit::new();
                commit.seal(seal);
                let (receipt, _) = self.submit(commit);
                members.iter().for_each(|index| {
                    self.leased[at].remove(index);
                });
                self.seals.push(KnownSeal { seal, at, members, receipt, settled: false });
            }
            Op::SettleSeal(at) => {
                let submitted = self.submitted;
                let Some(known) = self.seals.iter_mut().find(|seal| !seal.settled && seal.at == at) else {
                    return;
                };
                known.settled = true;
                self.journal.settle_seal(&known.seal);
                for index in &known.members {
                    self.entries.get_mut(&(at, *index)).unwrap().settled = Some(submitted);
                }
            }
            Op::SettleParts(at, rest) => {
                let Some(open) = self.seals.iter().find(|seal| !seal.settled && seal.at == at) else {
                    return;
                };
                let members = open.members.clone();
                for index in members.iter().take(members.len().saturating_sub(rest)) {
                    self.journal.settle(self.queues[at], [*index]);
                    let others = self.live(at);
                    let whole = members.iter().filter(|member| others.contains(member)).count();
                    assert!(whole == 0 || whole == members.len(), "a group in parts");
                }
                if rest == 0 {
                    let submitted = self.submitted;
                    members.iter().for_each(|index| {
                        self.entries.get_mut(&(at, *index)).unwrap().settled = Some(submitted);
                    });
                    let open = self.seals.iter_mut().find(|seal| !seal.settled && seal.at == at);
                    open.unwrap().settled = true;
                }
            }
            Op::Evict(at, bytes) => {
                let before = self.live(at);
                self.journal.shared().lock().evict(self.queues[at], bytes);
                let after = self.live(at);
                for index in before.difference(&after) {
                    assert!(!self.leased[at].contains(index), "evicted while leased");
                    self.entries.get_mut(&(at, *index)).unwrap().settled = Some(self.submitted);
                }
            }
            Op::FailSync(count) => self.disk.faults(|faults| faults.failing_syncs = count),
            Op::Full(room) => {
                self.was_full = true;
                let used: usize = self.disk.names().iter().map(|name| self.disk.content(name).len()).sum();
                self.disk.faults(|faults| faults.capacity = room.map(|room| used + room));
            }
            Op::Short(on) => self.disk.faults(|faults| faults.short_writes = on),
            Op::Crash(seed) => self.crash(seed),
            Op::Damage(seed) => self.damage(seed),
        }
    }

    fn live(&self, at: usize) -> BTreeSet<u64> {
        let state = self.journal.shared().lock();
        state.queues[self.queues[at].0 as usize].slots.keys().copied().collect()
    }

    fn sealed(&self, at: usize) -> BTreeSet<u64> {
        let open = self.seals.iter().filter(|seal| seal.at == at && !seal.settled);
        open.flat_map(|seal| seal.members.iter().copied()).collect()
    }

    fn crash(&mut self, seed: u64) {
        self.disk = self.disk.crash(seed);
        let (journal, queues) = open(&self.disk);
        assert!(self.was_full || journal.stats().lost_entries == 0, "{:?}", journal.stats());
        let newest = self.commits.iter().filter(|(receipt, _)| receipt.is_stored());
        let newest = newest.map(|(receipt, _)| receipt.number()).max().unwrap_or(0);
        let mut found: BTreeMap<(usize, u64), Entry> = BTreeMap::new();
        let mut seals = Vec::new();
        assert!(journal.lease(queues[MEMORY], 1).is_empty(), "a memory queue has a memory");
        for (at, queue) in queues.iter().enumerate() {
            for (seal, entries) in journal.sealed(*queue) {
                seals.push((seal, at, entries.iter().map(|entry| entry.index).collect::<Vec<_>>()));
                found.extend(entries.into_iter().map(|entry| ((at, entry.index), entry)));
            }
            let free = journal.lease(*queue, usize::MAX);
            assert!(free.windows(2).all(|pair| pair[0].index < pair[1].index), "out of order");
            for entry in free {
                assert!(found.insert((at, entry.index), entry).is_none(), "sealed and free at once");
            }
        }
        for (key, entry) in &found {
            let known = self.entries.get(key).unwrap_or_else(|| panic!("{key:?} was never submitted"));
            assert_eq!(journal.read(entry).unwrap(), known.payload, "{key:?}");
            assert_eq!(entry.stream, known.stream);
            assert_eq!(entry.trailer, known.stream.to_le_bytes()[..]);
            assert_eq!(entry.mark, known.payload[..8]);
            let durable = known.settled.is_some_and(|at| newest > at);
            assert!(!durable, "{key:?} is back though its settling was durable");
            if let Some((receipt, _)) = &known.joined {
                assert!(!receipt.is_stored(), "{key:?} is back though it was joined");
            }
        }
        for (key, known) in &self.entries {
            let gone = !found.contains_key(key);
            match &known.joined {
                _ if key.0 == MEMORY => {}
                _ if known.settled.is_some() => {}
                None => assert!(!(known.receipt.is_stored() && gone), "{key:?} was stored and is lost"),
                Some((_, whole)) => {
                    let whole_there = found.contains_key(whole) || self.entries[whole].settled.is_some();
                    let joined_on = self.entries[whole].joined.is_some();
                    let lost = known.receipt.is_stored() && gone && !whole_there && !joined_on;
                    assert!(!lost, "{key:?} went without {whole:?} that holds it");
                }
            }
        }
        for (receipt, keys) in &self.commits {
            let plain = keys.iter().filter(|key| {
                key.0 != MEMORY
                    && self
                        .entries
                        .get(key)
                        .is_some_and(|known| known.settled.is_none() && known.joined.is_none())
            });
            let there: BTreeSet<bool> = plain.map(|key| found.contains_key(key)).collect();
            assert!(there.len() < 2, "half of commit {} is there", receipt.number());
        }
        for known in self.seals.iter().filter(|known| known.at != MEMORY) {
            let there = known.members.iter().filter(|index| found.contains_key(&(known.at, **index))).count();
            assert!(
                self.was_full || there == 0 || there == known.members.len(),
                "a group in parts: {:?}",
                known.seal
            );
            if known.receipt.is_stored() && !known.settled {
                let same = |(seal, at, members): &(Seal, usize, Vec<u64>)| {
                    (seal.first, seal.last, seal.stream, seal.sequence)
                        == (known.seal.first, known.seal.last, known.seal.stream, known.seal.sequence)
                        && *at == known.at
                        && *members == known.members
                };
                assert!(seals.iter().any(same), "{:?} is lost or changed; found {seals:?}", known.seal);
            }
        }
        // From here what was found is what there is. Its receipts belong to the old process and are done with.
        let done = journal.submit(Commit::new()).receipt;
        let old = std::mem::take(&mut self.entries);
        self.entries = old.into_iter().filter(|(key, _)| found.contains_key(key)).collect();
        for known in self.entries.values_mut() {
            (known.receipt, known.settled, known.joined) = (done.clone(), None, None);
        }
        self.commits.clear();
        self.seals = seals
            .into_iter()
            .map(|(seal, at, members)| KnownSeal { seal, at, members, receipt: done.clone(), settled: false })
            .collect();
        self.leased = vec![BTreeSet::new(); NAMES.len()];
        for (at, index) in found.keys() {
            if !self.sealed(*at).contains(index) {
                self.leased[*at].insert(*index);
            }
        }
        (self.journal, self.queues, self.submitted) = (journal, queues, 0);
    }

    /// With the faults gone everything can be stored, delivered and cleaned up.
    fn end(mut self) {
        self.disk.faults(|faults| *faults = Default::default());
        for _ in 0..200 {
            self.journal.step(true);
        }
        assert_eq!(self.journal.stats().stalled, None);
        assert!(self.commits.iter().all(|(receipt, _)| receipt.is_stored()), "a receipt never resolved");
        let live: Vec<_> = self.entries.keys().copied().collect();
        for (at, index) in live {
            self.settle(at, index);
        }
        for _ in 0..5 {
            self.journal.step(true);
        }
        let stats = self.journal.stats();
        assert_eq!((stats.live_bytes, stats.fresh_bytes), (0, 0));
        assert!(stats.segments <= 1, "{stats:?}");
        assert!(stats.queues.iter().all(|queue| queue.live_bytes == 0 && queue.entries == 0), "{stats:?}");
        let segments = self.disk.names().into_iter().filter(|name| name.ends_with(".segment"));
        assert_eq!(segments.count(), 1);
        assert_eq!(stats.damaged_bytes, 0, "{stats:?}");
    }
}

fn run(ops: Vec<Op>) {
    let mut model = Model::new();
    ops.into_iter().for_each(|op| model.apply(op));
    model.end();
}

/// The same operations every time, so that the suite fails for a reason or not at all; with `PROPTEST_CASES` as many
/// as it says, and new ones.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok());
    let rng_seed = if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    let cases = asked.unwrap_or(800);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_what_was_stored_is_there(ops in prop::collection::vec(op(), 1..90)) {
        run(ops);
    }
}

/// The model is worth nothing if it does not notice a journal that forgets to sync.
#[test]
fn a_disk_that_only_claims_to_sync_is_noticed() {
    let noticed = (0..20).any(|seed| {
        std::panic::catch_unwind(|| {
            let mut model = Model::new();
            model.disk.faults(|faults| faults.lying_syncs = true);
            model.apply(Op::Submit(vec![(0, 1, 100), (1, 2, 5000)]));
            model.apply(Op::Step(false));
            model.apply(Op::Crash(seed));
        })
        .is_err()
    });
    assert!(noticed);
}
