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
use crate::base::metrics::Counter;
use crate::input::batcher::Batcher;
use crate::input::follow::pieces::Line;
use crate::input::follow::stream::Stream;
use crate::journal::{Commit, Submitted};
use crate::pipeline::join;
use crate::pipeline::stream::Origin;
use crate::record::{Batch, Span, Timestamp};

/// A batch is handed over at so many records, or so much made text, before the next line: what a line makes still fits
/// well below what a batcher stores by itself.
const RECORDS: usize = 4_000;
const ARENA_BYTES: usize = 256 * 1024;

/// What a record is marked with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// The line goes on, or had more: it was longer than allowed.
    pub(super) is_cut: bool,
    /// Pieces are missing.
    pub(super) is_partial: bool,
}

pub(super) struct Sink {
    pub(super) batcher: Batcher,
    tag: Vec<u8>,
    key: String,
    offset_key: Option<String>,
    names: Names,
    /// Where the names end in the arena.
    laid_out: usize,
    /// As the joiner of the other inputs counts them.
    cut: Counter,
    unfinished: Counter,
}

fn batcher(shared: &Shared, tags: Arc<[(String, String)]>) -> Batcher {
    let mut origin = Origin::new(shared.name.clone(), host::name());
    origin.tags = tags;
    Batcher::new(shared.intake.clone(), origin, None).with_steps(shared.steps.clone())
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
        let tags = tags::of(path, pod.map(FilePod::tags).unwrap_or_default(), &plan.tags);
        let batcher = batcher(shared, tags);
        let tag = match &plan.tag {
            Some(tag) => tag.clone(),
            None => format!("file.{}", shared.name),
        };
        Sink {
            batcher,
            tag: tag.into_bytes(),
            key: plan.key.clone(),
            offset_key: plan.offset_key.clone(),
            names: Names::default(),
            laid_out: 0,
            cut: join::cut_lines(),
            unfinished: join::unfinished_lines(),
        }
    }

    /// Begins another stream, with what is known of the Pod now. False, and nothing is done, while records are in hand, which
    /// belong to the stream before.
    pub(super) fn retag(&mut self, shared: &Shared, path: &Path, pod: &FilePod) -> bool {
        let is_free = self.batcher.waiting() == 0;
        if is_free {
            self.batcher = batcher(shared, tags::of(path, pod.tags(), &shared.plan.tags));
        }
        is_free
    }

    pub(super) fn tag(&self) -> &[u8] {
        &self.tag
    }

    pub(super) fn batch(&mut self) -> &mut Batch {
        &mut self.batcher.batch
    }

    /// Whether the batch should be stored before the next line.
    pub(super) fn is_full(&self) -> bool {
        let batch = &self.batcher.batch;
        batch.records.len() >= RECORDS || batch.arena.len() >= ARENA_BYTES
    }

    /// Forgets what was made behind `arena`, save what records to come name.
    pub(super) fn unmake(&mut self, arena: usize) {
        let kept = if self.batcher.batch.is_empty() { 0 } else { self.laid_out };
        self.batcher.batch.arena.truncate(arena.max(kept));
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
        for (mark, name, value, count) in [
            (marks.is_cut, "__cut__", self.key.as_str(), &self.cut),
            (marks.is_partial, "__partial__", "true", &self.unfinished),
        ] {
            if mark {
                count.increment(1);
                let (key, value) = (batch.keep(name.as_bytes()), batch.keep(value.as_bytes()));
                batch.push(key, value);
            }
        }
    }

    /// Writes a line of several pieces, the first of which begins at `offset`.
    pub(super) fn line(&mut self, line: &Line, offset: u64, stream: Stream) {
        let text = self.batcher.batch.keep(&line.text);
        let marks = Marks { is_cut: line.is_cut, is_partial: line.is_partial };
        self.record(text, offset, Some(stream), line.time, marks);
    }

    /// Hands the batch over with its position. The frame stays.
    pub(super) fn store<T>(&mut self, board: impl FnOnce(&mut Commit) -> T) -> Option<(T, Submitted)> {
        self.batcher.store_with(board)
    }
}
