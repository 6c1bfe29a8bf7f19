//! What one complete frame of the forward protocol is: tag, body, options. Nothing is decoded yet.
//!
//! ```text
//! Message         [tag, time, {record}]            [tag, time, {record}, {option}]
//! Forward         [tag, [entry, entry, ...]]       [tag, [entry, ...], {option}]
//! PackedForward   [tag, bin or str of entries]     [tag, bin or str of entries, {option}]
//! heartbeat       nil
//! ```
//!
//! The MessagePack type of the second element tells the modes apart. The option map stands behind the body, so that
//! compression, signal and chunk id are known only at the end. What peers get wrong harmlessly is tolerated: more than
//! four elements, a tag as bin, options that are nil or no map at all, unknown option keys, option values of a wrong
//! type (as if absent). What can never become a record but is framed well is [`Body::Dropped`]: counted and
//! acknowledged, since sending it again would not help. Everything else is a [`MessageError`] and ends the connection.
//!
//! All places are offsets into the frame given to [`open`].

use std::ops::Range;

use super::tally::Invalid;
use crate::base::limits::{CHUNK_ID_BYTES, TAG_BYTES};
use crate::record::msgpack::{Token, WalkError, Walker};
use crate::wire::compress::chunk::Label;

/// Options of one message that we look at; a peer that sends more is no logger.
const OPTION_KEYS: usize = 64;

/// One frame.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// A top-level nil: some clients' heartbeat.
    Heartbeat,
    Message(Message),
}

#[derive(Debug, PartialEq)]
pub struct Message {
    /// The tag's bytes: hostile data, at most 4 KiB, possibly empty, not always UTF-8.
    pub tag: Range<usize>,
    pub body: Body,
    pub options: Options,
}

#[derive(Debug, PartialEq)]
pub enum Body {
    /// Message mode: one event.
    Event(Event),
    /// Forward mode: the array of entries, header included.
    Entries(Range<usize>),
    /// PackedForward: the blob's bytes, possibly compressed.
    Packed(Range<usize>),
    /// One event that can never be stored.
    Dropped(Invalid),
}

/// Places of a single event's parts, each a whole MessagePack value.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub time: Range<usize>,
    pub record: Range<usize>,
    /// A map that came beside the time or in the options.
    pub metadata: Option<Range<usize>>,
}

#[derive(Debug, Default, PartialEq)]
pub struct Options {
    /// Present when the peer waits for an ack.
    pub chunk: Option<Chunk>,
    pub compressed: Label,
    pub signal: Signal,
    /// How many events or bytes the peer says there are; peers disagree on which, so it serves for nothing but display.
    pub size: Option<u64>,
}

/// The id to echo in the ack, as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    pub id: Range<usize>,
    /// Came as str (else as bin), and is echoed as such: Fluent Bit refuses an echo of another type.
    pub text: bool,
}

/// `fluent_signal`: what the body carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal {
    #[default]
    Logs,
    /// 1 metrics, 2 traces, 3 blobs, 4 profiles, others unknown; -1 when it was no integer.
    Other(i64),
}

