//! The inputs that sit beside the Docker engine: their defaults.

use std::path::PathBuf;

use super::connections::{join, unix};
use crate::base::limits;
use crate::config::docker_tag::DockerTag;
use crate::config::plan::{DockerPlan, DockerPluginPlan, Start};
use crate::config::raw::{RawDocker, RawDockerPlugin};

/// Where the engine looks first; the log driver is called `sluicegate`.
const SOCKET: &str = "/run/docker/plugins/sluicegate.sock";
/// The engine is root, and what it says holds containers' environment.
const SOCKET_MODE: u32 = 0o600;
const DATA_ROOT: &str = "/var/lib/docker";
const TAG: &str = "docker.{{.Name}}";

pub(super) fn docker_plugin(raw: RawDockerPlugin) -> Option<DockerPluginPlan> {
    Some(DockerPluginPlan {
        socket: raw.socket.unwrap_or_else(|| PathBuf::from(SOCKET)),
        unix: unix(raw.unix, SOCKET_MODE),
        tag: tag(raw.tag)?,
        read_logs_bytes: raw.read_logs_bytes.unwrap_or(limits::READ_LOGS_BYTES),
        join: join(raw.join, limits::JOIN_TIMEOUT),
    })
}

pub(super) fn docker(raw: RawDocker) -> Option<DockerPlan> {
    Some(DockerPlan {
        data_root: raw.data_root.unwrap_or_else(|| PathBuf::from(DATA_ROOT)),
        start: raw.start.unwrap_or(Start::Beginning),
        scan_interval: raw.scan_interval.unwrap_or(limits::SCAN_INTERVAL),
        tag: tag(raw.tag)?,
        labels: raw.labels.unwrap_or_default(),
        env: raw.env.unwrap_or_default(),
        join: join(raw.join, limits::JOIN_TIMEOUT),
    })
}

fn tag(typed: Option<DockerTag>) -> Option<DockerTag> {
    typed.or_else(|| DockerTag::parse(TAG).ok())
}
