//! Searching packs: in the order of time, from the index of pack times, one pack inflated at a time.
//!
//! Results are ordered by time, nanoseconds, pack_id series, sequence, arrival and position in the LogGroup, so that
//! pages do not shift. Memory is bounded by the page: of all matches only the best `offset + line` are remembered, as
//! 48-byte keys, and the scan ends at the first pack that begins behind the worst of them. The chosen logs are then
//! read once more.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::pack::{PACK_ID, compression_of};
use super::query::{Query, Subject};
use crate::base::limits::LOG_GROUP_BYTES;
use crate::wire::compress::decompress;
use crate::wire::loggroup::walk;

/// Rows a page may lie behind the start.
pub const OFFSET: usize = 1_000_000;
/// Logs of one answer, as they were encoded; a page that would be larger ends early.
pub const ANSWER_BYTES: usize = 16 << 20;
/// Packs looked up in the index at once.
const PAGE: usize = 64;

/// What is searched.
#[derive(Clone, Debug)]
pub struct Search {
    /// Nanoseconds since 1970; `from` is within, `to` is not.
    pub from: i64,
    pub to: i64,
    /// Exactly this topic, when given.
    pub topic: Option<String>,
    pub query: Query,
    pub offset: usize,
    pub line: usize,
    /// Newest first.
    pub reverse: bool,
}

/// One log of an answer. Texts are repaired where they were no UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub time: u32,
    pub time_ns: Option<u32>,
    pub topic: String,
    pub source: String,
    pub tags: Vec<(String, String)>,
    pub contents: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default)]
pub struct Found {
    pub rows: Vec<Row>,
    /// Logs and bytes looked at.
    pub scanned_logs: u64,
    pub scanned_bytes: u64,
    /// Rows of the page left out because the answer would be too large.
    pub cut: usize,
}

/// Where a log stands in the order of results, and where it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    time: i64,
    series: Arc<[u8]>,
    sequence: i64,
    pack: i64,
    position: u32,
    size: u32,
}

impl Key {
    fn order(&self, other: &Key) -> Ordering {
        (self.time, &self.series, self.sequence, self.pack, self.position).cmp(&(
            other.time,
            &other.series,
            other.sequence,
            other.pack,
            other.position,
        ))
    }
}

/// A key in the direction of the search, so that the worst one is on top of the heap.
#[derive(Debug, PartialEq, Eq)]
struct Ranked {
    key: Key,
    reverse: bool,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        let order = self.key.order(&other.key);
        if self.reverse { order.reverse() } else { order }
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

struct PackRow {
    id: i64,
    first_time: i64,
    last_time: i64,
    series: Arc<[u8]>,
    sequence: i64,
}

/// Runs a search on a reading connection. `stop` ends it early, with an answer nobody waits for.
pub(super) fn search(
    connection: &Connection,
    logstore: i64,
    search: &Search,
    stop: &AtomicBool,
) -> rusqlite::Result<Result<Found, StoreError>> {
    let mut found = Found::default();
    let keep = search.offset.saturating_add(search.line);
    if search.line == 0 || search.from >= search.to {
        return Ok(Ok(found));
    }
    let mut best: BinaryHeap<Ranked> = BinaryHeap::new();
    let mut raw = Vec::new();
    // The last pack seen, by both its times in the order of the index, and its id.
    let edge = if search.reverse { i64::MAX } else { i64::MIN };
    let mut after = (edge, edge, edge);
    'scan: loop {
        let page = next_packs(connection, logstore, search, after)?;
        let full_page = page.len() == PAGE;
        for pack in page {
            let (edge, other) = match search.reverse {
                true => (pack.last_time, pack.first_time),
                false => (pack.first_time, pack.last_time),
            };
            after = (edge, other, pack.id);
            let is_full = best.len() >= keep;
            if let Some(worst) = best.peek().filter(|_| is_full) {
                let beyond = if search.reverse { edge < worst.key.time } else { edge > worst.key.time };
                if beyond {
                    break 'scan;
                }
            }
            if stop.load(Relaxed) {
                break 'scan;
            }
            if let Err(error) = scan_pack(connection, search, &pack, keep, &mut raw, &mut best, &mut found)? {
                return Ok(Err(error));
            }
        }
        if !full_page {
            break;
        }
    }
    let keys = best.into_sorted_vec();
    let chosen: Vec<Key> = keys.into_iter().skip(search.offset).map(|ranked| ranked.key).collect();
    Ok(read_rows(connection, chosen, &mut raw, &mut found)?.map(|()| found))
}

fn next_packs(
    connection: &Connection,
    logstore: i64,
    search: &Search,
    after: (i64, i64, i64),
) -> rusqlite::Result<Vec<PackRow>> {
    let text = if search.reverse {
        "SELECT id, first_time, last_time, series, sequence FROM packs
         WHERE logstore = ?1 AND last_time >= ?2 AND first_time < ?3 
           AND (last_time, first_time, id) < (?4, ?5, ?6) AND (?7 IS NULL OR topic = ?7)
         ORDER BY last_time DESC, first_time DESC, id DESC LIMIT ?8"
    } else {
        "SELECT id, first_time, last_time, series, sequence FROM packs
         WHERE logstore = ?1 AND first_time < ?3 AND last_time >= ?2 
           AND (first_time, last_time, id) > (?4, ?5, ?6) AND (?7 IS NULL OR topic = ?7)
         ORDER BY first_time, last_time, id LIMIT ?8"
    };
    let topic = search.topic.as_ref().map(|topic| topic.as_bytes());
    let mut query = connection.prepare_cached(text)?;
    let rows = query.query_map(
        params![logstore, search.from, search.to, after.0, after.1, after.2, topic, PAGE as i64],
        |row| {
            Ok(PackRow {
                id: row.get(0)?,
                first_time: row.get(1)?,
                last_time: row.get(2)?,
                series: Arc::from(row.get_ref(3)?.as_blob()?),
                sequence: row.get(4)?,
            })
        },
    )?;
    rows.collect()
}

