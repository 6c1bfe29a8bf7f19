//! GELF into the Log Service: datagrams plain, packed and in chunks, and connections.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;

use super::drivers::{assert_shape, long, stderr, stdout};
use super::harness::{EMBEDDED, TestGateway, data, start, start_in};

/// What Docker's driver puts into a chunk at most.
const CHUNK: usize = 1408;

fn config(name: &str, settings: &str, routes: &str) -> String {
    format!("inputs: {{ {name}: {{ type: gelf, listen: '127.0.0.1:0', {settings} }} }}\n{EMBEDDED}\n{routes}")
}

/// Objects as they stand on a connection.
fn on_a_connection(objects: Vec<Vec<u8>>) -> Vec<u8> {
    objects.into_iter().flat_map(|object| [object, vec![0]].concat()).collect()
}

/// The datagrams of a message, which has this number.
fn datagrams(message: &[u8], number: u8) -> Vec<Vec<u8>> {
    if message.len() <= CHUNK {
        return vec![message.to_vec()];
    }
    // One more than there are full ones: it may be empty.
    let count = message.len() / CHUNK + 1;
    let chunk = |at: usize| {
        let part = &message[at * CHUNK..message.len().min((at + 1) * CHUNK)];
        [b"\x1e\x0f\0\0\0\0\0\0\0", &[number, at as u8, count as u8][..], part].concat()
    };
    (0..count).map(chunk).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn send_udp(gateway: &TestGateway, input: &str, datagrams: &[Vec<u8>]) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for datagram in datagrams {
        socket.send_to(datagram, gateway.udp_address(input)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_s_lines_have_one_shape_however_they_are_packed() {
    let gateway = start(&config("gelf", "", "")).await;
    let long = long();
    type Packing = fn(&[u8]) -> Vec<u8>;
    let packings: [Packing; 3] = [<[u8]>::to_vec, gzip, zlib];
    let lines = |at: u32| [stdout(10 * at, "hello"), stderr(10 * at + 1, "oops"), stdout(10 * at + 2, &long)];
    let mut number = 0;
    for (at, pack) in (0..).zip(packings) {
        for line in lines(at) {
            for object in line.gelf() {
                number += 1;
                // In any order.
                let reversed: Vec<_> = datagrams(&pack(&object), number).into_iter().rev().collect();
                send_udp(&gateway, "gelf", &reversed).await;
            }
        }
        gateway.wait_for("default", "team: core", 3 * (at as usize + 1)).await;
    }
    let objects = lines(3).iter().flat_map(|line| line.gelf()).collect();
    gateway.send_to("gelf", &on_a_connection(objects)).await;
    let found = gateway.wait_for("default", "*", 12).await;
    for line in lines(0) {
        let same: Vec<_> = found.iter().filter(|record| record["log"] == line.log).collect();
        assert_eq!(same.len(), 4, "{}", line.source);
        for record in same {
            assert_shape(record, &line);
            let said = |key: &str| record.get(key).and_then(|value| value.as_str());
            assert_eq!((said("team"), said("host"), said("command")), (Some("core"), Some("vm"), None));
            assert_eq!(said("__topic__"), Some("gelf.vm"));
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_was_recorded_to_send_arrives() {
    let gateway = start(&config("gelf", "", "")).await;
    gateway.send_to("gelf", &data("gelf/docker-tcp-40k.bin")).await;
    let recorded = data("gelf/docker-udp-gzip-chunked-40k.bin");
    let (mut rest, mut recorded_datagrams) = (&recorded[..], Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (datagram, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        recorded_datagrams.push(datagram.to_vec());
        rest = behind;
    }
    gateway.wait_for("default", "source: stdout", 3).await;
    send_udp(&gateway, "gelf", &recorded_datagrams).await;
    let found = gateway.wait_for("default", "source: stdout", 6).await;
    let mut lengths: Vec<usize> = found.iter().map(|record| record["log"].as_str().unwrap().len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [5, 5, 6, 6, 40_000, 40_000]);
    assert!(found.iter().all(|record| !record.contains_key("__partial__")));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_tags_and_fields_are_conditions_of_routes() {
    let routes = "routes:\n  \
        - { match: 'gelf.vm', when: { container_name: web-1, team: core }, logstore: web, topic: '${tag[1]}', \
            processors: [ { parse: json, key: log } ] }\n  \
        - { match: 'gelf.*', when: { level: '4' }, logstore: warnings }";
    let gateway = start(&config("gelf", "", routes)).await;
    let line = stdout(0, r#"{"level":"warn","took":7}"#);
    let warning =
        br#"{"version":"1.1","host":"db1","short_message":"slow","level":4,"_rows":12,"_log":"mine"}"#;
    gateway.send_to("gelf", &on_a_connection([line.gelf(), vec![warning.to_vec()]].concat())).await;
    let web = gateway.wait_for("web", "*", 1).await;
    assert_eq!((web[0]["log.level"].as_str(), web[0]["took"].as_str()), (Some("warn"), Some("7")));
    assert_eq!(
        (web[0]["__topic__"].as_str(), web[0]["container_name"].as_str()),
        (Some("vm"), Some("web-1"))
    );
    let warnings = gateway.wait_for("warnings", "*", 1).await;
    for (key, value) in [("log", "slow"), ("rows", "12"), ("_log", "mine"), ("__topic__", "gelf.db1")] {
        assert_eq!(warnings[0].get(key).and_then(|value| value.as_str()), Some(value), "{warnings:?}");
    }
    assert!(!warnings[0].contains_key("source"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_without_all_their_chunks_are_counted_and_cost_nobody_else() {
    let gateway = start(&config("gelf-lossy", "chunk_timeout: 100ms", "")).await;
    let long = long();
    let object = stdout(0, &long).gelf().remove(0);
    let mut lost = datagrams(&object, 1);
    lost.pop();
    send_udp(&gateway, "gelf-lossy", &lost).await;
    let given_up = [("input", "gelf-lossy"), ("reason", "timeout")];
    gateway.wait_for_metric("sluicegate_gelf_incomplete_total", &given_up, 1).await;
    send_udp(&gateway, "gelf-lossy", &[b"{\"version\":".to_vec(), b"\x1f\x8bnothing".to_vec()]).await;
    send_udp(&gateway, "gelf-lossy", &stdout(1, "after").gelf()).await;
    assert_shape(&gateway.wait_for("default", "*", 1).await[0], &stdout(1, "after"));
    let dropped = [("input", "gelf-lossy")];
    assert_eq!(gateway.metric("sluicegate_dropped_records_total", &dropped).await, 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_takes_all_that_was_written_and_a_restart_nothing_twice() {
    const EACH: usize = 300;
    let config = config("gelf", "join_timeout: 1m", "");
    let mut gateway = start(&config).await;
    let long = long();
    let pieces = stderr(9_999, &long).gelf();
    for run in 0..2 {
        let numbered = |transport: &str| -> Vec<Vec<u8>> {
            let text = |number| format!("{transport}-{run}-{number}");
            (0..EACH).flat_map(|number| stdout(number as u32, &text(number)).gelf()).collect()
        };
        let mut tcp = gateway.connect_to("gelf").await;
        send_udp(&gateway, "gelf", &numbered("udp")).await;
        tcp.write_all(&on_a_connection(numbered("tcp"))).await.unwrap();
        // The first piece of a long line in the first run, the others in the second.
        let part = if run == 0 { &pieces[..1] } else { &pieces[1..] };
        tcp.write_all(&on_a_connection(part.to_vec())).await.unwrap();
        let dir = gateway.stop().await;
        gateway = start_in(dir, &config).await;
    }
    gateway.wait_until_delivered().await;
    let found = gateway.wait_for("default", "*", 4 * EACH + 1).await;
    let mut logs: Vec<&str> = found.iter().map(|record| record["log"].as_str().unwrap()).collect();
    assert!(logs.contains(&&*long));
    logs.sort_unstable();
    logs.dedup();
    assert_eq!(logs.len(), 4 * EACH + 1);
    gateway.stop().await;
}
