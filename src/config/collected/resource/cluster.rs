//! `ClusterAliyunPipelineConfig`: a pipeline config with its project, logstores and machine groups.

use serde_json::{Map, Value, json};

use super::{LogstoreSpec, Resource, logstore, mode, number, project};
use crate::config::collected::Form;
use crate::config::collected::reading::{Item, Object, shown};

/// Days that a logstore keeps where nothing is said.
const TTL: usize = 30;
const MOST_TTL: i64 = 3_650;
const MOST_SHARDS: i64 = 100;
const MOST_SPLIT: i64 = 256;
/// Bytes of a sample.
const SAMPLE: usize = 1_500;
const FLUSHERS: usize = 5;

pub(super) fn read(spec: &mut Object<'_>, name: &Item<'_>, resource: &mut Resource) {
    if !is_name(&resource.name) {
        name.fault(format!(
            "{} is no name of such a resource; write 2 to 128 of a-z, 0-9, - and _",
            shown(&resource.name)
        ));
    }
    let item = spec.take("project");
    let mut owner = item.object();
    let project_name = owner.take("name");
    resource.project = project(&project_name);
    if resource.project.is_none() && (!project_name.is_present() || project_name.text().is_some()) {
        project_name.fault("is missing; write the Log Service project");
    }
    owner.take("description");
    let endpoint = owner.take("endpoint");
    owner.refuse(&[(
        "uid",
        Value::Null,
        "is another account's, and records are sent with this gateway's own key",
    )]);
    owner.finish();
    for group in spec.take("machineGroups").list() {
        let mut group = group.object();
        let name = group.take("name");
        match name.some_text() {
            Some(name) => resource.machine_groups.push(name.to_owned()),
            None => name.fault("is missing; it names the machine group"),
        }
        group.finish();
    }
    let stores = spec.take("logstores");
    resource.logstores = stores.list().iter().filter_map(store).collect();
    spec.no_effect(&[(
        "enableUpgradeOverride",
        json!(false),
        "a configuration of the same name is not taken over",
    )]);
    let config = spec.take("config");
    if !config.is_present() {
        config.fault("is missing; it says what is collected");
    }
    let Some(Value::Object(typed)) = config.value() else {
        config.object();
        return;
    };
    let mut config = config.object();
    let sample = config.take("sample");
    if sample.text().is_some_and(|sample| sample.len() > SAMPLE) {
        sample.fault(format!("is longer than {SAMPLE} bytes"));
    }
    let (inputs, flushers) = (config.take("inputs"), config.take("flushers"));
    if inputs.list().len() != 1 {
        inputs.fault(format!("has {} inputs where one belongs", inputs.list().len()));
    }
    if flushers.list().len() > FLUSHERS {
        flushers.fault(format!("has more than {FLUSHERS} flushers"));
    }
    let named = |store: &LogstoreSpec| {
        flushers.list().iter().any(|one| one.object().take("Logstore").text() == Some(&store.name))
    };
    let unused = resource.logstores.iter().filter(|store| !named(store));
    for store in unused {
        stores.note(format!(
            "{} is made by nobody here: the configuration sends nothing there",
            shown(&store.name)
        ));
    }
    resource.form = Form::Pipeline;
    resource.body = Value::Object(body(typed.clone(), resource, endpoint.some_text()));
}

/// As the API has it: under its own name, with a flusher that names its project.
fn body(mut body: Map<String, Value>, resource: &Resource, endpoint: Option<&str>) -> Map<String, Value> {
    body.insert("configName".to_owned(), json!(resource.name));
    if let Some(sample) = body.remove("sample") {
        body.insert("logSample".to_owned(), sample);
    }
    for flusher in body.get_mut("flushers").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(flusher) = flusher.as_object_mut() else { continue };
        for (key, value) in [("Project", resource.project.as_deref()), ("Endpoint", endpoint)] {
            if let Some(value) = value {
                flusher.entry(key).or_insert_with(|| json!(value));
            }
        }
    }
    body
}

fn store(item: &Item<'_>) -> Option<LogstoreSpec> {
    let mut keys = item.object();
    let spec = logstore(&keys.take("name"));
    let hot_ttl = keys.take("hotTtl");
    let index = index(&keys.take("index"));
    let made = spec.map(|spec| LogstoreSpec {
        ttl: number(&keys.take("ttl"), TTL, 1, MOST_TTL),
        shards: number(&keys.take("shardCount"), spec.shards, 1, MOST_SHARDS),
        auto_split: keys.take("autoSplit").boolean().unwrap_or(true),
        max_split_shards: number(&keys.take("maxSplitShard"), spec.max_split_shards, 1, MOST_SPLIT),
        mode: mode(&keys.take("queryMode")),
        append_meta: keys.take("appendMeta").boolean().unwrap_or(true),
        hot_ttl: hot_ttl.is_present().then(|| number(&hot_ttl, 0, 0, MOST_TTL)).filter(|days| *days > 0),
        index,
        ..spec
    });
    keys.no_effect(&[
        ("infrequentAccessTTL", Value::Null, "tiers of storage are a matter of the logstore"),
        ("telemetryType", json!("None"), "lines of files become logs alone"),
        ("enableTracking", json!(false), "web tracking is a matter of the logstore"),
        ("encryptConf", Value::Null, "encryption is a matter of the logstore"),
        ("meteringMode", Value::Null, "how it is paid is a matter of the logstore"),
    ]);
    keys.finish();
    made
}

/// An index as CreateIndex takes it; what else is in it is the service's to judge.
fn index(item: &Item<'_>) -> Option<Value> {
    let value = item.value()?;
    let has = |key: &str| value.get(key).is_some_and(Value::is_object);
    if !has("line") && !has("keys") {
        item.fault("is no index; write an object with line or keys, as CreateIndex of Log Service takes it");
        return None;
    }
    Some(value.clone())
}

fn is_name(name: &str) -> bool {
    (2..=128).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}
