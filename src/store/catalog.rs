//! Projects and logstores: rows in the database, and a copy in memory that every request looks at.
//!
//! Changes are made by the writer thread alone, in the database first, so that the copy never promises what a crash
//! could take back.

mod collection;
mod consumers;
mod indexes;
mod settings;
mod shards;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, params};

pub use collection::Place;
pub use consumers::{Checkpoint, ConsumerGroup, GroupPlace};
pub use settings::Settings;

use super::collection::{CollectionConfig, MachineGroup};
use super::shards::{Shard, cut};
use super::{Index, Refused};

/// Bounds of the embedded service: the copy is held in memory.
const PROJECTS: usize = 1_000;
const LOGSTORES: usize = 1_000;

#[derive(Clone, Debug)]
pub struct Logstore {
    pub id: i64,
    pub name: String,
    pub settings: Settings,
    /// How it is searched, where that was said.
    pub index: Option<Arc<Index>>,
    /// Seconds since 1970, as in [`Project`].
    pub created: i64,
    pub modified: i64,
    /// In the order of their numbers.
    pub shards: Arc<Vec<Shard>>,
    /// Consumer groups by name.
    pub groups: BTreeMap<String, ConsumerGroup>,
}

#[derive(Clone, Debug)]
pub struct Project {
    pub id: i64,
    pub name: String,
    pub description: String,
    pub created: i64,
    pub modified: i64,
    pub logstores: BTreeMap<String, Logstore>,
    /// Machine groups and collection configs, by name.
    pub machine_groups: BTreeMap<String, MachineGroup>,
    pub configs: BTreeMap<String, CollectionConfig>,
}

/// The copy in memory.
#[derive(Debug, Default)]
pub struct Catalog {
    projects: BTreeMap<String, Project>,
    /// What the writer asks about each logstore there is, by id.
    live: HashMap<i64, Live>,
    /// Changes by which logstores went, since the start.
    deletions: u64,
    memberships: collection::Memberships,
    /// Of machine groups and collection configs.
    highest_version: i64,
}

#[derive(Debug)]
struct Live {
    /// Days its packs are kept.
    ttl: i64,
    shards: Arc<Vec<Shard>>,
}

/// What went wrong in a change: the request, or the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

