//! What a start finds: reads all segments, oldest first, and says what is live, sealed, torn and damaged.
//!
//! ```text
//!  segment 4: snapshot | frames ... | garbage of a failed write      "good up to here" stands in a later snapshot
//!  segment 6: snapshot | frames ...                                   a snapshot overrides what 4 said is live
//!  segment 7: snapshot | frames ... | torn                            nobody says how far the newest one is good
//! ```
//!
//! * What lies beyond the good length a later snapshot names was given up by its writer and is not looked at; a
//!   segment that the next snapshot does not name is stale and goes.
//! * In the newest segment, what follows the last whole frame is a torn write. So is a broken frame that is followed
//!   by a whole one, unless that one says that the broken one had been synced: then it is damage.
//! * Damage costs the frames it hits and no others: the search for the next whole frame goes on behind it. Of a frame
//!   with a damaged payload the other appends are kept, its settles are not applied.
//! * A damaged segment is set aside by the writer, once its live entries were copied forward.

use super::Seal;
use super::candidate::{Candidate, Extent, look};
use super::files::Files;
use super::frame::{AppendOp, HEADER_BYTES, Op, SealOp, parse_ops};
use super::handle::UNCLAIMED;
use super::queue::{Place, Slot};
use super::ranges::Ranges;
use super::scan::{Frame, Scan};
use super::state::{Segment, State};
use super::upkeep::set_aside;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

/// A queue as far as it is known.
#[derive(Default)]
struct Queue {
    next: u64,
    live: BTreeMap<u64, Stored>,
    seals: BTreeMap<(u64, u64), SealOp>,
    /// Live according to a snapshot, and nowhere to be found.
    missing: Ranges,
    /// The last trailer of each stream, so that its entries share it.
    trailers: HashMap<u64, Bytes>,
}

/// A live entry.
struct Stored {
    stream: u64,
    records: u32,
    stored_at: u64,
    mark: Bytes,
    trailer: Bytes,
    len: u32,
    place: Place,
}

/// Everything a start has to know.
#[derive(Default)]
pub(super) struct Recovered {
    queues: BTreeMap<String, Queue>,
    /// Queue numbers, which hold for one generation. Any sound snapshot of it gives the names of one that is lost.
    names: HashMap<(u64, u32), String>,
    segments: BTreeMap<u32, Segment>,
    /// Whose frames are being read.
    reading: u64,
    pub(super) generation: u64,
    pub(super) next_segment: u32,
    /// Frames seen so far; the next one is numbered above.
    last_frame: u64,
    damaged_bytes: u64,
    damaged_files: u64,
}

struct Walked {
    damaged: bool,
    extent: Extent,
}

/// Reads what the directory holds. Files that claim to be another segment are set aside.
pub(super) fn recover(files: &dyn Files) -> io::Result<Recovered> {
    let mut found = Recovered { next_segment: 1, ..Recovered::default() };
    let mut candidates: BTreeMap<u32, Candidate> = BTreeMap::new();
    let mut names = files.list()?;
    names.retain(|name| name.ends_with(".segment"));
    names.sort();
    for name in names {
        let candidate = look(files, &name)?;
        let taken = candidate.as_ref().is_some_and(|found| candidates.contains_key(&found.identity.segment));
        match candidate {
            Some(candidate) if !taken => {
                found.generation = found.generation.max(candidate.identity.generation);
                found.next_segment = found.next_segment.max(candidate.identity.segment.saturating_add(1));
                let generation = candidate.identity.generation;
                let names = candidate.names.iter();
                found.names.extend(names.map(|(number, name)| ((generation, *number), name.clone())));
                candidates.insert(candidate.identity.segment, candidate);
            }
            _ => {
                let aside = set_aside(files, &name)?;
                found.damaged_files += 1;
                tracing::warn!(journal = %files.place().display(), %name, %aside, "not a segment, or one that is here twice; set aside");
            }
        }
    }
    // From the newest to the oldest: the nearest newer snapshot says whether a segment counts, and how far.
    let mut covers: Option<BTreeMap<u32, Extent>> = None;
    let mut good = BTreeMap::new();
    for (number, candidate) in candidates.iter_mut().rev() {
        let stale = covers.as_ref().is_some_and(|covers| !covers.contains_key(number));
        if !stale {
            good.insert(*number, covers.as_ref().and_then(|covers| covers.get(number)).copied());
            if candidate.covers.is_some() {
                covers = candidate.covers.take();
            }
        }
    }
    for (number, candidate) in candidates {
        let stale = Walked { damaged: false, extent: Extent { good: candidate.size, broken: 0 } };
        let walked = good.get(&number).map_or(stale, |known| found.walk(files, &candidate, *known));
        let segment = Segment {
            name: candidate.name,
            good: walked.extent.good,
            written: candidate.size,
            broken: walked.extent.broken,
            live: 0,
            live_bytes: 0,
            damaged: walked.damaged,
            stuck: false,
        };
        found.damaged_files += u64::from(walked.damaged);
        found.segments.insert(number, segment);
    }
    Ok(found)
}

