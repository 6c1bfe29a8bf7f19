//! Messages that become no records: too large, of an unknown kind, or a payload that no record holds. Each is kept in a
//! file, acknowledged, counted and told, so that its sender does not repeat it for ever.

use serde_json::Value;

use super::harness::{EMBEDDED, TestGateway, message, start, start_in};
use super::peers::{deliver, docker_id, signal};
use super::watch::logged;

async fn start_with(input: &str, settings: &str) -> TestGateway {
    start(&config(input, settings)).await
}

fn config(input: &str, settings: &str) -> String {
    let input = format!("{input}: {{ type: forward, listen: '127.0.0.1:0', {settings} }}");
    format!("inputs: {{ {input} }}\n{EMBEDDED}")
}

fn check(head: &Value, expected: &[(&str, Value)]) {
    for (key, value) in expected {
        assert_eq!(&head[key], value, "{key} of {head}");
    }
}

#[tokio::test]
async fn a_message_over_chunk_size_limit_is_kept_acknowledged_and_counted() {
    let gateway = start_with("limited", "chunk_size_limit: 2KiB, tag: renamed").await;
    let mut stream = gateway.connect_to("limited").await;
    let id = docker_id(1);
    let large = message("app", 1_700_000_000, &[("log", &"x".repeat(4_000))], Some(&id));
    // It is acknowledged whenever it comes again, and leaves one file each time.
    for _ in 0..2 {
        deliver(&mut stream, &large, &id).await;
    }
    deliver(&mut stream, &message("app", 1_700_000_000, &[("log", "small")], Some("s")), "s").await;
    // The largest that is decoded, and one byte more.
    let of = |len: usize| message("app", 1_700_000_000, &[("log", &"y".repeat(len))], Some("e"));
    let beside = of(1_000).len() - 1_000;
    deliver(&mut stream, &of(2_048 - beside), "e").await;
    deliver(&mut stream, &of(2_049 - beside), "e").await;
    let found = gateway.wait_for("default", "*", 2).await;
    assert!(found.iter().all(|record| record["log"].as_str().unwrap().len() < 2_048));
    let letters = gateway.letters();
    let payloads: Vec<&[u8]> = letters.iter().map(|(_, payload)| payload.as_slice()).collect();
    assert_eq!(payloads, [&large[..], &large, &of(2_049 - beside)]);
    let expected = [
        ("input", "limited".into()),
        ("peer", "127.0.0.1".into()),
        ("tag", "renamed".into()),
        ("signal", "other".into()),
        ("reason", "chunk_size_limit".into()),
        ("bytes", large.len().into()),
    ];
    check(&letters[0].0, &expected);
    assert!(letters[0].0["time"].as_i64().unwrap() > 1_700_000_000);
    let input = [("input", "limited")];
    assert_eq!(gateway.metric("sluicegate_dead_letter_messages_total", &input).await, 3);
    assert!(!logged(&["limited", "chunk_size_limit", "dead letter", ".other"]).is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_over_chunk_size_warn_limit_is_stored_and_told() {
    let gateway = start_with("warned", "chunk_size_warn_limit: 2KiB").await;
    let mut stream = gateway.connect_to("warned").await;
    deliver(&mut stream, &message("app", 1_700_000_000, &[("log", "small")], Some("s")), "s").await;
    assert!(logged(&["warned", "chunk_size_warn_limit"]).is_empty());
    let large = message("app", 1_700_000_000, &[("log", &"x".repeat(4_000))], Some("l"));
    deliver(&mut stream, &large, "l").await;
    let lines = logged(&["warned", "chunk_size_warn_limit"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(&format!("bytes={}", large.len())), "{lines:?}");
    gateway.wait_for("default", "*", 2).await;
    assert_eq!(gateway.letters(), []);
    gateway.stop().await;
}

#[tokio::test]
async fn unknown_signals_and_large_payloads_are_kept_as_they_came() {
    let gateway = start_with("signalled", "").await;
    let mut stream = gateway.connect_to("signalled").await;
    let blob: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 7) as u8).collect();
    deliver(&mut stream, &signal("ev.new", 9, b"\x81\xa1a\x01", "u"), "u").await;
    deliver(&mut stream, &signal("ev.blob", 3, &blob, "b"), "b").await;
    deliver(&mut stream, &signal("ev.profile", 4, &blob[7..], "p"), "p").await;
    // A gzip member is inflated first.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &blob).unwrap();
    let packed = compressed("ev.gz", 3, &gzip.finish().unwrap(), "z");
    deliver(&mut stream, &packed, "z").await;
    let letters = gateway.letters();
    let expected = [
        ("ev.new", "other", "unknown_signal", &b"\x81\xa1a\x01"[..]),
        ("ev.blob", "blobs", "payload", &blob),
        ("ev.profile", "profiles", "payload", &blob[7..]),
        ("ev.gz", "blobs", "payload", &blob),
    ];
    assert_eq!(letters.len(), expected.len());
    for ((head, payload), (tag, signal, reason, bytes)) in letters.iter().zip(expected) {
        let texts = [("tag", tag), ("signal", signal), ("reason", reason)];
        check(head, &texts.map(|(key, text)| (key, text.into())));
        check(head, &[("bytes", bytes.len().into())]);
        assert!(payload == bytes, "the payload of {tag} is another");
    }
    let input = [("input", "signalled")];
    assert_eq!(gateway.metric("sluicegate_dead_letter_messages_total", &input).await, 4);
    // The connection goes on.
    deliver(&mut stream, &message("app", 1_700_000_000, &[("log", "on")], Some("l")), "l").await;
    gateway.wait_for("default", "on", 1).await;
    gateway.stop().await;
}

fn compressed(tag: &str, number: u8, payload: &[u8], chunk: &str) -> Vec<u8> {
    let mut out = signal(tag, number, payload, chunk);
    let options = out.len() - (b"\x82\xadfluent_signal\x03\xa5chunk\xa1".len() + chunk.len());
    out[options] = 0x83;
    out.extend_from_slice(b"\xaacompressed\xa4gzip");
    out
}

/// What is larger than all dead letters may be together is lost for good, and must not come again for ever.
#[tokio::test]
async fn what_not_even_a_dead_letter_may_hold_is_acknowledged_and_counted() {
    let text = format!("{}\nlimits: {{ dead_letter_bytes: 64KiB }}", config("crowded-out", ""));
    let gateway = start(&text).await;
    let mut stream = gateway.connect_to("crowded-out").await;
    deliver(&mut stream, &signal("ev", 9, &[1; 1_000], "a"), "a").await;
    deliver(&mut stream, &signal("ev", 9, &[2; 100_000], "b"), "b").await;
    assert_eq!(gateway.letters().len(), 1, "nothing goes for what cannot be kept");
    let dropped = [("input", "crowded-out")];
    assert_eq!(gateway.metric("sluicegate_dropped_records_total", &dropped).await, 1);
    gateway.stop().await;
}

#[tokio::test]
async fn dead_letters_stay_over_a_restart() {
    let gateway = start_with("lasting", "").await;
    let mut stream = gateway.connect_to("lasting").await;
    deliver(&mut stream, &signal("ev", 9, b"one", "a"), "a").await;
    drop(stream);
    let dir = gateway.stop().await;
    let gateway = start_in(dir, &config("lasting", "")).await;
    let mut stream = gateway.connect_to("lasting").await;
    deliver(&mut stream, &signal("ev", 9, b"two", "b"), "b").await;
    let payloads: Vec<Vec<u8>> = gateway.letters().into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, [b"one", b"two"]);
    gateway.stop().await;
}
