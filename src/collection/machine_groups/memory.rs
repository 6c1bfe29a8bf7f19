//! What is remembered of a project between two looks: when a group of others was last asked for, and in which language a
//! configuration is written.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::collection::Wanted;

/// Within this time each group of others is asked for again.
pub(super) const FOREIGN: Duration = Duration::from_secs(40);

#[derive(Default)]
pub(super) struct Memory {
    /// Groups of others, and when they were asked for.
    pub(super) foreign: HashMap<String, Instant>,
    looked: Option<Instant>,
    pub(super) pipelines: HashSet<String>,
    /// What it held for us when it last let us look.
    pub(super) last: Vec<Wanted>,
}

impl Memory {
    /// Takes those out that are known to be others', but for as many as makes each of them be asked for within [`FOREIGN`].
    pub(super) fn choose(&mut self, groups: &mut Vec<String>, now: Instant) {
        self.foreign.retain(|name, _| groups.binary_search(name).is_ok());
        let since = self.looked.replace(now).map_or(FOREIGN, |looked| now.duration_since(looked));
        let share = since.as_secs_f64() / FOREIGN.as_secs_f64();
        let due = (self.foreign.len() as f64 * share.min(1.0)).ceil() as usize;
        let mut oldest: Vec<(Instant, &String)> = self.foreign.iter().map(|(name, at)| (*at, name)).collect();
        oldest.sort_unstable();
        let rest: HashSet<&String> = oldest.iter().skip(due).map(|(_, name)| *name).collect();
        groups.retain(|name| !rest.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_others_come_up_one_by_one_and_all_of_them_in_time() {
        let names: Vec<String> = (0..10).map(|n| format!("other-{n}")).collect();
        let mut memory = Memory::default();
        let mut now = Instant::now();
        let mut round = |after: Duration| {
            now += after;
            let mut groups = names.clone();
            memory.choose(&mut groups, now);
            // All of them are asked for, and none is ours.
            memory.foreign.extend(groups.iter().map(|name| (name.clone(), now)));
            groups
        };
        assert_eq!(round(Duration::ZERO).len(), 10, "nothing is known");
        let mut asked = Vec::new();
        for _ in 0..4 {
            let now = round(FOREIGN / 4);
            assert!((2..=3).contains(&now.len()), "{now:?}");
            asked.extend(now);
        }
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), 10);
        assert_eq!(round(FOREIGN * 3).len(), 10, "who looks seldom asks for all of them");
        let mut groups = vec!["new".to_owned()];
        memory.choose(&mut groups, now);
        assert_eq!((groups.len(), memory.foreign.len()), (1, 0));
    }
}
