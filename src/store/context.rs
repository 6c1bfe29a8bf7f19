//! Contexts: the logs around one, in the order in which its sender wrote them.
//!
//! ```text
//! pack_id   AB-7            AB-8            AB-9        a sender's LogGroups, in the order of its numbers
//! logs      0 1 2 3 4      0 1 [2] 3       0 1 2
//!               ^---- back ---- ^ -- forward --^
//! ```
//!
//! Only LogGroups of the same sender that arrived within a day of the anchor's count. A number can stand twice: a LogGroup
//! was sent again, or its sender began anew; of those the one that arrived closest to the anchor counts.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::{OptionalExtension, params};

use super::pack;
use super::pull::cursor_of;
use super::rows::{self, Extras, Row};
use super::scan::Scan;
use super::{ANSWER_BYTES, Store, StoreError};

/// Lines on each side.
pub const LINES: usize = 100;
/// Nanoseconds around the arrival of the anchor.
const DAY: i64 = 86_400 * 1_000_000_000;
/// LogGroups on their way at the same time, or sent again, arrive in another order: so far.
const DISORDER: i64 = DAY / 24;
/// LogGroups looked up in one file: each has a log, and some may stand twice.
const LOOKED_UP: i64 = 4 * LINES as i64;

/// A log of which the pack_id and `__pack_meta__` are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    series: Vec<u8>,
    sequence: i64,
    pack: i64,
    position: usize,
}

impl Anchor {
    /// From the texts; `None` when the second is no `__pack_meta__`.
    pub fn read(pack_id: &str, pack_meta: &str) -> Option<Anchor> {
        let mut parts = pack_meta.split('|');
        let _shard: u32 = parts.next()?.parse().ok()?;
        let pack = cursor_of(parts.next()?)?;
        let _logs: u64 = parts.next()?.parse().ok()?;
        let position = parts.next()?.parse().ok()?;
        if parts.next().is_some() {
            return None;
        }
        let (series, sequence) = pack::series_of(pack_id.as_bytes());
        Some(Anchor { series: series.to_vec(), sequence, pack, position })
    }
}

/// The logs around an anchor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// In order, the anchor among them; empty when it is not there.
    pub rows: Vec<Row>,
    /// How many are before and behind the anchor.
    pub back: usize,
    pub forward: usize,
}

/// Logs of one pack.
struct Piece {
    pack: i64,
    positions: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Back,
    Forward,
}

impl Store {
    /// Up to so many logs before and behind the anchor.
    pub async fn context(
        &self,
        logstore: i64,
        anchor: Anchor,
        back: usize,
        forward: usize,
        extras: Extras,
    ) -> Result<Context, StoreError> {
        self.scan(move |scan| context(scan, logstore, &anchor, back.min(LINES), forward.min(LINES), extras))
            .await
    }
}

fn context(
    scan: &mut Scan<'_>,
    logstore: i64,
    anchor: &Anchor,
    back: usize,
    forward: usize,
    extras: Extras,
) -> Result<Context, StoreError> {
    let Some(logs) = logs_of(scan, logstore, anchor)?.filter(|logs| anchor.position < *logs) else {
        return Ok(Context::default());
    };
    let mut raw = Vec::new();
    let own = Piece { pack: anchor.pack, positions: anchor.position..anchor.position + 1 };
    let Some(row) = rows_of(scan, &mut raw, &own, extras)?.pop() else { return Ok(Context::default()) };
    let before = side(scan, &mut raw, logstore, anchor, logs, (Side::Back, back), extras)?;
    let behind = side(scan, &mut raw, logstore, anchor, logs, (Side::Forward, forward), extras)?;
    let (back, forward) = (before.len(), behind.len());
    Ok(Context { rows: before.into_iter().chain([row]).chain(behind).collect(), back, forward })
}

/// The rows on one side, in order.
fn side(
    scan: &mut Scan<'_>,
    raw: &mut Vec<u8>,
    logstore: i64,
    anchor: &Anchor,
    logs: usize,
    (side, mut wanted): (Side, usize),
    extras: Extras,
) -> Result<Vec<Row>, StoreError> {
    let rest = match side {
        Side::Back => anchor.position.saturating_sub(wanted)..anchor.position,
        Side::Forward => anchor.position + 1..logs.min(anchor.position + 1 + wanted),
    };
    wanted -= rest.len();
    let mut pieces = vec![Piece { pack: anchor.pack, positions: rest }];
    if wanted > 0 {
        for (pack, logs) in neighbours(scan, logstore, anchor, side)? {
            let count = logs.min(wanted);
            let positions = if side == Side::Back { logs - count..logs } else { 0..count };
            pieces.push(Piece { pack, positions });
            wanted -= count;
            if wanted == 0 {
                break;
            }
        }
    }
    // From the anchor outwards, so that what would be too much is what is farthest.
    let (mut parts, mut bytes) = (Vec::new(), 0);
    for piece in &pieces {
        if bytes > ANSWER_BYTES / 2 || scan.is_stopped() {
            break;
        }
        let rows = rows_of(scan, raw, piece, extras)?;
        bytes += rows.iter().map(Row::size).sum::<usize>();
        parts.push(rows);
    }
    if side == Side::Back {
        parts.reverse();
    }
    Ok(parts.into_iter().flatten().collect())
}

