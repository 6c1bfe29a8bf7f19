//! Small LogGroups that travel together, and that nothing is lost when the service will not have it.

use super::fake_service::FakeService;
use super::harness::{TestGateway, message, start, start_in};

/// One record for each of so many tags, which makes as many streams.
async fn send_quiet_streams(gateway: &TestGateway, count: usize) {
    let bytes: Vec<u8> = (0..count)
        .flat_map(|n| message(&format!("quiet.{n}"), 1_700_000_000, &[("n", &n.to_string())], None))
        .collect();
    gateway.send(&bytes).await;
}

fn numbers(service: &FakeService) -> Vec<usize> {
    let accepted = service.accepted();
    let mut numbers: Vec<usize> =
        accepted.iter().flat_map(|put| put.values("n")).map(|n| n.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_thousand_quiet_streams_make_few_requests_to_the_embedded_service() {
    let embedded = "log_service: { listen: '127.0.0.1:0', logstore: quiet }";
    let gateway = start(&format!("{embedded}\ndestinations: {{ local: {{ batch_age: 200ms }} }}")).await;
    send_quiet_streams(&gateway, 1_000).await;
    gateway.wait_until_delivered().await;
    assert_eq!(gateway.wait_for("quiet", "*", 1_000).await.len(), 1_000);
    let labels = [("destination", "local/quiet")];
    let requests = gateway.metric("sluicegate_requests_total", &labels).await;
    assert!(requests <= 50, "{requests} requests for 1000 LogGroups");
    gateway.stop().await;
}

#[tokio::test]
async fn each_group_of_a_list_keeps_its_own_pack_id_over_a_restart() {
    let service = FakeService::start(|_| (500, "InternalServerError")).await;
    let haste = "limits: { stop_deadline: 200ms }";
    let gateway = start(&format!("{}\n{haste}", service.destination("batch_group: on, in_flight: 1"))).await;
    send_quiet_streams(&gateway, 20).await;
    service.wait(|puts| puts.len() >= 2 && puts[0].of_request > 1).await;
    let before = service.puts();
    let dir = gateway.stop().await;
    let healthy = FakeService::start(|_| (200, "")).await;
    let gateway = start_in(dir, &healthy.destination("batch_group: on")).await;
    healthy.wait(|puts| puts.len() >= 20).await;
    assert_eq!(numbers(&healthy), (0..20).collect::<Vec<_>>());
    let after = healthy.accepted();
    for put in before {
        assert!(after.iter().any(|again| again.group == put.group), "{} is not the same", put.pack_id());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_service_without_lists_gets_them_one_by_one() {
    let service =
        FakeService::start(|put| if put.of_request > 1 { (501, "NotImplemented") } else { (200, "") }).await;
    let gateway = start(&service.destination("batch_group: on")).await;
    send_quiet_streams(&gateway, 50).await;
    gateway.wait_until_delivered().await;
    assert_eq!(numbers(&service), (0..50).collect::<Vec<_>>());
    let lists = service.look(|puts| puts.iter().filter(|put| put.of_request > 1).count());
    assert!(lists > 0 && service.accepted().len() == 50);
    gateway.stop().await;
}

#[tokio::test]
async fn equal_shard_keys_go_one_behind_the_other() {
    let service = FakeService::start(|_| (200, "")).await;
    let settings = "shard_key: [__topic__], topic: '${tag[1]}', in_flight: 8, batch_bytes: 1KiB";
    let gateway = start(&service.destination(settings)).await;
    let mut bytes = Vec::new();
    for n in 0..400 {
        let tag = format!("app.{}.x{}", n % 4, n % 8);
        bytes.extend(message(&tag, 1_700_000_000, &[("n", &n.to_string()), ("pad", &"x".repeat(200))], None));
    }
    gateway.send(&bytes).await;
    gateway.wait_until_delivered().await;
    assert_eq!(numbers(&service), (0..400).collect::<Vec<_>>());
    assert_eq!(service.most_at_once_of_a_key(), 1, "requests of one key at once");
    let keys: std::collections::BTreeSet<_> = service.puts().iter().map(|put| put.key.clone()).collect();
    assert!(keys.iter().all(|key| key.len() == 32) && (2..=4).contains(&keys.len()), "{keys:?}");
    gateway.stop().await;
}
