//! Metrics as Fluent Bit sends them (cmetrics), as the samples of Log Service's metric stores.
//!
//! ```text
//! context {"meta": {"external": .., "processing": {"static_labels": [[k, v], ..]}}, "metrics": [metric, ..]}
//! metric  {"meta": {"type": t, "opts": {"ns", "ss", "name"}, "labels": [k, ..], "buckets" | "quantiles": [f, ..]},
//!          "values": [{"ts": ns, "labels": [v | nil, ..], ...}, ..]}
//!
//! record  __name__       ns_ss_name, and _bucket, _sum, _count       __labels__   see labels
//!         __time_nano__  nanoseconds since 1970, 19 digits           __value__    text; NaN, +Inf, -Inf
//! ```
//!
//! Source of the layout, nanoseconds included: Log Service's documentation of metrics ("Timestamps are accurate to the
//! nanosecond", example 1585727297293000000), and its own clients. Names have letters, digits, `_` and `:` and begin with
//! no digit; anything else becomes `_`. Types do not change names. A sample without a time has that of receipt.
//!
//! What has no place in the layout is left out: descriptions, units, start times, hashes, whether a sum is a delta, and
//! what OTLP says of single points (exemplars, flags). Keys come in any order, so a map's places are found before
//! anything in it is read. A metric with names or bounds beyond the limits costs its values, each counted.

use std::ops::Range;

use super::STEP_ARENA_BYTES;
use super::budget::Budget;
use super::contexts::{Contexts, Items, lookup, lookup_in, natural, text};
use super::labels::{Keys, Shared};
use super::samples::{self, Kind, Part, Sample, append_float};
use crate::input::forward::entries::Settings;
use crate::input::forward::tally::{Invalid, Tally};
use crate::record::{Batch, Span, Timestamp, number};

/// Bytes of a metric's name.
const NAME_BYTES: usize = 1_024;
/// What a record costs beside its name, labels and value: the keys, the time, framing.
const RECORD_BYTES: usize = 96;

#[derive(Debug)]
pub(super) struct Metrics {
    contexts: Contexts,
    budget: Budget,
    shared: Shared,
    metrics: Items,
    metric: Metric,
    values: Items,
    /// Why no value of the context, or of the metric, can be kept.
    context_fault: Option<Invalid>,
    metric_fault: Option<Invalid>,
    /// The value in hand: its samples, those that were written, its time and where its labels stand.
    samples: Vec<Sample>,
    written: usize,
    time: Timestamp,
    labels: Vec<usize>,
    /// Of a bound.
    text: Vec<u8>,
}

#[derive(Debug)]
struct Metric {
    name: Vec<u8>,
    kind: Kind,
    keys: Keys,
    bounds: Vec<f64>,
}

/// Text of this step that several records use.
#[derive(Default)]
struct Texts {
    /// Of the layout: labels, time, value, name.
    keys: [Span; 4],
    names: [Option<Span>; Part::COUNT],
    labels: Option<Span>,
    time: Option<Span>,
}

