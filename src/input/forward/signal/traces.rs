//! Traces as Fluent Bit sends them (ctraces), as the spans of Log Service's trace layout.
//!
//! ```text
//! context   {"resourceSpans": [{"resource": {"attributes": {..}}, "schema_url", "scope_spans": [
//!               {"scope": nil | {"name", "version", "attributes"}, "schema_url", "spans": [span, ..]}]}]}
//!
//! host, service      resource attributes host.name, service.name     resource      the others, JSON
//! otlp.name          the scope's name                                otlp.version  its version
//! traceID, spanID, parentSpanID      hexadecimal                     traceState    as it came
//! name               of the span     kind   internal, server, client, producer, consumer, or nothing
//! start, end, duration               microseconds since 1970, between both
//! attribute          JSON object     statusCode  UNSET, OK, ERROR    statusMessage
//! links              JSON array of {"traceID","spanID","traceState","attribute"}
//! logs               the span's events: JSON array of {"name","time","attribute"}, time in nanoseconds
//! ```
//!
//! Source: Log Service's documentation "Trace data formats" and its exporter in the OpenTelemetry collector
//! (alibabacloudlogserviceexporter), which decides where the documentation disagrees with itself: microseconds, kinds in
//! lower case, the names inside `links` and `logs`. The record's time is the span's start. What the layout has no place
//! for gets a field of its own where there is any: `otlp.attribute` (the scope's), `schemaUrl` (the innermost one),
//! `droppedAttributes`, `droppedEvents`, `droppedLinks`; in links and events `droppedAttributes`.
//!
//! Fluent Bit writes an attribute of a kind it does not know as a key without a value. Everything behind it is then read
//! at the wrong place, the next context included; so once a span or what holds it is not built as one, the context is
//! given up, and the next is looked for by the bytes it begins with.

use std::ops::Range;

use super::STEP_ARENA_BYTES;
use super::budget::Budget;
use super::contexts::{Contexts, Items, lookup, lookup_in, natural, text};
use super::span_text::{Nested, append_resource, array, identifier, object};
use crate::base::limits::{KIB, MIB};
use crate::input::forward::entries::Settings;
use crate::input::forward::tally::{Invalid, Tally};
use crate::record::{Batch, Span, Timestamp, number};

/// A map with one key, resourceSpans.
const START: &[u8] = b"\x81\xadresourceSpans";
/// MessagePack of one span. Log Service takes 1 MiB of text a value; JSON can be several times as long.
const SPAN_BYTES: usize = 16 * MIB;
/// MessagePack of a resource or scope that its spans share.
const SHARED_BYTES: usize = 256 * KIB;
/// What a record costs beside its text: the keys, the framing.
const RECORD_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct Traces {
    contexts: Contexts,
    /// For records, and for what is written into many of them.
    budget: Budget,
    shared_budget: Budget,
    resources: Items,
    /// The resource's attributes.
    resource: Option<Range<usize>>,
    resource_schema: Option<Range<usize>>,
    scopes: Items,
    /// The scope's name, version and attributes.
    scope: [Option<Range<usize>>; 3],
    scope_schema: Option<Range<usize>>,
    spans: Items,
}

/// What the spans of a scope share, as text of this step's arena.
#[derive(Clone, Copy, Default)]
struct Shared {
    host: Span,
    service: Span,
    resource: Span,
    scope_name: Span,
    scope_version: Span,
    scope_attributes: Span,
    schema: Span,
    /// Some of it could not be made, or is too long.
    incomplete: bool,
}

impl Shared {
    fn bytes(&self) -> usize {
        let Shared { host, service, resource, scope_name, scope_version, scope_attributes, schema, .. } =
            self;
        let spans = [host, service, resource, scope_name, scope_version, scope_attributes, schema];
        spans.iter().map(|span| span.len()).sum()
    }
}

impl Traces {
    pub(super) fn new(contexts: Contexts, bytes: usize) -> Self {
        Traces {
            contexts,
            budget: Budget::new(bytes),
            shared_budget: Budget::new(bytes),
            resources: Items::default(),
            resource: None,
            resource_schema: None,
            scopes: Items::default(),
            scope: Default::default(),
            scope_schema: None,
            spans: Items::default(),
        }
    }

