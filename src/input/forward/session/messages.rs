//! From complete messages to batches in the window, each with its acks.
//!
//! Consecutive Message-mode messages of one tag within a read become one batch, since Docker sends every line as a
//! message of its own. Everything else is decoded and stored message by message, large ones in steps.
//!
//! A message with a chunk id is met before it is decoded: one that came before is acknowledged with the first copy's
//! receipt and not decoded again. Between that and handing its batch over nothing is awaited but the journal
//! (`input::duplicates`).

use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Session, SessionError};
use crate::base::{self, limits};
use crate::input::duplicates::{Id, Meeting, chunk_id};
use crate::input::forward::ack;
use crate::input::forward::entries::{self, Entries, Settings};
use crate::input::forward::message::{self, Body, Frame, Message, Signal};
use crate::input::forward::signal::{self, Payload};
use crate::input::forward::tally::Tally;
use crate::journal::Receipt;
use crate::record::{Span, Timestamp};
use crate::wire::compress::chunk::{self, Inflate, Packing, Progress};

/// What a commit costs beside its bytes, charged to the window: a flood of tiny messages is bounded by it.
const COMMIT_BYTES: usize = 512;
/// So many times its length any message may become before it is charged for that.
const TIMES: usize = 2;
/// Inflated bytes between two looks at the byte budget.
const INFLATE_STEP: usize = 256 * limits::KIB;
/// Records decoded before they are handed on: a message of a million records needs tables for so many.
const STEP_RECORDS: usize = 4_096;

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<R, W> {
    /// Takes every complete message off the buffer, in order, and tells how many there were.
    pub(super) async fn take_messages(&mut self) -> Result<usize, SessionError> {
        let ((region, ends), cut) = self.cut().await?;
        let count = ends.len();
        let (since, received) = (Instant::now(), Timestamp::now());
        let mut tally = Tally::default();
        let taken = self.take_each(&region, ends, since, received, &mut tally).await;
        self.forward.count(&self.lane.origin, &tally);
        taken?;
        self.pay(since).await?;
        cut?;
        Ok(count)
    }

    /// Takes the messages of `region`, which end where `ends` says.
    async fn take_each(
        &mut self,
        region: &Bytes,
        ends: Vec<(usize, usize)>,
        since: Instant,
        received: Timestamp,
        tally: &mut Tally,
    ) -> Result<(), SessionError> {
        let mut start = 0;
        for (end, body_end) in ends {
            let frame = &region[start..end];
            let taken = match message::open_with(frame, body_end) {
                Ok(Frame::Heartbeat) => Ok(()),
                Ok(Frame::Message(message)) => {
                    let rewrite = self.rewrite.clone();
                    let mut scratch = std::mem::take(&mut self.scratch);
                    let tag = rewrite.apply(&frame[message.tag.clone()], &mut scratch);
                    let opened = Opened { frame, message: &message, tag, since, received };
                    let taken = self.take_message(region, start, &opened, tally).await;
                    self.scratch = scratch;
                    taken
                }
                Err(error) => Err(error.into()),
            };
            if taken.is_err() {
                self.flush(since);
            }
            taken?;
            start = end;
            if self.owed.as_ref().is_some_and(|(_, bytes)| *bytes >= limits::READ_BYTES) {
                self.pay(since).await?;
            }
        }
        self.flush(since);
        Ok(())
    }

    async fn take_message(
        &mut self,
        region: &Bytes,
        start: usize,
        opened: &Opened<'_>,
        tally: &mut Tally,
    ) -> Result<(), SessionError> {
        let len = opened.frame.len();
        if self.forward.is_oversize(&self.lane.origin, len) {
            let frame = region.slice(start..start + len);
            return self.set_aside(frame, None, "chunk_size_limit", opened).await;
        }
        self.decode(region, start, opened, tally).await
    }

    /// Decodes one message, which starts at `start` of `region`. Message-mode events stay in the batch for the next
    /// message; everything else is stored, and its ack queued, before this returns.
    async fn decode(
        &mut self,
        region: &Bytes,
        start: usize,
        opened: &Opened<'_>,
        tally: &mut Tally,
    ) -> Result<(), SessionError> {
        let Opened { frame, message, tag, since, received } = *opened;
        let extra = self.extra.clone();
        let settings = Settings {
            drop_nil: self.forward.drop_nil,
            metadata: self.forward.plan.metadata,
            skip_invalid: self.forward.plan.skip_invalid_event,
            extra: &extra,
            ..Settings::new(received)
        };
        let id = self.identify(opened);
        if let (Body::Event(event), Signal::Logs) = (&message.body, message.options.signal) {
            if self.came_before(id, frame.len(), opened).await? {
                return Ok(());
            }
            if self.batch.frame.is_empty() || self.batch.tag() != tag {
                self.flush(since);
                self.batch.frame = region.clone();
                self.batch.tag = match self.rewrite.is_nothing() {
                    true => Span::frame(start + message.tag.start, message.tag.len()),
                    false => self.batch.keep(tag),
                };
            }
            entries::decode_event(&mut self.batch, start, event, &settings, tally);
            self.batch_bytes += frame.len();
            self.ack(opened);
            return Ok(());
        }
        self.flush(since);
        let place = match &message.body {
            Body::Entries(place) | Body::Packed(place) => place,
            Body::Event(event) => &event.record,
            Body::Dropped(reason) => {
                self.batch.frame = region.clone();
                self.batch.tag = self.batch.keep(tag);
                self.batch_bytes = frame.len();
                let place = start..start + frame.len();
                entries::decode_dropped(&mut self.batch, place, *reason, &settings, tally);
                self.ack(opened);
                self.flush(since);
                return Ok(());
            }
        };
        let (mut bytes, mut body) = (region.clone(), start + place.start..start + place.end);
        let mut cost = frame.len();
        if matches!(message.body, Body::Packed(_))
            && let Some(packing) = chunk::sniff(message.options.compressed, &bytes[body.clone()])?
        {
            if let (Some(id), Some(conversation)) = (id, &mut self.conversation)
                && let Some(receipt) = conversation.known(id)
            {
                self.again(receipt, cost, opened);
                return Ok(());
            }
            let inflated = Bytes::from(self.inflate(packing, bytes.slice(body)).await?);
            cost += inflated.len();
            // A batch in hand has a frame with bytes, so what came out of nothing stands in the message itself.
            (bytes, body) = match inflated.len() {
                0 => (bytes, start..start),
                len => (inflated, 0..len),
            };
        }
        let mut source = match message.options.signal {
            Signal::Logs => Source::Logs(match message.body {
                Body::Entries(_) => Entries::array(&bytes, body),
                _ => Entries::packed(body),
            }),
            Signal::Other(number) => {
                let shape = signal::payload(message).map_or(signal::Shape::Packed, |(shape, _)| shape);
                match Payload::open(number, shape, body.clone()) {
                    Ok(payload) => Source::Other(payload),
                    Err(unkept) => {
                        let payload = bytes.slice(body);
                        return self.set_aside(payload, unkept.signal(), unkept.name(), opened).await;
                    }
                }
            }
        };
        if self.came_before(id, cost, opened).await? {
            return Ok(());
        }
        (self.batch.frame, self.batch_bytes) = (bytes, cost);
        loop {
            self.batch.tag = self.batch.keep(tag);
            let more = match &mut source {
                Source::Logs(entries) => entries.step(&mut self.batch, &settings, tally, STEP_RECORDS),
                Source::Other(payload) => payload.step(&mut self.batch, &settings, tally, STEP_RECORDS),
            };
            if !more {
                break;
            }
            // Acks, ids and permits wait for the last step, whose receipt resolves after all before it.
            let (lane, join) = (&mut self.lane, self.forward.join.as_ref());
            let receipt = self.forward.intake.store(lane, &mut self.batch, join);
            let nothing = self.forward.intake.budget.empty_grant();
            self.window.push(receipt, nothing, self.lane.made(), Vec::new(), 0, since);
            if let Err(error) = self.window.settle().await {
                // The parts before it are as good as lost, so the last one must not make the message known.
                self.batch.clear();
                return Err(error.into());
            }
        }
        self.ack(opened);
        self.flush(since);
        Ok(())
    }

    /// What tells the message from others, when it has a chunk id and such messages are remembered.
    fn identify(&self, opened: &Opened<'_>) -> Option<Id> {
        let Opened { frame, message, .. } = *opened;
        let (conversation, chunk) = (self.conversation.as_ref()?, message.options.chunk.as_ref()?);
        let body = match &message.body {
            Body::Event(event) => event.time.start..event.record.end,
            Body::Entries(place) | Body::Packed(place) => place.clone(),
            Body::Dropped(_) => return None,
        };
        let chunk = &frame[chunk.id.clone()];
        let now = u64::try_from(opened.received.seconds).unwrap_or_default();
        let class = chunk_id::class(chunk, now);
        Some(conversation.identify(class, &frame[message.tag.clone()], chunk, &frame[body]))
    }

    /// Claims the message; true when it came before and needs nothing but its ack.
    async fn came_before(
        &mut self,
        id: Option<Id>,
        cost: usize,
        opened: &Opened<'_>,
    ) -> Result<bool, SessionError> {
        let Some(id) = id else { return Ok(false) };
        loop {
            let Some(conversation) = &mut self.conversation else { return Ok(false) };
            match conversation.meet(id) {
                Meeting::New => return Ok(false),
                Meeting::Again(receipt) => {
                    self.again(receipt, cost, opened);
                    return Ok(true);
                }
                Meeting::Taken => {
                    self.flush(opened.since);
                    if let Some(conversation) = &self.conversation {
                        self.window.beside(conversation.released(id)).await?;
                    }
                }
            }
        }
    }

    /// Acknowledges a message that came again when its first copy is stored.
    fn again(&mut self, receipt: Receipt, cost: usize, opened: &Opened<'_>) {
        self.flush(opened.since);
        self.ack(opened);
        self.push(receipt, cost, opened.since);
    }

    /// Keeps what no record can hold as a dead letter; acknowledged once that is on the disk, since sending it again
    /// would not help.
    async fn set_aside(
        &mut self,
        payload: Bytes,
        signal: Option<base::signal::Signal>,
        reason: &'static str,
        opened: &Opened<'_>,
    ) -> Result<(), SessionError> {
        self.flush(opened.since);
        let (forward, peer, tag) =
            (self.forward.clone(), self.lane.origin.peer.clone(), opened.tag.to_owned());
        let writing =
            tokio::task::spawn_blocking(move || forward.set_aside(&peer, &tag, signal, reason, &payload));
        match self.window.beside(writing).await? {
            Ok(kept) => kept?,
            // The gateway is going down; the message comes again.
            Err(error) => return Err(SessionError::Letter(std::io::Error::other(error).into())),
        }
        self.ack(opened);
        self.push(Receipt::nothing(), opened.frame.len(), opened.since);
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

    fn ack(&mut self, opened: &Opened<'_>) {
        if let Some(chunk) = &opened.message.options.chunk {
            let id = &opened.frame[chunk.id.clone()];
            match self.json {
                Some(_) => ack::append_json(&mut self.acks, id),
                None => ack::append(&mut self.acks, id, chunk.text),
            }
            self.ack_count += 1;
        }
    }

    /// Stores what is in hand and lets its frame go.
    fn flush(&mut self, since: Instant) {
        if self.batch.frame.is_empty() {
            return;
        }
        let (lane, join) = (&mut self.lane, self.forward.join.as_ref());
        let receipt = match &mut self.conversation {
            Some(conversation) => self.forward.intake.store_met(lane, &mut self.batch, join, conversation),
            None => self.forward.intake.store(lane, &mut self.batch, join),
        };
        self.batch.clear();
        let cost = std::mem::take(&mut self.batch_bytes);
        let more = self.lane.made().saturating_sub(TIMES * cost.max(COMMIT_BYTES));
        if more > 0 {
            let before = self.owed.take().map_or(0, |(_, bytes)| bytes);
            self.owed = Some((receipt.clone(), before + more));
        }
        self.push(receipt, cost, since);
    }

    /// Takes permits for what was stored and is many times what was received: attributes that records share, samples. Not
    /// while a batch with claims is in hand: this may wait for other connections.
    async fn pay(&mut self, since: Instant) -> Result<(), SessionError> {
        if !self.batch.frame.is_empty() {
            return Ok(());
        }
        let Some((receipt, bytes)) = self.owed.take() else { return Ok(()) };
        let budget = &self.forward.intake.budget;
        let mut grant = budget.empty_grant();
        self.window.beside(budget.extend(&mut grant, bytes)).await?;
        self.window.push(receipt, grant, bytes, Vec::new(), 0, since);
        Ok(())
    }

    /// Gives a receipt, the permits for `cost` bytes and the acks in hand to the window.
    fn push(&mut self, receipt: Receipt, cost: usize, since: Instant) {
        let acks = std::mem::take(&mut self.acks);
        let count = std::mem::take(&mut self.ack_count);
        let grant = self.reader.grant.split(cost);
        self.window.push(receipt, grant, cost.max(COMMIT_BYTES), acks, count, since);
    }
}

/// A message that was opened, and what goes with it on its way.
#[derive(Clone, Copy)]
struct Opened<'a> {
    frame: &'a [u8],
    message: &'a Message,
    /// As the input rewrites it.
    tag: &'a [u8],
    since: Instant,
    /// The time of receipt: that of its read, for all messages in it.
    received: Timestamp,
}

/// What a message's records come from.
enum Source {
    Logs(Entries),
    Other(Payload),
}
