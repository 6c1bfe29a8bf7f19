//! Functions of numbers. Whole numbers stay whole where the service keeps them so.

use std::cell::Cell;

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

use super::{Outcome, argument, as_text, float, number_of, owned, raw, scalar, user_error, whole};

type OfFloat = fn(f64) -> f64;
type OfBits = fn(i64, i64) -> i64;

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    scalar(connection, "p_num", |context| Ok(number_of(raw(context, 0))))?;
    scalar(connection, "p_nat", |context| Ok(natural(raw(context, 0))))?;
    scalar(connection, "p_round", |context| rounded(context, f64::round))?;
    scalar(connection, "p_truncate", |context| rounded(context, f64::trunc))?;
    scalar(connection, "p_floor", |context| rounded(context, f64::floor))?;
    scalar(connection, "p_ceil", |context| rounded(context, f64::ceil))?;
    scalar(connection, "p_sign", |context| {
        Ok(match number_of(raw(context, 0)) {
            Value::Integer(number) => Value::Integer(number.signum()),
            Value::Real(0.0) => Value::Real(0.0),
            Value::Real(number) => Value::Real(number.signum()),
            _ => Value::Null,
        })
    })?;
    scalar(connection, "p_mod", |context| {
        Ok(match (number_of(raw(context, 0)), number_of(raw(context, 1))) {
            (Value::Integer(number), Value::Integer(by)) => {
                number.checked_rem(by).map_or(Value::Null, Value::Integer)
            }
            _ => match (float(context, 0), float(context, 1)) {
                (Some(number), Some(by)) if by != 0.0 => real(number % by),
                _ => Value::Null,
            },
        })
    })?;
    let of_float: [(&'static str, OfFloat); 13] = [
        ("p_sqrt", f64::sqrt),
        ("p_cbrt", f64::cbrt),
        ("p_exp", f64::exp),
        ("p_ln", f64::ln),
        ("p_log2", f64::log2),
        ("p_log10", f64::log10),
        ("p_sin", f64::sin),
        ("p_cos", f64::cos),
        ("p_tan", f64::tan),
        ("p_atan", f64::atan),
        ("p_degrees", f64::to_degrees),
        ("p_radians", f64::to_radians),
        ("p_double", |number| number),
    ];
    for (name, work) in of_float {
        scalar(connection, name, move |context| {
            Ok(float(context, 0).map_or(Value::Null, |number| real(work(number))))
        })?;
    }
    of_two(connection, "p_power", f64::powf)?;
    of_two(connection, "p_log", |base, number| number.ln() / base.ln())?;
    scalar(connection, "p_pi", |_| Ok(Value::Real(std::f64::consts::PI)))?;
    scalar(connection, "p_e", |_| Ok(Value::Real(std::f64::consts::E)))?;
    let of_bits: [(&'static str, OfBits); 5] = [
        ("p_bitwise_and", |one, other| one & other),
        ("p_bitwise_or", |one, other| one | other),
        ("p_bitwise_xor", |one, other| one ^ other),
        ("p_bitwise_not", |one, _| !one),
        ("p_bit_count", |one, bits| {
            let mask = if bits >= 64 { u64::MAX } else { (1u64 << bits.max(0)) - 1 };
            i64::from((one as u64 & mask).count_ones())
        }),
    ];
    for (name, work) in of_bits {
        scalar(connection, name, move |context| {
            let other = if context.len() > 1 { whole(context, 1) } else { Some(0) };
            let (Some(one), Some(other)) = (whole(context, 0), other) else { return Ok(Value::Null) };
            Ok(Value::Integer(work(one, other)))
        })?;
    }
    scalar(connection, "p_to_base", to_base)?;
    scalar(connection, "p_from_base", |context| {
        let (Some(text), Some(radix)) = (argument(context, 0), whole(context, 1)) else {
            return Ok(Value::Null);
        };
        Ok(i64::from_str_radix(&text, checked_radix(radix)?).map_or(Value::Null, Value::Integer))
    })?;
    cast(connection)?;
    rand(connection)
}

fn of_two(
    connection: &Connection,
    name: &'static str,
    work: impl Fn(f64, f64) -> f64 + Send + 'static,
) -> rusqlite::Result<()> {
    scalar(connection, name, move |context| {
        let (Some(one), Some(other)) = (float(context, 0), float(context, 1)) else { return Ok(Value::Null) };
        Ok(real(work(one, other)))
    })
}

/// A number, or NULL where there is none.
fn real(number: f64) -> Value {
    if number.is_nan() { Value::Null } else { Value::Real(number) }
}

/// A text that is the usual form of a number becomes one.
pub(in super::super) fn natural(value: ValueRef<'_>) -> Value {
    if let ValueRef::Text(text) = value {
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let padded = matches!(digits, [b'0', b'0'..=b'9', ..]) || !matches!(digits, [b'0'..=b'9', ..]);
        if let Some(number) = super::parse_number(text).filter(|_| !padded) {
            return number;
        }
    }
    owned(value)
}

/// With a second argument that many digits behind the point are kept.
fn rounded(context: &Context<'_>, work: fn(f64) -> f64) -> Outcome {
    let digits = whole(context, 1).unwrap_or(0).clamp(-300, 300) as i32;
    Ok(match number_of(raw(context, 0)) {
        Value::Integer(number) if digits >= 0 => Value::Integer(number),
        Value::Integer(number) => {
            let unit = 10f64.powi(-digits);
            Value::Integer((work(number as f64 / unit) * unit) as i64)
        }
        Value::Real(number) => {
            let unit = 10f64.powi(digits);
            let moved = number * unit;
            // Beyond the precision of a double there is nothing to round.
            if moved.is_finite() && moved.abs() < 9e15 {
                real(work(moved) / unit)
            } else {
                Value::Real(number)
            }
        }
        _ => Value::Null,
    })
}

fn checked_radix(radix: i64) -> rusqlite::Result<u32> {
    u32::try_from(radix)
        .ok()
        .filter(|radix| (2..=36).contains(radix))
        .ok_or_else(|| user_error(format!("a base is 2 to 36, not {radix}")))
}

fn to_base(context: &Context<'_>) -> Outcome {
    let (Some(number), Some(radix)) = (whole(context, 0), whole(context, 1)) else { return Ok(Value::Null) };
    let radix = u64::from(checked_radix(radix)?);
    let mut rest = number.unsigned_abs();
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((rest % radix) as u32, 36).unwrap_or('0'));
        rest /= radix;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        digits.push('-');
    }
    Ok(digits.into_iter().rev().collect::<String>().into())
}

