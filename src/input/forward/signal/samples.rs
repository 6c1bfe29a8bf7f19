//! The value of a series, as the samples it becomes.
//!
//! ```text
//! counter, gauge, untyped   name                                    the number, exact where it came as an integer
//! histogram                 name_bucket{le}..., name_sum, name_count
//! summary                   name{quantile}..., name_sum, name_count
//! exponential histogram     as a histogram: bucket i of 2^scale per doubling ends at base^(i+1), base = 2^(2^-scale)
//! ```
//!
//! Buckets are cumulative in Log Service, as in Prometheus. Fluent Bit sends them so or, from OTLP, each for itself, and
//! nothing on the wire says which: counts that never fall and end at the count of all are cumulative. That cannot
//! mislead: counts each for itself end at the count of all only where all others are 0, and then both readings agree.
//!
//! Delta values stay as they came: a sum over time needs a memory that a gateway has not. Bounds come before any reserve:
//! a histogram with more buckets than [`BUCKETS`] is no histogram.

use std::ops::Range;

use super::contexts::{Items, lookup, natural};
use crate::input::forward::tally::Invalid;
use crate::record::msgpack::{Token, Walker};
use crate::record::number;

/// Buckets or quantiles of one value. OpenTelemetry's exponential histograms have 160 by default.
pub(super) const BUCKETS: usize = 4_096;
/// The resolution of exponential histograms: OpenTelemetry uses -10 to 20.
const SCALE: i64 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Counter, gauge or untyped.
    Single,
    Histogram,
    Summary,
    Exponential,
}

impl Kind {
    pub(super) fn of(number: u64) -> Option<Kind> {
        match number {
            0 | 1 | 4 => Some(Kind::Single),
            2 => Some(Kind::Histogram),
            3 => Some(Kind::Summary),
            5 => Some(Kind::Exponential),
            _ => None,
        }
    }

    /// The label that tells the samples of one value apart.
    pub(super) fn label(self) -> &'static [u8] {
        if self == Kind::Summary { b"quantile" } else { b"le" }
    }
}

/// What stands behind the metric's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Plain,
    Bucket,
    Sum,
    Count,
}

impl Part {
    pub(super) const COUNT: usize = 4;

