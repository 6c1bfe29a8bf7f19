//! More than there is room for: in a queue, in the journal, on the file system, in memory.

use super::*;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_full_queue_blocks_its_own_senders_until_something_is_settled() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = Disk::default();
        let (journal, _) = open(&disk);
        let small = journal.queue("small", QueueOptions { max_bytes: 2500, ..BLOCK });
        let other = journal.queue("other", BLOCK);
        journal.admit(&[(small, 9000)]).await;
        store(&journal, small, 0..2);
        {
            let need = [(other, 10), (small, 1000)];
            let mut waiting = pin!(journal.admit(&need));
            assert!(poll(waiting.as_mut()).is_pending());
            let blocked: Vec<_> =
                journal.stats().queues.iter().map(|queue| (queue.name.clone(), queue.blocked)).collect();
            assert_eq!(blocked, [("a".into(), 0), ("small".into(), 1), ("other".into(), 0)]);
            assert!(poll(journal.admit(&[(other, 1000)])).is_ready(), "others go on");
            journal.settle(small, [0]);
            waiting.await;
        }
        let _ = poll(journal.admit(&[(small, 9000)]));
        assert_eq!(journal.stats().queues[1].blocked, 0, "who gives up is not counted");
    });
}

#[test]
fn what_may_go_to_several_queues_waits_until_one_has_room() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = Disk::default();
        let (journal, other) = open_sized(&disk, 40_000);
        let small = journal.queue("small", QueueOptions { max_bytes: 2500, ..BLOCK });
        let evicting = journal
            .queue("evicting", QueueOptions { on_full: OnFull::EvictOldest, max_bytes: 2500, ..BLOCK });
        let at = |queue, exact| Candidate { queue, exact };
        store(&journal, small, 0..2);
        store(&journal, evicting, 2..4);
        assert!(poll(journal.admit_to_any(&[], 1000)).is_ready());
        assert!(poll(journal.admit_to_any(&[at(small, true), at(other, true)], 1000)).is_ready());
        assert!(
            poll(journal.admit_to_any(&[at(small, false)], 1000)).is_ready(),
            "its own bytes say nothing"
        );
        assert!(poll(journal.admit_to_any(&[at(evicting, true)], 1000)).is_ready());
        assert_eq!(journal.stats().queues[2].evicted.entries, 0, "nothing goes for what is not decided");
        {
            let alone = [at(small, true)];
            let mut waiting = pin!(journal.admit_to_any(&alone, 1000));
            assert!(poll(waiting.as_mut()).is_pending());
            journal.settle(small, [0]);
            waiting.await;
        }
        store(&journal, other, 4..30);
        let stands_for_others = [at(small, false)];
        let mut waiting = pin!(journal.admit_to_any(&stands_for_others, 15_000));
        assert!(poll(waiting.as_mut()).is_pending(), "all of the journal is full");
        assert!(journal.shared().lock().pressed, "the journal is told to make room");
    });
}

#[test]
fn the_whole_journal_has_a_bound_and_so_has_the_file_system() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = Disk::default();
        let (journal, queue) = open_sized(&disk, 40_000);
        let evicting = journal.queue("evicting", QueueOptions { on_full: OnFull::EvictOldest, ..BLOCK });
        store(&journal, queue, 0..25);
        store(&journal, evicting, 0..5);
        assert!(poll(journal.admit(&[(queue, 15_000)])).is_pending());
        assert!(poll(journal.admit(&[(evicting, 15_000)])).is_ready(), "evicts its own instead of waiting");
        let evicted = journal.stats().queues[1].evicted;
        assert_eq!((evicted.entries, evicted.records), (5, 5));
        journal.settle(queue, 0..25);
        settle_down(&journal);
        assert!(poll(journal.admit(&[(queue, 15_000)])).is_ready());
        disk.faults(|faults| faults.space = Some(Space { available: 105, total: 1000 }));
        *journal.shared().space.lock().unwrap() = Default::default();
        assert!(poll(journal.admit(&[(queue, 4)])).is_ready());
        assert!(poll(journal.admit(&[(queue, 40)])).is_pending(), "the last tenth is not ours");
    });
}

#[test]
fn leased_entries_are_not_evicted() {
    let disk = Disk::default();
    let (journal, _) = open(&disk);
    let queue = journal.queue("e", QueueOptions { on_full: OnFull::EvictOldest, max_bytes: 3500, ..BLOCK });
    store(&journal, queue, 0..3);
    let leased = journal.lease(queue, 1);
    assert!(poll(journal.admit(&[(queue, 2000)])).is_ready());
    assert_eq!(found(&journal, queue), Vec::<u64>::new());
    assert_eq!(journal.read(&leased[0]).unwrap(), payload(0));
    assert_eq!(journal.stats().queues[1].evicted.entries, 2);
}

#[test]
fn memory_is_bounded_and_the_largest_holder_pays() {
    let disk = Disk::default();
    let options = Options { fresh_bytes: 4000, ..Options::new("/fake") };
    let journal = Journal::open_by_hand(options, Arc::new(disk.clone())).unwrap();
    let (stuck, quick) = (journal.queue("stuck", BLOCK), journal.queue("quick", BLOCK));
    store(&journal, stuck, 0..20);
    assert_eq!(journal.stats().fresh_bytes, 4000);
    store(&journal, quick, 0..1);
    let reads = disk.world().reads;
    assert_eq!(found(&journal, quick), [0]);
    assert_eq!(disk.world().reads, reads, "a queue that keeps up never reads the disk");
    assert_eq!(found(&journal, stuck), (0..20).collect::<Vec<_>>());
    assert!(disk.world().reads > reads);
}

#[test]
fn many_commits_share_one_sync() {
    let disk = Disk::default();
    let (journal, queue) = open_sized(&disk, 1 << 30);
    let receipts: Vec<_> = (0..3).map(|number| submit(&journal, queue, number)).collect();
    let before = disk.world().syncs;
    journal.step(false);
    assert!(receipts.iter().all(Receipt::is_stored));
    assert_eq!(disk.world().syncs, before + 1);
}
