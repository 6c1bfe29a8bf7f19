//! What is listed, watched and written, and what becomes of each answer.

use super::testing::{ApiServer, status};
use super::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

fn manners() -> Manners {
    let soon = Duration::from_millis(10);
    Manners { pauses: (soon, soon), absent: soon, ..Manners::default() }
}

/// One that follows, and what it is told.
struct Listener {
    changes: mpsc::Receiver<Change>,
    _task: JoinSet<()>,
}

impl Listener {
    fn start(server: &ApiServer, kind: Kind, namespace: Option<&'static str>, manners: Manners) -> Listener {
        let (told, changes) = mpsc::channel(4);
        let client = Arc::new(server.client());
        let mut task = JoinSet::new();
        task.spawn(async move { follow(&client, &kind, namespace, manners, &told).await });
        Listener { changes, _task: task }
    }

    async fn next(&mut self) -> String {
        let name = |object: &Value| {
            let metadata = &object["metadata"];
            assert!(metadata["managedFields"].is_null(), "{object}");
            format!("{}={}", metadata["name"].as_str().unwrap(), object["spec"])
        };
        match self.changes.recv().await.unwrap() {
            Change::All(items) => format!("all {}", items.iter().map(name).collect::<Vec<_>>().join(" ")),
            Change::Put(object) => format!("put {}", name(&object)),
            Change::Gone(object) => format!("gone {}", name(&object)),
            Change::Failed(error) => format!("failed {error}"),
            Change::Well => "well".to_owned(),
        }
    }

    async fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            let told = self.next().await;
            let mut parts = expected.split("...");
            let is_it = if expected.contains("...") {
                parts.all(|part| told.contains(part))
            } else {
                told == *expected
            };
            assert!(is_it, "{told}, not {expected}");
        }
    }
}

const LOG: Kind = Kind::LOG_CONFIG;

fn put(server: &ApiServer, name: &str, spec: u64) {
    server.put(&LOG, Some("a"), name, json!(spec));
}

fn count(server: &ApiServer, start: &str) -> usize {
    server.requests().iter().filter(|request| request.starts_with(start)).count()
}

/// Waits until what was listed is watched.
async fn watched(server: &ApiServer) {
    while server.requests().last().is_none_or(|request| !request.starts_with(WATCH)) {
        tokio::task::yield_now().await;
    }
}

const LIST: &str = "GET /apis/log.alibabacloud.com/v1alpha1/aliyunlogconfigs?limit";
const WATCH: &str = "GET /apis/log.alibabacloud.com/v1alpha1/aliyunlogconfigs?watch";

#[tokio::test]
async fn all_is_listed_once_and_changes_come_by_themselves() {
    let server = ApiServer::start().await;
    put(&server, "x", 1);
    let mut listener = Listener::start(&server, LOG, None, manners());
    listener.expect(&["all x=1"]).await;
    put(&server, "y", 2);
    put(&server, "x", 3);
    server.remove(&LOG, Some("a"), "y");
    server.put(&Kind::PIPELINE_CONFIG, None, "other", json!(0));
    put(&server, "z", 4);
    listener.expect(&["put y=2", "put x=3", "gone y=2", "put z=4"]).await;
    // A watch that ends, by the server or on its way, goes on where it was.
    server.cut();
    put(&server, "z", 5);
    listener.expect(&["put z=5"]).await;
    assert_eq!(count(&server, LIST), 1);
}

#[tokio::test]
async fn one_namespace_is_asked_for_alone() {
    let server = ApiServer::start().await;
    put(&server, "x", 1);
    server.put(&LOG, Some("b"), "y", json!(2));
    let mut listener = Listener::start(&server, LOG, Some("b"), manners());
    listener.expect(&["all y=2"]).await;
    put(&server, "x", 3);
    server.put(&LOG, Some("b"), "y", json!(4));
    listener.expect(&["put y=4"]).await;
    assert_eq!(count(&server, LIST), 0);
}

#[tokio::test]
async fn long_lists_come_in_pages_even_when_the_server_forgets_them() {
    let server = ApiServer::start().await;
    for number in 0..600 {
        put(&server, &format!("x{number:03}"), number);
    }
    let mut listener = Listener::start(&server, LOG, None, manners());
    let all = listener.next().await;
    assert_eq!(all.split(' ').count(), 601);
    assert_eq!(count(&server, LIST), 3);
    let (gone, reason) = status(410, "Expired", "too old");
    server.fail(&format!("{LIST}=250&continue="), (gone, reason));
    let mut other = Listener::start(&server, LOG, None, manners());
    while count(&server, LIST) < 3 + 2 + 2 {
        tokio::task::yield_now().await;
    }
    server.heal();
    assert_eq!(other.next().await, all);
}

