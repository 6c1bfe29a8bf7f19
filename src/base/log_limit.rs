//! Quiet logging: what a peer can provoke is said once a period, with the count of what was not said.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// One kind of log line, allowed once per period.
#[derive(Debug)]
pub struct LogLimit {
    period: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl LogLimit {
    pub const fn new(period: Duration) -> Self {
        LogLimit { period, state: Mutex::new((None, 0)) }
    }

    /// `Some(n)` when the line may be written now; `n` lines like it were suppressed since the last one.
    pub fn allow(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = Instant::now();
        if state.0.is_some_and(|last| now.duration_since(last) < self.period) {
            state.1 += 1;
            return None;
        }
        let suppressed = state.1;
        *state = (Some(now), 0);
        Some(suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_once_and_counts_the_rest() {
        let limit = LogLimit::new(Duration::from_secs(3600));
        assert_eq!(limit.allow(), Some(0));
        assert_eq!(limit.allow(), None);
        let open = LogLimit::new(Duration::ZERO);
        assert_eq!((open.allow(), open.allow()), (Some(0), Some(0)));
    }
}
