//! Damaged files, full disks, wrong directories: said clearly, and the rest goes on.

use super::*;

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    store.put(logstore, pack(&raw_group(&[(1, 0)], "", "", 7))).await.unwrap();
    let limit = async |pages: i64| store.send(Job::Pragma("max_page_count", pages)).await.unwrap();
    limit(1).await;
    let refused = store.put(logstore, noisy(100_000, 0)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    assert!(refused.to_string().contains("packs/30d-"), "{refused}");
    limit(1_000_000).await;
    store.put(logstore, noisy(100_000, 1)).await.unwrap();
    assert_eq!(texts(&store.search(logstore, everything()).await.unwrap()), ["7.0", "1.0"]);
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
    let connection = rusqlite::Connection::open(newer.path().join("catalog.db")).unwrap();
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

/// The names in packs/, without what SQLite keeps beside a file.
fn names(dir: &Path) -> Vec<String> {
    let found = std::fs::read_dir(dir.join("packs")).unwrap();
    let mut names: Vec<String> =
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}

#[tokio::test]
async fn a_file_that_is_no_database_is_set_aside_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    store.put(logstore, pack(&raw_group(&[(1, 0)], "", "", 1))).await.unwrap();
    drop(store);
    let [good] = names(dir.path()).try_into().unwrap();
    let bad = "30d-1700000000.db";
    std::fs::write(dir.path().join("packs").join(bad), vec![b'x'; 40_000]).unwrap();
    let (store, logstore) = opened(dir.path()).await;
    assert_eq!(names(dir.path()), [format!("{bad}.damaged"), good.clone()]);
    assert_eq!(texts(&store.search(logstore, everything()).await.unwrap()), ["1.0"]);
    // An empty one is what a crash leaves of a file that was about to be.
    drop(store);
    std::fs::write(dir.path().join("packs/30d-1700000001.db"), b"").unwrap();
    let (store, logstore) = opened(dir.path()).await;
    store.put(logstore, pack(&raw_group(&[(2, 0)], "", "", 2))).await.unwrap();
    assert_eq!(texts(&store.search(logstore, everything()).await.unwrap()), ["1.0", "2.0"]);
}

#[tokio::test]
async fn a_file_found_damaged_by_a_scan_or_a_write_is_set_aside_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    for label in 0..40 {
        store.put(logstore, noisy(60_000, label)).await.unwrap();
    }
    drop(store);
    let [name] = names(dir.path()).try_into().unwrap();
    let path = dir.path().join("packs").join(&name);
    let mut bytes = std::fs::read(&path).unwrap();
    // All but the first page, which has the layout.
    bytes[16_384..].fill(0x55);
    std::fs::write(&path, &bytes).unwrap();
    let (store, logstore) = opened(dir.path()).await;
    let found = store.search(logstore, everything()).await.unwrap();
    assert!(found.rows.is_empty());
    assert!(names(dir.path()).contains(&format!("{name}.damaged")), "{:?}", names(dir.path()));
    // The first of these may meet the damage; the store has another file for the next.
    let _ = store.put(logstore, pack(&raw_group(&[(1, 0)], "", "", 1))).await;
    store.put(logstore, pack(&raw_group(&[(2, 0)], "", "", 2))).await.unwrap();
    assert!(texts(&store.search(logstore, everything()).await.unwrap()).contains(&"2.0".to_owned()));
    drop(store);
    let (store, logstore) = opened(dir.path()).await;
    assert!(texts(&store.search(logstore, everything()).await.unwrap()).contains(&"2.0".to_owned()));
}

#[tokio::test]
async fn a_pack_with_a_flipped_bit_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    for label in 0..3 {
        store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", label))).await.unwrap();
    }
    let file = store.files.all()[0].path().to_owned();
    let second = rusqlite::Connection::open(&file).unwrap();
    let (id, body): (i64, Vec<u8>) = second
        .query_row("SELECT id, body FROM packs ORDER BY id LIMIT 1 OFFSET 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let mut flipped = body.clone();
    *flipped.last_mut().unwrap() ^= 1;
    second.execute("UPDATE packs SET body = ?2 WHERE id = ?1", (id, flipped)).unwrap();
    drop(second);
    assert_eq!(texts(&store.search(logstore, everything()).await.unwrap()), ["0.0", "2.0"]);
    let broken = store.scan(move |scan| scan.stored(id)).await;
    assert!(matches!(broken, Err(StoreError::Pack(_))), "{broken:?}");
}
