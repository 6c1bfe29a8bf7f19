//! A syslog input as typed.

use super::connections::{
    RawConnections, RawJoin, connections, container_tags, join, receive_buffer, source_address_key, tag,
};
use super::known_zone;
use super::listen::{Sockets, listen};
use crate::base::limits::{KIB, MIB};
use crate::config::docker_tag::DockerTag;
use crate::config::plan::{Listen, SyslogTime};
use crate::config::reader::Table;

pub(in crate::config) struct RawSyslog {
    pub(in crate::config) listen: Option<Vec<Listen>>,
    pub(in crate::config) connections: RawConnections,
    pub(in crate::config) receive_buffer: Option<u64>,
    pub(in crate::config) max_message: Option<u64>,
    pub(in crate::config) tag: Option<String>,
    pub(in crate::config) time: Option<SyslogTime>,
    pub(in crate::config) time_zone: Option<String>,
    pub(in crate::config) container_tags: Option<Vec<DockerTag>>,
    pub(in crate::config) source_address_key: Option<String>,
    pub(in crate::config) join: RawJoin,
}

pub(super) fn syslog(table: &mut Table<'_>) -> RawSyslog {
    RawSyslog {
        listen: listen(table.take("listen"), Sockets::All),
        connections: connections(table),
        receive_buffer: receive_buffer(table.take("receive_buffer")),
        max_message: table.take("max_message").size(KIB as u64..=MIB as u64),
        tag: table.take("tag").parsed("text", tag),
        time: table.take("time").choice(&[
            ("auto", SyslogTime::Auto),
            ("header", SyslogTime::Header),
            ("received", SyslogTime::Received),
        ]),
        time_zone: table.take("time_zone").parsed("text", known_zone),
        container_tags: container_tags(table.take("container_tags")),
        source_address_key: source_address_key(table),
        join: join(table),
    }
}
