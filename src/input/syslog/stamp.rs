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
//! Abbreviations of zones other than UTC, GMT and Z mean different zones to different people and count as none. What no
//! calendar has (31 November) is no time. Which moment a time means is the clock's business.

use crate::record::calendar::{Civil, days_in_month, month_named};
use crate::record::digits::Reader;

/// Zones that Cisco's devices write behind the time, before a colon. Any word there could be a tag otherwise.
const ZONES: [&[u8]; 33] = [
    b"UTC", b"GMT", b"Z", b"CET", b"CEST", b"EST", b"EDT", b"CST", b"CDT", b"MST", b"MDT", b"PST", b"PDT",
    b"BST", b"IST", b"JST", b"KST", b"HKT", b"SGT", b"AEST", b"AEDT", b"ACST", b"AWST", b"MSK", b"EET",
    b"EEST", b"WET", b"WEST", b"NZST", b"NZDT", b"BRT", b"SAST", b"AST",
];

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

/// `hh:mm:ss`.
fn clock(reader: &mut Reader<'_>) -> Option<(u8, u8, u8)> {
    let hour = reader.two()?;
    reader.take(b':')?;
    let minute = reader.two()?;
    reader.take(b':')?;
    Some((hour, minute, reader.two()?))
}

/// `.123`, or nothing.
fn fraction(reader: &mut Reader<'_>) -> Option<u32> {
    let start = reader.at;
    reader.take(b'.').or_else(|| reader.take(b','))?;
    let nanos = reader.nanos();
    if nanos.is_none() {
        reader.at = start;
    }
    nanos
}

/// Four digits between 1900 and 2199.
fn year(reader: &mut Reader<'_>) -> Option<i16> {
    let start = reader.at;
    match reader.digits(4) {
        Some(year @ 1900..=2199) => Some(year as i16),
        _ => {
            reader.at = start;
            None
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
    let mut reader = Reader::new(text);
    let year = reader.digits(4)? as i16;
    reader.take(b'-')?;
    let month = reader.two()?;
    reader.take(b'-')?;
    let day = reader.two()?;
    if !matches!(reader.peek()?, b'T' | b't' | b' ') {
        return None;
    }
    reader.at += 1;
    let (hour, minute, second) = clock(&mut reader)?;
    let fraction = fraction(&mut reader);
    let offset = reader.offset();
    stamp(Civil { year: Some(year), month, day, hour, minute, second, offset }, fraction, reader.at)
}

/// As RFC 3164 writes it, and those who thought it lacked something.
fn bsd(text: &[u8]) -> Option<(Stamp, usize)> {
    let mut reader = Reader::new(text);
    let mut found = year(&mut reader);
    if found.is_some() {
        reader.take(b' ')?;
    }
    let month = month_named(text.get(reader.at..reader.at + 3)?)?;
    reader.at += 3;
    reader.take(b' ')?;
    let _ = reader.take(b' ');
    let day = match reader.two() {
        Some(day) => day,
        None => reader.digits(1)? as u8,
    };
    reader.take(b' ')?;
    if found.is_none() {
        found = year(&mut reader);
        if found.is_some() {
            reader.take(b' ')?;
        }
    }
    let (hour, minute, second) = clock(&mut reader)?;
    let fraction = fraction(&mut reader);
    let mut civil = Civil { year: found, month, day, hour, minute, second, offset: reader.offset() };
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
            && let Some(found) = year(reader)
            && ends(reader)
        {
            civil.year = Some(found);
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
    let mut reader = Reader::new(text);
    let seconds = reader.digits(10).filter(|_| text[0] == b'1')? as i64;
    let fraction = fraction(&mut reader);
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
