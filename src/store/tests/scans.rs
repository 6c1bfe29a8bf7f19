//! The orders of a scan, and what filters spare.

use super::scan::{Next, PackMeta, Scope, Visitor};
use super::*;
use crate::wire::loggroup::Group;

/// Remembers ids.
#[derive(Default)]
struct Ids(Vec<i64>);

impl Visitor for Ids {
    fn visit(&mut self, meta: &PackMeta, group: &Group<'_>) -> Result<Next, StoreError> {
        assert_eq!(meta.logs, group.log_count() as u64);
        self.0.push(meta.id);
        Ok(Next::Go)
    }
}

/// In three files: those of three ttls, in turns.
async fn with_many_files(dir: &Path, packs: usize) -> (Store, i64) {
    let (store, logstore) = opened(dir).await;
    for label in 0..packs {
        if label % 20 == 0 {
            let settings = Settings { ttl: [7, 30, 90][label / 20 % 3], ..Settings::default() };
            store.update_logstore("demo-project", "app-log", settings).await.unwrap();
        }
        let time = ((label * 7919) % 1000) as u32;
        store.put(logstore, pack(&raw_group(&[(time, 0), (time + 3, 0)], "", "", label))).await.unwrap();
    }
    (store, logstore)
}

#[tokio::test]
async fn every_order_sees_every_pack_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = with_many_files(dir.path(), 300).await;
    let scope = Scope::all(logstore);
    let (arrived, forward, reverse, any) = store
        .scan(move |scan| {
            let (mut arrived, mut forward, mut reverse) = (Ids::default(), Ids::default(), Ids::default());
            for shard in [0, 1] {
                let from = arrived.0.len();
                scan.by_arrival(&scope, shard, 0, &mut arrived)?;
                assert!(arrived.0[from..].is_sorted());
            }
            arrived.0.sort_unstable();
            scan.in_order(&scope, false, &mut forward)?;
            scan.in_order(&scope, true, &mut reverse)?;
            let any: Vec<i64> =
                scan.any_order(&scope, Ids::default)?.into_iter().flat_map(|ids| ids.0).collect();
            Ok((arrived.0, forward.0, reverse.0, any))
        })
        .await
        .unwrap();
    assert_eq!(arrived.len(), 300);
    let sorted = |mut ids: Vec<i64>| {
        ids.sort_unstable();
        ids
    };
    assert_ne!(forward, arrived, "times are in another order than arrival");
    for ids in [forward, reverse, any] {
        assert_eq!(sorted(ids), arrived);
    }
    // From a cursor on.
    let after = arrived[100];
    let rest = store
        .scan(move |scan| {
            let mut ids = Ids::default();
            for shard in [0, 1] {
                scan.by_arrival(&Scope::all(logstore), shard, after, &mut ids)?;
            }
            ids.0.sort_unstable();
            Ok(ids.0)
        })
        .await
        .unwrap();
    assert_eq!(rest, arrived[101..]);
    let one = store.scan(move |scan| scan.stored(after)).await.unwrap().unwrap();
    assert_eq!(one.compression, Kind::Lz4);
}

#[tokio::test]
async fn ids_grow_over_restarts_and_when_the_clock_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for rate in [10_000, 1, 1] {
        let options = Options { clock: Clock::at_rate(rate), ..Options::default() };
        let store = Store::open_with(dir.path(), options).unwrap();
        store.ensure("demo-project", "app-log").await.unwrap();
        let logstore = store.catalog().logstore("demo-project", "app-log").unwrap().id;
        for label in 0..5 {
            store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", label))).await.unwrap();
        }
        let ids = store
            .scan(move |scan| {
                let mut ids = Ids::default();
                for shard in [0, 1] {
                    scan.by_arrival(&Scope::all(logstore), shard, last, &mut ids)?;
                }
                ids.0.sort_unstable();
                Ok(ids.0)
            })
            .await
            .unwrap();
        assert!(ids.len() == 5 && ids[0] > last);
        last = *ids.last().unwrap();
    }
}

