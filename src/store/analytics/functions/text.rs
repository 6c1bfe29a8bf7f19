//! Functions of text: cutting, padding, regular expressions. A pattern is compiled once per statement when it is the same
//! for all rows.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::types::Value;

use super::{Outcome, VALUE_BYTES, argument, of_text, scalar, truth, user_error, whole};

/// Compiled size of a pattern.
const PATTERN_BYTES: usize = 1 << 20;

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    of_text(connection, "p_text", |text| text.to_owned().into())?;
    of_text(connection, "p_lower", |text| text.to_lowercase().into())?;
    of_text(connection, "p_upper", |text| text.to_uppercase().into())?;
    of_text(connection, "p_reverse", |text| text.chars().rev().collect::<String>().into())?;
    scalar(connection, "p_strpos", strpos)?;
    scalar(connection, "p_split", split)?;
    scalar(connection, "p_split_part", split_part)?;
    scalar(connection, "p_split_to_map", split_to_map)?;
    scalar(connection, "p_replace", replace)?;
    scalar(connection, "p_lpad", |context| pad(context, true))?;
    scalar(connection, "p_rpad", |context| pad(context, false))?;
    scalar(connection, "p_repeat", repeat)?;
    of_two(connection, "p_starts_with", |text, part| truth(text.starts_with(part)))?;
    of_two(connection, "p_ends_with", |text, part| truth(text.ends_with(part)))?;
    of_two(connection, "p_levenshtein", levenshtein)?;
    of_pattern(connection, "p_regexp_like", |_, regex, text| Ok(truth(regex.is_match(text))))?;
    of_pattern(connection, "p_regexp_extract", extract)?;
    of_pattern(connection, "p_regexp_extract_all", extract_all)?;
    of_pattern(connection, "p_regexp_replace", replace_pattern)?;
    of_pattern(connection, "p_regexp_split", |_, regex, text| Ok(array(regex.split(text))))?;
    of_pattern(connection, "p_regexp_count", |_, regex, text| {
        Ok(Value::Integer(regex.find_iter(text).count() as i64))
    })
}

fn of_two(
    connection: &Connection,
    name: &'static str,
    work: impl Fn(&str, &str) -> Value + Send + 'static,
) -> rusqlite::Result<()> {
    scalar(connection, name, move |context| {
        let (Some(one), Some(other)) = (argument(context, 0), argument(context, 1)) else {
            return Ok(Value::Null);
        };
        Ok(work(&one, &other))
    })
}

