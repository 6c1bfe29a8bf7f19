//! What a sidecar collects and where it delivers, when the configuration does not say.
//!
//! ```text
//! aliyun_logs_<key>=/var/log/app/*.log     an input `env-<key>` and a route for it
//! aliyun_logs_<key>_project, _logstore     where to; without: ALICLOUD_LOG_DEFAULT_PROJECT, and a logstore called <key>
//! aliyun_logs_<key>_tags=a=b,c             constant tags; a bare c is c=c
//! aliyun_logs_<key>_jsonfile=true          lines are objects of JSON
//! ```
//!
//! Inputs of type file in the configuration win over all of these. Where the configuration names no place in the cloud, the
//! environment makes one, called `sls`, with its keys or the chain's; with log_service.enabled: true it is the embedded Log Service instead.
//! Lines are in the field `content`, as Logtail has them.
//!
//! Beside all of these, and where there are none instead of them, Log Service is asked what the machine groups of this
//! sidecar are to collect, with the same place and keys: `collection.destination`.
//!
//! It refuses a container's standard output, which a sidecar cannot see.

use std::collections::BTreeMap;

use config::{Value, ValueKind};

use super::{
    CONCURRENCY, CONFIG, EXAMPLE, Env, ID_FILE, KEYS, Layer, MOST_REQUESTS, SYS_CONF_DIR, Settings,
    USER_DEFINED_ID, USER_ID,
};
use crate::config::names::{is_logstore_name, is_project_name};
use crate::config::plan::LOCAL;
use crate::config::source::Tree;

const PREFIX: &str = "ALICLOUD_LOG_CONFIG_PREFIX";
const DEFAULT_PREFIX: &str = "aliyun_logs_";
/// Logtail's newer one, which wins for the same key.
const NEW_PREFIX: &str = "loong_logs_";
const DEFAULT_PROJECT: &str = "ALICLOUD_LOG_DEFAULT_PROJECT";
const STREAMS: [&str; 3] = ["stdout", "stdout-only", "stderr-only"];
const USED: [&str; 4] = ["project", "logstore", "tags", "jsonfile"];
/// What Logtail knows beside: how a logstore is made, and details of its own configuration.
const UNUSED: [&str; 16] = [
    "machinegroup",
    "shard",
    "ttl",
    "logstoremode",
    "logstorehotttl",
    "logstoretelemetrytype",
    "logstoreappendmeta",
    "logstoreautosplit",
    "logstoremaxsplitshard",
    "logstoreenabletracking",
    "logstoreencryptconf",
    "dockerfile",
    "product",
    "language",
    "detail",
    "configtags",
];
/// What of a destination says where it is and who asks there.
const PLACE: [&str; 11] = [
    "endpoint",
    "region",
    "network",
    "connect",
    "signature",
    "proxy",
    "tls",
    "access_key_id",
    "access_key_secret",
    "security_token",
    "credentials",
];
/// The name of an input has 63 bytes.
const KEY_BYTES: usize = 59;

/// Beside keys of their own, what leads to some (see `credentials: chain`).
const LEADS: [&str; 6] = [
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    "ALIBABA_CLOUD_ECS_METADATA",
    "ALIBABA_CLOUD_CREDENTIALS_URI",
    "ALIBABA_CLOUD_CREDENTIALS_FILE",
    "ALIBABA_CLOUD_CONFIG_FILE",
    "ALIBABA_CLOUD_PROFILE",
];

/// The variables of one key: each suffix, the empty one first, with its variable and value.
type Collected = BTreeMap<String, (String, String)>;

struct Keys {
    id: &'static str,
    secret: &'static str,
    token: Option<&'static str>,
}

