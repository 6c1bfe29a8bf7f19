//! Pulling: the packs of a shard in the order of arrival, from a cursor on, as they were put.
//!
//! A cursor is a pack's id, the nanosecond of its arrival: everything from it on is still to be read. Any number from the
//! first pack to just behind the newest one is a cursor, which makes a time one, too. Readers stop at the highest id
//! below which all is committed, so none misses a pack that was written beside it into another file.
//!
//! ```text
//! ids of a shard     17      23    31          committed
//! cursors        begin=17 .. 23 .. 31 .. 32 .......| end
//! ```
//!
//! A readonly shard ends where it was closed; its end never moves.

use super::query::{Query, Subject};
use super::scan::{Next, PackMeta, Scan, Scope, Visitor};
use super::shards::{self, Route, Shard};
use super::{Refused, Store, StoreError};
use crate::base::limits::MIB;
use crate::wire::loggroup::{Group, encode};

/// Inflated bytes after which an answer takes no further LogGroup.
pub const PULL_BYTES: usize = 3 * MIB;
/// LogGroups of one answer.
const GROUPS: usize = 1000;
/// What is read for one answer at most, where a query takes logs away: a reader of a long shard in which nothing matches
/// gets somewhere, too.
const READ_GROUPS: usize = 4 * GROUPS;
const READ_BYTES: u64 = 64 * MIB as u64;
const SECOND: i64 = 1_000_000_000;

/// Where to start reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Begin,
    End,
    /// The first pack that arrived in this second (since 1970) or later.
    Time(i64),
}

/// What is pulled.
#[derive(Clone, Debug)]
pub struct Pull {
    pub shard: u32,
    pub cursor: i64,
    /// Nothing from this cursor on.
    pub end: Option<i64>,
    pub count: usize,
    /// Only logs that match; LogGroups without any are left out.
    pub query: Option<Query>,
}

#[derive(Clone, Debug, Default)]
pub struct Pulled {
    /// A LogGroupList.
    pub list: Vec<u8>,
    pub groups: usize,
    pub logs: u64,
    /// Where to go on.
    pub next: i64,
    /// There is nothing behind `next` for now, or for ever in a readonly shard.
    pub is_end: bool,
    /// What was read, before a query took logs away.
    pub read_groups: u64,
    pub read_logs: u64,
    pub read_bytes: u64,
}

impl Store {
    /// The shards of a logstore.
    pub fn shards(&self, project: &str, logstore: &str) -> Result<Vec<Shard>, Refused> {
        Ok(self.catalog().logstore(project, logstore)?.shards.to_vec())
    }

    pub async fn split_shard(
        &self,
        (project, logstore): (&str, &str),
        shard: u32,
        key: Option<u128>,
        count: u32,
    ) -> Result<Vec<Shard>, StoreError> {
        let (project, logstore) = (project.to_owned(), logstore.to_owned());
        let (now, committed) = (self.clock.seconds(), self.committed.clone());
        // Changes are made by the thread that writes packs: behind this one, none is written to the closed shard.
        self.change(move |catalog, db| {
            let closed = committed.get() + 1;
            catalog.split_shard(db, (&project, &logstore), shard, key, count, closed, now)
        })
        .await
    }

    pub async fn merge_shards(
        &self,
        project: &str,
        logstore: &str,
        shard: u32,
    ) -> Result<Vec<Shard>, StoreError> {
        let (project, logstore) = (project.to_owned(), logstore.to_owned());
        let (now, committed) = (self.clock.seconds(), self.committed.clone());
        self.change(move |catalog, db| {
            catalog.merge_shards(db, (&project, &logstore), shard, committed.get() + 1, now)
        })
        .await
    }

    pub async fn delete_shard(&self, project: &str, logstore: &str, shard: u32) -> Result<(), StoreError> {
        let (project, logstore) = (project.to_owned(), logstore.to_owned());
        self.change(move |catalog, db| catalog.delete_shard(db, (&project, &logstore), shard)).await
    }

