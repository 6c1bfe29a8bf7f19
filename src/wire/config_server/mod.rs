//! What a collection agent and a config server say to each other: the messages of the ConfigServer protocol, version 2,
//! which LoongCollector speaks. Plain HTTP, `Content-Type: application/x-protobuf`, proto3.
//!
//! ```text
//! POST /Agent/Heartbeat            HeartbeatRequest -> HeartbeatResponse      every 10 s
//! POST /Agent/FetchPipelineConfig  FetchRequest     -> FetchResponse          where a heartbeat's answer asks for it
//! POST /Agent/FetchInstanceConfig  the same
//!
//! HeartbeatRequest   request_id=1 sequence_num=2 capabilities=3 instance_id=4 agent_type=5 attributes=6 tags=7
//!                    running_status=8 startup_time=9 continuous_pipeline_configs=10 instance_configs=11
//!                    onetime_pipeline_configs=12 flags=13
//! HeartbeatResponse  request_id=1 common_response=2 capabilities=3 continuous_pipeline_config_updates=4
//!                    instance_config_updates=5 onetime_pipeline_config_updates=6 flags=7
//! FetchRequest       request_id=1 instance_id=2 continuous_pipeline_configs=3 instance_configs=4
//! FetchResponse      request_id=1 common_response=2 continuous_pipeline_config_updates=3 instance_config_updates=4
//! Attributes         version=1 ip=2 hostname=3 hostid=4 extras=100 (map)
//! Tag                name=1 value=2
//! ConfigInfo         name=1 version=2 status=3 message=4
//! ConfigDetail       name=1 version=2 (-1: to be removed) detail=3 (JSON)
//! CommonResponse     status=1 errorMessage=2
//! ```
//!
//! Both directions are here: the embedded Log Service answers, our own agent asks. Unknown fields are skipped, one that comes
//! twice counts as it came last, text that is no UTF-8 is repaired. Lists are bounded, since an empty item costs two bytes
//! on the wire and a hundred in memory.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use super::protobuf::FieldError;

/// Content type of all messages.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
pub const HEARTBEAT_PATH: &str = "/Agent/Heartbeat";

/// The agent takes continuous pipeline configs (bit of [`HeartbeatRequest::capabilities`]).
pub const ACCEPTS_PIPELINES: u64 = 1;
/// The agent shall say all about itself next time (bit of [`HeartbeatResponse::flags`]).
pub const REPORT_FULL_STATE: u64 = 1;
/// A config's version that means it is to be removed.
pub const REMOVED: i64 = -1;

/// Items of a list of configs.
pub const MOST_CONFIGS: usize = 4096;
/// Tags, and extras of the attributes.
pub const MOST_PAIRS: usize = 256;

/// Why bytes are no message of the protocol.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MessageError {
    #[error("the message {0}")]
    Field(#[from] FieldError),
    #[error("the message has more than {most} {what}")]
    TooMany { what: &'static str, most: usize },
}

/// An agent says that it lives, who it is and what it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// Comes back in the answer.
    pub request_id: Vec<u8>,
    pub sequence_num: u64,
    pub capabilities: u64,
    /// Unique, and the same as long as the agent runs or longer.
    pub instance_id: String,
    pub agent_type: String,
    /// Absent when they are as they were.
    pub attributes: Option<Attributes>,
    pub tags: Vec<Tag>,
    pub running_status: String,
    /// Seconds since 1970.
    pub startup_time: i64,
    pub pipeline_configs: Vec<ConfigInfo>,
    pub instance_configs: Vec<ConfigInfo>,
    pub onetime_configs: Vec<ConfigInfo>,
    pub flags: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub version: String,
    pub ip: String,
    pub hostname: String,
    pub host_id: String,
    pub extras: Vec<Tag>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    pub name: String,
    pub value: String,
}

/// A config that an agent has, or asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigInfo {
    pub name: String,
    pub version: i64,
    pub status: ConfigStatus,
    /// Why it failed.
    pub message: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConfigStatus {
    #[default]
    Unset,
    Applying,
    Applied,
    Failed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatResponse {
    pub request_id: Vec<u8>,
    pub common: CommonResponse,
    pub capabilities: u64,
    pub pipeline_updates: Vec<ConfigDetail>,
    pub instance_updates: Vec<ConfigDetail>,
    pub onetime_updates: Vec<ConfigDetail>,
    pub flags: u64,
}

/// 0 and no text: all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommonResponse {
    pub status: i32,
    pub error_message: String,
}

/// A config for the agent, or with the version [`REMOVED`] one that it shall let go of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigDetail {
    pub name: String,
    pub version: i64,
    /// JSON text.
    pub detail: Vec<u8>,
}

/// An agent asks for configs by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchRequest {
    pub request_id: Vec<u8>,
    pub instance_id: String,
    pub pipeline_configs: Vec<ConfigInfo>,
    pub instance_configs: Vec<ConfigInfo>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchResponse {
    pub request_id: Vec<u8>,
    pub common: CommonResponse,
    pub pipeline_updates: Vec<ConfigDetail>,
    pub instance_updates: Vec<ConfigDetail>,
}
