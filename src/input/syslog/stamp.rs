//! The times that stand in headers, as senders write them, and what they mean.
//!
//! ```text
//! 2026-11-22T22:53:17.784670+08:00    RFC 3339; the zone may be missing, a comma or a blank may stand for `.` and `T`
//! Nov 22 22:53:00                     RFC 3164: neither year nor zone, the day padded by a blank or a zero
//! Nov 22 2026 22:53:00                Cisco ASA;  2026 Nov 22 22:53:00  NX-OS;  Nov 22 22:53:00 2026  Aruba
//! Nov 22 22:53:00.123 UTC:            Cisco IOS; also +08:00 behind the time
//! 1733266990.123456789                Meraki
//! ```
//!
//! A time without a year is in the year that puts it nearest to its receipt, which is right across New Year in both
//! directions. One without a zone is in the zone of the configuration; in the hour that an autumn night has twice, again
//! the nearer one counts. Abbreviations other than UTC, GMT and Z mean different zones to different people and count as
//! none.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::record::Timestamp;

const DAY: i64 = 86_400;
/// Zones that Cisco's devices write behind the time, before a colon. Any word there could be a tag otherwise.
const ZONES: [&[u8]; 33] = [
    b"UTC", b"GMT", b"Z", b"CET", b"CEST", b"EST", b"EDT", b"CST", b"CDT", b"MST", b"MDT", b"PST", b"PDT",
    b"BST", b"IST", b"JST", b"KST", b"HKT", b"SGT", b"AEST", b"AEDT", b"ACST", b"AWST", b"MSK", b"EET",
    b"EEST", b"WET", b"WEST", b"NZST", b"NZDT", b"BRT", b"SAST", b"AST",
];
const MONTHS: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";

/// A time as it stood in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub moment: Moment,
    pub nanos: u32,
    /// It is finer than a second.
    pub has_fraction: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Seconds since 1970.
    Epoch(i64),
    Civil(Civil),
}

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

/// Reads digits, never past the end.
struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A number of exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<u64> {
        let digits = self.text.get(self.at..self.at + count)?;
        let mut number = 0;
        for digit in digits {
            number = number * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        self.at += count;
        Some(number)
    }

    fn two(&mut self) -> Option<u8> {
        self.digits(2).map(|number| number as u8)
    }

    /// `hh:mm:ss`.
    fn clock(&mut self) -> Option<(u8, u8, u8)> {
        let hour = self.two()?;
        self.take(b':')?;
        let minute = self.two()?;
        self.take(b':')?;
        Some((hour, minute, self.two()?))
    }

    /// `.123`, or nothing; digits past the ninth are read and forgotten.
    fn fraction(&mut self) -> Option<u32> {
        if !matches!(self.peek(), Some(b'.' | b',')) || !self.text.get(self.at + 1)?.is_ascii_digit() {
            return None;
        }
        let digits = self.text[self.at + 1..].iter().take_while(|byte| byte.is_ascii_digit());
        let (mut nanos, mut count) = (0, 0);
        for digit in digits {
            if count < 9 {
                nanos = nanos * 10 + u32::from(digit - b'0');
            }
            count += 1;
        }
        self.at += 1 + count;
        Some(nanos * 10_u32.pow(9 - count.min(9) as u32))
    }

    /// `Z`, `+08:00`, `+0800`, `+08`, or nothing.
    fn offset(&mut self) -> Option<i32> {
        let sign = match self.peek()? {
            b'Z' | b'z' => {
                self.at += 1;
                return Some(0);
            }
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let start = self.at;
        self.at += 1;
        let hours = self.two();
        let has_colon = self.take(b':').is_some();
        let minutes = match self.two() {
            None if has_colon => None,
            minutes => Some(minutes.unwrap_or(0)),
        };
        match (hours, minutes) {
            (Some(hours @ 0..=23), Some(minutes @ 0..=59)) => {
                Some(sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60))
            }
            _ => {
                self.at = start;
                None
            }
        }
    }

    /// Four digits between 1900 and 2199.
    fn year(&mut self) -> Option<i16> {
        let start = self.at;
        match self.digits(4) {
            Some(year @ 1900..=2199) => Some(year as i16),
            _ => {
                self.at = start;
                None
            }
        }
    }
}

/// A time at the beginning of a text and the bytes it takes, its zone included.
pub fn read(text: &[u8]) -> Option<(Stamp, usize)> {
    match text.first()? {
        b'0'..=b'9' => rfc3339(text).or_else(|| bsd(text)),
        _ => bsd(text),
    }
}

