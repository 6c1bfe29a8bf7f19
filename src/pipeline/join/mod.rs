//! Joining Docker's partial lines: the engine cuts lines at 16 KiB, at any byte, and marks the pieces. A line is put
//! together by (container, stream, line id), never by connection: after a reconnect the other pieces come on a new one.
//!
//! A piece never holds back an acknowledgement. It goes to the journal's queue `pending` and is acknowledged; when the
//! line is complete, the joined record and the settling of its pieces are one commit; after a restart the pieces come
//! back from the journal. Pieces of a line that is complete within one batch never reach the disk as pieces.
//!
//! A line ends with its last piece, with the next line of the same container and stream (the engine drops pieces in its
//! non-blocking mode), or after the join time-out, because the end of a container may cut its last line for ever. What
//! ends without its last piece carries `__partial__: true`, and pieces that come later start a line of their own. A line
//! that grows past the longest allowed is emitted at once, named in `__cut__`; the rest of it is dropped and counted. Where
//! nothing marks pieces, that rest may be the next line: then nothing is dropped, and it starts a record of its own.

mod line;
mod lines;
mod piece;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use line::Line;
use lines::Lines;
use piece::{Piece, StreamKey};

use super::stream::Origin;
use crate::base::limits;
use crate::base::metrics::{Counter, Gauge, counter, gauge};
use crate::config::plan::JoinPlan;
use crate::journal::{Append, Commit, Journal, OnFull, QueueId, QueueOptions, Receipt, Storage};
use crate::record::Batch;

/// Lines that may be open at once, over all containers; the oldest gives way.
const OPEN_LINES: usize = 4_096;
/// Bytes that may wait in open lines; the oldest gives way.
const OPEN_BYTES: usize = 64 * limits::MIB;
/// What the queue `pending` may hold before connections that bring pieces wait.
const PENDING_BYTES: u64 = 4 * OPEN_BYTES as u64;

#[derive(Clone, Debug)]
pub struct JoinSettings {
    pub timeout: Duration,
    pub max_line: usize,
    pub marks: Marks,
}

/// How an input's records tell that they are pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// By the fields `partial_message`, `partial_id`, `partial_ordinal` and `partial_last`.
    Fields,
    /// Not at all: a text of exactly 16 KiB is a piece, and the next text of the same container and output goes on. Only
    /// records that Docker's driver may have sent are looked at.
    Length,
    /// As [`Marks::Length`], and all pieces of a line have the same time, to the millisecond.
    LengthAndTime,
}

impl JoinSettings {
    /// Nothing when the input does not join.
    pub fn new(plan: &JoinPlan, marks: Marks) -> Option<JoinSettings> {
        plan.partial.then_some(JoinSettings { timeout: plan.timeout, max_line: plan.max_line, marks })
    }
}

impl Default for JoinSettings {
    fn default() -> Self {
        JoinSettings { timeout: limits::JOIN_TIMEOUT, max_line: limits::JOINED_BYTES, marks: Marks::Fields }
    }
}

pub struct Joiner {
    journal: Journal,
    queue: QueueId,
    open: AtomicUsize,
    lines: Mutex<Lines>,
    joined: Counter,
    unfinished: Counter,
    duplicates: Counter,
    cut: Counter,
    cut_pieces: Counter,
    defaults: HashMap<String, JoinSettings>,
    waiting: Gauge,
}

/// What joining a batch leaves to do: pieces to settle with the batch's own commit, the receipt of the pieces that were
/// stored on their own, and the room they took.
#[derive(Default)]
pub struct Absorbed {
    pub settles: Vec<u64>,
    pub stored: Option<Receipt>,
    pub need: Option<(QueueId, u64)>,
}

/// Counts lines with `__partial__`, whoever puts them together.
pub fn unfinished_lines() -> Counter {
    counter("sluicegate_join_unfinished_total", "Lines emitted without their last piece.", &[])
}

/// Counts lines with `__cut__`.
pub fn cut_lines() -> Counter {
    counter("sluicegate_join_cut_total", "Lines longer than the longest allowed, cut and marked.", &[])
}

impl Joiner {
    /// Opens the queue `pending` and takes back the pieces an earlier run left there. `settings` are those of the inputs
    /// that join, by name.
    pub fn new(journal: Journal, settings: HashMap<String, JoinSettings>) -> Self {
        let queue = journal.queue(
            "pending",
            QueueOptions { max_bytes: PENDING_BYTES, on_full: OnFull::Block, storage: Storage::Disk },
        );
        let joiner = Joiner {
            journal,
            queue,
            open: AtomicUsize::new(0),
            lines: Mutex::default(),
            joined: counter("sluicegate_join_lines_total", "Lines joined from pieces.", &[]),
            unfinished: unfinished_lines(),
            duplicates: counter(
                "sluicegate_join_duplicates_total",
                "Pieces received again and not used.",
                &[],
            ),
            cut: cut_lines(),
            cut_pieces: counter(
                "sluicegate_join_cut_pieces_total",
                "Pieces dropped because their line was longer than the longest allowed.",
                &[],
            ),
            defaults: settings,
            waiting: gauge("sluicegate_join_open_lines", "Lines that wait for more pieces.", &[]),
        };
        joiner.take_back();
        joiner
    }