impl Metrics {
    pub(super) fn new(contexts: Contexts, bytes: usize) -> Self {
        Metrics {
            contexts,
            budget: Budget::new(bytes),
            shared: Shared::default(),
            metrics: Items::default(),
            metric: Metric {
                name: Vec::new(),
                kind: Kind::Single,
                keys: Keys::default(),
                bounds: Vec::new(),
            },
            values: Items::default(),
            context_fault: None,
            metric_fault: None,
            samples: Vec::new(),
            written: 0,
            time: Timestamp::default(),
            labels: Vec::new(),
            text: Vec::new(),
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
        let mut texts = Texts {
            keys: [&b"__labels__"[..], b"__time_nano__", b"__value__", b"__name__"]
                .map(|key| batch.keep(key)),
            ..Texts::default()
        };
        let (arena_from, mut records) = (batch.arena.len(), 0);
        loop {
            if records >= at_most || (records > 0 && batch.arena.len() - arena_from > STEP_ARENA_BYTES) {
                return true;
            }
            if let Some(sample) = self.samples.get(self.written) {
                match self.write(batch, bytes, &mut texts, *sample) {
                    Ok(()) => {
                        self.written += 1;
                        records += 1;
                    }
                    Err(reason) => {
                        tally.drop(reason);
                        self.samples.clear();
                    }
                }
            } else if let Some(value) = self.values.next(bytes) {
                (texts.labels, texts.time) = (None, None);
                if let Err(reason) = value.and_then(|place| self.open_value(bytes, place, settings)) {
                    tally.drop(reason);
                    self.samples.clear();
                }
            } else if let Some(metric) = self.metrics.next(bytes) {
                texts.names = Default::default();
                if let Err(reason) = metric.and_then(|place| self.open_metric(bytes, &place)) {
                    tally.drop(reason);
                }
            } else {
                match self.contexts.next(bytes) {
                    Some(context) => {
                        if let Err(reason) = context.and_then(|place| self.open_context(bytes, &place, tally))
                        {
                            tally.drop(reason);
                        }
                    }
                    None => return false,
                }
            }
        }
    }

    fn open_context(&mut self, bytes: &[u8], place: &Range<usize>, tally: &mut Tally) -> Result<(), Invalid> {
        let [meta, metrics] = lookup(bytes, place, [b"meta", b"metrics"])?;
        let metrics = Items::open(bytes, &metrics.ok_or(Invalid::Signal)?)?;
        let shared = Shared::read(bytes, &meta);
        self.context_fault = shared.as_ref().err().copied();
        self.shared = shared.unwrap_or_default();
        tally.unshared += self.shared.left_out;
        self.metrics = metrics;
        Ok(())
    }

    fn open_metric(&mut self, bytes: &[u8], place: &Range<usize>) -> Result<(), Invalid> {
        let [meta, values] = lookup(bytes, place, [b"meta", b"values"])?;
        let values = Items::open(bytes, &values.ok_or(Invalid::Signal)?)?;
        // Fluent Bit sends all metrics it knows, many of them without values.
        if values.left() > 0 && self.context_fault.is_none() && !self.budget.is_spent() {
            self.metric_fault = self.metric.read(bytes, &meta, &self.shared).err();
        }
        self.values = values;
        Ok(())
    }

    fn open_value(&mut self, bytes: &[u8], place: Range<usize>, settings: &Settings) -> Result<(), Invalid> {
        self.samples.clear();
        self.written = 0;
        if let Some(reason) = self.context_fault.or(self.metric_fault) {
            return Err(reason);
        }
        if self.budget.is_spent() {
            return Err(Invalid::Multiplied);
        }
        let [time, labels] = lookup(bytes, &place, [b"ts", b"labels"])?;
        self.time = match natural(bytes, &time) {
            None | Some(0) => settings.received,
            Some(nanos) => Timestamp::new((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000) as u32),
        };
        self.metric.keys.values(bytes, &labels, &mut self.labels)?;
        samples::read(bytes, self.metric.kind, &self.metric.bounds, &place, &mut self.samples)
    }

    /// Adds the record of a sample, or leaves the batch's records as they were.
    fn write(
        &mut self,
        batch: &mut Batch,
        bytes: &[u8],
        texts: &mut Texts,
        sample: Sample,
    ) -> Result<(), Invalid> {
        let name = match texts.names[sample.part as usize] {
            Some(name) => name,
            None => {
                let name = batch.make(|arena| {
                    arena.extend_from_slice(&self.metric.name);
                    arena.extend_from_slice(sample.part.suffix());
                });
                *texts.names[sample.part as usize].insert(name)
            }
        };
        let labels = match (sample.bound, texts.labels) {
            (None, Some(labels)) => labels,
            (bound, _) => {
                self.text.clear();
                let more = bound.map(|bound| {
                    append_float(&mut self.text, bound);
                    (self.metric.kind.label(), &self.text[..])
                });
                let from = batch.arena.len();
                let keys = &self.metric.keys;
                if let Err(reason) = keys.append(&mut batch.arena, bytes, &self.shared, &self.labels, more) {
                    // Else labels that are refused could be made for every sample, at no charge.
                    self.budget.take(batch.arena.len() - from);
                    batch.arena.truncate(from);
                    return Err(reason);
                }
                let labels = Span::arena(from, batch.arena.len() - from);
                if bound.is_none() {
                    texts.labels = Some(labels);
                }
                labels
            }
        };
        let time = match texts.time {
            Some(time) => time,
            None => {
                let Timestamp { seconds, nanos } = self.time;
                let count = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                *texts.time.insert(batch.make(|arena| number::append_i64(arena, count)))
            }
        };
        let value = batch.make(|arena| sample.value.append(arena));
        if !self.budget.take(RECORD_BYTES + name.len() + labels.len() + value.len()) {
            return Err(Invalid::Multiplied);
        }
        batch.begin(self.time);
        for (key, value) in texts.keys.into_iter().zip([labels, time, value, name]) {
            batch.push(key, value);
        }
        Ok(())
    }
}

impl Metric {
    fn read(&mut self, bytes: &[u8], meta: &Option<Range<usize>>, shared: &Shared) -> Result<(), Invalid> {
        let [kind, opts, labels, buckets, quantiles] =
            lookup_in(bytes, meta, [b"type", b"opts", b"labels", b"buckets", b"quantiles"])?;
        self.kind = natural(bytes, &kind).and_then(Kind::of).ok_or(Invalid::Signal)?;
        let parts = lookup_in(bytes, &opts, [b"ns", b"ss", b"name"])?;
        self.name.clear();
        for part in parts.iter().map(|place| text(bytes, place)).filter(|part| !part.is_empty()) {
            if self.name.len() + part.len() > NAME_BYTES {
                return Err(Invalid::Large);
            }
            if !self.name.is_empty() || part.first().is_some_and(u8::is_ascii_digit) {
                self.name.push(b'_');
            }
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b':';
            self.name.extend(part.iter().map(|byte| if legal(*byte) { *byte } else { b'_' }));
        }
        if self.name.is_empty() {
            return Err(Invalid::Signal);
        }
        let bounds = if self.kind == Kind::Summary { quantiles } else { buckets };
        self.bounds = match bounds {
            Some(place) if matches!(self.kind, Kind::Histogram | Kind::Summary) => {
                samples::bounds(bytes, &place)?
            }
            _ => Vec::new(),
        };
        self.keys = Keys::read(bytes, &labels, shared)?;
        Ok(())
    }
}
