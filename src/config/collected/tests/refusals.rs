//! What is refused, and what has no effect, in the words that an operator reads.

use super::*;

fn reasons(form: Form, body: &Value) -> Vec<String> {
    match translated(form, body) {
        Err(reasons) => reasons,
        Ok(collected) => panic!("{body} is honoured: {:?}", collected.notes),
    }
}

#[track_caller]
fn refused(body: &Value, expected: &str) {
    let form = if body.get("inputs").is_some() { Form::Pipeline } else { Form::Classic };
    let found = reasons(form, body);
    assert!(found.iter().any(|reason| reason.starts_with(expected)), "{expected}\n{found:#?}");
}

#[test]
fn what_a_logtail_config_cannot_have() {
    for (detail, expected) in [
        (
            json!({ "dockerFile": true }),
            "inputDetail.dockerFile: is true: the path would be one inside containers",
        ),
        (
            json!({ "logType": "apsara_log" }),
            "inputDetail.logType: is apsara_log, a format of the vendor's own",
        ),
        (json!({ "logType": "xml" }), "inputDetail.logType: `xml` is not one of common_reg_log"),
        (json!({ "logType": 7 }), "inputDetail.logType: is a number and must be text"),
        (
            json!({ "logPath": "var/log" }),
            "inputDetail.logPath: `var/log/**/messages` is not an absolute path",
        ),
        (json!({ "logPath": null }), "inputDetail.logPath: is missing; write /var/log/app"),
        (json!({ "filePattern": "a/b" }), "inputDetail.filePattern: `a/b` holds a slash"),
        (json!({ "maxDepth": 1001 }), "inputDetail.maxDepth: is 1001; it must lie between 0 and 1000"),
        (json!({ "maxDepth": "3" }), "inputDetail.maxDepth: is text and must be a whole number"),
        (json!({ "fileEncoding": "latin1" }), "inputDetail.fileEncoding: `latin1` is not one of utf8, gbk"),
        (
            json!({ "logBeginRegex": "(?=a).*" }),
            "inputDetail.logBeginRegex: `(?=a).*` has a look-ahead ((?=), which takes more than linear time; match the text behind",
        ),
        (
            json!({ "regex": "(\\d+", "key": ["a"] }),
            "inputDetail.regex: `(\\\\d+` is not a regular expression",
        ),
        (json!({ "regex": "(a)\\1", "key": ["a"] }), "inputDetail.regex: `(a)\\\\1` has a back-reference"),
        (json!({ "regex": "(a)", "key": ["a", "b"] }), "inputDetail.regex: has 1 groups for 2 keys"),
        (json!({ "regex": "(a)(b)", "key": ["a", "a"] }), "inputDetail.key: names `a` twice"),
        (json!({ "regex": "(a)", "key": [] }), "inputDetail.key: is missing; write the fields' names"),
        (json!({ "regex": "(a)", "key": ["a", 5] }), "inputDetail.key[1]: is a number and must be text"),
        (json!({ "key": ["a", "b"] }), "inputDetail.key: names 2 fields for the one group"),
        (
            json!({ "filterKey": ["a", "b"], "filterRegex": ["x"] }),
            "inputDetail.filterRegex: has 1 expressions for the 2 fields of the other list",
        ),
        (
            json!({ "filterKey": ["a"], "filterRegex": ["(?!x)"] }),
            "inputDetail.filterRegex[0]: `(?!x)` has a look-ahead",
        ),
        (json!({ "timeFormat": "%Q" }), "inputDetail.timeFormat: `%Q` has %Q, which is none of %a"),
        (
            json!({ "timeFormat": "%H:%M", "adjustTimezone": true, "logTimezone": "GMT+99:00" }),
            "inputDetail.logTimezone: `GMT+99:00` is no time zone",
        ),
        (
            json!({ "timeFormat": "%b %d", "advanced": { "specified_year": 2020 } }),
            "inputDetail.advanced.specified_year: is a fixed year",
        ),
        (json!({ "topicFormat": "/var/log/.*" }), "inputDetail.topicFormat: `/var/log/.*` has no group"),
        (json!({ "shardHashKey": ["level"] }), "inputDetail.shardHashKey: `level` is no part of a shard key"),
        (json!({ "maxSendRate": 5 }), "inputDetail.maxSendRate: is 5B; it must lie between 1KiB"),
        (
            json!({ "advanced": { "enable_log_position_meta": true } }),
            "inputDetail.advanced.enable_log_position_meta: asks for",
        ),
        (
            json!({ "advanced": { "filter_expression": { "a": 1 } } }),
            "inputDetail.advanced.filter_expression: is a tree",
        ),
        (
            json!({ "advanced": { "tail_size_kb": -1 } }),
            "inputDetail.advanced.tail_size_kb: is -1; it must lie",
        ),
        (json!({ "advanced": 5 }), "inputDetail.advanced: is a number and must be an object"),
        (
            json!({ "sensitive_keys": [{ "key": "a", "type": "sha1", "regex_content": "x" }] }),
            "inputDetail.sensitive_keys[0].type: `sha1` is not one of const, md5",
        ),
        (
            json!({ "sensitive_keys": [{ "key": "a", "type": "md5", "regex_content": "(?<secret>x)(?<=y)" }] }),
            "inputDetail.sensitive_keys[0].regex_content: `(?<secret>x)(?<=y)` has a look-behind",
        ),
        (
            json!({ "plugin": { "processors": [{ "type": "processor_geoip", "detail": {} }] } }),
            "inputDetail.plugin.processors[0].type: `processor_geoip` is no processor of this gateway",
        ),
        (
            json!({ "plugin": { "inputs": [{ "type": "service_syslog" }] } }),
            "inputDetail.plugin.inputs: names inputs beside files",
        ),
        (
            json!({ "logType": "delimiter_log", "separator": "", "key": ["a"] }),
            "inputDetail.separator: is empty",
        ),
        (
            json!({ "logType": "delimiter_log", "separator": "12345", "key": ["a"] }),
            "inputDetail.separator: `12345` is no separator; write 1 to 4 characters",
        ),
        (
            json!({ "logType": "delimiter_log", "separator": ",", "quote": "''", "key": ["a"] }),
            "inputDetail.quote: `''` is more than one character",
        ),
    ] {
        refused(&simple(detail), expected);
    }
    for (more, expected) in [
        (json!({ "inputType": "syslog" }), "inputType: is syslog, which is no collection of files"),
        (json!({ "inputType": "ebpf" }), "inputType: `ebpf` is not one of file, plugin"),
        (json!({ "inputDetail": [] }), "inputDetail: is a list and must be an object"),
        (json!({ "inputDetail": null }), "inputDetail: is missing"),
        (json!({ "outputType": "kafka" }), "outputType: must be LogService"),
        (json!({ "outputDetail": {} }), "outputDetail.logstoreName: is missing"),
        (
            json!({ "outputDetail": { "logstoreName": "A" } }),
            "outputDetail.logstoreName: `A` is no logstore name",
        ),
        (
            json!({ "outputDetail": { "logstoreName": "abc", "region": "cn-beijing" } }),
            "outputDetail.region: names the region `cn-beijing`, and this gateway delivers to cn-hangzhou",
        ),
        (
            json!({ "outputDetail": { "logstoreName": "abc", "endpoint": "cn-beijing-intranet.log.aliyuncs.com" } }),
            "outputDetail.endpoint: names the region `cn-beijing`",
        ),
        (
            json!({ "outputDetail": { "logstoreName": "abc", "telemetryType": "metrics" } }),
            "outputDetail.telemetryType: `metrics` is no log",
        ),
        (
            json!({ "outputDetail": { "logstoreName": "abc", "compressType": "gzip" } }),
            "outputDetail.compressType: `gzip` is not one of lz4",
        ),
    ] {
        refused(&with(simple(json!({})), more), expected);
    }
    let stdout = |detail: Value| {
        let plugin =
            json!({ "plugin": { "inputs": [{ "type": "service_docker_stdout", "detail": detail }] } });
        with(classic(plugin), json!({ "inputType": "plugin" }))
    };
    let at = "inputDetail.plugin.inputs[0].detail";
    for (detail, expected) in [
        (json!({ "IncludeEnv": { "A": "b" } }), "IncludeEnv: chooses containers by their environment"),
        (
            json!({ "IncludeLabel": { "app": "b" } }),
            "IncludeLabel.app: chooses by the container's label `app`",
        ),
        (json!({ "BeginLineRegex": "a.*" }), "BeginLineRegex: puts lines of containers together"),
        (json!({ "Stdout": false, "Stderr": false }), "Stdout: and the other stream are both left out"),
        (json!({ "ExternalEnvTag": { "A": "b" } }), "ExternalEnvTag: makes tags of containers' environment"),
        (json!({ "K8sPodRegex": "(" }), "K8sPodRegex: `(` is not a regular expression"),
    ] {
        refused(&stdout(detail), &format!("{at}.{expected}"));
    }
    let syslog = json!({ "plugin": { "inputs": [{ "type": "service_syslog", "detail": {} }] } });
    refused(
        &with(classic(syslog), json!({ "inputType": "plugin" })),
        "inputDetail.plugin.inputs[0].type: `service_syslog` is no input",
    );
}

