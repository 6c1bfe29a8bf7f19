//! Deliveries to a scripted service: what each answer leads to, and what that costs in requests.

mod cut;
mod service;
mod table;

use std::sync::Arc;

use super::*;
use crate::config::plan::{AutoCreate, ShardKeyPart};
use crate::output::shard_key::ShardKey;
use crate::wire::loggroup::encode::{pair_len, put_log, put_pack_id, put_trailer};
use crate::wire::loggroup::list as packages;
use service::{Answer, Seen, Service};

/// A LogGroup of numbered records at this time.
fn group(records: usize, time: u32, sequence: u64) -> Vec<u8> {
    let mut group = Vec::new();
    for n in 0..records {
        let value = n.to_string();
        let pair: (&[u8], &[u8]) = (b"n", value.as_bytes());
        put_log(&mut group, time, 0, pair_len(1, value.len()), std::iter::once(pair));
    }
    put_trailer(&mut group, b"topic", b"10.0.0.9", &[("env", "dev")]);
    put_pack_id(&mut group, 7, sequence);
    group
}

fn now() -> u32 {
    Timestamp::now().seconds as u32
}

/// Every LogGroup that was answered 200, of lists and of single requests, in order.
fn accepted(service: &Service) -> Vec<Vec<u8>> {
    service.seen().iter().filter(|seen| seen.status == 200 && seen.is_put()).flat_map(Seen::groups).collect()
}

#[tokio::test]
async fn groups_of_a_list_are_accepted_together() {
    let service = Service::start(|_| Answer::OK).await;
    let delivery = service.delivery();
    let groups: Vec<_> = (0..5).map(|n| group(3, now(), n)).collect();
    let loads: Vec<_> = groups.iter().map(|group| (Load::Raw(group.clone()), 3)).collect();
    let mut done = Vec::new();
    delivery.deliver_list(loads, |at| done.push(at)).await;
    assert_eq!(done, [0, 1, 2, 3, 4]);
    let seen = service.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].header("x-log-mode"), seen[0].header("x-log-compresstype")), ("batch_group", "lz4"));
    assert_eq!(seen[0].header("x-log-bodyrawsize"), seen[0].body.len().to_string());
    assert_eq!(packages::packages(&seen[0].body).count(), 5);
    assert_eq!(accepted(&service), groups, "each as it is, with its own pack id");
}

/// Delivers a list of two groups of two records each; the number of requests it took.
async fn deliver_two(service: &Service, delivery: &Delivery) -> usize {
    let before = service.seen().len();
    let loads = (0..2).map(|n| (Load::Raw(group(2, now(), n)), 2)).collect();
    let mut done = Vec::new();
    delivery.deliver_list(loads, |at| done.push(at)).await;
    assert_eq!(done, [0, 1]);
    service.seen().len() - before
}

#[tokio::test]
async fn a_refused_list_is_sent_group_by_group_and_the_third_is_the_last() {
    let service = Service::start(|seen| {
        if seen.is_list() { Answer::error(400, "PostBodyInvalid", "no LogGroup") } else { Answer::OK }
    })
    .await;
    let delivery = service.delivery();
    for list in 0..3 {
        assert!(delivery.takes_lists(), "list {list}");
        assert_eq!(deliver_two(&service, &delivery).await, 3, "the list, then each");
    }
    assert!(!delivery.takes_lists());
    assert_eq!((accepted(&service).len(), service.letters().len()), (6, 0));
}

#[tokio::test]
async fn a_list_that_is_refused_for_one_of_its_groups_is_not_the_last() {
    // The first log of group 0 is bad.
    let service = Service::start(|seen| {
        let bad = |group: &Vec<u8>| {
            let walked = loggroup::walk(group).unwrap();
            walked.tag(b"__pack_id__") == Some(&b"0000000000000007-0"[..])
                && walked.logs().any(|log| log.contents().any(|pair| pair == (&b"n"[..], &b"0"[..])))
        };
        if seen.groups().iter().any(bad) {
            Answer::error(400, "PostBodyInvalid", "one of them")
        } else {
            Answer::OK
        }
    })
    .await;
    let delivery = service.delivery();
    for list in 1..=4 {
        assert_eq!(
            deliver_two(&service, &delivery).await,
            5,
            "the list, the bad one, its halves, the good one"
        );
        assert_eq!((service.letters().len(), delivery.takes_lists()), (list, true));
    }
}

#[tokio::test]
async fn a_service_that_knows_no_lists_is_asked_once() {
    for (status, code) in [(501, "NotImplemented"), (400, "NotSupported"), (400, "InvalidParameter")] {
        let service = Service::start(move |seen| {
            if seen.is_list() { Answer::error(status, code, "x-log-mode") } else { Answer::OK }
        })
        .await;
        let delivery = service.delivery();
        assert_eq!(deliver_two(&service, &delivery).await, 3);
        assert!(!delivery.takes_lists(), "{code}");
    }
}

