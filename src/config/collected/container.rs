//! Containers' standard output: what the kubelet links in `/var/log/containers`.
//!
//! Logtail asks the runtime about containers; here the link's name tells namespace, Pod and container, and the API server a
//! Pod's labels. So filters over these are honoured, and filters over environment variables or other labels are refused by
//! their key: a filter that is left out would collect what nobody asked for.

use config::Value;
use serde_json::json;

use super::Surroundings;
use super::draft::{CONTENT, Draft, map, text, texts};
use super::files::tail;
use super::reading::{Item, Object, shown};
use super::whole::{somewhere, whole};
use crate::config::plan::{InputKind, Plan};

/// Where the kubelet links the logs of all containers of a node.
const PATHS: &str = "/var/log/containers/*.log";
/// The field that our input gives the text of such a line, and that of its stream.
const TEXT: &str = "log";
const STREAM: &str = "source";
/// As Logtail calls the stream.
const SOURCE: &str = "_source_";
/// Labels of a container by which the kubelet names what the link names as well.
const NAMED: [(&str, Kind); 3] = [
    ("io.kubernetes.pod.namespace", Kind::Namespace),
    ("io.kubernetes.pod.name", Kind::Pod),
    ("io.kubernetes.container.name", Kind::Container),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Namespace,
    Pod,
    Container,
}

/// In which language the keys are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StdoutKeys {
    Classic,
    Pipeline,
}

/// Patterns of whole names, in our words.
#[derive(Default)]
struct Names {
    include: Vec<(String, String)>,
    exclude: Vec<(String, String)>,
}

pub(super) fn stdout(
    options: &mut Object<'_>,
    draft: &mut Draft,
    keys: StdoutKeys,
    around: &Surroundings<'_>,
) {
    let place = options.path_of("").trim_end_matches('.').to_owned();
    draft.add("paths", PATHS, &place);
    draft.input("format", text("container"), &place);
    draft.step([("rename", map([(TEXT, text(CONTENT)), (STREAM, text(SOURCE))]))], &place);
    draft.is_alone = false;
    streams(options, draft, keys);
    options.report().note(format!(
        "{place}: the runtime's time is the record's own, not a field _time_; containers are those whose logs the kubelet links in \
         {PATHS}"
    ));
    options.no_effect(&[
        ("FlushIntervalMs", json!(3000), "records are passed on when they are complete"),
        ("MaxLogSize", json!(524_288), "lines are cut at 512 KiB"),
        ("ReadIntervalMs", json!(1000), "the kernel tells of new lines"),
        (
            "StartLogMaxOffset",
            json!(131_072),
            "large logs begin 1 MiB before their end when they are met for the first time",
        ),
        ("CollectContainersFlag", json!(false), "containers are found by their logs"),
        ("ContainerInfo", json!(null), "containers are found by their logs"),
    ]);
    match keys {
        StdoutKeys::Classic => {
            options.refuse(&[(
                "BeginLineRegex",
                json!(""),
                "puts lines of containers together, which is not done here: an engine's lines are one record each",
            )]);
            options.no_effect(&[
                ("BeginLineTimeoutMs", json!(3000), "lines are one record each"),
                ("BeginLineCheckLength", json!(10_240), "lines are one record each"),
            ]);
            filters(options, draft, around);
            tail_of_stdout(draft, &place);
        }
        StdoutKeys::Pipeline => {
            options.refuse(&[(
                "Multiline",
                json!(null),
                "puts lines of containers together, which is not done here: an engine's lines are one record each",
            )]);
            let mut filter = options.take("ContainerFilters").object();
            filters(&mut filter, draft, around);
            filter.finish();
            tail(draft, &options.take("TailSizeKB"));
        }
    }
}

fn tail_of_stdout(draft: &mut Draft, place: &str) {
    draft.input("start", text("tail"), place);
}

fn streams(options: &mut Object<'_>, draft: &mut Draft, keys: StdoutKeys) {
    let (out, err, taken) = match keys {
        StdoutKeys::Classic => (options.take("Stdout"), options.take("Stderr"), true),
        StdoutKeys::Pipeline => (options.take("IgnoringStdout"), options.take("IgnoringStderr"), false),
    };
    let is_taken = |item: &Item<'_>| item.boolean().is_none_or(|value| value == taken);
    match (is_taken(&out), is_taken(&err)) {
        (true, true) => {}
        (true, false) => draft.step([("filter", map([(SOURCE, text("stdout"))]))], err.path()),
        (false, true) => draft.step([("filter", map([(SOURCE, text("stderr"))]))], out.path()),
        (false, false) => out.fault("and the other stream are both left out, so nothing would be collected"),
    }
}

