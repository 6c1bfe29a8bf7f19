//! `LogFormat` of Apache (mod_log_config, mod_logio).
//!
//! A text that begins with `LogFormat`, or that is one string in double quotes with at most a name behind it, is taken for
//! what stands in httpd.conf; the name is left out. All else is the format itself. In both `\"` is a quote, and `\t` and
//! `\n` are control characters, as Apache has them.
//!
//! ```text
//! %h remote_addr           %a client_addr       %A local_addr    %l remote_ident     %u remote_user
//! %t [time_local]          %r request_method, request_uri, request_protocol          %>s %s status
//! %b response_size_bytes   %B response_bytes    %D request_time_msec                 %T request_time_sec
//! %f filename  %H request_protocol_supple  %m request_method_supple  %U request_uri_supple  %q request_query
//! %p remote_port  %P child_process  %v server_name  %V server_name_canonical  %I bytes_received  %O bytes_sent
//! %{Referer}i http_referer  %{Name}o sent_http_name  %{Name}C cookie_name  %{Name}e env_name  %{Name}n note_name
//! ```
//!
//! `%>s` and `%s` are one name, and so are `<` and `>` elsewhere: a line has one of them. Conditions
//! as in `%!200{Referer}i` are read over.

use super::{Escape, Parts, ValueShape};

pub(super) const NAMES: &str = "one of common, combined, vhost_common, vhost_combined";

const COMMON: &str = r#"%h %l %u %t "%r" %>s %b"#;
const AGENT: &str = r#" "%{Referer}i" "%{User-Agent}i""#;
/// In Debian's configuration.
const HOST: &str = "%v:%p ";

/// Of Apache's own date: `[22/Nov/2026:23:03:07 +0000]`.
const TIME_BLANKS: usize = 1;

pub(super) fn read(typed: &str, mut parts: Parts) -> Result<(Parts, Escape), String> {
    let format = match typed {
        "common" => COMMON.to_owned(),
        "combined" => [COMMON, AGENT].concat(),
        "vhost_common" => [HOST, COMMON].concat(),
        // Debian's counts the bytes of the whole answer.
        "vhost_combined" => [HOST, &COMMON.replace("%b", "%O"), AGENT].concat(),
        _ => unquoted(typed)?,
    };
    let mut rest = format.as_str();
    while let Some((literal, behind)) = rest.split_once('%') {
        parts.literal(literal);
        rest = match behind.strip_prefix('%') {
            Some(behind) => {
                parts.literal("%");
                behind
            }
            None => directive(behind, &mut parts)?,
        };
    }
    parts.literal(rest);
    Ok((parts, Escape::C))
}

/// The format without what stands around it in httpd.conf, its escapes undone.
fn unquoted(typed: &str) -> Result<String, String> {
    let whole = typed.strip_prefix("LogFormat").filter(|rest| rest.starts_with(char::is_whitespace));
    let text = whole.unwrap_or(typed).trim_start();
    if let Some(inside) = text.strip_prefix('"') {
        let (format, behind) = unescaped(inside, true);
        // A nickname may stand behind it. All else is a bare format that begins with a quote.
        let is_nickname = |rest: &str| {
            rest.is_empty()
                || rest.starts_with(char::is_whitespace)
                    && !rest.contains(['%', '"'])
                    && rest.split_whitespace().count() <= 1
        };
        if behind.is_some_and(is_nickname) {
            return Ok(format);
        }
        if whole.is_some() {
            return Err("has a string without its closing \"".to_owned());
        }
    }
    Ok(unescaped(text, false).0)
}

/// The text, or of a string the text up to its closing quote, and what stands behind that.
fn unescaped(text: &str, string: bool) -> (String, Option<&str>) {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if string => return (out, text.get(at + 1..)),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                Some((_, 't')) => out.push('\t'),
                Some((_, 'n')) => out.push('\n'),
                Some((_, other)) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    (out, None)
}

