//! Disasters by name: what happens to the disk, and what must be true afterwards.

use super::fake::Disk;
use super::writer::Next;
use super::*;
use std::sync::Arc;

mod bounds;
mod seals;

const SEGMENT: u64 = 4096;
const BLOCK: QueueOptions =
    QueueOptions { max_bytes: 1 << 30, on_full: OnFull::Block, storage: Storage::Disk };

fn open_sized(disk: &Disk, max_bytes: u64) -> (Journal, QueueId) {
    let options = Options { segment_bytes: SEGMENT, max_bytes, fresh_bytes: 0, ..Options::new("/fake") };
    let journal = Journal::open_by_hand(options, Arc::new(disk.clone())).unwrap();
    let queue = journal.queue("a", BLOCK);
    (journal, queue)
}

fn open(disk: &Disk) -> (Journal, QueueId) {
    open_sized(disk, 1 << 30)
}

/// Each entry tells its number.
fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(125)
}

fn submit(journal: &Journal, queue: QueueId, number: u64) -> Receipt {
    let mut commit = Commit::new();
    commit.append(Append {
        queue,
        stream: 1,
        records: 1,
        mark: Bytes::new(),
        trailer: Bytes::from_static(b"trailer"),
        payload: payload(number).into(),
    });
    journal.submit(commit).receipt
}

/// Stores entries one commit and one step each.
fn store(journal: &Journal, queue: QueueId, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let receipt = submit(journal, queue, number);
        journal.step(false);
        assert!(receipt.is_stored());
    }
}

/// What is there, by the numbers in the payloads.
fn found(journal: &Journal, queue: QueueId) -> Vec<u64> {
    let entries = journal.lease(queue, usize::MAX);
    let numbers = entries.iter().map(|entry| {
        let bytes = journal.read(entry).unwrap();
        let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(bytes, payload(number));
        number
    });
    let numbers = numbers.collect();
    journal.unlease(queue, entries.iter().map(|entry| entry.index));
    numbers
}

fn segments(disk: &Disk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.ends_with(".segment")).collect()
}

fn aside(disk: &Disk) -> usize {
    disk.names().iter().filter(|name| name.contains(".damaged-")).count()
}

fn settle_down(journal: &Journal) {
    (0..20).for_each(|_| {
        journal.step(true);
    });
}

/// A disk with entries 0..count, after the process is gone.
fn filled(count: u64) -> Disk {
    let disk = Disk::default();
    let (journal, queue) = open(&disk);
    store(&journal, queue, 0..count);
    disk
}

#[test]
fn a_torn_tail_is_cut() {
    let disk = filled(3);
    disk.edit(&segments(&disk)[0], |bytes| bytes.truncate(bytes.len() - 7));
    let (journal, queue) = open(&disk);
    assert_eq!(found(&journal, queue), [0, 1]);
    assert_eq!((journal.stats().damaged_files, aside(&disk)), (0, 0), "a torn write is no damage");
    store(&journal, queue, 3..4);
    assert_eq!(found(&open(&disk).0, queue), [0, 1, 3]);
}

#[test]
fn zeros_and_garbage_behind_the_tail_are_cut() {
    for filler in [0u8, 0x5a] {
        let disk = filled(3);
        disk.edit(&segments(&disk)[0], |bytes| bytes.extend([filler; 10_000]));
        let (journal, queue) = open(&disk);
        assert_eq!(found(&journal, queue), [0, 1, 2]);
        assert_eq!(aside(&disk), 0);
    }
}

#[test]
fn a_flipped_bit_in_the_middle_costs_one_entry_and_keeps_the_file() {
    for place in [0usize, 20, 200] {
        let disk = filled(12);
        let name = segments(&disk)[0].clone();
        let before = disk.content(&name);
        // In the frame's head, its ops, or its payload.
        let hit = before.windows(8).position(|bytes| bytes == 1u64.to_le_bytes().as_slice()).unwrap();
        let frame =
            before[hit..].windows(1000).position(|bytes| bytes == payload(1).as_slice()).unwrap() + hit;
        let at = if place == 200 { frame + 500 } else { frame - 60 + place };
        disk.edit(&name, |bytes| bytes[at] ^= 4);
        let damaged = disk.content(&name);
        let (journal, queue) = open(&disk);
        let left = found(&journal, queue);
        assert!(
            left.len() >= 11 && (0..12).filter(|n| *n != 1).all(|n| left.contains(&n)) || left.len() == 11,
            "{left:?}"
        );
        assert!(journal.stats().damaged_bytes > 0);
        settle_down(&journal);
        assert_eq!(aside(&disk), 1);
        assert_eq!(disk.content(&format!("{name}.damaged-1")), damaged, "never erased");
        assert_eq!(found(&journal, queue), left, "copied out of the damaged file");
        let (journal, queue) = open(&disk);
        assert_eq!(found(&journal, queue), left);
        assert_eq!(journal.stats().damaged_files, 0, "reported once");
    }
}

