//! The configuration as a whole: its defaults, its files, its faults, its variables.

mod cloud;
mod collection;
mod faults;
mod file;
mod forward;
mod locks;
mod logtail;
mod native;
mod processors;
mod sending;
mod signals;
mod variables;

use std::path::Path;

use config::{Value, ValueKind};
use proptest::prelude::*;

use super::errors::Faults;
use super::load::from_text;
use super::plan::*;
use super::{ConfigErrors, Flags, load};

const HOME: (&str, &str) = ("HOME", "/home/u");
const KEYS: [(&str, &str); 7] = [
    HOME,
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"),
    ("ALIBABA_CLOUD_SECURITY_TOKEN", "token-1"),
    ("SECRET", "hunter2"),
    ("FORWARD_SHARED_KEY", "hunter2-key"),
    ("FORWARD_PASSWORD", "hunter2-password"),
    ("SPLUNK_TOKEN", "hunter2-token"),
];

fn lines(result: Result<Plan, ConfigErrors>) -> Vec<String> {
    result.unwrap_err().to_string().lines().map(str::to_owned).collect()
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)).unwrap()
}

#[test]
fn nothing_configured_is_the_embedded_default() {
    let env = [("HOME", "/home/u"), ("SLUICEGATE_SERVICE_HOST", "10.0.0.1"), ("SLUICEGATE_DATA_DIR", "/d")];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let plan = load(None, env, &Flags::default()).unwrap();
    assert_eq!(plan.data_dir, Path::new("/d"));
    let [InputPlan { name, kind: InputKind::Forward(forward) }] = plan.inputs.as_slice() else { panic!() };
    assert_eq!((name.as_str(), forward.listen[0].to_string().as_str()), ("forward", "127.0.0.1:24224"));
    assert_eq!(
        (forward.max_message, forward.connections.window, forward.join.max_line),
        (64 << 20, 8 << 20, 1 << 20)
    );
    let [local] = plan.destinations.as_slice() else { panic!() };
    assert!(matches!(local.target, Target::Embedded));
    assert_eq!(
        (local.name.as_str(), local.project.as_str(), local.logstore.as_str()),
        (LOCAL, "sluicegate", "default")
    );
    assert_eq!(plan.default_destination, 0);
    assert_eq!(plan.buffer_of(local).unwrap().max_bytes, 1 << 30);
    assert_eq!(plan.log_service.as_ref().unwrap().listen.to_string(), "127.0.0.1:24280");
    assert_eq!(plan.operations.listen.to_string(), "127.0.0.1:24290");
}

#[test]
fn the_shipped_files_load() {
    let default = from_text("", &[HOME]).unwrap();
    let full = from_text(&shipped("sluicegate.yaml"), &[HOME]).unwrap();
    assert_eq!(full.effective(), default.effective(), "sluicegate.yaml says what is so without it");
    let docker = from_text(&shipped("docker.yaml"), &[HOME]).unwrap();
    let names = |plan: &Plan| plan.inputs.iter().map(|input| input.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&docker), ["forward", "gelf", "splunk", "syslog"], "what needs no root");
    let [(_, named)] = docker.routes[0].conditions.as_slice() else { panic!() };
    assert!(named.holds(Some(b"/web")) && !named.holds(None) && !named.holds(Some(b"")));
    let docker = from_text(&switched_on("docker.yaml"), &KEYS).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(names(&docker), ["docker", "docker_plugin", "forward", "gelf", "splunk", "syslog"]);
    assert_eq!(docker.routes[0].processors.len(), 1);
}

#[test]
fn the_files_of_pods_load() {
    let keys = [HOME, ("ACCESS_KEY_ID", "i"), ("ACCESS_KEY_SECRET", "s"), ("NODE_NAME", "n")];
    for text in [shipped("daemonset.yaml"), switched_on("daemonset.yaml")] {
        let plan = from_text(&text, &keys).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!((plan.inputs.len(), plan.destinations.len()), (1, 1));
        assert!(plan.log_service.is_none());
    }
    let sidecar =
        from_text(&shipped("sidecar.yaml"), &logtail::SIDECAR).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((sidecar.inputs.len(), sidecar.destinations.len()), (1, 1));
}

/// `sluicegate.yaml` with every example switched on.
fn everything_on() -> String {
    switched_on("sluicegate.yaml").replace("file:/run/secrets/access-key-secret", "env:SECRET")
}

