//! The contents of an input, by what they are and not by their names: who reads each, and how far those were read that
//! nobody reads any more.
//!
//! ```text
//! app.log -> app.1.log -> app.2.log    every name matches: who follows app.1.log meets there what app.log's task reads,
//!                                      and lets it be; when that is left, a walk begins app.1.log where it was left
//! ```
//!
//! What was left is stored under a key of its own until somebody goes on with it under another name, or nobody met it for
//! some walks: no crash makes a new file of it.
//!
//! ```text
//! key    file <input> NUL | device u64 | inode u64 | born u64      all big end first; no path begins with a NUL
//! ```

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use crate::input::follow::identity::FileId;
use crate::input::follow::survey::Found;
use crate::input::follow::{Claims, Position};
use crate::input::positions::Positions;

/// A walk that began before it was renamed may not meet it; the one after that does.
const WALKS: u8 = 2;

pub(super) struct Contents {
    known: Mutex<Known>,
    /// Of all keys of the input.
    prefix: String,
    positions: Arc<Positions>,
}

#[derive(Default)]
struct Known {
    /// The path that each is followed under, whatever name it has now.
    owners: HashMap<FileId, Arc<Path>>,
    left: HashMap<FileId, Left>,
}

/// Read so far, and not read on.
struct Left {
    position: Bytes,
    /// The position that is in the journal, with everything before it. It may be an earlier one.
    stored: Option<Bytes>,
    /// Walks that may still meet it.
    walks: u8,
}

impl Contents {
    pub(super) fn new(prefix: String, positions: Arc<Positions>) -> Contents {
        Contents { known: Mutex::default(), prefix, positions }
    }

    /// Whether a position is stored under this key, which begins with the input's prefix, by what it is of.
    pub(super) fn is_key(&self, key: &[u8]) -> bool {
        key.get(self.prefix.len()) == Some(&0)
    }

    fn key(&self, id: FileId) -> Bytes {
        let mut key = self.prefix.clone().into_bytes();
        key.push(0);
        [id.device, id.inode, id.born].iter().for_each(|part| key.extend_from_slice(&part.to_be_bytes()));
        Bytes::from(key)
    }

    /// Whether who follows `path` may read this file: nobody else does, or did. If so, nobody else may from now on.
    fn claim(&self, found: &Found, path: &Arc<Path>) -> bool {
        let mut known = self.lock();
        if let Some(owner) = known.owners.get(&found.id) {
            return owner == path;
        }
        let was_read = known.left.get(&found.id).is_some_and(|left| {
            // Inodes are used again, and files are truncated.
            Position::from_bytes(&left.position).is_some_and(|position| found.likeness(&position.read) > 0)
        });
        if !was_read {
            known.owners.insert(found.id, path.clone());
        }
        !was_read
    }

    /// As an earlier run noted it.
    pub(super) fn own(&self, id: FileId, path: &Arc<Path>) {
        self.lock().owners.entry(id).or_insert_with(|| path.clone());
    }

    /// Who reads it.
    pub(super) fn owner(&self, id: FileId) -> Option<Arc<Path>> {
        self.lock().owners.get(&id).cloned()
    }

    /// Nothing is followed under this path any more.
    pub(super) fn release_all(&self, path: &Path) {
        self.lock().owners.retain(|_, owner| &**owner != path);
    }

    fn release(&self, id: FileId, path: &Path) {
        let mut known = self.lock();
        if known.owners.get(&id).is_some_and(|owner| &**owner == path) {
            known.owners.remove(&id);
        }
    }

    /// Who followed it under `path` goes no further than this position. `stored`: what the journal has of it.
    pub(super) fn leave(&self, path: &Path, position: Bytes, stored: Option<Bytes>) {
        let id_of = |position: &Bytes| Position::from_bytes(position).map(|position| position.read.id);
        let Some(id) = id_of(&position) else { return };
        let stored = stored.filter(|stored| id_of(stored) == Some(id));
        let mut known = self.lock();
        if known.owners.get(&id).is_some_and(|owner| &**owner != path) {
            // Somebody goes on with it already.
            return;
        }
        known.owners.remove(&id);
        let is_stored = stored.is_some();
        if let Some(stored) = &stored {
            self.positions.store(&self.key(id), stored.clone());
        }
        let left = Left { position, stored, walks: WALKS };
        if known.left.insert(id, left).is_some_and(|former| former.stored.is_some()) && !is_stored {
            self.positions.forget(&self.key(id));
        }
    }

    /// Takes over what an earlier run left, of which this is stored; `is_known`: that run went on with it.
    pub(super) fn restore(&self, key: &Bytes, position: Bytes, is_known: impl Fn(FileId) -> bool) {
        match Position::from_bytes(&position).map(|position| position.read.id) {
            Some(id) if !is_known(id) => {
                let stored = Some(position.clone());
                self.lock().left.insert(id, Left { position, stored, walks: WALKS });
            }
            _ => self.positions.forget(key),
        }
    }

    /// The position of this content, which was met under another name and will be known by this key.
    pub(super) fn take(&self, id: FileId, key: &Bytes) -> Option<Bytes> {
        let left = self.lock().left.remove(&id)?;
        if let Some(stored) = left.stored {
            self.positions.store(key, stored);
            self.positions.forget(&self.key(id));
        }
        Some(left.position)
    }

    /// After a walk that met these. What it met is kept: whose name it has may be busy with another content.
    pub(super) fn tend(&self, met: impl Iterator<Item = FileId>) {
        let Known { owners, left } = &mut *self.lock();
        if left.is_empty() {
            return;
        }
        left.values_mut().for_each(|left| left.walks = left.walks.saturating_sub(1));
        for id in met {
            if let Some(left) = left.get_mut(&id) {
                left.walks = WALKS;
            }
        }
        left.retain(|id, left| {
            let is_kept = left.walks > 0 && !owners.contains_key(id);
            if left.stored.is_some() && !is_kept {
                self.positions.forget(&self.key(*id));
            }
            is_kept
        });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What may be read under one path.
pub(super) struct ByPath {
    pub(super) contents: Arc<Contents>,
    pub(super) path: Arc<Path>,
}

impl Claims for ByPath {
    fn claim(&self, found: &Found) -> bool {
        self.contents.claim(found, &self.path)
    }

    fn release(&self, id: FileId) {
        self.contents.release(id, &self.path);
    }
}
