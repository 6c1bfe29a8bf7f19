//! Processors: their keys, how they are printed, what is refused; for a route, and by the same reader for an input.

use super::*;

/// The processors of a route, as they are and as they are when they were printed.
fn steps(typed: &str) -> Vec<Step> {
    let plan = from_text(&format!("routes: [ {{ processors: [ {typed} ] }} ]"), &[HOME])
        .unwrap_or_else(|errors| panic!("{typed}\n{errors}"));
    let printed = plan.effective();
    let again = from_text(&printed, &[]).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    assert_eq!(again.effective(), printed);
    assert_eq!(again.routes[0].processors, plan.routes[0].processors, "{printed}");
    let text = format!("inputs: {{ file: {{ paths: /a, processors: [ {typed} ] }} }}");
    let plan_of_input = from_text(&text, &[HOME]).unwrap();
    let InputKind::File(file) = &plan_of_input.inputs[0].kind else { panic!() };
    assert_eq!(file.processors, plan.routes[0].processors);
    let printed = plan_of_input.effective();
    assert_eq!(from_text(&printed, &[]).unwrap().inputs, plan_of_input.inputs, "{printed}");
    plan.routes[0].processors.clone()
}

fn parsed(typed: &str) -> ParsePlan {
    let [Step::Parse(plan)] = &steps(typed)[..] else { panic!("{typed}") };
    plan.clone()
}

