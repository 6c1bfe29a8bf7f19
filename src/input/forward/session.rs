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
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::entries::{self, Entries};
use super::message::{self, Body, Frame, Message, Signal};
use super::reader::Reader;
use super::signal::{self, Payload};
use super::tally::{Invalid, Tally};
use super::window::{Window, WindowError};
use super::{Forward, ack};
use crate::base::limits;
use crate::input::Stop;
use crate::journal::Receipt;
use crate::pipeline::lane::Lane;
use crate::pipeline::stream::Origin;
use crate::record::msgpack::{Foreign, Scanner, foreign};
use crate::record::{Batch, Span, Timestamp};
use crate::wire::compress::chunk::{self, Inflate, Packing, Progress};

/// What is still taken from the socket when the gateway stops.
const LAST_READ: usize = 16 * limits::MIB;
/// A connection that is silent for so long gives its buffers back.
const REST: Duration = Duration::from_secs(1);
/// What a commit costs beside its bytes, charged to the window: a flood of tiny messages is bounded by it.
const COMMIT_BYTES: usize = 512;
/// Inflated bytes between two looks at the byte budget.
const INFLATE_STEP: usize = 256 * limits::KIB;
/// Records decoded before they are handed on: a message of a million records needs tables for so many.
const STEP_RECORDS: usize = 4_096;

/// Why a connection ended, where it was not the peer's wish.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("{0}")]
    Foreign(Foreign),
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
    reader: Reader<R>,
    window: Window<W>,
    scanner: Scanner,
    lane: Lane,
    batch: Batch,
    /// Acks of the messages in `batch`.
    acks: Vec<u8>,
    ack_count: u64,
    /// Bytes received or inflated for `batch`.
    batch_bytes: usize,
    received: bool,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<R, W> {
    pub fn new(forward: Arc<Forward>, reader: R, writer: W, origin: Origin) -> Self {
        let metrics = &forward.metrics;
        let window =
            Window::new(writer, forward.plan.window, metrics.acks.clone(), metrics.ack_latency.clone());
        Session {
            reader: Reader::new(reader, forward.intake.budget.clone()),
            scanner: Scanner::new(forward.scan_limits()),
            lane: Lane::new(origin),
            batch: Batch::default(),
            acks: Vec::new(),
            ack_count: 0,
            batch_bytes: 0,
            received: false,
            window,
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
        if !self.reader.unread().is_empty() && fault.is_none() {
            self.forward.metrics.cut_messages.increment(1);
        }
        // A peer that is gone cannot take its acks; what it sent is stored all the same.
        if let Err(error) = self.window.finish().await {
            tracing::debug!("not all acks were taken: {error}");
        }
        fault.map_or(Ok(()), Err)
    }

    /// Reads once and takes what is complete. False at the end of the connection, or of the gateway.
    async fn turn(&mut self, stop: &Stop) -> Result<bool, SessionError> {
        self.window.make_room().await?;
        let read = self.read(stop).await?;
        if read == 0 {
            if stop.draining.is_cancelled() {
                self.last_read().await?;
            }
            return Ok(false);
        }
        self.check_first(read)?;
        self.wait_for_buffers(stop).await?;
        self.take_messages().await?;
        self.reader.give_back();
        Ok(true)
    }

    /// Waits for bytes, writing acks meanwhile. 0 when no more will come.
    async fn read(&mut self, stop: &Stop) -> Result<usize, SessionError> {
        let stall = self.forward.plan.stall_timeout;
        let inside = !self.reader.unread().is_empty();
        let (reader, lane, batch) = (&mut self.reader, &mut self.lane, &mut self.batch);
        let reading = async {
            let mut resting = inside;
            loop {
                tokio::select! {
                    biased;
                    read = reader.read() => {
                        let mut read = read?;
                        // A full little read is the beginning of more: both become one batch. An error waits for the
                        // next read: what came before it is taken first.
                        if reader.has_more() {
                            read += reader.read_more().await.ok().flatten().unwrap_or(0);
                        }
                        return Ok(read);
                    }
                    () = stop.draining.cancelled() => return Ok(0),
                    () = tokio::time::sleep(stall), if inside => return Err(SessionError::Stalled(stall.as_secs())),
                    () = tokio::time::sleep(REST), if !resting => {
                        resting = true;
                        reader.rest();
                        lane.rest();
                        *batch = Batch::default();
                    }
                }
            }
        };
        self.window.beside(reading).await?
    }

    /// Waits until the buffers this connection fills have room. Meanwhile it holds none of the byte budget that others
    /// need, unless it is in the middle of a large message.
    async fn wait_for_buffers(&mut self, stop: &Stop) -> Result<(), SessionError> {
        let (reader, lane) = (&mut self.reader, &self.lane);
        let intake = &self.forward.intake;
        let waiting = async {
            let mut ready = std::pin::pin!(intake.ready(lane));
            tokio::select! {
                biased;
                () = &mut ready => return,
                () = std::future::ready(()) => {}
            }
            let small = reader.unread().len() <= 2 * limits::READ_BYTES;
            if small {
                reader.let_go();
            }
            tokio::select! {
                biased;
                () = &mut ready => {}
                () = stop.draining.cancelled() => {}
            }
            reader.charge().await;
        };
        Ok(self.window.beside(waiting).await?)
    }

    fn check_first(&mut self, read: usize) -> Result<(), SessionError> {
        self.forward.metrics.received_bytes.increment(read as u64);
        if !std::mem::replace(&mut self.received, true)
            && let Some(foreign) = foreign(self.reader.unread())
        {
            return Err(SessionError::Foreign(foreign));
        }
        Ok(())
    }

    /// Takes what the peer had sent before the gateway was told to stop: without acks it would be lost.
    async fn last_read(&mut self) -> Result<(), SessionError> {
        let mut total = 0;
        while total < LAST_READ {
            self.window.make_room().await?;
            let read = self.window.beside(self.reader.read_more()).await??;
            let Some(read) = read.filter(|read| *read > 0) else { break };
            total += read;
            self.check_first(read)?;
            self.take_messages().await?;
        }
        Ok(())
    }

    /// Takes every complete message off the buffer, in order.
    async fn take_messages(&mut self) -> Result<(), SessionError> {
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
        if let (Signal::Other(number), Some((shape, _))) = (message.options.signal, signal::payload(message))
        {
            match Payload::open(number, shape, body) {
                Ok(mut payload) => loop {
                    self.batch.tag = self.batch.keep(tag);
                    if !payload.step(&mut self.batch, &settings, tally, STEP_RECORDS) {
                        break;
                    }
                    let receipt = self.store();
                    let nothing = self.forward.intake.budget.empty_grant();
                    self.window.push(receipt, nothing, 0, Vec::new(), 0, since);
                },
                Err(_) => tally.drop(Invalid::Payload),
            }
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
