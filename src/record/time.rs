//! The time of a record: seconds since 1970 and nanoseconds, as the forward protocol and Log Service carry it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment. `seconds` may be negative (before 1970); `nanos` is always below 10^9 and counts forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanos: u32,
}

impl Timestamp {
    /// Carries whole seconds out of `nanos`, which some senders let grow past 10^9.
    pub fn new(seconds: i64, nanos: u32) -> Self {
        Timestamp {
            seconds: seconds.saturating_add(i64::from(nanos / 1_000_000_000)),
            nanos: nanos % 1_000_000_000,
        }
    }

    /// From seconds with a fraction, rounded to the nanosecond; `None` for NaN, infinities and what no calendar holds.
    pub fn from_float(seconds: f64) -> Option<Self> {
        if !seconds.is_finite() || seconds.abs() > 1e15 {
            return None;
        }
        let whole = seconds.floor();
        let nanos = ((seconds - whole) * 1e9).round() as u32;
        Some(Timestamp::new(whole as i64, nanos))
    }

    pub fn now() -> Self {
        Timestamp::from(SystemTime::now())
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() },
            Err(before) => {
                let back: Duration = before.duration();
                let nanos = back.subsec_nanos();
                let borrow = i64::from(nanos > 0);
                Timestamp {
                    seconds: -(back.as_secs() as i64) - borrow,
                    nanos: if nanos > 0 { 1_000_000_000 - nanos } else { 0 },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_round_and_carry() {
        assert_eq!(
            Timestamp::from_float(1441588984.5),
            Some(Timestamp { seconds: 1441588984, nanos: 500_000_000 })
        );
        assert_eq!(Timestamp::from_float(1.999_999_999_9), Some(Timestamp { seconds: 2, nanos: 0 }));
        assert_eq!(Timestamp::from_float(-0.25), Some(Timestamp { seconds: -1, nanos: 750_000_000 }));
        assert_eq!(Timestamp::from_float(f64::NAN), None);
        assert_eq!(Timestamp::from_float(f64::INFINITY), None);
        assert_eq!(Timestamp::new(5, 1_000_000_000), Timestamp { seconds: 6, nanos: 0 });
    }
}
