//! One dead letter for people: why it was refused, then its records, or its payload as it is.

use std::io::Write;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::super::say;
use super::printable;
use crate::output::refused::Letter;
use crate::wire::loggroup::{self, Group, Log};

pub(super) fn show(letter: &Letter, json: bool, raw: bool) -> Result<()> {
    let payload = letter.payload().with_context(|| format!("cannot read {}", letter.path.display()))?;
    if raw {
        return write(&payload);
    }
    if json {
        if !letter.is_log_group() {
            bail!("{} is no LogGroup and has no records; --raw writes what it is", letter.name);
        }
        let group = walk(letter, &payload)?;
        group.logs().all(|log| say(&Value::Object(record(&group, &log)).to_string()));
        return Ok(());
    }
    let head = &letter.head;
    let facts = [
        ("file", letter.path.display().to_string()),
        ("time", time(letter.time)),
        ("destination", head.destination.clone()),
        ("input", head.input.clone()),
        ("peer", head.peer.clone()),
        ("tag", head.tag.clone()),
        ("signal", head.signal.clone()),
        ("reason", head.reason.clone()),
        ("request id", head.request_id.clone()),
        ("bytes", letter.bytes.to_string()),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        say(&format!("{name:<12} {}", printable(fact)));
    }
    if !letter.is_log_group() {
        say("a payload that no record can hold; --raw writes it as it came");
        return Ok(());
    }
    let group = walk(letter, &payload)?;
    say(&format!("{:<12} {}", "records", group.log_count()));
    for (key, value) in group.tags() {
        say(&format!("{:<12} {}={}", "tag", text(key), text(value)));
    }
    if head.destination.is_empty() {
        say("");
    } else {
        say(&format!("send again:  sluicegate refused resend {}", letter.name));
    }
    for log in group.logs() {
        let fields: Vec<String> =
            log.contents().map(|(key, value)| format!("{}={}", text(key), text(value))).collect();
        if !say(&format!("{}  {}", time(i64::from(log.time)), fields.join(" "))) {
            return Ok(());
        }
    }
    Ok(())
}

/// Local time, to the second.
pub(super) fn time(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(TimeZone::system());
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn walk<'a>(letter: &Letter, payload: &'a [u8]) -> Result<Group<'a>> {
    loggroup::walk(payload).with_context(|| format!("{} is damaged", letter.path.display()))
}

/// A record as a search answers it.
fn record(group: &Group<'_>, log: &Log<'_>) -> Map<String, Value> {
    let lossy = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
    let mut record = Map::new();
    record.insert("__time__".into(), Value::String(log.time.to_string()));
    record.insert("__topic__".into(), lossy(group.topic));
    record.insert("__source__".into(), lossy(group.source));
    for (key, value) in group.tags() {
        record.insert(format!("__tag__:{}", String::from_utf8_lossy(key)), lossy(value));
    }
    for (key, value) in log.contents() {
        record.insert(String::from_utf8_lossy(key).into_owned(), lossy(value));
    }
    record
}

fn text(bytes: &[u8]) -> String {
    printable(&String::from_utf8_lossy(bytes))
}

fn write(payload: &[u8]) -> Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(payload).and_then(|()| out.flush()) {
        // Whoever read it has had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
