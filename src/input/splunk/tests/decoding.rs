//! Bodies as records.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::house::{intake, plan};
use super::{recording, requests};
use crate::config::docker_tag::DockerTag;
use crate::config::plan::SplunkPlan;
use crate::input::batcher::Batcher;
use crate::input::splunk::answer::Code;
use crate::input::splunk::events::{Context, Events, Settings, Step, Tally};
use crate::input::splunk::lines::Lines;
use crate::input::splunk::request::Query;
use crate::pipeline::stream::Origin;
use crate::record::{Batch, Timestamp};
use crate::wire::compress::chunk::{Inflate, Packing};

struct Bench {
    _dir: tempfile::TempDir,
    batcher: Batcher,
    settings: Arc<Settings>,
}

/// What a body became: each record as its fields in order, and its time.
struct Decoded {
    records: Vec<(String, Timestamp)>,
    tag: String,
    end: Step,
    tally: Tally,
}

const RECEIVED: Timestamp = Timestamp { seconds: 7, nanos: 7 };

impl Bench {
    fn new(plan: &SplunkPlan) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let (_, intake) = intake(dir.path(), |_| ());
        let origin = Origin::new("splunk", "10.0.0.1");
        Bench {
            _dir: dir,
            batcher: Batcher::new(intake, origin, None),
            settings: Arc::new(Settings::new(plan)),
        }
    }

    fn events(&mut self, body: &[u8], docker: bool) -> Decoded {
        let mut events = Events::new(self.settings.clone());
        let body = Bytes::copy_from_slice(body);
        events.first_tag(&body);
        events.open(body, &mut self.batcher);
        self.run(docker, |context, batcher, tally| events.step(context, batcher, tally))
    }

    fn lines(&mut self, query: &str, body: &[u8]) -> Decoded {
        let mut lines = Lines::new(self.settings.clone(), Query::parse(Some(query)));
        lines.open(Bytes::copy_from_slice(body), &mut self.batcher);
        self.run(false, |context, batcher, tally| lines.step(context, batcher, tally))
    }

    fn run(
        &mut self,
        docker: bool,
        mut step: impl FnMut(&Context, &mut Batcher, &mut Tally) -> Step,
    ) -> Decoded {
        let context = Context { received: RECEIVED, docker, extra: None };
        let mut tally = Tally::default();
        let end = loop {
            match step(&context, &mut self.batcher, &mut tally) {
                Step::More => {}
                end => break end,
            }
        };
        let batch = &self.batcher.batch;
        let records = batch.records.iter().map(|record| (shown(batch, record), record.time)).collect();
        let decoded = Decoded { records, tag: String::from_utf8_lossy(batch.tag()).into_owned(), end, tally };
        self.batcher.rest();
        decoded
    }
}

fn shown(batch: &Batch, record: &crate::record::batch::Record) -> String {
    let text = |span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
    let fields = batch.fields_of(record).iter();
    fields.map(|field| format!("{}={}", text(field.key), text(field.value))).collect::<Vec<_>>().join("|")
}

fn events(body: &str, docker: bool) -> Decoded {
    Bench::new(&plan()).events(body.as_bytes(), docker)
}

fn recorded(recording: &[u8]) -> Decoded {
    let (head, mut body) = requests(recording).pop().unwrap();
    if head.contains("Content-Encoding: gzip") {
        let mut inflated = Vec::new();
        Inflate::new(Packing::Gzip, body.into(), 1 << 20).unwrap().step(&mut inflated, 1 << 20).unwrap();
        body = inflated;
    }
    let decoded = Bench::new(&plan()).events(&body, true);
    assert_eq!(decoded.end, Step::Done);
    decoded
}

