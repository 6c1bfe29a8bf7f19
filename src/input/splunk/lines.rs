//! Records of a raw body: every line is an event, and what it comes from stands in the request's query.
//!
//! A line ends with LF or CR LF, or with the body; empty ones are none, as for Splunk. A line longer than the longest
//! event allowed is cut and marked with `__cut__`.

use std::sync::Arc;

use bytes::Bytes;

use super::answer::Code;
use super::events::{Context, STEP_BYTES, Settings, Step, Tally};
use super::fields::{push_extra, push_log};
use super::request::Query;
use super::tag;
use super::time;
use crate::input::batcher::Batcher;
use crate::record::{Span, Timestamp};

/// Decodes the lines of one body.
pub(super) struct Lines {
    settings: Arc<Settings>,
    tag: Vec<u8>,
    time: Option<Timestamp>,
    metadata: Vec<(&'static str, String)>,
    len: usize,
    at: usize,
    taken: bool,
}

impl Lines {
    pub(super) fn new(settings: Arc<Settings>, query: Query) -> Lines {
        let mut tag = Vec::new();
        match &settings.tag {
            Some(given) => tag.extend_from_slice(given),
            None => {
                let name = query.source.as_ref().or(query.sourcetype.as_ref());
                tag::write(name.map(|name| name.as_bytes()), &mut tag);
            }
        }
        let given = query.time.as_deref().and_then(|text| time::parse(text.as_bytes()));
        let metadata = [
            ("host", query.host),
            ("splunk_source", query.source),
            ("sourcetype", query.sourcetype),
            ("index", query.index),
        ];
        Lines {
            settings,
            tag,
            time: given,
            metadata: metadata.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
            len: 0,
            at: 0,
            taken: false,
        }
    }

    pub(super) fn tag(&self) -> &[u8] {
        &self.tag
    }

    /// Turns to the body.
    pub(super) fn open(&mut self, body: Bytes, batcher: &mut Batcher) {
        (self.len, self.at, self.taken) = (body.len(), 0, false);
        batcher.open(body);
    }

    /// Decodes a part of the body.
    pub(super) fn step(&mut self, context: &Context, batcher: &mut Batcher, tally: &mut Tally) -> Step {
        let pause = self.at.saturating_add(STEP_BYTES);
        while self.at < pause {
            let rest = batcher.batch.frame.get(self.at..self.len).unwrap_or_default();
            if rest.is_empty() {
                return if self.taken { Step::Done } else { Step::Bad(Code::NoData, 0) };
            }
            let end = memchr::memchr(b'\n', rest);
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            let span = Span::frame(self.at, text.len());
            self.at += line.len() + usize::from(end.is_some());
            if !span.is_empty() {
                self.line(span, context, batcher, tally);
            }
        }
        Step::More
    }

    fn line(&mut self, text: Span, context: &Context, batcher: &mut Batcher, tally: &mut Tally) {
        self.taken = true;
        tally.records += 1;
        batcher.begin(&self.tag, self.time.unwrap_or(context.received));
        push_log(text, self.settings.max_event, batcher, tally);
        for (key, value) in &self.metadata {
            batcher.push_text(key, value.as_bytes());
        }
        push_extra(context, batcher);
    }
}
