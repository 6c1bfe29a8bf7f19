//! What inputs that listen have in common: where, what they ask of connections and datagrams, and how pieces of lines
//! become lines.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::base::tls::{ClientAuth, TlsPlan, TlsVersion};
use crate::config::leaf::{Address, Network};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(Address),
    Udp(Address),
    /// A stream socket at this absolute path.
    Unix(PathBuf),
    /// A datagram socket at this absolute path.
    Unixgram(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Udp(address) => write!(f, "udp:{address}"),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
            Listen::Unixgram(path) => write!(f, "unixgram:{}", path.display()),
        }
    }
}

/// Permissions of Unix sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixPlan {
    pub mode: u32,
    /// User and group, by name or number; unset ones stay the process's.
    pub user: Option<String>,
    pub group: Option<String>,
}

/// What an input asks of its connections.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionsPlan {
    pub unix: UnixPlan,
    /// For TCP; Unix sockets stay plain.
    pub tls: Option<TlsPlan>,
    /// Peers that speak the PROXY protocol first; empty turns it off.
    pub proxy_protocol: Vec<Network>,
    /// For the TLS handshake, the PROXY header and a handshake of the input's own together.
    pub handshake_timeout: Duration,
    /// Without a byte for so long, a connection is closed.
    pub idle_timeout: Option<Duration>,
    /// Without progress inside a message for so long, a connection is closed.
    pub stall_timeout: Duration,
    pub max_connections: usize,
    pub max_connections_per_peer: Option<usize>,
    /// Bytes one connection may have read and not yet stored.
    pub window: usize,
}

/// What an input asks of its datagram sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramsPlan {
    /// What the kernel keeps while we are busy, as asked of it: its own bound (`net.core.rmem_max`) holds for who is not
    /// root.
    pub receive_buffer: usize,
}

/// How the pieces of a line that Docker cut become one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinPlan {
    /// Off: each piece stays a record.
    pub partial: bool,
    /// A line that waits so long for its next piece is emitted as it is.
    pub timeout: Duration,
    /// Bytes of a joined line.
    pub max_line: usize,
}
