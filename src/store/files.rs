//! The files of packs that are there, and connections to read them with.
//!
//! A [`PackFile`] is shared by the list, by scans and by the writer. One that is taken off the list (expired, or its
//! logstores deleted) is erased when the last of them lets go of it, so that nobody reads a file that vanishes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use rusqlite::Connection;

use super::StoreError;
use super::partition::Slice;
use super::schema;
use crate::base::file as private;

/// Reading connections that stay open while nobody reads: each holds some files and at most 2 MiB.
const IDLE: usize = 48;

/// A file of packs.
#[derive(Debug)]
pub struct PackFile {
    pub slice: Slice,
    path: PathBuf,
    /// Off the list: erased with the last of those who know it.
    retired: AtomicBool,
}

impl PackFile {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes on the disk, with its WAL.
    pub(super) fn bytes(&self) -> u64 {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        size(&self.path) + size(&beside(&self.path, "-wal"))
    }
}

impl Drop for PackFile {
    fn drop(&mut self) {
        if *self.retired.get_mut() {
            for path in [self.path.clone(), beside(&self.path, "-wal"), beside(&self.path, "-shm")] {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        tracing::warn!(%error, path = %path.display(), "cannot erase a file of old logs; remove it");
                    }
                    _ => {}
                }
            }
        }
    }
}

/// `packs/` and what is in it.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    list: RwLock<BTreeMap<Slice, Arc<PackFile>>>,
    idle: Mutex<Vec<(Connection, Arc<PackFile>)>>,
}

impl Files {
    /// Looks at a directory, which is made when it is not there.
    pub(super) fn open(dir: PathBuf) -> Result<Files, StoreError> {
        let or = |cause| StoreError::Path { path: dir.clone(), cause };
        private::own_private_dir(&dir).map_err(or)?;
        if let Some(above) = dir.parent() {
            private::sync_dir(above).map_err(or)?;
        }
        let mut list = BTreeMap::new();
        for entry in std::fs::read_dir(&dir).map_err(or)? {
            let name = entry.map_err(or)?.file_name();
            if let Some(slice) = name.to_str().and_then(Slice::from_name) {
                list.insert(slice, Arc::new(PackFile::new(&dir, slice)));
            }
        }
        Ok(Files { dir, list: RwLock::new(list), idle: Mutex::new(Vec::new()) })
    }

    /// All files, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<PackFile>> {
        self.list.read().unwrap_or_else(|poisoned| poisoned.into_inner()).values().cloned().collect()
    }

    /// A file and a connection that writes to it; made when it is not there.
    pub(super) fn open_writer(&self, slice: Slice) -> Result<(Arc<PackFile>, Connection), StoreError> {
        let file = {
            let list = self.list.read().unwrap_or_else(|poisoned| poisoned.into_inner());
            list.get(&slice).cloned()
        };
        let (file, is_new) = match file {
            Some(file) => (file, false),
            None => (Arc::new(PackFile::new(&self.dir, slice)), true),
        };
        let connection = schema::open_writer(&file.path, &schema::PACKS_LAYOUT)?;
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
        let file = self.list.write().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(&slice);
        let Some(file) = file else { return };
        file.retired.store(true, Relaxed);
        self.forget(&file);
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
            None => schema::open_reader(&file.path)?,
        };
        Ok(Reader { connection: Some(connection), file: file.clone(), files: self })
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

impl PackFile {
    fn new(dir: &Path, slice: Slice) -> PackFile {
        PackFile { slice, path: dir.join(slice.file_name()), retired: AtomicBool::new(false) }
    }
}

/// A connection on loan. Drop it and it is kept for the next one who asks.
pub struct Reader<'a> {
    /// `None` only while it is dropped.
    connection: Option<Connection>,
    file: Arc<PackFile>,
    files: &'a Files,
}

impl Reader<'_> {
    /// Runs a query; what goes wrong names the file, and this connection is not used again.
    pub fn with<T>(
        &mut self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let Some(connection) = &self.connection else { return Err(StoreError::Stopped) };
        read(connection).map_err(|cause| {
            self.connection = None;
            StoreError::database(&self.file.path, cause)
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
        if self.file.retired.load(Relaxed) {
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
