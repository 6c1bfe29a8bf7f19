//! Buffers: a stuck destination holds back nobody below its quota, blocks exactly its own senders past it, and lets
//! nobody wait where it may evict.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fake_service::FakeService;
use super::harness::{ack, message, read, start};

fn config(service: &FakeService, on_full: &str) -> String {
    format!(
        "destinations:\n  cloud: {{ endpoint: 'http://{}', project: demo-project, logstore: app-log, access_key_id: a, access_key_secret: b, batch_age: 50ms, buffer: small }}\n  local: {{ buffer: default }}\n\
         default_destination: cloud\nlog_service: {{ enabled: true, listen: '127.0.0.1:0' }}\n\
         buffers: {{ small: {{ max_bytes: 256KiB, on_full: {on_full} }} }}\nroutes: [ {{ match: healthy, destination: local }} ]\n\
         limits: {{ stop_deadline: 300ms }}",
        service.address
    )
}

#[tokio::test]
async fn a_full_buffer_blocks_its_own_senders_only() {
    let service = FakeService::start(|_| (500, "InternalServerError")).await;
    let gateway = start(&config(&service, "block")).await;
    let mut stuck = gateway.connect().await;
    let text = "x".repeat(16_000);
    let mut acked = 0;
    let mut sent = 0;
    // Acks stop when the quota is reached; until then each one comes.
    let stopped = loop {
        let chunk = format!("{sent:03}");
        stuck.write_all(&message("stuck", 1_700_000_000, &[("log", &text)], Some(&chunk))).await.unwrap();
        sent += 1;
        let mut answer = [0; 9];
        match tokio::time::timeout(Duration::from_millis(700), stuck.read_exact(&mut answer)).await {
            Ok(read) => {
                read.unwrap();
                acked += 1;
            }
            Err(_) => break true,
        }
        if sent > 100 {
            break false;
        }
    };
    assert!(stopped, "{acked} messages of 16 KB acknowledged into a buffer of 256 KiB");
    assert!(acked >= 10, "blocked after {acked}");
    let mut healthy = gateway.connect().await;
    healthy.write_all(&message("healthy", 1_700_000_000, &[("log", "flows")], Some("h"))).await.unwrap();
    assert_eq!(read(&mut healthy, 7).await, ack("h"));
    gateway.wait_for("default", "flows", 1).await;
    let status = gateway.status().await;
    assert_eq!(status["healthy"], true);
    let problems = status["problems"].to_string();
    assert!(problems.contains("cloud/app-log") && problems.contains("wait for room"), "{problems}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_buffer_that_may_evict_never_blocks_and_counts() {
    let service = FakeService::start(|_| (500, "InternalServerError")).await;
    let gateway = start(&config(&service, "evict_oldest")).await;
    let mut stream = gateway.connect().await;
    let text = "x".repeat(16_000);
    for n in 0..100 {
        let chunk = format!("{n:03}");
        stream.write_all(&message("stuck", 1_700_000_000, &[("log", &text)], Some(&chunk))).await.unwrap();
        assert_eq!(read(&mut stream, 9).await, ack(&chunk));
    }
    let status = gateway.status().await;
    let destination = status["destinations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|queue| queue["name"] == "cloud/app-log")
        .unwrap()
        .clone();
    assert!(destination["evicted_records"].as_u64().unwrap() > 0, "{destination}");
    assert!(destination["buffered_bytes"].as_u64().unwrap() <= 512 * 1024, "{destination}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_comes_behind_a_record_does_not_open_a_full_buffer() {
    let service = FakeService::start(|_| (500, "InternalServerError")).await;
    let gateway = start(&config(&service, "block")).await;
    // Behind what fills the buffer: a record for another one, or none at all.
    let behind = [message("healthy", 1_700_000_000, &[("log", "x")], None), b"\x92\xa1e\x90".to_vec()];
    for (behind, stream) in behind.into_iter().zip(0..) {
        let mut stuck = gateway.connect().await;
        let text = "x".repeat(16_000);
        let mut acked = 0;
        loop {
            let chunk = format!("{stream}{acked:02}");
            let first = message("stuck", 1_700_000_000, &[("log", &text)], Some(&chunk));
            stuck.write_all(&[first, behind.clone()].concat()).await.unwrap();
            let mut answer = [0; 9];
            if tokio::time::timeout(Duration::from_millis(700), stuck.read_exact(&mut answer)).await.is_err()
            {
                break;
            }
            acked += 1;
            assert!(acked < 60, "{acked} messages of 16 KB are in a buffer of 256 KiB");
        }
    }
    gateway.stop().await;
}
