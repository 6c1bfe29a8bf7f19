//! The kernel's word about many files in few directories: which names changed since it was asked last.
//!
//! One watch is on a directory, not on a file. What happens is gathered for some milliseconds and read at once
//! ([`Watches::next`]), each name once: the kernel lays repeated writes to one file together, so a busy file costs an event
//! or two per reading and not one per write. Where events were lost, where a directory cannot be watched (the number of
//! watches is bounded, here and by the kernel's `max_user_watches`) and where nothing is told at all, as on network file
//! systems, scanning finds the rest, only later.
//!
//! ```text
//! event   watch i32 | what happened u32 | cookie u32 | bytes of the name u32 | name          in this machine's byte order
//! ```

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;

use crate::base::log_limit::LogLimit;

const EVENT_HEAD: usize = 16;
/// What one read of events may bring.
const EVENT_BYTES: usize = 64 * 1024;
/// What is read at once at most; the rest comes with the next call.
const READS: usize = 16;
/// Directories that are watched; each costs the kernel about 1 KiB.
const MOST_WATCHES: usize = 16_384;
/// Events gather so long.
const PAUSE: Duration = Duration::from_millis(20);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Something was written to a file, or truncated.
    Changed { dir: Arc<Path>, name: OsString },
    /// Names came, went or were moved, or the directory itself was.
    Names { dir: Arc<Path> },
    /// Events were lost: everything may have changed.
    Overflow,
}

static NO_NOTICE: LogLimit = LogLimit::new(Duration::from_secs(600));

pub struct Watches {
    /// Absent when the kernel has no more of them.
    events: Option<Receiver>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// A directory that has several paths is told of under each.
    dirs: HashMap<i32, Vec<Arc<Path>>>,
    numbers: HashMap<Arc<Path>, i32>,
    has_warned: bool,
}

impl Watches {
    /// Must be called inside a runtime.
    pub fn new() -> Watches {
        let events = source()
            .inspect_err(|error| {
                // There may be a thousand inputs, and the kernel gives 128 instances to a user, as a rule.
                if let Some(suppressed) = NO_NOTICE.allow() {
                    tracing::warn!(%error, suppressed, "the kernel gives no notice of changed files; files and lines are found \
                         by scanning alone; fs.inotify.max_user_instances is how many inputs may have it");
                }
            })
            .ok();
        Watches { events, known: Mutex::default() }
    }

    /// Watches a directory from now on, if it is not watched yet: what changed before has to be looked for. False when it
    /// cannot be watched; then it is worth trying again at the next scan.
    pub fn watch(&self, dir: &Path) -> bool {
        let Some(events) = &self.events else { return false };
        // Held over the call: the first event may be read before the watch would be known.
        let mut known = self.lock();
        if known.numbers.contains_key(dir) {
            return true;
        }
        let flags = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let added = match known.dirs.len() < MOST_WATCHES {
            true => inotify::add_watch(events, dir, flags),
            false => Err(Errno::NOSPC),
        };
        match added {
            Ok(number) => {
                let dir: Arc<Path> = dir.into();
                known.dirs.entry(number).or_default().push(dir.clone());
                known.numbers.insert(dir, number);
                true
            }
            Err(error) => {
                if error == Errno::NOSPC && !std::mem::replace(&mut known.has_warned, true) {
                    tracing::warn!(
                        dir = %dir.display(),
                        watched = known.dirs.len(),
                        "no more directories can be watched; changes in the others are found by scanning; raise \
                         fs.inotify.max_user_watches"
                    );
                }
                false
            }
        }
    }

    /// Lets go of all directories but these.
    pub fn retain(&self, is_wanted: impl Fn(&Path) -> bool) {
        let Some(events) = &self.events else { return };
        let mut known = self.lock();
        let unwanted: Vec<Arc<Path>> = known.numbers.keys().filter(|dir| !is_wanted(dir)).cloned().collect();
        for dir in unwanted {
            let Some(number) = known.numbers.remove(&dir) else { continue };
            let Some(paths) = known.dirs.get_mut(&number) else { continue };
            paths.retain(|path| *path != dir);
            if paths.is_empty() {
                known.dirs.remove(&number);
                // It may be gone, which is as well.
                let _ = inotify::remove_watch(events, number);
            }
        }
    }

