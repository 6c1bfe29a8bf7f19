//! Numbers and ranges of numbers: `status >= 500`, `latency in [1.5 20)`.

use std::cmp::Ordering;

/// A run of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    low: Bound,
    high: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Open,
    /// The number itself is within.
    Closed(Number),
    /// It is not.
    Beyond(Number),
}

/// Integers keep all their digits: ids beyond 2^53 are told apart.
#[derive(Clone, Copy, Debug)]
enum Number {
    Whole(i64),
    Real(f64),
}

impl Number {
    /// A decimal number and nothing else.
    fn of(text: &str) -> Option<Number> {
        if let Ok(whole) = text.parse() {
            return Some(Number::Whole(whole));
        }
        // `inf` and `nan` are words to a person.
        let first = text.bytes().find(|byte| !matches!(byte, b'+' | b'-' | b'.'))?;
        let real: f64 = text.parse().ok().filter(|_| first.is_ascii_digit())?;
        real.is_finite().then_some(Number::Real(real))
    }

    fn real(self) -> f64 {
        match self {
            Number::Whole(whole) => whole as f64,
            Number::Real(real) => real,
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        match (self, other) {
            (Number::Whole(one), Number::Whole(other)) => Some(one.cmp(other)),
            _ => self.real().partial_cmp(&other.real()),
        }
    }
}

impl Range {
    /// The number a text is, alone; none when it is no number.
    pub(super) fn equal_to(text: &str) -> Option<Range> {
        let number = Number::of(text.trim())?;
        Some(Range { low: Bound::Closed(number), high: Bound::Closed(number) })
    }

    fn contains(&self, value: Number) -> bool {
        let above = match self.low {
            Bound::Open => true,
            Bound::Closed(low) => value >= low,
            Bound::Beyond(low) => value > low,
        };
        above
            && match self.high {
                Bound::Open => true,
                Bound::Closed(high) => value <= high,
                Bound::Beyond(high) => value < high,
            }
    }

    /// Whether a value is a number within.
    pub(super) fn holds(&self, value: &[u8]) -> bool {
        let number = std::str::from_utf8(value.trim_ascii()).ok().and_then(Number::of);
        number.is_some_and(|number| self.contains(number))
    }
}

/// `> 5` and its like at the start of a text: the bytes taken and the range. Without a number behind it an operator is
/// part of a word.
pub(super) fn comparison(text: &str) -> Option<(usize, Range)> {
    let mut found = [">=", "<=", ">", "<", "="].into_iter();
    let (operator, rest) = found.find_map(|operator| Some((operator, text.strip_prefix(operator)?)))?;
    let rest = rest.trim_start();
    let (taken, value) = number(rest)?;
    let (low, high) = match operator {
        ">" => (Bound::Beyond(value), Bound::Open),
        ">=" => (Bound::Closed(value), Bound::Open),
        "<" => (Bound::Open, Bound::Beyond(value)),
        "<=" => (Bound::Open, Bound::Closed(value)),
        _ => (Bound::Closed(value), Bound::Closed(value)),
    };
    Some((text.len() - rest.len() + taken, Range { low, high }))
}

/// `in [a b]` at the start of a text, each bracket square or round.
pub(super) fn interval(text: &str) -> Option<(usize, Range)> {
    let rest = text.strip_prefix("in")?.trim_start();
    let (open, rest) = bracket(rest, ['[', '('])?;
    let (taken, low) = number(rest)?;
    let rest = rest.get(taken..)?.trim_start();
    let (taken, high) = number(rest)?;
    let rest = rest.get(taken..)?.trim_start();
    let (close, _) = bracket(rest, [']', ')'])?;
    let low = if open == '[' { Bound::Closed(low) } else { Bound::Beyond(low) };
    let high = if close == ']' { Bound::Closed(high) } else { Bound::Beyond(high) };
    Some((text.len() - rest.len() + 1, Range { low, high }))
}

/// `in` and an opening bracket, whatever follows.
pub(super) fn begins_interval(text: &str) -> bool {
    text.strip_prefix("in").is_some_and(|rest| rest.trim_start().starts_with(['[', '(']))
}

fn bracket(text: &str, either: [char; 2]) -> Option<(char, &str)> {
    let found = text.chars().next().filter(|c| either.contains(c))?;
    Some((found, text.get(1..)?.trim_start()))
}

/// A decimal number that ends where a word may end: its length and value.
fn number(text: &str) -> Option<(usize, Number)> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ']' | '"' | '|');
    let end = text.find(ends).unwrap_or(text.len());
    Some((end, Number::of(text.get(..end)?)?))
}
