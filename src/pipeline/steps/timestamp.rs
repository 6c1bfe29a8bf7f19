//! The processor `time`: takes the record's time from a field.
//!
//! Records follow each other within the same second, so the text that was read last is remembered but for the digits of its
//! fraction: where the next one is the same, only these are read.
//!
//! ```text
//! 2026-11-22 23:03:07,723 +0800
//! '------ before -----'   'after'
//! ```
//!
//! A record whose text is of none of the formats keeps its time and its field, and is counted.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::base::metrics::{Counter, counter};
use crate::config::plan::{TimestampPlan, zone};
use crate::record::digits::Reader;
use crate::record::strptime::{Format, Found};
use crate::record::{Batch, Timestamp};

/// Longer texts are not remembered: a time is shorter.
const REMEMBERED: usize = 128;
/// Records may come so far apart, in seconds, and still share a second without a year.
const SAME: u64 = 600;
/// No log is older than 2000: a clock that says so was never set, and says nothing about a year.
const OLDEST: i64 = 946_684_800;

pub(super) struct Timestamps {
    key: String,
    keep: bool,
    formats: Arc<[Format]>,
    zone: TimeZone,
    failed: Counter,
}

/// What was read last, for the next record is often of the same second.
#[derive(Default)]
pub(super) struct Remembered {
    /// Whose it is. Holding them keeps another processor from being taken for this one.
    formats: Option<Arc<[Format]>>,
    before: Vec<u8>,
    after: Vec<u8>,
    /// Digits of a fraction stand between these two.
    has_fraction: bool,
    /// What follows `after` does not matter.
    is_open: bool,
    time: Timestamp,
    /// The time the record had.
    near: i64,
}

impl Timestamps {
    pub(super) fn new(plan: &TimestampPlan) -> Timestamps {
        Timestamps {
            key: plan.key.clone(),
            keep: plan.keep,
            // Both were checked when the configuration was read.
            formats: plan.formats.iter().filter_map(|format| Format::parse(&format.0).ok()).collect(),
            zone: zone(&plan.zone).unwrap_or(TimeZone::UTC),
            failed: counter(
                "sluicegate_time_failed_total",
                "Records whose text is of none of the formats that their time is read with.",
                &[],
            ),
        }
    }

    /// A record without the field keeps its time; it may be of another kind.
    pub(super) fn apply(&self, batch: &mut Batch, record: usize, remembered: &mut Remembered) {
        let current = batch.records[record];
        let Some(value) = batch.value_of(&current, self.key.as_bytes()) else { return };
        let text = batch.bytes(value);
        let time = match remembered.recall(&self.formats, text, current.time.seconds) {
            Some(time) => time,
            None => match self.read(text, current.time, remembered) {
                Some(time) => time,
                None => return self.failed.increment(1),
            },
        };
        batch.records[record].time = time;
        if !self.keep {
            batch.retain(record, |name| name != self.key.as_bytes());
        }
    }

    fn read(&self, text: &[u8], had: Timestamp, remembered: &mut Remembered) -> Option<Timestamp> {
        let near = if had.seconds < OLDEST { Timestamp::now() } else { had };
        // Bytes of the text that were enough to see that it is of none of the formats before.
        let mut looked_at = 0;
        for format in self.formats.iter() {
            match format.find(text, &self.zone, near) {
                Ok(found) => {
                    remembered.remember(&self.formats, text, &found, looked_at, had.seconds);
                    return Some(found.time);
                }
                Err(len) => looked_at = looked_at.max(len),
            }
        }
        None
    }
}

