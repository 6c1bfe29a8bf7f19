//! Patterns of paths: which files an input reads.
//!
//! ```text
//! *        anything within one name                 /var/log/*.log
//! ?        one character of a name                  /var/log/app?.log
//! [a-z]    one of these, [!a-z] none of these       /var/log/app[0-9].log
//! **       any directories, none included           /var/log/**/access.log       at the end: any file below
//! {x,y}    x or y, which may hold all of the above  /{var/log,srv}/*.log
//! \        takes the next character as it stands    /var/log/a\*.log
//! ```
//!
//! As in a shell, a name that begins with a dot is met only by a pattern that writes this dot: `*.log` does not take
//! `.log`, and `**` enters no hidden directory. Names are bytes; a character of one is a character of UTF-8, or a byte
//! where it is none.
//!
//! Alternatives are laid out when a pattern is read, so one is a list of names and `**`. Matching keeps all places in it at
//! which a path may stand ([`Places`]), so it takes time in proportion to the path, whatever the pattern. Each place knows
//! how many directories `**` has taken on the way, which is what a walk bounds.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Bytes of a pattern; a path has no more names than half of them.
const MOST_BYTES: usize = 1_024;
/// Ways to choose from its braces.
const MOST_ALTERNATIVES: usize = 64;
/// A place that a path cannot stand at.
const NOWHERE: u16 = u16::MAX;

/// One absolute pattern.
#[derive(Clone)]
pub struct PathPattern {
    text: String,
    alternatives: Vec<Vec<Part>>,
    root: PathBuf,
}

/// What stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**`.
    Directories,
    Literal(Vec<u8>),
    Name(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// Where a directory stands in a pattern: for each of its parts, how many directories `**` took before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Places(Vec<Vec<u16>>);

impl PathPattern {
    /// The error says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<PathPattern, String> {
        if text.is_empty() {
            return Err("is empty; write /var/log/app/*.log".to_owned());
        }
        if text.len() > MOST_BYTES {
            return Err(format!("is longer than {MOST_BYTES} bytes; write several patterns"));
        }
        if text.contains('\0') {
            return Err("holds a NUL, which no path has".to_owned());
        }
        let mut alternatives = Vec::new();
        for text in alternatives_of(text)? {
            let parts = parts_of(&text)?;
            if !alternatives.contains(&parts) {
                alternatives.push(parts);
            }
        }
        let root = root_of(&alternatives);
        Ok(PathPattern { text: text.to_owned(), alternatives, root })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The longest directory above all that can match.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a file of this path is meant. Relative paths never are.
    pub fn matches(&self, path: &Path) -> bool {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return false };
        self.places(dir).is_some_and(|places| self.takes(&places, name))
    }

    /// Whether something below this directory can match.
    pub fn may_enter(&self, dir: &Path) -> bool {
        self.places(dir).is_some()
    }

    /// Where `/` stands.
    pub fn start(&self) -> Places {
        let places = self.alternatives.iter().map(|parts| {
            let mut places = vec![NOWHERE; parts.len()];
            reach(parts, &mut places, 0, 0);
            places
        });
        Places(places.collect())
    }

    /// Where the directory `name` stands, in one that stands at `places`. `None` when nothing below it can match, if `**`
    /// takes at most `depth` directories.
    pub fn enter(&self, places: &Places, name: &OsStr, depth: usize) -> Option<Places> {
        let name = name.as_bytes();
        let mut any = false;
        let next = self.alternatives.iter().zip(&places.0).map(|(parts, places)| {
            let mut next = vec![NOWHERE; parts.len()];
            for (at, (part, taken)) in parts.iter().zip(places).enumerate() {
                if *taken == NOWHERE {
                    continue;
                }
                match part {
                    Part::Directories if usize::from(*taken) < depth && !is_hidden(name) => {
                        any |= reach(parts, &mut next, at, taken.saturating_add(1).min(NOWHERE - 1));
                    }
                    Part::Directories => {}
                    part if part.takes(name) => any |= reach(parts, &mut next, at + 1, *taken),
                    _ => {}
                }
            }
            next
        });
        let next = Places(next.collect());
        any.then_some(next)
    }

    /// Whether `name` matches in a directory that stands at `places`.
    pub fn takes(&self, places: &Places, name: &OsStr) -> bool {
        self.last_parts(places).any(|last| last.takes(name.as_bytes()))
    }

    /// Whether a pattern that takes this name says by itself how it ends.
    pub fn says_ending(&self, places: &Places, name: &OsStr, ending: &str) -> bool {
        self.last_parts(places).any(|last| last.takes(name.as_bytes()) && last.ends_with(ending))
    }

    /// The only names that can matter in a directory that stands at `places`: they are added to `names`. False when others
    /// can, too.
    pub fn names(&self, places: &Places, names: &mut Vec<Box<OsStr>>) -> bool {
        for (parts, places) in self.alternatives.iter().zip(&places.0) {
            for (part, taken) in parts.iter().zip(places) {
                match part {
                    _ if *taken == NOWHERE => {}
                    Part::Literal(name) => names.push(OsStr::from_bytes(name).into()),
                    Part::Directories | Part::Name(_) => return false,
                }
            }
        }
        true
    }

    fn last_parts<'p>(&'p self, places: &'p Places) -> impl Iterator<Item = &'p Part> {
        self.alternatives
            .iter()
            .zip(&places.0)
            .filter(|(_, places)| places.last().is_some_and(|taken| *taken != NOWHERE))
            .filter_map(|(parts, _)| parts.last())
    }

    fn places(&self, dir: &Path) -> Option<Places> {
        let names = dir.as_os_str().as_bytes().strip_prefix(b"/")?.split(|byte| *byte == b'/');
        let mut places = self.start();
        for name in names.filter(|name| !name.is_empty()) {
            places = self.enter(&places, OsStr::from_bytes(name), usize::MAX)?;
        }
        Some(places)
    }
}

