//! What goes on in the store when nobody asks: expired files go, and packs get their token filters.
//!
//! ```text
//! every second   -> the writer looks for expired files
//! meanwhile      -> each pack without a filter: inflate, cut into tokens, build the filter -> 32 at a time to the writer
//! ```
//!
//! Filters come in the order of arrival, file by file, so that the highest pack with a filter tells where to go on after
//! a restart. One is built only while no scan works, on a niced thread: a search without filters is slower and finds
//! the same.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use super::StoreError;
use super::files::{Files, PackFile};
use super::partition::Slice;
use super::query::filter::{Filter, tokens_of};
use super::scan::inflate;
use super::threads::{Turns, yield_to_others};
use super::writer::Job;
use crate::wire::loggroup::skim;

const TICK: Duration = Duration::from_secs(1);
/// When somebody scans.
const PAUSE: Duration = Duration::from_millis(20);
/// Packs of one round.
const ROUND: usize = 32;
/// A smaller pack is scanned as fast as its filter is asked.
const LEAST_BYTES: i64 = 4096;

#[derive(Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
        self.changed.notify_all();
    }

    /// Waits for so long at most; whether it is time to stop.
    fn wait(&self, period: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let waited = self.changed.wait_timeout_while(stopped, period, |stopped| !*stopped);
        *waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }
}

pub(super) struct Keeper {
    pub(super) files: Arc<Files>,
    pub(super) turns: Arc<Turns>,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) stop: Arc<Stop>,
    /// The last pack of each file that was looked at; `None` for sealed files that are done.
    pub(super) done: HashMap<Slice, Option<i64>>,
}

impl Keeper {
    pub(super) fn run(mut self) {
        yield_to_others();
        loop {
            if self.jobs.blocking_send(Job::Tidy).is_err() {
                return;
            }
            let slices: Vec<Slice> = self.files.all().iter().map(|file| file.slice).collect();
            self.done.retain(|slice, _| slices.contains(slice));
            let mut is_behind = false;
            for slice in slices {
                // Held for one round only: a file that is to go waits for who holds it.
                let Some(file) = self.files.get(slice) else { continue };
                is_behind |= self.filter_some(&file).unwrap_or_else(|error| {
                    // The scan that meets it says what is wrong with the file.
                    tracing::debug!(%error, "cannot make filters");
                    self.done.insert(slice, None);
                    false
                });
            }
            if self.stop.wait(if is_behind { Duration::ZERO } else { TICK }) {
                return;
            }
        }
    }

    /// Makes filters for some packs; whether there may be more.
    fn filter_some(&mut self, file: &Arc<PackFile>) -> Result<bool, StoreError> {
        // Asked before the packs are: what comes after is for the next time.
        let is_sealed = file.is_sealed();
        let mut reader = self.files.reader(file)?;
        let done = match self.done.get(&file.slice) {
            Some(None) => return Ok(false),
            Some(Some(done)) => *done,
            None => reader.with(|db| {
                let last = "SELECT max(pack) FROM filters";
                Ok(db.query_row(last, [], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(i64::MIN))
            })?,
        };
        let packs: Vec<(i64, i64)> = reader.with(|db| {
            let next = "SELECT id, raw_size FROM packs WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut query = db.prepare_cached(next)?;
            let rows = query.query_map([done, ROUND as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })?;
        let (mut filters, mut raw) = (Vec::new(), Vec::new());
        for (pack, _) in packs.iter().filter(|(_, raw_size)| *raw_size >= LEAST_BYTES) {
            let _turn = loop {
                match self.turns.take_spare() {
                    Some(turn) => break turn,
                    None if file.is_retired() || self.stop.wait(PAUSE) => return Ok(false),
                    None => {}
                }
            };
            // A round may take long, and the space of a file that goes is waited for.
            if file.is_retired() || self.stop.wait(Duration::ZERO) {
                return Ok(false);
            }
            match inflate(&mut reader, *pack, &mut raw) {
                Ok(true) => {}
                Ok(false) | Err(StoreError::Pack(_)) => continue,
                Err(other) => return Err(other),
            }
            let Ok(group) = skim(&raw) else { continue };
            let mut hashes = Vec::new();
            tokens_of(&group, &mut |hash| hashes.push(hash));
            filters.push((*pack, Filter::build(hashes.into_iter())));
        }
        drop(reader);
        if !filters.is_empty() && self.jobs.blocking_send(Job::Filters(file.slice, filters)).is_err() {
            return Ok(false);
        }
        let more = packs.len() == ROUND;
        let last = packs.last().map_or(done, |(pack, _)| *pack);
        self.done.insert(file.slice, (more || !is_sealed).then_some(last));
        Ok(more)
    }
}
