//! What others say is to be collected comes, changes and goes while the gateway runs.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sluicegate::collection::{Form, Found, Outcome, Source, Wanted};

use super::fake_service::FakeService;
use super::files::volume::{Volume, assert_each_once, count, delivered, numbers, texts};
use super::harness::{EMBEDDED, TestGateway, start, start_in, until};

/// A source that is never reached by itself, so that the test is it.
const SOURCE: &str =
    "kubernetes: { server: 'https://127.0.0.1:9', token_file: /nowhere/token, ca_file: /nowhere/ca }";

fn embedded() -> String {
    format!("{EMBEDDED}\ncollection: {{ {SOURCE}, interval: 5s }}")
}

/// Records go to this service.
fn to(service: &FakeService) -> String {
    format!(
        "inputs: {{}}\ncollection: {{ {SOURCE}, destination: {{ endpoint: 'http://{}', access_key_id: i, access_key_secret: s, \
         batch_age: 50ms, auto_create: false }} }}",
        service.address
    )
}

/// A configuration that reads these files of the volume line by line.
fn config(volume: &Volume, name: &str, pattern: &str, logstore: &str) -> Wanted {
    Wanted {
        source: Source::Kubernetes,
        project: "sluicegate".to_owned(),
        name: name.to_owned(),
        form: Form::Classic,
        body: json!({
            "configName": name,
            "inputType": "file",
            "inputDetail": {
                "logType": "common_reg_log", "logPath": volume.text(""), "filePattern": pattern, "regex": "(.*)",
                "key": ["content"], "timeFormat": "", "topicFormat": "none", "localStorage": true, "maxDepth": 0,
                "tailExisted": true,
            },
            "outputType": "LogService",
            "outputDetail": { "logstoreName": logstore },
        }),
        group_topic: None,
        logstores: Vec::new(),
    }
}

/// One that nobody can honour.
fn broken(volume: &Volume, name: &str) -> Wanted {
    let mut config = config(volume, name, "x.log", "xxx");
    config.body["inputDetail"] = json!({ "logType": "common_reg_log" });
    config
}

impl TestGateway {
    /// The source says what it wants, and it is looked at.
    async fn want(&self, wanted: &[&Wanted]) {
        let context = self.gateway.collection().unwrap();
        let wanted: Vec<Wanted> = wanted.iter().map(|one| (*one).clone()).collect();
        let ids: HashSet<String> = wanted.iter().map(Wanted::id).collect();
        context.found.send(Found { refused: Vec::new(), source: Source::Kubernetes, wanted }).await.unwrap();
        let outcomes = context.outcomes;
        until("the outcomes", async || {
            let now: HashSet<String> = outcomes.borrow().keys().map(|(_, id)| id.clone()).collect();
            now == ids
        })
        .await;
    }

