//! Resources in files and on an API server: whose they are, what is told of them, what is written back.

use super::choice::{Broken, Chosen, Met, choose};
use super::{cluster, directory};
use crate::cluster::Kind;
use crate::cluster::testing::{ApiServer, status};
use crate::collection::context::SourceContext;
use crate::collection::identity::Identity;
use crate::collection::report::{Board, ConfigReport, State};
use crate::collection::{Found, Source};
use crate::config::collected::resource;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const LOG: Kind = Kind::LOG_CONFIG;
const PIPELINE: Kind = Kind::PIPELINE_CONFIG;

fn log_spec(name: &str, path: &str, groups: &[&str]) -> Value {
    json!({ "project": "my-project", "logstore": "access", "machineGroups": groups, "logtailConfig": {
        "inputType": "file", "configName": name,
        "inputDetail": { "logType": "common_reg_log", "logPath": path, "filePattern": "*.log" } } })
}

fn pipeline_spec(groups: &[&str]) -> Value {
    let groups: Vec<Value> = groups.iter().map(|name| json!({ "name": name })).collect();
    json!({ "project": { "name": "my-project" }, "machineGroups": groups, "config": {
        "inputs": [ { "Type": "input_file", "FilePaths": [ "/var/log/app/*.log" ] } ],
        "flushers": [ { "Type": "flusher_sls", "Logstore": "app-log" } ] } })
}

fn object(kind: &Kind, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": kind.api_version(), "kind": kind.name, "metadata": { "name": name }, "spec": spec })
}

fn names(found: &Found) -> Vec<String> {
    found.wanted.iter().map(|wanted| wanted.id()).collect()
}

/// The gateway around a source.
struct Surroundings {
    context: SourceContext,
    board: Arc<Board>,
    identity: watch::Sender<Arc<Identity>>,
    found: mpsc::Receiver<Found>,
    tasks: JoinSet<()>,
}

fn identity(ids: &[&str]) -> Arc<Identity> {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    Arc::new(Identity { ids, hostname: "node-1".to_owned(), addresses: Vec::new() })
}

impl Surroundings {
    fn new(source: Source, ids: &[&str]) -> Surroundings {
        let board = Arc::new(Board::new(&BTreeSet::from([source])));
        let (sender, found) = mpsc::channel(8);
        let (identity, known) = watch::channel(identity(ids));
        let (outcomes, stop) = (board.outcomes(), CancellationToken::new());
        let context = SourceContext { found: sender, identity: known, outcomes, stop, board: board.clone() };
        Surroundings { context, board, identity, found, tasks: JoinSet::new() }
    }

    fn follow(server: &ApiServer, ids: &[&str]) -> Surroundings {
        let mut surroundings = Surroundings::new(Source::Kubernetes, ids);
        let soon = Duration::from_millis(20);
        let settings = cluster::Settings {
            client: server.client(),
            namespace: None,
            project: None,
            manners: cluster::Manners {
                cluster: crate::cluster::Manners { pauses: (soon, soon), absent: soon, ..Default::default() },
                gather: Duration::from_millis(5),
                forbidden: soon,
                patience: soon,
                longest: soon,
                ..cluster::Manners::default()
            },
        };
        surroundings.tasks.spawn(cluster::run(settings, surroundings.context.clone()));
        surroundings
    }

    fn look(path: &Path, ids: &[&str]) -> Surroundings {
        let mut surroundings = Surroundings::new(Source::Directory, ids);
        let settings = directory::Settings {
            path: path.to_owned(),
            project: Some("own-project".to_owned()),
            interval: Duration::from_millis(10),
        };
        surroundings.tasks.spawn(directory::run(settings, surroundings.context.clone()));
        surroundings
    }

    /// The next set; who runs is told, as the manager does.
    async fn next(&mut self) -> Found {
        let found = self.found.recv().await.unwrap();
        self.board.heard(found.source);
        found
    }

    async fn expect(&mut self, expected: &[&str]) -> Found {
        let found = self.next().await;
        assert_eq!(names(&found), expected, "{found:?}");
        found
    }

    fn outcomes(&self, all: &[(&str, Result<&str, &str>)]) {
        let report = |(id, outcome): &(&str, Result<&str, &str>)| {
            let text = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
            ConfigReport {
                source: Source::Kubernetes,
                id: (*id).to_owned(),
                state: if outcome.is_ok() { State::Running } else { State::Refused },
                reasons: outcome.err().map(text).unwrap_or_default(),
                notes: outcome.ok().map(text).unwrap_or_default(),
            }
        };
        self.board.set(all.iter().map(report).collect());
    }

