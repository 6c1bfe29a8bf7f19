//! The processor of a route that makes fields of the text of one: `parse: json`.
//!
//! ```text
//! source=stdout  log={"level":"info","n":7,"ctx":{"a":1}}  container_id=4f..
//!      |                      |                                 |
//! source=stdout  level=info  n=7  ctx={"a":1}              container_id=4f..      (`keep`: log stays, before level)
//! ```
//!
//! Members stand where their text stood, each with the prefix of the plan before its name. Text is unescaped, what is
//! nested stays compact JSON, null is what the plan makes of nil.
//!
//! A field that the record has already wins over a member of its name: `container_id`, `source` and the like are the
//! gateway's word, not that of what runs in the container. The member is not lost, it is put under the name of the parsed
//! field, a dot and its own, as in `log.source`. The parsed field itself gives way, unless it is to stay.
//!
//! A record stays as it is, and is counted, when the text is no object or has anything but blanks behind it, when
//! nothing comes of it, as of `{}`, when it is nested too deep or longer than any record can be, and when more than
//! [`FIELDS`] fields would come of it. What is made here lives until the record is encoded.

use std::ops::Range;

use crate::base::limits::{DEPTH, MIB};
use crate::base::metrics::{Counter, counter};
use crate::config::plan::{Nil, ParsePlan};
use crate::record::json::{ReadLimits, read_object};
use crate::record::{Batch, Field, Span};

/// Fields of one record once it is parsed. Every member is compared with every field that was there.
const FIELDS: usize = 512;
/// A longer text would not fit a record; what is parsed is cut nowhere.
const TEXT_BYTES: usize = 8 * MIB;

pub(super) struct Parser {
    nil: Nil,
    failed: Counter,
}

impl Parser {
    pub(super) fn new(nil: Nil) -> Parser {
        let failed = counter(
            "sluicegate_parse_failed_total",
            "Records whose text is not of the format a route parses; they stay as they were.",
            &[("format", "json")],
        );
        Parser { nil, failed }
    }

    /// Parses the field of one record that the plan names; a record without it has nothing to parse.
    pub(super) fn apply(&self, plan: &ParsePlan, batch: &mut Batch, record: usize) -> bool {
        let key = plan.key.as_bytes();
        let mut fields = batch.records[record].range();
        let Some(at) = fields.rfind(|&at| batch.bytes(batch.fields[at].key) == key) else { return true };
        let expanded = self.expand(plan, batch, record, at);
        if !expanded {
            self.failed.increment(1);
        }
        expanded
    }

    /// Writes the record anew at the end of the field table, with the members of the text at `at` in its place. False,
    /// with the batch as it was, when that is no object to expand.
    fn expand(&self, plan: &ParsePlan, batch: &mut Batch, record: usize, at: usize) -> bool {
        let text = batch.fields[at].value;
        let begins = batch.bytes(text).iter().find(|byte| !is_blank(byte));
        if begins != Some(&b'{') || text.len() > TEXT_BYTES {
            return false;
        }
        let (made, first) = (batch.arena.len(), batch.fields.len());
        let old = batch.records[record].range();
        for field in old.start..=at {
            let field = batch.fields[field];
            if plan.keep || batch.bytes(field.key) != plan.key.as_bytes() {
                batch.fields.push(field);
            }
        }
        // None of these has the parsed name: the last one of that name is at `at`.
        let behind = at + 1..old.end;
        let before = batch.fields.len();
        let limits =
            ReadLimits { depth: DEPTH, members: FIELDS.saturating_sub(before - first + behind.len()) };
        let read = read_object(batch, text, &limits, &mut |batch, key, value| {
            let value = match (value.text(batch), self.nil) {
                (Some(value), _) => value,
                (None, Nil::Empty) => Span::EMPTY,
                (None, Nil::Drop) => return,
            };
            let key = name(plan, batch, key, [first..before, behind.clone()]);
            batch.fields.push(Field { key, value });
        });
        let whole = read.is_ok_and(|taken| batch.bytes(text)[taken..].iter().all(is_blank));
        if !whole || batch.fields.len() == before {
            batch.fields.truncate(first);
            batch.arena.truncate(made);
            return false;
        }
        batch.fields.extend_from_within(behind);
        let record = &mut batch.records[record];
        record.first = first as u32;
        record.count = (batch.fields.len() - first) as u32;
        true
    }
}

