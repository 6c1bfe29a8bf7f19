//! What stands in a directory under a log's name: the file that is written to, and those it was rotated to.
//!
//! ```text
//! app.log   app.log.1   app.log.2.gz ...        names, and which is older: `naming`
//! ```
//!
//! Rotation shifts numbered names upwards, and gives dated ones once. So the log itself is opened first, then names are
//! listed and looked at from the newest to the oldest: a file that moves meanwhile is met twice (and known the second time),
//! never missed. Each is opened at once, since a name may mean another file a moment later. A plain file counts before a
//! compressed one of the same name, which may still be in the making. Where names of several kinds stand side by side, their
//! times say which is older.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::bufread::MultiGzDecoder;

use super::FileError;
use super::identity::{FileId, Fingerprint, Point, Tail};
use super::listings::Listings;
use super::naming::{self, Kind};

/// Rotated files that are looked for; loggers keep some tens at most.
const ROTATED: usize = 1_000;
/// Looks at a log that does not stand still.
const PASSES: usize = 5;

/// A file that was met.
pub struct Found {
    pub path: PathBuf,
    pub file: File,
    pub id: FileId,
    /// As it stands on the disk.
    pub size: u64,
    /// When it was last written to.
    pub modified: SystemTime,
    pub gzip: bool,
    /// How its content begins, inflated.
    pub head: Vec<u8>,
}

impl Found {
    /// Whether it is the content of this file: under another name, or compressed, which makes another file of it. `size` are
    /// the bytes of the content, once it is complete.
    ///
    /// Contents may well begin alike: a line that is longer than what is looked at, printed again and again.
    pub fn is(&self, id: FileId, print: &Fingerprint, size: impl FnOnce() -> Option<u64>) -> bool {
        if !print.fits(&self.head) {
            return false;
        }
        match (self.gzip, self.id == id) {
            (true, true) => true,
            (true, false) => !print.is_empty() && size().is_none_or(|size| self.may_have(size)),
            // Inodes are used again, and what is complete does not shrink.
            (false, true) => size().is_none_or(|size| self.size >= size),
            (false, false) => false,
        }
    }

    /// Whether it is the content of a file that was met before.
    fn is_content_of(&self, other: &Found) -> bool {
        let size = || match other.gzip {
            false => other.file.metadata().ok().map(|metadata| metadata.len()),
            true => other.inflated_size(),
        };
        // It may have been empty when it was met.
        let print = || match other.gzip {
            false => Fingerprint::of(&head(&other.file).unwrap_or_default()),
            true => Fingerprint::of(&other.head),
        };
        self.id == other.id || self.gzip && self.is(other.id, &print(), size)
    }

    /// How surely it is the file in which a place was noted by an earlier run: 0 it is not, 3 for the same inode.
    ///
    /// An inode that was made at another moment is another file, however alike it begins. Where the file system does not
    /// keep that moment, a file that has the inode, the first 1 KiB and at least the bytes of one that is gone is taken for
    /// it: nothing tells them apart.
    pub fn likeness(&self, point: &Point) -> u8 {
        let is_same = self.id.inode == point.id.inode;
        if !point.print.fits(&self.head) || !self.holds(point) {
            0
        } else if self.id == point.id {
            3
        } else if point.print.is_empty() {
            0
        } else if is_same && !self.gzip && self.id.born != 0 && point.id.born != 0 {
            // Device numbers change with a boot.
            if self.id.born == point.id.born { 2 } else { 0 }
        } else if self.gzip || is_same {
            2
        } else {
            // A copy.
            1
        }
    }

    /// Whether a place was noted in it that it has no more, or with something else before it: it was truncated, and its new
    /// content begins as the old one.
    pub fn lost(&self, point: &Point) -> bool {
        self.id == point.id && !self.gzip && point.print.fits(&self.head) && !self.holds(point)
    }

    /// Whether it has that place, and before it what was there. Compressed files are not inflated for that.
    pub fn holds(&self, point: &Point) -> bool {
        let is_before = || {
            let Some(from) = point.offset.checked_sub(point.tail.len() as u64) else { return false };
            let mut before = [0; Tail::BYTES];
            let Some(before) = before.get_mut(..point.tail.len()) else { return false };
            // What cannot be read now is told when reading goes on there.
            self.file.read_exact_at(before, from).is_err() || point.tail.fits(before)
        };
        self.reaches(point.offset) && (self.gzip || point.tail.is_empty() || is_before())
    }

    /// Whether a compressed file may hold so many bytes: its last four tell their number, modulo 2^32.
    fn may_have(&self, size: u64) -> bool {
        self.inflated_size().is_none_or(|inflated| inflated == u64::from(size as u32))
    }

    fn reaches(&self, offset: u64) -> bool {
        match self.gzip {
            false => self.size >= offset,
            true => self.inflated_size().is_none_or(|size| size >= offset || self.size > offset),
        }
    }

