//! The catalog's shards: read, cut when a logstore is made, changed by split, merge and delete.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::super::shards::{self, Change, Route, Shard};
use super::{Catalog, ChangeError, Refused};

impl Catalog {
    /// The shard for a pack of a logstore; `turn` counts packs. An error when the logstore is no more.
    pub(in crate::store) fn shard_for(
        &self,
        logstore: i64,
        route: Route,
        turn: usize,
    ) -> Result<u32, Refused> {
        let found = self.live.get(&logstore).and_then(|live| shards::choose(&live.shards, route, turn));
        // The name is known to who asked.
        found.ok_or_else(|| Refused::NoLogstore(String::new()))
    }

    /// Splits a shard. `closed` is above every pack's id so far.
    #[allow(clippy::too_many_arguments)]
    pub(in crate::store) fn split_shard(
        &mut self,
        connection: &Connection,
        place: (&str, &str),
        shard: u32,
        key: Option<u128>,
        count: u32,
        closed: i64,
        now: i64,
    ) -> Result<Vec<Shard>, ChangeError> {
        let change = shards::split(&self.logstore(place.0, place.1)?.shards, shard, key, count, now)?;
        self.change_shards(connection, place, change, closed)
    }

    pub(in crate::store) fn merge_shards(
        &mut self,
        connection: &Connection,
        place: (&str, &str),
        shard: u32,
        closed: i64,
        now: i64,
    ) -> Result<Vec<Shard>, ChangeError> {
        let change = shards::merge(&self.logstore(place.0, place.1)?.shards, shard, now)?;
        self.change_shards(connection, place, change, closed)
    }

    /// Takes a readonly shard off the list; its packs stay for searches until they expire.
    pub(in crate::store) fn delete_shard(
        &mut self,
        connection: &Connection,
        place: (&str, &str),
        shard: u32,
    ) -> Result<(), ChangeError> {
        let logstore = self.logstore(place.0, place.1)?;
        shards::check_delete(&logstore.shards, shard)?;
        let id = logstore.id;
        let left = logstore.shards.iter().filter(|one| one.id != shard).cloned().collect();
        // The highest number is remembered by a shard that was made later: a readonly one always has such heirs.
        connection.execute("DELETE FROM shards WHERE logstore = ?1 AND shard = ?2", params![id, shard])?;
        self.set_shards(place, left);
        Ok(())
    }

    fn change_shards(
        &mut self,
        connection: &Connection,
        place: (&str, &str),
        change: Change,
        closed: i64,
    ) -> Result<Vec<Shard>, ChangeError> {
        let logstore = self.logstore(place.0, place.1)?;
        let mut all = logstore.shards.to_vec();
        let transaction = connection.unchecked_transaction()?;
        for shard in all.iter_mut().filter(|shard| change.close.contains(&shard.id)) {
            shard.closed = Some(closed);
            transaction.execute(
                "UPDATE shards SET closed = ?3 WHERE logstore = ?1 AND shard = ?2",
                params![logstore.id, shard.id, closed],
            )?;
        }
        insert(&transaction, logstore.id, &change.make)?;
        transaction.commit()?;
        all.extend(change.make.iter().cloned());
        let changed = all
            .iter()
            .filter(|shard| {
                change.close.contains(&shard.id) || change.make.iter().any(|made| made.id == shard.id)
            })
            .cloned()
            .collect();
        self.set_shards(place, all);
        Ok(changed)
    }

    fn set_shards(&mut self, (project, name): (&str, &str), all: Vec<Shard>) {
        let all = Arc::new(all);
        let logstore = self.projects.get_mut(project).and_then(|project| project.logstores.get_mut(name));
        let Some(logstore) = logstore else { return };
        logstore.shards = all.clone();
        if let Some(live) = self.live.get_mut(&logstore.id) {
            live.shards = all;
        }
    }
}

/// Writes new shards of a logstore.
pub(super) fn insert(connection: &Connection, logstore: i64, all: &[Shard]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare(
        "INSERT INTO shards (logstore, shard, begin, end, created, closed, parents) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for shard in all {
        let parents: Vec<String> = shard.parents.iter().map(u32::to_string).collect();
        let (begin, end) = (format!("{:032x}", shard.begin), format!("{:032x}", shard.end));
        insert.execute(params![
            logstore,
            shard.id,
            begin,
            end,
            shard.created,
            shard.closed,
            parents.join(" ")
        ])?;
    }
    Ok(())
}

/// All shards there are, by logstore, in the order of their numbers.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<HashMap<i64, Vec<Shard>>> {
    let mut all: HashMap<i64, Vec<Shard>> = HashMap::new();
    let mut query = connection.prepare(
        "SELECT logstore, shard, begin, end, created, closed, parents FROM shards ORDER BY logstore, shard",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let key = |index| {
            let text: String = row.get(index)?;
            u128::from_str_radix(&text, 16).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
            })
        };
        let parents: String = row.get(6)?;
        all.entry(row.get(0)?).or_default().push(Shard {
            id: row.get(1)?,
            begin: key(2)?,
            end: key(3)?,
            created: row.get(4)?,
            closed: row.get(5)?,
            parents: parents.split_whitespace().filter_map(|parent| parent.parse().ok()).collect(),
        });
    }
    Ok(all)
}
