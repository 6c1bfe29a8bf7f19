//! A full buffer that blocks, by what its senders do then: each gets what makes it lose and repeat least.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fake_service::FakeService;
use super::harness::{TestGateway, ack, message, read, read_to_close, start, until};
use super::peers::{deliver, docker_id, fluentd_id};
use super::watch::logged;

const QUEUE: &str = "cloud/app-log";

/// A service that refuses everything for now, until it is told otherwise.
async fn closed_service() -> (FakeService, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let judge = open.clone();
    let service = FakeService::start(move |_| match judge.load(Ordering::Relaxed) {
        true => (200, ""),
        false => (500, "InternalServerError"),
    });
    (service.await, open)
}

async fn start_with(input: &str, service: &FakeService) -> TestGateway {
    start(&format!(
        "inputs: {{ {input}: {{ type: forward, listen: '127.0.0.1:0', full_timeout: 1s }} }}\n\
         destinations:\n  cloud: {{ endpoint: 'http://{}', project: demo-project, logstore: app-log, access_key_id: a, \
         access_key_secret: b, batch_age: 50ms, buffer: small }}\n  local: {{ batch_age: 50ms }}\n\
         default_destination: cloud\nlog_service: {{ enabled: true, listen: '127.0.0.1:0' }}\n\
         buffers: {{ small: {{ max_bytes: 256KiB, on_full: block }} }}\n\
         routes: [ {{ match: healthy, destination: local }} ]\nlimits: {{ stop_deadline: 1s }}",
        service.address
    ))
    .await
}

fn event(tag: &str, name: &str, bytes: usize, chunk: &str) -> Vec<u8> {
    let fields = [("n", name), ("log", &"x".repeat(bytes))];
    message(tag, 1_700_000_000, &fields, Some(chunk))
}

async fn queue(gateway: &TestGateway, key: &str) -> u64 {
    let status = gateway.status().await;
    let queues = status["destinations"].as_array().unwrap();
    let queue = queues.iter().find(|queue| queue["name"] == QUEUE);
    queue.and_then(|queue| queue[key].as_u64()).unwrap_or(0)
}

/// A line every time the last one is acknowledged, as Docker writes them, until the buffer has no room for one; returns
/// how many were sent, and the id of the last, which waits.
async fn fill(gateway: &TestGateway, stream: &mut TcpStream) -> (u64, String) {
    for sent in 0..100 {
        let id = docker_id(sent);
        stream.write_all(&event("stuck", &sent.to_string(), 16_000, &id)).await.unwrap();
        let mut answer = vec![0; ack(&id).len()];
        tokio::select! {
            biased;
            read = stream.read_exact(&mut answer) => {
                read.unwrap();
                assert_eq!(answer, ack(&id));
            }
            () = until("a blocked connection", async || queue(gateway, "blocked_connections").await > 0) => {
                return (sent + 1, id);
            }
        }
    }
    panic!("100 lines of 16 KB went into a buffer of 256 KiB");
}

#[tokio::test]
async fn fluentd_is_told_to_come_again_and_docker_waits() {
    let (service, open) = closed_service().await;
    let gateway = start_with("full-waits", &service).await;
    let (first, second) = (fluentd_id(1), fluentd_id(2));
    let mut fluentd = gateway.connect_to("full-waits").await;
    deliver(&mut fluentd, &event("stuck", "f1", 64_000, &first), &first).await;
    let mut docker = gateway.connect_to("full-waits").await;
    let (lines, waiting) = fill(&gateway, &mut docker).await;
    assert!(lines > 5, "blocked after {lines} lines");

    // What goes elsewhere, over the same input, is not held back.
    let mut healthy = gateway.connect_to("full-waits").await;
    for chunk in ["a", "b", "c"] {
        deliver(&mut healthy, &event("healthy", "h", 16_000, chunk), chunk).await;
    }
    gateway.wait_for("default", "n: h", 3).await;

    // Docker has waited longer than Fluentd when that is told "no": an empty map, and a close behind it.
    let chunk = event("stuck", "f2", 64_000, &second);
    fluentd.write_all(&chunk).await.unwrap();
    assert_eq!(read_to_close(&mut fluentd).await, b"\x80");
    let closed = [("input", "full-waits"), ("reason", "full")];
    gateway.wait_for_metric("sluicegate_input_closed_total", &closed, 1).await;
    assert_eq!(logged(&["full-waits", "full buffer"]).len(), 1);
    until("Docker alone to wait", async || queue(&gateway, "blocked_connections").await == 1).await;
    assert_eq!(gateway.status().await["healthy"], true);

    // Once there is room, the line that waited is stored and acknowledged, and so is the chunk when it comes again.
    open.store(true, Ordering::Relaxed);
    let last = ack(&waiting);
    assert_eq!(read(&mut docker, last.len()).await, last);
    deliver(&mut gateway.connect_to("full-waits").await, &chunk, &second).await;
    gateway.wait_until_delivered().await;
    let mut delivered: Vec<String> = service.accepted().iter().flat_map(|put| put.values("n")).collect();
    let mut expected: Vec<String> = (0..lines).map(|line| line.to_string()).collect();
    expected.extend(["f1".to_owned(), "f2".to_owned()]);
    delivered.sort();
    expected.sort();
    assert_eq!(delivered, expected, "each once");
    assert_eq!(gateway.metric("sluicegate_input_closed_total", &closed).await, 1);
    gateway.stop().await;
}

/// The bound belongs to the buffer: who connects for every chunk, as Fluentd does by default, does not get past it.
#[tokio::test]
async fn new_connections_do_not_pass_the_bound_of_a_full_buffer() {
    let (service, _) = closed_service().await;
    let gateway = start_with("full-anew", &service).await;
    let mut docker = gateway.connect_to("full-anew").await;
    fill(&gateway, &mut docker).await;
    let acked = async || gateway.metric("sluicegate_acks_total", &[("input", "full-anew")]).await;
    let before = acked().await;
    let mut senders = Vec::new();
    for number in 0..40 {
        let mut stream = gateway.connect_to("full-anew").await;
        let chunk = docker_id(1_000 + number);
        stream.write_all(&event("stuck", "more", 16_000, &chunk)).await.unwrap();
        senders.push(stream);
    }
    // Each was either taken or waits.
    until("an answer or a wait for each connection", async || {
        acked().await - before + queue(&gateway, "blocked_connections").await > 40
    })
    .await;
    let bytes = queue(&gateway, "buffered_bytes").await;
    assert!(bytes <= 384 << 10, "{bytes} bytes in a buffer of 256 KiB");
    gateway.stop().await;
}
