//! `AliyunLogConfig`: a Logtail config with the logstore and the machine groups it is for.

use serde_json::{Value, json};

use super::{Resource, logstore, mode, number, project};
use crate::config::collected::Form;
use crate::config::collected::reading::{Object, shown};

/// Days that a logstore keeps where nothing is said, and Log Service's bound of this kind.
const TTL: usize = 90;
const MOST_TTL: i64 = 7_300;
/// Shards of a new logstore.
const SHARDS: usize = 2;
const MOST_SHARDS: i64 = 10;

pub(super) fn read(spec: &mut Object<'_>, resource: &mut Resource) {
    resource.project = project(&spec.take("project"));
    let store = spec.take("logstore");
    let ttl = number(&spec.take("lifeCycle"), TTL, 1, MOST_TTL);
    let shards = number(&spec.take("shardCount"), SHARDS, 1, MOST_SHARDS);
    let mode = mode(&spec.take("logstoreMode"));
    let auto_split = spec.take("logstoreAutoSplit").boolean().unwrap_or(true);
    let most = spec.take("logstoreMaxSplitShard");
    let append_meta = spec.take("logstoreAppendMeta").boolean().unwrap_or(true);
    let hot_ttl = spec.take("logstoreHotTTL");
    let hot_ttl = hot_ttl.is_present().then(|| number(&hot_ttl, 0, 0, MOST_TTL)).filter(|days| *days > 0);
    resource.machine_groups =
        spec.take("machineGroups").texts().into_iter().map(|(_, group)| group.to_owned()).collect();
    spec.no_effect(&[
        ("productCode", Value::Null, "a new logstore gets an index over all text"),
        ("productLang", Value::Null, "a new logstore gets an index over all text"),
        ("logstoreTelemetryType", json!("None"), "lines of files become logs alone"),
        ("logstoreEnableTracking", json!(false), "web tracking is a matter of the logstore"),
        ("logstoreEncryptConf", Value::Null, "encryption is a matter of the logstore"),
        ("configTags", Value::Null, "configurations have no tags"),
    ]);
    let mut store_spec = logstore(&store);
    if let Some(spec) = &mut store_spec {
        (spec.ttl, spec.shards, spec.mode) = (ttl, shards, mode);
        (spec.auto_split, spec.append_meta, spec.hot_ttl) = (auto_split, append_meta, hot_ttl);
        spec.max_split_shards = number(&most, spec.max_split_shards, 1, 256);
    }
    let config = spec.take("logtailConfig");
    if !config.is_present() {
        config.fault("is missing; it says what is collected");
    }
    let Some(Value::Object(typed)) = config.value() else {
        config.object();
        return;
    };
    let mut config = config.object();
    let name = config.take("configName");
    match name.some_text() {
        Some(text) if text == resource.name => {}
        Some(text) => name.fault(format!(
            "{} is not the resource's own name; write {}",
            shown(text),
            shown(&resource.name)
        )),
        None => name.fault("is missing; write the resource's own name"),
    }
    let detail = config.take("inputDetail");
    if !detail.is_present() {
        detail.fault("is missing; it says what is collected");
    }
    let Some(store_spec) = store_spec else { return };
    let mut body = typed.clone();
    body.entry("inputType").or_insert_with(|| json!("file"));
    let mut output = json!({ "logstoreName": store_spec.name });
    if let (Some(project), Some(output)) = (&resource.project, output.as_object_mut()) {
        output.insert("projectName".to_owned(), json!(project));
    }
    body.insert("outputType".to_owned(), json!("LogService"));
    body.insert("outputDetail".to_owned(), output);
    resource.logstores.push(store_spec);
    resource.form = Form::Classic;
    resource.body = Value::Object(body);
}
