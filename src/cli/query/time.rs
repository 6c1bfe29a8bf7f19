//! Times as people type them.
//!
//! ```text
//! now                              as an end it lies a minute ahead, since clocks of senders differ a little
//! -15m  15m  2h  1d  1w  30s       so long ago
//! 2026-11-23  2026-11-23 10:00     local time, from midnight where no time of day is given; a T is as good as a blank
//! 2026-11-23T10:00:00Z  ...+08:00  a time with its zone
//! 1763892000                       Unix seconds
//! ```

use anyhow::{Result, anyhow};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Seconds that `now` includes where it ends a range.
pub(super) const AHEAD: i64 = 60;

/// The end of a range, exclusive, as Unix seconds.
pub(super) fn parse_end(text: &str) -> Result<i64> {
    let end = parse(text)?;
    Ok(if text.trim() == "now" { end + AHEAD } else { end })
}

/// A typed time as Unix seconds.
pub(super) fn parse(text: &str) -> Result<i64> {
    read(text.trim(), &Zoned::now()).ok_or_else(|| {
        anyhow!(
            "{text:?} is no time; write -15m, -2h, -1d or -1w (s, m, h, d, w: so long ago), 2026-11-23, \
             \"2026-11-23 10:00\" (local time), 2026-11-23T10:00:00Z, Unix seconds, or now"
        )
    })
}

/// A time as [`parse`] takes it, for messages: local, to the second.
pub(super) fn show(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::system());
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn read(text: &str, now: &Zoned) -> Option<i64> {
    let seconds = now.timestamp().as_second();
    if text == "now" {
        return Some(seconds);
    }
    if let Some(back) = seconds_back(text.strip_prefix('-').unwrap_or(text)) {
        return seconds.checked_sub(back);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let local: DateTime = text.parse().ok()?;
    Some(local.to_zoned(now.time_zone().clone()).ok()?.timestamp().as_second())
}

/// `15m` as 900.
fn seconds_back(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<i64> {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        read(text, &Timestamp::from_second(1_700_000_000).unwrap().to_zoned(zone))
    }

    #[test]
    fn times_are_relative_local_or_absolute() {
        for (text, expected) in [
            ("now", 1_700_000_000),
            ("-15m", 1_699_999_100),
            ("15m", 1_699_999_100),
            ("2h", 1_699_992_800),
            ("-1d", 1_699_913_600),
            ("-1w", 1_699_395_200),
            ("0s", 1_700_000_000),
            ("1700000000", 1_700_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T22:13:20+00:00", 1_700_000_000),
            ("2023-11-15T06:13:20", 1_700_000_000),
            ("2023-11-15 06:13:20", 1_700_000_000),
            ("2023-11-15 06:13", 1_699_999_980),
            ("2023-11-15", 1_699_977_600),
        ] {
            assert_eq!(at(text), Some(expected), "{text}");
        }
        for bad in
            ["", "-", "-15", "-m", "m", "--1m", "yesterday", "1y", "-1.5h", "2026-13-01", "99999999999999w"]
        {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_in_our_words() {
        let error = parse("yesterday").unwrap_err();
        assert_eq!(error.chain().count(), 1, "{error:#}");
        assert!(
            error.to_string().starts_with("\"yesterday\" is no time; write -15m, -2h, -1d or -1w"),
            "{error}"
        );
        assert_eq!(parse(&show(1_700_000_000)).unwrap(), 1_700_000_000);
    }
}
