//! What the handles and the writer share: the state under its lock, the files, and reading a payload back.

use super::Options;
use super::files::{Files, read_full};
use super::queue::Place;
use super::quota::SpaceLook;
use super::state::State;
use bytes::Bytes;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

/// Why a leased entry's bytes cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the entry was settled")]
    Settled,
    #[error("journal segment {segment} cannot be read: {cause}; check the disk")]
    Io { segment: String, cause: io::Error },
    #[error("journal segment {segment} is damaged at byte {at}; the entry there is lost")]
    Damaged { segment: String, at: u64 },
}

/// What the handles and the writer share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) wake: Condvar,
    pub(super) room: Notify,
    pub(super) files: Arc<dyn Files>,
    pub(super) options: Options,
    pub(super) generation: u64,
    pub(super) space: Mutex<SpaceLook>,
    pub(super) durable: watch::Receiver<u64>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves counters at worst; entries are moved with single operations.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn place(&self) -> std::path::Display<'_> {
        self.files.place().display()
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        self.options.segment_bytes.min(self.options.max_bytes / 8).max(4096)
    }

    /// A head below this is not worth leaving.
    pub(super) fn small_head(&self) -> u64 {
        (self.segment_bytes() / 4).min(1 << 20)
    }

    /// A payload from its segment.
    pub(super) fn read_at(&self, place: &Place, len: u32) -> Result<Bytes, ReadError> {
        let Some(name) = self.lock().segments.get(&place.segment).map(|segment| segment.name.clone()) else {
            return Err(ReadError::Settled);
        };
        let mut bytes = vec![0; len as usize];
        let read = self.files.open(&name).and_then(|file| read_full(&*file, &mut bytes, place.offset));
        match read {
            Err(cause) => Err(ReadError::Io { segment: name, cause }),
            Ok(read) if read < bytes.len() || crc32c::crc32c(&bytes) != place.crc => {
                let mut state = self.lock();
                if let Some(segment) = state.segments.get_mut(&place.segment)
                    && !segment.damaged
                {
                    segment.damaged = true;
                    state.damaged_files += 1;
                    state.damaged_bytes += u64::from(len);
                    tracing::error!(journal = %self.place(), segment = %name, at = place.offset, "damaged");
                }
                Err(ReadError::Damaged { segment: name, at: place.offset })
            }
            Ok(_) => Ok(bytes.into()),
        }
    }
}
