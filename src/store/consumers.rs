//! Who of a consumer group reads which shard: pure, from heartbeats.
//!
//! ```text
//! heartbeat(who, shards it holds) -> drop the silent -> give each shard a reader, evenly, with few moves
//!     -> answer: what is given to it and nobody else holds or was told to take
//! ```
//!
//! A consumer holds a shard from the answer that names it until it no longer lists it, so a shard that moves is read by
//! nobody for a while and never by two. A consumer that is silent for the group's timeout holds nothing. All of this is
//! in memory: after a restart consumers say again what they hold.

use std::collections::{BTreeMap, BTreeSet};

/// Consumers of one group; more than shards have nothing to do.
const CONSUMERS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Members(BTreeMap<String, Member>);

#[derive(Debug, Default)]
struct Member {
    /// Milliseconds on any clock that goes up.
    seen: i64,
    /// What it listed, and what it was told since.
    holds: BTreeSet<u32>,
}

impl Members {
    /// A consumer says that it lives and what it holds; the answer is what it shall hold from now on. `None` when there are
    /// too many consumers.
    pub(super) fn heartbeat(
        &mut self,
        consumer: &str,
        listed: &[u32],
        shards: &BTreeSet<u32>,
        now: i64,
        timeout: i64,
    ) -> Option<Vec<u32>> {
        self.0.retain(|_, member| now - member.seen < timeout);
        if !self.0.contains_key(consumer) && self.0.len() >= CONSUMERS {
            return None;
        }
        let listed: BTreeSet<u32> = listed.iter().copied().filter(|shard| shards.contains(shard)).collect();
        let member = self.0.entry(consumer.to_owned()).or_default();
        (member.seen, member.holds) = (now, listed);
        let given = self.give(shards);
        let held_elsewhere = |shard: &u32| {
            self.0.iter().any(|(name, member)| name != consumer && member.holds.contains(shard))
        };
        let mine: Vec<u32> = given
            .into_iter()
            .filter(|(shard, name)| name == consumer && !held_elsewhere(shard))
            .map(|(shard, _)| shard)
            .collect();
        if let Some(member) = self.0.get_mut(consumer) {
            // What it listed and shall give up stays its own until it stops to list it.
            member.holds.extend(&mine);
        }
        Some(mine)
    }

    /// Whether a living consumer may move this shard's checkpoint; `None` when it is not known.
    pub(super) fn holds(&self, consumer: &str, shard: u32, now: i64, timeout: i64) -> Option<bool> {
        let member = self.0.get(consumer).filter(|member| now - member.seen < timeout)?;
        Some(member.holds.contains(&shard))
    }

    /// A reader for each shard: everyone has as many as the others, or one more, and keeps what it has as far as that goes.
    fn give(&self, shards: &BTreeSet<u32>) -> BTreeMap<u32, String> {
        let mut given = BTreeMap::new();
        if self.0.is_empty() {
            return given;
        }
        let held = |member: &Member| member.holds.intersection(shards).count();
        let mut by_load: Vec<(&String, &Member)> = self.0.iter().collect();
        // Who holds most gets what is over, so that least moves.
        by_load.sort_by_key(|(name, member)| (std::cmp::Reverse(held(member)), *name));
        let (least, over) = (shards.len() / by_load.len(), shards.len() % by_load.len());
        let mut wanting = Vec::new();
        for (place, (name, member)) in by_load.into_iter().enumerate() {
            let share = least + usize::from(place < over);
            let mut kept = 0;
            for shard in member.holds.intersection(shards) {
                if kept < share && !given.contains_key(shard) {
                    given.insert(*shard, name.clone());
                    kept += 1;
                }
            }
            wanting.push((name, share - kept));
        }
        let mut free: Vec<u32> = shards.iter().copied().filter(|shard| !given.contains_key(shard)).collect();
        for (name, wants) in wanting {
            for shard in free.drain(..wants.min(free.len())) {
                given.insert(shard, name.clone());
            }
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shards(count: u32) -> BTreeSet<u32> {
        (0..count).collect()
    }

    #[test]
    fn a_shard_moves_when_its_reader_lets_go() {
        let (mut members, all) = (Members::default(), shards(4));
        let mut beat =
            |who: &str, listed: &[u32], now| members.heartbeat(who, listed, &all, now, 60).unwrap();
        assert_eq!(beat("a", &[], 0), [0, 1, 2, 3]);
        assert_eq!(beat("b", &[], 1), [0u32; 0], "a may hold them all");
        assert_eq!(beat("a", &[0, 1, 2, 3], 2), [0, 1], "and shall give two up");
        assert_eq!(beat("b", &[], 3), [0u32; 0], "which it has not done yet");
        assert_eq!(beat("a", &[0, 1], 4), [0, 1]);
        assert_eq!(beat("b", &[], 5), [2, 3]);
        assert_eq!(beat("b", &[2, 3], 70), [0, 1, 2, 3], "a was silent for too long");
    }

    #[test]
    fn only_the_holder_moves_a_checkpoint() {
        let (mut members, all) = (Members::default(), shards(1));
        members.heartbeat("a", &[], &all, 0, 60).unwrap();
        assert_eq!(members.holds("a", 0, 1, 60), Some(true));
        assert_eq!(members.holds("a", 1, 1, 60), Some(false));
        assert_eq!(members.holds("a", 0, 60, 60), None);
        assert_eq!(members.holds("b", 0, 1, 60), None);
    }

    proptest! {
        // Consumers that do as they are told, at their own pace, some of which stop.
        #[test]
        fn never_two_readers_and_in_the_end_an_even_share(
            count in 0u32..12,
            beats in prop::collection::vec((0usize..5, any::<bool>()), 1..80),
        ) {
            let (mut members, all) = (Members::default(), shards(count));
            let mut reading: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
            let mut now = 0;
            for (who, obeys) in beats {
                now += 1;
                let listed = reading.get(&who).cloned().unwrap_or_default();
                let told = members.heartbeat(&who.to_string(), &listed, &all, now, 1000).unwrap();
                if obeys {
                    reading.insert(who, told);
                } else {
                    // It takes what is new and has not stopped reading what it shall give up.
                    let both: BTreeSet<u32> = listed.into_iter().chain(told).collect();
                    reading.insert(who, both.into_iter().collect());
                }
                let all_read: Vec<u32> = reading.values().flatten().copied().collect();
                let unique: BTreeSet<u32> = all_read.iter().copied().collect();
                prop_assert_eq!(all_read.len(), unique.len());
            }
            for _ in 0..6 {
                for (who, listed) in reading.iter_mut() {
                    now += 1;
                    *listed = members.heartbeat(&who.to_string(), listed, &all, now, 1000).unwrap();
                }
            }
            let loads: Vec<usize> = reading.values().map(Vec::len).collect();
            prop_assert_eq!(loads.iter().sum::<usize>(), count as usize);
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
            let before = reading.clone();
            for (who, listed) in reading.iter_mut() {
                *listed = members.heartbeat(&who.to_string(), listed, &all, now, 1000).unwrap();
            }
            prop_assert_eq!(before, reading, "nothing moves without a reason");
        }
    }
}
