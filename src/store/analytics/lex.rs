//! Cuts a statement into tokens, each with the byte where it starts.
//!
//! ```text
//! name    letter or _ or beyond ASCII, then also digits          "any text" ("" is a quote)
//! text    'any text' ('' is a quote)                             number   12  1.5  .5  1e-3
//! comment -- to the end of the line      /* ... */
//! ```

use super::error::{Fault, fault};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword; `quoted` is never a keyword.
    Name {
        text: String,
        quoted: bool,
    },
    Number(String),
    Text(String),
    Symbol(&'static str),
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lexeme {
    pub(super) at: usize,
    pub(super) token: Token,
}

/// Longer symbols first.
const SYMBOLS: [&str; 21] = [
    "<>", "!=", "<=", ">=", "||", "->", "(", ")", ",", ".", "+", "-", "*", "/", "%", "=", "<", ">", "[", "]",
    ";",
];

/// The tokens, with [`Token::End`] as the last one.
pub(super) fn lex(sql: &str) -> Result<Vec<Lexeme>, Fault> {
    if let Some(at) = sql.find('\0') {
        return Err(fault(at, "a zero byte has no place in a statement"));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(len) = blank(rest, at)? {
            at += len;
            continue;
        }
        let (token, len) = token(rest, at)?;
        tokens.push(Lexeme { at, token });
        at += len;
    }
    tokens.push(Lexeme { at: sql.len(), token: Token::End });
    Ok(tokens)
}

/// Length of white space or a comment at the start.
fn blank(rest: &str, at: usize) -> Result<Option<usize>, Fault> {
    if let Some(comment) = rest.strip_prefix("/*") {
        let end = comment.find("*/").ok_or_else(|| fault(at, "this comment has no end"))?;
        return Ok(Some(end + 4));
    }
    if rest.starts_with("--") {
        return Ok(Some(rest.find('\n').unwrap_or(rest.len())));
    }
    let len = rest.len() - rest.trim_start().len();
    Ok((len > 0).then_some(len))
}

fn token(rest: &str, at: usize) -> Result<(Token, usize), Fault> {
    let first = rest.chars().next().unwrap_or(' ');
    if first == '\'' {
        let (text, len) = enclosed(rest, '\'').ok_or_else(|| fault(at, "this text has no closing '"))?;
        return Ok((Token::Text(text), len));
    }
    if first == '"' {
        let (text, len) = enclosed(rest, '"').ok_or_else(|| fault(at, "this name has no closing \""))?;
        if text.is_empty() {
            return Err(fault(at, "a name cannot be empty; texts stand in single quotes: ''"));
        }
        return Ok((Token::Name { text, quoted: true }, len));
    }
    let second_is_digit = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if first.is_ascii_digit() || (first == '.' && second_is_digit) {
        let len = number_len(rest.as_bytes());
        let next = rest.get(len..).and_then(|rest| rest.chars().next());
        if next.is_some_and(is_name) {
            return Err(fault(at, "a name cannot start with a digit unless it stands in double quotes"));
        }
        return Ok((Token::Number(rest.get(..len).unwrap_or("0").to_owned()), len));
    }
    if is_name(first) {
        let len = rest.find(|character| !is_name(character)).unwrap_or(rest.len());
        let text = rest.get(..len).unwrap_or("").to_owned();
        return Ok((Token::Name { text, quoted: false }, len));
    }
    match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
        Some(symbol) => Ok((Token::Symbol(symbol), symbol.len())),
        None => {
            let hint = if first == '@' || first == '`' { "; names stand in double quotes" } else { "" };
            Err(fault(at, format!("{first:?} has no place in a statement{hint}")))
        }
    }
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || character == '_'
        || (!character.is_ascii() && !character.is_whitespace() && !character.is_control())
}

/// Text between quotes that are doubled inside, and its length with them.
fn enclosed(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != quote {
            text.push(character);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Some((text, at + 1));
        }
    }
    None
}

fn number_len(bytes: &[u8]) -> usize {
    let digits = |from: usize| {
        bytes.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut len = digits(0);
    if bytes.get(len) == Some(&b'.') {
        len += 1 + digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<String> {
        let show = |lexeme: &Lexeme| match &lexeme.token {
            Token::Name { text, quoted: true } => format!("\"{text}\""),
            Token::Name { text, .. } | Token::Number(text) => text.clone(),
            Token::Text(text) => format!("'{text}'"),
            Token::Symbol(symbol) => (*symbol).to_owned(),
            Token::End => "end".to_owned(),
        };
        lex(sql).unwrap().iter().map(show).collect()
    }

    #[test]
    fn a_statement_becomes_tokens() {
        assert_eq!(
            texts("select \"a\"\"b\", 'it''s' -- why\n<=1.5e3/*x*/||状态 .5"),
            ["select", "\"a\"b\"", ",", "'it's'", "<=", "1.5e3", "||", "状态", ".5", "end"]
        );
    }

    #[test]
    fn what_has_no_end_or_no_place_is_refused_where_it_starts() {
        for (sql, at) in [("a 'b", 2), ("a \"b", 2), ("/* b", 0), ("a ? b", 2), ("1abc", 0), ("\"\"", 0)] {
            assert_eq!(lex(sql).unwrap_err().at, at, "{sql}");
        }
    }
}
