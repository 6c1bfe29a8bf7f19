//! Records of the events of a body, one after the other.
//!
//! ```text
//! event is          the record has
//! text, a number    log
//! Docker's line     log, source, container_id, container_name, image_name (or tag, where no form fits), attributes
//! Docker's raw text log, container_id, container_name, image_name, where the tag before the text has a form with an id
//! any object        its members by name, nested ones as JSON
//! an array          log, as JSON
//!                   ... then `fields`, host, splunk_source, sourcetype, index, and the peer's address
//! ```
//!
//! Names that say where a record comes from are the gateway's: an attribute of a container with such a name stands under
//! `attrs.`, a field under `fields.`, and metadata that an event has itself under `splunk_`.
//!
//! A bad event ends its body; those before it count. What is sound JSON and no good event (blank, without an event, too
//! deep) is refused as Splunk does, unless Docker's driver sent it, which would only send it again: then all of it is
//! kept. An event longer than the longest allowed is cut and marked with `__cut__`, whoever sent it.

use std::sync::Arc;

use bytes::Bytes;

use super::answer::Code;
use super::envelope::{DockerLine, Envelope, Members, skip_object};
use super::fields::{push_container, push_extra, push_log, push_member, set_time};
use super::tag::{self, TagSplitter};
use crate::base::limits::KIB;
use crate::config::docker_tag::DockerTag;
use crate::config::plan::SplunkPlan;
use crate::input::batcher::Batcher;
use crate::record::json::{JsonError, ReadLimits, Value};
use crate::record::{Batch, Span, Timestamp};

/// Bytes of a body that are decoded before others have their turn.
pub(super) const STEP_BYTES: usize = 256 * KIB;

/// What all connections of an input decode with.
#[derive(Debug)]
pub struct Settings {
    pub(super) tag: Option<Vec<u8>>,
    pub(super) container_tags: Vec<DockerTag>,
    pub(super) max_event: usize,
    pub(super) limits: ReadLimits,
}

impl Settings {
    pub fn new(plan: &SplunkPlan) -> Settings {
        Settings {
            tag: plan.tag.as_ref().map(|tag| tag.as_bytes().to_vec()),
            container_tags: plan.container_tags.clone(),
            max_event: plan.max_event,
            limits: ReadLimits::default(),
        }
    }

    /// One tag for all, no names of containers.
    pub fn plain(tag: &str, max_event: usize) -> Settings {
        let tag = Some(tag.as_bytes().to_vec());
        Settings { tag, container_tags: Vec::new(), max_event, limits: ReadLimits::default() }
    }
}

/// What a body is decoded with besides.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub received: Timestamp,
    /// Docker's driver sends it: see the top of the file.
    pub docker: bool,
    /// A field for all records: the peer's address under its key.
    pub extra: Option<(Arc<str>, Arc<str>)>,
}

/// What decoding counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub records: u64,
    /// Kept though their event is blank or missing, or deeper or larger than the reader takes.
    pub kept: u64,
    /// Cut to `max_event`.
    pub cut: u64,
    /// Whose time is none; they have the time of receipt.
    pub untimed: u64,
}

/// How far a body is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    More,
    Done,
    /// The event with this number, from 0, is bad; those before it were taken.
    Bad(Code, u64),
}

/// Decodes the events of one body after another.
pub struct Events {
    settings: Arc<Settings>,
    tag: Vec<u8>,
    next_tag: Vec<u8>,
    splitter: TagSplitter,
    envelope: Envelope,
    members: Members,
    attributes: Members,
    /// Of the body in hand: its length, and what was taken of it.
    len: usize,
    at: usize,
    taken: u64,
}

impl Events {
    pub fn new(settings: Arc<Settings>) -> Events {
        let mut tag = Vec::new();
        match &settings.tag {
            Some(given) => tag.extend_from_slice(given),
            None => tag::write(None, &mut tag),
        }
        Events {
            settings,
            tag,
            next_tag: Vec::new(),
            splitter: TagSplitter::default(),
            envelope: Envelope::default(),
            members: Members::default(),
            attributes: Members::default(),
            len: 0,
            at: 0,
            taken: 0,
        }
    }

    /// Turns to a body.
    pub fn open(&mut self, body: Bytes, batcher: &mut Batcher) {
        (self.len, self.at, self.taken) = (body.len(), 0, 0);
        batcher.open(body);
    }