/// As RFC 3339 writes it.
pub fn rfc3339(text: &[u8]) -> Option<(Stamp, usize)> {
    let mut reader = Reader { text, at: 0 };
    let year = reader.digits(4)? as i16;
    reader.take(b'-')?;
    let month = reader.two()?;
    reader.take(b'-')?;
    let day = reader.two()?;
    if !matches!(reader.peek()?, b'T' | b't' | b' ') {
        return None;
    }
    reader.at += 1;
    let (hour, minute, second) = reader.clock()?;
    let fraction = reader.fraction();
    let offset = reader.offset();
    stamp(Civil { year: Some(year), month, day, hour, minute, second, offset }, fraction, reader.at)
}

/// As RFC 3164 writes it, and those who thought it lacked something.
fn bsd(text: &[u8]) -> Option<(Stamp, usize)> {
    let mut reader = Reader { text, at: 0 };
    let mut year = reader.year();
    if year.is_some() {
        reader.take(b' ')?;
    }
    let month = month(text.get(reader.at..reader.at + 3)?)?;
    reader.at += 3;
    reader.take(b' ')?;
    let _ = reader.take(b' ');
    let day = match reader.two() {
        Some(day) => day,
        None => reader.digits(1)? as u8,
    };
    reader.take(b' ')?;
    if year.is_none() {
        year = reader.year();
        if year.is_some() {
            reader.take(b' ')?;
        }
    }
    let (hour, minute, second) = reader.clock()?;
    let fraction = reader.fraction();
    let mut civil = Civil { year, month, day, hour, minute, second, offset: reader.offset() };
    suffix(&mut reader, &mut civil);
    stamp(civil, fraction, reader.at)
}

/// A year or a zone behind the time, where what follows leaves no doubt that it is one.
fn suffix(reader: &mut Reader<'_>, civil: &mut Civil) {
    // An IPv6 address may begin as a year does.
    let ends = |reader: &Reader<'_>| match reader.peek() {
        None | Some(b' ') => true,
        Some(b':') => matches!(reader.text.get(reader.at + 1), None | Some(b' ')),
        Some(_) => false,
    };
    for _ in 0..2 {
        let start = reader.at;
        if reader.take(b' ').is_none() {
            return;
        }
        if civil.year.is_none()
            && let Some(year) = reader.year()
            && ends(reader)
        {
            civil.year = Some(year);
            continue;
        }
        reader.at = start + 1;
        if civil.offset.is_none() {
            let is_numeric = matches!(reader.peek(), Some(b'+' | b'-'));
            if is_numeric
                && let Some(offset) = reader.offset()
                && ends(reader)
            {
                civil.offset = Some(offset);
                continue;
            }
            reader.at = start + 1;
            let rest = &reader.text[reader.at..];
            let letters = rest.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count();
            if rest.get(letters) == Some(&b':') && ZONES.contains(&&rest[..letters]) {
                civil.offset = matches!(&rest[..letters], b"UTC" | b"GMT" | b"Z").then_some(0);
                reader.at += letters;
                return;
            }
        }
        reader.at = start;
        return;
    }
}

/// Seconds since 1970 with a fraction, as Meraki's devices write them.
pub fn epoch(text: &[u8]) -> Option<(Stamp, usize)> {
    let mut reader = Reader { text, at: 0 };
    let seconds = reader.digits(10).filter(|_| text[0] == b'1')? as i64;
    let fraction = reader.fraction();
    let moment = Moment::Epoch(seconds);
    Some((Stamp { moment, nanos: fraction.unwrap_or(0), has_fraction: fraction.is_some() }, reader.at))
}

fn stamp(civil: Civil, fraction: Option<u32>, len: usize) -> Option<(Stamp, usize)> {
    let is_time = civil.hour <= 23 && civil.minute <= 59 && civil.second <= 60;
    // A year unknown could be a leap year.
    let days = days_in_month(i64::from(civil.year.unwrap_or(2024)), civil.month)?;
    let is_day = (1..=days).contains(&civil.day);
    let moment = Moment::Civil(civil);
    (is_time && is_day)
        .then_some((Stamp { moment, nanos: fraction.unwrap_or(0), has_fraction: fraction.is_some() }, len))
}

fn month(name: &[u8]) -> Option<u8> {
    let at = MONTHS.chunks_exact(3).position(|month| month.eq_ignore_ascii_case(name))?;
    Some(at as u8 + 1)
}

fn days_in_month(year: i64, month: u8) -> Option<u8> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar; years are counted from March, so that the leap day ends one.
fn days_since_1970(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Turns what headers say into moments. Remembers the last, since most messages share their second with the one before.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
    last: Option<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    civil: Civil,
    seconds: i64,
    /// A year found once is not right for ever.
    received: i64,
}

