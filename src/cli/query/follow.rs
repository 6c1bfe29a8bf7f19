//! `--follow`: what is there, and then what arrives, each record once.
//!
//! ```text
//! 1. cursors at the end of all shards        C0 C1
//! 2. a search of what is there, without what lies behind the cursors
//! 3. PullLogs from the cursors on, again and again; what does not match is left out here
//! ```
//!
//! Cursors count arrival, so a record that comes late, with an old time, comes all the same. New shards, of a split, are read
//! from their beginning. Where pulling is not allowed, the last seconds are searched again and again instead
//! ([`Follow`](super::pages::Follow)).

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::pages::{PAGE, Pages, Record, second};
use super::service::Service;
use crate::store::cursor_of;
use crate::store::query::{Query, Subject};
use crate::wire::loggroup::{Group, Log, groups};

/// Rounds after which the shards are listed again.
const RELIST: u32 = 20;
/// LogGroups of one answer.
const GROUPS: usize = 100;
const META: &str = "__pack_meta__";
const PACK_ID: &str = "__tag__:__pack_id__";

/// How far each shard is read.
pub(super) struct Pull<'a> {
    service: &'a Service,
    query: Query,
    from: i64,
    cursors: HashMap<u32, String>,
    rounds: u32,
}

impl<'a> Pull<'a> {
    /// From the end of all shards on; only records of this Unix second or later.
    pub(super) async fn start(service: &'a Service, query: Query, from: i64) -> Result<Pull<'a>> {
        let mut cursors = HashMap::new();
        for shard in service.shards().await? {
            cursors.insert(shard, service.cursor(shard, "end").await?);
        }
        Ok(Pull { service, query, from, cursors, rounds: 0 })
    }

    /// Hands over what is there already, in the order of time, until nobody takes it.
    pub(super) async fn history(
        &self,
        text: &str,
        to: i64,
        mut print: impl FnMut(&Record) -> bool,
    ) -> Result<bool> {
        let query = format!("{text} | with_pack_meta");
        let mut pages = Pages { from: self.from, to, offset: 0 };
        // What came while pages were turned shifts those behind it: of the second at hand, what was seen.
        let (mut seen, mut of_second) = (HashSet::new(), 0);
        loop {
            let mut page = self.service.get_logs(&query, &pages, PAGE, false).await?.data;
            let count = page.len();
            pages.advance(&page);
            for record in &mut page {
                let meta = record.remove(META);
                record.remove(PACK_ID);
                let meta = meta.as_ref().and_then(Value::as_str).unwrap_or("");
                if second(record) != of_second {
                    of_second = second(record);
                    seen.clear();
                }
                if self.is_behind_cursor(meta) || (!meta.is_empty() && !seen.insert(meta.to_owned())) {
                    continue;
                }
                if !print(record) {
                    return Ok(false);
                }
            }
            if count < PAGE {
                return Ok(true);
            }
        }
    }

    /// Whether a record is one that will be pulled.
    fn is_behind_cursor(&self, meta: &str) -> bool {
        let mut parts = meta.split('|');
        let (Some(shard), Some(cursor)) = (parts.next(), parts.next()) else { return false };
        let Some(at) = shard.parse().ok().and_then(|shard: u32| self.cursors.get(&shard)) else {
            return true;
        };
        matches!((cursor_of(cursor), cursor_of(at)), (Some(pack), Some(at)) if pack >= at)
    }

    /// What has arrived since, in the order of time.
    pub(super) async fn next(&mut self) -> Result<Vec<Record>> {
        self.rounds += 1;
        if self.rounds.is_multiple_of(RELIST) {
            for shard in self.service.shards().await? {
                if !self.cursors.contains_key(&shard) {
                    self.cursors.insert(shard, self.service.cursor(shard, "begin").await?);
                }
            }
        }
        let mut found = Vec::new();
        for (shard, cursor) in &mut self.cursors {
            loop {
                let (list, next) = self.service.pull(*shard, cursor, GROUPS).await?;
                matching(&list, &self.query, self.from, &mut found)?;
                let is_end = list.is_empty() || next == *cursor;
                *cursor = next;
                if is_end {
                    break;
                }
            }
        }
        found.sort_by_key(|(time, _)| *time);
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }
}

/// The logs of a LogGroupList that match, with their times in nanoseconds.
fn matching(list: &[u8], query: &Query, from: i64, found: &mut Vec<(i64, Record)>) -> Result<()> {
    for group in groups(list) {
        let group = group.context("the answer is no LogGroupList")?;
        let mut subject = Subject::new(&group);
        for log in group.logs() {
            if i64::from(log.time) >= from && subject.matches(query, &log) {
                found.push((log.nanoseconds(), record(&group, &log)));
            }
        }
    }
    Ok(())
}

/// A log as GetLogs shows it.
fn record(group: &Group<'_>, log: &Log<'_>) -> Record {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut record = Map::new();
    let mut put = |name: String, value: String| {
        let (mut unique, mut count) = (name.clone(), 0);
        while record.contains_key(&unique) {
            unique = format!("{name}_{count}");
            count += 1;
        }
        record.insert(unique, Value::String(value));
    };
    put("__time__".to_owned(), log.time.to_string());
    if let Some(nanos) = log.time_ns {
        put("__time_ns_part__".to_owned(), nanos.to_string());
    }
    put("__source__".to_owned(), text(group.source));
    put("__topic__".to_owned(), text(group.topic));
    for (key, value) in group.tags().filter(|tag| tag.0 != b"__pack_id__") {
        put(format!("__tag__:{}", text(key)), text(value));
    }
    for (key, value) in log.contents() {
        put(text(key), text(value));
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::query::parse;
    use crate::wire::json_logs::group_of;
    use crate::wire::loggroup::encode::put_group;

    #[test]
    fn pulled_logs_are_those_that_match() {
        let mut list = Vec::new();
        for json in [
            r#"{"__topic__":"web","__tags__":{"__pack_id__":"AB-1","env":"dev"},
                "__logs__":[{"__time__":5,"log":"an error"},{"__time__":4,"log":"error"},{"__time__":6,"log":"fine"}]}"#,
            r#"{"__logs__":[{"__time__":7,"log":"error","log":"twice"}]}"#,
        ] {
            put_group(&mut list, &group_of(json.as_bytes(), 1, "10.0.0.9").unwrap());
        }
        let mut found = Vec::new();
        matching(&list, &parse("error").unwrap(), 5, &mut found).unwrap();
        let texts: Vec<String> =
            found.iter().map(|(_, record)| Value::Object(record.clone()).to_string()).collect();
        assert_eq!(
            texts,
            [
                r#"{"__source__":"10.0.0.9","__tag__:env":"dev","__time__":"5","__time_ns_part__":"0","__topic__":"web","log":"an error"}"#,
                r#"{"__source__":"10.0.0.9","__time__":"7","__time_ns_part__":"0","__topic__":"","log":"error","log_0":"twice"}"#,
            ]
        );
        assert!(matching(b"\x0a\xff", &parse("*").unwrap(), 0, &mut found).is_err());
    }
}
