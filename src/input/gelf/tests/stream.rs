//! What is cut from connections.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;

impl Bench {
    /// The records of a connection that brings `bytes` in reads of `step`, and then ends.
    fn connection(&mut self, bytes: &[u8], step: usize) -> Result<Vec<String>, CutError> {
        let (mut unread, mut records, mut messages) = (Vec::new(), Vec::new(), Vec::new());
        let reads = bytes.chunks(step.max(1)).map(|read| (read, false));
        for (read, ended) in reads.chain([(b"".as_slice(), true)]) {
            unread.extend_from_slice(read);
            let done = self.decoder.cut(&unread, ended, &mut messages)?;
            self.batcher.open(Bytes::copy_from_slice(&unread[..done]));
            for message in messages.drain(..) {
                assert!(message.range.end <= done);
                self.decoder.message(&sender(), &message, RECEIVED, &mut self.batcher);
            }
            records.extend(self.records());
            unread.drain(..done);
        }
        assert!(unread.is_empty());
        Ok(records)
    }
}

fn numbered(count: usize, between: &str) -> String {
    (0..count).map(|n| format!("{{\"short_message\":\"line {n}\"}}{between}")).collect()
}

#[test]
fn docker_connections_are_cut_at_nul() {
    for step in [1, 7, 1_000, 1 << 20] {
        let records = Bench::new(&plan()).connection(&recorded("docker-tcp"), step).unwrap();
        assert_eq!(records.len(), 5);
        let odd = "log=café bin\0\u{1}\u{fffd} end <tag>& source=stdout container_id=692be27d";
        assert!(records.iter().any(|record| record.contains(odd)));
        let records = Bench::new(&plan()).connection(&recorded("docker-tcp-40k"), step.max(7)).unwrap();
        assert_eq!(records.len(), 5);
    }
}

#[test]
fn python_libraries_are_understood() {
    for name in ["graypy-tcp", "pygelf-tcp"] {
        let records = Bench::new(&plan()).connection(&recorded(name), 1_000).unwrap();
        assert_eq!(records.len(), 4, "{name}");
        assert!(records[0].contains(" log=started on port 8080 "));
    }
}

#[test]
fn blanks_line_feeds_and_a_missing_end_are_no_fault() {
    for between in ["\0", "\0\n", "\n\0", "\0\0\r\n\0", "\n"] {
        for step in [1, 5, 1_000] {
            let text = numbered(20, between);
            let records = Bench::new(&plan()).connection(text.as_bytes(), step).unwrap();
            assert_eq!(records.len(), 20, "{between:?} {step}");
            assert!(records[19].ends_with("log=line 19"));
        }
    }
    let text = numbered(2, "\0");
    assert_eq!(Bench::new(&plan()).connection(&text.as_bytes()[..text.len() - 1], 9).unwrap().len(), 2);
}

#[test]
fn a_message_that_is_too_long_costs_itself() {
    let plan = GelfPlan { max_message: 100, ..plan() };
    let long = format!("{{\"short_message\":\"{}\"}}\0", "a".repeat(1_000));
    let text = [numbered(1, "\0"), long.clone(), numbered(2, "\0"), long].concat();
    for step in [1, 64, 100, 101, 500, 10_000] {
        let mut bench = Bench::new(&plan);
        let records = bench.connection(text.as_bytes(), step).unwrap();
        assert_eq!(records.len(), 3, "{step}");
        assert!(!bench.decoder.skipping);
    }
}

#[test]
fn a_message_that_is_none_costs_itself() {
    let text = [numbered(1, "\0"), "no object\0{\"short_message\":\0".to_owned(), numbered(1, "\0")].concat();
    assert_eq!(Bench::new(&plan()).connection(text.as_bytes(), 1_000).unwrap().len(), 2);
}

#[test]
fn other_protocols_are_named() {
    for (beginning, what) in [
        (b"\x16\x03\x01\x02\x00\x01".as_slice(), "TLS"),
        (b"POST /gelf HTTP/1.1\r\n", "HTTP"),
        (b"\x1f\x8b\x08\x00", "gzip, which GELF has in datagrams only"),
    ] {
        for step in [1, 100] {
            assert_eq!(Bench::new(&plan()).connection(beginning, step), Err(CutError::Foreign(what)));
        }
    }
}

/// However a connection is read, the same records come out.
#[test]
fn reads_do_not_matter() {
    let parts = [
        "{\"short_message\":\"a\"}",
        "{\"short_message\":\"\\u0041\"}",
        "\0",
        "\0",
        "\n",
        "{",
        "\"",
        "x",
        "{\"short_message\":\"a much longer message than others, longer than max_message\"}",
    ];
    let plan = GelfPlan { max_message: 50, ..plan() };
    let bench = RefCell::new(Bench::new(&plan));
    let records = |text: &str, step: usize| {
        let mut bench = bench.borrow_mut();
        bench.decoder = Gelf::new("gelf", &plan).decoder();
        bench.connection(text.as_bytes(), step)
    };
    let texts = prop::collection::vec(prop::sample::select(parts.to_vec()), 0..40);
    proptest!(|(parts in texts, step in 1usize..50)| {
        let text = parts.concat();
        prop_assert_eq!(records(&text, step), records(&text, usize::MAX));
    });
}
