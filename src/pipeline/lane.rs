//! A lane is what one connection, file or timer keeps between batches: its origin, what it learned about tags and
//! streams, and the fragments of the batch in hand. It belongs to one task, so nothing in it is locked.
//!
//! The steady path allocates nothing per record: a record that goes where the last one went is written behind it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Pipeline;
use super::destinations::Destination;
use super::route::Router;
use super::stream::{Identity, Origin, Stream};
use crate::base::limits;
use crate::journal::QueueId;
use crate::record::{Batch, Record};
use crate::wire::loggroup::encode;

/// Caches start over when they hold this many entries; only a flood of made-up tags or containers gets there.
const REMEMBERED: usize = 4_096;

pub struct Lane {
    pub origin: Origin,
    /// Room the last batch needed, by queue.
    pub(super) last_need: Vec<(QueueId, u64)>,
    tags: HashMap<Box<[u8]>, TagRoutes>,
    outlets: Vec<Outlet>,
    by_record: HashMap<Box<[u8]>, usize>,
    open: Vec<Fragment>,
    streams: usize,
    scratch: Vec<u8>,
}

/// What is known about a tag: the routes it can take, and the outlet of those that the tag alone decides.
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

impl Fragment {
    pub fn trailer(&self) -> Bytes {
        self.stream.trailer.clone()
    }
}

impl Lane {
    pub fn new(origin: Origin) -> Self {
        Lane {
            origin,
            last_need: Vec::new(),
            tags: HashMap::new(),
            outlets: Vec::new(),
            by_record: HashMap::new(),
            open: Vec::new(),
            streams: 0,
            scratch: Vec::new(),
        }
    }

    /// Starts over with empty caches when they have grown too large. Only between batches.
    pub(super) fn trim(&mut self) {
        if self.streams + self.tags.len() + self.by_record.len() > REMEMBERED {
            *self = Lane::new(self.origin.clone());
        }
    }

    /// The route of a record and the outlet it leads to.
    pub(super) fn route(&mut self, pipeline: &Pipeline, batch: &Batch, record: &Record) -> (usize, usize) {
        if !self.tags.contains_key(batch.tag()) {
            let candidates =
                pipeline.router.candidates(batch.tag()).into_iter().map(|route| (route, None)).collect();
            self.tags.insert(batch.tag().into(), TagRoutes { candidates });
        }
        let router: &Router = &pipeline.router;
        let Some(tag) = self.tags.get(batch.tag()) else { return (0, 0) };
        let last = tag.candidates.len() - 1;
        let at = tag.candidates[..last]
            .iter()
            .position(|(route, _)| router.route(*route).takes(batch, record))
            .unwrap_or(last);
        let (route, outlet) = tag.candidates[at];
        if let Some(outlet) = outlet {
            return (route, outlet);
        }
        let outlet = self.find_outlet(pipeline, route, batch, record);
        if router.route(route).is_fixed_by_tag()
            && let Some(tag) = self.tags.get_mut(batch.tag())
        {
            tag.candidates[at].1 = Some(outlet);
        }
        (route, outlet)
    }

    fn find_outlet(&mut self, pipeline: &Pipeline, route: usize, batch: &Batch, record: &Record) -> usize {
        let rule = pipeline.router.route(route);
        let mut topic = std::mem::take(&mut self.scratch);
        let logstore = rule.logstore(batch, record, &mut topic);
        topic.clear();
        rule.topic(batch, record, &mut topic);
        // Key: route, logstore, topic; a logstore name holds no NUL.
        let mut key = (route as u32).to_le_bytes().to_vec();
        key.extend_from_slice(logstore.as_deref().unwrap_or_default().as_bytes());
        key.push(0);
        key.extend_from_slice(&topic);
        if let Some(&found) = self.by_record.get(key.as_slice()) {
            self.scratch = topic;
            return found;
        }
        let destination = match &logstore {
            Some(name) => pipeline.destinations.made(rule.destination, name),
            None => pipeline.destinations.default_of(rule.destination),
        };
        let outlet = self.outlets.len();
        self.outlets.push(Outlet { destination, topic: topic.clone(), streams: HashMap::new() });
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
        time: (u32, u32),
    ) {
        let mut contents = 0;
        let mut container: &[u8] = b"";
        for field in batch.fields_of(record) {
            contents += encode::pair_len(field.key.len(), field.value.len());
            if field.key.len() == 12 && batch.bytes(field.key) == b"container_id" {
                container = batch.bytes(field.value);
            }
        }
        let len = encode::log_len(time.0, contents);
        let fragment = self.fragment(identity, outlet, container, len, batch);
        let pairs =
            batch.fields_of(record).iter().map(|field| (batch.bytes(field.key), batch.bytes(field.value)));
        encode::put_log(&mut fragment.payload, time.0, time.1, contents, pairs);
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
        let reusable = |fragment: &Fragment| {
            fragment.outlet == outlet
                && *fragment.container == *container
                && fragment.payload.len() + len <= limits::GROUP_BYTES.max(len)
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
            self.streams += 1;
        }
        let next = self.open.len();
        let mut at = next;
        let mut stream = None;
        if let Some(slot) = slots.streams.get_mut(container) {
            match slot.open {
                Some(open) if self.open[open].payload.len() + len <= limits::GROUP_BYTES.max(len) => {
                    at = open
                }
                _ => {
                    slot.open = Some(next);
                    stream = Some(slot.stream.clone());
                }
            }
        }
        if let Some(stream) = stream {
            // The first fragment of a batch usually takes all of it: text as received plus a little framing.
            let expected = if next == 0 { batch.frame.len() + batch.records.len() * 24 } else { 0 };
            self.open.push(Fragment {
                stream,
                payload: Vec::with_capacity(expected.clamp(len, limits::GROUP_BYTES)),
                records: 0,
                outlet,
                container: container.into(),
            });
        }
        &mut self.open[at]
    }

    /// Hands out what the batch became and forgets it.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Fragment> + '_ {
        for fragment in &self.open {
            if let Some(slot) = self.outlets[fragment.outlet].streams.get_mut(&fragment.container) {
                slot.open = None;
            }
        }
        self.open.drain(..)
    }
}
