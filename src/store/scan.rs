//! Reading packs: the one way for everything that looks into stored logs.
//!
//! A [`Scan`] runs on one of the store's scan threads and sees the files that were there when it began. It visits the
//! packs of a [`Scope`] in the order of time (over all files, forward or reverse), in any order (on several threads,
//! for who only adds up), or in the order of arrival (for who takes all of them, from a cursor on). A [`Visitor`] first
//! sees what is known of a pack without inflating it and may pass it over or end the scan; what it takes it gets as a
//! walked LogGroup, which lives as long as the call.
//!
//! ```text
//! files   [ 30d slice ][ 30d slice ] [ 1d slice ]...      a page of 64 packs of each, from an index
//!             |             |             |
//!             `------ merged by time -----'--> before(meta) -> filter -> inflate -> walk -> visit(meta, group)
//! ```
//!
//! One pack is inflated at a time and thread. A scan takes its turn before each pack and looks whether it shall stop.
//! A pack that cannot be read is counted and passed over, and so is the rest of a file that turns out to be damaged:
//! what is left can be found. A sealed file whose times lie elsewhere is not opened.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::files::{Bounds, Files, PackFile, Reader};
use super::pack::{compression_of, digest};
use super::query::Needed;
use super::threads::{Turns, yield_to_others};
use crate::base::limits::LOG_GROUP_BYTES;
use crate::base::log_limit::LogLimit;
use crate::wire::compress::{Kind, decompress};
use crate::wire::loggroup::{Group, skim};

/// Packs looked up in an index at once.
const PAGE: usize = 64;

static BROKEN: LogLimit = LogLimit::new(Duration::from_secs(30));

/// Which packs.
#[derive(Clone, Debug)]
pub struct Scope {
    pub logstore: i64,
    /// Nanoseconds since 1970 of the logs' own time; `from` is within, `to` is not. A pack is in it when its time range
    /// touches it: the visitor looks at each log's time.
    pub from: i64,
    pub to: i64,
    /// Exactly this topic, when given.
    pub topic: Option<String>,
    /// What a pack must hold to be worth inflating.
    pub words: Option<Needed>,
}

impl Scope {
    /// Everything in a logstore.
    pub fn all(logstore: i64) -> Scope {
        Scope { logstore, from: i64::MIN, to: i64::MAX, topic: None, words: None }
    }
}

/// What is known of a pack without inflating it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackMeta {
    /// Unique in the store and increasing with arrival: the nanosecond of it, and the cursor of PullLogs.
    pub id: i64,
    pub shard: u32,
    /// Nanoseconds since 1970 of the oldest and the newest log.
    pub first_time: i64,
    pub last_time: i64,
    pub logs: u64,
    /// Bytes when inflated.
    pub raw_size: u64,
    /// The part of its pack_id before the dash, and the number behind it.
    pub series: Arc<[u8]>,
    pub sequence: i64,
}

impl PackMeta {
    /// Nanoseconds since 1970.
    pub fn arrived(&self) -> i64 {
        self.id
    }
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on; from [`Visitor::before`]: with this pack.
    Go,
    /// Pass this pack over.
    Skip,
    /// That was enough.
    End,
}

/// Who looks at packs.
pub trait Visitor {
    /// Asked before a pack is inflated. Packs that cannot hold a wanted word are not offered to `visit` afterwards.
    fn before(&mut self, _meta: &PackMeta) -> Next {
        Next::Go
    }

    fn visit(&mut self, meta: &PackMeta, group: &Group<'_>) -> Result<Next, StoreError>;
}

/// A pack as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub compression: Kind,
    pub body: Vec<u8>,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    pub packs: u64,
    pub logs: u64,
    /// Inflated.
    pub bytes: u64,
    /// Packs a filter has spared.
    pub spared: u64,
    /// Packs that could not be read.
    pub broken: u64,
}

impl Scanned {
    fn add(&mut self, other: Scanned) {
        self.packs += other.packs;
        self.logs += other.logs;
        self.bytes += other.bytes;
        self.spared += other.spared;
        self.broken += other.broken;
    }
}

/// A scan on its thread.
pub struct Scan<'a> {
    files: &'a Files,
    list: Vec<Arc<PackFile>>,
    turns: &'a Turns,
    stop: &'a AtomicBool,
    pub scanned: Scanned,
}

