//! Where the gateway listens. All addresses are bound before anything else is touched, so that a taken port is told at
//! once and breaks nothing; peers are let in only when the rest stands. The files of TLS are read here for the same reason.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::Semaphore;

use super::descriptors;
use crate::config::leaf;
use crate::config::plan::{ForwardPlan, InputKind, Listen, Plan};
use crate::input::forward::handshake::KeyRing;
use crate::input::heartbeat::Heartbeat;
use crate::input::listener::{Gate, GateSettings, Socket};

mod unix;

use unix::BoundFile;

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
    pub place: Place,
    /// Who comes in has to prove something, or nobody can listen in: a shared key, a signature, TLS and nothing else.
    pub guarded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(socket) => socket.fmt(f),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Of a TCP port.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Tcp(socket) => Some(socket),
            Place::Unix(_) => None,
        }
    }

    /// Other machines reach it, and it asks nothing of them.
    pub fn is_open(&self) -> bool {
        !self.guarded && self.socket().is_some_and(|socket| !socket.ip().is_loopback())
    }

    /// Where a program on this machine reaches it: "every interface" is no address to connect to.
    pub fn reachable(&self) -> Option<SocketAddr> {
        let mut socket = self.socket()?;
        if socket.ip().is_unspecified() {
            socket.set_ip(match socket.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(socket)
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

/// One address of an input.
pub(super) enum InputDoor {
    /// With the UDP socket of the same port that answers heartbeats.
    Tcp(Bound, Option<UdpSocket>),
    Unix(BoundFile),
}

/// Ports of the kernel's choice that may be taken for UDP before that is given up.
const PORT_TRIES: usize = 16;

impl InputDoor {
    async fn tcp(key: String, wanted: &leaf::Address, udp_heartbeat: bool) -> Result<InputDoor> {
        let mut tries = PORT_TRIES;
        loop {
            let bound = Bound::new(key.clone(), &wanted.to_string()).await?;
            if !udp_heartbeat {
                return Ok(InputDoor::Tcp(bound, None));
            }
            tries -= 1;
            match UdpSocket::bind(bound.address).await {
                Ok(socket) => return Ok(InputDoor::Tcp(bound, Some(socket))),
                // The kernel chose a port that is free for TCP alone.
                Err(error) if wanted.port == 0 && tries > 0 && error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => {
                    return Err(refused(&key, &format!("UDP {}", bound.address), &error).context(
                        "UDP heartbeats need the port of the TCP address, or udp_heartbeat: false",
                    ));
                }
            }
        }
    }

    pub(super) fn place(&self) -> Place {
        match self {
            InputDoor::Tcp(bound, _) => Place::Tcp(bound.address),
            InputDoor::Unix(bound) => Place::Unix(bound.path().to_owned()),
        }
    }

    /// Lets peers in.
    pub(super) fn listen(self, input: &str) -> Result<(Socket, Option<Heartbeat>)> {
        match self {
            InputDoor::Tcp(bound, udp) => {
                Ok((Socket::Tcp(bound.listen()?), udp.map(|socket| Heartbeat::new(input, socket))))
            }
            InputDoor::Unix(bound) => Ok((bound.listen()?, None)),
        }
    }
}

/// All addresses of an input, and what they share.
pub(super) struct InputDoors {
    pub(super) gate: Arc<Gate>,
    /// Of a secured input.
    pub(super) keys: Option<Arc<KeyRing>>,
    pub(super) doors: Vec<InputDoor>,
    guarded: bool,
}

impl InputDoors {
    async fn bind(name: &str, settings: &ForwardPlan, all: Arc<Semaphore>) -> Result<InputDoors> {
        let gate = GateSettings { all: Some(all), ..GateSettings::from(settings) };
        let gate = Gate::new(name, gate).with_context(|| format!("inputs.{name}.tls"))?;
        let keys = match settings.security.clone() {
            Some(security) => {
                // Looks names up.
                let loaded = tokio::task::spawn_blocking(move || KeyRing::load(&security)).await?;
                Some(Arc::new(loaded.with_context(|| format!("inputs.{name}.security.clients"))?))
            }
            None => None,
        };
        let mut doors = Vec::new();
        for listen in &settings.listen {
            let key = format!("inputs.{name}.listen");
            doors.push(match listen {
                Listen::Tcp(address) => InputDoor::tcp(key, address, settings.udp_heartbeat).await?,
                Listen::Udp(_) | Listen::Unixgram(_) => continue,
                Listen::Unix(path) => {
                    InputDoor::Unix(BoundFile::new(key, path, &settings.connections.unix).await?)
                }
            });
        }
        let tls = settings.connections.tls.as_ref().is_some_and(|tls| !tls.allow_plain);
        Ok(InputDoors { gate: Arc::new(gate), keys, doors, guarded: tls || settings.security.is_some() })
    }
}

/// All bound addresses.
pub(super) struct Doors {
    pub(super) operations: Bound,
    pub(super) log_service: Option<Bound>,
    /// For each input of the plan, in order.
    pub(super) inputs: Vec<InputDoors>,
}

impl Doors {
    pub(super) async fn bind(plan: &Plan) -> Result<Doors> {
        // First, since another gateway of this configuration that is still starting listens here already: its Unix
        // sockets do not answer yet and would be taken for forgotten ones.
        let wanted = plan.operations.listen.to_string();
        let operations = Bound::new("operations.listen".to_owned(), &wanted).await?;
        let log_service = match &plan.log_service {
            Some(settings) => {
                Some(Bound::new("log_service.listen".to_owned(), &settings.listen.to_string()).await?)
            }
            None => None,
        };
        let mut inputs = Vec::new();
        let all = connections(plan);
        for input in &plan.inputs {
            let InputKind::Forward(settings) = &input.kind else { continue };
            inputs.push(InputDoors::bind(&input.name, settings, all.clone()).await?);
        }
        Ok(Doors { operations, log_service, inputs })
    }

    /// In the order they are printed.
    pub(super) fn addresses(&self, plan: &Plan) -> Vec<Address> {
        let inputs = plan.inputs.iter().zip(&self.inputs).flat_map(|(input, bound)| {
            bound.doors.iter().map(|door| Address {
                door: Door::Input(input.name.clone()),
                place: door.place(),
                guarded: bound.guarded,
            })
        });
        let at = |door, bound: &Bound, guarded| Address { door, place: Place::Tcp(bound.address), guarded };
        let log_service = self.log_service.iter().map(|bound| at(Door::LogService, bound, true));
        inputs.chain(log_service).chain([at(Door::Operations, &self.operations, false)]).collect()
    }
}

/// The connections that all inputs together may have; said where an input alone could want more.
fn connections(plan: &Plan) -> Arc<Semaphore> {
    let limit = descriptors::raise();
    let room = descriptors::for_connections(limit);
    for input in &plan.inputs {
        let wanted = input.kind.connections().map_or(0, |connections| connections.max_connections);
        if wanted > room {
            tracing::warn!(input = %input.name,
                "this process may have {limit} files open, so {room} connections are taken at once and not the {wanted} of \
                 inputs.{}.max_connections; raise the limit (ulimit -n, LimitNOFILE= of systemd, --ulimit nofile= of \
                 Docker), or lower max_connections", input.name);
        }
    }
    Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)))
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
            let place = Place::Tcp(bound.parse().unwrap());
            let address = Address { door: Door::Operations, place, guarded: false };
            assert_eq!(address.reachable().unwrap().to_string(), reachable);
        }
    }

    #[tokio::test]
    async fn heartbeats_get_the_port_of_the_tcp_address() {
        let zero = leaf::Address::new("127.0.0.1", 0);
        let door = InputDoor::tcp("inputs.a.listen".to_owned(), &zero, true).await.unwrap();
        let InputDoor::Tcp(bound, Some(udp)) = door else { panic!("no UDP socket") };
        assert_eq!(udp.local_addr().unwrap(), bound.address);
        drop(bound);
        let same = leaf::Address::new("127.0.0.1", udp.local_addr().unwrap().port());
        let error = InputDoor::tcp("inputs.a.listen".to_owned(), &same, true).await.err().unwrap();
        let said = format!("{error:#}");
        assert!(said.contains("udp_heartbeat") && said.contains("another program"), "{said}");
    }

    #[test]
    fn only_what_asks_nothing_of_other_machines_is_open() {
        let address = |place: &str, guarded| Address {
            door: Door::Operations,
            place: Place::Tcp(place.parse().unwrap()),
            guarded,
        };
        assert!(address("0.0.0.0:1", false).is_open());
        assert!(!address("0.0.0.0:1", true).is_open() && !address("127.0.0.1:1", false).is_open());
        let unix = Address { door: Door::Operations, place: Place::Unix("/run/s".into()), guarded: false };
        assert!(!unix.is_open() && unix.reachable().is_none());
        assert_eq!(unix.place.to_string(), "unix:/run/s");
    }

    /// A gateway that recovers has bound its socket and does not answer: it looks like one that died.
    #[tokio::test]
    async fn a_gateway_that_is_starting_keeps_its_socket_from_a_second_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let starting = tokio::net::UnixSocket::new_stream().unwrap();
        starting.bind(&path).unwrap();
        let operations = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let variables = [
            ("SLUICEGATE__INPUTS__FORWARD__LISTEN", format!("unix:{}", path.display())),
            ("SLUICEGATE__OPERATIONS__LISTEN", operations.local_addr().unwrap().to_string()),
            ("SLUICEGATE__LOG_SERVICE__LISTEN", "127.0.0.1:0".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let flags = crate::config::Flags { data_dir: Some(dir.path().to_owned()) };
        let plan = crate::config::load(None, variables.into_iter(), &flags).unwrap();
        let error = Doors::bind(&plan).await.err().unwrap().to_string();
        assert!(error.starts_with("operations.listen: "), "{error}");
        assert!(path.exists());
    }
}
