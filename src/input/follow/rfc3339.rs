//! RFC 3339 times as container runtimes write them: `2026-11-22T23:03:07.723254855Z`, 0 to 9 digits of a second, any
//! offset.
//!
//! Lines follow each other within the same minute, so what stands before the seconds is worked out once and compared after.

use crate::record::Timestamp;
use crate::record::calendar::{days_in_month, days_since_1970};

/// Bytes of `2026-11-22T23:03:`.
const MINUTE: usize = 17;

/// Reads times, remembering the last one's minute.
#[derive(Clone, Debug)]
pub struct Times {
    minute: [u8; MINUTE],
    /// Seconds since 1970 at its beginning, by the text alone.
    seconds: i64,
}

impl Default for Times {
    fn default() -> Self {
        Times { minute: *b"1970-01-01T00:00:", seconds: 0 }
    }
}

impl Times {
    /// `None` for anything but a whole RFC 3339 time. A leap second is the first of the next minute.
    pub fn read(&mut self, text: &[u8]) -> Option<Timestamp> {
        let (minute, rest) = text.split_first_chunk::<MINUTE>()?;
        if *minute != self.minute {
            self.seconds = minute_of(minute)?;
            self.minute = *minute;
        }
        let ([tens, ones], mut rest) = rest.split_first_chunk::<2>()?;
        let second = number(&[*tens, *ones]).filter(|second| *second <= 60)?;
        let mut nanos = 0;
        if let [b'.', fraction @ ..] = rest {
            let digits = fraction.iter().position(|byte| !byte.is_ascii_digit())?;
            if !(1..=9).contains(&digits) {
                return None;
            }
            let value = fraction[..digits].iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
            nanos = value * 10u32.pow(9 - digits as u32);
            rest = &fraction[digits..];
        }
        let offset = match rest {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let hours = number(&[*h1, *h2]).filter(|hours| *hours < 24)?;
                let minutes = number(&[*m1, *m2]).filter(|minutes| *minutes < 60)?;
                (hours * 60 + minutes) * if *sign == b'-' { -60 } else { 60 }
            }
            _ => return None,
        };
        Some(Timestamp { seconds: self.seconds + second - offset, nanos })
    }
}

/// `2026-11-22T23:03:` as seconds since 1970.
fn minute_of(text: &[u8; MINUTE]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':'] = *text
    else {
        return None;
    };
    let year = number(&[y1, y2, y3, y4])?;
    let month = number(&[o1, o2]).filter(|month| (1..=12).contains(month))?;
    let month = month as u8;
    let length = i64::from(days_in_month(year, month)?);
    let day = number(&[d1, d2]).filter(|day| (1..=length).contains(day))?;
    let hour = number(&[h1, h2]).filter(|hour| *hour < 24)?;
    let minute = number(&[m1, m2]).filter(|minute| *minute < 60)?;
    Some((days_since_1970(year, month, day as u8) * 24 + hour) * 3600 + minute * 60)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_runtimes_write() {
        let mut times = Times::default();
        let mut at = |text: &str| times.read(text.as_bytes()).map(|time| (time.seconds, time.nanos));
        assert_eq!(at("1970-01-01T00:00:00Z"), Some((0, 0)));
        assert_eq!(at("2026-11-22T23:03:07.723254855Z"), Some((1_795_388_587, 723_254_855)));
        assert_eq!(at("2026-11-22T23:03:08.5Z"), Some((1_795_388_588, 500_000_000)));
        assert_eq!(at("2026-11-22T23:03:08Z"), Some((1_795_388_588, 0)));
        assert_eq!(at("2026-11-23T07:03:08.000000001+08:00"), Some((1_795_388_588, 1)));
        assert_eq!(at("2026-11-22T17:33:08-05:30"), Some((1_795_388_588, 0)));
        assert_eq!(at("2024-02-29T00:00:00Z"), Some((1_709_164_800, 0)));
        assert_eq!(at("0001-01-01T00:00:00Z"), Some((-62_135_596_800, 0)));
        for wrong in [
            "",
            "2026-11-22T23:03:07",
            "2026-11-22T23:03:07.Z",
            "2026-11-22T23:03:07.1234567890Z",
            "2026-11-22T23:03:07.5",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T23:60:00Z",
            "2026-11-22T23:03:61Z",
            "2026-11-22T23:03:0xZ",
            "2026-11-22T23:03:07Zjunk",
            "2026-11-22T23:03:07+8:00",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn as_a_calendar_says(seconds in -62_135_596_800i64..253_402_300_799, nanos in 0u32..1_000_000_000) {
            let text = jiff::Timestamp::new(seconds, 0).unwrap().to_string();
            let text = format!("{}.{nanos:09}Z", text.trim_end_matches('Z'));
            proptest::prop_assert_eq!(Times::default().read(text.as_bytes()), Some(Timestamp { seconds, nanos }));
        }
    }
}
