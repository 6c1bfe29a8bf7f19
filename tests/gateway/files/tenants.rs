//! Tenants of one gateway: what one of them writes, or what Log Service makes of it, is not the other's trouble.
//!
//! `red` is the one that is in trouble and `blue` the one that must not notice: two logstores of one project, behind one
//! endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::volume::{Log, Volume, assert_each_once, count, delivered, noise, numbers};
use crate::gateway::fake_service::{FakeService, Put};
use crate::gateway::harness::{TestGateway, ack, message, read, read_to_close, start, until};
use crate::gateway::peers::{deliver, fluent_bit_id, fluentd_id};

/// A read's size: what a file gets as its turn.
const BLOCK: usize = 384 << 10;

/// A service that answers so for `red`, until it is told otherwise.
async fn refusing(answer: (u16, &'static str)) -> (FakeService, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let judge = open.clone();
    let service = FakeService::start(move |put| {
        if put.logstore == "red" && !judge.load(Ordering::Relaxed) { answer } else { (200, "") }
    });
    (service.await, open)
}

fn config(service: &FakeService, inputs: &str, on_full: &str) -> String {
    let destination = service.destination("buffer: small");
    format!(
        "inputs:\n{inputs}\n{destination}\nbuffers: {{ small: {{ max_bytes: 512KiB, on_full: {on_full} }} }}\n\
         routes:\n  - {{ match: '**.red', logstore: red }}\n  - {{ match: '**.blue', logstore: blue }}\n\
         limits: {{ stop_deadline: 1s }}"
    )
}

/// An input for each of the two, which reads one file.
fn inputs(volume: &Volume, name: &str, settings: [&str; 2]) -> String {
    let one = |(tenant, settings): (&str, &str)| {
        let path = volume.text(&format!("{tenant}.log"));
        format!("  {name}-{tenant}: {{ type: file, paths: {path}, tag: of.{tenant}, {settings} }}\n")
    };
    ["red", "blue"].into_iter().zip(settings).map(one).collect()
}

async fn queue(gateway: &TestGateway, logstore: &str, key: &str) -> u64 {
    let status = gateway.status().await;
    let queues = status["destinations"].as_array().unwrap();
    let queue = queues.iter().find(|queue| queue["name"] == format!("cloud/{logstore}"));
    queue.and_then(|queue| queue[key].as_u64()).unwrap_or(0)
}

/// How far a file was read.
async fn offset(gateway: &TestGateway, log: &Log) -> usize {
    let files = gateway.files().await;
    let file = files.iter().find(|file| file["path"] == log.path.to_str().unwrap());
    file.map_or(0, |file| file["offset"].as_u64().unwrap().try_into().unwrap())
}

/// Writes a line and waits until it is delivered, so often.
async fn goes_on(service: &FakeService, blue: &mut Log, lines: usize) {
    for _ in 0..lines {
        blue.lines(1);
        until("blue's line", async || count(service, "blue") == blue.written).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_logstore_holds_up_its_own_file_alone() {
    let answers = [
        (500, "InternalServerError"),
        (403, "WriteQuotaExceed"),
        (404, "LogStoreNotExist"),
        (401, "Unauthorized"),
    ];
    for (turn, answer) in answers.into_iter().enumerate() {
        let volume = Volume::new();
        let (service, open) = refusing(answer).await;
        let inputs = inputs(&volume, &format!("refused-{turn}"), ["", ""]);
        let gateway = start(&config(&service, &inputs, "block")).await;
        let (mut red, mut blue) = (volume.log("red.log"), volume.log("blue.log"));
        red.long_lines(4_000, 1_000);
        until("red's wait for room", async || queue(&gateway, "red", "blocked_connections").await > 0).await;
        goes_on(&service, &mut blue, 30).await;
        // Neither a rotation nor more lines of red change anything.
        red.rotate(5);
        red.long_lines(1_000, 1_000);
        goes_on(&service, &mut blue, 30).await;
        assert!(offset(&gateway, &red).await < 4_000_000);
        assert!(queue(&gateway, "red", "buffered_bytes").await < 2 << 20, "{answer:?}");
        assert_eq!(count(&service, "red"), 0);
        // Only what is tried again soon comes soon.
        if answer.0 == 500 {
            open.store(true, Ordering::Relaxed);
            until("all of red", async || count(&service, "red") >= red.written).await;
            gateway.wait_until_delivered().await;
            assert_each_once(numbers(&delivered(&service, "log")["red"]), red.written);
        }
        assert_each_once(numbers(&delivered(&service, "log")["blue"]), blue.written);
        gateway.stop().await;
    }
}

fn event(tenant: &str, number: u64, bytes: usize, chunk: &str) -> Vec<u8> {
    let line = format!("{number} {}", noise(number as usize, bytes));
    message(&format!("of.{tenant}"), 1_700_000_000, &[("log", &line)], Some(chunk))
}

/// Two tags on one connection: as long as there is room for the refused one, the other passes behind it; where there is
/// none, the connection ends after `full_timeout` for who comes again by itself, and that is the bound.
#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_of_one_connection() {
    let (service, open) = refusing((500, "InternalServerError")).await;
    let inputs = "  one-connection: { type: forward, listen: '127.0.0.1:0', full_timeout: 1s }";
    let gateway = start(&config(&service, inputs, "block")).await;
    let mut both = gateway.connect_to("one-connection").await;
    let said = |turn: u64| {
        let (tenant, bytes) = if turn.is_multiple_of(2) { ("red", 30_000) } else { ("blue", 10) };
        let chunk = fluentd_id(turn);
        (event(tenant, turn / 2, bytes, &chunk), chunk)
    };
    let mut turn = 0;
    loop {
        let (message, chunk) = said(turn);
        both.write_all(&message).await.unwrap();
        let mut answer = vec![0; ack(&chunk).len()];
        tokio::select! {
            biased;
            read = both.read_exact(&mut answer) => {
                read.unwrap();
                assert_eq!(answer, ack(&chunk));
            }
            () = until("a wait", async || queue(&gateway, "red", "blocked_connections").await > 0) => break,
        }
        turn += 1;
        until("blue's records", async || count(&service, "blue") as u64 == turn / 2).await;
    }
    assert!(turn > 20, "there was room for {turn}");
    // There is no room: blue's message is the one that waits, or stands behind the one of red that does.
    let (blue, blue_chunk) = said(turn | 1);
    if turn.is_multiple_of(2) {
        both.write_all(&blue).await.unwrap();
    }
    assert_eq!(read_to_close(&mut both).await, b"\x80");
    // The sender comes again, with each chunk by itself.
    deliver(&mut gateway.connect_to("one-connection").await, &blue, &blue_chunk).await;
    let each = turn as usize / 2 + 1;
    until("blue's record", async || count(&service, "blue") == each).await;
    assert_eq!(count(&service, "red"), 0);
    open.store(true, Ordering::Relaxed);
    if turn.is_multiple_of(2) {
        let (red, chunk) = said(turn);
        deliver(&mut gateway.connect_to("one-connection").await, &red, &chunk).await;
    }
    until("all of red", async || count(&service, "red") >= each).await;
    gateway.wait_until_delivered().await;
    let all = delivered(&service, "log");
    for tenant in ["red", "blue"] {
        assert_each_once(numbers(&all[tenant]), each);
    }
    gateway.stop().await;
}

/// On one connection of a peer that waits for ever, nothing waits where the full buffer gives up its oldest.
#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_of_one_connection_where_the_oldest_gives_way() {
    let (service, _) = refusing((500, "InternalServerError")).await;
    let inputs = "  one-evicts: { type: forward, listen: '127.0.0.1:0' }";
    let gateway = start(&config(&service, inputs, "evict_oldest")).await;
    let mut both = gateway.connect_to("one-evicts").await;
    for number in 0..60 {
        let chunk = fluent_bit_id(number);
        deliver(&mut both, &event("red", number, 30_000, &chunk), &chunk).await;
        let chunk = fluent_bit_id(1_000 + number);
        deliver(&mut both, &event("blue", number, 10, &chunk), &chunk).await;
    }
    until("blue's records", async || count(&service, "blue") == 60).await;
    assert!(queue(&gateway, "red", "evicted_records").await > 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_of_two_connections() {
    let (service, open) = refusing((500, "InternalServerError")).await;
    let inputs = "  two-connections: { type: forward, listen: '127.0.0.1:0' }";
    let gateway = start(&config(&service, inputs, "block")).await;
    let mut red = gateway.connect_to("two-connections").await;
    let mut blue = gateway.connect_to("two-connections").await;
    let messages: Vec<(Vec<u8>, String)> = (0..40)
        .map(|number| {
            let chunk = fluent_bit_id(number);
            (event("red", number, 30_000, &chunk), chunk)
        })
        .collect();
    let (mut reader, mut writer) = red.split();
    let expected: Vec<u8> = messages.iter().flat_map(|(_, chunk)| ack(chunk)).collect();
    let write = async {
        for (message, _) in &messages {
            writer.write_all(message).await.unwrap();
        }
    };
    let others = async {
        until("red's wait for room", async || queue(&gateway, "red", "blocked_connections").await > 0).await;
        for number in 0..60 {
            let chunk = fluent_bit_id(1_000 + number);
            deliver(&mut blue, &event("blue", number, 10, &chunk), &chunk).await;
            until("blue's record", async || count(&service, "blue") as u64 == number + 1).await;
        }
        assert!(queue(&gateway, "red", "blocked_connections").await > 0);
        open.store(true, Ordering::Relaxed);
    };
    let (acks, (), ()) = tokio::join!(read(&mut reader, expected.len()), write, others);
    assert_eq!(acks, expected);
    gateway.wait_until_delivered().await;
    assert_each_once(numbers(&delivered(&service, "log")["red"]), 40);
    gateway.stop().await;
}

/// A file of 100 MB is read while another gets a line now and then: each such line is stored before the large file was
/// read by more than so many blocks. Both in one input, whose turns go round, and in two.
#[tokio::test(flavor = "multi_thread")]
async fn a_noisy_file_delays_a_line_by_a_few_blocks() {
    const BYTES: usize = 100 << 20;
    const LINE: usize = 1_024;
    const BLOCKS: usize = 64;
    for inputs in ["one", "two"] {
        let volume = Volume::new();
        let service = FakeService::start(|_| (200, "")).await;
        let (mut red, mut blue) = (volume.log("red.log"), volume.log("blue.log"));
        red.long_lines(BYTES / LINE, LINE);
        let [first, second] = match inputs {
            "one" => [volume.text("*.log"), volume.text("nothing")],
            _ => [volume.text("red.log"), volume.text("blue.log")],
        };
        // One logstore and one series of requests, so that their order tells what was stored first.
        let gateway = start(&format!(
            "inputs:\n  noisy-{inputs}: {{ type: file, paths: '{first}', scan_interval: 1h }}\n  \
             quiet-{inputs}: {{ type: file, paths: '{second}', scan_interval: 1h }}\n{}\nlimits: {{ stop_deadline: 500ms }}",
            service.destination("in_flight: 1")
        ))
        .await;
        let mut befores = Vec::new();
        for line in 0..10 {
            until("the noisy file to be read", async || offset(&gateway, &red).await > line * BYTES / 20)
                .await;
            befores.push(offset(&gateway, &red).await);
            blue.lines(1);
        }
        assert!(offset(&gateway, &red).await < BYTES, "it was noisy all the time");
        let path = blue.path.to_str();
        let is_blue = |put: &Put| put.tag("__path__").as_deref() == path;
        // What came before each line of the noisy file.
        let noisy_before = || {
            let (mut bytes, mut found) = (0, Vec::new());
            service.look(|puts| {
                for put in puts {
                    match is_blue(put) {
                        true => found.extend(std::iter::repeat_n(bytes, put.records)),
                        false => bytes += put.records * LINE,
                    }
                }
            });
            found
        };
        until("the quiet lines", async || noisy_before().len() == blue.written).await;
        let delays = befores.iter().zip(noisy_before()).map(|(before, after)| after.saturating_sub(*before));
        let most = delays.max().unwrap() / BLOCK;
        assert!(most < BLOCKS, "{most} blocks of the noisy file came before a line of the other");
        println!(
            "{inputs} input(s): at most {most} blocks of 384 KiB of the noisy file before a line of the other"
        );
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_holds_back_its_own_input() {
    const RATE: usize = 64 << 10;
    let volume = Volume::new();
    let service = FakeService::start(|_| (200, "")).await;
    let (mut red, mut blue) = (volume.log("red.log"), volume.log("blue.log"));
    red.long_lines(10_240, 1_024);
    blue.long_lines(10_240, 1_024);
    let begin = Instant::now();
    let inputs = inputs(&volume, "rated", ["rate_limit: 64KiB", ""]);
    let gateway = start(&config(&service, &inputs, "block")).await;
    until("all of blue", async || count(&service, "blue") == blue.written).await;
    until("some of red", async || count(&service, "red") > 0).await;
    let read = offset(&gateway, &red).await;
    // However slow this machine is: no more than the time allows, one second's worth, and a block.
    let allowed = RATE * (begin.elapsed().as_secs() as usize + 2) + RATE;
    assert!(0 < read && read <= allowed && read < 10 << 20, "{read} bytes were read, {allowed} allowed");
    // Both go on.
    goes_on(&service, &mut blue, 5).await;
    until("more of red", async || offset(&gateway, &red).await > read).await;
    gateway.stop().await;
}