#[test]
fn docker_s_lines_have_the_one_shape() {
    let decoded = recorded(recording!("inline"));
    let records: Vec<&str> = decoded.records.iter().map(|(fields, _)| fields.as_str()).collect();
    let line = |text: &str, source| format!("log={text}|source={source}|container_id=f5f6c73e1973|host=vm");
    assert_eq!(records[0], line("hello", "stdout"));
    assert_eq!(records[1], line("", "stdout"));
    assert_eq!(records[2], line("  ", "stdout"));
    assert_eq!(records[3], line(r#"{"a":1,"b":[true,null]}"#, "stdout"));
    assert_eq!(records[4], line("42", "stdout"));
    assert_eq!(records[5], line("café bin\0\u{1}\u{fffd} end <t>&", "stdout"));
    assert_eq!(records[6], line("cr\r", "stdout"));
    assert_eq!(records[7], line("oops", "stderr"));
    // A line in two pieces that nothing marks but the length of the first, and its time.
    let text = |at: usize| records[at].split('|').next().unwrap().len() - "log=".len();
    assert_eq!((text(8), text(9)), (16_384, 20_000 - 16_384));
    assert_eq!(decoded.records[8].1, decoded.records[9].1);
    assert_eq!(decoded.records[0].1, Timestamp::new(1795388358, 64_126_000));
    assert_eq!((records.len(), decoded.tag.as_str()), (11, "splunk.hec"));
    assert_eq!(decoded.tally, Tally { records: 11, ..Tally::default() });
}

#[test]
fn all_formats_and_options_of_the_driver() {
    let all = recorded(recording!("inline-all-opts"));
    let expected = "log=hello|source=stdout|container_name=cap-splunk|image_name=busybox:local|APP=x|team=core\
                    |host=vm|splunk_source=src|sourcetype=st|index=main";
    assert_eq!((all.records[0].0.as_str(), all.tag.as_str()), (expected, "splunk.src"));
    let gzip = recorded(recording!("inline-gzip"));
    assert_eq!(gzip.records.len(), 2);
    let raw = recorded(recording!("raw-tag-attrs"));
    assert_eq!(raw.records[0].0, "log=cap-splunk APP=x team=core hello|host=vm");
    assert!(recorded(recording!("raw")).records.len() >= 9);
    let json = recorded(recording!("json"));
    let lines: Vec<&str> =
        json.records.iter().map(|(fields, _)| fields.split("|source=").next().unwrap()).collect();
    assert!(lines.contains(&r#"log={"a":1,"b":[true,null]}"#) && lines.contains(&"log=42"), "{lines:?}");
}

#[test]
fn events_of_other_senders() {
    for (body, record) in [
        (r#"{"event":"a\"b"}"#, r#"log=a"b"#),
        (r#"{"event":1.50,"time":"5"}"#, "log=1.50"),
        (r#"{"event":false}"#, "log=false"),
        (r#"{"event":[1, {"a": 2}]}"#, r#"log=[1,{"a":2}]"#),
        (r#"{"event":{}}"#, "log={}"),
        (r#"{"event":{"msg":"x","ctx":{"a": [1]},"n":null}}"#, r#"msg=x|ctx={"a":[1]}|n="#),
        (r#"{"host":"h","event":"x","fields":{"a":"1","host":"f"}}"#, "log=x|a=1|fields.host=f|host=h"),
        (r#"{"host":"h","event":{"host":"own"}}"#, "host=own|splunk_host=h"),
        (r#"{"event":"x","fields":7,"more":true}"#, "log=x|fields=7|more=true"),
        (r#"{"event":"x","time":"soon"}"#, "log=x|time=soon"),
        (r#"{"event":{"line":"x","source":"app"}}"#, "line=x|source=app"),
    ] {
        let decoded = events(body, false);
        assert_eq!(decoded.end, Step::Done, "{body}");
        assert_eq!(decoded.records[0].0, record, "{body}");
    }
    let times =
        events(r#"{"event":1,"time":1.5}{"event":1}{"event":1,"time":0} {"event":1,"time":null}"#, false);
    let times: Vec<Timestamp> = times.records.iter().map(|(_, time)| *time).collect();
    assert_eq!(times, [Timestamp::new(1, 500_000_000), RECEIVED, RECEIVED, RECEIVED]);
}

#[test]
fn names_that_say_where_a_line_comes_from_are_ours() {
    let body = r#"{"event":{"line":"x","source":"stdout","tag":"odd tag","attrs":{"log":"no","container_id":"no","ok":"yes"}}}"#;
    let expected = "log=x|source=stdout|tag=odd tag|attrs.log=no|attrs.container_id=no|ok=yes";
    assert_eq!(events(body, true).records[0].0, expected);
}

#[test]
fn bad_events_end_their_body_and_those_before_them_count() {
    for (body, code) in [
        ("", Code::NoData),
        (" \n ", Code::NoData),
        ("x", Code::InvalidData),
        (r#"[{"event":"x"}]"#, Code::InvalidData),
        (r#"{"event":"x""#, Code::InvalidData),
        (r#"{"time":1}"#, Code::EventRequired),
        (r#"{"event":null}"#, Code::EventRequired),
        (r#"{"event":""}"#, Code::EventBlank),
    ] {
        let alone = events(body, false);
        assert_eq!((alone.end, alone.records.len()), (Step::Bad(code, 0), 0), "{body}");
        if code != Code::NoData {
            let behind = events(&format!(r#"{{"event":1}} {{"event":2}},{body}"#).replace(",", ""), false);
            assert_eq!((behind.end, behind.records.len()), (Step::Bad(code, 2), 2), "{body}");
        }
    }
}

#[test]
fn what_docker_would_only_send_again_is_kept() {
    let deep = format!(r#"{{"event":{}{}}}"#, "[".repeat(300), "]".repeat(300));
    let decoded = events(
        &format!(r#"{{"event":""}}{{"event":null,"host":"h"}}{{"host":"h"}}{deep}{{"event":"last"}}"#),
        true,
    );
    assert_eq!(decoded.end, Step::Done);
    let records: Vec<String> = decoded.records.into_iter().map(|(fields, _)| fields).collect();
    let deep = format!("log={deep}");
    assert_eq!(
        records,
        ["log=", r#"log={"event":null,"host":"h"}"#, r#"log={"host":"h"}"#, &deep, "log=last"]
    );
    assert_eq!(decoded.tally, Tally { records: 5, kept: 4, ..Tally::default() });
}

#[test]
fn long_events_are_cut_and_marked() {
    let plan = SplunkPlan { max_event: 4, ..plan() };
    for (body, record) in [
        (r#"{"event":"12345"}"#, "log=1234|__cut__=log"),
        (r#"{"event":"1234"}"#, "log=1234"),
        (r#"{"event":{"a":"bcd"}}"#, r#"log={"a"|__cut__=log"#),
        (
            r#"{"event":{"line":"12345","source":"stderr"},"host":"h"}"#,
            "log=1234|__cut__=log|source=stderr|host=h",
        ),
    ] {
        let decoded = Bench::new(&plan).events(body.as_bytes(), false);
        assert_eq!(decoded.records[0].0, record);
    }
    assert_eq!(
        Bench::new(&plan).lines("", b"12345\n1\n").tally,
        Tally { records: 2, cut: 1, ..Tally::default() }
    );
}

#[test]
fn sources_have_tags_of_their_own() {
    let decoded = events(
        r#"{"event":1,"source":"a"}{"event":2,"source":"a"}{"event":"\u0033","sourcetype":"b"}"#,
        false,
    );
    assert_eq!((decoded.end, decoded.tally.records), (Step::Done, 3));
    assert_eq!(decoded.tag, "splunk.b");
    assert_eq!(decoded.records[0].0, "log=3|sourcetype=b");
    assert_eq!(decoded.records.len(), 1, "what has another tag is stored");
    let fixed = SplunkPlan { tag: Some("all".to_owned()), ..plan() };
    let decoded = Bench::new(&fixed).events(br#"{"event":1,"source":"a"}{"event":2,"source":"b"}"#, false);
    assert_eq!((decoded.records.len(), decoded.tag.as_str()), (2, "all"));
}

#[test]
fn docker_s_raw_texts_lose_a_tag_that_names_a_container() {
    let body = r#"{"event":"web/d88c56f8195b  hello"}{"event":"web/d88c56f8195b "}{"event":"docker.web x"}{"event":"web"}"#;
    let forms = ["{{.Name}}/{{.ID}}", "docker.{{.Name}}"].map(|form| DockerTag::parse(form).unwrap());
    let plan = SplunkPlan { container_tags: forms.to_vec(), ..plan() };
    let texts = |docker| -> Vec<String> {
        let decoded = Bench::new(&plan).events(body.as_bytes(), docker);
        decoded.records.into_iter().map(|(shown, _)| shown).collect()
    };
    let container = "container_id=d88c56f8195b|container_name=web";
    let whole = [format!("log= hello|{container}"), format!("log=|{container}")];
    assert_eq!(texts(true)[..2], whole);
    // Any text may begin so.
    assert_eq!(texts(true)[2..], ["log=docker.web x", "log=web"]);
    assert_eq!(texts(false)[0], "log=web/d88c56f8195b  hello");
}

#[test]
fn raw_lines_are_events() {
    let mut bench = Bench::new(&plan());
    let decoded = bench.lines("source=/var/log/a&host=h&time=1795388358.5&x=y", b"one\r\n\n two \nthree");
    let records: Vec<&str> = decoded.records.iter().map(|(fields, _)| fields.as_str()).collect();
    let behind = "|host=h|splunk_source=/var/log/a";
    assert_eq!(records, ["one", " two ", "three"].map(|text| format!("log={text}{behind}")));
    assert_eq!(decoded.records[0].1, Timestamp::new(1795388358, 500_000_000));
    assert_eq!((decoded.tag.as_str(), decoded.end), ("splunk.var.log.a", Step::Done));
    assert_eq!(bench.lines("", b"\n\r\n").end, Step::Bad(Code::NoData, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the cut, a body gives the events before it, each once.
    #[test]
    fn a_body_cut_anywhere_gives_what_is_whole(cut in 0usize..200, docker: bool) {
        let body = r#"{"event":"one","time":"1795388358.1"} {"event":{"line":"two","source":"stdout","tag":"t"}}{"event":{"x":"three"}}"#;
        let cut = cut.min(body.len());
        let decoded = events(&body[..cut], docker);
        let whole = [37usize, 90, body.len()].iter().filter(|end| **end <= cut).count();
        prop_assert_eq!(decoded.records.len(), whole);
        prop_assert_eq!(decoded.tally.records as usize, whole);
    }

    #[test]
    fn any_bytes_end(bytes: Vec<u8>, docker: bool) {
        let mut bench = Bench::new(&plan());
        bench.events(&bytes, docker);
        bench.events(&[br#"{"event":"#, &bytes[..], b"}"].concat(), docker);
    }
}
