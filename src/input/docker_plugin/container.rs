//! What is known of a container whose output is read: what the engine told when the container started, as far as its
//! options ask for it. This is also what is kept on the disk for each FIFO, so that a restart needs nobody to tell it again.
//!
//! Of the environment and the labels only those are kept that were asked for by name or pattern.

use std::collections::BTreeMap;
use std::path::PathBuf;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::tag::{self, Facts};
use crate::config::docker_tag::{DockerTag, TagField};
use crate::config::names;

/// Version of the stored form.
pub const VERSION: u32 = 1;
/// Labels and variables of one container, which every record of it carries.
const FIELDS_BYTES: usize = 32 * 1024;
const TOPIC_BYTES: usize = 1024;

/// Options of ours, and those that the engine handles itself and passes on.
const OPTIONS: [&str; 7] = ["tag", "labels", "labels-regex", "env", "env-regex", "logstore", "topic"];
const ENGINE_OPTIONS: [&str; 6] =
    ["mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"];

/// Fields a record has without being asked; no label or variable takes their place.
const OWN_FIELDS: [&str; 9] = [
    "log",
    "source",
    "container_id",
    "container_name",
    "image_name",
    "partial_message",
    "partial_id",
    "partial_ordinal",
    "partial_last",
];

/// What the engine says of a container (`Info` of its requests). What is not used is not read.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct Info {
    config: Option<BTreeMap<String, String>>,
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    container_name: String,
    container_entrypoint: String,
    container_args: Option<Vec<String>>,
    #[serde(rename = "ContainerImageID")]
    container_image_id: String,
    container_image_name: String,
    container_created: String,
    container_env: Option<Vec<String>>,
    container_labels: Option<BTreeMap<String, String>>,
    daemon_name: String,
}

/// One run of a container, and the FIFO its output comes through.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub version: u32,
    /// The FIFO.
    pub file: PathBuf,
    /// 64 digits.
    pub id: String,
    /// Without the slash.
    pub name: String,
    pub image: String,
    pub tag: String,
    /// Labels and variables that were asked for.
    pub fields: Vec<(String, String)>,
    pub logstore: Option<String>,
    pub topic: Option<String>,
}

/// Why a container is refused. The engine shows it to who starts the container.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the container's id {0:?} is no id; it has up to 64 of the digits 0-9 and a-f")]
    Id(String),
    #[error("unknown log option {option:?}; known are {}", OPTIONS.join(", "))]
    Unknown { option: String },
    #[error("log option {option}: {fault}")]
    Option { option: &'static str, fault: String },
    #[error(
        "the labels and variables that log options ask for have {0} bytes; every line would carry them, so at most {FIELDS_BYTES} are possible"
    )]
    Fields(usize),
}

impl Container {
    /// Evaluates the options of a container; `tag` is for those that have none of their own.
    pub fn new(file: PathBuf, info: &Info, tag: &DockerTag) -> Result<Container, Refused> {
        check_id(&info.container_id)?;
        let none = BTreeMap::new();
        let options = info.config.as_ref().unwrap_or(&none);
        let is_known = |option: &str| OPTIONS.contains(&option) || ENGINE_OPTIONS.contains(&option);
        if let Some(option) = options.keys().find(|option| !is_known(option)) {
            return Err(Refused::Unknown { option: option.clone() });
        }
        let option = |name: &str| options.get(name).map(String::as_str).filter(|value| !value.is_empty());
        if let Some(logstore) = option("logstore").filter(|name| !names::is_logstore_name(name)) {
            let fault = format!(
                "{logstore:?} is no name of a logstore: 3 to 63 of a-z, 0-9, - and _, a letter or digit first and last"
            );
            return Err(Refused::Option { option: "logstore", fault });
        }
        if let Some(topic) = option("topic").filter(|topic| topic.len() > TOPIC_BYTES) {
            let fault = format!("has {} bytes; at most {TOPIC_BYTES} are possible", topic.len());
            return Err(Refused::Option { option: "topic", fault });
        }
        let name = info.container_name.strip_prefix('/').unwrap_or(&info.container_name);
        let container = Container {
            version: VERSION,
            file,
            id: info.container_id.clone(),
            name: name.to_owned(),
            image: info.container_image_name.clone(),
            tag: match option("tag") {
                Some(template) => info.tag(template, name)?,
                None => info.default_tag(tag, name),
            },
            fields: info.fields(&option)?,
            logstore: option("logstore").map(str::to_owned),
            topic: option("topic").map(str::to_owned),
        };
        let bytes = container.fields.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > FIELDS_BYTES { Err(Refused::Fields(bytes)) } else { Ok(container) }
    }
}

