//! The grammar of JSON (RFC 8259) over bytes: where a string, a number, a nested value ends. Nothing is made here.
//!
//! More lenient than the grammar in two ways, because real senders are: a string may hold control bytes as they are, and
//! bytes that are no UTF-8. In all else it takes what the grammar takes.
//!
//! Nothing recurses: the brackets that are open are bits of one number.

use memchr::memchr2;

use super::read::JsonError;

/// The brackets that one number of bits can hold; no limit goes further.
pub(crate) const DEEPEST: usize = u128::BITS as usize;

/// A string between its quotes, as a place in the text.
#[derive(Clone, Copy)]
pub(crate) struct RawString {
    pub(crate) start: usize,
    /// Where its closing quote stands.
    pub(crate) end: usize,
    /// It has escapes.
    pub(crate) escaped: bool,
}

/// A value, as a place in the text; all places are `start..end`.
#[derive(Clone, Copy)]
pub(crate) enum RawValue {
    Text(RawString),
    Number(usize, usize),
    Bool(bool),
    Null,
    /// `tidy`: it is compact as it stands, and strict JSON but for bytes that are no UTF-8.
    Nested {
        start: usize,
        end: usize,
        tidy: bool,
    },
}

/// The first place from `at` on that is no blank; the end of the text when there is none.
#[inline]
pub(crate) fn blanks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Steps over the byte that must stand here.
#[inline]
pub(crate) fn expect(bytes: &[u8], at: usize, wanted: u8) -> Result<usize, JsonError> {
    match bytes.get(at) {
        Some(&found) if found == wanted => Ok(at + 1),
        Some(_) => Err(JsonError::Syntax { at }),
        None => Err(JsonError::Cut),
    }
}

/// The string whose opening quote stands at `at`.
#[inline(always)]
pub(crate) fn string(bytes: &[u8], at: usize) -> Result<RawString, JsonError> {
    let start = expect(bytes, at, b'"')?;
    let found = special(bytes, start).ok_or(JsonError::Cut)?;
    if bytes.get(found) == Some(&b'"') {
        return Ok(RawString { start, end: found, escaped: false });
    }
    let end = behind_escapes(bytes, found)?;
    Ok(RawString { start, end, escaped: true })
}

/// The closing quote of a string whose first backslash stands at `at`.
#[inline(never)]
fn behind_escapes(bytes: &[u8], mut at: usize) -> Result<usize, JsonError> {
    loop {
        at = special(bytes, escaped(bytes, at)?).ok_or(JsonError::Cut)?;
        if bytes.get(at) == Some(&b'"') {
            return Ok(at);
        }
    }
}

/// The first quote or backslash from `at` on. Most strings are short, and most escapes near each other: a few words are
/// looked at before the search that is faster over long ones and costs a call.
#[inline(always)]
fn special(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..4 {
        let Some(word) = word_at(bytes, at) else { break };
        let found = equal_bytes(word, b'"') | equal_bytes(word, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(b'"', b'\\', bytes.get(at..)?).map(|found| at + found)
}

/// Eight bytes from `at` on, the first one lowest.
#[inline(always)]
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// Has the top bit set of the lowest byte that equals `byte`, and nothing below it; zero when there is none.
#[inline(always)]
pub(crate) fn equal_bytes(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let zeros = word ^ (ONES * u64::from(byte));
    zeros.wrapping_sub(ONES) & !zeros & (ONES << 7)
}

/// Steps over the escape whose backslash stands at `at`.
fn escaped(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            for digit in at + 2..at + 6 {
                match bytes.get(digit) {
                    Some(byte) if byte.is_ascii_hexdigit() => {}
                    Some(_) => return Err(JsonError::Syntax { at: digit }),
                    None => return Err(JsonError::Cut),
                }
            }
            Ok(at + 6)
        }
        Some(_) => Err(JsonError::Syntax { at: at + 1 }),
        None => Err(JsonError::Cut),
    }
}