/// Why a frame is no message of this protocol. The peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("the peer sent {0} where a message, an array, begins")]
    NotAnArray(&'static str),
    #[error("the peer sent an array of {0}, a message has a tag and a body at least")]
    TooShort(usize),
    #[error("the peer sent {0} as the second element of a message; a time, entries or a chunk belong there")]
    NoBody(&'static str),
    #[error("the peer sent a tag of {0} bytes, the limit is {TAG_BYTES}")]
    Tag(usize),
    #[error("the peer sent a chunk id of {0} bytes, the limit is {CHUNK_ID_BYTES}")]
    ChunkId(usize),
    #[error("the peer sent {0} options, the limit is {OPTION_KEYS}")]
    Options(usize),
    #[error("the message is damaged: {0}")]
    Walk(#[from] WalkError),
}

/// Opens a complete frame, as the scanner cut it.
pub fn open(frame: &[u8]) -> Result<Frame, MessageError> {
    open_with(frame, 0)
}

/// As [`open`], with the scanner's word on where the body ends (`Scanner::body_end`), so that it is not walked again;
/// 0 when that is not known.
pub fn open_with(frame: &[u8], body_end: usize) -> Result<Frame, MessageError> {
    let mut walker = Walker::new(frame);
    let count = match walker.next()? {
        Token::Array(count) => count,
        Token::Nil => return Ok(Frame::Heartbeat),
        other => return Err(MessageError::NotAnArray(name(&other))),
    };
    if count < 2 {
        return Err(MessageError::TooShort(count));
    }
    let tag = match walker.take_bytes() {
        Some(tag) if tag.len() > TAG_BYTES => return Err(MessageError::Tag(tag.len())),
        Some(tag) => Some(tag),
        None => {
            walker.skip()?;
            None
        }
    };
    let (body, read) = body(&mut walker, frame, body_end, count)?;
    let mut message = Message {
        tag: tag.clone().unwrap_or_default(),
        body: if tag.is_some() { body } else { Body::Dropped(Invalid::Tag) },
        options: Options::default(),
    };
    if count > read {
        let metadata = options(&mut walker, frame, &mut message.options)?;
        if let Body::Event(Event { metadata: metadata_of_event @ None, .. }) = &mut message.body {
            *metadata_of_event = metadata;
        }
    }
    Ok(Frame::Message(message))
}

/// Reads the body and tells how many elements of the message have then been read.
fn body<'a>(
    walker: &mut Walker<'a>,
    frame: &'a [u8],
    body_end: usize,
    count: usize,
) -> Result<(Body, usize), MessageError> {
    let start = walker.position();
    if let Some(blob) = walker.take_bytes() {
        return Ok((Body::Packed(blob), 2));
    }
    match walker.next()? {
        Token::Array(elements) => {
            if let Some(event) = event_with_metadata(frame, start, elements, count) {
                *walker = Walker::at(frame, event.record.end);
                return Ok((Body::Event(event), 3));
            }
            *walker = Walker::at(frame, if body_end > start { body_end } else { start });
            if body_end <= start {
                walker.skip()?;
            }
            Ok((Body::Entries(start..walker.position()), 2))
        }
        Token::Nil | Token::Int(_) | Token::Huge(_) | Token::F32(_) | Token::F64(_) | Token::Ext(..) => {
            let time = start..walker.position();
            if count < 3 {
                return Ok((Body::Dropped(Invalid::Record), 2));
            }
            let from = time.end;
            let is_map = matches!(walker.peek(), Some(0x80..=0x8f | 0xde | 0xdf));
            let record = if is_map && body_end > from {
                *walker = Walker::at(frame, body_end);
                from..body_end
            } else {
                walker.skip()?
            };
            let body = if is_map {
                Body::Event(Event { time, record, metadata: None })
            } else {
                Body::Dropped(Invalid::Record)
            };
            Ok((body, 3))
        }
        other => Err(MessageError::NoBody(name(&other))),
    }
}

/// `[tag, [time, {metadata}], {record}]`, which the newest grammar allows although it looks like Forward mode: exactly
/// a time and a map, and a map behind it.
fn event_with_metadata(frame: &[u8], start: usize, elements: usize, count: usize) -> Option<Event> {
    if elements != 2 || count < 3 {
        return None;
    }
    let mut walker = Walker::at(frame, start);
    walker.take_array()?;
    let from = walker.position();
    match walker.next() {
        Ok(Token::Int(_) | Token::Huge(_) | Token::F32(_) | Token::F64(_) | Token::Ext(..)) => {}
        _ => return None,
    }
    let time = from..walker.position();
    let is_map = |walker: &Walker<'_>| matches!(walker.peek(), Some(0x80..=0x8f | 0xde | 0xdf));
    if !is_map(&walker) {
        return None;
    }
    let metadata = walker.skip().ok()?;
    if !is_map(&walker) {
        return None;
    }
    let record = walker.skip().ok()?;
    Some(Event { time, record, metadata: Some(metadata) })
}

/// Reads the option map, tolerantly; gives the place of its `metadata` map.
fn options(
    walker: &mut Walker<'_>,
    frame: &[u8],
    options: &mut Options,
) -> Result<Option<Range<usize>>, MessageError> {
    let Some(pairs) = walker.take_map() else {
        walker.skip()?;
        return Ok(None);
    };
    if pairs > OPTION_KEYS {
        return Err(MessageError::Options(pairs));
    }
    let mut metadata = None;
    for _ in 0..pairs {
        let Some(key) = walker.take_bytes() else {
            walker.skip()?;
            walker.skip()?;
            continue;
        };
        let value = walker.clone().next()?;
        let place = walker.skip()?;
        match (frame.get(key).unwrap_or_default(), value) {
            (b"chunk", Token::Str(id)) => options.chunk = Some(Chunk { id, text: true }),
            (b"chunk", Token::Bin(id)) => options.chunk = Some(Chunk { id, text: false }),
            (b"compressed", Token::Str(label) | Token::Bin(label)) => {
                options.compressed = match frame.get(label).unwrap_or_default() {
                    b"" | b"text" => Label::Plain,
                    b"gzip" => Label::Gzip,
                    b"zstd" => Label::Zstd,
                    _ => Label::Other,
                };
            }
            (b"fluent_signal", Token::Int(0) | Token::Nil) => options.signal = Signal::Logs,
            (b"fluent_signal", Token::Int(signal)) => options.signal = Signal::Other(signal),
            (b"fluent_signal", _) => options.signal = Signal::Other(-1),
            (b"size", Token::Int(size)) => options.size = u64::try_from(size).ok(),
            (b"metadata", Token::Map(_)) => metadata = Some(place),
            _ => {}
        }
    }
    match &options.chunk {
        Some(chunk) if chunk.id.len() > CHUNK_ID_BYTES => Err(MessageError::ChunkId(chunk.id.len())),
        _ => Ok(metadata),
    }
}

/// What a token is, for an error's text.
fn name(token: &Token) -> &'static str {
    match token {
        Token::Nil => "nil",
        Token::Bool(_) => "a boolean",
        Token::Int(_) | Token::Huge(_) => "an integer",
        Token::F32(_) | Token::F64(_) => "a float",
        Token::Str(_) => "a string",
        Token::Bin(_) => "raw bytes",
        Token::Ext(..) => "an extension value",
        Token::Array(_) => "an array",
        Token::Map(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(frame: &[u8]) -> Message {
        match open(frame).unwrap() {
            Frame::Message(message) => message,
            Frame::Heartbeat => panic!("a heartbeat"),
        }
    }

    #[test]
    fn the_second_element_tells_the_mode() {
        let event = message(b"\x93\xa1t\x05\x81\xa1a\x01");
        assert_eq!(event.tag, 2..3);
        assert_eq!(event.body, Body::Event(Event { time: 3..4, record: 4..8, metadata: None }));
        assert_eq!(message(b"\x92\xa1t\x91\x92\x05\x80").body, Body::Entries(3..7));
        assert_eq!(message(b"\x92\xa1t\xc4\x02\x92\x05").body, Body::Packed(5..7));
        assert_eq!(message(b"\x92\xa1t\xda\x00\x02\x92\x05").body, Body::Packed(6..8));
        assert_eq!(open(b"\xc0"), Ok(Frame::Heartbeat));
        assert_eq!(open(b"\x92\xa1t\xc3"), Err(MessageError::NoBody("a boolean")));
        assert_eq!(open(b"\x92\xa1t\x80"), Err(MessageError::NoBody("a map")));
        assert_eq!(open(b"\x91\xa1t"), Err(MessageError::TooShort(1)));
        assert_eq!(open(b"\x90"), Err(MessageError::TooShort(0)));
        assert_eq!(open(b"\x81\xa1a\x01"), Err(MessageError::NotAnArray("a map")));
        assert_eq!(open(b"\x00"), Err(MessageError::NotAnArray("an integer")));
    }

    #[test]
    fn metadata_may_stand_beside_the_time_or_in_the_options() {
        let body = message(b"\x93\xa1t\x92\x05\x81\xa1k\xa1v\x81\xa1a\x01").body;
        assert_eq!(body, Body::Event(Event { time: 4..5, record: 10..14, metadata: Some(5..10) }));
        let body = message(b"\x94\xa1t\x05\x80\x81\xa8metadata\x81\xa1k\xa1v").body;
        assert_eq!(body, Body::Event(Event { time: 3..4, record: 4..5, metadata: Some(15..20) }));
        // Two entries that are no entries, and options: still Forward mode.
        assert_eq!(message(b"\x93\xa1t\x92\x05\x05\x80").body, Body::Entries(3..6));
    }

    #[test]
    fn options_are_read_tolerantly() {
        let options = message(
            b"\x93\xa1t\x90\x87\xa4size\x02\xaacompressed\xa4gzip\xa5chunk\xc4\x02id\x07\xc0\xa1x\x91\xc0\
              \xadfluent_signal\x02\xa8metadata\x05",
        )
        .options;
        assert_eq!(options.size, Some(2));
        assert_eq!(options.compressed, Label::Gzip);
        assert_eq!(options.signal, Signal::Other(2));
        assert_eq!(options.chunk.map(|chunk| (chunk.id.len(), chunk.text)), Some((2, false)));
        for odd in [
            &b"\x93\xa1t\x90\xc0"[..],
            b"\x93\xa1t\x90\x05",
            b"\x93\xa1t\x90\x80",
            b"\x93\xa1t\x90\x81\xa5chunk\x07",
        ] {
            assert_eq!(message(odd).options, Options::default(), "{odd:x?}");
        }
        // A fifth element is ignored.
        assert_eq!(message(b"\x95\xa1t\x05\x80\x80\xa1x").options, Options::default());
    }

    #[test]
    fn what_can_never_be_stored_is_dropped_and_keeps_its_chunk() {
        let dropped = message(b"\x94\xa1t\x05\xa5hello\x81\xa5chunk\xa2c9");
        assert_eq!(dropped.body, Body::Dropped(Invalid::Record));
        assert!(dropped.options.chunk.is_some());
        assert_eq!(message(b"\x93\x05\x05\x80").body, Body::Dropped(Invalid::Tag));
        assert_eq!(message(b"\x92\xa1t\x05").body, Body::Dropped(Invalid::Record));
    }

    #[test]
    fn names_have_bounds() {
        let mut frame = vec![0x93, 0xda, 0x10, 0x01];
        frame.extend(vec![b'x'; 4097]);
        frame.extend(b"\x05\x80");
        assert_eq!(open(&frame), Err(MessageError::Tag(4097)));
        let mut frame = b"\x93\xa1t\x90\x81\xa5chunk\xda\x01\x01".to_vec();
        frame.extend(vec![b'x'; 257]);
        assert_eq!(open(&frame), Err(MessageError::ChunkId(257)));
        let mut frame = b"\x93\xa1t\x90\xde\x00\x41".to_vec();
        frame.extend([0; 130]);
        assert_eq!(open(&frame), Err(MessageError::Options(65)));
    }
}
