//! Groups, configs and deliveries across a restart, and what agents are given.

use serde_json::{Value, json};

use super::for_agents::{Destination, pipeline};
use super::*;
use crate::store::schema;

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

fn group(by: &str, members: &[&str], topic: &str) -> Object {
    object(
        json!({ "machineIdentifyType": by, "machineList": members, "groupAttribute": { "groupTopic": topic } }),
    )
}

fn classic(detail: Value) -> Object {
    let mut all = object(json!({ "logType": "json_log", "logPath": "/var/log/app", "filePattern": "*.log" }));
    all.extend(object(detail));
    object(json!({ "inputType": "file", "inputDetail": all, "outputDetail": { "logstoreName": "app-log" } }))
}

fn identity(ip: &str, ids: &[&str]) -> Identity {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    Identity { instance_id: "i".into(), ip: ip.into(), hostname: "node-1".into(), ids, ..Identity::default() }
}

fn names(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(Delivery::agents_name).collect()
}

async fn filled(dir: &std::path::Path) -> Store {
    let store = Store::open(dir).unwrap();
    for project in ["first", "second"] {
        store.create_project(project, "").await.unwrap();
    }
    for (place, body) in [
        (("first", "by-id"), group("userdefined", &["web", "db"], "t1")),
        (("first", "by-ip"), group("ip", &["10.0.0.1"], "t2")),
        (("second", "by-id"), group("userdefined", &["web"], "t3")),
    ] {
        store.put_machine_group(place, body, false).await.unwrap();
    }
    for place in [("first", "json"), ("first", "topic"), ("second", "json")] {
        let detail = if place.1 == "topic" { json!({ "topicFormat": "group_topic" }) } else { json!({}) };
        store.put_config(place, Language::Classic, classic(detail), false).await.unwrap();
    }
    for (group, config) in [
        (("first", "by-id"), "json"),
        (("first", "by-ip"), "json"),
        (("first", "by-ip"), "topic"),
        (("second", "by-id"), "json"),
    ] {
        store.apply_config(group, config, false).await.unwrap();
        store.apply_config(group, config, false).await.unwrap();
    }
    store
}

#[tokio::test]
async fn a_machine_gets_the_configs_of_all_its_groups_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let expected = ["first$json", "first$topic", "second$json"];
    let all = store.configs_for(&identity("10.0.0.1", &["web"]));
    assert_eq!(names(&all), expected);
    assert_eq!(all[1].group_topic, "t2");
    assert_eq!(names(&store.configs_for(&identity("10.0.0.1", &[]))), ["first$json", "first$topic"]);
    assert_eq!(names(&store.configs_for(&identity("10.0.0.9", &["db"]))), ["first$json"]);
    assert!(store.configs_for(&identity("10.0.0.9", &["by-id"])).is_empty());
    let versions: Vec<i64> = all.iter().map(|one| one.version).collect();
    drop(store);

    let store = Store::open(dir.path()).unwrap();
    let all = store.configs_for(&identity("10.0.0.1", &["web"]));
    assert_eq!(names(&all), expected);
    assert_eq!(all.iter().map(|one| one.version).collect::<Vec<_>>(), versions);
    // The topic is a part of what is delivered, where it is used.
    store.put_machine_group(("first", "by-ip"), group("ip", &["10.0.0.1"], "new"), true).await.unwrap();
    let again = store.configs_for(&identity("10.0.0.1", &["web"]));
    assert_eq!(again[0].version, versions[0]);
    assert!(again[1].version > versions[1]);
    assert_eq!(again[1].group_topic, "new");

    store.change_machines(("first", "by-ip"), vec!["10.0.0.2".into()], true).await.unwrap();
    store.change_machines(("first", "by-ip"), vec!["10.0.0.1".into()], false).await.unwrap();
    assert_eq!(names(&store.configs_for(&identity("10.0.0.1", &[]))), [""; 0]);
    assert_eq!(names(&store.configs_for(&identity("10.0.0.2", &[]))), ["first$json", "first$topic"]);
    // Made again it is another one.
    store.delete_config(("first", "json"), Language::Classic).await.unwrap();
    assert_eq!(names(&store.configs_for(&identity("10.0.0.2", &[]))), ["first$topic"]);
    store.put_config(("first", "json"), Language::Classic, classic(json!({})), false).await.unwrap();
    assert_eq!(names(&store.configs_for(&identity("10.0.0.2", &[]))), ["first$topic"]);
    store.apply_config(("first", "by-ip"), "json", false).await.unwrap();
    assert!(store.configs_for(&identity("10.0.0.2", &[]))[0].version > versions[0]);
    store.delete_machine_group(("first", "by-ip")).await.unwrap();
    store.delete_project("second").await.unwrap();
    assert_eq!(names(&store.configs_for(&identity("10.0.0.2", &["web"]))), [""; 0]);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(names(&store.configs_for(&identity("10.0.0.2", &["web"]))), [""; 0]);
    assert_eq!(store.catalog().project("first").unwrap().configs.len(), 2);
}

