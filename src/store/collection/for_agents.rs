//! A config as agents of the ConfigServer protocol take it: the JSON of a pipeline, whichever language it was written in.
//!
//! ```text
//! pipeline config -> inputs, processors, aggregators, flushers, global; the flusher completed
//! Logtail config  -> input_file or the plugin's input -> parse -> timestamp -> desensitize -> filter -> flusher_sls
//! ```
//!
//! What has no counterpart as a pipeline (syslog, streamlog) is left out. Our own agent takes configs in their own language
//! over the API, and not these.

use serde_json::{Value, json};

use super::Delivery;
use super::config::{CollectionConfig, Language};
use super::fields::Object;

/// Where flushers send to, when the config does not say.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    pub region: &'a str,
    pub endpoint: &'a str,
}

/// The pipeline of a config; `None` where it cannot be one.
pub fn pipeline(delivery: &Delivery, destination: Destination<'_>) -> Option<Object> {
    let mut pipeline = match delivery.language {
        Language::Classic => translated(&delivery.body)?,
        Language::Pipeline => {
            let keys = ["global", "inputs", "processors", "aggregators", "flushers", "task"];
            let kept = keys.iter().filter_map(|key| {
                let value = delivery.body.get(*key).filter(|value| !value.is_null())?;
                Some(((*key).to_owned(), value.clone()))
            });
            kept.collect()
        }
    };
    if pipeline.get("flushers").and_then(|flushers| flushers.get(0)).is_none() {
        pipeline.insert("flushers".into(), json!([{ "Type": "flusher_sls" }]));
    }
    if let Some(Value::Object(flusher)) =
        pipeline.get_mut("flushers").and_then(|flushers| flushers.get_mut(0))
    {
        for (key, value) in [
            ("Project", delivery.project.as_str()),
            ("Region", destination.region),
            ("Endpoint", destination.endpoint),
        ] {
            flusher.entry(key).or_insert_with(|| value.into());
        }
    }
    let topic = pipeline.get_mut("global").and_then(Value::as_object_mut);
    if let Some(global) = topic.filter(|global| is_group_topic(global.get("TopicType"))) {
        global.entry("TopicFormat").or_insert_with(|| delivery.group_topic.as_str().into());
    }
    Some(pipeline)
}

/// Whether what an agent is given depends on its group's topic.
pub(super) fn has_group_topic(config: &CollectionConfig) -> bool {
    match config.language {
        Language::Classic => {
            let detail = config.body.get("inputDetail");
            detail.and_then(|detail| detail.get("topicFormat")).is_some_and(|format| format == "group_topic")
        }
        Language::Pipeline => {
            is_group_topic(config.body.get("global").and_then(|global| global.get("TopicType")))
        }
    }
}

fn is_group_topic(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value == "machine_group_topic")
}

/// A Logtail config, which was checked when it was made.
fn translated(body: &Object) -> Option<Object> {
    let detail = body.get("inputDetail")?.as_object()?;
    let plugin = detail.get("plugin").and_then(Value::as_object);
    let plugins = |list: &str| -> Vec<Value> {
        let parts = plugin.and_then(|plugin| plugin.get(list)).and_then(Value::as_array);
        parts.into_iter().flatten().filter_map(flat).collect()
    };
    let (inputs, mut processors) = match body.get("inputType")?.as_str()? {
        "file" => (vec![input_file(detail)?], processors(detail)),
        "plugin" => (plugins("inputs"), Vec::new()),
        _ => return None,
    };
    processors.extend(plugins("processors"));
    let aggregators = plugins("aggregators");
    let mut pipeline = Object::new();
    pipeline.insert("global".into(), topic(text(detail, "topicFormat").unwrap_or("none")));
    pipeline.insert("inputs".into(), inputs.into());
    if !processors.is_empty() {
        pipeline.insert("processors".into(), processors.into());
    }
    if !aggregators.is_empty() {
        pipeline.insert("aggregators".into(), aggregators.into());
    }
    pipeline.insert("flushers".into(), json!([flusher(body, detail)?]));
    Some(pipeline)
}

