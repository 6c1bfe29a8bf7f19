//! How connections begin and end: transports, bounds, and that nothing stored loses its ack at the end.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UdpSocket, UnixStream};

use super::harness::{EMBEDDED, TestGateway, ack, message, read_to_close, start, until};
use super::peers::deliver;
use super::watch::logged;

async fn start_with(input: &str, settings: &str) -> TestGateway {
    let input = format!("{input}: {{ type: forward, listen: '127.0.0.1:0', {settings} }}");
    start(&format!("inputs: {{ {input} }}\n{EMBEDDED}")).await
}

fn event(log: &str, chunk: &str) -> Vec<u8> {
    message("app", 1_700_000_000, &[("log", log)], Some(chunk))
}

#[tokio::test]
async fn without_keepalive_a_connection_ends_behind_the_acks_of_its_first_read() {
    let gateway = start_with("forward", "deny_keepalive: true").await;
    let mut stream = gateway.connect().await;
    // Two complete messages and the start of a third, in one read.
    let third = event("third", "c");
    let bytes = [event("first", "a"), event("second", "b"), third[..20].to_vec()].concat();
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, [ack("a"), ack("b")].concat());
    // A message in two reads is one message.
    let mut stream = gateway.connect().await;
    stream.set_nodelay(true).unwrap();
    let long = "x".repeat(300_000);
    stream.write_all(&event(&long, "l")).await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, ack("l"));
    let found = gateway.wait_for("default", "*", 3).await;
    assert!(found.iter().all(|record| record["log"] != "third"));
    gateway.stop().await;
}

/// Closing with unread bytes would reset the connection, and the reset would take the ack back.
#[tokio::test(flavor = "multi_thread")]
async fn an_ack_is_read_although_the_connection_ends_for_garbage_behind_its_message() {
    let gateway = start_with("lingering", "linger_timeout: 30s").await;
    for number in 0..5 {
        let chunk = format!("g{number}");
        let stream = gateway.connect_to("lingering").await;
        let (mut reader, mut writer) = stream.into_split();
        let bytes = [event("good", &chunk), vec![0xc1; 8 << 20]].concat();
        let writing = tokio::spawn(async move {
            writer.write_all(&bytes).await.unwrap();
            writer
        });
        // Only once everything is written, so that a reset has come before the ack is looked at.
        let writer = writing.await.unwrap();
        let mut answer = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer).await.expect("no reset");
        assert_eq!(answer, ack(&chunk));
        drop(writer);
    }
    let framing = [("input", "lingering"), ("reason", "framing")];
    gateway.wait_for_metric("sluicegate_input_closed_total", &framing, 5).await;
    gateway.wait_for("default", "good", 5).await;
    gateway.stop().await;
}

