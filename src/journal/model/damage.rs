//! Damage: what the disk gave its word for is not what it gives back.

use super::*;

impl Model {
    /// Flips bits in a segment after a crash, looks at what is left, and goes on with a new disk.
    pub(super) fn damage(&mut self, seed: u64) {
        let random = |salt: u64| {
            let mixed = (seed ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as usize >> 8
        };
        self.disk = self.disk.crash(seed);
        let files: Vec<_> = self.disk.names().into_iter().filter(|name| name.ends_with(".segment")).collect();
        let hit = files[random(1) % files.len()].clone();
        self.disk.edit(&hit, |bytes| {
            for salt in 2..2 + random(0) as u64 % 4 {
                let at = random(salt) % bytes.len().max(1);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (random(salt * 7) % 8));
            }
        });
        let mut promised = Vec::new();
        {
            let state = self.journal.shared().lock();
            for ((at, index), known) in &self.entries {
                let slot = state.queues[self.queues[*at].0 as usize].slots.get(index);
                let place = slot.and_then(|slot| slot.place);
                let elsewhere = place.is_some_and(|place| state.segments[&place.segment].name != hit);
                if elsewhere && known.settled.is_none() && known.joined.is_none() {
                    promised.push(known.payload.clone());
                }
            }
        }
        for round in 0..2 {
            let (journal, _) = open(&self.disk);
            let mut found = BTreeSet::new();
            let mut names: Vec<String> = journal.recovered();
            names.extend(NAMES.iter().map(|name| (*name).to_owned()));
            for name in names {
                let queue = journal.queue(&name, options(0));
                let sealed = journal.sealed(queue).into_iter().flat_map(|(_, entries)| entries);
                for entry in sealed.chain(journal.lease(queue, usize::MAX)) {
                    // An answer is right or an error.
                    if let Ok(payload) = journal.read(&entry) {
                        assert!(self.ever.contains(&payload), "was never submitted");
                        found.insert(payload);
                    }
                }
            }
            for payload in &promised {
                assert!(
                    found.contains(payload),
                    "stored in another segment than {hit}, and lost, in round {round}"
                );
            }
            self.disk.faults(|faults| *faults = Default::default());
            (0..40).for_each(|_| {
                journal.step(true);
            });
        }
        *self = Model::new();
    }
}