/// `{"type": T, "detail": {..}}` as `{"Type": T, ..}`.
fn flat(part: &Value) -> Option<Value> {
    let mut flat = part.get("detail").and_then(Value::as_object).cloned().unwrap_or_default();
    flat.insert("Type".into(), part.get("type")?.clone());
    Some(Value::Object(flat))
}

fn topic(format: &str) -> Value {
    match format {
        "none" | "" => json!({ "TopicType": "none" }),
        "default" => json!({ "TopicType": "default" }),
        "group_topic" => json!({ "TopicType": "machine_group_topic" }),
        custom if custom.starts_with("customized://") => {
            json!({ "TopicType": "custom", "TopicFormat": custom })
        }
        regex => json!({ "TopicType": "filepath", "TopicFormat": regex }),
    }
}

fn input_file(detail: &Object) -> Option<Value> {
    let directory = text(detail, "logPath")?.trim_end_matches('/');
    let depth = detail.get("maxDepth").and_then(Value::as_i64).unwrap_or(100);
    let below = if depth > 0 { "/**/" } else { "/" };
    let mut input = Object::new();
    input.insert("Type".into(), json!("input_file"));
    input.insert("FilePaths".into(), json!([format!("{directory}{below}{}", text(detail, "filePattern")?)]));
    input.insert("MaxDirSearchDepth".into(), json!(depth));
    input.insert("FileEncoding".into(), json!(text(detail, "fileEncoding").unwrap_or("utf8")));
    let begin = text(detail, "logBeginRegex").unwrap_or("");
    if !["", ".*", "(.*)"].contains(&begin) {
        input.insert("Multiline".into(), json!({ "StartPattern": begin }));
    }
    let advanced = detail.get("advanced").and_then(Value::as_object);
    let advanced = |key: &str| advanced.and_then(|advanced| advanced.get(key));
    for (key, value) in [
        ("TailSizeKB", advanced("tail_size_kb")),
        ("AllowingIncludedByMultiConfigs", advanced("force_multiconfig")),
        ("ExcludeDirs", advanced("blacklist").and_then(|list| list.get("dir_blacklist"))),
        ("ExcludeFiles", advanced("blacklist").and_then(|list| list.get("filename_blacklist"))),
        ("ExcludeFilePaths", advanced("blacklist").and_then(|list| list.get("filepath_blacklist"))),
    ] {
        if let Some(value) = value {
            input.insert(key.into(), value.clone());
        }
    }
    if flag(detail, "dockerFile") {
        let mut filters = advanced("k8s").and_then(Value::as_object).cloned().unwrap_or_default();
        for (from, to) in [
            ("dockerIncludeLabel", "IncludeContainerLabel"),
            ("dockerExcludeLabel", "ExcludeContainerLabel"),
            ("dockerIncludeEnv", "IncludeEnv"),
            ("dockerExcludeEnv", "ExcludeEnv"),
        ] {
            if let Some(value) = detail.get(from) {
                filters.insert(to.into(), value.clone());
            }
        }
        input.insert("EnableContainerDiscovery".into(), json!(true));
        input.insert("ContainerFilters".into(), Value::Object(filters));
    }
    Some(Value::Object(input))
}