    pub(super) fn step(
        &mut self,
        batch: &mut Batch,
        settings: &Settings,
        tally: &mut Tally,
        at_most: usize,
    ) -> bool {
        let frame = batch.frame.clone();
        let bytes = self.contexts.view(&frame);
        let mut names = Names::default();
        let mut shared = None;
        let (arena_from, mut records) = (batch.arena.len(), 0);
        loop {
            if records >= at_most || (records > 0 && batch.arena.len() - arena_from > STEP_ARENA_BYTES) {
                return true;
            }
            let read = if let Some(span) = self.spans.next(bytes) {
                let shared = match shared {
                    Some(shared) => shared,
                    None => *shared.insert(self.shared(batch, bytes)),
                };
                span.and_then(|place| {
                    let fault = if place.len() > SPAN_BYTES {
                        Some(Invalid::Large)
                    } else {
                        (!self.budget.take(RECORD_BYTES)).then_some(Invalid::Multiplied)
                    };
                    if let Some(reason) = fault {
                        tally.drop(reason);
                        return Ok(());
                    }
                    self.span(batch, bytes, &place, &mut names, shared, settings, tally)?;
                    records += 1;
                    Ok(())
                })
            } else if let Some(scope) = self.scopes.next(bytes) {
                shared = None;
                scope.and_then(|place| self.open_scope(bytes, &place))
            } else if let Some(resource) = self.resources.next(bytes) {
                resource.and_then(|place| self.open_resource(bytes, &place))
            } else {
                match self.contexts.next(bytes) {
                    Some(context) => context.and_then(|place| self.open_context(bytes, &place)),
                    None => return false,
                }
            };
            if let Err(reason) = read {
                tally.drop(reason);
                self.give_up(bytes);
            }
        }
    }

    fn open_context(&mut self, bytes: &[u8], place: &Range<usize>) -> Result<(), Invalid> {
        let [resources] = lookup(bytes, place, [b"resourceSpans"])?;
        self.resources = Items::open(bytes, &resources.ok_or(Invalid::Signal)?)?;
        Ok(())
    }

    fn open_resource(&mut self, bytes: &[u8], place: &Range<usize>) -> Result<(), Invalid> {
        let [resource, schema, scopes] = lookup(bytes, place, [b"resource", b"schema_url", b"scope_spans"])?;
        self.scopes = Items::open(bytes, &scopes.ok_or(Invalid::Signal)?)?;
        let [attributes] = lookup_in(bytes, &resource, [b"attributes"])?;
        (self.resource, self.resource_schema) = (attributes, schema);
        Ok(())
    }

    fn open_scope(&mut self, bytes: &[u8], place: &Range<usize>) -> Result<(), Invalid> {
        let [scope, schema, spans] = lookup(bytes, place, [b"scope", b"schema_url", b"spans"])?;
        self.spans = Items::open(bytes, &spans.ok_or(Invalid::Signal)?)?;
        self.scope = lookup_in(bytes, &scope, [b"name", b"version", b"attributes"])?;
        self.scope_schema = schema;
        Ok(())
    }

    /// Leaves a context that is not built as one.
    fn give_up(&mut self, bytes: &[u8]) {
        (self.spans, self.scopes, self.resources) = Default::default();
        self.contexts.find(bytes, START);
    }

    /// The text that spans of one scope share. It is charged each time it is made, so that nobody can have it made without
    /// end.
    fn shared(&mut self, batch: &mut Batch, bytes: &[u8]) -> Shared {
        let fits = |place: &&Range<usize>| place.len() <= SHARED_BYTES;
        let mut shared = Shared { resource: batch.keep(b"{}"), ..Shared::default() };
        if self.shared_budget.is_spent() {
            shared.incomplete = true;
            return shared;
        }
        let [name, version, attributes] = &self.scope;
        let all = [&self.resource, name, version, attributes];
        shared.incomplete = all.into_iter().flatten().any(|place| !fits(&place));
        let from = batch.arena.len();
        let text_of = |batch: &mut Batch, place: &Option<Range<usize>>| {
            batch.keep(text(bytes, &place.as_ref().filter(fits).cloned()))
        };
        if let Some(attributes) = self.resource.as_ref().filter(fits) {
            let mut json = Vec::new();
            if let Ok([host, service]) = append_resource(&mut json, bytes, attributes) {
                shared.host = text_of(batch, &host);
                shared.service = text_of(batch, &service);
                shared.resource = batch.keep(&json);
            } else {
                shared.incomplete = true;
            }
        }
        shared.scope_name = text_of(batch, name);
        shared.scope_version = text_of(batch, version);
        if let Some(place) = attributes.as_ref().filter(fits) {
            let attributes = object(batch, bytes, place);
            shared.incomplete |= attributes.is_err();
            shared.scope_attributes = attributes.unwrap_or_default();
        }
        let schema = [&self.scope_schema, &self.resource_schema];
        let schema = schema.into_iter().find(|place| !text(bytes, place).is_empty());
        shared.schema = schema.map(|place| text_of(batch, place)).unwrap_or_default();
        self.shared_budget.take(batch.arena.len() - from);
        shared
    }