impl Catalog {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Catalog> {
        let mut catalog = Catalog::default();
        let mut names = BTreeMap::new();
        let mut query =
            connection.prepare("SELECT id, name, description, created, modified FROM projects")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let project = Project {
                id: row.get(0)?,
                name: row.get(1)?,
                description: row.get(2)?,
                created: row.get(3)?,
                modified: row.get(4)?,
                logstores: BTreeMap::new(),
                machine_groups: BTreeMap::new(),
                configs: BTreeMap::new(),
            };
            names.insert(project.id, project.name.clone());
            catalog.projects.insert(project.name.clone(), project);
        }
        let mut indexes = indexes::load(connection)?;
        let (mut shards, mut groups) = (shards::load(connection)?, consumers::load(connection)?);
        let mut query =
            connection.prepare("SELECT id, project, name, settings, created, modified FROM logstores")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let settings: String = row.get(3)?;
            let id = row.get(0)?;
            let logstore = Logstore {
                id,
                shards: Arc::new(shards.remove(&id).unwrap_or_default()),
                groups: groups.remove(&id).unwrap_or_default(),
                name: row.get(2)?,
                settings: serde_json::from_str(&settings).unwrap_or_default(),
                index: indexes.remove(&id),
                created: row.get(4)?,
                modified: row.get(5)?,
            };
            let project = names.get(&row.get(1)?).and_then(|name| catalog.projects.get_mut(name));
            if let Some(project) = project {
                let live = Live { ttl: logstore.settings.ttl, shards: logstore.shards.clone() };
                catalog.live.insert(logstore.id, live);
                project.logstores.insert(logstore.name.clone(), logstore);
            }
        }
        catalog.load_collection(connection, &names)?;
        Ok(catalog)
    }

    pub fn projects(&self) -> impl Iterator<Item = &Project> {
        self.projects.values()
    }

    pub fn project(&self, name: &str) -> Result<&Project, Refused> {
        self.projects.get(name).ok_or_else(|| Refused::NoProject(name.into()))
    }

    pub fn logstore(&self, project: &str, name: &str) -> Result<&Logstore, Refused> {
        let project = self.project(project)?;
        project.logstores.get(name).ok_or_else(|| Refused::NoLogstore(name.into()))
    }

    fn logstore_mut(&mut self, project: &str, name: &str) -> Result<&mut Logstore, Refused> {
        let project = self.projects.get_mut(project).ok_or_else(|| Refused::NoProject(project.into()))?;
        project.logstores.get_mut(name).ok_or_else(|| Refused::NoLogstore(name.into()))
    }

    pub(super) fn is_live(&self, logstore: i64) -> bool {
        self.live.contains_key(&logstore)
    }

    /// The highest cursor it knows of: of checkpoints, and of the ends of readonly shards. 0 when there is none.
    pub(super) fn highest_cursor(&self) -> i64 {
        /// What no clock of a gateway in use says.
        const FAR: i64 = i64::MAX / 2;
        let logstores = self.projects.values().flat_map(|project| project.logstores.values());
        let cursors = logstores.flat_map(|logstore| {
            let checkpoints = logstore.groups.values().flat_map(|group| group.checkpoints.values());
            let read = checkpoints.filter_map(|checkpoint| super::cursor_of(&checkpoint.cursor));
            read.chain(logstore.shards.iter().filter_map(|shard| shard.closed))
        });
        cursors.filter(|cursor| *cursor < FAR).max().unwrap_or(0)
    }

    /// Grows when logstores are deleted.
    pub(super) fn deletions(&self) -> u64 {
        self.deletions
    }

    /// Days its packs are kept; `None` when there is no such logstore.
    pub(super) fn ttl(&self, logstore: i64) -> Option<i64> {
        self.live.get(&logstore).map(|live| live.ttl)
    }

    pub(super) fn create_project(
        &mut self,
        connection: &Connection,
        name: &str,
        description: &str,
        now: i64,
    ) -> Result<(), ChangeError> {
        check_name(name, false).map_err(Refused::ProjectName)?;
        if self.projects.contains_key(name) {
            return Err(Refused::ProjectExists(name.into()).into());
        }
        if self.projects.len() >= PROJECTS {
            return Err(Refused::TooManyProjects(PROJECTS).into());
        }
        connection.execute(
            "INSERT INTO projects (name, description, created, modified) VALUES (?1, ?2, ?3, ?3)",
            params![name, description, now],
        )?;
        let project = Project {
            id: connection.last_insert_rowid(),
            name: name.into(),
            description: description.into(),
            created: now,
            modified: now,
            logstores: BTreeMap::new(),
            machine_groups: BTreeMap::new(),
            configs: BTreeMap::new(),
        };
        self.projects.insert(name.into(), project);
        Ok(())
    }

    pub(super) fn update_project(
        &mut self,
        connection: &Connection,
        name: &str,
        description: &str,
        now: i64,
    ) -> Result<(), ChangeError> {
        let project = self.projects.get_mut(name).ok_or_else(|| Refused::NoProject(name.into()))?;
        connection.execute(
            "UPDATE projects SET description = ?2, modified = ?3 WHERE id = ?1",
            params![project.id, description, now],
        )?;
        project.description = description.into();
        project.modified = now;
        Ok(())
    }

    pub(super) fn delete_project(&mut self, connection: &Connection, name: &str) -> Result<(), ChangeError> {
        let id = self.project(name)?.id;
        let transaction = connection.unchecked_transaction()?;
        transaction.execute("DELETE FROM logstores WHERE project = ?1", [id])?;
        transaction.execute("DELETE FROM projects WHERE id = ?1", [id])?;
        forget_orphans(&transaction)?;
        transaction.commit()?;
        self.deletions += 1;
        if let Some(project) = self.projects.remove(name) {
            self.forget_memberships(&project);
            for logstore in project.logstores.values() {
                self.live.remove(&logstore.id);
            }
        }
        Ok(())
    }

    pub(super) fn create_logstore(
        &mut self,
        connection: &Connection,
        project: &str,
        name: &str,
        settings: Settings,
        now: i64,
    ) -> Result<(), ChangeError> {
        let project = self.projects.get_mut(project).ok_or_else(|| Refused::NoProject(project.into()))?;
        check_name(name, true).map_err(Refused::LogstoreName)?;
        settings.check()?;
        if project.logstores.contains_key(name) {
            return Err(Refused::LogstoreExists(name.into()).into());
        }
        if project.logstores.len() >= LOGSTORES {
            return Err(Refused::TooManyLogstores(LOGSTORES).into());
        }
        let transaction = connection.unchecked_transaction()?;
        transaction.execute(
            "INSERT INTO logstores (project, name, settings, created, modified) VALUES (?1, ?2, ?3, ?4, ?4)",
            params![project.id, name, to_json(&settings)?, now],
        )?;
        let id = transaction.last_insert_rowid();
        let shards = Arc::new(cut(settings.shard_count as u32, now));
        shards::insert(&transaction, id, &shards)?;
        transaction.commit()?;
        self.live.insert(id, Live { ttl: settings.ttl, shards: shards.clone() });
        let logstore = Logstore {
            id,
            name: name.into(),
            settings,
            created: now,
            modified: now,
            index: None,
            shards,
            groups: BTreeMap::new(),
        };
        project.logstores.insert(name.into(), logstore);
        Ok(())
    }

    pub(super) fn update_logstore(
        &mut self,
        connection: &Connection,
        project: &str,
        name: &str,
        settings: Settings,
        now: i64,
    ) -> Result<(), ChangeError> {
        settings.check()?;
        let project = self.projects.get_mut(project).ok_or_else(|| Refused::NoProject(project.into()))?;
        let logstore = project.logstores.get_mut(name).ok_or_else(|| Refused::NoLogstore(name.into()))?;
        // These two are fixed when a logstore is made.
        let settings = Settings {
            shard_count: logstore.settings.shard_count,
            telemetry_type: logstore.settings.telemetry_type.clone(),
            ..settings
        };
        connection.execute(
            "UPDATE logstores SET settings = ?2, modified = ?3 WHERE id = ?1",
            params![logstore.id, to_json(&settings)?, now],
        )?;
        self.live.insert(logstore.id, Live { ttl: settings.ttl, shards: logstore.shards.clone() });
        logstore.settings = settings;
        logstore.modified = now;
        Ok(())
    }

    pub(super) fn delete_logstore(
        &mut self,
        connection: &Connection,
        project: &str,
        name: &str,
    ) -> Result<(), ChangeError> {
        let id = self.logstore(project, name)?.id;
        let transaction = connection.unchecked_transaction()?;
        transaction.execute("DELETE FROM logstores WHERE id = ?1", [id])?;
        forget_orphans(&transaction)?;
        transaction.commit()?;
        self.live.remove(&id);
        self.deletions += 1;
        if let Some(project) = self.projects.get_mut(project) {
            project.logstores.remove(name);
        }
        Ok(())
    }
}