    /// What a compressed file says of the size of its content, modulo 2^32.
    pub fn inflated_size(&self) -> Option<u64> {
        let mut last = [0; 4];
        self.file.read_exact_at(&mut last, self.size.checked_sub(4)?).ok()?;
        Some(u32::from_le_bytes(last).into())
    }
}

/// The files of a log, oldest first, up to and without the newest one that `known` says is no news. `None` when there is
/// not even a directory. `base` is a name as [`resolve`] gives it; `known` may be asked again about a file.
///
/// A log that rotates faster than its names are looked at would show newer files behind older ones, so it is looked at again
/// until it stood still.
pub fn survey(
    base: &Path,
    listings: &Listings,
    mut known: impl FnMut(&Found) -> bool,
) -> Result<Option<Vec<Found>>, FileError> {
    let mut found: Vec<Found> = Vec::new();
    for _ in 0..PASSES {
        let Some((mut met, stood_still)) = pass(base, listings, &mut known)? else {
            return Ok((!found.is_empty()).then_some(found));
        };
        // What is no more met was rotated out meanwhile, so it is older; what is, may be read through a file opened before.
        let (same, older): (Vec<_>, Vec<_>) =
            found.into_iter().rev().partition(|before| met.iter().any(|next| next.is_content_of(before)));
        for before in same.into_iter().filter(|before| !before.gzip) {
            if let Some(next) = met.iter_mut().find(|next| next.is_content_of(&before)) {
                *next = before;
            }
        }
        met.extend(older);
        met.reverse();
        found = met;
        if stood_still {
            break;
        }
    }
    Ok(Some(found))
}

/// One look at all names, newest file first; and whether nothing moved meanwhile.
fn pass(
    base: &Path,
    listings: &Listings,
    known: &mut impl FnMut(&Found) -> bool,
) -> Result<Option<(Vec<Found>, bool)>, FileError> {
    let mut met: Vec<Found> = Vec::new();
    let newest = open(base.to_owned(), is_packed(base))?;
    let stood = newest.as_ref().map(|newest| newest.id);
    if let Some(newest) = newest {
        if known(&newest) {
            return Ok(Some((met, true)));
        }
        met.push(newest);
    }
    // After most rotations this is it: thousands of logs in one directory need no listing each.
    if let Some(first) = open(behind(base, ".1".as_ref(), ""), false)?
        && known(&first)
    {
        return Ok(Some((met, true)));
    }
    let Some(names) = rotated_names(base, listings)? else {
        return Ok((!met.is_empty()).then_some((met, true)));
    };
    let (mut is_whole, has_rotated) = (true, names.iter().any(|name| name.is_listed));
    for name in names {
        let listed = name.is_listed.then(|| name.end.clone());
        let Some(next) = meet(base, name)? else {
            is_whole &= listed.is_none_or(|end| ["", ".gz"].iter().any(|gz| behind(base, &end, gz).exists()));
            continue;
        };
        if known(&next) {
            break;
        }
        if met.iter().all(|other| !next.is_content_of(other)) {
            met.push(next);
        }
    }
    let stands = fs::metadata(base).ok().map(|metadata| FileId::of(&metadata));
    // Without rotated files there is no order that a second look could tell.
    Ok(Some((met, !has_rotated || is_whole && stands == stood)))
}

/// Where a log's file really stands, symbolic links followed. `None` when it does not exist.
pub fn resolve(base: &Path) -> Option<PathBuf> {
    fs::canonicalize(base).ok()
}

/// A name behind the log's, without `.gz`.
struct Behind {
    end: OsString,
    kind: Kind,
    /// Absent from the listing: what stood below it may have moved up since.
    is_listed: bool,
    modified: SystemTime,
}

/// The rotated names, newest first. `None` when there is no directory.
fn rotated_names(base: &Path, listings: &Listings) -> Result<Option<Vec<Behind>>, FileError> {
    let (Some(dir), Some(name)) = (base.parent(), base.file_name()) else { return Ok(None) };
    let failed = |cause| FileError { what: "cannot list", path: dir.to_owned(), cause };
    let mut names: Vec<Behind> = Vec::new();
    let listed = listings.each(dir, name.as_bytes(), |entry| {
        let Some(rotated) = naming::rotated(name.as_bytes(), entry) else { return };
        let mut end = entry.get(name.len()..).unwrap_or_default();
        if rotated.gzip {
            end = end.strip_suffix(b".gz").unwrap_or(end);
        }
        let end = OsString::from_vec(end.to_vec());
        names.push(Behind { end, kind: rotated.kind, is_listed: true, modified: UNIX_EPOCH });
    });
    match listed {
        Err(error) if is_gone(&error) => return Ok(None),
        listed => listed.map_err(failed)?,
    }
    // A listing in the midst of a rotation has gaps, into which files move before they are looked at.
    let number = |kind| if let Kind::Number(number) = kind { Some(number) } else { None };
    let listed: Vec<_> = names.iter().filter_map(|name| number(name.kind)).collect();
    for above in listed.into_iter().chain([0]).map(|number| number.saturating_add(1)) {
        let (end, kind) = (OsString::from(format!(".{above}")), Kind::Number(above));
        names.push(Behind { end, kind, is_listed: false, modified: UNIX_EPOCH });
    }
    let order = |a: &Behind, b: &Behind| {
        let ends = || a.end.cmp(&b.end).then(b.is_listed.cmp(&a.is_listed));
        a.kind.order().cmp(&b.kind.order()).then(a.kind.newer_first(b.kind)).then_with(ends)
    };
    names.sort_unstable_by(order);
    names.dedup_by(|a, b| a.end == b.end);
    let is_mixed = names.len() > 2
        && names.first().map(|name| name.kind.order()) != names.last().map(|name| name.kind.order());
    if is_mixed || names.iter().any(|name| name.kind == Kind::Kept) {
        by_time(base, &mut names);
    }
    names.truncate(ROTATED);
    Ok(Some(names))
}

