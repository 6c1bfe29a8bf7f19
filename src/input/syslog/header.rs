//! One message taken apart: priority, time, and who says what. Nothing is copied; parts are places in the message.
//!
//! ```text
//! [BOM] <PRI> "1 " TIMESTAMP HOSTNAME APP-NAME PROCID MSGID SD [MSG]      RFC 5424
//! [BOM] <PRI> Mmm dd hh:mm:ss [HOSTNAME] TAG[PID]: text                   RFC 3164 and what is like it
//! [BOM]       any of these, or text                                       no priority
//! ```
//!
//! Refuses nothing: what cannot be told apart is text. Reasons why a message was not what a standard says are counted,
//! never a cause to lose it.

use super::stamp::Stamp;
use super::{rfc3164, rfc5424};

pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";
/// RFC 3164, section 4.3.3: facility user, severity notice.
const DEFAULT_PRIORITY: u8 = 13;
const LAST_PRIORITY: u16 = 191;

/// A place in a message; an empty one stands for what is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub from: usize,
    pub to: usize,
}

impl Part {
    pub fn is_empty(self) -> bool {
        self.from >= self.to
    }

    pub fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.from..self.to).unwrap_or_default()
    }
}

/// Facility times eight and severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority(u8);

impl Priority {
    pub fn facility(self) -> usize {
        usize::from(self.0 >> 3)
    }

    pub fn severity(self) -> usize {
        usize::from(self.0 & 7)
    }
}

/// In which way a message was not what the standards say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It begins with `<`, but with no number up to 191 and `>` behind that; all of it is text.
    Priority,
    /// It begins with neither.
    NoPriority,
    /// RFC 5424's header ends too early.
    Header,
    /// RFC 5424's structured data does not end, or is absent.
    StructuredData,
}

impl Malformed {
    pub const ALL: [(Malformed, &'static str); 4] = [
        (Malformed::Priority, "priority"),
        (Malformed::NoPriority, "no_priority"),
        (Malformed::Header, "header"),
        (Malformed::StructuredData, "structured_data"),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub priority: Priority,
    pub stamp: Option<Stamp>,
    /// The time as it stood.
    pub timestamp: Part,
    pub hostname: Part,
    /// APP-NAME, or RFC 3164's tag without the process in brackets.
    pub appname: Part,
    pub procid: Part,
    pub msgid: Part,
    /// The number Cisco's devices put before the time.
    pub sequence: Part,
    /// Elements of structured data, without the blank behind them.
    pub structured: Part,
    pub message: Part,
    pub malformed: Option<Malformed>,
}

/// Takes a message apart, which comes without what its framing added.
pub fn parse(text: &[u8]) -> Parsed {
    let start = if text.starts_with(BOM) { BOM.len() } else { 0 };
    let mut parsed = Parsed {
        priority: Priority(DEFAULT_PRIORITY),
        stamp: None,
        timestamp: Part::default(),
        hostname: Part::default(),
        appname: Part::default(),
        procid: Part::default(),
        msgid: Part::default(),
        sequence: Part::default(),
        structured: Part::default(),
        message: Part { from: start, to: text.len() },
        malformed: None,
    };
    let body = match (text.get(start), priority(&text[start..])) {
        (_, Some((priority, len))) => {
            parsed.priority = priority;
            start + len
        }
        (Some(b'<'), None) => {
            parsed.malformed = Some(Malformed::Priority);
            return parsed;
        }
        (_, None) => {
            parsed.malformed = Some(Malformed::NoPriority);
            start
        }
    };
    parsed.message.from = body;
    if !rfc5424::parse(text, body, &mut parsed) {
        rfc3164::parse(text, body, &mut parsed);
    }
    parsed
}

/// `<0>` to `<191>`, and its length.
fn priority(text: &[u8]) -> Option<(Priority, usize)> {
    let digits = text.strip_prefix(b"<")?;
    let count = digits.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=3).contains(&count) || digits.get(count) != Some(&b'>') {
        return None;
    }
    let number = digits[..count].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    (number <= LAST_PRIORITY).then_some((Priority(number as u8), count + 2))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a message's header says, as `facility.severity host=... app=... | text`.
    pub(in super::super) fn shown(text: &[u8]) -> String {
        let parsed = parse(text);
        let mut out = format!("{}.{}", parsed.priority.facility(), parsed.priority.severity());
        for (name, part) in [
            ("time", parsed.timestamp),
            ("seq", parsed.sequence),
            ("host", parsed.hostname),
            ("app", parsed.appname),
            ("pid", parsed.procid),
            ("id", parsed.msgid),
            ("sd", parsed.structured),
        ] {
            if !part.is_empty() {
                out.push_str(&format!(" {name}={}", part.of(text).escape_ascii()));
            }
        }
        if let Some(malformed) = parsed.malformed {
            out.push_str(&format!(" {malformed:?}"));
        }
        out.push_str(&format!(" | {}", parsed.message.of(text).escape_ascii()));
        out
    }

    #[test]
    fn priorities_are_read_and_doubted() {
        for (text, expected) in [
            ("<0>x", "0.0 | x"),
            ("<191>x", "23.7 | x"),
            ("<013>x", "1.5 | x"),
            ("<192>x", "1.5 Priority | <192>x"),
            ("<>x", "1.5 Priority | <>x"),
            ("<1234>x", "1.5 Priority | <1234>x"),
            ("<html>", "1.5 Priority | <html>"),
            ("<12", "1.5 Priority | <12"),
            ("plain text", "1.5 NoPriority | plain text"),
            ("", "1.5 NoPriority | "),
            ("\u{feff}<30>x", "3.6 | x"),
            ("\u{feff}x", "1.5 NoPriority | x"),
        ] {
            assert_eq!(shown(text.as_bytes()), expected);
        }
    }

    proptest! {
        /// Parts lie in the message whatever it is; those of a header in order and none in another.
        #[test]
        fn parts_are_sound(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "<30>", "1 ", "Nov 22 22:53:00", "2026-11-22T22:53:00Z", " ", "host", "tag[12]:", ":", "[", "]",
                "- ", "[a x=\"1\"]", "7025", "\u{feff}", "*", "my tag", "%ASA-6-1:", "\\\"", "12: ", "\n",
            ]), 0..16),
            noise: Vec<u8>,
        ) {
            for text in [pieces.concat().into_bytes(), noise] {
                let parsed = parse(&text);
                let parts = [
                    parsed.timestamp, parsed.hostname, parsed.appname, parsed.procid, parsed.msgid, parsed.structured,
                    parsed.message, parsed.sequence,
                ];
                for part in parts {
                    prop_assert!(part.is_empty() || part.to <= text.len());
                }
                let mut end = 0;
                for part in parts[..7].iter().filter(|part| !part.is_empty()) {
                    // Cisco's devices put their name before the time.
                    prop_assert!(part.from >= end || *part == parsed.hostname || *part == parsed.timestamp);
                    end = end.max(part.to);
                }
            }
        }
    }
}