fn scan_pack(
    connection: &Connection,
    search: &Search,
    pack: &PackRow,
    keep: usize,
    raw: &mut Vec<u8>,
    best: &mut BinaryHeap<Ranked>,
    found: &mut Found,
) -> rusqlite::Result<Result<(), StoreError>> {
    match inflate(connection, pack.id, raw)? {
        Ok(true) => {}
        // Its logstore was deleted since the index was read.
        Ok(false) => return Ok(Ok(())),
        Err(error) => return Ok(Err(error)),
    }
    let group = match walk(raw) {
        Ok(group) => group,
        Err(error) => return Ok(Err(StoreError::Pack(format!("pack {}: {error}", pack.id)))),
    };
    found.scanned_logs += group.log_count() as u64;
    found.scanned_bytes += raw.len() as u64;
    let mut subject = Subject::new(&group);
    for (position, log) in group.logs().enumerate() {
        let time = log.nanoseconds();
        if time < search.from || time >= search.to {
            continue;
        }
        let worst = best.peek().filter(|_| best.len() >= keep).map(|ranked| ranked.key.time);
        let beyond = |worst| if search.reverse { time < worst } else { time > worst };
        if worst.is_some_and(beyond) || !subject.matches(&search.query, &log) {
            continue;
        }
        let ranked = Ranked {
            key: Key {
                time,
                series: pack.series.clone(),
                sequence: pack.sequence,
                pack: pack.id,
                position: position as u32,
                size: log.size() as u32,
            },
            reverse: search.reverse,
        };
        if best.len() < keep {
            best.push(ranked);
        } else if let Some(mut worst) = best.peek_mut().filter(|worst| ranked < **worst) {
            *worst = ranked;
        }
    }
    Ok(Ok(()))
}

/// Reads the chosen logs, each pack once, and lays them out in the order of the keys.
fn read_rows(
    connection: &Connection,
    mut chosen: Vec<Key>,
    raw: &mut Vec<u8>,
    found: &mut Found,
) -> rusqlite::Result<Result<(), StoreError>> {
    let mut bytes = 0usize;
    let fits = chosen.iter().take_while(|key| {
        bytes += key.size as usize;
        bytes <= ANSWER_BYTES
    });
    // One log always fits: it cannot be larger than a LogGroup.
    let count = fits.count().max(1).min(chosen.len());
    found.cut = chosen.len() - count;
    chosen.truncate(count);

    let mut by_place: Vec<(usize, &Key)> = chosen.iter().enumerate().collect();
    by_place.sort_by_key(|(_, key)| (key.pack, key.position));
    let mut rows: Vec<Option<Row>> = vec![None; chosen.len()];
    for of_pack in by_place.chunk_by(|(_, a), (_, b)| a.pack == b.pack) {
        let Some((_, first)) = of_pack.first() else { continue };
        match inflate(connection, first.pack, raw)? {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => return Ok(Err(error)),
        }
        let Ok(group) = walk(raw) else { continue };
        let tags: Vec<(String, String)> = group
            .tags()
            .filter(|tag| tag.0 != PACK_ID)
            .map(|(key, value)| (text(key), text(value)))
            .collect();
        let mut wanted = of_pack.iter().peekable();
        for (position, log) in group.logs().enumerate() {
            let Some((place, _)) = wanted.next_if(|(_, key)| key.position as usize == position) else {
                continue;
            };
            rows[*place] = Some(Row {
                time: log.time,
                time_ns: log.time_ns,
                topic: text(group.topic),
                source: text(group.source),
                tags: tags.clone(),
                contents: log.contents().map(|(key, value)| (text(key), text(value))).collect(),
            });
            if wanted.peek().is_none() {
                break;
            }
        }
    }
    found.rows = rows.into_iter().flatten().collect();
    Ok(Ok(()))
}

/// Inflates a pack into `raw`; `false` when it is gone.
fn inflate(
    connection: &Connection,
    pack: i64,
    raw: &mut Vec<u8>,
) -> rusqlite::Result<Result<bool, StoreError>> {
    let mut query =
        connection.prepare_cached("SELECT compression, raw_size, body FROM packs WHERE id = ?1")?;
    let done = query
        .query_row([pack], |row| {
            let broken = |reason: String| StoreError::Pack(format!("pack {pack}: {reason}"));
            let Some(kind) = compression_of(row.get(0)?) else {
                return Ok(Err(broken("its compression is unknown".into())));
            };
            let raw_size = usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX);
            // SQLite lends the stored bytes: they are inflated without a copy.
            let body = row.get_ref(2)?.as_blob()?;
            Ok(decompress(kind, body, raw_size, LOG_GROUP_BYTES, raw)
                .map_err(|error| broken(error.to_string())))
        })
        .optional()?;
    Ok(match done {
        None => Ok(false),
        Some(inflated) => inflated.map(|()| true),
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