#[test]
fn what_a_pipeline_config_cannot_have() {
    for (input, expected) in [
        (json!({ "EnableContainerDiscovery": true }), "inputs[0].EnableContainerDiscovery: is true"),
        (json!({ "Multiline": { "Mode": "JSON" } }), "inputs[0].Multiline.Mode: is `JSON`"),
        (json!({ "Multiline": { "ContinuePattern": "a" } }), "inputs[0].Multiline: has continue alone"),
        (json!({ "FilePaths": [] }), "inputs[0].FilePaths: is missing"),
        (json!({ "FilePaths": ["/a/../b"] }), "inputs[0].FilePaths[0]: `/a/../b` holds .."),
        (
            json!({ "Type": "input_prometheus" }),
            "inputs[0].Type: `input_prometheus` is no input of this gateway",
        ),
        (json!({ "AppendingLogPositionMeta": true }), "inputs[0].AppendingLogPositionMeta: asks for"),
        (json!({ "FlushTimeoutSecs": 0 }), "inputs[0].FlushTimeoutSecs: is 0"),
    ] {
        refused(&pipeline(input, json!([])), expected);
    }
    for (processor, expected) in [
        (
            json!({ "Type": "processor_parse_apsara_native" }),
            "processors[0].Type: `processor_parse_apsara_native` is no processor",
        ),
        (
            json!({ "Type": "processor_parse_regex_native", "SourceKey": "content" }),
            "processors[0].Regex: is missing",
        ),
        (json!({ "Type": "processor_parse_json_native" }), "processors[0].SourceKey: is missing"),
        (
            json!({ "Type": "processor_filter_regex_native", "ConditionExp": { "key": "a" } }),
            "processors[0].ConditionExp: is a tree of conditions",
        ),
        (
            json!({ "Type": "processor_parse_delimiter_native", "SourceKey": "content", "Separator": ",", "Keys": ["a"],
                "OverflowedFieldsTreatment": "x" }),
            "processors[0].OverflowedFieldsTreatment: `x` is not one of extend",
        ),
        (
            json!({ "Type": "processor_add_fields", "Fields": { "a": "b" }, "IgnoreIfExist": true }),
            "processors[0].IgnoreIfExist: keeps a field",
        ),
    ] {
        refused(&pipeline(json!({}), json!([processor])), expected);
    }
    let base = pipeline(json!({}), json!([]));
    for (more, expected) in [
        (json!({ "inputs": [] }), "inputs: has no input"),
        (json!({ "flushers": [] }), "flushers: has no flusher"),
        (
            json!({ "flushers": [{ "Type": "flusher_kafka_v2" }] }),
            "flushers[0].Type: `flusher_kafka_v2` is no flusher",
        ),
        (
            json!({ "aggregators": [{ "Type": "aggregator_content_value_group" }] }),
            "aggregators[0].Type: `aggregator_content",
        ),
        (json!({ "task": { "Type": "x" } }), "task: is a task"),
        (json!({ "global": { "TopicType": "x" } }), "global.TopicType: `x` is not one of none"),
        (json!({ "global": { "TopicType": "filepath" } }), "global.TopicFormat: is missing"),
    ] {
        refused(&with(base.clone(), more), expected);
    }
}

