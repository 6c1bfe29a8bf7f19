//! Shards: the ranges of hash keys that a logstore is cut into. Pure; the catalog keeps them, the writer asks which
//! one a pack goes to.
//!
//! ```text
//! 00..00        40..00        80..00        c0..00       ff..ff       keys: 128 bits, 32 hex digits
//!    | 0 readwrite | 1 readwrite | 2 readonly              |          made with a count of three, say
//!                                | 3 readwrite | 4 readwrite |         2 was split at c0..00
//! ```
//!
//! Invariants: the readwrite shards cover all keys and none twice; a shard's number is never used again; a readonly
//! shard takes nothing more and says since when, so that a reader knows where it ends. The last range holds its end.

use super::Refused;

/// Readwrite shards of one logstore, as the setting `maxSplitShard` bounds them at most.
pub const SHARDS: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub id: u32,
    /// The first key, and the key behind the last one; the end of the last range is the highest key, which is in it.
    pub begin: u128,
    pub end: u128,
    /// Seconds since 1970.
    pub created: i64,
    /// Readonly since: every pack in it has an id below this one.
    pub closed: Option<i64>,
    /// Those whose keys it took over.
    pub parents: Vec<u32>,
}

/// Which shard a pack is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Route {
    /// Any of the readwrite ones, in turns.
    #[default]
    Balanced,
    /// The one that holds this key.
    Key(u128),
}

impl Shard {
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    fn holds(&self, key: u128) -> bool {
        self.begin <= key && (key < self.end || self.end == u128::MAX)
    }

    fn new(id: u32, begin: u128, end: u128, created: i64, parents: Vec<u32>) -> Shard {
        Shard { id, begin, end, created, closed: None, parents }
    }
}

/// What a change does to the shards of a logstore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Become readonly.
    pub(super) close: Vec<u32>,
    pub(super) make: Vec<Shard>,
}

/// The shards of a new logstore: equal ranges.
pub(super) fn cut(count: u32, now: i64) -> Vec<Shard> {
    ranges(0, u128::MAX, count.max(1))
        .enumerate()
        .map(|(id, (begin, end))| Shard::new(id as u32, begin, end, now, Vec::new()))
        .collect()
}

/// The number of the shard for a pack; `turn` counts up with every pack.
pub(super) fn choose(shards: &[Shard], route: Route, turn: usize) -> Option<u32> {
    let mut open = shards.iter().filter(|shard| shard.is_open());
    match route {
        Route::Key(key) => open.find(|shard| shard.holds(key)).map(|shard| shard.id),
        Route::Balanced => {
            let count = open.clone().count();
            open.nth(turn % count.max(1)).map(|shard| shard.id)
        }
    }
}

pub fn find(shards: &[Shard], id: u32) -> Result<&Shard, Refused> {
    shards.iter().find(|shard| shard.id == id).ok_or(Refused::NoShard(id))
}

/// Splits a shard: at a key into two, or into `count` equal parts (where a key is given, its first cut is there).
pub(super) fn split(
    shards: &[Shard],
    id: u32,
    key: Option<u128>,
    count: u32,
    now: i64,
) -> Result<Change, Refused> {
    let shard = open_one(shards, id)?;
    if !(2..=SHARDS as u32).contains(&count) {
        return Err(Refused::Parameter("shardCount must be within range [2, 256]".into()));
    }
    let open = shards.iter().filter(|shard| shard.is_open()).count();
    if open + count as usize - 1 > SHARDS {
        return Err(Refused::TooManyShards(SHARDS));
    }
    let parts: Vec<(u128, u128)> = match key {
        Some(key) if !(shard.begin < key && shard.holds(key)) || key == u128::MAX => {
            return Err(Refused::Parameter(format!("key {key:032x} is not inside shard {id}")));
        }
        // The first part ends at the key, the others share what is behind it.
        Some(key) => std::iter::once((shard.begin, key)).chain(ranges(key, shard.end, count - 1)).collect(),
        None => ranges(shard.begin, shard.end, count).collect(),
    };
    if parts.iter().any(|(begin, end)| begin >= end) {
        return Err(Refused::Parameter(format!("the range of shard {id} is too small to be split so")));
    }
    let next = next_id(shards);
    let make = (next..).zip(parts).map(|(new, (begin, end))| Shard::new(new, begin, end, now, vec![id]));
    Ok(Change { close: vec![id], make: make.collect() })
}

/// Joins a shard with its right neighbour.
pub(super) fn merge(shards: &[Shard], id: u32, now: i64) -> Result<Change, Refused> {
    let left = open_one(shards, id)?;
    let right =
        shards.iter().find(|shard| shard.is_open() && shard.begin == left.end && shard.id != id).ok_or_else(
            || Refused::Parameter(format!("shard {id} is the last one: it has no right neighbour")),
        )?;
    let parents = vec![left.id, right.id];
    let make = vec![Shard::new(next_id(shards), left.begin, right.end, now, parents.clone())];
    Ok(Change { close: parents, make })
}

