//! A lane is what one connection, file or timer keeps between batches: its origin, what it learned about tags and
//! streams, and the fragments of the batches that go with its next commit. It belongs to one task, so nothing in it is locked.
//!
//! The steady path allocates nothing per record: a record that goes where the last one went is written behind it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::destinations::Destination;
use super::route::Router;
use super::steps::{Scratch, Steps};
use super::stream::{Identity, Origin, Stream};
use super::{Pipeline, encode};
use crate::base::limits;
use crate::base::signal::Signal;
use crate::journal::{QueueId, Receipt};
use crate::record::{Batch, Record};

/// Caches start over when their keys take so many bytes; only a flood of made-up tags or containers gets there.
const REMEMBERED_BYTES: usize = 256 * limits::KIB;
/// What an entry of a cache costs beside its key.
const ENTRY_BYTES: usize = 128;
/// A container's id has 64 digits; of a longer value this much tells streams apart.
const CONTAINER_BYTES: usize = 128;
/// Buffers above this size are given back when the connection rests.
const KEPT_BYTES: usize = 4 * limits::KIB;

pub struct Lane {
    pub origin: Origin,
    /// What its input does with each record.
    steps: Arc<Steps>,
    steps_scratch: Scratch,
    /// Room the batches since the last admission needed, by queue.
    pub(super) last_need: Vec<(QueueId, u64)>,
    /// There was room for as much again.
    pub(super) admitted: bool,
    /// Bytes the last batch became.
    made: u64,
    /// By signal, then by tag.
    tag_index: [HashMap<Box<[u8]>, usize>; Signal::ALL.len()],
    /// Something was stored in a buffer that goes with the process.
    pub(super) passing: bool,
    tags: Vec<TagRoutes>,
    /// The tag of the batch in hand.
    tag: usize,
    outlets: Vec<Outlet>,
    by_record: HashMap<Box<[u8]>, usize>,
    open: Vec<Fragment>,
    pub(super) gathered: Gathered,
    /// Bytes of all keys.
    remembered: usize,
    scratch: Vec<u8>,
    /// A fragment's buffer whose logs were packed, to be used again.
    spare: Vec<u8>,
    block: Vec<u8>,
}

/// What goes with the next commit beside the open fragments.
#[derive(Default)]
pub(super) struct Gathered {
    /// Pieces whose lines are among the records.
    pub(super) settles: Vec<u64>,
    /// Of pieces that were stored on their own.
    pub(super) pieces: Option<Receipt>,
    /// The room these took.
    pub(super) need: Vec<(QueueId, u64)>,
}

/// What is known about a tag with a signal: the routes it can take, and the outlet of those that the tag alone decides.
struct TagRoutes {
    candidates: Vec<(usize, Option<usize>)>,
}

/// A destination with a topic, and its streams by container.
struct Outlet {
    destination: Arc<Destination>,
    topic: Vec<u8>,
    streams: HashMap<Box<[u8]>, StreamSlot>,
}

struct StreamSlot {
    stream: Arc<Stream>,
    open: Option<usize>,
}

/// Encoded logs of one stream, on their way to the journal.
pub struct Fragment {
    pub stream: Arc<Stream>,
    pub payload: Vec<u8>,
    pub records: u32,
    outlet: usize,
    container: Box<[u8]>,
}

/// Equality that compares nothing where there is nothing: glibc's comparison of no bytes, at the address that an empty box
/// has, costs 45 ns on processors with AVX-512.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

impl Fragment {
    pub fn trailer(&self) -> Bytes {
        self.stream.trailer.clone()
    }
}

impl Lane {
    pub fn new(origin: Origin) -> Self {
        Lane {
            origin,
            steps: Arc::default(),
            steps_scratch: Scratch::default(),
            last_need: Vec::new(),
            admitted: false,
            made: 0,
            tag_index: Default::default(),
            passing: false,
            tags: Vec::new(),
            tag: 0,
            outlets: Vec::new(),
            by_record: HashMap::new(),
            open: Vec::new(),
            gathered: Gathered::default(),
            remembered: 0,
            scratch: Vec::new(),
            spare: Vec::new(),
            block: Vec::new(),
        }
    }

    /// With what its input does with each record.
    pub fn with_steps(self, steps: Arc<Steps>) -> Lane {
        Lane { steps, ..self }
    }