    async fn problem(&self, text: &str) {
        until(|| self.board.problems().iter().any(|problem| problem.contains(text))).await;
    }

    async fn no_problem(&self) {
        until(|| self.board.problems().is_empty()).await;
    }
}

async fn until(is_it: impl Fn() -> bool) {
    while !is_it() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn resources_are_ours_by_group_and_each_name_is_one() {
    let met = |place: &str, object: Value| Met {
        place: place.to_owned(),
        resource: resource::read(&object).map_err(|error| Broken::of(&object, error)),
    };
    let mut nowhere = log_spec("nowhere", "/var/log/n", &[]);
    nowhere.as_object_mut().unwrap().remove("project");
    let all = || {
        [
            met("a/any", object(&LOG, "any", log_spec("any", "/var/log/a", &[]))),
            met("a/mine", object(&LOG, "mine", log_spec("mine", "/var/log/b", &["web", "db"]))),
            met("a/cluster", object(&LOG, "cluster", log_spec("cluster", "/var/log/c", &["k8s-group-c1"]))),
            met("b/any", object(&LOG, "any", log_spec("any", "/var/log/d", &[]))),
            met("pipe", object(&PIPELINE, "pipe", pipeline_spec(&["db"]))),
            met("a/nowhere", object(&LOG, "nowhere", nowhere.clone())),
            met("a/bad", object(&LOG, "bad", json!({ "project": "my-project", "machineGroups": [ "db" ] }))),
        ]
    };
    let choose = |ids: &[&str], project: Option<&str>| {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let Chosen { found, places } = choose(Source::Directory, all(), &ids, project);
        let refused: Vec<String> =
            found.refused.iter().map(|(id, reasons)| format!("{id}: {}", reasons[0])).collect();
        assert_eq!(places.len(), found.wanted.len() + refused.len());
        (names(&found), refused)
    };
    let (wanted, refused) = choose(&["db"], None);
    assert_eq!(wanted, ["my-project.any", "my-project.mine", "my-project.pipe"]);
    assert!(
        refused[0].starts_with("my-project.any (b/any): metadata.name: a/any means the same"),
        "{refused:?}"
    );
    assert!(refused[1].starts_with("a/nowhere: spec.project: is missing"), "{refused:?}");
    assert!(refused[2].starts_with("my-project.bad: spec."), "{refused:?}");
    // A gateway without ids is the DaemonSet's; what others may have is not even complained of.
    let (wanted, refused) = choose(&[], Some("own-project"));
    assert_eq!(wanted, ["my-project.any", "my-project.cluster", "own-project.nowhere"]);
    assert_eq!(refused.len(), 1);
}

#[tokio::test]
async fn files_come_change_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, objects: &[Value]| {
        let text: Vec<String> = objects.iter().map(Value::to_string).collect();
        fs::write(dir.path().join(name), text.join("\n---\n")).unwrap();
    };
    let log = |name: &str, path: &str| object(&LOG, name, log_spec(name, path, &[]));
    write("a.yaml", &[log("one", "/var/log/1"), log("two", "/var/log/2")]);
    write("b.txt", &[log("other", "/var/log/3")]);
    fs::create_dir(dir.path().join("c.yaml")).unwrap();
    let mut gateway = Surroundings::look(dir.path(), &[]);
    gateway.expect(&["my-project.one", "my-project.two"]).await;
    write("d.json", &[object(&PIPELINE, "pipe", pipeline_spec(&[]))]);
    gateway.expect(&["my-project.one", "my-project.pipe", "my-project.two"]).await;
    // Of a file that is no YAML all stays; of one with a resource that is none, what that is is told by its id.
    fs::write(dir.path().join("a.yaml"), "kind: [").unwrap();
    let found = gateway.expect(&["my-project.one", "my-project.pipe", "my-project.two"]).await;
    assert_eq!(found.refused[0].0, "a.yaml");
    let mut bad = log("two", "/var/log/2");
    bad["spec"]["shardCount"] = json!(99);
    write("a.yaml", &[log("one", "/var/log/x"), bad]);
    let found = gateway.expect(&["my-project.one", "my-project.pipe"]).await;
    assert_eq!(found.refused[0].0, "my-project.two");
    assert!(found.refused[0].1[0].starts_with("spec.shardCount: "), "{:?}", found.refused);
    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    assert!(gateway.expect(&["my-project.pipe"]).await.refused.is_empty());
    fs::rename(dir.path(), dir.path().with_extension("away")).unwrap();
    gateway.problem("cannot be listed").await;
    fs::rename(dir.path().with_extension("away"), dir.path()).unwrap();
    gateway.expect(&["my-project.pipe"]).await;
    gateway.no_problem().await;
}

