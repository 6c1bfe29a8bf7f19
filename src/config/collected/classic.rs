//! Logtail configs, as Log Service's first API and the custom resource `AliyunLogConfig` have them.
//!
//! ```text
//! inputType file     inputDetail: logType, logPath, filePattern, ...        one way to parse, and what goes with it
//! inputType plugin   inputDetail: plugin: { inputs: [one], processors }     containers' standard output
//! outputDetail       project, logstore, region, endpoint
//! ```
//!
//! Log Service answers with every default filled in, so a key that says its default is never noted.

use serde_json::json;

use super::Surroundings;
use super::container::{StdoutKeys, stdout};
use super::draft::{CONTENT, Draft};
use super::extended;
use super::files;
use super::output::{self, Place};
use super::reading::{Item, Object, shown};
use super::steps::{self, Columns, Failed, Outcomes, Secret};
use super::whole::{begin, is_everything};

/// Sub-directories below `logPath`, where nothing is said.
const DEPTH: i64 = 100;
/// What the console writes for no quote, and Log Service fills in.
const NO_QUOTE: &str = "\u{1}";
/// The field of a record's whole text, where it is asked for.
const RAW: &str = "__raw__";
/// The time's field, where nothing is said.
const TIME: &str = "time";

pub(super) fn translate(body: &mut Object<'_>, draft: &mut Draft, around: &Surroundings<'_>) {
    body.take("configName");
    for told in ["logSample", "createTime", "lastModifyTime", "configTags"] {
        body.take(told);
    }
    let output_type = body.take("outputType");
    if output_type.some_text().is_some_and(|kind| kind != "LogService") {
        output_type.fault("must be LogService, where records go");
    }
    let mut output = body.take("outputDetail").object();
    let place = Place {
        project: output.take("projectName"),
        logstore: output.take("logstoreName"),
        region: output.take("region"),
        endpoint: output.take("endpoint"),
    };
    output::place(draft, &place, around);
    output::compression(draft, &output.take("compressType"));
    output::telemetry(&output.take("telemetryType"));
    output.finish();
    let kind = body.take("inputType");
    let detail = body.take("inputDetail");
    if !detail.is_present() {
        detail.fault("is missing; it says what is collected");
    }
    let mut detail = detail.object();
    match kind.some_text() {
        None | Some("file") => file(&mut detail, draft, around),
        Some("plugin") => plugin(&mut detail, draft, around),
        Some(other @ ("syslog" | "streamlog")) => {
            detail_is_elsewhere(&kind, other);
            return;
        }
        Some(other) => {
            kind.fault(format!("{} is not one of file, plugin", shown(other)));
            return;
        }
    }
    common(&mut detail, draft);
    detail.finish();
}

fn detail_is_elsewhere(kind: &Item<'_>, name: &str) {
    kind.fault(format!(
        "is {name}, which is no collection of files; this gateway has an input `syslog` of its own configuration for that"
    ));
}

/// What every kind has.
fn common(detail: &mut Object<'_>, draft: &mut Draft) {
    output::max_rate(draft, &detail.take("maxSendRate"));
    output::shard_key(draft, &detail.take("shardHashKey"));
    detail.no_effect(&[
        ("localStorage", json!(true), "what cannot be delivered is always kept on disk"),
        ("enableTag", json!(false), "tags are always sent"),
        ("sendRateExpire", json!(0), "maxSendRate does not expire"),
        ("priority", json!(0), "all configurations are served alike"),
        ("mergeType", json!("topic"), "each file has LogGroups of its own, which travel together"),
        ("delayAlarmBytes", json!(0), "`sluicegate status --files` shows what is behind"),
        ("delaySkipBytes", json!(0), "nothing is skipped, however far behind a file is"),
        ("discardNonUtf8", json!(false), "text is always UTF-8; what is no character becomes U+FFFD"),
    ]);
    detail.take("customizedFields").object().finish();
}

fn file(detail: &mut Object<'_>, draft: &mut Draft, around: &Surroundings<'_>) {
    paths(detail, draft);
    containers(detail);
    files::encoding(draft, &detail.take("fileEncoding"));
    let begin_item = detail.take("logBeginRegex");
    let failed = if detail.take("discardUnmatch").boolean().unwrap_or(true) {
        Failed::Removed
    } else {
        Failed::RawLog
    };
    if let Some(Some(pattern)) = begin_item.text().map(|text| begin(&begin_item, text).flatten()) {
        let start = [("start", pattern, begin_item.path().to_owned())];
        files::multiline(draft, &start, failed == Failed::RawLog, None, begin_item.path());
    }
    let mut advanced = detail.take("advanced").object();
    let raw_tag = advanced.take("raw_log_tag");
    let raw = detail.take("enableRawLog");
    if raw.boolean() == Some(true) {
        steps::copy(draft, CONTENT, raw_tag.some_text().unwrap_or(RAW), &raw);
    }
    let kind = detail.take("logType").some_text();
    let partial = advanced.take("extract_partial_fields").boolean().unwrap_or(false);
    parse(detail, draft, failed, partial);
    let names_time = kind == Some("common_reg_log");
    time(detail, draft, &advanced.take("specified_year"), names_time);
    advanced_keys(advanced, draft);
    steps::filters(draft, &detail.take("filterKey"), &detail.take("filterRegex"));
    for secret in detail.take("sensitive_keys").list() {
        mask(&secret, draft);
    }
    output::topic(draft, &detail.take("topicFormat"), around);
    processors(detail, draft);
}