pub(super) fn lay(layer: &mut Layer<'_>, settings: &Settings) {
    let clouds = clouds(layer);
    let embedded = clouds.is_empty() && is_embedded(layer);
    let keys = if embedded { None } else { keys(layer) };
    for name in &clouds {
        complete(layer, &["destinations", name], settings, keys.as_ref());
    }
    // Half a key is a fault that was told; looking elsewhere would hide it.
    let reachable = keys.is_some() || !half(layer.env);
    let to_cloud = clouds.is_empty() && !embedded;
    let asks = layer.has(&["collection"]) || keys.is_some() || embedded || has_lead(layer.env);
    let has_files = has_files(layer);
    if reachable {
        collection(layer, &clouds, embedded, settings, keys.as_ref());
    }
    if has_files {
        if to_cloud && reachable {
            destination(layer, "sls", None, None, settings, keys.as_ref());
        }
        return;
    }
    let found = variables(layer);
    if found.is_empty() && layer.table("inputs").is_none_or(Tree::is_empty) {
        if !asks && reachable {
            layer.faults.at_variable(
                USER_DEFINED_ID,
                "names machine groups, and without a key nobody tells what they collect; set ALIBABA_CLOUD_ACCESS_KEY_ID and \
                 ALIBABA_CLOUD_ACCESS_KEY_SECRET (or what leads to a key, as ALIBABA_CLOUD_ECS_METADATA or the variables of \
                 RRSA), or say what to collect with an input of type file in the configuration, or with \
                 aliyun_logs_<key>=/path/of/*.log",
            );
        }
        return;
    }
    let mut projects: Vec<(String, String)> = Vec::new();
    for (key, collected) in found {
        input(layer, &key, &collected);
        let logstore = logstore(layer, &key, &collected);
        let project = if embedded { None } else { project(layer, &key, &collected, to_cloud) };
        let main = collected.get("").map_or("", |(variable, _)| variable);
        let to = project.map(|(project, variable)| {
            if let Some((_, name)) = projects.iter().find(|(known, _)| *known == project) {
                return name.clone();
            }
            let name =
                if projects.is_empty() { "sls".to_owned() } else { format!("sls-{}", projects.len() + 1) };
            if reachable {
                destination(
                    layer,
                    &name,
                    Some((&project, &variable)),
                    Some((&logstore, main)),
                    settings,
                    keys.as_ref(),
                );
            }
            projects.push((project, name.clone()));
            name
        });
        let to = to.filter(|_| reachable);
        route(layer, &key, &collected, to.as_deref(), &logstore);
    }
    if to_cloud && projects.len() > 1 && reachable {
        layer.put_text(&["default_destination"], "sls", DEFAULT_PROJECT);
    }
}

/// Destinations of the configuration that lie in the cloud.
fn clouds(layer: &Layer<'_>) -> Vec<String> {
    let names = layer.table("destinations").into_iter().flat_map(Tree::keys);
    let mut names: Vec<String> = names.filter(|name| *name != LOCAL).cloned().collect();
    names.sort();
    names
}

fn is_embedded(layer: &Layer<'_>) -> bool {
    match layer.table("log_service").and_then(|table| table.get("enabled")).map(|value| &value.kind) {
        Some(ValueKind::Boolean(on)) => *on,
        Some(ValueKind::String(text)) => text == "true",
        _ => false,
    }
}

fn has_files(layer: &Layer<'_>) -> bool {
    let is_file = |(name, value): (&String, &Value)| match &value.kind {
        ValueKind::Table(keys) => match keys.get("type").map(|value| &value.kind) {
            Some(ValueKind::String(kind)) => kind == "file",
            _ => name == "file",
        },
        _ => name == "file",
    };
    layer.table("inputs").is_some_and(|inputs| inputs.iter().any(is_file))
}

/// Whether one of two variables that belong together is set: then that is the fault.
fn half(env: &Env) -> bool {
    KEYS.iter().any(|(id, secret, _)| env.contains_key(*id) != env.contains_key(*secret))
}

/// The first pair that is whole. A half one is a fault, in front of a whole one as well: it would have been meant to win.
fn keys(layer: &mut Layer<'_>) -> Option<Keys> {
    for (id, secret, token) in KEYS {
        let set = |name: &str| layer.env.get(name).is_some_and(|value| !value.is_empty());
        match (set(id), set(secret)) {
            (true, true) => return Some(Keys { id, secret, token: token.filter(|token| set(token)) }),
            (false, false) => {}
            (has_id, _) => {
                let (there, missing) = if has_id { (id, secret) } else { (secret, id) };
                layer.faults.at_variable(missing, format!("is not set, and {there} is; a key needs both"));
            }
        }
    }
    None
}

fn has_lead(env: &Env) -> bool {
    LEADS.iter().any(|name| env.get(*name).is_some_and(|value| !value.is_empty()))
}

/// Whom to ask for what the machine groups are to collect: where the records of the configuration go, or where the variables
/// say.
fn collection(
    layer: &mut Layer<'_>,
    clouds: &[String],
    embedded: bool,
    settings: &Settings,
    keys: Option<&Keys>,
) {
    let is_placed = settings.endpoint.is_some() || layer.has(&["collection", "destination"]);
    if !embedded && !is_placed && clouds.len() != 1 {
        // What does not say where is a fault that was told.
        return;
    }
    if let Some((variable, directory)) = layer.first(&[SYS_CONF_DIR]) {
        let file = format!("{}/{ID_FILE}", directory.trim_end_matches('/'));
        layer.put_text(&["collection", "user_defined_id_file"], &file, variable);
    }
    layer.put_text(&["collection", "machine_groups"], "auto", USER_DEFINED_ID);
    if embedded {
        return;
    }
    let path = ["collection", "destination"];
    let is_typed = layer.has(&path);
    if !is_typed && let [only] = clouds {
        let own =
            layer.table("destinations").and_then(|table| table.get(only)).map(|value| value.kind.clone());
        if let Some(ValueKind::Table(mut own)) = own {
            // What remains is where it is and how it is reached.
            own.retain(|key, _| PLACE.contains(&key.as_str()));
            layer.put(&path, ValueKind::Table(own), USER_DEFINED_ID);
        }
    }
    if let Some((variable, project)) = layer.first(&[DEFAULT_PROJECT])
        && !is_typed
    {
        let project = project.to_owned();
        layer.put_text(&["collection", "destination", "project"], &project, variable);
    }
    complete(layer, &path, settings, keys);
}

