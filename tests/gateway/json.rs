//! Connections of JSON texts, as Go's `MarshalAsJSON` and the PHP logger write them.

use tokio::io::AsyncWriteExt;

use super::harness::{EMBEDDED, read, read_to_close, start};
use super::peers::docker_id;

fn config(input: &str) -> String {
    format!("inputs: {{ {input}: {{ type: forward, listen: '127.0.0.1:0' }} }}\n{EMBEDDED}")
}

/// Go writes four elements and waits for its ack.
fn golang(log: &str, chunk: &str) -> String {
    format!(r#"["app.go",1700000000,{{"log":"{log}","n":{{"a":[1,null]}}}},{{"chunk":"{chunk}"}}]"#)
}

fn ack(chunk: &str) -> String {
    format!(r#"{{"ack":"{chunk}"}}"#)
}

async fn deliver(stream: &mut tokio::net::TcpStream, text: &str, chunk: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(String::from_utf8(read(stream, ack(chunk).len()).await).unwrap(), ack(chunk));
}

#[tokio::test]
async fn acks_go_back_as_json() {
    let gateway = start(&config("json-acks")).await;
    let mut stream = gateway.connect_to("json-acks").await;
    for number in 0..3 {
        let id = docker_id(number);
        deliver(&mut stream, &golang(&number.to_string(), &id), &id).await;
    }
    // Entries, and an id that JSON writes with escapes.
    let entries = "[\"app.go\",[[1700000000,{\"log\":\"3\"}],[1700000001,{\"log\":\"4\"}]],{\"chunk\":\"a\\\"\\n\\u65e5\"}]";
    stream.write_all(entries.as_bytes()).await.unwrap();
    let expected = "{\"ack\":\"a\\\"\\n日\"}";
    assert_eq!(read(&mut stream, expected.len()).await, expected.as_bytes());
    // Three in one write, the second without an id: two acks and nothing else.
    let texts = [golang("5", "x"), r#"["app.go",1700000000,{"log":"6"},{}]"#.to_owned(), golang("7", "y")];
    stream.write_all(texts.concat().as_bytes()).await.unwrap();
    let expected = ack("x") + &ack("y");
    assert_eq!(read(&mut stream, expected.len()).await, expected.as_bytes());
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, b"");
    let found = gateway.wait_for("default", "*", 8).await;
    assert_eq!(
        found.iter().filter(|record| record.get("n").is_some_and(|n| n == r#"{"a":[1,null]}"#)).count(),
        5
    );
    assert!(found.iter().all(|record| record["__topic__"] == "app.go"));
    gateway.stop().await;
}

/// The PHP logger writes text behind text, with nothing between, and reads nothing.
#[tokio::test]
async fn adjacent_texts_without_acks() {
    let gateway = start(&config("php")).await;
    let text = |log: usize| format!(r#"["fluentd.test.follow",1441588984,{{"hello":"w{log}"}}]"#);
    let texts: String = (0..500).map(text).collect();
    gateway.send_to("php", texts.as_bytes()).await;
    let spaced = " \r\n[\"t\" ,\n\t1441588984 , { \"hello\" : \"spaced\" } ]\n\n  [\"t\",1441588984,{\"hello\":\"last\"}]\n";
    let mut stream = gateway.connect_to("php").await;
    stream.write_all(&spaced.as_bytes()[3..]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_close(&mut stream).await, b"");
    gateway.wait_for("default", "hello:*", 502).await;
    gateway.stop().await;
}

/// The second part leaves only when the gateway has read the first.
#[tokio::test]
async fn a_text_may_be_cut_anywhere() {
    let gateway = start(&config("json-cut")).await;
    let mut stream = gateway.connect_to("json-cut").await;
    stream.set_nodelay(true).unwrap();
    let mut sent = 0;
    let mut texts = 0;
    let len = golang("cut 日志", "c00").len();
    for cut in 1..len {
        let chunk = format!("c{:02}", cut % 100);
        let text = golang("cut 日志", &chunk);
        let (first, rest) = text.as_bytes().split_at(cut);
        stream.write_all(first).await.unwrap();
        sent += first.len() as u64;
        gateway.wait_for_metric("sluicegate_received_bytes_total", &[("input", "json-cut")], sent).await;
        stream.write_all(rest).await.unwrap();
        sent += rest.len() as u64;
        assert_eq!(read(&mut stream, ack(&chunk).len()).await, ack(&chunk).as_bytes(), "cut at {cut}");
        texts += 1;
    }
    gateway.wait_until_delivered().await;
    let found = gateway.query("default", "*").await;
    assert_eq!(found.len(), texts);
    assert!(found.iter().all(|record| record["log"] == "cut 日志"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_text_that_comes_again_is_stored_once() {
    let gateway = start(&config("json-again")).await;
    let id = docker_id(1);
    for _ in 0..5 {
        deliver(&mut gateway.connect_to("json-again").await, &golang("once", &id), &id).await;
    }
    gateway.wait_until_delivered().await;
    assert_eq!(gateway.query("default", "*").await.len(), 1);
    assert_eq!(gateway.metric("sluicegate_duplicates_total", &[("input", "json-again")]).await, 4);
    gateway.stop().await;
}

#[tokio::test]
async fn damage_costs_the_connection_and_no_ack_before_it() {
    let gateway = start(&config("json-damaged")).await;
    for (number, damage) in [r#"["t",1,{"a":1]]"#, "]", "x", r#"{"log":"x"}"#, "[\"t\",1,{\"a\":\"\u{1}\"}]"]
        .into_iter()
        .enumerate()
    {
        let chunk = format!("d{number}");
        let mut stream = gateway.connect_to("json-damaged").await;
        stream.write_all((golang("before", &chunk) + damage).as_bytes()).await.unwrap();
        assert_eq!(read_to_close(&mut stream).await, ack(&chunk).as_bytes(), "{damage}");
    }
    gateway.wait_for("default", "before", 5).await;
    let reasons = async |reason| {
        gateway
            .metric("sluicegate_input_closed_total", &[("input", "json-damaged"), ("reason", reason)])
            .await
    };
    assert_eq!(reasons("json").await + reasons("message").await, 5);
    gateway.stop().await;
}
