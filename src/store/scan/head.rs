//! One file's next packs, looked up in its indexes a page at a time, so that no transaction stays open in between.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use rusqlite::{Connection, Row, params};

use super::{PAGE, PackMeta, Scope};
use crate::store::StoreError;
use crate::store::files::{Bounds, Files, PackFile, Reader};
use crate::store::pack::beginning;

/// A pack and whether its filter spares it.
pub(super) struct Place {
    pub(super) meta: PackMeta,
    pub(super) spared: bool,
}

/// One file in a scan by time: its next packs.
pub(super) struct Head<'a> {
    files: &'a Files,
    pub(super) file: Arc<PackFile>,
    reader: Option<Reader<'a>>,
    reverse: bool,
    pub(super) page: VecDeque<Place>,
    /// Where the next page begins: both times in the order of the index, and the id. No pack to come lies before it.
    after: (i64, i64, i64),
    is_last: bool,
}

impl<'a> Head<'a> {
    /// `None` when nothing in this file is in the scope.
    pub(super) fn new(
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

    pub(super) fn reader(&mut self) -> Result<&mut Reader<'a>, StoreError> {
        match &mut self.reader {
            Some(reader) => Ok(reader),
            none => Ok(none.insert(self.files.reader(&self.file)?)),
        }
    }

    /// With packs in its page; `None` when the file has no more.
    pub(super) fn filled(mut self, scope: &Scope) -> Result<Option<Head<'a>>, StoreError> {
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
    let topic = scope.topic.as_ref().map(|topic| beginning(topic.as_bytes()));
    let words = scope.words.is_some();
    let asked =
        params![scope.logstore, scope.from, scope.to, after.0, after.1, topic, PAGE as i64, words, after.2];
    query.query_map(asked, |row| place(row, scope))?.collect()
}

pub(super) fn arrivals(
    connection: &Connection,
    scope: &Scope,
    shard: u32,
    after: i64,
) -> rusqlite::Result<Vec<Place>> {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {COLUMNS} FROM packs INDEXED BY packs_by_shard WHERE logstore = ?1 AND shard = ?4 AND id > ?5 \
             AND first_time < ?3 AND last_time >= ?2 AND (?6 IS NULL OR topic = ?6) ORDER BY id LIMIT ?7"
        )
    });
    let mut query = connection.prepare_cached(&TEXT)?;
    let topic = scope.topic.as_ref().map(|topic| beginning(topic.as_bytes()));
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