/// What a destination lacks of place and keys.
fn complete(layer: &mut Layer<'_>, above: &[&str; 2], settings: &Settings, keys: Option<&Keys>) {
    let [section, name] = *above;
    let path = |key| [section, name, key];
    // A region that was typed is a place of its own.
    if let Some(endpoint) = settings.endpoint.as_ref().filter(|_| !layer.has(&path("region"))) {
        let own = layer.has(&path("endpoint"));
        layer.put_text(&path("endpoint"), endpoint, CONFIG);
        if let Some(region) = settings.region.as_ref().filter(|_| !own) {
            layer.put_text(&path("region"), region, CONFIG);
        }
    }
    if let Some((text, variable)) = layer.limit(CONCURRENCY, settings).map(|(place, text)| (text, place)) {
        match text.parse::<u64>() {
            Ok(number) => {
                let number = number.clamp(1, MOST_REQUESTS).to_string();
                layer.put_text(&path("in_flight"), &number, &variable);
            }
            Err(_) => {
                layer.faults.at_variable(&variable, format!("`{text}` is no number of requests; write 15"))
            }
        }
    }
    // Half of a key of its own is a fault that the reader names.
    let own = ["access_key_id", "access_key_secret", "credentials"].iter().any(|key| layer.has(&path(key)));
    match keys.filter(|_| !own) {
        Some(keys) => {
            layer.put_secret(&path("access_key_id"), keys.id);
            layer.put_secret(&path("access_key_secret"), keys.secret);
            if let Some(token) = keys.token {
                layer.put_secret(&path("security_token"), token);
            }
        }
        None if !own && !half(layer.env) => layer.put_text(&path("credentials"), "chain", USER_ID),
        None => {}
    }
}

fn destination(
    layer: &mut Layer<'_>,
    name: &str,
    project: Option<(&str, &str)>,
    logstore: Option<(&str, &str)>,
    settings: &Settings,
    keys: Option<&Keys>,
) {
    if let Some((project, variable)) = project {
        layer.put_text(&["destinations", name, "project"], project, variable);
    } else if let Some((variable, project)) = layer.first(&[DEFAULT_PROJECT]) {
        let project = project.to_owned();
        layer.put_text(&["destinations", name, "project"], &project, variable);
    }
    if let Some((logstore, variable)) = logstore {
        layer.put_text(&["destinations", name, "logstore"], logstore, variable);
    }
    complete(layer, &["destinations", name], settings, keys);
    if settings.endpoint.is_none() && !layer.env.contains_key(CONFIG) {
        layer.faults.at_variable(CONFIG, format!("is missing, which names the region; write {EXAMPLE}"));
    }
}

/// All that is set, by key; suffixes nobody knows are faults.
fn variables(layer: &mut Layer<'_>) -> BTreeMap<String, Collected> {
    let own = layer.first(&[PREFIX]).map_or(DEFAULT_PREFIX, |(_, prefix)| prefix).to_owned();
    let mut found: BTreeMap<String, Collected> = BTreeMap::new();
    for prefix in [own.as_str(), NEW_PREFIX] {
        for (variable, value) in layer.env {
            let Some(rest) = variable.strip_prefix(prefix) else { continue };
            let (key, suffix) = rest.rsplit_once('_').unwrap_or((rest, ""));
            if let Err(what) = known(key, suffix) {
                layer.faults.at_variable(variable, what);
            } else if UNUSED.contains(&suffix) {
                let what =
                    "has no effect: logstores are used as they are, and lines are read as the input says";
                layer.ignored.push((variable.clone(), what.to_owned()));
            } else {
                let collected = found.entry(key.to_owned()).or_default();
                collected.insert(suffix.to_owned(), (variable.clone(), value.clone()));
            }
        }
    }
    found.retain(|key, collected| {
        if !collected.contains_key("") {
            for (variable, _) in collected.values() {
                let what =
                    format!("says more of {own}{key}, which is not set; write {own}{key}=/path/of/*.log");
                layer.faults.at_variable(variable, what);
            }
        }
        collected.contains_key("")
    });
    found
}

