use super::*;
use proptest::prelude::*;

const NOW: &str = "2026-11-23T12:00:00Z";

fn second(text: &str) -> Timestamp {
    Timestamp::new(text.parse::<jiff::Timestamp>().unwrap().as_second(), 0)
}

fn read_at(format: &str, text: &str, zone: &str, now: &str) -> Option<String> {
    let zone = crate::config::plan::zone(zone).unwrap();
    let time = Format::parse(format).unwrap().read(text.as_bytes(), &zone, second(now))?;
    Some(jiff::Timestamp::new(time.seconds, time.nanos as i32).unwrap().to_string())
}

fn read(format: &str, text: &str) -> Option<String> {
    read_at(format, text, "UTC", NOW)
}

#[test]
fn formats_of_the_field_mean_what_they_say() {
    let at = "2026-11-22T15:03:07Z";
    for (format, text) in [
        ("%Y-%m-%d %H:%M:%S", "2026-11-22 15:03:07"),
        ("%Y-%m-%d %H:%M:%S", "  2026-11-22    15:03:07,723 INFO"),
        ("%F %T", "2026-11-22 15:03:07"),
        ("%FT%T%z", "2026-11-22T15:03:07Z"),
        ("%FT%T%z", "2026-11-22T23:03:07+08:00"),
        ("%d/%b/%Y:%H:%M:%S %z", "22/Nov/2026:23:03:07 +0800"),
        ("%d/%b/%Y:%H:%M:%S %z", "22/nov/2026:10:03:07 -05"),
        ("[%d/%B/%Y:%T", "[22/November/2026:15:03:07]"),
        ("[%d/%B/%Y:%T", "[22/Nov/2026:15:03:07]"),
        ("%a %b %e %T %Y", "Sun Nov 22 15:03:07 2026"),
        ("%A, %d-%h-%y %T %Z", "Sunday, 22-Nov-26 15:03:07 GMT"),
        ("%a, %d %b %Y %T %Z", "Sun, 22 Nov 2026 23:03:07 GMT+08:00"),
        ("%D %r", "11/22/26 03:03:07 PM"),
        ("%p %l:%M:%S %m/%d/%Y", "pm 3:03:07 11/22/2026"),
        ("%Y%m%d%H%M%S", "20261122150307"),
        ("%C%y %j %T", "2026 326 15:03:07"),
        ("%s", "1795359787"),
        ("%Y-%m-%d%%%n%H:%M:%S", "2026-11-22% \t 15:03:07"),
        ("%G-W%V-%u %T", "2026-W47-7 15:03:07"),
        ("%g %V %a %T", "26 47 sun 15:03:07"),
        ("%Y %U %w %T", "2026 47 0 15:03:07"),
        ("%Y %W %u %T", "2026 46 7 15:03:07"),
        ("%b %d %T", "Nov 22 15:03:07"),
        ("%j %T", "326 15:03:07"),
        ("%Y年%m月%d日 %k:%M:%S", "2026年11月22日 15:3:7"),
    ] {
        assert_eq!(read(format, text).as_deref(), Some(at), "{format} {text}");
    }
}

#[test]
fn fractions_have_any_number_of_digits() {
    let format = "%F %T,%f";
    let nanos = |text: &str| read(format, text).map(|time| time[19..].to_owned());
    assert_eq!(nanos("2026-11-22 15:03:07,7").unwrap(), ".7Z");
    assert_eq!(nanos("2026-11-22 15:03:07,723").unwrap(), ".723Z");
    assert_eq!(nanos("2026-11-22 15:03:07,000000001").unwrap(), ".000000001Z");
    assert_eq!(nanos("2026-11-22 15:03:07,7232548559999999999999999").unwrap(), ".723254855Z");
    assert_eq!(nanos("2026-11-22 15:03:07,"), None);
    assert_eq!(nanos("2026-11-22 15:03:07"), None);
    assert_eq!(read("%Y%m%d%H%M%S%f", "20261122150307123").unwrap(), "2026-11-22T15:03:07.123Z");
    assert_eq!(read("%s", "1795359787723").unwrap(), "2026-11-22T15:03:07.723Z");
    assert_eq!(read("%s", "1795359787723254").unwrap(), "2026-11-22T15:03:07.723254Z");
    assert_eq!(read("%s", "1795359787723254855 x").unwrap(), "2026-11-22T15:03:07.723254855Z");
    assert_eq!(read("%s.%f", "1795359787.5").unwrap(), "2026-11-22T15:03:07.5Z");
    for digits in [11, 12, 14, 15, 17, 18, 20, 30] {
        assert_eq!(read("%s", &"1".repeat(digits)), None, "{digits}");
    }
}

