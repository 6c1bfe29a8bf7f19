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

mod syntax;

/// Bytes of a pattern; a path has no more names than half of them.
const MOST_BYTES: usize = 1_024;
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
        let alternatives = syntax::read(text)?;
        let root = syntax::root_of(&alternatives);
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
