//! Pipeline configs, as Log Service's newer API, LoongCollector and `ClusterAliyunPipelineConfig` have them.
//!
//! ```text
//! global        the topic
//! inputs        exactly one: input_file, input_container_stdio
//! processors    in order; native ones in [`processor`]
//! flushers      one flusher_sls
//! ```

mod processor;

use serde_json::json;

use super::Surroundings;
use super::container::{StdoutKeys, stdout};
use super::draft::Draft;
use super::extended::aggregators;
use super::files;
use super::output::{self, Place};
use super::reading::{Item, Object, shown};
use super::whole::begin;
use crate::config::linear_regex::LinearRegex;

pub(super) fn translate(body: &mut Object<'_>, draft: &mut Draft, around: &Surroundings<'_>) {
    for told in ["configName", "logSample", "sample", "createTime", "lastModifyTime", "enable"] {
        body.take(told);
    }
    body.refuse(&[(
        "task",
        json!(null),
        "is a task that runs by itself, and this gateway collects logs alone",
    )]);
    let inputs = body.take("inputs");
    match inputs.list().as_slice() {
        [one] => input(one, draft, around),
        [] => inputs.fault("has no input; write one, such as input_file"),
        several => inputs.fault(format!("has {} inputs where one belongs", several.len())),
    }
    for item in body.take("processors").list() {
        processor::lay(&item, draft);
    }
    aggregators(&body.take("aggregators"), "Type");
    let flushers = body.take("flushers");
    match flushers.list().as_slice() {
        [one] => flusher(one, draft, around),
        [] => flushers.fault("has no flusher; write one flusher_sls, which names the logstore"),
        several => flushers.fault(format!("has {} flushers where one belongs", several.len())),
    }
    global(body, draft, around);
}

fn global(body: &mut Object<'_>, draft: &mut Draft, around: &Surroundings<'_>) {
    let mut global = body.take("global").object();
    let (kind, format) = (global.take("TopicType"), global.take("TopicFormat"));
    match kind.some_text() {
        None | Some("none" | "default") => {}
        Some("machine_group_topic") => {
            // Agents fill it in; a group's topic that is known here is newer.
            let topic = around.group_topic.or_else(|| format.some_text()).unwrap_or_default();
            draft.topic = super::draft::Topic::Text(topic.to_owned());
        }
        Some("custom") => output::custom_topic(draft, &format),
        Some("filepath") => output::path_topic(draft, &format),
        Some(other) => kind.fault(format!(
            "{} is not one of none, default, custom, filepath, machine_group_topic",
            shown(other)
        )),
    }
    global.no_effect(&[
        ("Priority", json!(1), "all configurations are served alike"),
        ("EnableTimestampNanosecond", json!(false), "times always have their nanoseconds"),
        ("UsingOldContentTag", json!(false), "tags are always tags"),
        ("StructureType", json!("v1"), "records are logs"),
    ]);
    global.refuse(&[
        ("PipelineMetaTagKey", json!(null), "renames tags, which is not done here"),
        ("AgentEnvMetaTagKey", json!(null), "renames tags, which is not done here"),
    ]);
    global.finish();
}

fn input(item: &Item<'_>, draft: &mut Draft, around: &Surroundings<'_>) {
    let mut input = item.object();
    let kind = input.take("Type");
    match kind.some_text() {
        Some("input_file") => file(&mut input, draft),
        Some("input_container_stdio" | "service_docker_stdout") => {
            let keys = if kind.text() == Some("input_container_stdio") {
                StdoutKeys::Pipeline
            } else {
                StdoutKeys::Classic
            };
            stdout(&mut input, draft, keys, around);
        }
        Some(other) => {
            let what = format!(
                "{} is no input of this gateway; there are input_file and input_container_stdio",
                shown(other)
            );
            return kind.fault(what);
        }
        None => return kind.fault("is missing; write input_file"),
    }
    input.finish();
}

