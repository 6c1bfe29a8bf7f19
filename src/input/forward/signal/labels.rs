//! The labels of metrics, as Log Service wants them: `k1#$#v1|k2#$#v2`, sorted by key.
//!
//! ```text
//! own       of the series: the metric's label keys with the value's label values
//! static    of the context: meta.processing.static_labels
//! resource  of the context, from OTLP: meta.external.resource.attributes, and scope as otel_scope_name,
//!           otel_scope_version, otel_scope_<attribute>
//! ```
//!
//! A label that is nil or empty is absent. Where two have one key the more specific one counts, own before static before
//! resource; where keys become equal only because of characters that a key cannot have, values are joined with `;`, as
//! OpenTelemetry does it for Prometheus. Keys have letters, digits and `_`, and begin with no digit; anything else becomes
//! `_`. In values `|` and `#$#`, which Log Service cannot tell from its separators, become `_`.

use std::ops::Range;

use super::contexts::{Items, lookup_in};
use crate::input::forward::tally::Invalid;
use crate::record::json;
use crate::record::msgpack::Walker;

/// Labels of a series, and as many of a context.
const LABELS: usize = 256;
/// Bytes of one key.
const KEY_BYTES: usize = 1_024;
/// Bytes of all labels of one series, as text. A value of Log Service may have 1 MiB, but this is in every sample.
const TEXT_BYTES: usize = 64 * 1024;
/// A resource attribute that is longer is not made a label.
const SHARED_VALUE_BYTES: usize = 4 * 1024;

/// A key, and where its value stands: in the frame, or of the own labels the place in their order.
#[derive(Clone, Debug)]
struct Label {
    key: Box<[u8]>,
    value: usize,
}

/// Labels that all series of a context share.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    /// Sorted by key; of equal keys the static ones first.
    labels: Vec<(Source, Label)>,
    /// Resource attributes that were left out.
    pub(super) left_out: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Own,
    Static,
    Resource,
}

impl Shared {
    /// Reads them from the context's `meta`.
    pub(super) fn read(bytes: &[u8], meta: &Option<Range<usize>>) -> Result<Shared, Invalid> {
        let mut shared = Shared::default();
        let [external, processing] = lookup_in(bytes, meta, [b"external", b"processing"])?;
        let [labels] = lookup_in(bytes, &processing, [b"static_labels"])?;
        let mut text = 0;
        if let Some(place) = labels {
            let mut pairs = Items::open(bytes, &place)?;
            while let Some(pair) = pairs.next(bytes) {
                let mut pair = Items::open(bytes, &pair?)?;
                let (Some(key), Some(value)) = (pair.next(bytes), pair.next(bytes)) else {
                    return Err(Invalid::Signal);
                };
                let (key, value) = (key?, value?);
                let Some(key) = key_at(bytes, &key)?.filter(|_| is_present(bytes, value.start)) else {
                    continue;
                };
                text += key.len() + value.len();
                if shared.labels.len() == LABELS || text > TEXT_BYTES {
                    return Err(Invalid::Large);
                }
                shared.labels.push((Source::Static, Label { key, value: value.start }));
            }
        }
        // What OTLP says is extra: odd forms of it cost no sample.
        let _ = shared.add_otlp(bytes, &external);
        shared.labels.sort_by(|(a_source, a), (b_source, b)| (&a.key, a_source).cmp(&(&b.key, b_source)));
        Ok(shared)
    }

    fn add_otlp(&mut self, bytes: &[u8], external: &Option<Range<usize>>) -> Result<(), Invalid> {
        let [resource, scope] = lookup_in(bytes, external, [b"resource", b"scope"])?;
        let [attributes] = lookup_in(bytes, &resource, [b"attributes"])?;
        self.add_attributes(bytes, b"", &attributes)?;
        let [metadata, attributes] = lookup_in(bytes, &scope, [b"metadata", b"attributes"])?;
        let [name, version] = lookup_in(bytes, &metadata, [b"name", b"version"])?;
        for (key, value) in [(&b"otel_scope_name"[..], name), (b"otel_scope_version", version)] {
            if let Some(value) = value {
                self.add_shared(bytes, key.into(), value);
            }
        }
        self.add_attributes(bytes, b"otel_scope_", &attributes)
    }

