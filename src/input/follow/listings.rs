//! The names in directories that hold many: thousands of logs in one directory do not list it once each.
//!
//! A listing counts as long as the directory's own time of change is the one it had before it was listed, and was some ticks
//! of the file system's clock ago then: whatever name comes or goes later changes it. Small directories are listed each time.

use std::collections::VecDeque;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

/// A directory with fewer names is listed faster than it is kept.
const MANY: usize = 64;
/// Directories that are kept.
const KEPT: usize = 8;
/// File systems keep time in ticks of some milliseconds.
const TICKS: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Listings(Mutex<VecDeque<Listing>>);

#[derive(Clone)]
struct Listing {
    dir: PathBuf,
    stamp: Stamp,
    /// Sorted.
    names: Arc<[Box<[u8]>]>,
}

/// Device, inode, and the times of change of content and of all else.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp([i64; 6]);

impl Stamp {
    fn of(dir: &Metadata) -> Stamp {
        let (device, inode) = (dir.dev().cast_signed(), dir.ino().cast_signed());
        Stamp([device, inode, dir.mtime(), dir.mtime_nsec(), dir.ctime(), dir.ctime_nsec()])
    }
}

impl Listings {
    /// Takes each name in a directory that begins so.
    pub fn each(&self, dir: &Path, beginning: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let names = self.names(dir)?;
        let from = names.partition_point(|name| **name < *beginning);
        let names = names.get(from..).unwrap_or_default();
        names.iter().take_while(|name| name.starts_with(beginning)).for_each(|name| take(name));
        Ok(())
    }

    fn names(&self, dir: &Path) -> io::Result<Arc<[Box<[u8]>]>> {
        let metadata = fs::metadata(dir)?;
        let stamp = Stamp::of(&metadata);
        if let Some(known) = self.lock().iter().find(|known| known.stamp == stamp && known.dir == dir) {
            return Ok(known.names.clone());
        }
        let now = SystemTime::now();
        let is_settled =
            metadata.modified().is_ok_and(|changed| now.duration_since(changed).is_ok_and(|age| age > TICKS));
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().as_bytes().into());
        }
        names.sort_unstable();
        let names: Arc<[Box<[u8]>]> = names.into();
        let mut listings = self.lock();
        listings.retain(|known| known.dir != dir);
        if is_settled && names.len() >= MANY {
            listings.truncate(KEPT - 1);
            listings.push_front(Listing { dir: dir.to_owned(), stamp, names: names.clone() });
        }
        Ok(names)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Listing>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listings: &Listings, dir: &Path, beginning: &str) -> Vec<String> {
        let mut names = Vec::new();
        let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
        listings.each(dir, beginning.as_bytes(), |name| names.push(text(name))).unwrap();
        names
    }

    #[test]
    fn a_listing_is_kept_until_a_name_comes_or_goes() {
        let dir = tempfile::tempdir().unwrap();
        let listings = Listings::default();
        let old = SystemTime::now() - Duration::from_secs(10);
        let age = || fs::File::open(dir.path()).unwrap().set_modified(old).unwrap();
        for number in 0..100 {
            fs::write(dir.path().join(format!("{number:02}.log")), "").unwrap();
        }
        // Changed a moment ago: who knows what comes in the same tick.
        assert_eq!(names(&listings, dir.path(), "2").len(), 10);
        assert!(listings.lock().is_empty());
        age();
        assert_eq!(names(&listings, dir.path(), "27.log"), ["27.log"]);
        assert_eq!(listings.lock().len(), 1);
        let kept = listings.lock()[0].names.clone();
        assert_eq!(names(&listings, dir.path(), "9").len(), 10);
        assert!(Arc::ptr_eq(&kept, &listings.lock()[0].names));
        fs::write(dir.path().join("27.log.1"), "").unwrap();
        assert_eq!(names(&listings, dir.path(), "27.log"), ["27.log", "27.log.1"]);
        age();
        fs::remove_file(dir.path().join("27.log")).unwrap();
        assert_eq!(names(&listings, dir.path(), "27.log"), ["27.log.1"]);
        assert!(names(&listings, dir.path(), "x").is_empty());
        assert!(listings.each(&dir.path().join("no"), b"", |_| ()).is_err());
    }
}
