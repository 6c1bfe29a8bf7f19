//! Reading a connection, and waiting for what must be there before a message is taken: bytes, and room in the buffers.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Session, SessionError};
use crate::base::{limits, signal};
use crate::input::Stop;
use crate::input::forward::json::{self, Framer};
use crate::input::forward::message::{self, Frame, Signal};
use crate::input::listener::ShutRead;
use crate::record::Batch;
use crate::record::msgpack::{Scanner, foreign};

/// What is still taken from the socket when the gateway stops.
const LAST_READ: usize = 16 * limits::MIB;
/// A connection that is silent for so long gives its buffers back.
const REST: Duration = Duration::from_secs(1);
/// What a waiting connection may hold without being in anybody's way.
const SMALL: usize = 2 * limits::READ_BYTES;
/// An empty map in the place of an ack: no, and come again.
const NOT_NOW: &[u8] = b"\x80";

impl<R: AsyncRead + ShutRead + Unpin, W: AsyncWrite + Unpin> Session<R, W> {
    /// Waits for bytes, writing acks meanwhile. 0 when no more will come.
    pub(super) async fn read(&mut self, stop: &Stop) -> Result<usize, SessionError> {
        // A peer that writes as fast as it is read never lets a read wait.
        if stop.draining.is_cancelled() {
            return Ok(0);
        }
        let plan = &self.forward.plan.connections;
        let inside = !self.reader.unread().is_empty();
        let patience = if inside { Some(plan.stall_timeout) } else { plan.idle_timeout };
        let (reader, lane, batch) = (&mut self.reader, &mut self.lane, &mut self.batch);
        let conversation = &mut self.conversation;
        let reading = async {
            let mut resting = inside;
            let silent = tokio::time::sleep(patience.unwrap_or_default());
            tokio::pin!(silent);
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
                    () = &mut silent, if patience.is_some() => {
                        let seconds = patience.unwrap_or_default().as_secs();
                        return Err(if inside { SessionError::Stalled(seconds) } else { SessionError::Idle(seconds) });
                    }
                    () = tokio::time::sleep(REST), if !resting => {
                        resting = true;
                        reader.rest();
                        lane.rest();
                        *batch = Batch::default();
                        if let Some(conversation) = conversation {
                            conversation.rest();
                        }
                    }
                }
            }
        };
        self.window.beside(reading).await?
    }

    /// A peer that sends a byte now and then is never silent for long, and could hold the whole budget with half a message.
    /// Once that is spent, all pauses inside a message together may take as long as one may.
    pub(super) fn check_pace(&self) -> Result<(), SessionError> {
        let (waited, most) = (self.reader.waited(), self.forward.plan.connections.stall_timeout);
        match waited > most && self.forward.intake.budget.is_spent() {
            true => Err(SessionError::Slow(waited.as_secs())),
            false => Ok(()),
        }
    }

    /// Waits until the buffers this connection fills have room. Meanwhile it holds none of the byte budget that others
    /// need, unless it is in the middle of a large message; then it makes way once the budget is spent.
    pub(super) async fn wait_for_buffers(&mut self, stop: &Stop) -> Result<(), SessionError> {
        let patience = self.forward.plan.full_timeout;
        let first = if self.lane.is_fresh() { self.first_message() } else { None };
        loop {
            let (reader, lane) = (&mut self.reader, &mut self.lane);
            let intake = &self.forward.intake;
            let waiting = async {
                let mut ready = std::pin::pin!(async {
                    match &first {
                        Some((signal, tag, bytes)) => intake.ready_for_first(*signal, tag, *bytes).await,
                        None => intake.ready(lane).await,
                    }
                });
                tokio::select! {
                    biased;
                    () = &mut ready => return true,
                    () = std::future::ready(()) => {}
                }
                if reader.unread().len() <= SMALL {
                    reader.let_go();
                }
                let room = tokio::select! {
                    biased;
                    () = &mut ready => true,
                    () = stop.draining.cancelled() => true,
                    () = tokio::time::sleep(patience) => false,
                };
                if room {
                    reader.charge().await;
                }
                room
            };
            if self.window.beside(waiting).await? {
                return Ok(());
            }
            self.give_way()?;
        }
    }

    /// Decides, when a full buffer has held a connection for long, who is better off with an end. A Fluentd that is told
    /// `{}` keeps its chunk, tries again and still takes this node for alive, while after 190 s of silence it would give
    /// the node up. Docker and the other clients wait on without losing anything, and Fluent Bit by default drops a chunk
    /// that failed twice: they are left alone. Whoever stands in the way of other connections is closed.
    fn give_way(&mut self) -> Result<(), SessionError> {
        let waited = self.forward.plan.full_timeout.as_secs();
        let unread = self.reader.unread();
        if self.waits_for_fluentds_ack(unread) {
            self.last_word = NOT_NOW;
            return Err(SessionError::Full(waited));
        }
        let budget = &self.forward.intake.budget;
        if unread.len() > SMALL && budget.is_spent() {
            return Err(SessionError::Full(waited));
        }
        Ok(())
    }

    /// Signal, tag and length of the first message that is there, as far as they can be told before it is taken.
    fn first_message(&self) -> Option<(signal::Signal, Vec<u8>, u64)> {
        let mut scanner = Scanner::new(self.forward.scan_limits());
        let len = scanner.scan(self.reader.unread()).ok()??;
        let frame = &self.reader.unread()[..len];
        let Ok(Frame::Message(message)) = message::open_with(frame, scanner.body_end()) else { return None };
        let signal = match message.options.signal {
            Signal::Logs => signal::Signal::Logs,
            Signal::Other(1) => signal::Signal::Metrics,
            Signal::Other(2) => signal::Signal::Traces,
            Signal::Other(3) => signal::Signal::Blobs,
            Signal::Other(4) => signal::Signal::Profiles,
            Signal::Other(_) => return None,
        };
        let mut scratch = Vec::new();
        let tag = self.rewrite.apply(&frame[message.tag], &mut scratch).to_vec();
        Some((signal, tag, len as u64))
    }

    /// Whether the first message that waits is complete and asks for an ack the way Fluentd does: by 16 bytes of base64
    /// and a newline.
    fn waits_for_fluentds_ack(&self, unread: &[u8]) -> bool {
        let mut scanner = Scanner::new(self.forward.scan_limits());
        let Ok(Some(len)) = scanner.scan(unread) else { return false };
        let frame = &unread[..len];
        let Ok(Frame::Message(message)) = message::open(frame) else { return false };
        message.options.chunk.is_some_and(|chunk| chunk.id.len() == 25 && frame[chunk.id.end - 1] == b'\n')
    }

    /// Counts what was read; the first bytes tell what the connection speaks.
    pub(super) fn check_first(&mut self, read: usize) -> Result<(), SessionError> {
        self.forward.metrics.received_bytes.increment(read as u64);
        if std::mem::replace(&mut self.received, true) {
            return Ok(());
        }
        if json::begins(self.reader.unread()) && !self.forward.is_secured() {
            self.json = Some(Framer::new(self.forward.scan_limits()));
            return Ok(());
        }
        match foreign(self.reader.unread()) {
            Some(foreign) => Err(SessionError::Foreign(foreign)),
            None => Ok(()),
        }
    }

    /// Takes what the peer had sent before the gateway was told to stop: without acks it would be lost. A Unix peer can
    /// send no more then, and loses nothing; of a TCP peer that never pauses, this has to end somewhere.
    pub(super) async fn last_read(&mut self) -> Result<(), SessionError> {
        let to_the_end = self.reader.inner().shut_read();
        let mut total = 0;
        while to_the_end || total < LAST_READ {
            self.window.make_room().await?;
            // Behind a shut read side there are bytes or the end; only the kernel's word on a TCP peer may be "not now".
            let read = match to_the_end {
                true => self.window.beside(self.reader.read()).await??,
                false => self.window.beside(self.reader.read_more()).await??.unwrap_or(0),
            };
            if read == 0 {
                break;
            }
            total += read;
            self.check_first(read)?;
            self.take_messages().await?;
        }
        Ok(())
    }
}
