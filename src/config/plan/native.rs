//! The plans of the inputs that Docker's other log drivers need: syslog, gelf, splunk, the logging plugin, and the files
//! of the json-file and local drivers.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::connections::{ConnectionsPlan, DatagramsPlan, JoinPlan, Listen, UnixPlan};
use crate::base::secret::Secret;
use crate::config::docker_tag::DockerTag;

/// The time zone that is this machine's own, as [`time_zone`] knows it.
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
    /// Of headers that name none: a name that [`time_zone`] knew when it was read.
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

/// The zone of a name: [`LOCAL_ZONE`], `UTC`, which needs no database, or a name of this machine's IANA database.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    match name {
        // A machine that names no zone runs on UTC.
        LOCAL_ZONE => Some(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
        "UTC" => Some(TimeZone::UTC),
        _ => TimeZone::get(name).ok(),
    }
}

/// The zone of a text: what [`time_zone`] knows, or an offset from UTC as Logtail writes it (`GMT+08:00`) or as times do
/// (`+08:00`, `+0800`, `+8`). East is positive, other than in the database's `Etc/GMT+8`.
pub fn zone(text: &str) -> Option<TimeZone> {
    let offset = text.strip_prefix("GMT").or_else(|| text.strip_prefix("UTC")).unwrap_or(text);
    let (sign, offset) = match offset.split_at_checked(1) {
        Some(("+", offset)) => (1, offset),
        Some(("-", offset)) => (-1, offset),
        _ => return time_zone(text),
    };
    let (hours, minutes) = match offset.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        None if offset.len() == 4 => offset.split_at_checked(2)?,
        None => (offset, "0"),
        Some(_) => return None,
    };
    let number = |digits: &str, below: i32| {
        let is_number = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i32>().ok().filter(|number| is_number && *number < below)
    };
    let seconds = sign * (number(hours, 24)? * 3600 + number(minutes, 60)? * 60);
    Some(TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_names_or_offsets() {
        let seconds = |text: &str| Some(zone(text)?.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds());
        for text in ["GMT+08:00", "UTC+8", "+08:00", "+0800", "+08", "+8", "Asia/Shanghai"] {
            assert_eq!(seconds(text), Some(8 * 3600), "{text}");
        }
        assert_eq!(seconds("GMT-05:30"), Some(-(5 * 3600 + 1800)));
        assert_eq!(seconds("UTC"), Some(0));
        assert!(zone(LOCAL_ZONE).is_some());
        for text in [
            "",
            "+",
            "GMT+",
            "GMT+24:00",
            "GMT+08:60",
            "+8:0",
            "+08000",
            "+é8",
            "+-8",
            "Asia/Nowhere",
            "GMT+08:00x",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
