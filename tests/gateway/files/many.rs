//! Thousands of files of which few are written.

use std::fs;

use super::program::{Program, command, quoted};
use super::volume::{Log, Volume, assert_each_once, count, delivered};
use crate::gateway::fake_service::FakeService;
use crate::gateway::harness::{start, start_in, until};

const FILES: usize = 2_000;
const ACTIVE: usize = 20;
/// What an input holds open where the machine allows it, and those that are being read.
const OPEN: usize = 1_024 + 8;

fn logs(volume: &Volume) -> Vec<Log> {
    (0..FILES).map(|file| volume.log(&format!("{}/{file}.log", file % 50))).collect()
}

/// Lines are numbered over all files.
fn put(log: &Log, next: &mut usize, lines: usize) {
    let text: String = (*next..*next + lines).map(|number| format!("{number}\n")).collect();
    *next += lines;
    log.put(text);
}

fn config(service: &FakeService, volume: &Volume, input: &str) -> String {
    format!(
        "inputs:\n  {input}: {{ type: file, paths: {}, scan_interval: 1s }}\n{}",
        volume.text("**/*.log"),
        service.destination("")
    )
}

async fn all_came(service: &FakeService, lines: usize) {
    until("all lines", async || count(service, "app-log") >= lines).await;
}

fn assert_all(service: &FakeService, lines: usize) {
    let delivered = &delivered(service, "log")["app-log"];
    assert_each_once(delivered.iter().map(|line| line.parse().unwrap()).collect(), lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_files_of_which_twenty_are_written() {
    let volume = Volume::new();
    let service = FakeService::start(|_| (200, "")).await;
    let logs = logs(&volume);
    let mut next = 0;
    for log in &logs {
        put(log, &mut next, 1);
    }
    let config = config(&service, &volume, "many-files");
    let gateway = start(&config).await;
    all_came(&service, next).await;
    for _ in 0..10 {
        for log in logs.iter().step_by(FILES / ACTIVE) {
            put(log, &mut next, 25);
        }
        all_came(&service, next).await;
    }
    let found = [("input", "many-files")];
    assert_eq!(gateway.metric("sluicegate_files_found", &found).await, FILES as u64);
    until("fewer open files", async || volume.open_files() <= OPEN).await;
    // Another run begins with all of them, and reads what was written meanwhile and nothing again.
    let dir = gateway.stop().await;
    assert_eq!(volume.open_files(), 0);
    for log in logs.iter().step_by(FILES / ACTIVE) {
        put(log, &mut next, 25);
    }
    let gateway = start_in(dir, &config).await;
    all_came(&service, next).await;
    put(&logs[1], &mut next, 1);
    all_came(&service, next).await;
    assert!(volume.open_files() <= 2 * ACTIVE, "{} files are open", volume.open_files());
    gateway.wait_until_delivered().await;
    assert_all(&service, next);
    gateway.stop().await;
}

/// A process that may open few files reads them all, and never holds many.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_files_with_a_small_limit() {
    let volume = Volume::new();
    let service = FakeService::start(|_| (200, "")).await;
    let logs = logs(&volume);
    let mut next = 0;
    for log in &logs {
        put(log, &mut next, 1);
    }
    let own = tempfile::tempdir().unwrap();
    let file = own.path().join("sluicegate.yaml");
    let text = format!("operations: {{ listen: '127.0.0.1:0' }}\n{}", config(&service, &volume, "few-open"));
    fs::write(&file, text).unwrap();
    let program = command(&[], []).get_program().to_owned();
    let run = format!(
        "ulimit -n 256; exec {} run --config {} --data-dir {}",
        quoted(program),
        quoted(&file),
        quoted(own.path().join("data"))
    );
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", &run]).env_clear();
    let gateway = Program::spawn(shell).await;
    let mut most = 0;
    let below = volume.path("");
    all_came(&service, next).await;
    for _ in 0..10 {
        for log in logs.iter().step_by(FILES / ACTIVE) {
            put(log, &mut next, 25);
        }
        most = most.max(gateway.open_files(&below));
        all_came(&service, next).await;
    }
    assert!(most < 128, "{most} files are open");
    println!("{most} of 2000 files open at most, of 256 that may be");
    gateway.stop().await;
    assert_all(&service, next);
}
