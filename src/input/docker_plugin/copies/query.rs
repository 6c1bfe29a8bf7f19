//! What `docker logs` asks for, and the entries that answer it: framed as in the FIFO, with the line feed that the daemon
//! prints and does not add.

use std::io;
use std::path::PathBuf;

use serde::Deserialize;

use super::file::Reading;
use crate::base::limits::KIB;
use crate::wire::log_entry::LogEntry;

/// Bytes of an answer that are handed on at once.
const PART_BYTES: usize = 64 * KIB;

/// `Config` of a ReadLogs request.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// RFC 3339; the year 1 is Go's "not set".
    since: String,
    until: String,
    /// Lines from the end; negative: all.
    tail: Option<i64>,
    pub follow: bool,
}

/// The answer to one request, part by part.
pub struct Query {
    reading: Reading,
    since: i64,
    until: i64,
    /// Lines before those that were asked for; not counted yet where that is absent.
    skip: Option<u64>,
    tail: Option<u64>,
    dir: PathBuf,
    is_over: bool,
    line: Vec<u8>,
    message: Vec<u8>,
}

/// A part of an answer.
pub struct Part {
    /// Empty when there is no more now.
    pub bytes: Vec<u8>,
    /// Nothing that comes later belongs to the answer.
    pub is_last: bool,
}

impl Query {
    /// Over the copy in `dir`, which need not be there. Errors are the times that cannot be read.
    pub fn new(dir: PathBuf, config: &Config) -> Result<Query, String> {
        Ok(Query {
            reading: Reading::new(dir.clone()),
            since: time("Since", &config.since)?.unwrap_or(i64::MIN),
            until: time("Until", &config.until)?.unwrap_or(i64::MAX),
            skip: None,
            tail: config.tail.and_then(|tail| u64::try_from(tail).ok()),
            dir,
            is_over: false,
            line: Vec::new(),
            message: Vec::new(),
        })
    }

    /// The next part. Blocking.
    pub fn read(&mut self) -> io::Result<Part> {
        let mut skip = match self.skip {
            Some(skip) => skip,
            None => self.count()?,
        };
        let mut bytes = Vec::new();
        let Query { reading, since, until, is_over, line, message, .. } = self;
        while !*is_over && bytes.len() < PART_BYTES {
            let found = reading.next(|entry| {
                if skip > 0 {
                    skip -= u64::from(entry.ends_line());
                } else if entry.time_nano > *until {
                    *is_over = true;
                } else if entry.time_nano >= *since {
                    append(entry, line, message, &mut bytes);
                }
            })?;
            if !found {
                break;
            }
        }
        self.skip = Some(skip);
        Ok(Part { bytes, is_last: self.is_over })
    }

    /// Lines before the last ones. What has no end yet is a line as well.
    fn count(&self) -> io::Result<u64> {
        let Some(tail) = self.tail else { return Ok(0) };
        let (mut lines, mut is_open) = (0u64, false);
        let mut reading = Reading::new(self.dir.clone());
        while reading.next(|entry| {
            is_open = !entry.ends_line();
            lines += u64::from(!is_open);
        })? {}
        Ok((lines + u64::from(is_open)).saturating_sub(tail))
    }
}

fn append(entry: &LogEntry<'_>, line: &mut Vec<u8>, message: &mut Vec<u8>, out: &mut Vec<u8>) {
    line.clear();
    line.extend_from_slice(entry.line);
    if entry.ends_line() {
        line.push(b'\n');
    }
    message.clear();
    LogEntry { line, ..*entry }.append(message);
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(message);
}

/// Nanoseconds since 1970; nothing where the engine asks for no bound.
fn time(name: &str, text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() || text.starts_with("0001-01-01T00:00:00") {
        return Ok(None);
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| format!("{name} is no time: {text:?}"))?;
    let nanoseconds = time.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into());
    Ok(i64::try_from(nanoseconds).ok())
}

