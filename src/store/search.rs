//! Searching: a visitor of packs in the order of time.
//!
//! Results are ordered by time, nanoseconds, pack_id series, sequence, arrival and position in the LogGroup, so that
//! pages do not shift. Memory is bounded by the page: of all matches only the best `offset + line` are remembered, as
//! 48-byte keys, and the scan ends at the first pack that begins behind the worst of them. The chosen logs are then
//! read once more.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::StoreError;
use super::query::{Query, Subject};
use super::rows::{self, Extras, Row};
use super::scan::{Next, PackMeta, Scan, Scope, Visitor};
use crate::wire::loggroup::Group;

/// Rows a page may lie behind the start.
pub const OFFSET: usize = 1_000_000;
/// Logs of one answer, as they were encoded; a page that would be larger ends early.
pub const ANSWER_BYTES: usize = 16 << 20;

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
    pub extras: Extras,
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

/// Looks for the best `keep` logs.
struct Seeker<'a> {
    search: &'a Search,
    keep: usize,
    best: BinaryHeap<Ranked>,
}

impl Visitor for Seeker<'_> {
    fn before(&mut self, meta: &PackMeta) -> Next {
        let Some(worst) = self.best.peek().filter(|_| self.best.len() >= self.keep) else { return Next::Go };
        let beyond = match self.search.reverse {
            true => meta.last_time < worst.key.time,
            false => meta.first_time > worst.key.time,
        };
        if beyond { Next::End } else { Next::Go }
    }

    fn is_worth(&mut self, raw: &[u8]) -> bool {
        self.search.query.may_match(raw)
    }

    fn visit(&mut self, meta: &PackMeta, group: &Group<'_>) -> Result<Next, StoreError> {
        let (search, keep) = (self.search, self.keep);
        let mut subject = Subject::new(group);
        for (position, log) in group.logs().enumerate() {
            let time = log.nanoseconds();
            if time < search.from || time >= search.to {
                continue;
            }
            let is_full = self.best.len() >= keep;
            let worst = self.best.peek().filter(|_| is_full).map(|ranked| ranked.key.time);
            let beyond = |worst| if search.reverse { time < worst } else { time > worst };
            if worst.is_some_and(beyond) || !subject.matches(&search.query, &log) {
                continue;
            }
            let ranked = Ranked {
                key: Key {
                    time,
                    series: meta.series.clone(),
                    sequence: meta.sequence,
                    pack: meta.id,
                    position: position as u32,
                    size: log.size() as u32,
                },
                reverse: search.reverse,
            };
            if !is_full {
                self.best.push(ranked);
            } else if let Some(mut worst) = self.best.peek_mut().filter(|worst| ranked < **worst) {
                *worst = ranked;
            }
        }
        Ok(Next::Go)
    }
}

/// Runs a search on a scan thread.
pub(super) fn search(scan: &mut Scan<'_>, logstore: i64, search: &Search) -> Result<Found, StoreError> {
    let keep = search.offset.saturating_add(search.line);
    if search.line == 0 || search.from >= search.to {
        return Ok(Found::default());
    }
    let scope = Scope {
        from: search.from,
        to: search.to,
        topic: search.topic.clone(),
        words: search.query.needed(),
        ..Scope::all(logstore)
    };
    let mut seeker = Seeker { search, keep, best: BinaryHeap::new() };
    scan.in_order(&scope, search.reverse, &mut seeker)?;
    let keys = seeker.best.into_sorted_vec();
    let chosen = keys.into_iter().skip(search.offset).map(|ranked| ranked.key).collect();
    let scanned = scan.scanned;
    let mut found = Found { scanned_logs: scanned.logs, scanned_bytes: scanned.bytes, ..Found::default() };
    read_rows(scan, chosen, search.extras, &mut found)?;
    Ok(found)
}

/// Reads the chosen logs, each pack once, and lays them out in the order of the keys.
fn read_rows(
    scan: &mut Scan<'_>,
    mut chosen: Vec<Key>,
    extras: Extras,
    found: &mut Found,
) -> Result<(), StoreError> {
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
    let mut raw = Vec::new();
    let mut rows: Vec<Option<Row>> = vec![None; chosen.len()];
    for of_pack in by_place.chunk_by(|(_, a), (_, b)| a.pack == b.pack) {
        let Some((_, first)) = of_pack.first() else { continue };
        let positions = of_pack.iter().map(|(_, key)| key.position as usize);
        rows::read(scan, &mut raw, first.pack, positions, extras, |number, row| {
            let place = of_pack.get(number).and_then(|(place, _)| rows.get_mut(*place));
            if let Some(place) = place {
                *place = Some(row);
            }
        })?;
    }
    found.rows = rows.into_iter().flatten().collect();
    Ok(())
}
