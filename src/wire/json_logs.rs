//! Logs as JSON: what browsers send to web tracking and some clients to PutLogs, made into a LogGroup.
//!
//! ```text
//! {"__topic__": "web", "__source__": "10.0.0.9", "__tags__": {"env": "dev"},
//!  "__logs__": [{"__time__": 1700000000, "k": "v"}, ...]}
//! ```
//!
//! Values are texts; numbers, booleans and what is nested become text, null an empty one. `__time__`, in seconds, may be
//! a text, too, and may be left out. Unknown names beside `__logs__` are let be. The logs are written while they are read:
//! no tree of the document is built. Refused: what is no such JSON, a time that is none, and more than a LogGroup may
//! hold.

use std::fmt;
use std::io::Write;
use std::ops::Range;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::loggroup::encode::{pair_len, put_log, put_tag, put_trailer};
use crate::base::limits::LOG_GROUP_BYTES;

const TIME: &[u8] = b"__time__";

/// A LogGroup that is being written.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    /// For logs without a time, in seconds since 1970.
    now: u32,
    topic: Vec<u8>,
    source: Vec<u8>,
    tags: Vec<u8>,
    /// Keys and values of the log at hand, and where they lie.
    text: Vec<u8>,
    pairs: Vec<(Range<usize>, Range<usize>)>,
}

/// The LogGroup of a JSON document. `source` is that of a sender who names none.
pub fn group_of(json: &[u8], now: u32, source: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut writer = Writer::new(now, source);
    let mut reader = serde_json::Deserializer::from_slice(json);
    Document(&mut writer).deserialize(&mut reader)?;
    reader.end()?;
    Ok(writer.finish())
}

impl Writer {
    pub fn new(now: u32, source: &str) -> Writer {
        Writer {
            out: Vec::new(),
            now,
            topic: Vec::new(),
            source: source.into(),
            tags: Vec::new(),
            text: Vec::new(),
            pairs: Vec::new(),
        }
    }

    pub fn topic(&mut self, topic: &str) {
        self.topic = topic.into();
    }

    /// An empty one stands for none.
    pub fn source(&mut self, source: &str) {
        if !source.is_empty() {
            self.source = source.into();
        }
    }

    /// Adds a field to the log at hand.
    pub fn field(&mut self, key: &str, value: &str) {
        let key = self.put(key.as_bytes());
        let value = self.put(value.as_bytes());
        self.pairs.push((key, value));
    }

    /// Ends the log at hand; an error when its time is none.
    pub fn end_log(&mut self) -> Result<(), String> {
        let mut seconds = self.now;
        let text = &self.text;
        let part = |range: &Range<usize>| text.get(range.clone()).unwrap_or(b"");
        if let Some((_, value)) = self.pairs.iter().find(|(key, _)| part(key) == TIME) {
            let value = String::from_utf8_lossy(part(value));
            seconds = value
                .trim()
                .parse()
                .map_err(|_| format!("__time__ {:.40} is no time in seconds since 1970", value))?;
        }
        let fields = || {
            let pairs = self.pairs.iter().map(|(key, value)| (part(key), part(value)));
            pairs.filter(|(key, _)| *key != TIME)
        };
        let len = fields().map(|(key, value)| pair_len(key.len(), value.len())).sum();
        put_log(&mut self.out, seconds, 0, len, fields());
        self.text.clear();
        self.pairs.clear();
        match self.out.len() {
            size if size > LOG_GROUP_BYTES => Err(format!("the logs are more than {LOG_GROUP_BYTES} bytes")),
            _ => Ok(()),
        }
    }

    pub fn finish(mut self) -> Vec<u8> {
        put_trailer(&mut self.out, &self.topic, &self.source, &[]);
        self.out.extend_from_slice(&self.tags);
        self.out
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        start..self.text.len()
    }
}

