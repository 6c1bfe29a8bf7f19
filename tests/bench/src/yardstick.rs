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
const PASSES: usize = 5;

pub struct Yardstick {
    /// Median of the passes; the spread tells how quiet the machine was.
    pub cpu_seconds: f64,
    pub fastest: f64,
    pub slowest: f64,
    pub raw_bytes: usize,
    pub compressed_bytes: usize,
}

impl Yardstick {
    pub fn ratio(&self) -> f64 {
        self.raw_bytes as f64 / self.compressed_bytes.max(1) as f64
    }
}

pub fn measure(records: u64, connections: u64, seed: u64) -> Yardstick {
    let groups = groups(records, connections, seed);
    let mut out = vec![0; get_maximum_output_size(2 * GROUP_BYTES)];
    let mut compressed_bytes = 0;
    let mut passes: Vec<f64> = (0..PASSES)
        .map(|_| {
            let start = process::thread_cpu_seconds();
            compressed_bytes =
                groups.iter().map(|group| compress_into(group, &mut out).unwrap_or_default()).sum();
            process::thread_cpu_seconds() - start
        })
        .collect();
    passes.sort_unstable_by(f64::total_cmp);
    let raw_bytes = groups.iter().map(Vec::len).sum();
    Yardstick {
        cpu_seconds: passes[PASSES / 2],
        fastest: passes[0],
        slowest: passes[PASSES - 1],
        raw_bytes,
        compressed_bytes,
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
        let yardstick = super::measure(20_000, 4, 1);
        assert!((3.7..4.3).contains(&yardstick.ratio()), "ratio {}", yardstick.ratio());
    }
}
