//! What `docker logs` reads: a copy of each container's newest entries, on this machine, in the `local` driver's form.
//!
//! ```text
//! <input>.logs/<container id>/<number>.log     length | LogEntry | length     one behind the other
//! ```
//!
//! A container has two files, the one that is written and the one before it, each half of `read_logs_bytes`; the numbers
//! count up. The copy is for looking at and for nothing else: it is not synced, a failure to write it is counted and said,
//! and never holds a line back. Copies of containers that write no more go after a week, or sooner when all copies together
//! grow too large; then the oldest goes first.

pub mod file;
pub mod query;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::base::disk::Watch;
use crate::base::file::own_private_dir;
use crate::base::limits::MIB;
use file::Copy;

/// Copies that nobody writes are kept so long.
const AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// All copies together, where that is more than some containers' worth.
const TOTAL_BYTES: u64 = 1024 * MIB as u64;
const TOTAL_COPIES: u64 = 16;

/// The copies of one plugin.
pub struct Copies {
    dir: PathBuf,
    /// Bytes of one container's copy.
    max_bytes: u64,
    /// The last tenth of the file system is not ours.
    space: Watch,
    known: Mutex<HashMap<String, Arc<Shared>>>,
}

/// A container's copy, as its writers and readers share it.
pub struct Shared {
    copy: Mutex<Copy>,
    /// How often something was written, and how many write: readers that follow wait for either to change.
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub written: u64,
    pub writers: usize,
}

/// One FIFO's right to write. Readers that follow end when the last one is dropped.
pub struct Writer {
    shared: Arc<Shared>,
    copies: Arc<Copies>,
    id: String,
}

impl Copies {
    /// Makes the directory.
    pub fn open(dir: PathBuf, max_bytes: u64) -> io::Result<Copies> {
        own_private_dir(&dir)?;
        let space = Watch::new(fs::File::open(&dir)?);
        Ok(Copies { dir, max_bytes, space, known: Mutex::default() })
    }

    /// Where the copy of a container lies, whether it is there or not.
    pub fn dir_of(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// Begins to write the copy of a container.
    pub fn writer(self: &Arc<Self>, id: &str) -> Writer {
        let mut known = self.lock();
        let shared = known.entry(id.to_owned()).or_insert_with(|| {
            let copy = Copy::new(self.dir_of(id), self.max_bytes / 2);
            Arc::new(Shared { copy: Mutex::new(copy), state: watch::Sender::default() })
        });
        shared.state.send_modify(|state| state.writers += 1);
        Writer { shared: shared.clone(), copies: self.clone(), id: id.to_owned() }
    }

    /// What changes when a container's copy does; `None` when nobody writes it.
    pub fn watch(&self, id: &str) -> Option<watch::Receiver<State>> {
        self.lock().get(id).map(|shared| shared.state.subscribe())
    }

    /// Removes what is too old or too much. Blocking.
    pub fn sweep(&self, now: SystemTime) -> io::Result<()> {
        let mut idle = Vec::new();
        let mut total = 0;
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(id) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
                continue;
            };
            let (bytes, touched) = measure(&path)?;
            total += bytes;
            if !self.lock().contains_key(&id) {
                idle.push((touched, bytes, id));
            }
        }
        idle.sort();
        let most = TOTAL_BYTES.max(self.max_bytes.saturating_mul(TOTAL_COPIES));
        for (touched, bytes, id) in idle {
            let is_old = now.duration_since(touched).is_ok_and(|age| age > AGE);
            if !is_old && total <= most {
                continue;
            }
            let gone = self.dir_of(&format!("{id}.gone"));
            let known = self.lock();
            // It may have been started again; under the lock nobody can begin to write.
            if known.contains_key(&id) {
                continue;
            }
            fs::rename(self.dir_of(&id), &gone)?;
            drop(known);
            fs::remove_dir_all(&gone)?;
            total -= bytes;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Shared>>> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Writer {
    /// Appends entries that are framed already. Blocking.
    pub fn append(&self, entries: &[u8]) -> io::Result<()> {
        if self.copies.space.admit(entries.len() as u64).is_err() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut copy = self.shared.copy.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let appended = copy.append(entries);
        drop(copy);
        self.shared.state.send_modify(|state| state.written += 1);
        appended
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut known = self.copies.lock();
        let mut left = 0;
        self.shared.state.send_modify(|state| {
            state.writers -= 1;
            left = state.writers;
        });
        if left == 0 {
            known.remove(&self.id);
        }
    }
}

/// Bytes of a directory's files and when one was written last.
fn measure(dir: &Path) -> io::Result<(u64, SystemTime)> {
    let mut touched = fs::metadata(dir)?.modified()?;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let file = entry?.metadata()?;
        bytes += file.len();
        touched = touched.max(file.modified()?);
    }
    Ok((bytes, touched))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(dir: &Path) -> Arc<Copies> {
        Arc::new(Copies::open(dir.join("docker-logs"), 1000).unwrap())
    }

    #[test]
    fn copies_of_containers_that_are_gone_go() {
        let dir = tempfile::tempdir().unwrap();
        let copies = copies(dir.path());
        let (old, running) = (copies.writer("aa"), copies.writer("bb"));
        old.append(b"x").unwrap();
        running.append(b"x").unwrap();
        drop(old);
        copies.sweep(SystemTime::now()).unwrap();
        assert!(copies.dir_of("aa").exists());
        copies.sweep(SystemTime::now() + 2 * AGE).unwrap();
        assert!(!copies.dir_of("aa").exists() && copies.dir_of("bb").exists());
    }

    #[tokio::test]
    async fn who_follows_hears_of_lines_and_of_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let copies = copies(dir.path());
        assert!(copies.watch("aa").is_none());
        let (one, two) = (copies.writer("aa"), copies.writer("aa"));
        let mut watch = copies.watch("aa").unwrap();
        one.append(b"x").unwrap();
        watch.changed().await.unwrap();
        assert_eq!(*watch.borrow_and_update(), State { written: 1, writers: 2 });
        drop(one);
        watch.changed().await.unwrap();
        assert_eq!(watch.borrow_and_update().writers, 1);
        drop(two);
        assert_eq!(watch.borrow_and_update().writers, 0);
        assert!(copies.watch("aa").is_none());
    }
}
