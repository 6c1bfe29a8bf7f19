//! Who else says what is to be collected: the defaults, and whom to ask.

use std::time::Duration;

use super::{agent, destinations};
use crate::config::errors::Faults;
use crate::config::plan::{AgentPlan, AutoCreate, BufferPlan, CollectionPlan, LOCAL, LogServicePlan};
use crate::config::raw::{RawCollection, RawDestination};

/// A change is there within a minute, with an answer that fails in between.
const INTERVAL: Duration = Duration::from_secs(20);

pub(super) fn collection(
    raw: RawCollection,
    own: &AgentPlan,
    log_service: Option<&LogServicePlan>,
    buffers: &[BufferPlan],
    faults: &Faults,
) -> Option<CollectionPlan> {
    let has_ids = !own.user_defined_ids.is_empty() || raw.user_defined_id_file.is_some();
    let machine_groups = raw.machine_groups.unwrap_or(has_ids);
    if !machine_groups && raw.directory.is_none() && raw.kubernetes.is_none() {
        faults.key(
            "collection",
            "asks nobody: set agent.user_defined_ids for machine groups (or machine_groups: true for those that list \
             addresses), directory or kubernetes",
        );
    }
    let destination = match (raw.destination, raw.has_destination, log_service) {
        (Some(typed), ..) => Some(RawDestination { name: "collection".to_owned(), ..typed }),
        (None, false, Some(_)) => {
            Some(RawDestination { name: LOCAL.to_owned(), ..RawDestination::default() })
        }
        (None, false, None) => {
            let what = "is missing; write the endpoint and the keys of Log Service there, or set log_service.enabled: true";
            faults.key("collection.destination", what);
            None
        }
        // What is wrong with it was told.
        (None, true, _) => None,
    };
    let is_embedded = !raw.has_destination;
    // The function would add `local` beside one of the cloud.
    let mut made = destinations(vec![destination?], log_service.filter(|_| is_embedded), buffers, faults);
    agent::tag(&mut made, own);
    let mut destination = made.into_iter().next()?.1?;
    if is_embedded {
        destination.project.clear();
        destination.logstore.clear();
    }
    let made_for_resources = match destination.auto_create.clone() {
        // It makes what it needs.
        _ if is_embedded || raw.makes_nothing => None,
        Some(typed) => Some(typed),
        None => Some(AutoCreate::default()),
    };
    Some(CollectionPlan {
        destination,
        made_for_resources,
        machine_groups,
        user_defined_id_file: raw.user_defined_id_file,
        interval: raw.interval.unwrap_or(INTERVAL),
        config_server: raw.config_server,
        directory: raw.directory,
        kubernetes: raw.kubernetes,
    })
}
