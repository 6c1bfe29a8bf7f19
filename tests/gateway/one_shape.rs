//! One route and one query serve all: the same lines of the same container through every way in that the gateway has.

use std::fs::OpenOptions;
use std::io::Write;

use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Map, Value, json};
use tokio::net::{UdpSocket, UnixStream};

use super::drivers::{Format, ID, IMAGE, NAME, assert_shape, container_dir, long, stderr, stdout};
use super::harness::{EMBEDDED, start};
use super::http::{call, post};

/// What each way adds of its own, which has nothing to do with the container.
const OWN: [&str; 12] = [
    "facility",
    "severity",
    "hostname",
    "appname",
    "timestamp",
    "host",
    "level",
    "image_id",
    "tag",
    "created",
    "team",
    "__source__",
];

#[tokio::test(flavor = "multi_thread")]
async fn one_route_and_one_query_find_a_container_whichever_way_its_lines_come() {
    let engine = tempfile::tempdir().unwrap();
    let socket = engine.path().join("plugin.sock");
    let routes = format!(
        "routes: [ {{ when: {{ container_name: {NAME} }}, logstore: shop, topic: '${{record.source}}' }} ]"
    );
    let config = format!(
        "inputs:\n  forward: {{ listen: '127.0.0.1:0' }}\n  syslog: {{ listen: '127.0.0.1:0' }}\n  \
         gelf: {{ listen: '127.0.0.1:0' }}\n  splunk: {{ listen: '127.0.0.1:0' }}\n  \
         docker_plugin: {{ socket: '{}' }}\n  docker: {{ data_root: '{}', scan_interval: 100ms }}\n  \
         local: {{ type: docker, data_root: '{}', scan_interval: 100ms }}\n{EMBEDDED}\n{routes}\n",
        socket.display(),
        engine.path().join("json-file").display(),
        engine.path().join("local").display(),
    );
    let (json_file, local) = (
        container_dir(&engine.path().join("json-file"), "json-file"),
        container_dir(&engine.path().join("local"), "local"),
    );
    let gateway = start(&config).await;
    let long = long();
    let lines =
        [stdout(0, "GET /index.html 200"), stderr(1, "{\"caf\u{e9}\": \"\t\\\" <&>\"}"), stdout(2, &long)];

    let arrived = async |ways: usize| {
        gateway.wait_for("shop", &format!("container_name: {NAME}"), ways * lines.len()).await
    };
    // One after the other: a container has one driver, and its lines come in their order.
    let mut ways = 0;
    let forward: Vec<u8> = lines.iter().flat_map(|line| line.forward(None)).collect();
    gateway.send(&forward).await;
    ways += 1;
    arrived(ways).await;
    for format in [Format::Absent, Format::Rfc5424Micro] {
        let syslog: Vec<u8> = lines.iter().flat_map(|line| line.syslog(format)).flatten().collect();
        gateway.send_to("syslog", &syslog).await;
        ways += 1;
        arrived(ways).await;
    }
    let gelf = lines.iter().flat_map(|line| line.gelf());
    gateway.send_to("gelf", &gelf.flat_map(|object| [object, vec![0]].concat()).collect::<Vec<u8>>()).await;
    ways += 1;
    arrived(ways).await;
    let by_udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for datagram in lines.iter().flat_map(|line| line.gelf()) {
        by_udp.send_to(&datagram, gateway.udp_address("gelf")).await.unwrap();
    }
    ways += 1;
    arrived(ways).await;
    let splunk: Vec<u8> = lines.iter().flat_map(|line| line.splunk()).collect();
    let headers = "User-Agent: Go-http-client/1.1\r\nAuthorization: Splunk t\r\n";
    let request = post("/services/collector/event/1.0", headers, &splunk);
    assert_eq!(call(&mut gateway.connect_to("splunk").await, &request).await.0, 200);
    ways += 1;
    arrived(ways).await;
    let fifo = engine.path().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o700), 0).unwrap();
    let mut output = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let info = json!({"ContainerID": ID, "ContainerName": format!("/{NAME}"), "ContainerImageName": IMAGE});
    let start = json!({"File": fifo, "Info": info}).to_string();
    let mut plugin = UnixStream::connect(&socket).await.unwrap();
    let (_, answer) = call(&mut plugin, &post("/LogDriver.StartLogging", "", start.as_bytes())).await;
    assert_eq!(answer, r#"{"Err":""}"#);
    let entries: Vec<u8> = lines.iter().flat_map(|line| line.plugin()).collect();
    tokio::task::block_in_place(|| output.write_all(&entries).unwrap());
    ways += 1;
    arrived(ways).await;
    let append = |path: &std::path::Path, bytes: Vec<u8>| {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(&bytes).unwrap();
    };
    append(&json_file, lines.iter().flat_map(|line| line.json_file()).collect());
    append(&local, lines.iter().flat_map(|line| line.local()).collect());
    ways += 2;

    let found = arrived(ways).await;
    for line in &lines {
        let same: Vec<_> = found.iter().filter(|record| record["log"] == line.log).collect();
        assert_eq!(same.len(), ways, "{}", line.source);
        let mut keys: Vec<Vec<&str>> = same.iter().map(|record| about_the_container(record)).collect();
        keys.dedup();
        assert_eq!(keys.len(), 1, "{keys:?}");
        for record in same {
            assert_shape(record, line);
            assert_eq!(record["__topic__"], line.source);
        }
    }
    assert!(gateway.query("default", "*").await.is_empty());
    gateway.stop().await;
}

fn about_the_container(record: &Map<String, Value>) -> Vec<&str> {
    record.keys().map(String::as_str).filter(|key| !OWN.contains(key)).collect()
}