/// Whatever it went on writing would be lost: it cannot know better.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_asks_for_no_acks_is_refused_at_once_when_we_end_its_connection() {
    let gateway = start_with("short", "deny_keepalive: true, linger_timeout: 60s").await;
    let mut stream = gateway.connect_to("short").await;
    stream.write_all(&message("app", 1_700_000_000, &[("log", "said")], None)).await.unwrap();
    gateway.wait_for("default", "said", 1).await;
    let (more, mut taken) = (vec![0; 64 << 10], 0);
    while let Ok(written) = stream.write(&more).await {
        taken += written;
        assert!(taken < 64 << 20, "it goes on taking bytes");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_where_the_input_is_set_so() {
    let gateway = start_with("idling", "idle_timeout: 1s, linger_timeout: 0s").await;
    let mut silent = gateway.connect_to("idling").await;
    let mut spoke = gateway.connect_to("idling").await;
    deliver(&mut spoke, &event("said", "s"), "s").await;
    assert_eq!(read_to_close(&mut silent).await, b"");
    assert_eq!(read_to_close(&mut spoke).await, b"");
    let idle = [("input", "idling"), ("reason", "idle")];
    gateway.wait_for_metric("sluicegate_input_closed_total", &idle, 2).await;
    assert!(!logged(&["idling", "idle_timeout"]).is_empty());
    gateway.wait_for("default", "said", 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_peer_has_no_more_connections_than_its_share() {
    let gateway = start_with("shared-out", "max_connections_per_peer: 2").await;
    let mut first = gateway.connect_to("shared-out").await;
    let mut second = gateway.connect_to("shared-out").await;
    deliver(&mut first, &event("first", "1"), "1").await;
    deliver(&mut second, &event("second", "2"), "2").await;
    let mut third = gateway.connect_to("shared-out").await;
    assert_eq!(read_to_close(&mut third).await, b"");
    let refused = [("input", "shared-out"), ("reason", "max_connections_per_peer")];
    assert_eq!(gateway.metric("sluicegate_connections_refused_total", &refused).await, 1);
    // Another peer has its own share.
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(gateway.address("shared-out")).await.unwrap();
    deliver(&mut other, &event("other", "o"), "o").await;
    // Who leaves makes room; those who stay are not disturbed.
    drop(second);
    until("room for another connection", async || {
        let mut next = gateway.connect_to("shared-out").await;
        let written = next.write_all(&event("next", "n")).await;
        written.is_ok() && read_to_close_or_ack(&mut next).await == ack("n")
    })
    .await;
    deliver(&mut first, &event("first", "3"), "3").await;
    gateway.wait_for("default", "*", 5).await;
    gateway.stop().await;
}

async fn read_to_close_or_ack(stream: &mut TcpStream) -> Vec<u8> {
    stream.shutdown().await.ok();
    read_to_close(stream).await
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_takes_messages_and_goes_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forward.sock");
    // What an earlier run left behind is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    for mode in [0o600, 0o622] {
        let listen = format!("['127.0.0.1:0', 'unix:{}']", path.display());
        let config =
            format!("inputs: {{ forward: {{ listen: {listen}, unix_mode: '{mode:04o}' }} }}\n{EMBEDDED}");
        let gateway = start(&config).await;
        let about = std::fs::symlink_metadata(&path).unwrap();
        assert!(about.file_type().is_socket());
        assert_eq!(about.permissions().mode() & 0o7777, mode);
        let mut stream = UnixStream::connect(&path).await.unwrap();
        deliver(&mut stream, &event("by file", "u"), "u").await;
        // Both ways lead to one input.
        deliver(&mut gateway.connect().await, &event("by port", "t"), "t").await;
        gateway.wait_for("default", "*", 2).await;
        drop(stream);
        gateway.stop().await;
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn udp_heartbeats_are_answered_where_they_are_wanted() {
    let gateway = start_with("beating", "").await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    peer.connect(gateway.address("beating")).await.unwrap();
    let mut answer = [0xff; 16];
    // Fluentd sends one byte, Fluency none.
    for question in [&b"\0"[..], b""] {
        peer.send(question).await.unwrap();
        assert_eq!(peer.recv(&mut answer).await.unwrap(), 1);
        assert_eq!(answer[0], 0);
    }
    // What is no heartbeat gets no answer, and the next heartbeat gets its own.
    peer.send(b"who are you").await.unwrap();
    peer.send(b"\0").await.unwrap();
    assert_eq!(peer.recv(&mut answer).await.unwrap(), 1);
    let counted = async |outcome| {
        gateway.metric("sluicegate_heartbeats_total", &[("input", "beating"), ("outcome", outcome)]).await
    };
    assert_eq!((counted("answered").await, counted("ignored").await), (3, 1));
    gateway.stop().await;

    let gateway = start_with("forward", "udp_heartbeat: false").await;
    peer.connect(gateway.address("forward")).await.unwrap();
    peer.send(b"\0").await.unwrap();
    let refused = peer.recv(&mut answer).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    gateway.stop().await;
}
