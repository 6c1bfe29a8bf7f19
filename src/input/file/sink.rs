//! Writes a file's lines as records:
//!
//! ```text
//! lines        <key> (default log)                 offset, where it is asked for
//! containers   <key>  source (stdout or stderr)    offset
//! ```
//!
//! What is the same for all records is laid into a batch once and named again by each record.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::Shared;
use super::kubernetes::FilePod;
use super::tags;
use crate::base::host;
use crate::input::batcher::Batcher;
use crate::input::follow::marks::{Marker, Marks};
use crate::input::follow::pieces::Line;
use crate::input::follow::stream::Stream;
use crate::pipeline::stream::Origin;
use crate::record::{Batch, Span, Timestamp};

pub(super) struct Sink {
    pub(super) batcher: Batcher,
    tag: Vec<u8>,
    key: String,
    offset_key: Option<String>,
    names: Names,
    /// Where the names end in the arena.
    pub(super) laid_out: usize,
    marker: Marker,
}

fn batcher(shared: &Shared, tags: Arc<[(String, String)]>) -> Batcher {
    let mut origin = Origin::new(shared.name.clone(), host::name());
    origin.tags = tags;
    Batcher::new(shared.intake.clone(), origin, None).with_steps(shared.steps.clone())
}

/// With what the path tells beside; a constant tag of the same name wins.
fn tags_of(shared: &Shared, path: &Path, mut told: Vec<(String, String)>) -> Arc<[(String, String)]> {
    told.extend(shared.path_topic.as_ref().map(|topic| topic.of(path).tags).unwrap_or_default());
    tags::of(path, told, &shared.plan.tags)
}

/// Spans of the batch in hand.
#[derive(Default)]
struct Names {
    text: Span,
    offset: Span,
    source: Span,
    streams: [Span; 2],
}

impl Sink {
    /// Of the file at this path, and its Pod.
    pub(super) fn new(shared: &Shared, path: &Path, pod: Option<&FilePod>) -> Sink {
        let plan = &shared.plan;
        let told = shared.path_topic.as_ref().map(|topic| topic.of(path));
        let tags = tags_of(shared, path, pod.map(FilePod::tags).unwrap_or_default());
        let batcher = batcher(shared, tags);
        let tag = match (told, &plan.tag) {
            (Some(told), _) => told.topic,
            (None, Some(tag)) => tag.clone(),
            (None, None) => format!("file.{}", shared.name),
        };
        Sink {
            batcher,
            tag: tag.into_bytes(),
            key: plan.key.clone(),
            offset_key: plan.offset_key.clone(),
            names: Names::default(),
            laid_out: 0,
            marker: Marker::default(),
        }
    }

    /// Begins another stream, with what is known of the Pod now. False, and nothing is done, while records are in hand, which
    /// belong to the stream before.
    pub(super) fn retag(&mut self, shared: &Shared, path: &Path, pod: &FilePod) -> bool {
        let is_free = self.batcher.waiting() == 0;
        if is_free {
            self.batcher = batcher(shared, tags_of(shared, path, pod.tags()));
        }
        is_free
    }

    pub(super) fn tag(&self) -> &[u8] {
        &self.tag
    }

    pub(super) fn batch(&mut self) -> &mut Batch {
        &mut self.batcher.batch
    }

    fn lay_out(&mut self) {
        let batch = &mut self.batcher.batch;
        batch.tag = batch.keep(&self.tag);
        self.names = Names {
            text: batch.keep(self.key.as_bytes()),
            offset: batch.keep(self.offset_key.as_deref().unwrap_or_default().as_bytes()),
            source: batch.keep(b"source"),
            streams: [batch.keep(b"stdout"), batch.keep(b"stderr")],
        };
        self.laid_out = batch.arena.len();
    }

    /// Writes a record. `text` is a span of the batch in hand, `offset` the place of its first byte in the file.
    pub(super) fn record(
        &mut self,
        text: Span,
        offset: u64,
        stream: Option<Stream>,
        time: Timestamp,
        marks: Marks,
    ) {
        if self.batcher.batch.is_empty() {
            self.lay_out();
        }
        let batch = &mut self.batcher.batch;
        batch.begin(time);
        batch.push(self.names.text, text);
        if let Some(stream) = stream {
            batch.push(self.names.source, self.names.streams[stream as usize]);
        }
        if self.offset_key.is_some() {
            let digits = batch.make(|arena| {
                // A vector takes whatever is written.
                let _ = write!(arena, "{offset}");
            });
            batch.push(self.names.offset, digits);
        }
        self.marker.mark(batch, marks, &self.key);
    }

    /// Writes a line of several pieces, the first of which begins at `offset`.
    pub(super) fn line(&mut self, line: &Line, offset: u64, stream: Stream) {
        let text = self.batcher.batch.keep(&line.text);
        self.record(text, offset, Some(stream), line.time, Marks::of(line));
    }
}
