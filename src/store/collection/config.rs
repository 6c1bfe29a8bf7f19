//! A collection config as its author wrote it, in either of Log Service's two languages, checked as far as the service
//! checks: keys it knows have their types and belong together, keys it does not know are kept.

use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{Fields, Object, Type};
use crate::store::Refused;

/// Bytes of a config as JSON: it is held in memory.
const CONFIG_BYTES: usize = 128 * 1024;
const SAMPLE_BYTES: usize = 1500;
const LOG_TYPES: &[&str] = &["common_reg_log", "json_log", "delimiter_log", "apsara_log"];

/// In which language a config is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A Logtail config: `inputType`, `inputDetail`, `outputDetail`.
    Classic,
    /// A pipeline config: `inputs`, `processors`, `flushers`.
    Pipeline,
}

#[derive(Clone, Debug)]
pub struct CollectionConfig {
    pub language: Language,
    /// As it was sent, without the times.
    pub body: Arc<Object>,
    /// Seconds since 1970.
    pub created: i64,
    pub modified: i64,
    /// Another one after every change.
    pub version: i64,
}

/// Keys of a classic `inputDetail` and their types.
const DETAIL: &[(&str, Type)] = &[
    ("logPath", Type::Text),
    ("filePattern", Type::Text),
    ("maxDepth", Type::Number),
    ("preserve", Type::Flag),
    ("preserveDepth", Type::Number),
    ("logBeginRegex", Type::Text),
    ("regex", Type::Text),
    ("key", Type::Texts),
    ("timeFormat", Type::Text),
    ("timeKey", Type::Text),
    ("adjustTimezone", Type::Flag),
    ("logTimezone", Type::Text),
    ("topicFormat", Type::Text),
    ("separator", Type::Text),
    ("quote", Type::Text),
    ("autoExtend", Type::Flag),
    ("acceptNoEnoughKeys", Type::Flag),
    ("filterKey", Type::Texts),
    ("filterRegex", Type::Texts),
    ("discardUnmatch", Type::Flag),
    ("enableRawLog", Type::Flag),
    ("enableTag", Type::Flag),
    ("tailExisted", Type::Flag),
    ("dockerFile", Type::Flag),
    ("dockerIncludeLabel", Type::Object),
    ("dockerExcludeLabel", Type::Object),
    ("dockerIncludeEnv", Type::Object),
    ("dockerExcludeEnv", Type::Object),
    ("localStorage", Type::Flag),
    ("maxSendRate", Type::Number),
    ("sendRateExpire", Type::Number),
    ("priority", Type::Number),
    ("shardHashKey", Type::Texts),
    ("mergeType", Type::Text),
    ("delayAlarmBytes", Type::Number),
    ("delaySkipBytes", Type::Number),
    ("discardNonUtf8", Type::Flag),
    ("sensitive_keys", Type::Objects),
    ("advanced", Type::Object),
    ("plugin", Type::Object),
];

impl CollectionConfig {
    /// Reads a body; times and version are for the catalog to fill in.
    pub(in crate::store) fn parse(language: Language, mut body: Object) -> Result<CollectionConfig, Refused> {
        body.remove("createTime");
        body.remove("lastModifyTime");
        let size = Value::Object(body.clone()).to_string().len();
        if size > CONFIG_BYTES {
            return Err(Refused::Parameter(format!(
                "the config has {size} bytes, at most {CONFIG_BYTES} are taken"
            )));
        }
        let fields = Fields::new("", &body);
        if fields.text("logSample")?.is_some_and(|sample| sample.len() >= SAMPLE_BYTES) {
            return Err(fields.wrong("logSample", format_args!("has to be below {SAMPLE_BYTES} bytes")));
        }
        match language {
            Language::Classic => check_classic(fields)?,
            Language::Pipeline => check_pipeline(fields)?,
        }
        Ok(CollectionConfig { language, body: Arc::new(body), created: 0, modified: 0, version: 0 })
    }

