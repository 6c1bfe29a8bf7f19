//! Numbers as text, written straight into an arena: integers keep all their digits, floats print the shortest text
//! that reads back as the same number, and what is no number says so in words.

use std::io::Write;

/// Appends the digits of `number`.
pub fn append_u64(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut from = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        from -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
}

pub fn append_i64(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    append_u64(out, number.unsigned_abs());
}

/// `1.5`, `3`, `1e300`; the exponent appears where plain digits would be mostly zeros. NaN and the infinities are
/// `NaN`, `Infinity` and `-Infinity`.
pub fn append_f64(out: &mut Vec<u8>, number: f64) {
    if !number.is_finite() {
        return append_endless(out, number);
    }
    let size = number.abs();
    // Writing to a Vec cannot fail.
    let _ = if size == 0.0 || (1e-5..1e17).contains(&size) {
        write!(out, "{number}")
    } else {
        write!(out, "{number:e}")
    };
}

/// As [`append_f64`], with the fewer digits that a 32-bit float needs.
pub fn append_f32(out: &mut Vec<u8>, number: f32) {
    if !number.is_finite() {
        return append_endless(out, f64::from(number));
    }
    let size = number.abs();
    let _ = if size == 0.0 || (1e-5..1e17).contains(&size) {
        write!(out, "{number}")
    } else {
        write!(out, "{number:e}")
    };
}

fn append_endless(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(match (number.is_nan(), number > 0.0) {
        (true, _) => b"NaN",
        (_, true) => b"Infinity",
        _ => b"-Infinity",
    });
}

/// `1441588984.123456789`: seconds with all nine places, so that times sort as text.
pub fn append_seconds(out: &mut Vec<u8>, seconds: i64, nanos: u32) {
    append_i64(out, seconds);
    out.push(b'.');
    let mut place = 100_000_000;
    while place > 0 {
        out.push(b'0' + (nanos / place % 10) as u8);
        place /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(text(|out| append_i64(out, i64::MIN)), "-9223372036854775808");
        assert_eq!(text(|out| append_u64(out, u64::MAX)), "18446744073709551615");
        assert_eq!(text(|out| append_u64(out, 0)), "0");
        assert_eq!(text(|out| append_f64(out, 0.1)), "0.1");
        assert_eq!(text(|out| append_f32(out, 0.1)), "0.1");
        assert_eq!(text(|out| append_f64(out, 1e300)), "1e300");
        assert_eq!(text(|out| append_f64(out, 5e-324)), "5e-324");
        assert_eq!(text(|out| append_f64(out, f64::NAN)), "NaN");
        assert_eq!(text(|out| append_f32(out, f32::NEG_INFINITY)), "-Infinity");
        assert_eq!(text(|out| append_seconds(out, 5, 70)), "5.000000070");
    }

    proptest! {
        #[test]
        fn numbers_read_back_the_same(integer: i64, natural: u64, bits: u64, small: u32) {
            prop_assert_eq!(text(|out| append_i64(out, integer)), integer.to_string());
            prop_assert_eq!(text(|out| append_u64(out, natural)), natural.to_string());
            let (double, single) = (f64::from_bits(bits), f32::from_bits(small));
            if double.is_finite() {
                prop_assert_eq!(text(|out| append_f64(out, double)).parse::<f64>().unwrap().to_bits(), bits);
            }
            if single.is_finite() {
                prop_assert_eq!(text(|out| append_f32(out, single)).parse::<f32>().unwrap().to_bits(), small);
            }
        }
    }
}