    /// The tag that the body's first event will have, as far as it can be told: a guess for the room it needs.
    pub fn first_tag(&mut self, body: &Bytes) -> &[u8] {
        let mut batch = Batch { frame: body.clone(), ..Batch::default() };
        let rest = Span::frame(0, body.len());
        if self.envelope.read(&mut batch, rest, &self.settings.limits).is_ok() {
            self.name_tag(&batch);
            std::mem::swap(&mut self.tag, &mut self.next_tag);
        }
        &self.tag
    }

    /// Decodes a part of the body. The batcher holds what is not stored yet.
    pub fn step(&mut self, context: &Context, batcher: &mut Batcher, tally: &mut Tally) -> Step {
        let pause = self.at.saturating_add(STEP_BYTES);
        while self.at < pause {
            let rest = batcher.batch.frame.get(self.at..self.len).unwrap_or_default();
            self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            if self.at >= self.len {
                return if self.taken == 0 { Step::Bad(Code::NoData, 0) } else { Step::Done };
            }
            match self.event(context, batcher, tally) {
                Ok(len) => self.at += len,
                Err(code) => return Step::Bad(code, self.taken),
            }
            self.taken += 1;
            tally.records += 1;
        }
        Step::More
    }

    /// Decodes the event that stands next; gives its length.
    fn event(&mut self, context: &Context, batcher: &mut Batcher, tally: &mut Tally) -> Result<usize, Code> {
        let rest = Span::frame(self.at, self.len - self.at);
        loop {
            batcher.begin(&self.tag, context.received);
            match self.envelope.read(&mut batcher.batch, rest, &self.settings.limits) {
                Ok(len) if self.keeps_tag(&batcher.batch) => {
                    let composed = self.compose(context, rest.slice(0, len), batcher, tally);
                    return composed.map(|()| len).inspect_err(|_| batcher.batch.abandon());
                }
                // Of another source: what is in hand is gathered, and spans begin anew.
                Ok(_) => {
                    batcher.batch.abandon();
                    batcher.gather();
                    std::mem::swap(&mut self.tag, &mut self.next_tag);
                }
                Err(JsonError::Depth | JsonError::Members) => {
                    let len = skip_object(batcher.batch.bytes(rest));
                    let kept = len.map(|len| self.keep(context, rest.slice(0, len), batcher, tally));
                    kept.ok_or(Code::InvalidData).inspect_err(|_| batcher.batch.abandon())?;
                    return len.ok_or(Code::InvalidData);
                }
                Err(_) => {
                    batcher.batch.abandon();
                    return Err(Code::InvalidData);
                }
            }
        }
    }

    /// Whether the event in hand has the tag of the one before it; else its own is the next.
    fn keeps_tag(&mut self, batch: &Batch) -> bool {
        if self.settings.tag.is_some() {
            return true;
        }
        self.name_tag(batch);
        self.next_tag == self.tag
    }

    fn name_tag(&mut self, batch: &Batch) {
        match &self.settings.tag {
            Some(given) => self.next_tag.clone_from(given),
            None => {
                let name = self.envelope.source.or(self.envelope.sourcetype);
                tag::write(name.map(|name| batch.bytes(name)), &mut self.next_tag);
            }
        }
    }

    /// Fills the record that was begun with the envelope in hand, which is `whole`.
    fn compose(
        &mut self,
        context: &Context,
        whole: Span,
        batcher: &mut Batcher,
        tally: &mut Tally,
    ) -> Result<(), Code> {
        let no_time = self.envelope.time.and_then(|time| set_time(time, batcher));
        let bad = match self.envelope.event {
            None | Some(Value::Null) => Some(Code::EventRequired),
            Some(Value::Text(text)) if text.is_empty() => Some(Code::EventBlank),
            _ => None,
        };
        match (bad, self.envelope.event) {
            (Some(code), _) if !context.docker => return Err(code),
            (Some(Code::EventBlank), _) => {
                batcher.push("log", Span::EMPTY);
                tally.kept += 1;
            }
            (_, None) | (Some(_), _) => {
                self.keep(context, whole, batcher, tally);
                return Ok(());
            }
            (None, Some(Value::Nested(text))) => self.nested(text, batcher, tally),
            (None, Some(value)) => {
                let text = value.text(&mut batcher.batch).unwrap_or_default();
                if !(context.docker && self.raw_line(text, batcher, tally)) {
                    push_log(text, self.settings.max_event, batcher, tally);
                }
            }
        }
        if let Some(text) = no_time {
            tally.untimed += 1;
            batcher.push("time", text);
        }
        self.push_fields(batcher);
        self.push_metadata(batcher);
        for at in 0..self.envelope.others.len() {
            let Some((key, value)) = self.envelope.others.get(at).copied() else { break };
            push_member(b"fields.", key, value, &mut batcher.batch);
        }
        push_extra(context, batcher);
        Ok(())
    }

