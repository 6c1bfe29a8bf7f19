//! GELF, as Docker's gelf driver and the libraries for Graylog speak it: JSON objects in datagrams or on a connection.
//!
//! ```text
//! datagram     1e 0f: one chunk of a message ([chunks])     1f 8b: gzip     78 ..: zlib     else: as it stands
//! connection   { object } 00 { object } 00 ...              plain; blanks between objects do not matter
//! ```
//!
//! A datagram's message is inflated and put together in the batch's arena, so that all that was received at once is one
//! batch. What a message's fields become is in [`message`]; its tag is `gelf.<host>`, or `gelf.` and the sender's address
//! where it names no host.
//!
//! A message longer than `max_message` is dropped, on a connection up to the NUL that ends it; so is what is no object. Both
//! are counted, and a line names the sender. Nothing that a datagram says reserves memory.

pub mod chunks;
mod faults;
mod message;
mod time;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::batcher::Batcher;
use super::oneway::{CutError, Decoder, Message, Protocol, Sender};
use crate::base::limits::TAG_BYTES;
use crate::config::plan::GelfPlan;
use crate::record::json::read::ReadLimits;
use crate::record::{Span, Timestamp};
use crate::wire::compress::packet::{Form, Inflater};
use chunks::{Bounds, Chunks, Taken};
use faults::{Faults, Incomplete, Invalid};
use message::{Members, Shape};

const NUL: u8 = 0;
const TAG_PREFIX: &[u8] = b"gelf.";
const HTTP: [&[u8]; 5] = [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"OPTIONS "];
/// So many bytes tell what a connection is.
const FOREIGN_BYTES: usize = 8;

/// The protocol of one input.
pub struct Gelf {
    shared: Arc<Shared>,
}

struct Shared {
    max_message: usize,
    /// Instead of `gelf.<host>`.
    tag: Option<String>,
    shape: Shape,
    bounds: Bounds,
    faults: Faults,
}

impl Gelf {
    pub fn new(name: &str, plan: &GelfPlan) -> Gelf {
        let shared = Shared {
            max_message: plan.max_message,
            tag: plan.tag.clone(),
            shape: Shape {
                keep_command: plan.keep_command,
                source_address_key: plan.source_address_key.clone(),
            },
            bounds: Bounds {
                messages: plan.max_incomplete,
                bytes: plan.max_incomplete_bytes,
                message_bytes: plan.max_message,
                timeout: plan.chunk_timeout,
            },
            faults: Faults::new(name),
        };
        Gelf { shared: Arc::new(shared) }
    }
}

impl Protocol for Gelf {
    type Decoder = GelfDecoder;

    fn decoder(&self) -> GelfDecoder {
        GelfDecoder {
            tag: self.shared.tag.clone().unwrap_or_default().into(),
            shared: self.shared.clone(),
            searched: 0,
            begun: false,
            skipping: false,
            chunks: None,
            inflater: Inflater::default(),
            members: Members::default(),
            whole: Vec::new(),
        }
    }
}

/// What one connection or one datagram socket is read with.
pub struct GelfDecoder {
    shared: Arc<Shared>,
    /// The tag of the last message, which is the next one's as a rule.
    tag: Vec<u8>,
    /// Bytes of the connection's unread ones that hold no NUL.
    searched: usize,
    /// Something of the connection was cut already.
    begun: bool,
    /// Inside a message that is too long.
    skipping: bool,
    /// Made with the first chunk.
    chunks: Option<Chunks>,
    inflater: Inflater,
    members: Members,
    /// A message put together from chunks; also where a message waits while another batch begins.
    whole: Vec<u8>,
}

