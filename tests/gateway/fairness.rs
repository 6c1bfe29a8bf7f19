//! A slow or stuck client costs its own connection only.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::harness::{EMBEDDED, TestGateway, ack, message, read, start};
use super::peers::deliver;

fn config(input: &str, extra: &str) -> String {
    format!("inputs: {{ {input}: {{ type: forward, listen: '127.0.0.1:0' }} }}\n{extra}\n{EMBEDDED}")
}

fn event(log: &str, chunk: &str) -> Vec<u8> {
    message("app", 1_700_000_000, &[("log", log)], Some(chunk))
}

/// Between two bytes of the slow ones, others are served.
#[tokio::test]
async fn clients_that_send_a_byte_at_a_time_hold_nobody_up() {
    let gateway = start(&config("slow", "limits: { byte_budget: 1MiB }")).await;
    let slow = event("slow", "s");
    let mut streams = Vec::new();
    for _ in 0..20 {
        let stream = gateway.connect_to("slow").await;
        stream.set_nodelay(true).unwrap();
        streams.push(stream);
    }
    let mut brisk = gateway.connect_to("slow").await;
    let busy = event(&"b".repeat(50_000), "b");
    for byte in &slow {
        for stream in &mut streams {
            stream.write_all(&[*byte]).await.unwrap();
        }
        deliver(&mut brisk, &busy, "b").await;
    }
    for stream in &mut streams {
        assert_eq!(read(stream, ack("s").len()).await, ack("s"));
    }
    gateway.wait_for("default", "slow", streams.len()).await;
    gateway.stop().await;
}

/// The beginning of a large message keeps its part of the budget and no more, however many begin one.
#[tokio::test]
async fn messages_that_never_end_hold_nobody_up() {
    let gateway = start(&config("endless", "limits: { byte_budget: 4MiB }")).await;
    let large = event(&"l".repeat(100_000), "l");
    let mut begun = Vec::new();
    for _ in 0..20 {
        let mut stream = gateway.connect_to("endless").await;
        stream.write_all(&large[..90_000]).await.unwrap();
        begun.push(stream);
    }
    let read = 20 * 90_000;
    gateway.wait_for_metric("sluicegate_received_bytes_total", &[("input", "endless")], read).await;
    let mut brisk = gateway.connect_to("endless").await;
    for _ in 0..20 {
        deliver(&mut brisk, &large, "l").await;
    }
    for stream in &mut begun {
        deliver(stream, &large[90_000..], "l").await;
    }
    gateway.stop().await;
}

/// Writes as long as the kernel takes it; says how many bytes that were.
fn push(stream: &TcpStream, message: &[u8], at: &mut usize) -> usize {
    let mut written = 0;
    loop {
        match stream.try_write(&message[*at % message.len()..]) {
            Ok(len) => {
                *at += len;
                written += len;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return written,
            Err(error) => panic!("the connection is lost: {error}"),
        }
    }
}

async fn with_small_buffers(gateway: &TestGateway, input: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.set_send_buffer_size(16_384).unwrap();
    socket.connect(gateway.address(input)).await.unwrap()
}

/// It asks for acks and reads none: it is not read any more once its acks find no place, and nobody else notices.
#[tokio::test]
async fn a_client_that_never_reads_its_acks_stops_itself_only() {
    let gateway = start(&config("unread", "")).await;
    let greedy = with_small_buffers(&gateway, "unread").await;
    let mut healthy = gateway.connect_to("unread").await;
    // The longest id there may be makes the longest acks; without a field, little is stored.
    let id = "i".repeat(256);
    let small = message("greedy", 1_700_000_000, &[("g", "1")], Some(&id));
    let (mut at, mut still) = (0, 0);
    while still < 20 {
        still = if push(&greedy, &small, &mut at) == 0 { still + 1 } else { 0 };
        deliver(&mut healthy, &event("healthy", "h"), "h").await;
        assert!(at < 512 << 20, "{at} bytes were taken without an ack being read");
    }
    assert!(at > small.len());
    // It is not closed: when it reads, it gets an ack for everything it has said, and goes on.
    let (mut reader, mut writer) = greedy.into_split();
    let rest = small[at % small.len()..].to_vec();
    let messages = at.div_ceil(small.len()) + usize::from(at % small.len() == 0);
    let writing = tokio::spawn(async move {
        writer.write_all(&rest).await.unwrap();
        writer.shutdown().await.unwrap();
        writer
    });
    let mut answers = Vec::new();
    reader.read_to_end(&mut answers).await.unwrap();
    let one = [&b"\x81\xa3ack\xda\x01\x00"[..], id.as_bytes()].concat();
    assert_eq!((answers.len() / one.len(), answers.len() % one.len()), (messages, 0));
    assert!(answers.chunks_exact(one.len()).all(|answer| answer == one));
    drop(writing.await.unwrap());
    gateway.stop().await;
}

/// A connection that begins and says nothing takes nobody's place.
#[tokio::test]
async fn silent_connections_hold_nobody_up() {
    let gateway = start(&config("silent", "")).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(gateway.connect_to("silent").await);
    }
    let open = [("input", "silent")];
    gateway.wait_for_metric("sluicegate_connections_open", &open, 300).await;
    let mut brisk = gateway.connect_to("silent").await;
    for _ in 0..10 {
        deliver(&mut brisk, &event("brisk", "b"), "b").await;
    }
    // They have lost nothing by waiting.
    for stream in silent.iter_mut().step_by(30) {
        deliver(stream, &event("late", "l"), "l").await;
    }
    gateway.wait_for("default", "*", 20).await;
    gateway.stop().await;
}