    /// Applies the steps of the input; false when the record is dropped.
    pub(super) fn apply_steps(&mut self, batch: &mut Batch, at: usize) -> bool {
        self.steps.apply(batch, at, &mut self.steps_scratch)
    }

    pub(super) fn scratch_of_steps(&mut self) -> &mut Scratch {
        &mut self.steps_scratch
    }

    /// Turns to a batch: looks its tag up once for all records. Caches that have grown too large start over.
    pub(super) fn begin(&mut self, router: &Router, batch: &Batch) {
        if self.is_overgrown() && self.open.is_empty() {
            let last_need = std::mem::take(&mut self.last_need);
            let gathered = std::mem::take(&mut self.gathered);
            let Lane { admitted, passing, .. } = *self;
            let (origin, steps) = (self.origin.clone(), self.steps.clone());
            *self = Lane { last_need, gathered, admitted, passing, steps, ..Lane::new(origin) };
        }
        let index = &mut self.tag_index[batch.signal as usize];
        self.tag = match index.get(batch.tag()) {
            Some(&known) => known,
            None => {
                let candidates = router.candidates(batch.signal, batch.tag());
                let candidates = candidates.into_iter().map(|route| (route, None)).collect();
                self.tags.push(TagRoutes { candidates });
                index.insert(batch.tag().into(), self.tags.len() - 1);
                self.remembered += batch.tag().len() + ENTRY_BYTES;
                self.tags.len() - 1
            }
        };
    }

    /// Whether the caches start over once nothing is open.
    pub fn is_overgrown(&self) -> bool {
        self.remembered > REMEMBERED_BYTES
    }

    /// Whether nothing is known of what this lane brings.
    pub fn is_fresh(&self) -> bool {
        self.last_need.is_empty()
    }

    /// Remembers what a batch needed. Several may be stored before the next look at the buffers, for different ones, and
    /// one that needs nothing says nothing about what is to come.
    pub(super) fn note_need(&mut self, need: &[(QueueId, u64)]) {
        self.made = need.iter().map(|(_, bytes)| bytes).sum();
        if need.is_empty() {
            return;
        }
        if std::mem::take(&mut self.admitted) {
            self.last_need.clear();
        }
        for (queue, bytes) in need {
            match self.last_need.iter_mut().find(|(known, _)| known == queue) {
                Some((_, sum)) => *sum += bytes,
                None => self.last_need.push((*queue, *bytes)),
            }
        }
    }

    /// The route of a record and the outlet it leads to.
    pub(super) fn route(&mut self, pipeline: &Pipeline, batch: &Batch, record: &Record) -> (usize, usize) {
        let router = &pipeline.router;
        let candidates = &self.tags[self.tag].candidates;
        let last = candidates.len() - 1;
        let at = candidates[..last]
            .iter()
            .position(|(route, _)| router.route(*route).takes(batch, record))
            .unwrap_or(last);
        let (route, outlet) = candidates[at];
        if let Some(outlet) = outlet {
            return (route, outlet);
        }
        let outlet = self.find_outlet(pipeline, route, batch, record);
        if router.route(route).is_fixed_by_tag() {
            self.tags[self.tag].candidates[at].1 = Some(outlet);
        }
        (route, outlet)
    }

    fn find_outlet(&mut self, pipeline: &Pipeline, route: usize, batch: &Batch, record: &Record) -> usize {
        let rule = pipeline.router.route(route);
        let mut topic = std::mem::take(&mut self.scratch);
        let wish = self.origin.wish.as_deref();
        let logstore = match wish.and_then(|wish| wish.logstore.clone()) {
            Some(wanted) => Some(wanted),
            None => rule.logstore(batch, record, &mut topic),
        };
        topic.clear();
        match wish.and_then(|wish| wish.topic.as_deref()) {
            Some(wanted) => topic.extend_from_slice(wanted.as_bytes()),
            None => rule.topic(batch, record, &mut topic),
        }
        // Key: route, signal, logstore, topic; a logstore name holds no NUL.
        let mut key = (route as u32).to_le_bytes().to_vec();
        key.push(batch.signal as u8);
        key.extend_from_slice(logstore.as_deref().unwrap_or_default().as_bytes());
        key.push(0);
        key.extend_from_slice(&topic);
        if let Some(&found) = self.by_record.get(key.as_slice()) {
            self.scratch = topic;
            return found;
        }
        let destination = match &logstore {
            Some(name) => pipeline.destinations.made(rule.destination, name, batch.signal),
            None => pipeline.destinations.default_of(rule.destination, batch.signal),
        };
        let outlet = self.outlets.len();
        if outlet == 0 {
            // Most lanes have one.
            self.outlets.reserve_exact(1);
        }
        self.outlets.push(Outlet { destination, topic: topic.clone(), streams: HashMap::new() });
        self.remembered += 2 * key.len() + ENTRY_BYTES;
        self.by_record.insert(key.into(), outlet);
        self.scratch = topic;
        outlet
    }

