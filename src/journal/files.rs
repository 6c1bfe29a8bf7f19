//! The file layer below the journal: few operations, so that a test can stand in for the disk and forget what was
//! not synced, tear writes and run full.
//!
//! One directory holds everything. A name is only durable after [`Files::sync_dir`], bytes only after
//! [`SegmentFile::sync`]. Files are written at their end alone and never reopened for writing.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use crate::base::disk::Space;
use crate::base::file::{PRIVATE, own_private_dir};

/// One directory of files.
pub trait Files: Send + Sync {
    /// Makes a new, empty file; an existing one is an error.
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>>;
    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>>;
    /// Names of all plain files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    fn space(&self) -> io::Result<Space>;
    /// Where this is, for messages.
    fn place(&self) -> &Path;
    /// Lets another gateway open the directory; nothing is written here afterwards.
    fn release(&self) {}
}

/// One open file.
pub trait SegmentFile: Send + Sync {
    /// Appends some of the bytes and says how many, like [`Write::write_vectored`].
    fn write_some(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Gives the space behind `len` back; nothing is written to the file afterwards.
    fn cut(&self, len: u64) -> io::Result<()>;
    /// Makes all written bytes durable.
    fn sync(&self) -> io::Result<()>;
    /// Reads some bytes; 0 at the end.
    fn read_some(&self, into: &mut [u8], at: u64) -> io::Result<usize>;
    fn size(&self) -> io::Result<u64>;
}

/// Writes all pieces, however often the system takes only a part of them.
pub(super) fn write_all(file: &dyn SegmentFile, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        match file.write_some(pieces) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut pieces, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `into` from `at`; says how many bytes there were when the file ends before.
pub(super) fn read_full(file: &dyn SegmentFile, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_some(rest, at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Why a directory cannot be used. The text names the cause, so it is no `source` that would be printed again.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{} is in use by another gateway; stop it or give this one its own data directory", .0.display())]
    InUse(PathBuf),
    #[error("cannot use {}: {cause}; the gateway must be able to create and write files there", path.display())]
    Unusable { path: PathBuf, cause: io::Error },
}

/// The real thing. Holds the directory's lock until it is dropped.
#[derive(Debug)]
pub struct DiskFiles {
    dir: PathBuf,
    handle: File,
    lock: File,
}

impl DiskFiles {
    /// Makes the directory when it is missing and locks it against a second gateway.
    pub fn open(dir: &Path) -> Result<Self, DirectoryError> {
        let unusable = |cause| DirectoryError::Unusable { path: dir.to_owned(), cause };
        own_private_dir(dir).map_err(unusable)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(PRIVATE)
            .open(dir.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DirectoryError::InUse(dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let handle = File::open(dir).map_err(unusable)?;
        // The directory itself may be new, and those above it: their names have to survive as well. What we may not
        // open above the next one was there before us.
        for (above, parent) in dir.canonicalize().map_err(unusable)?.ancestors().skip(1).enumerate() {
            match File::open(parent).and_then(|parent| parent.sync_all()) {
                Err(source) if above == 0 => return Err(unusable(source)),
                _ => {}
            }
        }
        Ok(DiskFiles { dir: dir.to_owned(), handle, lock })
    }
}

impl Files for DiskFiles {
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(PRIVATE);
        let file = options.open(self.dir.join(name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(File::open(self.dir.join(name))?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn space(&self) -> io::Result<Space> {
        Space::of(&self.handle)
    }

    fn place(&self) -> &Path {
        &self.dir
    }

    fn release(&self) {
        // If it fails, dropping the file releases it a little later.
        let _ = self.lock.unlock();
    }
}

impl SegmentFile for File {
    fn write_some(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut file = self;
        file.write_vectored(pieces)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn read_some(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.read_at(into, at)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_listed_read_and_renamed() {
        let dir = tempfile::tempdir().unwrap();
        let files = DiskFiles::open(&dir.path().join("journal")).unwrap();
        let file = files.create("a").unwrap();
        write_all(&*file, &mut [IoSlice::new(b"on"), IoSlice::new(b""), IoSlice::new(b"e")]).unwrap();
        file.sync().unwrap();
        assert!(files.create("a").is_err(), "an existing file is never written again");
        files.rename("a", "b").unwrap();
        files.sync_dir().unwrap();
        let mut names = files.list().unwrap();
        names.sort();
        assert_eq!(names, ["b", "lock"]);
        let mut bytes = [0; 8];
        let read = files.open("b").unwrap();
        assert_eq!((read.size().unwrap(), read_full(&*read, &mut bytes, 1).unwrap()), (3, 2));
        assert_eq!(&bytes[..2], b"ne");
        let space = files.space().unwrap();
        assert!(space.available <= space.total && space.total > 0);
    }

    #[test]
    fn a_second_gateway_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let first = DiskFiles::open(dir.path()).unwrap();
        let refused = DiskFiles::open(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("in use by another gateway"), "{refused}");
        drop(first);
        DiskFiles::open(dir.path()).unwrap();
    }
}
