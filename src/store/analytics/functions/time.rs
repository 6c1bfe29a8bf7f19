//! Functions of time. A moment is text, `2026-01-31 12:00:00.000` in UTC: so it is shown, ordered and compared right without
//! a type of its own. What takes a moment also takes seconds since 1970, as `__time__` has them, and dates.

use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};

use super::{Outcome, argument, number_of, raw, scalar, user_error, whole};
use crate::record::calendar::{days_in_month, days_since_1970};

const DAY: i64 = 86_400_000;
/// Years 1 to 9999, in milliseconds: what has four digits.
const FIRST: i64 = -62_135_596_800_000;
const LAST: i64 = 253_402_300_799_999;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    scalar(connection, "p_timestamp", |context| Ok(moment(context, 0).map_or(Value::Null, timestamp)))?;
    scalar(connection, "p_from_unixtime", from_unixtime)?;
    scalar(connection, "p_date", |context| {
        let date = |moment| timestamp_text(moment).get(..10).unwrap_or("").to_owned();
        Ok(moment(context, 0).map_or(Value::Null, |moment| date(moment).into()))
    })?;
    scalar(connection, "p_to_unixtime", |context| {
        Ok(moment(context, 0).map_or(Value::Null, |moment| Value::Real(moment as f64 / 1000.0)))
    })?;
    scalar(connection, "p_to_iso8601", |context| {
        let iso = |moment| timestamp_text(moment).replace(' ', "T") + "Z";
        Ok(moment(context, 0).map_or(Value::Null, |moment| iso(moment).into()))
    })?;
    for (name, is_joda) in [("p_date_format", false), ("p_format_datetime", true)] {
        scalar(connection, name, move |context| {
            let (Some(moment), Some(pattern)) = (moment(context, 0), argument(context, 1)) else {
                return Ok(Value::Null);
            };
            let pattern = if is_joda { of_joda(&pattern).into() } else { pattern };
            Ok(format(moment, &pattern).into())
        })?;
    }
    for (name, is_joda) in [("p_date_parse", false), ("p_parse_datetime", true)] {
        scalar(connection, name, move |context| {
            let (Some(text), Some(pattern)) = (argument(context, 0), argument(context, 1)) else {
                return Ok(Value::Null);
            };
            let pattern = if is_joda { of_joda(&pattern).into() } else { pattern };
            Ok(read(&text, &pattern).map_or(Value::Null, timestamp))
        })?;
    }
    scalar(connection, "p_date_trunc", |context| {
        let (Some(unit), Some(moment)) = (argument(context, 0), moment(context, 1)) else {
            return Ok(Value::Null);
        };
        Ok(truncate(moment, Unit::named(&unit)?).map_or(Value::Null, timestamp))
    })?;
    scalar(connection, "p_date_add", |context| {
        let (Some(unit), Some(count), Some(moment)) =
            (argument(context, 0), whole(context, 1), moment(context, 2))
        else {
            return Ok(Value::Null);
        };
        Ok(add(moment, count, Unit::named(&unit)?).map_or(Value::Null, timestamp))
    })?;
    scalar(connection, "p_date_diff", |context| {
        let (Some(unit), Some(from), Some(to)) =
            (argument(context, 0), moment(context, 1), moment(context, 2))
        else {
            return Ok(Value::Null);
        };
        Ok(Value::Integer(difference(from, to, Unit::named(&unit)?)))
    })?;
    scalar(connection, "p_time_series", |context| {
        let (Some(moment), Some(window), Some(pattern)) =
            (moment(context, 0), argument(context, 1), argument(context, 2))
        else {
            return Ok(Value::Null);
        };
        let window = window_seconds(&window)
            .ok_or_else(|| user_error("time_series: a window is a number with s, m, h or d, as 5m"))?;
        Ok(format(moment - moment.rem_euclid(window * 1000), &pattern).into())
    })?;
    let parts: [(&'static str, fn(&Civil) -> i64); 10] = [
        ("p_second", |civil| civil.second),
        ("p_minute", |civil| civil.minute),
        ("p_hour", |civil| civil.hour),
        ("p_day", |civil| civil.day),
        ("p_day_of_week", |civil| civil.weekday() + 1),
        ("p_day_of_year", |civil| civil.day_of_year()),
        ("p_week", |civil| civil.iso_week().1),
        ("p_month", |civil| civil.month),
        ("p_quarter", |civil| (civil.month + 2) / 3),
        ("p_year", |civil| civil.year),
    ];
    for (name, part) in parts {
        scalar(connection, name, move |context| {
            Ok(moment(context, 0).map_or(Value::Null, |moment| Value::Integer(part(&Civil::of(moment)))))
        })?;
    }
    Ok(())
}