impl Decoder for GelfDecoder {
    fn cut(&mut self, unread: &[u8], ended: bool, messages: &mut Vec<Message>) -> Result<usize, CutError> {
        if !self.begun {
            if let Some(what) = foreign(unread) {
                return Err(CutError::Foreign(what));
            }
            self.begun = unread.len() >= FOREIGN_BYTES || unread.contains(&NUL);
        }
        let mut from = 0;
        let mut search = self.searched.min(unread.len());
        while let Some(at) = unread.get(search..).and_then(|rest| memchr::memchr(NUL, rest)) {
            let end = search + at;
            self.end(from..end, unread, messages);
            from = end + 1;
            search = from;
        }
        let rest = unread.len() - from;
        if ended {
            self.end(from..unread.len(), unread, messages);
            from = unread.len();
        } else if self.skipping || rest > self.shared.max_message {
            if !self.skipping {
                messages.push(Message { range: from..from, cut: true });
            }
            self.skipping = true;
            from = unread.len();
        }
        self.searched = unread.len() - from;
        Ok(from)
    }

    fn is_between_messages(&self) -> bool {
        !self.skipping
    }

    fn message(&mut self, from: &Sender, message: &Message, received: Timestamp, batcher: &mut Batcher) {
        if message.cut {
            return self.shared.faults.drop(&from.label, Invalid::TooLong);
        }
        // As a rule one object; senders that end them with a line feed alone bring several.
        let mut rest = Span::frame(message.range.start, message.range.len());
        while !is_blank(batcher.batch.bytes(rest)) {
            match self.decode(from, Text::Plain(rest), received, batcher) {
                Ok(behind) => rest = behind,
                Err(why) => return self.shared.faults.drop(&from.label, why),
            }
        }
    }

    fn datagram(
        &mut self,
        from: &Sender,
        datagram: Range<usize>,
        received: Timestamp,
        batcher: &mut Batcher,
    ) {
        let bytes = batcher.batch.frame.get(datagram.clone()).unwrap_or_default();
        let text = if bytes.starts_with(&chunks::MAGIC) {
            let bounds = self.shared.bounds;
            let chunks = self.chunks.get_or_insert_with(|| Chunks::new(bounds));
            let taken = chunks.add(from.address, bytes, Instant::now(), &mut self.whole);
            let faults = &self.shared.faults;
            faults.give_up(&from.label, Incomplete::Room, chunks.take_displaced());
            match taken {
                Taken::Complete => Text::Whole,
                Taken::Waiting | Taken::Displaced => return,
                Taken::Again => return faults.again(),
                Taken::Invalid => return faults.give_up(&from.label, Incomplete::Invalid, 1),
                Taken::TooLong => return faults.drop(&from.label, Invalid::TooLong),
            }
        } else if is_blank(bytes) {
            return;
        } else {
            let span = Span::frame(datagram.start, datagram.len());
            Form::of(bytes).map_or(Text::Plain(span), |form| Text::Packed(span, form))
        };
        let decoded = self.decode(from, text, received, batcher);
        let whole = decoded.and_then(|behind| match is_blank(batcher.batch.bytes(behind)) {
            true => Ok(()),
            false => Err(Invalid::Behind),
        });
        if let Err(why) = whole {
            self.shared.faults.drop(&from.label, why);
        }
    }

    fn tick(&mut self, now: Instant) {
        if let Some(chunks) = &mut self.chunks {
            self.shared.faults.give_up("several", Incomplete::Timeout, chunks.expire(now));
        }
    }
}

/// Where a message is.
#[derive(Clone, Copy, Debug)]
enum Text {
    /// In the batch's frame, as it stands.
    Plain(Span),
    /// In the batch's frame, compressed.
    Packed(Span, Form),
    /// In the decoder's own buffer, put together from chunks.
    Whole,
}

impl GelfDecoder {
    /// A message of a connection ends here, or one that is too long.
    fn end(&mut self, range: Range<usize>, unread: &[u8], messages: &mut Vec<Message>) {
        if std::mem::take(&mut self.skipping) {
            return;
        }
        if !is_blank(unread.get(range.clone()).unwrap_or_default()) {
            let cut = range.len() > self.shared.max_message;
            messages.push(Message { range, cut });
        }
    }