/// `p_cast(value, type, is_try)`
fn cast(connection: &Connection) -> rusqlite::Result<()> {
    scalar(connection, "p_cast", |context| {
        let value = raw(context, 0);
        if value == ValueRef::Null {
            return Ok(Value::Null);
        }
        let to = argument(context, 1).unwrap_or_default();
        let made = match (&*to, number_of(value)) {
            ("bigint", Value::Integer(number)) => Value::Integer(number),
            ("bigint", Value::Real(number))
                if !matches!(value, ValueRef::Text(_)) && number.abs() < 9.2e18 =>
            {
                Value::Integer(number.round() as i64)
            }
            ("double", Value::Integer(number)) => Value::Real(number as f64),
            ("double", Value::Real(number)) => Value::Real(number),
            ("boolean", Value::Integer(number)) if !matches!(value, ValueRef::Text(_)) => {
                Value::Integer(i64::from(number != 0))
            }
            ("boolean", Value::Real(number)) if !matches!(value, ValueRef::Text(_)) => {
                Value::Integer(i64::from(number != 0.0))
            }
            ("boolean", _) => match as_text(value).unwrap_or_default().to_ascii_lowercase().as_str() {
                "true" | "t" | "1" => Value::Integer(1),
                "false" | "f" | "0" => Value::Integer(0),
                _ => Value::Null,
            },
            _ => Value::Null,
        };
        if made == Value::Null && whole(context, 2) == Some(0) {
            let shown: String = as_text(value).unwrap_or_default().chars().take(100).collect();
            return Err(user_error(format!(
                "Cannot cast '{shown}' to {}; TRY_CAST gives null instead",
                to.to_ascii_uppercase()
            )));
        }
        Ok(made)
    })
}

/// Random numbers: below 1, or whole ones below the argument.
fn rand(connection: &Connection) -> rusqlite::Result<()> {
    let state = Cell::new(getrandom::u64().unwrap_or(1) | 1);
    connection.create_scalar_function("p_rand", -1, FunctionFlags::SQLITE_UTF8, move |context| {
        // xorshift64*
        let mut next = state.get();
        next ^= next >> 12;
        next ^= next << 25;
        next ^= next >> 27;
        state.set(next);
        let bits = next.wrapping_mul(0x2545_f491_4f6c_dd1d);
        Ok(match whole(context, 0) {
            Some(below) if below > 0 => Value::Integer((bits >> 1) as i64 % below),
            _ => Value::Real((bits >> 11) as f64 / (1u64 << 53) as f64),
        })
    })
}
