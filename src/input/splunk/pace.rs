//! How long a connection may keep us waiting outside its requests' bodies.
//!
//! ```text
//! rest  --a byte-->  head  --headers complete-->  serving  --answered-->  rest
//! idle_timeout       stall_timeout                the body's own          idle_timeout
//! (none)
//! ```
//!
//! Containers may be silent for days, so a connection between two requests is left alone unless the configuration says
//! otherwise; hyper's own time-out for headers knows no difference between silence and a request that does not go on.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

const PHASES: u64 = 3;
const REST: u64 = 0;
const HEAD: u64 = 1;
const SERVING: u64 = 2;

/// Where a connection stands. It only goes on; the phase is the remainder.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<AtomicU64>);

impl Phase {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn turn(&self, to: u64) {
        let now = self.get();
        let steps = (PHASES + to - now % PHASES) % PHASES;
        self.0.store(now + steps, Ordering::Relaxed);
    }

    /// A request's headers are there.
    pub(super) fn serving(&self) {
        self.turn(SERVING);
    }

    /// It is answered.
    pub(super) fn answered(&self) {
        self.turn(REST);
    }
}

/// A connection that ends itself when its peer keeps it waiting.
pub(super) struct Paced<S> {
    stream: S,
    phase: Phase,
    idle: Option<Duration>,
    stall: Duration,
    /// With the phase it belongs to.
    timer: Option<(u64, Pin<Box<Sleep>>)>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, phase: Phase, idle: Option<Duration>, stall: Duration) -> Paced<S> {
        Paced { stream, phase, idle, stall, timer: None }
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let phase = self.phase.get();
        let patience = match phase % PHASES {
            REST => self.idle,
            HEAD => Some(self.stall),
            _ => None,
        };
        let Some(patience) = patience else {
            self.timer = None;
            return false;
        };
        let timer = match self.timer.take() {
            Some((of, timer)) if of == phase => timer,
            _ => Box::pin(tokio::time::sleep(patience)),
        };
        let (_, timer) = self.timer.insert((phase, timer));
        timer.as_mut().poll(context).is_ready()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Pending if this.is_late(context) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Ready(Ok(())) if this.phase.get() % PHASES == REST && buffer.filled().len() > before => {
                this.phase.turn(HEAD);
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_fault_and_half_a_head_is() {
        let (mut peer, stream) = tokio::io::duplex(64);
        let phase = Phase::default();
        let mut paced = Paced::new(stream, phase.clone(), None, Duration::from_secs(60));
        let mut bytes = [0; 8];
        let long = Duration::from_secs(1_000_000);
        assert!(tokio::time::timeout(long, paced.read(&mut bytes)).await.is_err(), "rest has no end");
        peer.write_all(b"POST").await.unwrap();
        assert_eq!(paced.read(&mut bytes).await.unwrap(), 4);
        phase.serving();
        assert!(tokio::time::timeout(long, paced.read(&mut bytes)).await.is_err(), "the body has its own");
        phase.answered();
        peer.write_all(b"PO").await.unwrap();
        assert_eq!(paced.read(&mut bytes).await.unwrap(), 2);
        assert_eq!(paced.read(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_time_out_ends_the_silent_alone() {
        let (mut peer, stream) = tokio::io::duplex(64);
        let phase = Phase::default();
        let (idle, stall) = (Duration::from_secs(10), Duration::from_secs(60));
        let mut paced = Paced::new(stream, phase.clone(), Some(idle), stall);
        let mut bytes = [0; 8];
        peer.write_all(b"G").await.unwrap();
        assert_eq!(paced.read(&mut bytes).await.unwrap(), 1);
        assert!(tokio::time::timeout(2 * idle, paced.read(&mut bytes)).await.is_err());
        phase.serving();
        phase.answered();
        assert_eq!(paced.read(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