    /// Adds the record of the object at the beginning of `text`; gives what stands behind the object.
    fn decode(
        &mut self,
        from: &Sender,
        text: Text,
        received: Timestamp,
        batcher: &mut Batcher,
    ) -> Result<Span, Invalid> {
        // Messages of another sender may have come in between; they are in a batch of their own.
        if !batcher.batch.is_empty() && batcher.batch.tag() != self.tag {
            self.tag.clear();
            self.tag.extend_from_slice(batcher.batch.tag());
        }
        loop {
            // Begun before anything is made in the arena, which this may clear.
            batcher.begin(&self.tag, received);
            let mark = batcher.batch.arena.len();
            let read = self.place(text, batcher).and_then(|span| {
                let taken = self.members.read(&mut batcher.batch, span, &ReadLimits::default())?;
                Ok(span.slice(taken, span.len()))
            });
            let done = match read {
                // Under another tag the record is in another batch, with what was made for it.
                Ok(_) if self.retag(from, batcher) => None,
                Ok(behind) => {
                    let time = self.members.time(&batcher.batch).unwrap_or(received);
                    if let Some(record) = batcher.batch.records.last_mut() {
                        record.time = time;
                    }
                    match self.shared.shape.put(&self.members, from, batcher) {
                        true => return Ok(behind),
                        false => Some(Invalid::Empty),
                    }
                }
                Err(why) => Some(why),
            };
            batcher.batch.abandon();
            batcher.batch.arena.truncate(mark);
            if let Some(why) = done {
                return Err(why);
            }
        }
    }

    /// The message as it stands, in the batch's frame or arena.
    fn place(&mut self, text: Text, batcher: &mut Batcher) -> Result<Span, Invalid> {
        let (max, batch) = (self.shared.max_message, &mut batcher.batch);
        let (packed, form) = match text {
            Text::Plain(span) if span.len() <= max => return Ok(span),
            Text::Packed(span, form) => (span.of(&batch.frame, &[]), form),
            Text::Whole => match Form::of(&self.whole) {
                Some(form) => (self.whole.as_slice(), form),
                None if self.whole.len() <= max => return Ok(batch.keep(&self.whole)),
                None => return Err(Invalid::TooLong),
            },
            Text::Plain(_) => return Err(Invalid::TooLong),
        };
        let at = batch.arena.len();
        self.inflater.inflate(form, packed, max, &mut batch.arena)?;
        Ok(Span::arena(at, batch.arena.len() - at))
    }

    /// Makes the tag of the message read last ours; true when it was another.
    fn retag(&mut self, from: &Sender, batcher: &Batcher) -> bool {
        if self.shared.tag.is_some() {
            return false;
        }
        let host = self.members.host.map_or(b"".as_slice(), |host| batcher.batch.bytes(host));
        let host = if host.is_empty() { from.label.as_bytes() } else { host };
        let host = clip(host, TAG_BYTES - TAG_PREFIX.len());
        if self.tag.strip_prefix(TAG_PREFIX) == Some(host) {
            return false;
        }
        self.tag.clear();
        self.tag.extend_from_slice(TAG_PREFIX);
        self.tag.extend_from_slice(host);
        true
    }
}

/// The beginning of a text, not cut inside a character.
fn clip(text: &[u8], most: usize) -> &[u8] {
    let is_start = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    let end = if text.len() <= most {
        text.len()
    } else {
        (most.saturating_sub(3)..=most).rev().find(is_start).unwrap_or(most)
    };
    text.get(..end).unwrap_or(text)
}

/// Nothing but blanks, and NULs, with which some senders end datagrams too.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == NUL)
}

/// What a connection is that begins so and is no GELF.
fn foreign(beginning: &[u8]) -> Option<&'static str> {
    match beginning {
        [0x16, 0x03, ..] => Some("TLS"),
        [0x1f, 0x8b, ..] => Some("gzip, which GELF has in datagrams only"),
        _ => HTTP.iter().any(|method| beginning.starts_with(method)).then_some("HTTP"),
    }
}

#[cfg(test)]
mod tests;
