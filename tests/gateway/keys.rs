//! Keys of destinations: records wait for them, and nothing is sent without.

use super::fake_service::FakeService;
use super::harness::{message, start, until};

#[tokio::test]
async fn records_wait_for_a_key_and_go_when_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let service = FakeService::start(|_| (200, "")).await;
    let gateway = start(&format!(
        "destinations: {{ cloud: {{ endpoint: 'http://{}', project: demo-project, logstore: app-log, batch_age: 50ms, \
         credentials: [ {{ file: '{}' }}, {{ uri: 'http://127.0.0.1:1/keys' }} ] }} }}",
        service.address,
        keys.display()
    ))
    .await;
    gateway.send(&message("t", 1_700_000_000, &[("n", "1")], None)).await;
    let said = async || {
        let status = gateway.status().await;
        status["problems"].as_array().unwrap().iter().any(|problem| {
            let problem = problem.as_str().unwrap();
            problem.starts_with(&format!(
                "cloud/app-log: no access key: {}: it is not there; uri: ",
                keys.display()
            ))
        })
    };
    until("the status tells what was tried", said).await;
    assert!(service.puts().is_empty());
    std::fs::write(&keys, "access_key_id: id\naccess_key_secret: hunter2\n").unwrap();
    service.wait(|puts| puts.iter().any(|put| put.status == 200)).await;
    assert_eq!(service.accepted()[0].values("n"), ["1"]);
    until("the status is clean", async || gateway.status().await["problems"].as_array().unwrap().is_empty())
        .await;
    gateway.stop().await;
}