struct Document<'w>(&'w mut Writer);
struct Logs<'w>(&'w mut Writer);
struct OneLog<'w>(&'w mut Writer);
struct Tags<'w>(&'w mut Writer);
/// Any value as text, added to these bytes.
struct Text<'w>(&'w mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object with __logs__")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_logs = false;
        let mut key = Vec::new();
        while map.next_key_seed(Text(&mut key))?.is_some() {
            match key.as_slice() {
                b"__logs__" => {
                    map.next_value_seed(Logs(self.0))?;
                    has_logs = true;
                }
                b"__tags__" => map.next_value_seed(Tags(self.0))?,
                b"__topic__" => {
                    self.0.topic.clear();
                    map.next_value_seed(Text(&mut self.0.topic))?;
                }
                b"__source__" => {
                    let mut source = Vec::new();
                    map.next_value_seed(Text(&mut source))?;
                    if !source.is_empty() {
                        self.0.source = source;
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            key.clear();
        }
        if has_logs { Ok(()) } else { Err(Error::missing_field("__logs__")) }
    }
}

impl<'de> DeserializeSeed<'de> for Logs<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Logs<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an array of logs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut logs: A) -> Result<(), A::Error> {
        while logs.next_element_seed(OneLog(self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for OneLog<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneLog<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a log: an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Writer { text, pairs, .. } = &mut *self.0;
        loop {
            let start = text.len();
            if map.next_key_seed(Text(text))?.is_none() {
                break;
            }
            let middle = text.len();
            map.next_value_seed(Text(text))?;
            pairs.push((start..middle, middle..text.len()));
        }
        self.0.end_log().map_err(Error::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Tags<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tags<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        while map.next_key_seed(Text(&mut key))?.is_some() {
            map.next_value_seed(Text(&mut value))?;
            put_tag(&mut self.0.tags, &key, &value);
            key.clear();
            value.clear();
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    // Text into memory: there is nothing that could fail.
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let _ = write!(self.0, "{value}");
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        let _ = write!(self.0, "{value}");
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let _ = serde_json::to_writer(self.0, &value);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Nested(self.0).visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Nested(self.0).visit_map(map)
    }
}

/// Any value as compact JSON, added to these bytes. How deep it goes is bounded by the parser.
struct Nested<'w>(&'w mut Vec<u8>);

impl Nested<'_> {
    fn write<E: Error>(self, value: &impl serde::Serialize) -> Result<(), E> {
        serde_json::to_writer(self.0, value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.write(&text)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.write(&())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.push(b'[');
        let start = self.0.len();
        loop {
            let end = self.0.len();
            if end > start {
                self.0.push(b',');
            }
            if seq.next_element_seed(Nested(self.0))?.is_none() {
                self.0.truncate(end);
                self.0.push(b']');
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.push(b'{');
        let start = self.0.len();
        loop {
            let end = self.0.len();
            if end > start {
                self.0.push(b',');
            }
            if map.next_key_seed(Nested(self.0))?.is_none() {
                self.0.truncate(end);
                self.0.push(b'}');
                return Ok(());
            }
            self.0.push(b':');
            map.next_value_seed(Nested(self.0))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::loggroup::walk;

    #[test]
    fn a_document_becomes_a_log_group() {
        let json = br#"{"__logs__":[{"a":"1","__time__":"1700000000","b":2.5,"c":true,"d":null,"e":{"x":[1,"\"",{},[],null,-2.5,true],"y":{"z":""}}},{"a":"\u4e16"}],
            "odd":[{}],"__topic__":"web","__source__":"10.0.0.9","__tags__":{"env":"dev","n":7}}"#;
        let raw = group_of(json, 1_700_000_100, "127.0.0.1").unwrap();
        let group = walk(&raw).unwrap();
        let logs: Vec<_> = group.logs().collect();
        assert_eq!((logs[0].time, logs[1].time, logs.len()), (1_700_000_000, 1_700_000_100, 2));
        let pairs: Vec<_> = logs[0].contents().map(|(key, value)| (key, value.to_vec())).collect();
        let expected: [(&[u8], &str); 5] = [
            (b"a", "1"),
            (b"b", "2.5"),
            (b"c", "true"),
            (b"d", ""),
            (b"e", r#"{"x":[1,"\"",{},[],null,-2.5,true],"y":{"z":""}}"#),
        ];
        assert_eq!(pairs, expected.map(|(key, value)| (key, value.as_bytes().to_vec())));
        assert_eq!(logs[1].contents().next().unwrap().1, "\u{4e16}".as_bytes());
        assert_eq!((group.topic, group.source), (b"web".as_slice(), b"10.0.0.9".as_slice()));
        assert_eq!((group.tag(b"env"), group.tag(b"n")), (Some(b"dev".as_slice()), Some(b"7".as_slice())));
        let unnamed = group_of(br#"{"__source__":"","__logs__":[]}"#, 1, "127.0.0.1").unwrap();
        assert_eq!(
            (walk(&unnamed).unwrap().source, walk(&unnamed).unwrap().log_count()),
            (b"127.0.0.1".as_slice(), 0)
        );
    }

    #[test]
    fn what_is_no_such_document_is_refused() {
        for (json, part) in [
            ("", "EOF"),
            ("[]", "an object with __logs__"),
            ("{}", "__logs__"),
            (r#"{"__logs__":{}}"#, "an array of logs"),
            (r#"{"__logs__":["x"]}"#, "an object of texts"),
            (r#"{"__logs__":[{"__time__":"now"}]}"#, "is no time"),
            (r#"{"__logs__":[{"__time__":-1}]}"#, "is no time"),
            (r#"{"__logs__":[]} x"#, "trailing"),
            (r#"{"__logs__":[],"__tags__":[]}"#, "an object of texts"),
        ] {
            let error = group_of(json.as_bytes(), 1, "").unwrap_err().to_string();
            assert!(error.contains(part), "{json}: {error}");
        }
        let many = format!(r#"{{"__logs__":[{}{{}}]}}"#, "{},".repeat(1_000_000));
        assert!(group_of(many.as_bytes(), u32::MAX, "").unwrap_err().to_string().contains("more than"));
        let deep = format!(r#"{{"__logs__":[{{"a":{}}}]}}"#, "[".repeat(100_000));
        assert!(group_of(deep.as_bytes(), 1, "").is_err());
    }
}