impl<'a> Scan<'a> {
    pub(super) fn new(files: &'a Files, turns: &'a Turns, stop: &'a AtomicBool) -> Scan<'a> {
        Scan { files, list: files.all(), turns, stop, scanned: Scanned::default() }
    }

    /// Whether nobody waits for the result any more.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Visits packs by the time of their first log, or in reverse by the time of their last one, newest first.
    pub fn in_order(
        &mut self,
        scope: &Scope,
        reverse: bool,
        visitor: &mut impl Visitor,
    ) -> Result<(), StoreError> {
        if scope.from >= scope.to {
            return Ok(());
        }
        let mut heads = BinaryHeap::new();
        for file in &self.list {
            heads.extend(going_on(Head::new(self.files, file, scope, reverse))?.flatten());
        }
        let mut raw = Vec::new();
        while let Some(mut head) = heads.pop() {
            let Some(found) = head.page.pop_front() else {
                heads.extend(going_on(head.filled(scope))?.flatten());
                continue;
            };
            match visitor.before(&found.meta) {
                Next::Go if !self.is_stopped() => {
                    let _turn = self.turns.take();
                    let reader = head.reader()?;
                    match going_on(look(reader, &found, visitor, &mut raw, &mut self.scanned))? {
                        Some(Next::End) => return Ok(()),
                        Some(_) => {}
                        // The file is damaged.
                        None => continue,
                    }
                }
                Next::Skip => {}
                _ => return Ok(()),
            }
            heads.push(head);
        }
        Ok(())
    }

    /// Visits packs in no order, on as many threads as scans may use: each has a visitor of its own, and all are given
    /// back. A visitor that ends ends its own thread only.
    pub fn any_order<V: Visitor + Send>(
        &mut self,
        scope: &Scope,
        visitor: impl Fn() -> V + Sync,
    ) -> Result<Vec<V>, StoreError> {
        if scope.from >= scope.to {
            return Ok(Vec::new());
        }
        let shared =
            Shared { at: AtomicUsize::new(0), head: Mutex::new(None), failed: AtomicBool::new(false) };
        let work = || {
            let mut visitor = visitor();
            let scanned = self.share(scope, &shared, &mut visitor);
            if scanned.is_err() {
                shared.failed.store(true, Relaxed);
            }
            scanned.map(|scanned| (visitor, scanned))
        };
        let parts: Vec<Result<(V, Scanned), StoreError>> = std::thread::scope(|threads| {
            let others: Vec<_> = (1..self.turns.at_once())
                .map(|_| {
                    threads.spawn(|| {
                        yield_to_others();
                        work()
                    })
                })
                .collect();
            let mine = work();
            let others = others.into_iter().map(|thread| thread.join().unwrap_or(Err(StoreError::Stopped)));
            std::iter::once(mine).chain(others).collect()
        });
        let mut visitors = Vec::with_capacity(parts.len());
        for part in parts {
            let (visitor, scanned) = part?;
            self.scanned.add(scanned);
            visitors.push(visitor);
        }
        Ok(visitors)
    }

    /// One thread's share: pages of packs, until there are none.
    fn share(
        &self,
        scope: &Scope,
        shared: &Shared<'a>,
        visitor: &mut impl Visitor,
    ) -> Result<Scanned, StoreError> {
        let (mut raw, mut scanned) = (Vec::new(), Scanned::default());
        let mut reader: Option<Reader<'_>> = None;
        while let Some((file, page)) = self.next_page(scope, shared)? {
            if reader.as_ref().is_some_and(|reader| !Arc::ptr_eq(reader.file(), &file)) {
                reader = None;
            }
            for found in &page {
                match visitor.before(&found.meta) {
                    Next::Go if !self.is_stopped() && !shared.failed.load(Relaxed) => {}
                    Next::Skip => continue,
                    _ => return Ok(scanned),
                }
                let _turn = self.turns.take();
                let reader = match &mut reader {
                    Some(reader) => reader,
                    none => match going_on(self.files.reader(&file))? {
                        Some(opened) => none.insert(opened),
                        None => break,
                    },
                };
                match going_on(look(reader, found, visitor, &mut raw, &mut scanned))? {
                    Some(Next::End) => return Ok(scanned),
                    Some(_) => {}
                    None => break,
                }
            }
        }
        Ok(scanned)
    }

    fn next_page(
        &self,
        scope: &Scope,
        shared: &Shared<'a>,
    ) -> Result<Option<(Arc<PackFile>, VecDeque<Place>)>, StoreError> {
        let mut head = shared.head.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        loop {
            if let Some(found) = head.take() {
                if let Some(mut filled) = going_on(found.filled(scope))?.flatten() {
                    let page = std::mem::take(&mut filled.page);
                    let file = filled.file.clone();
                    *head = Some(filled);
                    return Ok(Some((file, page)));
                }
            }
            let Some(file) = self.list.get(shared.at.fetch_add(1, Relaxed)) else { return Ok(None) };
            *head = going_on(Head::new(self.files, file, scope, false))?.flatten();
        }
    }

    /// Visits the packs of a logstore and shard that arrived after this id, in the order of arrival. The scope's times,
    /// topic and words count as everywhere.
    pub fn by_arrival(
        &mut self,
        scope: &Scope,
        shard: u32,
        after: i64,
        visitor: &mut impl Visitor,
    ) -> Result<(), StoreError> {
        let (mut after, mut raw) = (after, Vec::new());
        loop {
            // A logstore's packs may lie in two classes: a page is the earliest of all files.
            let mut page: Vec<(usize, Place)> = Vec::new();
            for (at, file) in self.list.iter().enumerate().filter(|(_, file)| file.slice.end() > after) {
                if page.len() >= PAGE && page.last().is_some_and(|last| file.slice.start > last.1.meta.id) {
                    break;
                }
                let places = self
                    .files
                    .reader(file)
                    .and_then(|mut reader| reader.with(|db| arrivals(db, scope, shard, after)));
                let Some(places) = going_on(places)? else { continue };
                page.extend(places.into_iter().map(|place| (at, place)));
                page.sort_by_key(|(_, place)| place.meta.id);
                page.truncate(PAGE);
            }
            let Some((_, last)) = page.last() else { return Ok(()) };
            after = last.meta.id;
            let mut reader: Option<Reader<'_>> = None;
            for (at, found) in &page {
                match visitor.before(&found.meta) {
                    Next::Go if !self.is_stopped() => {}
                    Next::Skip => continue,
                    _ => return Ok(()),
                }
                let Some(file) = self.list.get(*at) else { continue };
                if reader.as_ref().is_none_or(|reader| !Arc::ptr_eq(reader.file(), file)) {
                    reader = going_on(self.files.reader(file))?;
                }
                let Some(opened) = &mut reader else { continue };
                let _turn = self.turns.take();
                match going_on(look(opened, found, visitor, &mut raw, &mut self.scanned))? {
                    Some(Next::End) => return Ok(()),
                    Some(_) => {}
                    None => reader = None,
                }
            }
        }
    }

    /// Inflates one pack and shows it; `None` when it is gone.
    pub fn read<T>(
        &mut self,
        id: i64,
        raw: &mut Vec<u8>,
        read: impl FnOnce(&Group<'_>) -> T,
    ) -> Result<Option<T>, StoreError> {
        for file in self.list.iter().filter(|file| file.slice.may_hold(id)) {
            if inflate(&mut self.files.reader(file)?, id, raw)? {
                return Ok(Some(read(&skim(raw).map_err(|error| broken(id, error))?)));
            }
        }
        Ok(None)
    }

    /// One pack as it came; `None` when it is gone.
    pub fn stored(&mut self, id: i64) -> Result<Option<Stored>, StoreError> {
        for file in self.list.iter().filter(|file| file.slice.may_hold(id)) {
            let found = self.files.reader(file)?.with(|db| {
                db.prepare_cached("SELECT compression, body FROM packs WHERE id = ?1")?
                    .query_row([id], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))
                    .optional()
            })?;
            if let Some((compression, body)) = found {
                let compression =
                    compression_of(compression).ok_or_else(|| broken(id, "its compression is unknown"))?;
                return Ok(Some(Stored { compression, body }));
            }
        }
        Ok(None)
    }

    /// The files this scan sees, the oldest first, for questions their indexes answer.
    pub fn files(&self) -> &[Arc<PackFile>] {
        &self.list
    }

    pub fn reader(&self, file: &Arc<PackFile>) -> Result<Reader<'a>, StoreError> {
        self.files.reader(file)
    }
}

