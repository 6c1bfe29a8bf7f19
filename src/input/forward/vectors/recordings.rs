//! What Docker's log driver and Fluent Bit were recorded to send.

use super::*;

fn capture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/forward/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The messages of a recording, the same however it arrives.
fn recorded(stream: &[u8]) -> Vec<Message> {
    let (outcomes, rest) = receive(stream, usize::MAX);
    assert_eq!(rest, 0);
    let pieces: &[usize] = if stream.len() > 10_000 { &[1000] } else { &[1, 7, 32] };
    for piece in pieces {
        assert_eq!(receive(stream, *piece).0, outcomes);
    }
    let message = |outcome| match outcome {
        Outcome::Message(message) => message,
        other => panic!("{other:?}"),
    };
    let messages: Vec<Message> = outcomes.into_iter().map(message).collect();
    assert!(messages.iter().all(|message| message.dropped.is_empty()));
    messages
}

#[test]
fn fluent_bit_recordings() {
    let nested = fields(&[
        ("log", "GET /index.html 200"),
        ("level", "info"),
        ("n", "42"),
        ("neg", "-7"),
        ("f", "3.25"),
        ("ok", "true"),
        ("none", ""),
        ("nested", r#"{"a":[1,"two",{"three":3}]}"#),
        ("utf8", "héllo 日志"),
    ]);
    let metadata = fields(&[("metadata", r#"{"trace":"abc","otlp":{"severity_number":9}}"#)]);
    for (name, chunk, extra) in [
        ("default", false, &[][..]),
        ("no-options", false, &[]),
        ("fluentd-compat", false, &[]),
        ("integer-time", false, &[]),
        ("gzip", false, &[]),
        ("ack", true, &[]),
        ("metadata", false, &metadata),
    ] {
        let messages = recorded(&capture(&format!("fluent-bit-{name}")));
        assert_eq!(messages.len(), 2, "{name}");
        for message in messages {
            assert_eq!((message.tag.as_str(), message.chunk.is_some()), ("app.web", chunk), "{name}");
            let [(time, found)] = &message.records[..] else { panic!("{name}: {message:?}") };
            assert_eq!(time.nanos == 0, name == "integer-time", "{name}");
            assert!(time.seconds > 1_700_000_000, "{name}");
            assert_eq!(*found, [&nested[..], extra].concat(), "{name}");
        }
    }
    for (name, tag) in [("metadata-default", "app.web"), ("record-accessor-tag", "info")] {
        let messages = recorded(&capture(&format!("fluent-bit-{name}")));
        assert!(!messages.is_empty());
        for message in messages {
            assert_eq!((message.tag.as_str(), message.records.len()), (tag, 1), "{name}");
            assert!(message.records[0].1.contains(&nested[0]), "{name}");
        }
    }
}

#[test]
fn fluent_bit_signals() {
    let logs = recorded(&capture("fluent-bit-event-type-logs"));
    assert!(logs[0].records[0].1.iter().all(|(key, _)| key != "payload"));
    let metrics = recorded(&capture("fluent-bit-event-type-metrics")).remove(0);
    let found = samples(&metrics, metrics.records[0].0);
    assert_eq!((found.len(), metrics.dropped.len()), (30, 0));
    for sample in [
        "kubernetes_network_load_counter{} 3",
        "kubernetes_network_load_counter{app#$#test|hostname#$#localhost} 12.15",
        "kubernetes_network_load_gauge{} 1",
        "k8s_disk_load_summary{my_label#$#my_val|quantile#$#0.2} 0",
        "k8s_disk_load_summary_count{} 10",
        "k8s_network_load_histogram_bucket{le#$#+Inf|my_label#$#my_val} 5",
        "k8s_network_load_histogram_bucket{le#$#0.05} 2",
        "k8s_network_load_histogram_sum{} 1013.021",
    ] {
        assert!(found.iter().any(|known| known == sample), "{sample} of {found:#?}");
    }
    let traces = recorded(&capture("fluent-bit-event-type-traces")).remove(0);
    assert_eq!(traces.dropped, []);
    assert_eq!(field(&traces, 0, "service"), Some("Fluent Bit Test Service"));
    assert_eq!((field(&traces, 0, "name"), field(&traces, 1, "name")), (Some("main"), Some("do-work")));
    assert_eq!(field(&traces, 1, "parentSpanID"), field(&traces, 0, "spanID"));
    assert_eq!(traces.records.len(), 2);
    for (name, metric, counts) in
        [("own-metrics", "fluentbit_uptime", &[46, 57][..]), ("node-metrics", "node_load1", &[441])]
    {
        for (message, count) in recorded(&capture(&format!("fluent-bit-{name}"))).iter().zip(counts) {
            assert_eq!((message.records.len(), message.dropped.len()), (*count, 0), "{name}");
            assert!(message.records.iter().any(|(_, fields)| fields[3].1 == metric), "{name}");
        }
    }
    // On a port without a key the handshake is an event nobody can store.
    for name in ["shared-key", "shared-key-user"] {
        let (outcomes, _) = receive(&capture(&format!("fluent-bit-{name}")), usize::MAX);
        let [Outcome::Message(ping), Outcome::Message(first), ..] = &outcomes[..] else {
            panic!("{outcomes:?}")
        };
        assert_eq!((ping.tag.as_str(), ping.records.len()), ("PING", 0));
        assert_eq!(first.records.len(), 1);
    }
}

#[test]
fn docker_recordings() {
    for (name, count) in [
        ("default", 8),
        ("subsec", 8),
        ("tag-labels-env", 2),
        ("long-40k", 7),
        ("edge-16k", 8),
        ("unix", 1),
        ("async", 5),
        ("tty", 3),
        ("request-ack", 5),
    ] {
        let messages = recorded(&capture(&format!("docker-fluentd-{name}")));
        assert_eq!(messages.len(), count, "{name}");
        for message in &messages {
            assert_eq!(message.chunk.is_some(), name == "request-ack", "{name}");
            let [(time, found)] = &message.records[..] else { panic!("{name}: {message:?}") };
            assert!(time.seconds > 1_700_000_000, "{name}");
            let mut keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
            keys.sort_unstable();
            for key in ["container_id", "container_name", "log", "source"] {
                assert!(keys.contains(&key), "{name}: {keys:?}");
            }
        }
    }
    let messages = recorded(&capture("docker-fluentd-default"));
    let logs: Vec<&str> = messages.iter().filter_map(|message| value(message, "log")).collect();
    assert!(logs.contains(&"café 你好 😀"));
    assert!(logs.contains(&"bin\0\u{1}\u{fffd}\u{fffd} end"));
    let last: Vec<Option<&str>> = messages.iter().map(|message| value(message, "partial_last")).collect();
    assert_eq!(last.iter().flatten().count(), 1);
    let messages = recorded(&capture("docker-fluentd-long-40k"));
    let length: usize = messages.iter().filter_map(|message| value(message, "log")).map(str::len).sum();
    assert_eq!(length, "before".len() + 40_960 + "after".len() + 20_000);
    let mut before = recorded(&capture("docker-fluentd-reconnect-before"));
    before.extend(recorded(&capture("docker-fluentd-reconnect-after")));
    let logs: Vec<&str> = before.iter().filter_map(|message| value(message, "log")).collect();
    let all = (1..=100).filter(|number| *number != 21).map(|number| format!("n{number}"));
    assert_eq!(logs, all.collect::<Vec<_>>());
}

#[test]
fn docker_reconnect_storm() {
    let bytes = capture("docker-fluentd-request-ack-two-streams");
    let (mut rest, mut connections) = (&bytes[..], 0);
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (connection, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        let (outcomes, _) = receive(connection, usize::MAX);
        for outcome in outcomes {
            let Outcome::Message(message) = outcome else { panic!("{outcome:?}") };
            assert!(message.chunk.is_some());
            assert_eq!(message.records.len(), 1);
        }
        (rest, connections) = (behind, connections + 1);
    }
    assert_eq!(connections, 20);
}

fn value<'a>(message: &'a Message, key: &str) -> Option<&'a str> {
    message.records[0].1.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}