    /// The cursor of a place in a shard.
    pub async fn cursor(
        &self,
        project: &str,
        logstore: &str,
        shard: u32,
        from: From,
    ) -> Result<i64, StoreError> {
        let (id, end) = self.end_of(project, logstore, shard)?;
        match from {
            From::End => Ok(end),
            From::Time(seconds) => Ok(seconds.saturating_mul(SECOND).clamp(0, end)),
            From::Begin => {
                let first = self.scan(move |scan| first_of(scan, id, shard)).await?;
                Ok(first.map_or(end, |first| first.min(end)))
            }
        }
    }

    /// Seconds since 1970 of what a cursor points at.
    pub fn cursor_time(
        &self,
        project: &str,
        logstore: &str,
        shard: u32,
        cursor: i64,
    ) -> Result<i64, Refused> {
        let (_, end) = self.end_of(project, logstore, shard)?;
        check(cursor, end)?;
        Ok(cursor / SECOND)
    }

    /// The packs of a shard from a cursor on, within bounds.
    pub async fn pull(&self, project: &str, logstore: &str, pull: Pull) -> Result<Pulled, StoreError> {
        let (id, end) = self.end_of(project, logstore, pull.shard)?;
        let keeps_client = self.catalog().logstore(project, logstore)?.settings.append_meta;
        check(pull.cursor, end)?;
        let until = pull.end.map_or(end, |asked| asked.clamp(pull.cursor, end));
        let count = pull.count.min(GROUPS);
        self.scan(move |scan| {
            let mut reading = Reading {
                pulled: Pulled { next: pull.cursor, is_end: true, ..Pulled::default() },
                until,
                count,
                query: pull.query,
                clients: Vec::new(),
                group: Vec::new(),
                seen: 0,
            };
            if keeps_client {
                // As many as may be read, and not only as many as are answered.
                let most = if reading.query.is_some() { READ_GROUPS } else { count };
                reading.clients = clients(scan, id, pull.shard, pull.cursor, most)?;
            }
            scan.by_arrival(&Scope::all(id), pull.shard, pull.cursor - 1, &mut reading)?;
            let mut pulled = reading.pulled;
            if pulled.is_end {
                // Everything up to here was seen, other shards' ids too.
                pulled.next = until;
                pulled.is_end = until == end;
            }
            Ok(pulled)
        })
        .await
    }

    /// A logstore's number, and the cursor just behind the newest pack of a shard.
    pub(super) fn end_of(&self, project: &str, logstore: &str, shard: u32) -> Result<(i64, i64), Refused> {
        let catalog = self.catalog();
        let logstore = catalog.logstore(project, logstore)?;
        let found = shards::find(&logstore.shards, shard)?;
        Ok((logstore.id, found.closed.unwrap_or(self.committed.get() + 1)))
    }
}

/// A cursor as text: base64 of its decimal digits.
pub fn cursor_text(cursor: i64) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(cursor.to_string())
}

/// Reads what [`cursor_text`] wrote; `None` for anything else.
pub fn cursor_of(text: &str) -> Option<i64> {
    use base64::Engine;
    let digits = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    let cursor: i64 = std::str::from_utf8(&digits).ok()?.parse().ok()?;
    (cursor >= 0).then_some(cursor)
}

/// The hash key of 32 hex digits.
pub fn hash_key(text: &str) -> Option<Route> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok().map(Route::Key)).flatten()
}

pub(super) fn check(cursor: i64, end: i64) -> Result<(), Refused> {
    match cursor {
        ..0 => Err(Refused::Cursor("it is negative")),
        cursor if cursor > end => Err(Refused::Cursor("it lies behind the newest LogGroup")),
        _ => Ok(()),
    }
}

