//! One connection of a protocol without answers, from its first byte to its end.
//!
//! ```text
//! read -> cut -> messages -> Batcher -> Intake -> receipts
//!   ^                                                |
//!   `---- stops while the window, the budget or a buffer is full: the peer's writes wait
//! ```
//!
//! What is taken is stored at once while the journal has and had nothing of this connection in hand, so a line on its own
//! waits for nobody. Otherwise small reads become one commit: a peer that writes line by line would else have as many
//! commits as the reader wakes up.
//!
//! What a peer has written and we have not read is lost when we go, since nobody told it to keep anything. So at a stop:
//!
//! ```text
//! Unix        the read side is shut, the peer's next write fails at once, and what the socket holds is read to its end
//! TCP, TLS    what is there is read, and the connection closed right behind the last byte; storing comes after that
//! ```
//!
//! However a connection ends, the bytes behind its last whole message are shown to the decoder once more, which makes a
//! message of them or not. Only bytes that cannot be cut end with a fault; the messages before them count.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::faults::Fault;
use super::held::Held;
use super::peer::{Arrived, Peer, Taken};
use super::{Decoder, Message, Oneway, Protocol, Sender};
use crate::base::limits;
use crate::base::shutdown::{Passed, Stop};
use crate::input::budget::{Budget, Grant};
use crate::input::listener::Stream;
use crate::input::reader::Reader;
use crate::journal::NotStored;
use crate::record::Timestamp;

/// What is still taken at a stop from a connection whose peer cannot be kept from writing.
const LAST_READ: usize = 16 * limits::MIB;
/// A connection that is silent for so long gives its buffers back.
const REST: Duration = Duration::from_secs(1);
/// What a waiting connection may hold without being in anybody's way.
const SMALL: usize = 2 * limits::READ_BYTES;
/// What is stored whether or not the journal is busy.
const GATHERED_BYTES: usize = 64 * limits::KIB;
/// What a connection takes before the others of its worker get their turn.
const FAIR_BYTES: usize = limits::READ_BYTES;

pub(super) struct Connection<P: Protocol> {
    oneway: Arc<Oneway<P>>,
    reader: Reader<Stream>,
    decoder: P::Decoder,
    peer: Peer,
    held: Held,
    /// Permits for what was taken and is not stored yet, and its bytes.
    gathered: Grant,
    gathered_bytes: usize,
    /// Where messages are cut into, to be used again.
    messages: Vec<Message>,
    /// Bytes taken since others had their turn.
    turn_bytes: usize,
}

/// What waiting for bytes came to.
enum Read {
    Bytes(usize),
    /// None came, and what was taken before is to be stored.
    Store,
    Ended,
    Stopped,
}

