//! From complete messages to batches in the window, each with its acks.
//!
//! Consecutive Message-mode messages of one tag within a read become one batch, since Docker sends every line as a
//! message of its own. Everything else is decoded and stored message by message, large ones in steps.

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Session, SessionError};
use crate::base::limits;
use crate::input::forward::entries::{self, Entries};
use crate::input::forward::message::{self, Body, Frame, Message, Signal};
use crate::input::forward::tally::Tally;
use crate::input::forward::{ack, signal};
use crate::journal::Receipt;
use crate::record::{Span, Timestamp};
use crate::wire::compress::chunk::{self, Inflate, Packing, Progress};

/// What a commit costs beside its bytes, charged to the window: a flood of tiny messages is bounded by it.
const COMMIT_BYTES: usize = 512;
/// Inflated bytes between two looks at the byte budget.
const INFLATE_STEP: usize = 256 * limits::KIB;
/// Records decoded before they are handed on: a message of a million records needs tables for so many.
const STEP_RECORDS: usize = 4_096;

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<R, W> {
    /// Takes every complete message off the buffer, in order, and tells how many there were.
    pub(super) async fn take_messages(&mut self) -> Result<usize, SessionError> {
        let mut end = 0;
        let mut ends: Vec<(usize, usize)> = Vec::new();
        let scanned = loop {
            match self.scanner.scan(&self.reader.unread()[end..]) {
                Ok(Some(len)) => {
                    end += len;
                    ends.push((end, self.scanner.body_end()));
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let count = ends.len();
        if end > 0 {
            let region = self.reader.take(end);
            let mut start = 0;
            let since = Instant::now();
            for (end, body_end) in ends {
                let taken = self.take_message(&region, start..end, body_end, since).await;
                if taken.is_err() {
                    self.flush(since);
                }
                taken?;
                start = end;
            }
            self.flush(since);
        }
        scanned?;
        Ok(count)
    }

    async fn take_message(
        &mut self,
        region: &Bytes,
        place: Range<usize>,
        body_end: usize,
        since: Instant,
    ) -> Result<(), SessionError> {
        let Frame::Message(message) = message::open_with(&region[place.clone()], body_end)? else {
            return Ok(());
        };
        let mut tally = Tally::default();
        let taken = self.decode(region, place, &message, &mut tally, since).await;
        self.forward.count(&self.lane.origin, &tally);
        taken
    }

    /// Decodes one message. Message-mode events stay in the batch for the next message; everything else is stored, and
    /// its ack queued, before this returns.
    async fn decode(
        &mut self,
        region: &Bytes,
        place: Range<usize>,
        message: &Message,
        tally: &mut Tally,
        since: Instant,
    ) -> Result<(), SessionError> {
        let start = place.start;
        let frame = &region[place.clone()];
        let tag = &frame[message.tag.clone()];
        let settings =
            entries::Settings { drop_nil: self.forward.drop_nil, ..entries::Settings::new(Timestamp::now()) };
        if let (Body::Event(event), Signal::Logs) = (&message.body, message.options.signal) {
            if self.batch.frame.is_empty() || self.batch.tag() != tag {
                self.flush(since);
                self.batch.frame = region.clone();
                self.batch.tag = Span::frame(start + message.tag.start, message.tag.len());
            }
            entries::decode_event(&mut self.batch, start, event, &settings, tally);
            self.batch_bytes += place.len();
            self.ack(frame, message);
            return Ok(());
        }
        self.flush(since);
        self.batch_bytes = place.len();
        let mut body = match &message.body {
            Body::Entries(place) | Body::Packed(place) => start + place.start..start + place.end,
            Body::Event(event) => start + event.record.start..start + event.record.end,
            Body::Dropped(reason) => {
                tally.drop(*reason);
                self.batch.frame = region.clone();
                self.ack(frame, message);
                self.flush(since);
                return Ok(());
            }
        };
        self.batch.frame = region.clone();
        if matches!(message.body, Body::Packed(_))
            && let Some(packing) = chunk::sniff(message.options.compressed, &region[body.clone()])?
        {
            let inflated = self.inflate(packing, region.slice(body)).await?;
            self.batch_bytes += inflated.len();
            body = 0..inflated.len();
            self.batch.frame = Bytes::from(inflated);
        }
        if let Signal::Other(kind) = message.options.signal {
            self.batch.tag = self.batch.keep(tag);
            signal::decode_signal(&mut self.batch, kind, body, &settings, tally);
        } else {
            let mut entries = match message.body {
                Body::Entries(_) => Entries::array(&self.batch, body),
                _ => Entries::packed(body),
            };
            loop {
                self.batch.tag = self.batch.keep(tag);
                if !entries.step(&mut self.batch, &settings, tally, STEP_RECORDS) {
                    break;
                }
                // Acks and permits wait for the last step, whose receipt resolves after all before it.
                let receipt = self.store();
                let nothing = self.forward.intake.budget.empty_grant();
                self.window.push(receipt, nothing, 0, Vec::new(), 0, since);
            }
        }
        self.ack(frame, message);
        self.flush(since);
        Ok(())
    }

    /// Inflates a compressed chunk step by step, each step within the byte budget.
    async fn inflate(&mut self, packing: Packing, chunk: Bytes) -> Result<Vec<u8>, SessionError> {
        let mut inflate = Inflate::new(packing, chunk, self.forward.plan.max_inflated)?;
        let mut out = Vec::new();
        loop {
            let (budget, grant) = (&self.forward.intake.budget, &mut self.reader.grant);
            self.window.beside(budget.extend(grant, INFLATE_STEP)).await?;
            if inflate.step(&mut out, INFLATE_STEP)? == Progress::Done {
                return Ok(out);
            }
        }
    }

    fn ack(&mut self, frame: &[u8], message: &Message) {
        if let Some(chunk) = &message.options.chunk {
            ack::append(&mut self.acks, &frame[chunk.id.clone()], chunk.text);
            self.ack_count += 1;
        }
    }

    /// Hands the records in hand to the intake. The frame stays.
    fn store(&mut self) -> Receipt {
        self.forward.intake.store(&mut self.lane, &mut self.batch, self.forward.join.as_ref())
    }

    /// Stores what is in hand, lets its frame go, and gives receipt, permits and acks to the window.
    fn flush(&mut self, since: Instant) {
        if self.batch.frame.is_empty() {
            return;
        }
        let receipt = self.store();
        self.batch.clear();
        let acks = std::mem::take(&mut self.acks);
        let count = std::mem::take(&mut self.ack_count);
        let bytes = std::mem::take(&mut self.batch_bytes);
        let grant = self.reader.grant.split(bytes);
        self.window.push(receipt, grant, bytes.max(COMMIT_BYTES), acks, count, since);
    }
}
