//! A node's Pods, as kubelet lays their logs out and rotates them.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::volume::{Volume, append, assert_each_once, numbers, tag, text, texts};
use crate::gateway::harness::{EMBEDDED, TestGateway, start, start_in};

const UID: &str = "8fd1b2a5-5a0a-4c52-9a4b-4c4d2f3c1e11";

/// A container of a Pod, on a node that is a directory.
struct Container<'a> {
    node: &'a Volume,
    namespace: &'a str,
    pod: &'a str,
    name: &'a str,
}

impl Container<'_> {
    /// Its log after so many restarts.
    fn log(&self, restarts: usize) -> PathBuf {
        let dir = self.node.path(&format!("pods/{}_{}_{UID}/{}", self.namespace, self.pod, self.name));
        fs::create_dir_all(&dir).unwrap();
        dir.join(format!("{restarts}.log"))
    }

    /// kubelet's link for one of its container ids.
    fn link(&self, id: char) -> PathBuf {
        let dir = self.node.path("containers");
        fs::create_dir_all(&dir).unwrap();
        let id = String::from(id).repeat(64);
        dir.join(format!("{}_{}_{}-{id}.log", self.pod, self.namespace, self.name))
    }

    fn says(&self, restarts: usize, lines: &[&str]) {
        let lines: String = lines.iter().map(|line| cri("stdout", "F", line)).collect();
        append(&self.log(restarts), lines.as_bytes());
    }

    fn counts(&self, restarts: usize, numbers: Range<usize>) {
        count(&self.log(restarts), numbers);
    }
}

fn count(path: &Path, numbers: Range<usize>) {
    let lines: String = numbers.map(|number| cri("stdout", "F", &format!("{number} line"))).collect();
    append(path, lines.as_bytes());
}

/// A line as containerd writes it.
fn cri(stream: &str, flag: &str, text: &str) -> String {
    format!("2026-11-20T00:00:01.25Z {stream} {flag} {text}\n")
}

fn config(node: &Volume, input: &str, paths: &str, kubernetes: &str) -> String {
    let paths = node.text(paths);
    format!(
        "inputs:\n  {input}: {{ type: file, paths: {paths}, format: container, join_timeout: 1h, scan_interval: 1s, \
         kubernetes: {{ {kubernetes} }} }}\n{EMBEDDED}"
    )
}

