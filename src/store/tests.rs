//! The store against a model, across crashes, and in trouble.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::wire::compress::{Kind, compress};
use crate::wire::loggroup::encode::put_trailer;

/// A LogGroup of logs at these times (seconds, nanoseconds); each says `n=<label>.<position>`.
fn raw_group(times: &[(u32, u32)], topic: &str, pack_id: &str, label: usize) -> Vec<u8> {
    let mut logs = Vec::new();
    for (position, (seconds, nanos)) in times.iter().enumerate() {
        let text = format!("{label}.{position}");
        let mut log = vec![0x08];
        let mut rest = *seconds;
        while rest >= 0x80 {
            log.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        log.push(rest as u8);
        log.push(0x25);
        log.extend(nanos.to_le_bytes());
        log.extend([0x12, text.len() as u8 + 5, 0x0a, 1, b'n', 0x12, text.len() as u8]);
        log.extend(text.as_bytes());
        logs.extend([0x0a, log.len() as u8]);
        logs.extend(log);
    }
    let tags = [("__pack_id__", pack_id)];
    let tags = if pack_id.is_empty() { &tags[..0] } else { &tags[..] };
    put_trailer(&mut logs, topic.as_bytes(), b"", tags);
    logs
}

fn pack(raw: &[u8]) -> Pack {
    let mut body = Vec::new();
    compress(Kind::Lz4, raw, &mut body).unwrap();
    Pack::new(Bytes::from(body), Kind::Lz4, raw).unwrap()
}

fn everything() -> Search {
    Search {
        from: 0,
        to: i64::MAX,
        topic: None,
        query: query::Query::all(),
        offset: 0,
        line: 100,
        reverse: false,
        extras: Extras::default(),
    }
}

fn texts(found: &Found) -> Vec<String> {
    found.rows.iter().map(|row| row.contents[0].1.clone()).collect()
}

async fn opened(dir: &Path) -> (Store, i64) {
    let store = Store::open(dir).unwrap();
    store.ensure("demo-project", "app-log").await.unwrap();
    let id = store.catalog().logstore("demo-project", "app-log").unwrap().id;
    (store, id)
}

#[derive(Clone, Debug)]
struct Written {
    times: Vec<(u32, u32)>,
    topic: bool,
    series: u8,
    sequence: u8,
}

fn written() -> impl Strategy<Value = Written> {
    let times = prop::collection::vec((0u32..6, 0u32..3), 1..5);
    (times, any::<bool>(), 0u8..3, 0u8..20).prop_map(|(times, topic, series, sequence)| Written {
        times,
        topic,
        series,
        sequence,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// All pages of all kinds against a sorted list; enough packs that the index is read in several pages.
    #[test]
    fn pages_are_those_of_a_sorted_list(
        packs in prop::collection::vec(written(), 1..150),
        asks in prop::collection::vec(
            (0u32..6, 0u32..7, 0usize..40, 0usize..40, any::<bool>(), any::<bool>(), prop::option::of(0usize..150)),
            1..20,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let (store, logstore) = opened(dir.path()).await;
            let (mut model, mut stored) = (Vec::new(), Vec::new());
            for (label, one) in packs.iter().enumerate() {
                let topic = if one.topic { "web" } else { "" };
                let series = ["", "A-", "B-"][usize::from(one.series)];
                let (prefix, sequence) = match series {
                    "" => (String::new(), 0),
                    _ => (series[..1].to_owned(), one.sequence),
                };
                let pack_id = if series.is_empty() { String::new() } else { format!("{series}{sequence:X}") };
                // In order, but without waiting for each: they share commits.
                let (answer, done) = oneshot::channel();
                let pack = Box::new(pack(&raw_group(&one.times, topic, &pack_id, label)));
                store.send(Job::Put { logstore, pack, answer }).await.unwrap();
                stored.push(done);
                for (position, time) in one.times.iter().enumerate() {
                    model.push((*time, prefix.clone(), sequence, label, position, topic));
                }
            }
            for done in stored {
                done.await.unwrap().unwrap();
            }
            model.sort();
            for (from, to, offset, line, reverse, topic, label) in asks {
                let search = Search {
                    from: i64::from(from) * 1_000_000_000,
                    to: i64::from(to) * 1_000_000_000 + 1,
                    topic: topic.then(|| "web".to_owned()),
                    query: label.map_or(query::Query::all(), |label| query::parse(&format!("n:{label}.*")).unwrap()),
                    offset,
                    line,
                    reverse,
                    extras: Extras::default(),
                };
                let mut expected: Vec<String> = model
                    .iter()
                    .filter(|log| (log.0 >= (from, 0)) && log.0 <= (to, 0) && (!topic || log.5 == "web"))
                    .filter(|log| label.is_none_or(|label| log.3 == label))
                    .map(|log| format!("{}.{}", log.3, log.4))
                    .collect();
                if reverse {
                    expected.reverse();
                }
                let expected: Vec<String> = expected.into_iter().skip(offset).take(line).collect();
                let found = store.search(logstore, search).await.unwrap();
                assert_eq!(texts(&found), expected);
            }
        });
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, logstore) = opened(dir.path()).await;
    let store = Arc::new(store);
    let puts: Vec<_> = (0..50)
        .map(|label| {
            let store = store.clone();
            tokio::spawn(async move { store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", label))).await })
        })
        .collect();
    for put in puts {
        put.await.unwrap().unwrap();
    }
    // The files as they are while the store is open: nothing was folded back or closed.
    std::fs::create_dir(crashed.path().join("packs")).unwrap();
    let packs = store.files.all()[0].path().file_name().unwrap().to_str().unwrap().to_owned();
    let (packs, wal) = (format!("packs/{packs}"), format!("packs/{packs}-wal"));
    for name in ["catalog.db", "catalog.db-wal", &packs, &wal, ACCESS_KEY_FILE] {
        std::fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    let (copy, logstore) = opened(crashed.path()).await;
    assert_eq!(copy.search(logstore, everything()).await.unwrap().rows.len(), 50);
    assert_eq!(copy.access_key().id, store.access_key().id);
    drop(copy);
    assert!(!crashed.path().join(wal).exists(), "an orderly end leaves no WAL");
    assert!(!crashed.path().join("catalog.db-wal").exists(), "an orderly end leaves no WAL");
}

#[tokio::test]
async fn a_deleted_logstore_takes_its_packs_along() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    store.create_logstore("demo-project", "other", Settings::default()).await.unwrap();
    let other = store.catalog().logstore("demo-project", "other").unwrap().id;
    for label in 0..100 {
        store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", label))).await.unwrap();
    }
    store.put(other, pack(&raw_group(&[(9, 0)], "", "", 0))).await.unwrap();
    store.delete_logstore("demo-project", "app-log").await.unwrap();
    let late = store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", 0))).await;
    assert!(matches!(late, Err(StoreError::Refused(Refused::NoLogstore(_)))));
    // Made again under the same name, it is another one.
    store.ensure("demo-project", "app-log").await.unwrap();
    let fresh = store.catalog().logstore("demo-project", "app-log").unwrap().id;
    assert!(store.search(fresh, everything()).await.unwrap().rows.is_empty());
    let reader = schema::open_reader(store.files.all()[0].path()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left: i64 = reader.query_row("SELECT count(*) FROM packs", [], |row| row.get(0)).unwrap();
        if left == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{left} packs are left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.search(other, everything()).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    store.put(logstore, pack(&raw_group(&[(1, 0)], "", "", 7))).await.unwrap();
    let limit = async |pages: i64| store.send(Job::Pragma("max_page_count", pages)).await.unwrap();
    limit(1).await;
    let big = |label| {
        let mut raw = raw_group(&[(9, 0)], "", "", label);
        // A field nobody knows, which does not compress.
        let mut noise = vec![0u8; 100_000];
        getrandom::fill(&mut noise).unwrap();
        raw.extend([0x7a, 0xa0, 0x8d, 0x06]);
        raw.extend(noise);
        pack(&raw)
    };
    let refused = store.put(logstore, big(0)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    assert!(refused.to_string().contains("packs/30d-"), "{refused}");
    limit(1_000_000).await;
    store.put(logstore, big(1)).await.unwrap();
    assert_eq!(texts(&store.search(logstore, everything()).await.unwrap()), ["7.0", "1.0"]);
}

#[tokio::test]
async fn a_large_page_ends_early() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    // One log of 9 MB, four times: one fits into an answer.
    let mut log =
        vec![0x08, 0x07, 0x12, 0x8a, 0xa8, 0xa5, 0x04, 0x0a, 0x01, b'k', 0x12, 0x82, 0xa8, 0xa5, 0x04];
    let value = (4 << 21) + (0x25 << 14) + (0x28 << 7) + 2;
    log.extend(std::iter::repeat_n(b'x', value));
    let mut raw = vec![0x0a];
    let mut len = log.len();
    while len >= 0x80 {
        raw.push(len as u8 | 0x80);
        len >>= 7;
    }
    raw.push(len as u8);
    raw.extend(log);
    for _ in 0..4 {
        store.put(logstore, pack(&raw)).await.unwrap();
    }
    let found = store.search(logstore, everything()).await.unwrap();
    assert_eq!((found.rows.len(), found.cut), (1, 3));
}

#[test]
fn trouble_at_the_start_is_said_clearly() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let second = Store::open(dir.path()).err().unwrap();
    assert!(second.to_string().contains("in use by another gateway"), "{second}");
    drop(store);
    Store::open(dir.path()).unwrap();

    let damaged = tempfile::tempdir().unwrap();
    let file = damaged.path().join("catalog.db");
    std::fs::write(&file, vec![b'x'; 40_000]).unwrap();
    let error = Store::open(damaged.path()).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("catalog.db") && error.to_string().contains("move it"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap().len(), 40_000, "a damaged file is left as it was");

    let newer = tempfile::tempdir().unwrap();
    drop(Store::open(newer.path()).unwrap());
    let connection = Connection::open(newer.path().join("catalog.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    assert!(matches!(Store::open(newer.path()).err().unwrap(), StoreError::Newer { found: 99, .. }));

    let former = tempfile::tempdir().unwrap();
    std::fs::write(former.path().join("logservice.db"), b"").unwrap();
    assert!(matches!(Store::open(former.path()).err().unwrap(), StoreError::Former { .. }));

    let no_dir = dir.path().join("lock").join("below");
    let error = Store::open(&no_dir).err().unwrap();
    assert!(error.to_string().contains("below"), "{error}");
}

/// `/proc` says of itself that it has no space at all.
#[tokio::test]
async fn a_crowded_file_system_takes_no_packs_but_deletes_logstores() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, id) = opened(dir.path()).await;
    store.put(id, pack(&raw_group(&[(1, 0)], "", "", 1))).await.unwrap();
    let no_room = Bounds::new(Path::new("/proc"), None, OnFull::Refuse).unwrap();
    let roomy = std::mem::replace(&mut store.bounds, Arc::new(no_room));
    let refused = store.put(id, pack(&raw_group(&[(2, 0)], "", "", 2))).await.unwrap_err();
    assert!(matches!(refused, StoreError::Crowded { .. }), "{refused}");
    assert!(refused.to_string().contains("delete logstores"), "{refused}");
    store.delete_logstore("demo-project", "app-log").await.unwrap();
    store.bounds = roomy;
    store.ensure("demo-project", "app-log").await.unwrap();
    let id = store.catalog().logstore("demo-project", "app-log").unwrap().id;
    store.put(id, pack(&raw_group(&[(3, 0)], "", "", 3))).await.unwrap();
    assert_eq!(texts(&store.search(id, everything()).await.unwrap()), ["3.0"]);
}
