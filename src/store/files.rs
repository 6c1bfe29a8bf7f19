//! The files of packs that are there, and connections to read them with.
//!
//! ```text
//!             open for writing -> sealed (a later one of its class has replaced it) -> retired (expired, or to make room)
//! packs/30d-START.db    \________________________________________________________/    erased when nobody reads it
//!                                         |
//!                            damaged: 30d-START.db.damaged, off the list, never erased
//! ```
//!
//! A [`PackFile`] is shared by the list, by scans and by the writer. One that is retired is erased when the last of them
//! lets go of it, so that nobody reads a file that vanishes. A name is never used twice while the store is open.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use rusqlite::Connection;

use super::StoreError;
use super::partition::Slice;
use super::schema;
use crate::base::file as private;
use crate::base::metrics::{Counter, counter};

/// Reading connections that stay open while nobody reads: each holds some files and up to half a MiB.
const IDLE: usize = 48;
/// What the name of a damaged file ends in.
const DAMAGED: &str = ".damaged";

/// A file of packs.
#[derive(Debug)]
pub struct PackFile {
    pub slice: Slice,
    path: PathBuf,
    /// No pack is added any more.
    sealed: AtomicBool,
    /// Damaged, and no longer under its name.
    aside: AtomicBool,
    /// Off the list; once it is erased, its bytes leave this count.
    retired: AtomicBool,
    leaving: Arc<AtomicU64>,
    /// What it added to that count.
    counted: AtomicU64,
    /// Of a sealed file, once asked: by logstore.
    bounds: Mutex<HashMap<i64, Bounds>>,
}

/// Nanoseconds of a logstore's logs in a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bounds {
    /// The file is not sealed, so that they may change.
    Open,
    Nothing,
    /// The first and the last one.
    Within(i64, i64),
}

impl PackFile {
    fn new(dir: &Path, slice: Slice, leaving: &Arc<AtomicU64>) -> PackFile {
        PackFile {
            slice,
            path: dir.join(slice.file_name()),
            sealed: AtomicBool::new(false),
            aside: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            leaving: leaving.clone(),
            counted: AtomicU64::new(0),
            bounds: Mutex::default(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes on the disk, with its WAL.
    pub(super) fn bytes(&self) -> u64 {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        size(&self.path) + size(&beside(&self.path, "-wal"))
    }

    pub(super) fn seal(&self) {
        self.sealed.store(true, Relaxed);
    }

    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Relaxed)
    }

    /// Whether what is written to it now will not be found.
    pub(super) fn is_aside(&self) -> bool {
        self.aside.load(Relaxed)
    }

    /// Whether it is only there until its last reader lets go of it.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Takes it away for good: nobody is offered it any more.
    fn retire(&self) {
        let bytes = self.bytes();
        self.counted.store(bytes, Relaxed);
        self.leaving.fetch_add(bytes, Relaxed);
        self.retired.store(true, Relaxed);
    }
}

impl Drop for PackFile {
    fn drop(&mut self) {
        if !*self.retired.get_mut() {
            return;
        }
        for path in [self.path.clone(), beside(&self.path, "-wal"), beside(&self.path, "-shm")] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(%error, path = %path.display(), "cannot erase a file of old logs; remove it");
                }
                _ => {}
            }
        }
        // Its size may have changed since, with its WAL.
        self.leaving.fetch_sub(*self.counted.get_mut(), Relaxed);
    }
}

/// `packs/` and what is in it.
pub(super) struct Files {
    dir: PathBuf,
    list: RwLock<BTreeMap<Slice, Arc<PackFile>>>,
    idle: Mutex<Vec<(Connection, Arc<PackFile>)>>,
    /// Bytes of retired files that are still read.
    leaving: Arc<AtomicU64>,
    damaged: Counter,
}

impl Files {
    /// Looks at a directory, which is made when it is not there.
    pub(super) fn open(dir: PathBuf) -> Result<Files, StoreError> {
        let or = |cause| StoreError::Path { path: dir.clone(), cause };
        private::own_private_dir(&dir).map_err(or)?;
        if let Some(above) = dir.parent() {
            private::sync_dir(above).map_err(or)?;
        }
        let (mut list, leaving) = (BTreeMap::new(), Arc::new(AtomicU64::new(0)));
        for entry in std::fs::read_dir(&dir).map_err(or)? {
            let name = entry.map_err(or)?.file_name();
            if let Some(slice) = name.to_str().and_then(Slice::from_name) {
                list.insert(slice, Arc::new(PackFile::new(&dir, slice, &leaving)));
            }
        }
        let damaged = counter(
            "sluicegate_store_damaged_files_total",
            "Files of packs set aside because they were damaged",
            &[],
        );
        Ok(Files { dir, list: RwLock::new(list), idle: Mutex::default(), leaving, damaged })
    }