#[test]
fn the_text_s_own_zone_wins() {
    let at = |text: &str, zone: &str| read_at("%F %T %Z", text, zone, NOW).unwrap();
    assert_eq!(at("2026-11-22 23:03:07 CST", "GMT+08:00"), "2026-11-22T15:03:07Z");
    assert_eq!(at("2026-11-22 23:03:07 CST", "Asia/Shanghai"), "2026-11-22T15:03:07Z");
    assert_eq!(at("2026-11-22 15:03:07 UTC", "Asia/Shanghai"), "2026-11-22T15:03:07Z");
    let at = read_at("%F %T %z", "2026-11-22 15:03:07 +0000", "Asia/Shanghai", NOW).unwrap();
    assert_eq!(at, "2026-11-22T15:03:07Z");
}

#[test]
fn a_year_that_is_not_there_is_the_right_one() {
    let year = |text: &str, now: &str| Some(read_at("%b %d %T", text, "UTC", now)?[..4].to_owned());
    assert_eq!(year("Dec 31 23:59:58", "2027-01-01T00:00:03Z").unwrap(), "2026");
    assert_eq!(year("Jan  1 00:00:02", "2026-12-31T23:59:59Z").unwrap(), "2027");
    assert_eq!(year("Jan  3 00:00:02", "2026-12-20T00:00:00Z").unwrap(), "2027");
    assert_eq!(year("Mar  1 00:00:00", "2026-11-23T00:00:00Z").unwrap(), "2026");
    assert_eq!(year("Feb 29 12:00:00", "2028-03-01T00:00:00Z").unwrap(), "2028");
    assert_eq!(year("Feb 29 12:00:00", "2026-03-01T00:00:00Z").unwrap(), "2024");
    let day = |text: &str, now: &str| read_at("%H:%M:%S", text, "GMT+08:00", now).unwrap();
    assert_eq!(day("23:59:59", "2026-11-22T16:00:03Z"), "2026-11-22T15:59:59Z");
    assert_eq!(day("00:00:03", "2026-11-22T15:59:59Z"), "2026-11-22T16:00:03Z");
}

#[test]
fn what_is_no_time_is_none() {
    for (format, text) in [
        ("%F %T", ""),
        ("%F %T", "2026-11-31 00:00:00"),
        ("%F %T", "2026-02-29 00:00:00"),
        ("%F %T", "2026-00-01 00:00:00"),
        ("%F %T", "2026-11-22 24:00:00"),
        ("%F %T", "2026-11-22 23:60:00"),
        ("%F %T", "2026-11-22 23:00:61"),
        ("%F %T", "26-11-22 23:00:00"),
        ("%F %T", "2026-11-22 23:00"),
        ("%F %T", "2026/11/22 23:00:00"),
        ("%F %T%z", "2026-11-22 23:00:00"),
        ("%F %T%z", "2026-11-22 23:00:00+24:00"),
        ("%F %T %Z", "2026-11-22 23:00:00 "),
        ("%b %d %Y", "Now 22 2026"),
        ("%a %d %b %Y", "Sum 22 Nov 2026"),
        ("%I %p %F", "13 PM 2026-11-22"),
        ("%I %p %F", "12 XM 2026-11-22"),
        ("%Y %j", "2026 366"),
        ("%Y %U %w", "2026 53 6"),
        ("%G %V %u", "2025 53 1"),
    ] {
        assert_eq!(read(format, text), None, "{format} {text}");
    }
}

