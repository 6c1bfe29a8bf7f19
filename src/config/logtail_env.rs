//! The environment as Logtail reads it: a Pod that ran Logtail beside its application runs this gateway with the same
//! variables.
//!
//! ```text
//! ALIYUN_LOGTAIL_USER_ID           whose it is                   -> agent.user_ids
//! ALIYUN_LOGTAIL_USER_DEFINED_ID   which machine groups          -> agent.user_defined_ids
//! ALIYUN_LOGTAIL_CONFIG            region and network            -> destinations.*.endpoint
//! ALIYUN_LOGTAIL_WORKING_IP, _HOSTNAME                           -> agent.source, agent.hostname
//! ALIYUN_LOG_ENV_TAGS=A|B, ALIYUN_LOG_FILE_TAGS=/file            -> agent.tags
//! ALIBABA_CLOUD_ACCESS_KEY_ID, _SECRET, and their like           -> destinations.*.access_key_id, ...
//! ALIYUN_LOGTAIL_SYS_CONF_DIR      where the file user_defined_id is -> collection.user_defined_id_file
//! aliyun_logs_<key>=/path, aliyun_logs_<key>_logstore=...        -> inputs, routes: see `collect`
//! ```
//!
//! The first three make a sidecar, which asks Log Service for what its machine groups are to collect (`collection`): all of
//! them, or none. They are laid below the configuration: what a file or a variable
//! SLUICEGATE__... says stays. What comes out is a tree like any other, so that it is checked, completed and printed as if
//! it had been typed, and a fault names its variable.
//!
//! What a sidecar has to know and nobody says is a fault: it never delivers into the embedded Log Service because keys are
//! missing. Without keys it looks for them as the vendor's clients do (`credentials: chain`). The file of tags is read once, at the start; Logtail reads it again each minute.

mod collect;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use config::{Value, ValueKind};
use serde_json::Value as Json;

use super::endpoint::{Endpoint, Network, parse_region};
use super::errors::Faults;
use super::placeholder::escape;
use super::source::{Tree, join};

const USER_ID: &str = "ALIYUN_LOGTAIL_USER_ID";
const USER_DEFINED_ID: &str = "ALIYUN_LOGTAIL_USER_DEFINED_ID";
const CONFIG: &str = "ALIYUN_LOGTAIL_CONFIG";
/// Where Logtail has its file of ids, which are beside those of the variable.
const SYS_CONF_DIR: &str = "ALIYUN_LOGTAIL_SYS_CONF_DIR";
const ID_FILE: &str = "user_defined_id";
const IDENTITY: [&str; 3] = [USER_ID, USER_DEFINED_ID, CONFIG];
/// Both by their names for a container's variable and for Logtail's own setting.
const SOURCE: [&str; 2] = ["ALIYUN_LOGTAIL_WORKING_IP", "working_ip"];
const HOSTNAME: [&str; 2] = ["ALIYUN_LOGTAIL_WORKING_HOSTNAME", "working_hostname"];
const ENV_TAGS: [&str; 2] = ["ALIYUN_LOG_ENV_TAGS", "LOONG_ENV_TAGS"];
const FILE_TAGS: [&str; 2] = ["ALIYUN_LOG_FILE_TAGS", "LOONG_FILE_TAGS"];
const CONCURRENCY: &str = "send_request_concurrency";
/// Requests at once that a destination takes at most.
const MOST_REQUESTS: u64 = 256;
/// Logtail's limits that this gateway has no like of.
const NO_EFFECT: [(&str, &str); 4] = [
    ("cpu_usage_limit", "set the container's own limit of processor time"),
    ("mem_usage_limit", "limits.byte_budget bounds what is held in memory"),
    (
        "max_bytes_per_sec",
        "max_rate of a destination bounds what is sent in a second, rate_limit of a file input what is read",
    ),
    ("process_thread_count", "there is a thread for each processor"),
];
/// Key, its secret, and a token where the keys are temporary. The first that is set counts.
pub(super) const KEYS: [(&str, &str, Option<&str>); 3] = [
    ("default_access_key_id", "default_access_key", None),
    ("ALICLOUD_LOG_ACCESS_KEY_ID", "ALICLOUD_LOG_ACCESS_KEY_SECRET", Some("ALICLOUD_LOG_STS_TOKEN")),
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", Some("ALIBABA_CLOUD_SECURITY_TOKEN")),
];
const EXAMPLE: &str = "/etc/ilogtail/conf/cn-hangzhou/ilogtail_config.json";
/// Logtail's configuration and a file of tags are some KiB.
const FILE_BYTES: u64 = 1 << 20;

type Env = BTreeMap<String, String>;

