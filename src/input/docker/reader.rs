//! Reads one container's log: a block at a time, decoded, and stored with the position behind it.
//!
//! Every commit carries the place up to which it holds everything, so a crash neither loses nor doubles a line. Unfinished
//! lines keep their beginning in the position ([`Position::unfinished`]): after a restart reading begins there, and what
//! was stored of the other output since is passed over.
//!
//! All of it is plain synchronous code, run where blocking is allowed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::Shared;
use super::json_lines::{self, Stream};
use super::local_entries;
use super::metadata::{self, Container, Driver, Stamp};
use super::sink::Sink;
use crate::base::{host, limits};
use crate::input::batcher::Batcher;
use crate::input::follow::decoding::Decoding;
use crate::input::follow::generation::Generation;
use crate::input::follow::marks::Marks;
use crate::input::follow::pieces::{LineKey, Piece, Pieces};
use crate::input::follow::progress::Progress;
use crate::input::follow::rfc3339::Times;
use crate::input::follow::tally::Tally;
use crate::input::follow::{Chain, FileError, Filled, Position};
use crate::input::positions::Positions;
use crate::journal::Commit;
use crate::pipeline::stream::Origin;
use crate::record::{Span, Timestamp};

/// What is read at once: a container's turn, after which others have theirs.
pub(super) const BLOCK: usize = limits::READ_BYTES;
/// Where the last line of a file is looked for that is not read from its beginning.
const TAIL_BYTES: u64 = 2 * limits::MIB as u64;
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
    /// The container is removed, and everything of it is read.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Local,
}

pub(super) struct Reader {
    dir: PathBuf,
    pub(super) chain: Chain,
    pub(super) sink: Sink,
    pub(super) pieces: Pieces,
    format: Format,
    times: Times,
    progress: Progress,
    positions: Arc<Positions>,
    key: Bytes,
    shared: Arc<Shared>,
    stamp: Stamp,
    truncations: u64,
    /// Bytes read since the last position.
    silent: u64,
    /// Bytes the last step took from the file.
    pub(super) read: usize,
}

/// What is read of a container that nothing is known about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    FromEnd,
    All,
    /// All, and the container was made while others were followed: what has gone of its logs was not seen.
    New,
}

impl Reader {
    /// Of the container in `dir`; nothing is read yet.
    pub(super) fn new(shared: Arc<Shared>, dir: PathBuf, id: &str, driver: Driver) -> Reader {
        let (format, base) = match driver {
            Driver::Local => (Format::Local, dir.join("local-logs").join("container.log")),
            _ => (Format::Json, dir.join(format!("{id}-json.log"))),
        };
        let stamp = metadata::stamp(&dir);
        let container = Arc::new(Container::read(&dir, id, &shared.plan));
        let is_described = !container.name.is_empty();
        let origin = Origin::new(shared.name.clone(), host::name());
        Reader {
            chain: Chain::new(base, shared.open.clone(), shared.losses.clone()),
            sink: Sink::new(Batcher::new(shared.intake.clone(), origin, None), container),
            pieces: Pieces::new(shared.plan.join, shared.waiting.clone()),
            format,
            times: Times::default(),
            progress: Progress::default(),
            positions: shared.positions.clone(),
            key: shared.key(id),
            shared,
            stamp: stamp.filter(|_| is_described),
            truncations: 0,
            silent: 0,
            read: 0,
            dir,
        }
    }

    /// Turns to where reading goes on.
    pub(super) fn resume(&mut self, first: First) -> Result<(), FileError> {
        let position = self.positions.get(&self.key).and_then(|bytes| Position::from_bytes(&bytes));
        if position.is_none() && first == First::New {
            self.chain.expect_all(metadata::most_files(&self.dir));
        }
        self.progress = Progress::new(self.chain.resume(position.as_ref())?, position.unwrap_or_default());
        if position.is_none() && first == First::FromEnd && !self.chain.is_empty() {
            let format = self.format;
            let (base, open) = (self.chain.base().to_owned(), self.shared.open.clone());
            self.chain.pass_over(|newest| match format {
                Format::Json if matches!(newest.open(&base, &open), Ok(true)) => end_of_lines(newest),
                _ => newest.size,
            });
            self.positions.store(&self.key, self.position(0).to_bytes());
        }
        Ok(())
    }

    /// Whether the container is removed. Its driver may make the directory of the logs later than the container's own.
    pub(super) fn is_gone(&self) -> bool {
        self.chain.is_gone() && !self.dir.is_dir()
    }

