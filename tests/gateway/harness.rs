//! A gateway under test: started from configuration text in a directory of its own, on ports of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sluicegate::app::{Address, Gateway, Place};
use sluicegate::base::secret::Secret;
use sluicegate::config::plan::Plan;
use sluicegate::config::{self, Flags};
use sluicegate::output::Client;
use sluicegate::output::credentials::{AccessKey, Credentials};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::watch;

/// Nothing here takes so long; it only ends a test that would hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct TestGateway {
    pub gateway: Gateway,
    pub dir: Arc<tempfile::TempDir>,
}

pub const EMBEDDED: &str = "log_service: { listen: '127.0.0.1:0' }";

/// Starts a gateway with `extra` configuration on free ports.
pub async fn start(extra: &str) -> TestGateway {
    start_in(Arc::new(tempfile::tempdir().unwrap()), extra).await
}

/// Starts a gateway on a directory that another one may have used.
pub async fn start_in(dir: Arc<tempfile::TempDir>, extra: &str) -> TestGateway {
    let plan = plan_in(dir.path(), extra);
    TestGateway { gateway: Gateway::start(plan, Some(watch::watch())).await.unwrap(), dir }
}

/// The plan of a gateway on free ports where `extra` does not say others, with its data in this directory.
pub fn plan_in(dir: &Path, extra: &str) -> Plan {
    let file = dir.join("sluicegate.yaml");
    let inputs =
        if extra.contains("inputs:") { "" } else { "inputs: { forward: { listen: '127.0.0.1:0' } }" };
    // The embedded Log Service gets its records soon, as no test waits for its own sake.
    let destinations =
        if extra.contains("destination") { "" } else { "destinations: { local: { batch_age: 50ms } }" };
    let operations = if extra.contains("operations:") { "" } else { "operations: { listen: '127.0.0.1:0' }" };
    std::fs::write(&file, format!("{operations}\n{inputs}\n{destinations}\n{extra}\n")).unwrap();
    let flags = Flags { data_dir: Some(dir.join("data")) };
    config::load(Some(&file), std::iter::empty(), &flags).unwrap_or_else(|errors| panic!("{errors}"))
}

impl TestGateway {
    pub fn address(&self, name: &str) -> SocketAddr {
        let here = self.gateway.addresses.iter().filter(|known| known.door.to_string() == name);
        here.filter_map(|known| known.socket()).next().unwrap()
    }

    /// Where an input takes datagrams.
    pub fn udp_address(&self, input: &str) -> SocketAddr {
        let here = self.gateway.addresses.iter().filter(|known| known.door.to_string() == input);
        let udp = |known: &Address| match known.place {
            Place::Udp(address) => Some(address),
            _ => None,
        };
        here.filter_map(udp).next().unwrap()
    }

    pub async fn connect(&self) -> TcpStream {
        self.connect_to("forward").await
    }

    /// Connects to the input of this name.
    pub async fn connect_to(&self, input: &str) -> TcpStream {
        TcpStream::connect(self.address(input)).await.unwrap()
    }

