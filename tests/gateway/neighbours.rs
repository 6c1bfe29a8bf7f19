//! A destination in trouble, and those beside it: at the same endpoint, in the same project.

use super::fake_service::{FakeService, Put};
use super::harness::{TestGateway, message, start};

/// Two logstores of one project; tag `bad` goes to the one that has the trouble.
async fn two(service: &FakeService) -> TestGateway {
    let one = |logstore: &str| {
        format!(
            "{{ endpoint: 'http://{}', project: demo-project, logstore: {logstore}, access_key_id: k, \
             access_key_secret: s, batch_age: 20ms, in_flight: 1 }}",
            service.address
        )
    };
    start(&format!(
        "destinations: {{ bad: {}, good: {} }}\ndefault_destination: good\nroutes: [ {{ match: bad, destination: bad }} ]",
        one("bad-logs"),
        one("good-logs")
    ))
    .await
}

fn of<'a>(puts: &'a [Put], logstore: &str) -> impl Iterator<Item = &'a Put> {
    puts.iter().filter(move |put| put.logstore == logstore)
}

/// One after the other, each delivered before the next: with a share of the neighbour's waiting this would take hours.
async fn deliver_to_good(gateway: &TestGateway, service: &FakeService, count: usize) {
    for n in 0..count {
        gateway.send(&message("good", 1_700_000_000, &[("n", &n.to_string())], None)).await;
        service.wait(|puts| of(puts, "good-logs").count() == n + 1).await;
    }
    assert!(service.look(|puts| of(puts, "good-logs").all(|put| put.status == 200)), "each at the first try");
}

#[tokio::test]
async fn one_that_is_refused_or_fails_by_itself_delays_nobody() {
    for (status, code) in
        [(404, "LogStoreNotExist"), (403, "ShardWriteQuotaExceed"), (500, "InternalServerError")]
    {
        let service = FakeService::start(
            move |put| {
                if put.logstore == "bad-logs" { (status, code) } else { (200, "") }
            },
        )
        .await;
        let gateway = two(&service).await;
        gateway.send(&message("bad", 1_700_000_000, &[("n", "0")], None)).await;
        service.wait(|puts| of(puts, "bad-logs").count() >= 2).await;
        deliver_to_good(&gateway, &service, 30).await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_quota_of_the_project_passes_and_everything_is_there() {
    let service = FakeService::start(|_| (200, "")).await;
    service.script(&[(403, "WriteQuotaExceed"); 4]);
    let gateway = two(&service).await;
    for tag in ["bad", "good", "bad", "good"] {
        gateway.send(&message(tag, 1_700_000_000, &[("n", tag)], None)).await;
    }
    gateway.wait_until_delivered().await;
    let records: usize = service.accepted().iter().map(|put| put.records).sum();
    assert_eq!(records, 4);
    gateway.stop().await;
}
