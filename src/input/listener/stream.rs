//! A connection as an input gets it: its bytes, and who is at the other end.
//!
//! Over TLS it behaves as over TCP: what was written leaves without a flush while the connection is read, a read takes
//! all that is there and not one TLS record, and a peer that goes without TLS's goodbye (many do) is a plain end, since
//! a message cut short shows by itself.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::base::tls::ServerStream;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address without port, or "unix": what stays the same when it connects again.
    pub label: Arc<str>,
    /// Of the socket, or what a PROXY header said; a Unix peer has none.
    pub address: Option<SocketAddr>,
    /// The name in its certificate, where it showed one.
    pub client: Option<Arc<str>>,
    pub tls: bool,
}

/// A connection whose input's own protocol begins with the next byte.
#[derive(Debug)]
pub struct Connection {
    pub stream: Stream,
    pub peer: Peer,
    /// Until then, a handshake of the input's own must be done.
    pub deadline: Instant,
    /// What was read of it already.
    pub first: BytesMut,
}

#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    /// Boxed: it is some kilobytes.
    Tls(Box<ServerStream<TcpStream>>),
    Unix(UnixStream),
}

impl Stream {
    /// Lets the peer's next write fail, while what it has written can still be read to its end. True where that is so: for
    /// Unix sockets. Over TCP no peer would see it.
    pub fn shut_read(&self) -> bool {
        match self {
            Stream::Unix(stream) => rustix::net::shutdown(stream, rustix::net::Shutdown::Read).is_ok(),
            Stream::Tcp(_) | Stream::Tls(_) => false,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => poll_read_tls(stream, context, buffer),
        }
    }
}

fn poll_read_tls(
    stream: &mut ServerStream<TcpStream>,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    // A full socket left part of an ack in the TLS layer. Its failure shows in the next write or read.
    if stream.get_ref().1.wants_write() {
        let _ = Pin::new(&mut *stream).poll_flush(context);
    }
    let before = buffer.filled().len();
    loop {
        let taken = buffer.filled().len();
        let read = Pin::new(&mut *stream).poll_read(context, buffer);
        let some = taken > before;
        match read {
            Poll::Ready(Ok(())) if buffer.filled().len() > taken && buffer.remaining() > 0 => {}
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            // The next read finds the end or the error again.
            Poll::Ready(Err(_)) | Poll::Pending if some => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Poll::Ready(Ok(()));
            }
            other => return other,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
