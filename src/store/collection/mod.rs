//! What agents are to collect: machine groups, collection configs in both of Log Service's languages, and who sent
//! heartbeats.
//!
//! ```text
//! machine group  names machines, by address or by an id that they say themselves
//! config         of its own project and name; applied to groups; both languages share the names
//! machine        who sent a heartbeat; its configs are those of all groups, of all projects, that name it
//!
//! body -> [`MachineGroup::parse`], [`CollectionConfig::parse`] -> writer thread -> catalog.db and the copy in memory
//! heartbeat -> [`Machines`], in memory -> configs whose version the agent has not -> [`for_agents`]
//! ```
//!
//! Bodies are kept as they were sent, unknown keys and all. Every change of a group or config gives it a version above all
//! others. Heartbeats are never on the disk.

mod config;
mod fields;
pub mod for_agents;
mod machine_group;
mod machines;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

pub use config::{CollectionConfig, Language};
pub use fields::Object;
pub use machine_group::{IdentifiedBy, MachineGroup};
pub use machines::{Identity, MOST_IDS, Machine, Machines};

use super::{Place, Refused, Store, StoreError};

/// A config that a machine is to have.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub project: String,
    pub name: String,
    pub language: Language,
    pub body: Arc<Object>,
    /// Another one when what is delivered is another.
    pub version: i64,
    /// The topic of the group it comes through; of several the first by name.
    pub group_topic: String,
}

impl Delivery {
    /// Unique among the configs of an agent, which may be of several projects; neither name has a `$`.
    pub fn agents_name(&self) -> String {
        format!("{}${}", self.project, self.name)
    }
}

impl Store {
    /// Makes a machine group, or with `replace` changes it. Its configs stay applied.
    pub async fn put_machine_group(
        &self,
        place: Place<'_>,
        body: Object,
        replace: bool,
    ) -> Result<(), StoreError> {
        let group = MachineGroup::parse(body)?;
        let (place, now) = (owned(place), self.clock.seconds());
        self.change(move |catalog, db| catalog.put_machine_group(db, lent(&place), group, replace, now)).await
    }

    /// Adds machines to a group, or takes them out.
    pub async fn change_machines(
        &self,
        place: Place<'_>,
        machines: Vec<String>,
        add: bool,
    ) -> Result<(), StoreError> {
        let (place, now) = (owned(place), self.clock.seconds());
        self.change(move |catalog, db| catalog.change_machines(db, lent(&place), &machines, add, now)).await
    }

    pub async fn delete_machine_group(&self, place: Place<'_>) -> Result<(), StoreError> {
        let place = owned(place);
        self.change(move |catalog, db| catalog.delete_machine_group(db, lent(&place))).await
    }

    /// Makes a config, or with `replace` changes it.
    pub async fn put_config(
        &self,
        place: Place<'_>,
        language: Language,
        body: Object,
        replace: bool,
    ) -> Result<(), StoreError> {
        let config = CollectionConfig::parse(language, body)?;
        let (place, now) = (owned(place), self.clock.seconds());
        self.change(move |catalog, db| catalog.put_config(db, lent(&place), config, replace, now)).await
    }

    /// Deletes a config of this language; it is applied nowhere any more.
    pub async fn delete_config(&self, place: Place<'_>, language: Language) -> Result<(), StoreError> {
        let place = owned(place);
        self.change(move |catalog, db| catalog.delete_config(db, lent(&place), language)).await
    }

    /// Applies a config to a machine group, or with `remove` takes it off.
    pub async fn apply_config(&self, group: Place<'_>, config: &str, remove: bool) -> Result<(), StoreError> {
        let (group, config) = (owned(group), config.to_owned());
        self.change(move |catalog, db| catalog.apply_config(db, lent(&group), &config, remove)).await
    }

    /// Notes a heartbeat. `false`: there are too many machines, and this one is not noted.
    pub fn note_machine(&self, identity: Identity, now: i64) -> bool {
        let mut machines = self.machines();
        let noted = machines.note(identity, now);
        self.metrics.machines.set(machines.len() as f64);
        noted
    }

    /// What a machine last said about itself.
    pub fn machine(&self, instance_id: &str) -> Option<Arc<Identity>> {
        self.machines().get(instance_id)
    }

    /// The machines of a group: members by address whether they came or not, others when they came lately.
    pub fn machines_of(&self, place: Place<'_>, now: i64) -> Result<Vec<Machine>, Refused> {
        let (by, members) = {
            let catalog = self.catalog();
            let group = catalog.machine_group(place)?;
            (group.identified_by, group.members.clone())
        };
        Ok(self.machines().of(by, &members, now))
    }

    /// All configs of all groups that name this machine.
    pub fn configs_for(&self, identity: &Identity) -> Vec<Delivery> {
        let catalog = self.catalog();
        let mut groups: BTreeSet<Place<'_>> =
            catalog.groups_with(&identity.ip, IdentifiedBy::Address).collect();
        for id in identity.names() {
            groups.extend(catalog.groups_with(id, IdentifiedBy::UserDefined));
        }
        let mut deliveries = BTreeMap::new();
        for (project, name) in groups {
            let Ok(group) = catalog.machine_group((project, name)) else { continue };
            for config_name in &group.configs {
                let Ok(config) = catalog.config((project, config_name)) else { continue };
                deliveries.entry((project, config_name)).or_insert_with(|| Delivery {
                    project: project.to_owned(),
                    name: config_name.clone(),
                    language: config.language,
                    body: config.body.clone(),
                    version: match for_agents::has_group_topic(config) {
                        true => config.version.max(group.version),
                        false => config.version,
                    },
                    group_topic: group.topic.clone(),
                });
            }
        }
        deliveries.into_values().collect()
    }

    fn machines(&self) -> MutexGuard<'_, Machines> {
        self.machines.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn owned((project, name): Place<'_>) -> (String, String) {
    (project.to_owned(), name.to_owned())
}

fn lent((project, name): &(String, String)) -> Place<'_> {
    (project, name)
}
