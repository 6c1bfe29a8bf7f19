//! The files of the json-file and local drivers into the Log Service: a data directory of an engine that the test plays.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::drivers::{ID, Line, NAME, assert_shape, container_dir, long, stderr, stdout};
use super::harness::{EMBEDDED, start, start_in};

const DRIVERS: [&str; 2] = ["json-file", "local"];

fn config(data_root: &Path, settings: &str, routes: &str) -> String {
    let root = data_root.display();
    format!(
        "inputs: {{ docker: {{ data_root: '{root}', scan_interval: 100ms, {settings} }} }}\n{EMBEDDED}\n{routes}"
    )
}

fn bytes(driver: &str, line: &Line<'_>) -> Vec<u8> {
    if driver == "local" { line.local() } else { line.json_file() }
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_s_lines_have_the_one_shape() {
    let long = long();
    let lines = [stdout(0, "hello"), stderr(1, "oops"), stdout(2, ""), stdout(3, &long), stderr(4, "bye")];
    for driver in DRIVERS {
        let root = tempfile::tempdir().unwrap();
        // One part was there before the gateway, the other comes while it looks.
        let file = container_dir(root.path(), driver);
        append(&file, &lines[..2].iter().flat_map(|line| bytes(driver, line)).collect::<Vec<_>>());
        let gateway = start(&config(root.path(), "labels: team, env: APP", "")).await;
        gateway.wait_for("default", "*", 2).await;
        append(&file, &lines[2..].iter().flat_map(|line| bytes(driver, line)).collect::<Vec<_>>());
        let found = gateway.wait_for("default", "*", lines.len()).await;
        for line in &lines {
            let record = found.iter().find(|record| record["log"] == line.log).unwrap();
            assert_shape(record, line);
            assert_eq!((record["team"].as_str(), record["APP"].as_str()), (Some("core"), Some("prod")));
            assert_eq!(record["container_id"], ID);
            assert_eq!(record["__topic__"], format!("docker.{NAME}"));
            assert!(!record.contains_key("SECRET") && !record.contains_key("other"), "{record:?}");
        }
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_conditions_of_routes_and_json_is_parsed() {
    let routes = "routes:\n  \
        - { match: '*.shop:1', when: { container_name: '/^web-[0-9]$/', source: stderr }, logstore: errors, topic: '${record.container_id}' }\n  \
        - { match: 'c.**', logstore: web, processors: [ { parse: json, key: log, prefix: 'app.' } ] }";
    for driver in DRIVERS {
        let root = tempfile::tempdir().unwrap();
        let gateway = start(&config(root.path(), "tag: 'c.{{.ImageName}}'", routes)).await;
        // The engine makes the directory while the gateway runs.
        let file = container_dir(root.path(), driver);
        let lines = [stdout(0, r#"{"level":"warn","took":7}"#), stderr(1, "oops"), stdout(2, "{not json")];
        append(&file, &lines.iter().flat_map(|line| bytes(driver, line)).collect::<Vec<_>>());
        let errors = gateway.wait_for("errors", "*", 1).await;
        assert_shape(&errors[0], &lines[1]);
        assert_eq!(errors[0]["__topic__"], ID);
        let web = gateway.wait_for("web", "*", 2).await;
        let parsed = web.iter().find(|record| record.contains_key("app.level")).unwrap();
        assert_eq!((parsed["app.level"].as_str(), parsed["app.took"].as_str()), (Some("warn"), Some("7")));
        assert_eq!(parsed["container_name"], NAME);
        let kept = web.iter().find(|record| record.contains_key("log")).unwrap();
        assert_shape(kept, &lines[2]);
        gateway.stop().await;
    }
}

/// The engine writes and rotates on while nobody reads, and a long line lies across a stop.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_lose_nothing_and_read_nothing_twice() {
    const RUNS: usize = 4;
    const EACH: usize = 150;
    let long = long();
    for driver in DRIVERS {
        let root = tempfile::tempdir().unwrap();
        let file = container_dir(root.path(), driver);
        let config = config(root.path(), "join_timeout: 1m", "");
        let mut number = 0;
        let mut lines = || -> Vec<u8> {
            let mut out = Vec::new();
            for _ in 0..EACH {
                out.extend(bytes(driver, &stdout(number, &format!("line {number}"))));
                number += 1;
            }
            out
        };
        let mut gateway = start(&config).await;
        let split = stderr(9_999, &long);
        let split = bytes(driver, &split);
        for run in 0..RUNS {
            match run {
                0 => {
                    append(&file, &lines());
                    // Up to the middle of its second piece.
                    append(&file, &split[..20_000]);
                }
                1 => append(&file, &split[20_000..]),
                _ => append(&file, &lines()),
            }
            let dir = gateway.stop().await;
            if run > 0 {
                append(&file, &lines());
                rotate(&file, run);
                append(&file, &lines());
            }
            gateway = start_in(dir, &config).await;
        }
        append(&file, &lines());
        let count = number as usize + 1;
        let found = gateway.wait_for("default", "*", count).await;
        let mut logs: Vec<&str> = found.iter().map(|record| record["log"].as_str().unwrap()).collect();
        assert!(logs.contains(&&*long), "{driver}");
        logs.sort_unstable();
        logs.dedup();
        assert_eq!(logs.len(), count, "{driver}");
        gateway.stop().await;
    }
}

/// As the engine does it, with `before` rotated files there.
fn rotate(file: &Path, before: usize) {
    let numbered = |number: usize| {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name
    };
    for number in (1..before).rev() {
        fs::rename(numbered(number), numbered(number + 1)).unwrap();
    }
    fs::rename(file, numbered(1)).unwrap();
    fs::write(file, b"").unwrap();
}