    /// Where to ask for hints.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        let logs = self.chain.base().parent().filter(|logs| *logs != self.dir);
        [self.dir.as_path()].into_iter().chain(logs)
    }

    pub(super) fn key(&self) -> &Bytes {
        &self.key
    }

    /// Reads what changed of the container's description.
    pub(super) fn refresh(&mut self) {
        let stamp = metadata::stamp(&self.dir);
        // Of a removed container the last description counts.
        if stamp.is_some() && stamp != self.stamp {
            let id = &self.sink.container().id;
            let container = Container::read(&self.dir, id, &self.shared.plan);
            if container.name.is_empty() && !self.sink.container().name.is_empty() {
                // It cannot be read at this moment; what is known stays.
                return;
            }
            self.stamp = stamp.filter(|_| !container.name.is_empty());
            self.commit(0, 0);
            self.sink.set_container(Arc::new(container));
        }
    }

    /// Reads a block, stores what it becomes.
    pub(super) fn step(&mut self, now: Instant) -> Result<Step, FileError> {
        self.read = 0;
        self.chain.look()?;
        if self.chain.truncations() != self.truncations {
            self.truncations = self.chain.truncations();
            self.end_lines(None);
        }
        let filled = self.chain.fill(BLOCK)?;
        let step = match filled {
            Filled::More => {
                self.decode(false, now);
                Step::More
            }
            Filled::Ended => {
                self.decode(true, now);
                self.chain.leave();
                Step::More
            }
            Filled::Idle if self.is_gone() => {
                self.decode(true, now);
                self.end_lines(None);
                Step::Gone
            }
            Filled::Idle => Step::Idle,
        };
        // The end of a line may be in the file and not read yet; it is not waited for without end all the same.
        let waited = if step == Step::More { now.checked_sub(BUSY) } else { Some(now) };
        if waited.is_some() {
            self.end_lines(waited);
        }
        Ok(step)
    }

    /// Ends the lines that have waited too long at `now`, or all, as they are.
    fn end_lines(&mut self, now: Option<Instant>) {
        let mut ended = false;
        for stream in [Stream::Stdout, Stream::Stderr] {
            let is_due = now.is_none_or(|now| self.pieces.is_overdue(stream, now));
            if is_due && let Some(line) = self.pieces.take(stream, false) {
                self.sink.line(&line, stream);
                ended = true;
            }
        }
        if ended {
            self.commit(0, 0);
        }
    }

    fn decode(&mut self, ended: bool, now: Instant) {
        let received = Timestamp::now();
        self.read = self.decode_with(|reader, frame, from| match reader.format {
            Format::Json => reader.json_line(frame, from, ended, now, received),
            Format::Local => reader.local_entry(frame, from, ended, now),
        });
    }

    /// Decodes the line at `from`; gives its end, or nothing when it is not all there.
    fn json_line(
        &mut self,
        frame: &Bytes,
        from: usize,
        ended: bool,
        now: Instant,
        received: Timestamp,
    ) -> Option<usize> {
        match json_lines::next(&mut self.sink.batcher.batch, frame, &mut self.times, from, ended) {
            json_lines::Next::Wait => None,
            json_lines::Next::Nothing(end) => {
                self.shared.tally.read.skipped.increment((end - from) as u64);
                Some(end)
            }
            json_lines::Next::Malformed(text, end) => {
                if !self.is_stored(None, from) {
                    self.shared.tally.read.malformed.increment(1);
                    self.sink.record(text, None, received, Marks::default());
                }
                Some(end)
            }
            json_lines::Next::Line(line, end) => {
                if self.is_stored(line.stream, from) {
                    return Some(end);
                }
                self.sink.set_attrs_object(line.attrs);
                let time = line.time.unwrap_or(received);
                let Some(stream) = line.stream.filter(|_| self.pieces.is_on()) else {
                    self.sink.record(line.text, line.stream, time, Marks::default());
                    return Some(end);
                };
                let key = LineKey { time, id: 0 };
                self.piece(from, stream, line.text, key, (line.ends, 0), now);
                Some(end)
            }
        }
    }

    /// Decodes the entry at `from`; gives its end, or nothing when it is not all there.
    fn local_entry(&mut self, frame: &Bytes, from: usize, ended: bool, now: Instant) -> Option<usize> {
        let unread = &frame[from..];
        let (entry, end) = match local_entries::next(unread, ended) {
            local_entries::Next::Wait => return None,
            local_entries::Next::Damaged(len) => {
                self.shared.tally.read.skipped.increment(len as u64);
                return Some(from + len);
            }
            local_entries::Next::Entry(entry, taken) => (entry, from + taken),
        };
        let stream = Stream::of(entry.source);
        if self.is_stored(stream, from) {
            return Some(end);
        }
        self.sink.set_attrs(&entry.attrs);
        let at = (entry.line.as_ptr() as usize).wrapping_sub(frame.as_ptr() as usize);
        let text = if entry.line.is_empty() { Span::EMPTY } else { Span::frame(at, entry.line.len()) };
        let time = Timestamp {
            seconds: entry.time_nano.div_euclid(1_000_000_000),
            nanos: entry.time_nano.rem_euclid(1_000_000_000) as u32,
        };
        match stream.filter(|_| self.pieces.is_on()) {
            Some(stream) if entry.partial => {
                let key = LineKey { time, id: xxh3_64(entry.id) };
                self.piece(from, stream, text, key, (entry.last, entry.ordinal), now);
            }
            Some(stream) => {
                self.end_line(stream);
                self.sink.record(text, Some(stream), time, Marks::default());
            }
            None => {
                self.sink.record(text, stream, time, Marks::default());
                if entry.partial {
                    self.sink.add("partial_message", b"true");
                    self.sink.add("partial_id", entry.id);
                    self.sink.add("partial_ordinal", entry.ordinal.to_string().as_bytes());
                    self.sink.add("partial_last", if entry.last { b"true" } else { b"false" });
                }
            }
        }
        Some(end)
    }

    /// Takes a piece, or a whole line of the json-file driver, which looks like a last piece.
    fn piece(
        &mut self,
        from: usize,
        stream: Stream,
        text: Span,
        key: LineKey,
        (ends, ordinal): (bool, i32),
        now: Instant,
    ) {
        if self.pieces.is_other(stream, key) {
            self.end_line(stream);
        }
        if ends && ordinal == 0 && !self.pieces.is_open(stream) {
            return self.sink.record(text, Some(stream), key.time, Marks::default());
        }
        let start = self.chain.point(from);
        let text = self.sink.batcher.batch.bytes(text);
        if self.pieces.add(stream, &Piece { text, key, ends, ordinal }, start, now) {
            self.shared.tally.read.joined.increment(u64::from(ends));
            if let Some(line) = self.pieces.take(stream, ends) {
                self.sink.line(&line, stream);
            }
        }
    }

    /// Another line of this output has begun: what waits is all there is.
    fn end_line(&mut self, stream: Stream) {
        if let Some(line) = self.pieces.take(stream, false) {
            self.sink.line(&line, stream);
        }
    }

    /// Whether an earlier run stored what begins at `from`.
    fn is_stored(&mut self, stream: Option<Stream>, from: usize) -> bool {
        self.progress.is_stored(&self.chain, from, stream.map(|stream| stream as usize))
    }

    fn position(&self, done: usize) -> Position {
        self.progress.position(&self.chain, done, self.pieces.starts())
    }

    /// Stores the batch with the position `done` bytes behind the chain's, of which `silent` were not told of before.
    fn commit(&mut self, done: usize, silent: usize) {
        self.silent += silent as u64;
        let records = self.sink.batcher.batch.records.len();
        if records == 0 && self.silent < SILENT_BYTES {
            return;
        }
        self.shared.tally.read.records.increment(records as u64);
        self.silent = 0;
        let value = self.position(done).to_bytes();
        let (positions, key) = (&self.positions, &self.key);
        let board = |commit: &mut Commit| positions.board(commit, key, value);
        if let Some((boarded, submitted)) = self.sink.batcher.store_with(board) {
            self.positions.submitted(boarded, &submitted);
        }
    }
}

impl Decoding for Reader {
    fn chain(&mut self) -> &mut Chain {
        &mut self.chain
    }

    fn batcher(&mut self) -> &mut Batcher {
        &mut self.sink.batcher
    }

    fn tally(&self) -> &Tally {
        &self.shared.tally.read
    }

    fn laid_out(&self) -> usize {
        self.sink.laid_out
    }

    fn commit(&mut self, done: usize, silent: usize) {
        Reader::commit(self, done, silent);
    }
}

/// Behind the last line feed of a file, or its end when it has none near it.
fn end_of_lines(newest: &mut Generation) -> u64 {
    let from = newest.size.saturating_sub(TAIL_BYTES);
    let mut tail = Vec::new();
    while from + (tail.len() as u64) < newest.size {
        match newest.read(from + tail.len() as u64, BLOCK, &mut tail) {
            Ok(1..) => {}
            _ => break,
        }
    }
    memchr::memrchr(b'\n', &tail).map_or(newest.size, |at| from + at as u64 + 1)
}