/// The id of the first pack of a shard that is left.
pub(super) fn first_of(scan: &mut Scan<'_>, logstore: i64, shard: u32) -> Result<Option<i64>, StoreError> {
    let mut least: Option<i64> = None;
    for file in scan.files().to_vec() {
        // In the order of their starts; slices of several classes lie side by side.
        if least.is_some_and(|least| file.slice.start > least) {
            break;
        }
        let first: Option<i64> = scan.reader(&file)?.with(|db| {
            db.prepare_cached("SELECT min(id) FROM packs WHERE logstore = ?1 AND shard = ?2")?
                .query_row([logstore, i64::from(shard)], |row| row.get(0))
        })?;
        least = [least, first].into_iter().flatten().min();
    }
    Ok(least)
}

/// Ids and addresses of the next packs of a shard.
fn clients(
    scan: &mut Scan<'_>,
    logstore: i64,
    shard: u32,
    from: i64,
    count: usize,
) -> Result<Vec<(i64, String)>, StoreError> {
    let mut all = Vec::new();
    for file in scan.files().to_vec() {
        let found: Vec<(i64, String)> = scan.reader(&file)?.with(|db| {
            db.prepare_cached(
                "SELECT id, client FROM packs WHERE logstore = ?1 AND shard = ?2 AND id >= ?3 ORDER BY id LIMIT ?4",
            )?
            .query_map([logstore, i64::from(shard), from, count as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
        })?;
        all.extend(found);
    }
    all.sort_unstable();
    Ok(all)
}

/// Lays LogGroups into a list until it is long enough.
struct Reading {
    pulled: Pulled,
    until: i64,
    count: usize,
    query: Option<Query>,
    /// Where the logstore keeps addresses.
    clients: Vec<(i64, String)>,
    /// One LogGroup, where it is not the one that was put.
    group: Vec<u8>,
    /// LogGroups that were met, those that cannot be read among them.
    seen: usize,
}

impl Visitor for Reading {
    fn before(&mut self, meta: &PackMeta) -> Next {
        if meta.id >= self.until {
            return Next::End;
        }
        let is_full = self.pulled.groups >= self.count
            || (self.pulled.groups > 0 && self.pulled.list.len() + meta.raw_size as usize > PULL_BYTES)
            || self.seen >= READ_GROUPS
            || self.pulled.read_bytes >= READ_BYTES;
        if is_full {
            self.pulled.is_end = false;
            // All before this one was seen, also what cannot be read any more.
            self.pulled.next = self.pulled.next.max(meta.id);
            return Next::End;
        }
        self.seen += 1;
        Next::Go
    }

    fn visit(&mut self, meta: &PackMeta, group: &Group<'_>) -> Result<Next, StoreError> {
        self.pulled.next = meta.id + 1;
        self.pulled.read_groups += 1;
        self.pulled.read_logs += group.log_count() as u64;
        self.pulled.read_bytes += meta.raw_size;
        let client = self.clients.binary_search_by_key(&meta.id, |one| one.0).ok();
        let client = client.and_then(|at| self.clients.get(at)).map(|(_, client)| client.as_bytes());
        if self.query.is_none() && client.is_none() {
            encode::put_group(&mut self.pulled.list, group.bytes());
            self.pulled.groups += 1;
            self.pulled.logs += group.log_count() as u64;
            return Ok(Next::Go);
        }
        self.group.clear();
        let mut subject = Subject::new(group);
        let query = self.query.as_ref();
        let logs = group
            .retain(&mut self.group, |log| query.as_ref().is_none_or(|query| subject.matches(query, log)));
        if logs == 0 {
            return Ok(Next::Go);
        }
        if let Some(client) = client {
            encode::put_tag(&mut self.group, b"__client_ip__", client);
            let arrived = (meta.arrived() / SECOND).to_string();
            encode::put_tag(&mut self.group, b"__receive_time__", arrived.as_bytes());
        }
        encode::put_group(&mut self.pulled.list, &self.group);
        self.pulled.groups += 1;
        self.pulled.logs += logs;
        Ok(Next::Go)
    }
}
