//! The catalog's machine groups, collection configs, and which configs are applied to which groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, params};

use super::{Catalog, ChangeError, Project, Refused};
use crate::store::collection::{CollectionConfig, IdentifiedBy, Language, MachineGroup, Object};

/// Of one project, as in the cloud.
const GROUPS: usize = 200;
const CONFIGS: usize = 200;

/// Where a group or a config is: project and name.
pub type Place<'a> = (&'a str, &'a str);

/// Which groups name a machine, by address or id. Asked on every heartbeat, of all projects.
#[derive(Debug, Default)]
pub(super) struct Memberships(HashMap<String, BTreeSet<(IdentifiedBy, String, String)>>);

impl Memberships {
    fn add(&mut self, project: &str, name: &str, group: &MachineGroup) {
        for member in group.members.iter() {
            let entry = (group.identified_by, project.to_owned(), name.to_owned());
            self.0.entry(member.clone()).or_default().insert(entry);
        }
    }

    fn remove(&mut self, project: &str, name: &str, group: &MachineGroup) {
        let entry = (group.identified_by, project.to_owned(), name.to_owned());
        for member in group.members.iter() {
            if let Some(groups) = self.0.get_mut(member) {
                groups.remove(&entry);
                if groups.is_empty() {
                    self.0.remove(member);
                }
            }
        }
    }
}

impl Catalog {
    pub fn machine_group(&self, (project, name): Place<'_>) -> Result<&MachineGroup, Refused> {
        let project = self.project(project)?;
        project.machine_groups.get(name).ok_or_else(|| Refused::NoMachineGroup(short(name)))
    }

    pub fn config(&self, (project, name): Place<'_>) -> Result<&CollectionConfig, Refused> {
        self.project(project)?.configs.get(name).ok_or_else(|| Refused::NoConfig(short(name)))
    }