/// What threads that share a scan share.
struct Shared<'a> {
    /// The next file.
    at: AtomicUsize,
    /// The file before it, which may have more packs.
    head: Mutex<Option<Head<'a>>>,
    failed: AtomicBool,
}

/// A pack and whether its filter spares it.
struct Place {
    meta: PackMeta,
    spared: bool,
}

/// One file in a scan by time: its next packs.
struct Head<'a> {
    files: &'a Files,
    file: Arc<PackFile>,
    reader: Option<Reader<'a>>,
    reverse: bool,
    page: VecDeque<Place>,
    /// Where the next page begins: both times in the order of the index, and the id. No pack to come lies before it.
    after: (i64, i64, i64),
    is_last: bool,
}

impl<'a> Head<'a> {
    /// `None` when nothing in this file is in the scope.
    fn new(
        files: &'a Files,
        file: &Arc<PackFile>,
        scope: &Scope,
        reverse: bool,
    ) -> Result<Option<Head<'a>>, StoreError> {
        let (first, last) = match files.bounds(file, scope.logstore)? {
            Bounds::Open => (i64::MIN, i64::MAX),
            Bounds::Within(first, last) if first < scope.to && last >= scope.from => (first, last),
            _ => return Ok(None),
        };
        let after = if reverse { (last, i64::MAX, i64::MAX) } else { (first, i64::MIN, i64::MIN) };
        let (file, page) = (file.clone(), VecDeque::new());
        Ok(Some(Head { files, file, reader: None, reverse, page, after, is_last: false }))
    }

    fn reader(&mut self) -> Result<&mut Reader<'a>, StoreError> {
        match &mut self.reader {
            Some(reader) => Ok(reader),
            none => Ok(none.insert(self.files.reader(&self.file)?)),
        }
    }

    /// With packs in its page; `None` when the file has no more.
    fn filled(mut self, scope: &Scope) -> Result<Option<Head<'a>>, StoreError> {
        if self.page.is_empty() && !self.is_last {
            let (reverse, after) = (self.reverse, self.after);
            self.page = self.reader()?.with(|db| by_time(db, scope, reverse, after))?;
            self.is_last = self.page.len() < PAGE;
            if let Some(last) = self.page.back() {
                self.after = edge(&last.meta, reverse);
            }
        }
        Ok((!self.page.is_empty()).then_some(self))
    }

    fn key(&self) -> (i64, i64, i64) {
        self.page.front().map_or(self.after, |place| edge(&place.meta, self.reverse))
    }
}

