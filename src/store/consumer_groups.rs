//! Consumer groups of the store: made, changed, and asked who reads which shard.
//!
//! ```text
//! heartbeat -> shards that are there, but those read out and those that wait for their parents -> [`Members`] -> its share
//! checkpoint -> held by who sends it, or forced -> catalog
//! ```
//!
//! Settings and checkpoints are on the disk; who is a member is in memory, and members come again after a restart.

use std::collections::BTreeSet;

use super::catalog::Checkpoint;
use super::pull::{check, cursor_of, first_of};
use super::shards::Shard;
use super::{GroupPlace, Refused, Store, StoreError};

/// A consumer's name: it is kept in memory as long as it lives.
const CONSUMER_BYTES: usize = 1024;

impl Store {
    pub async fn create_consumer_group(
        &self,
        place: GroupPlace<'_>,
        timeout: i64,
        in_order: bool,
    ) -> Result<(), StoreError> {
        let place = owned(place);
        self.change(move |catalog, db| catalog.create_consumer_group(db, lent(&place), timeout, in_order))
            .await
    }

    pub async fn update_consumer_group(
        &self,
        place: GroupPlace<'_>,
        timeout: Option<i64>,
        in_order: Option<bool>,
    ) -> Result<(), StoreError> {
        let place = owned(place);
        self.change(move |catalog, db| catalog.update_consumer_group(db, lent(&place), timeout, in_order))
            .await
    }

    pub async fn delete_consumer_group(&self, place: GroupPlace<'_>) -> Result<(), StoreError> {
        let id = self.catalog().logstore(place.0, place.1)?.id;
        let (place, key) = (owned(place), (id, place.2.to_owned()));
        self.change(move |catalog, db| catalog.delete_consumer_group(db, lent(&place))).await?;
        // Behind the change: a heartbeat before it might have come in between.
        self.members().remove(&key);
        Ok(())
    }

    /// A consumer of a group lives and holds these shards; what it shall hold from now on.
    pub async fn heartbeat(
        &self,
        place: GroupPlace<'_>,
        consumer: &str,
        listed: &[u32],
    ) -> Result<Vec<u32>, StoreError> {
        if consumer.len() > CONSUMER_BYTES {
            return Err(Refused::Parameter(format!("consumer must be at most {CONSUMER_BYTES} bytes")).into());
        }
        let (id, group, all) = {
            let catalog = self.catalog();
            let logstore = catalog.logstore(place.0, place.1)?;
            (logstore.id, catalog.consumer_group(place)?.clone(), logstore.shards.clone())
        };
        let mut read_out = BTreeSet::new();
        let mut unknown = Vec::new();
        for shard in all.iter() {
            let Some(closed) = shard.closed else { continue };
            let checkpoint =
                group.checkpoints.get(&shard.id).and_then(|checkpoint| cursor_of(&checkpoint.cursor));
            match checkpoint {
                Some(cursor) if cursor >= closed => drop(read_out.insert(shard.id)),
                Some(_) => {}
                None => unknown.push(shard.id),
            }
        }
        if !unknown.is_empty() {
            // Nobody writes a checkpoint for a shard in which there is nothing. One scan for all of them.
            let empty = self.scan(move |scan| {
                let mut empty = Vec::new();
                for shard in unknown {
                    if !scan.is_stopped() && first_of(scan, id, shard)?.is_none() {
                        empty.push(shard);
                    }
                }
                Ok(empty)
            });
            read_out.extend(empty.await?);
        }
        let waits = |shard: &Shard| {
            let unread = |parent: &u32| all.iter().any(|one| one.id == *parent) && !read_out.contains(parent);
            group.in_order && shard.parents.iter().any(unread)
        };
        let offered = all.iter().filter(|shard| !read_out.contains(&shard.id) && !waits(shard));
        let offered: BTreeSet<u32> = offered.map(|shard| shard.id).collect();
        let now = self.started.elapsed().as_millis() as i64;
        // Held together: a group that is deleted meanwhile shall not come back as members of nothing.
        let catalog = self.catalog();
        catalog.consumer_group(place)?;
        let mut members = self.members();
        let key = (id, place.2.to_owned());
        if !members.contains_key(&key) {
            members.retain(|(logstore, _), _| catalog.is_live(*logstore));
        }
        let group_members = members.entry(key).or_default();
        group_members
            .heartbeat(consumer, listed, &offered, now, group.timeout * 1000)
            .ok_or_else(|| Refused::Parameter("the consumer group has too many consumers".into()).into())
    }

    /// Notes how far a consumer has read. Without `force` only the one who holds the shard may.
    pub async fn set_checkpoint(
        &self,
        place: GroupPlace<'_>,
        consumer: &str,
        shard: u32,
        cursor: &str,
        force: bool,
    ) -> Result<(), StoreError> {
        if !cursor.is_empty() {
            let cursor = cursor_of(cursor)
                .ok_or(Refused::Cursor("a checkpoint is a cursor as GetCursor and PullLogs give it"))?;
            // Ids go on above every checkpoint, whatever the clock says then.
            self.catalog().consumer_group(place)?;
            check(cursor, self.end_of(place.0, place.1, shard)?.1)?;
        }
        if !force {
            let (id, timeout) = {
                let catalog = self.catalog();
                (catalog.logstore(place.0, place.1)?.id, catalog.consumer_group(place)?.timeout * 1000)
            };
            let now = self.started.elapsed().as_millis() as i64;
            let members = self.members();
            let holds = members
                .get(&(id, place.2.to_owned()))
                .and_then(|group| group.holds(consumer, shard, now, timeout));
            match holds {
                Some(true) => {}
                Some(false) => return Err(Refused::NotHeld(shard).into()),
                None => return Err(Refused::NoConsumer(consumer.chars().take(100).collect()).into()),
            }
        }
        let place = owned(place);
        let (cursor, consumer) = (cursor.to_owned(), consumer.to_owned());
        let updated = self.clock.nanoseconds() / 1000;
        self.change(move |catalog, db| {
            catalog.set_checkpoint(db, lent(&place), shard, Checkpoint { cursor, updated, consumer })
        })
        .await
    }
}

fn owned((project, logstore, name): GroupPlace<'_>) -> (String, String, String) {
    (project.to_owned(), logstore.to_owned(), name.to_owned())
}

fn lent((project, logstore, name): &(String, String, String)) -> GroupPlace<'_> {
    (project, logstore, name)
}
