//! The store's metrics: handles made once.

use crate::base::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

#[derive(Clone)]
pub(super) struct Metrics {
    packs: Counter,
    logs: Counter,
    raw_bytes: Counter,
    packed_bytes: Counter,
    pub(super) failed: Counter,
    pub(super) odd_times: Counter,
    pub(super) expired: Counter,
    pub(super) evicted: Counter,
    pub(super) scanned: Counter,
    pub(super) spared: Counter,
    pub(super) broken: Counter,
    pub(super) machines: Gauge,
    pub(super) files: Gauge,
    pub(super) file_bytes: Gauge,
    pub(super) put_seconds: Histogram,
    pub(super) search_seconds: Histogram,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let bytes = |kind| {
            let help = "Bytes of stored LogGroups, as sent and inflated";
            counter("sluicegate_store_bytes_total", help, &[("kind", kind)])
        };
        let dropped = |reason| {
            let help = "LogGroups that were dropped because of their age or to make room";
            counter("sluicegate_store_dropped_packs_total", help, &[("reason", reason)])
        };
        let looked_at = |how| {
            let help = "LogGroups that searches inflated, spared by a filter, or found unreadable";
            counter("sluicegate_store_scanned_packs_total", help, &[("how", how)])
        };
        Metrics {
            packs: counter(
                "sluicegate_store_packs_total",
                "LogGroups stored by the embedded Log Service",
                &[],
            ),
            logs: counter("sluicegate_store_logs_total", "Logs stored by the embedded Log Service", &[]),
            raw_bytes: bytes("raw"),
            packed_bytes: bytes("compressed"),
            failed: counter(
                "sluicegate_store_failed_commits_total",
                "Transactions that could not be stored",
                &[],
            ),
            odd_times: counter(
                "sluicegate_store_odd_times_total",
                "Logs stored whose time is more than 7 days before or 15 minutes after their arrival",
                &[],
            ),
            expired: dropped("expired"),
            evicted: dropped("full"),
            scanned: looked_at("inflated"),
            spared: looked_at("spared"),
            broken: looked_at("unreadable"),
            machines: gauge(
                "sluicegate_store_machines",
                "Machines that send heartbeats to the embedded Log Service",
                &[],
            ),
            files: gauge("sluicegate_store_files", "Files of packs", &[]),
            file_bytes: gauge("sluicegate_store_file_bytes", "Size of all files of packs", &[]),
            put_seconds: histogram(
                "sluicegate_store_put_seconds",
                "Time from the writer taking a LogGroup up to its commit",
                &[],
            ),
            search_seconds: histogram(
                "sluicegate_store_search_seconds",
                "Time of one search, waiting for its turn included",
                &[],
            ),
        }
    }

    pub(super) fn stored(&self, packs: usize, logs: usize, raw: usize, packed: usize) {
        self.packs.increment(packs as u64);
        self.logs.increment(logs as u64);
        self.raw_bytes.increment(raw as u64);
        self.packed_bytes.increment(packed as u64);
    }
}
