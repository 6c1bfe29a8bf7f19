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
    fn cut(
        &mut self,
        unread: &[u8],
        ended: bool,
        messages: &mut Vec<Message>,
    ) -> Result<usize, CutError> {
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

    fn message(&mut self, from: &Sender, message: &Message, received: Timestamp, batcher: &mut Batcher) {
        let mut range = message.range.clone();
        if message.cut {
            return self.shared.faults.drop(&from.label, Invalid::TooLong);
        }
        // As a rule one object; senders that end them with a line feed alone bring several.
        while let Some(bytes) = batcher.batch.frame.get(range.clone()) {
            let blanks = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            range.start += blanks;
            if range.is_empty() {
                return;
            }
            match self.decode(from, Text::Frame(range.clone()), received, batcher) {
                Ok(taken) => range.start += taken,
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
        } else if bytes.trim_ascii().is_empty() {
            return;
        } else if let Some(form) = Form::of(bytes) {
            Text::Packed(datagram, form)
        } else {
            Text::Frame(datagram)
        };
        if let Err(why) = self.decode_one(from, text, received, batcher) {
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
#[derive(Clone, Debug)]
enum Text {
    /// In the batch's frame, as it stands.
    Frame(Range<usize>),
    /// In the batch's frame, compressed.
    Packed(Range<usize>, Form),
    /// In the decoder's own buffer, put together from chunks.
    Whole,
}

impl GelfDecoder {
    /// A message of a connection ends here, and so does one that is too long.
    fn end(&mut self, range: Range<usize>, unread: &[u8], messages: &mut Vec<Message>) {
        if std::mem::take(&mut self.skipping) {
            return;
        }
        let is_blank = unread.get(range.clone()).is_none_or(|bytes| bytes.trim_ascii().is_empty());
        if !is_blank {
            let cut = range.len() > self.shared.max_message;
            messages.push(Message { range, cut });
        }
    }

    /// As [`GelfDecoder::decode`], for a message that is all of its text.
    fn decode_one(
        &mut self,
        from: &Sender,
        text: Text,
        received: Timestamp,
        batcher: &mut Batcher,
    ) -> Result<(), Invalid> {
        self.decode(from, text, received, batcher).map(|_| ())
    }
}
