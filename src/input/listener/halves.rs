//! A connection in two: who reads it may still end what its peer can write.
//!
//! A Unix socket whose read side is shut refuses its writer at once, which so keeps what it has not written, and gives us
//! what it had written to its end. TCP has nothing like it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::unix;

use super::Stream;

pub enum ReadSide {
    Unix(unix::OwnedReadHalf),
    Other(ReadHalf<Stream>),
}

pub enum WriteSide {
    Unix(unix::OwnedWriteHalf),
    Other(WriteHalf<Stream>),
}

/// What a peer can be kept from writing to.
pub trait ShutRead {
    /// Refuses the peer's further writes. False where that cannot be done: then reading ends only with the peer.
    fn shut_read(&self) -> bool;
}

impl Stream {
    pub fn into_halves(self) -> (ReadSide, WriteSide) {
        match self {
            Stream::Unix(stream) => {
                let (read, write) = stream.into_split();
                (ReadSide::Unix(read), WriteSide::Unix(write))
            }
            other => {
                let (read, write) = tokio::io::split(other);
                (ReadSide::Other(read), WriteSide::Other(write))
            }
        }
    }
}

impl ShutRead for ReadSide {
    fn shut_read(&self) -> bool {
        match self {
            ReadSide::Unix(half) => rustix::net::shutdown(half.as_ref(), Shutdown::Read).is_ok(),
            ReadSide::Other(_) => false,
        }
    }
}

impl AsyncRead for ReadSide {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ReadSide::Unix(half) => Pin::new(half).poll_read(context, buffer),
            ReadSide::Other(half) => Pin::new(half).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for WriteSide {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            WriteSide::Unix(half) => Pin::new(half).poll_write(context, bytes),
            WriteSide::Other(half) => Pin::new(half).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteSide::Unix(half) => Pin::new(half).poll_flush(context),
            WriteSide::Other(half) => Pin::new(half).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteSide::Unix(half) => Pin::new(half).poll_shutdown(context),
            WriteSide::Other(half) => Pin::new(half).poll_shutdown(context),
        }
    }
}