#[test]
fn a_destroyed_header_costs_nothing() {
    let disk = filled(12);
    let name = segments(&disk)[0].clone();
    disk.edit(&name, |bytes| bytes[..32].fill(0));
    let (journal, queue) = open(&disk);
    assert_eq!(found(&journal, queue), (0..12).collect::<Vec<_>>());
    assert_eq!(journal.generation(), 2);
    settle_down(&journal);
    assert_eq!(aside(&disk), 1);
}

#[test]
fn a_missing_middle_segment_costs_its_entries_alone_and_is_reported() {
    let disk = filled(12);
    assert!(segments(&disk).len() > 2);
    disk.delete(&segments(&disk)[1]);
    let (journal, queue) = open(&disk);
    let left = found(&journal, queue);
    assert!(left.len() < 12 && left.contains(&0) && left.contains(&11), "{left:?}");
    assert_eq!(journal.stats().lost_entries, 12 - left.len() as u64);
}

#[test]
fn a_segment_that_is_there_twice_is_read_once() {
    let disk = filled(12);
    let name = segments(&disk)[0].clone();
    disk.place_file("00000077-00000001-00000000.segment", disk.content(&name));
    disk.place_file("hello.segment", b"not a segment".to_vec());
    let (journal, queue) = open(&disk);
    assert_eq!(found(&journal, queue), (0..12).collect::<Vec<_>>());
    assert_eq!(aside(&disk), 2);
}

#[test]
fn a_half_written_snapshot_leaves_the_old_segments_in_force() {
    let disk = filled(12);
    let newest = segments(&disk).pop().unwrap();
    let (journal, _) = open(&disk);
    drop(journal);
    let made = segments(&disk).pop().unwrap();
    assert_ne!(made, newest);
    disk.edit(&made, |bytes| bytes.truncate(50));
    let (journal, queue) = open(&disk);
    assert_eq!(found(&journal, queue), (0..12).collect::<Vec<_>>());
    assert_eq!(journal.generation(), 3, "a generation is never given twice");
}

#[test]
fn a_lost_snapshot_mixes_no_queues_up() {
    // Numbers of queues hold for one generation: here "a" is number 0 in the first, and "z" in the second.
    let disk = Disk::default();
    let (journal, queue) = open(&disk);
    let z = journal.queue("z", BLOCK);
    store(&journal, queue, 0..1);
    store(&journal, z, 1..3);
    journal.settle(queue, [0]);
    journal.step(false);
    drop(journal);
    let options = Options { segment_bytes: SEGMENT, ..Options::new("/fake") };
    let journal = Journal::open_by_hand(options, Arc::new(disk.clone())).unwrap();
    let (b, z) = (journal.queue("b", BLOCK), journal.queue("z", BLOCK));
    store(&journal, b, 10..18);
    let second = segments(&disk)[1].clone();
    disk.edit(&second, |bytes| bytes[70] ^= 1);
    let (again, _) = open(&disk);
    assert_eq!(found(&journal, z), [1, 2]);
    assert_eq!(found(&again, again.queue("z", BLOCK)), [1, 2]);
    assert_eq!(found(&again, again.queue("b", BLOCK)), (10..18).collect::<Vec<_>>());
}