/// A moment in milliseconds since 1970, of seconds since 1970 or a text.
fn moment(context: &Context<'_>, index: usize) -> Option<i64> {
    let milliseconds = match raw(context, index) {
        ValueRef::Integer(seconds) => seconds.checked_mul(1000)?,
        ValueRef::Real(seconds) => (seconds * 1000.0).round() as i64,
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).ok()?.trim();
            read_moment(text).or_else(|| match number_of(ValueRef::Text(text.as_bytes())) {
                Value::Integer(seconds) => seconds.checked_mul(1000),
                Value::Real(seconds) => Some((seconds * 1000.0).round() as i64),
                _ => None,
            })?
        }
        _ => return None,
    };
    (FIRST..=LAST).contains(&milliseconds).then_some(milliseconds)
}

fn timestamp(moment: i64) -> Value {
    if (FIRST..=LAST).contains(&moment) { timestamp_text(moment).into() } else { Value::Null }
}

/// `2026-01-31 12:00:00.000`, of milliseconds since 1970.
pub(in super::super) fn timestamp_text(moment: i64) -> String {
    let civil = Civil::of(moment);
    let Civil { year, month, day, hour, minute, second, millisecond } = civil;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millisecond:03}")
}

/// With a zone as second argument the text shows that zone's clock.
fn from_unixtime(context: &Context<'_>) -> Outcome {
    let Some(mut moment) = moment(context, 0) else { return Ok(Value::Null) };
    if let Some(zone) = argument(context, 1) {
        let zone = jiff::tz::TimeZone::get(&zone)
            .map_err(|_| user_error(format!("from_unixtime: {zone:?} is no known time zone")))?;
        if let Ok(at) = jiff::Timestamp::from_millisecond(moment) {
            moment += i64::from(zone.to_offset(at).seconds()) * 1000;
        }
    }
    Ok(timestamp(moment))
}

/// What a clock and a calendar show.
#[derive(Clone, Copy)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    millisecond: i64,
}

