//! The store against a model; across crashes, in trouble and over time in the modules below.

mod crash;
mod damage;
mod keeping;
mod pulls;
mod scans;

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
                let packs = vec![pack(&raw_group(&one.times, topic, &pack_id, label))];
                store.send(Job::Put { logstore, packs, answer }).await.unwrap();
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

/// Waits for a condition, without counting on a time.
async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A pack of one log whose body is about this large, since it does not compress.
fn noisy(bytes: usize, label: usize) -> Pack {
    let mut raw = raw_group(&[(9, 0)], "", "", label);
    let mut noise = vec![0u8; bytes];
    getrandom::fill(&mut noise).unwrap();
    // A field nobody knows.
    raw.push(0x7a);
    let mut len = bytes;
    while len >= 0x80 {
        raw.push(len as u8 | 0x80);
        len >>= 7;
    }
    raw.push(len as u8);
    raw.extend(noise);
    pack(&raw)
}