#[tokio::test]
async fn groups_and_configs_are_as_many_as_in_the_cloud() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_project("first", "").await.unwrap();
    for number in 0..200 {
        let name = format!("name-{number}");
        store.put_machine_group(("first", &name), group("ip", &[], ""), false).await.unwrap();
        store.put_config(("first", &name), Language::Classic, classic(json!({})), false).await.unwrap();
    }
    let one_more = store.put_machine_group(("first", "more"), group("ip", &[], ""), false).await;
    assert!(matches!(one_more, Err(StoreError::Refused(Refused::TooManyMachineGroups(200)))));
    let one_more = store.put_config(("first", "more"), Language::Classic, classic(json!({})), false).await;
    assert!(matches!(one_more, Err(StoreError::Refused(Refused::TooManyConfigs(200)))));
    store.put_config(("first", "name-0"), Language::Classic, classic(json!({})), true).await.unwrap();
    for (name, fits) in [("x", false), ("xy", false), ("x_y", true), ("-xy", false), ("xyZ", false)] {
        store.delete_machine_group(("first", "name-1")).await.ok();
        let made = store.put_machine_group(("first", name), group("ip", &[], ""), false).await;
        assert_eq!(made.is_ok(), fits, "{name}");
    }
}

#[tokio::test]
async fn a_catalog_of_the_layout_before_is_brought_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.ensure("first", "app-log").await.unwrap();
    drop(store);
    let file = dir.path().join(schema::CATALOG);
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch(
            "DROP TABLE machine_groups; DROP TABLE collection_configs; DROP TABLE applied_configs; \
             PRAGMA user_version = 2;",
        )
        .unwrap();
    drop(connection);
    let store = Store::open(dir.path()).unwrap();
    assert!(store.catalog().logstore("first", "app-log").is_ok());
    store.put_machine_group(("first", "mg-1"), group("ip", &["10.0.0.1"], ""), false).await.unwrap();
    drop(store);
    assert!(Store::open(dir.path()).unwrap().catalog().machine_group(("first", "mg-1")).is_ok());
}

fn delivered(language: Language, body: Value) -> Option<Value> {
    let delivery = Delivery {
        project: "first".into(),
        name: "c".into(),
        language,
        body: Arc::new(object(body)),
        version: 1,
        group_topic: "web".into(),
    };
    pipeline(&delivery, Destination { region: "here", endpoint: "here.local" }).map(Value::Object)
}

#[test]
fn agents_get_pipelines() {
    let body = classic(
        json!({ "logType": "common_reg_log", "logBeginRegex": "\\d+.*", "regex": "(\\S+) (.*)",
        "key": ["time", "msg"], "timeFormat": "%Y", "filterKey": ["msg"], "filterRegex": ["a.*"], "maxDepth": 0,
        "discardUnmatch": false, "topicFormat": "group_topic", "dockerFile": true, "dockerIncludeEnv": { "A": "" } }),
    );
    let expected = json!({
        "global": { "TopicType": "machine_group_topic", "TopicFormat": "web" },
        "inputs": [{ "Type": "input_file", "FilePaths": ["/var/log/app/*.log"], "MaxDirSearchDepth": 0,
            "FileEncoding": "utf8", "Multiline": { "StartPattern": "\\d+.*" }, "EnableContainerDiscovery": true,
            "ContainerFilters": { "IncludeEnv": { "A": "" } } }],
        "processors": [
            { "Type": "processor_parse_regex_native", "SourceKey": "content", "Regex": "(\\S+) (.*)",
                "Keys": ["time", "msg"], "KeepingSourceWhenParseFail": true, "KeepingSourceWhenParseSucceed": false,
                "RenamedSourceKey": "__raw_log__" },
            { "Type": "processor_parse_timestamp_native", "SourceKey": "time", "SourceFormat": "%Y" },
            { "Type": "processor_filter_regex_native", "FilterKey": ["msg"], "FilterRegex": ["a.*"],
                "DiscardingNonUTF8": false },
        ],
        "flushers": [{ "Type": "flusher_sls", "Project": "first", "Logstore": "app-log", "Region": "here",
            "Endpoint": "here.local" }],
    });
    assert_eq!(delivered(Language::Classic, Value::Object(body)), Some(expected));

    let simple = classic(json!({ "logType": "common_reg_log" }));
    let simple = delivered(Language::Classic, Value::Object(simple)).unwrap();
    assert_eq!(simple.get("processors"), None);
    assert_eq!(simple["inputs"][0]["FilePaths"], json!(["/var/log/app/**/*.log"]));

    let plugin = json!({ "inputType": "plugin", "outputDetail": { "logstoreName": "app-log" }, "inputDetail": { "plugin": {
        "inputs": [{ "type": "service_docker_stdout", "detail": { "Stdout": true } }] } } });
    let plugin = delivered(Language::Classic, plugin).unwrap();
    assert_eq!(plugin["inputs"], json!([{ "Type": "service_docker_stdout", "Stdout": true }]));
    let syslog = json!({ "inputType": "syslog", "inputDetail": { "tag": "x" }, "outputDetail": { "logstoreName": "a-b" } });
    assert_eq!(delivered(Language::Classic, syslog), None);

    let own = json!({ "configName": "c", "logSample": "{}", "global": { "TopicType": "machine_group_topic" },
        "inputs": [{ "Type": "input_file" }], "flushers": [{ "Type": "flusher_sls", "Project": "mine", "Logstore": "l-1" }] });
    let expected = json!({ "global": { "TopicType": "machine_group_topic", "TopicFormat": "web" },
        "inputs": [{ "Type": "input_file" }], "flushers": [{ "Type": "flusher_sls", "Project": "mine", "Logstore": "l-1",
            "Region": "here", "Endpoint": "here.local" }] });
    assert_eq!(delivered(Language::Pipeline, own), Some(expected));
}

