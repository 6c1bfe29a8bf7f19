//! Syslog into the Log Service: what Docker's driver sends over each transport, and what others do.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::net::{UdpSocket, UnixStream};

use super::drivers::{FORMATS, Format, assert_shape, long, stderr, stdout};
use super::harness::{EMBEDDED, TestGateway, data, start, start_in};

/// An input on all transports.
fn config(sockets: &Path, settings: &str, routes: &str) -> String {
    let (stream, datagram) = (sockets.join("stream"), sockets.join("datagram"));
    let listen = format!(
        "['udp:127.0.0.1:0', 'tcp:127.0.0.1:0', 'unix:{}', 'unixgram:{}']",
        stream.display(),
        datagram.display()
    );
    format!("inputs: {{ syslog: {{ listen: {listen}, {settings} }} }}\n{EMBEDDED}\n{routes}")
}

async fn send_udp(gateway: &TestGateway, datagrams: impl IntoIterator<Item = Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for datagram in datagrams {
        socket.send_to(&datagram, gateway.udp_address("syslog")).await.unwrap();
    }
}

/// Writes datagrams, waiting while the socket is full.
async fn send_unixgram(sockets: &Path, datagrams: Vec<Vec<u8>>) {
    let path = sockets.join("datagram");
    let sending = tokio::task::spawn_blocking(move || {
        let socket = UnixDatagram::unbound().unwrap();
        datagrams.iter().for_each(|datagram| {
            socket.send_to(datagram, &path).unwrap();
        });
    });
    sending.await.unwrap();
}

