//! TCP addresses: bound, or taken over from who had them.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use anyhow::{Result, anyhow};
use tokio::net::{TcpListener, TcpSocket};

use super::BACKLOG;
use crate::app::inherited::Inherited;

/// A bound address at which nobody is let in yet: who connects is refused by the kernel and tries again.
pub(in crate::app) struct Bound {
    key: String,
    socket: Kind,
    pub(in crate::app) address: SocketAddr,
}

enum Kind {
    Ours(TcpSocket),
    /// Peers have been let in by others, and wait.
    Listening(std::net::TcpListener),
}

impl Bound {
    /// `key` is the configuration's, `wanted` its `host:port`.
    pub(super) async fn new(key: String, wanted: &str, inherited: &mut Inherited) -> Result<Bound> {
        let bound = async {
            let mut last = io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address");
            for address in tokio::net::lookup_host(wanted).await? {
                if let Some(listener) = inherited.tcp(address) {
                    return Ok((address, Kind::Listening(listener)));
                }
                match bind(address) {
                    Ok(socket) => return Ok((socket.local_addr()?, Kind::Ours(socket))),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        let (address, socket) = bound.await.map_err(|error| refused(&key, wanted, &error))?;
        Ok(Bound { key, socket, address })
    }

    /// Lets peers in.
    pub(in crate::app) fn listen(self) -> Result<TcpListener> {
        let Bound { key, socket, address } = self;
        let listener = match socket {
            Kind::Ours(socket) => socket.listen(BACKLOG),
            Kind::Listening(listener) => {
                listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener))
            }
        };
        listener.map_err(|error| refused(&key, &address.to_string(), &error))
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the last run that linger shall not keep this one from starting.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

pub(super) fn refused(key: &str, wanted: &str, error: &io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "another program uses this port; choose another one or stop that program",
        ErrorKind::PermissionDenied => {
            "ports below 1024 are for root and for programs with CAP_NET_BIND_SERVICE; choose a higher one"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its own, or 0.0.0.0 for all of them"
        }
        _ => "choose an address of this machine as host:port",
    };
    anyhow!("{key}: cannot listen on {wanted}: {error}; {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(wanted: &str) -> String {
        match Bound::new("inputs.a.listen".to_owned(), wanted, &mut Inherited::default()).await {
            Ok(bound) => format!("bound {}", bound.address),
            Err(error) => format!("{error:#}"),
        }
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_told_apart() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let said = refusal(&taken.local_addr().unwrap().to_string()).await;
        assert!(said.starts_with("inputs.a.listen: ") && said.contains("another program"), "{said}");
        let said = refusal("192.0.2.1:24224").await;
        assert!(said.contains("no such address"), "{said}");
        let denied = refused("a", "127.0.0.1:80", &ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.contains("1024"), "{denied}");
    }

    #[tokio::test]
    async fn nobody_is_let_in_before_the_door_listens() {
        let bound = Bound::new("a".to_owned(), "127.0.0.1:0", &mut Inherited::default()).await.unwrap();
        let address = bound.address;
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        let _listener = bound.listen().unwrap();
        tokio::net::TcpStream::connect(address).await.unwrap();
    }
}
