//! The files of one container's copy: appending, turning to the next file, and going over them.
//!
//! Each file holds whole entries, save what a crash left at the end of the newest one: that is cut off before the file is
//! written again. A reader never waits for a writer; what it finds half written is not there yet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::base::file::{PRIVATE, own_private_dir};
use crate::base::limits::KIB;
use crate::wire::log_entry::{LENGTH_BYTES, LogEntry, MAX_ENTRY};

/// A reader takes so much at once.
const READ_BYTES: usize = 64 * KIB;

/// What is written.
pub struct Copy {
    dir: PathBuf,
    /// At this size the next file begins.
    half: u64,
    open: Option<Open>,
}

struct Open {
    file: File,
    number: u64,
    bytes: u64,
}

impl Copy {
    /// Touches nothing until something is appended.
    pub fn new(dir: PathBuf, half: u64) -> Copy {
        Copy { dir, half, open: None }
    }

    /// Appends framed entries; they are never divided between files.
    pub fn append(&mut self, entries: &[u8]) -> io::Result<()> {
        let len = entries.len() as u64;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_newest()?,
        };
        if open.bytes > 0 && open.bytes + len > self.half {
            open = self.create(open.number + 1)?;
            for old in numbers(&self.dir)?.into_iter().filter(|number| *number + 1 < open.number) {
                fs::remove_file(path(&self.dir, old))?;
            }
        }
        // After a failure the file is opened anew, and what was half written is cut off.
        open.file.write_all(entries)?;
        open.bytes += len;
        self.open = Some(open);
        Ok(())
    }

    fn open_newest(&self) -> io::Result<Open> {
        own_private_dir(&self.dir)?;
        let Some(number) = numbers(&self.dir)?.last().copied() else { return self.create(1) };
        let file = OpenOptions::new().read(true).append(true).open(path(&self.dir, number))?;
        let bytes = whole_bytes(&file)?;
        file.set_len(bytes)?;
        Ok(Open { file, number, bytes })
    }

    fn create(&self, number: u64) -> io::Result<Open> {
        let file =
            OpenOptions::new().append(true).create_new(true).mode(PRIVATE).open(path(&self.dir, number))?;
        Ok(Open { file, number, bytes: 0 })
    }
}

/// Bytes up to the end of the last whole entry.
fn whole_bytes(file: &File) -> io::Result<u64> {
    let bytes = file.metadata()?.len();
    if ends_whole(file, bytes)? {
        return Ok(bytes);
    }
    let mut entries = Entries::new(file.try_clone()?);
    while entries.next(|_| ())? {}
    Ok(entries.at)
}

/// Whether the length before the end is the one before the entry as well.
fn ends_whole(file: &File, bytes: u64) -> io::Result<bool> {
    let frame = 2 * LENGTH_BYTES as u64;
    let mut length = [0; LENGTH_BYTES];
    let Some(at) = bytes.checked_sub(LENGTH_BYTES as u64) else { return Ok(bytes == 0) };
    file.read_exact_at(&mut length, at)?;
    let behind = u32::from_be_bytes(length);
    let Some(at) = bytes.checked_sub(u64::from(behind) + frame) else { return Ok(false) };
    file.read_exact_at(&mut length, at)?;
    Ok(behind as usize <= MAX_ENTRY && u32::from_be_bytes(length) == behind)
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.log"))
}

/// The files there are, oldest first.
pub fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Goes over all entries of a copy, from its oldest one to its end, and on from there when more was written.
pub struct Reading {
    dir: PathBuf,
    file: Option<(u64, Entries)>,
}

impl Reading {
    pub fn new(dir: PathBuf) -> Reading {
        Reading { dir, file: None }
    }

