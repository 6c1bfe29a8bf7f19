//! The time of an event, in all the forms that peers send, and the group markers that stand in its place.
//!
//! ```text
//! integer                 seconds; 0 and nil: the time of receipt; below 0: before 1970
//! integer from 10^11 up   milliseconds, from 10^14 microseconds, from 10^17 nanoseconds (can be switched off)
//! ext 0, 8 bytes          EventTime: u32 seconds, u32 nanoseconds; nanoseconds from 10^9 up are carried
//! float                   seconds with a fraction, rounded to the nanosecond
//! ext 0 of -1, of -2      in `[time, metadata]` alone: a group starts, a group ends
//! ```

use super::entries::Settings;
use super::tally::{Invalid, Tally};
use crate::record::msgpack::{Token, Walker};
use crate::record::{Timestamp, json};

/// Reads the time at the cursor over `bytes`; group markers are not looked for.
#[inline]
pub(super) fn take(
    bytes: &[u8],
    walker: &mut Walker<'_>,
    settings: &Settings<'_>,
    tally: &mut Tally,
) -> Result<Timestamp, Invalid> {
    let received = settings.received;
    match walker.next()? {
        Token::Int(0) | Token::Nil => Ok(received),
        Token::Int(seconds) if seconds < 100_000_000_000 || !settings.guess_units => {
            Ok(Timestamp { seconds, nanos: 0 })
        }
        Token::Int(count) => Ok(guess(count.unsigned_abs(), tally)),
        Token::Huge(count) if settings.guess_units => Ok(guess(count, tally)),
        Token::Ext(kind, place) => match json::event_time(kind, bytes.get(place).unwrap_or_default()) {
            Some((0, _)) => Ok(received),
            Some((seconds, nanos)) => Ok(Timestamp::new(i64::from(seconds), nanos)),
            None => Err(Invalid::Time),
        },
        Token::F32(0.0) | Token::F64(0.0) => Ok(received),
        Token::F32(seconds) => Timestamp::from_float(f64::from(seconds)).ok_or(Invalid::Time),
        Token::F64(seconds) => Timestamp::from_float(seconds).ok_or(Invalid::Time),
        _ => Err(Invalid::Time),
    }
}

/// Some loggers send milliseconds (fluent-logger-node can be told to), some finer; as seconds they would lie
/// thousands of years ahead.
fn guess(count: u64, tally: &mut Tally) -> Timestamp {
    tally.guessed_units += 1;
    let per_second = match count {
        ..100_000_000_000_000 => 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
        _ => 1_000_000_000,
    };
    let fraction = (count % per_second) * (1_000_000_000 / per_second);
    Timestamp { seconds: (count / per_second) as i64, nanos: fraction as u32 }
}

/// What stands where a time is expected.
#[derive(Clone, Copy)]
pub(super) enum Marker {
    Start,
    End,
}

/// Looks whether the time at the cursor is a group marker, and steps over it when it is: an EventTime whose seconds,
/// read as signed, are -1 or -2. With nanoseconds it is neither a marker nor a time.
pub(super) fn group_marker(bytes: &[u8], walker: &mut Walker<'_>) -> Result<Option<Marker>, Invalid> {
    let mut ahead = walker.clone();
    let Ok(Token::Ext(kind, place)) = ahead.next() else { return Ok(None) };
    let marker = match json::event_time(kind, bytes.get(place).unwrap_or_default()) {
        Some((u32::MAX, 0)) => Marker::Start,
        Some((0xffff_fffe, 0)) => Marker::End,
        Some((0xffff_fffe.., _)) => return Err(Invalid::Time),
        _ => return Ok(None),
    };
    *walker = ahead;
    Ok(Some(marker))
}
