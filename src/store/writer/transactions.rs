//! The files that are open for writing, and the transaction that is under way in each.
//!
//! ```text
//! begin (opens, BEGIN IMMEDIATE) -> insert ... -> end_transactions (COMMIT, or ROLLBACK) -> outcome_of -> close_former
//! ```
//!
//! A failure is noted with its file until all packs of the turn have their answers; other files' transactions go on.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::super::StoreError;
use super::super::files::PackFile;
use super::super::pack::{Pack, compression_number};
use super::super::partition::Slice;
use super::Writer;
use crate::base::log_limit::LogLimit;

/// Files that stay open for writing: one for each class of ttl that is in use at a time.
const OPEN: usize = 8;

static FAILED: LogLimit = LogLimit::new(Duration::from_secs(30));

/// A file open for writing.
pub(super) struct Open {
    pub(super) file: Arc<PackFile>,
    pub(super) connection: Connection,
    /// The transaction that is under way in it, and how it goes.
    pub(super) state: Option<Result<(), StoreError>>,
    /// About.
    pub(super) bytes: u64,
}

impl Open {
    /// Notes a failure of the transaction under way.
    pub(super) fn failed(&mut self, cause: rusqlite::Error) {
        self.state = Some(Err(StoreError::database(self.file.path(), cause)));
    }
}

impl Writer {
    /// The file of a slice, open and in a transaction.
    pub(super) fn begin(&mut self, slice: Slice) -> Result<&mut Open, StoreError> {
        let at = match self.open.iter().position(|open| open.file.slice == slice) {
            Some(at) => at,
            None => {
                if self.open.len() >= OPEN
                    && let Some(unused) = self.open.iter().position(|open| open.state.is_none())
                {
                    self.open.remove(unused);
                }
                let (file, connection) = self.files.open_writer(slice)?;
                let bytes = file.bytes();
                self.open.push(Open { file, connection, state: None, bytes });
                self.open.len() - 1
            }
        };
        let open = self.open.get_mut(at).ok_or(StoreError::Stopped)?;
        if open.state.is_none() {
            open.state = Some(Ok(()));
            if let Err(cause) = open.connection.execute_batch("BEGIN IMMEDIATE") {
                open.failed(cause);
            }
        }
        Ok(open)
    }

    /// Commits what is under way in each file, or takes it back.
    pub(super) fn end_transactions(&mut self) {
        for open in &mut self.open {
            if let Some(Ok(())) = open.state {
                if let Err(cause) = open.connection.execute_batch("COMMIT") {
                    open.failed(cause);
                } else if open.file.is_aside() {
                    // A reader found it damaged meanwhile. Who sent these packs sends them again, to another file.
                    let (file, reason) = (open.file.path().to_owned(), "it was set aside".into());
                    open.state = Some(Err(StoreError::Damaged { file, reason }));
                }
            }
            if let Some(Err(error)) = &open.state {
                let _ = open.connection.execute_batch("ROLLBACK");
                self.metrics.failed.increment(1);
                if let Some(suppressed) = FAILED.allow() {
                    tracing::error!(%error, suppressed, "the embedded Log Service could not store packs");
                }
            }
        }
    }

    /// How the transaction in a file went.
    pub(super) fn outcome_of(&self, slice: Slice) -> Result<(), StoreError> {
        match self.open.iter().find(|open| open.file.slice == slice).and_then(|open| open.state.as_ref()) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error.for_another()),
            None => Err(StoreError::Stopped),
        }
    }

    /// Forgets how transactions went. Closes files that are full or have a successor, and those that turned out damaged.
    pub(super) fn close_former(&mut self) {
        for open in &mut self.open {
            if let Some(Err(error)) = open.state.take()
                && matches!(error, StoreError::Damaged { .. })
            {
                open.file.seal();
                self.files.mind(&open.file, &error);
            }
            if open.bytes >= self.roll {
                open.file.seal();
            }
        }
        let starts = &self.starts;
        self.open.retain(|open| {
            let slice = open.file.slice;
            if starts.get(&slice.ttl).is_some_and(|start| *start > slice.start) {
                open.file.seal();
            }
            !open.file.is_sealed()
        });
    }
}

/// Writes a pack; its file is in a transaction.
pub(super) fn insert(
    connection: &Connection,
    id: i64,
    logstore: i64,
    shard: u32,
    pack: &Pack,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO packs (id, logstore, shard, first_time, last_time, logs, raw_size, compression, series, \
             sequence, topic, source, client, digest, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            id,
            logstore,
            shard,
            pack.first_time,
            pack.last_time,
            pack.logs as i64,
            pack.raw_size as i64,
            compression_number(pack.kind),
            pack.series,
            pack.sequence,
            pack.topic,
            pack.source,
            pack.client,
            pack.digest,
            pack.body.as_ref(),
        ])?;
    Ok(())
}