impl Civil {
    fn of(moment: i64) -> Civil {
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
    fn moment(&self) -> Option<i64> {
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

    fn days(&self) -> i64 {
        days_since_1970(self.year, self.month as u8, self.day as u8)
    }

    /// From Monday, 0 to 6.
    fn weekday(&self) -> i64 {
        (self.days() + 3).rem_euclid(7)
    }

    fn day_of_year(&self) -> i64 {
        self.days() - days_since_1970(self.year, 1, 1) + 1
    }

    /// Year and week of ISO 8601: a week belongs to the year of its Thursday.
    fn iso_week(&self) -> (i64, i64) {
        let thursday = self.days() - self.weekday() + 3;
        let of = Civil::of(thursday * DAY);
        (of.year, (of.day_of_year() - 1) / 7 + 1)
    }
}

/// `2026-01-31`, then perhaps ` 12:00`, `:00`, `.123`, and `Z` or `+08:00`.
fn read_moment(text: &str) -> Option<i64> {
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
fn digits(rest: &mut &str, most: usize) -> Option<i64> {
    let len = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    number.parse().ok()
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    /// Milliseconds.
    Span(i64),
    Months(i64),
}

impl Unit {
    fn named(name: &str) -> rusqlite::Result<Unit> {
        let name = name.trim().to_ascii_lowercase();
        Ok(match name.strip_suffix('s').unwrap_or(&name) {
            "millisecond" => Unit::Span(1),
            "second" => Unit::Span(1000),
            "minute" => Unit::Span(60_000),
            "hour" => Unit::Span(3_600_000),
            "day" => Unit::Span(DAY),
            "week" => Unit::Span(7 * DAY),
            "month" => Unit::Months(1),
            "quarter" => Unit::Months(3),
            "year" => Unit::Months(12),
            _ => {
                let known = "second, minute, hour, day, week, month, quarter or year";
                return Err(user_error(format!("{name:?} is no unit of time; known are {known}")));
            }
        })
    }
}

fn truncate(moment: i64, unit: Unit) -> Option<i64> {
    Some(match unit {
        // 1970 began on a Thursday, weeks begin on Mondays.
        Unit::Span(span) if span == 7 * DAY => moment - (moment + 3 * DAY).rem_euclid(span),
        Unit::Span(span) => moment - moment.rem_euclid(span),
        Unit::Months(months) => {
            let civil = Civil::of(moment);
            let month = civil.month - (civil.month - 1) % months;
            Civil { month, day: 1, hour: 0, minute: 0, second: 0, millisecond: 0, ..civil }.moment()?
        }
    })
}

/// Months keep the day, or take the last one of a shorter month.
fn add(moment: i64, count: i64, unit: Unit) -> Option<i64> {
    match unit {
        Unit::Span(span) => moment.checked_add(count.checked_mul(span)?),
        Unit::Months(months) => {
            let civil = Civil::of(moment);
            let month = count.checked_mul(months)?.checked_add(civil.year * 12 + civil.month - 1)?;
            let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
            let last = days_in_month(year, u8::try_from(month).ok()?)?;
            Civil { year, month, day: civil.day.min(i64::from(last)), ..civil }.moment()
        }
    }
}

/// Whole units from one moment to the other.
fn difference(from: i64, to: i64, unit: Unit) -> i64 {
    match unit {
        Unit::Span(span) => (to - from) / span,
        Unit::Months(months) => {
            let (one, other) = (Civil::of(from), Civil::of(to));
            let mut count = (other.year - one.year) * 12 + other.month - one.month;
            // The last month only counts when it is over.
            let reached = add(from, count, Unit::Months(1)).unwrap_or(to);
            if count > 0 && reached > to {
                count -= 1;
            } else if count < 0 && reached < to {
                count += 1;
            }
            count / months
        }
    }
}

/// Seconds of `30s`, `5m`, `1h`, `1d`.
pub(in super::super) fn window_seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let count: i64 = text.get(..text.len() - 1)?.trim().parse().ok()?;
    (1..=1_000_000).contains(&count).then_some(count * unit)
}

/// Writes a moment with a pattern of MySQL.
pub(in super::super) fn format(moment: i64, pattern: &str) -> String {
    let civil = Civil::of(moment);
    let half_day_hour = (civil.hour + 11) % 12 + 1;
    let half = if civil.hour < 12 { "AM" } else { "PM" };
    let month = MONTHS.get(civil.month as usize - 1).copied().unwrap_or("");
    let weekday = DAYS.get(civil.weekday() as usize).copied().unwrap_or("");
    let Civil { year, day, hour, minute, second, millisecond, .. } = civil;
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let Some(letter) = characters.next() else {
            out.push('%');
            break;
        };
        match letter {
            'Y' => out.push_str(&format!("{year:04}")),
            'y' => out.push_str(&format!("{:02}", year % 100)),
            'm' => out.push_str(&format!("{:02}", civil.month)),
            'c' => out.push_str(&civil.month.to_string()),
            'd' => out.push_str(&format!("{day:02}")),
            'e' => out.push_str(&day.to_string()),
            'H' => out.push_str(&format!("{hour:02}")),
            'k' => out.push_str(&hour.to_string()),
            'h' | 'I' => out.push_str(&format!("{half_day_hour:02}")),
            'l' => out.push_str(&half_day_hour.to_string()),
            'i' => out.push_str(&format!("{minute:02}")),
            's' | 'S' => out.push_str(&format!("{second:02}")),
            'f' => out.push_str(&format!("{:06}", millisecond * 1000)),
            '3' => out.push_str(&format!("{millisecond:03}")),
            'p' => out.push_str(half),
            'T' => out.push_str(&format!("{hour:02}:{minute:02}:{second:02}")),
            'r' => out.push_str(&format!("{half_day_hour:02}:{minute:02}:{second:02} {half}")),
            'M' => out.push_str(month),
            'b' => out.push_str(month.get(..3).unwrap_or("")),
            'W' => out.push_str(weekday),
            'a' => out.push_str(weekday.get(..3).unwrap_or("")),
            'j' => out.push_str(&format!("{:03}", civil.day_of_year())),
            'v' => out.push_str(&format!("{:02}", civil.iso_week().1)),
            'x' => out.push_str(&format!("{:04}", civil.iso_week().0)),
            'w' => out.push_str(&((civil.weekday() + 1) % 7).to_string()),
            other => out.push(other),
        }
    }
    out
}

/// Reads a moment with a pattern of MySQL; `None` when the text is not of that form.
pub(in super::super) fn read(text: &str, pattern: &str) -> Option<i64> {
    let mut civil = Civil { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, millisecond: 0 };
    let (mut rest, mut is_afternoon) = (text, None);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            rest = rest.strip_prefix(character)?;
            continue;
        }
        match characters.next()? {
            'Y' | 'x' => civil.year = digits(&mut rest, 4)?,
            'y' => {
                let year = digits(&mut rest, 2)?;
                civil.year = if year < 70 { year + 2000 } else { year + 1900 };
            }
            'm' | 'c' => civil.month = digits(&mut rest, 2)?,
            'd' | 'e' => civil.day = digits(&mut rest, 2)?,
            'H' | 'k' | 'h' | 'I' | 'l' => civil.hour = digits(&mut rest, 2)?,
            'i' => civil.minute = digits(&mut rest, 2)?,
            's' | 'S' => civil.second = digits(&mut rest, 2)?,
            'f' | '3' => {
                let before = rest;
                let fraction = digits(&mut rest, 9)?;
                let len = before.len() - rest.len();
                let shift = 10i64.pow(len.abs_diff(3) as u32);
                civil.millisecond = if len < 3 { fraction * shift } else { fraction / shift };
            }
            'T' => {
                civil.hour = digits(&mut rest, 2)?;
                rest = rest.strip_prefix(':')?;
                civil.minute = digits(&mut rest, 2)?;
                rest = rest.strip_prefix(':')?;
                civil.second = digits(&mut rest, 2)?;
            }
            'p' => {
                is_afternoon = Some(rest.get(..2)?.eq_ignore_ascii_case("pm"));
                rest = rest.get(2..)?;
            }
            letter @ ('M' | 'b') => {
                let position = MONTHS.iter().position(|name| {
                    let name = if letter == 'b' { name.get(..3).unwrap_or(name) } else { name };
                    rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                })?;
                let len = if letter == 'b' { 3 } else { MONTHS.get(position)?.len() };
                (civil.month, rest) = (position as i64 + 1, rest.get(len..)?);
            }
            'W' | 'a' => rest = rest.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()),
            other => rest = rest.strip_prefix(other)?,
        }
    }
    if let Some(is_afternoon) = is_afternoon {
        civil.hour = civil.hour % 12 + if is_afternoon { 12 } else { 0 };
    }
    if rest.is_empty() { civil.moment() } else { None }
}