/// Whether a shard may be deleted: only one that takes nothing any more.
pub(super) fn check_delete(shards: &[Shard], id: u32) -> Result<(), Refused> {
    match find(shards, id)?.is_open() {
        true => {
            Err(Refused::Parameter(format!("shard {id} is readwrite; only a readonly shard can be deleted")))
        }
        false => Ok(()),
    }
}

fn open_one(shards: &[Shard], id: u32) -> Result<&Shard, Refused> {
    let shard = find(shards, id)?;
    if !shard.is_open() {
        return Err(Refused::Parameter(format!("shard {id} is readonly")));
    }
    Ok(shard)
}

fn next_id(shards: &[Shard]) -> u32 {
    shards.iter().map(|shard| shard.id + 1).max().unwrap_or(0)
}

fn ranges(begin: u128, end: u128, count: u32) -> impl Iterator<Item = (u128, u128)> {
    let (count, whole) = (u128::from(count), end - begin);
    // The highest key ends the last range, so that the space is one larger than what can be counted; one range takes no step.
    let is_last = u128::from(end == u128::MAX && whole % count == count - 1);
    let step = (whole / count).wrapping_add(is_last);
    (0..count).map(move |part| {
        let from = begin + step * part;
        (from, if part + 1 == count { end } else { from + step })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn apply(shards: &mut Vec<Shard>, change: Change) {
        for shard in shards.iter_mut().filter(|shard| change.close.contains(&shard.id)) {
            shard.closed = Some(1);
        }
        shards.extend(change.make);
    }

    #[test]
    fn new_logstores_have_equal_ranges() {
        let shards = cut(2, 7);
        assert_eq!((shards[0].begin, shards[0].end), (0, 1 << 127));
        assert_eq!((shards[1].begin, shards[1].end), (1 << 127, u128::MAX));
        assert_eq!(cut(1, 7).len(), 1);
        let four: Vec<String> = cut(4, 0).iter().map(|shard| format!("{:032x}", shard.begin)).collect();
        assert_eq!(four[1], "40000000000000000000000000000000");
        assert_eq!(four[3], "c0000000000000000000000000000000");
    }

    #[test]
    fn splits_and_merges_only_what_can_be() {
        let mut shards = cut(2, 0);
        let change = split(&shards, 0, Some(1 << 126), 2, 5).unwrap();
        assert_eq!((change.close.clone(), change.make.len()), (vec![0], 2));
        apply(&mut shards, change);
        assert!(split(&shards, 0, None, 2, 5).is_err(), "it is readonly");
        assert!(split(&shards, 1, Some(1), 2, 5).is_err(), "the key lies elsewhere");
        assert!(merge(&shards, 1, 5).is_err(), "the last one");
        assert_eq!(split(&shards, 9, None, 2, 5), Err(Refused::NoShard(9)));
        let change = merge(&shards, 2, 5).unwrap();
        assert_eq!(change.make[0].parents, [2, 3]);
        apply(&mut shards, change);
        assert_eq!((shards[4].begin, shards[4].end), (0, 1 << 127));
        assert!(check_delete(&shards, 0).is_ok() && check_delete(&shards, 4).is_err());
    }

    proptest! {
        #[test]
        fn the_open_ones_cover_every_key_once(
            count in 1u32..20,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<u128>(), 2u32..5), 0..30),
            keys in prop::collection::vec(any::<u128>(), 20),
        ) {
            let mut shards = cut(count, 0);
            for (is_split, at, key, parts) in steps {
                let id = at.get(&shards).id;
                let key = (key % 2 == 0).then_some(key);
                let change = if is_split { split(&shards, id, key, parts, 0) } else { merge(&shards, id, 0) };
                if let Ok(change) = change {
                    apply(&mut shards, change);
                }
            }
            let mut open: Vec<&Shard> = shards.iter().filter(|shard| shard.is_open()).collect();
            open.sort_by_key(|shard| shard.begin);
            prop_assert_eq!(open[0].begin, 0);
            prop_assert_eq!(open[open.len() - 1].end, u128::MAX);
            for pair in open.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].begin);
            }
            for key in keys.into_iter().chain([0, u128::MAX]) {
                let holders = open.iter().filter(|shard| shard.holds(key)).count();
                prop_assert_eq!(holders, 1);
                prop_assert!(choose(&shards, Route::Key(key), 0).is_some());
            }
            for turn in 0..open.len() {
                prop_assert!(choose(&shards, Route::Balanced, turn).is_some());
            }
        }
    }
}
