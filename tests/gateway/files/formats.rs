//! Lines of every format, from a file to what a query shows.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::volume::{Volume, count, numbers, tag, text, texts};
use crate::gateway::fake_service::{FakeService, Put};
use crate::gateway::harness::{EMBEDDED, TestGateway, start, start_in, until};

/// Configuration of inputs, each by its name and settings, and of a logstore of the same name for each.
fn config(inputs: &[(&str, String)]) -> String {
    let one = |(name, settings): &(&str, String)| format!("  {name}:\n    type: file\n    {settings}\n");
    let route = |(name, _): &(&str, String)| format!("  - {{ match: file.{name}, logstore: {name} }}\n");
    let (inputs, routes): (String, String) =
        (inputs.iter().map(one).collect(), inputs.iter().map(route).collect());
    format!("inputs:\n{inputs}\n{EMBEDDED}\nroutes:\n{routes}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_tells_its_path_its_host_and_its_tags() {
    let volume = Volume::new();
    let settings = format!(
        "paths: {}\n    exclude: {}\n    tags: {{ team: web, __odd__: 'ü' }}\n    offset_key: __file_offset__",
        volume.text("**/*.log"),
        volume.text("**/debug.log")
    );
    let agent = "agent: { hostname: node-7, source: 10.1.2.3, user_defined_ids: [group-a, group-b], tags: { cell: c1 } }";
    let log = volume.log("deep/er/app.log");
    volume.log("deep/debug.log").put("not read\n");
    log.put("first\nsecond\n");
    let gateway = start(&format!("{}\n{agent}", config(&[("told", settings)]))).await;
    gateway.wait_for("told", "*", 2).await;
    log.put("third\r\n\nfourth");
    volume.log("other.log").put("fifth\n");
    // What has no line feed yet is no line.
    let found = gateway.wait_for("told", "*", 5).await;
    assert_eq!(texts(&found, "log"), ["", "fifth", "first", "second", "third"]);
    for record in &found {
        let is_other = text(record, "log") == "fifth";
        let path = volume.text(if is_other { "other.log" } else { "deep/er/app.log" });
        assert_eq!(tag(record, "__path__"), path);
        assert_eq!((tag(record, "__hostname__"), text(record, "__source__")), ("node-7", "10.1.2.3"));
        assert_eq!(tag(record, "__user_defined_id__"), "group-a,group-b");
        assert_eq!((tag(record, "team"), tag(record, "__odd__"), tag(record, "cell")), ("web", "ü", "c1"));
        assert_eq!(text(record, "__topic__"), "file.told");
    }
    let offset = |line: &str| {
        let record = found.iter().find(|record| text(record, "log") == line).unwrap();
        text(record, "__file_offset__").to_owned()
    };
    assert_eq!((offset("first"), offset("second"), offset("third")), ("0".into(), "6".into(), "13".into()));
    gateway.stop().await;
}

/// On the wire: who it was, and a series for each file, over a restart of its own number.
#[tokio::test(flavor = "multi_thread")]
async fn requests_have_logtail_s_tags_and_a_series_for_each_file() {
    let volume = Volume::new();
    let service = FakeService::start(|_| (200, "")).await;
    let config = format!(
        "inputs:\n  series: {{ type: file, paths: {} }}\n{}\nagent: {{ user_defined_ids: [group-a], hostname: node-7 }}",
        volume.text("*.log"),
        service.destination("")
    );
    let (mut one, mut two) = (volume.log("one.log"), volume.log("two.log"));
    let mut gateway = start(&config).await;
    for turn in 1..4 {
        one.lines(10);
        two.lines(10);
        until("lines", async || count(&service, "app-log") == 20 * turn).await;
        if turn == 2 {
            gateway = start_in(gateway.stop().await, &config).await;
        }
    }
    for log in [&one, &two] {
        let path = log.path.to_str();
        let mut lines = Vec::new();
        let mut ids = Vec::new();
        for put in service.puts().iter().filter(|put| put.tag("__path__").as_deref() == path) {
            assert_eq!(put.tag("__user_defined_id__").as_deref(), Some("group-a"));
            assert_eq!(put.tag("__hostname__").as_deref(), Some("node-7"));
            lines.extend(numbers(put.values("log")));
            let id = put.pack_id();
            let (series, sequence) = id.split_once('-').unwrap();
            ids.push((series.to_owned(), u64::from_str_radix(sequence, 16).unwrap()));
        }
        assert!(lines.is_sorted() && lines.len() == 30, "{lines:?}");
        assert!(ids.is_sorted_by(|before, after| before.0 == after.0 && before.1 < after.1), "{ids:?}");
    }
    let series = |put: &Put| put.pack_id().split('-').next().unwrap().to_owned();
    let all: HashSet<String> = service.puts().iter().map(series).collect();
    assert_eq!(all.len(), 2);
    gateway.stop().await;
}

/// The only record of a logstore for which this holds.
async fn the(gateway: &TestGateway, logstore: &str, key: &str, value: &str) -> Map<String, Value> {
    let all = gateway.query(logstore, "*").await;
    let mut found = all.iter().filter(|record| record.get(key).is_some_and(|text| text == value));
    let record = found.next().unwrap_or_else(|| panic!("no {key} of {value} in {all:?}")).clone();
    assert!(found.next().is_none(), "{key} of {value} twice");
    record
}

/// Its own fields, without what every record of Log Service has.
fn fields(record: &Map<String, Value>) -> Vec<(&str, &str)> {
    let own = record.iter().filter(|(key, _)| !key.starts_with("__") || *key == "__raw_log__");
    own.map(|(key, value)| (key.as_str(), value.as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_of_logtail_are_read() {
    let volume = Volume::new();
    let nginx = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time"#;
    let inputs = [
        ("simple", format!("paths: {}\n    key: content", volume.text("simple.log"))),
        (
            "traces",
            format!(
                "paths: {}\n    multiline: {{ start: '/\\d{{4}}-\\d{{2}}-\\d{{2}} /', timeout: 300ms }}\n    processors:\n      \
                 - {{ parse: regex, regex: '/(?s)(?<when>\\S+ \\S+) (?<level>[A-Z]+) (?<message>.*)/' }}\n      \
                 - {{ time: {{ key: when, format: '%Y-%m-%d %H:%M:%S', zone: Asia/Shanghai, keep: true }} }}",
                volume.text("traces.log")
            ),
        ),
        (
            "nginx",
            format!(
                "paths: {}\n    processors:\n      - {{ parse: nginx, log_format: '{nginx}' }}\n      \
                 - {{ time: {{ key: time_local, format: '%d/%b/%Y:%H:%M:%S %z' }} }}",
                volume.text("access.log")
            ),
        ),
        (
            "columns",
            format!(
                "paths: {}\n    processors:\n      - {{ parse: delimiter, separator: ',', keys: [when, level, _, message], strict: true }}\n      \
                 - {{ time: {{ key: when, format: ['%Y/%m/%d %H:%M:%S', '%s'], zone: UTC }} }}",
                volume.text("columns.csv")
            ),
        ),
        (
            "objects",
            format!(
                "paths: {}\n    processors:\n      - {{ parse: json, depth: 2, on_failure: raw_log }}\n      \
                 - {{ time: {{ key: time, format: '%Y-%m-%dT%H:%M:%S.%f%z' }} }}",
                volume.text("objects.json")
            ),
        ),
        (
            "whole",
            format!(
                "paths: {}\n    processors:\n      \
                 - {{ parse: regex, regex: '/(\\S+) \\[(\\w+)\\] user=(\\w+) (.*)/', keys: [when, level, user, message] }}\n      \
                 - {{ time: {{ key: when, format: '%Y-%m-%dT%H:%M:%S%z' }} }}\n      \
                 - {{ drop: {{ level: DEBUG }} }}\n      - {{ filter: {{ message: '/^paid|^asked|\\d/' }} }}\n      \
                 - {{ mask: {{ keys: [message], pattern: '/card=(?<secret>\\d+)/', text: '[masked]' }} }}\n      \
                 - {{ mask: {{ keys: [user], pattern: '/.+/', with: md5 }} }}",
                volume.text("whole.log")
            ),
        ),
    ];
    volume.log("simple.log").put("one line\n  another, indented  \n");
    volume.log("traces.log").put(
        "2026-11-20 08:00:01 ERROR it broke\n  at a.b.c(D.java:1)\nCaused by: x\n2026-11-20 08:00:02 INFO fine\n\
         2026-11-20 08:00:03 WARN the last\n  has a second line\n",
    );
    volume.log("access.log").put(
        "10.0.0.1 - eve [20/Nov/2026:08:00:01 +0800] \"GET /a b?q=1 HTTP/1.1\" 200 612 \"-\" \"curl/8 (x)\" 0.004\n\
         this is not of it\n\
         ::1 - - [20/Nov/2026:08:00:02 +0800] \"-\" 400 0 \"-\" \"-\" 0.000\n",
    );
    volume.log("columns.csv").put(
        "2026/11/20 00:00:01,INFO,skipped,\"a, \"\"quoted\"\" one\"\n1795132802,WARN,x,last,more,of it\ntoo,few\n",
    );
    volume.log("objects.json").put(
        "{\"time\":\"2026-11-20T00:00:01.25+0000\",\"level\":\"info\",\"n\":12345678901234567890,\"req\":{\"path\":\"/x\",\"h\":{\"a\":[1,2]}},\"ok\":true,\"no\":null}\n\
         {not json\n",
    );
    volume.log("whole.log").put(
        "2026-11-20T00:00:01Z [INFO] user=alice paid with card=4111111111111111 today\n\
         2026-11-20T00:00:02Z [DEBUG] user=alice paid nothing\n\
         2026-11-20T00:00:03Z [INFO] user=alice said nothing\n\
         2026-11-20T00:00:04Z [INFO] user=bob asked\n",
    );
    let gateway = start(&config(&inputs)).await;
    let expected = [("simple", 2), ("traces", 3), ("nginx", 3), ("columns", 3), ("objects", 2), ("whole", 2)];
    for (logstore, count) in expected {
        gateway.wait_for(logstore, "*", count).await;
    }

    let simple = gateway.query("simple", "*").await;
    assert_eq!(texts(&simple, "content"), ["  another, indented  ", "one line"]);

    let broke = the(&gateway, "traces", "level", "ERROR").await;
    assert_eq!(broke["message"], "it broke\n  at a.b.c(D.java:1)\nCaused by: x");
    // 08:00 in Shanghai is midnight UTC.
    assert_eq!((text(&broke, "__time__"), text(&broke, "when")), ("1795132801", "2026-11-20 08:00:01"));
    let last = the(&gateway, "traces", "level", "WARN").await;
    assert_eq!(
        (text(&last, "message"), text(&last, "__time__")),
        ("the last\n  has a second line", "1795132803")
    );

    let access = the(&gateway, "nginx", "status", "200").await;
    let expected = [
        ("body_bytes_sent", "612"),
        ("http_referer", "-"),
        ("http_user_agent", "curl/8 (x)"),
        ("remote_addr", "10.0.0.1"),
        ("remote_user", "eve"),
        ("request_method", "GET"),
        ("request_protocol", "HTTP/1.1"),
        ("request_time", "0.004"),
        ("request_uri", "/a b?q=1"),
        ("status", "200"),
    ];
    assert_eq!(text(&access, "__time__"), "1795132801");
    let mut found = fields(&access);
    found.sort_unstable();
    assert_eq!(found, expected);
    let raw = the(&gateway, "nginx", "__raw_log__", "this is not of it").await;
    assert_eq!(fields(&raw), [("__raw_log__", "this is not of it")]);

    let quoted = the(&gateway, "columns", "level", "INFO").await;
    assert_eq!((text(&quoted, "message"), text(&quoted, "__time__")), ("a, \"quoted\" one", "1795132801"));
    assert_eq!(fields(&quoted).len(), 2);
    let more = the(&gateway, "columns", "level", "WARN").await;
    assert_eq!((text(&more, "message"), text(&more, "__time__")), ("last", "1795132802"));
    let extra = |name: &str| text(&more, name).to_owned();
    assert_eq!((extra("__column4__"), extra("__column5__")), ("more".to_owned(), "of it".to_owned()));
    the(&gateway, "columns", "__raw_log__", "too,few").await;

    let object = the(&gateway, "objects", "level", "info").await;
    assert_eq!((text(&object, "__time__"), text(&object, "__time_ns_part__")), ("1795132801", "250000000"));
    assert_eq!(
        (text(&object, "n"), text(&object, "req.path"), text(&object, "req.h"), text(&object, "ok")),
        ("12345678901234567890", "/x", r#"{"a":[1,2]}"#, "true")
    );
    the(&gateway, "objects", "__raw_log__", "{not json").await;

    let paid = the(&gateway, "whole", "message", "paid with card=[masked] today").await;
    // md5 of "alice".
    assert_eq!(text(&paid, "user"), "6384E2B2184BCBF58ECCF10CA7A6563C");
    let asked = the(&gateway, "whole", "message", "asked").await;
    assert_eq!(text(&asked, "__time__"), "1795132804");
    gateway.stop().await;
}

/// What an input does to its records comes before what a route does, and conditions of routes see it.
#[tokio::test(flavor = "multi_thread")]
async fn fields_that_were_parsed_decide_the_route() {
    let volume = Volume::new();
    volume
        .log("app.log")
        .put("{\"level\":\"error\",\"team\":\"shop\"}\n{\"level\":\"info\",\"team\":\"shop\"}\nplain\n");
    let gateway = start(&format!(
        "inputs:\n  app:\n    type: file\n    paths: {}\n    tag: of.app\n    processors: [ {{ parse: json }} ]\n{EMBEDDED}\n\
         routes:\n  - {{ match: of.app, when: {{ level: error }}, logstore: errors, topic: '${{record.team}}', processors: [ {{ add: {{ page: 'yes' }} }} ] }}\n  \
         - {{ match: of.app, when: {{ team: '/./' }}, logstore: '${{record.team}}' }}\n",
        volume.text("app.log")
    ))
    .await;
    let errors = gateway.wait_for("errors", "*", 1).await;
    assert_eq!((text(&errors[0], "page"), text(&errors[0], "__topic__")), ("yes", "shop"));
    assert_eq!(text(&gateway.wait_for("shop", "*", 1).await[0], "level"), "info");
    assert_eq!(text(&gateway.wait_for("default", "*", 1).await[0], "log"), "plain");
    gateway.stop().await;
}
