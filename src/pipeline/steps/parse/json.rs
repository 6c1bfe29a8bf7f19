//! JSON objects as fields: the processor `parse: json`.
//!
//! ```text
//! log={"level":"info","n":1.50,"ctx":{"a":1,"b":{"c":2}},"none":null}
//! depth 1:  level=info  n=1.50  ctx={"a":1,"b":{"c":2}}  none=
//! depth 2:  level=info  n=1.50  ctx.a=1  ctx.b={"c":2}   none=
//! ```
//!
//! Text is unescaped, numbers keep the digits that were sent, what is nested deeper than the plan's depth stays compact
//! JSON, and so do arrays and empty objects. Null is what the plan makes of nil.
//!
//! It refuses what is no object, has anything but blanks behind it, or is nested too deep.

use super::splice::Splice;
use crate::base::limits::{DEPTH, KEY_BYTES};
use crate::config::plan::Nil;
use crate::record::json::{ReadLimits, Value, read_object};
use crate::record::{Batch, Span};

pub(super) struct Parser {
    depth: usize,
    nil: Nil,
}

impl Parser {
    pub(super) fn new(depth: usize, nil: Nil) -> Parser {
        Parser { depth, nil }
    }

    pub(super) fn parse(&self, batch: &mut Batch, text: Span, splice: &mut Splice<'_>) -> bool {
        let begins = batch.bytes(text).iter().find(|byte| !is_blank(byte));
        if begins != Some(&b'{') {
            return false;
        }
        let taken = self.object(batch, text, None, self.depth, splice);
        taken.is_some_and(|taken| batch.bytes(text).get(taken..).unwrap_or_default().iter().all(is_blank))
    }

    /// Puts the members of an object, whose own name is `path` if it has one, and gives the bytes it took. It calls itself
    /// for objects within, no deeper than the reader takes them.
    fn object(
        &self,
        batch: &mut Batch,
        text: Span,
        path: Option<Span>,
        depth: usize,
        splice: &mut Splice<'_>,
    ) -> Option<usize> {
        let limits = ReadLimits { depth: DEPTH, members: splice.left() };
        let mut sound = true;
        let taken = read_object(batch, text, &limits, &mut |batch, key, value| {
            sound = sound && self.member(batch, path, (key, value), depth, splice);
        });
        taken.ok().filter(|_| sound)
    }

    fn member(
        &self,
        batch: &mut Batch,
        path: Option<Span>,
        (key, value): (Span, Value),
        depth: usize,
        splice: &mut Splice<'_>,
    ) -> bool {
        let name = match path {
            Some(path) => dotted(batch, path, key),
            None => splice.prefixed(batch, key),
        };
        if let Value::Nested(inner) = value
            && depth > 1
            && is_filled_object(batch.bytes(inner))
            // Every member would carry it; without a bound, a long one would make a large text gigantic.
            && name.len() < KEY_BYTES
        {
            return self.object(batch, inner, Some(name), depth - 1, splice).is_some();
        }
        let value = match (value.text(batch), self.nil) {
            (Some(value), _) => value,
            (None, Nil::Empty) => Span::EMPTY,
            (None, Nil::Drop) => return splice.pass(),
        };
        splice.put(batch, name, value)
    }
}

/// `path.key`
fn dotted(batch: &mut Batch, path: Span, key: Span) -> Span {
    let made = |batch: &mut Batch, span: Span, end: &[u8]| {
        batch.rewrite(span, span.len() + end.len(), |text, out| {
            let (room, rest) = out.split_at_mut(text.len());
            room.copy_from_slice(text);
            rest.copy_from_slice(end);
            text.len() + end.len()
        })
    };
    let at = batch.arena.len();
    let len = made(batch, path, b".").len() + made(batch, key, b"").len();
    Span::arena(at, len)
}

/// Nested values come as compact JSON.
fn is_filled_object(nested: &[u8]) -> bool {
    nested.starts_with(b"{") && nested != b"{}"
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}
