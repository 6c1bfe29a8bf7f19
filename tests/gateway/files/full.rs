//! A full buffer and files that rotate on meanwhile.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::volume::{Log, Volume, assert_each_once, count, delivered, numbers};
use crate::gateway::fake_service::FakeService;
use crate::gateway::harness::{TestGateway, start, start_in, until};

const ROTATIONS: usize = 25;
const LINES: usize = 200;

/// A service that refuses everything for now.
async fn closed() -> (FakeService, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let judge = open.clone();
    let service = FakeService::start(move |_| match judge.load(Ordering::Relaxed) {
        true => (200, ""),
        false => (500, "InternalServerError"),
    });
    (service.await, open)
}

fn config(service: &FakeService, volume: &Volume, input: &str) -> String {
    format!(
        "inputs:\n  {input}: {{ type: file, paths: {}, scan_interval: 1s }}\n{}\n\
         buffers: {{ small: {{ max_bytes: 256KiB, on_full: block }} }}\nlimits: {{ stop_deadline: 2s }}",
        volume.text("*.log"),
        service.destination("buffer: small")
    )
}

async fn is_blocked(gateway: &TestGateway) -> bool {
    let status = gateway.status().await;
    status["destinations"].as_array().unwrap().iter().any(|queue| queue["blocked_connections"] != 0)
}

async fn all_came(gateway: &TestGateway, service: &FakeService, open: &AtomicBool, log: &Log) {
    open.store(true, Ordering::Relaxed);
    until("all lines", async || count(service, "app-log") >= log.written).await;
    gateway.wait_until_delivered().await;
    let lines = &delivered(service, "log")["app-log"];
    assert_each_once(numbers(lines), log.written);
}

/// Files that stay are read one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_rotations_while_nothing_is_taken() {
    let volume = Volume::new();
    let (service, open) = closed().await;
    let mut log = volume.log("app.log");
    log.long_lines(5 * LINES, 1_000);
    let gateway = start(&config(&service, &volume, "rotates-kept")).await;
    until("a wait for room", async || is_blocked(&gateway).await).await;
    for _ in 0..ROTATIONS {
        log.rotate(ROTATIONS + 1);
        log.long_lines(LINES, 1_000);
    }
    all_came(&gateway, &service, &open, &log).await;
    gateway.stop().await;
}

/// Files that rotation removes are read all the same, since they are open: each was there until the gateway had it.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_rotations_that_keep_three() {
    let volume = Volume::new();
    let (service, open) = closed().await;
    let mut log = volume.log("app.log");
    log.long_lines(5 * LINES, 1_000);
    let gateway = start(&config(&service, &volume, "rotates-away")).await;
    until("a wait for room", async || is_blocked(&gateway).await).await;
    for _ in 0..ROTATIONS {
        log.rotate(3);
        log.long_lines(LINES, 1_000);
        until("the new file to be open", async || log.is_held()).await;
    }
    assert_eq!(fs::read_dir(log.path.parent().unwrap()).unwrap().count(), 4);
    assert!(is_blocked(&gateway).await && count(&service, "app-log") == 0);
    all_came(&gateway, &service, &open, &log).await;
    until("removed files to be closed", async || volume.open_files() <= 4).await;
    gateway.stop().await;
}

/// The gateway stops and starts again while nothing is taken.
#[tokio::test(flavor = "multi_thread")]
async fn rotations_over_restarts_while_nothing_is_taken() {
    let volume = Volume::new();
    let (service, open) = closed().await;
    let mut log = volume.log("app.log");
    log.long_lines(5 * LINES, 1_000);
    let config = config(&service, &volume, "rotates-restarts");
    let mut gateway = start(&config).await;
    for _ in 0..4 {
        until("a wait for room", async || is_blocked(&gateway).await).await;
        log.rotate(ROTATIONS);
        log.long_lines(LINES, 1_000);
        let dir = gateway.stop().await;
        log.rotate(ROTATIONS);
        log.long_lines(LINES, 1_000);
        gateway = start_in(dir, &config).await;
    }
    all_came(&gateway, &service, &open, &log).await;
    gateway.stop().await;
}
