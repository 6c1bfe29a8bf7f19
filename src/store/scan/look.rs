//! Inflating packs and showing them to a visitor.

use std::time::Duration;

use rusqlite::OptionalExtension;

use super::head::Place;
use super::{Next, Scanned, Visitor};
use crate::base::limits::LOG_GROUP_BYTES;
use crate::base::log_limit::LogLimit;
use crate::store::StoreError;
use crate::store::files::Reader;
use crate::store::pack::{compression_of, digest};
use crate::wire::compress::decompress;
use crate::wire::loggroup::{Group, skim};

static BROKEN: LogLimit = LogLimit::new(Duration::from_secs(30));

/// Offers a pack to a visitor. One that cannot be read is counted, told in the log, and passed over.
pub(super) fn look(
    reader: &mut Reader<'_>,
    found: &Place,
    visitor: &mut impl Visitor,
    raw: &mut Vec<u8>,
    scanned: &mut Scanned,
) -> Result<Next, StoreError> {
    if found.spared {
        scanned.spared += 1;
        return Ok(Next::Go);
    }
    match inflate(reader, found.meta.id, raw) {
        Ok(true) => {}
        // Its logstore was deleted since the index was read.
        Ok(false) => return Ok(Next::Go),
        Err(error) => return passed_over(reader, error, scanned),
    }
    scanned.packs += 1;
    scanned.logs += found.meta.logs;
    scanned.bytes += raw.len() as u64;
    if !visitor.is_worth(raw) {
        return Ok(Next::Go);
    }
    match walked(found.meta.id, raw) {
        Ok(group) => visitor.visit(&found.meta, &group),
        Err(error) => passed_over(reader, error, scanned),
    }
}

fn passed_over(reader: &Reader<'_>, error: StoreError, scanned: &mut Scanned) -> Result<Next, StoreError> {
    let StoreError::Pack(reason) = error else { return Err(error) };
    scanned.broken += 1;
    if let Some(suppressed) = BROKEN.allow() {
        let file = reader.file().path().display();
        tracing::error!(suppressed, %file, "a stored pack cannot be read and is passed over: {reason}");
    }
    Ok(Next::Go)
}

/// `None` for a file that is damaged and was set aside: the scan goes on without it.
pub(super) fn going_on<T>(outcome: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Inflates a pack into `raw`; `false` when it is gone.
pub(in crate::store) fn inflate(
    reader: &mut Reader<'_>,
    pack: i64,
    raw: &mut Vec<u8>,
) -> Result<bool, StoreError> {
    let done = reader.with(|db| {
        db.prepare_cached("SELECT compression, raw_size, digest, body FROM packs WHERE id = ?1")?
            .query_row([pack], |row| {
                let Some(kind) = compression_of(row.get(0)?) else {
                    return Ok(Err(broken(pack, "its compression is unknown")));
                };
                let raw_size = usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX);
                // SQLite lends the stored bytes: they are inflated without a copy.
                let body = row.get_ref(3)?.as_blob()?;
                if digest(body) != row.get::<_, i64>(2)? {
                    return Ok(Err(broken(pack, "its bytes have changed on the disk")));
                }
                Ok(decompress(kind, body, raw_size, LOG_GROUP_BYTES, raw)
                    .map_err(|error| broken(pack, error)))
            })
            .optional()
    })?;
    match done {
        None => Ok(false),
        Some(inflated) => inflated.map(|()| true),
    }
}

pub(super) fn broken(pack: i64, reason: impl std::fmt::Display) -> StoreError {
    StoreError::Pack(format!("pack {pack}: {reason}"))
}

/// A LogGroup that was checked when it came.
pub(super) fn walked(pack: i64, raw: &[u8]) -> Result<Group<'_>, StoreError> {
    skim(raw).map_err(|error| broken(pack, error))
}
