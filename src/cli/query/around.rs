//! `--context`: what a sender wrote before and behind each hit. A hit is marked, and one that stands among the lines around another
//! is not shown twice.

use std::collections::HashSet;

use anyhow::{Result, bail};
use serde_json::Value;

use super::line::line;
use super::pages::{PAGE, Pages, Record};
use super::service::Service;
use crate::cli::{complain, say};

/// Hits where no limit is given: those that came last.
pub(super) const HITS: usize = 5;
/// Lines on each side that the service gives.
const LINES: usize = 100;
const META: &str = "__pack_meta__";
const PACK_ID: &str = "__tag__:__pack_id__";

pub(super) struct Around<'a> {
    pub(super) query: &'a str,
    pub(super) lines: usize,
    pub(super) hits: usize,
    pub(super) json: bool,
    pub(super) colour: bool,
}

impl Around<'_> {
    /// Prints the hits with what is around them, the oldest first; how many there are.
    pub(super) async fn show(&self, service: &Service, from: i64, to: i64) -> Result<usize> {
        if !(1..=LINES).contains(&self.lines) {
            bail!("--context {} must be 1 to {LINES} lines", self.lines);
        }
        if self.query.contains('|') {
            bail!("--context takes a search, without what stands behind `|`");
        }
        let query = format!("{} | with_pack_meta", self.query);
        let pages = Pages { from, to, offset: 0 };
        let page = service.get_logs(&query, &pages, self.hits.min(PAGE), true).await?;
        let mut hits = page.data;
        hits.reverse();
        let marked: HashSet<&str> = hits.iter().filter_map(|hit| text(hit, META)).collect();
        let (mut shown, mut last_sender, mut alone) = (HashSet::new(), None, 0);
        for hit in &hits {
            let meta = text(hit, META).unwrap_or("");
            let mut rows = match text(hit, PACK_ID) {
                Some(id) if !meta.is_empty() => service.around(id, meta, self.lines).await?,
                _ => Vec::new(),
            };
            if rows.is_empty() {
                rows = vec![hit.clone()];
                alone += 1;
            }
            let is_new =
                |row: &Record| text(row, META).is_none_or(|meta| meta.is_empty() || !shown.contains(meta));
            if !rows.iter().any(is_new) {
                continue;
            }
            let sender = text(hit, PACK_ID).and_then(|id| id.rsplit_once('-')).map(|(series, _)| series);
            // The lines around this hit may begin among those around the last one, and go on from there.
            let goes_on = sender.is_some()
                && last_sender == Some(sender)
                && rows.first().and_then(|row| text(row, META)).is_some_and(|meta| shown.contains(meta));
            if last_sender.is_some() && !goes_on && !self.json && !say("--") {
                return Ok(hits.len());
            }
            last_sender = Some(sender);
            for row in &rows {
                let meta = text(row, META).unwrap_or("").to_owned();
                let is_hit = row == hit || marked.contains(meta.as_str());
                if !meta.is_empty() && !shown.insert(meta) {
                    continue;
                }
                if !self.print(row, is_hit) {
                    return Ok(hits.len());
                }
            }
        }
        if alone > 0 {
            complain(&format!(
                "{alone} of the hits came without a pack_id, or lie too far back: what is around them is not known"
            ));
        }
        Ok(hits.len())
    }

    fn print(&self, row: &Record, is_hit: bool) -> bool {
        if self.json {
            return say(&Value::Object(row.clone()).to_string());
        }
        say(&format!("{} {}", if is_hit { '>' } else { ' ' }, line(row, self.colour)))
    }
}

fn text<'a>(record: &'a Record, key: &str) -> Option<&'a str> {
    record.get(key).and_then(Value::as_str)
}