/// A pattern of Joda-Time (`yyyy-MM-dd HH:mm:ss`) as one of MySQL.
fn of_joda(pattern: &str) -> String {
    let mut out = String::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\'' {
            let mut text = characters.by_ref().take_while(|character| *character != '\'').peekable();
            if text.peek().is_none() {
                out.push('\'');
            }
            out.extend(text);
            continue;
        }
        let mut count = 1;
        while character.is_ascii_alphabetic() && characters.next_if_eq(&character).is_some() {
            count += 1;
        }
        let pattern = match (character, count) {
            ('y' | 'Y', 2) => "%y",
            ('y' | 'Y', _) => "%Y",
            ('M', 1) => "%c",
            ('M', 2) => "%m",
            ('M', 3) => "%b",
            ('M', _) => "%M",
            ('d', 1) => "%e",
            ('d', _) => "%d",
            ('H', 1) => "%k",
            ('H', _) => "%H",
            ('h', 1) => "%l",
            ('h', _) => "%h",
            ('m', _) => "%i",
            ('s', _) => "%s",
            ('S', _) => "%3",
            ('a', _) => "%p",
            ('E', 1..=3) => "%a",
            ('E', _) => "%W",
            ('%', _) => "%%",
            _ => {
                out.extend(std::iter::repeat_n(character, count));
                ""
            }
        };
        out.push_str(pattern);
    }
    out
}
