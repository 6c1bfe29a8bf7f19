//! Sockets that were open before us: from systemd, which keeps them over our restarts (`LISTEN_FDS`, sd_listen_fds(3)), or
//! from the gateway we take over from ([`super::handover`]).
//!
//! They are known by what they are bound to. What the configuration names is taken from here instead of being bound;
//! while nobody reads, peers wait in the kernel's queues. What nobody takes is closed, with a line that names it.
//! `ListenStream=5140` of systemd is `[::]:5140` and takes IPv4 as well: it counts as `0.0.0.0:5140` too.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use listenfd::ListenFd;
use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::handover;
use crate::base::shutdown::Passed;

/// Sockets by what they are bound to.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Held>,
    /// Who opened them keeps them open when we go.
    supervised: bool,
    /// Whose place we take; it runs on until it is told.
    predecessor: Option<UnixStream>,
}

#[derive(Debug)]
struct Held {
    place: Bound,
    inode: u64,
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

    /// Of sockets whose owner goes once it hears, on this stream, that we can take its place.
    pub(super) fn from_predecessor(sockets: Vec<OwnedFd>, predecessor: Option<UnixStream>) -> Inherited {
        let mut inherited = Inherited { predecessor, ..Inherited::default() };
        sockets.into_iter().for_each(|socket| inherited.add(socket));
        inherited
    }

    /// Whether the sockets stay open when this process ends.
    pub(super) fn is_supervised(&self) -> bool {
        self.supervised
    }

    /// Whether another gateway has these sockets as well, and waits for our word.
    pub(super) fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Tells the gateway whose sockets these are that it may go: all that could keep us from listening is done.
    /// Gives what gives the connections that it passes on, once it has ended.
    pub(super) async fn succeed(&mut self) -> Result<Option<JoinHandle<Vec<Passed>>>> {
        let Some(predecessor) = self.predecessor.take() else { return Ok(None) };
        let passing = handover::confirm(predecessor).await.context(
            "the gateway that handed its sockets over did not wait for us; try again, or start without --take-over",
        )?;
        Ok(Some(passing))
    }

    fn add(&mut self, socket: OwnedFd) {
        let inode = rustix::fs::fstat(&socket).map_or(0, |stat| stat.st_ino);
        match bound(&socket) {
            // Passed twice.
            Some(_) if self.sockets.iter().any(|held| held.inode == inode) => {}
            Some(place) => self.sockets.push(Held { place, inode, socket }),
            None => {
                tracing::warn!(
                    "a socket that was passed to us does not listen, or is bound to nothing we know; it is closed"
                )
            }
        }
    }

    fn take(&mut self, place: &Bound) -> Option<OwnedFd> {
        let at = self.sockets.iter().position(|held| held.place == *place)?;
        Some(self.sockets.swap_remove(at).socket)
    }

    /// Of an address, or of the same port at `[::]` where that takes IPv4 too.
    fn take_inet(&mut self, bound: fn(SocketAddr) -> Bound, address: SocketAddr) -> Option<OwnedFd> {
        let exact = self.take(&bound(address));
        if exact.is_some() || address.ip() != Ipv4Addr::UNSPECIFIED {
            return exact;
        }
        let every = bound(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port()));
        let is_dual = |held: &Held| held.place == every && sockopt::ipv6_v6only(&held.socket) == Ok(false);
        let at = self.sockets.iter().position(is_dual)?;
        Some(self.sockets.swap_remove(at).socket)
    }

    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        self.take_inet(Bound::Tcp, address).map(TcpListener::from)
    }

    pub(super) fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        self.take_inet(Bound::Udp, address).map(UdpSocket::from)
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
    // A connection, as systemd passes it with Accept=yes, can never be accepted on.
    if kind == SocketType::STREAM && !sockopt::socket_acceptconn(socket).ok()? {
        return None;
    }
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
        let sockets = vec![
            UnixListener::bind(&stream).unwrap().into(),
            UnixDatagram::bind(&datagram).unwrap().into(),
            std::net::TcpStream::connect(address).unwrap().into(),
            tcp.try_clone().unwrap().into(),
            tcp.into(),
            udp.into(),
            UnixDatagram::unbound().unwrap().into(),
        ];
        let mut inherited = Inherited::from_predecessor(sockets, None);
        assert!(inherited.unixgram(&stream).is_none());
        assert!(inherited.unix(&stream).is_some() && inherited.unix(&stream).is_none());
        assert!(inherited.unixgram(&datagram).is_some());
        assert_eq!(inherited.udp(address).unwrap().local_addr().unwrap(), address);
        assert_eq!(inherited.tcp(address).unwrap().local_addr().unwrap(), address);
        assert!(inherited.sockets.is_empty() && !inherited.is_supervised());
    }

    #[test]
    fn every_interface_is_one_port_however_it_was_opened() {
        let Ok(tcp) = TcpListener::bind("[::]:0") else { return };
        let port = tcp.local_addr().unwrap().port();
        if sockopt::ipv6_v6only(&tcp) == Ok(true) {
            return;
        }
        let mut inherited = Inherited::from_predecessor(vec![tcp.into()], None);
        assert!(inherited.udp(([0, 0, 0, 0], port).into()).is_none());
        assert!(inherited.tcp(([127, 0, 0, 1], port).into()).is_none());
        assert!(inherited.tcp(([0, 0, 0, 0], port).into()).is_some());
        assert!(inherited.sockets.is_empty());
    }
}