#[test]
fn a_commit_that_survives_a_torn_write_knows_its_queue() {
    let mut survivors = 0;
    for seed in 0..100 {
        let disk = Disk::default();
        let (journal, queue) = open(&disk);
        disk.faults(|faults| faults.failing_syncs = 1);
        (0..5).for_each(|number| drop(submit(&journal, queue, number)));
        journal.step(false);
        let (journal, _) = open(&disk.crash(seed));
        let queues = journal.stats().queues;
        assert_eq!(queues.len(), 1, "{queues:?}");
        survivors += queues[0].entries;
    }
    assert!(survivors > 0, "nothing was tried");
}

#[test]
fn a_failed_sync_moves_its_commits_to_a_fresh_segment() {
    for seed in 0..20 {
        let disk = filled(2);
        let (journal, queue) = open(&disk);
        disk.faults(|faults| faults.failing_syncs = 1);
        let receipt = submit(&journal, queue, 2);
        let before = segments(&disk).len();
        assert!(matches!(journal.step(false), Next::After(_)));
        assert!(!receipt.is_stored());
        assert!(journal.stats().stalled.unwrap().contains("/fake"));
        journal.step(false);
        assert!(receipt.is_stored() && journal.stats().stalled.is_none());
        assert!(segments(&disk).len() >= before, "a fresh one was made");
        let (journal, queue) = open(&disk.crash(seed));
        assert_eq!(found(&journal, queue), [0, 1, 2]);
    }
}

#[test]
fn syncs_that_never_work_resolve_nothing_and_say_why() {
    let disk = Disk::default();
    let (journal, queue) = open(&disk);
    disk.faults(|faults| faults.failing_syncs = u32::MAX);
    let receipt = submit(&journal, queue, 0);
    (0..5).for_each(|_| assert!(matches!(journal.step(false), Next::After(_))));
    assert!(!receipt.is_stored() && journal.lease(queue, 1).is_empty());
    assert!(journal.stats().stalled.unwrap().contains("check the disk"));
    assert!(segments(&disk).len() <= 2, "failed attempts leave no litter: {:?}", segments(&disk));
    disk.faults(|faults| faults.failing_syncs = 0);
    journal.step(false);
    assert!(receipt.is_stored());
}

#[test]
fn a_full_disk_stalls_until_there_is_space_and_settles_make_some() {
    let disk = filled(12);
    let (journal, queue) = open(&disk);
    let used: usize = disk.names().iter().map(|name| disk.content(name).len()).sum();
    disk.faults(|faults| faults.capacity = Some(used + 300));
    let receipt = submit(&journal, queue, 12);
    (0..3).for_each(|_| assert!(matches!(journal.step(false), Next::After(_))));
    assert!(journal.stats().stalled.unwrap().contains("free space"));
    assert_eq!(found(&journal, queue).len(), 12, "what is stored is delivered meanwhile");
    journal.settle(queue, 0..12);
    journal.step(false);
    assert!(receipt.is_stored(), "settled segments gave their space back");
    assert_eq!(found(&journal, queue), [12]);
}

#[test]
fn a_full_disk_is_told_from_a_broken_one_and_half_a_batch_takes_no_space() {
    let disk = filled(2);
    let (journal, queue) = open(&disk);
    let used = || disk.names().iter().map(|name| disk.content(name).len()).sum::<usize>();
    let room = used() + 900;
    disk.faults(|faults| faults.capacity = Some(room));
    let receipt = submit(&journal, queue, 2);
    for _ in 0..20 {
        assert!(matches!(journal.step(false), Next::After(_)));
        assert!(journal.stats().disk_full && journal.stats().stalled.is_some());
        assert!(used() <= room - 300, "attempts pile up");
    }
    disk.faults(|faults| faults.capacity = Some(room + 600));
    journal.step(false);
    assert!(receipt.is_stored() && !journal.stats().disk_full);
    disk.faults(|faults| (faults.capacity, faults.failing_syncs) = (None, 1));
    submit(&journal, queue, 3);
    journal.step(false);
    assert!(journal.stats().stalled.is_some() && !journal.stats().disk_full);
}