fn edge(meta: &PackMeta, reverse: bool) -> (i64, i64, i64) {
    match reverse {
        true => (meta.last_time, meta.first_time, meta.id),
        false => (meta.first_time, meta.last_time, meta.id),
    }
}

/// The one to visit next is the greatest, as the heap wants it.
impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.key().cmp(&other.key());
        if self.reverse { order } else { order.reverse() }
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head<'_> {}

/// Reads the filter only where it is asked for.
const COLUMNS: &str = "id, shard, first_time, last_time, logs, raw_size, series, sequence, \
     CASE WHEN ?8 THEN (SELECT filter FROM filters WHERE pack = id) END";

fn by_time(
    connection: &Connection,
    scope: &Scope,
    reverse: bool,
    after: (i64, i64, i64),
) -> rusqlite::Result<VecDeque<Place>> {
    static TEXTS: LazyLock<[String; 2]> = LazyLock::new(|| {
        let within = "logstore = ?1 AND first_time < ?3 AND last_time >= ?2 AND (?6 IS NULL OR topic = ?6)";
        [
            format!(
                "SELECT {COLUMNS} FROM packs INDEXED BY packs_by_first_time WHERE {within} \
                 AND (first_time, last_time, id) > (?4, ?5, ?9) ORDER BY first_time, last_time, id LIMIT ?7"
            ),
            format!(
                "SELECT {COLUMNS} FROM packs INDEXED BY packs_by_last_time WHERE {within} \
                 AND (last_time, first_time, id) < (?4, ?5, ?9) \
                 ORDER BY last_time DESC, first_time DESC, id DESC LIMIT ?7"
            ),
        ]
    });
    let mut query = connection.prepare_cached(&TEXTS[usize::from(reverse)])?;
    let topic = scope.topic.as_ref().map(|topic| topic.as_bytes());
    let words = scope.words.is_some();
    let asked =
        params![scope.logstore, scope.from, scope.to, after.0, after.1, topic, PAGE as i64, words, after.2];
    query.query_map(asked, |row| place(row, scope))?.collect()
}

