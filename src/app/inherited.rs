//! Sockets that were open before us: from systemd, which keeps them over our restarts (`LISTEN_FDS`, sd_listen_fds(3)), or
//! from the gateway we take over from ([`super::handover`]).
//!
//! They are known by what they are bound to. What the configuration names is taken from here instead of being bound;
//! while nobody reads, peers wait in the kernel's queues. What nobody takes is closed, with a line that names it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::handover::Predecessor;

/// Sockets by what they are bound to.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Held>,
    /// Who opened them keeps them open when we go.
    supervised: bool,
    /// Who has them as well, until it is told to go.
    predecessor: Option<Predecessor>,
}

#[derive(Debug)]
struct Held {
    place: Bound,
    socket: OwnedFd,
}

#[derive(Debug, PartialEq, Eq)]
enum Bound {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(PathBuf),
    Unixgram(PathBuf),
}

impl Inherited {
    /// Takes what systemd passed, and the variables that say so. To be called before there are threads.
    pub fn from_supervisor() -> Inherited {
        let mut passed = ListenFd::from_env();
        let mut inherited = Inherited { supervised: passed.len() > 0, ..Inherited::default() };
        for at in 0..passed.len() {
            let socket = passed
                .take_tcp_listener(at)
                .map(|socket| socket.map(OwnedFd::from))
                .or_else(|_| passed.take_unix_listener(at).map(|socket| socket.map(OwnedFd::from)))
                .or_else(|_| passed.take_udp_socket(at).map(|socket| socket.map(OwnedFd::from)))
                .or_else(|_| passed.take_unix_datagram(at).map(|socket| socket.map(OwnedFd::from)));
            match socket {
                Ok(Some(socket)) => inherited.add(socket),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!("descriptor {at} of LISTEN_FDS is no socket to listen on: {error}")
                }
            }
        }
        inherited
    }

    /// Of sockets whose former owner goes.
    pub(super) fn from_predecessor(sockets: Vec<OwnedFd>, predecessor: Option<Predecessor>) -> Inherited {
        let mut inherited = Inherited { predecessor, ..Inherited::default() };
        sockets.into_iter().for_each(|socket| inherited.add(socket));
        inherited
    }

    /// Whether the sockets stay open when this process ends.
    pub(super) fn is_supervised(&self) -> bool {
        self.supervised
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    pub(super) fn take_predecessor(&mut self) -> Option<Predecessor> {
        self.predecessor.take()
    }

    fn add(&mut self, socket: OwnedFd) {
        match bound(&socket) {
            Some(place) => self.sockets.push(Held { place, socket }),
            None => {
                tracing::warn!("a socket that was passed to us is bound to nothing we know, and is closed")
            }
        }
    }

    fn take(&mut self, place: &Bound) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|held| held.place == *place)?;
        Some(self.sockets.swap_remove(at).socket)
    }

    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        self.take(&Bound::Tcp(address)).map(TcpListener::from)
    }

    pub(super) fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        self.take(&Bound::Udp(address)).map(UdpSocket::from)
    }

    pub(super) fn unix(&mut self, path: &Path) -> Option<UnixListener> {
        self.take(&Bound::Unix(path.to_owned())).map(UnixListener::from)
    }

    pub(super) fn unixgram(&mut self, path: &Path) -> Option<UnixDatagram> {
        self.take(&Bound::Unixgram(path.to_owned())).map(UnixDatagram::from)
    }

    /// Closes what the configuration does not name.
    pub(super) fn close_rest(self) {
        for held in self.sockets {
            tracing::warn!(
                "{} was passed to us open, and no input listens there; it is closed, so whoever connects is refused",
                held.place
            );
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::Tcp(address) => write!(f, "TCP {address}"),
            Bound::Udp(address) => write!(f, "UDP {address}"),
            Bound::Unix(path) => write!(f, "unix:{}", path.display()),
            Bound::Unixgram(path) => write!(f, "unixgram:{}", path.display()),
        }
    }
}

fn bound(socket: &OwnedFd) -> Option<Bound> {
    let kind = sockopt::socket_type(socket).ok()?;
    let address = rustix::net::getsockname(socket.as_fd()).ok()?;
    match (sockopt::socket_domain(socket).ok()?, kind) {
        (AddressFamily::UNIX, kind) => {
            let address = rustix::net::SocketAddrUnix::try_from(address).ok()?;
            let path = PathBuf::from(std::ffi::OsStr::new(address.path()?.to_str().ok()?));
            match kind {
                SocketType::STREAM => Some(Bound::Unix(path)),
                SocketType::DGRAM => Some(Bound::Unixgram(path)),
                _ => None,
            }
        }
        (_, SocketType::STREAM) => Some(Bound::Tcp(SocketAddr::try_from(address).ok()?)),
        (_, SocketType::DGRAM) => Some(Bound::Udp(SocketAddr::try_from(address).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_known_by_what_they_are_bound_to() {
        let dir = tempfile::tempdir().unwrap();
        let (stream, datagram) = (dir.path().join("s"), dir.path().join("d"));
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind(tcp.local_addr().unwrap()).unwrap();
        let address = tcp.local_addr().unwrap();
        let mut inherited = Inherited::from_predecessor(
            vec![
                UnixListener::bind(&stream).unwrap().into(),
                UnixDatagram::bind(&datagram).unwrap().into(),
                tcp.into(),
                udp.into(),
                UnixDatagram::unbound().unwrap().into(),
            ],
            None,
        );
        assert!(inherited.unixgram(&stream).is_none());
        assert!(inherited.unix(&stream).is_some() && inherited.unix(&stream).is_none());
        assert!(inherited.unixgram(&datagram).is_some());
        assert_eq!(inherited.udp(address).unwrap().local_addr().unwrap(), address);
        assert_eq!(inherited.tcp(address).unwrap().local_addr().unwrap(), address);
        assert!(inherited.is_empty() && !inherited.is_supervised());
    }
}
