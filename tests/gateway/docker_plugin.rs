//! The logging plugin into the Log Service: an engine played by the test, with its calls over the plugin's socket and a
//! FIFO for each container.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::drivers::{ID, IMAGE, NAME, assert_shape, long, stderr, stdout};
use super::harness::{EMBEDDED, TestGateway, start, start_in, until};
use super::http::{call, post};

/// The engine's side.
struct Engine {
    dir: tempfile::TempDir,
}

/// A container that the engine runs.
struct Container {
    fifo: PathBuf,
    /// Open for both, as the engine has it.
    output: File,
    info: Value,
}

impl Engine {
    fn new() -> Engine {
        Engine { dir: tempfile::tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("plugins/sluicegate.sock")
    }

    fn config(&self, settings: &str, routes: &str) -> String {
        let socket = self.socket();
        format!(
            "inputs: {{ docker_plugin: {{ socket: '{}', {settings} }} }}\n{EMBEDDED}\n{routes}",
            socket.display()
        )
    }

    /// `options`: what stands behind `--log-opt`.
    fn container(&self, fifo: &str, options: Value) -> Container {
        let fifo = self.dir.path().join(fifo);
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o700), 0).unwrap();
        let output = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        let info = json!({
            "Config": options, "ContainerID": ID, "ContainerName": format!("/{NAME}"), "ContainerImageName": IMAGE,
            "ContainerImageID": "sha256:c58e", "ContainerEnv": ["APP=prod", "SECRET=s"],
            "ContainerLabels": {"team": "core"}, "DaemonName": "docker",
        });
        Container { fifo, output, info }
    }

    async fn call(&self, method: &str, body: &Value) -> Value {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        // The engine sends an empty `Host`.
        let request = post(method, "", body.to_string().as_bytes());
        let request = String::from_utf8(request).unwrap().replacen("Host: x", "Host: ", 1);
        let (status, answer) = call(&mut stream, request.as_bytes()).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Gives what is wrong, as the engine would show it.
    async fn start(&self, container: &Container) -> String {
        let body = json!({"File": container.fifo, "Info": container.info});
        let answer = self.call("/LogDriver.StartLogging", &body).await;
        answer["Err"].as_str().unwrap().to_owned()
    }

    async fn run(&self, fifo: &str, options: Value) -> Container {
        let container = self.container(fifo, options);
        assert_eq!(self.start(&container).await, "");
        container
    }

    /// The container has ended.
    async fn end(&self, container: Container) {
        let answer = self.call("/LogDriver.StopLogging", &json!({"File": container.fifo})).await;
        assert_eq!(answer["Err"], "");
        drop(container.output);
        std::fs::remove_file(container.fifo).unwrap();
    }
}

impl Container {
    /// Waits while the FIFO is full.
    fn write(&mut self, bytes: &[u8]) {
        tokio::task::block_in_place(|| self.output.write_all(bytes).unwrap());
    }
}