fn paths(detail: &mut Object<'_>, draft: &mut Draft) {
    let (directory, name) = (detail.take("logPath"), detail.take("filePattern"));
    let depth = detail.take("maxDepth");
    let levels = files::depth(&depth, DEPTH);
    for (item, example) in [(&directory, "/var/log/app"), (&name, "*.log")] {
        if !item.is_present() || item.text() == Some("") {
            item.fault(format!("is missing; write {example}"));
        }
    }
    if let (Some(path), Some(pattern)) = (directory.some_text(), name.some_text()) {
        if pattern.contains('/') {
            name.fault(format!("{} holds a slash; directories are logPath's", shown(pattern)));
        }
        let segments: Vec<String> = path.split('/').map(files::name_alone).collect();
        let path = segments.join("/");
        let between = if levels > 0 { "/**/" } else { "/" };
        let pattern = files::name_alone(pattern);
        // Alone, two stars would be directories.
        let whole = format!("{}{between}{pattern}", path.trim_end_matches('/'));
        files::path(draft, &whole, directory.path());
        files::max_depth(draft, levels, depth.path());
    }
    detail.no_effect(&[
        ("preserve", json!(true), "directories are looked at for as long as the configuration is applied"),
        ("preserveDepth", json!(1), "directories are looked at for as long as the configuration is applied"),
        (
            "tailExisted",
            json!(false),
            "files that were there before are read in any case, from advanced.tail_size_kb before their end",
        ),
    ]);
}

/// The path is one of this gateway's own file system.
fn containers(detail: &mut Object<'_>) {
    let inside = detail.take("dockerFile");
    let keys = ["dockerIncludeLabel", "dockerExcludeLabel", "dockerIncludeEnv", "dockerExcludeEnv"]
        .map(|key| detail.take(key));
    if inside.boolean() == Some(true) {
        inside.fault(
            "is true: the path would be one inside containers, which this gateway does not look into; mount the volume with the \
             logs into its Pod as well, and set it false",
        );
    } else {
        for key in keys.into_iter().filter(|key| !key.members().is_empty()) {
            key.note("has no effect here: it chooses containers, and dockerFile is false");
        }
    }
}

fn parse(detail: &mut Object<'_>, draft: &mut Draft, failed: Failed, partial: bool) {
    let outcomes = Outcomes { failed, keeps: false, renamed: None };
    let kind = detail.take("logType");
    let (regex, key) = (detail.take("regex"), detail.take("key"));
    let (separator, quote) = (detail.take("separator"), detail.take("quote"));
    let extend = detail.take("autoExtend").boolean().unwrap_or(true);
    let short = detail.take("acceptNoEnoughKeys").boolean().unwrap_or(false);
    match kind.some_text() {
        Some("common_reg_log") => {
            let expression = regex.some_text().unwrap_or("(.*)");
            if is_everything(expression) {
                return plain(draft, &key);
            }
            let Some(format) = steps::regex_format(&regex, expression, &key) else { return };
            steps::parse(draft, CONTENT, format, &outcomes, &regex);
        }
        Some("json_log") => {
            let format = vec![("parse", super::draft::text("json"), kind.path().to_owned())];
            steps::parse(draft, CONTENT, format, &outcomes, &kind);
        }
        Some("delimiter_log") => {
            let extra = match (partial, extend) {
                (true, _) => "discard",
                (false, true) => "extend",
                (false, false) => "keep",
            };
            let columns = Columns {
                separator: &separator,
                quote: &quote,
                default_quote: NO_QUOTE,
                keys: &key,
                strict: !short,
                extra,
            };
            let Some(format) = steps::delimiter_format(&columns) else { return };
            steps::parse(draft, CONTENT, format, &outcomes, &separator);
        }
        Some("apsara_log") => kind.fault(
            "is apsara_log, a format of the vendor's own services, which is not read here; use common_reg_log with an \
             expression for it",
        ),
        Some(other) => kind
            .fault(format!("{} is not one of common_reg_log, json_log, delimiter_log", shown(other))),
        None if kind.is_present() && kind.text().is_none() => {}
        None => kind.fault("is missing; write common_reg_log, json_log or delimiter_log"),
    }
}

