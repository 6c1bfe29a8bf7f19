//! The bound on what an input's files bring in a second.
//!
//! ```text
//! full, one second's bytes  ----.
//!                                \  reserve: taken when it is there (of more than a second's, when that is)
//! nothing                   ------\--------/--  fills with the rate
//! ```
//!
//! Who comes waits behind those who came before. What was reserved and not needed is given back, and
//! is there for the next at once: thousands of files that have a line each do not wait for blocks. A read may bring a little
//! more than was asked for, which is owed.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A block is at least so long, whatever the rate.
const LEAST: usize = 4 * 1024;

pub(super) struct Rate {
    /// Bytes in a second.
    per_second: u64,
    /// Who has it is the next.
    turn: tokio::sync::Mutex<()>,
    /// Something was given back.
    back: Notify,
    state: Mutex<State>,
}

struct State {
    /// Below nothing: so much is owed.
    left: i64,
    at: Instant,
}

impl Rate {
    pub(super) fn new(per_second: u64) -> Rate {
        let per_second = per_second.max(1);
        let state = Mutex::new(State { left: most(per_second), at: Instant::now() });
        Rate { per_second, turn: tokio::sync::Mutex::default(), back: Notify::new(), state }
    }

    /// How much of `block` may be asked for at once, so that one wait is no longer than about a second.
    pub(super) fn block(&self, block: usize) -> usize {
        let second = usize::try_from(self.per_second).unwrap_or(usize::MAX);
        block.min(second.max(LEAST))
    }

    /// Waits until so many bytes are there, or a second's, and takes them. Dropped while it waits, it has taken nothing.
    pub(super) async fn reserve(&self, bytes: usize) {
        let _turn = self.turn.lock().await;
        while let Some(until) = self.take(bytes, Instant::now()) {
            // What was given back may be enough.
            let _ = timeout_at(until, self.back.notified()).await;
        }
    }

    /// Takes so many bytes, or says when they will be there.
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
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let missing = bytes.min(most(self.per_second)).saturating_sub(state.left);
        if missing <= 0 {
            state.left = state.left.saturating_sub(bytes);
            return None;
        }
        Some(now + Duration::from_secs_f64(missing as f64 / self.per_second as f64))
    }

    /// Of `taken` bytes so many were read: the rest is given back, and what was read beyond is owed.
    pub(super) fn settle(&self, taken: usize, read: usize) {
        let mut state = self.lock();
        let rest =
            i64::try_from(taken).unwrap_or(i64::MAX).saturating_sub(i64::try_from(read).unwrap_or(i64::MAX));
        state.left = state.left.saturating_add(rest).min(most(self.per_second));
        self.back.notify_one();
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

    #[tokio::test(start_paused = true)]
    async fn many_who_read_little_do_not_wait_for_what_none_of_them_needs() {
        let rate = std::sync::Arc::new(Rate::new(1_000_000));
        let begin = Instant::now();
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..2_000 {
            let rate = rate.clone();
            all.spawn(async move {
                rate.reserve(256 * 1024).await;
                tokio::task::yield_now().await;
                rate.settle(256 * 1024, 10);
            });
        }
        all.join_all().await;
        assert!(begin.elapsed().as_millis() < 100, "{:?}", begin.elapsed());
    }
}