    /// Groups of all projects that name a machine so.
    pub fn groups_with(&self, member: &str, by: IdentifiedBy) -> impl Iterator<Item = Place<'_>> {
        let groups = self.memberships.0.get(member).into_iter().flatten();
        groups
            .filter(move |(identified_by, _, _)| *identified_by == by)
            .map(|(_, project, name)| (project.as_str(), name.as_str()))
    }

    /// Makes a group, or with `replace` changes it.
    pub(in crate::store) fn put_machine_group(
        &mut self,
        connection: &Connection,
        (project_name, name): Place<'_>,
        group: MachineGroup,
        replace: bool,
        now: i64,
    ) -> Result<(), ChangeError> {
        let version = self.next_version(now);
        let project = project_of(&mut self.projects, project_name)?;
        let former = project.machine_groups.get(name);
        match (former, replace) {
            (None, true) => return Err(Refused::NoMachineGroup(short(name)).into()),
            (Some(_), false) => return Err(Refused::MachineGroupExists(short(name)).into()),
            (None, false) if !is_name(name, 3) => {
                return Err(Refused::MachineGroupName(short(name)).into());
            }
            (None, false) if project.machine_groups.len() >= GROUPS => {
                return Err(Refused::TooManyMachineGroups(GROUPS).into());
            }
            _ => {}
        }
        let group = MachineGroup {
            created: former.map_or(now, |former| former.created),
            modified: now,
            version,
            configs: former.map(|former| former.configs.clone()).unwrap_or_default(),
            ..group
        };
        connection.execute(
            "INSERT INTO machine_groups (project, name, body, created, modified, version) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (project, name) DO UPDATE SET body = ?3, modified = ?5, version = ?6",
            params![project.id, name, text(&group.body)?, group.created, group.modified, group.version],
        )?;
        if let Some(former) = former {
            self.memberships.remove(project_name, name, former);
        }
        self.memberships.add(project_name, name, &group);
        project.machine_groups.insert(name.into(), group);
        self.highest_version = version;
        Ok(())
    }

    /// Adds machines to a group, or takes them out.
    pub(in crate::store) fn change_machines(
        &mut self,
        connection: &Connection,
        place: Place<'_>,
        machines: &[String],
        add: bool,
        now: i64,
    ) -> Result<(), ChangeError> {
        let body = self.machine_group(place)?.with_members(machines, add);
        self.put_machine_group(connection, place, MachineGroup::parse(body)?, true, now)
    }

    pub(in crate::store) fn delete_machine_group(
        &mut self,
        connection: &Connection,
        (project_name, name): Place<'_>,
    ) -> Result<(), ChangeError> {
        self.machine_group((project_name, name))?;
        let project = project_of(&mut self.projects, project_name)?;
        let transaction = connection.unchecked_transaction()?;
        let of_group = params![project.id, name];
        transaction.execute("DELETE FROM machine_groups WHERE project = ?1 AND name = ?2", of_group)?;
        transaction
            .execute("DELETE FROM applied_configs WHERE project = ?1 AND machine_group = ?2", of_group)?;
        transaction.commit()?;
        if let Some(group) = project.machine_groups.remove(name) {
            self.memberships.remove(project_name, name, &group);
        }
        Ok(())
    }

    /// Makes a config, or with `replace` changes it. Both languages share the names.
    pub(in crate::store) fn put_config(
        &mut self,
        connection: &Connection,
        (project, name): Place<'_>,
        config: CollectionConfig,
        replace: bool,
        now: i64,
    ) -> Result<(), ChangeError> {
        let version = self.next_version(now);
        let project = project_of(&mut self.projects, project)?;
        let former = project.configs.get(name);
        match (former, replace) {
            (None, true) => return Err(Refused::NoConfig(short(name)).into()),
            (Some(_), false) => return Err(Refused::ConfigExists(short(name)).into()),
            (Some(former), true) => former.needs(config.language, name)?,
            (None, false) if !is_name(name, 2) => return Err(Refused::ConfigName(short(name)).into()),
            (None, false) if project.configs.len() >= CONFIGS => {
                return Err(Refused::TooManyConfigs(CONFIGS).into());
            }
            _ => {}
        }
        let created = former.map_or(now, |former| former.created);
        let config = CollectionConfig { created, modified: now, version, ..config };
        connection.execute(
            "INSERT INTO collection_configs (project, name, language, body, created, modified, version) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (project, name) DO UPDATE SET body = ?4, modified = ?6, version = ?7",
            params![project.id, name, word(config.language), text(&config.body)?, created, now, version],
        )?;
        project.configs.insert(name.into(), config);
        self.highest_version = version;
        Ok(())
    }

    pub(in crate::store) fn delete_config(
        &mut self,
        connection: &Connection,
        (project, name): Place<'_>,
        language: Language,
    ) -> Result<(), ChangeError> {
        self.config((project, name))?.needs(language, name)?;
        let project = project_of(&mut self.projects, project)?;
        let transaction = connection.unchecked_transaction()?;
        let of_config = params![project.id, name];
        transaction.execute("DELETE FROM collection_configs WHERE project = ?1 AND name = ?2", of_config)?;
        transaction.execute("DELETE FROM applied_configs WHERE project = ?1 AND config = ?2", of_config)?;
        transaction.commit()?;
        project.configs.remove(name);
        for group in project.machine_groups.values_mut() {
            group.configs.remove(name);
        }
        Ok(())
    }

    /// Applies a config to a group, or with `remove` takes it off. What is so already stays so.
    pub(in crate::store) fn apply_config(
        &mut self,
        connection: &Connection,
        (project, group): Place<'_>,
        config: &str,
        remove: bool,
    ) -> Result<(), ChangeError> {
        self.machine_group((project, group))?;
        self.config((project, config))?;
        let project = project_of(&mut self.projects, project)?;
        let sql = match remove {
            false => {
                "INSERT OR IGNORE INTO applied_configs (project, machine_group, config) VALUES (?1, ?2, ?3)"
            }
            true => "DELETE FROM applied_configs WHERE project = ?1 AND machine_group = ?2 AND config = ?3",
        };
        connection.execute(sql, params![project.id, group, config])?;
        if let Some(group) = project.machine_groups.get_mut(group) {
            match remove {
                false => group.configs.insert(config.to_owned()),
                true => group.configs.remove(config),
            };
        }
        Ok(())
    }

    /// Forgets the groups of a project that is no more.
    pub(super) fn forget_memberships(&mut self, project: &Project) {
        for (name, group) in &project.machine_groups {
            self.memberships.remove(&project.name, name, group);
        }
    }

    /// Above all that were given, also to what was deleted before a restart: an agent that holds a config of the same name
    /// shall see that it is another one.
    fn next_version(&self, now: i64) -> i64 {
        now.saturating_mul(1000).max(self.highest_version + 1)
    }

    /// Reads what the database has, into projects that are there. What is not understood, which nothing is that was written
    /// here, is left out.
    pub(super) fn load_collection(
        &mut self,
        connection: &Connection,
        names: &BTreeMap<i64, String>,
    ) -> rusqlite::Result<()> {
        let Catalog { projects, memberships, highest_version, .. } = self;
        let sql = "SELECT project, name, body, created, modified, version FROM machine_groups";
        let mut query = connection.prepare(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let Some(project) = named(projects, names, row.get(0)?) else { continue };
            let name: String = row.get(1)?;
            match object(&row.get::<_, String>(2)?).and_then(MachineGroup::parse) {
                Ok(group) => {
                    let version: i64 = row.get(5)?;
                    *highest_version = version.max(*highest_version);
                    let group =
                        MachineGroup { created: row.get(3)?, modified: row.get(4)?, version, ..group };
                    memberships.add(&project.name, &name, &group);
                    project.machine_groups.insert(name, group);
                }
                Err(reason) => {
                    tracing::warn!(name, "a machine group in the catalog cannot be used: {reason}")
                }
            }
        }
        let sql = "SELECT project, name, language, body, created, modified, version FROM collection_configs";
        let mut query = connection.prepare(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let Some(project) = named(projects, names, row.get(0)?) else { continue };
            let name: String = row.get(1)?;
            let language = match row.get::<_, String>(2)?.as_str() {
                "pipeline" => Language::Pipeline,
                _ => Language::Classic,
            };
            match object(&row.get::<_, String>(3)?).and_then(|body| CollectionConfig::parse(language, body)) {
                Ok(config) => {
                    let version: i64 = row.get(6)?;
                    *highest_version = version.max(*highest_version);
                    let config =
                        CollectionConfig { created: row.get(4)?, modified: row.get(5)?, version, ..config };
                    project.configs.insert(name, config);
                }
                Err(reason) => {
                    tracing::warn!(name, "a collection config in the catalog cannot be used: {reason}");
                }
            }
        }
        let mut query = connection.prepare("SELECT project, machine_group, config FROM applied_configs")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (group, config): (String, String) = (row.get(1)?, row.get(2)?);
            let Some(project) = named(projects, names, row.get(0)?) else { continue };
            if !project.configs.contains_key(&config) {
                continue;
            }
            if let Some(group) = project.machine_groups.get_mut(&group) {
                group.configs.insert(config);
            }
        }
        Ok(())
    }
}