    /// The logstore its records go to.
    pub fn logstore(&self) -> Option<&str> {
        match self.language {
            Language::Classic => self.body.get("outputDetail")?.get("logstoreName")?.as_str(),
            Language::Pipeline => self.body.get("flushers")?.get(0)?.get("Logstore")?.as_str(),
        }
    }

    /// With the defaults of its kind of input filled in, as the service answers.
    pub fn described(&self) -> Object {
        let mut body = Object::clone(&self.body);
        body.insert("createTime".into(), json!(self.created));
        body.insert("lastModifyTime".into(), json!(self.modified));
        let is_file = body.get("inputType").is_some_and(|kind| kind == "file");
        if self.language == Language::Classic {
            body.entry("outputType").or_insert_with(|| json!("LogService"));
            if let Some(Value::Object(detail)) = body.get_mut("inputDetail").filter(|_| is_file) {
                fill_in(detail);
                // Clients fail without it.
                body.entry("logSample").or_insert_with(|| json!(""));
            }
        }
        body
    }
}

fn check_classic(fields: Fields<'_>) -> Result<(), Refused> {
    fields.one_of("outputType", &["LogService", "log"])?;
    let output = Fields::new("outputDetail", fields.needed_object("outputDetail")?);
    output.needed_text("logstoreName")?;
    for key in ["endpoint", "projectName", "region", "compressType", "telemetryType"] {
        output.text(key)?;
    }
    let detail = Fields::new("inputDetail", fields.needed_object("inputDetail")?);
    match fields.one_of("inputType", &["file", "plugin", "syslog", "streamlog"])? {
        Some("file") => check_file(detail),
        Some("plugin") => {
            let plugin = Fields::new("inputDetail.plugin", detail.needed_object("plugin")?);
            match plugin.objects("inputs")?.is_some_and(|inputs| !inputs.is_empty()) {
                true => check_plugin(plugin),
                false => Err(plugin.wrong("inputs", "is missing")),
            }
        }
        Some(_) => detail.needed_text("tag").map(drop),
        None => Err(fields.wrong("inputType", "is missing")),
    }
}

fn check_file(detail: Fields<'_>) -> Result<(), Refused> {
    for (key, wanted) in DETAIL {
        detail.check(key, *wanted)?;
    }
    let kind = detail.one_of("logType", LOG_TYPES)?.ok_or_else(|| detail.wrong("logType", "is missing"))?;
    let path = detail.needed_text("logPath")?;
    let is_windows = path.as_bytes().get(1) == Some(&b':');
    if !path.starts_with('/') && !is_windows {
        return Err(detail.wrong("logPath", "has to be an absolute path"));
    }
    detail.needed_text("filePattern")?;
    detail.one_of("fileEncoding", &["utf8", "gbk"])?;
    detail.one_of("mergeType", &["topic", "logstore"])?;
    for (key, range) in [("maxDepth", 0..=1000), ("preserveDepth", 1..=3), ("priority", 0..=3)] {
        if detail.number(key)?.is_some_and(|number| !range.contains(&number)) {
            return Err(
                detail.wrong(key, format_args!("must be within [{}, {}]", range.start(), range.end()))
            );
        }
    }
    let names = detail.texts("filterKey")?.unwrap_or_default();
    let conditions = detail.texts("filterRegex")?.unwrap_or_default();
    if names.len() != conditions.len() {
        let reason = format!("has {} entries, filterKey {}", conditions.len(), names.len());
        return Err(detail.wrong("filterRegex", reason));
    }
    let keys = detail.texts("key")?;
    match kind {
        "common_reg_log" => check_groups(detail, keys.as_ref().map_or(1, Vec::len)),
        "delimiter_log" if keys.is_none_or(|keys| keys.is_empty()) => {
            Err(detail.wrong("key", "is missing: the names of the columns"))
        }
        _ => Ok(()),
    }?;
    for rule in detail.objects("sensitive_keys")?.unwrap_or_default() {
        let rule = Fields::new("inputDetail.sensitive_keys", rule);
        rule.needed_text("key")?;
        rule.one_of("type", &["const", "md5"])?;
        for key in ["regex_begin", "regex_content", "const"] {
            rule.text(key)?;
        }
    }
    detail.object("plugin")?.map_or(Ok(()), |plugin| check_plugin(Fields::new("inputDetail.plugin", plugin)))
}

