//! Where the gateway listens. All addresses are bound before anything else is touched, so that a taken port is told at
//! once and breaks nothing; peers are let in only when the rest stands. The files of TLS are read here for the same reason.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::Semaphore;

use super::descriptors;
use super::inherited::Inherited;
use crate::config::plan::{InputKind, InputPlan, Plan};
use crate::input::listener::Outlive;

mod input;
mod tcp;
mod unix;

use input::{Common, InputDoor};
pub(super) use input::{InputDoors, Opened};
pub(super) use tcp::Bound;

/// Connections that wait in the kernel to be accepted; it cuts this to its own bound.
const BACKLOG: u32 = 1024;

/// What listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// An input that `sluicegate send` can send to.
    Forward(String),
    Input(String),
    LogService,
    Operations,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Door::Forward(name) | Door::Input(name) => name,
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
    Udp(SocketAddr),
    Unix(PathBuf),
    Unixgram(PathBuf),
    /// Files that are read.
    Files(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(socket) => socket.fmt(f),
            Place::Udp(socket) => write!(f, "udp:{socket}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Unixgram(path) => write!(f, "unixgram:{}", path.display()),
            Place::Files(path) => write!(f, "files in {}", path.display()),
        }
    }
}

impl Address {
    /// Of a TCP port.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Tcp(socket) => Some(socket),
            _ => None,
        }
    }

    /// Other machines reach it, and it asks nothing of them.
    pub fn is_open(&self) -> bool {
        match &self.place {
            // No lock there is would be for datagrams.
            Place::Udp(socket) => !socket.ip().is_loopback(),
            Place::Tcp(socket) => !self.guarded && !socket.ip().is_loopback(),
            _ => false,
        }
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

/// All bound addresses.
pub(super) struct Doors {
    pub(super) operations: Bound,
    pub(super) log_service: Option<Bound>,
    /// For each input of the plan, in order.
    pub(super) inputs: Vec<InputDoors>,
}

impl Doors {
    pub(super) async fn bind(plan: &Plan, inherited: &mut Inherited, outlive: &Outlive) -> Result<Doors> {
        // First, since another gateway of this configuration that is still starting listens here already: its Unix
        // sockets do not answer yet and would be taken for forgotten ones.
        let wanted = plan.operations.listen.to_string();
        let operations = Bound::new("operations.listen".to_owned(), &wanted, inherited).await?;
        let log_service = match &plan.log_service {
            Some(settings) => {
                let wanted = settings.listen.to_string();
                Some(Bound::new("log_service.listen".to_owned(), &wanted, inherited).await?)
            }
            None => None,
        };
        let mut inputs = Vec::new();
        let all = connections(plan);
        for input in &plan.inputs {
            let common = Common { inherited: &mut *inherited, outlive, all: all.clone() };
            inputs.push(InputDoors::bind(input, common).await?);
        }
        Ok(Doors { operations, log_service, inputs })
    }

    /// In the order they are printed.
    pub(super) fn addresses(&self, plan: &Plan) -> Vec<Address> {
        let inputs = plan.inputs.iter().zip(&self.inputs).flat_map(|(input, bound)| {
            let places = bound.doors.iter().map(InputDoor::place);
            places.chain(bound.files.clone().map(Place::Files)).map(|place| Address {
                door: match input.kind {
                    InputKind::Forward(_) => Door::Forward(input.name.clone()),
                    _ => Door::Input(input.name.clone()),
                },
                place,
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
    let reads_files = |input: &&InputPlan| input.kind.connections().is_none();
    let held = plan.inputs.iter().filter(reads_files).count() * descriptors::for_files(limit);
    let room = descriptors::for_connections(limit, held);
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
        let operations = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let variables = [
            ("SLUICEGATE__INPUTS__FORWARD__LISTEN", format!("unix:{}", path.display())),
            ("SLUICEGATE__OPERATIONS__LISTEN", operations.local_addr().unwrap().to_string()),
            ("SLUICEGATE__LOG_SERVICE__LISTEN", "127.0.0.1:0".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let flags = crate::config::Flags { data_dir: Some(dir.path().to_owned()) };
        let plan = crate::config::load(None, variables.into_iter(), &flags).unwrap();
        let error = Doors::bind(&plan, &mut Inherited::default(), &Outlive::default())
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("operations.listen: "), "{error}");
        assert!(path.exists());
    }
}