fn known(key: &str, suffix: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=KEY_BYTES).contains(&key.len()) || !key.bytes().all(legal) {
        return Err("has no key that is a name; use a-z, 0-9 and - between prefix and suffix".to_owned());
    }
    if suffix.is_empty() || USED.contains(&suffix) || UNUSED.contains(&suffix) {
        return Ok(());
    }
    Err(format!("ends in _{suffix}, which is none of _{}", USED.join(", _")))
}

fn input(layer: &mut Layer<'_>, key: &str, collected: &Collected) {
    let Some((variable, path)) = collected.get("") else { return };
    let name = format!("env-{key}");
    layer.faults.came_from(&format!("inputs.{name}"), variable);
    if STREAMS.contains(&path.as_str()) {
        let what = format!(
            "is `{path}`, and a sidecar sees files alone; write the path of a file on the shared volume"
        );
        layer.faults.at_variable(variable, what);
    } else {
        layer.put_text(&["inputs", &name, "paths"], path, variable);
    }
    layer.put_text(&["inputs", &name, "type"], "file", variable);
    layer.put_text(&["inputs", &name, "key"], "content", variable);
    if let Some((variable, tags)) = collected.get("tags") {
        for tag in tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let (key, value) = tag.split_once('=').unwrap_or((tag, tag));
            layer.put_text(&["inputs", &name, "tags", key], value, variable);
        }
    }
    if let Some((variable, text)) = collected.get("jsonfile") {
        match text.as_str() {
            "true" => {
                let text = |text: &str| Value::new(None, ValueKind::String(text.to_owned()));
                let step =
                    Tree::from([("parse".to_owned(), text("json")), ("key".to_owned(), text("content"))]);
                let steps = vec![Value::new(None, ValueKind::Table(step))];
                layer.put(&["inputs", &name, "processors"], ValueKind::Array(steps), variable);
            }
            "false" => {}
            other => layer.faults.at_variable(variable, format!("`{other}` is not one of true, false")),
        }
    }
}

fn logstore(layer: &mut Layer<'_>, key: &str, collected: &Collected) -> String {
    let typed = collected.get("logstore").or_else(|| collected.get(""));
    let name = collected.get("logstore").map_or(key, |(_, name)| name);
    if let Some((variable, _)) = typed.filter(|_| !is_logstore_name(name)) {
        let what = format!(
            "gives the logstore `{name}`, and Log Service takes 3 to 63 of a-z, 0-9, - and _, a letter or digit at both ends; \
             set the suffix _logstore"
        );
        layer.faults.at_variable(variable, what);
    }
    name.to_owned()
}

/// The project with the variable that names it; none where the configuration's own destination may take the records.
fn project(
    layer: &mut Layer<'_>,
    key: &str,
    collected: &Collected,
    needed: bool,
) -> Option<(String, String)> {
    let own = collected.get("project").map(|(variable, project)| (project.clone(), variable.clone()));
    let default = || {
        let (variable, project) = layer.first(&[DEFAULT_PROJECT]).filter(|_| needed)?;
        Some((project.to_owned(), variable.to_owned()))
    };
    let project = own.or_else(default);
    match &project {
        None if needed => {
            let variable = collected.get("").map_or("", |(variable, _)| variable);
            let what = format!(
                "names no project for the key {key}; set {variable}_project or {DEFAULT_PROJECT} beside it"
            );
            layer.faults.at_variable(variable, what);
        }
        Some((project, variable)) if !is_project_name(project) => {
            let what = format!("`{project}` is no project name; Log Service takes 3 to 63 of a-z, 0-9 and -");
            layer.faults.at_variable(variable, what);
        }
        _ => {}
    }
    project
}

/// Behind the configuration's own routes, which so may do something else with these records.
fn route(layer: &mut Layer<'_>, key: &str, collected: &Collected, to: Option<&str>, logstore: &str) {
    let text = |text: String| Value::new(None, ValueKind::String(text));
    let mut route = Tree::from([
        ("match".to_owned(), text(format!("file.env-{key}"))),
        ("logstore".to_owned(), text(logstore.to_owned())),
    ]);
    if let Some(to) = to {
        route.insert("destination".to_owned(), text(to.to_owned()));
    }
    let routes = layer.tree.entry("routes".to_owned()).or_insert_with(|| Value::new(None, ValueKind::Nil));
    if routes.kind == ValueKind::Nil {
        routes.kind = ValueKind::Array(Vec::new());
    }
    // What is no list is a fault already.
    if let ValueKind::Array(list) = &mut routes.kind {
        let path = format!("routes[{}]", list.len());
        list.push(Value::new(None, ValueKind::Table(route)));
        if let Some((variable, _)) = collected.get("") {
            layer.faults.came_from(&path, variable);
        }
    }
}
