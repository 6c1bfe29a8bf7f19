//! How a destination is sent to: which shard, how much, what is made when it is missing.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What of a LogGroup takes part in the key that chooses its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardKeyPart {
    Source,
    Topic,
    Tag(String),
}

impl ShardKeyPart {
    /// From `__source__`, `__topic__` or `__tag__:NAME`.
    pub fn parse(text: &str) -> Result<ShardKeyPart, String> {
        match text {
            "__source__" => Ok(ShardKeyPart::Source),
            "__topic__" => Ok(ShardKeyPart::Topic),
            other => match other.strip_prefix("__tag__:") {
                Some(tag) if !tag.is_empty() => Ok(ShardKeyPart::Tag(tag.to_owned())),
                _ => Err(format!(
                    "is no part of a shard key; there are __source__, __topic__ and __tag__:NAME, not {text:?}"
                )),
            },
        }
    }
}

impl fmt::Display for ShardKeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShardKeyPart::Source => f.write_str("__source__"),
            ShardKeyPart::Topic => f.write_str("__topic__"),
            ShardKeyPart::Tag(tag) => write!(f, "__tag__:{tag}"),
        }
    }
}

/// Whether small LogGroups travel together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchGroup {
    /// To the embedded Log Service.
    #[default]
    Auto,
    On,
    Off,
}

/// Project, logstore and index that are made when the service says that they are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoCreate {
    pub shards: usize,
    /// Days; 3650 is for ever.
    pub ttl: usize,
    pub mode: LogstoreMode,
    pub index: bool,
    /// Only custom resources say the rest. Busy shards become two, until there are so many.
    pub auto_split: bool,
    pub max_split_shards: usize,
    /// Whether the service keeps who sent a record, and when it came.
    pub append_meta: bool,
    /// Days of the hot tier; absent: all.
    pub hot_ttl: Option<usize>,
    /// The body of CreateIndex, where it is not ours.
    pub own_index: Option<Value>,
}

impl Default for AutoCreate {
    fn default() -> AutoCreate {
        AutoCreate {
            shards: 2,
            ttl: 30,
            mode: LogstoreMode::Standard,
            index: true,
            auto_split: true,
            max_split_shards: 64,
            append_meta: false,
            hot_ttl: None,
            own_index: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogstoreMode {
    /// Search and analytics.
    Standard,
    /// Search alone, at a lower price.
    Query,
}

impl LogstoreMode {
    pub fn name(self) -> &'static str {
        match self {
            LogstoreMode::Standard => "standard",
            LogstoreMode::Query => "query",
        }
    }
}