fn processors(detail: &Object) -> Vec<Value> {
    let mut all = Vec::new();
    let kind = text(detail, "logType").unwrap_or("");
    let list = |key: &str| detail.get(key).cloned().unwrap_or_else(|| json!([]));
    let keys = match kind {
        "common_reg_log" => detail.get("key").cloned().unwrap_or_else(|| json!(["content"])),
        _ => list("key"),
    };
    let regex = text(detail, "regex").unwrap_or("(.*)");
    let parse = match kind {
        "common_reg_log" if ["(.*)", ".*"].contains(&regex) && keys == json!(["content"]) => None,
        "common_reg_log" => {
            Some(json!({ "Type": "processor_parse_regex_native", "Regex": regex, "Keys": keys }))
        }
        "json_log" => Some(json!({ "Type": "processor_parse_json_native" })),
        "delimiter_log" => Some(json!({
            "Type": "processor_parse_delimiter_native",
            "Separator": text(detail, "separator").unwrap_or(","),
            "Quote": text(detail, "quote").unwrap_or("\""),
            "Keys": keys,
            "AllowingShortenedFields": flag(detail, "acceptNoEnoughKeys"),
            "OverflowedFieldsTreatment": match detail.get("autoExtend").and_then(Value::as_bool) {
                Some(false) => "discard",
                _ => "extend",
            },
        })),
        _ => Some(json!({ "Type": "processor_parse_apsara_native" })),
    };
    if let Some(Value::Object(mut parse)) = parse {
        let keeps = detail.get("discardUnmatch").and_then(Value::as_bool) == Some(false);
        let raw = flag(detail, "enableRawLog");
        parse.insert("SourceKey".into(), json!("content"));
        parse.insert("KeepingSourceWhenParseFail".into(), json!(keeps));
        parse.insert("KeepingSourceWhenParseSucceed".into(), json!(raw));
        if keeps || raw {
            parse.insert("RenamedSourceKey".into(), json!(if raw { "__raw__" } else { "__raw_log__" }));
        }
        all.push(Value::Object(parse));
    }
    if let Some(format) = text(detail, "timeFormat") {
        let key = text(detail, "timeKey").unwrap_or("time");
        let mut time = json!({
            "Type": "processor_parse_timestamp_native", "SourceKey": key, "SourceFormat": format,
        });
        if let Some(zone) = text(detail, "logTimezone").filter(|_| flag(detail, "adjustTimezone")) {
            time["SourceTimezone"] = json!(zone);
        }
        all.push(time);
    }
    for rule in detail.get("sensitive_keys").and_then(Value::as_array).into_iter().flatten() {
        all.push(json!({
            "Type": "processor_desensitize_native",
            "SourceKey": rule["key"],
            "Method": rule["type"].as_str().unwrap_or("const"),
            "ReplacingString": rule["const"].as_str().unwrap_or(""),
            "ContentPatternBeforeReplacedString": rule["regex_begin"].as_str().unwrap_or(""),
            "ReplacedContentPattern": rule["regex_content"].as_str().unwrap_or(""),
            "ReplacingAll": rule["all"].as_bool().unwrap_or(true),
        }));
    }
    let filtered = list("filterKey");
    let repaired = flag(detail, "discardNonUtf8");
    if filtered.as_array().is_some_and(|keys| !keys.is_empty()) || repaired {
        all.push(json!({
            "Type": "processor_filter_regex_native",
            "FilterKey": filtered,
            "FilterRegex": list("filterRegex"),
            "DiscardingNonUTF8": repaired,
        }));
    }
    all
}

fn flusher(body: &Object, detail: &Object) -> Option<Value> {
    let output = body.get("outputDetail")?.as_object()?;
    let mut flusher = json!({ "Type": "flusher_sls", "Logstore": text(output, "logstoreName")? });
    for (from, to) in [
        ("projectName", "Project"),
        ("region", "Region"),
        ("endpoint", "Endpoint"),
        ("compressType", "CompressType"),
        ("telemetryType", "TelemetryType"),
    ] {
        if let Some(value) = text(output, from) {
            flusher[to] = json!(value);
        }
    }
    if let Some(rate) = detail.get("maxSendRate").and_then(Value::as_i64).filter(|rate| *rate > 0) {
        flusher["MaxSendRate"] = json!(rate);
    }
    if let Some(keys) = detail.get("shardHashKey").and_then(Value::as_array).filter(|keys| !keys.is_empty()) {
        flusher["ShardHashKeys"] = json!(keys);
    }
    Some(flusher)
}

fn text<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn flag(object: &Object, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool) == Some(true)
}
