//! The HTTP Event Collector into the Log Service: Docker's driver and other clients, with the requests written by hand.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::net::TcpStream;

use super::drivers::{assert_shape, long, stderr, stdout};
use super::harness::{EMBEDDED, TestGateway, data, read_to_close, start, start_in, until};
use super::http::{call, post};

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const EVENTS: &str = "/services/collector/event/1.0";
const SUCCESS: (u16, &str) = (200, r#"{"text":"Success","code":0}"#);

fn config(settings: &str, routes: &str) -> String {
    format!("inputs: {{ splunk: {{ listen: '127.0.0.1:0', {settings} }} }}\n{EMBEDDED}\n{routes}")
}

/// A request as Docker's driver writes it.
fn docker(headers: &str, body: &[u8]) -> Vec<u8> {
    post(
        EVENTS,
        &format!("User-Agent: Go-http-client/1.1\r\nAuthorization: Splunk {TOKEN}\r\n{headers}"),
        body,
    )
}

/// A request of another client.
fn other(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let headers = format!("Authorization: Splunk {TOKEN}\r\nContent-Type: application/json\r\n{headers}");
    post(path, &headers, body.as_bytes())
}

async fn connect(gateway: &TestGateway) -> TcpStream {
    gateway.connect_to("splunk").await
}

async fn assert_taken(stream: &mut TcpStream, request: &[u8]) {
    let (status, body) = call(stream, request).await;
    assert_eq!((status, &*body), SUCCESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_s_lines_have_one_shape_packed_or_not() {
    let gateway = start(&config(&format!("tokens: '{TOKEN}'"), "")).await;
    let long = long();
    let lines = [stdout(0, "hello"), stderr(1, "oops"), stdout(2, ""), stdout(3, &long)];
    let body: Vec<u8> = lines.iter().flat_map(|line| line.splunk()).collect();
    let mut stream = connect(&gateway).await;
    let probe = format!("OPTIONS {EVENTS} HTTP/1.1\r\nHost: x\r\nUser-Agent: Go-http-client/1.1\r\n\r\n");
    assert_eq!(call(&mut stream, probe.as_bytes()).await.0, 200);
    assert_taken(&mut stream, &docker("", &body)).await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&body).unwrap();
    let packed = encoder.finish().unwrap();
    assert_taken(&mut stream, &docker("Content-Encoding: gzip\r\n", &packed)).await;
    let found = gateway.wait_for("default", "*", 2 * lines.len()).await;
    for line in &lines {
        let same: Vec<_> = found.iter().filter(|record| record["log"] == line.log).collect();
        assert_eq!(same.len(), 2, "{}", line.source);
        for record in same {
            assert_shape(record, line);
            assert_eq!((record["team"].as_str(), record["host"].as_str()), (Some("core"), Some("vm")));
            assert_eq!(record["__topic__"], "splunk.hec");
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_was_recorded_to_send_is_answered_and_arrives() {
    let gateway = start(&config("", "")).await;
    for name in ["inline", "inline-gzip", "inline-all-opts", "json", "raw", "raw-tag-attrs"] {
        let mut stream = connect(&gateway).await;
        let recorded = data(&format!("splunk/docker-{name}.bin"));
        let border = recorded.windows(5).position(|window| window == b"POST ").unwrap();
        assert_eq!(call(&mut stream, &recorded[..border]).await.0, 200);
        let (status, body) = call(&mut stream, &recorded[border..]).await;
        // One names a channel, and gets an ack id.
        assert!(status == 200 && body.starts_with(r#"{"text":"Success","code":0"#), "{name}: {body}");
    }
    // The last line of each container, in the runs that printed them all.
    until("the end of all lines", async || gateway.query("default", "no newline").await.len() >= 3).await;
    gateway.wait_until_delivered().await;
    // The driver's own test: a line of 20,000 digits in two pieces.
    let found = gateway.query("default", "container_id: f5f6c73e1973").await;
    let lengths = found.iter().map(|record| record["log"].as_str().unwrap().len());
    assert_eq!(lengths.max(), Some(20_000));
    let all = gateway.query("default", "sourcetype: st").await;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0]["log"].as_str(), all[0]["index"].as_str()), (Some("hello"), Some("main")));
    assert_eq!((all[0]["APP"].as_str(), all[0]["__topic__"].as_str()), (Some("x"), Some("splunk.src")));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_tags_and_attributes_are_conditions_of_routes() {
    let routes = "routes:\n  \
        - { match: 'splunk.*', when: { container_name: web-1, team: core }, logstore: web, topic: '${record.host}', \
            processors: [ { parse: json, key: log } ] }\n  \
        - { match: 'splunk.jobs', logstore: jobs }";
    let gateway = start(&config("source_address_key: from", routes)).await;
    let mut stream = connect(&gateway).await;
    let line = stdout(0, r#"{"level":"warn","took":7}"#);
    assert_taken(&mut stream, &docker("", &line.splunk())).await;
    let event = r#"{"event":{"job":"a","ok":true,"source":"mine"},"source":"jobs","fields":{"dc":"cn"},"time":1795388230.5}"#;
    assert_taken(&mut stream, &other("/services/collector", "", event)).await;
    assert_taken(&mut stream, &other("/services/collector/raw?source=jobs", "", "one\ntwo\n")).await;
    let web = gateway.wait_for("web", "*", 1).await;
    assert_eq!((web[0]["level"].as_str(), web[0]["took"].as_str()), (Some("warn"), Some("7")));
    assert_eq!((web[0]["__topic__"].as_str(), web[0]["from"].as_str()), (Some("vm"), Some("127.0.0.1")));
    let jobs = gateway.wait_for("jobs", "*", 3).await;
    let event = jobs.iter().find(|record| record.contains_key("job")).unwrap();
    for (key, value) in [("job", "a"), ("ok", "true"), ("dc", "cn"), ("__time__", "1795388230")] {
        let said =
            event.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        assert_eq!(said.as_deref(), Some(value), "{event:?}");
    }
    for line in ["one", "two"] {
        assert_eq!(jobs.iter().filter(|record| record.get("log").is_some_and(|log| log == line)).count(), 1);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_in_splunk_s_words() {
    let gateway = start(&config(&format!("tokens: '{TOKEN}, other'"), "")).await;
    let mut stream = connect(&gateway).await;
    let event = r#"{"event":"hello"}"#;
    for (request, status, text) in [
        (post(EVENTS, "", event.as_bytes()), 401, r#""code":2"#),
        (post(EVENTS, "Authorization: Splunk wrong\r\n", event.as_bytes()), 403, r#""code":4"#),
        (other(EVENTS, "", ""), 400, r#""code":5"#),
        (other(EVENTS, "", r#"{"event":"kept"}{"event":"#), 400, r#""code":6"#),
        (other(EVENTS, "", r#"{"event":""}"#), 400, r#""code":13"#),
        (other("/services/collector/ack", "", r#"{"acks":[0]}"#), 400, r#""code":10"#),
        (other("/services/other", "", event), 404, ""),
    ] {
        let (got, body) = call(&mut stream, &request).await;
        assert!(got == status && body.contains(text), "{status} {text}: {got} {body}");
    }
    let health = b"GET /services/collector/health HTTP/1.1\r\nHost: x\r\n\r\n";
    let (status, body) = call(&mut stream, health).await;
    assert!(status == 200 && body.contains(r#""code":17"#), "{body}");
    let channel = "X-Splunk-Request-Channel: 46eaa731-df0f-422d-8cc8-01fa79fa970a\r\n";
    let (status, body) = call(&mut stream, &other(EVENTS, channel, event)).await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, answer["text"].as_str()), (200, Some("Success")));
    let id = answer["ackId"].as_u64().unwrap();
    let question = format!(r#"{{"acks":[{id},{}]}}"#, id + 1_000);
    let (_, body) = call(&mut stream, &other("/services/collector/ack", channel, &question)).await;
    assert_eq!(body, format!(r#"{{"acks":{{"{id}":true,"{}":false}}}}"#, id + 1_000));
    gateway.wait_until_delivered().await;
    // What stands before a bad event counts, as Splunk has it.
    let found = gateway.query("default", "*").await;
    let mut logs: Vec<&str> = found.iter().map(|record| record["log"].as_str().unwrap()).collect();
    logs.sort_unstable();
    assert_eq!(logs, ["hello", "kept"]);
    gateway.stop().await;
}

/// 200 is a promise: what was answered is there after a stop that came before its delivery.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_once_after_restarts() {
    const RUNS: usize = 3;
    let config = config("join_timeout: 1m", "");
    let mut gateway = start(&config).await;
    let long = long();
    // Its first piece comes in the first run, the others in the second.
    let events = String::from_utf8(stderr(9_999, &long).splunk()).unwrap();
    let border = events.match_indices("{\"event\":").nth(1).unwrap().0;
    for run in 0..RUNS {
        let mut streams = Vec::new();
        for peer in 0..4 {
            let mut stream = connect(&gateway).await;
            for request in 0..10 {
                let line = |number| stdout(number, &format!("{run}-{peer}-{request}-{number}")).splunk();
                let body: Vec<u8> = (0..20).flat_map(line).collect();
                assert_taken(&mut stream, &docker("", &body)).await;
            }
            streams.push(stream);
        }
        let part = [&events[..border], &events[border..], ""][run];
        if !part.is_empty() {
            assert_taken(&mut streams[0], &docker("", part.as_bytes())).await;
        }
        let dir = gateway.stop().await;
        for mut idle in streams {
            assert_eq!(read_to_close(&mut idle).await, b"");
        }
        gateway = start_in(dir, &config).await;
    }
    gateway.wait_until_delivered().await;
    let count = RUNS * 4 * 10 * 20 + 1;
    let found = gateway.wait_for("default", "*", count).await;
    let mut logs: Vec<&str> = found.iter().map(|record| record["log"].as_str().unwrap()).collect();
    assert!(logs.contains(&&*long));
    logs.sort_unstable();
    logs.dedup();
    assert_eq!(logs.len(), count);
    gateway.stop().await;
}
