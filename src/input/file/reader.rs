//! Reads one file, over its rotations: a block at a time, cut into records, and stored with the position behind them.
//!
//! ```text
//! file    ... line LF | line LF | begin of a record that is not complete
//!                               ^ position of the commit: nothing waits in memory only
//! ```
//!
//! A record that nothing follows for its time-out is complete as it is. What is written behind it later, without a line feed
//! in between, is a record of its own.
//!
//! All of it is plain synchronous code, run where blocking is allowed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::Shared;
use super::contents::ByPath;
use super::cut::{Cutter, More};
use super::follow::Order;
use super::kubernetes::FilePod;
use super::sink::Sink;
use super::start::{self, First};
use super::table::Status;
use crate::base::limits;
use crate::config::plan::{Charset, FileFormat};
use crate::input::follow::pieces::Pieces;
use crate::input::follow::progress::Progress;
use crate::input::follow::rfc3339::Times;
use crate::input::follow::{At, Chain, FileError, Filled, Position};
use crate::journal::Commit;

mod decode;

/// What is read at once: a file's turn, after which others have theirs. What it becomes is up to a third larger for most
/// formats, and then fills one LogGroup: each block is a commit, a seal and a request.
pub(super) const BLOCK: usize = limits::GROUP_BYTES / 4 * 3;
/// A position is stored by itself when so much was read since the last one that became no record.
const SILENT_BYTES: u64 = limits::MIB as u64;
/// While a file is behind, an unfinished line waits so much longer for its end.
const BUSY: Duration = Duration::from_secs(60);

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more.
    More,
    /// All is read that was written.
    Idle,
    /// As [`Step::Idle`], in a file that was rotated away and may get some more lines.
    Lingering,
    /// The file was removed, is read to its end and silent.
    Gone,
}

enum Format {
    Lines(Box<Cutter>),
    Json,
    Cri,
    /// One of the two above, as its first byte will say.
    Unknown,
}

pub(super) struct Reader {
    pub(super) chain: Chain,
    pub(super) sink: Sink,
    pub(super) pod: Option<FilePod>,
    pieces: Pieces,
    format: Format,
    times: Times,
    progress: Progress,
    shared: Arc<Shared>,
    status: Arc<Status>,
    key: Bytes,
    truncations: u64,
    /// The end of what was read, and when it was last behind another place.
    reached: (At, Instant),
    /// Since when its name is not there.
    missing: Option<Instant>,
    /// Bytes that were read, waited and were forgotten while the file was silent; they are read again.
    forgotten: usize,
    /// Bytes read since the last position.
    silent: u64,
    /// The newest position.
    position: Option<Bytes>,
    /// Bytes the last step took from the file.
    pub(super) read: usize,
}

impl Reader {
    /// Of the ordered file; nothing is read yet.
    pub(super) fn new(shared: Arc<Shared>, order: &Order) -> Reader {
        let key = shared.key(&order.path);
        let claims = ByPath { contents: shared.contents.clone(), path: order.path.clone() };
        let chain = Chain::new(order.path.to_path_buf(), shared.open.clone(), shared.losses.clone())
            .with_claims(Box::new(claims));
        let position = order.position.clone().or_else(|| shared.positions.get(&key));
        let kubernetes = shared.kubernetes.as_ref();
        let pod = kubernetes.and_then(|kubernetes| kubernetes.pod_of(&order.path, position.is_some()));
        Reader {
            chain: chain.with_first_sight(order.sight).with_all_read(order.is_read),
            sink: Sink::new(&shared, &order.path, pod.as_ref()),
            pod,
            pieces: Pieces::new(shared.plan.join, shared.waiting.clone()),
            format: match shared.plan.format {
                FileFormat::Lines => Format::Lines(Box::new(shared.cutter.clone())),
                FileFormat::Cri => Format::Cri,
                FileFormat::DockerJson => Format::Json,
                FileFormat::Container => Format::Unknown,
            },
            times: Times::default(),
            progress: Progress::default(),
            status: order.status.clone(),
            truncations: 0,
            reached: (At::default(), Instant::now()),
            missing: None,
            forgotten: 0,
            silent: 0,
            position,
            read: 0,
            key,
            shared,
        }
    }

