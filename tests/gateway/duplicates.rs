//! Messages that come again: which are known, over connections and restarts, and which are new data with an old id.

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::harness::{EMBEDDED, TestGateway, ack, message, read, start, start_in};
use super::peers::{deliver, docker_id, fluent_bit_id, fluentd_id};

const HITS: &str = "sluicegate_duplicates_total";

/// Each test has an input of its own, since metrics belong to the process.
fn config(input: &str) -> String {
    format!("inputs: {{ {input}: {{ type: forward, listen: '127.0.0.1:0' }} }}\n{EMBEDDED}")
}

fn event(log: &str, chunk: &str) -> Vec<u8> {
    message("docker.app", 1_700_000_000, &[("log", log)], Some(chunk))
}

/// How often each of these lines is stored, once all are delivered.
async fn stored(gateway: &TestGateway, logs: &[&str]) -> Vec<usize> {
    gateway.wait_until_delivered().await;
    let found = gateway.query("default", "*").await;
    logs.iter().map(|log| found.iter().filter(|record| record["log"] == *log).count()).collect()
}

/// Docker's driver with `fluentd-request-ack` and two streams does this, even after its ack was written.
#[tokio::test]
async fn a_docker_message_that_comes_again_on_fifty_connections_is_stored_once() {
    let gateway = start(&config("docker-again")).await;
    let (id, input) = (docker_id(1), [("input", "docker-again")]);
    let line = event("one", &id);
    for _ in 0..50 {
        deliver(&mut gateway.connect_to("docker-again").await, &line, &id).await;
    }
    assert_eq!(gateway.metric(HITS, &input).await, 49);
    assert_eq!(gateway.metric("sluicegate_acks_total", &input).await, 50);
    // Fifty at once: one of them is stored, and the others wait for its receipt.
    let id = docker_id(2);
    let line = event("two", &id);
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (mut stream, line, id) = (gateway.connect_to("docker-again").await, line.clone(), id.clone());
        tasks.spawn(async move { deliver(&mut stream, &line, &id).await });
    }
    assert_eq!(tasks.join_all().await.len(), 50);
    assert_eq!(gateway.metric(HITS, &input).await, 49 + 49);
    // Twice in one read.
    let id = docker_id(3);
    let mut stream = gateway.connect_to("docker-again").await;
    let line = event("three", &id);
    stream.write_all(&line.repeat(2)).await.unwrap();
    assert_eq!(read(&mut stream, 2 * ack(&id).len()).await, ack(&id).repeat(2));
    // An id that was used for something else does not make it the same message.
    deliver(&mut stream, &event("other", &id), &id).await;
    assert_eq!(stored(&gateway, &["one", "two", "three", "other"]).await, [1, 1, 1, 1]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_fluentd_chunk_that_comes_again_is_stored_once() {
    let gateway = start(&config("fluentd-again")).await;
    let id = fluentd_id(1);
    let mut stream = gateway.connect_to("fluentd-again").await;
    for _ in 0..3 {
        deliver(&mut stream, &event("chunk", &id), &id).await;
    }
    deliver(&mut gateway.connect_to("fluentd-again").await, &event("chunk", &id), &id).await;
    assert_eq!(stored(&gateway, &["chunk"]).await, [1]);
    assert_eq!(gateway.metric(HITS, &[("input", "fluentd-again")]).await, 3);
    gateway.stop().await;
}

/// Fluent Bit's id is a hash: a line that is said twice has one id.
#[tokio::test]
async fn equal_data_with_an_id_of_its_content_is_stored_as_often_as_it_is_sent() {
    let gateway = start(&config("equal-data")).await;
    let id = fluent_bit_id(1);
    let line = event("tick", &id);
    let mut stream = gateway.connect_to("equal-data").await;
    for _ in 0..3 {
        deliver(&mut stream, &line, &id).await;
    }
    // It has read its ack and leaves in order: what comes then is new.
    leave(stream, &gateway, "equal-data").await;
    deliver(&mut gateway.connect_to("equal-data").await, &line, &id).await;
    assert_eq!(stored(&gateway, &["tick"]).await, [4]);
    assert_eq!(gateway.metric(HITS, &[("input", "equal-data")]).await, 0);
    gateway.stop().await;
}

#[tokio::test]
async fn data_whose_ack_was_not_read_is_known_when_it_comes_again() {
    let gateway = start(&config("ack-lost")).await;
    let id = fluent_bit_id(2);
    let line = event("once", &id);
    lose_ack(&gateway, "ack-lost", &line, 1).await;
    // And lost again: it is still the same message.
    lose_ack(&gateway, "ack-lost", &line, 2).await;
    let mut stream = gateway.connect_to("ack-lost").await;
    deliver(&mut stream, &line, &id).await;
    assert_eq!(stored(&gateway, &["once"]).await, [1]);
    assert_eq!(gateway.metric(HITS, &[("input", "ack-lost")]).await, 2);
    // Now the ack was read, so that the same bytes are new data.
    deliver(&mut stream, &line, &id).await;
    assert_eq!(stored(&gateway, &["once"]).await, [2]);
    gateway.stop().await;
}

#[tokio::test]
async fn both_are_known_after_a_restart() {
    let config = config("restarted");
    let gateway = start(&config).await;
    let (random, lost, taken) = (docker_id(4), fluent_bit_id(4), fluent_bit_id(5));
    let lines = [event("random", &random), event("lost", &lost), event("taken", &taken)];
    deliver(&mut gateway.connect_to("restarted").await, &lines[0], &random).await;
    let acked = gateway.metric("sluicegate_acks_total", &[("input", "restarted")]).await;
    lose_ack(&gateway, "restarted", &lines[1], acked + 1).await;
    let mut stream = gateway.connect_to("restarted").await;
    deliver(&mut stream, &lines[2], &taken).await;
    leave(stream, &gateway, "restarted").await;
    let mut dir = gateway.stop().await;
    for again in 1..3 {
        let gateway = start_in(dir, &config).await;
        let mut stream = gateway.connect_to("restarted").await;
        deliver(&mut stream, &lines[0], &random).await;
        if again == 1 {
            deliver(&mut stream, &lines[1], &lost).await;
            deliver(&mut stream, &lines[2], &taken).await;
        }
        leave(stream, &gateway, "restarted").await;
        assert_eq!(stored(&gateway, &["random", "lost", "taken"]).await, [1, 1, 2], "after {again}");
        dir = gateway.stop().await;
    }
}

#[tokio::test]
async fn a_window_of_nothing_switches_it_off() {
    let gateway = start(&format!("{}\nduplicates: {{ window: 0s }}", config("not-known"))).await;
    let id = docker_id(5);
    for _ in 0..3 {
        deliver(&mut gateway.connect_to("not-known").await, &event("each", &id), &id).await;
    }
    assert_eq!(stored(&gateway, &["each"]).await, [3]);
    assert_eq!(gateway.metric(HITS, &[("input", "not-known")]).await, 0);
    gateway.stop().await;
}

/// Sends a message and goes away without reading its ack, which resets the connection; returns when the gateway knows.
async fn lose_ack(gateway: &TestGateway, input: &str, message: &[u8], acks: u64) {
    let mut stream = gateway.connect_to(input).await;
    stream.write_all(message).await.unwrap();
    gateway.wait_for_metric("sluicegate_acks_total", &[("input", input)], acks).await;
    // The ack is on its way; once it is here, closing without reading it is a reset.
    stream.readable().await.unwrap();
    drop(stream);
    gone(gateway, input).await;
}

/// Leaves in order; returns when the gateway knows.
async fn leave(mut stream: tokio::net::TcpStream, gateway: &TestGateway, input: &str) {
    stream.shutdown().await.unwrap();
    assert_eq!(super::harness::read_to_close(&mut stream).await, b"");
    drop(stream);
    gone(gateway, input).await;
}

async fn gone(gateway: &TestGateway, input: &str) {
    let open = async || gateway.metric("sluicegate_connections_open", &[("input", input)]).await == 0;
    super::harness::until("the end of the connection", open).await;
}
