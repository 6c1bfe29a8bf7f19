//! How the gateway starts and stops, and what it says meanwhile.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sluicegate::app::Gateway;
use sluicegate::config::{self, Flags};
use tokio::net::{TcpListener, TcpStream};

use super::harness::{EMBEDDED, PATIENCE, TestGateway, start, start_in};

async fn refusal(dir: &std::path::Path, text: &str) -> String {
    let file = dir.join("refused.yaml");
    std::fs::write(&file, text).unwrap();
    let flags = Flags { data_dir: Some(dir.join("data")) };
    let plan = config::load(Some(&file), std::iter::empty(), &flags).unwrap();
    match Gateway::start(plan, None).await {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_told_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (key, text) in [
        (
            "operations.listen",
            "operations: { listen: 'PORT' }\ninputs: { forward: { listen: '127.0.0.1:0' } }",
        ),
        (
            "inputs.forward.listen",
            "operations: { listen: '127.0.0.1:0' }\ninputs: { forward: { listen: 'PORT' } }",
        ),
        (
            "log_service.listen",
            "operations: { listen: '127.0.0.1:0' }\ninputs: { forward: { listen: '127.0.0.1:0' } }\nlog_service: { listen: 'PORT' }",
        ),
    ] {
        let text = text.replace("PORT", &taken.local_addr().unwrap().to_string());
        let said = refusal(dir.path(), &text).await;
        assert!(said.starts_with(key) && said.contains("another program"), "{said}");
        assert!(!dir.path().join("data").exists(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_leaves_nothing_running() {
    let first = start(EMBEDDED).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = taken.local_addr().unwrap();
    drop(taken);
    let text =
        format!("operations: {{ listen: '{free}' }}\ninputs: {{ forward: {{ listen: '127.0.0.1:0' }} }}\n");
    let said = refusal(first.dir.path(), &text).await;
    assert!(said.contains("in use by another gateway"), "{said}");
    assert_eq!(said.matches("in use").count(), 1, "{said}");
    assert!(TcpStream::connect(free).await.is_err(), "the operations port is closed again");
    first.stop().await;
}

async fn problems(gateway: &TestGateway) -> Vec<Value> {
    gateway.status().await["problems"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_whose_address_is_unknown_is_told_and_does_not_hold_up_the_rest() {
    let cloud = "cloud: { endpoint: 'http://cn-hangzhou.log.aliyuncs.com', connect: 'nowhere.invalid:80', \
                 project: demo-project, logstore: app-log, access_key_id: a, access_key_secret: b }";
    let extra = format!(
        "log_service: {{ enabled: true, listen: '127.0.0.1:0' }}\ndefault_destination: local\ndestinations:\n  {cloud}\n  local: {{}}\nroutes:\n  - {{ match: 'far.**', destination: cloud }}\n  - {{ match: '**', destination: local }}\n"
    );
    let gateway = start(&extra).await;
    gateway.send(b"\x93\xa5far.a\xce\x6f\x00\x00\x00\x81\xa3log\xa3one").await;
    gateway.send(b"\x93\xa6near.a\xce\x6f\x00\x00\x00\x81\xa3log\xa3two").await;
    gateway.wait_for("default", "two", 1).await;
    let told = async {
        while !problems(&gateway).await.iter().any(|said| said.as_str().unwrap().contains("nowhere.invalid"))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_of_an_earlier_run_all_get_their_sender() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let closed = "http://127.0.0.1:9";
    let made = |endpoint: &str| {
        format!(
            "limits: {{ stop_deadline: 100ms }}\ndestinations: {{ cloud: {{ endpoint: '{endpoint}', project: demo-project, \
             logstore: app-log, access_key_id: a, access_key_secret: b }} }}\nroutes: [ {{ logstore: '${{tag}}' }} ]"
        )
    };
    // More than one run may make, for logstores that nobody sends to any more.
    for run in 0..2 {
        let earlier = start_in(dir.clone(), &made(closed)).await;
        let mut messages = Vec::new();
        for number in 0..135 {
            let tag = format!("made-{run}-{number:03}");
            messages.extend([0x93, 0xa0 | tag.len() as u8]);
            messages.extend(tag.as_bytes());
            messages.extend(b"\xce\x6f\x00\x00\x00\x81\xa3log\xa3one");
        }
        earlier.send(&messages).await;
        earlier.stop().await;
    }
    let last = start_in(dir, &made(closed)).await;
    let tried = async {
        loop {
            let status = last.status().await;
            let destinations = status["destinations"].as_array().unwrap();
            if destinations.len() >= 270 && destinations.iter().all(|one| !one["trouble"].is_null()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tried).await.unwrap();
    last.stop().await;
}