    /// Hands over the next entry; false when there is none now.
    pub fn next(&mut self, mut each: impl FnMut(&LogEntry<'_>)) -> io::Result<bool> {
        loop {
            let known = self.file.as_ref().map(|(number, _)| *number);
            // Before the file's end is met: what is written later into this one is not missed when another follows.
            if let Some((_, entries)) = &mut self.file
                && entries.next(&mut each)?
            {
                return Ok(true);
            }
            let newer =
                numbers(&self.dir)?.into_iter().find(|number| known.is_none_or(|known| *number > known));
            let Some(newer) = newer else { return Ok(false) };
            if let Some((_, entries)) = &mut self.file
                && entries.next(&mut each)?
            {
                return Ok(true);
            }
            match File::open(path(&self.dir, newer)) {
                Ok(file) => self.file = Some((newer, Entries::new(file))),
                // It was given up meanwhile; there are newer ones.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The entries of one file.
struct Entries {
    file: File,
    /// Where the next entry begins.
    at: u64,
    /// What was read, from `from` on.
    buffer: Vec<u8>,
    from: usize,
}

impl Entries {
    fn new(file: File) -> Entries {
        Entries { file, at: 0, buffer: Vec::new(), from: 0 }
    }

    /// Hands over the next whole entry; false when there is none, or when what follows is none.
    fn next(&mut self, each: impl FnOnce(&LogEntry<'_>)) -> io::Result<bool> {
        let Some(len) = self.length(0)? else { return Ok(false) };
        let frame = len + 2 * LENGTH_BYTES;
        if len > MAX_ENTRY || self.length(LENGTH_BYTES + len)? != Some(len) {
            return Ok(false);
        }
        let message = self.buffer.get(self.from + LENGTH_BYTES..self.from + LENGTH_BYTES + len);
        // Zeros, which a power cut may leave, would read as empty entries.
        let Some(entry) =
            message.and_then(|message| LogEntry::read(message).ok()).filter(LogEntry::is_docker)
        else {
            return Ok(false);
        };
        each(&entry);
        self.from += frame;
        self.at += frame as u64;
        Ok(true)
    }

    /// The length that lies so far behind the entry's beginning.
    fn length(&mut self, behind: usize) -> io::Result<Option<usize>> {
        if behind > MAX_ENTRY + LENGTH_BYTES || !self.fill(behind + LENGTH_BYTES)? {
            return Ok(None);
        }
        let bytes = self.buffer.get(self.from + behind..).and_then(|bytes| bytes.first_chunk());
        Ok(bytes.map(|bytes| u32::from_be_bytes(*bytes) as usize))
    }

    /// Reads until `len` bytes are there.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        while self.buffer.len() - self.from < len {
            self.buffer.drain(..std::mem::take(&mut self.from));
            let wanted = len.max(READ_BYTES) - self.buffer.len().min(len);
            if (&self.file).take(wanted as u64).read_to_end(&mut self.buffer)? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(line: &str) -> Vec<u8> {
        let mut message = Vec::new();
        LogEntry { source: b"stdout", time_nano: 1, line: line.as_bytes(), ..LogEntry::default() }
            .append(&mut message);
        let length = (message.len() as u32).to_be_bytes();
        [&length[..], &message, &length].concat()
    }

    fn lines(reading: &mut Reading) -> Vec<String> {
        let mut lines = Vec::new();
        while reading.next(|entry| lines.push(String::from_utf8_lossy(entry.line).into_owned())).unwrap() {}
        lines
    }

    #[test]
    fn the_newest_lines_are_kept_and_read_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut copy = Copy::new(dir.path().join("c"), 100);
        let mut reading = Reading::new(dir.path().join("c"));
        assert_eq!(lines(&mut reading), [""; 0]);
        copy.append(&framed("one")).unwrap();
        assert_eq!(lines(&mut reading), ["one"]);
        for line in ["two", "three", "four", "five"] {
            copy.append(&framed(line)).unwrap();
        }
        assert_eq!(lines(&mut reading), ["two", "three", "four", "five"]);
        for number in 0..50 {
            copy.append(&framed(&number.to_string())).unwrap();
        }
        let left = lines(&mut Reading::new(dir.path().join("c")));
        assert!(left.len() < 12 && left.last().unwrap() == "49", "{left:?}");
        assert_eq!(numbers(&dir.path().join("c")).unwrap().len(), 2);
        let read_on = lines(&mut reading);
        assert!(read_on.ends_with(&left), "who was left behind goes on with what is there: {read_on:?}");
        assert_eq!(lines(&mut reading), [""; 0]);
    }

    #[test]
    fn what_a_crash_left_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        Copy::new(dir.path().to_owned(), 10_000).append(&[framed("one"), framed("two")].concat()).unwrap();
        let path = path(dir.path(), 1);
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let before = lines(&mut Reading::new(dir.path().to_owned()));
            Copy::new(dir.path().to_owned(), 10_000).append(&framed("new")).unwrap();
            let after = lines(&mut Reading::new(dir.path().to_owned()));
            assert_eq!(after, [before, vec!["new".to_owned()]].concat(), "{end}");
        }
    }

    #[test]
    fn large_entries_come_through() {
        let dir = tempfile::tempdir().unwrap();
        let large = "x".repeat(MAX_ENTRY - 100);
        let mut copy = Copy::new(dir.path().to_owned(), 10_000_000);
        copy.append(&[framed("a"), framed(&large), framed("b")].concat()).unwrap();
        assert_eq!(lines(&mut Reading::new(dir.path().to_owned())), ["a", &large, "b"]);
    }
}
