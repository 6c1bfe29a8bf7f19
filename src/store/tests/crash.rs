//! What was acknowledged is there after a crash.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

const DIR: &str = "SLUICEGATE_TEST_STORE";
const WRITERS: &str = "SLUICEGATE_TEST_WRITERS";
const PROCESS: [&str; 3] = ["store::tests::crash::a_process_that_writes", "--exact", "--nocapture"];

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

/// The other half of the next test, in a process of its own: writes and says what was acknowledged until it is killed.
#[tokio::test]
async fn a_process_that_writes() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let (store, logstore) = opened(Path::new(&dir)).await;
    let (store, next) = (Arc::new(store), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let writers = std::env::var(WRITERS).map_or(4, |text| text.parse().unwrap());
    let writers: Vec<_> = (0..writers)
        .map(|_| {
            let (store, next) = (store.clone(), next.clone());
            tokio::spawn(async move {
                let mut label = next.fetch_add(1, Ordering::Relaxed);
                while store.put(logstore, noisy(3_000, label)).await.is_ok() {
                    println!("\nacknowledged {label}.0");
                    label = next.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn killed_while_it_writes_and_reads_it_has_all_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = std::collections::HashSet::new();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(PROCESS)
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Labels begin anew with each process.
        let mut seen = std::collections::HashSet::new();
        for line in lines {
            if let Some(label) = line.unwrap().strip_prefix("acknowledged ") {
                seen.insert(label.to_owned());
            }
            if seen.len() == 150 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen.len() >= 150, "{}", seen.len());
        acknowledged.extend(seen.into_iter().map(|label| (round, label)));
        let (store, logstore) = opened(dir.path()).await;
        let found = store.search(logstore, Search { line: 100_000, ..everything() }).await.unwrap();
        let mut counts = std::collections::HashMap::new();
        for text in texts(&found) {
            *counts.entry(text).or_insert(0) += 1;
        }
        let mut wanted = std::collections::HashMap::new();
        for (_, label) in &acknowledged {
            *wanted.entry(label.clone()).or_insert(0) += 1;
        }
        for (label, count) in wanted {
            assert!(counts.get(&label).is_some_and(|found| *found >= count), "{label} in round {round}");
        }
    }
}

#[tokio::test]
async fn who_reads_while_others_write_finds_what_was_acknowledged_before() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    let (store, done) = (Arc::new(store), Arc::new(AtomicBool::new(false)));
    let acknowledged = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let (store, done, acknowledged) = (store.clone(), done.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let mut rounds = 0;
                while !done.load(Ordering::SeqCst) || rounds == 0 {
                    let before = acknowledged.load(Ordering::SeqCst);
                    let search = Search { line: 10_000, reverse: reader == 0, ..everything() };
                    let found = store.search(logstore, search).await.unwrap().rows.len();
                    assert!(found >= before, "{found} of {before}");
                    rounds += 1;
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for label in 0..100 {
                    store.put(logstore, noisy(500, writer * 1000 + label)).await.unwrap();
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(store.search(logstore, Search { line: 1000, ..everything() }).await.unwrap().rows.len(), 400);
}

/// What the kernel was asked for, in order: after the last write to the WAL comes a sync of it, and then the answer. Where
/// processes cannot be traced there is nothing to see.
#[test]
fn the_wal_is_synced_before_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let traced = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=write,pwrite64,fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(PROCESS)
        .env(DIR, dir.path().join("store"))
        .env(WRITERS, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut traced) = traced else { return };
    let lines = BufReader::new(traced.stdout.take().unwrap()).lines();
    let seen = lines.map_while(Result::ok).filter(|line| line.starts_with("acknowledged ")).take(20).count();
    if seen == 0 {
        traced.wait().unwrap();
        return;
    }
    // Without a reader of its output the process ends by itself, and the tracer with it.
    traced.wait().unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).into_owned();
    let (mut acknowledged, mut unsynced, mut synced) = (0, false, 0);
    for line in text.lines() {
        let is_wal = line.contains(".db-wal>") && !line.contains("catalog.db-wal>");
        if is_wal && line.contains(" pwrite64(") {
            unsynced = true;
        } else if is_wal && (line.contains(" fdatasync(") || line.contains(" fsync(")) {
            // A call that takes long is printed in two parts; the first one is enough, since its thread goes on only after.
            synced += usize::from(unsynced);
            unsynced = false;
        } else if line.contains("acknowledged ") {
            acknowledged += 1;
            assert!(!unsynced && synced >= acknowledged, "{acknowledged} answers, {synced} syncs: {line}");
        }
    }
    assert!(acknowledged >= 20, "{acknowledged}");
}
