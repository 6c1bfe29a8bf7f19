//! Finds the files of an input, and starts a task for each that has news.
//!
//! ```text
//! every scan_interval, and soon after names changed     walk  ->  new files, files that look otherwise than they were seen
//! a file of a watched directory was written             wakes its task, or starts one
//! ```
//!
//! At the first walk the stored positions are looked at as well: a file that is as far read as it is long rests at once, and
//! one that is not there any more is followed by what it was rotated to, or forgotten. What the kernel tells between walks is
//! heard in [`hints`].

mod hints;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Shared;
use super::discover::{Candidate, Discovery, Walk};
use super::follow::{Order, follow};
use super::start::First;
use super::table::{Entry, Seen, State, Status};
use crate::base::log_limit::LogLimit;
use crate::base::shutdown::Stop;
use crate::input::follow::identity::{FileId, Position};
use crate::input::follow::watches::Watches;
use crate::input::follow::{FirstSight, naming, survey};
use hints::{Linked, events};

/// Names change together; a walk comes so much later.
const SOON: Duration = Duration::from_millis(5);
/// A walk is followed by a pause so many times as long as it took: however much happens, walking takes little of a processor.
const SHARE: u32 = 10;

static UNREADABLE: LogLimit = LogLimit::new(Duration::from_secs(60));

pub(super) struct Scan {
    shared: Arc<Shared>,
    stop: Stop,
    /// Away during a walk.
    discovery: Option<Discovery>,
    watches: Option<Watches>,
    /// Directories in which files stand that are followed under the names of symbolic links, which lie elsewhere.
    links: HashMap<PathBuf, Linked>,
    /// A directory is watched that was not at the last walk.
    walk_again: bool,
    walks: u64,
    /// Where files begin that no position is known of.
    first: First,
    /// The beginning of the last walk.
    since: Option<SystemTime>,
}

/// What a walk brought.
struct Found {
    walk: Walk,
    discovery: Discovery,
    /// Stored positions, at the first walk.
    stored: HashMap<Arc<Path>, Bytes>,
    /// Files that are as far read as they are long, at the first walk.
    read: HashSet<PathBuf>,
    /// Files that rest and are not there any more.
    absent: Vec<Arc<Path>>,
    took: Duration,
}

impl Scan {
    pub(super) fn new(shared: Arc<Shared>, stop: Stop, hints: bool) -> Scan {
        let ran_before = !shared.positions.keys(shared.prefix().as_bytes()).is_empty();
        Scan {
            discovery: Some(Discovery::new(&shared.plan)),
            watches: hints.then(Watches::new),
            links: HashMap::new(),
            walk_again: false,
            since: None,
            walks: 0,
            first: if ran_before { First::Beginning } else { shared.plan.start },
            shared,
            stop,
        }
    }

    /// Goes on for ever; may be dropped.
    pub(super) async fn run(&mut self) {
        loop {
            let took = self.look().await;
            let now = Instant::now();
            let soonest = now + SOON.max(took * SHARE);
            let scan_interval = self.shared.plan.scan_interval.max(SOON);
            let mut next = if self.walk_again { soonest } else { now + scan_interval };
            while Instant::now() < next {
                tokio::select! {
                    biased;
                    events = events(&self.watches) => {
                        if self.heard(events).await {
                            next = next.min(soonest.max(Instant::now() + SOON));
                        }
                    }
                    () = sleep(next.saturating_duration_since(Instant::now())) => {}
                }
            }
        }
    }

    /// Walks once; gives how long that took.
    pub(super) async fn look(&mut self) -> Duration {
        let shared = self.shared.clone();
        // Absent when a walk was left before its end.
        let mut discovery = self.discovery.take().unwrap_or_else(|| Discovery::new(&shared.plan));
        let (is_first, now) = (self.walks == 0, SystemTime::now());
        let walking = self.stop.tasks.spawn_blocking(move || {
            let begin = Instant::now();
            let mut walk = discovery.walk();
            walk.files.retain(|file| shared.is_taken(&file.path));
            let mut found = Found {
                walk,
                discovery,
                stored: HashMap::new(),
                read: HashSet::new(),
                absent: Vec::new(),
                took: Duration::ZERO,
            };
            if is_first {
                found.look_up(&shared);
            }
            found.find_absent(&shared);
            found.took = begin.elapsed();
            found
        });
        match walking.await {
            Ok(found) => {
                let took = found.took;
                self.take(found);
                self.since = Some(now);
                took
            }
            Err(error) => {
                tracing::error!(%error, "looking for files failed; it begins again");
                self.discovery = Some(Discovery::new(&self.shared.plan));
                self.shared.plan.scan_interval
            }
        }
    }

