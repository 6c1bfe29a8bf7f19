//! RFC 3164, which describes what was seen, and what has been seen since.
//!
//! ```text
//! Nov 22 22:53:00 TAG[7025]: text                     programs on this host (syslog(3), Docker, busybox): no host name
//! Nov 22 22:53:00 host my tag[7025]: text             Docker: a tag may have blanks and colons
//! 2026-11-22T22:53:00.123456+08:00 host tag: text     rsyslog, ESXi
//! 237: host: *Nov 22 22:53:00.123 UTC: %SYS-5-X: t    Cisco IOS: message number, perhaps name, `*` for a clock not set
//! Nov 22 2026 22:53:00 asa01 : %ASA-6-302013: t       Cisco ASA; its newer ones and NX-OS begin with a colon
//! text                                                no time: all of it is text
//! ```
//!
//! What tells host from tag: a word that ends in `:` or in a number in brackets is a tag, and only what stands before
//! one is a host. Where there is no tag, the first word is the host if it could be one, as the RFC has it. A tag with
//! blanks is taken only with a process number in brackets behind it; with no host before it, its first word is taken for
//! the host, which who knows the tags can put right.

use std::net::Ipv6Addr;

use memchr::{memchr, memmem, memrchr};

use super::header::{Parsed, Part};
use super::stamp::{self, Stamp};

/// Longer words are no host and no tag.
const WORD_BYTES: usize = 1024;
/// Characters of a tag with blanks in it.
const BLANK_TAG_BYTES: usize = 256;

/// Reads the header that begins at `from`, as far as there is one.
pub(super) fn parse(text: &[u8], from: usize, parsed: &mut Parsed) {
    let Some(found) = find_time(text, from) else { return };
    parsed.stamp = Some(found.stamp);
    parsed.timestamp = found.timestamp;
    parsed.sequence = found.sequence;
    parsed.hostname = found.hostname;
    let may_have_host = !found.has_colon && found.hostname.is_empty();
    said(text, found.behind, may_have_host, parsed);
}

struct Time {
    stamp: Stamp,
    timestamp: Part,
    sequence: Part,
    hostname: Part,
    behind: usize,
    /// A colon ends it, and no host name follows: Cisco.
    has_colon: bool,
}

/// The time and what Cisco puts before it.
fn find_time(text: &[u8], from: usize) -> Option<Time> {
    let mut at = blanks(text, from);
    let (mut sequence, mut hostname) = (Part::default(), Part::default());
    // Two numbers, a name and a lone colon are all that was seen.
    for _ in 0..5 {
        let star = usize::from(matches!(text.get(at), Some(b'*' | b'.')));
        if let Some((stamp, len)) = stamp::read(&text[at + star..]) {
            let timestamp = Part { from: at + star, to: at + star + len };
            let has_colon = match text.get(timestamp.to) {
                None | Some(b' ') => false,
                Some(b':') => true,
                Some(_) => return None,
            };
            let behind = blanks(text, timestamp.to + usize::from(has_colon));
            return Some(Time { stamp, timestamp, sequence, hostname, behind, has_colon });
        }
        if text.get(at) == Some(&b':') {
            at = blanks(text, at + 1);
            continue;
        }
        let word = word(text, at);
        let name = Part { from: at, to: word.to.checked_sub(1).filter(|to| text.get(*to) == Some(&b':'))? };
        if name.of(text).iter().all(u8::is_ascii_digit) {
            sequence = name;
        } else if hostname.is_empty() && is_host(name.of(text)) {
            hostname = name;
        } else {
            return None;
        }
        at = blanks(text, word.to);
    }
    None
}

/// Host, tag and text.
fn said(text: &[u8], at: usize, may_have_host: bool, parsed: &mut Parsed) {
    if let Some(tag) = tag(text, at) {
        return tag.put(text, parsed);
    }
    let first = word(text, at);
    let next = blanks(text, first.to);
    let mut from = at;
    if may_have_host && !first.is_empty() {
        let alone = text[next..].starts_with(b":") && word(text, next).to == next + 1;
        let second = if alone { blanks(text, next + 1) } else { next };
        if let Some(tag) = tag(text, second).or_else(|| tag_with_blanks(text, second)) {
            parsed.hostname = unless_nil(text, first);
            return tag.put(text, parsed);
        }
        if let Some(tag) = glued_tag(text, first) {
            return tag.put(text, parsed);
        }
        if is_host(first.of(text)) && next > first.to {
            parsed.hostname = first;
            from = first.to + 1;
        }
    }
    parsed.message = Part { from, to: text.len() };
}

struct Tag {
    name: Part,
    process: Part,
    /// Behind its colon.
    end: usize,
}

