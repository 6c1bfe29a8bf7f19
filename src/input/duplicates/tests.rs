//! Peers that send again, against the real pipeline and the real journal.

mod house;
mod peers;

use std::time::Duration;

use super::*;
use crate::config::plan;
use house::{Gate, House, Said};

const NONCE: &[u8] = b"p8n9gmxTQVC8/nh2wlKKeQ==\n";
const HASH: &[u8] = b"nDGMT3q/pzCKY0XVoTg1Nw==";

#[tokio::test]
async fn nothing_is_kept_without_a_window() {
    let mut house = House::new();
    let plan = DuplicatesPlan { window: Duration::ZERO, max_bytes: 1 << 20 };
    assert!(Duplicates::open(&plan, house.journal.clone(), "secret").is_none());
    house.restart_with(|plan| plan.duplicates.window = Duration::ZERO).await;
    assert!(house.intake.duplicates().is_none());
    assert!(house.journal.stats().queues.iter().all(|queue| queue.name != QUEUE));

    // What was kept before it was turned off pins no segment.
    house.restart_with(|plan| plan.duplicates.window = Duration::from_secs(600)).await;
    let mut peer = house.driver("10.0.0.1");
    assert_eq!(peer.say(NONCE, "one").await, Said::New);
    peer.flush().stored().await.unwrap();
    drop(peer);
    house.restart_with(|plan| plan.duplicates.window = Duration::ZERO).await;
    let stats = house.journal.stats();
    let queue = stats.queues.iter().find(|queue| queue.name == QUEUE).unwrap();
    assert_eq!((queue.entries, queue.opened), (0, true));
    house.restart().await;
    assert!(house.journal.recovered().iter().all(|queue| queue != QUEUE));
}

#[tokio::test]
async fn another_message_is_another_message() {
    let house = House::new();
    let conversation = house.driver("10.0.0.1").conversation;
    let id = |class, tag: &[u8], chunk: &[u8], body: &[u8]| conversation.identify(class, tag, chunk, body);
    let first = id(Class::Random, b"t", b"c", b"body");
    for other in [
        id(Class::Content, b"t", b"c", b"body"),
        id(Class::Random, b"u", b"c", b"body"),
        id(Class::Random, b"t", b"d", b"body"),
        id(Class::Random, b"t", b"c", b"bodY"),
        id(Class::Random, b"tc", b"", b"body"),
        id(Class::Random, b"t", b"cbody", b""),
    ] {
        assert_ne!(first.fingerprint, other.fingerprint);
    }
    // Who sends it again under a random id is the same sender, from wherever it comes.
    let elsewhere = house.driver("10.0.0.2").conversation;
    assert_eq!(first, elsewhere.identify(Class::Random, b"t", b"c", b"body"));
    assert_ne!(
        id(Class::Content, b"t", b"c", b"body"),
        elsewhere.identify(Class::Content, b"t", b"c", b"body")
    );
}

#[tokio::test]
async fn a_message_sent_again_on_any_connection_is_stored_once() {
    let house = House::new();
    let mut first = house.driver("10.0.0.1");
    assert_eq!(first.say(NONCE, "one").await, Said::New);
    first.flush().stored().await.unwrap();
    for _ in 0..100 {
        let mut next = house.driver("10.0.0.1");
        let Said::Again(mut receipt) = next.say(NONCE, "one").await else { panic!() };
        assert!(receipt.is_stored());
        receipt.stored().await.unwrap();
        house.advance(1);
    }
    // In hand and not handed over: the connection hands it over and knows it then.
    assert_eq!(first.say(NONCE, "two, under the same id").await, Said::New);
    assert!(matches!(first.say(NONCE, "two, under the same id").await, Said::Again(_)));
    assert_eq!(house.records_of(first.flush()).await, 2);
}

