//! Reads times with formats of `strptime`; [`crate::config::strptime`] takes the formats themselves apart.
//!
//! It is as strict and as lenient as C's: blanks before a number are skipped, a blank of the format stands for any number
//! of them, names count in upper and lower case, what stands behind the format is not looked at. Where Logtail differs from
//! it we side with the log:
//!
//! * An offset in the text (`%z`, or `%Z` where it says UTC) is what counts, the zone is only for texts without.
//! * A time without a year is the last one that is not more than a month ahead of `now`: right across New Year, and for files
//!   of most of a year. A time of the day alone is that of the nearest day.
//! * A day that no calendar has is no time.
//!
//! One pass over the text and over the format, and nothing is allocated.

use std::ops::Range;

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;

use super::Timestamp;
use super::calendar::{Civil, DAY, month_named, nearest_year};
use super::digits::Reader;
use crate::config::strptime::{Item, Number};

const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];
const DAYS: [&[u8]; 7] =
    [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
/// Digits of `%s` at most: nanoseconds until the year 2286.
const EPOCH_DIGITS: usize = 19;
/// How far behind its first byte an item looks at most, but for blanks before a number.
const LOOKAHEAD: usize = EPOCH_DIGITS + 1;

/// A format, ready to read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    items: Vec<Item>,
}

/// A time in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub time: Timestamp,
    /// The digits of its fraction; empty where the format has none.
    pub fraction: Range<usize>,
    pub len: usize,
    /// What stands behind `len` cannot have had a part in it, but for further digits of a fraction that ends there.
    pub is_closed: bool,
}

/// What the items found.
#[derive(Default)]
struct Parts {
    century: Option<i16>,
    year: Option<i16>,
    year_of_century: Option<i16>,
    week_year: Option<i16>,
    week_year_of_century: Option<i16>,
    month: Option<u8>,
    day: Option<u8>,
    day_of_year: Option<i16>,
    /// From Monday, 0 to 6.
    weekday: Option<u8>,
    sunday_week: Option<u8>,
    monday_week: Option<u8>,
    iso_week: Option<u8>,
    hour: Option<u8>,
    half_day_hour: Option<u8>,
    afternoon: bool,
    minute: u8,
    second: u8,
    nanos: u32,
    offset: Option<i32>,
    epoch: Option<i64>,
}

impl Format {
    /// The error says what is wrong with the format and what would be right.
    pub fn parse(text: &str) -> Result<Format, String> {
        Ok(Format { items: crate::config::strptime::parse(text)? })
    }

    /// The time at the beginning of a text. `zone`: of texts that name none. `now`: what a time without a year is near to.
    pub fn read(&self, text: &[u8], zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        self.find(text, zone, now).ok().map(|found| found.time)
    }

    /// As [`Format::read`]. Where the text is of another format: how many of its bytes were enough to see that.
    pub fn find(&self, text: &[u8], zone: &TimeZone, now: Timestamp) -> Result<Found, usize> {
        let mut reader = Reader::new(text);
        let mut parts = Parts::default();
        let (mut fraction, mut is_closed) = (0..0, false);
        skip_blanks(&mut reader);
        for item in &self.items {
            let start = reader.at;
            match parts.read(*item, &mut reader) {
                Some(closed) => is_closed = closed,
                // What stood before it may have looked further to see where it ends.
                None if is_closed && matches!(item, Item::Literal(_)) => return Err(start + 1),
                None => return Err(reader.at.max(start) + LOOKAHEAD),
            }
            if *item == Item::Fraction {
                fraction = start..reader.at;
            }
        }
        let len = reader.at;
        let seconds = parts.seconds(zone, now.seconds).ok_or(len + LOOKAHEAD)?;
        let time = Timestamp { seconds, nanos: parts.nanos };
        Ok(Found { time, fraction, len, is_closed })
    }
}

fn skip_blanks(reader: &mut Reader<'_>) {
    while reader.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
        reader.at += 1;
    }
}

