//! What the writer does between transactions: expired files go, the oldest go when room is needed, the packs of deleted
//! logstores are erased, filters are added, sizes measured.
//!
//! Packs of a deleted logstore are erased some at a time, so that a large deletion never holds up a write; a file that
//! holds nothing else, and gets no more, goes whole.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::Writer;
use crate::base::metrics::Counter;
use crate::store::StoreError;
use crate::store::files::PackFile;
use crate::store::partition::Slice;

/// Packs erased between two looks at the channel.
const ERASE_PACKS: usize = 32;
const IDLE: Duration = Duration::from_millis(500);
/// How often the size of all files is looked up.
const MEASURE: Duration = Duration::from_secs(1);

impl Writer {
    pub(super) fn measure(&mut self) {
        if self.measured.is_some_and(|last| last.elapsed() < MEASURE) {
            return;
        }
        self.measured = Some(Instant::now());
        let files = self.files.all();
        let bytes = files.iter().map(|file| file.bytes()).sum::<u64>() + self.files.leaving();
        self.metrics.files.set(files.len() as f64);
        self.metrics.file_bytes.set(bytes as f64);
        self.bounds.used.store(bytes, Relaxed);
        for open in &mut self.open {
            open.bytes = open.file.bytes();
        }
    }

    /// Takes away the files whose last pack is older than its ttl.
    pub(super) fn tidy(&mut self) {
        let now = self.clock.nanoseconds();
        for file in self.files.all().iter().filter(|file| file.slice.is_expired(now)) {
            tracing::debug!(file = %file.path().display(), "a file of logs has expired");
            self.drop_file(file, &self.metrics.expired.clone());
        }
        self.measure();
    }

    /// Drops the oldest files until there is room for so many bytes; `false` when nothing more can be done for it.
    pub(super) fn make_room(&mut self, bytes: u64) -> bool {
        loop {
            // Asked before the files are measured: what leaves in between is still in that measure.
            let is_leaving = self.files.leaving() > 0;
            self.measured = None;
            self.measure();
            // What is still being read frees its space later.
            if self.bounds.has_room(bytes) || is_leaving {
                return true;
            }
            let files = self.files.all();
            let Some(oldest) = files.iter().find(|file| file.is_sealed()) else {
                // From now on there will be an older one.
                files.iter().for_each(|file| file.seal());
                self.close_former();
                return !files.is_empty();
            };
            let (file, bytes) = (oldest.path().display(), oldest.bytes());
            tracing::warn!(%file, bytes, "the embedded Log Service is full and drops its oldest logs");
            self.drop_file(oldest, &self.metrics.evicted.clone());
        }
    }

    fn drop_file(&mut self, file: &Arc<PackFile>, count: &Counter) {
        let packs = self.files.reader(file).and_then(|mut reader| {
            reader.with(|db| db.query_row("SELECT count(*) FROM packs", [], |row| row.get::<_, i64>(0)))
        });
        count.increment(packs.map_or(0, |packs| packs.max(0) as u64));
        self.open.retain(|open| !Arc::ptr_eq(&open.file, file));
        self.files.retire(file.slice);
    }

    /// Adds filters. Nobody counts on them: who finds none scans the pack.
    pub(super) fn add_filters(&mut self, slice: Slice, filters: &[(i64, Vec<u8>)]) {
        if self.files.get(slice).is_none() {
            return;
        }
        if let Ok(open) = self.begin(slice)
            && let Some(Ok(())) = open.state
            && let Err(cause) = insert_filters(&open.connection, filters)
        {
            open.failed(cause);
        }
        self.end_transactions();
        // A sealed file stays open: there will be more filters for it.
        self.open.iter_mut().for_each(|open| open.state = None);
    }

    /// Erases some packs of logstores that are no more.
    pub(super) fn erase(&mut self) {
        let Some(from) = self.erasing else { return };
        let Some(file) = self.files.all().into_iter().find(|file| file.slice >= from) else {
            self.erasing = None;
            return;
        };
        self.erasing = match self.erase_from(&file) {
            // There is more in it.
            Ok(true) => Some(file.slice),
            Ok(false) => Some(file.slice.behind()),
            Err(error) => {
                tracing::warn!(%error, "cannot erase packs of a deleted logstore; they stay on the disk for now");
                std::thread::sleep(IDLE);
                Some(file.slice.behind())
            }
        };
    }

    /// `false` when there are none left in this file.
    fn erase_from(&mut self, file: &Arc<PackFile>) -> Result<bool, StoreError> {
        let (mut dead, mut is_live, mut seen) = (None, false, 0);
        let mut reader = self.files.reader(file)?;
        // A step from logstore to logstore along the index, however many packs each has.
        while let Some(logstore) = reader.with(|db| next_logstore(db, seen))? {
            seen = logstore;
            let catalog = self.catalog.read().unwrap_or_else(|poisoned| poisoned.into_inner());
            match catalog.is_live(logstore) {
                true => is_live = true,
                false => dead = Some(logstore),
            }
        }
        drop(reader);
        if !is_live && file.is_sealed() {
            self.open.retain(|open| !Arc::ptr_eq(&open.file, file));
            self.files.retire(file.slice);
            return Ok(false);
        }
        let Some(dead) = dead else { return Ok(false) };
        let open = self.begin(file.slice)?;
        if let Some(Ok(())) = open.state
            && let Err(cause) = erase(&open.connection, dead)
        {
            open.failed(cause);
        }
        self.end_transactions();
        self.outcome_of(file.slice)?;
        if let Some(open) = self.open.iter_mut().find(|open| open.file.slice == file.slice) {
            open.state = None;
            give_back(&open.connection).map_err(|cause| StoreError::database(file.path(), cause))?;
        }
        Ok(true)
    }
}

fn next_logstore(connection: &Connection, after: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(logstore) FROM packs WHERE logstore > ?1")?
        .query_row([after], |row| row.get(0))
}

fn erase(connection: &Connection, logstore: i64) -> rusqlite::Result<()> {
    const FILTERS: &str = "DELETE FROM filters WHERE pack IN \
        (SELECT id FROM packs WHERE logstore = ?1 ORDER BY first_time, last_time, id LIMIT ?2)";
    const CHOSEN: &str = "DELETE FROM packs WHERE id IN \
        (SELECT id FROM packs WHERE logstore = ?1 ORDER BY first_time, last_time, id LIMIT ?2)";
    for text in [FILTERS, CHOSEN] {
        connection.prepare_cached(text)?.execute(params![logstore, ERASE_PACKS as i64])?;
    }
    Ok(())
}

/// Gives freed pages back to the file system, some at a time.
fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    let mut vacuum = connection.prepare_cached("PRAGMA incremental_vacuum(1024)")?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

fn insert_filters(connection: &Connection, filters: &[(i64, Vec<u8>)]) -> rusqlite::Result<()> {
    // A pack may be gone by now.
    let mut query = connection.prepare_cached(
        "INSERT OR REPLACE INTO filters (pack, filter) \
         SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM packs WHERE id = ?1)",
    )?;
    for (pack, filter) in filters {
        query.execute(params![pack, filter])?;
    }
    Ok(())
}
