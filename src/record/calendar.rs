//! Calendar arithmetic: which moment it was when a clock on a wall showed something.
//!
//! A time without a year is in the year that puts it nearest to a moment that is known, which is right across New Year in
//! both directions. One without a zone is in a zone that is given; in the hour that an autumn night has twice, again the
//! nearer one counts. What no calendar has (31 November) is no time.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

pub const DAY: i64 = 86_400;

/// What a clock on a wall showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: Option<i16>,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    /// 60 in a leap second.
    pub second: u8,
    /// Seconds east of Greenwich.
    pub offset: Option<i32>,
}

impl Civil {
    /// Seconds since 1970. `zone`: of times that name none. `near`: seconds since 1970 that say which year, and which of an
    /// autumn night's hours, is meant. `None` for 29 February without a leap year near.
    pub fn seconds(&self, zone: &TimeZone, near: i64) -> Option<i64> {
        match self.year {
            Some(year) => self.in_year(year, zone, near),
            None => nearest_year(near, |year| self.in_year(year, zone, near)),
        }
    }

    fn in_year(&self, year: i16, zone: &TimeZone, near: i64) -> Option<i64> {
        if !(1..=days_in_month(i64::from(year), self.month)?).contains(&self.day) {
            return None;
        }
        let of_day = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        let seconds = days_since_1970(i64::from(year), self.month, self.day) * DAY + of_day;
        if let Some(offset) = self.offset {
            return Some(seconds - i64::from(offset));
        }
        if let Ok(offset) = zone.to_fixed_offset() {
            return Some(seconds - i64::from(offset.seconds()));
        }
        let as_signed = |number: u8| i8::try_from(number).ok();
        let local = DateTime::new(
            year,
            as_signed(self.month)?,
            as_signed(self.day)?,
            as_signed(self.hour)?,
            as_signed(self.minute)?,
            as_signed(self.second.min(59))?,
            0,
        )
        .ok()?;
        let at = |offset: jiff::tz::Offset| seconds - i64::from(offset.seconds());
        Some(match zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            AmbiguousOffset::Gap { before, .. } => at(before),
            AmbiguousOffset::Fold { before, after } => {
                let (first, second) = (at(before), at(after));
                if first.abs_diff(near) < second.abs_diff(near) { first } else { second }
            }
        })
    }
}

/// What `in_year` gives for the year that puts it nearest to `near`, seconds since 1970.
pub fn nearest_year(near: i64, in_year: impl Fn(i16) -> Option<i64>) -> Option<i64> {
    // The year of that moment, give or take a day, and its neighbours.
    let year = 1970 + near.div_euclid(DAY) * 400 / 146_097;
    let at = |year| i16::try_from(year).ok().and_then(&in_year);
    let this = at(year);
    // Less than half a year away: its neighbours are further.
    if this.is_some_and(|seconds| seconds.abs_diff(near) < 182 * DAY.unsigned_abs()) {
        return this;
    }
    [at(year - 1), this, at(year + 1)].into_iter().flatten().min_by_key(|seconds| seconds.abs_diff(near))
}

/// Days since 1970-01-01 in the Gregorian calendar; years are counted from March, so that the leap day ends one.
pub fn days_since_1970(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `None` where there is no such month.
pub fn days_in_month(year: i64, month: u8) -> Option<u8> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap { 29 } else { 28 }),
        _ => None,
    }
}

/// A month's number by the first three letters of its English name.
pub fn month_named(name: &[u8]) -> Option<u8> {
    const MONTHS: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";
    let at = MONTHS.chunks_exact(3).position(|month| month.eq_ignore_ascii_case(name))?;
    Some(at as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_of_its_month() {
        let at = |year, month, day| {
            let civil = Civil { year, month, day, hour: 0, minute: 0, second: 0, offset: None };
            civil.seconds(&TimeZone::UTC, 1_700_000_000)
        };
        assert_eq!(at(Some(1970), 1, 1), Some(0));
        assert_eq!(at(Some(2024), 2, 29), Some(1_709_164_800));
        for (month, day) in [(0, 1), (13, 1), (1, 0), (1, 32), (2, 29), (11, 31)] {
            assert_eq!(at(Some(2026), month, day), None, "{month} {day}");
        }
        assert!(
            Civil { year: None, month: 3, day: 1, hour: 0, minute: 0, second: 0, offset: None }
                .seconds(&TimeZone::UTC, i64::MIN)
                .is_none()
        );
    }

    proptest::proptest! {
        #[test]
        fn the_zones_of_a_database_are_kept(seconds in 0i64..4_000_000_000, at in 0usize..3) {
            let zone = TimeZone::get(["Europe/Berlin", "America/New_York", "Asia/Shanghai"][at]).unwrap();
            let local = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(zone.clone()).datetime();
            let civil = Civil {
                year: Some(local.year()),
                month: local.month() as u8,
                day: local.day() as u8,
                hour: local.hour() as u8,
                minute: local.minute() as u8,
                second: local.second() as u8,
                offset: None,
            };
            proptest::prop_assert_eq!(civil.seconds(&zone, seconds), Some(seconds));
        }
    }
}
