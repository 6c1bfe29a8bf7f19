//! From entries to records: the fields every Docker input gives, in their order, then what the plugin protocol adds.
//!
//! ```text
//! log  source  container_id  container_name  image_name  labels and variables asked for
//! of a piece also: partial_message=true  partial_id  partial_ordinal  partial_last     as the fluentd driver has them
//! ```
//!
//! Line, output and piece id are spans of the FIFO's bytes. What is the same for every record of a container is written
//! once per batch, so nothing is allocated per record.

use bytes::Bytes;

use super::container::Container;
use super::frames::{Frames, Next};
use crate::base::limits;
use crate::input::batcher::Batcher;
use crate::record::{Field, Span, Timestamp, number};
use crate::wire::log_entry::{LENGTH_BYTES, LogEntry};

/// Records of one commit. A batch that is full stores itself, and what was taken must be one commit with its position.
const RECORDS: usize = limits::GROUP_RECORDS;

/// What was made of a look into the FIFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes done with: entries, and gaps between them.
    pub bytes: usize,
    pub entries: usize,
    /// Bytes that are no entry.
    pub skipped: usize,
}

/// Makes records of one container's entries.
#[derive(Default)]
pub struct Records {
    /// Fields of every record of the batch in hand.
    constant: Vec<Field>,
}

impl Records {
    /// Turns the whole entries at the beginning of `seen` into records of an empty batch, at most as many as one commit
    /// takes. Each entry is also put into `copy`, between its length and its length, as the `local` driver keeps it.
    pub fn read(
        &mut self,
        container: &Container,
        seen: Bytes,
        max_entry: usize,
        batcher: &mut Batcher,
        mut copy: Option<&mut Vec<u8>>,
    ) -> Taken {
        batcher.open(seen.clone());
        let mut frames = Frames::new(&seen, max_entry);
        let mut taken = Taken::default();
        while taken.entries < RECORDS {
            match frames.step() {
                Next::Entry(range, entry) => {
                    self.record(container, &seen, &entry, taken.entries == 0, batcher);
                    if let (Some(copy), Some(message)) = (copy.as_deref_mut(), seen.get(range)) {
                        let length = (message.len() as u32).to_be_bytes();
                        copy.reserve(message.len() + 2 * LENGTH_BYTES);
                        copy.extend_from_slice(&length);
                        copy.extend_from_slice(message);
                        copy.extend_from_slice(&length);
                    }
                    taken.entries += 1;
                }
                Next::Skipped(bytes) => taken.skipped += bytes,
                Next::More => break,
            }
        }
        taken.bytes = frames.at();
        taken
    }

    fn record(
        &mut self,
        container: &Container,
        seen: &[u8],
        entry: &LogEntry<'_>,
        is_first: bool,
        batcher: &mut Batcher,
    ) {
        batcher.begin(container.tag.as_bytes(), time(entry.time_nano));
        if is_first {
            self.constant(container, batcher);
        }
        batcher.push("log", span(seen, entry.line));
        batcher.push("source", span(seen, entry.source));
        for field in &self.constant {
            batcher.batch.push(field.key, field.value);
        }
        if !entry.partial {
            return;
        }
        batcher.push_text("partial_message", b"true");
        if !entry.id.is_empty() {
            batcher.push("partial_id", span(seen, entry.id));
            let ordinal = batcher.batch.make(|arena| number::append_i64(arena, i64::from(entry.ordinal)));
            batcher.push("partial_ordinal", ordinal);
            batcher.push_text("partial_last", if entry.last { b"true" } else { b"false" });
        }
    }

    fn constant(&mut self, container: &Container, batcher: &mut Batcher) {
        self.constant.clear();
        let own = [
            ("container_id", container.id.as_str()),
            ("container_name", container.name.as_str()),
            ("image_name", container.image.as_str()),
        ];
        let asked = container.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.into_iter().chain(asked) {
            let key = batcher.batch.keep(name.as_bytes());
            let value = batcher.batch.keep(value.as_bytes());
            self.constant.push(Field { key, value });
        }
    }
}

/// Where `part`, which was cut from `whole`, lies in it.
fn span(whole: &[u8], part: &[u8]) -> Span {
    if part.is_empty() {
        return Span::EMPTY;
    }
    Span::frame((part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize), part.len())
}

fn time(nanoseconds: i64) -> Timestamp {
    let (seconds, nanos) = (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
    Timestamp { seconds, nanos: nanos as u32 }
}