/// Removes what belonged to logstores and projects that are no more.
fn forget_orphans(connection: &Connection) -> rusqlite::Result<()> {
    for table in ["indexes", "shards", "consumer_groups", "checkpoints"] {
        let text = format!("DELETE FROM {table} WHERE logstore NOT IN (SELECT id FROM logstores)");
        connection.execute(&text, [])?;
    }
    for table in ["machine_groups", "collection_configs", "applied_configs"] {
        let text = format!("DELETE FROM {table} WHERE project NOT IN (SELECT id FROM projects)");
        connection.execute(&text, [])?;
    }
    Ok(())
}

fn to_json(settings: &Settings) -> rusqlite::Result<String> {
    serde_json::to_string(settings).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// 3 to 63 of `a-z 0-9 -` (and `_` in a logstore), the first and last a letter or digit; else the name.
fn check_name(name: &str, underscore: bool) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = (3..=63).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || byte == b'-' || (underscore && byte == b'_'))
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain);
    // What is quoted back is bounded, since the name came from outside.
    if fits { Ok(()) } else { Err(name.chars().take(100).collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_log_service() {
        for good in ["abc", "a-b", "0app-log9", &"x".repeat(63)] {
            assert!(check_name(good, false).is_ok(), "{good}");
        }
        for bad in ["", "ab", "-ab", "ab-", "Abc", "a b", "a_b", "\u{4e16}\u{754c}", &"x".repeat(64)] {
            assert!(check_name(bad, false).is_err(), "{bad}");
        }
        assert!(check_name("a_b", true).is_ok());
        assert!(check_name("_ab", true).is_err());
    }
}