#[test]
fn a_failure_says_how_far_it_looked() {
    let format = Format::parse("%Y-%m-%dT%H:%M").unwrap();
    let now = second(NOW);
    assert_eq!(format.find(b"2026-11-22 15:03", &TimeZone::UTC, now), Err(11));
    let found = format.find(b"2026-11-22T15:03:07", &TimeZone::UTC, now).unwrap();
    assert_eq!((found.len, found.fraction, found.is_closed), (16, 0..0, true));
    let found = format.find(b"2026-11-22T15:3:07", &TimeZone::UTC, now).unwrap();
    assert_eq!((found.len, found.is_closed), (15, false));
}

const SHARED: [&str; 12] = [
    "%Y-%m-%d %H:%M:%S %z",
    "%F %T %z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a, %d %b %Y %T %z",
    "%A %B %e %T %Y %z",
    "%D %I:%M:%S %p %z",
    "%Y %j %k:%M:%S %z",
    "%G-W%V-%u %T %z",
    "%y%m%d %H%M%S %z",
    "%Y %U %a %T %z",
    "%Y %W %w %T %z",
    "%s",
];

proptest! {
    #[test]
    fn as_another_implementation_writes(
        seconds in 0i64..3_000_000_000,
        at in 0..SHARED.len(),
        offset in -12 * 3600..12 * 3600,
    ) {
        // Two digits of a year end in 2068.
        let offset = jiff::tz::Offset::from_seconds(offset / 60 * 60).unwrap();
        let time = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(TimeZone::fixed(offset));
        let text = time.strftime(SHARED[at]).to_string();
        let format = Format::parse(SHARED[at]).unwrap();
        let found = format.find(text.as_bytes(), &TimeZone::UTC, second(NOW));
        prop_assert_eq!(found.map(|found| (found.time.seconds, found.len)), Ok((seconds, text.len())));
    }

    #[test]
    fn as_another_implementation_reads(
        text in "20[0-9]{2}-[01][0-9]-[0-3][0-9][ T]?[0-2][0-9]:[0-6][0-9]:[0-6][0-9] ?[+-][0-2][0-9][0-6][0-9]",
    ) {
        // Without leap seconds, which the other takes for the second before.
        prop_assume!(!text.contains(":60"));
        let format = "%Y-%m-%d %H:%M:%S %z";
        let other = jiff::fmt::strtime::parse(format, &text).ok().and_then(|parts| parts.to_timestamp().ok());
        let ours = Format::parse(format).unwrap().read(text.as_bytes(), &TimeZone::UTC, second(NOW));
        // The other knows offsets of up to 25 hours.
        if let Some(time) = ours {
            prop_assert_eq!(other.map(|time| time.as_second()), Some(time.seconds));
        } else if let Some(other) = other {
            let hours = text.rsplit(['+', '-']).next().unwrap();
            prop_assert!(hours.starts_with("24") || hours.starts_with("25"), "{} {}", text, other);
        }
    }

    #[test]
    fn no_text_is_too_strange(format in "(%[aAbBhdeHIkljmMnprRStyYCuUwWVgGDFTzZ%sf]|[ :,.T-]){1,8}", text: Vec<u8>, near: i64) {
        if let Ok(format) = Format::parse(&format) {
            let zone = crate::config::plan::zone("Europe/Berlin").unwrap();
            if let Ok(found) = format.find(&text, &zone, Timestamp::new(near, 0)) {
                prop_assert!(found.len <= text.len() && found.fraction.end <= found.len);
            }
        }
    }
}

#[test]
fn what_was_not_seen_of_a_text_may_make_another_time_of_it() {
    let format = Format::parse("%Y-%m-%d%z0").unwrap();
    let near = Timestamp::new(1_767_225_600, 0);
    let failed = format.find(b"2026-01-01+121x", &TimeZone::UTC, near).unwrap_err();
    assert!(format.find(b"2026-01-01+12100:00", &TimeZone::UTC, near).is_ok());
    assert!(failed > b"2026-01-01+121".len(), "{failed}");
}
