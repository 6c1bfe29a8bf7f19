//! The input that reads files: its defaults, how it is printed, what is refused.

use std::time::Duration;

use super::native::{input, refused};
use super::*;

fn file(keys: &str) -> FilePlan {
    let InputKind::File(file) = input("file", keys) else { panic!() };
    *file
}

#[test]
fn defaults() {
    let plan = file("paths: /var/log/a.log");
    assert_eq!(plan.paths.iter().map(|path| path.text()).collect::<Vec<_>>(), ["/var/log/a.log"]);
    assert_eq!((plan.max_depth, plan.start, plan.charset), (10, FileStart::Beginning, Charset::Utf8));
    assert_eq!((plan.format, plan.max_line, plan.join.max_line), (FileFormat::Lines, 512 << 10, 512 << 10));
    let seconds = Duration::from_secs;
    assert_eq!(
        (plan.scan_interval, plan.flush_timeout, plan.stop_delay),
        (seconds(5), seconds(60), seconds(0))
    );
    assert_eq!((plan.key.as_str(), plan.offset_key, plan.tag, plan.rate_limit), ("log", None, None, None));
    assert!(plan.exclude.is_empty() && plan.tags.is_empty() && plan.processors.is_empty());
    assert!(plan.multiline.is_none() && plan.kubernetes.is_none());
}

/// The section of the full file says the defaults, save where it shows an example.
#[test]
fn what_is_switched_on_in_the_full_file_is_the_default() {
    let shipped = shipped("sluicegate.yaml");
    let (_, section) = shipped.split_once("  #file:\n").unwrap();
    let examples = [
        "exclude",
        "start",
        "tail_bytes",
        "multiline",
        "rate_limit",
        "tag",
        "offset_key",
        "tags",
        "processors",
    ];
    let typed = section.lines().take_while(|line| !line.is_empty() && *line != "    #kubernetes:");
    let keys = typed.filter_map(|line| line.strip_prefix("    #")).filter(|line| !line.starts_with(' '));
    let keys = keys.filter(|line| !examples.iter().any(|key| line.starts_with(&format!("{key}:"))));
    let keys: Vec<String> = keys.map(|line| format!("    {line}\n")).collect();
    assert!(keys.len() >= 12, "{keys:?}");
    let text = format!("inputs:\n  file:\n{}", keys.concat());
    let plan = from_text(&text, &[HOME]).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
    let paths = "paths: [/var/log/app/*.log, '/srv/**/access.log']";
    assert_eq!(plan.inputs[0].kind, input("file", paths), "{text}");
}

