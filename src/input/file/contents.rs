//! The contents of an input, by what they are and not by their names: who reads each, and how far those were read that
//! nobody reads any more.
//!
//! ```text
//! app.log -> app.1.log -> app.2.log    every name matches: who follows app.1.log meets there what app.log's task reads,
//!                                      and lets it be; when that is left, a walk begins app.1.log where it was left
//! ```
//!
//! A position that is stored stays so under its old key until it is stored under the new one, or nobody met it: a crash
//! between leaves one of the two.

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

#[derive(Default)]
pub(super) struct Contents(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The path that each is followed under, whatever name it has now.
    owners: HashMap<FileId, Arc<Path>>,
    left: HashMap<FileId, Left>,
}

/// Read so far, and not read on.
struct Left {
    position: Bytes,
    /// Everything before the position is in the journal.
    is_stored: bool,
    /// The position is stored under this key, and nobody has it any more.
    key: Option<Bytes>,
    /// Walks that may still meet it.
    walks: u8,
}

impl Contents {
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

    /// Who followed it under `path` goes no further than this position. `key`: where that is stored, if nobody has that key
    /// any more.
    pub(super) fn leave(
        &self,
        path: &Path,
        position: Bytes,
        is_stored: bool,
        key: Option<Bytes>,
        positions: &Positions,
    ) {
        let Some(id) = Position::from_bytes(&position).map(|position| position.read.id) else { return };
        let mut known = self.lock();
        let mut left = Left { position, is_stored, key, walks: WALKS };
        if known.owners.get(&id).is_some_and(|owner| &**owner != path) {
            // Somebody goes on with it already.
            return left.forget(positions);
        }
        known.owners.remove(&id);
        if let Some(mut former) = known.left.remove(&id) {
            // What is known of its name stays known.
            match &left.key {
                None => left.key = former.key,
                key if *key != former.key => former.forget(positions),
                _ => {}
            }
        }
        known.left.insert(id, left);
    }

    /// The position of this content, which was met under another name and will be known by this key.
    pub(super) fn take(&self, id: FileId, key: &Bytes, positions: &Positions) -> Option<Bytes> {
        let mut left = self.lock().left.remove(&id)?;
        if left.is_stored {
            positions.store(key, left.position.clone());
        }
        left.forget(positions);
        Some(left.position)
    }

    /// Another file has this key now.
    pub(super) fn free(&self, key: &Bytes, positions: &Positions) {
        for left in self.lock().left.values_mut().filter(|left| left.key.as_ref() == Some(key)) {
            left.forget(positions);
        }
    }

    /// After a walk that met these. What it met is kept: whose name it has may be busy with another content.
    pub(super) fn tend(&self, met: impl Iterator<Item = FileId>, positions: &Positions) {
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
            if !is_kept {
                left.forget(positions);
            }
            is_kept
        });
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Left {
    /// Forgets its key, unless somebody stored another position there.
    fn forget(&mut self, positions: &Positions) {
        if let Some(key) = self.key.take()
            && positions.get(&key).as_ref() == Some(&self.position)
        {
            positions.forget(&key);
        }
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