/// Lays what the environment says below the tree. Returns the variables that were set and have no effect, with the reason.
pub(super) fn lay(tree: &mut Tree, env: &Env, faults: &mut Faults) -> Vec<(String, String)> {
    let mut layer = Layer { tree, env, faults, ignored: Vec::new() };
    layer.marks();
    let there: Vec<&str> = IDENTITY.into_iter().filter(|name| env.contains_key(*name)).collect();
    if there.is_empty() {
        return layer.ignored;
    }
    for missing in IDENTITY.into_iter().filter(|name| !there.contains(name)) {
        let what = format!(
            "is not set, and {} {}; a sidecar has all of {}, and a gateway without them none",
            there.join(" and "),
            if there.len() == 1 { "is" } else { "are" },
            IDENTITY.join(", ")
        );
        layer.faults.at_variable(missing, what);
    }
    layer.identity();
    let settings = layer.settings();
    layer.limits(&settings);
    collect::lay(&mut layer, &settings);
    layer.ignored
}

struct Layer<'a> {
    tree: &'a mut Tree,
    env: &'a Env,
    faults: &'a mut Faults,
    ignored: Vec<(String, String)>,
}

/// What Logtail's own file and its path say.
#[derive(Default)]
struct Settings {
    endpoint: Option<String>,
    /// Where the endpoint's name does not tell.
    region: Option<String>,
    /// Keys of the file.
    file: serde_json::Map<String, Json>,
}

impl Layer<'_> {
    /// The first of these variables that is set to something.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        let set = |name: &&'static str| {
            let value = self.env.get(*name).filter(|value| !value.is_empty())?;
            Some((*name, value.as_str()))
        };
        names.iter().find_map(set)
    }

    /// Sets a key unless it is there already; it then belongs to this variable.
    fn put(&mut self, path: &[&str], value: ValueKind, variable: &str) {
        let Some((last, above)) = path.split_last() else { return };
        let mut table = &mut *self.tree;
        let mut place = String::new();
        for part in above {
            place = join(&place, part);
            let entry = table.entry((*part).to_owned()).or_insert_with(|| Value::new(None, ValueKind::Nil));
            if entry.kind == ValueKind::Nil {
                entry.kind = ValueKind::Table(Tree::new());
            }
            // What is no map is a fault already.
            let ValueKind::Table(inner) = &mut entry.kind else { return };
            table = inner;
        }
        if !table.contains_key(*last) {
            table.insert((*last).to_owned(), Value::new(None, value));
            self.faults.came_from(&join(&place, last), variable);
        }
    }

    /// A text that stands for itself, whatever it holds.
    fn put_text(&mut self, path: &[&str], text: &str, variable: &str) {
        self.put(path, ValueKind::String(escape(text)), variable);
    }

    /// A variable that the reader asks for, since what it holds must not be shown.
    fn put_secret(&mut self, path: &[&str], variable: &str) {
        self.put(path, ValueKind::String(format!("${{env:{variable}}}")), variable);
    }

    fn has(&self, path: &[&str]) -> bool {
        let Some((last, above)) = path.split_last() else { return false };
        let mut table = &*self.tree;
        for part in above {
            let Some(ValueKind::Table(inner)) = table.get(*part).map(|value| &value.kind) else {
                return false;
            };
            table = inner;
        }
        table.contains_key(*last)
    }

    fn table(&self, key: &str) -> Option<&Tree> {
        match self.tree.get(key).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// What marks records, in a sidecar or not.
    fn marks(&mut self) {
        for (key, names) in [("source", SOURCE), ("hostname", HOSTNAME)] {
            if let Some((name, value)) = self.first(&names) {
                let value = value.to_owned();
                self.put_text(&["agent", key], &value, name);
            }
        }
        if let Some((variable, names)) = self.first(&ENV_TAGS) {
            let names: Vec<String> = names.split('|').map(|name| name.trim().to_owned()).collect();
            if names.iter().any(String::is_empty) {
                self.faults.at_variable(variable, "has an empty name; write names of variables as A|B");
            }
            for name in names.iter().filter(|name| !name.is_empty()) {
                let value = self.env.get(name).cloned().unwrap_or_default();
                self.put_text(&["agent", "tags", name], &value, variable);
            }
        }
        if let Some((variable, path)) = self.first(&FILE_TAGS) {
            let path = path.to_owned();
            match object(Path::new(&path)) {
                Err(what) => self.faults.at_variable(variable, what),
                Ok(None) => self.faults.at_variable(variable, format!("names {path}, which is not there")),
                Ok(Some(tags)) => {
                    for (key, value) in tags {
                        match value {
                            Json::String(text) => self.put_text(&["agent", "tags", &key], &text, variable),
                            _ => self.faults.at_variable(
                                variable,
                                format!("names {path}, in which `{key}` is no text; put it in quotes"),
                            ),
                        }
                    }
                }
            }
        }
    }

    fn identity(&mut self) {
        let list = |text: &str| {
            let items = text.split(',').map(|item| Value::new(None, ValueKind::String(escape(item.trim()))));
            ValueKind::Array(items.collect())
        };
        for (key, variable) in [("user_ids", USER_ID), ("user_defined_ids", USER_DEFINED_ID)] {
            if let Some(text) = self.env.get(variable) {
                let list = list(text);
                self.put(&["agent", key], list, variable);
                // A fault of one item is the variable's too.
                self.faults.came_from(&format!("agent.{key}"), variable);
            }
        }
    }

    /// Logtail's file where there is one; else its path says enough.
    fn settings(&mut self) -> Settings {
        let Some((variable, path)) = self.first(&["LOONG_CONFIG", CONFIG]) else {
            if self.env.contains_key(CONFIG) {
                self.faults.at_variable(CONFIG, format!("is empty; write {EXAMPLE}"));
            }
            return Settings::default();
        };
        let path = path.to_owned();
        let mut settings = Settings::default();
        match object(Path::new(&path)) {
            Err(what) => {
                self.faults.at_variable(variable, what);
                return settings;
            }
            Ok(file) => settings.file = file.unwrap_or_default(),
        }
        settings.endpoint = endpoint_of_file(&settings.file);
        if settings.endpoint.is_none()
            && let Some((endpoint, region)) = place_of_path(&path)
        {
            settings.endpoint = Some(endpoint);
            settings.region = Some(region);
        }
        if settings.endpoint.is_none() {
            let what =
                format!("names {path}, which is not there and whose directory is no region; write {EXAMPLE}");
            self.faults.at_variable(variable, what);
        }
        for (key, setting) in [("source", "working_ip"), ("hostname", "working_hostname")] {
            if let Some(Json::String(text)) = settings.file.get(setting)
                && !text.is_empty()
            {
                let text = text.clone();
                self.put_text(&["agent", key], &text, variable);
            }
        }
        settings
    }

    /// Limits are numbers in the environment and in the file; the environment wins.
    fn limits(&mut self, settings: &Settings) {
        for (name, instead) in NO_EFFECT {
            if let Some(place) = self.limit(name, settings).map(|(place, _)| place) {
                self.ignored.push((place, format!("has no effect: {instead}")));
            }
        }
    }

    /// Where a limit of Logtail is set, and its text.
    fn limit(&self, name: &'static str, settings: &Settings) -> Option<(String, String)> {
        let other = format!("LOONG_{}", name.to_uppercase());
        for variable in [name, &other] {
            if let Some(value) = self.env.get(variable) {
                return Some((variable.to_owned(), value.clone()));
            }
        }
        let value = settings.file.get(name)?;
        Some((format!("{name} in the file of {CONFIG}"), value.to_string()))
    }
}