    fn take(&mut self, found: Found) {
        let Found { walk, discovery, stored, read, absent, .. } = found;
        self.discovery = Some(discovery);
        let is_first = self.walks == 0;
        self.walks += 1;
        self.watch(walk.directories, walk.links);
        for fault in &walk.faults {
            if let Some(suppressed) = UNREADABLE.allow() {
                tracing::warn!(input = %self.shared.name, error = %fault, suppressed, "a directory cannot be looked through");
            }
        }
        let shared = self.shared.clone();
        let sight = self.sight();
        let mut entries = shared.table.lock();
        let mut orders = Vec::new();
        let mut new = Vec::new();
        let met: Vec<FileId> = walk.files.iter().map(|file| file.id).collect();
        for (path, position) in &stored {
            let id = Position::from_bytes(position).map(|position| position.read.id).unwrap_or_default();
            let state = State::Resting { seen: None, position: Some(position.clone()) };
            shared.contents.own(id, path);
            let status = Arc::<Status>::default();
            entries.insert(path.clone(), Entry { state, status, walk: 0, id });
        }
        for candidate in walk.files {
            let seen = seen(&candidate);
            match entries.get_mut(&*candidate.path) {
                None => new.push(candidate),
                Some(entry) => {
                    entry.walk = self.walks;
                    entry.id = candidate.id;
                    if read.contains(&candidate.path) {
                        set_seen(entry, seen);
                    }
                    orders.extend(news(&candidate.path, entry, Some(seen), sight));
                }
            }
        }
        for path in &absent {
            if let Some(entry) = entries.get_mut(path) {
                orders.extend(news(path, entry, None, sight));
            }
        }
        if !new.is_empty() {
            let mut unmet = self.unmet(&entries);
            for candidate in new {
                // Its log is between two files, or away: who follows that reads this.
                if logs_of(&candidate.path).any(|log| entries.contains_key(&*log)) {
                    continue;
                }
                let key = shared.key(&candidate.path);
                let mut position = shared.contents.take(candidate.id, &key);
                let mut holder =
                    || shared.contents.owner(candidate.id).or_else(|| unmet.remove(&candidate.id));
                // It had another name, under which it is read to its end, if there is anything under that.
                if position.is_none()
                    && let Some(holder) = holder()
                    && entries.contains_key(&*holder)
                {
                    let is_there = !absent.contains(&holder);
                    let rest = entries.get(&*holder).filter(|entry| entry.walk != self.walks && is_there);
                    let Some(State::Resting { position: known, .. }) = rest.map(|entry| &entry.state) else {
                        continue;
                    };
                    shared.give_up(&holder, known.clone());
                    shared.contents.release_all(&holder);
                    entries.remove(&*holder);
                    position = shared.contents.take(candidate.id, &key);
                }
                let seen = seen(&candidate);
                // Nothing is read of an empty file, so it need not be begun.
                let nothing = (position.is_none() && seen.size == 0).then_some(seen);
                let path: Arc<Path> = candidate.path.into();
                let state = State::Resting { seen: nothing, position };
                let mut entry =
                    Entry { state, status: Arc::<Status>::default(), walk: self.walks, id: candidate.id };
                orders.extend(news(&path, &mut entry, Some(seen), sight));
                entries.insert(path, entry);
            }
        }
        shared.contents.tend(met.into_iter());
        let followed = entries.values().filter(|entry| matches!(entry.state, State::Followed(_))).count();
        let found = entries.len();
        drop(entries);
        self.shared.tally.found.set(found as f64);
        self.shared.tally.followed.set(followed as f64);
        for order in orders {
            self.start(order);
        }
        if is_first {
            self.note_first();
        }
    }

    /// How files begin that nothing is known of: what came since the last walk may have been rotated since.
    fn sight(&self) -> (First, FirstSight) {
        match self.since {
            None => (self.first, FirstSight::Newest),
            Some(since) => (First::Beginning, FirstSight::Since(since)),
        }
    }

    /// The files that were met before under paths at which this walk met none.
    fn unmet(&self, entries: &HashMap<Arc<Path>, Entry>) -> HashMap<FileId, Arc<Path>> {
        let unmet = entries.iter().filter(|(_, entry)| entry.walk != self.walks);
        unmet.map(|(path, entry)| (entry.id, path.clone())).collect()
    }

    fn start(&self, order: Order) {
        tracing::debug!(file = %order.path.display(), "a file is followed");
        self.stop.tasks.spawn(follow(self.shared.clone(), order, self.stop.clone()));
    }