impl Default for Clock {
    /// On UTC.
    fn default() -> Clock {
        Clock::new(TimeZone::UTC)
    }
}

impl Clock {
    /// `zone`: of times that name none.
    pub fn new(zone: TimeZone) -> Clock {
        Clock { zone, last: None }
    }

    /// The moment a header means. `None` for 29 February without a leap year near.
    pub fn moment(&mut self, stamp: &Stamp, received: Timestamp) -> Option<Timestamp> {
        let seconds = match stamp.moment {
            Moment::Epoch(seconds) => seconds,
            Moment::Civil(civil) => match self.last {
                Some(known) if known.civil == civil && (received.seconds - known.received).abs() < DAY => {
                    known.seconds
                }
                _ => {
                    let seconds = self.seconds(&civil, received.seconds)?;
                    self.last = Some(Known { civil, seconds, received: received.seconds });
                    seconds
                }
            },
        };
        Some(Timestamp { seconds, nanos: stamp.nanos })
    }

    fn seconds(&self, civil: &Civil, received: i64) -> Option<i64> {
        if let Some(year) = civil.year {
            return self.in_year(civil, year, received);
        }
        // The year of the receipt, give or take a day, and its neighbours.
        let year = 1970 + received.div_euclid(DAY) * 400 / 146_097;
        let years = (year - 1..=year + 1).filter_map(|year| i16::try_from(year).ok());
        years
            .filter_map(|year| self.in_year(civil, year, received))
            .min_by_key(|seconds| (seconds - received).abs())
    }

