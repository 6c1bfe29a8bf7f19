//! Writes a container's lines as records in the one shape that all of Docker's drivers share:
//!
//! ```text
//! log  source  container_id  container_name  image_name  labels and variables asked for  what the driver adds (attrs)
//! ```
//!
//! What is the same for all records is laid into a batch once and named again by each record. An attribute of the driver
//! that is called like one of the five names above keeps them as they are, and is called `attrs.<name>`.

use std::sync::Arc;

use super::json_lines::Stream;
use super::metadata::Container;
use crate::input::batcher::Batcher;
use crate::input::follow::marks::{Marker, Marks};
use crate::input::follow::pieces::Line;
use crate::record::json::{ReadLimits, read_object};
use crate::record::{Field, Span, Timestamp};
use crate::wire::log_entry::Attrs as Attributes;

const IDENTITY: [&str; 5] = ["log", "source", "container_id", "container_name", "image_name"];

pub(super) struct Sink {
    pub(super) batcher: Batcher,
    container: Arc<Container>,
    /// Fields of all records, as they lie in the batch in hand.
    common: Vec<Field>,
    /// Where they end in its arena.
    pub(super) laid_out: usize,
    names: Names,
    attrs: Attrs,
    marker: Marker,
}

/// Spans of the batch in hand.
#[derive(Default)]
struct Names {
    log: Span,
    source: Span,
    streams: [Span; 2],
}

/// The driver's attributes, which are the same for all lines of a container's run.
#[derive(Default)]
struct Attrs {
    /// As the driver wrote them last.
    raw: Vec<u8>,
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    scratch: Vec<u8>,
}

impl Sink {
    pub(super) fn new(batcher: Batcher, container: Arc<Container>) -> Sink {
        Sink {
            batcher,
            container,
            common: Vec::new(),
            laid_out: 0,
            names: Names::default(),
            attrs: Attrs::default(),
            marker: Marker::default(),
        }
    }

    pub(super) fn container(&self) -> &Arc<Container> {
        &self.container
    }

    /// Changes what is said of the container, from the next batch on; the one in hand must be empty.
    pub(super) fn set_container(&mut self, container: Arc<Container>) {
        self.container = container;
    }

    /// Takes the json-file driver's attributes, an object or nothing.
    pub(super) fn set_attrs_object(&mut self, object: Span) {
        let batch = &mut self.batcher.batch;
        if batch.bytes(object) == self.attrs.raw {
            return;
        }
        self.attrs.raw.clear();
        self.attrs.raw.extend_from_slice(batch.bytes(object));
        let mut pairs = Vec::new();
        if !object.is_empty() {
            // One that cannot be read keeps what could be.
            let _ = read_object(batch, object, &ReadLimits::default(), &mut |batch, key, value| {
                if let Some(value) = value.text(batch) {
                    pairs.push((batch.bytes(key).to_vec(), batch.bytes(value).to_vec()));
                }
            });
        }
        self.change_attrs(pairs);
    }

    /// Takes the local driver's attributes.
    pub(super) fn set_attrs(&mut self, attrs: &Attributes<'_>) {
        let mut raw = std::mem::take(&mut self.attrs.scratch);
        raw.clear();
        for text in attrs.iter().flat_map(|(key, value)| [key, value]) {
            raw.extend_from_slice(&(text.len() as u32).to_le_bytes());
            raw.extend_from_slice(text);
        }
        if raw != self.attrs.raw {
            self.attrs.raw.clone_from(&raw);
            self.change_attrs(attrs.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect());
        }
        self.attrs.scratch = raw;
    }

    fn change_attrs(&mut self, mut pairs: Vec<(Vec<u8>, Vec<u8>)>) {
        pairs.retain(|(key, _)| self.container.extra.iter().all(|(known, _)| known.as_bytes() != key));
        for (key, _) in &mut pairs {
            if IDENTITY.iter().any(|name| name.as_bytes() == key) {
                key.splice(..0, *b"attrs.");
            }
        }
        self.attrs.pairs = pairs;
        if !self.batcher.batch.is_empty() {
            self.lay_out();
        }
    }

    /// Puts what all records share into the batch.
    fn lay_out(&mut self) {
        let batch = &mut self.batcher.batch;
        self.names = Names {
            log: batch.keep(b"log"),
            source: batch.keep(b"source"),
            streams: [batch.keep(b"stdout"), batch.keep(b"stderr")],
        };
        self.common.clear();
        let container = &*self.container;
        let known = [
            ("container_id", &container.id),
            ("container_name", &container.name),
            ("image_name", &container.image_name),
        ];
        let known = known.into_iter().filter(|(_, value)| !value.is_empty());
        let extra = container.extra.iter().map(|(key, value)| (key.as_str(), value));
        let ours = known.chain(extra).map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        let attrs = self.attrs.pairs.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
        for (key, value) in ours.chain(attrs) {
            let (key, value) = (batch.keep(key), batch.keep(value));
            self.common.push(Field { key, value });
        }
        self.laid_out = batch.arena.len();
    }

    /// Writes a record. `text` is a span of the batch in hand.
    pub(super) fn record(&mut self, text: Span, stream: Option<Stream>, time: Timestamp, marks: Marks) {
        if self.batcher.batch.is_empty() {
            self.batcher.batch.tag = self.batcher.batch.keep(&self.container.tag);
            self.lay_out();
        }
        let batch = &mut self.batcher.batch;
        batch.begin(time);
        batch.push(self.names.log, text);
        if let Some(stream) = stream {
            batch.push(self.names.source, self.names.streams[stream as usize]);
        }
        for field in &self.common {
            batch.push(field.key, field.value);
        }
        self.marker.mark(batch, marks, "log");
    }

    /// Adds a field to the record written last.
    pub(super) fn add(&mut self, key: &str, value: &[u8]) {
        let batch = &mut self.batcher.batch;
        let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value));
        batch.push(key, value);
    }

    /// Writes a line of several pieces.
    pub(super) fn line(&mut self, line: &Line, stream: Stream) {
        let text = self.batcher.batch.keep(&line.text);
        self.record(text, Some(stream), line.time, Marks::of(line));
    }
}