    /// Takes note that this input ran.
    fn note_first(&self) {
        let prefix = Bytes::from(self.shared.prefix());
        if self.shared.positions.get(&prefix).is_none() {
            self.shared.positions.store(&prefix, Bytes::from_static(&[1]));
        }
    }
}

fn seen(candidate: &Candidate) -> Seen {
    Seen { id: candidate.id, size: candidate.size, modified: candidate.modified }
}

fn set_seen(entry: &mut Entry, now: Seen) {
    if let State::Resting { seen, .. } = &mut entry.state {
        *seen = Some(now);
    }
}

/// Turns a file that rests and has news into one that is followed.
fn news(path: &Path, entry: &mut Entry, now: Option<Seen>, sight: (First, FirstSight)) -> Option<Order> {
    let State::Resting { seen, position } = &mut entry.state else { return None };
    if now.is_some() && *seen == now {
        return None;
    }
    let is_read = seen.is_some() && position.is_some();
    let (waker, position) = (Arc::new(Notify::new()), position.take());
    entry.state = State::Followed(waker.clone());
    let (first, sight) = sight;
    Some(Order { path: path.into(), status: entry.status.clone(), waker, first, sight, is_read, position })
}

impl Found {
    /// Reads the stored positions.
    fn look_up(&mut self, shared: &Shared) {
        let prefix = shared.prefix().into_bytes();
        let files: HashMap<&Path, &Candidate> =
            self.walk.files.iter().map(|file| (file.path.as_path(), file)).collect();
        let mut left = Vec::new();
        for key in shared.positions.keys(&prefix) {
            let path = Path::new(OsStr::from_bytes(&key[prefix.len()..]));
            let Some(value) = shared.positions.get(&key).filter(|_| key.len() > prefix.len()) else {
                continue;
            };
            if shared.contents.is_key(&key) {
                left.push((key, value));
                continue;
            }
            match files.get(path) {
                Some(candidate) if is_read(candidate, &value) => {
                    self.read.insert(path.to_owned());
                }
                Some(_) => {}
                None if !is_absent(path) => continue,
                // Nobody asks for it any more.
                None if !shared.is_wanted(path) => {
                    shared.positions.forget(&key);
                    continue;
                }
                // It was rotated away, or is gone with all there was.
                None => {}
            }
            self.stored.insert(path.into(), value);
        }
        let read = |value: &Bytes| Position::from_bytes(value).map(|position| position.read.id);
        let known: HashSet<FileId> = self.stored.values().filter_map(read).collect();
        for (key, value) in left {
            shared.contents.restore(&key, value, |id| known.contains(&id));
        }
    }

    fn find_absent(&mut self, shared: &Shared) {
        let files: HashSet<&Path> = self.walk.files.iter().map(|file| file.path.as_path()).collect();
        let is_missing = |path: &Arc<Path>| !files.contains(&**path);
        let resting: Vec<Arc<Path>> = {
            let entries = shared.table.lock();
            let resting = entries.iter().filter(|(_, entry)| matches!(entry.state, State::Resting { .. }));
            resting.map(|(path, _)| path.clone()).filter(is_missing).collect()
        };
        let all = resting.into_iter().chain(self.stored.keys().filter(|path| is_missing(path)).cloned());
        self.absent = all.filter(|path| is_absent(path)).collect();
    }
}

/// The logs that the file may have been rotated away from.
fn logs_of(path: &Path) -> impl Iterator<Item = PathBuf> {
    let bases = naming::bases(path.file_name().unwrap_or_default().as_bytes());
    bases.map(|base| path.with_file_name(OsStr::from_bytes(base)))
}

/// Whether something stands beside the log that it was rotated to, and that is wanted by itself.
pub(super) fn has_rotated(path: &Path, is_wanted: impl Fn(&Path) -> bool) -> bool {
    let (Some(dir), Some(log)) = (path.parent(), path.file_name()) else { return false };
    let Ok(names) = std::fs::read_dir(dir) else { return false };
    names.flatten().any(|entry| {
        naming::rotated(log.as_bytes(), entry.file_name().as_bytes()).is_some() && is_wanted(&entry.path())
    })
}

fn is_absent(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|error| survey::is_gone(&error))
}

/// Whether everything of a file is stored, and nothing waits of what was before it.
fn is_read(candidate: &Candidate, position: &[u8]) -> bool {
    let Some(position) = Position::from_bytes(position) else { return false };
    let read = &position.read;
    read.id == candidate.id
        && read.offset == candidate.size
        && position.unfinished.iter().all(Option::is_none)
        && survey::open(candidate.path.clone(), false)
            .is_ok_and(|found| found.is_some_and(|found| read.print.fits(&found.head) && found.holds(read)))
}