    /// Writes one tidied record behind the others of its stream.
    pub(super) fn write(
        &mut self,
        identity: &Identity,
        batch: &Batch,
        record: &Record,
        outlet: usize,
        (seconds, nanos): (u32, u32),
    ) {
        let measured = encode::measure(batch, record, seconds);
        let container = &measured.container[..measured.container.len().min(CONTAINER_BYTES)];
        let fragment = self.fragment(identity, outlet, container, measured.bytes(), batch);
        encode::write(&mut fragment.payload, batch, record, &measured, nanos);
        fragment.records += 1;
    }

    /// The open fragment of a stream, with room for `len` bytes more.
    fn fragment(
        &mut self,
        identity: &Identity,
        outlet: usize,
        container: &[u8],
        len: usize,
        batch: &Batch,
    ) -> &mut Fragment {
        let room = self.outlets[outlet].destination.plan.batch_bytes;
        let reusable = |fragment: &Fragment| {
            fragment.outlet == outlet
                && is_same(&fragment.container, container)
                && fragment.payload.len() + len <= room.max(len)
        };
        if self.open.last().is_some_and(reusable) {
            let last = self.open.len() - 1;
            return &mut self.open[last];
        }
        let slots = &mut self.outlets[outlet];
        if !slots.streams.contains_key(container) {
            let stream =
                Stream::new(identity, &self.origin, container, &slots.topic, slots.destination.clone());
            slots.streams.insert(container.into(), StreamSlot { stream: Arc::new(stream), open: None });
            self.remembered += container.len() + 2 * ENTRY_BYTES;
        }
        let next = self.open.len();
        let mut at = next;
        let mut stream = None;
        if let Some(slot) = slots.streams.get_mut(container) {
            match slot.open {
                Some(open) if self.open[open].payload.len() + len <= room.max(len) => at = open,
                _ => {
                    slot.open = Some(next);
                    stream = Some(slot.stream.clone());
                }
            }
        }
        if let Some(stream) = stream {
            // The first fragment of a batch usually takes all of it: text as received plus a little framing.
            let mut payload = std::mem::take(&mut self.spare);
            let expected = if next == 0 { batch.frame.len() + batch.records.len() * 24 } else { 0 };
            payload.reserve(expected.min(room).max(len) + encode::SPARE);
            self.open.push(Fragment { stream, payload, records: 0, outlet, container: container.into() });
        }
        &mut self.open[at]
    }

    /// Hands out what the batches became and forgets it.
    pub(super) fn take(&mut self) -> Vec<Fragment> {
        for fragment in &self.open {
            if let Some(slot) = self.outlets[fragment.outlet].streams.get_mut(&fragment.container) {
                slot.open = None;
            }
        }
        std::mem::take(&mut self.open)
    }

    /// Bytes that the batch stored last became: what is in memory until it is on the disk.
    pub fn made(&self) -> usize {
        self.made as usize
    }

    /// Compresses logs into a buffer that is used again.
    pub(super) fn pack(&mut self, logs: &[u8]) -> &[u8] {
        let room = lz4_flex::block::get_maximum_output_size(logs.len());
        if self.block.len() < room {
            self.block.resize(room, 0);
        }
        // There is room for the worst case, so this cannot fail.
        let len = lz4_flex::block::compress_into(logs, &mut self.block).unwrap_or(0);
        &self.block[..len]
    }

    /// Gives large buffers back while nothing comes.
    pub fn rest(&mut self) {
        for buffer in [&mut self.spare, &mut self.block, &mut self.scratch] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }

    /// Takes back a buffer that is not needed any more.
    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.spare = buffer;
    }
}