async fn records(gateway: &TestGateway, count: usize) -> Vec<serde_json::Map<String, serde_json::Value>> {
    gateway.wait_for("default", "*", count).await
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_tell_their_pod_and_pieces_become_lines() {
    let node = Volume::new();
    let web = Container { node: &node, namespace: "shop", pod: "web-7d9f-x2", name: "nginx" };
    let system = Container { node: &node, namespace: "kube-system", pod: "dns-1", name: "coredns" };
    let side = Container { name: "istio-proxy", ..web };
    let docker = Container { node: &node, namespace: "shop", pod: "old.node", name: "app" };
    let pieces: String = [
        cri("stdout", "P", "a long "),
        cri("stderr", "F", "in between"),
        cri("stdout", "P", "line of "),
        cri("stdout", "F", "three pieces"),
        cri("stdout", "P", "half"),
    ]
    .concat();
    append(&web.log(0), pieces.as_bytes());
    system.says(0, &["not wanted"]);
    side.says(0, &["not wanted either"]);
    append(
        &docker.log(0),
        b"{\"log\":\"of docker\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-20T00:00:02.5Z\"}\n",
    );
    let filters = "namespaces: { exclude: [kube-*] }, containers: { exclude: ['/istio-.*/'] }, pods: { include: ['web-*', old.node] }";
    let gateway = start(&config(&node, "pod-lines", "pods/*/*/*.log", filters)).await;
    records(&gateway, 3).await;
    append(&web.log(0), cri("stdout", "F", " and half").as_bytes());
    let late = Container { node: &node, namespace: "kube-node-lease", pod: "web-9", name: "late" };
    late.says(0, &["not wanted, later"]);
    let fresh = Container { node: &node, namespace: "shop-2", pod: "web-1", name: "fresh" };
    fresh.says(0, &["wanted, later"]);
    let found = records(&gateway, 5).await;
    assert_eq!(
        texts(&found, "log"),
        ["a long line of three pieces", "half and half", "in between", "of docker", "wanted, later"]
    );
    for record in &found {
        let (namespace, pod, container, source) = match text(record, "log") {
            "of docker" => ("shop", "old.node", "app", "stderr"),
            "wanted, later" => ("shop-2", "web-1", "fresh", "stdout"),
            "in between" => ("shop", "web-7d9f-x2", "nginx", "stderr"),
            _ => ("shop", "web-7d9f-x2", "nginx", "stdout"),
        };
        assert_eq!((tag(record, "_namespace_"), tag(record, "_pod_name_")), (namespace, pod));
        assert_eq!((tag(record, "_container_name_"), tag(record, "_pod_uid_")), (container, UID));
        assert_eq!(text(record, "source"), source);
        assert!(tag(record, "__path__").ends_with("/0.log"), "{record:?}");
        let time = if container == "app" { ("1795132802", "500000000") } else { ("1795132801", "250000000") };
        assert_eq!((text(record, "__time__"), text(record, "__time_ns_part__")), time);
    }
    gateway.stop().await;
}

/// kubelet renames, packs what it renamed before, and makes a new file; a container that starts again has another one.
#[tokio::test(flavor = "multi_thread")]
async fn kubelet_s_rotation_loses_nothing() {
    const EACH: usize = 50;
    let node = Volume::new();
    let web = Container { node: &node, namespace: "shop", pod: "web", name: "nginx" };
    let config = config(&node, "pod-rotation", "pods/*/*/*.log", "");
    let mut gateway = start(&config).await;
    let mut written = 0;
    let mut some = |path: PathBuf| {
        count(&path, written..written + EACH);
        written += EACH;
        written
    };
    let all = some(web.log(0));
    records(&gateway, all).await;
    let mut packed = PathBuf::new();
    for turn in 0..4 {
        let rotated = web.log(0).with_extension(format!("log.20261120-00000{turn}"));
        fs::rename(web.log(0), &rotated).unwrap();
        // containerd writes on until it is told to open the file again.
        some(rotated.clone());
        if packed.exists() {
            let gzip = PathBuf::from(format!("{}.gz", packed.display()));
            fs::write(gzip, b"\x1f\x8b, as if it were").unwrap();
            fs::remove_file(&packed).unwrap();
        }
        packed = rotated;
        let mut all = some(web.log(0));
        if turn == 2 {
            let dir = gateway.stop().await;
            all = some(web.log(0));
            gateway = start_in(dir, &config).await;
        }
        records(&gateway, all).await;
    }
    let all = some(web.log(1));
    records(&gateway, all).await;
    gateway.wait_until_delivered().await;
    let found = records(&gateway, all).await;
    assert_each_once(numbers(texts(&found, "log")), all);
    gateway.stop().await;
}

/// Links are what other agents read; one that points to another file brings that file from its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn links_are_followed_and_may_be_swapped() {
    let node = Volume::new();
    let web = Container { node: &node, namespace: "shop", pod: "web", name: "nginx" };
    web.counts(0, 0..10);
    symlink(web.log(0), web.link('a')).unwrap();
    let config = config(&node, "pod-links", "containers/*.log", "namespaces: { include: [shop] }");
    let gateway = start(&config).await;
    records(&gateway, 10).await;
    // The container starts again: kubelet's link of the old id is turned to the new file, a new id has its own.
    web.counts(0, 10..20);
    web.counts(1, 20..30);
    let aside = node.path("containers/new-link");
    symlink(web.log(1), &aside).unwrap();
    fs::rename(&aside, web.link('a')).unwrap();
    records(&gateway, 30).await;
    web.counts(1, 30..40);
    web.counts(2, 40..50);
    symlink(web.log(2), web.link('b')).unwrap();
    fs::remove_file(web.link('a')).unwrap();
    web.counts(1, 50..51);
    let found = records(&gateway, 51).await;
    assert_each_once(numbers(texts(&found, "log")), 51);
    for record in &found {
        assert_eq!((tag(record, "_namespace_"), tag(record, "_pod_name_")), ("shop", "web"));
        assert_eq!(tag(record, "_container_name_"), "nginx");
        assert!(tag(record, "__path__").starts_with(&node.text("containers/web_shop_nginx-")), "{record:?}");
    }
    gateway.stop().await;
}

/// An input that reads both directories reads no file twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_its_link_come_once() {
    let node = Volume::new();
    let web = Container { node: &node, namespace: "shop", pod: "web", name: "nginx" };
    web.counts(0, 0..10);
    symlink(web.log(0), web.link('a')).unwrap();
    let paths = format!("{}, {}", node.text("containers/*.log"), node.text("pods/*/*/*.log"));
    let gateway = start(&format!(
        "inputs:\n  pod-both: {{ type: file, paths: '{paths}', format: cri, kubernetes: {{}} }}\n{EMBEDDED}"
    ))
    .await;
    records(&gateway, 10).await;
    web.counts(0, 10..20);
    records(&gateway, 20).await;
    gateway.wait_until_delivered().await;
    let found = records(&gateway, 20).await;
    assert_each_once(numbers(texts(&found, "log")), 20);
    gateway.stop().await;
}
