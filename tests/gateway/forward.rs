//! Forward over TCP: every mode and its acks, and what becomes of peers that speak something else or send damage.

use tokio::io::AsyncWriteExt;

use super::harness::{EMBEDDED, ack, data, message, read, read_to_close, start, vector};

#[tokio::test]
async fn every_mode_is_stored_and_acknowledged_byte_for_byte() {
    let gateway = start(EMBEDDED).await;
    let mut stream = gateway.connect().await;
    let acked = [
        ("T02", &b"\x81\xa3ack\xb8p8n9gmxTQVC8/nh2wlKKeQ=="[..]),
        ("T07", b"\x81\xa3ack\xa2c1"),
        ("T08", b"\x81\xa3ack\xa2c2"),
        ("T09", b"\x81\xa3ack\xb9AAECAwQFBgcICQoLDA0ODw==\n"),
    ];
    for (name, expected) in acked {
        stream.write_all(&vector(name)).await.unwrap();
        assert_eq!(read(&mut stream, expected.len()).await, expected, "{name}");
    }
    // No chunk id, no answer: the next thing read is the ack of the last message.
    for name in
        ["T01", "T03", "T04", "T05", "T06", "T10", "T11", "T12", "T13", "T14", "T15", "T16", "T18", "T19"]
    {
        stream.write_all(&vector(name)).await.unwrap();
    }
    stream.write_all(&message("app.log", 1441588984, &[("m", "last")], Some("end"))).await.unwrap();
    assert_eq!(read(&mut stream, 9).await, ack("end"));
    // T02 1, T07 to T09 2 each, T01 T03 T04 T05 T06 1 each, T10 to T14 2 each, T15 T16 T19 1 each, the last 1.
    let found = gateway.wait_for("default", "*", 1 + 6 + 5 + 10 + 3 + 1).await;
    let groups: Vec<_> = found.iter().filter(|record| record.contains_key("group")).collect();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["log"], "hi");
    gateway.stop().await;
}