    pub async fn stop(self) -> Arc<tempfile::TempDir> {
        self.gateway.stop().await;
        self.dir
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Sends bytes on a connection of their own and closes it once they are taken.
    pub async fn send(&self, bytes: &[u8]) {
        self.send_to("forward", bytes).await;
    }

    /// The same to the input of this name.
    pub async fn send_to(&self, input: &str, bytes: &[u8]) {
        let mut stream = self.connect_to(input).await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
    }

    fn client(&self) -> Client {
        let key = std::fs::read_to_string(self.data().join("log-service/access-key")).unwrap();
        let (id, secret) = key.trim().split_once('\n').unwrap();
        let key =
            AccessKey { id: id.to_owned(), secret: Secret::new(secret.to_owned()), security_token: None };
        let endpoint = format!("http://{}", self.address("log service"));
        Client::new(&endpoint, "sluicegate", Credentials::Static(Arc::new(key)), PATIENCE).unwrap()
    }

    /// All records of a logstore that match, oldest first.
    pub async fn query(&self, logstore: &str, query: &str) -> Vec<Map<String, Value>> {
        let client = self.client();
        let mut found = Vec::new();
        loop {
            let body = json!({ "from": 0, "to": i64::from(u32::MAX), "query": query, "line": 100, "offset": found.len() });
            let body = Bytes::from(body.to_string());
            let (path, len) = (format!("/logstores/{logstore}/logs"), body.len());
            let headers = [("Content-Type", "application/json")];
            let answer = client.call("POST", &path, &[], &headers, body, len).await.unwrap();
            if answer.status == 404 {
                return found;
            }
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            let page = answer["data"].as_array().unwrap();
            found.extend(page.iter().map(|record| record.as_object().unwrap().clone()));
            if page.len() < 100 {
                return found;
            }
        }
    }

    /// Waits until a logstore holds `count` records that match.
    pub async fn wait_for(&self, logstore: &str, query: &str, count: usize) -> Vec<Map<String, Value>> {
        let wait = async {
            loop {
                let found = self.query(logstore, query).await;
                if found.len() >= count {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => {
                assert_eq!(found.len(), count, "{found:?}");
                found
            }
            Err(_) => {
                panic!("{query:?} finds {:?}, not {count} records", self.query(logstore, query).await.len())
            }
        }
    }

    pub async fn status(&self) -> Value {
        serde_json::from_slice(&self.get("/status").await).unwrap()
    }

    /// What is known of each file that is read.
    pub async fn files(&self) -> Vec<Value> {
        let answer: Value = serde_json::from_slice(&self.get("/files").await).unwrap();
        answer["files"].as_array().unwrap().clone()
    }

    /// The sum of a metric over all its series with these labels. Metrics belong to the process: a test that reads one
    /// names its input as no other does.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let text = self.get("/metrics").await;
        watch::sum(std::str::from_utf8(&text).unwrap(), name, labels)
    }

    /// Waits until a metric has reached a value.
    pub async fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: u64) {
        until(&format!("{name} of {value}"), async || self.metric(name, labels).await >= value).await;
    }

    /// Waits until everything that was stored is delivered, so that what is found then is all there is.
    pub async fn wait_until_delivered(&self) {
        let empty = async || {
            let status = self.status().await;
            let queues = status["destinations"].as_array().unwrap();
            queues.iter().all(|queue| queue["buffered_entries"] == 0)
        };
        until("empty buffers", empty).await;
    }

    /// The dead letters, oldest first: their first lines, and what follows.
    pub fn letters(&self) -> Vec<(Value, Vec<u8>)> {
        let Ok(files) = std::fs::read_dir(self.data().join("refused")) else { return Vec::new() };
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        let open = |path| {
            let mut head = std::fs::read(path).unwrap();
            let payload = head.split_off(head.iter().position(|byte| *byte == b'\n').unwrap() + 1);
            (serde_json::from_slice(&head).unwrap(), payload)
        };
        paths.iter().map(open).collect()
    }

    async fn get(&self, path: &str) -> Bytes {
        get(self.address("operations"), path).await
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited for {what}"));
}

async fn get(address: SocketAddr, path: &str) -> Bytes {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    Bytes::copy_from_slice(&answer[body..])
}

pub fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The vectors of the protocol sheet: name, whitespace, hex.
pub fn vector(name: &str) -> Vec<u8> {
    let text = String::from_utf8(data("forward/vectors.txt")).unwrap();
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
    let hex = line.split_whitespace().last().unwrap();
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// Reads exactly `len` bytes within the test's patience.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

/// Reads until the peer closes.
pub async fn read_to_close(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is a close, too: the gateway had not read all of what it refused.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// A Message-mode message as Docker's driver writes it, with a chunk id where one is given.
pub fn message(tag: &str, seconds: u32, fields: &[(&str, &str)], chunk: Option<&str>) -> Vec<u8> {
    let mut out = vec![0x94];
    text(&mut out, tag);
    out.push(0xd2);
    out.extend_from_slice(&seconds.to_be_bytes());
    out.push(0x80 | fields.len() as u8);
    for (key, value) in fields {
        text(&mut out, key);
        text(&mut out, value);
    }
    match chunk {
        None => out.push(0x80),
        Some(chunk) => {
            out.push(0x81);
            text(&mut out, "chunk");
            text(&mut out, chunk);
        }
    }
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(0xdb);
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The ack for a short chunk id.
pub fn ack(chunk: &str) -> Vec<u8> {
    [b"\x81\xa3ack", [0xa0 | chunk.len() as u8].as_slice(), chunk.as_bytes()].concat()
}
