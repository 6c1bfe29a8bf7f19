use super::*;
use crate::base::limits::DEPTH;
use crate::pipeline::steps::parse::splice::FIELDS;

fn plan() -> ParsePlan {
    depth(1)
}

fn depth(depth: usize) -> ParsePlan {
    of(ParseFormat::Json { depth })
}

const LINE: &str = r#" {"level":"in\"fo","n":1.50,"ok":true,"ctx":{"a": [1]},"none":null} "#;

#[test]
fn members_stand_where_their_text_stood() {
    let before = [("source", "stdout"), ("log", LINE), ("container_id", "4f")];
    let level = [("source", "stdout"), ("level", "in\"fo"), ("n", "1.50"), ("ok", "true")];
    let ctx = [("ctx", "{\"a\":[1]}")];
    let id = [("container_id", "4f")];
    let wanted = [&level[..], &ctx, &[("none", "")], &id].concat();
    assert_eq!(parsed(&plan(), &before), owned(&wanted));
    let wanted = [&level[..], &ctx, &id].concat();
    assert_eq!(parsed_as(Nil::Drop, &plan(), &before), owned(&wanted));
}

#[test]
fn the_text_may_stay_and_members_may_get_a_prefix() {
    let plan = ParsePlan { keep: true, prefix: "app_".to_owned(), ..plan() };
    let found = parsed(&plan, &[("log", "{\"a\":1}"), ("b", "2")]);
    assert_eq!(found, owned(&[("log", "{\"a\":1}"), ("app_a", "1"), ("b", "2")]));
}

#[test]
fn a_field_that_is_there_wins_and_the_member_is_kept_beside_it() {
    let line = r#"{"source":"x","log":"text","container_id":"spoof","b":1}"#;
    let found = parsed(&plan(), &[("source", "stdout"), ("log", line), ("container_id", "4f")]);
    let wanted = [
        ("source", "stdout"),
        ("log.source", "x"),
        ("log", "text"),
        ("log.container_id", "spoof"),
        ("b", "1"),
        ("container_id", "4f"),
    ];
    assert_eq!(found, owned(&wanted));
    let keep = ParsePlan { keep: true, ..plan() };
    let found = parsed(&keep, &[("log", "{\"log\":1}")]);
    assert_eq!(found, owned(&[("log", "{\"log\":1}"), ("log.log", "1")]));
}

#[test]
fn of_a_repeated_field_the_last_one_is_parsed_and_all_go() {
    let found = parsed(&plan(), &[("log", "old"), ("a", "0"), ("log", "{\"b\":1}")]);
    assert_eq!(found, owned(&[("a", "0"), ("b", "1")]));
}

#[test]
fn what_is_no_object_leaves_the_record_as_it_was() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let wide = format!("{{{}\"z\":1}}", "\"a\\n\":1,".repeat(FIELDS));
    let texts = [
        "",
        " ",
        "text",
        "12",
        "[1]",
        "\"a\"",
        "{}",
        "{ } ",
        "{\"a\":1",
        "{\"a\":1} x",
        "{a:1}",
        "{\"a\":\"\\n\"}{",
    ];
    for text in texts.into_iter().chain([&*deep, &wide]) {
        let mut batch = Batch::default();
        record(&mut batch, &[("a", "0"), ("log", text), ("b", "1")]);
        let (arena, table, range) = (batch.arena.clone(), batch.fields.len(), batch.records[0].range());
        apply(&plan(), Nil::Empty, &mut batch, 0);
        assert_eq!(fields(&batch, 0), owned(&[("a", "0"), ("log", text), ("b", "1")]));
        assert_eq!(
            (batch.arena, batch.fields.len(), batch.records[0].range()),
            (arena, table, range),
            "{text}"
        );
    }
    assert_eq!(parsed(&plan(), &[("message", LINE)]), owned(&[("message", LINE)]));
    assert_eq!(parsed_as(Nil::Drop, &plan(), &[("log", "{\"a\":null}")]), owned(&[("log", "{\"a\":null}")]));
}

