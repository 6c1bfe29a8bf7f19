//! The blocks of one task that are on their way to the disk, and how it waits for room to read the next one.
//!
//! ```text
//! reader -> block, receipt, grant -> [ oldest ... newest ]  stored: the oldest gives its bytes back to the budget
//! ```
//!
//! The window is bounded in blocks. Who waits for the budget must not hold what others wait for, so that what is stored
//! meanwhile gives its bytes back at once; and files are looked at meanwhile, so that what is rotated is opened before it is
//! removed.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::input::budget::Grant;
use crate::journal::Receipt;

/// Blocks of one task that may be on their way to the disk.
const MOST: usize = 4;
/// While nothing can be stored, files are looked at this often at least, and at most.
pub const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(20));

/// Blocks that were read and are not known to be stored.
#[derive(Default)]
pub struct Window(VecDeque<(Receipt, Grant)>);

impl Window {
    pub fn push(&mut self, receipt: Receipt, grant: Grant) {
        self.0.push_back((receipt, grant));
    }

    /// Waits until another block may be read. What is stored gives its bytes back.
    pub async fn has_place(&mut self) {
        while self.0.len() > MOST || self.0.front().is_some_and(|(first, _)| first.is_stored()) {
            self.stored_first().await;
        }
    }

    /// Waits until all is stored.
    pub async fn drain(&mut self) {
        while !self.0.is_empty() {
            self.stored_first().await;
        }
    }

    /// Waits for `room`. Meanwhile `look` is called: at first soon, then when `waker` says so, or after a while.
    pub async fn until<T>(
        &mut self,
        room: impl Future<Output = T>,
        waker: &Notify,
        mut look: impl FnMut(),
    ) -> T {
        tokio::pin!(room);
        let mut is_watched = false;
        loop {
            tokio::select! {
                biased;
                room = &mut room => return room,
                () = self.stored_first(), if !self.0.is_empty() => {}
                () = async {
                    sleep(LOOK.1).await;
                    if is_watched {
                        let _ = timeout(LOOK.0, waker.notified()).await;
                    }
                } => {
                    is_watched = true;
                    look();
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for the oldest block and gives its bytes back. May be dropped and called again.
    pub async fn stored_first(&mut self) {
        let Some((receipt, _)) = self.0.front_mut() else { return };
        if receipt.stored().await.is_err() {
            // The journal is closed: the gateway stops, and nothing that is read now would be kept.
            pending::<()>().await;
        }
        self.0.pop_front();
    }
}