    /// Turns to where reading goes on; `first` says where that is when nothing is known of the file.
    pub(super) fn resume(&mut self, first: First) -> Result<(), FileError> {
        let position = self.position.as_deref().and_then(Position::from_bytes);
        let resumed = self.chain.resume(position.as_ref())?;
        self.progress = Progress::new(resumed, position.unwrap_or_default());
        if position.is_none() && first != First::Beginning && !self.chain.is_empty() {
            let wide =
                matches!(self.shared.plan.charset, Charset::Utf16 | Charset::Utf16Le | Charset::Utf16Be);
            let (base, open) = (self.chain.base().to_owned(), self.shared.open.clone());
            self.chain.pass_over(|newest| match newest.open(&base, &open) {
                Ok(true) => start::place(newest, first, wide),
                _ => newest.size,
            });
            self.put_down();
        }
        // While it waits it may be rotated, and who starts anew then looks for the older ones only behind a position.
        if position.is_none() && self.pod.as_ref().is_some_and(FilePod::is_undecided) {
            self.put_down();
        }
        self.begin_record();
        if let (Format::Lines(cutter), Some(position)) = (&mut self.format, &position)
            && resumed.read.is_some()
        {
            cutter.restore(position.within);
        } else if let (Some(value), Some(position)) = (&self.position, &position)
            && resumed.read.is_none()
            && self.chain.contents().all(|id| id != position.read.id)
        {
            let stored = self.stored(value);
            self.shared.contents.leave(self.chain.base(), value.clone(), stored);
        }
        self.tell();
        Ok(())
    }

    /// Forgets what is kept of a file that is not to be read: a position means that it was not refused.
    pub(super) fn refuse(&self) {
        self.shared.positions.forget(&self.key);
    }

    /// Reads a block of about `want` bytes, or all there is, and stores what it becomes.
    pub(super) fn step(&mut self, want: usize, now: Instant) -> Result<Step, FileError> {
        self.read = 0;
        let step = loop {
            let step = self.read_on(want - self.read, now)?;
            if step != Step::More || self.read >= want {
                break step;
            }
        };
        // The end of a line may be in the file and not read yet; it is not waited for without end all the same.
        let waited = if step == Step::More { now.checked_sub(BUSY) } else { Some(now) };
        if waited.is_some() {
            self.end_lines(waited);
        }
        self.tell();
        Ok(step)
    }

    /// Stores how far it was read. `is_last`: nobody goes on soon, and what waits is complete if its last line is.
    pub(super) fn finish(&mut self, is_last: bool, now: Instant) {
        let is_whole = matches!(self.format, Format::Lines(_)) && ends_in_line_feed(self.chain.unread());
        if is_last && is_whole {
            self.decode(More::Quiet, now);
        }
        self.put_down();
        self.tell();
    }

    /// Keeps little while nothing comes.
    pub(super) fn rest(&mut self) {
        let unread = self.chain.unread().len();
        self.chain.rest();
        self.forgotten = unread - self.chain.unread().len();
    }

    /// Gives the large buffers back.
    pub(super) fn cool(&mut self) {
        self.sink.batcher.rest();
    }

    fn read_on(&mut self, want: usize, now: Instant) -> Result<Step, FileError> {
        self.chain.look()?;
        if self.chain.truncations() != self.truncations {
            self.truncations = self.chain.truncations();
            self.begin_content();
        }
        let before = self.chain.unread().len();
        // What waits is searched from where it was searched to before, so it must be there again.
        let again = self.forgotten.saturating_sub(before);
        let filled = self.chain.fill(want.max(again))?;
        self.forgotten = 0;
        let all = self.chain.unread().len();
        if all < before + again {
            self.begin_record();
        }
        self.read += all.saturating_sub(before + again);
        let end = self.chain.at(self.chain.unread().len());
        if end > self.reached.0 {
            self.reached = (end, now);
        }
        Ok(match filled {
            Filled::More => {
                self.decode(More::Yes, now);
                Step::More
            }
            Filled::Ended if self.may_grow(now) => {
                self.complete(now);
                Step::Lingering
            }
            Filled::Ended => {
                self.decode(More::Never, now);
                self.leave();
                self.tell();
                self.begin_content();
                Step::More
            }
            Filled::Idle if self.is_gone(now) => {
                self.decode(More::Never, now);
                self.end_lines(None);
                Step::Gone
            }
            Filled::Idle => {
                self.complete(now);
                Step::Idle
            }
        })
    }

    /// What the journal has of this position: itself, or an earlier one while records pass by the journal.
    fn stored(&self, position: &Bytes) -> Option<Bytes> {
        if self.is_passing() {
            self.shared.positions.get(&self.shared.key(self.chain.base()))
        } else {
            Some(position.clone())
        }
    }

    /// Turns to the next content. This one may be met under another name, and is known there.
    fn leave(&mut self) {
        if !self.chain.is_replaced() {
            let mut position =
                Position { read: self.chain.point(0), before: self.chain.before(), ..Position::default() };
            if let Format::Lines(cutter) = &self.format {
                position.within = cutter.state();
            }
            let position = position.to_bytes();
            let stored = self.stored(&position);
            self.shared.contents.leave(self.chain.base(), position, stored);
        }
        self.chain.leave();
    }