#[test]
fn what_cannot_be_parsed_is_counted_and_what_has_no_text_is_not() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for before in [("log", "text"), ("log", "{}"), ("log", "{\"a\":1}"), ("message", "text")] {
            parsed(&plan(), &[before, ("a", "")]);
        }
    });
    let shown = recorder.handle().render();
    assert!(shown.contains("sluicegate_parse_failed_total{format=\"json\"} 2"), "{shown}");
}

#[test]
fn fields_of_a_record_are_bounded() {
    let line = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(parsed(&plan(), &[("log", &line(FIELDS - 1)), ("b", "")]).len(), FIELDS);
    assert_eq!(parsed(&plan(), &[("log", &line(FIELDS)), ("b", "")]).len(), 2);
    let many = vec![("k", ""); FIELDS + 1];
    assert_eq!(parsed(&plan(), &[&many[..], &[("log", "{\"a\":1}")]].concat()).len(), FIELDS + 2);
}

#[test]
fn the_inner_object_of_a_text_can_be_parsed_in_a_second_step() {
    let mut batch = Batch::default();
    record(&mut batch, &[("log", r#"{"ctx":{"user":"u"},"msg":"{\"b\":\"\\n\"}"}"#)]);
    let ctx = ParsePlan { key: "ctx".to_owned(), prefix: "ctx_".to_owned(), ..plan() };
    for plan in [plan(), ctx, ParsePlan { key: "msg".to_owned(), ..plan() }] {
        apply(&plan, Nil::Empty, &mut batch, 0);
    }
    assert_eq!(fields(&batch, 0), owned(&[("ctx_user", "u"), ("b", "\n")]));
}

#[test]
fn nested_objects_become_fields_down_to_a_depth() {
    let line = r#"{"a":1,"b":{"c":"x\ny","d":{"e":[1, {"f":2}],"g":{}, "h":{"i":null}}},"j":{ }}"#;
    let before = [("log", line), ("b.c", "there")];
    let text = |fields: &[(&str, &str)]| owned(&[fields, &[("j", "{}"), ("b.c", "there")]].concat());
    let nested = r#"{"c":"x\ny","d":{"e":[1,{"f":2}],"g":{},"h":{"i":null}}}"#;
    assert_eq!(parsed(&depth(1), &before), text(&[("a", "1"), ("b", nested)]));
    let nested = r#"{"e":[1,{"f":2}],"g":{},"h":{"i":null}}"#;
    assert_eq!(parsed(&depth(2), &before), text(&[("a", "1"), ("log.b.c", "x\ny"), ("b.d", nested)]));
    let all =
        [("a", "1"), ("log.b.c", "x\ny"), ("b.d.e", r#"[1,{"f":2}]"#), ("b.d.g", "{}"), ("b.d.h.i", "")];
    assert_eq!(parsed(&depth(9), &before), text(&all));
    assert_eq!(parsed_as(Nil::Drop, &depth(9), &before), text(&all[..4]));
    let prefixed = ParsePlan { prefix: "p.".to_owned(), ..depth(2) };
    assert_eq!(parsed(&prefixed, &[("log", r#"{"a":{"b":1.50}}"#)]), owned(&[("p.a.b", "1.50")]));
}

#[test]
fn what_nested_objects_become_is_bounded() {
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{{\"a\":null}}")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(parsed(&depth(2), &[("log", &many(FIELDS))]).len(), FIELDS);
    for nil in [Nil::Empty, Nil::Drop] {
        assert_eq!(parsed_as(nil, &depth(2), &[("log", &many(FIELDS + 1))]).len(), 1);
        assert_eq!(
            parsed_as(nil, &depth(3), &[("log", &format!("{{\"x\":{}}}", many(FIELDS + 1)))]).len(),
            1
        );
    }
    let long = "k".repeat(200);
    let line = format!(r#"{{"{long}":{{"a":1}}}}"#);
    assert_eq!(parsed(&depth(2), &[("log", &line)]), owned(&[(&long, r#"{"a":1}"#)]));
    let deep = format!("{}1{}", "{\"a\":".repeat(DEPTH), "}".repeat(DEPTH));
    let name = vec!["a"; DEPTH].join(".");
    assert_eq!(parsed(&depth(usize::MAX), &[("log", &deep)]), owned(&[(&name, "1")]));
}