/// Reads the directive behind a percent sign; gives what follows it.
fn directive<'a>(text: &'a str, parts: &mut Parts) -> Result<&'a str, String> {
    let condition = |c: char| c.is_ascii_digit() || matches!(c, ',' | '!');
    let mut rest = text.trim_start_matches(condition);
    let mut argument = None;
    loop {
        if let Some(behind) = rest.strip_prefix(['<', '>']) {
            rest = behind;
        } else if let Some((inside, behind)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            (argument, rest) = (Some(inside), behind);
        } else {
            break;
        }
    }
    let Some(letter) = rest.chars().next() else {
        return Err("ends inside a directive; `%%` is a percent sign".to_owned());
    };
    rest = &rest[letter.len_utf8()..];
    if letter == '^' {
        // %{Name}^ti and %{Name}^to, the trailers.
        rest = rest.get(2..).unwrap_or_default();
    }
    if let ('t', None) = (letter, argument) {
        parts.literal("[");
        parts.variable("time_local", ValueShape::Blanks(TIME_BLANKS))?;
        parts.literal("]");
        return Ok(rest);
    }
    let (key, shape) = named(letter, argument).ok_or_else(|| {
        format!("has `%{letter}`, which is no directive known here; parse such a line with a regex")
    })?;
    parts.variable(&key, shape)?;
    Ok(rest)
}

fn named(letter: char, argument: Option<&str>) -> Option<(String, ValueShape)> {
    use ValueShape::{Blanks, List, Plain, Request, Size};
    let (key, shape) = match (letter, argument) {
        ('r', _) => ("request", Request),
        ('b', _) => ("response_size_bytes", Size),
        ('t', Some(format)) => {
            let format = format.trim_start_matches("begin:").trim_start_matches("end:");
            ("time_local", Blanks(format.matches(' ').count()))
        }
        ('i', Some(name)) => {
            let key = header("http", name);
            let shape = if key.ends_with("forwarded_for") { List } else { Plain };
            return Some((key, shape));
        }
        ('o', Some(name)) => return Some((header("sent_http", name), Plain)),
        ('^', Some(name)) => return Some((header("trailer", name), Plain)),
        ('C', Some(name)) => return Some((header("cookie", name), Plain)),
        ('e', Some(name)) => return Some((header("env", name), Plain)),
        ('n', Some(name)) => return Some((header("note", name), Plain)),
        ('x', Some(name)) => return Some((header("ssl", name), Plain)),
        ('a', Some("c")) => ("peer_addr", Plain),
        ('p', Some("remote")) => ("client_port", Plain),
        ('p', Some("local")) => ("local_port", Plain),
        ('T', Some("ms")) => ("request_time_milliseconds", Plain),
        ('T', Some("us")) | ('D', _) => ("request_time_msec", Plain),
        ('T', _) => ("request_time_sec", Plain),
        ('P', Some("tid" | "hextid")) => ("child_thread", Plain),
        ('h', _) => ("remote_addr", Plain),
        ('a', _) => ("client_addr", Plain),
        ('A', _) => ("local_addr", Plain),
        ('B', _) => ("response_bytes", Plain),
        ('f', _) => ("filename", Plain),
        ('H', _) => ("request_protocol_supple", Plain),
        ('k', _) => ("keep_alive_requests", Plain),
        ('l', _) => ("remote_ident", Plain),
        ('L', _) => ("request_log_id", Plain),
        ('m', _) => ("request_method_supple", Plain),
        ('p', _) => ("remote_port", Plain),
        ('P', _) => ("child_process", Plain),
        ('q', _) => ("request_query", Plain),
        ('R', _) => ("handler", Plain),
        ('s', _) => ("status", Plain),
        ('S', _) => ("bytes_transferred", Plain),
        ('u', _) => ("remote_user", Plain),
        ('U', _) => ("request_uri_supple", Plain),
        ('v', _) => ("server_name", Plain),
        ('V', _) => ("server_name_canonical", Plain),
        ('X', _) => ("connection_status", Plain),
        ('I', _) => ("bytes_received", Plain),
        ('O', _) => ("bytes_sent", Plain),
        _ => return None,
    };
    Some((key.to_owned(), shape))
}

/// The field of a header or the like, as Nginx would call it.
fn header(kind: &str, name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    format!("{kind}_{name}")
}
