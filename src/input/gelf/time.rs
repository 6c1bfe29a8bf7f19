//! The time of a GELF message: seconds since 1970 as a decimal number, read digit by digit, since a binary float would turn
//! `1795388230.36` into `.3599999`.
//!
//! ```text
//! 1795388230.36      Docker: milliseconds, zeros at the end left out
//! 1.79538823036E9    senders that print doubles in their own way
//! 1795388230360      senders that mistake the unit: from 10^11 up milliseconds, from 10^14 micro-, from 10^17 nanoseconds
//! ```
//!
//! Digits behind the nanosecond are dropped. Zero, what is negative and what is no number is no time.

use crate::record::Timestamp;

/// More digits than a time has; later ones do not matter.
const DIGITS: usize = 32;

/// Reads a time from the digits of a JSON number, or of a text that holds one.
pub(super) fn read(text: &[u8]) -> Option<Timestamp> {
    let mut digits = [0u8; DIGITS];
    // Digits kept, and how many of all stand before the point.
    let (mut kept, mut before) = (0, 0i64);
    let (mut point, mut any) = (false, false);
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        match byte {
            b'0'..=b'9' => {
                any = true;
                if kept > 0 || *byte != b'0' {
                    if let Some(slot) = digits.get_mut(kept) {
                        *slot = byte - b'0';
                        kept += 1;
                    }
                    before += i64::from(!point);
                } else if point {
                    before -= 1;
                }
            }
            b'.' if !point => point = true,
            b'e' | b'E' if any => {
                before += exponent(behind)?;
                break;
            }
            _ => return None,
        }
        rest = behind;
    }
    if !any || kept == 0 || before > 19 {
        return None;
    }
    let digit = |at: i64| usize::try_from(at).ok().and_then(|at| digits.get(at)).map_or(0, |d| u64::from(*d));
    let whole = |upto: i64| (0..upto).fold(0u64, |sum, at| sum.wrapping_mul(10).wrapping_add(digit(at)));
    // By the number of digits before the point: 12 is 10^11 and up.
    let places = match before {
        ..12 => 0,
        12..15 => 3,
        15..18 => 6,
        _ => 9,
    };
    let point = before - places;
    let nanos = (point..point + 9).fold(0u64, |sum, at| sum * 10 + digit(at));
    let time = Timestamp { seconds: whole(point) as i64, nanos: nanos as u32 };
    (time != Timestamp::default()).then_some(time)
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    let number = digits.iter().try_fold(0i64, |sum, byte| match byte {
        b'0'..=b'9' => Some(sum * 10 + i64::from(byte - b'0')),
        _ => None,
    })?;
    Some(sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: u32) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos })
    }

    #[test]
    fn decimal_digits_are_kept_as_they_are() {
        assert_eq!(read(b"1795388230.36"), at(1_795_388_230, 360_000_000));
        assert_eq!(read(b"1795388230"), at(1_795_388_230, 0));
        assert_eq!(read(b"1795388230.000000001999"), at(1_795_388_230, 1));
        assert_eq!(read(b"0.5"), at(0, 500_000_000));
        assert_eq!(read(b"0.000000005"), at(0, 5));
        assert_eq!(read(b"00012.5"), at(12, 500_000_000));
    }

    #[test]
    fn exponents_and_other_units_are_understood() {
        assert_eq!(read(b"1.79538823036E9"), at(1_795_388_230, 360_000_000));
        assert_eq!(read(b"179538823036e-2"), at(1_795_388_230, 360_000_000));
        assert_eq!(read(b"1e+3"), at(1_000, 0));
        assert_eq!(read(b"1795388230360"), at(1_795_388_230, 360_000_000));
        assert_eq!(read(b"1795388230360.5"), at(1_795_388_230, 360_500_000));
        assert_eq!(read(b"1795388230360001"), at(1_795_388_230, 360_001_000));
        assert_eq!(read(b"1795388230360001002"), at(1_795_388_230, 360_001_002));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "0", "0.0", "-5", "now", "1.2.3", "1e", "1e9999", "e5", ".", "1e300", "99999999999999999999"]
        {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_time_reads_back(seconds in 0i64..100_000_000_000, nanos in 0u32..1_000_000_000) {
            proptest::prop_assume!((seconds, nanos) != (0, 0));
            let text = format!("{seconds}.{nanos:09}");
            proptest::prop_assert_eq!(read(text.as_bytes()), at(seconds, nanos));
        }

        #[test]
        fn any_text_is_a_time_or_none(text: Vec<u8>) {
            if let Some(time) = read(&text) {
                proptest::prop_assert!(time.nanos < 1_000_000_000 && time.seconds >= 0);
            }
        }
    }
}
