//! What a connection has read and not yet seen stored, in order, with the acks that wait for it.
//!
//! Acks leave from the tail: when the oldest receipt resolves, its acks are appended to the output and written. While
//! the connection waits for anything else (bytes, budget, room in a buffer), it does so inside [`Window::beside`], so
//! that acks never wait for reading. A peer that does not read its acks stops its own connection only, once
//! [`UNREAD_ACKS`] bytes are waiting: clients exist that ask for acks and never read them.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::base::metrics::{Counter, Histogram};
use crate::input::budget::Grant;
use crate::journal::{NotStored, Receipt};

/// Acks a peer may leave unread before its connection is read no further.
const UNREAD_ACKS: usize = 64 * 1024;
/// A peer that takes no byte of its acks for so long is gone.
const WRITE_STALL: Duration = Duration::from_secs(60);

pub struct Window<W> {
    writer: W,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    limit: usize,
    out: Vec<u8>,
    written: usize,
    acks: Counter,
    latency: Histogram,
}

struct Waiting {
    receipt: Receipt,
    grant: Grant,
    bytes: usize,
    acks: Vec<u8>,
    count: u64,
    since: Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    #[error(transparent)]
    Journal(#[from] NotStored),
    #[error("cannot write an ack: {0}")]
    Write(#[from] io::Error),
    #[error("the peer took no ack for {} s", WRITE_STALL.as_secs())]
    Stalled,
}

impl<W: AsyncWrite + Unpin> Window<W> {
    pub fn new(writer: W, limit: usize, acks: Counter, latency: Histogram) -> Self {
        Window {
            writer,
            waiting: VecDeque::new(),
            bytes: 0,
            limit,
            out: Vec::new(),
            written: 0,
            acks,
            latency,
        }
    }

    /// Adds what was just handed to the journal: its receipt, the permits for `bytes`, and `count` encoded acks.
    pub fn push(
        &mut self,
        receipt: Receipt,
        grant: Grant,
        bytes: usize,
        acks: Vec<u8>,
        count: u64,
        since: Instant,
    ) {
        self.bytes += bytes;
        // Without acks only the latest receipt matters: an earlier one resolves before it.
        if acks.is_empty()
            && let Some(last) = self.waiting.back_mut()
            && last.acks.is_empty()
        {
            last.receipt = last.receipt.clone().later(receipt);
            last.grant.merge(grant);
            last.bytes += bytes;
            return;
        }
        self.waiting.push_back(Waiting { receipt, grant, bytes, acks, count, since });
    }

    fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.limit || self.unwritten() >= UNREAD_ACKS
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.unwritten() == 0
    }

    /// Runs `other` to its end, writing acks meanwhile.
    pub async fn beside<T>(&mut self, other: impl Future<Output = T>) -> Result<T, WindowError> {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return Ok(done),
                progress = self.progress() => progress?,
            }
        }
    }

    /// Waits until there is room to read more.
    pub async fn make_room(&mut self) -> Result<(), WindowError> {
        while self.is_full() {
            self.progress().await?;
        }
        Ok(())
    }

    /// Waits until everything is stored and every ack is written.
    pub async fn finish(&mut self) -> Result<(), WindowError> {
        while !self.is_empty() {
            self.progress().await?;
        }
        self.writer.flush().await?;
        self.writer.shutdown().await?;
        Ok(())
    }

    /// One step: an ack written in part or whole, or the oldest receipt resolved. Pending for ever when nothing waits.
    /// Cancelling it between steps loses nothing.
    async fn progress(&mut self) -> Result<(), WindowError> {
        let unwritten = self.unwritten() > 0;
        let Window { writer, waiting, out, written, .. } = self;
        let oldest = async {
            match waiting.front_mut() {
                Some(oldest) => oldest.receipt.stored().await,
                None => std::future::pending().await,
            }
        };
        let write = async {
            if !unwritten {
                return std::future::pending().await;
            }
            match tokio::time::timeout(WRITE_STALL, writer.write(&out[*written..])).await {
                Ok(Ok(0)) => Err(WindowError::Write(io::ErrorKind::WriteZero.into())),
                Ok(Ok(len)) => Ok(len),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(WindowError::Stalled),
            }
        };
        tokio::select! {
            biased;
            stored = oldest => {
                stored?;
                self.release();
            }
            len = write => {
                *written += len?;
                if *written == out.len() {
                    out.clear();
                    *written = 0;
                }
            }
        }
        Ok(())
    }

    /// Takes the oldest off, gives its permits back and queues its acks.
    fn release(&mut self) {
        let Some(oldest) = self.waiting.pop_front() else { return };
        self.bytes -= oldest.bytes;
        drop(oldest.grant);
        if oldest.count > 0 {
            self.out.extend_from_slice(&oldest.acks);
            self.acks.increment(oldest.count);
            self.latency.record(oldest.since.elapsed());
        }
    }
}
