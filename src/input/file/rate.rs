//! The bound on what an input's files bring in a second.
//!
//! ```text
//! full, one second's bytes  ----.
//!                                \  reserve: taken at once, waited for when it goes below nothing
//! nothing                   ------\--------/--  fills with the rate
//! ```
//!
//! What is reserved is taken before the wait, so that many who wait are let through one after the other, in their order.
//! What was reserved and not needed is given back; a read may bring a little more than was asked for, which is owed.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A block is at least so long, whatever the rate.
const LEAST: usize = 4 * 1024;

pub(super) struct Rate {
    /// Bytes in a second.
    per_second: u64,
    state: Mutex<State>,
}

struct State {
    /// Below nothing: who came is still waiting.
    left: i64,
    at: Instant,
}

impl Rate {
    pub(super) fn new(per_second: u64) -> Rate {
        let per_second = per_second.max(1);
        Rate { per_second, state: Mutex::new(State { left: most(per_second), at: Instant::now() }) }
    }

    /// How much of `block` may be asked for at once, so that one wait is no longer than about a second.
    pub(super) fn block(&self, block: usize) -> usize {
        let second = usize::try_from(self.per_second).unwrap_or(usize::MAX);
        block.min(second.max(LEAST))
    }

    /// Takes so many bytes, and waits until they are there. Dropped while it waits, they are spent all the same.
    pub(super) async fn reserve(&self, bytes: usize) {
        let until = self.take(bytes, Instant::now());
        if let Some(until) = until {
            sleep_until(until).await;
        }
    }

    /// Takes so many bytes; the moment from which they may be read.
    fn take(&self, bytes: usize, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let filled =
            now.saturating_duration_since(state.at).as_micros() * u128::from(self.per_second) / 1_000_000;
        // Less than a byte is left for the next time.
        if filled > 0 {
            let filled = i64::try_from(filled).unwrap_or(i64::MAX);
            state.left = state.left.saturating_add(filled).min(most(self.per_second));
            state.at = now;
        }
        state.left = state.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        let owed = u64::try_from(state.left.saturating_neg()).ok().filter(|owed| *owed > 0)?;
        Some(now + Duration::from_secs_f64(owed as f64 / self.per_second as f64))
    }

    /// Of `taken` bytes so many were read: the rest is given back, and what was read beyond is owed.
    pub(super) fn settle(&self, taken: usize, read: usize) {
        let mut state = self.lock();
        let rest =
            i64::try_from(taken).unwrap_or(i64::MAX).saturating_sub(i64::try_from(read).unwrap_or(i64::MAX));
        state.left = state.left.saturating_add(rest).min(most(self.per_second));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What gathers while nobody reads.
fn most(per_second: u64) -> i64 {
    i64::try_from(per_second).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_rate_and_a_second_at_the_beginning() {
        let rate = Rate::new(1_000_000);
        let begin = Instant::now();
        assert_eq!(rate.block(256 * 1024), 256 * 1024);
        for _ in 0..50 {
            rate.reserve(100_000).await;
        }
        // Five seconds' worth, of which one was there.
        assert!((3_990..4_010).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
        rate.settle(600_000, 100_000);
        rate.reserve(500_000).await;
        assert!(begin.elapsed().as_millis() < 4_010);
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_rate_asks_for_small_blocks() {
        let rate = Rate::new(10_000);
        assert_eq!((rate.block(256 * 1024), Rate::new(1).block(256 * 1024)), (10_000, LEAST));
        let begin = Instant::now();
        for _ in 0..1_000 {
            rate.reserve(100).await;
        }
        assert!((8_990..9_100).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    }
}
