//! One forward connection, from its first byte to its last ack.
//!
//! ```text
//! read -> scan -> complete messages -> batches -> Intake -> window -> acks
//!   ^                                                          |
//!   `---- stops while the window, the budget or a buffer is full
//! ```
//!
//! The task decodes, processes and encodes in line; only storing is behind it. A peer's fault costs its connection and
//! one log line; what it sent before is stored and acknowledged first. When it is we who end the connection, we wait a
//! moment for the peer to read its last acks: closing with unread bytes would make the kernel take them back.
//!
//! [`waiting`]: reading, and waiting for room. [`framing`]: what was read, cut into messages. [`messages`]: from messages
//! to batches and acks.

mod framing;
mod messages;
mod waiting;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Forward;
use super::entries::Extra;
use super::json::{FrameError, Framer, TranscodeError};
use super::message;
use super::tag::TagRewrite;
use super::window::{Window, WindowError};
use crate::base::limits;
use crate::input::Stop;
use crate::input::duplicates::Conversation;
use crate::input::listener::{Peer, ShutRead};
use crate::input::reader::Reader;
use crate::journal::Receipt;
use crate::output::refused::LetterError;
use crate::pipeline::lane::Lane;
use crate::pipeline::stream::Origin;
use crate::record::Batch;
use crate::record::msgpack::{Foreign, ScanError, Scanner};
use crate::wire::compress::chunk::InflateError;