#[tokio::test]
async fn a_second_copy_waits_for_the_first() {
    let gate = Gate::default();
    let house = House::with_gate(&gate);
    let mut first = house.driver("10.0.0.1");
    gate.shut();
    assert_eq!(first.say(NONCE, "one").await, Said::New);
    assert_eq!(first.say(HASH, "one").await, Said::New);
    let mut mine = first.flush();
    let mut second = house.driver("10.0.0.1");
    let Said::Again(mut theirs) = second.say(NONCE, "one").await else { panic!() };
    let Said::Again(mut same) = first.say(HASH, "one").await else { panic!() };
    // The connection is gone before its batch is stored; the copies still have its receipt.
    drop(first);
    let Said::Again(mut armed) = second.say(HASH, "one").await else { panic!() };
    for receipt in [&mine, &theirs, &same, &armed] {
        assert!(!receipt.is_stored());
    }
    gate.open();
    for receipt in [&mut mine, &mut theirs, &mut same, &mut armed] {
        receipt.stored().await.unwrap();
    }
    assert_eq!(house.records(), 2);
}

#[tokio::test]
async fn who_meets_a_claim_waits_and_has_it_when_the_claimer_goes_away() {
    let house = House::new();
    let mut first = house.driver("10.0.0.1");
    assert_eq!(first.say(NONCE, "one").await, Said::New);
    let mut second = house.driver("10.0.0.1");
    let waiting = tokio::spawn(async move { (second.say(NONCE, "one").await, second) });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    let (said, mut second) = waiting.await.unwrap();
    assert_eq!(said, Said::New);
    let mut third = house.driver("10.0.0.1");
    let waiting = tokio::spawn(async move { third.say(NONCE, "one").await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let receipt = second.flush();
    let Said::Again(again) = waiting.await.unwrap() else { panic!() };
    assert!(again.number() == receipt.number() || receipt.is_stored());
    assert_eq!(house.records_of(receipt).await, 1);
}

/// All connections bring all messages, each in its own order and in batches of its own size.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_meet_each_others_claims_never_lock_each_other_out() {
    const MESSAGES: u64 = 400;
    let house = House::new();
    let peers: Vec<_> = (1..=8u64)
        .map(|number| {
            let mut peer = house.driver("10.0.0.1");
            tokio::spawn(async move {
                let mut new = 0;
                for at in 0..MESSAGES {
                    // A stride that shares no factor with their number visits each of them once.
                    let message = at * (10 * number + 1) % MESSAGES;
                    new += u64::from(peer.say(NONCE, &message.to_string()).await == Said::New);
                    if at % number == 0 {
                        peer.flush();
                    }
                }
                peer.flush().stored().await.unwrap();
                new
            })
        })
        .collect();
    let mut new = 0;
    for peer in peers {
        new += peer.await.unwrap();
    }
    house.journal.last_receipt().stored().await.unwrap();
    assert_eq!((new, house.records()), (MESSAGES, MESSAGES));
}

#[tokio::test]
async fn a_look_before_the_work_claims_nothing() {
    let house = House::new();
    let mut first = house.driver("10.0.0.1");
    let id = first.identify(NONCE, "one");
    assert!(first.conversation.known(id).is_none() && first.conversation.known(id).is_none());
    assert!(!first.conversation.has_claims());
    assert_eq!(first.say(NONCE, "one").await, Said::New);
    assert!(first.conversation.known(id).is_none());
    first.flush().stored().await.unwrap();
    assert!(house.driver("10.0.0.1").conversation.known(id).is_some());
}

#[tokio::test]
async fn equal_data_behind_an_ack_that_was_read_is_new() {
    let house = House::new();
    let mut peer = house.driver("10.0.0.1");
    for _ in 0..3 {
        assert_eq!(peer.say(HASH, "equal").await, Said::New);
        peer.flush().stored().await.unwrap();
        assert!(matches!(peer.say(HASH, "equal").await, Said::Again(_)));
        peer.conversation.acks_were_read();
    }
    // An orderly end proves it, too.
    drop(peer);
    let mut peer = house.driver("10.0.0.1");
    assert_eq!(peer.say(HASH, "equal").await, Said::New);
    peer.flush().stored().await.unwrap();
    // While the connection lives, equal data of another one is its own.
    let mut other = house.driver("10.0.0.1");
    assert_eq!(other.say(HASH, "equal").await, Said::New);
    other.flush().stored().await.unwrap();
    assert_eq!(house.records(), 5);
}

#[tokio::test]
async fn a_broken_connection_arms_what_it_could_not_prove() {
    let house = House::new();
    let mut peer = house.driver("10.0.0.1");
    assert_eq!(peer.say(HASH, "equal").await, Said::New);
    peer.flush().stored().await.unwrap();
    drop(peer);
    assert_eq!(house.driver("10.0.0.2").say(HASH, "equal").await, Said::New, "another peer's");
    let mut peer = house.driver("10.0.0.1");
    assert!(matches!(peer.say(HASH, "equal").await, Said::Again(_)));
    drop(peer);
    let mut peer = house.driver("10.0.0.1");
    assert!(matches!(peer.say(HASH, "equal").await, Said::Again(_)));
    peer.conversation.acks_were_read();
    assert_eq!(peer.say(HASH, "equal").await, Said::New);
    peer.flush().stored().await.unwrap();
    drop(peer);
    house.advance(600);
    assert_eq!(house.driver("10.0.0.1").say(HASH, "equal").await, Said::New, "armed too long ago");
}

#[tokio::test]
async fn a_restart_knows_random_ids_and_arms_unread_ones() {
    let mut house = House::new();
    let (mut docker, mut bit) = (house.driver("10.0.0.1"), house.driver("10.0.0.2"));
    for text in ["one", "two"] {
        assert_eq!(docker.say(NONCE, text).await, Said::New);
        assert_eq!(bit.say(HASH, text).await, Said::New);
        docker.flush();
        bit.flush().stored().await.unwrap();
        if text == "one" {
            bit.conversation.acks_were_read();
        }
    }
    for kill in [true, false] {
        if kill {
            house.kill()
        } else {
            house.restart().await
        }
        assert_eq!(house.records(), 4);
        let (mut docker, mut bit) = (house.driver("10.0.0.1"), house.driver("10.0.0.2"));
        assert!(matches!(docker.say(NONCE, "one").await, Said::Again(_)));
        assert!(matches!(docker.say(NONCE, "two").await, Said::Again(_)));
        assert_eq!(bit.identify(HASH, "one").class, Class::Content);
        assert!(bit.conversation.known(bit.identify(HASH, "one")).is_none(), "its ack was read");
        assert!(matches!(bit.say(HASH, "two").await, Said::Again(_)));
    }
    let mut bit = house.driver("10.0.0.2");
    assert!(matches!(bit.say(HASH, "two").await, Said::Again(_)));
    bit.conversation.acks_were_read();
    house.duplicates().tend();
    house.journal.last_receipt().stored().await.unwrap();
    house.kill();
    assert_eq!(house.driver("10.0.0.2").say(HASH, "two").await, Said::New);
    assert_eq!(house.records(), 4);
}

#[tokio::test]
async fn ids_of_records_that_go_with_the_process_go_with_it() {
    let mut house = House::new();
    house.restart_with(|plan| plan.buffers[0].storage = plan::Storage::Memory).await;
    let mut peer = house.driver("10.0.0.1");
    assert_eq!(peer.say(NONCE, "one").await, Said::New);
    peer.flush().stored().await.unwrap();
    assert!(matches!(peer.say(NONCE, "one").await, Said::Again(_)));
    drop(peer);
    house.restart().await;
    assert_eq!(house.driver("10.0.0.1").say(NONCE, "one").await, Said::New);
}

#[tokio::test]
async fn a_message_in_parts_is_known_from_its_last_part_on() {
    let mut house = House::new();
    let mut peer = house.driver("10.0.0.1");
    peer.part("first part").stored().await.unwrap();
    house.kill();
    let mut peer = house.driver("10.0.0.1");
    peer.part("first part");
    assert_eq!(peer.say(NONCE, "last part").await, Said::New);
    peer.flush().stored().await.unwrap();
    house.kill();
    assert!(matches!(house.driver("10.0.0.1").say(NONCE, "last part").await, Said::Again(_)));
    assert_eq!(house.records(), 3);
}

#[tokio::test]
async fn a_window_later_nothing_is_left() {
    let mut house = House::new();
    let mut peer = house.driver("10.0.0.1");
    assert_eq!(peer.say(NONCE, "one").await, Said::New);
    peer.flush().stored().await.unwrap();
    house.advance(599);
    assert!(matches!(peer.say(NONCE, "one").await, Said::Again(_)));
    house.advance(2);
    assert!(peer.conversation.known(peer.identify(NONCE, "one")).is_none());
    house.duplicates().tend();
    house.advance(601);
    house.duplicates().tend();
    assert_eq!(house.duplicates().table.len(), 0);
    assert_eq!(house.duplicates().ledger.live_entries(), (0, 0));
    drop(peer);
    house.restart().await;
    assert_eq!(house.duplicates().ledger.live_entries(), (0, 0));
    assert_eq!(house.driver("10.0.0.1").say(NONCE, "one").await, Said::New);
}

#[tokio::test]
async fn many_entries_become_few_and_keep_everything() {
    let mut house = House::new();
    let mut peer = house.driver("10.0.0.1");
    let mut bit = house.driver("10.0.0.2");
    for number in 0..2_500 {
        assert_eq!(peer.say(NONCE, &number.to_string()).await, Said::New);
        peer.flush();
        if number < 1_200 {
            bit.conversation.acks_were_read();
            assert_eq!(bit.say(HASH, &number.to_string()).await, Said::New);
            bit.flush();
        }
    }
    peer.receipt.clone().unwrap().stored().await.unwrap();
    let (small, large) = house.duplicates().ledger.live_entries();
    assert!(small <= 1_024 && large <= 4, "{small} {large}");
    drop((peer, bit));
    house.kill();
    assert_eq!(house.duplicates().ledger.live_entries(), (small, large));
    let mut peer = house.driver("10.0.0.1");
    for number in 0..2_500 {
        assert!(matches!(peer.say(NONCE, &number.to_string()).await, Said::Again(_)), "{number}");
    }
    let mut bit = house.driver("10.0.0.2");
    for number in 0..1_200 {
        let known = bit.conversation.known(bit.identify(HASH, &number.to_string())).is_some();
        assert_eq!(known, number == 1_199, "{number}");
    }
}

#[tokio::test]
async fn a_full_memory_forgets_the_oldest_here_and_on_the_disk() {
    let mut house = House::new();
    house.restart_with(|plan| plan.duplicates.max_bytes = 64 << 10).await;
    let capacity = house.duplicates().table.capacity();
    assert!(capacity < 3_000);
    let mut peer = house.driver("10.0.0.1");
    for number in 0..4 * capacity {
        assert_eq!(peer.say(NONCE, &number.to_string()).await, Said::New);
        if number % 50 == 0 {
            peer.flush();
        }
    }
    peer.flush().stored().await.unwrap();
    drop(peer);
    // What is kept for certain, with room for shards that got more than others.
    let newest = capacity / 5;
    for kill in [false, true] {
        if kill {
            house.kill();
        }
        let duplicates = house.duplicates();
        assert!(duplicates.table.len() <= capacity);
        let mut peer = house.driver("10.0.0.1");
        let mut known = |number: usize| {
            let id = peer.identify(NONCE, &number.to_string());
            peer.conversation.known(id).is_some()
        };
        assert!((4 * capacity - newest..4 * capacity).all(&mut known));
        assert!(!(0..capacity).any(&mut known));
    }
    let stats = house.journal.stats();
    let queue = stats.queues.iter().find(|queue| queue.name == QUEUE).unwrap();
    assert!(queue.live_bytes < 4 * 17 * capacity as u64 + (200 << 10), "{}", queue.live_bytes);
}

#[tokio::test]
async fn a_pipeliner_of_content_ids_is_bounded() {
    let house = House::new();
    let mut peer = house.driver("10.0.0.1");
    for number in 0..500 {
        assert_eq!(peer.say(HASH, &number.to_string()).await, Said::New);
        if number % 100 == 0 {
            peer.flush();
        }
    }
    peer.flush().stored().await.unwrap();
    assert!(matches!(peer.say(HASH, "499").await, Said::Again(_)));
    assert_eq!(peer.say(HASH, "3").await, Said::New);
}
