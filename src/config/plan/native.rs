//! The plans of the inputs that Docker's other log drivers need: syslog, gelf, splunk, the logging plugin, and the files
//! of the json-file and local drivers.

use std::path::PathBuf;
use std::time::Duration;

use super::connections::{ConnectionsPlan, DatagramsPlan, JoinPlan, Listen, UnixPlan};
use crate::base::secret::Secret;
use crate::config::docker_tag::DockerTag;

/// The time zone that is this machine's own, in [`SyslogPlan::time_zone`].
pub const LOCAL_ZONE: &str = "local";

#[derive(Clone, Debug, PartialEq)]
pub struct SyslogPlan {
    /// At least one, of any kind.
    pub listen: Vec<Listen>,
    pub connections: ConnectionsPlan,
    pub datagrams: DatagramsPlan,
    /// Bytes of one message; of a longer one the beginning is kept and marked.
    pub max_message: usize,
    /// Instead of `syslog.<facility>`.
    pub tag: Option<String>,
    pub time: SyslogTime,
    /// Of headers that name none: [`LOCAL_ZONE`], or a name that the zones of this machine had when it was read.
    pub time_zone: String,
    /// The forms of Docker's `tag` option that name a container; the first that fits a message's tag counts.
    pub container_tags: Vec<DockerTag>,
    /// Field that gets the peer's address.
    pub source_address_key: Option<String>,
    pub join: JoinPlan,
}

/// Which time a syslog message gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogTime {
    /// The header's when it has a fraction or is some seconds old, else that of its receipt, which is the finer one.
    Auto,
    Header,
    Received,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GelfPlan {
    /// At least one: UDP, TCP, Unix.
    pub listen: Vec<Listen>,
    pub connections: ConnectionsPlan,
    pub datagrams: DatagramsPlan,
    /// Bytes of one message, inflated.
    pub max_message: usize,
    /// A message whose chunks do not all come within this time is given up.
    pub chunk_timeout: Duration,
    /// Messages that wait for chunks, and the bytes of their chunks.
    pub max_incomplete: usize,
    pub max_incomplete_bytes: usize,
    /// Instead of `gelf.<host>`.
    pub tag: Option<String>,
    /// Keep `_command`, the container's whole command line, which may hold secrets.
    pub keep_command: bool,
    /// Field that gets the peer's address.
    pub source_address_key: Option<String>,
    pub join: JoinPlan,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SplunkPlan {
    /// At least one: TCP, Unix.
    pub listen: Vec<Listen>,
    pub connections: ConnectionsPlan,
    /// Peers must have one of these; empty lets in who has any.
    pub tokens: Vec<Secret>,
    /// Answer requests that name a channel with an ack id, and questions about it.
    pub acknowledgement: bool,
    /// Bytes of a request's body, inflated.
    pub max_body: usize,
    /// Bytes of one event.
    pub max_event: usize,
    /// Instead of `splunk.<source>`.
    pub tag: Option<String>,
    /// As for syslog.
    pub container_tags: Vec<DockerTag>,
    /// Field that gets the peer's address.
    pub source_address_key: Option<String>,
    pub join: JoinPlan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerPluginPlan {
    /// Where the engine looks for the plugin; its name without `.sock` is the log driver's.
    pub socket: PathBuf,
    pub unix: UnixPlan,
    /// Of containers that have no option `tag`.
    pub tag: DockerTag,
    /// What `docker logs` can read of each container, on disk; 0 turns it off.
    pub read_logs_bytes: u64,
    pub join: JoinPlan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerPlan {
    /// The engine's data directory; its `containers` are read.
    pub data_root: PathBuf,
    /// Where a file begins that is there at the very first start. Later ones are read from their beginning.
    pub start: Start,
    /// How often directories are looked at, beside what the kernel tells.
    pub scan_interval: Duration,
    pub tag: DockerTag,
    /// Labels and environment variables of a container that become fields, by name.
    pub labels: Vec<String>,
    pub env: Vec<String>,
    pub join: JoinPlan,
}

/// Where a file is read from that nothing is known about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Beginning,
    End,
}