#[tokio::test]
async fn a_mounted_config_map_is_swapped_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let version = |name: &str, path: &str| {
        let own = dir.path().join(format!("..{name}"));
        fs::create_dir(&own).unwrap();
        let text = object(&LOG, "web", log_spec("web", path, &[])).to_string();
        fs::write(own.join("web.yaml"), text).unwrap();
        std::os::unix::fs::symlink(format!("..{name}"), dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    };
    version("v1", "/var/log/1");
    std::os::unix::fs::symlink("..data/web.yaml", dir.path().join("web.yaml")).unwrap();
    let mut gateway = Surroundings::look(dir.path(), &[]);
    let path = |found: &Found| found.wanted[0].body["inputDetail"]["logPath"].clone();
    assert_eq!(path(&gateway.expect(&["my-project.web"]).await), "/var/log/1");
    version("v2", "/var/log/2");
    assert_eq!(path(&gateway.expect(&["my-project.web"]).await), "/var/log/2");
}

#[tokio::test]
async fn resources_of_the_cluster_come_change_and_go_and_so_do_we() {
    let server = ApiServer::start().await;
    server.put(&LOG, Some("a"), "web", log_spec("web", "/var/log/1", &[]));
    server.put(&LOG, Some("a"), "theirs", log_spec("theirs", "/var/log/1", &["others"]));
    let mut gateway = Surroundings::follow(&server, &["mine"]);
    gateway.expect(&["my-project.web"]).await;
    server.put(&PIPELINE, None, "pipe", pipeline_spec(&["mine"]));
    gateway.expect(&["my-project.pipe", "my-project.web"]).await;
    server.put(&LOG, Some("a"), "web", log_spec("web", "/var/log/2", &[]));
    let found = gateway.expect(&["my-project.pipe", "my-project.web"]).await;
    assert_eq!(found.wanted[1].body["inputDetail"]["logPath"], "/var/log/2");
    server.remove(&LOG, Some("a"), "web");
    gateway.expect(&["my-project.pipe"]).await;
    // We are somebody else now.
    gateway.identity.send_replace(identity(&["others"]));
    gateway.expect(&["my-project.theirs"]).await;
}

#[tokio::test]
async fn a_server_that_is_away_ends_nothing() {
    let server = ApiServer::start().await;
    server.put(&LOG, Some("a"), "web", log_spec("web", "/var/log/1", &[]));
    server.fail("GET /", status(503, "ServiceUnavailable", "starts"));
    let mut gateway = Surroundings::follow(&server, &[]);
    gateway.problem("answers 503").await;
    assert!(gateway.found.try_recv().is_err());
    server.heal();
    gateway.expect(&["my-project.web"]).await;
    gateway.no_problem().await;
    server.fail("GET /", status(503, "ServiceUnavailable", "starts"));
    server.cut();
    gateway.problem("answers 503").await;
    server.remove(&LOG, Some("a"), "web");
    server.compact();
    server.heal();
    while !names(&gateway.next().await).is_empty() {}
    gateway.no_problem().await;
}

#[tokio::test]
async fn a_kind_that_is_missing_or_forbidden_holds_up_no_other() {
    let server = ApiServer::start().await;
    server.undefine(&PIPELINE);
    server.put(&LOG, Some("a"), "web", log_spec("web", "/var/log/1", &[]));
    let mut gateway = Surroundings::follow(&server, &[]);
    gateway.expect(&["my-project.web"]).await;
    gateway.no_problem().await;
    server.define(&PIPELINE);
    server.put(&PIPELINE, None, "pipe", pipeline_spec(&[]));
    while names(&gateway.next().await).len() < 2 {}
    drop(gateway);

    server.fail("GET /apis/telemetry", status(403, "Forbidden", "no"));
    let mut gateway = Surroundings::follow(&server, &[]);
    gateway.expect(&["my-project.web"]).await;
    gateway.problem("the verb list of clusteraliyunpipelineconfigs").await;
    server.heal();
    while names(&gateway.next().await).len() < 2 {}
    gateway.no_problem().await;
}

