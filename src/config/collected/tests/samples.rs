//! Configurations that are honoured, as they were recorded and with every key that takes text.

use super::*;

/// What Log Service's Python SDK sends, and what it answers with its defaults filled in.
pub(super) fn recorded() -> Vec<(Form, Value)> {
    let classic_of = |detail: Value| (Form::Classic, classic(detail));
    let stdout = json!({
        "plugin": { "inputs": [{ "type": "service_docker_stdout", "detail": {
            "Stdout": true, "Stderr": true, "IncludeLabel": {}, "ExcludeLabel": {} } }] },
        "localStorage": true
    });
    let pipe = json!({
        "configName": "pipe-1", "logSample": "{}", "global": { "TopicType": "machine_group_topic" },
        "inputs": [{ "Type": "input_file", "FilePaths": ["/var/log/app/*.log"], "MaxDirSearchDepth": 0, "FileEncoding": "utf8",
            "Multiline": { "StartPattern": "\\d+-\\d+-\\d+.*" } }],
        "flushers": [{ "Type": "flusher_sls", "Project": "demo-project", "Region": "cn-hangzhou",
            "Endpoint": "cn-hangzhou.log.aliyuncs.com", "Logstore": "app-log", "TelemetryType": "logs" }],
        "processors": [{ "Type": "processor_parse_json_native", "SourceKey": "content", "KeepingSourceWhenParseFail": true }]
    });
    let filled = json!({
        "adjustTimezone": false, "advanced": { "force_multiconfig": false }, "autoExtend": true, "customizedFields": {},
        "delayAlarmBytes": 0, "delaySkipBytes": 0, "discardNonUtf8": false, "discardUnmatch": true, "dockerExcludeEnv": {},
        "dockerExcludeLabel": {}, "dockerFile": false, "dockerIncludeEnv": {}, "dockerIncludeLabel": {}, "enableRawLog": false,
        "enableTag": false, "fileEncoding": "utf8", "filePattern": "acc.csv", "filterKey": [], "filterRegex": [],
        "key": ["a", "b", "c"], "localStorage": true, "logPath": "/var/log", "logTimezone": "", "logType": "delimiter_log",
        "maxDepth": 100, "maxSendRate": -1, "mergeType": "topic", "preserve": true, "preserveDepth": 1, "priority": 0,
        "quote": "\u{1}", "sendRateExpire": 0, "sensitive_keys": [], "separator": ",", "shardHashKey": [], "tailExisted": false,
        "timeFormat": "", "timeKey": "", "topicFormat": "none", "acceptNoEnoughKeys": false
    });
    vec![
        classic_of(
            json!({ "logPath": "/var/log/app", "filePattern": "*.log", "timeFormat": "%Y-%m-%dT%H:%M:%S", "timeKey": "time",
            "localStorage": true, "logType": "json_log", "topicFormat": "none" }),
        ),
        classic_of(
            json!({ "logPath": "/var/log", "filePattern": "messages", "localStorage": true, "logType": "common_reg_log",
            "regex": "(.*)", "key": ["content"], "timeFormat": "", "topicFormat": "none" }),
        ),
        classic_of(
            json!({ "logPath": "/var/log", "filePattern": "app.log", "logBeginRegex": "\\d+-\\d+-\\d+.*",
            "regex": "(\\S+)\\s(\\w+)\\s(.*)", "key": ["time", "level", "msg"], "timeFormat": "%Y-%m-%d", "localStorage": true,
            "logType": "common_reg_log" }),
        ),
        classic_of(
            json!({ "logPath": "/var/log", "filePattern": "acc.csv", "separator": ",", "key": ["a", "b", "c"], "timeKey": "",
            "quote": "\"", "logType": "delimiter_log", "localStorage": true, "timeFormat": "", "topicFormat": "none",
            "autoExtend": true }),
        ),
        (Form::Classic, with(classic(stdout), json!({ "inputType": "plugin" }))),
        (Form::Pipeline, pipe),
        (
            Form::Classic,
            with(classic(filled), json!({ "createTime": 1, "lastModifyTime": 2, "logSample": "a,b,c" })),
        ),
    ]
}

/// Configurations that use every key that takes text.
pub(super) fn everything() -> Vec<(Form, Value)> {
    let mut all = recorded();
    let rich = json!({
        "filterKey": ["content"], "filterRegex": [".*"], "topicFormat": "customized://x", "enableRawLog": true,
        "advanced": { "raw_log_tag": "raw", "blacklist": { "dir_blacklist": ["/a"], "filename_blacklist": ["b"],
            "filepath_blacklist": ["/c"] } },
        "sensitive_keys": [{ "key": "content", "type": "const", "const": "x", "regex_begin": "a", "regex_content": "b", "all": true }],
        "shardHashKey": ["__topic__"], "plugin": { "processors": [
            { "type": "processor_add_fields", "detail": { "Fields": { "k": "v" } } },
            { "type": "processor_rename", "detail": { "SourceKeys": ["k"], "DestKeys": ["l"] } },
            { "type": "processor_drop", "detail": { "DropKeys": ["l"] } }] }
    });
    all.push((Form::Classic, simple(rich)));
    all.push((Form::Pipeline, pipeline(
        json!({ "ExcludeFilePaths": ["/x"], "ExcludeDirs": ["/y"], "ExcludeFiles": ["z"], "Multiline": { "EndPattern": "e" } }),
        json!([
            { "Type": "processor_parse_regex_native", "SourceKey": "content", "Regex": "(a)(b)", "Keys": ["a", "b"],
              "KeepingSourceWhenParseFail": true, "CopingRawLog": true, "RenamedSourceKey": "r" },
            { "Type": "processor_parse_delimiter_native", "SourceKey": "a", "Separator": ",", "Quote": "'", "Keys": ["c"],
              "OverflowedFieldsTreatment": "keep" },
            { "Type": "processor_parse_timestamp_native", "SourceKey": "c", "SourceFormat": "%s", "SourceTimezone": "GMT+08:00" },
            { "Type": "processor_filter_regex_native", "Include": { "b": "x" } },
            { "Type": "processor_desensitize_native", "SourceKey": "b", "Method": "md5", "ReplacedContentPattern": "\\d+",
              "ContentPatternBeforeReplacedString": "x" }
        ]),
    )));
    all
}
