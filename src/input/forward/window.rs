//! What a connection has read and not yet seen stored, in order, with the acks that wait for it.
//!
//! Acks leave from the tail: when the oldest receipt resolves, its acks are appended to the output and written. While
//! the connection waits for anything else (bytes, budget, room in a buffer), it does so inside [`Window::beside`], so
//! that acks never wait for reading. A peer that does not read its acks stops its own connection only, once
//! [`UNREAD_ACKS`] bytes are waiting. Clients exist that ask for acks and never read any (fluent-logger-node without
//! `requireAckResponse`): closing would cost them what they have sent, so after [`WRITE_STALL`] they get no more acks and
//! are read on.

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
/// A peer that takes no byte of that many acks for so long does not want them.
const WRITE_STALL: Duration = Duration::from_secs(60);

pub struct Window<W> {
    writer: W,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    limit: usize,
    out: Vec<u8>,
    written: usize,
    /// The peer does not read its acks.
    muted: bool,
    /// The peer never asked for an ack.
    silent: bool,
    acks: Counter,
    unread: Counter,
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

/// What a connection that ended had read and not yet seen stored.
pub struct Unstored(VecDeque<Waiting>);

impl Unstored {
    pub async fn wait(&mut self) -> Result<(), WindowError> {
        while let Some(oldest) = self.0.front_mut() {
            oldest.receipt.stored().await?;
            self.0.pop_front();
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    #[error(transparent)]
    Journal(#[from] NotStored),
    #[error("cannot write an ack: {0}")]
    Write(#[from] io::Error),
}

impl<W: AsyncWrite + Unpin> Window<W> {
    pub fn new(writer: W, limit: usize, acks: Counter, unread: Counter, latency: Histogram) -> Self {
        Window {
            writer,
            waiting: VecDeque::new(),
            bytes: 0,
            limit,
            out: Vec::new(),
            written: 0,
            muted: false,
            silent: true,
            acks,
            unread,
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
        self.silent &= count == 0;
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

    /// Goes all steps that can be gone without waiting: a socket with always more to read must not hold the acks back.
    /// What fails here fails again where it can be told.
    pub async fn advance(&mut self) {
        while !self.is_empty() {
            let went = tokio::select! {
                biased;
                progress = self.progress() => progress.is_ok(),
                () = std::future::ready(()) => false,
            };
            if !went {
                return;
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

    /// Waits until less than a full window is left to be stored. For that alone and not for the peer, so that a message in
    /// hand may wait so.
    pub async fn settle(&mut self) -> Result<(), WindowError> {
        while self.bytes >= self.limit
            && let Some(oldest) = self.waiting.front_mut()
        {
            oldest.receipt.stored().await?;
            self.release();
        }
        Ok(())
    }

    /// What is written to, and what waits to be stored. Acks are given up.
    pub fn into_parts(self) -> (W, Unstored) {
        (self.writer, Unstored(self.waiting))
    }

    /// Waits until everything is stored and every ack is written, then says `last_word` and nothing more.
    pub async fn finish(&mut self, last_word: &[u8]) -> Result<(), WindowError> {
        while !self.waiting.is_empty() {
            self.progress().await?;
        }
        self.out.extend_from_slice(last_word);
        while self.unwritten() > 0 {
            self.progress().await?;
        }
        let closing = async {
            self.writer.flush().await?;
            self.writer.shutdown().await
        };
        match tokio::time::timeout(WRITE_STALL, closing).await {
            Ok(closed) => Ok(closed?),
            Err(_) => Err(WindowError::Write(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Whether the peer has waited for no ack so far.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Lets go of the connection's writing side, and then waits until everything is stored.
    pub async fn close(self) -> Result<(), WindowError> {
        let (writer, mut unstored) = self.into_parts();
        drop(writer);
        unstored.wait().await
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
                Ok(Ok(len)) => Ok(Some(len)),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Ok(None),
            }
        };
        tokio::select! {
            biased;
            stored = oldest => {
                stored?;
                self.release();
            }
            len = write => match len? {
                Some(len) => {
                    *written += len;
                    if *written == out.len() {
                        out.clear();
                        *written = 0;
                    }
                }
                None => self.mute(),
            },
        }
        Ok(())
    }

    /// Takes the oldest off, gives its permits back and queues its acks.
    fn release(&mut self) {
        let Some(oldest) = self.waiting.pop_front() else { return };
        self.bytes -= oldest.bytes;
        drop(oldest.grant);
        if oldest.count > 0 && self.muted {
            self.unread.increment(oldest.count);
        } else if oldest.count > 0 {
            self.out.extend_from_slice(&oldest.acks);
            self.acks.increment(oldest.count);
            self.latency.record(oldest.since.elapsed());
        }
    }

    /// Writes no acks from here on.
    fn mute(&mut self) {
        tracing::debug!("the peer reads none of its acks; it is sent no more of them");
        self.muted = true;
        self.out = Vec::new();
        self.written = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metrics::{counter, histogram};
    use crate::input::budget::Budget;

    fn window<W: AsyncWrite + Unpin>(writer: W) -> Window<W> {
        let acks = counter("test_acks_total", "", &[]);
        Window::new(writer, 1 << 20, acks.clone(), acks, histogram("test_latency_seconds", "", &[]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_no_acks_is_read_on_without_them() {
        let (ours, peer) = tokio::io::duplex(1024);
        let mut window = window(ours);
        let budget = Budget::new(1 << 20);
        let mut pushed = 0;
        while !window.muted {
            window.push(Receipt::nothing(), budget.empty_grant(), 0, vec![7; 512], 1, Instant::now());
            pushed += 1;
            assert!(pushed < 1_000);
            let _ = tokio::time::timeout(Duration::from_millis(1), window.progress()).await;
            window.make_room().await.unwrap();
        }
        assert!(pushed >= UNREAD_ACKS / 512, "{pushed}");
        window.push(Receipt::nothing(), budget.empty_grant(), 0, vec![7; 512], 1, Instant::now());
        window.finish(b"").await.unwrap();
        drop(peer);
    }

    #[tokio::test]
    async fn a_peer_that_waits_for_no_ack_is_let_go_at_once() {
        let (ours, mut peer) = tokio::io::duplex(1024);
        let mut window = window(ours);
        let budget = Budget::new(1 << 20);
        window.push(Receipt::nothing(), budget.empty_grant(), 0, Vec::new(), 0, Instant::now());
        assert!(window.is_silent());
        window.close().await.unwrap();
        assert_eq!(tokio::io::AsyncReadExt::read(&mut peer, &mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_last_word_comes_behind_all_acks() {
        let (ours, mut peer) = tokio::io::duplex(1024);
        let mut window = window(ours);
        let budget = Budget::new(1 << 20);
        window.push(Receipt::nothing(), budget.empty_grant(), 0, b"ack".to_vec(), 1, Instant::now());
        window.finish(b"\x80").await.unwrap();
        drop(window);
        let mut said = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut peer, &mut said).await.unwrap();
        assert_eq!(said, b"ack\x80");
    }

    #[tokio::test(start_paused = true)]
    async fn acks_go_although_there_is_always_more_to_read() {
        let (ours, mut peer) = tokio::io::duplex(1024);
        let mut window = window(ours);
        let budget = Budget::new(1 << 20);
        for _ in 0..3 {
            window.push(Receipt::nothing(), budget.empty_grant(), 0, b"ack".to_vec(), 1, Instant::now());
            window.beside(std::future::ready(())).await.unwrap();
            window.advance().await;
        }
        let mut said = [0; 9];
        let reading = tokio::io::AsyncReadExt::read_exact(&mut peer, &mut said);
        tokio::time::timeout(Duration::from_secs(1), reading).await.expect("no acks").unwrap();
        assert_eq!(&said, b"ackackack");
    }

    #[tokio::test]
    async fn settling_waits_for_the_journal_and_not_for_the_peer() {
        let (ours, peer) = tokio::io::duplex(1);
        let mut window = window(ours);
        let budget = Budget::new(1 << 20);
        for _ in 0..3 {
            window.push(Receipt::nothing(), budget.empty_grant(), 1 << 19, vec![7; 512], 1, Instant::now());
        }
        window.settle().await.unwrap();
        assert!(window.bytes < window.limit && window.unwritten() > 0);
        drop(peer);
    }
}
