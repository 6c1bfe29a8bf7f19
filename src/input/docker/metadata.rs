//! What Docker Engine writes down about a container beside its logs.
//!
//! ```text
//! containers/<id>/config.v2.json    Name with a slash, Image (id), Config: Image (name), Labels, Env
//! containers/<id>/hostconfig.json   LogConfig.Type: which driver keeps the logs; LogConfig.Config: in how many files
//! ```
//!
//! Of the environment, which may hold secrets, nothing is kept but the variables that were asked for.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::base::log_limit::LogLimit;
use crate::config::docker_tag::TagField;
use crate::config::plan::DockerPlan;

/// Larger ones are not read: an environment and labels have some KiB.
const FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Digits of a short id.
const SHORT: usize = 12;

static UNREADABLE: LogLimit = LogLimit::new(Duration::from_secs(60));

/// Which files hold a container's logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    JsonFile,
    Local,
    /// Its lines go elsewhere, or nowhere.
    Other,
}

/// A container as its records show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// 64 digits.
    pub id: String,
    /// Without a slash; empty when it is not known.
    pub name: String,
    pub image_name: String,
    /// Labels and variables that were asked for.
    pub extra: Vec<(String, String)>,
    pub tag: Vec<u8>,
}

/// Says when `config.v2.json` was last changed.
pub type Stamp = Option<(u64, i64, i64)>;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct ConfigFile {
    name: String,
    image: String,
    config: Config,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    image: String,
    labels: Option<HashMap<String, String>>,
    env: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    log_config: LogConfig,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LogConfig {
    #[serde(rename = "Type")]
    driver: String,
    #[serde(rename = "Config")]
    options: Option<HashMap<String, String>>,
}

/// The driver of the container in this directory; `None` while that is not written down.
pub fn driver(dir: &Path) -> Option<Driver> {
    let host: HostConfig = read(&dir.join("hostconfig.json"))?;
    match host.log_config.driver.as_str() {
        "json-file" => Some(Driver::JsonFile),
        "local" => Some(Driver::Local),
        "" => None,
        _ => Some(Driver::Other),
    }
}

/// How many files the driver keeps at most of the container in this directory, with the drivers' own defaults.
pub fn most_files(dir: &Path) -> Option<usize> {
    let LogConfig { driver, options } = read::<HostConfig>(&dir.join("hostconfig.json"))?.log_config;
    match options.unwrap_or_default().get("max-file") {
        Some(typed) => typed.parse().ok(),
        None => Some(if driver == "local" { 5 } else { 1 }),
    }
}

/// Whether a directory's name is a container's id.
pub fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub fn stamp(dir: &Path) -> Stamp {
    let metadata = fs::metadata(dir.join("config.v2.json")).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}

impl Container {
    /// Reads what is written down; what is not stays empty.
    pub fn read(dir: &Path, id: &str, plan: &DockerPlan) -> Container {
        let file: ConfigFile = read(&dir.join("config.v2.json")).unwrap_or_default();
        let name = file.name.strip_prefix('/').unwrap_or(&file.name).to_owned();
        let mut container =
            Container { id: id.to_owned(), name, image_name: file.config.image, ..Container::default() };
        container.extra =
            extra(plan, &file.config.labels.unwrap_or_default(), &file.config.env.unwrap_or_default());
        let image_id = file.image.strip_prefix("sha256:").unwrap_or(&file.image);
        let short = |id: &'_ str| id.get(..SHORT).unwrap_or(id).to_owned();
        let (short_id, short_image) = (short(id), short(image_id));
        let value = |field| match field {
            TagField::Id => short_id.as_str(),
            TagField::FullId => id,
            // A tag needs something there.
            TagField::Name if container.name.is_empty() => &short_id,
            TagField::Name => &container.name,
            TagField::ImageId => &short_image,
            TagField::ImageFullId => &file.image,
            TagField::ImageName => &container.image_name,
            TagField::DaemonName => "docker",
        };
        let mut tag = Vec::new();
        plan.tag.render(|field| value(field).as_bytes(), &mut tag);
        container.tag = tag;
        container
    }
}

/// As the engine does for its drivers: missing ones are skipped, and a variable wins over a label of the same name.
fn extra(plan: &DockerPlan, labels: &HashMap<String, String>, env: &[String]) -> Vec<(String, String)> {
    let variable = |name: &String| {
        env.iter().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key == name).then(|| value.to_owned())
        })
    };
    let mut extra: Vec<(String, String)> =
        plan.env.iter().filter_map(|name| Some((name.clone(), variable(name)?))).collect();
    for name in &plan.labels {
        if let Some(value) = labels.get(name)
            && extra.iter().all(|(known, _)| known != name)
        {
            extra.push((name.clone(), value.clone()));
        }
    }
    extra
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        File::open(path)?.take(FILE_BYTES).read_to_end(&mut text)?;
        Ok(text)
    };
    let parsed = match text() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        text => text.map_err(|error| error.to_string()).and_then(|text| {
            // Its text is not shown: an environment may hold secrets.
            serde_json::from_slice(&text).map_err(|error| {
                format!("not what the engine writes, at line {} column {}", error.line(), error.column())
            })
        }),
    };
    parsed
        .inspect_err(|error| {
            if let Some(suppressed) = UNREADABLE.allow() {
                tracing::warn!(file = %path.display(), error, suppressed, "a container's description cannot be read; its records lack names until it can");
            }
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::docker_tag::DockerTag;
    use crate::config::plan::{JoinPlan, Start};

    fn plan(tag: &str) -> DockerPlan {
        DockerPlan {
            data_root: "/".into(),
            start: Start::Beginning,
            scan_interval: Duration::from_secs(5),
            tag: DockerTag::parse(tag).unwrap(),
            labels: vec!["team".to_owned(), "APP".to_owned(), "missing".to_owned()],
            env: vec!["APP".to_owned(), "EMPTY".to_owned()],
            join: JoinPlan { partial: true, timeout: Duration::from_secs(5), max_line: 1 << 20 },
        }
    }

    #[test]
    fn names_labels_and_variables_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef".repeat(4);
        let image = "f".repeat(64);
        let config = format!(
            r#"{{"ID":"{id}","Name":"/web-1","Image":"sha256:{image}","LogPath":"x","State":{{"Pid":1}},"Config":
            {{"Image":"reg/app:1","Labels":{{"team":"core","APP":"label"}},"Env":["SECRET=s","APP=a=b","EMPTY="]}}}}"#
        );
        fs::write(dir.path().join("config.v2.json"), config).unwrap();
        let tag = "docker.{{.Name}}.{{.ID}}.{{.ImageID}}.{{.ImageName}}";
        let container = Container::read(dir.path(), &id, &plan(tag));
        assert_eq!((container.name.as_str(), container.image_name.as_str()), ("web-1", "reg/app:1"));
        assert_eq!(container.tag, b"docker.web-1.0123456789ab.ffffffffffff.reg/app:1");
        let pairs = [("APP", "a=b"), ("EMPTY", ""), ("team", "core")];
        assert_eq!(container.extra, pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(stamp(dir.path()).is_some());
    }

    #[test]
    fn what_is_missing_or_damaged_stays_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let id = "a".repeat(64);
        assert!(is_id(&id) && !is_id("a") && !is_id(&"A".repeat(64)));
        let container = Container::read(dir.path(), &id, &plan("docker.{{.Name}}"));
        assert_eq!(container.tag, b"docker.aaaaaaaaaaaa");
        assert_eq!(driver(dir.path()), None);
        fs::write(dir.path().join("config.v2.json"), "{\"Name\":").unwrap();
        assert_eq!(Container::read(dir.path(), &id, &plan("{{.ID}}")).name, "");
        for (kind, driver_of) in
            [("json-file", Driver::JsonFile), ("local", Driver::Local), ("fluentd", Driver::Other)]
        {
            let host = format!(r#"{{"LogConfig":{{"Type":"{kind}","Config":{{}}}},"Binds":null}}"#);
            fs::write(dir.path().join("hostconfig.json"), host).unwrap();
            assert_eq!(driver(dir.path()), Some(driver_of));
        }
    }
}
