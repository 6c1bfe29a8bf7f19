//! Shards, cursors and consumer groups over a real directory.

use std::collections::BTreeMap;

use super::*;
use crate::store::shards::Route;
use crate::wire::loggroup::walk;

const PLACE: (&str, &str) = ("demo-project", "app-log");

fn pull_from(shard: u32, cursor: i64) -> Pull {
    Pull { shard, cursor, end: None, count: 1000, query: None }
}

/// The LogGroups of a LogGroupList.
fn groups(list: &[u8]) -> Vec<Vec<u8>> {
    let list: List = prost::Message::decode(list).unwrap();
    list.groups
}

#[derive(prost::Message)]
struct List {
    #[prost(bytes = "vec", repeated, tag = "1")]
    groups: Vec<Vec<u8>>,
}

async fn put(store: &Store, logstore: i64, label: usize, route: Route) {
    let raw = raw_group(&[(label as u32, 0)], "", "", label);
    store.put(logstore, pack(&raw).routed(route)).await.unwrap();
}

/// Reads a shard to its end, a few LogGroups at a time; labels in their order, and the last cursor.
async fn read_out(store: &Store, shard: u32, mut cursor: i64, count: usize) -> (Vec<u32>, i64) {
    let mut labels = Vec::new();
    loop {
        let pulled = store.pull(PLACE.0, PLACE.1, Pull { count, ..pull_from(shard, cursor) }).await.unwrap();
        assert_eq!(groups(&pulled.list).len(), pulled.groups);
        for group in groups(&pulled.list) {
            labels.extend(walk(&group).unwrap().logs().map(|log| log.time));
        }
        assert!(pulled.next >= cursor);
        cursor = pulled.next;
        if pulled.is_end {
            return (labels, cursor);
        }
    }
}

#[tokio::test]
async fn a_shard_is_read_in_the_order_of_arrival_also_across_its_split() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = opened(dir.path()).await;
    let low = Route::Key(5);
    for label in 1..=10 {
        put(&store, id, label, low).await;
    }
    let begin = store.cursor(PLACE.0, PLACE.1, 0, From::Begin).await.unwrap();
    assert_eq!(read_out(&store, 0, begin, 3).await.0, (1..=10).collect::<Vec<_>>());
    // Every number between is a cursor: behind the first, the others are left.
    assert_eq!(read_out(&store, 0, begin + 1, 100).await.0, (2..=10).collect::<Vec<_>>());
    let end = store.cursor(PLACE.0, PLACE.1, 0, From::End).await.unwrap();
    assert_eq!(read_out(&store, 0, end, 100).await.0, [0u32; 0]);
    let beyond = store.pull(PLACE.0, PLACE.1, pull_from(0, end + 1_000_000)).await;
    assert!(matches!(beyond, Err(StoreError::Refused(Refused::Cursor(_)))));
    assert_eq!(store.cursor_time(PLACE.0, PLACE.1, 0, end).unwrap(), end / 1_000_000_000);

    let made = store.split_shard(PLACE, 0, None, 2).await.unwrap();
    assert_eq!(
        made.iter().map(|shard| (shard.id, shard.is_open())).collect::<Vec<_>>(),
        [(0, false), (2, true), (3, true)]
    );
    put(&store, id, 11, low).await;
    let (labels, at) = read_out(&store, 0, begin, 4).await;
    assert_eq!((labels.len(), at), (10, store.cursor(PLACE.0, PLACE.1, 0, From::End).await.unwrap()));
    let begin = store.cursor(PLACE.0, PLACE.1, 2, From::Begin).await.unwrap();
    assert_eq!(read_out(&store, 2, begin, 4).await.0, [11]);
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.shards(PLACE.0, PLACE.1).unwrap().len(), 4, "shards outlive a restart");
    assert_eq!(read_out(&store, 0, 0, 100).await.0.len(), 10);
    store.delete_shard(PLACE.0, PLACE.1, 0).await.unwrap();
    assert!(matches!(
        store.pull(PLACE.0, PLACE.1, pull_from(0, 0)).await,
        Err(StoreError::Refused(Refused::NoShard(0)))
    ));
}