impl<P: Protocol> Connection<P> {
    /// `first` was read before.
    pub(super) fn new(oneway: Arc<Oneway<P>>, stream: Stream, first: BytesMut, sender: Sender) -> Self {
        Connection {
            reader: Reader::new(stream, oneway.intake.budget.clone(), first),
            decoder: oneway.protocol.decoder(),
            peer: oneway.peer(sender),
            held: Held::new(oneway.connections.window),
            gathered: oneway.intake.budget.empty_grant(),
            gathered_bytes: 0,
            messages: Vec::new(),
            turn_bytes: 0,
            oneway,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self, stop: &Stop) -> Result<(), Fault> {
        let ended = loop {
            match self.turn(stop).await {
                Ok(Read::Bytes(_) | Read::Store) => {}
                Ok(Read::Ended) => break Ok(()),
                Ok(Read::Stopped) if self.can_be_passed(stop) => return Box::pin(self.pass(stop)).await,
                Ok(Read::Stopped) => break Box::pin(self.drain(stop)).await,
                Err(fault) => break Err(fault),
            }
        };
        let ended = match ended {
            Err(Fault::NotStored(error)) => return Err(error.into()),
            Err(Fault::Cut(error)) => Err(error.into()),
            ended => self.take(stop, true).await.and(ended),
        };
        if !self.reader.unread().is_empty() && !matches!(ended, Err(Fault::Cut(_))) {
            self.oneway.metrics.cut_messages.increment(1);
        }
        self.store(Taken::default()).await?;
        // Closed before it is stored: what the peer writes from now on should fail where it can see that.
        self.reader.forget();
        drop(self.reader);
        self.held.finish().await?;
        ended
    }

    /// Reads once and takes what is complete.
    async fn turn(&mut self, stop: &Stop) -> Result<Read, Fault> {
        self.held.release_stored();
        if self.held.is_idle() {
            self.store(Taken::default()).await?;
        }
        self.held.make_room().await?;
        let read = match self.read(stop).await? {
            Read::Bytes(read) => read,
            last => return Ok(last),
        };
        self.check_pace()?;
        self.wait_for_buffers(stop).await?;
        self.take_read(stop, read).await?;
        // A socket with always more to read would keep its worker for itself.
        self.turn_bytes += read;
        if self.turn_bytes >= FAIR_BYTES {
            self.turn_bytes = 0;
            tokio::task::yield_now().await;
        }
        Ok(Read::Bytes(read))
    }

    async fn take_read(&mut self, stop: &Stop, read: usize) -> Result<(), Fault> {
        self.oneway.metrics.received_bytes.increment(read as u64);
        let taken = self.take(stop, false).await;
        self.reader.give_back();
        taken
    }

    /// Waits for bytes, and gives permits back meanwhile.
    async fn read(&mut self, stop: &Stop) -> Result<Read, Fault> {
        // A peer that writes as fast as it is read never lets a read wait.
        if stop.draining.is_cancelled() {
            return Ok(Read::Stopped);
        }
        let plan = &self.oneway.connections;
        let inside = !self.reader.unread().is_empty();
        let patience = if inside { Some(plan.stall_timeout) } else { plan.idle_timeout };
        let Connection { reader, peer, held, messages, gathered_bytes, .. } = self;
        let mut resting = inside;
        let silent = tokio::time::sleep(patience.unwrap_or_default());
        tokio::pin!(silent);
        loop {
            tokio::select! {
                biased;
                read = reader.read() => {
                    let mut read = read?;
                    // A full little read is the beginning of more: both become one batch. An error waits for the next
                    // read: what came before it is taken first.
                    if reader.has_more() {
                        read += held.beside(reader.read_more()).await?.ok().flatten().unwrap_or(0);
                    }
                    return Ok(if read == 0 { Read::Ended } else { Read::Bytes(read) });
                }
                () = stop.draining.cancelled() => return Ok(Read::Stopped),
                stored = held.progress() => {
                    stored?;
                    if held.is_idle() && *gathered_bytes > 0 {
                        return Ok(Read::Store);
                    }
                }
                () = &mut silent, if patience.is_some() => {
                    let seconds = patience.unwrap_or_default().as_secs();
                    return Err(if inside { Fault::Stalled(seconds) } else { Fault::Idle(seconds) });
                }
                () = tokio::time::sleep(REST), if !resting => {
                    resting = true;
                    reader.rest();
                    peer.batcher.rest();
                    *messages = Vec::new();
                }
            }
        }
    }

    /// A peer that sends a byte now and then is never silent for long, and could hold the whole budget with half a message.
    /// Once that is spent, all pauses inside a message together may take as long as one may.
    fn check_pace(&self) -> Result<(), Fault> {
        let (waited, most) = (self.reader.waited(), self.oneway.connections.stall_timeout);
        match waited > most && self.oneway.intake.budget.is_spent() {
            true => Err(Fault::Slow(waited.as_secs())),
            false => Ok(()),
        }
    }

    /// Waits until the buffers this connection fills have room. Meanwhile it holds none of the byte budget that others
    /// need, unless it is in the middle of a large message.
    async fn wait_for_buffers(&mut self, stop: &Stop) -> Result<(), Fault> {
        let Connection { oneway, reader, peer, held, .. } = self;
        let mut ready = std::pin::pin!(peer.batcher.ready());
        Ok(wait_for_room(&oneway.intake.budget, reader, 0, held, stop, ready.as_mut()).await?)
    }

    /// Takes every complete message off the buffer, in order. `ended`: what is left is a message too, or none.
    async fn take(&mut self, stop: &Stop, ended: bool) -> Result<(), Fault> {
        let unread = self.reader.unread();
        if unread.is_empty() {
            return Ok(());
        }
        let mut messages = std::mem::take(&mut self.messages);
        let cut = self.decoder.cut(unread, ended, &mut messages);
        let done = match &cut {
            Ok(done) => *done,
            Err(_) => messages.last().map_or(0, |message| message.range.end),
        };
        let done = done.min(unread.len());
        let region = self.reader.take(done);
        if !messages.is_empty() {
            let received = Timestamp::now();
            let Connection { oneway, reader, decoder, peer, held, .. } = self;
            let mut taken = Taken::default();
            peer.batcher.turn(region);
            for message in messages.drain(..) {
                peer.take(decoder, &Arrived::Message(message), received, &mut taken);
                if peer.is_new() {
                    let mut ready = std::pin::pin!(peer.first_room(&oneway.intake, done));
                    wait_for_room(&oneway.intake.budget, reader, done, held, stop, ready.as_mut()).await?;
                }
                if taken.owes() {
                    taken.settle(&oneway.intake, held, oneway.intake.budget.empty_grant(), 0).await?;
                    held.make_room().await?;
                }
            }
            peer.batcher.turn(Bytes::new());
            oneway.metrics.records.increment(taken.records);
            self.gathered.merge(reader.grant.split(done));
            self.gathered_bytes += done;
            let is_much = taken.has_stored() || self.gathered_bytes >= GATHERED_BYTES;
            if ended || is_much || held.is_idle() || oneway.intake.budget.is_spent() {
                self.store(taken).await?;
            } else {
                // Nobody has to wait for a little.
                self.gathered.leave_overdraft();
            }
        }
        self.messages = messages;
        cut?;
        Ok(())
    }

    /// Whether another process can go on with it: TCP alone keeps a peer from noticing an end.
    fn can_be_passed(&self, stop: &Stop) -> bool {
        stop.successor.is_there()
            && matches!(self.reader.inner(), Stream::Tcp(_))
            && self.peer.address().is_some()
            && self.decoder.is_between_messages()
    }

    async fn pass(mut self, stop: &Stop) -> Result<(), Fault> {
        self.store(Taken::default()).await?;
        let (stream, unread) = self.reader.into_parts();
        if let (Stream::Tcp(stream), Some(peer)) = (stream, self.peer.address()) {
            let input = self.oneway.name.to_string();
            let passed = Passed { input, peer, stream: stream.into_std()?, unread: unread.to_vec() };
            stop.successor.pass(passed).await;
        }
        Ok(self.held.finish().await?)
    }

    /// Hands over what was taken.
    async fn store(&mut self, mut taken: Taken) -> Result<(), NotStored> {
        self.peer.store(&mut taken);
        let (bytes, cost) = (self.gathered.bytes(), std::mem::take(&mut self.gathered_bytes));
        let grant = self.gathered.split(bytes);
        taken.settle(&self.oneway.intake, &mut self.held, grant, cost).await
    }

    /// Takes what the peer had written before the gateway was told to stop.
    async fn drain(&mut self, stop: &Stop) -> Result<(), Fault> {
        let shut = self.reader.inner().shut_read();
        let mut total = 0;
        while shut || total < LAST_READ {
            self.held.make_room().await?;
            // The runtime hears of what has come only between two turns.
            tokio::task::yield_now().await;
            let read = match shut {
                true => self.held.beside(self.reader.read()).await?,
                false => self.held.beside(self.reader.read_more()).await?.map(Option::unwrap_or_default),
            };
            // A connection that breaks has ended.
            let Ok(read @ 1..) = read else { break };
            total += read;
            self.take_read(stop, read).await?;
        }
        Ok(())
    }
}

/// Waits for `ready`, without permits that others need: those for `in_hand` bytes and for what was not taken yet. A stop
/// has no time to wait.
async fn wait_for_room(
    budget: &Budget,
    reader: &mut Reader<Stream>,
    in_hand: usize,
    held: &mut Held,
    stop: &Stop,
    mut ready: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), NotStored> {
    tokio::select! {
        biased;
        () = &mut ready => return Ok(()),
        () = std::future::ready(()) => {}
    }
    let here = in_hand + reader.unread().len();
    if here <= SMALL {
        reader.let_go();
    }
    loop {
        tokio::select! {
            biased;
            () = &mut ready => break,
            () = stop.draining.cancelled() => break,
            stored = held.progress() => stored?,
        }
    }
    let missing = here.saturating_sub(reader.grant.bytes());
    held.beside(budget.extend(&mut reader.grant, missing)).await
}