#[test]
fn short_writes_are_continued() {
    let disk = Disk::default();
    disk.faults(|faults| faults.short_writes = true);
    let (journal, queue) = open(&disk);
    store(&journal, queue, 0..12);
    assert_eq!(found(&open(&disk).0, queue), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_stuck_queue_does_not_pin_what_others_delivered() {
    let disk = Disk::default();
    let (journal, queue) = open(&disk);
    let stuck = journal.queue("stuck", BLOCK);
    for number in 0..60 {
        if number % 10 == 0 {
            store(&journal, stuck, number..number + 1);
        }
        store(&journal, queue, number..number + 1);
        journal.settle(queue, [number]);
    }
    settle_down(&journal);
    let stats = journal.stats();
    assert!(stats.disk_bytes <= 2 * stats.live_bytes.max(SEGMENT) + 2 * SEGMENT, "{stats:?}");
    assert_eq!(found(&journal, stuck), [0, 10, 20, 30, 40, 50], "in order");
    for seed in 0..10 {
        let (journal, _) = open(&disk.crash(seed));
        assert_eq!(found(&journal, journal.queue("stuck", BLOCK)), [0, 10, 20, 30, 40, 50]);
        assert_eq!(journal.stats().lost_entries, 0);
    }
}

#[test]
fn a_crash_at_any_moment_of_cleaning_up_loses_and_repeats_nothing_durable() {
    for steps in 0..12 {
        for seed in 0..8 {
            let disk = Disk::default();
            let (journal, queue) = open(&disk);
            store(&journal, queue, 0..20);
            journal.settle(queue, (0..20).filter(|number| number % 5 != 0));
            store(&journal, queue, 20..21);
            (0..steps).for_each(|_| {
                journal.step(true);
            });
            let (journal, queue) = open(&disk.crash(seed));
            assert_eq!(found(&journal, queue), [0, 5, 10, 15, 20]);
            assert_eq!(journal.stats().lost_entries, 0);
        }
    }
}

#[test]
fn a_crash_while_a_large_segment_is_copied_loses_nothing() {
    for steps in 0..8 {
        for seed in 0..8 {
            let disk = Disk::default();
            let (journal, queue) = open(&disk);
            let mut commit = Commit::new();
            for number in 0..20 {
                commit.append(Append {
                    queue,
                    stream: 1,
                    records: 1,
                    mark: Bytes::new(),
                    trailer: Bytes::from_static(b"trailer"),
                    payload: payload(number).into(),
                });
            }
            journal.submit(commit);
            journal.step(false);
            let large = segments(&disk).pop().unwrap();
            journal.settle(queue, (0..20).filter(|number| number % 5 > 1));
            store(&journal, queue, 20..21);
            (0..steps).for_each(|_| {
                journal.step(true);
            });
            let there = disk.names().contains(&large);
            assert!(there || steps > 0, "copied in one step");
            assert!(!there || steps < 7, "never copied");
            let (journal, queue) = open(&disk.crash(seed));
            assert_eq!(found(&journal, queue), [0, 1, 5, 6, 10, 11, 15, 16, 20]);
            assert_eq!(journal.stats().lost_entries, 0);
        }
    }
}

#[test]
fn an_unreadable_segment_is_kept_and_the_rest_is_served() {
    let disk = filled(12);
    let name = segments(&disk)[1].clone();
    disk.faults(|faults| faults.unreadable = Some(name.clone()));
    let (journal, queue) = open(&disk);
    let left = found(&journal, queue);
    assert!(!left.is_empty() && left.len() < 12, "{left:?}");
    settle_down(&journal);
    assert!(disk.names().contains(&format!("{name}.damaged-1")));
}

#[test]
fn damage_found_on_reading_is_an_error_and_never_wrong_bytes() {
    let disk = Disk::default();
    let (journal, queue) = open(&disk);
    store(&journal, queue, 0..1);
    let entry = journal.lease(queue, 1).remove(0);
    disk.edit(&segments(&disk)[0], |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(matches!(journal.read(&entry), Err(ReadError::Damaged { .. })));
    assert_eq!(journal.stats().damaged_files, 1);
    journal.settle(queue, [0]);
    assert!(matches!(journal.read(&entry), Err(ReadError::Settled)));
}

#[test]
fn arbitrary_bytes_never_panic() {
    use proptest::prelude::*;
    let disk = filled(3);
    let good = disk.content(&segments(&disk)[0]);
    proptest!(ProptestConfig { failure_persistence: None, ..Default::default() }, |(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..30), cut in any::<prop::sample::Index>())| {
        let mut bytes = good.clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        prop_assert!(survey(&[&bytes, &good]) <= 6);
    });
}
