//! How a pattern is written: braces are laid out first, then each text is cut at its slashes, then each name into tokens.
//!
//! Every error says what is wrong and what would be right, in words that stand behind the key's path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Part, Token};

/// Ways to choose from the braces of a pattern.
const MOST_ALTERNATIVES: usize = 64;

/// Reads a pattern: the lists of parts that it stands for, none of them twice.
pub(super) fn read(text: &str) -> Result<Vec<Vec<Part>>, String> {
    let mut alternatives = Vec::new();
    for text in alternatives_of(text)? {
        let parts = parts_of(&text)?;
        if !alternatives.contains(&parts) {
            alternatives.push(parts);
        }
    }
    Ok(alternatives)
}

/// Lays out the braces: each text that is left has none.
fn alternatives_of(text: &str) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    let mut left = vec![text.to_owned()];
    while let Some(text) = left.pop() {
        let Some((open, commas, close)) = first_braces(&text)? else {
            done.push(text);
            continue;
        };
        if done.len() + left.len() + commas.len() >= MOST_ALTERNATIVES {
            return Err(format!(
                "its braces stand for more than {MOST_ALTERNATIVES} patterns; write several patterns"
            ));
        }
        let mut ends: Vec<usize> = commas;
        ends.push(close);
        let mut from = open + 1;
        let mut laid_out = Vec::new();
        for end in ends {
            laid_out.push([&text[..open], &text[from..end], &text[close + 1..]].concat());
            from = end + 1;
        }
        left.extend(laid_out.into_iter().rev());
    }
    Ok(done)
}

/// The first pair of braces and the commas that belong to it.
fn first_braces(text: &str) -> Result<Option<(usize, Vec<usize>, usize)>, String> {
    let (mut open, mut commas, mut depth) = (None, Vec::new(), 0);
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => {
                chars.next();
            }
            '[' => {
                // Braces in a class are characters.
                if let Some(len) = class_len(&text[at..]) {
                    let end = at + len;
                    while chars.offset() < end && chars.next().is_some() {}
                }
            }
            '{' => {
                open = open.or(Some(at));
                depth += 1;
            }
            '}' if depth == 0 => {
                return Err("has a } that no { opens; write \\} for the character".to_owned());
            }
            '}' => {
                depth -= 1;
                if let (0, Some(open)) = (depth, open) {
                    return Ok(Some((open, commas, at)));
                }
            }
            ',' if depth == 1 => commas.push(at),
            _ => {}
        }
    }
    match open {
        Some(_) => Err("has a { that no } closes; write {a,b}, or \\{ for the character".to_owned()),
        None => Ok(None),
    }
}

/// Bytes of the class that the text begins with, its brackets included. `None` when it is not closed.
fn class_len(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    if chars.peek().is_some_and(|(_, char)| matches!(char, '!' | '^')) {
        chars.next();
    }
    let mut is_first = true;
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => {
                chars.next();
            }
            ']' if !is_first => return Some(at + 1),
            '/' => return None,
            _ => {}
        }
        is_first = false;
    }
    None
}

fn parts_of(text: &str) -> Result<Vec<Part>, String> {
    let Some(names) = text.strip_prefix('/') else {
        return Err("is not an absolute path; write /var/log/app/*.log".to_owned());
    };
    let mut parts: Vec<Part> = Vec::new();
    for name in names.split('/').filter(|name| !matches!(*name, "" | ".")) {
        let part = match name {
            ".." => {
                return Err(
                    "holds .., whose meaning symbolic links change; write the path without it".to_owned()
                );
            }
            "**" => Part::Directories,
            name => name_of(name)?,
        };
        if part != Part::Directories || parts.last() != Some(&Part::Directories) {
            parts.push(part);
        }
    }
    if parts.is_empty() || names.ends_with('/') {
        return Err("names a directory; write /var/log/app/*.log for the files in it".to_owned());
    }
    if parts.last() == Some(&Part::Directories) {
        parts.push(Part::Name(vec![Token::Any]));
    }
    Ok(parts)
}

fn name_of(text: &str) -> Result<Part, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let mut len = char.len_utf8();
        let token = match char {
            '*' if tokens.last() == Some(&Token::Any) => {
                return Err(format!(
                    "has ** inside the name {text:?}; it stands alone between slashes: /var/log/**/*.log"
                ));
            }
            '*' => Token::Any,
            '?' => Token::One,
            '[' => {
                let closed = class_len(rest).ok_or_else(|| {
                    format!("has a [ that no ] closes in {text:?}; write [a-z], or \\[ for the character")
                })?;
                len = closed;
                class_of(&rest[1..closed - 1])?
            }
            '\\' => {
                let char = rest.chars().nth(1).ok_or("ends in a \\; write \\\\ for the character")?;
                len += char.len_utf8();
                Token::Char(char)
            }
            char => Token::Char(char),
        };
        tokens.push(token);
        rest = &rest[len..];
    }
    let literal: Option<String> = tokens
        .iter()
        .map(|token| match token {
            Token::Char(char) => Some(*char),
            _ => None,
        })
        .collect();
    Ok(literal.map_or(Part::Name(tokens), |literal| Part::Literal(literal.into_bytes())))
}

/// Of what stands between brackets.
fn class_of(text: &str) -> Result<Token, String> {
    let inner = text.strip_prefix(['!', '^']);
    let negated = inner.is_some();
    let mut chars = inner.unwrap_or(text).chars().peekable();
    let mut ranges = Vec::new();
    while let Some(char) = chars.next() {
        let mut plain = |char| if char == '\\' { chars.next().unwrap_or(char) } else { char };
        let from = plain(char);
        let mut to = from;
        let mut ahead = chars.clone();
        if ahead.next() == Some('-')
            && let Some(last) = ahead.next()
        {
            to = if last == '\\' { ahead.next().unwrap_or(last) } else { last };
            chars = ahead;
        }
        if from > to {
            return Err(format!("has the range {from}-{to}, which is empty; write {to}-{from}"));
        }
        ranges.push((from, to));
    }
    Ok(Token::Class { negated, ranges })
}

/// The longest directory above all that can match.
pub(super) fn root_of(alternatives: &[Vec<Part>]) -> PathBuf {
    let literals = |parts: &[Part]| -> Vec<Vec<u8>> {
        let names = parts.iter().map_while(|part| match part {
            Part::Literal(name) => Some(name.clone()),
            _ => None,
        });
        // The last one is a file's name.
        names.take(parts.len().saturating_sub(1)).collect()
    };
    let mut all = alternatives.iter().map(|parts| literals(parts));
    let mut root = all.next().unwrap_or_default();
    for other in all {
        let common = root.iter().zip(&other).take_while(|(a, b)| a == b).count();
        root.truncate(common);
    }
    let mut path = PathBuf::from("/");
    path.extend(root.iter().map(|name| OsStr::from_bytes(name)));
    path
}