#[tokio::test]
async fn trouble_keeps_a_list_a_list() {
    let service = Service::start(|seen| match seen.number {
        0 => Answer::error(500, "InternalServerError", "told to"),
        1 => Answer::error(403, "WriteQuotaExceed", "Write QPS Exceed"),
        2 => Answer::error(404, "LogStoreNotExist", "not yet"),
        _ => Answer::OK,
    })
    .await;
    let delivery = service.delivery();
    assert_eq!(deliver_two(&service, &delivery).await, 4);
    let seen = service.seen();
    assert!(seen.iter().all(|request| request.body == seen[0].body), "the same bytes");
    assert!(delivery.takes_lists());
}

#[tokio::test]
async fn a_shard_key_chooses_the_route() {
    let service = Service::start(|_| Answer::OK).await;
    let delivery = service.delivery();
    let group = group(1, now(), 0);
    let bucket = ShardKey(vec![ShardKeyPart::Source]).bucket(&group);
    delivery.deliver(Load::Raw(group), 1, Some(bucket)).await;
    let seen = service.seen();
    assert_eq!(seen[0].path, "/logstores/web/shards/route?key=b4000000000000000000000000000000");
}

/// A service that takes only times of the last hour.
async fn strict() -> Service {
    Service::start(|seen| {
        let strange = |group: &Vec<u8>| {
            loggroup::walk(group).unwrap().logs().any(|log| now().abs_diff(log.time) > 3_600)
        };
        if seen.groups().iter().any(strange) {
            Answer::error(400, "PostBodyInvalid", "The post data time is out of range")
        } else {
            Answer::OK
        }
    })
    .await
}

#[tokio::test]
async fn times_that_are_refused_are_rewritten_once_where_that_is_configured() {
    let service = strict().await;
    let mut delivery = service.delivery();
    delivery.out_of_range = OutOfRange::Now;
    delivery.deliver(Load::Raw(group(2, 1_000_000, 0)), 2, None).await;
    assert_eq!((service.seen().len(), service.letters().len()), (2, 0));
    let taken = &accepted(&service)[0];
    let walked = loggroup::walk(taken).unwrap();
    assert_eq!(walked.tag(b"__pack_id__"), Some(&b"0000000000000007-0"[..]));
    for log in walked.logs() {
        let original = log.contents().find(|(key, _)| *key == loggroup::ORIGINAL_TIME).unwrap();
        assert_eq!(original.1, b"1000000.000000000");
    }
}

#[tokio::test]
async fn times_that_are_refused_are_dead_letters_else() {
    let service = strict().await;
    let delivery = service.delivery();
    delivery.deliver(Load::Raw(group(1, 1_000_000, 0)), 1, None).await;
    assert_eq!((service.seen().len(), service.letters().len()), (1, 1));
    // Within the window, and refused all the same: there is nothing to rewrite.
    let service =
        Service::start(|_| Answer::error(400, "PostBodyInvalid", "The post data time is out of range")).await;
    let mut delivery = service.delivery();
    delivery.out_of_range = OutOfRange::Now;
    delivery.deliver(Load::Raw(group(1, now(), 0)), 1, None).await;
    assert_eq!((service.seen().len(), service.letters().len()), (1, 1));
}

#[tokio::test]
async fn what_is_missing_is_made_once_and_waited_for() {
    // The service knows the project after three questions and the logstore, for writing, after three tries more.
    let service = Service::start(|seen| match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/") => Answer::OK,
        ("POST", "/logstores") if seen.count_before("/logstores") < 1 => {
            Answer::error(404, "ProjectNotExist", "The Project does not exist : demo")
        }
        ("POST", "/logstores" | "/logstores/web/index") => Answer::OK,
        _ if !seen.made_before("/") => {
            Answer::error(404, "ProjectNotExist", "The Project does not exist : demo")
        }
        _ if seen.count_before("/logstores/web/shards/lb") < 4 => {
            Answer::error(404, "LogStoreNotExist", "logstore web does not exist.")
        }
        _ => Answer::OK,
    })
    .await;
    let mut delivery = service.delivery();
    let settings = AutoCreate { shards: 3, ttl: 7, ..AutoCreate::default() };
    let tags = vec!["__hostname__".to_owned(), "env".to_owned()];
    delivery.ensure = Some(Ensure::new(settings, "demo", "web", false, tags));
    delivery.deliver(Load::Raw(group(2, now(), 0)), 2, None).await;
    assert_eq!(accepted(&service).len(), 1);
    let seen = service.seen();
    let of =
        |path: &str| seen.iter().filter(|seen| seen.path == path && seen.status == 200).collect::<Vec<_>>();
    assert_eq!((of("/").len(), of("/logstores").len(), of("/logstores/web/index").len()), (1, 1, 1));
    assert_eq!(of("/")[0].json()["projectName"], "demo");
    let logstore = of("/logstores")[0].json();
    assert_eq!((&logstore["shardCount"], &logstore["ttl"]), (&3.into(), &7.into()));
    assert_eq!((&logstore["mode"], &logstore["telemetryType"]), (&"standard".into(), &"".into()));
    let index = of("/logstores/web/index")[0].json();
    assert_eq!(index["keys"]["__tag__:env"]["doc_value"], true);
    assert!(index["line"]["token"].as_array().unwrap().contains(&",".into()));
}

