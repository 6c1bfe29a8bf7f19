//! What an input is told to do to tags, records and events, through the configuration and to the query.

use serde_json::{Map, Value};
use tokio::io::AsyncWriteExt;

use super::harness::{EMBEDDED, TestGateway, ack, data, message, read, start, until, vector};
use super::peers::deliver;

/// Inputs by name with their settings.
fn inputs(settings: &[(&str, &str)]) -> String {
    let input = |(name, extra): &(&str, &str)| {
        format!("  {name}: {{ type: forward, listen: '127.0.0.1:0', {extra} }}\n")
    };
    format!("inputs:\n{}{EMBEDDED}", settings.iter().map(input).collect::<String>())
}

#[tokio::test]
async fn tags_are_rewritten_in_every_mode() {
    let cases = [
        ("plain", "", "app.log"),
        ("fixed", "tag: from.peers", "from.peers"),
        ("added", "add_tag_prefix: edge", "edge.app.log"),
        ("glued", "tag_prefix: edge-", "edge-app.log"),
        ("both", "tag: fixed, add_tag_prefix: edge", "edge.fixed"),
        ("fluent-bit", "tag: fixed, tag_prefix: 'fb.'", "fb.app.log"),
        ("all", "tag: fixed, tag_prefix: 'fb.', add_tag_prefix: edge", "edge.fb.app.log"),
    ];
    let gateway = start(&inputs(&cases.map(|(name, settings, _)| (name, settings)))).await;
    for (name, _, _) in cases {
        // Message, Forward, PackedForward; one and two of two events each.
        let mut stream = gateway.connect_to(name).await;
        let event = message("app.log", 1_700_000_000, &[("input", name)], Some("m"));
        deliver(&mut stream, &event, "m").await;
        deliver(&mut stream, &vector("T07"), "c1").await;
        deliver(&mut stream, &vector("T08"), "c2").await;
    }
    gateway.wait_for("default", "*", 5 * cases.len()).await;
    for (name, _, tag) in cases {
        let found = gateway.query("default", &format!("__topic__: \"{tag}\"")).await;
        let found: Vec<_> = found.iter().filter(|record| record["__topic__"] == tag).collect();
        assert_eq!(found.len(), 5, "{name}: {found:?}");
        assert!(found.iter().any(|record| record.get("input").is_some_and(|input| input == name)), "{name}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_rewritten_tag_finds_its_route() {
    let routes = "routes: [ { match: 'edge.**', logstore: edge } ]";
    let config = format!("{}\n{routes}", inputs(&[("forward", "add_tag_prefix: edge")]));
    let gateway = start(&config).await;
    gateway.send(&message("app", 1_700_000_000, &[("log", "x")], None)).await;
    let found = gateway.wait_for("edge", "*", 1).await;
    assert_eq!(found[0]["__topic__"], "edge.app");
    gateway.stop().await;
}

#[tokio::test]
async fn the_peer_s_address_is_in_every_record() {
    let gateway = start(&inputs(&[("forward", "source_address_key: peer")])).await;
    let mut stream = gateway.connect().await;
    let forged = message("app", 1_700_000_000, &[("peer", "192.0.2.1"), ("log", "x")], Some("m"));
    deliver(&mut stream, &forged, "m").await;
    deliver(&mut stream, &vector("T07"), "c1").await;
    deliver(&mut stream, &vector("T08"), "c2").await;
    let mut json = gateway.connect().await;
    json.write_all(br#"["app",1700000000,{"log":"json"},{"chunk":"j"}]"#).await.unwrap();
    read(&mut json, br#"{"ack":"j"}"#.len()).await;
    let found = gateway.wait_for("default", "*", 6).await;
    assert!(found.iter().all(|record| record["peer"] == "127.0.0.1"), "{found:?}");
    gateway.stop().await;
}

/// Names are looked up beside the data: the first records may carry the address, later ones the name.
#[tokio::test(flavor = "multi_thread")]
async fn the_peer_s_name_stands_in_its_records_once_it_is_known() {
    let config = inputs(&[("named", "source_hostname_key: host, source_address_key: peer")]);
    let gateway = start(&config).await;
    let local = std::net::Ipv4Addr::LOCALHOST.into();
    let name = dns_lookup::lookup_addr(&local).ok().filter(|name| name.parse::<std::net::IpAddr>().is_err());
    let stream = tokio::sync::Mutex::new((gateway.connect_to("named").await, 0));
    let expected = name.clone().unwrap_or("127.0.0.1".to_owned());
    until("the name in a record", async || {
        let (stream, number) = &mut *stream.lock().await;
        *number += 1;
        let event = message("app", 1_700_000_000, &[("n", &number.to_string())], Some("m"));
        deliver(stream, &event, "m").await;
        let found = gateway.wait_for("default", &format!("n: {number}"), 1).await;
        assert_eq!(found[0]["peer"], "127.0.0.1");
        let host = found[0]["host"].as_str().unwrap();
        assert!(host == "127.0.0.1" || host == expected, "{host}");
        host == expected
    })
    .await;
    gateway.stop().await;
}

/// Five entries: good, a string as record, an integer as entry, a string as time, good.
const ENTRIES: &str =
    r#"["t",[[1,{"a":1}],[1700000000,"x"],7,["yesterday",{"c":3}],[2,{"b":2}]],{"chunk":"c"}]"#;

async fn send_entries(gateway: &TestGateway, input: &str) {
    let mut stream = gateway.connect_to(input).await;
    stream.write_all(ENTRIES.as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream, 11).await, br#"{"ack":"c"}"#);
}

#[tokio::test]
async fn invalid_events_are_kept_where_the_input_is_set_so() {
    let config = inputs(&[("keeps-invalid", "skip_invalid_event: false"), ("skips-invalid", "")]);
    let gateway = start(&config).await;
    send_entries(&gateway, "keeps-invalid").await;
    let found = gateway.wait_for("default", "*", 5).await;
    let kept: Vec<&Value> = found.iter().filter_map(|record| record.get("invalid_event")).collect();
    assert_eq!(kept.len(), 2, "{found:?}");
    assert!(kept.contains(&&Value::from("7")), "{kept:?}");
    assert!(kept.iter().any(|text| text.as_str().unwrap().contains("\"x\"")), "{kept:?}");
    assert_eq!(found.iter().filter(|record| record.get("c").is_some_and(|c| c == "3")).count(), 1);
    let keeps = [("input", "keeps-invalid")];
    assert_eq!(gateway.metric("sluicegate_invalid_events_kept_total", &keeps).await, 3);
    assert_eq!(gateway.metric("sluicegate_dropped_records_total", &keeps).await, 0);

    send_entries(&gateway, "skips-invalid").await;
    gateway.wait_for("default", "*", 7).await;
    let skips = [("input", "skips-invalid")];
    assert_eq!(gateway.metric("sluicegate_dropped_records_total", &skips).await, 3);
    assert_eq!(gateway.metric("sluicegate_invalid_events_kept_total", &skips).await, 0);
    gateway.stop().await;
}

#[tokio::test]
async fn metadata_becomes_what_the_setting_says() {
    let settings =
        [("fields", "metadata: fields"), ("nested", "metadata: nested"), ("drop", "metadata: drop")];
    let with_tags = settings.map(|(name, setting)| (name, format!("{setting}, tag: {name}")));
    let gateway = start(&inputs(&with_tags.each_ref().map(|(name, text)| (*name, text.as_str())))).await;
    for (name, _) in settings {
        gateway.send_to(name, &data("forward/fluent-bit-metadata.bin")).await;
    }
    gateway.wait_for("default", "*", 6).await;
    for (name, _) in settings {
        let found = gateway.query("default", &format!("__topic__: {name}")).await;
        assert_eq!(found.len(), 2, "{name}");
        for record in &found {
            assert_eq!(record["log"], "GET /index.html 200");
            let about: Map<String, Value> = record
                .iter()
                .filter(|(key, _)| key.starts_with("metadata"))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            let expected = match name {
                "fields" => r#"{"metadata.trace":"abc","metadata.otlp.severity_number":"9"}"#,
                "nested" => r#"{"metadata":"{\"trace\":\"abc\",\"otlp\":{\"severity_number\":9}}"}"#,
                _ => "{}",
            };
            assert_eq!(about, serde_json::from_str(expected).unwrap(), "{name}");
        }
    }
    gateway.stop().await;
}

/// What a group of records shares, by the vector of an OpenTelemetry group.
#[tokio::test]
async fn groups_become_what_the_setting_says() {
    let settings =
        [("fields", "metadata: fields"), ("nested", "metadata: nested"), ("drop", "metadata: drop")];
    let gateway = start(&inputs(&settings)).await;
    for (name, _) in settings {
        let mut stream = gateway.connect_to(name).await;
        stream.write_all(&vector("T16")).await.unwrap();
        stream.write_all(&message(name, 1_700_000_000, &[("end", name)], Some("end"))).await.unwrap();
        assert_eq!(read(&mut stream, 9).await, ack("end"));
    }
    let found = gateway.wait_for("default", "log: hi", settings.len()).await;
    let with = |test: &dyn Fn(&str) -> bool| {
        found.iter().filter(|record| record.keys().any(|key| test(key))).count()
    };
    assert_eq!(with(&|key| key == "group"), 1, "{found:?}");
    assert_eq!(with(&|key| key.starts_with("group.")), 1, "{found:?}");
    gateway.stop().await;
}