impl Tag {
    fn put(self, text: &[u8], parsed: &mut Parsed) {
        parsed.appname = self.name;
        parsed.procid = self.process;
        // One blank belongs to the header; more of them are text.
        let blank = usize::from(text.get(self.end) == Some(&b' '));
        parsed.message = Part { from: self.end + blank, to: text.len() };
    }
}

/// The word at `at`, if it is a tag: `name:`, `name[process]:`, `name[12]`, `name[12]:text`.
fn tag(text: &[u8], at: usize) -> Option<Tag> {
    let word = word(text, at);
    let bytes = word.of(text);
    let split = |len: usize| -> Option<Tag> {
        let inner = bytes[..len].strip_suffix(b"]")?;
        let open = memrchr(b'[', inner).filter(|open| *open > 0)?;
        let process = Part { from: at + open + 1, to: at + len - 1 };
        let is_number = process.of(text).iter().all(u8::is_ascii_digit);
        // Docker's tags may be anything; with a process number behind them there is no doubt.
        (!process.is_empty() && (is_number || is_name(&bytes[..open]))).then_some(Tag {
            name: Part { from: at, to: at + open },
            process,
            end: at + len,
        })
    };
    if let Some(name) = bytes.strip_suffix(b":") {
        let len = name.len();
        if let Some(tag) = split(len) {
            return Some(Tag { end: tag.end + 1, ..tag });
        }
        let process = Part::default();
        return is_name(name).then_some(Tag { name: Part { from: at, to: at + len }, process, end: word.to });
    }
    let is_numbered =
        |tag: &Tag| tag.process.of(text).iter().all(u8::is_ascii_digit) && is_name(tag.name.of(text));
    if bytes.ends_with(b"]") {
        return split(bytes.len()).filter(is_numbered);
    }
    let close = memmem::find(bytes, b"]:")?;
    split(close + 1).filter(is_numbered).map(|tag| Tag { end: tag.end + 1, ..tag })
}

/// `my tag[7025]: text`.
fn tag_with_blanks(text: &[u8], at: usize) -> Option<Tag> {
    let window = &text[at..text.len().min(at + BLANK_TAG_BYTES)];
    let close = memmem::find(window, b"]: ").or_else(|| window.ends_with(b"]:").then(|| window.len() - 2))?;
    let open = memrchr(b'[', &window[..close]).filter(|open| *open > 0)?;
    let process = Part { from: at + open + 1, to: at + close };
    let is_sound = !process.is_empty()
        && process.of(text).iter().all(u8::is_ascii_digit)
        && memmem::find(&window[..open], b": ").is_none();
    is_sound.then_some(Tag { name: Part { from: at, to: at + open }, process, end: at + close + 2 })
}

/// `root:text`, which RFC 3164 allows; not the colons of an address.
fn glued_tag(text: &[u8], word: Part) -> Option<Tag> {
    let bytes = word.of(text);
    let len = memchr(b':', bytes)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let is_address = || std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    let is_tag =
        len > 0 && bytes[..len].iter().all(is_plain) && bytes[0].is_ascii_alphabetic() && !is_address();
    let name = Part { from: word.from, to: word.from + len };
    is_tag.then_some(Tag { name, process: Part::default(), end: name.to + 1 })
}

/// What a program may be called; JSON, `key=value` and quoted text may not.
fn is_name(bytes: &[u8]) -> bool {
    let starts =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'(' | b'/' | b'_' | b'-' | b'.');
    let has_text = bytes.iter().any(|byte| byte.is_ascii_alphanumeric());
    bytes.first().is_some_and(|first| starts(first) || *first >= 0x80)
        && (has_text || bytes[0] >= 0x80)
        && !bytes.iter().any(|byte| matches!(byte, b'{' | b'}' | b'"' | b'\'' | b'=' | b',' | b'<' | b'>'))
}

fn is_host(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_alphanumeric)
        && (bytes[0].is_ascii_alphanumeric() || bytes[0] == b':')
        && bytes.len() <= 255
        && bytes.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'@' | b'/' | b'%')
        })
}

fn unless_nil(text: &[u8], part: Part) -> Part {
    if part.of(text) == b"-" { Part::default() } else { part }
}

/// What stands up to the next blank; nothing when that is too long for a word.
fn word(text: &[u8], from: usize) -> Part {
    let window = &text[from..text.len().min(from + WORD_BYTES)];
    match memchr(b' ', window) {
        Some(len) => Part { from, to: from + len },
        None if window.len() < WORD_BYTES => Part { from, to: text.len() },
        None => Part { from, to: from },
    }
}

/// The place behind the blanks at `at`.
fn blanks(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|byte| **byte == b' ').count()
}
