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

mod head;
mod look;

use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use rusqlite::OptionalExtension;

use super::StoreError;
use super::files::{Files, PackFile, Reader};
use super::pack::{compression_of, digest};
use super::query::Needed;
use super::threads::{Turns, yield_to_others};
use crate::wire::compress::Kind;
use crate::wire::loggroup::Group;
use head::{Head, Place, arrivals};
use look::{broken, going_on, look, walked};

pub(super) use look::inflate;

/// Packs looked up in an index at once.
pub(super) const PAGE: usize = 64;

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

    /// Asked before an inflated pack is walked: false spares that.
    fn is_worth(&mut self, _raw: &[u8]) -> bool {
        true
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

    fn next_page(&self, scope: &Scope, shared: &Shared<'a>) -> Result<Option<Page>, StoreError> {
        let mut head = shared.head.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        loop {
            if let Some(found) = head.take()
                && let Some(mut filled) = going_on(found.filled(scope))?.flatten()
            {
                let page = (filled.file.clone(), std::mem::take(&mut filled.page));
                *head = Some(filled);
                return Ok(Some(page));
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
            let there = self.files.reader(file).and_then(|mut reader| inflate(&mut reader, id, raw));
            if going_on(there)? == Some(true) {
                return Ok(Some(read(&walked(id, raw)?)));
            }
        }
        Ok(None)
    }

    /// One pack as it came; `None` when it is gone.
    pub fn stored(&mut self, id: i64) -> Result<Option<Stored>, StoreError> {
        for file in self.list.iter().filter(|file| file.slice.may_hold(id)) {
            let found = self.files.reader(file).and_then(|mut reader| {
                reader.with(|db| {
                    db.prepare_cached("SELECT compression, digest, body FROM packs WHERE id = ?1")?
                        .query_row([id], |row| {
                            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
                        })
                        .optional()
                })
            });
            if let Some(Some((compression, made, body))) = going_on(found)? {
                if digest(&body) != made {
                    return Err(broken(id, "its bytes have changed on the disk"));
                }
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

/// Packs of a file.
type Page = (Arc<PackFile>, VecDeque<Place>);

/// What threads that share a scan share.
struct Shared<'a> {
    /// The next file.
    at: AtomicUsize,
    /// The file before it, which may have more packs.
    head: Mutex<Option<Head<'a>>>,
    failed: AtomicBool,
}
