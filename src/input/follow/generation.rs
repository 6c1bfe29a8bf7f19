//! One content of a log: a file that was never renamed so far, was renamed, is compressed, or has no name any more.

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::bufread::MultiGzDecoder;
use rustix::buffer::spare_capacity;

use super::identity::{FileId, Fingerprint, Point, Tail};
use super::search;
use super::survey::{self, Found};
use super::{FileError, OpenCount, OpenFiles};

/// What a decoder reads of a compressed file at once.
const PACKED_BYTES: usize = 64 * 1024;
/// File systems keep time in ticks of some milliseconds.
const TICK: Duration = Duration::from_millis(50);

pub struct Generation {
    /// Ascending in a chain.
    pub number: u64,
    pub id: FileId,
    pub print: Fingerprint,
    /// Its content before this is done with.
    pub offset: u64,
    /// As it was last seen; of a compressed file it is not known.
    pub size: u64,
    pub gzip: bool,
    /// What a file that was compressed when it was first met said of the size of its content.
    inflated: Option<u64>,
    /// Made of the log before that was truncated: nobody writes to it.
    pub is_copy: bool,
    /// Its file has another content now: there is nothing of it but what was read.
    pub is_over: bool,
    path: PathBuf,
    source: Option<Source>,
    /// Size and time of change when it was last looked at.
    seen: (u64, i64, i64),
    /// Nothing can have happened in the same tick of the file system's clock as what was seen.
    is_settled: bool,
    /// The last bytes before the offset.
    tail: Vec<u8>,
}

enum Source {
    Plain(Held),
    /// Inflated so far.
    Gzip(Box<MultiGzDecoder<BufReader<Held>>>, u64),
}

struct Held {
    file: File,
    _count: OpenCount,
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }
}

/// A content that was read and has been truncated away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Former {
    pub print: Fingerprint,
    /// When it was last known to be written to, in seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
}

/// What stands before the offset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// What was read.
    Same,
    Hole,
    Other,
    /// It cannot be told.
    Unknown,
}

/// What became of a file since it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At most it grew.
    Grown,
    /// Another content has begun under the same inode.
    Replaced(Former),
    /// The beginning is a hole now; behind it goes on what was there.
    Holed(Former),
}

impl Generation {
    /// Of a file that was met; it is kept open when there is room.
    pub fn new(number: u64, found: Found, open: &OpenFiles) -> Generation {
        let mut generation = Generation {
            number,
            id: found.id,
            print: Fingerprint::of(&found.head),
            offset: 0,
            size: if found.gzip { 0 } else { found.size },
            gzip: found.gzip,
            inflated: if found.gzip { found.inflated_size() } else { None },
            is_copy: false,
            is_over: false,
            path: PathBuf::new(),
            source: None,
            seen: Default::default(),
            is_settled: false,
            tail: Vec::new(),
        };
        if open.is_crowded() {
            generation.path = found.path;
        } else {
            generation.hold(found, open);
        }
        generation
    }