#[tokio::test]
async fn what_is_forgotten_is_listed_again() {
    let server = ApiServer::start().await;
    put(&server, "x", 1);
    let mut listener = Listener::start(&server, LOG, None, manners());
    listener.expect(&["all x=1"]).await;
    watched(&server).await;
    // By a status instead of an answer.
    server.fail(WATCH, status(503, "ServiceUnavailable", "starts"));
    server.cut();
    listener.expect(&["failed ...answers 503 to `watch` of aliyunlogconfigs: starts..."]).await;
    server.heal();
    put(&server, "y", 2);
    server.remove(&LOG, Some("a"), "x");
    server.compact();
    let mut told = listener.next().await;
    while told.starts_with("failed") || told == "all x=1" {
        told = listener.next().await;
    }
    assert_eq!(told, "all y=2");
    // By a line in the middle of a watch.
    for line in [
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}}\n",
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":500,\"message\":\"etcd\"}}\n",
        "{\"type\":\n",
    ] {
        watched(&server).await;
        let lists = count(&server, LIST);
        server.say(line);
        let mut told = listener.next().await;
        if told.starts_with("failed") {
            assert!(told.contains("etcd") || told.contains("with what is none"), "{told}");
            told = listener.next().await;
        }
        assert_eq!((told.as_str(), count(&server, LIST)), ("all y=2", lists + 1));
    }
    watched(&server).await;
    put(&server, "z", 3);
    listener.expect(&["put z=3"]).await;
}

#[tokio::test]
async fn bookmarks_carry_a_quiet_watch_over_a_compaction() {
    let server = ApiServer::start().await;
    server.bookmark_every(Duration::from_millis(5));
    let quick = Manners { quiet: Duration::from_millis(300), ..manners() };
    let mut listener = Listener::start(&server, LOG, None, quick);
    listener.expect(&["all "]).await;
    server.put(&Kind::PIPELINE_CONFIG, None, "other", json!(0));
    while count(&server, WATCH) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.compact();
    server.cut();
    while count(&server, WATCH) < 2 {
        tokio::task::yield_now().await;
    }
    put(&server, "x", 1);
    listener.expect(&["put x=1"]).await;
    assert_eq!(count(&server, LIST), 1);
    // A silent one is left.
    server.bookmark_every(Duration::from_secs(60));
    server.cut();
    let watches = count(&server, WATCH);
    while count(&server, WATCH) < watches + 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(count(&server, LIST), 1);
}

#[tokio::test]
async fn what_is_not_there_or_forbidden_is_said_and_looked_for_again() {
    let server = ApiServer::start().await;
    server.undefine(&LOG);
    let mut listener = Listener::start(&server, LOG, None, manners());
    listener.expect(&["failed ...answers 404: it has no aliyunlogconfigs..."]).await;
    server.define(&LOG);
    let said = "User \"system:serviceaccount:a:b\" cannot list resource \"aliyunlogconfigs\"";
    server.fail("GET /", status(403, "Forbidden", said));
    let mut told = listener.next().await;
    while told.contains("404") || told.starts_with("all") {
        told = listener.next().await;
    }
    assert!(told.contains(said) && told.contains("the verb list of aliyunlogconfigs"), "{told}");
    server.heal();
    put(&server, "x", 1);
    while listener.next().await != "all x=1" {}
    watched(&server).await;
    server.say(&format!("{{\"type\":\"ADDED\",\"object\":\"{}", "x".repeat(4 << 20)));
    listener
        .expect(&["failed ...`watch` of aliyunlogconfigs with more than 4194304 bytes...", "all x=1"])
        .await;
}

#[tokio::test]
async fn statuses_are_written_and_manifests_applied() {
    let server = ApiServer::start().await;
    let client = server.client();
    put(&server, "x", 1);
    let write = |status: Value| {
        let client = &client;
        async move { client.patch_status(&LOG, Some("a"), "x", &status).await }
    };
    assert!(write(json!({ "status": "OK", "statusCode": 200 })).await.unwrap());
    assert!(write(json!({ "status": "bad" })).await.unwrap());
    let object = server.object(&LOG, Some("a"), "x");
    assert_eq!(object["status"], json!({ "status": "bad", "statusCode": 200 }));
    assert_eq!((&object["spec"], &object["metadata"]["generation"]), (&json!(1), &json!(1)));
    assert!(!client.patch_status(&LOG, Some("a"), "none", &json!({})).await.unwrap());
    server.fail("PATCH /", status(403, "Forbidden", "no"));
    let error = write(json!({})).await.unwrap_err();
    assert!(error.is_of_request());
    let text = error.to_string();
    assert!(text.contains("the verb patch of aliyunlogconfigs/status"), "{text}");
    server.heal();

    let manifest = json!({ "apiVersion": "log.alibabacloud.com/v1alpha1", "kind": "AliyunLogConfig",
        "metadata": { "name": "y", "namespace": "a" }, "spec": 7 });
    assert!(client.apply(&manifest).await.unwrap());
    assert!(!client.apply(&manifest).await.unwrap());
    assert_eq!(server.object(&LOG, Some("a"), "y")["spec"], json!(7));
    assert!(
        server
            .requests()
            .last()
            .unwrap()
            .ends_with("/a/aliyunlogconfigs/y?fieldManager=sluicegate&force=true")
    );
    assert!(client.delete(&manifest).await.unwrap());
    assert!(!client.delete(&manifest).await.unwrap());
    let got: Option<Value> = client.get(&LOG, Some("a"), "y").await.unwrap();
    assert!(got.is_none());
    server.undefine(&LOG);
    assert!(client.apply(&manifest).await.unwrap_err().to_string().contains("404"));
    assert!(client.apply(&json!({ "kind": "Node" })).await.unwrap_err().is_of_request());
}
