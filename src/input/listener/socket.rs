//! The two kinds of listening sockets, and the file of a Unix one.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rustix::net::{Shutdown, SocketFlags, sockopt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A silent peer is asked after so long whether it is still there; one that vanished without a word (its machine lost
/// power, a firewall forgot the connection) is let go two minutes later. Peers hold idle connections for days.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(20);
const KEEPALIVE_TRIES: u32 = 6;

/// TCP connections taken from the kernel at the end; peers could go on connecting for ever.
const LAST_ACCEPTED: usize = 1024;

/// Where an input listens.
pub enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Socket {
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Socket::Tcp(listener) => {
                listener.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer))
            }
            Socket::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }

    /// Gives the peers that have connected and were not accepted, and lets no more of them in where that can be told the
    /// kernel without losing those (Unix).
    pub(super) fn last_of_backlog(self) -> Vec<Accepted> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match self {
            Socket::Tcp(listener) => {
                let next = || {
                    let (socket, peer) = rustix::net::acceptfrom_with(&listener, flags).ok()?;
                    let peer = SocketAddr::try_from(peer?).ok()?;
                    let stream = TcpStream::from_std(std::net::TcpStream::from(socket)).ok()?;
                    Some(Accepted::Tcp(stream, peer))
                };
                std::iter::from_fn(next).take(LAST_ACCEPTED).collect()
            }
            Socket::Unix(listener, file) => {
                drop(file);
                if rustix::net::shutdown(&listener, Shutdown::Read).is_err() {
                    return Vec::new();
                }
                let next = || rustix::net::accept_with(&listener, flags).ok();
                let stream = |socket| UnixStream::from_std(std::os::unix::net::UnixStream::from(socket)).ok();
                std::iter::from_fn(next).filter_map(stream).map(Accepted::Unix).collect()
            }
        }
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Socket::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("tcp"),
            },
            Socket::Unix(_, file) => write!(f, "unix:{}", file.path.display()),
        }
    }
}

/// A connection as the kernel gave it.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
    /// By another process, which had read this much.
    Passed(TcpStream, SocketAddr, BytesMut),
}

impl Accepted {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Accepted::Tcp(_, peer) | Accepted::Passed(_, peer, _) => Some(*peer),
            Accepted::Unix(_) => None,
        }
    }

    pub(in crate::input) fn label(&self) -> Arc<str> {
        label(self.address())
    }

    /// What a connection is better off with; one that is gone already has no use for it.
    pub(super) fn tune(&self) {
        let (Accepted::Tcp(stream, _) | Accepted::Passed(stream, ..)) = self else { return };
        // Acks are small and waited for.
        let _ = stream.set_nodelay(true);
        let _ = sockopt::set_socket_keepalive(stream, true);
        let _ = sockopt::set_tcp_keepidle(stream, KEEPALIVE);
        let _ = sockopt::set_tcp_keepintvl(stream, KEEPALIVE_AGAIN);
        let _ = sockopt::set_tcp_keepcnt(stream, KEEPALIVE_TRIES);
    }
}

/// What a peer is called in records and log lines.
pub(in crate::input) fn label(address: Option<SocketAddr>) -> Arc<str> {
    match address {
        Some(address) => address.ip().to_canonical().to_string().into(),
        None => "unix".into(),
    }
}

/// The file of a Unix socket of ours. Dropping it removes the file, unless another one stands there by now.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    outlive: Outlive,
}

/// Whether our listening sockets go on without us: somebody else holds them. Then what waits in them is the next
/// one's, and their files stay.
#[derive(Clone, Debug, Default)]
pub struct Outlive(Arc<AtomicBool>);

impl Outlive {
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// They are ours alone.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl SocketFile {
    /// Of a socket that was bound to `path` just now.
    pub fn new(path: &Path, outlive: Outlive) -> io::Result<SocketFile> {
        let file = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.to_owned(), device: file.dev(), inode: file.ino(), outlive })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its socket goes on without us.
    pub fn outlives_us(&self) -> bool {
        self.outlive.is_set()
    }

    /// Removes it, unless another one stands there by now.
    fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|file| {
            file.file_type().is_socket() && (file.dev(), file.ino()) == (self.device, self.inode)
        });
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.outlives_us() {
            self.remove();
        }
    }
}
