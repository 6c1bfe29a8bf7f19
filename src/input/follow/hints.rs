//! The kernel's word that something happened in a directory: a hint to look sooner than the next scan.
//!
//! A watch speaks once ([`Hints::once`]) and is asked for again when its reader has nothing left to do: a busy file costs
//! no events. Where the kernel gives no watches (their number is bounded, and network file systems have none) the scans
//! find everything, only later.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::inotify::{self, WatchFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;

use super::watches::{self, Happening};

/// What one read of events may bring.
const EVENT_BYTES: usize = 16 * 1024;

pub struct Hints {
    /// Absent when the kernel has no more of them.
    events: Option<Receiver>,
    watches: Mutex<HashMap<i32, Watch>>,
}

struct Watch {
    waker: Arc<Notify>,
    once: bool,
}

impl Hints {
    /// Must be called inside a runtime.
    pub fn new() -> Hints {
        let events = watches::source()
            .inspect_err(|error| {
                tracing::warn!(%error, "the kernel gives no notice of changed files; new lines are found by scanning alone")
            })
            .ok();
        Hints { events, watches: Mutex::default() }
    }

    /// Wakes `waker` once when something in the directory is written, made, renamed or removed after this call.
    pub fn once(&self, dir: &Path, waker: &Arc<Notify>) {
        self.watch(dir, waker, WatchFlags::MODIFY | WatchFlags::ONESHOT);
    }

    /// As [`Hints::once`], for names alone: who writes does not wake.
    pub fn once_for_names(&self, dir: &Path, waker: &Arc<Notify>) {
        self.watch(dir, waker, WatchFlags::ONESHOT);
    }

    /// Wakes `waker` whenever something in the directory is made, renamed or removed.
    pub fn always(&self, dir: &Path, waker: &Arc<Notify>) {
        self.watch(dir, waker, WatchFlags::empty());
    }

    fn watch(&self, dir: &Path, waker: &Arc<Notify>, more: WatchFlags) {
        let Some(events) = &self.events else { return };
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR
            | more;
        let once = more.contains(WatchFlags::ONESHOT);
        // Held over the call: the first event may be read before the watch would be known.
        let mut watches = self.lock();
        if let Ok(number) = inotify::add_watch(events, dir, flags) {
            watches.insert(number, Watch { waker: waker.clone(), once });
        }
    }

    /// Hands hints out; ends only by being dropped.
    pub async fn run(&self) {
        let Some(events) = &self.events else { return std::future::pending().await };
        let mut buffer = [0; EVENT_BYTES];
        loop {
            if events.readable().await.is_err() {
                return std::future::pending().await;
            }
            while let Ok(read @ 1..) = events.try_read(&mut buffer) {
                self.hand_out(&buffer[..read]);
            }
        }
    }

    fn hand_out(&self, events: &[u8]) {
        let mut watches = self.lock();
        for Happening { watch: number, what, .. } in watches::happenings(events) {
            if what.contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                watches.values().for_each(|watch| watch.waker.notify_one());
                continue;
            }
            let Some(watch) = watches.get(&number) else { continue };
            watch.waker.notify_one();
            // A number that has spoken once, or whose directory is gone, is not soon used again by the kernel.
            if watch.once || what.contains(inotify::ReadFlags::IGNORED) {
                watches.remove(&number);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Watch>> {
        self.watches.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Default for Hints {
    fn default() -> Self {
        Hints::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_wakes_once_and_again_when_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        let hints = Arc::new(Hints::new());
        let running = tokio::spawn({
            let hints = hints.clone();
            async move { hints.run().await }
        });
        let (files, names) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        hints.always(dir.path(), &names);
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        names.notified().await;
        for line in ["one", "two", "three"] {
            hints.once(&inner, &files);
            std::fs::write(inner.join("log"), line).unwrap();
            files.notified().await;
        }
        assert!(hints.lock().len() <= 1);
        running.abort();
    }
}