    fn add_attributes(
        &mut self,
        bytes: &[u8],
        prefix: &[u8],
        attributes: &Option<Range<usize>>,
    ) -> Result<(), Invalid> {
        let Some(place) = attributes else { return Ok(()) };
        let mut walker = Walker::at(bytes, place.start);
        for _ in 0..walker.take_map().unwrap_or(0) {
            let key = walker.take_bytes().and_then(|place| bytes.get(place)).ok_or(Invalid::Signal)?;
            let value = walker.skip()?;
            if key.len() > KEY_BYTES {
                self.left_out += 1;
                continue;
            }
            self.add_shared(bytes, clean_key(&[prefix, key].concat()), value);
        }
        Ok(())
    }

    fn add_shared(&mut self, bytes: &[u8], key: Box<[u8]>, value: Range<usize>) {
        if !is_present(bytes, value.start) {
            return;
        }
        if self.labels.len() >= LABELS || value.len() > SHARED_VALUE_BYTES {
            self.left_out += 1;
        } else {
            self.labels.push((Source::Resource, Label { key, value: value.start }));
        }
    }
}

/// The label keys of a metric, among those its series share.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    own: Vec<Label>,
    /// Label values that a series can have, those without a key included.
    places: usize,
    /// All keys in order: whose, and which.
    order: Vec<(Source, usize)>,
}

impl Keys {
    /// Reads the metric's keys, which may be absent.
    pub(super) fn read(bytes: &[u8], place: &Option<Range<usize>>, shared: &Shared) -> Result<Keys, Invalid> {
        let mut keys = Keys::default();
        if let Some(place) = place {
            let mut items = Items::open(bytes, place)?;
            if items.left() > LABELS {
                return Err(Invalid::Large);
            }
            while let Some(item) = items.next(bytes) {
                if let Some(key) = key_at(bytes, &item?)? {
                    keys.own.push(Label { key, value: keys.places });
                }
                keys.places += 1;
            }
        }
        keys.own.sort_by(|a, b| a.key.cmp(&b.key));
        keys.order.extend((0..keys.own.len()).map(|at| (Source::Own, at)));
        keys.order.extend(shared.labels.iter().enumerate().map(|(at, (source, _))| (*source, at)));
        // Two sorted runs, which this merges.
        let own = &keys.own;
        let key = |(source, at): &(Source, usize)| label(own, shared, *source, *at).map(|label| &label.key);
        keys.order.sort_by(|a, b| key(a).cmp(&key(b)).then(a.0.cmp(&b.0)));
        Ok(keys)
    }

    /// Reads where the label values of a series stand, into `values`.
    pub(super) fn values(
        &self,
        bytes: &[u8],
        place: &Option<Range<usize>>,
        values: &mut Vec<usize>,
    ) -> Result<(), Invalid> {
        values.clear();
        let Some(place) = place else { return Ok(()) };
        let mut items = Items::open(bytes, place)?;
        if items.left() > LABELS {
            return Err(Invalid::Large);
        }
        while let Some(item) = items.next(bytes) {
            let place = item?.start;
            if values.len() >= self.places && is_present(bytes, place) {
                return Err(Invalid::Signal);
            }
            values.push(place);
        }
        Ok(())
    }