/// The value that stands at `at`, and where it ends. `depth` is how many brackets may be open in it at once.
#[inline(always)]
pub(crate) fn value(bytes: &[u8], at: usize, depth: usize) -> Result<(RawValue, usize), JsonError> {
    match bytes.get(at) {
        Some(b'"') => {
            let raw = string(bytes, at)?;
            Ok((RawValue::Text(raw), raw.end + 1))
        }
        Some(b'{' | b'[') => {
            let (end, blank) = nested(bytes, at, depth)?;
            let control = has_control(bytes.get(at..end).unwrap_or_default());
            Ok((RawValue::Nested { start: at, end, tidy: !blank && !control }, end))
        }
        _ => scalar(bytes, at),
    }
}

/// A value that is neither string nor nested.
fn scalar(bytes: &[u8], at: usize) -> Result<(RawValue, usize), JsonError> {
    match bytes.get(at) {
        Some(b't') => word(bytes, at, b"true").map(|end| (RawValue::Bool(true), end)),
        Some(b'f') => word(bytes, at, b"false").map(|end| (RawValue::Bool(false), end)),
        Some(b'n') => word(bytes, at, b"null").map(|end| (RawValue::Null, end)),
        Some(b'-' | b'0'..=b'9') => number(bytes, at).map(|end| (RawValue::Number(at, end), end)),
        Some(_) => Err(JsonError::Syntax { at }),
        None => Err(JsonError::Cut),
    }
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, JsonError> {
    let rest = bytes.get(at..).unwrap_or_default();
    let same = rest.iter().zip(word).take_while(|(found, wanted)| found == wanted).count();
    if same == word.len() {
        Ok(at + same)
    } else if same == rest.len() {
        Err(JsonError::Cut)
    } else {
        Err(JsonError::Syntax { at: at + same })
    }
}

/// Where the number ends that begins at `at`: `-`, `0` or digits without a leading zero, fraction, exponent.
fn number(bytes: &[u8], mut at: usize) -> Result<usize, JsonError> {
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits(bytes, at)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// Steps over at least one digit.
fn digits(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
        0 if rest.is_empty() => Err(JsonError::Cut),
        0 => Err(JsonError::Syntax { at }),
        count => Ok(at + count),
    }
}

/// Where the array or object ends that begins at `start`, and whether it has blanks outside its strings.
#[inline(never)]
fn nested(bytes: &[u8], start: usize, depth: usize) -> Result<(usize, bool), JsonError> {
    let limit = depth.min(DEEPEST);
    // The innermost bracket is the lowest bit; one is a brace.
    let (mut braces, mut open) = (0_u128, 0);
    let mut blank = false;
    let skip = |at: usize, blank: &mut bool| {
        let to = blanks(bytes, at);
        *blank |= to != at;
        to
    };
    let key = |at: usize, blank: &mut bool| {
        let at = string(bytes, at)?.end + 1;
        let at = expect(bytes, skip(at, blank), b':')?;
        Ok(skip(at, blank))
    };
    let mut at = start;
    loop {
        // A value stands here.
        match bytes.get(at) {
            Some(b'"') => at = string(bytes, at)?.end + 1,
            Some(&bracket @ (b'{' | b'[')) => {
                if open == limit {
                    return Err(JsonError::Depth);
                }
                let brace = bracket == b'{';
                braces = braces << 1 | u128::from(brace);
                open += 1;
                at = skip(at + 1, &mut blank);
                // An empty one is closed below.
                if bytes.get(at) != Some(&closing(brace)) {
                    if brace {
                        at = key(at, &mut blank)?;
                    }
                    continue;
                }
            }
            _ => at = scalar(bytes, at)?.1,
        }
        // A value ends here.
        loop {
            if open == 0 {
                return Ok((at, blank));
            }
            let brace = braces & 1 == 1;
            at = skip(at, &mut blank);
            match bytes.get(at) {
                Some(b',') => {
                    at = skip(at + 1, &mut blank);
                    if brace {
                        at = key(at, &mut blank)?;
                    }
                    break;
                }
                Some(&byte) if byte == closing(brace) => {
                    at += 1;
                    open -= 1;
                    braces >>= 1;
                }
                Some(_) => return Err(JsonError::Syntax { at }),
                None => return Err(JsonError::Cut),
            }
        }
    }
}

fn closing(brace: bool) -> u8 {
    if brace { b'}' } else { b']' }
}

/// Looks at every byte, without a way out in between: that is done many bytes at a time.
pub(crate) fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |found, &byte| found | (byte < 0x20))
}
