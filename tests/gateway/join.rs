//! Docker's pieces become lines: within a connection, across connections, across a restart, and without an end.

use tokio::io::AsyncWriteExt;

use super::harness::{EMBEDDED, TestGateway, ack, data, message, read, start, start_in};

fn piece(ordinal: u32, last: bool, log: &str, chunk: Option<&str>) -> Vec<u8> {
    let fields = [
        ("container_id", "c0ffee"),
        ("container_name", "/web"),
        ("source", "stdout"),
        ("log", log),
        ("partial_message", "true"),
        ("partial_id", "id-1"),
        ("partial_ordinal", &ordinal.to_string()),
        ("partial_last", if last { "true" } else { "false" }),
    ];
    message("docker", 1_700_000_000, &fields, chunk)
}

async fn send_acked(gateway: &TestGateway, bytes: &[u8], chunk: &str) {
    let mut stream = gateway.connect().await;
    stream.write_all(bytes).await.unwrap();
    assert_eq!(read(&mut stream, 5 + 1 + chunk.len()).await, ack(chunk));
}

#[tokio::test]
async fn recorded_long_lines_of_docker_are_whole() {
    let gateway = start(EMBEDDED).await;
    gateway.send(&data("forward/docker-fluentd-long-40k.bin")).await;
    let found = gateway.wait_for("default", "*", 4).await;
    let mut lengths: Vec<usize> = found.iter().map(|record| record["log"].as_str().unwrap().len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [5, 6, 20_000, 40_960]);
    for record in &found {
        assert!(
            record.keys().all(|key| !key.starts_with("partial_") && !key.starts_with("__partial")),
            "{record:?}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_piece_is_acknowledged_at_once_and_joined_after_a_reconnect() {
    let gateway = start(EMBEDDED).await;
    // A character cut in half by the border of two pieces is whole again.
    let (first, second) = "caf\u{e9}".as_bytes().split_at(4);
    let raw = |ordinal, last, bytes: &[u8], chunk: &str| {
        let text = String::from_utf8(vec![b'#'; bytes.len()]).unwrap();
        let mut message = piece(ordinal, last, &text, Some(chunk));
        let at = message.windows(bytes.len()).position(|window| window == text.as_bytes()).unwrap();
        message[at..at + bytes.len()].copy_from_slice(bytes);
        message
    };
    send_acked(&gateway, &raw(1, false, first, "p1"), "p1").await;
    send_acked(&gateway, &raw(2, true, second, "p2"), "p2").await;
    let found = gateway.wait_for("default", "*", 1).await;
    assert_eq!(found[0]["log"], "caf\u{e9}");
    assert!(!found[0].contains_key("__partial__"));
    gateway.stop().await;
}

#[tokio::test]
async fn pieces_survive_a_restart_and_resent_ones_count_once() {
    let gateway = start(EMBEDDED).await;
    send_acked(&gateway, &piece(1, false, "one ", Some("p1")), "p1").await;
    let dir = gateway.stop().await;
    let gateway = start_in(dir, EMBEDDED).await;
    send_acked(&gateway, &piece(1, false, "one ", Some("p1")), "p1").await;
    send_acked(&gateway, &piece(2, false, "two ", Some("p2")), "p2").await;
    send_acked(&gateway, &piece(3, true, "three", Some("p3")), "p3").await;
    send_acked(&gateway, &piece(3, true, "three", Some("p3")), "p3").await;
    let found = gateway.wait_for("default", "*", 1).await;
    assert_eq!(found[0]["log"], "one two three");
    gateway.stop().await;
}

#[tokio::test]
async fn a_line_without_its_end_is_emitted_and_marked() {
    let config = format!(
        "inputs: {{ forward: {{ listen: '127.0.0.1:0', join_timeout: 100ms, max_line: 1KiB }} }}\n{EMBEDDED}"
    );
    let gateway = start(&config).await;
    send_acked(&gateway, &piece(1, false, "no newline", Some("p1")), "p1").await;
    let found = gateway.wait_for("default", "*", 1).await;
    assert_eq!(
        (found[0]["log"].as_str(), found[0]["__partial__"].as_str()),
        (Some("no newline"), Some("true"))
    );
    // What comes after all is no duplicate.
    send_acked(&gateway, &piece(2, true, "the end", Some("p2")), "p2").await;
    let found = gateway.wait_for("default", "end", 1).await;
    assert_eq!(found[0]["log"], "the end");
    gateway.stop().await;
}

#[tokio::test]
async fn the_next_line_ends_an_unfinished_one_and_stays_behind_it() {
    let gateway = start(EMBEDDED).await;
    let next = message(
        "docker",
        1_700_000_000,
        &[("container_id", "c0ffee"), ("container_name", "/web"), ("source", "stdout"), ("log", "next")],
        Some("n"),
    );
    send_acked(&gateway, &piece(1, false, "lost its end", Some("p1")), "p1").await;
    send_acked(&gateway, &next, "n").await;
    let found = gateway.wait_for("default", "*", 2).await;
    assert_eq!(found[0]["log"], "lost its end");
    assert_eq!(found[1]["log"], "next");
    gateway.stop().await;
}

#[tokio::test]
async fn a_line_without_end_is_cut_once_and_its_rest_dropped() {
    let config = format!("inputs: {{ forward: {{ listen: '127.0.0.1:0', max_line: 1KiB }} }}\n{EMBEDDED}");
    let gateway = start(&config).await;
    let text = "x".repeat(600);
    for ordinal in 1..20 {
        send_acked(&gateway, &piece(ordinal, false, &text, Some("p1")), "p1").await;
    }
    let found = gateway.wait_for("default", "*", 1).await;
    assert_eq!(found[0]["log"].as_str().unwrap().len(), 1024);
    assert_eq!(found[0]["__cut__"], "log");
    gateway.stop().await;
}

#[tokio::test]
async fn a_long_line_that_ran_out_of_time_is_stored_by_the_timer() {
    let config =
        format!("inputs: {{ forward: {{ listen: '127.0.0.1:0', join_timeout: 100ms }} }}\n{EMBEDDED}");
    let gateway = start(&config).await;
    send_acked(&gateway, &piece(1, false, &"x".repeat(700 << 10), Some("p1")), "p1").await;
    let found = gateway.wait_for("default", "*", 1).await;
    assert_eq!(found[0]["log"].as_str().unwrap().len(), 700 << 10);
    // The timer lives on.
    let other = message(
        "docker",
        1,
        &[
            ("container_id", "b"),
            ("source", "stdout"),
            ("log", "again"),
            ("partial_message", "true"),
            ("partial_id", "i"),
        ],
        Some("q"),
    );
    send_acked(&gateway, &other, "q").await;
    gateway.wait_for("default", "again", 1).await;
    gateway.stop().await;
}
