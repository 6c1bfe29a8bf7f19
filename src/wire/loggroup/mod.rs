//! The LogGroup, the unit of PutLogs: protobuf that is written by [`encode`], read in place by [`walk`], and taken apart
//! and put together here without decoding a log.
//!
//! ```text
//! LogGroup  0a Log   12 Category   1a Topic   22 Source   2a MachineUUID   32 LogTag
//! Log       08 Time (varint, s)    12 Content             25 Time_ns (fixed32, little-endian)
//! Content   0a Key   12 Value      LogTag  0a Key   12 Value
//! ```
//!
//! Logs are a repeated field, so encoded logs laid end to end, with the other fields (the *trailer*) behind them, are a
//! LogGroup: that is how fragments become one, and how a refused LogGroup is halved.

pub mod encode;
pub mod list;
pub mod packed;
mod retime;
pub mod walk;

pub use retime::{ORIGINAL_TIME, retime};
pub use walk::{Group, Log, WalkError, skim, walk};

use super::protobuf::Fields;
use walk::LOGS;

/// The two halves of a LogGroup.
pub type Halves = (Vec<u8>, Vec<u8>);

/// Halves a LogGroup by its logs; both halves keep every other field. `None` when there is one log or none.
pub fn split(group: &[u8]) -> Result<Option<Halves>, WalkError> {
    let logs = walk(group)?.log_count();
    if logs < 2 {
        return Ok(None);
    }
    let (mut first, mut second) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    let mut seen = 0;
    let mut fields = Fields::new(group);
    while let Some(field) = fields.next()? {
        if field.number != LOGS {
            first.extend_from_slice(field.whole);
            second.extend_from_slice(field.whole);
            continue;
        }
        let half = if seen < logs / 2 { &mut first } else { &mut second };
        half.extend_from_slice(field.whole);
        seen += 1;
    }
    Ok(Some((first, second)))
}

/// The LogGroups of a LogGroupList, each checked; ends behind the first fault.
pub fn groups(list: &[u8]) -> impl Iterator<Item = Result<Group<'_>, WalkError>> {
    let mut fields = Some(Fields::new(list));
    std::iter::from_fn(move || {
        loop {
            let found = match fields.as_mut()?.next() {
                Ok(None) => return None,
                Ok(Some(field)) if field.number == LOGS => {
                    field.bytes().map_err(WalkError::from).and_then(walk)
                }
                Ok(Some(_)) => continue,
                Err(error) => Err(error.into()),
            };
            if found.is_err() {
                fields = None;
            }
            return Some(found);
        }
    })
}

/// Makes one LogGroup of parts that [`split`] made: all their logs, and the first one's other fields once.
pub fn merge(parts: &[Vec<u8>]) -> Result<Vec<u8>, WalkError> {
    let mut merged = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    for (at, part) in parts.iter().enumerate() {
        let mut fields = Fields::new(part);
        while let Some(field) = fields.next()? {
            if field.number == LOGS || at == 0 {
                merged.extend_from_slice(field.whole);
            }
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests;