    /// All files, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<PackFile>> {
        self.list.read().unwrap_or_else(|poisoned| poisoned.into_inner()).values().cloned().collect()
    }

    pub(super) fn get(&self, slice: Slice) -> Option<Arc<PackFile>> {
        self.list.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&slice).cloned()
    }

    /// The newest file of a class.
    pub(super) fn newest(&self, ttl: i64) -> Option<Arc<PackFile>> {
        let list = self.list.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        list.values().rev().find(|file| file.slice.ttl == ttl).cloned()
    }

    /// A file and a connection that writes to it; made when it is not there.
    pub(super) fn open_writer(&self, slice: Slice) -> Result<(Arc<PackFile>, Connection), StoreError> {
        let file = self.get(slice);
        let is_new = file.is_none();
        let file = file.unwrap_or_else(|| Arc::new(PackFile::new(&self.dir, slice, &self.leaving)));
        let opened = schema::open_writer(&file.path, &schema::PACKS_LAYOUT);
        let connection = opened.inspect_err(|error| {
            if !is_new {
                self.mind(&file, error);
            }
        })?;
        if is_new {
            private::sync_dir(&self.dir)
                .map_err(|cause| StoreError::Path { path: self.dir.clone(), cause })?;
            let mut list = self.list.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            list.insert(slice, file.clone());
        }
        Ok((file, connection))
    }

    /// Takes a file off the list; it is erased when nobody reads it any more.
    pub(super) fn retire(&self, slice: Slice) {
        if let Some(file) = self.remove(slice) {
            file.retire();
            self.forget(&file);
        }
    }

    /// Bytes of retired files that somebody still reads.
    pub(super) fn leaving(&self) -> u64 {
        self.leaving.load(Relaxed)
    }

    /// Sets a file aside if this error says that it is damaged: under another name, with its WAL, for a person to save
    /// what can be read. All others go on.
    pub(super) fn mind(&self, file: &Arc<PackFile>, error: &StoreError) {
        let StoreError::Damaged { reason, .. } = error else { return };
        if self.remove(file.slice).is_none() {
            return;
        }
        file.aside.store(true, Relaxed);
        file.seal();
        self.damaged.increment(1);
        let aside = beside(&file.path, DAMAGED);
        for ending in ["-wal", "-shm"] {
            // They may not be there.
            let _ = std::fs::rename(beside(&file.path, ending), beside(&aside, ending));
        }
        let renamed = std::fs::rename(&file.path, &aside).and_then(|()| private::sync_dir(&self.dir));
        let (path, failed) = (aside.display(), renamed.err().map(|error| error.to_string()));
        tracing::error!(
            reason, failed, path = %path,
            "a file of stored logs is damaged and was set aside; searches go on without it (`sqlite3 FILE .recover` \
             saves what is readable)"
        );
        self.forget(file);
    }

    fn remove(&self, slice: Slice) -> Option<Arc<PackFile>> {
        self.list.write().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(&slice)
    }

    /// A connection to read a file with.
    pub(super) fn reader(&self, file: &Arc<PackFile>) -> Result<Reader<'_>, StoreError> {
        let idle = {
            let mut idle = self.idle();
            let at = idle.iter().rposition(|(_, of)| Arc::ptr_eq(of, file));
            at.map(|at| idle.remove(at).0)
        };
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_reader(&file.path).inspect_err(|error| self.mind(file, error))?,
        };
        Ok(Reader { connection: Some(connection), file: file.clone(), files: self })
    }

    /// Which times a logstore's logs have in a file.
    pub(super) fn bounds(&self, file: &Arc<PackFile>, logstore: i64) -> Result<Bounds, StoreError> {
        if !file.is_sealed() {
            return Ok(Bounds::Open);
        }
        let known = || file.bounds.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(bounds) = known().get(&logstore).copied() {
            return Ok(bounds);
        }
        let found: (Option<i64>, Option<i64>) = self.reader(file)?.with(|db| {
            let mut query = db.prepare_cached(
                "SELECT (SELECT min(first_time) FROM packs WHERE logstore = ?1), \
                 (SELECT max(last_time) FROM packs WHERE logstore = ?1)",
            )?;
            query.query_row([logstore], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        let bounds = match found {
            (Some(first), Some(last)) => Bounds::Within(first, last),
            _ => Bounds::Nothing,
        };
        known().insert(logstore, bounds);
        Ok(bounds)
    }

    /// Closes connections that nobody uses.
    pub(super) fn close_idle(&self) {
        let closed = std::mem::take(&mut *self.idle());
        drop(closed);
    }

    fn forget(&self, file: &Arc<PackFile>) {
        let mut closed = Vec::new();
        let mut idle = self.idle();
        while let Some(at) = idle.iter().position(|(_, of)| Arc::ptr_eq(of, file)) {
            closed.push(idle.remove(at));
        }
        // Closing may fold a WAL back, which takes its time.
        drop(idle);
        drop(closed);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Arc<PackFile>)>> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A connection on loan. Drop it and it is kept for the next one who asks.
pub struct Reader<'a> {
    /// `None` after an error.
    connection: Option<Connection>,
    file: Arc<PackFile>,
    files: &'a Files,
}

impl Reader<'_> {
    /// Runs a query. What goes wrong names the file, and this connection is not used again.
    pub fn with<T>(
        &mut self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let Some(connection) = &self.connection else { return Err(StoreError::Stopped) };
        read(connection).map_err(|cause| {
            self.connection = None;
            let error = StoreError::database(&self.file.path, cause);
            self.files.mind(&self.file, &error);
            error
        })
    }

    pub fn file(&self) -> &Arc<PackFile> {
        &self.file
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let mut idle = self.files.idle();
        // Looked at under the lock, since who retires a file closes its idle connections.
        if self.file.retired.load(Relaxed) || self.file.is_aside() {
            drop(idle);
            return;
        }
        let oldest = (idle.len() >= IDLE).then(|| idle.remove(0));
        idle.push((connection, self.file.clone()));
        drop(idle);
        drop(oldest);
    }
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
