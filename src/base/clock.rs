//! A clock that may run faster than the world's, so that days of keeping and expiring can be watched in minutes.
//!
//! It starts at the world's time; at rate `n` a second of the world is `n` of its own. Only what ages by days looks at
//! it. The rate is no setting of a gateway in use: it comes from tests, and from the variable [`RATE`] in long trials.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Name of the environment variable that holds the rate, a whole number from 1 to 100,000.
pub const RATE: &str = "SLUICEGATE_STORE_CLOCK_RATE";

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Where it was started, by both clocks of the world; `None` at rate 1, which follows the world's corrections.
    started: Option<(SystemTime, Instant)>,
    rate: u32,
}

impl Clock {
    /// The world's own time.
    pub fn real() -> Clock {
        Clock { started: None, rate: 1 }
    }

    /// From now on `rate` times as fast.
    pub fn at_rate(rate: u32) -> Clock {
        let rate = rate.clamp(1, 100_000);
        Clock { started: (rate > 1).then(|| (SystemTime::now(), Instant::now())), rate }
    }

    /// As the environment says; real when it says nothing or no number.
    pub fn from_environment() -> Clock {
        let rate = std::env::var(RATE).ok().and_then(|text| text.trim().parse().ok());
        Clock::at_rate(rate.unwrap_or(1))
    }

    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Nanoseconds since 1970.
    pub fn nanoseconds(&self) -> i64 {
        let now = match self.started {
            None => SystemTime::now(),
            Some((at, since)) => at + since.elapsed().saturating_mul(self.rate),
        };
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Seconds since 1970.
    pub fn seconds(&self) -> i64 {
        self.nanoseconds() / 1_000_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_runs_ahead_and_never_back() {
        let (real, fast) = (Clock::real(), Clock::at_rate(100_000));
        let (then, start) = (real.nanoseconds(), fast.nanoseconds());
        while real.nanoseconds() - then < 2_000_000 {
            std::hint::spin_loop();
        }
        assert!(fast.nanoseconds() - start > 100_000_000, "2 ms are 200 s");
        assert!(fast.seconds() > real.seconds() + 60);
        assert_eq!((real.rate(), Clock::at_rate(0).rate()), (1, 1));
    }
}
