//! What stands in a directory under a log's name: the file that is written to, and those it was rotated to.
//!
//! ```text
//! app.log   app.log.1   app.log.2.gz ...        the higher the number, the older
//! ```
//!
//! Rotation shifts names upwards. So names are looked at from the newest to the oldest: a file that moves meanwhile is met
//! twice (and known the second time), never missed. Each is opened at once, since a name may mean another file a moment
//! later. A plain file counts before a compressed one of the same number, which may still be in the making.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::FileError;
use super::identity::{FileId, Fingerprint, Point};

/// Rotated files that are looked for; loggers keep some tens at most.
const ROTATED: usize = 1_000;

/// A file that was met.
pub struct Found {
    pub path: PathBuf,
    pub file: File,
    pub id: FileId,
    /// As it stands on the disk.
    pub size: u64,
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

    /// How surely it is the file in which a place was noted by an earlier run: 0 it is not, 3 for the same inode.
    pub fn likeness(&self, point: &Point) -> u8 {
        if !point.print.fits(&self.head) {
            0
        } else if self.id == point.id {
            3
        } else if point.print.is_empty() || !self.reaches(point.offset) {
            0
        } else if self.gzip || self.id.inode == point.id.inode {
            // Device numbers change with a boot.
            2
        } else {
            // A copy on another disk.
            1
        }
    }

    /// Whether a compressed file may hold so many bytes: its last four tell their number, modulo 2^32.
    fn may_have(&self, size: u64) -> bool {
        self.inflated_size().is_none_or(|inflated| inflated == size as u32)
    }

    fn reaches(&self, offset: u64) -> bool {
        match self.gzip {
            false => self.size >= offset,
            true => self.inflated_size().is_none_or(|size| u64::from(size) >= offset || self.size > offset),
        }
    }

    fn inflated_size(&self) -> Option<u32> {
        let mut last = [0; 4];
        self.file.read_exact_at(&mut last, self.size.checked_sub(4)?).ok()?;
        Some(u32::from_le_bytes(last))
    }
}

/// The files of a log, oldest first, up to and without the newest one that `known` says is no news. `None` when there is
/// not even a directory.
pub fn survey(base: &Path, mut known: impl FnMut(&Found) -> bool) -> Result<Option<Vec<Found>>, FileError> {
    let Some(newest) = newest_number(base)? else { return Ok(None) };
    let mut found: Vec<Found> = Vec::new();
    // One more than was listed: it may have moved up since.
    for number in 0..=newest + 1 {
        let Some(next) = meet(base, number)? else { continue };
        if known(&next) {
            break;
        }
        if found.iter().all(|other| other.id != next.id) {
            found.push(next);
        }
    }
    found.reverse();
    Ok(Some(found))
}

/// The highest number behind the log's name, 0 when there is none.
fn newest_number(base: &Path) -> Result<Option<usize>, FileError> {
    let (Some(dir), Some(name)) = (base.parent(), base.file_name()) else { return Ok(None) };
    let failed = |cause| FileError { what: "cannot list", path: dir.to_owned(), cause };
    let entries = match fs::read_dir(dir) {
        Err(error) if is_gone(&error) => return Ok(None),
        entries => entries.map_err(failed)?,
    };
    let mut highest = 0;
    for entry in entries {
        let entry = entry.map_err(failed)?.file_name();
        let number = entry
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes())
            .and_then(|rest| rest.strip_prefix(b"."))
            .map(|rest| rest.strip_suffix(b".gz").unwrap_or(rest))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        highest = highest.max(number.unwrap_or(0).min(ROTATED));
    }
    Ok(Some(highest))
}

fn meet(base: &Path, number: usize) -> Result<Option<Found>, FileError> {
    if number == 0 {
        return open(base.to_owned(), false);
    }
    let name = |end: &str| {
        let mut name = base.as_os_str().to_owned();
        name.push(format!(".{number}{end}"));
        PathBuf::from(name)
    };
    match open(name(""), false)? {
        Some(found) => Ok(Some(found)),
        None => open(name(".gz"), true),
    }
}

/// Opens a file and looks at its beginning. `None` when there is no plain file of that name.
pub fn open(path: PathBuf, gzip: bool) -> Result<Option<Found>, FileError> {
    let opened = (|| {
        // A FIFO of that name must not hold us.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let head = if gzip { inflated_head(&file) } else { head(&file)? };
        Ok(Some((FileId::of(&metadata), metadata.len(), head, file)))
    })();
    match opened {
        Ok(Some((id, size, head, file))) => Ok(Some(Found { path, file, id, size, gzip, head })),
        Ok(None) => Ok(None),
        Err(error) if is_gone(&error) => Ok(None),
        Err(cause) => Err(FileError { what: "cannot open", path, cause }),
    }
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
mod tests {
    use super::*;

    #[test]
    fn files_come_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("app.log");
        for (name, text) in
            [("", "now"), (".1", "before"), (".3", "long ago"), (".1.gz", "in the making"), (".x", "other")]
        {
            fs::write(dir.path().join(format!("app.log{name}")), text).unwrap();
        }
        fs::create_dir(dir.path().join("app.log.4")).unwrap();
        let heads = |found: Vec<Found>| -> Vec<String> {
            found.into_iter().map(|found| String::from_utf8(found.head).unwrap()).collect()
        };
        assert_eq!(heads(survey(&base, |_| false).unwrap().unwrap()), ["long ago", "before", "now"]);
        assert_eq!(heads(survey(&base, |found| found.head == b"before").unwrap().unwrap()), ["now"]);
        assert!(survey(&dir.path().join("no/app.log"), |_| false).unwrap().is_none());
    }
}
