//! Histograms: how many logs match in each piece of a time range.
//!
//! ```text
//! from        width       width            to
//!  |---|-----------|-----------|-----------|--|      pieces begin at multiples of the width, but for the first
//! ```
//!
//! A pack that lies in one piece is counted without being inflated when all its logs match.

use super::query::{Query, Subject};
use super::scan::{Next, PackMeta, Scan, Scope, Visitor};
use super::{Store, StoreError};
use crate::wire::loggroup::Group;

/// Pieces of one histogram, whatever width is asked for.
pub const PIECES: i64 = 10_000;
/// Pieces where no width is asked for, about.
const USUAL: i64 = 60;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// What is counted.
#[derive(Clone, Debug)]
pub struct Count {
    /// Nanoseconds since 1970; `from` is within, `to` is not.
    pub from: i64,
    pub to: i64,
    /// Exactly this topic, when given.
    pub topic: Option<String>,
    /// Only this shard, when given.
    pub shard: Option<u32>,
    pub query: Query,
    /// Seconds of a piece: see [`width`].
    pub width: i64,
}

/// A piece of the range, in seconds since 1970, and the logs in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub from: i64,
    pub to: i64,
    pub count: u64,
}

/// The width of the pieces of a range, in seconds: the least round one that makes about 60 of them.
pub fn width(from: i64, to: i64) -> i64 {
    const ROUND: [i64; 20] = [
        1,
        2,
        5,
        10,
        15,
        30,
        60,
        120,
        300,
        600,
        900,
        1_800,
        3_600,
        7_200,
        10_800,
        21_600,
        43_200,
        DAY,
        2 * DAY,
        7 * DAY,
    ];
    let seconds = to.saturating_sub(from);
    let fits = ROUND.into_iter().find(|width| seconds / width <= USUAL);
    fits.unwrap_or_else(|| (seconds / USUAL / DAY + 1).saturating_mul(DAY))
}

impl Store {
    /// Counts the logs in the pieces of a range, which cover it without gaps; none of a range that makes more than
    /// [`PIECES`]. When the caller goes away the scan stops.
    pub async fn histogram(&self, logstore: i64, count: Count) -> Result<Vec<Piece>, StoreError> {
        self.long_scan(move |scan| histogram(scan, logstore, &count)).await
    }
}

fn histogram(scan: &mut Scan<'_>, logstore: i64, count: &Count) -> Result<Vec<Piece>, StoreError> {
    let mut pieces = pieces(count.from, count.to, count.width);
    let Some(first) = pieces.first() else { return Ok(pieces) };
    let base = first.from.div_euclid(count.width.max(1)).saturating_mul(count.width.max(1));
    let scope = Scope {
        from: count.from,
        to: count.to,
        topic: count.topic.clone(),
        words: count.query.needed(),
        ..Scope::all(logstore)
    };
    let (counts, base) = (vec![0; pieces.len()], base.saturating_mul(SECOND));
    let width = count.width.max(1).saturating_mul(SECOND);
    let counters = scan.any_order(&scope, || Counter { count, base, width, counts: counts.clone() })?;
    for counter in counters {
        for (piece, count) in pieces.iter_mut().zip(counter.counts) {
            piece.count += count;
        }
    }
    Ok(pieces)
}

/// The pieces of a range of nanoseconds, empty yet.
fn pieces(from: i64, to: i64, width: i64) -> Vec<Piece> {
    let end = to.div_euclid(SECOND).saturating_add(i64::from(to.rem_euclid(SECOND) > 0));
    let (width, mut at) = (width.max(1), from.div_euclid(SECOND));
    if from >= to || end.saturating_sub(at) / width > PIECES {
        return Vec::new();
    }
    let mut pieces = Vec::new();
    while at < end {
        let next = at.div_euclid(width).saturating_add(1).saturating_mul(width).min(end);
        pieces.push(Piece { from: at, to: next, count: 0 });
        at = next;
    }
    pieces
}

struct Counter<'a> {
    count: &'a Count,
    /// Nanoseconds where the first piece would begin if it were whole, and of one.
    base: i64,
    width: i64,
    counts: Vec<u64>,
}

impl Counter<'_> {
    fn piece(&self, time: i64) -> usize {
        usize::try_from(time.saturating_sub(self.base) / self.width).unwrap_or(usize::MAX)
    }

    fn add(&mut self, piece: usize, logs: u64) {
        if let Some(count) = self.counts.get_mut(piece) {
            *count += logs;
        }
    }
}

impl Visitor for Counter<'_> {
    fn before(&mut self, meta: &PackMeta) -> Next {
        if self.count.shard.is_some_and(|shard| shard != meta.shard) {
            return Next::Skip;
        }
        let is_within = meta.first_time >= self.count.from && meta.last_time < self.count.to;
        let (first, last) = (self.piece(meta.first_time), self.piece(meta.last_time));
        if is_within && first == last && self.count.query.is_all() {
            self.add(first, meta.logs);
            return Next::Skip;
        }
        Next::Go
    }

    fn is_worth(&mut self, raw: &[u8]) -> bool {
        self.count.query.may_match(raw)
    }

    fn visit(&mut self, _meta: &PackMeta, group: &Group<'_>) -> Result<Next, StoreError> {
        let mut subject = Subject::new(group);
        for log in group.logs() {
            let time = log.nanoseconds();
            if (self.count.from..self.count.to).contains(&time) && subject.matches(&self.count.query, &log) {
                self.add(self.piece(time), 1);
            }
        }
        Ok(Next::Go)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_round_and_pieces_few() {
        for (seconds, expected) in [
            (0, 1),
            (60, 1),
            (61, 2),
            (900, 15),
            (3_600, 60),
            (86_400, 1_800),
            (7 * DAY, 10_800),
            (30 * DAY, 43_200),
            (365 * DAY, 7 * DAY),
            (3_650 * DAY, 61 * DAY),
        ] {
            assert_eq!(width(1_700_000_000, 1_700_000_000 + seconds), expected, "{seconds}");
        }
        assert!(width(i64::MIN, i64::MAX) > 0);
    }

    #[test]
    fn pieces_cover_the_range_without_gaps() {
        let at = |seconds: i64| seconds * SECOND;
        let found = pieces(at(1_700_000_007), at(1_700_000_031), 10);
        let edges: Vec<i64> = found.iter().map(|piece| piece.from).chain([found[3].to]).collect();
        assert_eq!(edges, [1_700_000_007, 1_700_000_010, 1_700_000_020, 1_700_000_030, 1_700_000_031]);
        assert_eq!(pieces(at(5) + 1, at(5) + 2, 60), [Piece { from: 5, to: 6, count: 0 }]);
        assert!(pieces(at(0), at(2 * PIECES), 1).is_empty());
        assert!(pieces(at(5), at(5), 1).is_empty());
        for (from, to) in [(i64::MIN, i64::MAX), (0, i64::MAX), (i64::MIN, 0)] {
            let (first, last) = (from / SECOND, to / SECOND);
            let found = pieces(from, to, width(first, last));
            assert!((1..=70).contains(&found.len()), "{}", found.len());
            assert!(found.windows(2).all(|pair| pair[0].to == pair[1].from));
        }
    }
}