    /// Forgets what is known of the record that begins here.
    fn begin_record(&mut self) {
        let is_at_beginning = self.chain.at(0).offset == 0;
        let Format::Lines(cutter) = &mut self.format else { return };
        cutter.reset();
        cutter.at_beginning(is_at_beginning);
        if !is_at_beginning && self.shared.plan.charset == Charset::Utf16 {
            // Who writes it begins all of its files alike.
            cutter.learn_byte_order(&self.chain.beginning());
        }
    }

    /// Another content begins.
    fn begin_content(&mut self) {
        self.end_lines(None);
        self.forgotten = 0;
        self.begin_record();
        match &mut self.format {
            format if self.shared.plan.format == FileFormat::Container => *format = Format::Unknown,
            _ => {}
        }
    }

    /// Whether something may still be written to a file that was rotated away. At the stop nobody waits for it.
    fn may_grow(&self, now: Instant) -> bool {
        let patience = self.shared.patience.gone;
        !self.shared.last.is_cancelled()
            // A file's time may lie in the future.
            && now.saturating_duration_since(self.reached.1) < patience
            && self.chain.may_linger(patience, SystemTime::now())
    }

    /// Whether its name is gone and nothing more comes.
    fn is_gone(&mut self, now: Instant) -> bool {
        let since = *self.missing.get_or_insert(now);
        if !self.chain.is_missing() {
            self.missing = None;
            return false;
        }
        let silent = since.max(self.reached.1);
        self.chain.is_empty() || now.saturating_duration_since(silent) >= self.shared.patience.gone
    }

    /// Completes a record that was waited for long enough.
    fn complete(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            self.decode(More::Quiet, now);
        }
    }

    /// When what is read and waits is complete as it is.
    fn due(&self) -> Option<Instant> {
        match &self.format {
            Format::Lines(cutter) if self.chain.lag() > 0 => Some(self.reached.1 + cutter.patience()),
            _ => None,
        }
    }

    /// When there is something to do though nothing was written.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let gone = self.missing.map(|since| since.max(self.reached.1) + self.shared.patience.gone);
        [self.due(), self.pieces.deadline(), gone].into_iter().flatten().min()
    }

    /// When it may be put down, if nothing comes until then. `None`: something waits.
    pub(super) fn rests_at(&self) -> Option<Instant> {
        let is_done = self.due().is_none() && self.pieces.deadline().is_none() && self.missing.is_none();
        is_done.then(|| self.reached.1 + self.shared.patience.rest)
    }

    /// Takes note of whether the file is there at all, between two steps.
    pub(super) fn note_missing(&mut self, now: Instant) {
        match self.chain.is_missing() {
            true => self.missing = self.missing.or(Some(now)),
            false => self.missing = None,
        }
    }

    /// Stores the position if there is none as far as this; gives the newest one.
    pub(super) fn put_down(&mut self) -> Option<Bytes> {
        let value = self.position_at(0);
        let is_known = self.position.as_ref() == Some(&value);
        // Records that are kept in memory may not be overtaken by their position.
        if !is_known && !self.is_passing() {
            self.shared.positions.store(&self.key, value.clone());
            self.silent = 0;
        }
        self.position = Some(value.clone());
        Some(value)
    }

    /// The place `done` bytes behind the chain's, as it is stored.
    fn position_at(&self, done: usize) -> Bytes {
        let mut position = self.progress.position(&self.chain, done, self.pieces.starts());
        if let Format::Lines(cutter) = &self.format {
            position.within = cutter.state();
        }
        position.to_bytes()
    }

    fn is_passing(&self) -> bool {
        self.position.is_some() && self.shared.positions.get(&self.key).as_ref() != self.position.as_ref()
    }

    /// Stores the batch with the position `done` bytes behind the chain's, of which `silent` were not told of before.
    fn commit(&mut self, done: usize, silent: usize) {
        self.silent += silent as u64;
        let records = self.sink.batch().records.len();
        if records == 0 && self.silent < SILENT_BYTES {
            return;
        }
        self.shared.tally.read.records.increment(records as u64);
        self.silent = 0;
        let value = self.position_at(done);
        let (positions, key) = (&self.shared.positions, &self.key);
        self.position = Some(value.clone());
        let board = |commit: &mut Commit| positions.board(commit, key, value);
        if let Some((boarded, submitted)) = self.sink.batcher.store_with(board) {
            positions.submitted(boarded, &submitted);
        }
    }

    /// Puts what is known into the report.
    fn tell(&self) {
        let (place, lag) = (self.chain.at(0), self.chain.lag());
        self.status.offset.store(place.offset, Ordering::Relaxed);
        self.status.lag.store(lag, Ordering::Relaxed);
        self.status.size.store(place.offset + lag, Ordering::Relaxed);
    }
}

/// In any charset.
fn ends_in_line_feed(text: &[u8]) -> bool {
    text.ends_with(b"\n") || text.ends_with(b"\n\0")
}
