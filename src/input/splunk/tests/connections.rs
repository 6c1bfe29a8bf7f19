//! The input behind a socket, with a journal.

use std::io::Write;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::house::{CHANNEL, House, TOKEN, plan, post};
use super::{recording, requests};
use crate::base::limits::KIB;
use crate::config::plan::{ConnectionsPlan, SplunkPlan};

const EVENT: &str = "/services/collector/event";
const SUCCESS: &str = r#"{"text":"Success","code":0}"#;

fn body(text: &str, code: u16) -> String {
    format!(r#"{{"text":"{text}","code":{code}}}"#)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test]
async fn docker_s_requests_are_answered_once_they_are_stored() {
    let house = House::new(plan()).await;
    let mut stored = 0;
    for (recording, records) in
        [(&recording!("inline")[..], 11), (recording!("inline-gzip"), 2), (recording!("raw-tag-attrs"), 1)]
    {
        let mut client = house.connect().await;
        for (head, body) in requests(recording) {
            client.send(&[head.as_bytes(), &body].concat()).await;
            let expected = if head.starts_with("OPTIONS") { "" } else { SUCCESS };
            assert_eq!(client.answer().await, (200, expected.to_owned()));
        }
        stored += records;
        assert_eq!(house.stored(), stored);
    }
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn every_code_has_its_text() {
    let house = House::new(plan()).await;
    let bare = |target: &str, headers: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 13\r\n\r\n{{\"event\":\"x\"}}")
            .into_bytes()
    };
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let event = |body: &str| post(EVENT, "", body.as_bytes());
    let numbered = |text, code, event| {
        (400, format!(r#"{{"text":"{text}","code":{code},"invalid-event-number":{event}}}"#))
    };
    for (request, answer) in [
        (event(r#"{"event":"x"}"#), (200, SUCCESS.to_owned())),
        (
            bare(
                EVENT,
                &format!(
                    "Authorization: Basic {}\r\n",
                    "eDoxMTExMTExMS0yMjIyLTMzMzMtNDQ0NC01NTU1NTU1NTU1NTU="
                ),
            ),
            (200, SUCCESS.to_owned()),
        ),
        (bare(EVENT, ""), (401, body("Token is required", 2))),
        (bare(EVENT, "Authorization: x\r\n"), (401, body("Invalid authorization", 3))),
        (bare(EVENT, "Authorization: Splunk x\r\n"), (403, body("Invalid token", 4))),
        (event(""), (400, body("No data", 5))),
        (event(r#"{"event":"x"}{"event":"y"}{"#), numbered("Invalid data format", 6, 2)),
        (event(r#"{"event":"x"}{"time":1}"#), numbered("Event field is required", 12, 1)),
        (event(r#"{"event":""}"#), numbered("Event field cannot be blank", 13, 0)),
        (post(EVENT, "Content-Encoding: br\r\n", b"x"), (400, body("Invalid data format", 6))),
        (post(EVENT, "Content-Encoding: gzip\r\n", b"\x1f\x8bx"), (400, body("Invalid data format", 6))),
        (post("/services/collector/ack", "", b"{}"), (400, body("Data channel is missing", 10))),
        (post(&format!("{EVENT}?channel=x"), "", b"{}"), (400, body("Invalid data channel", 11))),
        (
            bare(&format!("{EVENT}?token={TOKEN}"), ""),
            (400, body("Query string authorization is not enabled", 16)),
        ),
        (get("/services/collector/health"), (200, body("HEC is healthy", 17))),
        (get("/services/collector/health/1.0"), (200, body("HEC is healthy", 17))),
        (post(EVENT, "", &vec![b' '; (1 << 20) + 1]), (413, body("Request entity too large", 27))),
        (get("/"), (404, body("The requested URL was not found on this server.", 404))),
        (get(EVENT), (405, body("The requested method is not allowed here.", 405))),
    ] {
        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        assert_eq!(house.ask(&request).await, answer, "{shown}");
    }
    assert_eq!(house.stored(), 5);
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn ack_ids_are_true_from_the_start() {
    let house = House::new(plan()).await;
    let mut client = house.connect().await;
    let channel = format!("X-Splunk-Request-Channel: {CHANNEL}\r\n");
    client.send(&post(EVENT, &channel, br#"{"event":"x"}"#)).await;
    let (status, text) = client.answer().await;
    let id: u64 = text
        .strip_prefix(r#"{"text":"Success","code":0,"ackId":"#)
        .unwrap()
        .trim_end_matches('}')
        .parse()
        .unwrap();
    assert_eq!(status, 200);
    let question = format!(r#"{{"acks":[{id},{}]}}"#, id + 1);
    for _ in 0..2 {
        client.send(&post("/services/collector/ack", &channel, question.as_bytes())).await;
        let expected = format!(r#"{{"acks":{{"{id}":true,"{}":false}}}}"#, id + 1);
        assert_eq!(client.answer().await, (200, expected));
    }
    let disabled = House::new(SplunkPlan { acknowledgement: false, ..plan() }).await;
    let ask = post("/services/collector/ack", &channel, question.as_bytes());
    assert_eq!(disabled.ask(&ask).await, (400, body("ACK is disabled", 14)));
    assert_eq!(disabled.ask(&post(EVENT, &channel, br#"{"event":"x"}"#)).await, (200, SUCCESS.to_owned()));
}

#[tokio::test]
async fn one_connection_takes_many_requests_of_all_kinds() {
    let house = House::new(plan()).await;
    let mut client = house.connect().await;
    let chunked = format!(
        "POST {EVENT} HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n\
         9\r\n{{\"event\":\r\n4\r\n\"x\"}}\r\n0\r\n\r\n"
    );
    let raw = post("/services/collector/raw?source=a", "", b"one\ntwo\n");
    let large = format!(r#"{{"event":"{}"}}"#, "x".repeat(1000)).repeat(900);
    for request in [chunked.as_bytes(), &raw, &post(EVENT, "", large.as_bytes()), chunked.as_bytes()] {
        client.send(request).await;
        assert_eq!(client.answer().await, (200, SUCCESS.to_owned()));
    }
    assert_eq!(house.stored(), 904);
    let zipped = gzip(large.as_bytes());
    client.send(&post(EVENT, "Content-Encoding: gzip\r\n", &zipped)).await;
    assert_eq!(client.answer().await, (200, SUCCESS.to_owned()));
    assert_eq!((house.stored(), house.intake.budget.used()), (1804, 0));
}

#[tokio::test]
async fn who_asks_first_need_not_send_in_vain() {
    let house = House::new(plan()).await;
    let expect = |token: &str| {
        format!(
            "POST {EVENT} HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk {token}\r\nContent-Length: 13\r\n\
             Expect: 100-continue\r\n\r\n"
        )
    };
    let mut client = house.connect().await;
    client.send(expect("wrong").as_bytes()).await;
    assert_eq!(client.answer().await, (403, body("Invalid token", 4)));
    client.closed().await;
    let mut client = house.connect().await;
    client.send(expect(TOKEN).as_bytes()).await;
    assert_eq!(client.answer().await.0, 100);
    client.send(br#"{"event":"x"}"#).await;
    assert_eq!(client.answer().await, (200, SUCCESS.to_owned()));
}

#[tokio::test]
async fn bombs_are_refused_and_cost_nothing() {
    let house = House::new(SplunkPlan { max_body: 8 << 20, ..plan() }).await;
    let bomb = gzip(&vec![b' '; 9 << 20]);
    assert!(bomb.len() < 100 * KIB);
    let request = post(EVENT, "Content-Encoding: gzip\r\n", &bomb);
    assert_eq!(house.ask(&request).await, (413, body("Request entity too large", 27)));
    assert_eq!((house.stored(), house.intake.budget.used()), (0, 0));
}

#[tokio::test]
async fn what_does_not_go_on_is_ended() {
    let connections = ConnectionsPlan { stall_timeout: Duration::from_millis(100), ..plan().connections };
    let house = House::new(SplunkPlan { connections, ..plan() }).await;
    let mut rests = house.connect().await;
    let mut head = house.connect().await;
    head.send(b"POST /services/coll").await;
    head.closed().await;
    let mut stalled = house.connect().await;
    let whole = post(EVENT, "", br#"{"event":"x"}"#);
    stalled.send(&whole[..whole.len() - 1]).await;
    assert_eq!(stalled.answer().await, (408, body("The request's body did not go on", 408)));
    stalled.closed().await;
    assert_eq!((house.stored(), house.intake.budget.used()), (0, 0));
    // Silence between requests is no fault.
    rests.send(&whole).await;
    assert_eq!(rests.answer().await, (200, SUCCESS.to_owned()));
}

#[tokio::test]
async fn a_full_buffer_says_come_again() {
    let house = House::with(plan(), |plan| {
        for buffer in &mut plan.buffers {
            buffer.max_bytes = 1;
            buffer.on_full = crate::config::plan::OnFull::Block;
        }
    })
    .await;
    let request = post(EVENT, "", br#"{"event":"x"}"#);
    let mut client = house.connect().await;
    client.send(&request).await;
    assert_eq!(client.answer().await, (200, SUCCESS.to_owned()));
    for _ in 0..2 {
        client.send(&request).await;
        assert_eq!(client.answer().await, (503, body("Server is busy", 9)));
    }
    assert_eq!(house.ask(&request).await, (503, body("Server is busy", 9)));
    let health = house.ask(b"GET /services/collector/health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(health, (503, body("HEC is unhealthy, queues are full", 18)));
    assert_eq!((house.stored(), house.intake.budget.used()), (1, 0));
}

#[tokio::test]
async fn a_stop_sends_half_a_request_back_and_ends_the_connections() {
    let house = House::new(plan()).await;
    let mut rests = house.connect().await;
    let mut half = house.connect().await;
    let whole = post(EVENT, "", br#"{"event":"x"}"#);
    rests.send(&whole).await;
    assert_eq!(rests.answer().await, (200, SUCCESS.to_owned()));
    let (first, rest) = whole.split_at(whole.len() - 3);
    half.send(first).await;
    while house.intake.budget.used() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    house.stop.draining.cancel();
    assert_eq!(half.answer().await, (503, body("Server is shutting down", 23)));
    let _ = half.0.write_all(rest).await;
    half.closed().await;
    rests.closed().await;
    house.stop.tasks.close();
    house.stop.tasks.wait().await;
    assert_eq!((house.stored(), house.intake.budget.used()), (1, 0));
}