#[tokio::test]
async fn turns_spread_packs_and_bounds_cut_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = opened(dir.path()).await;
    for label in 0..20 {
        put(&store, id, label, Route::Balanced).await;
    }
    let (first, second) = (read_out(&store, 0, 0, 7).await.0, read_out(&store, 1, 0, 7).await.0);
    assert_eq!((first.len(), second.len()), (10, 10));
    let until = store.pull(PLACE.0, PLACE.1, pull_from(0, 0)).await.unwrap().next;
    put(&store, id, 99, Route::Key(1)).await;
    let bounded = Pull { end: Some(until), ..pull_from(0, 0) };
    let pulled = store.pull(PLACE.0, PLACE.1, bounded).await.unwrap();
    assert_eq!((pulled.groups, pulled.next, pulled.is_end), (10, until, false));
    let query = Some(query::parse("n: 99.0").unwrap());
    let pulled = store.pull(PLACE.0, PLACE.1, Pull { query, ..pull_from(0, 0) }).await.unwrap();
    assert_eq!((pulled.groups, pulled.logs, pulled.read_logs, pulled.read_groups), (1, 1, 11, 11));
}

#[tokio::test]
async fn a_reader_beside_writers_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = opened(dir.path()).await;
    let store = Arc::new(store);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..50 {
                    put(&store, id, writer * 1000 + number, Route::Balanced).await;
                }
            })
        })
        .collect();
    let mut seen = BTreeMap::new();
    let mut cursors = [0, 0];
    while seen.len() < 200 {
        for shard in [0, 1] {
            let (labels, next) = read_out(&store, shard, cursors[shard as usize], 5).await;
            cursors[shard as usize] = next;
            labels.into_iter().for_each(|label| *seen.entry(label).or_insert(0) += 1);
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(seen.values().all(|times| *times == 1), "each once");
}

#[tokio::test]
async fn checkpoints_are_kept_and_children_wait_for_their_parents() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = opened(dir.path()).await;
    let group = (PLACE.0, PLACE.1, "readers");
    store.create_consumer_group(group, 60, true).await.unwrap();
    let again = store.create_consumer_group(group, 60, true).await;
    assert!(matches!(again, Err(StoreError::Refused(Refused::ConsumerGroupExists(_)))));
    put(&store, id, 1, Route::Key(1)).await;
    store.split_shard(PLACE, 0, None, 2).await.unwrap();
    // The children (2 and 3) come when their parent is read out.
    assert_eq!(store.heartbeat(group, "a", &[]).await.unwrap(), [0, 1]);
    let foreign = store.set_checkpoint(group, "b", 0, "", false).await;
    assert!(matches!(foreign, Err(StoreError::Refused(Refused::NoConsumer(_)))));
    let end = cursor_text(store.cursor(PLACE.0, PLACE.1, 0, From::End).await.unwrap());
    let garbage = store.set_checkpoint(group, "a", 0, "!", false).await;
    assert!(matches!(garbage, Err(StoreError::Refused(Refused::Cursor(_)))));
    store.set_checkpoint(group, "a", 0, &end, false).await.unwrap();
    assert_eq!(store.heartbeat(group, "a", &[0, 1]).await.unwrap(), [1, 2, 3]);
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    {
        let catalog = store.catalog();
        let checkpoint = &catalog.consumer_group(group).unwrap().checkpoints[&0];
        assert_eq!((checkpoint.cursor.as_str(), checkpoint.consumer.as_str()), (end.as_str(), "a"));
    }
    assert_eq!(store.heartbeat(group, "b", &[]).await.unwrap(), [1, 2, 3]);
    store.delete_consumer_group(group).await.unwrap();
    assert!(store.heartbeat(group, "b", &[]).await.is_err());
    store.create_consumer_group(group, 60, false).await.unwrap();
    assert!(store.catalog().consumer_group(group).unwrap().checkpoints.is_empty());
}

