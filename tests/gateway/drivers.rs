//! What each of Docker's log drivers makes of a line that a container writes, as the engine was seen to do it: one
//! container, with one name, whichever driver it is run with.
//!
//! The engine cuts lines at 16 KiB; what a driver sends of a longer one are several messages, which these functions give
//! as several, or laid end to end where the driver does that.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sluicegate::wire::log_entry::LogEntry;

use super::harness::message;

pub const ID: &str = "5525e4dd680f02ef223d612c5058998af3701f7506c8363335937dc7706874a3";
/// What tags tell of it.
pub const SHORT_ID: &str = "5525e4dd680f";
pub const NAME: &str = "web-1";
pub const IMAGE: &str = "shop:1";
/// 2026-11-22T22:57:10Z.
const BEGIN: u32 = 1_795_388_230;
/// Where the engine cuts.
const CUT: usize = 16 * 1024;

/// A line as a container writes it.
#[derive(Clone, Copy)]
pub struct Line<'l> {
    /// When: seconds since some moment. Drivers tell the pieces of one line by it.
    pub second: u32,
    pub source: &'l str,
    pub log: &'l str,
}

pub fn stdout(second: u32, log: &str) -> Line<'_> {
    Line { second, source: "stdout", log }
}

pub fn stderr(second: u32, log: &str) -> Line<'_> {
    Line { second, source: "stderr", log }
}

/// 40 KiB in which whatever is lost, doubled or out of its place shows.
pub fn long() -> String {
    (0..5 * 1024).map(|number| format!("{number:07} ")).collect()
}

/// Checks that a record has the fields that every driver's records have.
pub fn assert_shape(record: &Map<String, Value>, line: &Line<'_>) {
    let text =
        |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("{key}: {record:?}"));
    assert!(text("log") == line.log, "{record:?}");
    assert_eq!(text("source"), line.source);
    assert_eq!(text("container_name"), NAME);
    assert_eq!(text("image_name"), IMAGE);
    let id = text("container_id");
    assert!(id == ID || id == SHORT_ID, "{id}");
    let inner =
        |key: &String| key.starts_with("partial_") || key.starts_with("__partial") || key == "__cut__";
    assert!(!record.keys().any(inner), "{record:?}");
}