    /// Adds the record of a span, or leaves the batch's records as they were.
    #[allow(clippy::too_many_arguments)]
    fn span(
        &mut self,
        batch: &mut Batch,
        bytes: &[u8],
        place: &Range<usize>,
        names: &mut Names,
        shared: Shared,
        settings: &Settings,
        tally: &mut Tally,
    ) -> Result<(), Invalid> {
        let found = lookup(
            bytes,
            place,
            [
                b"trace_id",
                b"span_id",
                b"parent_span_id",
                b"trace_state",
                b"name",
                b"kind",
                b"start_time_unix_nano",
                b"end_time_unix_nano",
                b"attributes",
                b"dropped_attributes_count",
                b"dropped_events_count",
                b"dropped_links_count",
                b"events",
                b"links",
                b"schema_url",
                b"status",
            ],
        )?;
        let [trace, id, parent, state, name, kind, start, end, attributes, ..] = &found;
        let [.., dropped_attributes, dropped_events, dropped_links, events, links, schema, status] = &found;
        if trace.is_none() && id.is_none() {
            return Err(Invalid::Signal);
        }
        let shared = match self.shared_budget.take(shared.bytes()) {
            true => shared,
            false => Shared { resource: batch.keep(b"{}"), incomplete: true, ..Shared::default() },
        };
        tally.unshared += u64::from(shared.incomplete);
        let start = natural(bytes, start).unwrap_or(0);
        let end = natural(bytes, end).unwrap_or(0);
        let time = match start {
            0 => settings.received,
            _ => Timestamp::new((start / 1_000_000_000) as i64, (start % 1_000_000_000) as u32),
        };
        let [code, message] = lookup_in(bytes, status, [b"code", b"message"])?;
        let mut micros = |nanos: u64| batch.make(|arena| number::append_u64(arena, nanos / 1_000));
        let times = [micros(start), micros(end), micros(end.saturating_sub(start))];
        let ids = [trace, id, parent].map(|id| identifier(batch, bytes, id));
        let links = array(batch, bytes, links, Nested::LINK, tally)?;
        let logs = array(batch, bytes, events, Nested::EVENT, tally)?;
        let attribute = match attributes {
            Some(place) => object(batch, bytes, place)?,
            None => Span::EMPTY,
        };
        let mut words = |word: &'static str| names.get(batch, word);
        let kind = words(match natural(bytes, kind) {
            Some(1) => "internal",
            Some(2) => "server",
            Some(3) => "client",
            Some(4) => "producer",
            Some(5) => "consumer",
            _ => "",
        });
        let status_code = words(match natural(bytes, &code) {
            Some(1) => "OK",
            Some(2) => "ERROR",
            _ => "UNSET",
        });
        let attribute = if attribute.is_empty() { words("{}") } else { attribute };
        let [name, state, message] = [name, state, &message].map(|place| batch.keep(text(bytes, place)));
        let schema = match text(bytes, schema) {
            b"" => shared.schema,
            own => batch.keep(own),
        };
        let dropped = [dropped_attributes, dropped_events, dropped_links].map(|count| {
            let count = natural(bytes, count).filter(|count| *count > 0);
            count.map(|count| batch.make(|arena| number::append_u64(arena, count))).unwrap_or_default()
        });

        batch.begin(time);
        let always = [
            ("host", shared.host),
            ("service", shared.service),
            ("resource", shared.resource),
            ("otlp.name", shared.scope_name),
            ("otlp.version", shared.scope_version),
            ("traceID", ids[0]),
            ("spanID", ids[1]),
            ("parentSpanID", ids[2]),
            ("kind", kind),
            ("name", name),
            ("links", links),
            ("logs", logs),
            ("traceState", state),
            ("start", times[0]),
            ("end", times[1]),
            ("duration", times[2]),
            ("attribute", attribute),
            ("statusCode", status_code),
            ("statusMessage", message),
        ];
        let extra = [
            ("otlp.attribute", shared.scope_attributes),
            ("schemaUrl", schema),
            ("droppedAttributes", dropped[0]),
            ("droppedEvents", dropped[1]),
            ("droppedLinks", dropped[2]),
        ];
        for (key, value) in always.into_iter().chain(extra.into_iter().filter(|(_, value)| !value.is_empty()))
        {
            let key = names.get(batch, key);
            batch.push(key, value);
        }
        Ok(())
    }
}

/// Words of the layout that stand in this step's arena already.
#[derive(Default)]
struct Names {
    known: Vec<(&'static str, Span)>,
}

impl Names {
    fn get(&mut self, batch: &mut Batch, word: &'static str) -> Span {
        if let Some((_, span)) = self.known.iter().find(|(known, _)| std::ptr::eq(*known, word)) {
            return *span;
        }
        let span = batch.keep(word.as_bytes());
        self.known.push((word, span));
        span
    }
}