    fn hold(&mut self, found: Found, open: &OpenFiles) {
        self.path = found.path;
        // After a rotation the content goes on in a compressed file; before, it was plain.
        self.gzip = found.gzip;
        let held = Held { file: found.file, _count: open.enter() };
        self.source = Some(if found.gzip {
            Source::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(PACKED_BYTES, held))), 0)
        } else {
            Source::Plain(held)
        });
    }

    /// Where it was last seen.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_open(&self) -> bool {
        self.source.is_some()
    }

    /// The place behind `read`, which follows the offset.
    pub fn point(&self, read: &[u8]) -> Point {
        let offset = self.offset + read.len() as u64;
        let tail = match read.len() {
            // What it begins with says it all.
            _ if offset <= self.print.len() as u64 => Tail::default(),
            0 => Tail::of(&self.tail),
            Tail::BYTES.. => Tail::of(read),
            _ => Tail::of(&[&self.tail, read].concat()),
        };
        Point { id: self.id, print: self.print, offset, tail }
    }

    /// Is done with what follows the offset.
    pub fn pass(&mut self, read: &[u8]) {
        self.offset += read.len() as u64;
        let last = read.get(read.len().saturating_sub(Tail::BYTES)..).unwrap_or_default();
        let kept = Tail::BYTES - last.len();
        self.tail.drain(..self.tail.len().saturating_sub(kept));
        self.tail.extend_from_slice(last);
    }

    /// Goes on at an offset. What stands before it is looked at, where that can be done.
    pub fn go_on_at(&mut self, offset: u64) {
        self.offset = offset;
        self.tail.clear();
        if let Some(Source::Plain(held)) = &self.source {
            let len = offset.min(Tail::BYTES as u64);
            self.tail.resize(len as usize, 0);
            if held.file.read_exact_at(&mut self.tail, offset - len).is_err() {
                self.tail.clear();
            }
        }
    }

    /// Goes on in this file, a copy of another's content.
    pub fn go_on_from(&mut self, former: &Generation) {
        self.offset = former.offset;
        self.tail.clone_from(&former.tail);
    }

    /// What is left of it when its file has another content: what was read and is not done with, `ahead` bytes.
    pub fn remains(&self, print: Fingerprint, ahead: usize) -> Generation {
        Generation {
            number: self.number,
            id: self.id,
            print,
            offset: self.offset,
            size: self.offset + ahead as u64,
            gzip: false,
            inflated: None,
            is_copy: false,
            is_over: true,
            path: self.path.clone(),
            source: None,
            seen: self.seen,
            is_settled: false,
            tail: self.tail.clone(),
        }
    }

    /// Whether the file that was met has this content.
    pub fn is(&self, found: &Found) -> bool {
        let print = if found.gzip { self.complete_print() } else { self.print };
        found.is(self.id, &print, || self.complete_size())
    }

    /// How the content of a file begins that nobody writes to any more: it may have been empty when it was looked at.
    pub fn complete_print(&self) -> Fingerprint {
        match &self.source {
            Some(Source::Plain(held)) if !self.print.is_full() => {
                survey::head(&held.file).map_or(self.print, |head| Fingerprint::of(&head))
            }
            _ => self.print,
        }
    }

    /// Bytes of the content, where they can be told, of a file that nobody writes to any more.
    pub fn complete_size(&self) -> Option<u64> {
        match &self.source {
            Some(Source::Plain(held)) => held.file.metadata().ok().map(|metadata| metadata.len()),
            // Other compressed files may begin alike.
            _ => self.inflated,
        }
    }

    /// When it was written to last, of a plain file that is open.
    pub fn modified(&self) -> Option<SystemTime> {
        match &self.source {
            Some(Source::Plain(held)) => held.file.metadata().ok()?.modified().ok(),
            _ => None,
        }
    }

    /// Lets the file go; it is opened again when it is needed.
    pub fn close(&mut self) {
        self.source = None;
    }

    /// Opens the file if it is not: where it was, or where it was moved to. False when it is nowhere.
    pub fn open(&mut self, base: &Path, open: &OpenFiles) -> Result<bool, FileError> {
        if self.is_open() {
            return Ok(true);
        }
        if let Some(found) = survey::open(self.path.clone(), self.gzip)?
            && self.is(&found)
        {
            self.hold(found, open);
            return Ok(true);
        }
        let all = survey::survey(base, open.listings(), |_| false)?.unwrap_or_default();
        let met = match all.into_iter().find(|found| self.is(found)) {
            Some(found) => Some(found),
            // Under a name that no rotation is known to give.
            None => search::by_inode(&self.path, self.id.inode, |found| self.is(found))?,
        };
        match met {
            Some(found) => {
                self.hold(found, open);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Appends up to `want` bytes of the content from `from` on; 0 at its end.
    pub fn read(&mut self, from: u64, want: usize, buffer: &mut Vec<u8>) -> io::Result<usize> {
        buffer.reserve(want);
        match &mut self.source {
            None => Err(ErrorKind::NotFound.into()),
            Some(Source::Plain(held)) => loop {
                // All the room there is: it was made for this.
                match rustix::io::pread(&held.file, spare_capacity(buffer), from) {
                    Err(rustix::io::Errno::INTR) => {}
                    read => return Ok(read?),
                }
            },
            Some(Source::Gzip(decoder, inflated)) => {
                if *inflated < from {
                    let skipped = io::copy(&mut decoder.by_ref().take(from - *inflated), &mut io::sink())?;
                    *inflated += skipped;
                }
                let read = decoder.by_ref().take(want as u64).read_to_end(buffer)?;
                *inflated += read as u64;
                Ok(read)
            }
        }
    }

    /// Looks at size and beginning again. A file that is closed is looked at by its name.
    ///
    /// What cannot be seen: a content that was truncated and written again with the same first 1 KiB until it was longer than
    /// what was read and had the same bytes there, all between two looks; and one that came and went while the file had been
    /// empty at the last look.
    pub fn check(&mut self) -> io::Result<Change> {
        if self.gzip {
            return Ok(Change::Grown);
        }
        let (metadata, opened);
        let file = match &self.source {
            Some(Source::Gzip(..)) => return Ok(Change::Grown),
            Some(Source::Plain(held)) => {
                metadata = held.file.metadata()?;
                Some(&held.file)
            }
            None => {
                metadata = fs::metadata(&self.path)?;
                if FileId::of(&metadata) != self.id {
                    return Ok(Change::Grown);
                }
                None
            }
        };
        let seen = seen(&metadata);
        if seen == self.seen && self.is_settled {
            return Ok(Change::Grown);
        }
        let file = match file {
            Some(file) => file,
            None => {
                opened = survey::open_now(&self.path)?;
                &opened
            }
        };
        let head = survey::head(file)?;
        let tail = self.look_back(file);
        let former = self.former();
        self.seen = seen;
        self.is_settled = metadata
            .modified()
            .is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age > TICK));
        self.size = metadata.len();
        // A writer that keeps its own offset leaves a hole where it was truncated; behind it goes on what we read.
        let hole = head.first() == Some(&0) && self.size >= self.offset;
        let fits = self.print.fits(&head);
        let is_other = match tail {
            Before::Same | Before::Unknown => false,
            Before::Hole => fits && !hole,
            Before::Other => true,
        };
        if self.size < self.offset || !(fits || hole) || is_other {
            self.print = Fingerprint::of(&head);
            return Ok(Change::Replaced(former));
        }
        // Where what was read last is still there, only the beginning was given back to the file system.
        let is_holed = if fits { tail == Before::Hole } else { tail != Before::Same };
        if !fits || !self.print.is_full() {
            self.print = Fingerprint::of(&head);
        }
        Ok(if is_holed { Change::Holed(former) } else { Change::Grown })
    }

    /// Looks at what stands before the offset.
    fn look_back(&self, file: &File) -> Before {
        let mut before = [0; Tail::BYTES];
        let (Some(before), Some(from)) =
            (before.get_mut(..self.tail.len()), self.offset.checked_sub(self.tail.len() as u64))
        else {
            return Before::Unknown;
        };
        // Room that was made before it is written to is no sign of anything.
        if self.tail.last().is_none_or(|last| *last == 0) || file.read_exact_at(before, from).is_err() {
            Before::Unknown
        } else if *before == *self.tail {
            Before::Same
        } else if before.iter().all(|byte| *byte == 0) {
            Before::Hole
        } else {
            Before::Other
        }
    }

    /// Whether a hole is where `ahead` was read, which follows the offset.
    pub fn is_swallowed(&self, ahead: &[u8]) -> bool {
        let last = ahead.get(ahead.len().saturating_sub(Tail::BYTES)..).unwrap_or_default();
        let mut now = [0; Tail::BYTES];
        let (Some(Source::Plain(held)), Some(now)) = (&self.source, now.get_mut(..last.len())) else {
            return false;
        };
        let from = self.offset + (ahead.len() - last.len()) as u64;
        let is_null = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        !is_null(last) && held.file.read_exact_at(now, from).is_ok() && is_null(now)
    }

    /// The content, should it turn out to be gone.
    pub fn former(&self) -> Former {
        Former { print: self.print, modified: (self.seen.1, self.seen.2) }
    }

    /// Takes note that it is the one that is written to.
    pub fn is_at(&mut self, path: &Path) {
        if self.path != path {
            self.path = path.to_owned();
        }
    }

    /// Bytes that are known to be there and not read.
    pub fn lag(&self) -> u64 {
        self.size.saturating_sub(self.offset)
    }
}

fn seen(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}