#[cfg(test)]
mod tests {
    use super::super::file::Copy;
    use super::*;

    fn write(dir: &std::path::Path, entries: &[(i64, &str, bool, bool)]) {
        let mut copy = Copy::new(dir.to_owned(), 10_000);
        for (time_nano, line, partial, last) in entries {
            let (id, line) = (b"id", line.as_bytes());
            let (partial, last) = (*partial, *last);
            let entry = LogEntry {
                source: b"stdout",
                time_nano: *time_nano,
                line,
                partial,
                last,
                id: if partial { id } else { b"" },
                ..LogEntry::default()
            };
            let mut message = Vec::new();
            entry.append(&mut message);
            let length = (message.len() as u32).to_be_bytes();
            copy.append(&[&length[..], &message, &length].concat()).unwrap();
        }
    }

    /// What the daemon would print.
    fn printed(query: &mut Query) -> String {
        let mut text = Vec::new();
        loop {
            let part = query.read().unwrap();
            let mut rest = &part.bytes[..];
            while let Some((length, behind)) = rest.split_first_chunk() {
                let (message, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
                text.extend_from_slice(LogEntry::read(message).unwrap().line);
                rest = behind;
            }
            if part.is_last || part.bytes.is_empty() {
                return String::from_utf8(text).unwrap();
            }
        }
    }

    fn ask(dir: &std::path::Path, config: &str) -> String {
        printed(&mut Query::new(dir.to_owned(), &serde_json::from_str(config).unwrap()).unwrap())
    }

    #[test]
    fn what_is_asked_for_is_printed() {
        let dir = tempfile::tempdir().unwrap();
        let second = 1_000_000_000;
        write(
            dir.path(),
            &[
                (second, "a", false, false),
                (2 * second, "b1", true, false),
                (2 * second, "b2", true, true),
                (3 * second, "", false, false),
                (4 * second, "open", true, false),
            ],
        );
        let none = r#""Since":"0001-01-01T00:00:00Z","Until":"0001-01-01T00:00:00Z""#;
        for (config, text) in [
            (format!("{{{none},\"Tail\":-1}}"), "a\nb1b2\n\nopen"),
            (format!("{{{none},\"Tail\":0}}"), ""),
            (format!("{{{none},\"Tail\":1}}"), "open"),
            (format!("{{{none},\"Tail\":3}}"), "b1b2\n\nopen"),
            (format!("{{{none},\"Tail\":99}}"), "a\nb1b2\n\nopen"),
            (r#"{"Since":"1970-01-01T00:00:03Z"}"#.to_owned(), "\nopen"),
            (r#"{"Until":"1970-01-01T01:00:02.5+01:00"}"#.to_owned(), "a\nb1b2\n"),
        ] {
            assert_eq!(ask(dir.path(), &config), text, "{config}");
        }
        assert_eq!(ask(&dir.path().join("none"), "{}"), "");
        assert!(
            Query::new(dir.path().to_owned(), &Config { since: "x".into(), ..Config::default() }).is_err()
        );
    }

    #[test]
    fn a_recorded_question() {
        let body = include_str!("../../../../tests/data/docker/plugin-readlogs-request.json");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let config: Config = serde_json::from_value(body["Config"].clone()).unwrap();
        let query = Query::new(std::path::PathBuf::new(), &config).unwrap();
        assert_eq!((query.since, query.until, query.tail), (1_795_385_185_000_000_000, i64::MAX, Some(10)));
    }

    #[test]
    fn more_comes_when_more_was_written() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[(1, "a", false, false)]);
        let mut query =
            Query::new(dir.path().to_owned(), &Config { tail: Some(0), ..Config::default() }).unwrap();
        assert_eq!(printed(&mut query), "");
        write(dir.path(), &[(2, "b", false, false)]);
        assert_eq!(printed(&mut query), "b\n");
        assert_eq!(printed(&mut query), "");
    }
}