/// The name of the field that a member becomes, among the fields that are there.
fn name(plan: &ParsePlan, batch: &mut Batch, key: Span, there: [Range<usize>; 2]) -> Span {
    let name = if plan.prefix.is_empty() { key } else { prefixed(batch, &[&plan.prefix], key) };
    let bytes = batch.bytes(name);
    let taken = there.into_iter().any(|there| {
        batch.fields.get(there).unwrap_or_default().iter().any(|field| batch.bytes(field.key) == bytes)
    });
    if taken { prefixed(batch, &[&plan.key, "."], name) } else { name }
}

fn prefixed(batch: &mut Batch, parts: &[&str], name: Span) -> Span {
    let len = parts.iter().map(|part| part.len()).sum::<usize>() + name.len();
    batch.rewrite(name, len, |name, mut out| {
        for part in parts.iter().map(|part| part.as_bytes()).chain([name]) {
            let (room, rest) = out.split_at_mut(part.len());
            room.copy_from_slice(part);
            out = rest;
        }
        len
    })
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::{OnFailure, ParseFormat};
    use crate::record::Timestamp;

    fn plan() -> ParsePlan {
        ParsePlan {
            format: ParseFormat::Json { depth: 1 },
            key: "log".to_owned(),
            keep: false,
            prefix: String::new(),
            on_failure: OnFailure::Keep,
        }
    }

    fn record(batch: &mut Batch, fields: &[(&str, &str)]) {
        batch.begin(Timestamp::default());
        for (key, value) in fields {
            let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value.as_bytes()));
            batch.push(key, value);
        }
    }

    fn fields(batch: &Batch, record: usize) -> Vec<(String, String)> {
        let text = |span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
        let fields = batch.fields_of(&batch.records[record]).iter();
        fields.map(|field| (text(field.key), text(field.value))).collect()
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn parsed_as(nil: Nil, plan: &ParsePlan, before: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut batch = Batch::default();
        record(&mut batch, before);
        record(&mut batch, &[("log", "another")]);
        Parser::new(nil).apply(plan, &mut batch, 0);
        assert_eq!(fields(&batch, 1), owned(&[("log", "another")]));
        fields(&batch, 0)
    }

    fn parsed(plan: &ParsePlan, before: &[(&str, &str)]) -> Vec<(String, String)> {
        parsed_as(Nil::Empty, plan, before)
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
            Parser::new(Nil::Empty).apply(&plan(), &mut batch, 0);
            assert_eq!(fields(&batch, 0), owned(&[("a", "0"), ("log", text), ("b", "1")]));
            assert_eq!(
                (batch.arena, batch.fields.len(), batch.records[0].range()),
                (arena, table, range),
                "{text}"
            );
        }
        assert_eq!(parsed(&plan(), &[("message", LINE)]), owned(&[("message", LINE)]));
        assert_eq!(
            parsed_as(Nil::Drop, &plan(), &[("log", "{\"a\":null}")]),
            owned(&[("log", "{\"a\":null}")])
        );
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
        let parser = Parser::new(Nil::Empty);
        parser.apply(&plan(), &mut batch, 0);
        parser.apply(
            &ParsePlan { key: "ctx".to_owned(), prefix: "ctx_".to_owned(), ..plan() },
            &mut batch,
            0,
        );
        parser.apply(&ParsePlan { key: "msg".to_owned(), ..plan() }, &mut batch, 0);
        assert_eq!(fields(&batch, 0), owned(&[("ctx_user", "u"), ("b", "\n")]));
    }
}
