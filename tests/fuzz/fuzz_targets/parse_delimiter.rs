//! Any text is split into the columns that a plain reader finds, byte by byte, whatever the separator and the quote; and
//! is of the format for all three ways with columns beyond the keys, or for none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::config::plan::{DelimiterPlan, ExtraColumns, ParseFormat};

fn parse(plan: DelimiterPlan, text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (parsed, columns) = sluicegate_fuzz::parse(ParseFormat::Delimiter(plan), text);
    parsed.then_some(columns)
}

fn slow(text: &[u8], separator: &[u8], quote: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = text;
    while let Some(behind) = rest.strip_prefix(b" ") {
        rest = behind;
    }
    while let Some(before) = rest.strip_suffix(b" ").or_else(|| rest.strip_suffix(b"\r")) {
        rest = before;
    }
    if rest.is_empty() {
        return None;
    }
    let mut columns = Vec::new();
    loop {
        let mut column = Vec::new();
        let opened = !quote.is_empty() && rest.starts_with(quote);
        if opened {
            rest = &rest[quote.len()..];
            loop {
                if let Some(behind) = rest.strip_prefix(quote) {
                    rest = behind;
                    match rest.strip_prefix(quote) {
                        Some(behind) => {
                            column.extend_from_slice(quote);
                            rest = behind;
                        }
                        None => break,
                    }
                } else {
                    column.push(*rest.first()?);
                    rest = &rest[1..];
                }
            }
            if !rest.is_empty() && !rest.starts_with(separator) {
                return None;
            }
        } else {
            while !rest.is_empty() && !rest.starts_with(separator) {
                if !quote.is_empty() && rest.starts_with(quote) {
                    return None;
                }
                column.push(rest[0]);
                rest = &rest[1..];
            }
        }
        columns.push(column);
        match rest.strip_prefix(separator) {
            Some(behind) => rest = behind,
            None => return Some(columns),
        }
    }
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (separator, quote, text) = input;
    let separator = ["\t", ",", "|", "||", "aab", "\u{b7}"][usize::from(separator) % 6];
    let quote = [None, Some('"'), Some('\''), Some('\u{ab}')][usize::from(quote) % 4];
    let plan = DelimiterPlan {
        separator: separator.to_owned(),
        quote,
        keys: Vec::new(),
        strict: false,
        extra: ExtraColumns::Extend,
    };
    let single = separator.chars().count() == 1;
    let used = quote.filter(|_| single).map(String::from).unwrap_or_default();
    let wanted = slow(text, separator.as_bytes(), used.as_bytes());
    let first = wanted.as_ref().map(|columns| columns[..1].to_vec());
    // A record has no more fields.
    let few = wanted.filter(|columns| columns.len() <= 512);
    assert_eq!(parse(plan.clone(), text), few);
    let discard = DelimiterPlan { keys: vec!["a".to_owned()], extra: ExtraColumns::Discard, ..plan.clone() };
    assert_eq!(parse(discard, text), first);
    let keep = DelimiterPlan { keys: vec!["a".to_owned()], extra: ExtraColumns::Keep, ..plan };
    assert_eq!(parse(keep, text).map(|kept| kept[..1].to_vec()), first);
});
