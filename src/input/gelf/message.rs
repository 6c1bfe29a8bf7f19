//! One GELF message as a record in the shape that all inputs share.
//!
//! ```text
//! short_message                      log           (full_message, where there is no short one)
//! level 6, 3 with a _container_id    source        stdout, stderr
//! _container_id, _container_name,    the same without underscore; the name without a slash before it
//! _image_name
//! _anything, and what is unknown     anything: labels, environment, fields of the application
//! full_message, host, level,         the same
//! _image_id, _tag, _created
//! timestamp                          the record's time; a field where it is none
//! version, null                      left out; so is _command, the container's whole command line, unless it is asked for
//! ```
//!
//! This is the record's order. A sender's field whose name would be one of ours (`_log`, `_source`, `host` twice) has an
//! underscore before it. An object without a single field is refused, and so is what the JSON reader refuses.

use super::time;
use crate::input::batcher::Batcher;
use crate::input::oneway::Sender;
use crate::record::json::read::{JsonError, ReadLimits, Value, read_object};
use crate::record::{Batch, Span, Timestamp};

/// Names that a sender's own fields cannot have.
const OURS: [&[u8]; 8] = [
    b"log",
    b"source",
    b"container_id",
    b"container_name",
    b"image_name",
    b"full_message",
    b"host",
    b"level",
];

/// The members of a message, as spans of the batch they are to go into. One serves message after message.
#[derive(Default)]
pub(super) struct Members {
    short_message: Option<Span>,
    full_message: Option<Span>,
    pub(super) host: Option<Span>,
    level: Option<Span>,
    timestamp: Option<Span>,
    container_id: Option<Span>,
    container_name: Option<Span>,
    image_name: Option<Span>,
    image_id: Option<Span>,
    tag: Option<Span>,
    created: Option<Span>,
    command: Option<Span>,
    others: Vec<(Span, Span)>,
}

impl Members {
    /// Reads the object at the beginning of `text` and gives the bytes it took.
    pub(super) fn read(
        &mut self,
        batch: &mut Batch,
        text: Span,
        limits: &ReadLimits,
    ) -> Result<usize, JsonError> {
        let mut others = std::mem::take(&mut self.others);
        others.clear();
        *self = Members { others, ..Members::default() };
        read_object(batch, text, limits, &mut |batch, key, value| self.take(batch, key, value))
    }

    fn take(&mut self, batch: &mut Batch, key: Span, value: Value) {
        let slot = match batch.bytes(key) {
            b"short_message" => &mut self.short_message,
            b"full_message" => &mut self.full_message,
            b"host" => &mut self.host,
            b"level" => &mut self.level,
            b"timestamp" => &mut self.timestamp,
            b"_container_id" => &mut self.container_id,
            b"_container_name" => &mut self.container_name,
            b"_image_name" => &mut self.image_name,
            b"_image_id" => &mut self.image_id,
            b"_tag" => &mut self.tag,
            b"_created" => &mut self.created,
            b"_command" => &mut self.command,
            b"version" => return,
            _ => {
                if let Some(value) = value.text(batch) {
                    self.others.push((key, value));
                }
                return;
            }
        };
        if let Some(text) = value.text(batch) {
            *slot = Some(text);
        }
    }

    /// The message's own time.
    pub(super) fn time(&self, batch: &Batch) -> Option<Timestamp> {
        time::read(batch.bytes(self.timestamp?))
    }
}

/// What an input does with the fields of its messages.
pub(super) struct Shape {
    pub(super) keep_command: bool,
    /// Field that gets the sender's address.
    pub(super) source_address_key: Option<String>,
}

impl Shape {
    /// Adds a message's fields to the record begun last. False when there is none to add.
    pub(super) fn put(&self, members: &Members, from: &Sender, batcher: &mut Batcher) -> bool {
        let before = batcher.batch.fields.len();
        let (log, full_message) = match members.short_message {
            Some(short) => (Some(short), members.full_message),
            None => (members.full_message, None),
        };
        put(batcher, "log", log);
        let is_container = members.container_id.is_some_and(|id| !id.is_empty());
        let level = members.level.map_or(b"".as_slice(), |level| batcher.batch.bytes(level));
        match level {
            b"6" if is_container => batcher.push_text("source", b"stdout"),
            b"3" if is_container => batcher.push_text("source", b"stderr"),
            _ => {}
        }
        put(batcher, "container_id", members.container_id);
        let name = members.container_name.map(|name| {
            let slash = usize::from(batcher.batch.bytes(name).starts_with(b"/"));
            name.slice(slash, name.len())
        });
        put(batcher, "container_name", name);
        put(batcher, "image_name", members.image_name);
        for (key, value) in &members.others {
            let key = self.own_name(&mut batcher.batch, *key);
            batcher.batch.push(key, *value);
        }
        put(batcher, "full_message", full_message);
        put(batcher, "host", members.host);
        put(batcher, "level", members.level);
        put(batcher, "image_id", members.image_id);
        put(batcher, "tag", members.tag);
        put(batcher, "created", members.created);
        put(batcher, "command", members.command.filter(|_| self.keep_command));
        put(batcher, "timestamp", members.timestamp.filter(|_| members.time(&batcher.batch).is_none()));
        if batcher.batch.fields.len() == before {
            return false;
        }
        if let Some(key) = &self.source_address_key {
            let (key, value) =
                (batcher.batch.keep(key.as_bytes()), batcher.batch.keep(from.label.as_bytes()));
            batcher.batch.push(key, value);
        }
        true
    }

    /// The name under which a field of the sender's own goes on.
    fn own_name(&self, batch: &mut Batch, key: Span) -> Span {
        let sent = batch.bytes(key);
        let (name, underscore) = match sent {
            [b'_', name @ ..] if !name.is_empty() => (name, true),
            name => (name, false),
        };
        let is_ours = OURS.contains(&name)
            || self.source_address_key.as_ref().is_some_and(|ours| ours.as_bytes() == name);
        match (is_ours, underscore) {
            (false, true) => key.slice(1, key.len()),
            (false, false) | (true, true) => key,
            (true, false) => {
                let name = name.to_vec();
                batch.make(|arena| {
                    arena.push(b'_');
                    arena.extend_from_slice(&name);
                })
            }
        }
    }
}

fn put(batcher: &mut Batcher, key: &'static str, value: Option<Span>) {
    if let Some(value) = value {
        batcher.push(key, value);
    }
}