    fn in_year(&self, civil: &Civil, year: i16, received: i64) -> Option<i64> {
        if civil.day > days_in_month(i64::from(year), civil.month)? {
            return None;
        }
        let of_day = i64::from(civil.hour) * 3600 + i64::from(civil.minute) * 60 + i64::from(civil.second);
        let seconds = days_since_1970(i64::from(year), civil.month, civil.day) * DAY + of_day;
        if let Some(offset) = civil.offset {
            return Some(seconds - i64::from(offset));
        }
        let as_signed = |number: u8| i8::try_from(number).ok();
        let local = DateTime::new(
            year,
            as_signed(civil.month)?,
            as_signed(civil.day)?,
            as_signed(civil.hour)?,
            as_signed(civil.minute)?,
            as_signed(civil.second.min(59))?,
            0,
        )
        .ok()?;
        let at = |offset: jiff::tz::Offset| seconds - i64::from(offset.seconds());
        Some(match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            AmbiguousOffset::Gap { before, .. } => at(before),
            AmbiguousOffset::Fold { before, after } => {
                let (first, second) = (at(before), at(after));
                if (first - received).abs() < (second - received).abs() { first } else { second }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock(zone: &str) -> Clock {
        Clock::new(TimeZone::get(zone).unwrap())
    }

    fn epoch_of(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    }

    /// What a stamp means in a zone, when it is received at a time; with the rest of the text.
    fn means<'t>(text: &'t str, zone: &str, received: &str) -> Option<(String, &'t str)> {
        let (stamp, len) = read(text.as_bytes())?;
        let received = Timestamp::new(epoch_of(received), 0);
        let time = clock(zone).moment(&stamp, received)?;
        let time = jiff::Timestamp::new(time.seconds, time.nanos as i32).unwrap().to_string();
        Some((time, &text[len..]))
    }

    #[test]
    fn all_ways_to_write_a_time_mean_the_same() {
        let now = "2026-11-22T22:54:00Z";
        let second = "2026-11-22T22:53:00Z";
        for (text, rest) in [
            ("2026-11-22T22:53:00Z host", " host"),
            ("2026-11-22T22:53:00z", ""),
            ("2026-11-23T06:53:00+08:00 host", " host"),
            ("2026-11-22T17:53:00-0500 host", " host"),
            ("2026-11-23 06:53:00 host", " host"),
            ("2026-11-23T06:53:00 host", " host"),
            ("Nov 23 06:53:00 host", " host"),
            ("nov 23 2026 06:53:00: %ASA", ": %ASA"),
            ("2026 Nov 23 06:53:00 UTC+", " UTC+"),
            ("2026 Nov 22 22:53:00 UTC: %X", ": %X"),
            ("Nov 22 22:53:00 2026 GMT: %X", ": %X"),
            ("Nov 23 06:53:00 CST: %X", ": %X"),
            ("Nov 23 06:53:00 CRON: x", " CRON: x"),
            ("Nov 23 06:53:00 UTC host", " UTC host"),
            ("Nov 23 06:53:00 2026 aruba", " aruba"),
            ("Nov 22 17:53:00 -05:00: x", ": x"),
            ("Nov 22 17:53:00-05:00 host", " host"),
            ("Nov 23 06:53:00 2026x", " 2026x"),
        ] {
            assert_eq!(means(text, "Asia/Shanghai", now), Some((second.to_owned(), rest)), "{text}");
        }
        let fine = "2026-11-22T22:53:17.78467Z";
        for text in ["2026-11-22T22:53:17.784670Z", "Nov 22 22:53:17.784670", "Nov 22 22:53:17,78467000099"] {
            assert_eq!(means(text, "UTC", now).unwrap().0, fine, "{text}");
        }
        assert_eq!(means("Nov  2 22:53:00 h", "UTC", now), means("Nov 02 22:53:00 h", "UTC", now));
        assert_eq!(means("Nov 2 22:53:00 h", "UTC", now), means("Nov 02 22:53:00 h", "UTC", now));
        let (stamp, len) = super::epoch(b"1733266990.123456789 MX84").unwrap();
        assert_eq!((stamp.moment, stamp.nanos, len), (Moment::Epoch(1_733_266_990), 123_456_789, 20));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "N",
            "Nov",
            "Nov 22",
            "Nov 31 00:00:00",
            "Feb 30 00:00:00",
            "Nov 22 24:00:00",
            "Nov 22 2:3:4",
            "Now 22 22:53:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-22",
            "2026-11-22T22:53",
            "Nov   2 22:53:00",
            "20261122T225300Z",
            "2026-11-22_22:53:00Z",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(super::epoch(b"2026 x"), None);
        assert_eq!(super::epoch(b"9999999999"), None);
    }

    #[test]
    fn a_missing_year_is_the_nearest() {
        let year = |text: &str, received: &str| means(text, "UTC", received).unwrap().0[..4].to_owned();
        assert_eq!(year("Dec 31 23:59:58", "2027-01-01T00:00:03Z"), "2026");
        assert_eq!(year("Jan  1 00:00:02", "2026-12-31T23:59:59Z"), "2027");
        assert_eq!(year("Jan  1 00:00:02", "2026-02-01T00:00:00Z"), "2026");
        assert_eq!(year("Feb 29 12:00:00", "2028-03-01T00:00:00Z"), "2028");
        assert_eq!(means("Feb 29 12:00:00", "UTC", "2026-03-01T00:00:00Z"), None);
        // A clock that was not set yet is left to what holds for all records of improbable times.
        assert_eq!(year("Jan  1 00:00:12 2000", "2026-11-22T00:00:00Z"), "2000");
    }

    #[test]
    fn the_hour_an_autumn_night_has_twice_is_the_nearer_one() {
        let (zone, text) = ("Europe/Berlin", "Oct 25 02:30:00");
        assert_eq!(means(text, zone, "2026-10-25T00:30:05Z").unwrap().0, "2026-10-25T00:30:00Z");
        assert_eq!(means(text, zone, "2026-10-25T01:30:05Z").unwrap().0, "2026-10-25T01:30:00Z");
        assert_eq!(means("Mar 29 02:30:00", zone, "2026-03-29T01:30:00Z").unwrap().0, "2026-03-29T01:30:00Z");
    }

    #[test]
    fn a_remembered_time_is_not_remembered_for_a_year() {
        let mut clock = clock("UTC");
        let (stamp, _) = read(b"Nov 22 22:53:00").unwrap();
        for year in [2026, 2027] {
            let second = epoch_of(&format!("{year}-11-22T22:53:00Z"));
            let time = clock.moment(&stamp, Timestamp::new(second + 5, 0)).unwrap();
            assert_eq!(time.seconds, second);
        }
    }

    proptest! {
        #[test]
        fn the_calendar_agrees_with_another(seconds in 0i64..5_000_000_000, text: Vec<u8>) {
            let time = jiff::Timestamp::from_second(seconds).unwrap();
            let text_of_time = time.to_string();
            let (stamp, len) = read(text_of_time.as_bytes()).unwrap();
            prop_assert_eq!(len, text_of_time.len());
            let found = clock("UTC").moment(&stamp, Timestamp::default()).unwrap();
            prop_assert_eq!(found.seconds, seconds);
            let bsd = time.strftime("%b %e %H:%M:%S").to_string();
            let (stamp, _) = read(bsd.as_bytes()).unwrap();
            let found = clock("UTC").moment(&stamp, Timestamp::new(seconds, 0)).unwrap();
            prop_assert_eq!(found.seconds, seconds);
            read(&text);
        }
    }
}