/// There are as many groups as names, or more. An expression of a richer language than ours is left to the agents.
fn check_groups(detail: Fields<'_>, keys: usize) -> Result<(), Refused> {
    let text = detail.text("regex")?.unwrap_or("(.*)");
    let Ok(regex) = regex::Regex::new(text) else { return Ok(()) };
    let groups = regex.captures_len() - 1;
    if groups < keys {
        return Err(detail.wrong("key", format_args!("has {keys} names, the regex {groups} groups")));
    }
    Ok(())
}

fn check_plugin(plugin: Fields<'_>) -> Result<(), Refused> {
    for list in ["inputs", "processors", "aggregators", "flushers"] {
        for part in plugin.objects(list)?.unwrap_or_default() {
            let part = Fields::new("inputDetail.plugin", part);
            part.needed_text("type")?;
            part.object("detail")?;
        }
    }
    Ok(())
}

fn check_pipeline(fields: Fields<'_>) -> Result<(), Refused> {
    for key in ["global", "task"] {
        fields.object(key)?;
    }
    let parts = |list: &str, range: std::ops::RangeInclusive<usize>| {
        let parts = fields.objects(list)?.unwrap_or_default();
        if !range.contains(&parts.len()) {
            let wanted = if *range.start() == *range.end() { "exactly one" } else { "at most one" };
            return Err(fields.wrong(list, format_args!("has {} entries, not {wanted}", parts.len())));
        }
        parts.iter().try_for_each(|part| Fields::new(list, part).needed_text("Type").map(drop))
    };
    parts("inputs", 1..=1)?;
    parts("processors", 0..=usize::MAX)?;
    parts("aggregators", 0..=1)?;
    parts("flushers", 0..=1)?;
    for flusher in fields.objects("flushers")?.unwrap_or_default() {
        let flusher = Fields::new("flushers", flusher);
        flusher.one_of("Type", &["flusher_sls"])?;
        flusher.needed_text("Logstore")?;
    }
    Ok(())
}

/// Values of keys that were left out, as the service answers them.
fn fill_in(detail: &mut Object) {
    let kind = detail.get("logType").and_then(Value::as_str).unwrap_or("").to_owned();
    let mut defaults = json!({
        "maxDepth": 100, "preserve": true, "preserveDepth": 1, "timeFormat": "", "timeKey": "",
        "adjustTimezone": false, "logTimezone": "", "topicFormat": "none", "filterKey": [], "filterRegex": [],
        "fileEncoding": "utf8", "discardUnmatch": true, "enableRawLog": false, "enableTag": false,
        "tailExisted": false, "dockerFile": false, "dockerIncludeLabel": {}, "dockerExcludeLabel": {},
        "dockerIncludeEnv": {}, "dockerExcludeEnv": {}, "localStorage": true, "maxSendRate": -1,
        "sendRateExpire": 0, "priority": 0, "shardHashKey": [], "mergeType": "topic", "delayAlarmBytes": 0,
        "delaySkipBytes": 0, "discardNonUtf8": false, "sensitive_keys": [],
        "advanced": { "force_multiconfig": false },
    });
    let own = match kind.as_str() {
        "common_reg_log" => json!({ "logBeginRegex": ".*", "regex": "(.*)", "key": ["content"] }),
        "delimiter_log" => json!({
            "separator": ",", "quote": "\u{1}", "autoExtend": true, "acceptNoEnoughKeys": false,
        }),
        _ => json!({}),
    };
    for part in [&mut defaults, &mut { own }] {
        for (key, value) in part.as_object_mut().into_iter().flat_map(std::mem::take) {
            detail.entry(key).or_insert(value);
        }
    }
}
