//! The settings of a logstore: what they are when nobody says, and what they may be.

use serde::{Deserialize, Serialize};

use super::Refused;

/// Settings of a logstore, with the names of the API.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Settings {
    /// Days; 3650 is for ever.
    pub ttl: i64,
    #[serde(rename = "shardCount")]
    pub shard_count: i64,
    pub enable_tracking: bool,
    #[serde(rename = "autoSplit")]
    pub auto_split: bool,
    #[serde(rename = "maxSplitShard")]
    pub max_split_shard: i64,
    #[serde(rename = "appendMeta")]
    pub append_meta: bool,
    #[serde(rename = "telemetryType")]
    pub telemetry_type: String,
    pub hot_ttl: i64,
    #[serde(rename = "infrequentAccessTTL")]
    pub infrequent_access_ttl: i64,
    pub mode: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            ttl: 30,
            shard_count: 2,
            enable_tracking: false,
            auto_split: true,
            max_split_shard: 64,
            append_meta: false,
            telemetry_type: String::new(),
            hot_ttl: -1,
            infrequent_access_ttl: -1,
            mode: "standard".into(),
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), Refused> {
        if !(1..=3650).contains(&self.ttl) {
            return Err(Refused::Setting("ttl must be within range [1, 3650]"));
        }
        if !(1..=256).contains(&self.shard_count) {
            return Err(Refused::Setting("shardCount must be within range [1, 256]"));
        }
        if !(1..=256).contains(&self.max_split_shard) {
            return Err(Refused::Setting("maxSplitShard must be within range [1, 256]"));
        }
        if !["", "None", "Metrics"].contains(&self.telemetry_type.as_str()) {
            return Err(Refused::Setting("telemetryType must be None or Metrics"));
        }
        if !["", "standard", "query"].contains(&self.mode.as_str()) {
            return Err(Refused::Setting("mode must be standard or query"));
        }
        Ok(())
    }
}
