//! A bound on bytes per second: a bucket that holds a second's worth and is filled steadily.
//!
//! Bytes count before compression, each time they are sent, as Logtail counts its `maxSendRate`. A LogGroup larger than
//! the bucket goes as a whole, and the next one waits for it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may be sent at once after a pause.
const BURST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Rate {
    bytes_per_second: f64,
    /// When the bytes taken so far will have been earned; in the past when there are some left over.
    earned: Mutex<Instant>,
}

impl Rate {
    pub fn new(bytes_per_second: u64) -> Rate {
        let full = Instant::now().checked_sub(BURST).unwrap_or_else(Instant::now);
        Rate { bytes_per_second: bytes_per_second.max(1) as f64, earned: Mutex::new(full) }
    }

    /// Waits until so many bytes may go, behind those who asked before.
    pub async fn take(&self, bytes: usize) {
        let turn = self.reserve(bytes, Instant::now());
        tokio::time::sleep_until(turn).await;
    }

    /// When so many bytes may go; they are taken.
    fn reserve(&self, bytes: usize, now: Instant) -> Instant {
        let mut earned = self.earned.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*earned).max(now.checked_sub(BURST).unwrap_or(now));
        *earned = turn + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        turn.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn holds_the_rate_over_time_and_lets_a_second_go_at_once() {
        let rate = Rate::new(1_000);
        let start = Instant::now();
        rate.take(1_000).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "the bucket was full");
        for _ in 0..100 {
            rate.take(500).await;
        }
        let took = start.elapsed().as_secs_f64();
        assert!((49.0..=50.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_for_the_bucket_makes_the_next_one_wait() {
        let rate = Rate::new(1_000);
        let start = Instant::now();
        rate.take(10_000).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        rate.take(1).await;
        assert_eq!(start.elapsed().as_secs(), 9);
        // A long rest earns no more than one bucket.
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let start = Instant::now();
        rate.take(1_000).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        rate.take(1_000).await;
        rate.take(1).await;
        assert!(start.elapsed() >= Duration::from_secs(1));
    }
}