#[test]
fn a_config_is_checked_as_the_service_does() {
    let parse = |language, body: Value| {
        CollectionConfig::parse(language, object(body)).map_err(|refused| refused.to_string())
    };
    let good =
        parse(Language::Classic, Value::Object(classic(json!({ "mine": 7, "maxDepth": null })))).unwrap();
    let described = good.described();
    assert_eq!(described["inputDetail"]["mine"], 7);
    assert_eq!(described["inputDetail"]["preserveDepth"], 1);
    assert_eq!(described["outputType"], "LogService");
    for (detail, reason) in [
        (json!({ "logType": "csv" }), "inputDetail.logType: \"csv\" is none of"),
        (json!({ "logType": null }), "inputDetail.logType: is missing"),
        (json!({ "logPath": "var/log" }), "inputDetail.logPath: has to be an absolute path"),
        (json!({ "filePattern": "" }), "inputDetail.filePattern: is missing"),
        (json!({ "maxDepth": 1001 }), "inputDetail.maxDepth: must be within [0, 1000]"),
        (json!({ "preserve": "yes" }), "inputDetail.preserve: has to be true or false"),
        (json!({ "fileEncoding": "utf16" }), "inputDetail.fileEncoding: \"utf16\" is none of utf8, gbk"),
        (
            json!({ "filterKey": ["a"], "filterRegex": [] }),
            "inputDetail.filterRegex: has 0 entries, filterKey 1",
        ),
        (
            json!({ "logType": "common_reg_log", "regex": "(a)b", "key": ["a", "b"] }),
            "inputDetail.key: has 2 names, the regex 1 groups",
        ),
        (json!({ "logType": "delimiter_log" }), "inputDetail.key: is missing"),
        (json!({ "sensitive_keys": [{}] }), "inputDetail.sensitive_keys.key: is missing"),
    ] {
        let refused = parse(Language::Classic, Value::Object(classic(detail.clone()))).unwrap_err();
        assert!(refused.starts_with(reason), "{detail}: {refused}");
    }
    for (body, reason) in [
        (json!({}), "outputDetail: is missing"),
        (json!({ "outputDetail": {} }), "outputDetail.logstoreName: is missing"),
        (json!({ "outputDetail": { "logstoreName": "a-b" } }), "inputDetail: is missing"),
        (
            json!({ "outputDetail": { "logstoreName": "a-b" }, "inputDetail": {}, "inputType": "tape" }),
            "inputType: \"tape\" is none of",
        ),
        (
            json!({ "outputDetail": { "logstoreName": "a-b" }, "inputDetail": { "plugin": {} }, "inputType": "plugin" }),
            "inputDetail.plugin.inputs: is missing",
        ),
        (json!({ "logSample": "x".repeat(1500) }), "logSample: has to be below 1500 bytes"),
        (json!({ "x": "x".repeat(200_000) }), "the config has 200008 bytes"),
    ] {
        let refused = parse(Language::Classic, body).unwrap_err();
        assert!(refused.starts_with(reason), "{refused}");
    }
    let input = json!({ "Type": "input_file" });
    let sls = json!({ "Type": "flusher_sls", "Logstore": "app-log" });
    let made = parse(Language::Pipeline, json!({ "inputs": [input], "flushers": [sls] })).unwrap();
    assert_eq!(made.logstore(), Some("app-log"));
    for (body, reason) in [
        (json!({ "inputs": [] }), "inputs: has 0 entries, not exactly one"),
        (json!({ "inputs": [input, input] }), "inputs: has 2 entries, not exactly one"),
        (json!({ "inputs": [{}] }), "inputs.Type: is missing"),
        (json!({ "inputs": [input], "flushers": [sls, sls] }), "flushers: has 2 entries, not at most one"),
        (
            json!({ "inputs": [input], "flushers": [{ "Type": "flusher_sls" }] }),
            "flushers.Logstore: is missing",
        ),
        (json!({ "inputs": [input], "processors": {} }), "processors: has to be a list of objects"),
    ] {
        assert_eq!(parse(Language::Pipeline, body).unwrap_err(), reason);
    }
}
