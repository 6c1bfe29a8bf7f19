//! One forward connection, from its first byte to its last ack.
//!
//! ```text
//! read -> scan -> complete messages -> batches -> Intake -> window -> acks
//!   ^                                                          |
//!   `---- stops while the window, the budget or a buffer is full
//! ```
//!
//! The task decodes, processes and encodes in line; only storing is behind it. Consecutive Message-mode messages of one
//! tag within a read become one batch, since Docker sends every line as a message of its own. A peer's fault costs its
//! connection and one log line; what it sent before is stored and acknowledged first.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::entries::{self, Entries};
use super::message::{self, Body, Frame, Message, Signal};
use super::signal;
use super::tally::Tally;
use super::window::{Window, WindowError};
use super::{Forward, ack};
use crate::base::limits;
use crate::input::Stop;
use crate::input::budget::Grant;
use crate::pipeline::lane::Lane;
use crate::pipeline::stream::Origin;
use crate::record::msgpack::{Scanner, foreign};
use crate::record::{Batch, Span, Timestamp};
use crate::wire::compress::chunk::{self, Inflate, Packing, Progress};

/// An idle connection reads into this much; under load reads grow to [`limits::READ_BYTES`].
const SMALL_READ: usize = 2 * limits::KIB;
/// What is still taken from the socket when the gateway stops.
const LAST_READ: usize = 16 * limits::MIB;
/// Inflated bytes between two looks at the byte budget.
const INFLATE_STEP: usize = 256 * limits::KIB;
/// Records decoded before they are handed on: a message of a million records needs tables for so many.
const STEP_RECORDS: usize = 4_096;