/// One processor each, with the one fault it must give.
fn refused(cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (typed, expected) in cases {
        let text = format!("routes: [ {{ processors: [ {typed} ] }} ]");
        let found = lines(from_text(&text, &[HOME])).join("\n");
        let expected = format!("configuration: routes[0].processors[0].{expected}");
        if !found.starts_with(&expected) || found.contains('\n') {
            wrong.push(format!("{typed}\n  {expected}\n  is not\n  {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn parse_has_keys_beside_its_own() {
    let json = ParsePlan {
        format: ParseFormat::Json { depth: 1 },
        key: "log".to_owned(),
        keep: false,
        prefix: String::new(),
        on_failure: OnFailure::Keep,
    };
    assert_eq!(parsed("{ parse: json }"), json);
    let other = ParsePlan {
        key: "${m".to_owned(),
        keep: true,
        prefix: "a.".to_owned(),
        format: ParseFormat::Json { depth: 64 },
        on_failure: OnFailure::Discard,
    };
    let typed = "{ parse: json, key: '$${m', keep: true, prefix: 'a.', depth: 64, on_failure: discard }";
    assert_eq!(parsed(typed), other);
    let long = "p".repeat(128);
    refused(&[
        ("{ parse: xml }", "parse: `xml` is not one of json, regex, nginx, apache, delimiter"),
        ("{ parse: json, kep: true }", "kep: is not a key; did you mean keep?"),
        (
            "{ parse: json, remove: [ a ] }",
            "remove: is not a key; there are parse, key, keep, prefix, on_failure, depth",
        ),
        ("{ parse: json, key: '' }", "key: `` is no name for a field"),
        (
            &format!("{{ parse: json, prefix: {long} }}"),
            &format!("prefix: `{long}` leaves no room for a key"),
        ),
        ("{ parse: json, depth: 65 }", "depth: is 65; it must lie between 1 and 64"),
        (
            "{ parse: json, keys: [ a ] }",
            "keys: belongs to `parse: regex` and `parse: delimiter`, not to this",
        ),
        ("{ parse: nginx, depth: 1 }", "depth: belongs to `parse: json`, not to this format"),
        (
            "{ parse: json, on_failure: drop }",
            "on_failure: `drop` is not one of keep, raw_log, copy, discard",
        ),
    ]);
}

#[test]
fn regular_expressions_have_a_field_for_each_group() {
    let ParsePlan { format: ParseFormat::Regex { regex, keys }, on_failure, .. } =
        parsed(r"{ parse: regex, regex: '/(?<a>\d+) (?<b>.*)/' }")
    else {
        panic!()
    };
    assert_eq!((regex.to_string().as_str(), keys.len()), (r"(?<a>\d+) (?<b>.*)", 0));
    assert_eq!(on_failure, OnFailure::RawLog);
    let ParseFormat::Regex { regex, keys } =
        parsed("{ parse: regex, regex: '(.)(.)(.)', keys: 'a,_,b' }").format
    else {
        panic!()
    };
    assert_eq!(
        (regex.to_string().as_str(), keys),
        ("(.)(.)(.)", ["a", "_", "b"].map(str::to_owned).to_vec())
    );
    refused(&[
        ("{ parse: regex }", "regex: is missing; write an expression that matches the whole text"),
        ("{ parse: regex, regex: '(.*)' }", "regex: has no named group, as (?<status>"),
        ("{ parse: regex, regex: '(a)(b)', keys: [ a, b, c ] }", "regex: has 2 groups for 3 keys"),
        ("{ parse: regex, regex: '(a)(b)', keys: [ a, a ] }", "keys: names `a` twice; _ skips one"),
        ("{ parse: regex, regex: '(a)', keys: [] }", "keys: is an empty list"),
        ("{ parse: regex, regex: '(' , keys: a }", "regex: `(` is not a regular expression: unclosed group"),
        ("{ parse: regex, regex: '//', keys: a }", "regex: `//` is empty"),
        (
            "{ parse: regex, regex: '(?!a)(.*)', keys: a }",
            "regex: `(?!a)(.*)` has a look-ahead ((?!), which takes more than linear time; say what may stand there",
        ),
    ]);
}

#[test]
fn delimiters() {
    let ParseFormat::Delimiter(plan) =
        parsed(r"{ parse: delimiter, separator: '\t', keys: [ a, _, b, _ ] }").format
    else {
        panic!()
    };
    assert_eq!((plan.separator.as_str(), plan.quote, plan.keys.len()), ("\t", Some('"'), 4));
    assert_eq!((plan.strict, plan.extra), (false, ExtraColumns::Extend));
    let typed = "{ parse: delimiter, separator: '||', keys: a, strict: true, extra: keep }";
    let ParseFormat::Delimiter(plan) = parsed(typed).format else { panic!() };
    assert_eq!((plan.quote, plan.strict, plan.extra), (None, true, ExtraColumns::Keep));
    let typed = r#"{ parse: delimiter, separator: "\u0001", quote: '', keys: a, extra: discard }"#;
    let ParseFormat::Delimiter(plan) = parsed(typed).format else { panic!() };
    assert_eq!((plan.quote, plan.separator.as_str()), (None, "\u{1}"));
    refused(&[
        ("{ parse: delimiter, keys: a }", "separator: is missing"),
        ("{ parse: delimiter, separator: ',' }", "keys: is missing; write the columns' names in order"),
        (
            "{ parse: delimiter, separator: '12345', keys: a }",
            "separator: `12345` is no separator; write 1 to 4",
        ),
        (
            "{ parse: delimiter, separator: '||', quote: '|', keys: a }",
            "quote: is understood only where the separator is one character",
        ),
        ("{ parse: delimiter, separator: ',', quote: ',', keys: a }", "quote: is the separator as well"),
        (
            r#"{ parse: delimiter, separator: ',', quote: "''", keys: a }"#,
            "quote: `''` is more than one character",
        ),
    ]);
}

#[test]
fn lines_of_servers() {
    refused(&[
        (
            "{ parse: nginx, log_format: 'text' }",
            "log_format: `text` is not a log format; write a line with variables",
        ),
        ("{ parse: nginx, log_format: '$a$b' }", "log_format: `$a$b` has "),
        ("{ parse: apache, regex: a }", "regex: belongs to `parse: regex`, not to this format"),
    ]);
    let ParseFormat::LogFormat(format) = parsed("{ parse: nginx }").format else { panic!() };
    assert_eq!((format.server, format.text.as_str()), (LogServer::Nginx, "combined"));
    let typed = r#"{ parse: apache, log_format: '%h %l %u %t "%r" %>s %b' }"#;
    let ParseFormat::LogFormat(format) = parsed(typed).format else { panic!() };
    assert_eq!((format.server, format.text.as_str()), (LogServer::Apache, r#"%h %l %u %t "%r" %>s %b"#));
}

#[test]
fn times() {
    let typed = "{ time: { key: t, format: '%d/%b/%Y:%H:%M:%S %z, %%', zone: UTC, keep: true } }";
    let [Step::Time(time)] = &steps(typed)[..] else { panic!() };
    assert_eq!((time.key.as_str(), time.zone.as_str(), time.keep), ("t", "UTC", true));
    assert_eq!(time.formats, [TimeFormat("%d/%b/%Y:%H:%M:%S %z, %%".to_owned())]);
    let [Step::Time(time)] = &steps("{ time: { key: t, format: [ '%s', '%T.%f' ] } }")[..] else { panic!() };
    assert_eq!((time.formats.len(), time.zone.as_str(), time.keep), (2, LOCAL_ZONE, false));
    refused(&[
        ("{ time: { key: t } }", "time.format: is missing; write it as strptime does"),
        ("{ time: { format: '%s' } }", "time.key: is missing; write the field"),
        ("{ time: { key: t, format: [ '%s', '%q' ] } }", "time.format[1]: `%q` has %q, which is none of %a"),
        ("{ time: { key: t, format: '%' } }", "time.format: `%` ends in %; a percent sign is written %%"),
        ("{ time: { key: t, format: 'iso' } }", "time.format: `iso` tells no time: it needs a day"),
        ("{ time: { key: t, format: [] } }", "time.format: is an empty list; write at least one format"),
        ("{ time: { key: t, format: '%s', zone: Mars/X } }", "time.zone: `Mars/X` is no time zone"),
        ("{ time: { key: t, format: '%s' }, keep: true }", "time: is a second entry where one belongs"),
    ]);
}

#[test]
fn filters_masks_and_what_is_kept() {
    let typed = r#"{ filter: { a: b, "c d": '/\$\{x/' } }, { drop: { e: '$${f' } }, { keep: [ a, b ] }"#;
    let [Step::Filter(filter), Step::Drop(drop), Step::Keep(keep)] = &steps(typed)[..] else { panic!() };
    assert!(filter[0].1.holds(Some(b"b")) && filter[1].1.holds(Some(b"${x}")));
    assert!(drop[0].1.holds(Some(b"${f")) && keep == &["a", "b"]);
    let typed =
        "{ mask: { pattern: '/a+/', text: '' } }, { mask: { keys: k, pattern: b, with: md5, first: true } }";
    let [Step::Mask(text), Step::Mask(md5)] = &steps(typed)[..] else { panic!() };
    assert_eq!((text.keys.len(), &text.with, text.first), (0, &MaskWith::Text(String::new()), false));
    assert_eq!((md5.keys.len(), &md5.with, md5.first), (1, &MaskWith::Md5, true));
    refused(&[
        ("{ filter: {} }", "filter: has no condition; write { field: text } or { field: /regex/ }"),
        ("{ drop: }", "drop: has no condition"),
        ("{ drop: { a: '/(/' } }", "drop.a: `/(/` is not a regular expression: unclosed group"),
        ("{ keep: [] }", "keep: is an empty list"),
        ("{ mask: { text: x } }", "mask.pattern: is missing; write a regular expression"),
        ("{ mask: { pattern: a } }", "mask.text: is missing; write text: \"[masked]\", or with: md5"),
        (
            "{ mask: { pattern: a, text: x, with: md5 } }",
            "mask.with: says what takes the secret's place, and so",
        ),
        ("{ mask: { pattern: a, with: sha1 } }", "mask.with: `sha1` is not one of md5"),
        ("{ mask: { patern: a, pattern: b, text: x } }", "mask.patern: is not a key; did you mean pattern?"),
    ]);
    let found = lines(from_text(
        "routes: [ { processors: [ { key: a }, { rename: { a: b, b: c, d: c } } ] } ]",
        &[HOME],
    ));
    assert_eq!(
        found,
        [
            "configuration: routes[0].processors[0].key: is not a processor; write one of add, remove, keep, rename, parse, \
             time, filter, drop, mask",
            "configuration: routes[0].processors[1].rename.a: renames to `b`, which the same step renames; use two steps",
            "configuration: routes[0].processors[1].rename.d: is the second field of this step to become `c`",
        ]
    );
}