/// A function of a text and a regular expression.
fn of_pattern(
    connection: &Connection,
    name: &'static str,
    work: impl Fn(&Context<'_>, &Regex, &str) -> Outcome + Send + 'static,
) -> rusqlite::Result<()> {
    scalar(connection, name, move |context| {
        let (Some(text), Some(pattern)) = (argument(context, 0), argument(context, 1)) else {
            return Ok(Value::Null);
        };
        let regex: Arc<Regex> = context.get_or_create_aux(1, |_| {
            RegexBuilder::new(&pattern)
                .size_limit(PATTERN_BYTES)
                .dfa_size_limit(PATTERN_BYTES)
                .build()
                .map_err(|error| user_error(format!("the regular expression is refused: {error}")))
        })?;
        work(context, &regex, &text)
    })
}

fn strpos(context: &Context<'_>) -> Outcome {
    let (Some(text), Some(part)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    let instance = whole(context, 2).unwrap_or(1).max(1) as usize;
    let found = text.match_indices(&*part).nth(instance - 1);
    let position = found.and_then(|(at, _)| text.get(..at)).map_or(0, |before| before.chars().count() + 1);
    Ok(Value::Integer(position as i64))
}

fn split(context: &Context<'_>) -> Outcome {
    let (Some(text), Some(separator)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    if separator.is_empty() {
        return Err(user_error("split: the separator is empty"));
    }
    Ok(match whole(context, 2) {
        None => array(text.split(&*separator)),
        Some(limit) => array(text.splitn(limit.max(1) as usize, &*separator)),
    })
}

fn split_part(context: &Context<'_>) -> Outcome {
    let (Some(text), Some(separator), Some(index)) =
        (argument(context, 0), argument(context, 1), whole(context, 2))
    else {
        return Ok(Value::Null);
    };
    if separator.is_empty() || index < 1 {
        return Err(user_error("split_part: the separator is empty or the index less than 1"));
    }
    Ok(text.split(&*separator).nth(index as usize - 1).map_or(Value::Null, |part| part.to_owned().into()))
}

fn split_to_map(context: &Context<'_>) -> Outcome {
    let (Some(text), Some(entries), Some(pair)) =
        (argument(context, 0), argument(context, 1), argument(context, 2))
    else {
        return Ok(Value::Null);
    };
    if entries.is_empty() || pair.is_empty() {
        return Err(user_error("split_to_map: a separator is empty"));
    }
    let map: serde_json::Map<String, serde_json::Value> = text
        .split(&*entries)
        .filter_map(|entry| entry.split_once(&*pair))
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    Ok(serde_json::Value::from(map).to_string().into())
}

fn replace(context: &Context<'_>) -> Outcome {
    let (Some(text), Some(from)) = (argument(context, 0), argument(context, 1)) else {
        return Ok(Value::Null);
    };
    if context.len() > 2 && argument(context, 2).is_none() {
        return Ok(Value::Null);
    }
    let to = argument(context, 2).unwrap_or_default();
    if from.is_empty() {
        return Ok(text.into_owned().into());
    }
    fits(text.len().saturating_add(text.matches(&*from).count().saturating_mul(to.len())))?;
    Ok(text.replace(&*from, &to).into())
}

fn pad(context: &Context<'_>, left: bool) -> Outcome {
    let (Some(text), Some(size), Some(filler)) =
        (argument(context, 0), whole(context, 1), argument(context, 2))
    else {
        return Ok(Value::Null);
    };
    let size = usize::try_from(size).unwrap_or(0);
    let length = text.chars().count();
    if size <= length {
        return Ok(text.chars().take(size).collect::<String>().into());
    }
    fits(size.saturating_mul(4))?;
    if filler.is_empty() {
        return Err(user_error("the filling text is empty"));
    }
    let filling: String = filler.chars().cycle().take(size - length).collect();
    Ok(if left { filling + &text } else { text.into_owned() + &filling }.into())
}

fn repeat(context: &Context<'_>) -> Outcome {
    let (Some(text), Some(times)) = (argument(context, 0), whole(context, 1)) else {
        return Ok(Value::Null);
    };
    let times = usize::try_from(times).unwrap_or(0);
    fits(text.len().saturating_mul(times))?;
    Ok(text.repeat(times).into())
}

fn fits(bytes: usize) -> rusqlite::Result<()> {
    if bytes <= VALUE_BYTES {
        return Ok(());
    }
    Err(user_error(format!("a value would have more than {} MiB", VALUE_BYTES >> 20)))
}

fn levenshtein(one: &str, other: &str) -> Value {
    let other: Vec<char> = other.chars().take(1024).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, from) in one.chars().take(1024).enumerate() {
        let (mut corner, mut left) = (line, line + 1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(&other) {
            let replaced = corner + usize::from(from != *to);
            corner = *cell;
            left = replaced.min(corner + 1).min(left + 1);
            *cell = left;
        }
    }
    Value::Integer(row.last().copied().unwrap_or(0) as i64)
}

fn group(context: &Context<'_>, regex: &Regex) -> rusqlite::Result<usize> {
    let group = whole(context, 2).unwrap_or(0);
    usize::try_from(group).ok().filter(|group| *group < regex.captures_len()).ok_or_else(|| {
        user_error(format!("the regular expression has no group {group}, only {}", regex.captures_len() - 1))
    })
}

fn extract(context: &Context<'_>, regex: &Regex, text: &str) -> Outcome {
    let group = group(context, regex)?;
    if group == 0 {
        return Ok(regex.find(text).map_or(Value::Null, |found| found.as_str().to_owned().into()));
    }
    let found = regex.captures(text).and_then(|found| found.get(group));
    Ok(found.map_or(Value::Null, |found| found.as_str().to_owned().into()))
}

fn extract_all(context: &Context<'_>, regex: &Regex, text: &str) -> Outcome {
    let group = group(context, regex)?;
    let parts = regex.captures_iter(text).filter_map(|found| found.get(group)).map(|found| found.as_str());
    Ok(array(parts))
}

/// `$1` and `${name}` of the replacement are groups.
fn replace_pattern(context: &Context<'_>, regex: &Regex, text: &str) -> Outcome {
    if context.len() > 2 && argument(context, 2).is_none() {
        return Ok(Value::Null);
    }
    let to = braced(&argument(context, 2).unwrap_or_default());
    let mut replaced = String::new();
    let mut copied = 0;
    for found in regex.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        replaced.push_str(text.get(copied..whole.start()).unwrap_or(""));
        found.expand(&to, &mut replaced);
        copied = whole.end();
        fits(replaced.len())?;
    }
    replaced.push_str(text.get(copied..).unwrap_or(""));
    Ok(replaced.into())
}

/// `$12ab` means group 12 and `ab`; for the regex crate that is a name.
fn braced(replacement: &str) -> String {
    let mut text = String::new();
    let mut characters = replacement.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('$', Some(digit)) if digit.is_ascii_digit() => {
                text.push_str("${");
                while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                    text.push(digit);
                }
                text.push('}');
            }
            ('\\', Some('$')) => {
                characters.next();
                text.push_str("$$");
            }
            _ => text.push(character),
        }
    }
    text
}

/// A JSON array of texts.
fn array<'a>(parts: impl Iterator<Item = &'a str>) -> Value {
    serde_json::Value::from(parts.collect::<Vec<_>>()).to_string().into()
}