/// Merges names of several kinds by their files' times; each kind keeps its order.
fn by_time(base: &Path, names: &mut Vec<Behind>) {
    let mut kinds: Vec<std::collections::VecDeque<Behind>> = Vec::new();
    for mut name in names.drain(..) {
        let plain = behind(base, &name.end, "");
        let metadata = fs::metadata(&plain).or_else(|_| fs::metadata(behind(base, &name.end, ".gz")));
        if metadata.is_err() && !name.is_listed {
            continue;
        }
        name.modified = metadata.and_then(|metadata| metadata.modified()).unwrap_or(UNIX_EPOCH);
        match kinds.last_mut() {
            Some(kind) if kind.back().is_some_and(|last| last.kind.order() == name.kind.order()) => {
                kind.push_back(name)
            }
            _ => kinds.push([name].into()),
        }
    }
    if let Some(kept) =
        kinds.last_mut().filter(|kind| kind.front().is_some_and(|first| first.kind == Kind::Kept))
    {
        kept.make_contiguous().sort_by_key(|name| std::cmp::Reverse(name.modified));
    }
    while let Some(newest) = kinds
        .iter_mut()
        .filter(|kind| !kind.is_empty())
        .max_by_key(|kind| kind.front().map(|first| first.modified))
    {
        names.extend(newest.pop_front());
    }
}

fn behind(base: &Path, end: &OsStr, more: &str) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(end);
    name.push(more);
    PathBuf::from(name)
}

/// The plain file of this name, or else the compressed one. While there are both, the one is being made of the other and is
/// not complete.
fn meet(base: &Path, name: Behind) -> Result<Option<Found>, FileError> {
    let plain = behind(base, &name.end, "");
    for _ in 0..2 {
        if let Some(found) = open(plain.clone(), false)? {
            return Ok(Some(found));
        }
        let Some(mut found) = open(behind(base, &name.end, ".gz"), true)? else { return Ok(None) };
        // The plain one may have come and be compressed since it was looked for.
        if plain.is_file() {
            continue;
        }
        let size = found.file.metadata().map_or(found.size, |metadata| metadata.len());
        if size != found.size {
            (found.size, found.head) = (size, inflated_head(&found.file));
        }
        return Ok(Some(found));
    }
    Ok(None)
}

pub(super) fn is_packed(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b".gz")
}

/// Opens a file and looks at its beginning. `None` when there is no plain file of that name.
pub fn open(path: PathBuf, gzip: bool) -> Result<Option<Found>, FileError> {
    let opened = (|| {
        let file = open_now(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let head = if gzip { inflated_head(&file) } else { head(&file)? };
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        Ok(Some((FileId::of(&metadata), metadata.len(), modified, head, file)))
    })();
    match opened {
        Ok(Some((id, size, modified, head, file))) => {
            Ok(Some(Found { path, file, id, size, modified, gzip, head }))
        }
        Ok(None) => Ok(None),
        Err(error) if is_gone(&error) => Ok(None),
        Err(cause) => Err(FileError { what: "cannot open", path, cause }),
    }
}

/// Opens a file to be read. A FIFO of that name does not hold us.
pub fn open_now(path: &Path) -> io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    OpenOptions::new().read(true).custom_flags(nonblocking).open(path)
}

/// What a fingerprint is made of.
pub fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; Fingerprint::BYTES];
    let mut len = 0;
    while len < head.len() {
        match file.read_at(&mut head[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(len);
    Ok(head)
}

/// A damaged file has what can be inflated of it.
fn inflated_head(file: &File) -> Vec<u8> {
    let mut head = Vec::new();
    let inflate =
        MultiGzDecoder::new(BufReader::with_capacity(2 * Fingerprint::BYTES, At { file, offset: 0 }));
    // What fails here fails again, and is told, when the file is read.
    let _ = inflate.take(Fingerprint::BYTES as u64).read_to_end(&mut head);
    head
}

/// Reads without moving the place at which others read.
struct At<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Whether an error says that there is nothing.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;