#[test]
fn what_changes_nothing_is_noted() {
    let notes = |body: &Value| {
        let form = if body.get("inputs").is_some() { Form::Pipeline } else { Form::Classic };
        translated(form, body).unwrap_or_else(|reasons| panic!("{reasons:?}")).notes
    };
    let detail = json!({ "priority": 2, "localStorage": false, "preserve": false, "mergeType": "logstore", "newKey": 1,
        "dockerIncludeEnv": { "A": "b" }, "discardNonUtf8": true,
        "advanced": { "exactly_once_concurrency": 4, "other": true }, "customizedFields": { "x": 1 } });
    let found = notes(&simple(detail));
    for expected in [
        "inputDetail.priority: has no effect here: all configurations",
        "inputDetail.localStorage: has no effect here",
        "inputDetail.preserve: has no effect here",
        "inputDetail.mergeType: has no effect here",
        "inputDetail.newKey: is not known, and has no effect here",
        "inputDetail.dockerIncludeEnv: has no effect here: it chooses containers",
        "inputDetail.discardNonUtf8: has no effect here",
        "inputDetail.advanced.exactly_once_concurrency: has no effect here: positions",
        "inputDetail.advanced.other: is not known",
        "inputDetail.customizedFields.x: is not known",
    ] {
        assert!(found.iter().any(|note| note.starts_with(expected)), "{expected}\n{found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");
    let body = with(
        pipeline(json!({ "EnableExactlyOnce": 8 }), json!([])),
        json!({ "aggregators": [{ "Type": "aggregator_context" }] }),
    );
    assert_eq!(notes(&body).len(), 1);
}