impl Recovered {
    pub(super) fn next_frame(&self) -> u64 {
        self.last_frame.saturating_add(1)
    }

    /// Reads one segment, up to its good length if a later snapshot knows it.
    fn walk(&mut self, files: &dyn Files, from: &Candidate, known: Option<Extent>) -> Walked {
        let place = files.place().display();
        let limit = known.map_or(from.size, |known| known.good.min(from.size));
        let before = self.last_frame;
        self.reading = from.identity.generation;
        let mut scan = Scan::new(&*from.file, limit, from.identity.seed());
        let number = from.identity.segment;
        // Bytes of broken places, and those of them that had been synced.
        let (mut broken, mut damaged) = (0, 0);
        let mut at = HEADER_BYTES;
        // Where the broken part starts that is being skipped, and the frames in it whose ops are sound.
        let mut hole: Option<u64> = None;
        let mut suspects: Vec<Frame> = Vec::new();
        while at < limit {
            match scan.frame(at) {
                Some(frame) if frame.is_whole() => {
                    if let Some(start) = hole.take() {
                        broken += at - start;
                        if frame.head.durable > self.last_frame {
                            damaged += at - start;
                        }
                        if known.is_some() || frame.head.durable > self.last_frame {
                            // What a torn write left of them is void by the next snapshot.
                            suspects.iter().for_each(|suspect| self.apply(number, suspect));
                        }
                        suspects.clear();
                    }
                    at += frame.head.total();
                    self.apply(number, &frame);
                }
                Some(frame) => {
                    hole.get_or_insert(at);
                    at += frame.head.total();
                    suspects.push(frame);
                }
                None => {
                    hole.get_or_insert(at);
                    match scan.search(at + 1, self.last_frame) {
                        Some(next) => at = next,
                        None => break,
                    }
                }
            }
        }
        let tail = hole.map_or(0, |start| limit - start);
        let empty = self.last_frame == before;
        if let Some(known) = known {
            // All of it was synced, but for what was known to be broken.
            broken += tail + known.good.saturating_sub(from.size);
            damaged = broken.saturating_sub(known.broken);
            suspects.iter().for_each(|suspect| self.apply(number, suspect));
        } else if tail > 0 {
            tracing::info!(journal = %place, segment = %from.name, bytes = tail, "the last write was cut short");
        }
        let unmade = known.is_none_or(|known| known.good <= HEADER_BYTES);
        if !(from.header_sound || unmade && empty) {
            damaged += HEADER_BYTES;
        }
        self.damaged_bytes += damaged;
        // A segment in which nothing was ever whole was being made, or is destroyed: its bytes are kept.
        let destroyed = unmade && empty && !self.is_blank(from);
        let aside = damaged > 0 || destroyed || scan.unreadable;
        if aside {
            tracing::warn!(journal = %place, segment = %from.name, bytes = damaged, "damaged; will be set aside");
        }
        Walked { damaged: aside, extent: Extent { good: limit - tail, broken } }
    }

    fn is_blank(&self, from: &Candidate) -> bool {
        let mut scan = Scan::new(&*from.file, from.size, 0);
        let mut at = if from.header_sound { HEADER_BYTES } else { 0 };
        while at < from.size {
            let count = (from.size - at).min(1 << 20);
            match scan.bytes(at, count as usize) {
                Some(bytes) if bytes.iter().all(|byte| *byte == 0) => at += count,
                _ => return false,
            }
        }
        true
    }