impl CollectionConfig {
    /// Refuses a config of the other language: each has an API of its own.
    pub fn needs(&self, language: Language, name: &str) -> Result<(), Refused> {
        if self.language == language {
            return Ok(());
        }
        let (made, calls) = match self.language {
            Language::Classic => ("a Logtail config", "/configs"),
            Language::Pipeline => ("a pipeline config", "/pipelineconfigs"),
        };
        let name = short(name);
        Err(Refused::Parameter(format!("configName: {name} is {made}; use the calls of {calls}/{name}")))
    }
}

fn project_of<'a>(
    projects: &'a mut BTreeMap<String, Project>,
    name: &str,
) -> Result<&'a mut Project, Refused> {
    projects.get_mut(name).ok_or_else(|| Refused::NoProject(name.into()))
}

/// The project of an id.
fn named<'a>(
    projects: &'a mut BTreeMap<String, Project>,
    names: &BTreeMap<i64, String>,
    id: i64,
) -> Option<&'a mut Project> {
    projects.get_mut(names.get(&id)?)
}

fn word(language: Language) -> &'static str {
    match language {
        Language::Classic => "classic",
        Language::Pipeline => "pipeline",
    }
}

fn object(text: &str) -> Result<Object, Refused> {
    serde_json::from_str(text).map_err(|error| Refused::Parameter(error.to_string()))
}

fn text(body: &Object) -> rusqlite::Result<String> {
    serde_json::to_string(body).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// So many to 128 of `a-z 0-9 _ -`, the first and last a letter or digit.
fn is_name(name: &str, least: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (least..=128).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'_'))
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
}

/// What is quoted back is bounded.
fn short(name: &str) -> String {
    name.chars().take(100).collect()
}
