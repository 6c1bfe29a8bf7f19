//! RFC 5424, as it should be, as Docker writes it, and with its end missing.
//!
//! ```text
//! 1 2026-11-22T22:53:17.784670Z host TAG 7025 TAG - text
//! ```
//!
//! Docker writes a container's tag twice, as APP-NAME and as MSGID, with the blanks it may have; so where the header does
//! not read as the RFC says, the two equal texts around a number are looked for.
//!
//! A header that says version 1 and then no time is none of this RFC's: Meraki's devices write seconds since 1970 there
//! and go on with host and text.

use memchr::memchr;

use super::header::{BOM, Malformed, Parsed, Part};
use super::stamp;
use super::structured;

/// Blanks that Docker's tag may have before we stop looking for its second half.
const BLANKS: usize = 32;

/// Reads the header that begins at `from`. False when there is none of this kind.
pub(super) fn parse(text: &[u8], from: usize, parsed: &mut Parsed) -> bool {
    if !text[from..].starts_with(b"1 ") {
        return false;
    }
    let at = from + 2;
    let behind = if text[at..].starts_with(b"- ") {
        at + 1
    } else if let Some((found, len)) = stamp::rfc3339(&text[at..]) {
        parsed.stamp = Some(found);
        parsed.timestamp = Part { from: at, to: at + len };
        at + len
    } else if let Some((found, len)) = stamp::epoch(&text[at..])
        && text.get(at + len) == Some(&b' ')
    {
        parsed.stamp = Some(found);
        parsed.timestamp = Part { from: at, to: at + len };
        return meraki(text, at + len + 1, parsed);
    } else {
        return false;
    };
    match text.get(behind) {
        None => {
            parsed.message = Part { from: behind, to: behind };
            parsed.malformed = Some(Malformed::Header);
            return true;
        }
        Some(b' ') => {}
        Some(_) => {
            parsed.stamp = None;
            parsed.timestamp = Part::default();
            return false;
        }
    }
    rest(text, behind + 1, parsed);
    true
}

fn meraki(text: &[u8], from: usize, parsed: &mut Parsed) -> bool {
    let (host, behind) = token(text, from);
    parsed.hostname = host;
    parsed.message = Part { from: behind.unwrap_or(text.len()), to: text.len() };
    true
}

/// HOSTNAME and what follows it.
fn rest(text: &[u8], from: usize, parsed: &mut Parsed) {
    let (hostname, behind) = token(text, from);
    parsed.hostname = unless_nil(text, hostname);
    let Some(app_at) = behind else {
        parsed.message = Part { from: text.len(), to: text.len() };
        parsed.malformed = Some(Malformed::Header);
        return;
    };
    let strict = strict(text, app_at);
    // Docker's structured data is always nil. Anything else between unequal names may be a blank in its tag.
    let is_plain = strict.is_some_and(|found| found.structured.is_empty() && found.is_sound);
    if !is_plain && let Some(docker) = docker(text, app_at) {
        docker.put(text, parsed);
        return;
    }
    match strict {
        Some(found) => {
            if !found.is_sound {
                parsed.malformed = Some(Malformed::StructuredData);
            }
            found.put(text, parsed);
        }
        None => {
            parsed.malformed = Some(Malformed::Header);
            parsed.message = Part { from: app_at, to: text.len() };
        }
    }
}

#[derive(Clone, Copy)]
struct Found {
    appname: Part,
    procid: Part,
    msgid: Part,
    structured: Part,
    message: usize,
    /// Structured data or `-` is where it should be.
    is_sound: bool,
}

impl Found {
    fn put(self, text: &[u8], parsed: &mut Parsed) {
        parsed.appname = unless_nil(text, self.appname);
        parsed.procid = unless_nil(text, self.procid);
        parsed.msgid = unless_nil(text, self.msgid);
        parsed.structured = self.structured;
        let bom = if text[self.message..].starts_with(BOM) { BOM.len() } else { 0 };
        parsed.message = Part { from: self.message + bom, to: text.len() };
    }
}

/// APP-NAME to MSG as the RFC says. `None` when the text ends before structured data could begin.
fn strict(text: &[u8], from: usize) -> Option<Found> {
    let (appname, behind) = token(text, from);
    let (procid, behind) = token(text, behind?);
    let (msgid, behind) = token(text, behind?);
    let at = behind?;
    let end = if text.get(at) == Some(&b'-') { Some(at + 1) } else { structured::end_of(text, at) };
    let ends = end.and_then(|end| match text.get(end) {
        None => Some((end, end)),
        Some(b' ') => Some((end, end + 1)),
        Some(_) => None,
    });
    let (structured, message) = match ends {
        Some((end, message)) if text[at] == b'[' => (Part { from: at, to: end }, message),
        Some((_, message)) => (Part::default(), message),
        None => (Part::default(), at),
    };
    Some(Found { appname, procid, msgid, structured, message, is_sound: ends.is_some() })
}

