//! A connection in two: who reads it may still end what its peer can write.
//!
//! A Unix socket whose read side is shut refuses its writer at once, which so keeps what it has not written, and gives us
//! what it had written to its end. TCP has nothing like it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, tcp, unix};

use super::Stream;

pub enum ReadSide {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    Tls(ReadHalf<Stream>),
}

pub enum WriteSide {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
    Tls(WriteHalf<Stream>),
}

/// What a peer can be kept from writing to.
pub trait ShutRead {
    /// Refuses the peer's further writes. False where that cannot be done: then reading ends only with the peer.
    fn shut_read(&self) -> bool;

    fn is_plain_tcp(&self) -> bool;
}

impl Stream {
    /// Puts two halves of a plain TCP connection together again.
    pub fn tcp_of(read: ReadSide, write: WriteSide) -> Option<TcpStream> {
        match (read, write) {
            (ReadSide::Tcp(read), WriteSide::Tcp(write)) => read.reunite(write).ok(),
            _ => None,
        }
    }

    pub fn into_halves(self) -> (ReadSide, WriteSide) {
        match self {
            Stream::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadSide::Tcp(read), WriteSide::Tcp(write))
            }
            Stream::Unix(stream) => {
                let (read, write) = stream.into_split();
                (ReadSide::Unix(read), WriteSide::Unix(write))
            }
            tls @ Stream::Tls(_) => {
                let (read, write) = tokio::io::split(tls);
                (ReadSide::Tls(read), WriteSide::Tls(write))
            }
        }
    }
}

impl ShutRead for ReadSide {
    fn shut_read(&self) -> bool {
        match self {
            ReadSide::Unix(half) => rustix::net::shutdown(half.as_ref(), Shutdown::Read).is_ok(),
            ReadSide::Tcp(_) | ReadSide::Tls(_) => false,
        }
    }

    fn is_plain_tcp(&self) -> bool {
        matches!(self, ReadSide::Tcp(_))
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
            ReadSide::Tcp(half) => Pin::new(half).poll_read(context, buffer),
            ReadSide::Tls(half) => Pin::new(half).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for WriteSide {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            WriteSide::Unix(half) => Pin::new(half).poll_write(context, bytes),
            WriteSide::Tcp(half) => Pin::new(half).poll_write(context, bytes),
            WriteSide::Tls(half) => Pin::new(half).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteSide::Unix(half) => Pin::new(half).poll_flush(context),
            WriteSide::Tcp(half) => Pin::new(half).poll_flush(context),
            WriteSide::Tls(half) => Pin::new(half).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteSide::Unix(half) => Pin::new(half).poll_shutdown(context),
            WriteSide::Tcp(half) => Pin::new(half).poll_shutdown(context),
            WriteSide::Tls(half) => Pin::new(half).poll_shutdown(context),
        }
    }
}