fn rows_of(
    scan: &mut Scan<'_>,
    raw: &mut Vec<u8>,
    piece: &Piece,
    extras: Extras,
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    if !piece.positions.is_empty() {
        let extras = Extras { pack: true, ..extras };
        rows::read(scan, raw, piece.pack, piece.positions.clone(), extras, |_, row| rows.push(row))?;
    }
    Ok(rows)
}

/// How many logs the anchor's pack has; `None` when there is no such pack of this sender in the logstore.
fn logs_of(scan: &Scan<'_>, logstore: i64, anchor: &Anchor) -> Result<Option<usize>, StoreError> {
    for file in scan.files().iter().filter(|file| file.slice.may_hold(anchor.pack)) {
        let found = scan.reader(file).and_then(|mut reader| {
            reader.with(|db| {
                db.prepare_cached(
                    "SELECT logs FROM packs WHERE id = ?1 AND logstore = ?2 AND series = ?3 AND sequence = ?4",
                )?
                .query_row(params![anchor.pack, logstore, anchor.series, anchor.sequence], |row| {
                    row.get::<_, i64>(0)
                })
                .optional()
            })
        });
        match found {
            Ok(Some(logs)) => return Ok(usize::try_from(logs).ok()),
            Ok(None) | Err(StoreError::Damaged { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

/// The packs next to the anchor's on one side, the nearest first, and how many logs they have.
fn neighbours(
    scan: &Scan<'_>,
    logstore: i64,
    anchor: &Anchor,
    side: Side,
) -> Result<Vec<(i64, usize)>, StoreError> {
    let (text, first, last) = match side {
        Side::Back => (
            "SELECT sequence, id, logs FROM packs WHERE logstore = ?1 AND series = ?2 AND sequence < ?3 \
             AND id BETWEEN ?4 AND ?5 ORDER BY sequence DESC LIMIT ?6",
            anchor.pack.saturating_sub(DAY),
            anchor.pack.saturating_add(DISORDER),
        ),
        Side::Forward => (
            "SELECT sequence, id, logs FROM packs WHERE logstore = ?1 AND series = ?2 AND sequence > ?3 \
             AND id BETWEEN ?4 AND ?5 ORDER BY sequence LIMIT ?6",
            anchor.pack.saturating_sub(DISORDER),
            anchor.pack.saturating_add(DAY),
        ),
    };
    // By number, the closest of each.
    let mut closest: BTreeMap<i64, (u64, i64, usize)> = BTreeMap::new();
    let files = scan.files().iter().filter(|file| file.slice.start <= last && file.slice.end() > first);
    for file in files {
        let found = scan.reader(file).and_then(|mut reader| {
            reader.with(|db| {
                db.prepare_cached(text)?
                    .query_map(
                        params![logstore, anchor.series, anchor.sequence, first, last, LOOKED_UP],
                        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                    )?
                    .collect::<rusqlite::Result<Vec<(i64, i64, i64)>>>()
            })
        });
        let found = match found {
            Ok(found) => found,
            Err(StoreError::Damaged { .. }) => continue,
            Err(other) => return Err(other),
        };
        for (sequence, pack, logs) in found {
            let this = (pack.abs_diff(anchor.pack), pack, usize::try_from(logs).unwrap_or(0));
            closest.entry(sequence).and_modify(|other| *other = this.min(*other)).or_insert(this);
        }
    }
    let packs = closest.into_values().map(|(_, pack, logs)| (pack, logs));
    Ok(if side == Side::Back { packs.rev().collect() } else { packs.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_read_as_they_are_written() {
        let meta = "1|MTY5MzU5Njg0MTIwODU1NjgwOQ==|437|426";
        let anchor = Anchor::read("85C897C740352DC6-808", meta).unwrap();
        assert_eq!((anchor.sequence, anchor.pack, anchor.position), (0x808, 1_693_596_841_208_556_809, 426));
        assert_eq!(anchor.series, b"85C897C740352DC6");
        for wrong in [
            "",
            "1",
            "1|MTY=",
            "1|MTY=|2",
            "x|MTY=|2|1",
            "1|!|2|1",
            "1|MTY=|2|1|0",
            "1|MTY=|2|-1",
            "1|eA==|2|1",
        ] {
            assert_eq!(Anchor::read("AB-1", wrong), None, "{wrong}");
        }
    }
}