fn arrivals(connection: &Connection, scope: &Scope, shard: u32, after: i64) -> rusqlite::Result<Vec<Place>> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {COLUMNS} FROM packs INDEXED BY packs_by_shard WHERE logstore = ?1 AND shard = ?4 AND id > ?5 \
             AND first_time < ?3 AND last_time >= ?2 AND (?6 IS NULL OR topic = ?6) ORDER BY id LIMIT ?7"
        )
    });
    let mut query = connection.prepare_cached(&TEXT)?;
    let topic = scope.topic.as_ref().map(|topic| topic.as_bytes());
    let asked = params![
        scope.logstore,
        scope.from,
        scope.to,
        shard,
        after,
        topic,
        PAGE as i64,
        scope.words.is_some()
    ];
    query.query_map(asked, |row| place(row, scope))?.collect()
}

fn place(row: &Row<'_>, scope: &Scope) -> rusqlite::Result<Place> {
    let spared = match (&scope.words, row.get_ref(8)?.as_blob_or_null()?) {
        (Some(words), Some(filter)) => !words.may_be_in(filter),
        // It has none yet.
        _ => false,
    };
    let meta = PackMeta {
        id: row.get(0)?,
        shard: row.get(1)?,
        first_time: row.get(2)?,
        last_time: row.get(3)?,
        logs: row.get::<_, i64>(4)?.max(0) as u64,
        raw_size: row.get::<_, i64>(5)?.max(0) as u64,
        series: Arc::from(row.get_ref(6)?.as_blob()?),
        sequence: row.get(7)?,
    };
    Ok(Place { meta, spared })
}

fn look(
    reader: &mut Reader<'_>,
    found: &Place,
    visitor: &mut impl Visitor,
    raw: &mut Vec<u8>,
    scanned: &mut Scanned,
) -> Result<Next, StoreError> {
    if found.spared {
        scanned.spared += 1;
        return Ok(Next::Go);
    }
    let group = match inflate(reader, found.meta.id, raw) {
        // Its logstore was deleted since the index was read.
        Ok(false) => return Ok(Next::Go),
        Ok(true) => skim(raw).map_err(|error| broken(found.meta.id, error)),
        Err(error) => Err(error),
    };
    let group = match group {
        Ok(group) => group,
        Err(StoreError::Pack(reason)) => {
            scanned.broken += 1;
            if let Some(suppressed) = BROKEN.allow() {
                let file = reader.file().path().display();
                tracing::error!(suppressed, %file, "a stored pack cannot be read and is passed over: {reason}");
            }
            return Ok(Next::Go);
        }
        Err(other) => return Err(other),
    };
    scanned.packs += 1;
    scanned.logs += group.log_count() as u64;
    scanned.bytes += raw.len() as u64;
    visitor.visit(&found.meta, &group)
}

/// `None` for a file that is damaged and was set aside: the scan goes on without it.
fn going_on<T>(outcome: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Inflates a pack into `raw`; `false` when it is gone.
pub(super) fn inflate(reader: &mut Reader<'_>, pack: i64, raw: &mut Vec<u8>) -> Result<bool, StoreError> {
    let done = reader.with(|db| {
        db.prepare_cached("SELECT compression, raw_size, digest, body FROM packs WHERE id = ?1")?
            .query_row([pack], |row| {
                let Some(kind) = compression_of(row.get(0)?) else {
                    return Ok(Err(broken(pack, "its compression is unknown")));
                };
                let raw_size = usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX);
                // SQLite lends the stored bytes: they are inflated without a copy.
                let body = row.get_ref(3)?.as_blob()?;
                if digest(body) != row.get::<_, i64>(2)? {
                    return Ok(Err(broken(pack, "its bytes have changed on the disk")));
                }
                Ok(decompress(kind, body, raw_size, LOG_GROUP_BYTES, raw)
                    .map_err(|error| broken(pack, error)))
            })
            .optional()
    })?;
    match done {
        None => Ok(false),
        Some(inflated) => inflated.map(|()| true),
    }
}

fn broken(pack: i64, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Pack(format!("pack {pack}: {reason}"))
}
