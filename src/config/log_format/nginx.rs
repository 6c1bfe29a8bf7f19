//! `log_format` of Nginx (ngx_http_log_module), read as Nginx reads its configuration.
//!
//! A text that begins with `log_format`, with `escape=`, or with a single quote is taken for what stands in nginx.conf, and
//! so is one that begins with a double quote when it is one string, or ends with a semicolon. There `\"`, `\'` and `\\` are
//! the character, `\t`, `\r` and `\n` are control characters, and strings are put together. All else is the format itself.

use super::{Escape, Parts, ValueShape};

pub(super) const NAMES: &str = "one of combined, main, ingress";

/// Built into Nginx.
const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
/// What nginx.conf of its packages calls `main` puts this behind it.
const MAIN: &str = r#" "$http_x_forwarded_for""#;
/// The default of ingress-nginx puts this behind it.
const INGRESS: &str = concat!(
    " $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr",
    " $upstream_response_length $upstream_response_time $upstream_status $req_id"
);

pub(super) fn read(typed: &str, mut parts: Parts) -> Result<(Parts, Escape), String> {
    let (format, escape) = match typed {
        "combined" => (COMBINED.to_owned(), Escape::Hex),
        "main" => ([COMBINED, MAIN].concat(), Escape::Hex),
        "ingress" => ([COMBINED, INGRESS].concat(), Escape::Hex),
        _ if is_directive(typed) => directive(typed)?,
        _ => (typed.to_owned(), Escape::Hex),
    };
    let mut rest = format.as_str();
    while let Some((literal, behind)) = rest.split_once('$') {
        parts.literal(literal);
        let (name, behind) = variable(behind)?;
        parts.variable(name, shape(name))?;
        rest = behind;
    }
    parts.literal(rest);
    Ok((parts, escape))
}

/// The name behind a dollar sign, and what follows it.
fn variable(text: &str) -> Result<(&str, &str), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let bare = text.strip_prefix('{');
    let inside = bare.unwrap_or(text);
    let (name, rest) = inside.split_at(inside.find(|c| !is_part(c)).unwrap_or(inside.len()));
    let rest = if bare.is_some() { rest.strip_prefix('}') } else { Some(rest) };
    match rest {
        Some(rest) if !name.is_empty() => Ok((name, rest)),
        _ => Err("has a `$` that begins no variable; Nginx knows $name and ${name}".to_owned()),
    }
}

fn shape(name: &str) -> ValueShape {
    match name {
        "request" => ValueShape::Request,
        "time_local" => ValueShape::Blanks(1),
        // %A, %d-%b-%Y %H:%M:%S %Z
        "date_local" | "date_gmt" => ValueShape::Blanks(2),
        _ if name.starts_with("upstream_") || name.ends_with("forwarded_for") => ValueShape::List,
        _ => ValueShape::Plain,
    }
}

fn is_directive(typed: &str) -> bool {
    match typed.as_bytes() {
        [b'\'', ..] => true,
        [b'"', .., b';'] => true,
        [b'"', ..] => tokens(typed).is_ok_and(|tokens| tokens.len() == 1),
        _ => typed.starts_with("escape=") || name_behind(typed).is_some(),
    }
}

/// What stands behind the word `log_format`.
fn name_behind(typed: &str) -> Option<&str> {
    typed.strip_prefix("log_format").filter(|rest| rest.starts_with(char::is_whitespace))
}

/// The format that a directive gives, or its part from the first string on.
fn directive(typed: &str) -> Result<(String, Escape), String> {
    let whole = name_behind(typed);
    let mut tokens = tokens(whole.unwrap_or(typed))?.into_iter().peekable();
    if whole.is_some() {
        tokens.next();
    }
    let escape = match tokens.next_if(|token| token.starts_with("escape=")).as_deref() {
        None | Some("escape=default") => Escape::Hex,
        Some("escape=json") => Escape::Json,
        Some("escape=none") => Escape::None,
        Some(other) => return Err(format!("has `{other}`; Nginx knows escape=default, json and none")),
    };
    Ok((tokens.collect(), escape))
}

/// The words and strings of one directive, without its semicolon.
fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            ';' if rest[1..].trim().is_empty() => return Ok(tokens),
            ';' => return Err("goes on behind a semicolon; one format is enough".to_owned()),
            '#' => {
                rest = rest.split_once('\n').map_or("", |(_, behind)| behind).trim_start();
                continue;
            }
            '\'' | '"' => {
                let (token, behind) = string(&rest[1..], |c| c == first);
                let Some(behind) = behind.strip_prefix(first) else {
                    return Err(format!("has a string without its closing {first}"));
                };
                tokens.push(token);
                behind
            }
            _ => {
                let (token, behind) = string(rest, |c| c.is_whitespace() || c == ';');
                tokens.push(token);
                behind
            }
        };
        rest = end.trim_start();
    }
    Ok(tokens)
}

/// The text up to the character that ends it, with its escapes undone, and what is left, from that character on.
fn string(text: &str, ends: impl Fn(char) -> bool) -> (String, &str) {
    let mut token = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if ends(c) {
            return (token, &text[at..]);
        }
        if c != '\\' {
            token.push(c);
            continue;
        }
        match chars.next() {
            Some((_, c @ ('"' | '\'' | '\\'))) => token.push(c),
            Some((_, 't')) => token.push('\t'),
            Some((_, 'r')) => token.push('\r'),
            Some((_, 'n')) => token.push('\n'),
            Some((_, other)) => token.extend(['\\', other]),
            None => token.push('\\'),
        }
    }
    (token, "")
}