/// Ids become names of files.
pub fn check_id(id: &str) -> Result<(), Refused> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if (1..=64).contains(&id.len()) && id.bytes().all(is_digit) {
        return Ok(());
    }
    Err(Refused::Id(id.chars().take(80).collect()))
}

impl Info {
    fn tag(&self, template: &str, name: &str) -> Result<String, Refused> {
        let args = self.container_args.iter().flatten().map(String::as_str);
        let command: Vec<&str> = std::iter::once(&*self.container_entrypoint).chain(args).collect();
        let none = BTreeMap::new();
        let facts = Facts {
            id: &self.container_id,
            name,
            image_id: &self.container_image_id,
            image_name: &self.container_image_name,
            daemon_name: &self.daemon_name,
            command: &command.join(" "),
            created: &self.container_created,
            labels: self.container_labels.as_ref().unwrap_or(&none),
        };
        tag::render(template, &facts).map_err(|fault| Refused::Option { option: "tag", fault })
    }

    fn default_tag(&self, tag: &DockerTag, name: &str) -> String {
        let image_id = self.container_image_id.strip_prefix("sha256:").unwrap_or(&self.container_image_id);
        let mut out = Vec::new();
        let value = |field| match field {
            TagField::Id => self.container_id.get(..12).unwrap_or(&self.container_id).as_bytes(),
            TagField::FullId => self.container_id.as_bytes(),
            TagField::Name => name.as_bytes(),
            TagField::ImageId => image_id.get(..12).unwrap_or(image_id).as_bytes(),
            TagField::ImageFullId => self.container_image_id.as_bytes(),
            TagField::ImageName => self.container_image_name.as_bytes(),
            TagField::DaemonName => b"docker",
        };
        tag.render(value, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Labels and variables that were asked for, in the order of their names; a variable wins over a label.
    fn fields<'o>(
        &self,
        option: &impl Fn(&str) -> Option<&'o str>,
    ) -> Result<Vec<(String, String)>, Refused> {
        let labels = Wanted::new(option("labels"), "labels-regex", option("labels-regex"))?;
        let env = Wanted::new(option("env"), "env-regex", option("env-regex"))?;
        let mut found = BTreeMap::new();
        for (name, value) in self.container_labels.iter().flatten() {
            if labels.has(name) {
                found.insert(name.clone(), value.clone());
            }
        }
        for variable in self.container_env.iter().flatten() {
            if let Some((name, value)) = variable.split_once('=')
                && env.has(name)
            {
                found.insert(name.to_owned(), value.to_owned());
            }
        }
        for name in OWN_FIELDS {
            if found.remove(name).is_some() {
                tracing::warn!(container = %self.container_name, field = name,
                    "a label or variable that the container's log options ask for has the name of a field of every record; \
                     it is left out");
            }
        }
        Ok(found.into_iter().filter(|(name, _)| !name.is_empty()).collect())
    }
}

/// Names that were asked for: a list, and a pattern that may stand anywhere in the name.
struct Wanted<'o> {
    names: Vec<&'o str>,
    pattern: Option<Regex>,
}