/// `TAG 7025 TAG - text`, where TAG has blanks.
fn docker(text: &[u8], from: usize) -> Option<Found> {
    let mut at = from;
    for _ in 0..BLANKS {
        let blank = at + memchr(b' ', &text[at..])?;
        let (procid, behind) = token(text, blank + 1);
        let tag = &text[from..blank];
        if !procid.is_empty()
            && procid.of(text).iter().all(u8::is_ascii_digit)
            && let Some(msgid) = behind
            && let Some(rest) = text[msgid..].strip_prefix(tag)
            && rest.starts_with(b" -")
            && matches!(rest.get(2), None | Some(b' '))
        {
            let end = msgid + tag.len();
            return Some(Found {
                appname: Part { from, to: blank },
                procid,
                msgid: Part { from: msgid, to: end },
                structured: Part::default(),
                message: (end + 3).min(text.len()),
                is_sound: true,
            });
        }
        at = blank + 1;
    }
    None
}

/// What stands up to the next blank, and the place behind that blank where there is one.
fn token(text: &[u8], from: usize) -> (Part, Option<usize>) {
    match memchr(b' ', &text[from..]) {
        Some(len) => (Part { from, to: from + len }, Some(from + len + 1)),
        None => (Part { from, to: text.len() }, None),
    }
}

fn unless_nil(text: &[u8], part: Part) -> Part {
    if part.of(text) == b"-" { Part::default() } else { part }
}

#[cfg(test)]
mod tests {
    use super::super::header::tests::shown;

    #[test]
    fn the_rfcs_own_examples() {
        for (text, expected) in [
            (
                "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed",
                "4.2 time=2003-10-11T22:14:15.003Z host=mymachine.example.com app=su id=ID47 | \\'su root\\' failed",
            ),
            (
                "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
                "20.5 time=2003-08-24T05:14:15.000003-07:00 host=192.0.2.1 app=myproc pid=8710 | \
                 %% It\\'s time to make the do-nuts.",
            ),
            (
                "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [a@1 b=\"3\"][c@1 d=\"]\"] An application",
                "20.5 time=2003-10-11T22:14:15.003Z host=h app=evntslog id=ID47 \
                 sd=[a@1 b=\\\"3\\\"][c@1 d=\\\"]\\\"] | An application",
            ),
            (
                "<165>1 2003-10-11T22:14:15.003Z h e - ID47 [a@1 b=\"3\"]",
                "20.5 time=2003-10-11T22:14:15.003Z host=h app=e id=ID47 sd=[a@1 b=\\\"3\\\"] | ",
            ),
            ("<13>1 - - - - - -", "1.5 | "),
            ("<13>1 - - - - - - ", "1.5 | "),
            ("<13>1 - - - - - -  two blanks", "1.5 |  two blanks"),
        ] {
            assert_eq!(shown(text.as_bytes()), expected);
        }
    }

    #[test]
    fn dockers_tags_may_have_blanks() {
        let time = "2026-11-22T22:53:11Z";
        for (rest, expected) in [
            ("vm my tag 7025 my tag - text", "host=vm app=my tag pid=7025 id=my tag | text"),
            ("vm a b c 7025 a b c - text - more", "host=vm app=a b c pid=7025 id=a b c | text - more"),
            ("vm my [tag] 7025 my [tag] - text", "host=vm app=my [tag] pid=7025 id=my [tag] | text"),
            ("vm 1 2 7025 1 2 -", "host=vm app=1 2 pid=7025 id=1 2 | "),
            ("vm a/b:c 7025 a/b:c -  x ", "host=vm app=a/b:c pid=7025 id=a/b:c |  x "),
        ] {
            let text = format!("<30>1 {time} {rest}");
            assert_eq!(shown(text.as_bytes()), format!("3.6 time={time} {expected}"));
        }
    }

    #[test]
    fn headers_with_an_end_too_few_are_read_as_far_as_they_go() {
        let time = "2026-11-22T22:53:11Z";
        for (rest, expected) in [
            ("", "Header | "),
            (" ", "Header | "),
            (" host", "host=host Header | "),
            (" host text", "host=host Header | text"),
            (" host app text here", "host=host Header | app text here"),
            (
                " host app 1 id no structured data",
                "host=host app=app pid=1 id=id StructuredData | no structured data",
            ),
            (
                " host app 1 id [a b=\"1\" c",
                "host=host app=app pid=1 id=id StructuredData | [a b=\\\"1\\\" c",
            ),
            (
                " host app 1 id [a b=\"1\"]x",
                "host=host app=app pid=1 id=id StructuredData | [a b=\\\"1\\\"]x",
            ),
        ] {
            let text = format!("<13>1 {time}{rest}");
            assert_eq!(shown(text.as_bytes()), format!("1.5 time={time} {expected}"), "{text}");
        }
        assert_eq!(shown(b"<13>1 hello"), "1.5 | 1 hello");
        assert_eq!(shown(b"<13>1 2026-11-22T22:53:11Zx h"), "1.5 | 1 2026-11-22T22:53:11Zx h");
        assert_eq!(
            shown(b"<134>1 1733266990.123456789 MX84 flows src=10.0.0.2"),
            "16.6 time=1733266990.123456789 host=MX84 | flows src=10.0.0.2"
        );
    }
}