fn file(input: &mut Object<'_>, draft: &mut Draft) {
    let paths = input.take("FilePaths");
    let patterns = paths.texts();
    if patterns.is_empty() {
        paths.fault("is missing; write [\"/var/log/app/*.log\"]");
    }
    for (item, pattern) in patterns {
        files::path(draft, &files::glob(pattern), item.path());
    }
    let depth = input.take("MaxDirSearchDepth");
    files::max_depth(draft, files::depth(&depth, 0), depth.path());
    files::exclude_paths(draft, &input.take("ExcludeFilePaths"));
    files::exclude_names(draft, &input.take("ExcludeFiles"));
    files::exclude_dirs(draft, &input.take("ExcludeDirs"));
    files::encoding(draft, &input.take("FileEncoding"));
    files::tail(draft, &input.take("TailSizeKB"));
    let flush = input.take("FlushTimeoutSecs");
    let seconds = flush.integer();
    match seconds {
        Some(seconds) if seconds < 1 => {
            flush.fault(format!("is {seconds}; write a number of seconds from 1 on"))
        }
        Some(seconds) => {
            draft.input("flush_timeout", super::draft::text(&format!("{seconds}s")), flush.path())
        }
        None => {}
    }
    multiline(&input.take("Multiline"), draft, seconds.filter(|seconds| *seconds > 0));
    let discovery = input.take("EnableContainerDiscovery");
    let rest = ["ContainerFilters", "ExternalK8sLabelTag", "ExternalEnvTag", "CollectingContainersMeta"]
        .map(|key| input.take(key));
    if discovery.boolean() == Some(true) {
        discovery.fault(
            "is true: the paths would be inside containers, which this gateway does not look into; mount the volume with the logs \
             into its Pod as well, and set it false",
        );
    } else {
        for item in rest.into_iter().filter(Item::is_present) {
            item.note("has no effect here: it is about containers, and EnableContainerDiscovery is false");
        }
    }
    input.no_effect(&[
        ("AllowingIncludedByMultiConfigs", json!(false), "a file may belong to any number of configurations"),
        ("AllowingCollectingFilesInRootDir", json!(false), "paths are taken as they are"),
        (
            "PreservedDirDepth",
            json!(-1),
            "directories are looked at for as long as the configuration is applied",
        ),
        ("ReadDelaySkipThresholdBytes", json!(0), "nothing is skipped, however far behind a file is"),
        (
            "ReadDelayAlertThresholdBytes",
            json!(209_715_200),
            "`sluicegate status --files` shows what is behind",
        ),
        ("CloseUnusedReaderIntervalSec", json!(60), "files at rest are always closed"),
        ("RotatorQueueSize", json!(20), "all that a log was rotated to is kept until it is read"),
        ("EnableExactlyOnce", json!(0), "positions are stored together with the records in any case"),
    ]);
    input.refuse(&[
        (
            "AppendingLogPositionMeta",
            json!(false),
            "asks for the tag __inode__ and the field __file_offset__, which are not made here; set it false",
        ),
        ("Tags", json!(null), "renames tags, which is not done here"),
        ("FileOffsetKey", json!(""), "asks for places in files, which are not told here"),
    ]);
}

fn multiline(item: &Item<'_>, draft: &mut Draft, timeout: Option<i64>) {
    let mut lines = item.object();
    let mode = lines.take("Mode");
    if let Some(other) = mode.some_text().filter(|mode| *mode != "custom") {
        mode.fault(format!(
            "is {}, and lines are put together by patterns alone here; write custom",
            shown(other)
        ));
    }
    let mut patterns = Vec::new();
    for (ours, theirs) in [("start", "StartPattern"), ("continue", "ContinuePattern"), ("end", "EndPattern")]
    {
        let item = lines.take(theirs);
        if let Some(text) = item.some_text()
            && let Some(Some(pattern)) = first_of(&item, text)
        {
            patterns.push((ours, pattern, item.path().to_owned()));
        }
    }
    // Logtail takes no notice of it then.
    if patterns.len() == 3 {
        patterns.remove(1);
    }
    let unmatched = lines.take("UnmatchedContentTreatment");
    let keeps = match unmatched.some_text() {
        None | Some("single_line") => true,
        Some("discard") => false,
        Some(other) => {
            unmatched.fault(format!("{} is not one of single_line, discard", shown(other)));
            true
        }
    };
    lines.take("IgnoringUnmatchWarning");
    lines.finish();
    if !patterns.is_empty() {
        files::multiline(draft, &patterns, keeps, timeout, item.path());
    }
}

/// The expression of a line; LoongCollector looks for it at the line's beginning, and leaves out what takes any rest.
fn first_of(item: &Item<'_>, text: &str) -> Option<Option<String>> {
    if begin(item, text)?.is_none() {
        return Some(None);
    }
    Some(Some(format!("/{}/", without_end(text))))
}

/// Without the `$` that it ends in: LoongCollector takes it away, and so any rest of the line may follow.
fn without_end(text: &str) -> &str {
    let head =
        text.strip_suffix('$').filter(|head| (head.len() - head.trim_end_matches('\\').len()) % 2 == 0);
    head.filter(|head| LinearRegex::parse(head).is_ok()).unwrap_or(text)
}

fn flusher(item: &Item<'_>, draft: &mut Draft, around: &Surroundings<'_>) {
    let mut flusher = item.object();
    let kind = flusher.take("Type");
    match kind.some_text() {
        Some("flusher_sls") => {}
        Some(other) => {
            return kind.fault(format!(
                "{} is no flusher of this gateway; records go to a logstore: flusher_sls",
                shown(other)
            ));
        }
        None => return kind.fault("is missing; write flusher_sls"),
    }
    let place = Place {
        project: flusher.take("Project"),
        logstore: flusher.take("Logstore"),
        region: flusher.take("Region"),
        endpoint: flusher.take("Endpoint"),
    };
    output::place(draft, &place, around);
    output::telemetry(&flusher.take("TelemetryType"));
    output::shard_key(draft, &flusher.take("ShardHashKeys"));
    output::compression(draft, &flusher.take("CompressType"));
    output::max_rate(draft, &flusher.take("MaxSendRate"));
    flusher.take("Aliuid");
    flusher.no_effect(&[
        ("Batch", json!(null), "batches are made as the gateway's destination says"),
        ("FlowControlExpireTime", json!(0), "MaxSendRate does not expire"),
        ("MaxConcurrency", json!(0), "requests at once are the gateway's destination's"),
    ]);
    flusher.refuse(&[
        ("Match", json!(null), "chooses among flushers, and there is one"),
        ("EndpointMode", json!("default"), "chooses an endpoint, which is this gateway's own"),
    ]);
    flusher.finish();
}
