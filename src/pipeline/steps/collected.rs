//! Configurations of Log Service, by what becomes of sample lines: the formats of Logtail, to the field.

use serde_json::{Value, json};

use super::*;
use crate::config::collected::Form;
use crate::config::collected::tests::{classic, file_of, pipeline, with};
use crate::record::Timestamp;

/// What a line becomes: its fields and the seconds of its time, or nothing.
fn after(form: Form, body: &Value, line: &[u8]) -> Option<(Vec<(String, String)>, i64)> {
    let plan = file_of(form, body);
    let steps = Steps::new(&plan.processors, Nil::Empty);
    let mut batch = Batch::default();
    batch.begin(Timestamp::default());
    let (key, value) = (batch.keep(plan.key.as_bytes()), batch.keep(line));
    batch.push(key, value);
    steps.apply(&mut batch, 0, &mut Scratch::default()).then(|| {
        let text = |span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
        let fields = batch.fields_of(&batch.records[0]).iter();
        (fields.map(|field| (text(field.key), text(field.value))).collect(), batch.records[0].time.seconds)
    })
}

fn shown(form: Form, body: &Value, line: &str) -> String {
    match after(form, body, line.as_bytes()) {
        Some((fields, seconds)) => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let time = if seconds == 0 { String::new() } else { format!(" @{seconds}") };
            format!("{}{time}", fields.join("|"))
        }
        None => "dropped".to_owned(),
    }
}

const NGINX: &str =
    r#"(\S+) - (\S+) \[([^\]]*)\] "(\w+) (\S+) [^"]*" (\S+) (\d+) (\d+) (\S+) "([^"]*)" "([^"]*)""#;