/// What is kept of containers that are read.
fn states(gateway: &TestGateway) -> usize {
    let dir: &Path = &gateway.data().join("docker-plugin/docker_plugin");
    std::fs::read_dir(dir).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_s_lines_have_the_one_shape() {
    let engine = Engine::new();
    let gateway = start(&engine.config("", "")).await;
    assert_eq!(engine.call("/Plugin.Activate", &json!({})).await, json!({"Implements": ["LogDriver"]}));
    assert_eq!(engine.call("/LogDriver.Capabilities", &json!({})).await, json!({"Cap": {"ReadLogs": true}}));
    let mut container = engine.run("fifo", json!({"labels": "team", "env": "APP"})).await;
    let long = long();
    let lines = [stdout(0, "hello"), stderr(1, "oops"), stdout(2, ""), stdout(3, &long), stderr(4, "bye")];
    for line in &lines {
        container.write(&line.plugin());
    }
    assert_eq!(states(&gateway), 1);
    engine.end(container).await;
    until("the end of the container", async || states(&gateway) == 0).await;
    let found = gateway.wait_for("default", "*", lines.len()).await;
    for line in &lines {
        let record = found.iter().find(|record| record["log"] == line.log).unwrap();
        assert_shape(record, line);
        assert_eq!((record["team"].as_str(), record["APP"].as_str()), (Some("core"), Some("prod")));
        assert_eq!(
            (record["container_id"].as_str(), record["__topic__"].as_str()),
            (Some(ID), Some("docker.web-1"))
        );
        assert!(!record.contains_key("SECRET"));
    }
    gateway.stop().await;
    assert!(!engine.socket().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_s_options_win_over_routes() {
    let routes = "routes: [ { match: 'docker.**', logstore: 'routed-${record.source}', topic: 'of-${record.container_name}' } ]";
    let engine = Engine::new();
    let gateway = start(&engine.config("", routes)).await;
    let long = long();
    let options = [
        ("both", json!({"logstore": "wished", "topic": "mine"}), "wished", "mine"),
        ("logstore", json!({"logstore": "wished"}), "wished", "of-web-1"),
        ("topic", json!({"topic": "${not a template}"}), "routed-stdout", "${not a template}"),
        ("none", json!({}), "routed-stdout", "of-web-1"),
        // Another tag is no way around the container's own word.
        ("tag", json!({"tag": "{{.Name}}", "logstore": "wished", "topic": "tagged"}), "wished", "tagged"),
    ];
    let mut containers = Vec::new();
    for (name, options, ..) in &options {
        let mut options = options.clone();
        options["labels"] = "team".into();
        let mut container = engine.container(name, options);
        // Pieces are told apart by their container.
        container.info["ContainerID"] = format!("{:064x}", containers.len()).into();
        assert_eq!(engine.start(&container).await, "");
        let short = format!("short-{name}");
        container.write(&stdout(0, &short).plugin());
        container.write(&stdout(1, &format!("{name} {long}")).plugin());
        containers.push(container);
    }
    for (name, _, logstore, topic) in &options {
        // The joined line, which took another way, and the plain one.
        let count = options.iter().filter(|other| other.2 == *logstore).count();
        let found = gateway.wait_for(logstore, "*", 2 * count).await;
        let mine = |record: &&serde_json::Map<String, Value>| {
            let log = record["log"].as_str().unwrap();
            log == format!("short-{name}") || log.starts_with(&format!("{name} 0000000"))
        };
        let mine: Vec<_> = found.iter().filter(mine).collect();
        assert_eq!(mine.len(), 2, "{name}");
        for record in mine {
            assert_eq!(record["__topic__"], *topic, "{name}");
        }
    }
    for container in containers {
        engine.end(container).await;
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_parsed_and_wrong_options_are_refused() {
    let routes = "routes: [ { when: { container_name: web-1 }, logstore: web, processors: [ { parse: json, key: log } ] } ]";
    let engine = Engine::new();
    let gateway = start(&engine.config("tag: 'c.{{.ImageName}}'", routes)).await;
    for (options, what) in [
        (json!({"logstor": "x"}), "unknown log option"),
        (json!({"logstore": "No Name"}), "logstore"),
        (json!({"tag": "{{.Nmae}}"}), ".Nmae"),
        (json!({"env-regex": "("}), "env-regex"),
    ] {
        let container = engine.container(what, options);
        let said = engine.start(&container).await;
        assert!(said.contains(what), "{said}");
    }
    assert_eq!(states(&gateway), 0);
    let mut container = engine.run("fifo", json!({})).await;
    container.write(&stderr(0, r#"{"level":"warn","took":7,"container_name":"evil"}"#).plugin());
    let web = gateway.wait_for("web", "*", 1).await;
    assert_eq!((web[0]["level"].as_str(), web[0]["took"].as_str()), (Some("warn"), Some("7")));
    assert_eq!((web[0]["container_name"].as_str(), web[0]["source"].as_str()), (Some(NAME), Some("stderr")));
    assert_eq!(web[0]["__topic__"], format!("c.{IMAGE}"));
    engine.end(container).await;
    gateway.stop().await;
}

/// The container writes on while nobody reads; the engine says nothing of it again.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_lose_nothing_and_read_nothing_twice() {
    const RUNS: usize = 4;
    const EACH: usize = 200;
    let engine = Engine::new();
    let config = engine.config("join_timeout: 1m", "");
    let mut gateway = start(&config).await;
    let mut container = engine.run("fifo", json!({"topic": "kept"})).await;
    let long = long();
    let pieces = stderr(9_999, &long).plugin();
    // The border of a piece's entry, and a place inside the next one.
    let first = 4 + u32::from_be_bytes(*pieces.first_chunk().unwrap()) as usize;
    let borders = [0, first, first + 100, pieces.len(), pieces.len()];
    let mut number = 0;
    for run in 0..RUNS {
        let mut lines = |container: &mut Container| {
            for _ in 0..EACH {
                container.write(&stdout(number, &format!("line {number}")).plugin());
                number += 1;
            }
        };
        // Entries are written whole; only the long line's are cut here, and nothing comes between the parts.
        if run != 2 {
            lines(&mut container);
        }
        container.write(&pieces[borders[run]..borders[run + 1]]);
        let dir = gateway.stop().await;
        if run != 1 {
            lines(&mut container);
        }
        gateway = start_in(dir, &config).await;
    }
    engine.end(container).await;
    until("the end of the container", async || states(&gateway) == 0).await;
    gateway.wait_until_delivered().await;
    let count = number as usize + 1;
    let found = gateway.wait_for("default", "*", count).await;
    let mut logs: Vec<&str> = found.iter().map(|record| record["log"].as_str().unwrap()).collect();
    assert!(found.iter().all(|record| record["__topic__"] == "kept"));
    assert!(logs.contains(&&*long));
    logs.sort_unstable();
    logs.dedup();
    assert_eq!(logs.len(), count);
    gateway.stop().await;
}