    async fn config_states(&self) -> HashMap<String, (String, Value)> {
        let status = self.status().await;
        let configs = status["collection"]["configs"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        configs.iter().map(|one| (text(&one["id"]), (text(&one["state"]), one["reasons"].clone()))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_comes_and_goes_for_itself() {
    let volume = Volume::new();
    let (mut one, mut two) = (volume.log("one.log"), volume.log("two.log"));
    let (first, second) =
        (config(&volume, "first", "one*.log", "first"), config(&volume, "second", "two*.log", "second"));
    let gateway = start(&embedded()).await;
    one.lines(10);
    gateway.want(&[&first, &second]).await;
    two.lines(10);
    gateway.wait_for("first", "*", 10).await;
    gateway.wait_for("second", "*", 10).await;
    until("the file to be held", async || two.is_held()).await;
    // One goes, the other does not even let its file go.
    gateway.want(&[&second]).await;
    until("the file to be let go", async || !one.is_held()).await;
    assert!(two.is_held());
    one.lines(5);
    two.lines(5);
    gateway.wait_for("second", "*", 15).await;
    assert_eq!(gateway.query("first", "*").await.len(), 10);
    // It comes back and goes on where it was; then it goes elsewhere.
    gateway.want(&[&first, &second]).await;
    gateway.wait_for("first", "*", 15).await;
    let elsewhere = config(&volume, "first", "one*.log", "third");
    gateway.want(&[&elsewhere, &second]).await;
    until("the new version to have the file", async || {
        let files = gateway.files().await;
        !gateway.status().await["collection"]["configs"].is_null()
            && files.iter().any(|file| file["input"] == "sluicegate.first")
    })
    .await;
    while gateway.query("third", "*").await.is_empty() {
        one.lines(1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(two.is_held());
    let dir = gateway.stop().await;
    // Nobody says anything, and it goes on.
    one.lines(5);
    let gateway = start_in(dir, &embedded()).await;
    assert_eq!(gateway.config_states().await["sluicegate.first"].0, "running");
    until("all lines", async || {
        let (first, third) = (gateway.query("first", "*").await, gateway.query("third", "*").await);
        first.len() + third.len() >= one.written
    })
    .await;
    gateway.wait_until_delivered().await;
    let mut lines = texts(&gateway.query("first", "*").await, "content");
    lines.extend(texts(&gateway.query("third", "*").await, "content"));
    assert_each_once(numbers(&lines), one.written);
    assert_each_once(numbers(texts(&gateway.query("second", "*").await, "content")), 15);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_honoured_is_told_and_its_last_good_version_runs() {
    let volume = Volume::new();
    let mut log = volume.log("one.log");
    let (good, bad) = (config(&volume, "app", "one.log", "app-log"), broken(&volume, "app"));
    let gateway = start(&embedded()).await;
    let outcomes = gateway.gateway.collection().unwrap().outcomes;
    let refused = || {
        let key = (Source::Kubernetes, "sluicegate.app".to_owned());
        matches!(outcomes.borrow().get(&key), Some(Outcome::Refused { .. }))
    };
    gateway.want(&[&bad]).await;
    assert!(refused());
    assert_eq!(gateway.config_states().await["sluicegate.app"].0, "refused");
    gateway.want(&[&good]).await;
    until("a good version", async || !refused()).await;
    log.lines(3);
    gateway.wait_for("app-log", "*", 3).await;
    gateway.want(&[&bad]).await;
    until("a bad version", async || refused()).await;
    let (state, reasons) = gateway.config_states().await.remove("sluicegate.app").unwrap();
    assert_eq!(state, "stale");
    assert!(reasons[0].as_str().unwrap().contains("inputDetail"), "{reasons}");
    log.lines(3);
    gateway.wait_for("app-log", "*", 6).await;
    let problems = gateway.status().await["problems"].to_string();
    assert!(problems.contains("sluicegate.app is refused, its last good version runs: "), "{problems}");
    gateway.want(&[]).await;
    let told = gateway.wait_for("config-operation-log", "*", 4).await;
    let states: Vec<&str> = told.iter().map(|record| record["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["refused", "running", "stale", "removed"]);
    assert!(told.iter().all(|record| record["config"] == "app" && record["source"] == "kubernetes"));
    assert!(told[2]["reason"].as_str().unwrap().contains("inputDetail"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_delivered_when_nobody_collects_it_any_more() {
    let volume = Volume::new();
    let mut log = volume.log("one.log");
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let service =
        FakeService::start(
            move |_| {
                if gate.load(Ordering::SeqCst) { (200, "") } else { (503, "ServerBusy") }
            },
        )
        .await;
    let app = config(&volume, "app", "one.log", "app-log");
    let gateway = start(&to(&service)).await;
    gateway.want(&[&app]).await;
    log.lines(20);
    service.wait(|puts| !puts.is_empty()).await;
    gateway.want(&[]).await;
    until("its input to end", async || gateway.files().await.is_empty()).await;
    // Once without a restart in between, once with one.
    let gateway = start_in(gateway.stop().await, &to(&service)).await;
    assert!(
        gateway.status().await["problems"]
            .as_array()
            .unwrap()
            .iter()
            .all(|problem| { !problem.as_str().unwrap().contains("no longer configured") })
    );
    open.store(true, Ordering::SeqCst);
    until("the lines", async || count(&service, "app-log") >= 20).await;
    gateway.wait_until_delivered().await;
    let shown = async || gateway.status().await["destinations"].to_string().contains("sluicegate.app");
    until("its sender to end", async || !shown().await).await;
    // It comes again, and its sender with it.
    log.lines(5);
    gateway.want(&[&app]).await;
    until("more lines", async || count(&service, "app-log") >= 25).await;
    gateway.want(&[]).await;
    until("its sender to end", async || !shown().await).await;
    gateway.want(&[&app]).await;
    log.lines(5);
    until("more lines", async || count(&service, "app-log") >= 30).await;
    gateway.stop().await;
    let lines = delivered(&service, "content").remove("app-log").unwrap();
    assert_each_once(numbers(lines), 30);
    let accepted = service.accepted();
    let packs: HashSet<String> = accepted.iter().map(|put| put.pack_id()).collect();
    assert_eq!(packs.len(), accepted.len(), "no number is given twice");
}

/// Versions come one behind the other while an application writes, and the gateway is stopped in between.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_versions_come_and_go() {
    let volume = Volume::new();
    let (mut log, mut other) = (volume.log("one.log"), volume.log("two.log"));
    let service = FakeService::start(|_| (200, "")).await;
    let neighbour = config(&volume, "neighbour", "two.log", "other-log");
    let version = |number: usize| {
        let mut version =
            config(&volume, "app", "one.log", if number.is_multiple_of(2) { "even-log" } else { "odd-log" });
        version.body["n"] = json!(number);
        version
    };
    let mut gateway = start(&to(&service)).await;
    for round in 0..3 {
        for number in 0..6 {
            log.lines(20);
            match number % 3 {
                2 => gateway.want(&[&neighbour]).await,
                _ => gateway.want(&[&version(round + number), &neighbour]).await,
            }
            other.lines(20);
            tokio::time::sleep(Duration::from_millis(20 * number as u64)).await;
        }
        gateway.want(&[&version(round), &neighbour]).await;
        log.lines(20);
        gateway = start_in(gateway.stop().await, &to(&service)).await;
    }
    let of = |logstore: &str| delivered(&service, "content").remove(logstore).unwrap_or_default();
    until("all lines", async || {
        of("even-log").len() + of("odd-log").len() >= log.written && of("other-log").len() >= other.written
    })
    .await;
    gateway.wait_until_delivered().await;
    gateway.stop().await;
    assert_each_once(numbers(of("even-log").into_iter().chain(of("odd-log"))), log.written);
    let others = numbers(of("other-log"));
    assert!(others.is_sorted(), "a neighbour's lines stay in order");
    assert_each_once(others, other.written);
    let accepted = service.accepted();
    let packs: HashSet<String> = accepted.iter().map(|put| put.pack_id()).collect();
    assert_eq!(packs.len(), accepted.len(), "no number is given twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_and_damaged_is_set_aside() {
    let volume = Volume::new();
    let mut log = volume.log("one.log");
    let app = config(&volume, "app", "one.log", "app-log");
    let gateway = start(&embedded()).await;
    gateway.want(&[&app]).await;
    log.lines(2);
    gateway.wait_for("app-log", "*", 2).await;
    let dir = gateway.stop().await;
    let kept = dir.path().join("data/collection.json");
    std::fs::write(&kept, "{").unwrap();
    let gateway = start_in(dir, &embedded()).await;
    assert!(
        gateway.config_states().await.is_empty()
            && Path::new(&format!("{}.damaged", kept.display())).exists()
    );
    log.lines(2);
    gateway.want(&[&app]).await;
    let found = gateway.wait_for("app-log", "*", 4).await;
    assert_each_once(numbers(texts(&found, "content")), 4);
    gateway.stop().await;
}

/// The buffer of the one is full and stays so; nobody else waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_buffer_holds_up_nobody_else() {
    let volume = Volume::new();
    let (mut log, mut other) = (volume.log("one.log"), volume.log("two.log"));
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let service = FakeService::start(move |put| {
        let is_open = put.logstore != "full-log" || gate.load(Ordering::SeqCst);
        if is_open { (200, "") } else { (503, "ServerBusy") }
    })
    .await;
    let (full, free) =
        (config(&volume, "full", "one.log", "full-log"), config(&volume, "free", "two.log", "free-log"));
    let elsewhere = config(&volume, "full", "one.log", "else-log");
    let text = format!("{}\nbuffers: {{ default: {{ max_bytes: 64KiB }} }}", to(&service));
    let gateway = start(&text).await;
    // Below the MiB that Logtail takes of a file that it meets.
    log.long_lines(2_000, 400);
    gateway.want(&[&full]).await;
    let is_full = async || {
        let files = gateway.files().await;
        let lag = files.first().map_or(0, |file| file["lag"].as_u64().unwrap());
        let status = gateway.status().await;
        let destinations = status["destinations"].as_array().unwrap();
        lag > 0 && destinations.iter().any(|one| one["buffered_bytes"].as_u64().unwrap() > 64 << 10)
    };
    until("a full buffer", is_full).await;
    // It changes and it goes while another one comes.
    gateway.want(&[&elsewhere]).await;
    gateway.want(&[&free]).await;
    other.lines(100);
    until("the other's lines", async || count(&service, "free-log") >= 100).await;
    gateway.want(&[&full, &free]).await;
    open.store(true, Ordering::SeqCst);
    let of = |logstore: &str| delivered(&service, "content").remove(logstore).unwrap_or_default();
    until("all lines", async || of("full-log").len() + of("else-log").len() >= 2_000).await;
    gateway.wait_until_delivered().await;
    gateway.stop().await;
    assert_each_once(numbers(of("full-log").into_iter().chain(of("else-log"))), 2_000);
    assert_each_once(numbers(of("free-log")), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_goes_on_with_what_is_collected() {
    let volume = Volume::new();
    let mut log = volume.log("one.log");
    let service = FakeService::start(|_| (200, "")).await;
    let app = config(&volume, "app", "one.log", "app-log");
    let mut gateway = start(&to(&service)).await;
    gateway.want(&[&app]).await;
    for _ in 0..3 {
        log.lines(50);
        until("lines", async || count(&service, "app-log") + 50 >= log.written).await;
        gateway = gateway.hand_over(&to(&service)).await;
        assert_eq!(gateway.config_states().await["sluicegate.app"].0, "running");
    }
    log.lines(50);
    until("all lines", async || count(&service, "app-log") >= log.written).await;
    gateway.wait_until_delivered().await;
    gateway.stop().await;
    assert_each_once(numbers(delivered(&service, "content").remove("app-log").unwrap()), log.written);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_identity_is_in_the_records_that_come_behind_it() {
    let volume = Volume::new();
    let mut log = volume.log("one.log");
    let ids = volume.path("user_defined_id");
    std::fs::write(&ids, "web\n").unwrap();
    let service = FakeService::start(|_| (200, "")).await;
    let file =
        format!("machine_groups: false, user_defined_id_file: {}, interval: 5s, {SOURCE}", ids.display());
    let app = config(&volume, "app", "one.log", "app-log");
    let gateway = start(&to(&service).replace(SOURCE, &file)).await;
    gateway.want(&[&app]).await;
    log.lines(5);
    let tagged = |id: &str, lines: usize| {
        let of_id = service
            .accepted()
            .into_iter()
            .filter(|put| put.tag("__user_defined_id__").as_deref() == Some(id));
        of_id.map(|put| put.records).sum::<usize>() >= lines
    };
    until("records", async || tagged("web", 5)).await;
    std::fs::write(&ids, "web\ndb\n").unwrap();
    let mut identity = gateway.gateway.collection().unwrap().identity;
    identity.mark_unchanged();
    if identity.borrow().ids.len() < 2 {
        tokio::time::timeout(Duration::from_secs(30), identity.changed()).await.unwrap().unwrap();
    }
    assert_eq!(identity.borrow().ids, ["web", "db"]);
    while !tagged("web,db", 1) {
        log.lines(1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    gateway.stop().await;
    assert_each_once(numbers(delivered(&service, "content").remove("app-log").unwrap()), log.written);
}
