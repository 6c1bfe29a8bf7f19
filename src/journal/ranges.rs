//! A set of entry numbers, kept as ranges: what is settled and not yet written down, what recovery misses.
//!
//! Entries are settled nearly in order, so that a set of millions is a handful of ranges.

use std::collections::BTreeMap;

/// First number of each range, and its last one (inclusive). Ranges never touch each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers, not ranges.
    pub(super) fn count(&self) -> u64 {
        self.iter().fold(0, |sum: u64, (first, last)| sum.saturating_add((last - first).saturating_add(1)))
    }

    pub(super) fn ranges(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(first, last)| (*first, *last))
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    pub(super) fn insert(&mut self, mut first: u64, mut last: u64) {
        if first > last {
            return;
        }
        // Everything that overlaps or touches melts into the new range.
        while let Some((&start, &end)) = self.0.range(..=last.saturating_add(1)).next_back() {
            if end < first.saturating_sub(1) {
                break;
            }
            self.0.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.0.insert(first, last);
    }

    pub(super) fn remove(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        while let Some((&start, &end)) = self.0.range(..=last).next_back() {
            if end < first {
                break;
            }
            self.0.remove(&start);
            if start < first {
                self.0.insert(start, first - 1);
            }
            if end > last {
                self.0.insert(last + 1, end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in prop::collection::vec((any::<bool>(), 0u64..64, 0u64..12), 0..60)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (insert, first, more) in steps {
                let last = first + more;
                if insert {
                    ranges.insert(first, last);
                    set.extend(first..=last);
                } else {
                    ranges.remove(first, last);
                    set.retain(|number| !(first..=last).contains(number));
                }
                prop_assert_eq!(ranges.count(), set.len() as u64);
                prop_assert!((0..90).all(|number| ranges.contains(number) == set.contains(&number)));
                let found: Vec<_> = ranges.iter().collect();
                prop_assert!(found.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?} touch", found);
            }
        }
    }

    #[test]
    fn the_far_end_is_no_trap() {
        let mut ranges = Ranges::default();
        ranges.insert(u64::MAX, u64::MAX);
        ranges.insert(0, u64::MAX);
        assert_eq!((ranges.ranges(), ranges.count()), (1, u64::MAX));
        ranges.remove(0, u64::MAX);
        assert!(ranges.is_empty());
    }
}