#[test]
fn one_text_can_be_several_paths() {
    let paths = |typed: &str| {
        let plan = file(&format!("paths: {typed}"));
        plan.paths.iter().map(|path| path.text().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths("'/a/{b,c}.log, /d,/e'"), ["/a/{b,c}.log", "/d", "/e"]);
    assert_eq!(paths("[ '/a,/b' ]"), ["/a,/b"]);
    let set = ("SLUICEGATE__INPUTS__FILE__PATHS", "/a/*.log,/b");
    let plan = from_text("", &[HOME, set]).unwrap();
    let InputKind::File(plan) = &plan.inputs[0].kind else { panic!() };
    assert_eq!(plan.paths.len(), 2);
    assert!(file("paths: /a, exclude: []").exclude.is_empty());
    assert_eq!(file("paths: /a, exclude: /b").exclude.len(), 1);
}

#[test]
fn everything_said() {
    let plan = file(
        r#"
        paths: [ "/a/$${x}" ], max_depth: 0, start: tail, tail_bytes: 2MiB, scan_interval: 1s, charset: gb18030,
        multiline: { start: '/^\d{4}/', end: '$', unmatched: discard, timeout: 1s }, max_line: 1KiB, flush_timeout: 1s,
        stop_delay: 2s, rate_limit: 1MiB, tag: t, key: content, offset_key: at, tags: { a: "$${b" }, join_partial: false,
        join_timeout: 1s, kubernetes: { pods: { include: [ web-*, '/a|b/' ] }, labels: { app: web }, api: { patience: 0s } }
        "#,
    );
    assert_eq!((plan.start, plan.charset, plan.max_depth), (FileStart::Tail(2 << 20), Charset::Gb18030, 0));
    let multiline = plan.multiline.unwrap();
    assert!(multiline.start.is_some() && multiline.continues.is_none() && multiline.end.is_some());
    assert_eq!((multiline.keep_unmatched, multiline.timeout), (false, Duration::from_secs(1)));
    assert_eq!((plan.rate_limit, plan.stop_delay), (Some(1 << 20), Duration::from_secs(2)));
    assert_eq!((plan.tags[0].1.as_str(), plan.join.max_line, plan.join.partial), ("${b", 1 << 10, false));
    let kubernetes = plan.kubernetes.unwrap();
    let patterns: Vec<String> = kubernetes.pods.include.iter().map(ToString::to_string).collect();
    assert_eq!(patterns, [r"web\-.*", "a|b"]);
    let api = kubernetes.api.unwrap();
    assert_eq!((api.server.as_str(), api.patience), ("https://kubernetes.default.svc", Duration::ZERO));
    assert_eq!(api.node, None);
    let service = ("KUBERNETES_SERVICE_HOST", "10.96.0.1");
    let inside = [HOME, service, ("KUBERNETES_SERVICE_PORT", "6443"), ("NODE_NAME", "node-1")];
    for (typed, server, node) in [
        ("", "https://10.96.0.1:6443", "node-1"),
        ("server: 'https://[fd00::1]', node: n", "https://[fd00::1]", "n"),
    ] {
        let text = format!("inputs: {{ file: {{ paths: /a, kubernetes: {{ api: {{ {typed} }} }} }} }}");
        let plan = from_text(&text, &inside).unwrap();
        let InputKind::File(file) = &plan.inputs[0].kind else { panic!() };
        let api = file.kubernetes.as_ref().and_then(|kubernetes| kubernetes.api.as_ref()).unwrap();
        assert_eq!((api.server.as_str(), api.node.as_deref()), (server, Some(node)));
    }
    let bare = file("paths: /a, format: container, kubernetes: {}").kubernetes.unwrap();
    assert!(bare.namespaces.include.is_empty() && bare.labels.is_empty() && bare.api.is_none());
    for (word, format) in
        [("cri", FileFormat::Cri), ("docker", FileFormat::DockerJson), ("container", FileFormat::Container)]
    {
        assert_eq!(file(&format!("paths: /a, format: {word}")).format, format);
    }
}

#[test]
fn faults() {
    refused(&[
        ("file: {}", "file.paths: is missing; write the files' paths, such as /var/log/app/*.log"),
        ("file: { paths: [] }", "file.paths: is an empty list"),
        ("file: { paths: [ /a, b.log ] }", "file.paths[1]: `b.log` is not an absolute path"),
        ("file: { path: /a, paths: /a }", "file.path: is not a key; did you mean paths?"),
        ("file: { paths: /a, max_depth: 1001 }", "file.max_depth: is 1001; it must lie between 0 and 1000"),
        ("file: { paths: /a, start: now }", "file.start: `now` is not one of beginning, end, tail"),
        ("file: { paths: /a, tail_bytes: 1MiB }", "file.tail_bytes: belongs to start: tail"),
        ("file: { paths: /a, charset: latin1 }", "file.charset: `latin1` is not one of utf-8, gbk, gb18030"),
        (
            "file: { paths: /a, format: json }",
            "file.format: `json` is not one of lines, cri, docker, container",
        ),
        ("file: { paths: /a, multiline: {} }", "file.multiline: has no pattern; write start"),
        ("file: { paths: /a, multiline: { timeout: 1s } }", "file.multiline: has no pattern"),
        (
            "file: { paths: /a, multiline: { continue: a } }",
            "file.multiline: has continue alone, which says neither",
        ),
        (
            "file: { paths: /a, multiline: { start: a, continue: b, end: c } }",
            "file.multiline.continue: is not looked at beside start and end",
        ),
        (
            "file: { paths: /a, multiline: { start: '(?<!a)b' } }",
            "file.multiline.start: `(?<!a)b` has a look-behind ((?<!), which takes more than linear time",
        ),
        (
            "file: { paths: /a, format: cri, multiline: { start: a } }",
            "file.multiline: belongs to format: lines",
        ),
        ("file: { paths: /a, format: docker, key: a }", "file.key: belongs to format: lines"),
        ("file: { paths: /a, format: container, charset: gbk }", "file.charset: belongs to format: lines"),
        ("file: { paths: /a, max_line: 2MiB }", "file.max_line: is 2MiB; it must lie between 1KiB and 1MiB"),
        ("file: { paths: /a, rate_limit: 1B }", "file.rate_limit: is 1B"),
        ("file: { paths: /a, offset_key: log }", "file.offset_key: is `log`, which the record has already"),
        (
            "file: { paths: /a, format: cri, offset_key: source }",
            "file.offset_key: is `source`, which the record",
        ),
        (
            "file: { paths: /a, tags: { __path__: x } }",
            "file.tags.__path__: is a tag that the gateway sets itself",
        ),
        (
            "file: { paths: /a, stop_delay: 7001ms }",
            "file.stop_delay: leaves no time to deliver what comes until then; write at most 7s, or raise \
             limits.stop_deadline (10s) to 10001ms",
        ),
        (
            "file: { paths: /a }, two: { type: file, paths: [ /b, /a ] }",
            "two.paths: `/a` is read by inputs.file already, so each line would come twice",
        ),
        (
            "file: { paths: /a, kubernetes: { labels: { a: b } } }",
            "file.kubernetes.labels: are known to the API",
        ),
        (
            "file: { paths: /a, kubernetes: { api: { server: 'http://k' } } }",
            "file.kubernetes.api.server: `http://k` would show the token to everyone; write https",
        ),
        (
            "file: { paths: /a, kubernetes: { pods: { include: '' , exclude: [ '' ] } } }",
            "file.kubernetes.pods.exclude[0]: `` is empty",
        ),
        (
            "file: { paths: /a, kubernetes: { pods: [ a ] } }",
            "file.kubernetes.pods: is a list and must be a map of keys",
        ),
    ]);
}

#[test]
fn what_would_be_right_for_a_stop_delay_is_right_and_not_more() {
    let longest = |stop_deadline| {
        LimitsPlan { byte_budget: 0, dead_letter_bytes: 0, stop_deadline }.longest_stop_delay()
    };
    assert_eq!(longest(Duration::ZERO), Duration::ZERO);
    assert_eq!(longest(Duration::from_secs(10)), Duration::from_secs(7));
    let moment = Duration::from_millis(1);
    for millis in [1, 100, 2_999, 3_000, 3_001, 7_000, 3_600_000] {
        let stop_delay = Duration::from_millis(millis);
        let deadline = LimitsPlan::shortest_stop_deadline(stop_delay);
        assert!(longest(deadline) >= stop_delay, "{millis}");
        assert!(longest(deadline - moment) < stop_delay, "{millis}");
    }
}
