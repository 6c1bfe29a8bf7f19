//! A sealed group is there whole or not at all.

use super::*;

/// Twelve entries of one stream, over several segments, leased and sealed.
fn sealed(disk: &Disk) -> (Journal, QueueId, Seal) {
    let (journal, queue) = open(disk);
    store(&journal, queue, 0..12);
    assert!(segments(disk).len() > 2, "the group reaches over segments");
    assert_eq!(journal.lease(queue, usize::MAX).len(), 12);
    let seal = Seal { queue, stream: 1, sequence: 7, first: 0, last: 11 };
    let mut commit = Commit::new();
    commit.seal(seal);
    let receipt = journal.submit(commit).receipt;
    journal.step(false);
    assert!(receipt.is_stored());
    (journal, queue, seal)
}

#[test]
fn a_sealed_group_that_is_settled_bit_by_bit_is_never_there_in_parts() {
    for settled in 0..=12u64 {
        for seed in 0..8 {
            let disk = Disk::default();
            let (journal, queue, seal) = sealed(&disk);
            for index in 0..settled {
                journal.settle(queue, [index, index]);
                journal.step(true);
            }
            let left = journal.stats().queues[0].entries;
            assert_eq!(left, if settled == 12 { 0 } else { 12 });
            let (journal, queue) = open(&disk.crash(seed));
            let groups = journal.sealed(queue);
            if settled < 12 {
                assert_eq!((groups.len(), groups[0].0, groups[0].1.len()), (1, seal, 12));
            }
            assert!(journal.lease(queue, usize::MAX).is_empty(), "some of it is free");
        }
    }
}

#[test]
fn who_seals_what_is_not_leased_seals_nothing() {
    let disk = Disk::default();
    let (journal, queue) = open(&disk);
    store(&journal, queue, 0..2);
    journal.lease(queue, 1);
    let mut commit = Commit::new();
    commit.seal(Seal { queue, stream: 1, sequence: 1, first: 0, last: 1 });
    journal.submit(commit);
    journal.step(false);
    assert!(open(&disk).0.sealed(queue).is_empty());
    assert_eq!(found(&journal, queue), [1]);
}