/// Why a connection ended, where it was not the peer's wish.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("{0}")]
    Foreign(Foreign),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    Message(#[from] message::MessageError),
    #[error("a compressed chunk cannot be read, is not acknowledged and will come again: {0}")]
    Inflate(#[from] InflateError),
    #[error(transparent)]
    JsonFrame(#[from] FrameError),
    #[error(transparent)]
    Json(#[from] TranscodeError),
    #[error("a message that can only be kept as a dead letter is not, and comes again: {0}")]
    Letter(#[from] LetterError),
    #[error("the peer sent no byte for {0} s in the middle of a message")]
    Stalled(u64),
    #[error("the peer took {0} s of pauses for one message, whose memory others wait for")]
    Slow(u64),
    #[error("the peer sent nothing for {0} s, which is idle_timeout")]
    Idle(u64),
    #[error("a full buffer has held the peer's message for {0} s; the peer keeps it and sends it again")]
    Full(u64),
    #[error(transparent)]
    Window(#[from] WindowError),
    #[error("reading failed: {0}")]
    Read(#[from] std::io::Error),
}

/// What a connection takes before the others of its worker get their turn.
const FAIR_BYTES: usize = limits::READ_BYTES;

pub struct Session<R, W> {
    forward: Arc<Forward>,
    reader: Reader<R>,
    window: Window<W>,
    scanner: Scanner,
    /// Of a connection that speaks JSON.
    json: Option<Framer>,
    /// What it has said and has no answer for; absent when no message is remembered.
    conversation: Option<Conversation>,
    rewrite: Arc<TagRewrite>,
    /// Fields of this connection for every record.
    extra: Arc<[Extra]>,
    /// Its name is not known yet, and one of the fields.
    nameless: Option<IpAddr>,
    lane: Lane,
    batch: Batch,
    /// Acks of the messages in `batch`.
    acks: Vec<u8>,
    ack_count: u64,
    /// Bytes received or inflated for `batch`.
    batch_bytes: usize,
    /// What was stored is so much larger than it was received, and not charged for that.
    owed: Option<(Receipt, usize)>,
    /// A rewritten tag.
    scratch: Vec<u8>,
    received: bool,
    /// Bytes taken since others had their turn.
    turn_bytes: usize,
    /// Acks were written before all was read that had come: what is read next may have been sent before them.
    hurried: bool,
    /// Said instead of an ack at the end, where the peer understands it.
    last_word: &'static [u8],
}

/// What a turn leads to.
enum Next {
    Turn,
    /// The peer has ended the connection.
    Left,
    /// We end it.
    Close,
    /// Another process goes on with it.
    Pass,
}

/// A connection that goes on elsewhere: its halves, and the beginning of a message.
pub struct Left<R, W> {
    pub read: R,
    pub write: W,
    pub unread: BytesMut,
}

impl<R: AsyncRead + ShutRead + Unpin, W: AsyncWrite + Unpin> Session<R, W> {
    /// `first` are bytes of the peer that were read already.
    pub fn new(forward: Arc<Forward>, reader: R, writer: W, peer: &Peer, first: BytesMut) -> Self {
        let metrics = &forward.metrics;
        let origin = Origin::new(forward.name.clone(), peer.label.clone());
        let window = Window::new(
            writer,
            forward.plan.connections.window,
            metrics.acks.clone(),
            metrics.unread_acks.clone(),
            metrics.ack_latency.clone(),
        );
        Session {
            reader: Reader::new(reader, forward.intake.budget.clone(), first),
            scanner: Scanner::new(forward.scan_limits()),
            json: None,
            conversation: forward.conversation(&peer.label),
            rewrite: Arc::new(TagRewrite::new(&forward.plan.tag, peer.client.as_deref())),
            extra: forward.extra(peer).into(),
            nameless: forward.nameless(peer),
            lane: Lane::new(origin),
            batch: Batch::default(),
            acks: Vec::new(),
            ack_count: 0,
            batch_bytes: 0,
            owed: None,
            scratch: Vec::new(),
            received: false,
            turn_bytes: 0,
            hurried: false,
            last_word: b"",
            window,
            forward,
        }
    }

    /// Serves the connection to its end, or to where another process goes on.
    pub async fn run(mut self, stop: Stop) -> Result<Option<Left<R, W>>, SessionError> {
        let ended = loop {
            match self.turn(&stop).await {
                Ok(Next::Turn) => {}
                Ok(end) => break Ok(end),
                Err(SessionError::Window(error)) => return Err(error.into()),
                Err(error) => break Err(error),
            }
        };
        if matches!(ended, Ok(Next::Pass)) {
            let (read, unread) = self.reader.into_parts();
            let (write, mut stored) = self.window.into_parts();
            stored.wait().await?;
            return Ok(Some(Left { read, write, unread }));
        }
        if self.window.is_empty() && !self.hurried && matches!(ended, Ok(Next::Left)) {
            self.acks_were_read();
        }
        if !self.reader.unread().is_empty() && matches!(ended, Ok(Next::Left)) {
            self.forward.metrics.cut_messages.increment(1);
        }
        // A peer that waits for no ack learns of our end by a write of its own that fails; whatever it writes until then into
        // a connection that is still open is lost.
        let nothing_to_say = self.last_word.is_empty() && self.window.is_silent();
        if matches!(ended, Ok(Next::Close)) && nothing_to_say {
            let Session { reader, window, .. } = self;
            drop(reader);
            window.close().await?;
            return Ok(None);
        }
        // Nothing more is taken, and a peer that is slow to read its last acks must not hold what others wait for.
        self.reader.forget();
        // A peer that is gone cannot take its acks; what it sent is stored all the same.
        match self.window.finish(self.last_word).await {
            Ok(()) if !matches!(ended, Ok(Next::Left) | Err(SessionError::Read(_))) => {
                let discarding = self.reader.discard(self.forward.plan.linger_timeout);
                tokio::select! {
                    () = discarding => {}
                    // A stop has no time for a long linger.
                    () = async {
                        stop.draining.cancelled().await;
                        tokio::time::sleep(limits::LINGER).await;
                    } => {}
                }
            }
            Ok(()) => {}
            Err(error) => tracing::debug!("not all acks were taken: {error}"),
        }
        ended.map(|_| None)
    }

    /// Reads once and takes what is complete.
    async fn turn(&mut self, stop: &Stop) -> Result<Next, SessionError> {
        self.window.make_room().await?;
        let read = self.read(stop).await?;
        if read == 0 {
            if stop.draining.is_cancelled() {
                if stop.successor.is_there() && self.can_be_passed() {
                    return Ok(Next::Pass);
                }
                self.last_read().await?;
                return Ok(Next::Close);
            }
            return Ok(Next::Left);
        }
        self.check_pace()?;
        // Whoever goes on talking has read the acks that were all written.
        if self.window.is_empty() && !self.hurried {
            self.acks_were_read();
        }
        let more = self.reader.has_more();
        self.hurried = more && (self.hurried || !self.window.is_empty());
        self.window.advance().await;
        self.check_first(read)?;
        self.learn_name();
        self.wait_for_buffers(stop).await?;
        let taken = self.take_messages().await?;
        self.reader.give_back();
        // A socket with always more to read would keep its worker for itself.
        self.turn_bytes += read;
        if self.turn_bytes >= FAIR_BYTES {
            self.turn_bytes = 0;
            self.window.beside(tokio::task::yield_now()).await?;
            self.hurried |= more;
        }
        if taken > 0 && self.forward.plan.deny_keepalive {
            return Ok(Next::Close);
        }
        Ok(Next::Turn)
    }

    /// Whether the peer would lose what it writes after our end: it asks for no acks, and TCP tells it too late.
    fn can_be_passed(&self) -> bool {
        self.reader.inner().is_plain_tcp() && self.window.is_silent() && !self.forward.is_secured()
    }

    fn acks_were_read(&mut self) {
        if let Some(conversation) = &mut self.conversation {
            conversation.acks_were_read();
        }
    }

    /// Names are looked up beside: until the peer's is known, its address stands in its place.
    fn learn_name(&mut self) {
        let Some(name) = self.nameless.and_then(|address| self.forward.name_of(address)) else { return };
        let key = self.forward.plan.source_hostname_key.as_deref();
        self.nameless = None;
        self.extra = self
            .extra
            .iter()
            .map(|extra| match Some(&*extra.key) == key {
                true => Extra { key: extra.key.clone(), value: (*name).into() },
                false => extra.clone(),
            })
            .collect();
    }
}