impl<'o> Wanted<'o> {
    fn new(
        list: Option<&'o str>,
        option: &'static str,
        pattern: Option<&'o str>,
    ) -> Result<Wanted<'o>, Refused> {
        let pattern = pattern.map(Regex::new).transpose().map_err(|error| {
            let fault = format!("is no regular expression: {error}");
            Refused::Option { option, fault }
        })?;
        Ok(Wanted { names: list.map(|list| list.split(',').collect()).unwrap_or_default(), pattern })
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(&name) || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(config: serde_json::Value) -> Info {
        let info = json!({
            "Config": config, "ContainerID": "5525e4dd680f02ef", "ContainerName": "/web",
            "ContainerImageName": "busybox:local", "ContainerImageID": "sha256:c58eb1f3dad4e4415deb",
            "ContainerEnv": ["APP=prod", "REGION=cn", "X_EMPTY=", "SECRET=s", "team=env", "broken"],
            "ContainerLabels": {"team": "label", "com.example.svc": "web", "log": "x"},
        });
        serde_json::from_value(info).unwrap()
    }

    fn made(config: serde_json::Value) -> Result<Container, String> {
        let tag = DockerTag::parse("docker.{{.Name}}").unwrap();
        Container::new("/fifo".into(), &info(config), &tag).map_err(|refused| refused.to_string())
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_recorded_start() {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Start {
            file: PathBuf,
            info: Info,
        }
        let body = include_str!("../../../tests/data/docker/plugin-startlogging.json");
        let tag = DockerTag::parse("docker.{{.Name}}").unwrap();
        let mut start: Start = serde_json::from_str(body).unwrap();
        // The recorded container has an option that nobody knows.
        let refused = Container::new(start.file.clone(), &start.info, &tag).err().unwrap();
        assert_eq!(refused, Refused::Unknown { option: "anything".to_owned() });
        start.info.config.as_mut().unwrap().remove("anything");
        let container = Container::new(start.file, &start.info, &tag).ok().unwrap();
        assert_eq!(
            (&*container.tag, &*container.name, &*container.image),
            ("cap-plugin", "cap-plugin", "busybox:local")
        );
        assert_eq!(container.fields, pairs(&[("APP", "prod"), ("team", "core")]));
        assert!(!serde_json::to_string(&container).unwrap().contains("SECRET"));
    }

    #[test]
    fn labels_and_variables_are_those_asked_for() {
        let config = json!({"labels": "team,missing", "labels-regex": "example", "env": "APP", "env-regex": "^(REGION|X_)"});
        let container = made(config).unwrap();
        let wanted = [
            ("APP", "prod"),
            ("REGION", "cn"),
            ("X_EMPTY", ""),
            ("com.example.svc", "web"),
            ("team", "label"),
        ];
        assert_eq!(container.fields, pairs(&wanted));
        assert_eq!(made(json!({"labels": "team", "env": "team"})).unwrap().fields, pairs(&[("team", "env")]));
        assert_eq!(made(json!({"labels": "log"})).unwrap().fields, []);
        assert_eq!(made(json!(null)).unwrap().tag, "docker.web");
    }

    #[test]
    fn options_are_checked() {
        let container =
            made(json!({"logstore": "web-logs", "topic": "t", "mode": "non-blocking", "tag": "{{.ID}}"}));
        let container = container.unwrap();
        assert_eq!(
            (container.logstore.as_deref(), container.topic.as_deref()),
            (Some("web-logs"), Some("t"))
        );
        assert_eq!(container.tag, "5525e4dd680f");
        for (config, what) in [
            (json!({"logstor": "x"}), "unknown log option \"logstor\""),
            (json!({"logstore": "No"}), "no name of a logstore"),
            (json!({"topic": "t".repeat(2000)}), "at most 1024"),
            (json!({"tag": "{{.Nmae}}"}), "log option tag: has .Nmae"),
            (json!({"env-regex": "("}), "log option env-regex"),
        ] {
            let refused = made(config).err().unwrap();
            assert!(refused.contains(what), "{refused}");
        }
        for id in ["", "..", "../../etc", "ABC", &"a".repeat(65)] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }
}