fn filters(options: &mut Object<'_>, draft: &mut Draft, around: &Surroundings<'_>) {
    let mut names = [Names::default(), Names::default(), Names::default()];
    for (at, key) in ["K8sNamespaceRegex", "K8sPodRegex", "K8sContainerRegex"].into_iter().enumerate() {
        let item = options.take(key);
        if let Some(regex) = item.some_text()
            && let Some(pattern) = somewhere(&item, regex)
            && let Some(names) = names.get_mut(at)
        {
            names.include.push((pattern, item.path().to_owned()));
        }
    }
    for key in ["IncludeLabel", "IncludeContainerLabel"] {
        let item = options.take(key);
        let members = item.members();
        if members.len() > 1 {
            item.fault("has several labels of which one is enough, which is not told apart here; write one, or a K8s...Regex");
            continue;
        }
        for (label, item, value) in members {
            if let Some((at, pattern)) = named(label, &item, value)
                && let Some(names) = names.get_mut(at)
                && let Some(pattern) = pattern
            {
                // Each is a condition of its own, and our lists are alternatives.
                if names.include.is_empty() {
                    names.include.push((pattern, item.path().to_owned()));
                } else {
                    item.fault(
                        "chooses by the same name as another key of this configuration; keep one of them",
                    );
                }
            }
        }
    }
    for key in ["ExcludeLabel", "ExcludeContainerLabel"] {
        for (label, item, value) in options.take(key).members() {
            if let Some((at, pattern)) = named(label, &item, value)
                && let Some(names) = names.get_mut(at)
            {
                names.exclude.push((pattern.unwrap_or_else(|| "*".to_owned()), item.path().to_owned()));
            }
        }
    }
    options.refuse(&[
        ("IncludeEnv", json!(null), ENV),
        ("ExcludeEnv", json!(null), ENV),
        (
            "ExternalEnvTag",
            json!(null),
            "makes tags of containers' environment, which the kubelet's files do not tell",
        ),
        (
            "ExcludeK8sLabel",
            json!(null),
            "leaves Pods out by their labels, which is not done here; name their namespace or Pod instead",
        ),
    ]);
    let labels = labels(&options.take("IncludeK8sLabel"));
    let tags = external_labels(&options.take("ExternalK8sLabelTag"));
    lay(draft, &names, &labels, tags, options, around);
}

const ENV: &str = "chooses containers by their environment, which the kubelet's files do not tell; choose by K8sNamespaceRegex, \
                   K8sPodRegex, K8sContainerRegex or IncludeK8sLabel";

/// Which name a label tells, and the pattern of it; an empty value takes all that have the label, as all of Kubernetes do.
fn named(label: &str, item: &Item<'_>, value: &str) -> Option<(usize, Option<String>)> {
    let Some((_, kind)) = NAMED.iter().find(|(known, _)| *known == label) else {
        item.fault(format!(
            "chooses by the container's label {}, which the kubelet's files do not tell; they tell {}",
            shown(label),
            NAMED.map(|(known, _)| known).join(", ")
        ));
        return None;
    };
    let pattern = match value {
        "" => None,
        value if value.starts_with('^') && value.ends_with('$') => Some(whole(item, value)?),
        value => Some(format!("/{}/", regex::escape(value))),
    };
    Some((*kind as usize, pattern))
}

/// One label of the Pod with one value.
fn labels(item: &Item<'_>) -> Vec<(String, String, String)> {
    let members = item.members();
    if members.len() > 1 {
        item.fault("has several labels of which one is enough, which is not told apart here; write one");
        return Vec::new();
    }
    let mut labels = Vec::new();
    for (label, item, value) in members {
        if value.is_empty() || value.starts_with('^') {
            item.fault("is no value that a label has; labels are compared with one text here");
        } else {
            labels.push((label.to_owned(), value.to_owned(), item.path().to_owned()));
        }
    }
    labels
}

/// Labels that become tags of their own names.
fn external_labels(item: &Item<'_>) -> Vec<String> {
    let mut tags = Vec::new();
    for (label, item, tag) in item.members() {
        if tag == label {
            tags.push(label.to_owned());
        } else {
            item.fault(format!("calls the tag {}, and labels are tags of their own names here", shown(tag)));
        }
    }
    tags
}

fn lay(
    draft: &mut Draft,
    names: &[Names; 3],
    labels: &[(String, String, String)],
    tags: Vec<String>,
    options: &Object<'_>,
    around: &Surroundings<'_>,
) {
    let mut section: Vec<(&str, Value)> = Vec::new();
    for (key, names) in ["namespaces", "pods", "containers"].into_iter().zip(names) {
        let lists = [("include", &names.include), ("exclude", &names.exclude)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let lists: Vec<(&str, Value)> =
            lists.map(|(key, list)| (key, texts(list.iter().map(|(pattern, _)| pattern.as_str())))).collect();
        if !lists.is_empty() {
            section.push((key, map(lists)));
        }
    }
    if !labels.is_empty() {
        section.push(("labels", map(labels.iter().map(|(label, value, _)| (label.as_str(), text(value))))));
    }
    if !labels.is_empty() || !tags.is_empty() {
        section.push(("api", api(&tags, around.main)));
    }
    draft.input("kubernetes", map(section), options.path_of("").trim_end_matches('.'));
}

/// The API server that the gateway knows already.
fn api(tags: &[String], main: &Plan) -> Value {
    let mut keys: Vec<(&str, Value)> = Vec::new();
    let path = |path: &std::path::Path| text(&path.to_string_lossy());
    let known = main.inputs.iter().find_map(|input| match &input.kind {
        InputKind::File(file) => file.kubernetes.as_ref()?.api.as_ref(),
        _ => None,
    });
    if let Some(cluster) = main.collection.as_ref().and_then(|collection| collection.kubernetes.as_ref()) {
        keys.push(("server", text(&cluster.server)));
        keys.push(("token_file", path(&cluster.token_file)));
        keys.push(("ca_file", path(&cluster.ca_file)));
    } else if let Some(api) = known {
        keys.push(("server", text(&api.server)));
        keys.push(("token_file", path(&api.token_file)));
        keys.push(("ca_file", path(&api.ca_file)));
    }
    if let Some(node) = known.and_then(|api| api.node.as_deref()) {
        keys.push(("node", text(node)));
    }
    if !tags.is_empty() {
        keys.push(("labels", texts(tags.iter().map(String::as_str))));
    }
    map(keys)
}