    pub(super) fn suffix(self) -> &'static [u8] {
        match self {
            Part::Plain => b"",
            Part::Bucket => b"_bucket",
            Part::Sum => b"_sum",
            Part::Count => b"_count",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Natural(u64),
    Float(f64),
}

impl Number {
    pub(super) fn append(self, out: &mut Vec<u8>) {
        match self {
            Number::Int(number) => number::append_i64(out, number),
            Number::Natural(number) => number::append_u64(out, number),
            Number::Float(number) => append_float(out, number),
        }
    }
}

/// Shortest exact digits; what is not finite as Prometheus writes it.
pub(super) fn append_float(out: &mut Vec<u8>, number: f64) {
    match number {
        f64::INFINITY => out.extend_from_slice(b"+Inf"),
        f64::NEG_INFINITY => out.extend_from_slice(b"-Inf"),
        _ => number::append_f64(out, number),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) part: Part,
    /// `le` or `quantile`.
    pub(super) bound: Option<f64>,
    pub(super) value: Number,
}

/// Reads the value that is the map at `place` into samples; `bounds` are the metric's buckets or quantiles.
pub(super) fn read(
    bytes: &[u8],
    kind: Kind,
    bounds: &[f64],
    place: &Range<usize>,
    out: &mut Vec<Sample>,
) -> Result<(), Invalid> {
    match kind {
        Kind::Single => single(bytes, place, out),
        Kind::Histogram => histogram(bytes, bounds, place, out),
        Kind::Summary => summary(bytes, bounds, place, out),
        Kind::Exponential => exponential(bytes, place, out),
    }
}

fn single(bytes: &[u8], place: &Range<usize>, out: &mut Vec<Sample>) -> Result<(), Invalid> {
    let [value, int, uint] = lookup(bytes, place, [b"value", b"value_int64", b"value_uint64"])?;
    // Where `value_type` names one of the exact forms, that one is there.
    let value = match (&int, &uint, &value) {
        (Some(exact), ..) | (_, Some(exact), _) => number(bytes, exact)?,
        (_, _, Some(value)) => number(bytes, value)?,
        _ => return Err(Invalid::Signal),
    };
    out.push(Sample { part: Part::Plain, bound: None, value });
    Ok(())
}

fn histogram(
    bytes: &[u8],
    bounds: &[f64],
    place: &Range<usize>,
    out: &mut Vec<Sample>,
) -> Result<(), Invalid> {
    let [histogram] = lookup(bytes, place, [b"histogram"])?;
    let histogram = histogram.ok_or(Invalid::Signal)?;
    let [buckets, sum, count] = lookup(bytes, &histogram, [b"buckets", b"sum", b"count"])?;
    let count = natural(bytes, &count).ok_or(Invalid::Signal)?;
    let mut counts = match buckets {
        Some(place) => numbers(bytes, &place, |place| natural(bytes, &Some(place)))?,
        None => Vec::new(),
    };
    if counts.len() > bounds.len() + 1 || (counts.len() < bounds.len() && !counts.is_empty()) {
        return Err(Invalid::Signal);
    }
    let cumulative = counts.is_sorted() && counts.last() == Some(&count);
    if !cumulative {
        let mut sum = 0u64;
        for count in &mut counts {
            sum = sum.saturating_add(*count);
            *count = sum;
        }
    }
    let finite = bounds.iter().copied().zip(counts.iter().copied()).filter(|(end, _)| *end != f64::INFINITY);
    out.extend(finite.map(bucket));
    out.push(bucket((f64::INFINITY, counts.get(bounds.len()).copied().unwrap_or(count))));
    let sum = sum.map(|sum| float(bytes, &sum)).transpose()?;
    total(sum, count, out);
    Ok(())
}

fn summary(
    bytes: &[u8],
    quantiles: &[f64],
    place: &Range<usize>,
    out: &mut Vec<Sample>,
) -> Result<(), Invalid> {
    let [summary] = lookup(bytes, place, [b"summary"])?;
    let summary = summary.ok_or(Invalid::Signal)?;
    let [set, values, sum, count] =
        lookup(bytes, &summary, [b"quantiles_set", b"quantiles", b"sum", b"count"])?;
    let count = natural(bytes, &count).ok_or(Invalid::Signal)?;
    if let Some(values) = values.filter(|_| natural(bytes, &set) != Some(0)) {
        let values = numbers(bytes, &values, |place| float_of_bits(bytes, &place))?;
        if values.len() > quantiles.len() {
            return Err(Invalid::Signal);
        }
        out.extend(quantiles.iter().zip(values).map(|(quantile, value)| Sample {
            part: Part::Plain,
            bound: Some(*quantile),
            value: Number::Float(value),
        }));
    }
    let sum = sum.map(|sum| float_of_bits(bytes, &sum).ok_or(Invalid::Signal)).transpose()?;
    total(sum, count, out);
    Ok(())
}

fn exponential(bytes: &[u8], place: &Range<usize>, out: &mut Vec<Sample>) -> Result<(), Invalid> {
    let [histogram] = lookup(bytes, place, [b"exp_histogram"])?;
    let histogram = histogram.ok_or(Invalid::Signal)?;
    let [scale, zero, threshold, positive_offset, positive, negative_offset, negative, count, sum_set, sum] =
        lookup(
            bytes,
            &histogram,
            [
                b"scale",
                b"zero_count",
                b"zero_threshold",
                b"positive_offset",
                b"positive_buckets",
                b"negative_offset",
                b"negative_buckets",
                b"count",
                b"sum_set",
                b"sum",
            ],
        )?;
    let count = natural(bytes, &count).ok_or(Invalid::Signal)?;
    let scale = integer(bytes, &scale)?;
    if scale.abs() > SCALE {
        return Err(Invalid::Signal);
    }
    // The exponent of a bound, for an index: base^index.
    let power = |index: i64| (index as f64 * (-scale as f64).exp2()).exp2();
    let counts = |place: &Option<Range<usize>>| match place {
        Some(place) => numbers(bytes, place, |place| natural(bytes, &Some(place))),
        None => Ok(Vec::new()),
    };
    let (positive, negative) = (counts(&positive)?, counts(&negative)?);
    let index = |offset: i64, at: usize| offset.saturating_add(at as i64);
    let (positive_offset, negative_offset) =
        (integer(bytes, &positive_offset)?, integer(bytes, &negative_offset)?);
    let zero = natural(bytes, &zero).unwrap_or(0);
    let threshold = threshold.map(|place| float(bytes, &place)).transpose()?.unwrap_or(0.0);

    // From the least value up: below zero the last bucket holds the least ones.
    let below = negative.iter().enumerate().rev();
    let below = below.map(|(at, count)| (-power(index(negative_offset, at)), *count));
    let around = (zero > 0).then_some((threshold, zero));
    let above = positive.iter().enumerate();
    let above = above.map(|(at, count)| (power(index(positive_offset, at).saturating_add(1)), *count));
    let mut sum_of_counts = 0u64;
    for (end, count) in below.chain(around).chain(above) {
        sum_of_counts = sum_of_counts.saturating_add(count);
        match out.last_mut() {
            // Too close, too small or too large to be told apart by a double.
            Some(last) if last.bound >= Some(end) => last.value = Number::Natural(sum_of_counts),
            _ if end.is_infinite() => {}
            _ => out.push(bucket((end, sum_of_counts))),
        }
    }
    out.push(bucket((f64::INFINITY, count)));
    let sum = match (natural(bytes, &sum_set), sum) {
        (Some(0), _) | (_, None) => None,
        (_, Some(sum)) => Some(float_of_bits(bytes, &sum).ok_or(Invalid::Signal)?),
    };
    total(sum, count, out);
    Ok(())
}

fn bucket((end, count): (f64, u64)) -> Sample {
    Sample { part: Part::Bucket, bound: Some(end), value: Number::Natural(count) }
}

fn total(sum: Option<f64>, count: u64, out: &mut Vec<Sample>) {
    if let Some(sum) = sum {
        out.push(Sample { part: Part::Sum, bound: None, value: Number::Float(sum) });
    }
    out.push(Sample { part: Part::Count, bound: None, value: Number::Natural(count) });
}

/// The numbers of the array at `place`, at most [`BUCKETS`].
fn numbers<T>(
    bytes: &[u8],
    place: &Range<usize>,
    read: impl Fn(Range<usize>) -> Option<T>,
) -> Result<Vec<T>, Invalid> {
    let mut items = Items::open(bytes, place)?;
    if items.left() > BUCKETS {
        return Err(Invalid::Large);
    }
    let mut numbers = Vec::with_capacity(items.left());
    while let Some(item) = items.next(bytes) {
        numbers.push(read(item?).ok_or(Invalid::Signal)?);
    }
    Ok(numbers)
}

/// The bounds of a metric's buckets, or its quantiles.
pub(super) fn bounds(bytes: &[u8], place: &Range<usize>) -> Result<Vec<f64>, Invalid> {
    numbers(bytes, place, |place| float(bytes, &place).ok())
}

fn number(bytes: &[u8], place: &Range<usize>) -> Result<Number, Invalid> {
    match Walker::at(bytes, place.start).next()? {
        Token::Int(number) => Ok(Number::Int(number)),
        Token::Huge(number) => Ok(Number::Natural(number)),
        Token::F32(number) => Ok(Number::Float(f64::from(number))),
        Token::F64(number) => Ok(Number::Float(number)),
        _ => Err(Invalid::Signal),
    }
}

fn float(bytes: &[u8], place: &Range<usize>) -> Result<f64, Invalid> {
    match number(bytes, place)? {
        Number::Int(number) => Ok(number as f64),
        Number::Natural(number) => Ok(number as f64),
        Number::Float(number) => Ok(number),
    }
}

/// A double that came as the integer of its bits, in as few bytes as that integer takes.
fn float_of_bits(bytes: &[u8], place: &Range<usize>) -> Option<f64> {
    match number(bytes, place).ok()? {
        Number::Int(bits) => u64::try_from(bits).ok().map(f64::from_bits),
        Number::Natural(bits) => Some(f64::from_bits(bits)),
        Number::Float(number) => Some(number),
    }
}

/// An integer that fits 32 bits, as scales and offsets do; 0 where there is none.
fn integer(bytes: &[u8], place: &Option<Range<usize>>) -> Result<i64, Invalid> {
    let Some(place) = place else { return Ok(0) };
    match Walker::at(bytes, place.start).next()? {
        Token::Int(number) if i32::try_from(number).is_ok() => Ok(number),
        _ => Err(Invalid::Signal),
    }
}
