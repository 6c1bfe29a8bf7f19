//! Which resources are this gateway's, and which of them make sense.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{Found, Source, Wanted};
use crate::config::collected::resource::{Resource, ResourceError};

/// What one gateway collects; the manager takes no more either.
pub(super) const MOST: usize = 1_000;
/// The group that the DaemonSet of a cluster has: `k8s-group-CLUSTER`.
const DEFAULT_GROUP: &str = "k8s-group-";

/// A resource where it was met, or why it is none.
pub(super) struct Met {
    /// `NAMESPACE/NAME`, or a file's name.
    pub(super) place: String,
    pub(super) resource: Result<Resource, Broken>,
}

/// What could not be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Broken {
    pub(super) project: Option<String>,
    pub(super) name: Option<String>,
    /// As far as they could be made out.
    pub(super) machine_groups: Vec<String>,
    pub(super) reasons: Vec<String>,
}

impl Broken {
    /// Of an object that makes no sense: who it is meant for may do so nevertheless.
    pub(super) fn of(object: &Value, error: ResourceError) -> Broken {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let spec = &object["spec"];
        let group = |group: &Value| text(group).or_else(|| text(&group["name"]));
        let groups = spec["machineGroups"].as_array();
        Broken {
            project: text(&spec["project"]).or_else(|| text(&spec["project"]["name"])),
            name: error.name,
            machine_groups: groups.into_iter().flatten().filter_map(group).collect(),
            reasons: error.reasons,
        }
    }
}

/// What is to be said to the manager, and what it does not need.
pub(super) struct Chosen {
    pub(super) found: Found,
    /// By the id of a configuration: where it was met, and keys that have no effect there.
    pub(super) places: BTreeMap<String, (String, Vec<String>)>,
}

/// `project`: of resources that name none. Of two that mean the same, the one whose place comes first is taken.
pub(super) fn choose(
    source: Source,
    met: impl IntoIterator<Item = Met>,
    ids: &[String],
    project: Option<&str>,
) -> Chosen {
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    let mut refused = Vec::new();
    let mut places: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    for Met { place, resource } in met {
        let (id, reasons) = match resource {
            Err(broken) => {
                if !is_ours(&broken.machine_groups, ids) {
                    continue;
                }
                (id(broken.project.as_deref().or(project), broken.name.as_deref(), &place), broken.reasons)
            }
            Ok(resource) => {
                if !is_ours(&resource.machine_groups, ids) {
                    continue;
                }
                let own = resource.project.clone().or_else(|| project.map(str::to_owned));
                let id = id(own.as_deref(), Some(&resource.name), &place);
                let others = places.get(&id);
                let reason = match (own, others) {
                    (None, _) => {
                        "spec.project: is missing, and there is no collection.destination.project to take"
                            .to_owned()
                    }
                    (_, Some((other, _))) => {
                        format!("metadata.name: {other} means the same configuration of the same project")
                    }
                    (Some(_), None) if wanted.len() >= MOST => {
                        format!("there are {MOST} others, and a gateway takes no more")
                    }
                    (Some(project), None) => {
                        let Resource { name, form, body, notes, logstores, .. } = resource;
                        places.insert(id.clone(), (place, notes));
                        let group_topic = None;
                        let one = Wanted { source, project, name, form, body, group_topic, logstores };
                        wanted.insert(id, one);
                        continue;
                    }
                };
                (id, vec![reason])
            }
        };
        // What goes by the name of one that is taken must not be mistaken for it.
        let id = if places.contains_key(&id) { format!("{id} ({place})") } else { id };
        places.insert(id.clone(), (place, Vec::new()));
        refused.push((id, reasons));
    }
    Chosen { found: Found { source, wanted: wanted.into_values().collect(), refused }, places }
}

fn id(project: Option<&str>, name: Option<&str>, place: &str) -> String {
    match (project, name) {
        (Some(project), Some(name)) => format!("{project}.{name}"),
        _ => place.to_owned(),
    }
}

fn is_ours(groups: &[String], ids: &[String]) -> bool {
    groups.is_empty()
        || groups.iter().any(|group| ids.contains(group))
        || ids.is_empty() && groups.iter().any(|group| group.starts_with(DEFAULT_GROUP))
}
