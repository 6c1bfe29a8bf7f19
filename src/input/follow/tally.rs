//! What is counted of every input that follows files.

use crate::base::metrics::{Counter, Gauge, counter, gauge};

/// The name and the meaning of a metric.
pub type Meaning = (&'static str, &'static str);

/// The counters of one input.
#[derive(Clone)]
pub struct Tally {
    pub bytes: Counter,
    pub records: Counter,
    /// Lines put together of pieces.
    pub joined: Counter,
    /// Lines that their writer cannot have written.
    pub malformed: Counter,
    /// Bytes that hold no line.
    pub skipped: Counter,
    lag: Gauge,
}

impl Tally {
    /// What each input calls its own way is given; the others are shared by all inputs.
    pub fn new(input: &str, [joined, malformed, skipped]: [Meaning; 3]) -> Tally {
        let labels = [("input", input)];
        let count = |(name, meaning): Meaning| counter(name, meaning, &labels);
        Tally {
            bytes: count(("sluicegate_received_bytes_total", "Bytes read from peers.")),
            records: count(("sluicegate_received_records_total", "Records decoded.")),
            joined: count(joined),
            malformed: count(malformed),
            skipped: count(skipped),
            lag: gauge("sluicegate_file_lag_bytes", "Bytes that files have and that were not read.", &labels),
        }
    }

    /// The part of one task in what was not read yet.
    pub fn lag(&self) -> Lag {
        Lag { gauge: self.lag.clone(), bytes: 0 }
    }
}

/// A task's part of a gauge, until it ends.
pub struct Lag {
    gauge: Gauge,
    bytes: u64,
}

impl Lag {
    pub fn set(&mut self, bytes: u64) {
        self.gauge.increment(bytes as f64 - self.bytes as f64);
        self.bytes = bytes;
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.set(0);
    }
}