    fn apply(&mut self, segment: u32, frame: &Frame) {
        let Some(ops) = parse_ops(&frame.ops) else { return };
        let whole = frame.is_whole();
        self.last_frame = self.last_frame.max(frame.head.number);
        let mut payloads = frame.payloads.iter();
        let mut listed: Option<BTreeSet<String>> = None;
        for op in ops {
            match op {
                Op::Append(append) => {
                    let Some((offset, sound)) = payloads.next() else { return };
                    if *sound {
                        self.append(&append, Place { segment, offset: *offset, crc: append.crc });
                    }
                }
                Op::Settle { queue, ranges } if whole => self.queue(queue).settle(&ranges),
                Op::Settle { .. } => {}
                Op::Seal(seal) => {
                    self.queue(seal.queue).seals.insert((seal.first, seal.stream), seal);
                }
                Op::Queue { number, name } => {
                    self.names.insert((self.reading, number), name.to_owned());
                }
                Op::Snapshot => {
                    listed = Some(BTreeSet::new());
                    self.queues.values_mut().for_each(|queue| queue.seals.clear());
                }
                Op::Live { queue, next, ranges } => {
                    let name = self.name(queue);
                    let queue = self.queues.entry(name.clone()).or_default();
                    queue.keep(next, ranges);
                    if let Some(listed) = &mut listed {
                        listed.insert(name);
                    }
                }
                Op::Segment { .. } => {}
            }
        }
        if let Some(listed) = listed {
            self.queues.retain(|name, _| listed.contains(name));
        }
    }

    /// The name of a numbered queue, also when the frame that named it is lost.
    fn name(&self, number: u32) -> String {
        let unnamed = || format!("unnamed-{}-{number}", self.reading);
        self.names.get(&(self.reading, number)).cloned().unwrap_or_else(unnamed)
    }

    fn queue(&mut self, number: u32) -> &mut Queue {
        let name = self.name(number);
        self.queues.entry(name).or_default()
    }

    fn append(&mut self, op: &AppendOp<'_>, place: Place) {
        let queue = self.queue(op.queue);
        let trailer = match queue.trailers.get(&op.stream) {
            Some(trailer) if trailer == op.trailer => trailer.clone(),
            _ => {
                let trailer = Bytes::copy_from_slice(op.trailer);
                queue.trailers.insert(op.stream, trailer.clone());
                trailer
            }
        };
        let stored = Stored {
            stream: op.stream,
            records: op.records,
            stored_at: op.stored_at,
            mark: Bytes::copy_from_slice(op.mark),
            trailer,
            len: op.len,
            place,
        };
        queue.next = queue.next.max(op.index.saturating_add(1));
        queue.missing.remove(op.index, op.index);
        queue.live.insert(op.index, stored);
    }

    /// Puts everything live into the state; the segments first, for they are counted.
    pub(super) fn fill(self, state: &mut State) {
        state.segments = self.segments;
        state.damaged_bytes = self.damaged_bytes;
        state.damaged_files = self.damaged_files;
        for (name, found) in self.queues {
            let lost = found.missing.count();
            if lost > 0 {
                tracing::error!(queue = %name, entries = lost, "entries are missing: a segment was lost or damaged");
                state.lost_entries += lost;
            }
            if found.live.is_empty() {
                continue;
            }
            let id = state.define(&name, UNCLAIMED);
            for (index, stored) in found.live {
                let Some(queue) = state.queue_mut(id) else { continue };
                let stream = queue.stream(stored.stream, &stored.trailer);
                let slot = Slot::recovered(stream, stored.mark, stored.place, stored.len)
                    .with(stored.records, stored.stored_at);
                state.recovered_entry(id, index, slot);
            }
            let Some(queue) = state.queue_mut(id) else { continue };
            queue.next = queue.next.max(found.next);
            for op in found.seals.into_values() {
                let seal = Seal {
                    queue: id,
                    stream: op.stream,
                    sequence: op.sequence,
                    first: op.first,
                    last: op.last,
                };
                // A seal whose entries are settled is done; of one that lost some, the rest is cut anew.
                queue.seal(&seal, Some(op.entries));
            }
        }
    }
}

impl Queue {
    fn settle(&mut self, ranges: &Ranges) {
        for (first, last) in ranges.iter() {
            let gone: Vec<u64> = self.live.range(first..=last).map(|(index, _)| *index).collect();
            gone.iter().for_each(|index| {
                self.live.remove(index);
            });
            self.missing.remove(first, last);
        }
    }

    /// What a snapshot says: exactly these are live.
    fn keep(&mut self, next: u64, ranges: Ranges) {
        self.next = self.next.max(next);
        self.live.retain(|index, _| ranges.contains(*index));
        self.missing = ranges;
        for index in self.live.keys() {
            self.missing.remove(*index, *index);
        }
    }
}