/// The object that a file holds; nothing when there is no file.
fn object(path: &Path) -> Result<Option<serde_json::Map<String, Json>>, String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    let shown = path.display();
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("names {shown}, which cannot be read: {error}")),
        Ok(_) if bytes.len() as u64 > FILE_BYTES => {
            return Err(format!("names {shown}, which is larger than 1 MiB"));
        }
        Ok(_) => {}
    }
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(format!("names {shown}, which is no object of JSON")),
        Err(error) => Err(format!("names {shown}, which is no JSON: {error}")),
    }
}

/// The first of `data_server_list`, over HTTPS unless the file says port 80.
fn endpoint_of_file(file: &serde_json::Map<String, Json>) -> Option<String> {
    let endpoint = file.get("data_server_list")?.get(0)?.get("endpoint")?.as_str()?;
    if endpoint.contains("://") {
        return Some(endpoint.to_owned());
    }
    let plain = file.get("data_server_port").and_then(Json::as_u64) == Some(80);
    Some(format!("{}://{endpoint}", if plain { "http" } else { "https" }))
}

/// `.../<region>[-internet|-acceleration]/ilogtail_config.json`: a bare region is its network inside the cloud.
fn place_of_path(path: &str) -> Option<(String, String)> {
    let path = Path::new(path);
    let directory = path.parent().filter(|_| path.is_absolute())?.file_name()?.to_str()?;
    let networks = [("-internet", Network::Public), ("-acceleration", Network::Acceleration)];
    let (region, network) = networks
        .into_iter()
        .find_map(|(suffix, network)| Some((directory.strip_suffix(suffix)?, network)))
        .unwrap_or((directory, Network::Internal));
    let is_region = region.contains('-') && !region.contains("--") && parse_region(region).is_ok();
    is_region.then(|| (Endpoint::of_region(region, network).to_string(), region.to_owned()))
}
