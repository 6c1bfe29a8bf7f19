//! Numbers and ranges of numbers: `status >= 500`, `latency in [1.5 20)`.

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
    Closed(f64),
    /// It is not.
    Beyond(f64),
}

impl Range {
    fn contains(&self, value: f64) -> bool {
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
        let text = std::str::from_utf8(value).unwrap_or("").trim();
        // `inf` and `nan` are words to a person.
        let digits = text.bytes().any(|byte| byte.is_ascii_digit());
        digits && text.parse().is_ok_and(|number: f64| self.contains(number))
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

fn bracket(text: &str, either: [char; 2]) -> Option<(char, &str)> {
    let found = text.chars().next().filter(|c| either.contains(c))?;
    Some((found, text.get(1..)?.trim_start()))
}

/// A decimal number that ends where a word may end: its length and value.
fn number(text: &str) -> Option<(usize, f64)> {
    let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ']' | '"' | '|');
    let end = text.find(ends).unwrap_or(text.len());
    let word = &text[..end];
    let first = word.bytes().find(|byte| !matches!(byte, b'+' | b'-' | b'.'))?;
    if !first.is_ascii_digit() {
        return None;
    }
    let value: f64 = word.parse().ok()?;
    value.is_finite().then_some((end, value))
}
