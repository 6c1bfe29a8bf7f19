//! Where the gateway listens. All addresses are bound before anything else is touched, so that a taken port is told at
//! once and breaks nothing; peers are let in only when the rest stands.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Result, anyhow};
use tokio::net::{TcpListener, TcpSocket};

use crate::config::plan::{InputKind, Listen, Plan};

/// Connections that wait in the kernel to be accepted; it cuts this to its own bound.
const BACKLOG: u32 = 1024;

/// What listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    Input(String),
    LogService,
    Operations,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Door::Input(name) => name,
            Door::LogService => "log service",
            Door::Operations => "operations",
        })
    }
}

/// What listens where.
#[derive(Clone, Debug)]
pub struct Address {
    pub door: Door,
    pub socket: SocketAddr,
}

impl Address {
    /// Where a program on this machine reaches it: "every interface" is no address to connect to.
    pub fn reachable(&self) -> SocketAddr {
        let mut socket = self.socket;
        if socket.ip().is_unspecified() {
            socket.set_ip(match socket.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        socket
    }
}

/// A bound address at which nobody is let in yet: who connects is refused by the kernel and tries again.
pub(super) struct Bound {
    key: String,
    socket: TcpSocket,
    pub(super) address: SocketAddr,
}

impl Bound {
    /// `key` is the configuration's, `wanted` its `host:port`.
    async fn new(key: String, wanted: &str) -> Result<Bound> {
        let bound = async {
            let mut last = io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address");
            for address in tokio::net::lookup_host(wanted).await? {
                match bind(address) {
                    Ok(socket) => return Ok((socket.local_addr()?, socket)),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        let (address, socket) = bound.await.map_err(|error| refused(&key, wanted, &error))?;
        Ok(Bound { key, socket, address })
    }

    /// Lets peers in.
    pub(super) fn listen(self) -> Result<TcpListener> {
        let Bound { key, socket, address } = self;
        socket.listen(BACKLOG).map_err(|error| refused(&key, &address.to_string(), &error))
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the last run that linger shall not keep this one from starting.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn refused(key: &str, wanted: &str, error: &io::Error) -> anyhow::Error {
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

/// All bound addresses.
pub(super) struct Doors {
    pub(super) operations: Bound,
    pub(super) log_service: Option<Bound>,
    /// For each input of the plan, in order.
    pub(super) inputs: Vec<Vec<Bound>>,
}

impl Doors {
    pub(super) async fn bind(plan: &Plan) -> Result<Doors> {
        let log_service = match &plan.log_service {
            Some(settings) => {
                Some(Bound::new("log_service.listen".to_owned(), &settings.listen.to_string()).await?)
            }
            None => None,
        };
        let mut inputs = Vec::new();
        for input in &plan.inputs {
            let InputKind::Forward(settings) = &input.kind;
            let mut bound = Vec::new();
            for listen in &settings.listen {
                let Listen::Tcp(address) = listen else { continue };
                let key = format!("inputs.{}.listen", input.name);
                bound.push(Bound::new(key, &address.to_string()).await?);
            }
            inputs.push(bound);
        }
        let wanted = plan.operations.listen.to_string();
        let operations = Bound::new("operations.listen".to_owned(), &wanted).await?;
        Ok(Doors { operations, log_service, inputs })
    }

    /// In the order they are printed.
    pub(super) fn addresses(&self, plan: &Plan) -> Vec<Address> {
        let inputs = plan.inputs.iter().zip(&self.inputs).flat_map(|(input, bound)| {
            bound.iter().map(|bound| Address { door: Door::Input(input.name.clone()), socket: bound.address })
        });
        let log_service = self.log_service.iter().map(|bound| (Door::LogService, bound.address));
        let others = log_service.chain([(Door::Operations, self.operations.address)]);
        inputs.chain(others.map(|(door, socket)| Address { door, socket })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(wanted: &str) -> String {
        match Bound::new("inputs.a.listen".to_owned(), wanted).await {
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
        let bound = Bound::new("a".to_owned(), "127.0.0.1:0").await.unwrap();
        let address = bound.address;
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        let _listener = bound.listen().unwrap();
        tokio::net::TcpStream::connect(address).await.unwrap();
    }

    #[test]
    fn every_interface_is_reached_at_home() {
        for (bound, reachable) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:2", "[::1]:2"),
            ("192.0.2.1:3", "192.0.2.1:3"),
            ("127.0.0.1:4", "127.0.0.1:4"),
        ] {
            let address = Address { door: Door::Operations, socket: bound.parse().unwrap() };
            assert_eq!(address.reachable().to_string(), reachable);
        }
    }
}
