//! What a clock and a calendar show, of milliseconds since 1970 and back; the years 1 to 9999.

use crate::record::calendar::{days_in_month, days_since_1970};

/// Milliseconds.
pub(super) const DAY: i64 = 86_400_000;

/// What a clock and a calendar show.
#[derive(Clone, Copy)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) millisecond: i64,
}

impl Civil {
    pub(super) fn of(moment: i64) -> Civil {
        let (days, of_day) = (moment.div_euclid(DAY), moment.rem_euclid(DAY));
        // Years from March, in cycles of 400 years of 146,097 days.
        let from_march = days + 719_468;
        let (cycle, day) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + cycle * 400 + i64::from(month <= 2);
        Civil {
            year,
            month,
            day,
            hour: of_day / 3_600_000,
            minute: of_day / 60_000 % 60,
            second: of_day / 1000 % 60,
            millisecond: of_day % 1000,
        }
    }

    /// `None` for what no calendar has.
    pub(super) fn moment(&self) -> Option<i64> {
        let month = u8::try_from(self.month).ok()?;
        let last = days_in_month(self.year, month)?;
        let day = u8::try_from(self.day).ok().filter(|day| (1..=last).contains(day))?;
        let in_range = (1..=9999).contains(&self.year)
            && (0..24).contains(&self.hour)
            && (0..60).contains(&self.minute)
            && (0..60).contains(&self.second);
        let of_day = ((self.hour * 60 + self.minute) * 60 + self.second) * 1000 + self.millisecond;
        in_range.then(|| days_since_1970(self.year, month, day) * DAY + of_day)
    }

    pub(super) fn days(&self) -> i64 {
        days_since_1970(self.year, self.month as u8, self.day as u8)
    }

    /// From Monday, 0 to 6.
    pub(super) fn weekday(&self) -> i64 {
        (self.days() + 3).rem_euclid(7)
    }

    pub(super) fn day_of_year(&self) -> i64 {
        self.days() - days_since_1970(self.year, 1, 1) + 1
    }

    /// Year and week of ISO 8601: a week belongs to the year of its Thursday.
    pub(super) fn iso_week(&self) -> (i64, i64) {
        let thursday = self.days() - self.weekday() + 3;
        let of = Civil::of(thursday * DAY);
        (of.year, (of.day_of_year() - 1) / 7 + 1)
    }
}

/// `2026-01-31`, then perhaps ` 12:00`, `:00`, `.123`, and `Z` or `+08:00`.
pub(super) fn read_moment(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut civil = Civil { year: 0, month: 1, day: 1, hour: 0, minute: 0, second: 0, millisecond: 0 };
    civil.year = digits(&mut rest, 4).filter(|_| text.as_bytes().get(3).is_some_and(u8::is_ascii_digit))?;
    rest = rest.strip_prefix('-')?;
    civil.month = digits(&mut rest, 2)?;
    rest = rest.strip_prefix('-')?;
    civil.day = digits(&mut rest, 2)?;
    if rest.is_empty() {
        return civil.moment();
    }
    rest = rest.strip_prefix([' ', 'T'])?;
    civil.hour = digits(&mut rest, 2)?;
    rest = rest.strip_prefix(':')?;
    civil.minute = digits(&mut rest, 2)?;
    if let Some(seconds) = rest.strip_prefix(':') {
        rest = seconds;
        civil.second = digits(&mut rest, 2)?;
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let kept = fraction.get(..len.min(3)).filter(|kept| !kept.is_empty())?;
            civil.millisecond = kept.parse::<i64>().ok()? * 10i64.pow(3 - kept.len() as u32);
            rest = fraction.get(len..)?;
        }
    }
    Some(civil.moment()? - offset(rest.trim_start())?)
}

/// `Z`, `UTC`, `+08:00`, `+0800`, `-5` as milliseconds; nothing is UTC.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z" | "UTC" | "GMT") {
        return Some(0);
    }
    let (sign, mut rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let hours = digits(&mut rest, 2)?;
    rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes = if rest.is_empty() { 0 } else { digits(&mut rest, 2)? };
    (rest.is_empty() && hours < 19 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// Up to `most` digits, at least one.
pub(super) fn digits(rest: &mut &str, most: usize) -> Option<i64> {
    let len = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    number.parse().ok()
}