    /// Directories that are watched.
    pub fn len(&self) -> usize {
        self.lock().dirs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for what happens next; each event is there once. Never empty, and never ready where nothing is told. To be
    /// called by one task; may be dropped and called again.
    pub async fn next(&self) -> Vec<Event> {
        let Some(events) = &self.events else { return std::future::pending().await };
        let mut buffer = vec![0; EVENT_BYTES];
        loop {
            if events.readable().await.is_err() {
                return std::future::pending().await;
            }
            sleep(PAUSE).await;
            let mut gathered = Gathered::default();
            for _ in 0..READS {
                let Ok(read @ 1..) = events.try_read(&mut buffer) else { break };
                self.gather(buffer.get(..read).unwrap_or_default(), &mut gathered);
            }
            if !gathered.events.is_empty() {
                return gathered.events;
            }
        }
    }

    fn gather(&self, bytes: &[u8], gathered: &mut Gathered) {
        let mut known = self.lock();
        for Happening { watch, what, name } in happenings(bytes) {
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                gathered.add(&Event::Overflow);
                continue;
            }
            if what.intersects(ReadFlags::IGNORED | ReadFlags::MOVE_SELF) {
                // A directory that was moved is told of under a name that is not its own any more.
                let paths = known.dirs.remove(&watch).unwrap_or_default();
                for dir in paths {
                    known.numbers.remove(&dir);
                    gathered.add(&Event::Names { dir });
                }
                if what.contains(ReadFlags::MOVE_SELF)
                    && let Some(events) = &self.events
                {
                    let _ = inotify::remove_watch(events, watch);
                }
                continue;
            }
            let is_write = what.contains(ReadFlags::MODIFY);
            if !gathered.is_new(watch, is_write.then_some(name)) {
                continue;
            }
            for dir in known.dirs.get(&watch).into_iter().flatten() {
                gathered.events.push(match is_write {
                    true => Event::Changed { dir: dir.clone(), name: name.to_owned() },
                    false => Event::Names { dir: dir.clone() },
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Default for Watches {
    fn default() -> Self {
        Watches::new()
    }
}

/// Each event once, in the order of their coming.
#[derive(Default)]
struct Gathered {
    events: Vec<Event>,
    /// By watch: names written to, and `None` for names that changed.
    met: HashMap<i32, HashSet<Option<OsString>>>,
}

impl Gathered {
    fn is_new(&mut self, watch: i32, name: Option<&OsStr>) -> bool {
        self.met.entry(watch).or_default().insert(name.map(OsStr::to_owned))
    }

    fn add(&mut self, event: &Event) {
        if !self.events.contains(event) {
            self.events.push(event.clone());
        }
    }
}

/// A source of events.
pub(super) fn source() -> io::Result<Receiver> {
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    // It reads as a pipe does; that is all the runtime has to know of it.
    Receiver::from_file_unchecked(File::from(events))
}

/// One event as it is read.
pub(super) struct Happening<'b> {
    pub(super) watch: i32,
    pub(super) what: ReadFlags,
    /// Empty when it is about the directory itself.
    pub(super) name: &'b OsStr,
}

/// The events of one read. What is cut off at the end is left out; the kernel writes whole ones.
pub(super) fn happenings(mut bytes: &[u8]) -> impl Iterator<Item = Happening<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<EVENT_HEAD>()?;
        let [w1, w2, w3, w4, m1, m2, m3, m4, _, _, _, _, l1, l2, l3, l4] = *head;
        let (name, rest) = rest.split_at_checked(u32::from_ne_bytes([l1, l2, l3, l4]) as usize)?;
        bytes = rest;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        Some(Happening {
            watch: i32::from_ne_bytes([w1, w2, w3, w4]),
            what: ReadFlags::from_bits_retain(u32::from_ne_bytes([m1, m2, m3, m4])),
            name: OsStr::from_bytes(name.get(..end).unwrap_or_default()),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    /// Waits until this has happened.
    async fn until(watches: &Watches, wanted: &Event) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let events = watches.next().await;
            let is_there = events.contains(wanted);
            all.extend(events);
            if is_there {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn a_busy_file_is_told_of_by_name_and_once_for_many_writes() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (
            fs::File::create(dir.path().join("one")).unwrap(),
            fs::File::create(dir.path().join("two")).unwrap(),
        );
        let watches = Watches::new();
        assert!(watches.watch(dir.path()) && watches.watch(dir.path()));
        let path: Arc<Path> = dir.path().into();
        let changed = |name: &str| Event::Changed { dir: path.clone(), name: name.into() };
        for _ in 0..500 {
            one.write_all(b"line\n").unwrap();
            two.write_all(b"line\n").unwrap();
        }
        assert_eq!(watches.next().await, [changed("one"), changed("two")]);
        fs::rename(dir.path().join("one"), dir.path().join("three")).unwrap();
        one.write_all(b"line\n").unwrap();
        let events = until(&watches, &changed("three")).await;
        assert!(events.contains(&Event::Names { dir: path.clone() }));
    }

    #[tokio::test]
    async fn a_directory_that_went_is_watched_again_when_it_comes_back() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("app");
        let watches = Watches::new();
        assert!(!watches.watch(&dir));
        let gone = Event::Names { dir: dir.as_path().into() };
        for _ in 0..3 {
            fs::create_dir(&dir).unwrap();
            assert!(watches.watch(&dir));
            fs::write(dir.join("log"), "x").unwrap();
            fs::remove_dir_all(&dir).unwrap();
            until(&watches, &gone).await;
            while !watches.is_empty() {
                watches.next().await;
            }
        }
        fs::create_dir(&dir).unwrap();
        assert!(watches.watch(&dir));
        fs::rename(&dir, root.path().join("moved")).unwrap();
        until(&watches, &gone).await;
        assert!(watches.is_empty());
    }

    #[tokio::test]
    async fn a_directory_under_two_paths_is_told_of_under_both_until_one_is_let_go() {
        let root = tempfile::tempdir().unwrap();
        let (dir, link) = (root.path().join("app"), root.path().join("link"));
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        let watches = Watches::new();
        assert!(watches.watch(&dir) && watches.watch(&link));
        assert_eq!(watches.len(), 1);
        fs::write(dir.join("a"), "x").unwrap();
        let events = watches.next().await;
        for dir in [&dir, &link] {
            assert!(events.contains(&Event::Changed { dir: dir.as_path().into(), name: "a".into() }));
        }
        watches.retain(|path| path == link);
        fs::write(dir.join("b"), "x").unwrap();
        let events = watches.next().await;
        let is_link = |event: &Event| matches!(event, Event::Changed { dir, .. } | Event::Names { dir } if **dir == *link);
        assert!(events.iter().all(is_link));
        watches.retain(|_| false);
        assert!(watches.is_empty());
    }

    #[test]
    fn events_that_are_cut_off_are_left_out() {
        let mut bytes = Vec::new();
        for (watch, name) in [(1i32, b"a\0\0\0"), (2, b"long")] {
            bytes.extend(watch.to_ne_bytes());
            bytes.extend(WatchFlags::MODIFY.bits().to_ne_bytes());
            bytes.extend(0u32.to_ne_bytes());
            bytes.extend(4u32.to_ne_bytes());
            bytes.extend(name);
        }
        let names = |bytes| happenings(bytes).map(|one| (one.watch, one.name.to_owned())).collect::<Vec<_>>();
        assert_eq!(names(&bytes), [(1, "a".into()), (2, "long".into())]);
        for end in 0..bytes.len() {
            assert_eq!(names(&bytes[..end]).len(), usize::from(end >= bytes.len() / 2));
        }
    }
}
