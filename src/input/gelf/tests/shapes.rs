//! What records become of messages in datagrams.

use super::*;

const HEX: &str = "bfec04fcf313c7479efb96f05a4e521a29ac8fe229f4631e582ea7071f372ea6";
const IMAGE: &str = "sha256:c58eb1f3dad4e4415deb3d1712aa74255285c29ce8c0ebbec60b9e68159b94ba";

/// The texts of records made by Docker's recordings.
fn logs(records: &[String]) -> Vec<&str> {
    let text = |record: &'_ str| -> Option<(usize, usize)> {
        let from = record.find(" log=")? + 5;
        Some((from, record.find(" source=")?))
    };
    records.iter().map(|record| text(record).map_or("", |(from, to)| &record[from..to])).collect()
}

#[test]
fn docker_in_every_packing_is_one_shape() {
    let lines = ["hello", "oops", "café bin\0\u{1}\u{fffd} end <tag>&", "cr\r", "no newline"];
    for name in ["docker-udp-none", "docker-udp-zlib", "docker-udp-gzip-default"] {
        let records = Bench::new(&plan()).datagrams(&recorded_datagrams(name));
        // The workers of the two streams race; within a stream the order is kept.
        let mut sorted = logs(&records);
        let mut expected = lines.to_vec();
        sorted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "{name}");
    }
    let records = Bench::new(&plan()).datagrams(&recorded_datagrams("docker-udp-none"));
    let rest = format!(
        "container_id={HEX} container_name=cap-gelf image_name=busybox:local host=vm level={{}} \
         image_id={IMAGE} tag=bfec04fcf313 created=2026-11-22T22:57:10.139126065Z"
    );
    let at = |level: &str| rest.replace("{}", level);
    assert_eq!(records[0], format!("app 1795388230.360000000 log=hello source=stdout {}", at("6")));
    assert_eq!(records[1], format!("app 1795388230.360000000 log=oops source=stderr {}", at("3")));
}

#[test]
fn labels_environment_and_level_0_of_gzip() {
    let records = Bench::new(&plan()).datagrams(&recorded_datagrams("docker-udp-tag-labels-env"));
    assert_eq!(records.len(), 1);
    assert!(
        records[0].starts_with("app 1795388232.063000000 log=tagged source=stdout container_id=971ac1a0")
    );
    assert!(records[0].contains(" image_name=busybox:local APP=a b X1=2 team=core under=u host=vm level=6 "));
    assert!(!records[0].contains("command"));
    let records = Bench::new(&plan()).datagrams(&recorded_datagrams("docker-udp-gzip-level0"));
    assert_eq!(logs(&records), ["level0"]);
}

#[test]
fn docker_chunks_are_put_together() {
    for name in ["docker-udp-none-chunked-40k", "docker-udp-gzip-chunked-40k", "docker-udp-zlib-chunked-40k"]
    {
        let datagrams = recorded_datagrams(name);
        let records = Bench::new(&plan()).datagrams(&datagrams);
        let lengths: Vec<usize> = logs(&records).iter().map(|log| log.len()).collect();
        assert_eq!(lengths, [6, 16_384, 16_384, 7_232, 5], "{name}");
        // In any order, and each twice.
        let mut twice = [datagrams.clone(), datagrams].concat();
        twice.retain(|datagram| datagram.starts_with(&chunks::MAGIC));
        twice.reverse();
        let mut lengths: Vec<usize> =
            logs(&Bench::new(&plan()).datagrams(&twice)).iter().map(|log| log.len()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [7_232, 16_384, 16_384], "{name}");
    }
    let datagrams = recorded_datagrams("docker-udp-none-empty-last-chunk");
    assert_eq!(datagrams.last().unwrap().len(), 12);
    assert_eq!(logs(&Bench::new(&plan()).datagrams(&datagrams)).len(), 1);
}

#[test]
fn python_libraries_are_understood() {
    for (name, fields) in [
        ("graypy-udp", "facility=app.web file=/srv/app/web.py line=27 function=drive"),
        ("pygelf-udp", "file=web.py line=27 module=web func=drive logger_name=app.web app=web"),
    ] {
        let records = Bench::new(&plan()).datagrams(&recorded_datagrams(name));
        assert_eq!(records.len(), 4, "{name}");
        assert!(records[0].contains(" log=started on port 8080 "), "{}", records[0]);
        assert!(records[0].contains(" user=ann nested={\"a\":[1,2.5,null,true]} "), "{}", records[0]);
        assert!(!records[0].contains("source=") && !records[0].contains("stack_info"));
        assert!(records[1].contains(" log=café \"quoted\" \\ \u{2028} \u{1f600} "));
        let (log, full) =
            (records[2].find(" log=failed ").unwrap(), records[2].find(" full_message=Traceback ").unwrap());
        assert!(log < full);
        assert!(records[3].contains("x5999 "), "in chunks");
        assert!(records[0].contains(fields) || name == "pygelf-udp", "{}", records[0]);
    }
}

#[test]
fn names_of_ours_stay_ours() {
    let mut plan = plan();
    plan.source_address_key = Some("peer".to_owned());
    plan.keep_command = true;
    let records = Bench::new(&plan).datagram(
        r#"{"version":"1.1","short_message":"s","full_message":"f","host":"h","level":6,"_log":"l","_source":"x",
            "_host":"H","container_id":"fake","_container_name":"/web-1","_peer":"fake","_id":1,"_":"u","extra":true,
            "_none":null,"_command":"sh"}"#,
    );
    assert_eq!(
        records,
        [
            "app 1800000000.000000007 log=s container_name=web-1 _log=l _source=x _host=H _container_id=fake _peer=fake \
          id=1 _=u extra=true full_message=f host=h level=6 command=sh peer=192.0.2.1"
        ]
    );
}

