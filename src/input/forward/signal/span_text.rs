//! What a span of Log Service has as text that ctraces has as values: attributes, links and events as JSON, ids.
//!
//! All of it is read tolerantly where a value is missing, and refused where a map or a list should stand and something
//! else does: then the bytes were read at the wrong place.

use std::ops::Range;

use super::contexts::{Items, lookup, natural, text};
use crate::base::limits::VALUE_BYTES;
use crate::input::forward::tally::{Invalid, Tally};
use crate::record::msgpack::{Token, Walker};
use crate::record::{Batch, Span, json, number, text as plain};

/// Appends all attributes but host.name and service.name as a JSON object, and gives the places of those two.
pub(super) fn append_resource(
    out: &mut Vec<u8>,
    bytes: &[u8],
    place: &Range<usize>,
) -> Result<[Option<Range<usize>>; 2], Invalid> {
    let mut apart = [const { None }; 2];
    let mut walker = Walker::at(bytes, place.start);
    out.push(b'{');
    for _ in 0..walker.take_map().unwrap_or(0) {
        let key = walker.take_bytes().and_then(|place| bytes.get(place)).ok_or(Invalid::Signal)?;
        let is_text = walker.clone().take_bytes().is_some();
        let value = walker.skip()?;
        match key {
            b"host.name" if is_text => apart[0] = Some(value),
            b"service.name" if is_text => apart[1] = Some(value),
            _ => {
                if out.len() > 1 {
                    out.push(b',');
                }
                plain::append_json_string(out, key);
                out.push(b':');
                json::append_json(out, bytes, &mut Walker::at(bytes, value.start))?;
            }
        }
    }
    out.push(b'}');
    Ok(apart)
}

/// The map at `place` as JSON; nothing for an empty one and for nil.
pub(super) fn object(batch: &mut Batch, bytes: &[u8], place: &Range<usize>) -> Result<Span, Invalid> {
    let mut walker = Walker::at(bytes, place.start);
    if !walker.filled_map() {
        return match walker.next()? {
            Token::Nil | Token::Map(0) => Ok(Span::EMPTY),
            _ => Err(Invalid::Signal),
        };
    }
    let from = batch.arena.len();
    if let Err(error) = json::append_json(&mut batch.arena, bytes, &mut walker) {
        batch.arena.truncate(from);
        return Err(error.into());
    }
    Ok(Span::arena(from, batch.arena.len() - from))
}

/// An id: hexadecimal text as it came, raw bytes made so.
pub(super) fn identifier(batch: &mut Batch, bytes: &[u8], place: &Option<Range<usize>>) -> Span {
    let id = text(bytes, place);
    let raw = place.as_ref().is_some_and(|place| matches!(bytes.get(place.start), Some(0xc4..=0xc6)));
    if !raw {
        return batch.keep(id);
    }
    const HEX: &[u8; 16] = b"0123456789abcdef";
    batch.make(|arena| {
        arena.extend(id.iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]));
    })
}

/// How an element of `links` or `logs` is written: its keys on the wire and here.
pub(super) struct Nested {
    texts: &'static [(&'static [u8], &'static str)],
    time: bool,
}

impl Nested {
    pub(super) const LINK: Nested = Nested {
        texts: &[(b"trace_id", "traceID"), (b"span_id", "spanID"), (b"trace_state", "traceState")],
        time: false,
    };
    pub(super) const EVENT: Nested = Nested { texts: &[(b"name", "name")], time: true };

    fn append(&self, out: &mut Vec<u8>, bytes: &[u8], place: &Range<usize>) -> Result<(), Invalid> {
        let [attributes, dropped, time] =
            lookup(bytes, place, [b"attributes", b"dropped_attributes_count", b"time_unix_nano"])?;
        for (at, (key, name)) in self.texts.iter().enumerate() {
            let [value] = lookup(bytes, place, [*key])?;
            out.extend_from_slice(if at == 0 { b"{\"" } else { b",\"" });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            plain::append_json_string(out, text(bytes, &value));
        }
        if self.time {
            out.extend_from_slice(b",\"time\":");
            number::append_u64(out, natural(bytes, &time).unwrap_or(0));
        }
        out.extend_from_slice(b",\"attribute\":");
        match attributes {
            Some(place) if Walker::at(bytes, place.start).filled_map() => {
                json::append_json(out, bytes, &mut Walker::at(bytes, place.start))?;
            }
            _ => out.extend_from_slice(b"{}"),
        }
        if let Some(dropped) = natural(bytes, &dropped).filter(|dropped| *dropped > 0) {
            out.extend_from_slice(b",\"droppedAttributes\":");
            number::append_u64(out, dropped);
        }
        out.push(b'}');
        Ok(())
    }
}

/// The links or events at `place` as a JSON array. Those that would not fit a value of Log Service are counted, not
/// written: a JSON that is cut is none.
pub(super) fn array(
    batch: &mut Batch,
    bytes: &[u8],
    place: &Option<Range<usize>>,
    nested: Nested,
    tally: &mut Tally,
) -> Result<Span, Invalid> {
    let mut items = match place {
        Some(place) => Items::open(bytes, place)?,
        None => Items::default(),
    };
    let arena = &mut batch.arena;
    let from = arena.len();
    arena.push(b'[');
    while let Some(item) = items.next(bytes) {
        let end = arena.len();
        if end > from + 1 {
            arena.push(b',');
        }
        if let Err(reason) = item.and_then(|place| nested.append(arena, bytes, &place)) {
            arena.truncate(from);
            return Err(reason);
        }
        if arena.len() - from >= VALUE_BYTES {
            arena.truncate(end);
            tally.drop(Invalid::Large);
        }
    }
    arena.push(b']');
    Ok(Span::arena(from, arena.len() - from))
}
