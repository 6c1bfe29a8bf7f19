//! Lines of access logs: the processors `parse: nginx` and `parse: apache`. A scanner, since the format says what stands
//! between the values, and a search for that is several times faster than a regular expression.
//!
//! ```text
//! $remote_addr - $remote_user [$time_local] "$request" $status ...
//! 172.17.0.1 - - [23/Nov/2026:10:24:51 +0000] "GET /a?b HTTP/1.1" 200 ...
//! ^value    ^ "from here to the first ` - `", "to the first ` [`", "to the first `] \"`", ...
//! ```
//!
//! A value ends where what follows it in the format is first found; when a split is possible at all, this finds one. The
//! last value goes to the end, so with nothing escaped (`escape=none`) it may hold whatever ends it. Known values keep
//! their own blanks: a date, a list (`10.0.0.1:80, 10.0.0.2:80`), a request that stands without quotes.
//!
//! Where a quote ends a value and the server escapes quotes, the first bare quote ends it and has to be the right one: a
//! line of another format is refused, not misread. Escapes are undone; a value without any is a span of the text.
//!
//! `request` becomes `request_method`, `request_uri` and `request_protocol`, which is empty for HTTP/0.9. What is no request,
//! as the bytes of a TLS client at a plain port, stays one field, `request`.

use std::ops::Range;

use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr_iter, memrchr};

use super::escapes;
use super::splice::{Names, Splice};
use crate::config::plan::{Escape, LogFormat, LogPart, ValueShape};
use crate::record::{Batch, Span};

/// A longer literal is found with a search that is linear whatever stands there.
const SHORT: usize = 4;
/// Before the version of a request.
const HTTP: &[u8] = b" HTTP/";

pub(super) struct Parser {
    /// What stands before the first value.
    head: Vec<u8>,
    variables: Vec<Variable>,
    names: Names,
    escape: Escape,
}

struct Variable {
    /// Index into the names; a request has three more behind it.
    name: usize,
    shape: ValueShape,
    /// What stands behind it, up to the next value or the end.
    behind: Finder<'static>,
    /// Only a quote that is not escaped ends it.
    quoted: bool,
}

impl Parser {
    pub(super) fn new(prefix: &str, format: &LogFormat) -> Parser {
        let mut head = Vec::new();
        let mut found: Vec<(&str, ValueShape, Vec<u8>)> = Vec::new();
        for part in &format.parts {
            match part {
                LogPart::Literal(text) => {
                    let before = found.last_mut().map_or(&mut head, |(_, _, behind)| behind);
                    before.extend_from_slice(text.as_bytes());
                }
                LogPart::Variable(variable) => found.push((&variable.key, variable.shape, Vec::new())),
            }
        }
        let mut keys: Vec<String> = Vec::new();
        let mut variables = Vec::new();
        for (key, shape, behind) in found {
            let name = keys.len();
            keys.push(key.to_owned());
            if shape == ValueShape::Request {
                keys.extend(["method", "uri", "protocol"].map(|part| format!("{key}_{part}")));
            }
            // What is known of blanks says nothing where something else ends the value.
            let known = matches!(shape, ValueShape::Blanks(_) | ValueShape::List);
            let shape = if known && !behind.starts_with(b" ") { ValueShape::Plain } else { shape };
            let quoted = format.escape != Escape::None && behind.starts_with(b"\"");
            variables.push(Variable { name, shape, behind: Finder::new(&behind).into_owned(), quoted });
        }
        let names = Names::new(prefix, keys.iter().map(String::as_str));
        Parser { head, variables, names, escape: format.escape }
    }

    pub(super) fn parse(&self, batch: &mut Batch, text: Span, splice: &mut Splice<'_>) -> bool {
        let bytes = batch.bytes(text);
        if !bytes.starts_with(&self.head) {
            return false;
        }
        let escape = if memchr(b'\\', bytes).is_some() { self.escape } else { Escape::None };
        let laid = self.names.lay(batch);
        let mut at = self.head.len();
        let last = self.variables.len().saturating_sub(1);
        for (index, variable) in self.variables.iter().enumerate() {
            let Some(rest) = batch.bytes(text).get(at..) else { return false };
            let found = if index == last { variable.ends(rest) } else { variable.find(rest) };
            let Some(len) = found else { return false };
            let value = text.slice(at, len);
            if !self.put(batch, splice, variable, laid, value, escape) {
                return false;
            }
            at += len + variable.behind.needle().len();
        }
        true
    }

