//! Faults: all at once, each with its key and with what would be right.

use std::collections::BTreeSet;

use super::*;
use crate::config::errors::Place;

#[test]
fn ten_faults_are_ten_lines_and_more_with_what_would_be_right() {
    let text = r#"
inputs:
  forward: { lisen: 127.0.0.1:1, max_message: 64MX, stall_timeout: 60, max_depth: 1000, join_partial: maybe }
routes:
  - match: "a.{b"
    destination: clod
    logstore: Not-Legal
    processors: [ { modify: { a: b } }, { add: { x: "${recrd.a}" } } ]
  - when: { path: "/(/", level: 3 }
destinations:
  cloud:
    endpoint: cn-hangzhou.log.example
    project: my_project
    logstore: app-log
    access_key_secret: 0123
    topic: "${env:NOT_SET}"
    tags: { env: "${tag}" }
    buffer: fast
    compression: gzip
  other: {}
buffers:
  Fast: {}
journal: { max_bytes: }
operations: { listen: 24290 }
limit: {}
"#;
    let found = lines(from_text(text, &[HOME]));
    for expected in [
        "inputs.forward.lisen: is not a key; did you mean listen?",
        "inputs.forward.max_message: `64MX` is not a size; write 64MiB",
        "inputs.forward.stall_timeout: `60` has no unit; write 60s (units: ms, s, m, h)",
        "inputs.forward.max_depth: is 1000; it must lie between 4 and 64",
        "inputs.forward.join_partial: `maybe` is not one of true, false",
        "routes[0].match: `a.{b` has a { without its } in a.{b; blanks separate patterns, also within braces",
        "routes[0].destination: there is no destination `clod`; did you mean cloud?",
        "routes[0].logstore: `Not-Legal` is no logstore name; Log Service takes 3 to 63 of a-z, 0-9, - and _, a letter or digit at both ends",
        "routes[0].processors[0].modify: is not a processor; write one of add, remove, keep, rename, parse, time, filter, drop, mask",
        "routes[0].processors[1].add.x: `${recrd.a}` has ${recrd.a}, which is no placeholder; there are ${tag}, ${tag[1]}, ${record.key}, ${record.key:-default}, ${env:NAME} and ${file:/path}",
        "routes[1].when.level: is a number to YAML where text belongs; put it in quotes",
        "routes[1].when.path: `/(/` is not a regular expression: unclosed group",
        "destinations.cloud.endpoint: `cn-hangzhou.log.example` is not an endpoint; write https://cn-hangzhou.log.aliyuncs.com",
        "destinations.cloud.project: `my_project` is no project name; Log Service takes 3 to 63 of a-z, 0-9 and -, a letter or digit at both ends",
        "destinations.cloud.access_key_id: is missing; write access_key_id: ${env:ALIBABA_CLOUD_ACCESS_KEY_ID}",
        "destinations.cloud.access_key_secret: is a number to YAML where text belongs; put it in quotes",
        "destinations.cloud.topic: the environment variable NOT_SET is not set",
        "destinations.cloud.tags.env: has ${tag}, which this key does not take; here are ${env:NAME} and ${file:/path}, and $${ stands for ${",
        "destinations.cloud.buffer: there is no buffer `fast`; did you mean Fast?",
        "destinations.cloud.compression: `gzip` is not one of lz4, zstd, none",
        "destinations.other.endpoint: is missing; write https://cn-hangzhou.log.aliyuncs.com, or region: cn-hangzhou",
        "buffers.Fast: is not a name; use a-z, 0-9, - and single _, a letter first",
        "journal.max_bytes: has no value; give it one or leave the key out",
        "operations.listen: is a number to YAML where text belongs; put it in quotes",
        "limit: is not a key; did you mean limits?",
        "default_destination: is missing; name where unmatched records go, one of cloud, other",
    ] {
        let expected = format!("configuration: {expected}");
        assert!(found.contains(&expected), "{expected}\nis missing in\n{}", found.join("\n"));
    }
    assert_eq!(found, lines(from_text(text, &[HOME])), "the order of faults does not depend on chance");
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "no fault twice");
}

