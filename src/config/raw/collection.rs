//! Who else says what is to be collected, as typed.

use std::path::PathBuf;
use std::time::Duration;

use super::destination::{RawDestination, collecting};
use super::kubernetes::cluster;
use super::parsed_path;
use crate::config::endpoint::Endpoint;
use crate::config::plan::ClusterPlan;
use crate::config::reader::Leaf;

/// Sooner, two hundred agents would be a burden; later, a change would not be there within a minute or ten.
const INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(600);

pub(in crate::config) struct RawCollection {
    /// Whether the key is there, right or wrong.
    pub(in crate::config) has_destination: bool,
    pub(in crate::config) destination: Option<RawDestination>,
    /// `auto_create: false` was typed.
    pub(in crate::config) makes_nothing: bool,
    /// Absent: where this gateway has user-defined ids.
    pub(in crate::config) machine_groups: Option<bool>,
    pub(in crate::config) user_defined_id_file: Option<PathBuf>,
    pub(in crate::config) interval: Option<Duration>,
    pub(in crate::config) config_server: Option<String>,
    pub(in crate::config) directory: Option<PathBuf>,
    pub(in crate::config) kubernetes: Option<ClusterPlan>,
}

/// Nothing when the section is absent or no map.
pub(super) fn collection(leaf: Leaf<'_>) -> Option<RawCollection> {
    if !leaf.is_present() {
        return None;
    }
    let mut table = leaf.table()?;
    let has_destination = table.has("destination");
    let destination = table.take("destination");
    let (destination, makes_nothing) = match has_destination.then(|| collecting(destination)).flatten() {
        Some((destination, makes_nothing)) => (Some(destination), makes_nothing),
        None => (None, false),
    };
    let machine_groups = [("auto", None), ("true", Some(true)), ("false", Some(false))];
    let has_kubernetes = table.has("kubernetes");
    let raw = RawCollection {
        has_destination,
        destination,
        makes_nothing,
        machine_groups: table.take("machine_groups").choice(&machine_groups).flatten(),
        user_defined_id_file: parsed_path(
            table.take("user_defined_id_file"),
            "/etc/ilogtail/user_defined_id",
        ),
        interval: table.take("interval").duration(INTERVAL),
        config_server: table.take("config_server").parsed("an address", server),
        directory: parsed_path(table.take("directory"), "/etc/sluicegate/collection"),
        kubernetes: {
            let kubernetes = table.take_table("kubernetes");
            if has_kubernetes { Some(cluster(kubernetes)) } else { None }
        },
    };
    table.finish();
    Some(raw)
}

fn server(text: &str) -> Result<String, String> {
    match Endpoint::parse(text) {
        Ok(endpoint) => Ok(endpoint.to_string()),
        Err(_) => Err("is not an address; write http://host:port".to_owned()),
    }
}