#[test]
fn lines_become_what_logtail_makes_of_them() {
    let file =
        |detail: Value| classic(with(json!({ "logPath": "/var/log", "filePattern": "a.log" }), detail));
    let utc = json!({ "adjustTimezone": true, "logTimezone": "GMT+00:00" });
    let reg = |regex: &str, keys: Value| json!({ "logType": "common_reg_log", "regex": regex, "key": keys });
    let three = reg(r"(\S+)\s(\w+)\s(.*)", json!(["time", "level", "msg"]));
    let nginx = reg(
        NGINX,
        json!([
            "remote_addr",
            "remote_user",
            "time_local",
            "request_method",
            "request_uri",
            "request_time",
            "request_length",
            "status",
            "body_bytes_sent",
            "http_referer",
            "http_user_agent"
        ]),
    );
    let json_log = json!({ "logType": "json_log" });
    let columns =
        json!({ "logType": "delimiter_log", "separator": ",", "quote": "\"", "key": ["a", "_", "c"] });
    for (detail, line, expected) in [
        // Simple.
        (reg("(.*)", json!(["content"])), "any ${env:HOME} text\r", "content=any ${env:HOME} text\r"),
        (reg("(.*)", json!(["msg"])), "any", "msg=any"),
        (reg("(.*)", json!(["content"])), "", "content="),
        // A regular expression has to match the whole text.
        (three.clone(), "2024-01-01 info hello there", "time=2024-01-01|level=info|msg=hello there"),
        (three.clone(), "2024-01-01 info first\n second", "time=2024-01-01|level=info|msg=first\n second"),
        (reg(r"(\d+)", json!(["n"])), "12 ", "dropped"),
        (three.clone(), "nothing", "dropped"),
        (with(three.clone(), json!({ "discardUnmatch": false })), "nothing", "__raw_log__=nothing"),
        (with(three.clone(), json!({ "enableRawLog": true })), "1 b c", "time=1|level=b|msg=c|__raw__=1 b c"),
        // The time's field stays.
        (
            with(with(three.clone(), utc.clone()), json!({ "timeFormat": "%Y-%m-%d" })),
            "2024-01-02 info x",
            "time=2024-01-02|level=info|msg=x @1704153600",
        ),
        (
            with(
                three.clone(),
                json!({ "timeFormat": "%Y-%m-%d", "adjustTimezone": true, "logTimezone": "GMT+08:00" }),
            ),
            "2024-01-02 info x",
            "time=2024-01-02|level=info|msg=x @1704124800",
        ),
        (
            with(three.clone(), json!({ "timeFormat": "%Y-%m-%d" })),
            "soon info x",
            "time=soon|level=info|msg=x",
        ),
        // Nginx, as the console writes it.
        (
            with(nginx, json!({ "timeKey": "time_local", "timeFormat": "%d/%b/%Y:%H:%M:%S %z" })),
            r#"10.0.0.1 - - [02/Jan/2024:08:00:00 +0800] "GET /a?b=c HTTP/1.1" 0.002 120 200 512 "-" "curl/8""#,
            "remote_addr=10.0.0.1|remote_user=-|time_local=02/Jan/2024:08:00:00 +0800|request_method=GET|request_uri=/a?b=c|\
             request_time=0.002|request_length=120|status=200|body_bytes_sent=512|http_referer=-|http_user_agent=curl/8 @1704153600",
        ),
        // JSON keeps numbers as they are written.
        (
            json_log.clone(),
            r#"{"a":"x","n":1.50,"o":{"b":[1, 2]},"t":true,"z":null}"#,
            r#"a=x|n=1.50|o={"b":[1,2]}|t=true|z="#,
        ),
        (json_log.clone(), "no json", "dropped"),
        (with(json_log.clone(), json!({ "discardUnmatch": false })), "[1]", "__raw_log__=[1]"),
        (
            with(with(json_log.clone(), utc), json!({ "timeKey": "at", "timeFormat": "%Y-%m-%dT%H:%M:%S" })),
            r#"{"at":"2024-01-02T00:00:01Z","content":"inner"}"#,
            "at=2024-01-02T00:00:01Z|content=inner @1704153601",
        ),
        // Its own field may be one of those that it becomes.
        (reg(r"(\S+) (.*)", json!(["time", "content"])), "1 rest of it", "time=1|content=rest of it"),
        (
            with(reg("(a)(.*)", json!(["k", "content"])), json!({ "discardUnmatch": false })),
            "x",
            "__raw_log__=x",
        ),
        // Each alternative is the whole text, whatever anchors it has of its own.
        (reg("(a)|(ab)", json!(["p", "q"])), "ab", "p=|q=ab"),
        (reg("^(a.*)$", json!(["p"])), "abc", "p=abc"),
        (reg("(?i)(ERR.*)", json!(["p"])), "error", "p=error"),
        (reg("(?x) (a) # note", json!(["p"])), "a", "p=a"),
        // Only regular expressions have a field for the time without naming it.
        (
            with(json_log.clone(), json!({ "timeFormat": "%s" })),
            r#"{"time":"1704153600"}"#,
            "time=1704153600",
        ),
        // A copy is of the whole, though only a part is parsed; what fails goes as a whole.
        (with(json_log.clone(), json!({ "enableRawLog": true })), "no json", "dropped"),
        (
            with(json_log.clone(), json!({ "enableRawLog": true, "advanced": { "raw_log_tag": "all" } })),
            r#"{"a":1}"#,
            r#"a=1|all={"a":1}"#,
        ),
        (
            with(json_log.clone(), json!({ "filterKey": ["l"], "filterRegex": ["a|b.*"] })),
            r#"{"l":"b\nc"}"#,
            "l=b\nc",
        ),
        // Columns.
        (columns.clone(), r#"1,"x ""y"", z",3"#, "a=1|c=3"),
        (columns.clone(), "1,2,3,4,5", "a=1|c=3|__column3__=4|__column4__=5"),
        (with(columns.clone(), json!({ "autoExtend": false })), "1,2,3,4,5", "a=1|c=3|__column3__=4,5"),
        (columns.clone(), "1,2", "dropped"),
        (with(columns.clone(), json!({ "acceptNoEnoughKeys": true })), "1,2", "a=1"),
        (with(columns.clone(), json!({ "quote": "\u{1}" })), r#""1,2,3"#, "a=\"1|c=3"),
        (with(columns.clone(), json!({ "separator": "||", "quote": "\"" })), "1||2||3", "a=1|c=3"),
        (with(columns, json!({ "separator": "\\t" })), "1\t2\t3", "a=1|c=3"),
        // All filters must match, each the whole field.
        (
            with(json_log.clone(), json!({ "filterKey": ["l", "m"], "filterRegex": ["a|ab", ".*"] })),
            r#"{"l":"ab","m":"x"}"#,
            "l=ab|m=x",
        ),
        (
            with(json_log.clone(), json!({ "filterKey": ["l"], "filterRegex": ["a"] })),
            r#"{"l":"ab"}"#,
            "dropped",
        ),
        (
            with(json_log.clone(), json!({ "filterKey": ["k"], "filterRegex": [".*"] })),
            r#"{"l":"ab"}"#,
            "dropped",
        ),
        (
            with(json_log.clone(), json!({ "filterKey": ["l"], "filterRegex": ["/a/.*"] })),
            r#"{"l":"/a/b"}"#,
            "l=/a/b",
        ),
        // Secrets.
        (
            with(
                json_log.clone(),
                json!({ "sensitive_keys": [{ "key": "q", "type": "const", "const": "${x}", "regex_begin": "pw=",
                "regex_content": "[^,]+", "all": true }] }),
            ),
            r#"{"q":"pw=1,pw=2","r":"pw=3"}"#,
            "q=pw=${x},pw=${x}|r=pw=3",
        ),
        (
            with(
                json_log,
                json!({ "sensitive_keys": [{ "key": "q", "type": "md5", "regex_begin": "", "regex_content": "\\d",
                "all": false }] }),
            ),
            r#"{"q":"12"}"#,
            "q=C4CA4238A0B923820DCC509A6F75849B2",
        ),
    ] {
        let body = file(detail);
        assert_eq!(shown(Form::Classic, &body, line), expected, "{line}\n{body}");
    }
    // Text in another charset than the expression's matches as well.
    let body = file(reg("(a)(.*)", json!(["k", "v"])));
    assert!(after(Form::Classic, &body, b"a\xff\xfe").is_some());
}

#[test]
fn a_pipelines_processors_follow_one_another() {
    let regex = |more: Value| {
        with(
            json!({ "Type": "processor_parse_regex_native", "SourceKey": "content", "Regex": "(\\w+) (.*)",
            "Keys": ["level,rest"] }),
            more,
        )
    };
    let inner =
        |more: Value| with(json!({ "Type": "processor_parse_json_native", "SourceKey": "rest" }), more);
    let kept = json!({ "KeepingSourceWhenParseFail": true });
    for (processors, line, expected) in [
        (json!([]), "x", "content=x"),
        (json!([regex(json!({}))]), "info x", "level=info|rest=x"),
        (json!([regex(json!({}))]), "info", "dropped"),
        (json!([regex(json!({ "Keys": ["level", "content"] }))]), "a b", "level=a|content=b"),
        (
            json!([regex(json!({ "Keys": ["level", "content"], "KeepingSourceWhenParseFail": true }))]),
            "a b",
            "level=a|content=b",
        ),
        (
            json!([
                regex(json!({})),
                with(
                    inner(json!({ "KeepingSourceWhenParseFail": true })),
                    json!({ "RenamedSourceKey": "raw" })
                )
            ]),
            r#"a {"rest":"inner"}"#,
            "level=a|rest=inner",
        ),
        (json!([regex(kept.clone())]), "info", "content=info"),
        (json!([regex(with(kept.clone(), json!({ "RenamedSourceKey": "raw" })))]), "info", "raw=info"),
        (json!([regex(with(kept.clone(), json!({ "RenamedSourceKey": "raw" })))]), "a b", "level=a|rest=b"),
        (
            json!([regex(with(kept.clone(), json!({ "CopingRawLog": true })))]),
            "info",
            "content=info|__raw_log__=info",
        ),
        (
            json!([regex(json!({ "KeepingSourceWhenParseSucceed": true, "RenamedSourceKey": "raw" }))]),
            "a b",
            "level=a|rest=b|raw=a b",
        ),
        // Another parser's text that is not of its format goes, and the other fields stay.
        (json!([regex(json!({})), inner(json!({}))]), r#"a {"b":1}"#, "level=a|b=1"),
        (json!([regex(json!({})), inner(json!({}))]), "a b", "level=a"),
        (json!([regex(json!({})), inner(kept)]), "a b", "level=a|rest=b"),
        (
            json!([{ "Type": "processor_parse_delimiter_native", "SourceKey": "content", "Separator": " ", "Keys": ["t", "v"] },
                { "Type": "processor_parse_timestamp_native", "SourceKey": "t", "SourceFormat": "%s" }]),
            "1704153600 x y",
            "t=1704153600|v=x|__column2__=y @1704153600",
        ),
        (
            json!([{ "Type": "processor_filter_regex_native", "Include": { "content": "a.*" } },
                { "Type": "processor_add_fields", "Fields": { "k": "${tag}" } },
                { "Type": "processor_rename", "SourceKeys": ["content"], "DestKeys": ["line"] }]),
            "ab",
            "line=ab|k=${tag}",
        ),
        (
            json!([{ "Type": "processor_filter_regex_native", "Include": { "content": "a" } }]),
            "ab",
            "dropped",
        ),
    ] {
        let body = pipeline(json!({}), processors);
        let mut found: Vec<String> =
            shown(Form::Pipeline, &body, line).split('|').map(str::to_owned).collect();
        let mut expected: Vec<String> = expected.split('|').map(str::to_owned).collect();
        // In which order fields stand says nothing.
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{line}\n{body}");
    }
}