#[tokio::test]
async fn cursors_hold_when_the_clock_has_gone_back() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = Options { clock: crate::base::clock::Clock::at_rate(100_000), ..Options::default() };
    let store = Store::open_with(dir.path(), ahead).unwrap();
    store.ensure(PLACE.0, PLACE.1).await.unwrap();
    let group = (PLACE.0, PLACE.1, "readers");
    store.create_consumer_group(group, 60, false).await.unwrap();
    // Ids run ahead with the clock, and the pack of the highest one is gone.
    store.create_logstore(PLACE.0, "other", Settings::default()).await.unwrap();
    let other = store.catalog().logstore(PLACE.0, "other").unwrap().id;
    let start = store.clock().nanoseconds();
    while store.clock().nanoseconds() < start + 3_600_000_000_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.put(other, pack(&raw_group(&[(9, 0)], "", "", 0))).await.unwrap();
    let end = store.cursor(PLACE.0, PLACE.1, 0, From::End).await.unwrap();
    assert!(end > start + 3_600_000_000_000);
    let far = store.set_checkpoint(group, "a", 0, &cursor_text(end + 3_600_000_000_000_000), true).await;
    assert!(matches!(far, Err(StoreError::Refused(Refused::Cursor(_)))), "none that was never given out");
    store.set_checkpoint(group, "a", 0, &cursor_text(end), true).await.unwrap();
    drop(store);
    std::fs::remove_dir_all(dir.path().join("packs")).unwrap();

    let (store, id) = opened(dir.path()).await;
    assert!(store.clock().nanoseconds() < end);
    put(&store, id, 7, Route::Key(1)).await;
    assert_eq!(read_out(&store, 0, end, 10).await.0, [7]);
}

#[tokio::test]
async fn a_query_that_matches_nothing_gets_on_in_steps() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = opened(dir.path()).await;
    let settings = Settings { append_meta: true, ..Settings::default() };
    store.update_logstore(PLACE.0, PLACE.1, settings).await.unwrap();
    let packs: Vec<Pack> = (0..4500)
        .map(|label| {
            let pack = pack(&raw_group(&[(9, 0)], "", "", label)).routed(Route::Key(1));
            pack.from_client("10.0.0.9".into())
        })
        .collect();
    store.put_all(id, packs).await.unwrap();
    let query = Some(query::parse("n: 4400.0 or n: 3900.0").unwrap());
    let ask = |cursor| Pull { query: query.clone(), ..pull_from(0, cursor) };
    let first = store.pull(PLACE.0, PLACE.1, ask(0)).await.unwrap();
    assert_eq!((first.groups, first.read_logs, first.is_end), (1, 4000, false));
    let second = store.pull(PLACE.0, PLACE.1, ask(first.next)).await.unwrap();
    assert_eq!((second.groups, second.read_logs, second.is_end), (1, 500, true));
    for pulled in [first, second] {
        let group = groups(&pulled.list).remove(0);
        let tags: Vec<_> = walk(&group).unwrap().tags().map(|(key, _)| key.to_vec()).collect();
        assert!(tags.contains(&b"__client_ip__".to_vec()));
    }
}

#[tokio::test]
async fn members_go_with_their_group_and_names_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = opened(dir.path()).await;
    for round in 0..3 {
        let name = format!("other-{round}");
        store.create_logstore(PLACE.0, &name, Settings::default()).await.unwrap();
        let group = (PLACE.0, name.as_str(), "readers");
        store.create_consumer_group(group, 60, false).await.unwrap();
        let long = store.heartbeat(group, &"n".repeat(1025), &[]).await;
        assert!(matches!(long, Err(StoreError::Refused(Refused::Parameter(_)))));
        assert_eq!(store.heartbeat(group, "a", &[]).await.unwrap(), [0, 1]);
        assert_eq!(store.members().len(), 1, "that of the deleted logstore is forgotten");
        store.delete_logstore(PLACE.0, &name).await.unwrap();
    }
}

#[tokio::test]
async fn readers_of_shards_do_not_wait_for_long_searches() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = opened(dir.path()).await;
    put(&store, id, 7, Route::Key(1)).await;
    let taken = store.long.clone().acquire_many_owned(threads::LONG as u32).await.unwrap();
    let store = Arc::new(store);
    let searching = {
        let store = store.clone();
        tokio::spawn(async move { store.search(id, everything()).await.unwrap().rows.len() })
    };
    assert_eq!(read_out(&store, 0, 0, 10).await.0, [7]);
    assert!(!searching.is_finished());
    drop(taken);
    assert_eq!(searching.await.unwrap(), 1);
}
