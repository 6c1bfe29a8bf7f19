use serde_json::json;

use super::*;
use crate::config::collected::tests::translated;
use crate::config::plan::AutoCreate;

const BOTH: &str = r#"# two in one file
apiVersion: log.alibabacloud.com/v1alpha1
kind: AliyunLogConfig
metadata:
  name: nginx-log
  namespace: kube-system
spec:
  project: k8s-log-c1
  logstore: nginx
  lifeCycle: 30
  shardCount: 4
  machineGroups: [nginx-log-sidecar]
  logtailConfig:
    inputType: file
    configName: nginx-log
    inputDetail:
      logType: common_reg_log
      logPath: /var/log/nginx
      filePattern: "access.log"
      dockerFile: false
      regex: '(\S+) (.*)'
      key: [remote_addr, rest]
status:
  status: OK
---
apiVersion: telemetry.alibabacloud.com/v1alpha1
kind: ClusterAliyunPipelineConfig
metadata:
  name: app-log
spec:
  project: { name: k8s-log-c1 }
  machineGroups:
    - name: web
    - name: api
  logstores:
    - { name: app, ttl: 7, shardCount: 3, queryMode: query, hotTtl: 7 }
  config:
    sample: |
      one line
    inputs:
      - Type: input_file
        FilePaths: [/data/**/app.log]
        MaxDirSearchDepth: 3
    flushers:
      - { Type: flusher_sls, Logstore: app }
---
"#;

#[test]
fn both_kinds_of_one_file_are_read_and_honoured() {
    let found = read_yaml(BOTH).unwrap();
    let found: Vec<Resource> = found.into_iter().map(Result::unwrap).collect();
    let [old, new] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (old.kind, old.namespace.as_deref(), old.name.as_str()),
        (ResourceKind::AliyunLogConfig, Some("kube-system"), "nginx-log")
    );
    assert_eq!(
        (old.project.as_deref(), old.machine_groups.join(" ")),
        (Some("k8s-log-c1"), "nginx-log-sidecar".to_owned())
    );
    assert_eq!(old.logstores, [LogstoreSpec { ttl: 30, shards: 4, ..LogstoreSpec::named("nginx") }]);
    assert_eq!(
        (new.kind, new.namespace.as_deref(), new.name.as_str()),
        (ResourceKind::ClusterAliyunPipelineConfig, None, "app-log")
    );
    assert_eq!(
        (new.project.as_deref(), new.machine_groups.join(" ")),
        (Some("k8s-log-c1"), "web api".to_owned())
    );
    let spec = LogstoreSpec {
        ttl: 7,
        shards: 3,
        mode: LogstoreMode::Query,
        hot_ttl: Some(7),
        ..LogstoreSpec::named("app")
    };
    assert_eq!(new.logstores, [spec]);
    let general = AutoCreate { index: false, ..AutoCreate::default() };
    let made = new.logstores[0].made(&general);
    let has = (made.shards, made.ttl, made.mode, made.hot_ttl, made.append_meta, made.index);
    assert_eq!(has, (3, 7, LogstoreMode::Query, Some(7), true, false));
    let own = json!({ "line": { "token": [","] } });
    let long = LogstoreSpec { ttl: 7_300, index: Some(own.clone()), ..LogstoreSpec::named("app") };
    let made = long.made(&general);
    assert_eq!((made.ttl, made.index, made.own_index), (3_650, true, Some(own)));
    for resource in [old, new] {
        assert!(resource.notes.is_empty(), "{:?}", resource.notes);
        let collected =
            translated(resource.form, &resource.body).unwrap_or_else(|reasons| panic!("{reasons:?}"));
        assert_eq!(collected.notes, [""; 0]);
        assert_eq!(collected.plan.destinations[0].project, "k8s-log-c1");
    }
    assert_eq!(new.body["logSample"], "one line\n");
}

fn document(kind: &str, name: &str, spec: Value) -> Value {
    let version =
        ResourceKind::ALL.into_iter().find(|known| known.name() == kind).map(ResourceKind::api_version);
    json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name }, "spec": spec })
}