#[tokio::test]
async fn what_exists_is_left_alone_and_what_may_not_be_made_is_said() {
    let service = Service::start(|seen| match (seen.path.as_str(), seen.number) {
        ("/logstores", _) => Answer::error(400, "LogStoreAlreadyExist", "logstore web already exists"),
        (_, 0) => Answer::error(404, "LogStoreNotExist", "logstore web does not exist."),
        _ => Answer::OK,
    })
    .await;
    let mut delivery = service.delivery();
    delivery.ensure = Some(Ensure::new(AutoCreate::default(), "demo", "web", false, Vec::new()));
    delivery.deliver(Load::Raw(group(1, now(), 0)), 1, None).await;
    let paths: Vec<_> = service.seen().iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(paths, ["/logstores/web/shards/lb", "/logstores", "/logstores/web/shards/lb"]);

    let service = Service::start(|seen| match seen.number {
        0 | 2 => Answer::error(404, "LogStoreNotExist", "logstore web does not exist."),
        1 | 3 => Answer::error(401, "Unauthorized", "denied by sts or ram"),
        _ => Answer::OK,
    })
    .await;
    let mut delivery = service.delivery();
    delivery.ensure = Some(Ensure::new(AutoCreate::default(), "demo", "web", true, Vec::new()));
    let delivery = Arc::new(delivery);
    let task = tokio::spawn({
        let delivery = delivery.clone();
        async move { delivery.deliver(Load::Raw(group(1, now(), 0)), 1, None).await }
    });
    service.until(|seen| seen.len() >= 4).await;
    let trouble = delivery.trouble().clone().unwrap_or_default();
    assert!(trouble.contains("logstore demo/web cannot be made: HTTP 401 Unauthorized"), "{trouble}");
    assert_eq!(service.seen()[1].json()["telemetryType"], "Metrics");
    task.await.unwrap();
}

#[tokio::test]
async fn lists_that_are_refused_for_times_go_on() {
    let service = Service::start(|seen| {
        let old = |group: &Vec<u8>| loggroup::walk(group).unwrap().logs().any(|log| log.time < 1_000_000);
        if seen.groups().iter().any(old) {
            Answer::error(400, "PostBodyInvalid", "The post data time is out of range")
        } else {
            Answer::OK
        }
    })
    .await;
    let mut delivery = service.delivery();
    delivery.out_of_range = OutOfRange::Now;
    for _ in 0..4 {
        let loads = [(0, now()), (1, 7)].map(|(n, time)| (Load::Raw(group(2, time, n)), 2));
        delivery.deliver_list(loads.into(), |_| ()).await;
        assert!(delivery.takes_lists());
    }
    assert_eq!((accepted(&service).len(), service.letters().len()), (8, 0));
}

/// A key of a file, for as long as it says so.
fn file_key(path: &std::path::Path) -> crate::output::credentials::Credentials {
    let plan = crate::config::plan::CredentialsPlan::File { path: path.to_owned(), profile: None };
    crate::output::credentials::Credentials::of("test", &plan, &Default::default())
}

#[tokio::test]
async fn who_waits_with_a_refused_key_goes_on_when_there_is_another() {
    let service = Service::start(|seen| match seen.header("authorization").contains("good") {
        true => Answer::OK,
        false => Answer::error(401, "Unauthorized", "AccessKeyId is disabled"),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "access_key_id: bad\nsecret: s\n").unwrap();
    let mut delivery = service.delivery();
    delivery.client = Client::new(service.base(), "demo", file_key(&path), Duration::from_secs(30)).unwrap();
    delivery.waits.slow = Duration::from_secs(3_600);
    let mend = async {
        service.until(|seen| !seen.is_empty()).await;
        std::fs::write(&path, "access_key_id: good\nsecret: s\n").unwrap();
    };
    let (whole, ()) = tokio::join!(delivery.deliver(Load::Raw(group(1, now(), 0)), 1, None), mend);
    assert!(whole);
}

#[tokio::test]
async fn who_has_no_key_holds_no_place() {
    let service = Service::start(|_| Answer::OK).await;
    let dir = tempfile::tempdir().unwrap();
    // Nobody writes to it: reading it hangs.
    let path = dir.path().join("key");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let all = Arc::new(crate::output::concurrency::Concurrency::default());
    let mut waiting = service.delivery();
    waiting.client = Client::new(service.base(), "demo", file_key(&path), Duration::from_secs(30)).unwrap();
    waiting.share = all.join("east", "demo", "web", 1);
    let mut other = service.delivery();
    other.share = waiting.share.clone();
    tokio::select! {
        biased;
        _ = waiting.deliver(Load::Raw(group(1, now(), 0)), 1, None) => panic!("without a key"),
        whole = other.deliver(Load::Raw(group(1, now(), 1)), 1, None) => assert!(whole),
    }
    // Lets the thread that reads it end.
    std::fs::write(&path, "").unwrap();
}