#[test]
fn faults_of_the_whole() {
    let cloud = "destinations:\n  c: { endpoint: http://h, project: ppp, logstore: lll, access_key_id: i, access_key_secret: s }\n";
    for (text, expected) in [
        ("log_service: { enabled: false }".to_owned(), "log_service.enabled: is false and no destination"),
        (
            format!("{cloud}  local: {{}}\ndefault_destination: c\n"),
            "destinations.local: is the embedded Log Service, which is off",
        ),
        (
            format!("{cloud}default_destination: local\n"),
            "default_destination: the embedded Log Service is off",
        ),
        (format!("{cloud}log_service: {{ enabled: true }}\n"), "default_destination: is missing; name where"),
        (
            "destinations: { local: { endpoint: http://h } }".to_owned(),
            "destinations.local.endpoint: `local` is the",
        ),
        (
            "destinations: { local: { logstore: abc } }".to_owned(),
            "destinations.local.logstore: `local` is the",
        ),
        (
            "operations: { listen: 0.0.0.0:24224 }".to_owned(),
            "operations.listen: `0.0.0.0:24224` is taken by inputs.forward",
        ),
        (
            "inputs: { forward: {}, two: { type: forward } }".to_owned(),
            "inputs.two.listen: `127.0.0.1:24224` is taken by",
        ),
        ("inputs: { two: {} }".to_owned(), "inputs.two.type: is missing; write one of forward, syslog, gelf"),
        ("inputs: { forward: { listen: [] } }".to_owned(), "inputs.forward.listen: is an empty list"),
        ("journal: { segment_bytes: 3GiB }".to_owned(), "journal.segment_bytes: leaves no room"),
        ("journal: { max_bytes: 1MiB }".to_owned(), "journal.max_bytes: leaves no room"),
        (
            "buffers: { default: { max_bytes: 5GiB } }".to_owned(),
            "buffers.default.max_bytes: is more than journal",
        ),
        (
            "routes: [ { destination: local }, { match: a } ]".to_owned(),
            "routes[1]: is never reached, since routes[0]",
        ),
        (
            "routes: [ { processors: [ { rename: { a: b, b: c } } ] } ]".to_owned(),
            "routes[0].processors[0].rename.a: renames to `b`",
        ),
        (
            "routes: [ { processors: [ { rename: { a: c, b: c } } ] } ]".to_owned(),
            "routes[0].processors[0].rename.b: is the second",
        ),
        ("routes: [ { processors: [ {} ] } ]".to_owned(), "routes[0].processors[0]: is not a processor"),
        ("routes: [ { processors: [ { remove: [a], rename: {} } ] } ]".to_owned(), "is a second entry"),
        ("routes: { match: a }".to_owned(), "routes: is a map and must be a list"),
        ("inputs: [ a ]".to_owned(), "inputs: is a list and must be a map of keys"),
        ("data_dir: here".to_owned(), "data_dir: `here` is not an absolute path"),
        ("- ".repeat(100_000), "line 1 opens too many"),
        ("[".repeat(100_000), "line 1: too many lists and maps inside one another"),
        ("\u{feff}datadir: /d".to_owned(), "datadir: is not a key; did you mean data_dir?"),
        ("a[999999999]: 1".to_owned(), "a[999999999]: is not a key"),
    ] {
        let found = lines(from_text(&text, &[HOME])).join("\n");
        assert!(
            found.starts_with("configuration: ") && found.contains(expected),
            "{expected}\nis missing in\n{found}"
        );
        assert!(!found.contains('\n') || text.contains("enabled: false"), "more than one fault:\n{found}");
    }
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.yaml");
    let run = || load(Some(&file), std::iter::empty(), &Flags::default()).unwrap_err();
    assert!(run().to_string().starts_with(&format!("{}: cannot be read: ", file.display())));
    std::fs::write(&file, b"a: \xff").unwrap();
    assert_eq!(run().to_string(), format!("{}: is not UTF-8 text", file.display()));
    std::fs::write(&file, "operations: { listen: x }").unwrap();
    let errors = run();
    assert_eq!(errors.faults()[0].place, Place::Key("operations.listen".to_owned()));
    assert!(
        errors.to_string().starts_with(&format!("{}: operations.listen: `x` has no port", file.display()))
    );
}

#[test]
fn what_is_no_yaml_is_told_with_its_line() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        ("a: 1\n---\nb: 2\n", "holds 2 YAML documents, separated by `---`; one is right"),
        ("- a\n", "is no YAML map of keys; its lines are `key: value`, and"),
        ("inputs\n", "is no YAML map of keys; its lines"),
        ("7", "is no YAML map of keys; its lines"),
        ("? [a]\n: b\n", "has a key that is a map, a list or nothing; keys are plain text"),
        ("# x\na: 1\na: 2\n", "line 3: key `a` is there twice"),
        ("a:\n  x: 1\nb:\n  a: 1\n\"a\":\n  q: 1\n  a: { a: 3 }\nc: 1\n", "line 5: key `a` is there twice"),
        (
            "l:\n  - a: 1\n    b: 1\n  - b: 1\n    c:\n      x: 1\n    c:\n      y: 1\n",
            "line 7: key `c` is there twice",
        ),
        ("a: { b: 1,\n b: 2 }\n", "line 2: key `b` is there twice"),
        ("1: a\n1: b\n", "line 2: key `1` is there twice"),
        ("a: 1\nb: [", "line 2: a [ or { is never closed"),
        ("b: { c: 1\n", "line 1: a { is not closed"),
        ("a: \"x\n", "line 1: a quote is opened and never closed"),
        ("a: \"x\" y\n", "line 1: something follows the closing quote"),
        ("a: \"\\d\"\n", "line 1: a \\ in double quotes begins an escape"),
        ("a:\n\tb: 1\n", "line 2: a tab stands in the indentation"),
        ("a: b: c\n", "line 1: a second `key:` in one line"),
        ("a: 1\n  b: 1\n", "line 2: a second `key:` in one line"),
        ("a:\n    b: 1\n  c: 1\n", "line 3: the indentation fits none of the lines above"),
        ("a: 1\nb\nc: 1\n", "line 3: there is no `key:`"),
        ("routes:\n  - match: **\n", "line 2: * and & begin something of YAML's own"),
        ("routes:\n  - match: *web\n", "line 2: * and & begin something of YAML's own"),
        ("a: @x\n", "line 1: the first character is one of YAML's own"),
        ("a: - b\n", "line 1: a list begins in a line of its own"),
        ("a:\n  - b\n  c: 1\n", "line 3: the indentation fits neither the list above"),
    ] {
        let found = lines(from_text(text, &[HOME])).join("\n");
        if !found.starts_with(&format!("configuration: {expected}")) {
            wrong.push(format!("{text}\n{expected}\nis not\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

proptest! {
    #[test]
    fn no_text_breaks_the_messages(text in "([ab\"'*&{}\\[\\]:,#\u{e9}-]|: |- |\n|\n  ){0,60}") {
        let _ = from_text(&text, &[HOME]);
    }
}
