//! `${...}` in configuration text: cut into pieces, and those filled in that are known at start-up.
//!
//! ```text
//! ${env:NAME}   the environment variable NAME          ${tag} ${tag[1]} ${record.key}   known per record: see template
//! ${file:/path} a file's text, without its last newline   $${   the two characters ${
//! ```
//!
//! What a variable or file holds is never read for placeholders again, so a password may contain `${`.

use std::collections::BTreeMap;
use std::io::Read;

/// A secret or a name; whatever is larger is not what was meant.
const FILE_BYTES: u64 = 64 * 1024;

/// One piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    /// What stands between `${` and `}`.
    Placeholder(String),
}

/// Cuts a text into literals and placeholders.
pub(super) fn cut(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        if let Some(after) = from.strip_prefix("$${") {
            literal.push_str("${");
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            let Some((inner, after)) = after.split_once('}') else {
                return Err("has a ${ without its }; write $${ for the two characters".to_owned());
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Placeholder(inner.to_owned()));
            rest = after;
        } else {
            literal.push('$');
            rest = &from[1..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// Replaces `${env:...}` and `${file:...}` by what they hold; other placeholders stay. All faults are returned.
pub(super) fn fill(pieces: Vec<Piece>, env: &BTreeMap<String, String>) -> Result<Vec<Piece>, Vec<String>> {
    let mut faults = Vec::new();
    let mut filled = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let Piece::Placeholder(inner) = &piece else {
            filled.push(piece);
            continue;
        };
        let value = if let Some(name) = inner.strip_prefix("env:") {
            env.get(name).cloned().ok_or_else(|| format!("the environment variable {name} is not set"))
        } else if let Some(path) = inner.strip_prefix("file:") {
            read(path)
        } else {
            filled.push(piece);
            continue;
        };
        match value {
            Ok(text) => filled.push(Piece::Literal(text)),
            Err(what) => faults.push(what),
        }
    }
    if faults.is_empty() { Ok(filled) } else { Err(faults) }
}

/// Writes a literal so that [`cut`] gives it back.
pub(super) fn escape(literal: &str) -> String {
    literal.replace("${", "$${")
}

fn read(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("the file of ${{file:{path}}} needs an absolute path"));
    }
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(format!("the file {path} cannot be read: {error}")),
        Ok(length) if length as u64 > FILE_BYTES => Err(format!("the file {path} is larger than 64 KiB")),
        Ok(_) => {
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.to_owned())
    }

    fn placeholder(text: &str) -> Piece {
        Piece::Placeholder(text.to_owned())
    }

    #[test]
    fn cutting() {
        assert_eq!(cut("").unwrap(), []);
        assert_eq!(cut("a$b$").unwrap(), [literal("a$b$")]);
        assert_eq!(cut("a${tag}b").unwrap(), [literal("a"), placeholder("tag"), literal("b")]);
        assert_eq!(cut("$${tag}").unwrap(), [literal("${tag}")]);
        assert_eq!(cut("é${x}$é").unwrap(), [literal("é"), placeholder("x"), literal("$é")]);
        assert!(cut("a${b").is_err());
    }

    #[test]
    fn escaping_is_undone_by_cutting() {
        for text in ["${tag}", "$", "a$${b", "${${", "$$${x}"] {
            let pieces = cut(&escape(text)).unwrap();
            assert_eq!(pieces, [literal(text)], "{text}");
        }
    }

    #[test]
    fn filled_in_text_is_not_read_again() {
        let env = BTreeMap::from([("A".to_owned(), "${env:B}".to_owned())]);
        assert_eq!(fill(cut("${env:A}").unwrap(), &env).unwrap(), [literal("${env:B}")]);
        assert_eq!(fill(cut("${env:B}${env:C}").unwrap(), &env).unwrap_err().len(), 2);
    }

    #[test]
    fn files_lose_one_newline_and_have_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let text = format!("${{file:{}}}", path.display());
        assert!(fill(cut(&text).unwrap(), &BTreeMap::new()).is_err());
        std::fs::write(&path, "k\r\n").unwrap();
        assert_eq!(fill(cut(&text).unwrap(), &BTreeMap::new()).unwrap(), [literal("k")]);
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(fill(cut(&text).unwrap(), &BTreeMap::new()).is_err());
        assert!(fill(cut("${file:relative}").unwrap(), &BTreeMap::new()).is_err());
    }
}
