//! The journal over real files and its own thread.

use super::super::Append;
use super::*;

fn options(dir: &tempfile::TempDir) -> Options {
    Options { segment_bytes: 64 << 10, ..Options::new(dir.path()) }
}

const BLOCK: QueueOptions =
    QueueOptions { max_bytes: 1 << 30, on_full: OnFull::Block, storage: Storage::Disk };

fn append(queue: QueueId, stream: u64, payload: &[u8]) -> Append {
    Append {
        queue,
        stream,
        records: 1,
        mark: Bytes::from_static(b"mark"),
        trailer: Bytes::from_static(b"trailer"),
        payload: Bytes::copy_from_slice(payload),
    }
}

fn one(queue: QueueId, stream: u64, payload: &[u8]) -> Commit {
    let mut commit = Commit::new();
    commit.append(append(queue, stream, payload));
    commit
}

#[tokio::test]
async fn what_is_stored_is_leased_sealed_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(options(&dir)).unwrap();
    assert_eq!(journal.generation(), 1);
    let queue = journal.queue("a", BLOCK);
    let mut receipts = Vec::new();
    for number in 0..200u32 {
        let submitted = journal.submit(one(queue, number.into(), &number.to_le_bytes().repeat(700)));
        assert_eq!(submitted.entries, [(queue, number.into())]);
        receipts.push(submitted.receipt);
    }
    for receipt in &mut receipts {
        receipt.stored().await.unwrap();
    }
    journal.leasable(queue).await;
    let entries = journal.lease(queue, 100 * 2800);
    assert_eq!(entries.len(), 100);
    assert_eq!((&entries[7].mark[..], &entries[7].trailer[..]), (&b"mark"[..], &b"trailer"[..]));
    journal.settle(queue, (0..50).chain([60]));
    let seal = Seal { queue, stream: 70, sequence: 9, first: 70, last: 70 };
    let mut commit = Commit::new();
    commit.seal(seal);
    journal.submit(commit).receipt.stored().await.unwrap();
    journal.close().await;

    let journal = Journal::open(options(&dir)).unwrap();
    assert_eq!(journal.generation(), 2);
    assert_eq!(journal.recovered(), ["a"]);
    let queue = journal.queue("a", BLOCK);
    assert!(journal.recovered().is_empty());
    let sealed = journal.sealed(queue);
    assert_eq!((sealed.len(), sealed[0].0, sealed[0].1.len()), (1, seal, 1));
    let entries = journal.lease(queue, usize::MAX);
    let expected: Vec<u64> = (50..200).filter(|index| ![60, 70].contains(index)).collect();
    assert_eq!(entries.iter().map(|entry| entry.index).collect::<Vec<_>>(), expected);
    for entry in entries.iter().chain(&sealed[0].1) {
        assert_eq!(journal.read(entry).unwrap(), (entry.index as u32).to_le_bytes().repeat(700));
    }
    let next = journal.submit(one(queue, 1, b"next"));
    assert_eq!(next.entries, [(queue, 200)]);
    journal.settle(queue, 0..200);
    journal.settle_seal(&seal);
    journal.close().await;
    let journal = Journal::open(options(&dir)).unwrap();
    assert_eq!(journal.stats().queues.iter().map(|queue| queue.entries).sum::<u64>(), 1);
    assert!(journal.stats().segments <= 3, "{:?}", journal.stats());
    journal.close().await;
}

#[tokio::test]
async fn a_memory_queue_has_the_same_interface_and_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(options(&dir)).unwrap();
    let queue = journal.queue("m", QueueOptions { storage: Storage::Memory, ..BLOCK });
    let before = journal.stats().disk_bytes;
    let mut submitted = journal.submit(one(queue, 1, b"quick"));
    assert!(submitted.receipt.is_stored());
    submitted.receipt.stored().await.unwrap();
    let entries = journal.lease(queue, 1);
    assert_eq!(journal.read(&entries[0]).unwrap(), "quick");
    journal.settle(queue, [0]);
    assert_eq!(journal.stats().queues[0].live_bytes, 0);
    assert_eq!(journal.stats().disk_bytes, before);
    journal.close().await;
    assert_eq!(Journal::open(options(&dir)).unwrap().recovered(), Vec::<String>::new());
}

#[tokio::test]
async fn after_close_the_receipts_of_new_commits_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(options(&dir)).unwrap();
    let queue = journal.queue("a", BLOCK);
    journal.close().await;
    let mut late = journal.submit(one(queue, 1, b"late"));
    assert_eq!(late.receipt.stored().await, Err(super::super::NotStored::Closed));
    journal.admit(&[(queue, u64::MAX)]).await;
}
