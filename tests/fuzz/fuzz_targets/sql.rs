//! Any text is a statement or is refused; run over a few logs it is answered or refused, plain and weighted, and never
//! fails for a reason of our own.
#![no_main]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sluicegate::store::StoreError;
use sluicegate::store::analytics::{
    AnalyticsError, Column, Fields, Kind, Limits, Session, Source, Take, run,
};

struct Logs;

impl Source for Logs {
    fn load(&mut self, columns: &[Column], take: &mut Take<'_>) -> Result<(), StoreError> {
        for log in [["1700000000", "info", "200"], ["1700000060", "{\"a\":[1]}", "-"], ["5", "", "1.50"]] {
            let value = |column: &Column| match column {
                Column::Time => Some(log[0].as_bytes()),
                Column::Field(name) if name == "level" => Some(log[1].as_bytes()),
                Column::Field(name) if name == "n" => Some(log[2].as_bytes()),
                _ => None,
            };
            let values: Vec<Option<&[u8]>> = columns.iter().map(value).collect();
            if let ControlFlow::Break(()) = take(&values, 1) {
                break;
            }
        }
        Ok(())
    }

    fn names(&mut self) -> Result<Vec<String>, StoreError> {
        Ok(vec!["level".to_owned(), "n".to_owned()])
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let Ok(sql) = std::str::from_utf8(rest) else { return };
    let fields = Fields(vec![("level".to_owned(), Kind::Text), ("n".to_owned(), Kind::Long)]);
    let spill = std::env::temp_dir();
    let stop = Arc::new(AtomicBool::new(false));
    let session = Session {
        fields: (first % 2 == 0).then_some(&fields),
        logstore: "app",
        now: 1_700_000_000_000,
        limits: Limits { time: Duration::from_secs(2), ..Limits::default() },
        spill: &spill,
        stop: &stop,
    };
    if let Err(error) = run(sql, &session, &mut Logs) {
        assert!(!matches!(error, AnalyticsError::Database(_)), "{error}");
    }
});
