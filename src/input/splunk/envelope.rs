//! One event of a body: the object around it, and what is inside it.
//!
//! ```text
//! {"event":...,"time":"1795388358.064126","host":"vm","source":"src","sourcetype":"st","index":"main","fields":{..}}
//!
//! event of Docker's driver    {"line":"hello","source":"stdout","tag":"d88c56f8195b","attrs":{"team":"core"}}
//! ```
//!
//! Objects follow each other with or without blanks between them. What is JSON and yet more than the reader takes, too
//! deep or with too many members, is stepped over ([`skip_object`]) and kept as text by the caller, since a sender could
//! only send it again.

use crate::record::json::{JsonError, ReadLimits, Value, read_object};
use crate::record::{Batch, Span};

/// An event with what its sender says about it. Spans lie in the batch it was read with.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) event: Option<Value>,
    pub(super) time: Option<Value>,
    pub(super) host: Option<Span>,
    pub(super) source: Option<Span>,
    pub(super) sourcetype: Option<Span>,
    pub(super) index: Option<Span>,
    pub(super) fields: Option<Value>,
    /// Members that the protocol does not know.
    pub(super) others: Vec<(Span, Value)>,
}

impl Envelope {
    /// Reads the object at the beginning of `text`; gives the bytes it took.
    pub(super) fn read(
        &mut self,
        batch: &mut Batch,
        text: Span,
        limits: &ReadLimits,
    ) -> Result<usize, JsonError> {
        let mut others = std::mem::take(&mut self.others);
        others.clear();
        *self = Envelope { others, ..Envelope::default() };
        read_object(batch, text, limits, &mut |batch, key, value| {
            let slot = match batch.bytes(key) {
                b"event" => {
                    self.event = Some(value);
                    return;
                }
                b"time" => {
                    self.time = Some(value);
                    return;
                }
                b"fields" => {
                    self.fields = Some(value);
                    return;
                }
                b"host" => &mut self.host,
                b"source" => &mut self.source,
                b"sourcetype" => &mut self.sourcetype,
                b"index" => &mut self.index,
                _ => {
                    self.others.push((key, value));
                    return;
                }
            };
            *slot = value.text(batch).filter(|text| !text.is_empty());
        })
    }
}

/// Members of an object, in order.
#[derive(Debug, Default)]
pub(super) struct Members(pub(super) Vec<(Span, Value)>);

impl Members {
    /// Reads the object that `text` is; false when it is none.
    pub(super) fn read(&mut self, batch: &mut Batch, text: Span, limits: &ReadLimits) -> bool {
        let Members(members) = self;
        members.clear();
        read_object(batch, text, limits, &mut |_, key, value| members.push((key, value))).is_ok()
    }
}

/// A line as Docker's driver sends it in the formats `inline` and `json`.
#[derive(Clone, Copy, Debug)]
pub(super) struct DockerLine {
    /// Any value in the format `json`.
    pub(super) line: Value,
    pub(super) source: Span,
    pub(super) tag: Option<Span>,
    pub(super) attrs: Option<Span>,
}

impl DockerLine {
    /// Recognised by its members: `line`, `source` which is a stream's name, perhaps `tag` and `attrs`, and no other.
    pub(super) fn of(batch: &Batch, members: &Members) -> Option<DockerLine> {
        let (mut line, mut source, mut tag, mut attrs) = (None, None, None, None);
        for (key, value) in &members.0 {
            match (batch.bytes(*key), *value) {
                (b"line", value) => line = Some(value),
                (b"source", Value::Text(text)) => source = Some(text),
                (b"tag", Value::Text(text)) => tag = Some(text).filter(|text| !text.is_empty()),
                (b"attrs", Value::Nested(object)) => attrs = Some(object),
                (b"attrs", Value::Null) => {}
                _ => return None,
            }
        }
        let source = source.filter(|source| matches!(batch.bytes(*source), b"stdout" | b"stderr"))?;
        Some(DockerLine { line: line?, source, tag, attrs })
    }
}

/// The bytes of the object at the beginning of `text`, whatever its depth; `None` when it does not end.
pub(super) fn skip_object(text: &[u8]) -> Option<usize> {
    let (mut open, mut at) = (0usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'{' | b'[' => open += 1,
            b'}' | b']' => {
                open = open.checked_sub(1)?;
                if open == 0 {
                    return Some(at + 1);
                }
            }
            b'"' => loop {
                at += 1 + memchr::memchr2(b'"', b'\\', text.get(at + 1..)?)?;
                if text.get(at) == Some(&b'"') {
                    break;
                }
                at += 1;
            },
            _ if open == 0 => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn batch(text: &str) -> (Batch, Span) {
        let frame = Bytes::copy_from_slice(text.as_bytes());
        let span = Span::frame(0, frame.len());
        (Batch { frame, ..Batch::default() }, span)
    }

    #[test]
    fn envelopes_follow_each_other_without_a_word() {
        let text = r#"{"event":"a","time":1}{"event":{"x":[1, 2]},"source":"","host":"h","extra":7}"#;
        let (mut batch, span) = batch(text);
        let mut envelope = Envelope::default();
        let limits = ReadLimits::default();
        let taken = envelope.read(&mut batch, span, &limits).unwrap();
        assert_eq!(&text[..taken], r#"{"event":"a","time":1}"#);
        let taken = envelope.read(&mut batch, span.slice(taken, usize::MAX >> 33), &limits).unwrap();
        assert_eq!(taken, text.len() - r#"{"event":"a","time":1}"#.len());
        let Some(Value::Nested(event)) = envelope.event else { panic!("{envelope:?}") };
        assert_eq!(batch.bytes(event), br#"{"x":[1,2]}"#);
        assert_eq!((envelope.time, envelope.source), (None, None));
        assert_eq!((batch.bytes(envelope.host.unwrap()), envelope.others.len()), (&b"h"[..], 1));
    }

    #[test]
    fn docker_s_lines_are_known_by_their_members() {
        let line = |text: &str| {
            let (mut batch, span) = batch(text);
            let mut members = Members::default();
            assert!(members.read(&mut batch, span, &ReadLimits::default()));
            DockerLine::of(&batch, &members).map(|line| (line.tag.is_some(), line.attrs.is_some()))
        };
        assert_eq!(line(r#"{"line":"x","source":"stdout","tag":"t"}"#), Some((true, false)));
        assert_eq!(line(r#"{"line":null,"source":"stderr","attrs":{"a":"b"}}"#), Some((false, true)));
        for other in [
            r#"{"line":"x","source":"file","tag":"t"}"#,
            r#"{"line":"x","tag":"t"}"#,
            r#"{"source":"stdout","tag":"t"}"#,
            r#"{"line":"x","source":"stdout","tag":"t","level":"info"}"#,
            r#"{"line":"x","source":"stdout","tag":7}"#,
            "{}",
        ] {
            assert_eq!(line(other), None, "{other}");
        }
    }

    #[test]
    fn objects_of_any_depth_are_stepped_over() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for (text, len) in [
            (r#"{}{}"#, Some(2)),
            (r#"{"a":"}\"}"}x"#, Some(12)),
            (r#"{"a\\":{"b":["]"]}}"#, Some(19)),
            (&deep, Some(deep.len())),
            (r#"{"a"#, None),
            (r#"{"a\"#, None),
            ("[", None),
            ("]", None),
            ("x{}", None),
            ("", None),
        ] {
            assert_eq!(skip_object(text.as_bytes()), len, "{text:.40}");
        }
    }
}
