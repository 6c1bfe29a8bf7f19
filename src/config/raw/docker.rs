//! The inputs that sit beside the Docker engine, as typed: its logging plugin, and the files of its json-file and local
//! drivers.

use std::path::PathBuf;
use std::time::Duration;

use super::connections::{RawJoin, RawUnix, docker_tag, join, unix};
use super::listen::socket_path;
use super::{HOUR, TIB, new_key};
use crate::config::docker_tag::DockerTag;
use crate::config::plan::Start;
use crate::config::reader::Table;

/// A directory of some hundred containers is read in less.
const SCAN: Duration = Duration::from_millis(10);
/// What every record has; a label of that name would stand beside it.
const SHAPE: [&str; 5] = ["log", "source", "container_id", "container_name", "image_name"];

pub(in crate::config) struct RawDockerPlugin {
    pub(in crate::config) socket: Option<PathBuf>,
    pub(in crate::config) unix: RawUnix,
    pub(in crate::config) tag: Option<DockerTag>,
    pub(in crate::config) read_logs_bytes: Option<u64>,
    pub(in crate::config) join: RawJoin,
}

pub(in crate::config) struct RawDocker {
    pub(in crate::config) data_root: Option<PathBuf>,
    pub(in crate::config) start: Option<Start>,
    pub(in crate::config) scan_interval: Option<Duration>,
    pub(in crate::config) tag: Option<DockerTag>,
    pub(in crate::config) labels: Option<Vec<String>>,
    pub(in crate::config) env: Option<Vec<String>>,
    pub(in crate::config) join: RawJoin,
}

pub(super) fn docker_plugin(table: &mut Table<'_>) -> RawDockerPlugin {
    RawDockerPlugin {
        socket: table
            .take("socket")
            .parsed("a path", |text| socket_path(text, "/run/docker/plugins/sluicegate.sock")),
        unix: unix(table),
        tag: table.take("tag").parsed("text", docker_tag),
        read_logs_bytes: table.take("read_logs_bytes").size(0..=TIB),
        join: join(table),
    }
}

pub(super) fn docker(table: &mut Table<'_>) -> RawDocker {
    RawDocker {
        data_root: table.take("data_root").parsed("a path", data_root),
        start: table.take("start").choice(&[("beginning", Start::Beginning), ("end", Start::End)]),
        scan_interval: table.take("scan_interval").duration(SCAN..=HOUR),
        tag: table.take("tag").parsed("text", docker_tag),
        labels: table.take("labels").any_number("one label's name", attribute),
        env: table.take("env").any_number("one variable's name", attribute),
        join: join(table),
    }
}

fn data_root(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("is not an absolute path; write /var/lib/docker".to_owned())
    }
}

fn attribute(name: &str) -> Result<String, String> {
    if SHAPE.contains(&name) {
        return Err("is a field that every record has, so it cannot be one of its own".to_owned());
    }
    new_key(name)
}