#[tokio::test]
async fn outcomes_are_written_back_once() {
    let server = ApiServer::start().await;
    server.put(&LOG, Some("a"), "web", log_spec("web", "/var/log/1", &[]));
    server.put(&PIPELINE, None, "pipe", pipeline_spec(&[]));
    server.put(&LOG, Some("a"), "bad", json!({ "project": "my-project" }));
    server.put(&LOG, Some("a"), "theirs", log_spec("theirs", "/var/log/1", &["others"]));
    let status_of = |kind: &Kind, name: &str| {
        let namespace = kind.is_namespaced.then_some("a");
        server.object(kind, namespace, name)["status"].clone()
    };
    let writes = || server.requests().iter().filter(|request| request.starts_with("PATCH ")).count();
    let mut gateway = Surroundings::follow(&server, &[]);
    while names(&gateway.next().await).len() < 2 {}
    gateway.outcomes(&[("my-project.web", Ok("")), ("my-project.pipe", Err("inputs[0].Type: is none"))]);
    until(|| status_of(&LOG, "web") == json!({ "status": "OK", "statusCode": 200 })).await;
    let refused = json!({ "success": false, "message": "inputs[0].Type: is none" });
    until(|| status_of(&PIPELINE, "pipe") == refused).await;
    until(|| status_of(&LOG, "bad")["statusCode"] == 400).await;
    let why = status_of(&LOG, "bad")["status"].as_str().unwrap().to_owned();
    assert!(why.contains("spec.logtailConfig: "), "{why}");
    assert_eq!((status_of(&LOG, "theirs"), writes()), (Value::Null, 3));

    // What is applied replaces what was.
    gateway.outcomes(&[("my-project.web", Ok("")), ("my-project.pipe", Ok("a note"))]);
    until(|| status_of(&PIPELINE, "pipe")["success"] == true).await;
    let mut spec = pipeline_spec(&[]);
    spec["config"]["sample"] = json!("x");
    for spec in [spec, pipeline_spec(&[])] {
        server.put(&PIPELINE, None, "pipe", spec.clone());
        until(|| status_of(&PIPELINE, "pipe")["lastAppliedConfig"]["config"] == spec["config"]).await;
    }
    let status = status_of(&PIPELINE, "pipe");
    assert_eq!(
        (&status["message"], &status["lastAppliedConfig"]["project"]),
        (&json!("a note"), &json!("my-project"))
    );

    // Another gateway finds it done, and does not contradict a third.
    let before = writes();
    let mut other = Surroundings::follow(&server, &[]);
    while names(&other.next().await).len() < 2 {}
    other.outcomes(&[("my-project.web", Ok("")), ("my-project.pipe", Ok("a note"))]);
    let client = server.client();
    client.patch_status(&LOG, Some("a"), "web", &json!({ "status": "of a third" })).await.unwrap();
    server.put(&LOG, Some("a"), "more", log_spec("more", "/var/log/1", &[]));
    gateway.outcomes(&[
        ("my-project.more", Ok("")),
        ("my-project.web", Ok("")),
        ("my-project.pipe", Ok("a note")),
    ]);
    until(|| status_of(&LOG, "more")["statusCode"] == 200).await;
    assert_eq!(status_of(&LOG, "web")["status"], "of a third");
    assert!(writes() <= before + 2 + 1, "{:?}", server.requests());
}

#[tokio::test]
async fn a_missing_right_to_write_statuses_is_said_and_all_else_goes_on() {
    let server = ApiServer::start().await;
    server.put(&LOG, Some("a"), "web", log_spec("web", "/var/log/1", &[]));
    server.fail("PATCH /", status(403, "Forbidden", "no"));
    let mut gateway = Surroundings::follow(&server, &[]);
    gateway.expect(&["my-project.web"]).await;
    gateway.outcomes(&[("my-project.web", Ok(""))]);
    gateway.problem("the verb patch of aliyunlogconfigs/status").await;
    server.put(&LOG, Some("a"), "more", log_spec("more", "/var/log/1", &[]));
    while names(&gateway.next().await).len() < 2 {}
    server.heal();
    until(|| server.object(&LOG, Some("a"), "web")["status"]["statusCode"] == 200).await;
    gateway.no_problem().await;
}
