//! The time of an event: a number or a text, in decimal, read without floats so that every digit counts.
//!
//! ```text
//! 1795388358.064126     seconds, with as many places as there are, to the nanosecond
//! 1795388358064.126     from 10^11 up milliseconds, from 10^14 microseconds, from 10^17 nanoseconds
//! 1.795388358e9         what JSON allows besides, as a float
//! ```

use crate::record::Timestamp;

/// Digits before the point; more is no time.
const WHOLE_DIGITS: usize = 19;

/// Reads a time; `None` when it is none.
pub(super) fn parse(text: &[u8]) -> Option<Timestamp> {
    let text = text.trim_ascii();
    let (whole, places) = match text.iter().position(|byte| *byte == b'.') {
        Some(point) => (text.get(..point)?, text.get(point + 1..)?),
        None => (text, &b""[..]),
    };
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if whole.is_empty() || !digits(whole) || !digits(places) {
        let plain = text.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-');
        let number: f64 = std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()?;
        return Timestamp::from_float(number);
    }
    if whole.len() > WHOLE_DIGITS {
        return None;
    }
    let number = |part: &[u8]| part.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let count = number(whole);
    // Billionths of the unit, which is at most a second.
    let places = places.get(..9).unwrap_or(places);
    let billionths = number(places) * 10u64.pow(9 - places.len() as u32);
    let unit: u64 = match count {
        ..100_000_000_000 => 1_000_000_000,
        ..100_000_000_000_000 => 1_000_000,
        ..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let per_second = 1_000_000_000 / unit;
    let nanos = (count % per_second) * unit + billionths * unit / 1_000_000_000;
    Some(Timestamp::new((count / per_second) as i64, nanos as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_counts() {
        for (text, seconds, nanos) in [
            ("1795388358.064126", 1795388358, 64_126_000),
            ("1795388358", 1795388358, 0),
            (" 1795388358.1234567899 ", 1795388358, 123_456_789),
            ("1795388358.", 1795388358, 0),
            ("1795388358064", 1795388358, 64_000_000),
            ("1795388358064.126", 1795388358, 64_126_000),
            ("1795388358064126", 1795388358, 64_126_000),
            ("1795388358064126001", 1795388358, 64_126_001),
            ("1.795388358e9", 1795388358, 0),
            ("0", 0, 0),
            ("-1.5", -2, 500_000_000),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(Timestamp { seconds, nanos }), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", ".", ".5", "now", "12a", "nan", "inf", "-", "1e400", "99999999999999999999", "1.2.3"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_time_or_none(bytes: Vec<u8>) {
            if let Some(time) = parse(&bytes) {
                proptest::prop_assert!(time.nanos < 1_000_000_000);
            }
        }

        #[test]
        fn microseconds_come_back(seconds in 1_000_000_000u64..4_000_000_000, micros in 0u32..1_000_000) {
            let text = format!("{seconds}.{micros:06}");
            let time = Timestamp::new(seconds as i64, micros * 1000);
            proptest::prop_assert_eq!(parse(text.as_bytes()), Some(time));
        }
    }
}