#[tokio::test]
async fn a_message_in_many_reads_and_many_messages_in_one() {
    let gateway = start(EMBEDDED).await;
    let mut stream = gateway.connect().await;
    let long = "x".repeat(300_000);
    let bytes = message("app", 1_700_000_000, &[("log", &long)], Some("big"));
    for piece in bytes.chunks(7_001) {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(read(&mut stream, 9).await, ack("big"));
    let many: Vec<u8> = (0..1_000)
        .flat_map(|n| {
            message("app", 1_700_000_000 + n / 100, &[("n", &n.to_string())], (n == 999).then_some("all"))
        })
        .collect();
    stream.write_all(&many).await.unwrap();
    assert_eq!(read(&mut stream, 9).await, ack("all"));
    let found = gateway.wait_for("default", "n:*", 1_000).await;
    let numbers: Vec<u32> =
        found.iter().map(|record| record["n"].as_str().unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "the order within a second is lost");
    gateway.stop().await;
}

#[tokio::test]
async fn damaged_chunks_are_never_acknowledged_and_cost_their_connection_only() {
    let gateway = start(EMBEDDED).await;
    let mut healthy = gateway.connect().await;
    for name in ["M11", "M12"] {
        let mut stream = gateway.connect().await;
        stream.write_all(&message("app", 1, &[("log", "before")], Some(name))).await.unwrap();
        stream.write_all(&vector(name)).await.unwrap();
        assert_eq!(
            read_to_close(&mut stream).await,
            ack(name),
            "{name}: only what came before is acknowledged"
        );
    }
    // Label and content disagree: the content decides, and the ack follows.
    healthy.write_all(&vector("M26")).await.unwrap();
    assert_eq!(read(&mut healthy, 8).await, b"\x81\xa3ack\xa2cb");
    gateway.wait_for("default", "log: before", 2).await;
    gateway.wait_for("default", "m: foo", 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn bad_events_are_dropped_counted_and_acknowledged() {
    let gateway = start(EMBEDDED).await;
    let mut stream = gateway.connect().await;
    for (name, chunk) in [("M13", "c6"), ("M14", "c7"), ("M18", "c9"), ("M25", "c6"), ("M27", "cc")] {
        stream.write_all(&vector(name)).await.unwrap();
        assert_eq!(read(&mut stream, 8).await, ack(chunk), "{name}");
    }
    gateway.wait_for("default", "m: foo", 3).await;
    gateway.stop().await;
}

#[tokio::test]
async fn other_protocols_are_closed_without_an_answer() {
    let gateway = start(EMBEDDED).await;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\xff\x13\x37",
        b"\xc1",
    ] {
        let mut stream = gateway.connect().await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(read_to_close(&mut stream).await, b"", "{bytes:?}");
    }
    // A heartbeat says nothing and is told nothing.
    drop(gateway.connect().await);
    gateway.send(&message("app", 1, &[("log", "alive")], None)).await;
    gateway.wait_for("default", "alive", 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn limits_close_at_the_header() {
    let config =
        format!("inputs: {{ forward: {{ listen: '127.0.0.1:0', max_message: 64KiB }} }}\n{EMBEDDED}");
    let gateway = start(&config).await;
    for name in ["M02", "M03", "M04"] {
        let mut stream = gateway.connect().await;
        stream.write_all(&vector(name)).await.unwrap();
        assert_eq!(read_to_close(&mut stream).await, b"", "{name}");
    }
    let mut stream = gateway.connect().await;
    let long = "x".repeat(70_000);
    let _ = stream.write_all(&message("app", 1, &[("log", &long)], Some("no"))).await;
    assert_eq!(read_to_close(&mut stream).await, b"");
    gateway.stop().await;
}

#[tokio::test]
async fn recorded_bytes_of_real_peers_arrive() {
    let gateway = start(EMBEDDED).await;
    for name in ["default", "fluentd-compat", "gzip", "integer-time", "metadata", "record-accessor-tag"] {
        gateway.send(&data(&format!("forward/fluent-bit-{name}.bin"))).await;
    }
    gateway.wait_for("default", "__topic__: app.web", 10).await;
    gateway.stop().await;
}

#[tokio::test]
async fn long_values_are_stored_cut_at_the_limit_and_marked() {
    let gateway = start(EMBEDDED).await;
    let mut stream = gateway.connect().await;
    for (len, chunk) in [(600 << 10, "a"), (1 << 20, "b"), ((1 << 20) + 1, "c")] {
        let log = "y".repeat(len);
        stream
            .write_all(&message("app", 1_700_000_000, &[("log", &log), ("len", chunk)], Some(chunk)))
            .await
            .unwrap();
        assert_eq!(read(&mut stream, 7).await, ack(chunk));
    }
    for (chunk, len) in [("a", 600 << 10), ("b", 1 << 20), ("c", 1 << 20)] {
        let found = gateway.wait_for("default", &format!("len: {chunk}"), 1).await;
        assert_eq!(found[0]["log"].as_str().unwrap().len(), len);
        assert_eq!(found[0].contains_key("__cut__"), chunk == "c");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn quiet_connections_leave_the_budget_to_others() {
    let config = format!("limits: {{ byte_budget: 1MiB }}\n{EMBEDDED}");
    let gateway = start(&config).await;
    let busy = message("app", 1_700_000_000, &[("log", &"z".repeat(100_000))], Some("k"));
    // Each was busy once, so that its reads grew, and is silent now.
    let mut quiet = Vec::new();
    for _ in 0..20 {
        let mut stream = gateway.connect().await;
        for _ in 0..10 {
            stream.write_all(&busy).await.unwrap();
            assert_eq!(read(&mut stream, 7).await, ack("k"));
        }
        quiet.push(stream);
    }
    let mut stream = gateway.connect().await;
    for _ in 0..10 {
        stream.write_all(&busy).await.unwrap();
        assert_eq!(read(&mut stream, 7).await, ack("k"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_compressed_chunk_of_nothing_is_acknowledged_and_holds_nobody() {
    let gateway = start(EMBEDDED).await;
    let id = "AAECAwQFBgcICQoLDA0ODw==\n";
    let nothing = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    let options = [b"\x82\xaacompressed\xa4gzip\xa5chunk\xb9", id.as_bytes()].concat();
    let message = [&b"\x93\xa3app\xc4\x14"[..], nothing, &options].concat();
    let (mut first, mut second) = (gateway.connect().await, gateway.connect().await);
    for stream in [&mut first, &mut second] {
        stream.write_all(&message).await.unwrap();
        let expected = ack(id);
        assert_eq!(read(stream, expected.len()).await, expected);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn clients_that_dribble_do_not_hold_the_budget_for_ever() {
    let config = format!(
        "limits: {{ byte_budget: 1MiB }}\n\
         inputs: {{ forward: {{ listen: '127.0.0.1:0', stall_timeout: 1s }} }}\n{EMBEDDED}"
    );
    let gateway = start(&config).await;
    let mut dribbling = Vec::new();
    for _ in 0..2 {
        let mut stream = gateway.connect().await;
        // The beginning of a message of 4 MB, and then a byte now and then.
        let head = [&b"\x92\xa1t\xc6\x00\x40\x00\x00"[..], &[0; 1_500_000]].concat();
        dribbling.push(tokio::spawn(async move {
            stream.write_all(&head).await.unwrap();
            while stream.write_all(b"\0").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }));
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut stream = gateway.connect().await;
    let honest = message("app", 1_700_000_000, &[("log", &"z".repeat(100_000))], Some("k"));
    stream.write_all(&honest).await.unwrap();
    let answer = tokio::time::timeout(super::harness::PATIENCE / 4, read(&mut stream, 7)).await;
    dribbling.iter().for_each(|task| task.abort());
    assert_eq!(answer.expect("no ack"), ack("k"));
    gateway.stop().await;
}

#[tokio::test]
async fn messages_that_become_many_times_their_length_all_get_through() {
    let config = format!("limits: {{ byte_budget: 1MiB }}\n{EMBEDDED}");
    let gateway = start(&config).await;
    // 3 KB of attributes before a thousand empty records.
    let group =
        [&b"\x92\x92\xd7\0\xff\xff\xff\xff\0\0\0\0\x80\x81\xa1k\xda\x0c\x00"[..], &[b'g'; 3_072]].concat();
    let entries = [group, b"\x92\0\x80".repeat(1_000)].concat();
    let mut clients = Vec::new();
    for client in 0..4 {
        let mut stream = gateway.connect().await;
        let entries = entries.clone();
        clients.push(tokio::spawn(async move {
            // Both at once, so that one is charged while the other waits in the same read.
            let ids = [format!("{client}a"), format!("{client}b")];
            let messages = ids.each_ref().map(|id| {
                let header = [&b"\x93\xa1t\xc5"[..], &(entries.len() as u16).to_be_bytes()].concat();
                [header, entries.clone(), b"\x81\xa5chunk\xa2".to_vec(), id.clone().into_bytes()].concat()
            });
            stream.write_all(&messages.concat()).await.unwrap();
            let expected = ids.map(|id| ack(&id)).concat();
            assert_eq!(read(&mut stream, expected.len()).await, expected);
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    gateway.stop().await;
}
