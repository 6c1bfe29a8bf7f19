//! How long logs are kept, and in which files.

use super::*;

fn fast(max_bytes: Option<u64>, on_full: OnFull) -> Options {
    Options { clock: Clock::at_rate(100_000), max_bytes, on_full }
}

async fn opened_with(dir: &Path, options: Options) -> (Store, i64) {
    let store = Store::open_with(dir, options).unwrap();
    store.ensure("demo-project", "app-log").await.unwrap();
    let settings = Settings { ttl: 1, ..Settings::default() };
    store.update_logstore("demo-project", "app-log", settings).await.unwrap();
    let id = store.catalog().logstore("demo-project", "app-log").unwrap().id;
    (store, id)
}

fn ttls(store: &Store) -> Vec<i64> {
    store.files.all().iter().map(|file| file.slice.ttl).collect()
}

#[tokio::test]
async fn files_go_when_they_expire_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened_with(dir.path(), fast(None, OnFull::Refuse)).await;
    let first = store.clock().nanoseconds();
    store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", 0))).await.unwrap();
    let day = 24 * 3600 * 1_000_000_000;
    // As long as a day is not over the first one is found.
    while store.clock().nanoseconds() - first < day {
        store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", 1))).await.unwrap();
        let found = store.search(logstore, everything()).await.unwrap();
        if store.clock().nanoseconds() - first < day {
            assert!(texts(&found).contains(&"0.0".to_owned()));
        }
    }
    until("the first file goes", async || {
        store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", 2))).await.unwrap();
        let found = store.search(logstore, Search { line: 1, ..everything() }).await.unwrap();
        texts(&found) != ["0.0"]
    })
    .await;
    until("nothing is left", async || std::fs::read_dir(dir.path().join("packs")).unwrap().count() == 0)
        .await;
    assert!(store.search(logstore, everything()).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_changed_ttl_is_for_what_comes_after() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened_with(dir.path(), Options::default()).await;
    for (label, ttl) in [(0, 7), (1, 30), (2, 7), (3, 3650)] {
        let settings = Settings { ttl, ..Settings::default() };
        store.update_logstore("demo-project", "app-log", settings).await.unwrap();
        store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", label))).await.unwrap();
    }
    let mut classes = ttls(&store);
    classes.sort_unstable();
    assert_eq!(classes, [7, 30, 3650]);
    assert_eq!(texts(&store.search(logstore, everything()).await.unwrap()), ["0.0", "1.0", "2.0", "3.0"]);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", 4))).await.unwrap();
    assert_eq!(store.files.all().len(), 3, "a file is gone on with after a restart");
    assert_eq!(store.search(logstore, everything()).await.unwrap().rows.len(), 5);
}

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn past_its_bound_the_store_refuses_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: Some(4 * MIB), ..Options::default() };
    let (store, logstore) = opened_with(dir.path(), options).await;
    let mut stored = 0;
    let refused = loop {
        match store.put(logstore, noisy(200_000, stored)).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100);
    };
    assert!(matches!(refused, StoreError::AtLimit { .. }), "{refused}");
    assert!(refused.to_string().contains("log_service.max_bytes"), "{refused}");
    assert_eq!(store.search(logstore, everything()).await.unwrap().rows.len(), stored);
}

#[tokio::test]
async fn past_its_bound_the_store_drops_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: Some(24 * MIB), on_full: OnFull::DropOldest, ..Options::default() };
    let (store, logstore) = opened_with(dir.path(), options).await;
    for label in 0..400 {
        store.put(logstore, noisy(200_000, label)).await.unwrap();
    }
    let found = texts(&store.search(logstore, Search { line: 1000, ..everything() }).await.unwrap());
    assert_eq!(found.last().unwrap(), "399.0");
    let first: usize = found[0].split_once('.').unwrap().0.parse().unwrap();
    assert_eq!(found.len(), 400 - first, "the oldest went and no others");
    assert!(found.len() > 30, "{} of 24 MiB are left", found.len());
    let bytes: u64 = store.files.all().iter().map(|file| file.bytes()).sum();
    // Up to a WAL per file open for writing on top.
    assert!(bytes < 30 * MIB, "{bytes}");
}

#[tokio::test]
async fn a_full_store_drops_what_is_read_for_a_moment_and_refuses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: Some(16 * MIB), on_full: OnFull::DropOldest, ..Options::default() };
    let (store, logstore) = opened_with(dir.path(), options).await;
    let (files, stop) = (store.files.clone(), Arc::new(AtomicBool::new(false)));
    let stopped = stop.clone();
    // Lets go of files at any moment between the writer's measure and what is made of it.
    let reads = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let held = files.all();
            while files.leaving() == 0 && !stopped.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            drop(held);
        }
    });
    for label in 0..300 {
        store.put(logstore, noisy(200_000, label)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    reads.join().unwrap();
}

#[tokio::test]
async fn nothing_is_dropped_for_what_would_not_fit_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: Some(4 * MIB), on_full: OnFull::DropOldest, ..Options::default() };
    let (store, logstore) = opened_with(dir.path(), options).await;
    store.put(logstore, noisy(1000, 0)).await.unwrap();
    let much = store.put(logstore, noisy(5 << 20, 1)).await;
    assert!(matches!(much, Err(StoreError::AtLimit { .. })), "{much:?}");
    assert_eq!(texts(&store.search(logstore, everything()).await.unwrap()), ["0.0"]);
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
async fn files_with_nothing_but_a_deleted_logstore_go_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) =
        opened_with(dir.path(), Options { max_bytes: Some(64 * MIB), ..Options::default() }).await;
    for label in 0..60 {
        store.put(logstore, noisy(200_000, label)).await.unwrap();
    }
    let files = store.files.all().len();
    assert!(files >= 3, "{files}");
    store.delete_logstore("demo-project", "app-log").await.unwrap();
    until("sealed files go", async || store.files.all().iter().all(|file| !file.is_sealed())).await;
    assert!(store.files.all().len() < files);
}
