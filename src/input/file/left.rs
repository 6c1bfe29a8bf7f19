//! Contents that are read so far under one name and are not read on there: each may be met under another name.
//!
//! ```text
//! app.log renamed to app-1.log    its task reads to the end, and leaves it here  ->  a walk meets it, and begins there
//! ```
//!
//! A position that is stored stays so under its old name until it is stored under the new one, or nobody met it: a crash
//! between leaves one of the two.

use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use crate::input::follow::Position;
use crate::input::follow::identity::FileId;
use crate::input::positions::Positions;

/// A walk that began before it was renamed may not meet it; the one after that does.
const WALKS: u8 = 2;

#[derive(Default)]
pub(super) struct Left(Mutex<Vec<Content>>);

struct Content {
    id: FileId,
    position: Bytes,
    /// Everything before the position is in the journal.
    is_stored: bool,
    /// The position is stored under this key, and nobody has it any more.
    key: Option<Bytes>,
    /// Walks that may still meet it.
    walks: u8,
}

impl Left {
    /// `key`: where the position is stored, when its name is given up with it.
    pub(super) fn add(&self, position: Bytes, is_stored: bool, key: Option<Bytes>) {
        let Some(id) = Position::from_bytes(&position).map(|position| position.read.id) else { return };
        let mut contents = self.lock();
        // What is known of its name stays known.
        let key = key.or_else(|| contents.iter_mut().find(|known| known.id == id)?.key.take());
        contents.retain(|known| known.id != id);
        contents.push(Content { id, position, is_stored, key, walks: WALKS });
    }

    /// The position of this content, which was met under another name and will be known by this key.
    pub(super) fn take(&self, id: FileId, key: &Bytes, positions: &Positions) -> Option<Bytes> {
        let mut contents = self.lock();
        let at = contents.iter().position(|content| content.id == id)?;
        let content = contents.swap_remove(at);
        if content.is_stored {
            positions.store(key, content.position.clone());
        }
        content.forget(positions);
        Some(content.position)
    }

    /// Another file has this key now.
    pub(super) fn free(&self, key: &Bytes, positions: &Positions) {
        for content in self.lock().iter_mut().filter(|content| content.key.as_ref() == Some(key)) {
            content.forget(positions);
            content.key = None;
        }
    }

    /// After a walk.
    pub(super) fn tend(&self, positions: &Positions) {
        self.lock().retain_mut(|content| {
            content.walks = content.walks.saturating_sub(1);
            if content.walks == 0 {
                content.forget(positions);
            }
            content.walks > 0
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Content>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Content {
    /// Unless somebody stored another one there.
    fn forget(&self, positions: &Positions) {
        if let Some(key) = &self.key
            && positions.get(key).as_ref() == Some(&self.position)
        {
            positions.forget(key);
        }
    }
}
