//! Opening a segment: its header and the snapshot that makes every older segment dispensable.
//!
//! The snapshot says which entries of which queues are live, which seals are open, and how far each older segment is
//! good. It is taken between two batches, when everything written before it is either durable or given up, and it is
//! synced, file and name, before the segment takes its first commit.

use super::batch::Batch;
use super::files::write_all;
use super::frame::{Identity, SealOp};
use super::ranges::Ranges;
use super::state::{Segment, State};
use super::writer::{Failure, Head, Writer};

impl Writer {
    /// Leaves the current segment, whatever its state, for a fresh one.
    pub(super) fn open_segment(&mut self) -> Result<(), Failure> {
        self.head = None;
        self.copying = None;
        let mut salt = [0; 4];
        // Without entropy the number alone keeps segments apart.
        let _ = getrandom::fill(&mut salt);
        let identity = Identity {
            segment: self.next_segment,
            generation: self.shared.generation,
            salt: u32::from_le_bytes(salt),
        };
        // A number is never used twice, even if this attempt fails and its file cannot be removed.
        self.next_segment += 1;
        let name = identity.name();
        let files = self.shared.files.clone();
        let failure = |what| move |error| Failure { what, error };
        let file = files.create(&name).map_err(failure("make a segment"))?;
        self.batch.clear();
        self.batch.header(&identity);
        self.batch.begin(self.next_frame, self.next_frame - 1);
        let named = encode(&mut self.batch, &mut self.shared.lock());
        self.batch.end(identity.seed());
        let written = write_all(&*file, &mut self.batch.slices())
            .map_err(failure("write a segment"))
            .and_then(|()| file.sync().map_err(failure("sync a segment")))
            .and_then(|()| files.sync_dir().map_err(failure("sync the directory")));
        if let Err(failure) = written {
            // It holds nothing that anybody was promised, and its space may be what is missing.
            let _ = files.remove(&name);
            return Err(failure);
        }
        let len = self.batch.bytes();
        self.durable_frame = self.next_frame;
        self.next_frame += 1;
        let mut state = self.shared.lock();
        let segment = Segment {
            name,
            good: len,
            written: len,
            live: 0,
            live_bytes: 0,
            broken: 0,
            damaged: false,
            stuck: false,
        };
        state.segments.insert(identity.segment, segment);
        self.head = Some(Head { identity, file, len, named, dirty: false });
        self.newest = identity.segment;
        Ok(())
    }
}

/// Lays the snapshot down and says how many queues it names. Settles that were not written yet are part of it.
fn encode(batch: &mut Batch, state: &mut State) -> usize {
    batch.snapshot();
    for (number, segment) in &state.segments {
        if segment.live > 0 || segment.damaged {
            // What is still to be set aside has to be found damaged again.
            let broken = if segment.damaged { 0 } else { segment.broken };
            batch.segment(*number, segment.good, broken);
        }
    }
    for queue in &mut state.queues {
        queue.lazy = Ranges::default();
        let mut live = Ranges::default();
        for (index, slot) in &queue.slots {
            if slot.place.is_some() {
                live.insert(*index, *index);
            }
        }
        // Numbers of entries that are still on their way count only once they are written.
        let waiting = queue.slots.iter().find(|(_, slot)| slot.place.is_none()).map(|(index, _)| *index);
        batch.queue(queue.id.0, &queue.name);
        batch.live(queue.id.0, waiting.unwrap_or(queue.next), &live);
    }
    for (queue, (first, stream), open) in state.open_seals() {
        let last = open.last;
        let on_disk = queue.slots.get(&first).is_none_or(|slot| slot.place.is_some());
        if on_disk {
            batch.seal(&SealOp {
                queue: queue.id.0,
                stream,
                first,
                last,
                sequence: open.sequence,
                entries: open.entries,
            });
        }
    }
    state.queues.len()
}
