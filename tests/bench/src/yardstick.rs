//! The yardstick: CPU seconds to compress the same records, as LogGroups of 512 KiB, with LZ4 in one thread.
//!
//! A forwarder to Log Service cannot do less than this, and it scales with the machine, so that multiples of it can be
//! compared between machines where seconds cannot.

use lz4_flex::block::{compress_into, get_maximum_output_size};

use crate::{
    loggroup, process,
    records::{Line, Stream},
};

const GROUP_BYTES: usize = 512 * 1024;
const PASSES: usize = 3;

pub struct Yardstick {
    records: u64,
    connections: u64,
    seed: u64,
    /// CPU seconds of every pass, ascending.
    passes: Vec<f64>,
    pub raw_bytes: usize,
    pub compressed_bytes: usize,
}

impl Yardstick {
    pub fn new(records: u64, connections: u64, seed: u64) -> Yardstick {
        let (passes, raw_bytes, compressed_bytes) = (Vec::new(), 0, 0);
        let mut yardstick = Yardstick { records, connections, seed, passes, raw_bytes, compressed_bytes };
        yardstick.measure();
        yardstick
    }

    /// Three more passes. Machines have moods: passes between the rows see those that the rows see.
    pub fn measure(&mut self) {
        let groups = groups(self.records, self.connections, self.seed);
        let mut out = vec![0; get_maximum_output_size(2 * GROUP_BYTES)];
        for _ in 0..PASSES {
            let start = process::thread_cpu_seconds();
            self.compressed_bytes =
                groups.iter().map(|group| compress_into(group, &mut out).unwrap_or_default()).sum();
            self.passes.push(process::thread_cpu_seconds() - start);
        }
        self.passes.sort_unstable_by(f64::total_cmp);
        self.raw_bytes = groups.iter().map(Vec::len).sum();
    }

    /// Median of all passes.
    pub fn cpu_seconds(&self) -> f64 {
        self.passes[self.passes.len() / 2]
    }

    pub fn ratio(&self) -> f64 {
        self.raw_bytes as f64 / self.compressed_bytes.max(1) as f64
    }

    /// Its line in the output.
    pub fn line(&self) -> String {
        format!(
            "yardstick  {:.3} CPU s to LZ4 them ({:.3} to {:.3} in {} passes, {:.0} MB/s)",
            self.cpu_seconds(),
            self.passes[0],
            self.passes[self.passes.len() - 1],
            self.passes.len(),
            self.raw_bytes as f64 / 1e6 / self.cpu_seconds()
        )
    }
}

/// The run's records as LogGroups, closed before they pass 512 KiB.
fn groups(records: u64, connections: u64, seed: u64) -> Vec<Vec<u8>> {
    let mut groups = Vec::new();
    let mut line = Line::default();
    for mut stream in Stream::all(records, connections, seed, process::unix_seconds()) {
        let mut group = Vec::with_capacity(GROUP_BYTES);
        while stream.advance(&mut line) {
            if group.len() + 512 > GROUP_BYTES {
                groups.push(std::mem::replace(&mut group, Vec::with_capacity(GROUP_BYTES)));
            }
            loggroup::append(&mut group, &stream, &line);
        }
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    #[test]
    fn texts_compress_like_service_logs() {
        let yardstick = super::Yardstick::new(20_000, 4, 1);
        assert!((3.7..4.3).contains(&yardstick.ratio()), "ratio {}", yardstick.ratio());
    }
}
