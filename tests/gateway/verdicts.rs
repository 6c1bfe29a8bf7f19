//! What the output makes of answers: again, smaller, or refused; and that nothing else is lost by it.

use super::fake_service::FakeService;
use super::harness::{TestGateway, message, start};

async fn send_numbers(gateway: &TestGateway, count: usize) {
    let bytes: Vec<u8> =
        (0..count).flat_map(|n| message("t", 1_700_000_000, &[("n", &n.to_string())], None)).collect();
    gateway.send(&bytes).await;
}

#[tokio::test]
async fn trouble_is_retried_with_the_same_bytes() {
    let service = FakeService::start(|_| (200, "")).await;
    service.script(&[(500, "InternalServerError"), (503, "ServerBusy")]);
    let gateway = start(&service.destination("")).await;
    send_numbers(&gateway, 3).await;
    service.wait(|puts| puts.iter().any(|put| put.status == 200)).await;
    let puts = service.puts();
    assert_eq!(puts.len(), 3);
    assert!(puts.iter().all(|put| put.group == puts[0].group), "a resent LogGroup is the same to the byte");
    assert_eq!(puts[0].values("n"), ["0", "1", "2"]);
    gateway.stop().await;
}

#[tokio::test]
async fn only_the_refused_records_become_dead_letters() {
    let bad = ["13", "57"];
    let service = FakeService::start(move |put| {
        if put.values("n").iter().any(|n| bad.contains(&n.as_str())) {
            (400, "PostBodyInvalid")
        } else {
            (200, "")
        }
    })
    .await;
    let gateway = start(&service.destination("")).await;
    send_numbers(&gateway, 100).await;
    let letters = gateway.data().join("refused");
    service
        .wait(|puts| {
            puts.iter().filter(|put| put.status == 200).map(|put| put.values("n").len()).sum::<usize>() == 98
        })
        .await;
    let mut delivered: Vec<String> = service.accepted().iter().flat_map(|put| put.values("n")).collect();
    delivered.sort_by_key(|n| n.parse::<u32>().unwrap());
    let expected: Vec<String> =
        (0..100).map(|n| n.to_string()).filter(|n| !bad.contains(&n.as_str())).collect();
    assert_eq!(delivered, expected);
    assert!(service.puts().len() <= 32, "{} requests for one group", service.puts().len());
    let data = gateway.stop().await;
    let files: Vec<_> = std::fs::read_dir(&letters).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let letter = std::fs::read(&files[0]).unwrap();
    let end = letter.iter().position(|byte| *byte == b'\n').unwrap();
    let head: serde_json::Value = serde_json::from_slice(&letter[..end]).unwrap();
    assert_eq!(head["records"], 2);
    assert_eq!(head["request_id"], "0123456789ABCDEF01234567");
    assert!(head["reason"].as_str().unwrap().contains("PostBodyInvalid"));
    let group = sluicegate::wire::loggroup::walk(&letter[end + 1..]).unwrap();
    assert_eq!(group.log_count(), 2);
    drop(data);
}

#[tokio::test]
async fn too_large_is_halved_until_it_passes() {
    let service =
        FakeService::start(
            |put| if put.values("n").len() > 30 { (413, "PostBodyTooLarge") } else { (200, "") },
        )
        .await;
    let gateway = start(&service.destination("")).await;
    send_numbers(&gateway, 100).await;
    service
        .wait(|puts| {
            puts.iter().filter(|put| put.status == 200).map(|put| put.values("n").len()).sum::<usize>() == 100
        })
        .await;
    let delivered: Vec<String> = service.accepted().iter().flat_map(|put| put.values("n")).collect();
    assert_eq!(delivered, (0..100).map(|n| n.to_string()).collect::<Vec<_>>(), "in order");
    gateway.stop().await;
}

#[tokio::test]
async fn every_compression_is_understood() {
    for compression in ["lz4", "zstd", "none"] {
        let service = FakeService::start(|_| (200, "")).await;
        let gateway = start(&service.destination(&format!("compression: {compression}"))).await;
        send_numbers(&gateway, 10).await;
        service.wait(|puts| puts.iter().map(|put| put.values("n").len()).sum::<usize>() == 10).await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_group_says_where_it_came_from() {
    let service = FakeService::start(|_| (200, "")).await;
    let settings = "topic: 'web-${tag}', tags: { env: prod }, receive_time_tag: true";
    let gateway = start(&service.destination(settings)).await;
    send_numbers(&gateway, 1).await;
    service.wait(|puts| !puts.is_empty()).await;
    let put = service.puts().remove(0);
    let group = sluicegate::wire::loggroup::walk(&put.group).unwrap();
    assert_eq!((group.topic, group.source), (&b"web-t"[..], &b"127.0.0.1"[..]));
    assert_eq!(group.tag(b"env"), Some(&b"prod"[..]));
    assert_eq!(group.tag(b"__hostname__"), Some(sluicegate::base::host::name().as_bytes()));
    let received: u64 =
        std::str::from_utf8(group.tag(b"__receive_time__").unwrap()).unwrap().parse().unwrap();
    assert!(received > 1_700_000_000);
    let (series, sequence) = put.pack_id().split_once('-').map(|(a, b)| (a.len(), b.to_owned())).unwrap();
    assert_eq!(series, 16);
    assert!(u64::from_str_radix(&sequence, 16).is_ok());
    gateway.stop().await;
}
