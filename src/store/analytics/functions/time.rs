//! Functions of time. A moment is text, `2026-01-31 12:00:00.000` in UTC: so it is shown, ordered and compared right without
//! a type of its own. What takes a moment also takes seconds since 1970, as `__time__` has them, and dates.

use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::{Value, ValueRef};

use super::civil::{Civil, DAY, read_moment};
use super::pattern::{format, of_joda, read};
use super::{Outcome, argument, number_of, raw, scalar, user_error, whole};
use crate::record::calendar::days_in_month;

/// Years 1 to 9999, in milliseconds: what has four digits.
const FIRST: i64 = -62_135_596_800_000;
const LAST: i64 = 253_402_300_799_999;

type Part = fn(&Civil) -> i64;

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
    let parts: [(&'static str, Part); 10] = [
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