/// Why a connection ended, where it was not the peer's wish.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("{0}")]
    Foreign(String),
    #[error(transparent)]
    Scan(#[from] crate::record::msgpack::ScanError),
    #[error(transparent)]
    Message(#[from] message::MessageError),
    #[error("a compressed chunk cannot be read, is not acknowledged and will come again: {0}")]
    Inflate(#[from] chunk::InflateError),
    #[error("the peer sent no byte for {0} s in the middle of a message")]
    Stalled(u64),
    #[error(transparent)]
    Window(#[from] WindowError),
    #[error("reading failed: {0}")]
    Read(#[from] std::io::Error),
}

pub struct Session<R, W> {
    forward: Arc<Forward>,
    reader: R,
    window: Window<W>,
    buffer: BytesMut,
    grant: Grant,
    scanner: Scanner,
    lane: Lane,
    batch: Batch,
    /// Acks of the messages in `batch`.
    acks: Vec<u8>,
    ack_count: u64,
    /// Bytes received or inflated for `batch`.
    batch_bytes: usize,
    next_read: usize,
    received: bool,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<R, W> {
    pub fn new(forward: Arc<Forward>, reader: R, writer: W, origin: Origin) -> Self {
        let metrics = &forward.metrics;
        let window =
            Window::new(writer, forward.plan.window, metrics.acks.clone(), metrics.ack_latency.clone());
        Session {
            grant: forward.intake.budget.empty_grant(),
            scanner: Scanner::new(forward.scan_limits()),
            lane: Lane::new(origin),
            batch: Batch::default(),
            acks: Vec::new(),
            ack_count: 0,
            batch_bytes: 0,
            buffer: BytesMut::new(),
            next_read: SMALL_READ,
            received: false,
            window,
            reader,
            forward,
        }
    }

    /// Serves the connection to its end.
    pub async fn run(mut self, stop: Stop) -> Result<(), SessionError> {
        let fault = loop {
            match self.turn(&stop).await {
                Ok(true) => {}
                Ok(false) => break None,
                Err(SessionError::Window(error)) => return Err(error.into()),
                Err(error) => break Some(error),
            }
        };
        if !self.buffer.is_empty() && fault.is_none() {
            self.forward.metrics.cut_messages.increment(1);
        }
        let finished = self.window.finish().await;
        match fault {
            Some(fault) => Err(fault),
            // A peer that is gone cannot take its acks; what it sent is stored all the same.
            None => finished.or_else(|error| if self.ack_count == 0 { Ok(()) } else { Err(error.into()) }),
        }
    }

    /// Reads once and takes what is complete. False at the end of the connection, or of the gateway.
    async fn turn(&mut self, stop: &Stop) -> Result<bool, SessionError> {
        self.window.make_room().await?;
        let ready = self.forward.intake.ready(&self.lane);
        tokio::select! {
            biased;
            ready = self.window.beside(ready) => ready?,
            () = stop.draining.cancelled() => {}
        }
        let want = self.next_read;
        if want > SMALL_READ {
            let (budget, grant) = (&self.forward.intake.budget, &mut self.grant);
            self.window.beside(budget.extend(grant, want)).await?;
        }
        self.buffer.reserve(want);
        let stall = self.forward.plan.stall_timeout;
        let inside = !self.scanner.is_idle() || !self.buffer.is_empty();
        let reading = async {
            let mut room = (&mut self.buffer).limit(want);
            tokio::select! {
                biased;
                read = self.reader.read_buf(&mut room) => read.map_err(SessionError::from),
                () = stop.draining.cancelled() => Ok(0),
                () = tokio::time::sleep(stall), if inside => Err(SessionError::Stalled(stall.as_secs())),
            }
        };
        let read = self.window.beside(reading).await??;
        if read == 0 {
            if stop.draining.is_cancelled() {
                self.last_read().await?;
            }
            return Ok(false);
        }
        self.take_read(read)?;
        self.next_read = if read == want {
            (want * 4).min(limits::READ_BYTES)
        } else if self.buffer.is_empty() {
            SMALL_READ.max(read.next_power_of_two()).min(want)
        } else {
            want
        };
        self.take_messages().await?;
        if self.buffer.is_empty() && self.next_read == SMALL_READ {
            // An idle connection keeps no memory.
            self.buffer = BytesMut::new();
        }
        self.grant.shrink(self.buffer.len());
        Ok(true)
    }

    fn take_read(&mut self, read: usize) -> Result<(), SessionError> {
        self.forward.metrics.received_bytes.increment(read as u64);
        if !self.received {
            self.received = true;
            if let Some(foreign) = foreign(&self.buffer) {
                return Err(SessionError::Foreign(foreign.to_string()));
            }
        }
        Ok(())
    }

    /// Takes what the peer had sent before the gateway was told to stop: without acks it would be lost.
    async fn last_read(&mut self) -> Result<(), SessionError> {
        let mut total = 0;
        while total < LAST_READ {
            self.buffer.reserve(limits::READ_BYTES);
            let read = tokio::select! {
                biased;
                read = self.reader.read_buf(&mut self.buffer) => read?,
                () = std::future::ready(()) => break,
            };
            if read == 0 {
                break;
            }
            total += read;
            self.take_read(read)?;
            self.take_messages().await?;
        }
        Ok(())
    }

    /// Takes every complete message off the buffer, in order.
    async fn take_messages(&mut self) -> Result<(), SessionError> {
        let mut end = 0;
        let mut ends: Vec<(usize, usize)> = Vec::new();
        let scanned = loop {
            match self.scanner.scan(&self.buffer[end..]) {
                Ok(Some(len)) => {
                    end += len;
                    ends.push((end, self.scanner.body_end()));
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if end > 0 {
            let region = self.buffer.split_to(end).freeze();
            let mut start = 0;
            let since = Instant::now();
            for (end, body_end) in ends {
                let taken = self.take_message(&region, start..end, body_end, since).await;
                if taken.is_err() {
                    self.flush(since).await?;
                }
                taken?;
                start = end;
            }
            self.flush(since).await?;
        }
        Ok(scanned?)
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
                self.flush(since).await?;
                self.batch.frame = region.clone();
                self.batch.tag = Span::frame(start + message.tag.start, message.tag.len());
            }
            entries::decode_event(&mut self.batch, start, event, &settings, tally);
            self.batch_bytes += place.len();
            self.ack(frame, message);
            return Ok(());
        }
        self.flush(since).await?;
        self.batch_bytes = place.len();
        let mut body = match &message.body {
            Body::Entries(place) | Body::Packed(place) => start + place.start..start + place.end,
            Body::Event(event) => start + event.record.start..start + event.record.end,
            Body::Dropped(reason) => {
                tally.drop(*reason);
                self.batch.frame = region.clone();
                self.ack(frame, message);
                return self.flush(since).await;
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
                // The ack waits for the last step, whose receipt resolves after all before it.
                self.store(since).await?;
            }
        }
        self.ack(frame, message);
        self.flush(since).await
    }

    /// Inflates a compressed chunk step by step, each step within the byte budget.
    async fn inflate(&mut self, packing: Packing, chunk: Bytes) -> Result<Vec<u8>, SessionError> {
        let mut inflate = Inflate::new(packing, chunk, self.forward.plan.max_inflated)?;
        let mut out = Vec::new();
        loop {
            let (budget, grant) = (&self.forward.intake.budget, &mut self.grant);
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

    /// Hands the records in hand to the intake, and the receipt with the acks so far to the window. The frame stays.
    async fn store(&mut self, since: Instant) -> Result<(), SessionError> {
        if self.batch_bytes <= limits::READ_BYTES {
            // What is complete and small may wait for room in its buffer without holding up larger messages.
            self.grant.leave_overdraft();
        }
        let join = self.forward.join.as_ref();
        let store = self.forward.intake.store(&mut self.lane, &mut self.batch, join);
        let receipt = self.window.beside(store).await?;
        let acks = std::mem::take(&mut self.acks);
        let count = std::mem::take(&mut self.ack_count);
        let bytes = std::mem::take(&mut self.batch_bytes);
        self.window.push(receipt, self.grant.split(bytes), bytes, acks, count, since);
        Ok(())
    }

    /// Stores what is in hand and lets its frame go.
    async fn flush(&mut self, since: Instant) -> Result<(), SessionError> {
        if !self.batch.frame.is_empty() {
            self.store(since).await?;
            self.batch.clear();
        }
        Ok(())
    }
}