#[test]
fn times_that_are_none_stay_fields() {
    let mut bench = Bench::new(&plan());
    assert_eq!(
        bench.datagram(r#"{"short_message":"a","timestamp":"1795388230.5"}"#),
        ["app 1795388230.500000000 log=a"]
    );
    assert_eq!(
        bench.datagram(r#"{"full_message":"a","timestamp":"yesterday"}"#),
        ["app 1800000000.000000007 log=a timestamp=yesterday"]
    );
    assert_eq!(
        bench.datagram(r#"{"short_message":"a","timestamp":null}"#),
        ["app 1800000000.000000007 log=a"]
    );
}

#[test]
fn tags_name_the_host_or_the_sender() {
    let mut bench = Bench::new(&GelfPlan { tag: None, ..plan() });
    let tag = |records: Vec<String>| records.last().unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(tag(bench.datagram(r#"{"host":"web-1.example","short_message":"a"}"#)), "gelf.web-1.example");
    assert_eq!(tag(bench.datagram(r#"{"short_message":"a"}"#)), "gelf.192.0.2.1");
    let long = format!(r#"{{"short_message":"a","host":"{}"}}"#, "é".repeat(5_000));
    assert_eq!(tag(bench.datagram(long)).len(), "gelf.".len() + 4_090);
    // A batch has one tag: what came under another one is stored before.
    let (a, b) =
        (br#"{"host":"a","short_message":"\u0031"}"#.to_vec(), br#"{"host":"b","short_message":"\u0032"}"#);
    let records =
        bench.datagrams(&[a.clone(), a.clone(), gzip(b), chunked(9, &gzip(b), 10).concat(), b.to_vec()]);
    assert_eq!(records, ["gelf.b 1800000000.000000007 log=2 host=b"; 2]);
    assert!(bench.batcher.take_receipt().is_some());
    assert_eq!(bench.datagrams(&[gzip(b), gzip(&a)]), ["gelf.a 1800000000.000000007 log=1 host=a"]);
}

#[test]
fn what_is_no_message_is_dropped_alone() {
    let bomb = gzip(&[vec![b' '; 64 * 1024], b"{}".to_vec()].concat());
    let mut cut = gzip(br#"{"short_message":"cut"}"#);
    cut.truncate(20);
    let bad = [
        b"".to_vec(),
        b"\n\0".to_vec(),
        b"{".to_vec(),
        b"{}".to_vec(),
        b"{\"version\":\"1.1\"}".to_vec(),
        b"[1]".to_vec(),
        b"<14>syslog".to_vec(),
        b"\x1e\x0f".to_vec(),
        b"\x1f\x8b".to_vec(),
        b"\x78\x9c".to_vec(),
        bomb,
        cut,
        gzip(&gzip(b"{\"short_message\":\"twice\"}")),
        format!("{{\"short_message\":{}1{}}}", "[".repeat(100), "]".repeat(100)).into_bytes(),
        format!("{{\"short_message\":\"{}\"}}", "a".repeat(64 * 1024)).into_bytes(),
    ];
    let good = br#"{"short_message":"good"}"#;
    let mut bench = Bench::new(&plan());
    let mixed: Vec<Vec<u8>> = bad.iter().flat_map(|bad| [bad.clone(), good.to_vec(), gzip(good)]).collect();
    assert_eq!(bench.datagrams(&mixed), vec!["app 1800000000.000000007 log=good"; 2 * bad.len()]);
    // Ends that senders add are no fault; what else stands behind costs itself.
    let records = bench.datagrams(&[[good, b"\n\0".as_slice()].concat(), [good, b"{}".as_slice()].concat()]);
    assert_eq!(records.len(), 2);
}

#[test]
fn bombs_leave_no_memory_behind() {
    let bomb = gzip(&vec![b'{'; 10 * 1024 * 1024]);
    let mut bench = Bench::new(&plan());
    let records = bench.datagrams(&vec![bomb; 100]);
    assert!(records.is_empty());
    assert!(bench.batcher.batch.arena.capacity() < 1 << 20);
}

#[test]
fn floods_of_chunks_do_not_displace_other_senders() {
    let mut bench = Bench::new(&plan());
    let message = chunked(5, br#"{"short_message":"whole"}"#, 10);
    let (first, rest) = message.split_first().unwrap();
    assert!(bench.datagram(first).is_empty());
    let flooder = Sender { label: "192.0.2.9".into(), address: Some(SocketAddr::from(([192, 0, 2, 9], 1))) };
    for id in 0..10_000 {
        let part = chunked(id, &[0; 2_000], 1_000).remove(0);
        let len = part.len();
        bench.batcher.open(Bytes::from(part));
        bench.decoder.datagram(&flooder, 0..len, RECEIVED, &mut bench.batcher);
    }
    assert_eq!(bench.datagrams(rest), ["app 1800000000.000000007 log=whole"]);
    bench.decoder.tick(Instant::now() + Duration::from_secs(6));
    assert_eq!(bench.decoder.chunks.as_ref().unwrap().held(), (0, 0));
}
