//! Waiting times between tries: exponential, with jitter, so that a thousand gateways do not return as one.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
    state: u64,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        let mut seed = [0u8; 8];
        // Without entropy the jitter is the same everywhere, which is still a valid waiting time.
        let _ = getrandom::fill(&mut seed);
        Backoff { first, longest, tries: 0, state: u64::from_le_bytes(seed) | 1 }
    }

    /// The next waiting time: between half and all of `first * 2^tries`, at most `longest`.
    pub fn next_wait(&mut self) -> Duration {
        let full = self.first.saturating_mul(1u32 << self.tries.min(20)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let share = 0.5 + (self.state >> 11) as f64 / (1u64 << 53) as f64 / 2.0;
        full.mul_f64(share)
    }

    pub fn tries(&self) -> u32 {
        self.tries
    }

    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_with_jitter_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for full in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next_wait().as_millis();
            assert!((full / 2..=full).contains(&wait), "{wait} is not within {}..={full}", full / 2);
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