/// The whole text is one field.
fn plain(draft: &mut Draft, key: &Item<'_>) {
    let keys = key.texts();
    match keys.as_slice() {
        [] => {}
        [(_, name)] if !name.is_empty() => {
            if *name != CONTENT {
                draft
                    .step([("rename", super::draft::map([(CONTENT, super::draft::text(name))]))], key.path());
            }
        }
        _ => key.fault(format!("names {} fields for the one group of regex", keys.len())),
    }
}

/// `names_time`: the field `time` is meant where none is named.
fn time(detail: &mut Object<'_>, draft: &mut Draft, year: &Item<'_>, names_time: bool) {
    let (format, key) = (detail.take("timeFormat"), detail.take("timeKey"));
    let (adjust, zone) = (detail.take("adjustTimezone"), detail.take("logTimezone"));
    let adjusts = adjust.boolean().unwrap_or(false);
    let zone = zone.some_text().filter(|_| adjusts).map(|text| (text, zone.path().to_owned()));
    if adjusts && zone.is_none() {
        adjust.note("has no effect here: logTimezone names no zone");
    }
    let Some(text) = format.some_text() else { return };
    if !names_time && key.some_text().is_none() {
        return format.note("has no effect here: timeKey names no field, so the time is that of reading");
    }
    let theirs = if key.some_text().is_some() { key.path() } else { format.path() }.to_owned();
    let key = key.some_text().unwrap_or(TIME);
    let zone = zone.as_ref().map(|(text, theirs)| (*text, theirs.as_str()));
    steps::time(draft, (key, &theirs), (text, &format), zone, year);
}

fn advanced_keys(mut advanced: Object<'_>, draft: &mut Draft) {
    files::tail(draft, &advanced.take("tail_size_kb"));
    let mut blacklist = advanced.take("blacklist").object();
    files::exclude_dirs(draft, &blacklist.take("dir_blacklist"));
    files::exclude_names(draft, &blacklist.take("filename_blacklist"));
    files::exclude_paths(draft, &blacklist.take("filepath_blacklist"));
    blacklist.finish();
    advanced.no_effect(&[
        ("force_multiconfig", json!(false), "a file may belong to any number of configurations"),
        ("enable_timestamp_nanosecond", json!(false), "times always have their nanoseconds"),
        ("max_rotate_queue_size", json!(20), "all that a log was rotated to is kept until it is read"),
        ("close_unused_reader_interval", json!(60), "files at rest are always closed"),
        ("search_checkpoint_dir_depth", json!(0), "rotated files are found beside the log"),
        ("exactly_once_concurrency", json!(0), "positions are stored together with the records in any case"),
    ]);
    advanced.refuse(&[
        (
            "enable_log_position_meta",
            json!(false),
            "asks for the tag __inode__ and the field __file_offset__, which are not made here; set it false",
        ),
        ("filter_expression", json!(null), "is a tree of conditions, which is not read here; write filterKey and filterRegex"),
        ("k8s", json!(null), "chooses containers, which this gateway does not look into; mount the volume into its Pod as well"),
    ]);
    advanced.finish();
}

fn mask(item: &Item<'_>, draft: &mut Draft) {
    let mut secret = item.object();
    let [key, method, replacement, before, content, all] =
        ["key", "type", "const", "regex_begin", "regex_content", "all"].map(|key| secret.take(key));
    steps::mask(
        draft,
        &Secret {
            key: &key,
            method: &method,
            replacement: &replacement,
            before: &before,
            content: &content,
            all: &all,
        },
    );
    secret.finish();
}

/// Plugins that run after what the configuration says itself.
fn processors(detail: &mut Object<'_>, draft: &mut Draft) {
    let mut plugin = detail.take("plugin").object();
    let inputs = plugin.take("inputs");
    if !inputs.list().is_empty() {
        inputs.fault("names inputs beside files; one configuration collects one thing");
    }
    extended::list(&mut plugin, draft);
    plugin.finish();
}

fn plugin(detail: &mut Object<'_>, draft: &mut Draft, around: &Surroundings<'_>) {
    output::topic(draft, &detail.take("topicFormat"), around);
    let mut plugin = detail.take("plugin").object();
    let inputs = plugin.take("inputs");
    match inputs.list().as_slice() {
        [input] => {
            let mut input = input.object();
            let (kind, options) = (input.take("type"), input.take("detail"));
            match kind.some_text() {
                Some("service_docker_stdout") => {
                    let mut options = options.object();
                    stdout(&mut options, draft, StdoutKeys::Classic, around);
                    options.finish();
                }
                Some(other) => kind.fault(format!(
                    "{} is no input of this gateway; there are files and service_docker_stdout",
                    shown(other)
                )),
                None => kind.fault("is missing; write service_docker_stdout"),
            }
            input.finish();
        }
        [] => inputs.fault("has no input; write one, such as service_docker_stdout"),
        several => inputs.fault(format!("has {} inputs where one belongs", several.len())),
    }
    extended::list(&mut plugin, draft);
    plugin.finish();
    for key in ["logType", "advanced"] {
        detail.take(key);
    }
}