impl Parts {
    /// Reads one item. `None`: the text is of another format. True: no byte behind could have made it another.
    fn read(&mut self, item: Item, reader: &mut Reader<'_>) -> Option<bool> {
        match item {
            Item::Literal(byte) => reader.take(byte).map(|()| true),
            Item::Blanks => {
                skip_blanks(reader);
                Some(false)
            }
            Item::Number(number) => self.number(number, reader),
            Item::MonthName => {
                self.month = Some(month_named(reader.text.get(reader.at..reader.at + 3)?)?);
                let long = MONTHS.get(usize::from(self.month? - 1))?;
                reader.at += name_len(long, &reader.text[reader.at..]);
                Some(false)
            }
            Item::DayName => {
                let rest = reader.text.get(reader.at..)?;
                let short = rest.get(..3)?;
                let day = DAYS.iter().position(|day| day[..3].eq_ignore_ascii_case(short))?;
                reader.at += name_len(DAYS[day], rest);
                self.weekday = Some(day as u8);
                Some(false)
            }
            Item::Half => {
                self.afternoon = match reader.text.get(reader.at..reader.at + 2)? {
                    [b'a' | b'A', b'm' | b'M'] => false,
                    [b'p' | b'P', b'm' | b'M'] => true,
                    _ => return None,
                };
                reader.at += 2;
                Some(true)
            }
            Item::Fraction => {
                self.nanos = reader.nanos()?;
                Some(true)
            }
            Item::Epoch => self.epoch(reader),
            Item::Offset => {
                skip_blanks(reader);
                let start = reader.at;
                self.offset = Some(reader.offset()?);
                // `+08` could go on.
                Some(reader.at - start != 3)
            }
            Item::ZoneName => {
                skip_blanks(reader);
                let start = reader.at;
                while reader.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
                    reader.at += 1;
                }
                let name = &reader.text[start..reader.at];
                if [&b"UTC"[..], b"GMT", b"Z"].iter().any(|utc| utc.eq_ignore_ascii_case(name)) {
                    // GMT+08:00
                    self.offset = Some(if name.len() == 3 { reader.offset().unwrap_or(0) } else { 0 });
                }
                (!name.is_empty()).then_some(false)
            }
        }
    }

    fn number(&mut self, number: Number, reader: &mut Reader<'_>) -> Option<bool> {
        let (digits, range) = match number {
            Number::Year | Number::WeekYear => (4, 0..=9999),
            Number::Century | Number::YearOfCentury | Number::WeekYearOfCentury => (2, 0..=99),
            Number::Month => (2, 1..=12),
            Number::Day => (2, 1..=31),
            Number::DayOfYear => (3, 1..=366),
            Number::Hour => (2, 0..=23),
            Number::HalfDayHour => (2, 1..=12),
            Number::Minute => (2, 0..=59),
            Number::Second => (2, 0..=60),
            Number::IsoWeekday => (1, 1..=7),
            Number::Weekday => (1, 0..=6),
            Number::SundayWeek | Number::MondayWeek => (2, 0..=53),
            Number::IsoWeek => (2, 1..=53),
        };
        while reader.peek() == Some(b' ') {
            reader.at += 1;
        }
        let (mut value, mut count) = (0_i16, 0);
        while let Some(digit @ b'0'..=b'9') = reader.peek()
            && count < digits
        {
            value = value * 10 + i16::from(digit - b'0');
            reader.at += 1;
            count += 1;
        }
        // A year of two digits would be one of antiquity.
        if count == 0 || !range.contains(&value) || (digits == 4 && count < 4) {
            return None;
        }
        let small = value as u8;
        match number {
            Number::Century => self.century = Some(value),
            Number::Year => self.year = Some(value),
            Number::YearOfCentury => self.year_of_century = Some(value),
            Number::WeekYear => self.week_year = Some(value),
            Number::WeekYearOfCentury => self.week_year_of_century = Some(value),
            Number::Month => self.month = Some(small),
            Number::Day => self.day = Some(small),
            Number::DayOfYear => self.day_of_year = Some(value),
            Number::Hour => self.hour = Some(small),
            Number::HalfDayHour => self.half_day_hour = Some(small),
            Number::Minute => self.minute = small,
            Number::Second => self.second = small,
            Number::IsoWeekday => self.weekday = Some(small - 1),
            Number::Weekday => self.weekday = Some((small + 6) % 7),
            Number::SundayWeek => self.sunday_week = Some(small),
            Number::MondayWeek => self.monday_week = Some(small),
            Number::IsoWeek => self.iso_week = Some(small),
        }
        Some(count == digits)
    }

    fn epoch(&mut self, reader: &mut Reader<'_>) -> Option<bool> {
        skip_blanks(reader);
        let rest = &reader.text[reader.at..];
        let count = rest.iter().take(EPOCH_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
        let per_second: u64 = match count {
            1..=10 => 1,
            13 => 1_000,
            16 => 1_000_000,
            19 => 1_000_000_000,
            _ => return None,
        };
        let value = reader.digits(count)?;
        self.epoch = i64::try_from(value / per_second).ok();
        self.nanos = (value % per_second * (1_000_000_000 / per_second)) as u32;
        Some(false)
    }

    /// Seconds since 1970. Of several ways to name a day the first of this order counts.
    fn seconds(&self, zone: &TimeZone, now: i64) -> Option<i64> {
        if self.epoch.is_some() {
            return self.epoch;
        }
        if let Some(month) = self.month {
            let day = self.day.unwrap_or(1);
            return self.in_some_year(now, |year| self.at(year, month, day, zone, now));
        }
        if self.day_of_year.is_some() || (self.weekday.is_some() && self.has_week()) {
            return self.in_some_year(now, |year| self.on(self.day_in(year)?, zone, now));
        }
        // The hour alone. The days that some place may have at that moment, and one more on either side.
        let today = i32::try_from(now.div_euclid(DAY)).ok()?;
        let day = |distance: i32| {
            let days = jiff::Span::new().try_days(today.checked_add(distance)?).ok()?;
            self.on(Date::constant(1970, 1, 1).checked_add(days).ok()?, zone, now)
        };
        (-2..=2).filter_map(day).min_by_key(|seconds| seconds.abs_diff(now))
    }

    fn has_week(&self) -> bool {
        self.sunday_week.or(self.monday_week).or(self.iso_week).is_some()
    }

    fn in_some_year(&self, now: i64, in_year: impl Fn(i16) -> Option<i64>) -> Option<i64> {
        let of_century = |year: Option<i16>| match (self.century, year) {
            (Some(century), year) => Some(century * 100 + year.unwrap_or(0)),
            // As POSIX has it.
            (None, Some(year)) => Some(if year < 69 { 2000 + year } else { 1900 + year }),
            (None, None) => None,
        };
        let year = match self.month.is_none() && self.day_of_year.is_none() && self.iso_week.is_some() {
            true => self.week_year.or_else(|| of_century(self.week_year_of_century)).or(self.year),
            false => self.year.or_else(|| of_century(self.year_of_century)),
        };
        match year {
            Some(year) => in_year(year),
            // What is nearest to five months ago is less than eleven old and less than one ahead.
            None => nearest_year(now.saturating_sub(152 * DAY), in_year),
        }
    }

    /// The day of a year that its number says, or a week and a weekday.
    fn day_in(&self, year: i16) -> Option<Date> {
        let first = Date::new(year, 1, 1).ok()?;
        let weekday = Weekday::from_monday_zero_offset(self.weekday.unwrap_or(0) as i8).ok()?;
        let number = if let Some(number) = self.day_of_year {
            number - 1
        } else if let (Some(week), None, None) = (self.iso_week, self.sunday_week, self.monday_week) {
            return Some(ISOWeekDate::new(year, week as i8, weekday).ok()?.date());
        } else {
            let week = i16::from(self.sunday_week.or(self.monday_week)?);
            // From the day that begins a week.
            let since = |day: Weekday| match self.sunday_week {
                Some(_) => i16::from(day.to_sunday_zero_offset()),
                None => i16::from(day.to_monday_zero_offset()),
            };
            (7 - since(first.weekday())) % 7 + (week - 1) * 7 + since(weekday)
        };
        let date = first.checked_add(jiff::Span::new().try_days(number).ok()?).ok()?;
        (date.year() == year).then_some(date)
    }

    fn on(&self, date: Date, zone: &TimeZone, now: i64) -> Option<i64> {
        self.at(date.year(), date.month() as u8, date.day() as u8, zone, now)
    }

    fn at(&self, year: i16, month: u8, day: u8, zone: &TimeZone, now: i64) -> Option<i64> {
        let half_day = |hour: u8| hour % 12 + if self.afternoon { 12 } else { 0 };
        let hour = self.hour.or(self.half_day_hour.map(half_day)).unwrap_or(0);
        let (minute, second, offset) = (self.minute, self.second, self.offset);
        Civil { year: Some(year), month, day, hour, minute, second, offset }.seconds(zone, now)
    }
}

/// Bytes of a name whose first three fit: all of it, or these.
fn name_len(long: &[u8], text: &[u8]) -> usize {
    match text.get(..long.len()) {
        Some(name) if name.eq_ignore_ascii_case(long) => long.len(),
        _ => 3,
    }
}

#[cfg(test)]
mod tests;