#[test]
fn each_fault_has_its_key() {
    let reasons = |value: &Value| {
        read(value).map(|found| panic!("{found:?}")).map_err(|error| error.reasons).unwrap_err()
    };
    let config = |more: Value| {
        let mut spec = json!({ "logstore": "nginx", "logtailConfig": { "configName": "n", "inputDetail": { "logPath": "/a" } } });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document("AliyunLogConfig", "n", spec)
    };
    assert!(read(&config(json!({}))).is_ok());
    for (more, expected) in [
        (json!({ "logstore": null }), "spec.logstore: is missing"),
        (json!({ "logstore": "No" }), "spec.logstore: `No` is no logstore name"),
        (json!({ "project": "a_b" }), "spec.project: `a_b` is no project name"),
        (json!({ "shardCount": 11 }), "spec.shardCount: is 11; it must lie between 1 and 10"),
        (json!({ "lifeCycle": 0 }), "spec.lifeCycle: is 0; it must lie between 1 and 7300"),
        (json!({ "machineGroups": "web" }), "spec.machineGroups: is text and must be a list"),
        (json!({ "logtailConfig": null }), "spec.logtailConfig: is missing"),
        (
            json!({ "logtailConfig": { "configName": "m", "inputDetail": {} } }),
            "spec.logtailConfig.configName: `m` is not the resource's own name; write `n`",
        ),
        (json!({ "logtailConfig": { "configName": "n" } }), "spec.logtailConfig.inputDetail: is missing"),
    ] {
        let found = reasons(&config(more));
        assert!(found.iter().any(|reason| reason.starts_with(expected)), "{expected}\n{found:?}");
    }
    let cluster = |name: &str, more: Value| {
        let mut spec =
            json!({ "project": { "name": "ppp" }, "config": { "inputs": [{}], "flushers": [{}] } });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        document("ClusterAliyunPipelineConfig", name, spec)
    };
    assert!(read(&cluster("nn", json!({}))).is_ok());
    for (name, more, expected) in [
        ("N", json!({}), "metadata.name: `N` is no name of such a resource"),
        ("nn", json!({ "project": {} }), "spec.project.name: is missing"),
        ("nn", json!({ "project": { "name": "ppp", "uid": "1" } }), "spec.project.uid: is another account's"),
        (
            "nn",
            json!({ "config": { "inputs": [{}, {}] } }),
            "spec.config.inputs: has 2 inputs where one belongs",
        ),
        (
            "nn",
            json!({ "config": { "inputs": [{}], "sample": "x".repeat(1501) } }),
            "spec.config.sample: is longer than 1500 bytes",
        ),
        (
            "nn",
            json!({ "logstores": [{ "name": "abc", "shardCount": 101 }] }),
            "spec.logstores[0].shardCount: is 101",
        ),
        (
            "nn",
            json!({ "logstores": [{ "name": "abc", "index": { "lines": {} } }] }),
            "spec.logstores[0].index: is no index",
        ),
        ("nn", json!({ "logstores": [{}] }), "spec.logstores[0].name: is missing"),
        ("nn", json!({ "machineGroups": [{}] }), "spec.machineGroups[0].name: is missing"),
    ] {
        let found = reasons(&cluster(name, more));
        assert!(found.iter().any(|reason| reason.starts_with(expected)), "{expected}\n{found:?}");
    }
    assert_eq!(
        reasons(&json!({ "kind": "Pod", "metadata": { "name": "p" }, "spec": {} })),
        ["kind: `Pod` is none of AliyunLogConfig, ClusterAliyunPipelineConfig"]
    );
    let error = read(&json!({ "apiVersion": "v1", "kind": "AliyunLogConfig", "metadata": { "name": "p" } }))
        .unwrap_err();
    assert_eq!(error.name.as_deref(), Some("p"));
    assert_eq!(error.reasons[0], "apiVersion: must be log.alibabacloud.com/v1alpha1");
    assert!(read(&json!(5)).is_err() && read(&json!(null)).is_err());
}

#[test]
fn yaml_is_plain_data_within_bounds() {
    let of = |text: &str| yaml::documents(text);
    assert_eq!(
        of("a: 1\nb: [x, 'y', \"0\"]\nc: {d: 0123, e: 1.5, f: null, g: ~, h: true, i: -3}\n").unwrap(),
        [json!({
            "a": 1, "b": ["x", "y", "0"], "c": { "d": "0123", "e": 1.5, "f": null, "g": null, "h": true, "i": -3 }
        })]
    );
    assert_eq!(of("--- \na: 1\n---\nb: 2\n...\n").unwrap().len(), 2);
    assert_eq!(of("").unwrap(), [Value::Null; 0]);
    let laughs = (1..30)
        .fold("a0: &a0 [x]\n".to_owned(), |text, n| format!("{text}a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
    for (text, expected) in [
        (laughs.as_str(), "line 1: * and & begin something"),
        ("a: *b", "line 1: * and & begin something"),
        ("a: 1\na: 2", "line 2: the key a stands twice"),
        ("[a]: 1", "line 1: a key is no text"),
        ("a: [", "line 1: a [ or { is never closed"),
    ] {
        let error = of(text).unwrap_err();
        assert!(error.starts_with(expected), "{expected}: {error}");
    }
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(50_000)] {
        assert!(of(&deep).is_err());
    }
    assert!(of(&"x".repeat(BYTES_BEYOND)).is_err());
}

const BYTES_BEYOND: usize = (4 << 20) + 1;

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(kind: |apiVersion: |[a-z:\\- \\n\\[\\]{},'\"&*!|>#?]){0,60}") {
        for resource in read_yaml(&text).unwrap_or_default() {
            let refused = resource.expect_err("no such text is a whole resource");
            proptest::prop_assert!(!refused.reasons.is_empty());
        }
    }
}