fn switched_on(name: &str) -> String {
    let on = |line: &str| {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        match rest.strip_prefix('#') {
            Some(example)
                if example.starts_with(|first: char| first.is_ascii_lowercase() || first == '-') =>
            {
                format!("{indent}{example}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    shipped(name).lines().map(on).collect()
}

const EMBEDDED_ON: (&str, &str) = ("SLUICEGATE__LOG_SERVICE__ENABLED", "true");

fn full_plan() -> Plan {
    let mut env = KEYS.to_vec();
    env.push(EMBEDDED_ON);
    from_text(&everything_on(), &env).unwrap()
}

#[test]
fn every_example_of_the_full_file_loads() {
    let plan = full_plan();
    assert_eq!(plan.data_dir, Path::new("/var/lib/sluicegate"));
    let [cloud, local] = plan.destinations.as_slice() else { panic!() };
    assert_eq!((cloud.name.as_str(), local.name.as_str(), plan.default_destination), ("cloud", "local", 1));
    let Target::Cloud(target) = &cloud.target else { panic!() };
    let key = target.credentials.fixed().unwrap();
    assert_eq!((key.id.as_str(), key.secret.expose()), ("id", "hunter2"));
    let [route] = plan.routes.as_slice() else { panic!() };
    assert!(route.pattern.matches(b"app.web") && !route.pattern.matches(b"app.db"));
    let [(level_key, level), (path_key, path)] = route.conditions.as_slice() else { panic!() };
    assert_eq!((level_key.as_str(), path_key.as_str()), ("level", "path"));
    assert!(level.holds(Some(b"error")) && !level.holds(Some(b"errors")) && !level.holds(None));
    assert!(path.holds(Some(b"/api/\xff")) && !path.holds(Some(b"x/api/")) && !path.holds(None));
    assert_eq!(route.destination, 0);
    assert!(route.logstore.as_ref().unwrap().needs_record());
    let [
        Step::Parse(json),
        Step::Parse(nginx),
        Step::Parse(apache),
        Step::Parse(regex),
        Step::Parse(delimiter),
        Step::Time(time),
        Step::Filter(filter),
        Step::Drop(drop),
        Step::Mask(text),
        Step::Mask(md5),
        Step::Add(added),
        Step::Remove(removed),
        Step::Rename(renamed),
        Step::Keep(kept),
    ] = route.processors.as_slice()
    else {
        panic!()
    };
    assert_eq!((json.key.as_str(), json.keep, json.prefix.as_str()), ("log", true, "app_"));
    assert!(matches!(&nginx.format, ParseFormat::LogFormat(format) if format.server == LogServer::Nginx));
    assert!(matches!(&apache.format, ParseFormat::LogFormat(format) if format.server == LogServer::Apache));
    assert!(matches!(&regex.format, ParseFormat::Regex { keys, .. } if keys.len() == 3));
    assert!(matches!(&delimiter.format, ParseFormat::Delimiter(plan) if plan.keys.len() == 4));
    assert_eq!((time.formats.len(), filter.len(), drop.len()), (2, 1, 2));
    assert_eq!((&text.with, &md5.with), (&MaskWith::Text("[masked]".to_owned()), &MaskWith::Md5));
    assert_eq!((added.len(), removed.len(), renamed.len(), kept.len()), (2, 1, 1, 4));
    let file = plan.inputs.iter().find(|input| input.name == "file").unwrap();
    let InputKind::File(file) = &file.kind else { panic!() };
    assert_eq!((file.paths.len(), file.processors.len(), file.start), (2, 1, FileStart::Tail(1 << 20)));
    assert!(file.multiline.as_ref().unwrap().start.as_ref().unwrap().is_match(b"2026-11-23 x"));
    let kubernetes = file.kubernetes.as_ref().unwrap();
    assert!(kubernetes.namespaces.exclude[0].is_match(b"kube-system"));
    assert_eq!((kubernetes.labels.len(), kubernetes.api.is_some()), (1, true));
}

#[test]
fn secrets_never_show() {
    let plan = full_plan();
    for shown in [format!("{plan:?}"), format!("{plan:#?}"), plan.effective()] {
        assert!(shown.contains("***") && !shown.contains("hunter2") && !shown.contains("token-1"), "{shown}");
    }
}

#[test]
fn hidden_secrets_are_not_taken_for_secrets() {
    let found = lines(from_text(&full_plan().effective(), &[HOME]));
    for key in [
        "inputs.forward.security.shared_key",
        "inputs.forward.security.users[0].password",
        "inputs.forward.security.clients[1].shared_key",
        "inputs.splunk.tokens[0]",
        "destinations.cloud.access_key_secret",
        "destinations.cloud.security_token",
        "collection.destination.access_key_secret",
    ] {
        let expected = format!("configuration: {key}: is *** as `check --print` hides it; write");
        assert!(
            found.iter().any(|line| line.starts_with(&expected)),
            "{expected}\nis not in\n{}",
            found.join("\n")
        );
    }
    assert_eq!(found.len(), 7, "{}", found.join("\n"));
}

#[test]
fn the_effective_configuration_gives_the_same_plan() {
    for plan in [from_text("", &[HOME]).unwrap(), full_plan()] {
        let printed = plan.effective();
        let secrets = printed.replace("***", "hunter2");
        let again = from_text(&secrets, &[]).unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
        assert_eq!(again.effective(), printed);
        assert_eq!(format!("{again:?}"), format!("{plan:?}"));
    }
    let text = r#"
        destinations:
          local: { topic: "$${tag} ${tag[-1]:-a}", tags: { "a: b": "$${x}" } }
        routes:
          - match: "[x] {a,b}.** c"
            when: { "a b": "$${q}", r: '/"\d+"/' }
            processors: [ { add: { k: "\"q\"\n" } }, { rename: { "a.b": "c$${d" } } ]
    "#;
    let printed = from_text(text, &[HOME]).unwrap().effective();
    assert_eq!(from_text(&printed, &[]).unwrap().effective(), printed);
}

fn any_yaml() -> impl Strategy<Value = String> {
    let words = "inputs|forward|listen|routes|match|when|destinations|local|cloud|processors|add|remove|rename|file|paths|parse|mask|drop|buffers|tags|\
                 64MiB|5s|127\\.0\\.0\\.1:1|\\$\\{tag\\}|\\$\\{env:HOME\\}|\\$\\{|true|0x1f|1e9|\\.inf|~|<<|&a|\\*a|!!int|[a-z]{1,3}";
    let token = prop_oneof![
        words.prop_map(|word: String| word),
        "[-:?,{}\\[\\]|>'\"#%@\\n ]",
        Just("\n  ".to_owned()),
        Just(": ".to_owned())
    ];
    proptest::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn no_yaml_panics(text in any_yaml()) {
        let _ = from_text(&text, &[HOME]);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = from_text(&text, &[HOME]);
    }

    #[test]
    fn no_shape_panics(seed in proptest::collection::vec(any::<u8>(), 40)) {
        let mut seed = seed.into_iter().cycle();
        let mut tree = super::source::Tree::new();
        for key in ["inputs", "routes", "destinations", "buffers", "journal", "log_service", "data_dir", "duplicates"] {
            tree.insert(key.to_owned(), shape(&mut seed, 5));
        }
        let env = [(HOME.0.to_owned(), HOME.1.to_owned())].into();
        let context = super::reader::Context::new(Faults::default(), env);
        let _ = super::load::plan(tree, context, &Flags::default());
    }
}

/// A value of any shape that is likely to meet known keys.
fn shape(seed: &mut impl Iterator<Item = u8>, depth: usize) -> Value {
    const KEYS: [&str; 48] = [
        "forward",
        "local",
        "cloud",
        "default",
        "listen",
        "match",
        "when",
        "processors",
        "add",
        "rename",
        "remove",
        "tags",
        "logstore",
        "max_bytes",
        "tls",
        "security",
        "users",
        "clients",
        "signal",
        "syslog",
        "splunk",
        "docker_plugin",
        "docker",
        "tokens",
        "container_tags",
        "tag",
        "labels",
        "type",
        "parse",
        "prefix",
        "file",
        "paths",
        "start",
        "multiline",
        "continue",
        "end",
        "key",
        "keys",
        "regex",
        "separator",
        "time",
        "format",
        "filter",
        "drop",
        "mask",
        "pattern",
        "keep",
        "kubernetes",
    ];
    let kind = match seed.next().unwrap() % 12 {
        0 => ValueKind::Nil,
        1 => ValueKind::Boolean(true),
        2 => ValueKind::I64(-1),
        3 => ValueKind::U64(u64::MAX),
        4 => ValueKind::U128(u128::MAX),
        5 => ValueKind::Float(f64::NAN),
        6 => ValueKind::String("${tag}é".to_owned()),
        7 => ValueKind::String("/(?i)x/".to_owned()),
        8 if depth > 0 => ValueKind::Array((0..2).map(|_| shape(seed, depth - 1)).collect()),
        _ if depth > 0 => {
            let mut entry = || {
                let key = KEYS[usize::from(seed.next().unwrap()) % KEYS.len()];
                (key.to_owned(), shape(seed, depth - 1))
            };
            ValueKind::Table([entry(), entry(), entry()].into())
        }
        _ => ValueKind::String(String::new()),
    };
    Value::new(None, kind)
}