    /// Keeps an event as the text it came as.
    fn keep(&mut self, context: &Context, whole: Span, batcher: &mut Batcher, tally: &mut Tally) {
        tally.kept += 1;
        push_log(whole, self.settings.max_event, batcher, tally);
        push_extra(context, batcher);
    }

    /// An event that is an object or an array, as compact JSON.
    fn nested(&mut self, text: Span, batcher: &mut Batcher, tally: &mut Tally) {
        let is_object = batcher.batch.bytes(text).first() == Some(&b'{');
        let batch = &mut batcher.batch;
        if !is_object || !self.members.read(batch, text, &self.settings.limits) {
            push_log(text, self.settings.max_event, batcher, tally);
            return;
        }
        if let Some(line) = DockerLine::of(batch, &self.members) {
            self.docker_line(line, batcher, tally);
        } else if text.len() > self.settings.max_event || self.members.0.is_empty() {
            push_log(text, self.settings.max_event, batcher, tally);
        } else {
            for &(key, value) in &self.members.0 {
                let value = value.text(batch).unwrap_or_default();
                batch.push(key, value);
            }
        }
    }

    /// A text of Docker's format `raw`, tag and line with a blank between; false when it is none that can be told. The tag
    /// may be switched off, so only a form with an id, which no text begins with by chance, counts.
    fn raw_line(&mut self, text: Span, batcher: &mut Batcher, tally: &mut Tally) -> bool {
        let bytes = batcher.batch.bytes(text);
        let Some(blank) = memchr::memchr(b' ', bytes) else { return false };
        let found =
            self.splitter.split(&self.settings.container_tags, bytes.get(..blank).unwrap_or_default());
        let Some(found) = found.filter(|found| found.id.is_some()) else { return false };
        let line = text.slice(blank + 1, text.len() - blank - 1);
        push_log(line, self.settings.max_event, batcher, tally);
        push_container(found, text, batcher);
        true
    }

    fn docker_line(&mut self, line: DockerLine, batcher: &mut Batcher, tally: &mut Tally) {
        let text = match line.line {
            Value::Null => batcher.batch.keep(b"null"),
            value => value.text(&mut batcher.batch).unwrap_or_default(),
        };
        push_log(text, self.settings.max_event, batcher, tally);
        batcher.push("source", line.source);
        if let Some(tag) = line.tag {
            match self.splitter.split(&self.settings.container_tags, batcher.batch.bytes(tag)) {
                Some(found) => push_container(found, tag, batcher),
                None => batcher.push("tag", tag),
            }
        }
        if let Some(attrs) = line.attrs {
            let batch = &mut batcher.batch;
            if self.attributes.read(batch, attrs, &self.settings.limits) {
                for &(key, value) in &self.attributes.0 {
                    push_member(b"attrs.", key, value, batch);
                }
            } else {
                batcher.push("attrs", attrs);
            }
        }
    }

    fn push_fields(&mut self, batcher: &mut Batcher) {
        match self.envelope.fields {
            None | Some(Value::Null) => {}
            Some(Value::Nested(object))
                if self.attributes.read(&mut batcher.batch, object, &self.settings.limits) =>
            {
                for &(key, value) in &self.attributes.0 {
                    push_member(b"fields.", key, value, &mut batcher.batch);
                }
            }
            Some(value) => {
                let text = value.text(&mut batcher.batch).unwrap_or_default();
                batcher.push("fields", text);
            }
        }
    }

    fn push_metadata(&mut self, batcher: &mut Batcher) {
        let Envelope { host, source, sourcetype, index, .. } = self.envelope;
        for (key, other, value) in [
            ("host", "splunk_host", host),
            ("splunk_source", "splunk_source", source),
            ("sourcetype", "splunk_sourcetype", sourcetype),
            ("index", "splunk_index", index),
        ] {
            let Some(value) = value else { continue };
            let batch = &batcher.batch;
            let taken =
                batch.records.last().is_some_and(|record| batch.value_of(record, key.as_bytes()).is_some());
            batcher.push(if taken { other } else { key }, value);
        }
    }
}