async fn send_unix(sockets: &Path, bytes: &[u8]) {
    let mut stream = UnixStream::connect(sockets.join("stream")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_s_lines_have_one_shape_in_every_format_on_every_transport() {
    let sockets = tempfile::tempdir().unwrap();
    let gateway = start(&config(sockets.path(), "", "")).await;
    let long = long();
    for (at, format) in (0..).zip(FORMATS) {
        let lines = [stdout(10 * at, "hello"), stderr(10 * at + 1, "oops"), stdout(10 * at + 2, &long)];
        let messages: Vec<Vec<u8>> = lines.iter().flat_map(|line| line.syslog(format)).collect();
        send_udp(&gateway, messages.clone()).await;
        gateway.wait_for("default", "hello", 4 * at as usize + 1).await;
        send_unixgram(sockets.path(), messages.clone()).await;
        gateway.wait_for("default", "hello", 4 * at as usize + 2).await;
        gateway.send_to("syslog", &messages.concat()).await;
        gateway.wait_for("default", "hello", 4 * at as usize + 3).await;
        // As over TLS: lengths before the messages, which count their line feed.
        let counted = |message: &Vec<u8>| [format!("{} ", message.len()).as_bytes(), message].concat();
        send_unix(sockets.path(), &messages.iter().flat_map(counted).collect::<Vec<u8>>()).await;
        gateway.wait_for("default", "hello", 4 * at as usize + 4).await;
    }
    for (what, line) in [("hello", stdout(0, "hello")), ("oops", stderr(0, "oops"))] {
        for record in gateway.wait_for("default", what, 4 * FORMATS.len()).await {
            assert_shape(&record, &line);
            assert_eq!(record["__topic__"], "syslog.daemon");
            assert_eq!(record["facility"], "daemon");
            assert!(!record.contains_key("message") && !record.contains_key("procid"), "{record:?}");
        }
    }
    let found = gateway.wait_for("default", "source: stdout not hello", 4 * FORMATS.len()).await;
    found.iter().for_each(|record| assert_shape(record, &stdout(0, &long)));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_was_recorded_to_send_arrives() {
    let sockets = tempfile::tempdir().unwrap();
    let gateway = start(&config(sockets.path(), "", "")).await;
    gateway.send_to("syslog", &data("syslog/docker-rfc5424-tcp-tls.bin")).await;
    let found = gateway.wait_for("default", "container_id: 26ed99841543", 7).await;
    let mut lengths: Vec<usize> = found.iter().map(|record| record["log"].as_str().unwrap().len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths.last(), Some(&20_000));
    let source = |log: &str| found.iter().find(|record| record["log"] == log).unwrap()["source"].clone();
    assert_eq!((source("hello"), source("oops")), ("stdout".into(), "stderr".into()));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn facilities_are_tags_and_containers_are_conditions_of_routes() {
    let routes = "routes:\n  \
        - { match: 'syslog.**', when: { container_name: web-1 }, logstore: web, topic: '${record.container_name}', \
            processors: [ { parse: json, key: log } ] }\n  \
        - { match: 'syslog.{local3,auth}', logstore: devices }";
    let sockets = tempfile::tempdir().unwrap();
    let gateway = start(&config(sockets.path(), "source_address_key: from", routes)).await;
    let line = stdout(0, r#"{"level":"warn","took":7,"source":"app"}"#);
    let device =
        br#"<155>1 2026-11-22T22:54:25.951177Z sw1 lldpd 12 ID7 [port@9 name="ge\"0" up="1"] link down"#;
    send_udp(&gateway, line.syslog(Format::Rfc5424).into_iter().chain([device.to_vec()])).await;
    send_udp(&gateway, [b"<13>no header at all".to_vec()]).await;
    let web = gateway.wait_for("web", "*", 1).await;
    assert_eq!((web[0]["level"].as_str(), web[0]["took"].as_str()), (Some("warn"), Some("7")));
    // What the gateway says of a container is not the container's to say.
    assert_eq!((web[0]["source"].as_str(), web[0]["log.source"].as_str()), (Some("stdout"), Some("app")));
    assert_eq!((web[0]["__topic__"].as_str(), web[0]["from"].as_str()), (Some("web-1"), Some("127.0.0.1")));
    let device = gateway.wait_for("devices", "*", 1).await;
    for (key, value) in [
        ("message", "link down"),
        ("hostname", "sw1"),
        ("appname", "lldpd"),
        ("procid", "12"),
        ("msgid", "ID7"),
        ("port@9.name", "ge\"0"),
        ("port@9.up", "1"),
        ("severity", "err"),
        ("__topic__", "syslog.local3"),
    ] {
        assert_eq!(device[0].get(key).and_then(|value| value.as_str()), Some(value), "{device:?}");
    }
    assert_eq!(gateway.wait_for("default", "*", 1).await[0]["message"], "no header at all");
    gateway.stop().await;
}

/// Connections stay open and everything is written when the stop comes; nothing of it was acknowledged, as syslog has no
/// way to.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_takes_all_that_was_written_and_a_restart_nothing_twice() {
    const EACH: usize = 300;
    let sockets = tempfile::tempdir().unwrap();
    let config = config(sockets.path(), "", "");
    let mut gateway = start(&config).await;
    for run in 0..2 {
        let numbered = |transport: &str| -> Vec<Vec<u8>> {
            let text = |number| format!("{transport}-{run}-{number}");
            (0..EACH)
                .flat_map(|number| stdout(number as u32, &text(number)).syslog(Format::Rfc3164))
                .collect()
        };
        let mut tcp = gateway.connect_to("syslog").await;
        let mut unix = UnixStream::connect(sockets.path().join("stream")).await.unwrap();
        send_unixgram(sockets.path(), numbered("unixgram")).await;
        send_udp(&gateway, numbered("udp")).await;
        unix.write_all(&numbered("unix").concat()).await.unwrap();
        tcp.write_all(&numbered("tcp").concat()).await.unwrap();
        let dir = gateway.stop().await;
        assert!(unix.write_all(b"<14>late\n").await.is_err());
        gateway = start_in(dir, &config).await;
    }
    gateway.wait_until_delivered().await;
    let found = gateway.wait_for("default", "*", 2 * 4 * EACH).await;
    let mut logs: Vec<&str> = found.iter().map(|record| record["log"].as_str().unwrap()).collect();
    logs.sort_unstable();
    logs.dedup();
    assert_eq!(logs.len(), 2 * 4 * EACH);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_whose_pieces_come_before_and_behind_a_restart_is_whole() {
    let sockets = tempfile::tempdir().unwrap();
    let config = config(sockets.path(), "join_timeout: 1m", "");
    let gateway = start(&config).await;
    let long = long();
    let pieces = stdout(0, &long).syslog(Format::Rfc5424Micro);
    gateway.send_to("syslog", &pieces[0]).await;
    let dir = gateway.stop().await;
    let gateway = start_in(dir, &config).await;
    gateway.send_to("syslog", &pieces[1..].concat()).await;
    let found = gateway.wait_for("default", "*", 1).await;
    assert_shape(&found[0], &stdout(0, &long));
    gateway.stop().await;
}
