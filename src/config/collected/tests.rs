use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::load::from_text;
use crate::config::plan::{
    Charset, Compression, FileFormat, FilePlan, FileStart, InputKind, ParseFormat, ShardKeyPart, Step,
};

mod refusals;
mod samples;

use samples::{everything, recorded};

/// A gateway that delivers to one region.
pub(crate) fn main_plan() -> Plan {
    let text = "destinations: { sls: { region: cn-hangzhou, project: main-project, logstore: main, access_key_id: i, \
                access_key_secret: hunter2, tags: { cluster: east } } }";
    from_text(text, &[("HOME", "/nonexistent/home")]).unwrap_or_else(|errors| panic!("{errors}"))
}

pub(crate) fn translated(form: Form, body: &Value) -> Result<Collected, Vec<String>> {
    let main = main_plan();
    let around = Surroundings {
        id: "demo-project.cfg",
        project: "demo-project",
        group_topic: Some("web"),
        destination: &main.destinations[0],
        main: &main,
    };
    translate(form, body, &around)
}

/// The input of a configuration that is honoured.
pub(crate) fn file_of(form: Form, body: &Value) -> FilePlan {
    let collected = translated(form, body).unwrap_or_else(|reasons| panic!("{reasons:#?}"));
    match collected.plan.inputs.into_iter().next().unwrap().kind {
        InputKind::File(file) => *file,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn classic(detail: Value) -> Value {
    json!({
        "configName": "cfg", "inputType": "file", "inputDetail": detail,
        "outputType": "LogService", "outputDetail": { "logstoreName": "app-log" }
    })
}

pub(crate) fn with(mut object: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(more);
    object
}

/// An input detail that is honoured, and more keys.
pub(crate) fn simple(more: Value) -> Value {
    let detail = json!({
        "logPath": "/var/log", "filePattern": "messages", "logType": "common_reg_log", "regex": "(.*)", "key": ["content"]
    });
    classic(with(detail, more))
}

pub(crate) fn pipeline(input: Value, processors: Value) -> Value {
    json!({
        "configName": "cfg",
        "inputs": [with(json!({ "Type": "input_file", "FilePaths": ["/var/log/app/*.log"] }), input)],
        "processors": processors,
        "flushers": [{ "Type": "flusher_sls", "Logstore": "app-log" }]
    })
}

#[test]
fn what_was_recorded_is_honoured_without_a_word() {
    for (form, body) in recorded() {
        let Collected { plan, notes } =
            translated(form, &body).unwrap_or_else(|reasons| panic!("{reasons:#?}\n{body}"));
        let is_stdout = body["inputType"] == "plugin";
        assert_eq!(notes.len(), usize::from(is_stdout), "{notes:#?}");
        let [input] = plan.inputs.as_slice() else { panic!() };
        let [destination] = plan.destinations.as_slice() else { panic!() };
        assert_eq!(
            (input.name.as_str(), destination.name.as_str()),
            ("demo-project.cfg", "demo-project.cfg")
        );
        assert_eq!(
            (destination.project.as_str(), destination.logstore.as_str()),
            ("demo-project", "app-log")
        );
        assert_eq!(destination.signal_logstores.metrics, "app-log-metrics");
        assert_eq!(destination.tags, [("cluster".to_owned(), "east".to_owned())]);
        let topic = if form == Form::Pipeline { "web" } else { "" };
        assert_eq!(destination.topic.as_constant(), Some(topic));
        assert_eq!((plan.routes.len(), plan.log_service, plan.secret_files.len()), (1, None, 0));
    }
}

#[test]
fn files_are_those_of_the_directory_and_below() {
    let paths = |more: Value| {
        let file = file_of(Form::Classic, &simple(more));
        let texts = |list: &[crate::config::path_pattern::PathPattern]| {
            list.iter().map(|path| path.text().to_owned()).collect::<Vec<_>>().join(" ")
        };
        (texts(&file.paths), texts(&file.exclude), file.max_depth)
    };
    let is = |paths: &str, exclude: &str, depth: usize| (paths.to_owned(), exclude.to_owned(), depth);
    assert_eq!(paths(json!({})), is("/var/log/**/messages", "", 100));
    assert_eq!(paths(json!({ "maxDepth": 0 })), is("/var/log/messages", "", 0));
    assert_eq!(paths(json!({ "maxDepth": 3, "logPath": "/srv/*/" })), is("/srv/*/**/messages", "", 3));
    assert_eq!(
        paths(json!({ "filePattern": "**{a}*", "maxDepth": 0 })),
        is("/var/log/*\\{a\\}*", "/**/*{gz,bz,tar}", 0)
    );
    let blacklist = json!({ "dir_blacklist": ["/var/log/old"], "filename_blacklist": ["*.tmp"],
        "filepath_blacklist": ["/var/log/**/x.log"] });
    assert_eq!(
        paths(json!({ "advanced": { "blacklist": blacklist } })).1,
        "/var/log/old/** /**/*.tmp /var/log/**/x.log"
    );
    let file =
        file_of(Form::Classic, &simple(json!({ "advanced": { "tail_size_kb": 5 }, "fileEncoding": "gbk" })));
    assert_eq!((file.start, file.charset), (FileStart::Tail(5 * 1024), Charset::Gbk));
    let file = file_of(
        Form::Pipeline,
        &pipeline(
            json!({ "TailSizeKB": 0, "FilePaths": ["/a/**/b.log"],
        "MaxDirSearchDepth": 2, "ExcludeFiles": ["c.log"] }),
            json!([]),
        ),
    );
    assert_eq!((file.start, file.max_depth, file.paths[0].text()), (FileStart::End, 2, "/a/**/b.log"));
}

#[test]
fn what_a_configuration_says_of_sending_overrides_the_gateways() {
    let detail = json!({ "maxSendRate": 2048, "shardHashKey": ["__source__"] });
    let body = with(
        simple(detail),
        json!({ "outputDetail": { "logstoreName": "app-log", "projectName": "other-project",
        "compressType": "zstd", "endpoint": "cn-hangzhou-intranet.log.aliyuncs.com", "region": "cn-hangzhou" } }),
    );
    let destination = translated(Form::Classic, &body).unwrap().plan.destinations.remove(0);
    assert_eq!(destination.project, "other-project");
    assert_eq!((destination.max_rate, destination.compression), (Some(2048), Compression::Zstd));
    assert_eq!(destination.shard_key, [ShardKeyPart::Source]);
}

#[test]
fn topics() {
    let topic = |form: Form, body: &Value| {
        let plan = translated(form, body).unwrap_or_else(|reasons| panic!("{reasons:?}")).plan;
        let InputKind::File(file) = &plan.inputs[0].kind else { panic!() };
        let path = file.path_topic.as_ref().map(|regex| regex.as_str().to_owned());
        (plan.destinations[0].topic.text(), path.unwrap_or_default())
    };
    let is = |topic: &str, path: &str| (topic.to_owned(), path.to_owned());
    for (format, expected) in [
        ("none", is("", "")),
        ("default", is("", "")),
        ("", is("", "")),
        ("group_topic", is("web", "")),
        ("customized://a ${tag} ${env:HOME}", is("a $${tag} $${env:HOME}", "")),
        (r"/var/log/(.*)/.*", is("${tag}", r"/var/log/(.*)/.*")),
    ] {
        assert_eq!(topic(Form::Classic, &simple(json!({ "topicFormat": format }))), expected, "{format}");
    }
    for (kind, format, expected) in [
        ("custom", "customized://x", is("x", "")),
        ("filepath", "/a/(.*)", is("${tag}", "/a/(.*)")),
        ("machine_group_topic", "filled in before", is("web", "")),
    ] {
        let body = with(
            pipeline(json!({}), json!([])),
            json!({ "global": { "TopicType": kind, "TopicFormat": format } }),
        );
        assert_eq!(topic(Form::Pipeline, &body), expected, "{kind}");
    }
}

#[test]
fn containers_are_chosen_by_what_their_links_tell() {
    let body = json!({
        "inputs": [{ "Type": "input_container_stdio", "IgnoringStderr": true, "ContainerFilters": {
            "K8sNamespaceRegex": "^(default|web)$", "IncludeContainerLabel": { "io.kubernetes.container.name": "nginx" },
            "ExcludeContainerLabel": { "io.kubernetes.pod.name": "^test-.*$" }, "IncludeK8sLabel": { "app": "shop" } } }],
        "flushers": [{ "Type": "flusher_sls", "Logstore": "app-log" }]
    });
    let file = file_of(Form::Pipeline, &body);
    assert_eq!((file.format, file.paths[0].text()), (FileFormat::Container, "/var/log/containers/*.log"));
    let plan = file.kubernetes.unwrap();
    assert_eq!(plan.labels, [("app".to_owned(), "shop".to_owned())]);
    let texts = |list: &[crate::config::linear_regex::LinearRegex]| {
        list.iter().map(|regex| regex.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&plan.namespaces.include), ["^.*(?:^(default|web)$).*$"]);
    assert_eq!(texts(&plan.containers.include), ["nginx"]);
    assert_eq!(texts(&plan.pods.exclude), ["(?s-u)^(?:^test-.*$)$"]);
    assert_eq!(file.processors.len(), 2);
}

/// Replaces each text of a document in turn.
fn each_text(value: &Value, foreign: &str) -> Vec<Value> {
    match value {
        Value::String(_) => vec![json!(foreign)],
        Value::Array(items) => (0..items.len())
            .flat_map(|at| {
                each_text(&items[at], foreign).into_iter().map(move |item| {
                    let mut items = items.clone();
                    items[at] = item;
                    Value::Array(items)
                })
            })
            .collect(),
        Value::Object(members) => members
            .keys()
            .flat_map(|key| {
                let renamed = {
                    let mut members = members.clone();
                    let value = members.remove(key).unwrap();
                    members.insert(foreign.to_owned(), value);
                    Value::Object(members)
                };
                let changed = each_text(&members[key], foreign).into_iter().map(move |item| {
                    let mut members = members.clone();
                    members.insert(key.clone(), item);
                    Value::Object(members)
                });
                changed.chain([renamed]).collect::<Vec<_>>()
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn foreign_text_is_never_filled_in() {
    let mut taken = 0;
    for (form, body) in everything() {
        translated(form, &body).unwrap_or_else(|reasons| panic!("{reasons:#?}"));
        for foreign in ["/${env:HOME}", "${file:/etc/passwd}", "${record.content}$${"] {
            for body in each_text(&body, foreign) {
                let found = translated(form, &body);
                let shown = format!("{found:?}");
                assert!(!shown.contains("/nonexistent/home") && !shown.contains("root:"), "{body}\n{shown}");
                if let Ok(collected) = found {
                    taken += 1;
                    assert!(collected.plan.secret_files.is_empty(), "{body}");
                    // The topic is a template, and theirs is none.
                    let topic = &collected.plan.destinations[0].topic;
                    assert!(!topic.needs_record(), "{topic:?}");
                }
            }
        }
    }
    assert!(taken > 100, "{taken}");
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-z(.*)\\\\/${}|,\u{1}é%HMS-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-zA-Z]{1,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Puts a value at some place of a document.
fn put(target: &mut Value, mut at: usize, value: &Value) {
    match target {
        Value::Object(members) if !members.is_empty() => {
            let len = members.len();
            let Some((_, inner)) = members.iter_mut().nth(at % len) else { return };
            at /= len;
            if at == 0 { *inner = value.clone() } else { put(inner, at, value) }
        }
        Value::Array(items) if !items.is_empty() => {
            let len = items.len();
            let inner = &mut items[at % len];
            at /= len;
            if at == 0 { *inner = value.clone() } else { put(inner, at, value) }
        }
        other => *other = value.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_stands_anywhere_is_honoured_or_refused(
        which in any::<usize>(),
        changes in proptest::collection::vec((any::<usize>(), json_value()), 1..4),
    ) {
        let all = everything();
        let (form, mut body) = all[which % all.len()].clone();
        for (at, value) in changes {
            put(&mut body, at % 100_000, &value);
        }
        if let Err(reasons) = translated(form, &body) {
            prop_assert!(!reasons.is_empty() && reasons.iter().all(|reason| !reason.is_empty()));
            // What was laid out is ours; what is said is theirs.
            prop_assert!(!reasons.iter().any(|reason| reason.contains("inputs.collected")), "{reasons:?}");
        }
    }

    #[test]
    fn any_document_is_honoured_or_refused(body in json_value(), classic in any::<bool>()) {
        let form = if classic { Form::Classic } else { Form::Pipeline };
        prop_assert!(translated(form, &body).is_err());
    }
}

#[test]
fn a_parsers_source_is_kept_renamed_or_dropped() {
    let steps = |more: Value| {
        let step = with(json!({ "Type": "processor_parse_json_native", "SourceKey": "content" }), more);
        let steps = file_of(Form::Pipeline, &pipeline(json!({}), json!([step]))).processors;
        let kinds: Vec<&str> = steps
            .iter()
            .map(|step| match step {
                Step::Parse(plan) => {
                    assert_eq!(plan.format, ParseFormat::Json { depth: 1 });
                    "parse"
                }
                Step::Rename(_) => "rename",
                Step::Remove(_) => "remove",
                _ => "other",
            })
            .collect();
        kinds.join(" ")
    };
    assert_eq!(steps(json!({})), "parse");
    assert_eq!(steps(json!({ "RenamedSourceKey": "raw" })), "parse");
    assert_eq!(
        steps(json!({ "KeepingSourceWhenParseFail": true, "RenamedSourceKey": "raw" })),
        "rename parse rename"
    );
}

#[test]
fn a_records_first_line_is_matched_as_a_whole() {
    let is = |text: &str| Some(text.to_owned());
    let start = |text: &str| {
        let file = file_of(Form::Classic, &simple(json!({ "logBeginRegex": text })));
        file.multiline.and_then(|plan| plan.start).map(|regex| regex.as_str().to_owned())
    };
    assert_eq!((start(".*"), start("(.*)"), start("")), (None, None, None));
    let end = |text: &str| {
        let lines = json!({ "Multiline": { "StartPattern": "S", "EndPattern": text } });
        let plan = file_of(Form::Pipeline, &pipeline(lines, json!([]))).multiline.unwrap();
        plan.end.map(|regex| regex.as_str().to_owned())
    };
    // LoongCollector takes the `$` away.
    assert_eq!((end("E$"), end(r"E\\$"), end(r"E\$")), (is("E"), is(r"E\\"), is(r"E\$")));
    assert_eq!(start(r"\d+-\d+ .*"), is(r"(?s-u:\d+-\d+ )"));
    assert_eq!(start(r"\d+"), is(r"(?s-u)^(?:\d+)$"));
    assert_eq!(start(r"a|b.*"), is(r"(?s-u)^(?:a|b.*)$"));
    assert_eq!(start(r"a\.*"), is(r"(?s-u)^(?:a\.*)$"));
    assert_eq!(start(r"a\\.*"), is(r"(?s-u:a\\)"));
    assert_eq!(start(r"[é].*"), is(r"(?s)^(?:[é].*)$"));
}