    pub fn queue(&self) -> QueueId {
        self.queue
    }

    fn take_back(&self) {
        let mut lines = self.lock();
        loop {
            let entries = self.journal.lease(self.queue, 16 * limits::MIB);
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let piece = self.journal.read(&entry).ok().and_then(|bytes| Piece::from_stored(&bytes));
                match piece {
                    Some((origin, tag, piece)) => {
                        let settings = self.defaults.get(&*origin.input).cloned().unwrap_or_default();
                        let key = piece.stream.clone();
                        // The line before may have been on its way out.
                        if lines.open.get(&key).is_some_and(|line| !line.continues_with(&piece))
                            && let Some(line) = lines.take(&key)
                        {
                            lines.overdue.push(line);
                        }
                        if self.add(&settings, &mut lines, &origin, &tag, piece, Some(entry.index))
                            && let Some(line) = lines.take(&key)
                        {
                            lines.overdue.push(line);
                        }
                    }
                    None => {
                        tracing::error!(
                            index = entry.index,
                            "a stored piece of a line cannot be read and is dropped"
                        );
                        self.journal.settle(self.queue, [entry.index]);
                    }
                }
            }
        }
        self.count(&lines);
    }

    /// Takes the pieces out of a batch and puts finished lines in their place.
    pub fn absorb(&self, settings: &JoinSettings, origin: &Origin, batch: &mut Batch) -> Absorbed {
        let mut absorbed = Absorbed::default();
        let marks = settings.marks;
        let has_pieces = batch.records.iter().any(|record| piece::is_piece(batch, record, marks));
        if !has_pieces && self.open.load(Ordering::Acquire) == 0 {
            return absorbed;
        }
        let mut lines = self.lock();
        let mut touched: HashSet<StreamKey> = HashSet::new();
        for record in std::mem::take(&mut batch.records) {
            let stream = piece::stream_of(origin, batch, &record, marks);
            let may_be = marks == Marks::Fields || stream.is_some();
            let is_piece = may_be && piece::is_piece(batch, &record, marks);
            let open = stream.as_ref().and_then(|key| lines.open.get(key));
            let goes_on = marks != Marks::Fields
                && open.is_some_and(|line| {
                    line.goes_on(&record, marks)
                        && line.has_room(piece::text_bytes(batch, &record), settings.max_line)
                });
            if !is_piece && !goes_on {
                if let Some(line) = stream.and_then(|key| lines.take(&key)) {
                    self.end(&mut lines, line, batch, &mut absorbed);
                }
                batch.records.push(record);
                continue;
            }
            let piece = match (marks, stream) {
                (Marks::Length | Marks::LengthAndTime, Some(stream)) => {
                    let line = lines.open.get(&stream).filter(|_| goes_on);
                    let id = line.map_or_else(|| piece::id_of(record.time), |line| line.id.clone());
                    if !goes_on && let Some(line) = lines.take(&stream) {
                        self.end(&mut lines, line, batch, &mut absorbed);
                    }
                    Piece::unmarked(stream, id, batch, &record, !is_piece)
                }
                _ => Piece::from_record(origin, batch, &record),
            };
            let key = piece.stream.clone();
            if let Some(cut) = lines.finished_cut(&piece) {
                if cut {
                    self.cut_pieces.increment(1)
                } else {
                    self.duplicates.increment(1)
                }
                continue;
            }
            if lines.open.get(&key).is_some_and(|line| !line.continues_with(&piece))
                && let Some(line) = lines.take(&key)
            {
                self.end(&mut lines, line, batch, &mut absorbed);
            }
            let tag = batch.tag().to_vec();
            if self.add(settings, &mut lines, origin, &tag, piece, None) {
                if let Some(line) = lines.take(&key) {
                    self.end(&mut lines, line, batch, &mut absorbed);
                }
            } else {
                touched.insert(key);
            }
        }
        self.store(&mut lines, &touched, &mut absorbed);
        self.make_room(&mut lines);
        self.count(&lines);
        absorbed
    }

    /// Adds a piece; true when its line is complete now. A piece that is there already is counted and dropped.
    fn add(
        &self,
        settings: &JoinSettings,
        lines: &mut Lines,
        origin: &Origin,
        tag: &[u8],
        piece: Piece,
        stored: Option<u64>,
    ) -> bool {
        let until = Instant::now() + settings.timeout;
        let known = lines.open.get(&piece.stream).map_or(0, Line::bytes);
        let line =
            lines.open.entry(piece.stream.clone()).or_insert_with(|| Line::new(origin, tag, &piece, until));
        if !line.add(piece, stored, settings.max_line, until) {
            self.duplicates.increment(1);
        }
        let complete = line.is_complete();
        lines.bytes = lines.bytes + line.bytes() - known;
        complete
    }

    /// Emits a line that ended: into this batch when it has the batch's tag, else by the timer.
    fn end(&self, lines: &mut Lines, mut line: Line, batch: &mut Batch, absorbed: &mut Absorbed) {
        if line.tag != batch.tag() {
            lines.overdue.push(line);
            return;
        }
        self.tally(&line);
        absorbed.settles.append(&mut line.stored);
        line.write(batch);
        lines.remember(&line);
    }

    fn tally(&self, line: &Line) {
        if line.is_whole() {
            self.joined.increment(1)
        } else {
            self.unfinished.increment(1)
        }
        if line.is_cut() {
            self.cut.increment(1);
        }
    }

    /// Puts the new pieces of lines that are not in this batch's own commit into the journal, all in one commit: lines
    /// that stay open, and those that wait for the timer.
    fn store(&self, lines: &mut Lines, touched: &HashSet<StreamKey>, absorbed: &mut Absorbed) {
        let mut commit = Commit::new();
        let mut owners: Vec<&mut Line> = Vec::new();
        let mut bytes = 0;
        let Lines { open, overdue, .. } = lines;
        let waiting = open.iter_mut().filter(|(key, _)| touched.contains(key)).map(|(_, line)| line);
        for line in waiting.chain(overdue) {
            let unsaved = line.unsaved();
            if unsaved.is_empty() {
                continue;
            }
            for payload in unsaved {
                bytes += payload.len() as u64;
                commit.append(Append {
                    queue: self.queue,
                    stream: 0,
                    records: 1,
                    mark: Bytes::new(),
                    trailer: Bytes::new(),
                    payload: Bytes::from(payload),
                });
                line.awaited += 1;
            }
            owners.push(line);
        }
        if owners.is_empty() {
            return;
        }
        let submitted = self.journal.submit(commit);
        let mut entries = submitted.entries.iter().map(|(_, index)| *index);
        for line in owners {
            let count = std::mem::take(&mut line.awaited);
            line.stored.extend(entries.by_ref().take(count));
        }
        absorbed.stored = Some(submitted.receipt);
        absorbed.need = Some((self.queue, bytes));
    }

    fn make_room(&self, lines: &mut Lines) {
        // A batch of made-up containers opens thousands; looking for each oldest one would go over all of them as often.
        let excess = lines.open.len().saturating_sub(OPEN_LINES);
        if excess > 8 {
            let mut ages: Vec<Instant> = lines.open.values().map(|line| line.until).collect();
            let (_, youngest, _) = ages.select_nth_unstable(excess - 1);
            let old = lines.open.iter().filter(|(_, line)| line.until <= *youngest);
            let keys: Vec<StreamKey> = old.take(excess).map(|(key, _)| key.clone()).collect();
            let oldest: Vec<Line> = keys.iter().filter_map(|key| lines.take(key)).collect();
            lines.overdue.extend(oldest);
        }
        while lines.bytes > OPEN_BYTES || lines.open.len() > OPEN_LINES {
            let Some(oldest) =
                lines.open.iter().min_by_key(|(_, line)| line.until).map(|(key, _)| key.clone())
            else {
                return;
            };
            if let Some(line) = lines.take(&oldest) {
                lines.overdue.push(line);
            }
        }
    }

    /// Lines whose time is up. The caller stores each with [`Line::write`] and settles its pieces in the same commit.
    pub fn overdue(&self, now: Instant) -> Vec<Line> {
        if self.open.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let mut lines = self.lock();
        let late: Vec<StreamKey> =
            lines.open.iter().filter(|(_, line)| line.until <= now).map(|(key, _)| key.clone()).collect();
        for key in late {
            if let Some(line) = lines.take(&key) {
                lines.overdue.push(line);
            }
        }
        let overdue = std::mem::take(&mut lines.overdue);
        for line in &overdue {
            self.tally(line);
            lines.remember(line);
        }
        self.count(&lines);
        overdue
    }

    fn count(&self, lines: &Lines) {
        let waiting = lines.open.len() + lines.overdue.len();
        self.open.store(waiting, Ordering::Release);
        self.waiting.set(waiting as f64);
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
