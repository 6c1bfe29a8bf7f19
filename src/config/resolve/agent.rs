//! What the gateway says of itself, and where that goes: into the tags of every destination.

use super::Destinations;
use crate::config::plan::AgentPlan;
use crate::config::raw::RawAgent;

/// As Logtail calls it.
const USER_DEFINED_ID: &str = "__user_defined_id__";

pub(super) fn agent(raw: RawAgent) -> AgentPlan {
    let user_defined_ids = raw.user_defined_ids.unwrap_or_default();
    let mut tags = raw.tags;
    if !user_defined_ids.is_empty() && !tags.iter().any(|(key, _)| key == USER_DEFINED_ID) {
        tags.push((USER_DEFINED_ID.to_owned(), user_defined_ids.join(",")));
    }
    tags.sort();
    AgentPlan {
        user_ids: raw.user_ids.unwrap_or_default(),
        user_defined_ids,
        hostname: raw.hostname,
        source: raw.source,
        tags,
        // The loader knows.
        ignored: Vec::new(),
    }
}

/// A destination's own tags win.
pub(super) fn tag(destinations: &mut Destinations, agent: &AgentPlan) {
    for plan in destinations.iter_mut().filter_map(|(_, plan)| plan.as_mut()) {
        let own = plan.tags.len();
        for tag in &agent.tags {
            if !plan.tags.iter().take(own).any(|(key, _)| *key == tag.0) {
                plan.tags.push(tag.clone());
            }
        }
        plan.tags.sort();
    }
}
