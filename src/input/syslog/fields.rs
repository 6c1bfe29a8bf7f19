//! Makes a record of a message that was taken apart.
//!
//! ```text
//! any message      message facility severity hostname appname procid msgid <sd-id>.<param>... timestamp [sequence]
//! a container's    log source container_id container_name image_name facility severity hostname appname timestamp
//! ```
//!
//! A message is a container's when its tag has a form that names one and its severity is one of the two that Docker's
//! driver uses: `info` for stdout and `err` for stderr. Its process number is the daemon's and its message id the tag
//! again, so neither becomes a field. What is absent in the message is absent in the record. Names of facilities and
//! severities are those of RFC 5427.

use super::container::{Container, Containers};
use super::header::{Parsed, Part};
use super::structured::{self, Params};
use crate::base::limits;
use crate::config::plan::SyslogPlan;
use crate::input::batcher::Batcher;
use crate::input::oneway::Sender;
use crate::record::{Span, Timestamp};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "console", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const TAGS: [&str; 24] = [
    "syslog.kern",
    "syslog.user",
    "syslog.mail",
    "syslog.daemon",
    "syslog.auth",
    "syslog.syslog",
    "syslog.lpr",
    "syslog.news",
    "syslog.uucp",
    "syslog.cron",
    "syslog.authpriv",
    "syslog.ftp",
    "syslog.ntp",
    "syslog.audit",
    "syslog.console",
    "syslog.cron2",
    "syslog.local0",
    "syslog.local1",
    "syslog.local2",
    "syslog.local3",
    "syslog.local4",
    "syslog.local5",
    "syslog.local6",
    "syslog.local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
/// Of an element's id so much stands before the name of each of its parameters.
const ID_BYTES: usize = limits::KIB;
/// Parameters that become fields. Each repeats its element's id, so a short message could become gigabytes.
const PARAMS: usize = 512;
const STDERR: usize = 3;
const STDOUT: usize = 6;

/// What the configuration says of records.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    tag: Option<String>,
    source_address_key: Option<String>,
}

/// A message on its way to be a record.
pub(super) struct Said<'p> {
    pub parsed: &'p Parsed,
    /// Where the message begins in the frame.
    pub base: usize,
    pub cut: bool,
    pub time: Timestamp,
}

impl Shape {
    pub(super) fn new(plan: &SyslogPlan) -> Shape {
        Shape { tag: plan.tag.clone(), source_address_key: plan.source_address_key.clone() }
    }

    /// Writes the record behind the others of the batcher. The message lies in the batcher's frame.
    pub(super) fn write(
        &self,
        said: &Said<'_>,
        containers: &mut Containers,
        from: &Sender,
        batcher: &mut Batcher,
    ) {
        let Said { parsed, base, .. } = *said;
        let (facility, severity) = (parsed.priority.facility(), parsed.priority.severity());
        let tag = self.tag.as_deref().unwrap_or(TAGS.get(facility).copied().unwrap_or("syslog"));
        batcher.begin(tag.as_bytes(), said.time);

        let container = if matches!(severity, STDOUT | STDERR) {
            let text = batcher.batch.frame.get(base..).unwrap_or_default();
            containers.find(text, parsed.hostname, parsed.appname)
        } else {
            None
        };
        let span = |part: Part| Span::frame(base + part.from, part.to - part.from);
        let text_key = if container.is_some() { "log" } else { "message" };
        batcher.push(text_key, if parsed.message.is_empty() { Span::EMPTY } else { span(parsed.message) });

        let (mut hostname, mut appname) = (parsed.hostname, parsed.appname);
        if let Some(container) = container {
            if container.takes_host {
                appname.from = hostname.from;
                hostname = Part::default();
            }
            let source = if severity == STDERR { "stderr" } else { "stdout" };
            let source = batcher.key(source);
            batcher.push("source", source);
            push_container(container, base + appname.from, batcher);
        }
        let name = batcher.key(FACILITIES.get(facility).copied().unwrap_or_default());
        batcher.push("facility", name);
        let name = batcher.key(SEVERITIES[severity & 7]);
        batcher.push("severity", name);
        for (key, part) in [("hostname", hostname), ("appname", appname)] {
            if !part.is_empty() {
                batcher.push(key, span(part));
            }
        }
        if container.is_none() {
            for (key, part) in [("procid", parsed.procid), ("msgid", parsed.msgid)] {
                if !part.is_empty() {
                    batcher.push(key, span(part));
                }
            }
        }
        if !parsed.structured.is_empty() {
            push_structured(parsed.structured, base, batcher);
        }
        for (key, part) in [("timestamp", parsed.timestamp), ("sequence", parsed.sequence)] {
            if !part.is_empty() {
                batcher.push(key, span(part));
            }
        }
        if let Some(key) = &self.source_address_key {
            let (key, value) =
                (batcher.batch.keep(key.as_bytes()), batcher.batch.keep(from.label.as_bytes()));
            batcher.batch.push(key, value);
        }
        if said.cut {
            batcher.push_text("__cut__", text_key.as_bytes());
        }
    }
}

/// `tag`: where the tag begins in the frame.
fn push_container(container: &Container, tag: usize, batcher: &mut Batcher) {
    for (key, place) in [
        ("container_id", &container.id),
        ("container_name", &container.name),
        ("image_name", &container.image_name),
        ("image_id", &container.image_id),
    ] {
        if let Some(place) = place {
            batcher.push(key, Span::frame(tag + place.start, place.len()));
        }
    }
}

/// Keys are `<sd-id>.<param>`; of an element without parameters the id alone, with an empty value. What stands behind the
/// last parameter that is taken is one field, as it stands.
fn push_structured(structured: Part, base: usize, batcher: &mut Batcher) {
    let batch = &mut batcher.batch;
    let mut place = base + structured.from;
    let end = base + structured.to;
    let frame = batch.frame.clone();
    let text = frame.get(..end).unwrap_or_default();
    for (count, param) in Params::new(text, place).enumerate() {
        if count == PARAMS {
            let from = if param.name.is_empty() { param.id.start } else { param.name.start };
            return batcher.push("structured_data", Span::frame(from, end - from));
        }
        place = param.value.end;
        let key = if param.name.is_empty() {
            Span::frame(param.id.start, param.id.len())
        } else {
            batch.make(|arena| {
                let id = &text[param.id.clone()];
                arena.extend_from_slice(&id[..id.len().min(ID_BYTES)]);
                arena.push(b'.');
                arena.extend_from_slice(&text[param.name.clone()]);
            })
        };
        let value = if param.has_escapes {
            batch.make(|arena| structured::append_unescaped(arena, &text[param.value.clone()]))
        } else {
            Span::frame(param.value.start, param.value.len())
        };
        batch.push(key, value);
    }
    debug_assert!(place <= end);
}
