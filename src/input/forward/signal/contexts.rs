//! The contexts of a payload, one after the other, and what helps to look into them.
//!
//! ```text
//! Packed    ctx ctx ctx ...                            a chunk
//! Entries   [[time, [ctx, ctx, ...]], [time, ctx]]     fluentd_compat: an entry's record is an array of contexts
//! Event     ctx                                        the record of a single event
//! ```
//!
//! Places are counted from the start of the frame. A place that comes from here was walked whole, so whatever nests in
//! it ends within it.

use std::ops::Range;

use super::Shape;
use crate::input::forward::tally::Invalid;
use crate::record::msgpack::{Token, Walker};

/// Fluent Bit puts a handful of contexts into a chunk.
const SEARCHES: usize = 16;

/// The places of the elements of an array, in turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Items {
    at: usize,
    left: usize,
}

impl Items {
    /// The elements of the array at `place`; none for nil.
    pub(super) fn open(bytes: &[u8], place: &Range<usize>) -> Result<Items, Invalid> {
        let mut walker = Walker::at(bytes, place.start);
        match walker.next()? {
            Token::Array(left) => Ok(Items { at: walker.position(), left }),
            Token::Nil => Ok(Items::default()),
            _ => Err(Invalid::Signal),
        }
    }

    /// Elements still to come, as announced.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<Result<Range<usize>, Invalid>> {
        self.left = self.left.checked_sub(1)?;
        let skipped = Walker::at(bytes, self.at).skip();
        match &skipped {
            Ok(place) => self.at = place.end,
            Err(_) => self.left = 0,
        }
        Some(skipped.map_err(Invalid::from))
    }
}

#[derive(Debug)]
pub(super) struct Contexts {
    shape: Shape,
    /// What is still to be read.
    place: Range<usize>,
    /// Where the context given last begins.
    begun: usize,
    /// Times that a lost context may still be looked for: each may walk the rest of the payload.
    searches: usize,
    /// Of the shape `Entries`: entries, once its header was read, and contexts of the entry in hand.
    entries: Option<Items>,
    inner: Items,
}

impl Contexts {
    pub(super) fn new(shape: Shape, place: Range<usize>) -> Self {
        Contexts {
            shape,
            begun: place.start,
            place,
            searches: SEARCHES,
            entries: None,
            inner: Items::default(),
        }
    }

    /// The bytes of the payload and those before it.
    pub(super) fn view<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(..self.place.end).unwrap_or(frame)
    }

    /// The next context; an error is what was found in its place. `bytes` is what [`Contexts::view`] gave.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<Result<Range<usize>, Invalid>> {
        match self.shape {
            Shape::Packed | Shape::Event => {
                if self.place.is_empty() {
                    return None;
                }
                self.begun = self.place.start;
                let skipped = Walker::at(bytes, self.place.start).skip();
                self.place.start = match (&skipped, self.shape) {
                    (Ok(place), Shape::Packed) => place.end,
                    // Behind what cannot be walked nothing can be found.
                    _ => self.place.end,
                };
                Some(skipped.map_err(Invalid::from))
            }
            Shape::Entries => self.next_of_entries(bytes),
        }
    }

    fn next_of_entries(&mut self, bytes: &[u8]) -> Option<Result<Range<usize>, Invalid>> {
        loop {
            if let Some(context) = self.inner.next(bytes) {
                return Some(context);
            }
            let entries = match &mut self.entries {
                Some(entries) => entries,
                None => match Items::open(bytes, &self.place) {
                    Ok(entries) => self.entries.insert(entries),
                    Err(reason) => {
                        self.entries = Some(Items::default());
                        return Some(Err(reason));
                    }
                },
            };
            let record = match entries.next(bytes)? {
                Ok(entry) => record(bytes, &entry),
                Err(reason) => return Some(Err(reason)),
            };
            match record {
                Ok(record) if Walker::at(bytes, record.start).take_array().is_none() => {
                    return Some(Ok(record));
                }
                Ok(record) => match Items::open(bytes, &record) {
                    Ok(inner) => self.inner = inner,
                    Err(reason) => return Some(Err(reason)),
                },
                Err(reason) => return Some(Err(reason)),
            }
        }
    }

    /// Goes on at the next place in a chunk, behind where the last context began, that begins as `start` does: a context
    /// that was read wrong may have swallowed those behind it.
    pub(super) fn find(&mut self, bytes: &[u8], start: &[u8]) {
        if self.shape == Shape::Packed && self.searches > 0 {
            self.searches -= 1;
            let from = self.begun + 1;
            let found = bytes.get(from..).and_then(|rest| memchr::memmem::find(rest, start));
            self.place.start = found.map_or(self.place.end, |at| from + at);
        }
    }
}

/// The record of an entry `[time, record]`.
fn record(bytes: &[u8], entry: &Range<usize>) -> Result<Range<usize>, Invalid> {
    let mut walker = Walker::at(bytes, entry.start);
    if !matches!(walker.take_array(), Some(2..)) {
        return Err(Invalid::Entry);
    }
    walker.skip()?;
    Ok(walker.skip()?)
}

/// The values of some keys of the map at `place`, the last where a key is repeated; all `None` for nil. A map whose
/// keys are not all text was read at the wrong place.
pub(super) fn lookup<const N: usize>(
    bytes: &[u8],
    place: &Range<usize>,
    keys: [&[u8]; N],
) -> Result<[Option<Range<usize>>; N], Invalid> {
    let mut found = [const { None }; N];
    let mut walker = Walker::at(bytes, place.start);
    if walker.peek() == Some(0xc0) {
        return Ok(found);
    }
    for _ in 0..walker.take_map().ok_or(Invalid::Signal)? {
        let key = walker.take_bytes().ok_or(Invalid::Signal)?;
        let value = walker.skip()?;
        let key = bytes.get(key).unwrap_or_default();
        if let Some(at) = keys.iter().position(|known| *known == key) {
            found[at] = Some(value);
        }
    }
    Ok(found)
}

/// As [`lookup`] in the map that may be at `place`.
pub(super) fn lookup_in<const N: usize>(
    bytes: &[u8],
    place: &Option<Range<usize>>,
    keys: [&[u8]; N],
) -> Result<[Option<Range<usize>>; N], Invalid> {
    match place {
        Some(place) => lookup(bytes, place, keys),
        None => Ok([const { None }; N]),
    }
}

/// The text or raw bytes at `place`; empty for nil, for nothing and for what is neither.
pub(super) fn text<'a>(bytes: &'a [u8], place: &Option<Range<usize>>) -> &'a [u8] {
    place
        .as_ref()
        .and_then(|place| Walker::at(bytes, place.start).take_bytes())
        .and_then(|place| bytes.get(place))
        .unwrap_or_default()
}

/// The integer at `place`, when it is one of 0 and above.
pub(super) fn natural(bytes: &[u8], place: &Option<Range<usize>>) -> Option<u64> {
    match Walker::at(bytes, place.as_ref()?.start).next().ok()? {
        Token::Int(number) => u64::try_from(number).ok(),
        Token::Huge(number) => Some(number),
        _ => None,
    }
}
