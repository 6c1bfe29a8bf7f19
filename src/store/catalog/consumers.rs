//! The catalog's consumer groups: their settings, and how far each shard was read.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use super::{Catalog, ChangeError, Refused, check_name};

/// Consumer groups of one logstore, as in the cloud.
const GROUPS: usize = 30;
/// Seconds a consumer may be silent: an hour is more than any client sets.
const TIMEOUT: std::ops::RangeInclusive<i64> = 1..=3600;
/// A checkpoint is a cursor, whose text is short.
const CHECKPOINT_BYTES: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroup {
    /// Seconds without a heartbeat after which a consumer counts as gone.
    pub timeout: i64,
    /// The shards that a split or merge made are read when those before them are read out.
    pub in_order: bool,
    /// By shard.
    pub checkpoints: BTreeMap<u32, Checkpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// As the consumer wrote it.
    pub cursor: String,
    /// Microseconds since 1970.
    pub updated: i64,
    pub consumer: String,
}

/// Where a group is: project, logstore, name.
pub type GroupPlace<'a> = (&'a str, &'a str, &'a str);

impl Catalog {
    pub fn consumer_group(
        &self,
        (project, logstore, name): GroupPlace<'_>,
    ) -> Result<&ConsumerGroup, Refused> {
        let logstore = self.logstore(project, logstore)?;
        logstore.groups.get(name).ok_or_else(|| Refused::NoConsumerGroup(name.chars().take(100).collect()))
    }

    pub(in crate::store) fn create_consumer_group(
        &mut self,
        connection: &Connection,
        (project, logstore, name): GroupPlace<'_>,
        timeout: i64,
        in_order: bool,
    ) -> Result<(), ChangeError> {
        let logstore = self.logstore_mut(project, logstore)?;
        check_name(name, true).map_err(Refused::ConsumerGroupName)?;
        check_timeout(timeout)?;
        if logstore.groups.contains_key(name) {
            return Err(Refused::ConsumerGroupExists(name.into()).into());
        }
        if logstore.groups.len() >= GROUPS {
            return Err(Refused::TooManyConsumerGroups(GROUPS).into());
        }
        connection.execute(
            "INSERT INTO consumer_groups (logstore, name, timeout, in_order) VALUES (?1, ?2, ?3, ?4)",
            params![logstore.id, name, timeout, in_order],
        )?;
        let group = ConsumerGroup { timeout, in_order, checkpoints: BTreeMap::new() };
        logstore.groups.insert(name.into(), group);
        Ok(())
    }

    /// Changes what is given.
    pub(in crate::store) fn update_consumer_group(
        &mut self,
        connection: &Connection,
        place: GroupPlace<'_>,
        timeout: Option<i64>,
        in_order: Option<bool>,
    ) -> Result<(), ChangeError> {
        let former = self.consumer_group(place)?;
        let (timeout, in_order) = (timeout.unwrap_or(former.timeout), in_order.unwrap_or(former.in_order));
        check_timeout(timeout)?;
        let logstore = self.logstore_mut(place.0, place.1)?;
        connection.execute(
            "UPDATE consumer_groups SET timeout = ?3, in_order = ?4 WHERE logstore = ?1 AND name = ?2",
            params![logstore.id, place.2, timeout, in_order],
        )?;
        if let Some(group) = logstore.groups.get_mut(place.2) {
            (group.timeout, group.in_order) = (timeout, in_order);
        }
        Ok(())
    }

    pub(in crate::store) fn delete_consumer_group(
        &mut self,
        connection: &Connection,
        place: GroupPlace<'_>,
    ) -> Result<(), ChangeError> {
        self.consumer_group(place)?;
        let logstore = self.logstore_mut(place.0, place.1)?;
        let transaction = connection.unchecked_transaction()?;
        let of_group = params![logstore.id, place.2];
        transaction.execute("DELETE FROM consumer_groups WHERE logstore = ?1 AND name = ?2", of_group)?;
        transaction
            .execute("DELETE FROM checkpoints WHERE logstore = ?1 AND consumer_group = ?2", of_group)?;
        transaction.commit()?;
        logstore.groups.remove(place.2);
        Ok(())
    }

    /// Moves a checkpoint, which may go back: a consumer may want to read again.
    pub(in crate::store) fn set_checkpoint(
        &mut self,
        connection: &Connection,
        place: GroupPlace<'_>,
        shard: u32,
        checkpoint: Checkpoint,
    ) -> Result<(), ChangeError> {
        self.consumer_group(place)?;
        if checkpoint.cursor.len() > CHECKPOINT_BYTES || checkpoint.consumer.len() > 1024 {
            return Err(Refused::Parameter("the checkpoint or the consumer's name is too long".into()).into());
        }
        super::super::shards::find(&self.logstore(place.0, place.1)?.shards, shard)?;
        let logstore = self.logstore_mut(place.0, place.1)?;
        connection
            .prepare_cached(
                "INSERT INTO checkpoints (logstore, consumer_group, shard, cursor, updated, consumer) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET cursor = ?4, updated = ?5, consumer = ?6",
            )?
            .execute(params![
                logstore.id,
                place.2,
                shard,
                checkpoint.cursor,
                checkpoint.updated,
                checkpoint.consumer
            ])?;
        if let Some(group) = logstore.groups.get_mut(place.2) {
            group.checkpoints.insert(shard, checkpoint);
        }
        Ok(())
    }
}

fn check_timeout(timeout: i64) -> Result<(), Refused> {
    if TIMEOUT.contains(&timeout) {
        return Ok(());
    }
    Err(Refused::Parameter("timeout must be within range [1, 3600]".into()))
}

/// All consumer groups there are, by logstore.
pub(super) fn load(
    connection: &Connection,
) -> rusqlite::Result<HashMap<i64, BTreeMap<String, ConsumerGroup>>> {
    let mut all: HashMap<i64, BTreeMap<String, ConsumerGroup>> = HashMap::new();
    let mut query = connection.prepare("SELECT logstore, name, timeout, in_order FROM consumer_groups")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let group =
            ConsumerGroup { timeout: row.get(2)?, in_order: row.get(3)?, checkpoints: BTreeMap::new() };
        all.entry(row.get(0)?).or_default().insert(row.get(1)?, group);
    }
    let mut query = connection
        .prepare("SELECT logstore, consumer_group, shard, cursor, updated, consumer FROM checkpoints")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (logstore, name, shard): (i64, String, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let group = all.get_mut(&logstore).and_then(|groups| groups.get_mut(&name));
        if let Some(group) = group {
            let checkpoint = Checkpoint { cursor: row.get(3)?, updated: row.get(4)?, consumer: row.get(5)? };
            group.checkpoints.insert(shard, checkpoint);
        }
    }
    Ok(all)
}