impl Remembered {
    /// The time of a text that can only differ from the last one in its fraction.
    fn recall(&self, formats: &Arc<[Format]>, text: &[u8], near: i64) -> Option<Timestamp> {
        let is_mine = self.formats.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, formats));
        if !is_mine || self.near.abs_diff(near) > SAME {
            return None;
        }
        let rest = text.strip_prefix(self.before.as_slice())?;
        let mut reader = Reader::new(rest);
        let nanos = if self.has_fraction { reader.nanos()? } else { self.time.nanos };
        let rest = reader.text.get(reader.at..)?;
        // Comparing with nothing would be a call that reads where nothing is: slow where the processor has to forgive that.
        let is_same = match self.after.is_empty() {
            true => self.is_open || rest.is_empty(),
            false if self.is_open => rest.starts_with(&self.after),
            false => rest == self.after,
        };
        is_same.then_some(Timestamp { seconds: self.time.seconds, nanos })
    }

    /// `looked_at`: what other formats have seen of the text before they gave up; where that is the same, they do again.
    fn remember(&mut self, formats: &Arc<[Format]>, text: &[u8], found: &Found, looked_at: usize, near: i64) {
        let digits = &found.fraction;
        // Without a fraction to skip, or where another format saw into it, only the very same text is recalled.
        self.has_fraction = !digits.is_empty() && looked_at <= digits.start;
        let (before, after) = match self.has_fraction {
            true => (..digits.start, digits.end..found.len),
            false => (..found.len, found.len..found.len),
        };
        self.is_open = found.is_closed && looked_at <= before.end;
        let after = if self.is_open { after } else { after.start..text.len() };
        if before.end + after.len() > REMEMBERED {
            self.formats = None;
            return;
        }
        self.before.clear();
        self.before.extend_from_slice(&text[before]);
        self.after.clear();
        self.after.extend_from_slice(&text[after]);
        self.time = found.time;
        self.near = near;
        if !self.formats.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, formats)) {
            self.formats = Some(formats.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::TimeFormat;
    use proptest::prelude::*;

    fn timestamps(formats: &[&str], zone: &str, keep: bool) -> Timestamps {
        Timestamps::new(&TimestampPlan {
            key: "at".to_owned(),
            formats: formats.iter().map(|format| TimeFormat((*format).to_owned())).collect(),
            zone: zone.to_owned(),
            keep,
        })
    }

    fn record(text: &str, seconds: i64) -> Batch {
        let mut batch = Batch::default();
        batch.begin(Timestamp::new(seconds, 5));
        for (key, value) in [("at", text), ("log", "line")] {
            let (key, value) = (batch.keep(key.as_bytes()), batch.keep(value.as_bytes()));
            batch.push(key, value);
        }
        batch
    }

    /// The time a text gives, and how many fields are left.
    fn apply(times: &Timestamps, text: &str, seconds: i64, remembered: &mut Remembered) -> (Timestamp, u32) {
        let mut batch = record(text, seconds);
        times.apply(&mut batch, 0, remembered);
        (batch.records[0].time, batch.records[0].count)
    }

    #[test]
    fn the_field_becomes_the_time_and_goes() {
        let mut remembered = Remembered::default();
        let times = timestamps(&["%F %T,%f", "%F %T"], "GMT+08:00", false);
        let mut at = |text: &str| apply(&times, text, 1_795_000_000, &mut remembered);
        assert_eq!(at("2026-11-22 23:03:07,723"), (Timestamp::new(1_795_359_787, 723_000_000), 1));
        assert_eq!(at("2026-11-22 23:03:07,5"), (Timestamp::new(1_795_359_787, 500_000_000), 1));
        assert_eq!(at("2026-11-22 23:03:08,5"), (Timestamp::new(1_795_359_788, 500_000_000), 1));
        assert_eq!(at("2026-11-22 23:03:08"), (Timestamp::new(1_795_359_788, 0), 1));
        assert_eq!(at("2026-11-22 23:03:08,25"), (Timestamp::new(1_795_359_788, 250_000_000), 1));
        assert_eq!(at("yesterday"), (Timestamp::new(1_795_000_000, 5), 2));
        let times = timestamps(&["%s"], "UTC", true);
        assert_eq!(apply(&times, "17", 0, &mut remembered), (Timestamp::new(17, 0), 2));
        let mut batch = record("x", 3);
        batch.retain(0, |name| name != b"at");
        times.apply(&mut batch, 0, &mut remembered);
        assert_eq!(batch.records[0].time, Timestamp::new(3, 5));
    }

    #[test]
    fn a_remembered_second_is_of_its_own_processor_and_day() {
        let mut remembered = Remembered::default();
        let (utc, china) =
            (timestamps(&["%b %d %T"], "UTC", false), timestamps(&["%b %d %T"], "+08:00", false));
        let text = "Nov 22 23:03:07";
        let mut at = |times: &Timestamps, near: i64| apply(times, text, near, &mut remembered).0.seconds;
        assert_eq!(at(&utc, 1_795_388_000), 1_795_388_587);
        assert_eq!(at(&china, 1_795_388_000), 1_795_359_787);
        assert_eq!(at(&china, 1_795_388_000 - 365 * 86_400), 1_795_359_787 - 365 * 86_400);
    }

    proptest! {
        #[test]
        fn remembering_changes_nothing(
            texts in proptest::collection::vec(
                "2026-11-22[ T]0[12]:0[12]:0?[12]([.,]([0-9]{0,3}|12))?( ?(Z|[+]08:?(00|30)?))?x?", 1..40
            ),
            first in 0usize..5,
        ) {
            let formats = ["%F %T.%f %z", "%FT%T,%f", "%F %T", "%F %H:%M:%S.%f", "%FT%T.%f%z"];
            let mut formats = formats.to_vec();
            formats.rotate_left(first);
            let times = timestamps(&formats, "UTC", false);
            let mut remembered = Remembered::default();
            for text in texts {
                let fresh = apply(&times, &text, 1_795_000_000, &mut Remembered::default());
                prop_assert_eq!(apply(&times, &text, 1_795_000_000, &mut remembered), fresh, "{}", text);
            }
        }
    }
}
