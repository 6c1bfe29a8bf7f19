//! Getting rid of segments: deleting settled ones, setting damaged ones aside, copying forward what a stuck queue
//! still holds in mostly settled ones, and leaving a large head that holds nothing.

use super::frame::AppendOp;
use super::queue::Place;
use super::state::{Segment, State};
use super::writer::{Failure, Writer, take_lazy};
use super::{QueueId, ReadError};
use bytes::Bytes;
use std::collections::VecDeque;

/// Copied with one write: little, since fresh commits wait meanwhile.
const COPY_BYTES: u64 = 1 << 20;

/// A segment whose live entries are being written again.
pub(super) struct Copying {
    segment: u32,
    entries: VecDeque<(QueueId, u64)>,
}

/// An entry on its way to another segment.
struct Moving {
    queue: QueueId,
    index: u64,
    stream: u64,
    records: u32,
    stored_at: u32,
    mark: Bytes,
    trailer: Bytes,
    payload: Option<Bytes>,
    place: Place,
    len: u32,
}

impl Writer {
    /// Says whether there is more to do at once.
    pub(super) fn upkeep(&mut self, idle: bool) -> Result<bool, Failure> {
        self.retire()?;
        let pressed = {
            let mut state = self.shared.lock();
            if state.closing {
                return Ok(false);
            }
            std::mem::take(&mut state.pressed)
        };
        if self.copying.is_none() {
            self.choose(pressed);
        }
        if self.copying.is_some() {
            self.copy()?;
            self.retire()?;
            return Ok(self.copying.is_some());
        }
        let wasteful = {
            let state = self.shared.lock();
            let head = self.head.as_ref().and_then(|head| state.segments.get(&head.identity.segment));
            head.is_some_and(|head| {
                let large = head.written > self.shared.small_head();
                let settled = head.live_bytes < head.written / 2;
                large && (idle && state.live_bytes == 0 || pressed && settled)
            })
        };
        if wasteful {
            self.open_segment()?;
            self.retire()?;
            self.choose(pressed);
        }
        Ok(self.copying.is_some())
    }