    #[inline(always)]
    fn put(
        &self,
        batch: &mut Batch,
        splice: &mut Splice<'_>,
        variable: &Variable,
        laid: Span,
        value: Span,
        escape: Escape,
    ) -> bool {
        let mut add = |batch: &mut Batch, part: usize, value: Span| {
            let value = escapes::undone(batch, value, escape);
            splice.put(batch, self.names.of(laid, variable.name + part), value)
        };
        match variable.shape {
            ValueShape::Request => match request(batch.bytes(value)) {
                Some(Request { method, uri }) => {
                    let protocol = value.len().min(uri.end + 1);
                    add(batch, 1, value.slice(0, method))
                        && add(batch, 2, value.slice(uri.start, uri.end - uri.start))
                        && add(batch, 3, value.slice(protocol, value.len() - protocol))
                }
                None => add(batch, 0, value),
            },
            ValueShape::Size if batch.bytes(value) == b"-" => add(batch, 0, Span::EMPTY),
            _ => add(batch, 0, value),
        }
    }
}

impl Variable {
    /// The length of the value that `text` begins with, when it is not the last one.
    #[inline(always)]
    fn find(&self, text: &[u8]) -> Option<usize> {
        match self.shape {
            _ if self.quoted => bare_quote(text).filter(|&at| self.stands_at(text, at)),
            ValueShape::Blanks(count) => {
                let own = count.checked_sub(1).map(|last| memchr_iter(b' ', text).nth(last));
                self.search(text, own.map_or(Some(0), |own| own.map(|at| at + 1))?)
            }
            ValueShape::List => {
                let mut at = self.search(text, 0)?;
                while self.is_inside_list(text, at) {
                    at = self.search(text, at + 1)?;
                }
                Some(at)
            }
            ValueShape::Request if self.behind.needle().starts_with(b" ") => {
                self.search(text, bare_request(text))
            }
            _ => self.search(text, 0),
        }
    }

    /// The length of the last value: up to what ends the line.
    fn ends(&self, text: &[u8]) -> Option<usize> {
        let len = text.len().checked_sub(self.behind.needle().len())?;
        let right = text.ends_with(self.behind.needle()) && (!self.quoted || bare_quote(text) == Some(len));
        right.then_some(len)
    }

    /// The first place from `from` on where what stands behind the value stands.
    #[inline(always)]
    fn search(&self, text: &[u8], from: usize) -> Option<usize> {
        let needle = self.behind.needle();
        let &first = needle.first()?;
        if needle.len() > SHORT {
            return Some(from + self.behind.find(text.get(from..)?)?);
        }
        let mut at = from;
        loop {
            at += memchr(first, text.get(at..)?)?;
            if self.stands_at(text, at) {
                return Some(at);
            }
            at += 1;
        }
    }

    #[inline(always)]
    fn stands_at(&self, text: &[u8], at: usize) -> bool {
        text.get(at..).is_some_and(|here| here.starts_with(self.behind.needle()))
    }

    /// Whether the blank at `at` stands between two of a list: `a, b` or `a : b`.
    fn is_inside_list(&self, text: &[u8], at: usize) -> bool {
        let before = text.get(..at).unwrap_or_default();
        let behind = text.get(at..).unwrap_or_default();
        let colon = !self.behind.needle().starts_with(b" : ");
        before.ends_with(b",") || colon && (behind.starts_with(b" : ") || before.ends_with(b" :"))
    }
}

/// The first quote without an odd number of backslashes before it.
#[inline(always)]
fn bare_quote(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr(b'"', text.get(from..)?)?;
        let run = text.get(from..at)?;
        if run.last() != Some(&b'\\') {
            return Some(at);
        }
        // Backslashes before `from` stand before another quote.
        if run.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0 {
            return Some(at);
        }
        from = at + 1;
    }
}

struct Request {
    method: usize,
    /// What is left behind it, with a blank between, is the protocol.
    uri: Range<usize>,
}

/// The places of a request line's parts: method, blank, URI, and a blank and `HTTP/..` unless it is of HTTP/0.9. Blanks in
/// the URI are its own.
fn request(line: &[u8]) -> Option<Request> {
    let method = method(line)?;
    let start = method + 1;
    let end = match memrchr(b' ', line.get(start..)?) {
        Some(at) if line.get(start + at..)?.starts_with(HTTP) => start + at,
        _ => line.len(),
    };
    (start < end).then_some(Request { method, uri: start..end })
}

/// The length of the method, which a blank ends.
fn method(line: &[u8]) -> Option<usize> {
    let len = memchr(b' ', line)?;
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_method = line.first()?.is_ascii_alphabetic() && line.get(..len)?.iter().all(is_token);
    is_method.then_some(len)
}

/// Where the end of a request that stands without quotes is to be searched.
fn bare_request(text: &[u8]) -> usize {
    let protocol = method(text).and_then(|_| memmem::find(text, HTTP));
    protocol.map_or(0, |at| at + HTTP.len())
}