#[tokio::test]
async fn a_filter_spares_packs_and_no_match_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    let group = |label: usize| {
        let times: Vec<(u32, u32)> = (0..250).map(|second| (second, 0)).collect();
        raw_group(&times, "", "", label)
    };
    for label in 0..40 {
        store.put(logstore, pack(&group(label))).await.unwrap();
    }
    let filters = async || {
        let file = store.files.all()[0].path().to_owned();
        let reader = schema::open_reader(&file).unwrap();
        reader.query_row("SELECT count(*) FROM filters", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    until("all packs have filters", async || filters().await == 40).await;
    let search = Search { query: query::parse("17.3").unwrap(), ..everything() };
    let found = store.search(logstore, search).await.unwrap();
    assert_eq!(texts(&found), ["17.3"]);
    assert!(found.scanned_logs < 10 * 250, "{} logs were looked at", found.scanned_logs);
    // After a restart they are not made again, and still used.
    drop(store);
    let (store, logstore) = opened(dir.path()).await;
    let search = Search { query: query::parse("nowhere").unwrap(), ..everything() };
    let found = store.search(logstore, search).await.unwrap();
    assert!(found.rows.is_empty() && found.scanned_logs < 5 * 250, "{}", found.scanned_logs);
}

#[tokio::test]
async fn a_scan_ends_when_nobody_waits() {
    struct Endless(std::sync::mpsc::SyncSender<()>);
    impl Visitor for Endless {
        fn visit(&mut self, _: &PackMeta, _: &Group<'_>) -> Result<Next, StoreError> {
            let _ = self.0.try_send(());
            Ok(Next::Go)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = opened(dir.path()).await;
    store.put(logstore, pack(&raw_group(&[(9, 0)], "", "", 0))).await.unwrap();
    let (seen, sees) = std::sync::mpsc::sync_channel(1);
    let (ended, ends) = oneshot::channel();
    {
        let scan = store.scan(move |scan| {
            while !scan.is_stopped() {
                scan.in_order(&Scope::all(logstore), false, &mut Endless(seen.clone()))?;
            }
            let _ = ended.send(());
            Ok(())
        });
        let began = async { tokio::task::spawn_blocking(move || sees.recv()).await.unwrap().unwrap() };
        tokio::select! {
            _ = scan => unreachable!("it has no end"),
            () = began => {}
        }
    }
    ends.await.unwrap();
}

#[tokio::test]
async fn logs_are_counted_without_being_inflated_where_a_pack_lies_within() {
    let dir = tempfile::tempdir().unwrap();
    let (store, logstore) = with_many_files(dir.path(), 60).await;
    let times: Vec<i64> =
        (0..60).flat_map(|label| [(label * 7919) % 1000, (label * 7919) % 1000 + 3]).collect();
    for (from, to, sql) in
        [(0, 2000, "SELECT count(*)"), (100, 921, "SELECT count(*)"), (0, 2000, "SELECT 1 FROM log")]
    {
        let analyse = Analyse {
            logstore,
            name: "app-log".to_owned(),
            index: None,
            from: from * 1_000_000_000,
            to: to * 1_000_000_000,
            topic: None,
            query: everything().query,
            sql: format!("{sql} LIMIT 1000"),
            limits: analytics::Limits::default(),
        };
        let found = store.analyse(analyse).await.unwrap();
        let expected = times.iter().filter(|time| (from..to).contains(time)).count();
        if sql.ends_with("log") {
            assert_eq!(found.table.rows.len(), expected, "{sql}");
        } else {
            assert_eq!(
                found.table.rows[0][0].as_deref(),
                Some(expected.to_string().as_str()),
                "{from} to {to}"
            );
        }
        assert_eq!(found.scanned_bytes == 0, to == 2000, "{sql}, {from} to {to}");
        assert!(found.scanned_logs >= expected as u64);
    }
}