    /// Deletes segments without live entries, and sets damaged ones aside.
    ///
    /// The settles that emptied them are made durable before, so that a start never misses entries it has read about.
    /// While the disk is full they go without, since space is what is missing; a crash then may make the next start
    /// report entries as lost that were delivered.
    pub(super) fn retire(&mut self) -> Result<(), Failure> {
        let (gone, lazy) = {
            let mut state = self.shared.lock();
            let old = state.segments.range(..self.newest).filter(|(_, segment)| segment.live == 0);
            let gone: Vec<_> =
                old.map(|(number, segment)| (*number, segment.name.clone(), segment.damaged)).collect();
            if gone.is_empty() {
                return Ok(());
            }
            let lazy = if self.head.is_some() { take_lazy(&mut state.queues) } else { Vec::new() };
            (gone, lazy)
        };
        if let Some(head) = &self.head
            && (head.dirty || !lazy.is_empty())
        {
            self.batch.clear();
            if !lazy.is_empty() {
                self.batch.begin(self.next_frame, self.durable_frame);
                lazy.iter().for_each(|(queue, ranges)| self.batch.settle(*queue, ranges));
                self.batch.end(head.identity.seed());
                self.next_frame += 1;
            }
            self.write(true)?;
        }
        let files = &self.shared.files;
        for (number, name, damaged) in gone {
            let done = if damaged { set_aside(&**files, &name).map(|_| ()) } else { files.remove(&name) };
            match done {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure { what: "remove a settled segment", error });
                }
                _ => {
                    self.shared.lock().segments.remove(&number);
                }
            }
        }
        files.sync_dir().map_err(|error| Failure { what: "sync the directory", error })?;
        if self.shared.lock().blocked > 0 {
            self.shared.room.notify_waiters();
        }
        Ok(())
    }

    /// Looks for a segment worth emptying.
    fn choose(&mut self, pressed: bool) {
        let state = self.shared.lock();
        let disk = state.disk_bytes();
        let wasteful =
            pressed || disk > (2 * self.shared.segment_bytes()).max(state.live_bytes.saturating_mul(2));
        let old =
            state.segments.range(..self.newest).filter(|(_, segment)| segment.live > 0 && !segment.stuck);
        let share = |segment: &Segment| segment.live_bytes.saturating_mul(100) / segment.written.max(1);
        let worst = old.min_by_key(|(_, segment)| (!segment.damaged, share(segment)));
        let Some((&number, segment)) = worst else { return };
        if segment.damaged || wasteful && share(segment) < 50 {
            self.copying = Some(Copying { segment: number, entries: entries_of(&state, number) });
        }
    }

    /// Writes the next live entries of the chosen segment to the head.
    fn copy(&mut self) -> Result<(), Failure> {
        let limit = self.shared.segment_bytes();
        if self.head.as_ref().is_some_and(|head| head.len >= limit) {
            let copying = self.copying.take();
            self.open_segment()?;
            self.copying = copying;
        }
        let (Some(head), Some(copying)) = (&self.head, &mut self.copying) else { return Ok(()) };
        let from = copying.segment;
        let mut moving = Vec::new();
        {
            let state = self.shared.lock();
            let mut bytes = 0;
            while bytes < COPY_BYTES.min(limit) {
                let Some((queue, index)) = copying.entries.pop_front() else { break };
                if let Some(found) = movable(&state, queue, index, from) {
                    bytes += u64::from(found.len);
                    moving.push(found);
                }
            }
        }
        if copying.entries.is_empty() {
            self.copying = None;
        }
        self.batch.clear();
        self.batch.begin(self.next_frame, self.durable_frame);
        let mut moved = Vec::with_capacity(moving.len());
        for entry in moving {
            let payload = match &entry.payload {
                Some(payload) => Ok(payload.clone()),
                None => self.shared.read_at(&entry.place, entry.len),
            };
            let payload = match payload {
                Ok(payload) => payload,
                Err(error) => {
                    self.cannot_copy(from, &error);
                    continue;
                }
            };
            let op = AppendOp {
                queue: entry.queue.0,
                index: entry.index,
                stream: entry.stream,
                records: entry.records,
                stored_at: entry.stored_at.into(),
                mark: &entry.mark,
                trailer: &entry.trailer,
                len: 0,
                crc: 0,
            };
            self.batch.append(&op, payload);
            moved.push((entry.queue, entry.index));
        }
        if moved.is_empty() {
            return Ok(());
        }
        let segment = head.identity.segment;
        self.batch.end(head.identity.seed());
        self.next_frame += 1;
        let start = self.write(true)?;
        let mut state = self.shared.lock();
        for ((queue, index), (offset, crc)) in moved.into_iter().zip(self.batch.placed()) {
            state.moved_to(queue, index, from, Place { segment, offset: start + offset, crc: *crc });
        }
        Ok(())
    }

    /// The entry stays where it is; whoever reads it gets the error.
    fn cannot_copy(&self, from: u32, error: &ReadError) {
        let mut state = self.shared.lock();
        if let Some(segment) = state.segments.get_mut(&from)
            && !segment.stuck
        {
            segment.stuck = true;
            tracing::warn!(journal = %self.shared.place(), segment = %segment.name, %error, "cannot copy an entry forward");
        }
    }
}

/// Renames a damaged file to a name that nobody uses; says which.
pub(super) fn set_aside(files: &dyn super::Files, name: &str) -> std::io::Result<String> {
    let names = files.list()?;
    let mut count = 1;
    let aside = loop {
        let aside = format!("{name}.damaged-{count}");
        if !names.contains(&aside) {
            break aside;
        }
        count += 1;
    };
    files.rename(name, &aside)?;
    Ok(aside)
}

fn entries_of(state: &State, segment: u32) -> VecDeque<(QueueId, u64)> {
    let mut entries = VecDeque::new();
    for queue in &state.queues {
        let here = queue.slots.iter().filter(|(_, slot)| slot.place.is_some_and(|at| at.segment == segment));
        entries.extend(here.map(|(index, _)| (queue.id, *index)));
    }
    entries
}

fn movable(state: &State, id: QueueId, index: u64, from: u32) -> Option<Moving> {
    let slot = state.queue(id)?.slots.get(&index)?;
    let place = slot.place.filter(|place| place.segment == from)?;
    Some(Moving {
        queue: id,
        index,
        stream: slot.stream.number,
        records: slot.records,
        stored_at: slot.stored_at,
        mark: slot.mark(),
        trailer: slot.stream.trailer.clone(),
        payload: slot.payload.as_deref().cloned(),
        place,
        len: slot.len,
    })
}