    /// Appends the labels of a series with one more, which tells its samples apart and replaces what has its key.
    pub(super) fn append(
        &self,
        out: &mut Vec<u8>,
        bytes: &[u8],
        shared: &Shared,
        values: &[usize],
        mut more: Option<(&[u8], &[u8])>,
    ) -> Result<(), Invalid> {
        let from = out.len();
        let mut rest = &self.order[..];
        let find = |source: Source, at: usize| label(&self.own, shared, source, at);
        while let [(source, at), ..] = *rest {
            let Some(first) = find(source, at) else { break };
            let same = rest
                .iter()
                .take_while(|(source, at)| find(*source, *at).is_some_and(|next| next.key == first.key));
            let (group, behind) = rest.split_at(same.count().max(1));
            rest = behind;
            if let Some((key, text)) = more.take_if(|(key, _)| *key <= &*first.key) {
                append_pair(out, from, key, |out| {
                    out.extend_from_slice(text);
                    Ok(())
                })?;
                if key == &*first.key {
                    continue;
                }
            }
            let value_of = |(source, at): &(Source, usize)| {
                let label = find(*source, *at)?;
                let place = if *source == Source::Own { *values.get(label.value)? } else { label.value };
                is_present(bytes, place).then_some((*source, place))
            };
            let Some((best, _)) = group.iter().find_map(value_of) else { continue };
            let mut joined = group.iter().filter_map(value_of).filter(|(source, _)| *source == best);
            append_pair(out, from, &first.key, |out| {
                if let Some((_, place)) = joined.next() {
                    append_value(out, bytes, place)?;
                }
                joined.try_for_each(|(_, place)| {
                    out.push(b';');
                    append_value(out, bytes, place)
                })
            })?;
            if out.len() - from > TEXT_BYTES {
                return Err(Invalid::Large);
            }
        }
        if let Some((key, text)) = more {
            append_pair(out, from, key, |out| {
                out.extend_from_slice(text);
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn label<'a>(own: &'a [Label], shared: &'a Shared, source: Source, at: usize) -> Option<&'a Label> {
    match source {
        Source::Own => own.get(at),
        Source::Static | Source::Resource => shared.labels.get(at).map(|(_, label)| label),
    }
}

fn append_pair(
    out: &mut Vec<u8>,
    from: usize,
    key: &[u8],
    value: impl FnOnce(&mut Vec<u8>) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    if out.len() > from {
        out.push(b'|');
    }
    out.extend_from_slice(key);
    out.extend_from_slice(b"#$#");
    value(out)
}

/// Whether a label's value is anything but nil or empty.
fn is_present(bytes: &[u8], place: usize) -> bool {
    let mut walker = Walker::at(bytes, place);
    match walker.peek() {
        None | Some(0xc0) => false,
        _ => walker.take_bytes().is_none_or(|text| !text.is_empty()),
    }
}

/// Appends the value at `place` without what separates labels.
fn append_value(out: &mut Vec<u8>, bytes: &[u8], place: usize) -> Result<(), Invalid> {
    let from = out.len();
    let mut walker = Walker::at(bytes, place);
    if walker.clone().skip()?.len() > TEXT_BYTES {
        return Err(Invalid::Large);
    }
    json::append_text(out, bytes, &mut walker)?;
    if out[from..].iter().any(|byte| matches!(byte, b'|' | b'$')) {
        let text = out.split_off(from);
        let mut rest = &text[..];
        while let [first, behind @ ..] = rest {
            (rest, _) = match rest.strip_prefix(b"#$#") {
                Some(behind) => (behind, out.push(b'_')),
                None => (behind, out.push(if *first == b'|' { b'_' } else { *first })),
            };
        }
    }
    Ok(())
}

/// The key at `place` as Log Service allows it; `None` when it is nil or empty.
fn key_at(bytes: &[u8], place: &Range<usize>) -> Result<Option<Box<[u8]>>, Invalid> {
    let mut walker = Walker::at(bytes, place.start);
    if walker.peek() == Some(0xc0) {
        return Ok(None);
    }
    let key = walker.take_bytes().and_then(|place| bytes.get(place)).ok_or(Invalid::Signal)?;
    match key.len() {
        0 => Ok(None),
        1..=KEY_BYTES => Ok(Some(clean_key(key))),
        _ => Err(Invalid::Large),
    }
}

fn clean_key(key: &[u8]) -> Box<[u8]> {
    let digit = key.first().is_some_and(u8::is_ascii_digit);
    let clean = key.iter().map(|byte| if byte.is_ascii_alphanumeric() { *byte } else { b'_' });
    digit.then_some(b'_').into_iter().chain(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        let mut bytes = vec![0xd9, text.len() as u8];
        bytes.extend(text.as_bytes());
        let mut out = b"before|".to_vec();
        append_value(&mut out, &bytes, 0).unwrap();
        String::from_utf8(out).unwrap().strip_prefix("before|").unwrap().to_owned()
    }

    #[test]
    fn separators_vanish_from_keys_and_values() {
        assert_eq!(value("a|b#$#c#$d$#"), "a_b_c#$d$#");
        assert_eq!(value("#$#$#|"), "_$#_");
        assert_eq!(value("plain"), "plain");
        for (key, clean) in [("a.b-c", "a_b_c"), ("1st", "_1st"), ("_x", "_x"), ("\u{e9}", "__")] {
            assert_eq!(&*clean_key(key.as_bytes()), clean.as_bytes());
        }
    }
}
