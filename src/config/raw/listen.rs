//! Addresses to listen on, as typed.
//!
//! ```text
//! host:port         TCP; for inputs that take datagrams TCP and UDP, each on that port
//! tcp:host:port     TCP alone          unix:/path       a stream socket
//! udp:host:port     UDP alone          unixgram:/path   a datagram socket
//! ```

use std::path::PathBuf;

use crate::config::leaf::Address;
use crate::config::plan::Listen;
use crate::config::reader::Leaf;

/// What a socket's address holds, without the zero at its end.
const UNIX_PATH_BYTES: usize = 107;

/// The sockets an input can use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sockets {
    /// TCP and Unix streams.
    Streams,
    /// UDP as well.
    StreamsAndUdp,
    /// Unix datagrams as well.
    All,
}

/// One address or a list of at least one.
pub(super) fn listen(leaf: Leaf<'_>, sockets: Sockets) -> Option<Vec<Listen>> {
    let typed = leaf.several("one address, as host:port or unix:/path", |text| one(text, sockets))?;
    Some(typed.into_iter().flatten().collect())
}

fn one(text: &str, sockets: Sockets) -> Result<Vec<Listen>, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path, "unix:/run/sluicegate/forward.sock").map(|path| vec![Listen::Unix(path)]);
    }
    if let Some(path) = text.strip_prefix("unixgram:") {
        if sockets != Sockets::All {
            return Err("is a datagram socket, which this input does not speak; write unix:/path".to_owned());
        }
        return socket_path(path, "unixgram:/run/sluicegate/syslog.sock")
            .map(|path| vec![Listen::Unixgram(path)]);
    }
    let datagrams = sockets != Sockets::Streams;
    if let Some(rest) = text.strip_prefix("udp:") {
        if !datagrams {
            return Err("is UDP, which this input does not speak; write host:port".to_owned());
        }
        return without_slashes("udp", rest).map(|address| vec![Listen::Udp(address)]);
    }
    if let Some(rest) = text.strip_prefix("tcp:") {
        return without_slashes("tcp", rest).map(|address| vec![Listen::Tcp(address)]);
    }
    let address = Address::parse(text)?;
    if datagrams {
        Ok(vec![Listen::Udp(address.clone()), Listen::Tcp(address)])
    } else {
        Ok(vec![Listen::Tcp(address)])
    }
}

/// Docker's addresses have slashes behind the colon.
fn without_slashes(transport: &str, rest: &str) -> Result<Address, String> {
    if let Some(rest) = rest.strip_prefix("//") {
        return Err(format!("has slashes that do not belong here; write {transport}:{rest}"));
    }
    Address::parse(rest)
}

/// The absolute path of a Unix socket; `example` is how the whole would be right.
pub(super) fn socket_path(path: &str, example: &str) -> Result<PathBuf, String> {
    if !path.starts_with('/') || path.ends_with('/') || path.contains(char::is_control) {
        return Err(format!("is no path of a socket; write {example}"));
    }
    if path.len() > UNIX_PATH_BYTES {
        return Err(format!(
            "has a path of {} bytes; the address of a Unix socket holds {UNIX_PATH_BYTES}",
            path.len()
        ));
    }
    Ok(PathBuf::from(path))
}