/// A path may stand at part `at`; `**` may take nothing, so it may stand behind it, too. Whether any part is left.
fn reach(parts: &[Part], places: &mut [u16], mut at: usize, taken: u16) -> bool {
    let is_left = at < parts.len();
    while let Some(place) = places.get_mut(at) {
        *place = taken.min(*place);
        if parts.get(at) != Some(&Part::Directories) {
            break;
        }
        at += 1;
    }
    is_left
}

fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.')
}

impl Part {
    fn takes(&self, name: &[u8]) -> bool {
        match self {
            Part::Directories => false,
            Part::Literal(literal) => literal == name,
            Part::Name(tokens) => {
                let says_dot = tokens.first() == Some(&Token::Char('.'));
                (says_dot || !is_hidden(name)) && take(tokens, name)
            }
        }
    }

    fn ends_with(&self, ending: &str) -> bool {
        match self {
            Part::Directories => false,
            Part::Literal(literal) => literal.ends_with(ending.as_bytes()),
            Part::Name(tokens) => {
                let ending: Vec<Token> = ending.chars().map(Token::Char).collect();
                tokens.ends_with(&ending)
            }
        }
    }
}

/// Whether tokens take a whole name. Only the last `*` is ever given more: what came before it is met as early as can be.
fn take(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let rest = name.get(at..).unwrap_or_default();
        match tokens.get(token) {
            Some(Token::Any) => {
                token += 1;
                if token == tokens.len() {
                    return true;
                }
                star = Some((token, at));
                continue;
            }
            None if rest.is_empty() => return true,
            Some(one) => {
                if let Some(len) = one.takes(rest) {
                    token += 1;
                    at += len;
                    continue;
                }
            }
            None => {}
        }
        let Some((behind, from)) = &mut star else { return false };
        let Some((_, len)) = first_char(name.get(*from..).unwrap_or_default()) else { return false };
        *from += len;
        (token, at) = (*behind, *from);
    }
}

impl Token {
    /// Bytes that it takes of the beginning.
    fn takes(&self, name: &[u8]) -> Option<usize> {
        let (first, len) = first_char(name)?;
        let takes = match self {
            Token::Char(char) => first == Some(*char),
            Token::One | Token::Any => true,
            Token::Class { negated, ranges } => {
                let is_in = |char| ranges.iter().any(|(from, to)| (*from..=*to).contains(&char));
                first.is_some_and(is_in) != *negated
            }
        };
        takes.then_some(len)
    }
}

/// The first character and its bytes; a byte that is none stands for itself.
fn first_char(name: &[u8]) -> Option<(Option<char>, usize)> {
    let first = *name.first()?;
    if first.is_ascii() {
        return Some((Some(char::from(first)), 1));
    }
    let chunk = name.get(..name.len().min(4)).unwrap_or_default().utf8_chunks().next()?;
    Some(chunk.valid().chars().next().map_or((None, 1), |char| (Some(char), char.len_utf8())))
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

fn root_of(alternatives: &[Vec<Part>]) -> PathBuf {
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

/// By text alone.
impl PartialEq for PathPattern {
    fn eq(&self, other: &PathPattern) -> bool {
        self.text == other.text
    }
}

impl Eq for PathPattern {}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PathPattern").field(&self.text).finish()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
