//! A UDP socket that the runtime watches, or does not watch for a while.
//!
//! While it is watched, every datagram that comes wakes a worker, even one that nobody reads yet: at ten thousand datagrams a
//! second most of the work would be waking up. Whoever knows that more will come in a moment looks by the clock instead.

use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};

use tokio::io::Interest;

pub struct Udp {
    socket: UdpSocket,
    /// Another handle of it, which the runtime has while it watches.
    watch: Option<tokio::net::UdpSocket>,
}

impl Udp {
    pub fn new(socket: tokio::net::UdpSocket) -> io::Result<Udp> {
        Ok(Udp { socket: socket.into_std()?, watch: None })
    }

    /// Waits until there is something to receive, watched.
    pub(super) async fn readable(&mut self) -> io::Result<()> {
        let watch = match self.watch.take() {
            Some(watch) => watch,
            None => tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?,
        };
        self.watch.insert(watch).readable().await
    }

    pub(super) fn unwatch(&mut self) {
        self.watch = None;
    }

    /// Runs `receive`; while the socket is watched, only if there may be something.
    pub(super) fn try_io<T>(&self, receive: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match &self.watch {
            Some(watch) => watch.try_io(Interest::READABLE, receive),
            None => receive(),
        }
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Display for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket.local_addr() {
            Ok(address) => write!(f, "udp:{address}"),
            Err(_) => f.write_str("udp"),
        }
    }
}