impl Line<'_> {
    fn seconds(&self) -> u32 {
        BEGIN + self.second
    }

    /// What the engine hands to a driver: one text, or several and whether each is the last.
    fn pieces(&self) -> Vec<(&str, bool)> {
        let mut pieces = Vec::new();
        let mut rest = self.log;
        while rest.len() >= CUT {
            let (piece, behind) = rest.split_at(CUT);
            pieces.push((piece, false));
            rest = behind;
        }
        pieces.push((rest, true));
        pieces
    }

    fn is_whole(&self) -> bool {
        self.log.len() < CUT
    }

    /// The fluentd driver, with an ack asked for of the last message.
    pub fn forward(&self, chunk: Option<&str>) -> Vec<u8> {
        let slashed = format!("/{NAME}");
        // Random in the engine: no two runs of it have the same.
        let line_id = format!("f{:063x}", self.second);
        let mut out = Vec::new();
        for (ordinal, (text, last)) in (1..).zip(self.pieces()) {
            let ordinal = format!("{ordinal}");
            let mut fields = vec![
                ("container_id", ID),
                ("container_name", &slashed),
                ("source", self.source),
                ("log", text),
                ("image_name", IMAGE),
            ];
            if !self.is_whole() {
                fields.extend([("partial_message", "true"), ("partial_id", &line_id)]);
                fields.extend([
                    ("partial_ordinal", &*ordinal),
                    ("partial_last", if last { "true" } else { "false" }),
                ]);
            }
            out.extend(message(SHORT_ID, self.seconds(), &fields, chunk.filter(|_| last)));
        }
        out
    }

    /// The syslog driver with `tag={{.ImageName}}/{{.Name}}/{{.ID}}`, in the formats it has. Each ends with its line feed.
    pub fn syslog(&self, format: Format) -> Vec<Vec<u8>> {
        let priority = if self.source == "stderr" { 27 } else { 30 };
        let tag = format!("{IMAGE}/{NAME}/{SHORT_ID}");
        let time = jiff::Timestamp::from_second(i64::from(self.seconds())).unwrap();
        let plain = time.strftime("%b %e %H:%M:%S");
        let head = match format {
            Format::Absent => format!("<{priority}>{plain} {tag}[7025]: "),
            Format::Rfc3164 => format!("<{priority}>{plain} vm {tag}[7025]: "),
            Format::Rfc5424 => format!("<{priority}>1 {time} vm {tag} 7025 {tag} - "),
            Format::Rfc5424Micro => {
                let time = time.strftime("%Y-%m-%dT%H:%M:%S");
                format!("<{priority}>1 {time}.784670Z vm {tag} 7025 {tag} - ")
            }
        };
        let pieces = self.pieces().into_iter().filter(|(text, _)| !text.is_empty());
        pieces.map(|(text, _)| format!("{head}{text}\n").into_bytes()).collect()
    }

    /// The gelf driver: objects, of which none has a NUL behind it yet.
    pub fn gelf(&self) -> Vec<Vec<u8>> {
        let level = if self.source == "stderr" { 3 } else { 6 };
        let object = |text: &str| {
            json!({
                "version": "1.1", "host": "vm", "short_message": text, "timestamp": f64::from(self.seconds()) + 0.518,
                "level": level, "_command": "sh -c 'echo secret'", "_container_id": ID, "_container_name": NAME,
                "_created": "2026-11-22T22:57:14.30786083Z", "_image_id": "sha256:c58e", "_image_name": IMAGE,
                "_tag": SHORT_ID, "_team": "core",
            })
        };
        let pieces = self.pieces().into_iter().filter(|(text, _)| !text.is_empty());
        pieces.map(|(text, _)| object(text).to_string().into_bytes()).collect()
    }

    /// The splunk driver with the tag of the syslog one: events end to end.
    pub fn splunk(&self) -> Vec<u8> {
        let tag = format!("{IMAGE}/{NAME}/{SHORT_ID}");
        let time = format!("{}.064126", self.seconds());
        let event = |text: &str| {
            let event = json!({"line": text, "source": self.source, "tag": tag, "attrs": {"team": "core"}});
            json!({"event": event, "time": time, "host": "vm"}).to_string()
        };
        self.pieces().into_iter().map(|(text, _)| event(text)).collect::<String>().into_bytes()
    }

    /// What the engine writes into the FIFO of a logging plugin; twice with a length it is the local driver's file.
    fn entries(&self) -> Vec<Vec<u8>> {
        let line_id = format!("e{:063x}", self.second);
        let entry = |(ordinal, (text, last)): (i32, (&str, bool))| {
            let mut entry = LogEntry {
                source: self.source.as_bytes(),
                time_nano: i64::from(self.seconds()) * 1_000_000_000 + 723_254_855,
                line: text.as_bytes(),
                ..LogEntry::default()
            };
            if !self.is_whole() {
                entry = LogEntry { partial: true, last, id: line_id.as_bytes(), ordinal, ..entry };
            }
            let mut out = Vec::new();
            entry.append(&mut out);
            out
        };
        (1..).zip(self.pieces()).map(entry).collect()
    }

    /// A logging plugin's FIFO.
    pub fn plugin(&self) -> Vec<u8> {
        let framed = |entry: Vec<u8>| [&(entry.len() as u32).to_be_bytes()[..], &entry].concat();
        self.entries().into_iter().flat_map(framed).collect()
    }

    /// The local driver's file.
    pub fn local(&self) -> Vec<u8> {
        let framed = |entry: Vec<u8>| {
            let length = (entry.len() as u32).to_be_bytes();
            [&length[..], &entry, &length].concat()
        };
        self.entries().into_iter().flat_map(framed).collect()
    }

    /// The json-file driver's file.
    pub fn json_file(&self) -> Vec<u8> {
        let time = jiff::Timestamp::from_second(i64::from(self.seconds())).unwrap();
        let time = time.strftime("%Y-%m-%dT%H:%M:%S");
        let line = |(text, last): (&str, bool)| {
            let text = format!("{text}{}", if last { "\n" } else { "" });
            let line = json!({"log": text, "stream": self.source, "time": format!("{time}.723254855Z")});
            format!("{line}\n")
        };
        self.pieces().into_iter().map(line).collect::<String>().into_bytes()
    }
}

/// The syslog driver's option `syslog-format`.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    Absent,
    Rfc3164,
    Rfc5424,
    Rfc5424Micro,
}

pub const FORMATS: [Format; 4] = [Format::Absent, Format::Rfc3164, Format::Rfc5424, Format::Rfc5424Micro];

/// The engine's data directory with one container of the json-file or local driver; gives the file it writes to.
pub fn container_dir(data_root: &Path, driver: &str) -> PathBuf {
    let dir = data_root.join("containers").join(ID);
    let logs = if driver == "local" { dir.join("local-logs") } else { dir.clone() };
    std::fs::create_dir_all(&logs).unwrap();
    let config = json!({
        "ID": ID, "Name": format!("/{NAME}"), "Image": "sha256:c58e",
        "Config": {"Image": IMAGE, "Labels": {"team": "core", "other": "x"}, "Env": ["APP=prod", "SECRET=s"]},
    });
    std::fs::write(dir.join("config.v2.json"), config.to_string()).unwrap();
    let host = json!({"LogConfig": {"Type": driver, "Config": {}}});
    std::fs::write(dir.join("hostconfig.json"), host.to_string()).unwrap();
    let name = if driver == "local" { "container.log".to_owned() } else { format!("{ID}-json.log") };
    logs.join(name)
}
