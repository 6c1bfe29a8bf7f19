//! Logs as JSON, of web tracking and PutLogs: whatever is taken is a LogGroup.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::wire::{json_logs, loggroup};

fuzz_target!(|data: &[u8]| {
    if let Ok(group) = json_logs::group_of(data, 1_700_000_000, "10.0.0.9") {
        let group = loggroup::walk(&group).expect("what is written can be read");
        assert_eq!(group.logs().count(), group.log_count());
    }
});
