//! The addresses of one input: for connections behind a gate, for datagrams, or files that it reads.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

use super::Place;
use super::tcp::{Bound, refused};
use super::unix::BoundFile;
use crate::app::inherited::Inherited;
use crate::config::leaf;
use crate::config::plan::{
    ConnectionsPlan, DockerPluginPlan, ForwardPlan, InputKind, InputPlan, Listen, UnixPlan,
};
use crate::input::forward::handshake::KeyRing;
use crate::input::listener::{Gate, GateSettings, Outlive, Socket};
use crate::input::oneway::{DatagramSocket, Udp};

/// What the sockets of all inputs come from and share.
pub(super) struct Common<'a> {
    pub(super) inherited: &'a mut Inherited,
    pub(super) outlive: &'a Outlive,
    /// Connections that all inputs together may have.
    pub(super) all: Arc<Semaphore>,
}

/// One address of an input.
pub(in crate::app) enum InputDoor {
    /// With the UDP socket of the same port that answers heartbeats.
    Tcp(Bound, Option<UdpSocket>),
    Udp(UdpSocket, SocketAddr),
    Unix(BoundFile),
}

/// A door that lets peers in.
pub(in crate::app) enum Opened {
    Connections(Socket),
    Datagrams(DatagramSocket),
    Heartbeats(UdpSocket),
}

/// Ports of the kernel's choice that may be taken for UDP before that is given up.
const PORT_TRIES: usize = 16;

impl InputDoor {
    pub(super) async fn tcp(
        key: String,
        wanted: &leaf::Address,
        udp_heartbeat: bool,
        inherited: &mut Inherited,
    ) -> Result<InputDoor> {
        let mut tries = PORT_TRIES;
        loop {
            let bound = Bound::new(key.clone(), &wanted.to_string(), inherited).await?;
            if !udp_heartbeat {
                return Ok(InputDoor::Tcp(bound, None));
            }
            tries -= 1;
            match udp(bound.address, inherited).await {
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

    async fn datagrams(key: &str, wanted: &leaf::Address, inherited: &mut Inherited) -> Result<InputDoor> {
        let bound = async {
            let mut last = std::io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address");
            for address in tokio::net::lookup_host(wanted.to_string()).await? {
                match udp(address, inherited).await {
                    Ok(socket) => return Ok((socket.local_addr()?, socket)),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        let (address, socket) =
            bound.await.map_err(|error| refused(key, &format!("UDP {wanted}"), &error))?;
        Ok(InputDoor::Udp(socket, address))
    }

    pub(super) fn place(&self) -> Place {
        match self {
            InputDoor::Tcp(bound, _) => Place::Tcp(bound.address),
            InputDoor::Udp(_, address) => Place::Udp(*address),
            InputDoor::Unix(bound) if bound.is_datagram() => Place::Unixgram(bound.path().to_owned()),
            InputDoor::Unix(bound) => Place::Unix(bound.path().to_owned()),
        }
    }

    /// Lets peers in. `handles` gets a second handle of each socket, for a successor.
    pub(in crate::app) fn open(self, handles: &mut Vec<OwnedFd>) -> Result<Vec<Opened>> {
        let opened = match self {
            InputDoor::Tcp(bound, heartbeat) => {
                let listener = Opened::Connections(Socket::Tcp(bound.listen()?));
                std::iter::once(listener).chain(heartbeat.map(Opened::Heartbeats)).collect()
            }
            InputDoor::Udp(socket, _) => vec![Opened::Datagrams(DatagramSocket::Udp(Udp::new(socket)?))],
            InputDoor::Unix(bound) => vec![bound.open()?],
        };
        for opened in &opened {
            handles.push(match opened {
                Opened::Connections(Socket::Tcp(socket)) => socket.as_fd().try_clone_to_owned()?,
                Opened::Connections(Socket::Unix(socket, _)) => socket.as_fd().try_clone_to_owned()?,
                Opened::Datagrams(DatagramSocket::Udp(socket)) => socket.as_fd().try_clone_to_owned()?,
                Opened::Datagrams(DatagramSocket::Unix(socket, _)) => socket.as_fd().try_clone_to_owned()?,
                Opened::Heartbeats(socket) => socket.as_fd().try_clone_to_owned()?,
            });
        }
        Ok(opened)
    }
}

async fn udp(address: SocketAddr, inherited: &mut Inherited) -> std::io::Result<UdpSocket> {
    match inherited.udp(address) {
        Some(socket) => {
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        }
        None => UdpSocket::bind(address).await,
    }
}

/// All addresses of an input, and what they share.
pub(in crate::app) struct InputDoors {
    /// Of inputs that take connections.
    pub(in crate::app) gate: Option<Arc<Gate>>,
    /// Of a secured forward input.
    pub(in crate::app) keys: Option<Arc<KeyRing>>,
    pub(in crate::app) doors: Vec<InputDoor>,
    /// Of an input that reads files: where they are.
    pub(super) files: Option<PathBuf>,
    pub(super) guarded: bool,
}

impl InputDoors {
    pub(super) async fn bind(input: &InputPlan, mut common: Common<'_>) -> Result<InputDoors> {
        let name = &input.name;
        match &input.kind {
            InputKind::Forward(plan) => InputDoors::forward(name, plan, common).await,
            InputKind::Syslog(plan) => common.listen(name, &plan.listen, &plan.connections, false).await,
            InputKind::Gelf(plan) => common.listen(name, &plan.listen, &plan.connections, false).await,
            InputKind::Splunk(plan) => {
                let guarded = !plan.tokens.is_empty();
                common.listen(name, &plan.listen, &plan.connections, guarded).await
            }
            InputKind::DockerPlugin(plan) => common.plugin(name, plan).await,
            InputKind::Docker(plan) => {
                let files = Some(plan.data_root.join("containers"));
                Ok(InputDoors { gate: None, keys: None, doors: Vec::new(), files, guarded: true })
            }
            InputKind::File(plan) => {
                let files = plan.paths.first().map(|path| PathBuf::from(path.text()));
                Ok(InputDoors { gate: None, keys: None, doors: Vec::new(), files, guarded: true })
            }
        }
    }

    async fn forward(name: &str, plan: &ForwardPlan, common: Common<'_>) -> Result<InputDoors> {
        let settings = GateSettings::from(plan);
        let gate = common.gate(name, settings)?;
        let keys = match plan.security.clone() {
            Some(security) => {
                // Looks names up.
                let loaded = tokio::task::spawn_blocking(move || KeyRing::load(&security)).await?;
                Some(Arc::new(loaded.with_context(|| format!("inputs.{name}.security.clients"))?))
            }
            None => None,
        };
        let mut common = common;
        let doors = common.doors(name, &plan.listen, &plan.connections.unix, plan.udp_heartbeat).await?;
        let guarded = common.is_guarded(&plan.connections) || plan.security.is_some();
        Ok(InputDoors { gate: Some(gate), keys, doors, files: None, guarded })
    }
}

impl Common<'_> {
    fn gate(&self, name: &str, settings: GateSettings) -> Result<Arc<Gate>> {
        let settings =
            GateSettings { all: Some(self.all.clone()), outlive: self.outlive.clone(), ..settings };
        Ok(Arc::new(Gate::new(name, settings).with_context(|| format!("inputs.{name}.tls"))?))
    }

    fn is_guarded(&self, connections: &ConnectionsPlan) -> bool {
        connections.tls.as_ref().is_some_and(|tls| !tls.allow_plain)
    }

    async fn listen(
        &mut self,
        name: &str,
        listen: &[Listen],
        connections: &ConnectionsPlan,
        guarded: bool,
    ) -> Result<InputDoors> {
        let gate = self.gate(name, GateSettings::from(connections))?;
        let doors = self.doors(name, listen, &connections.unix, false).await?;
        let guarded = guarded || self.is_guarded(connections);
        Ok(InputDoors { gate: Some(gate), keys: None, doors, files: None, guarded })
    }

    async fn doors(
        &mut self,
        name: &str,
        listen: &[Listen],
        unix: &UnixPlan,
        udp_heartbeat: bool,
    ) -> Result<Vec<InputDoor>> {
        let mut doors = Vec::new();
        for listen in listen {
            let key = format!("inputs.{name}.listen");
            doors.push(match listen {
                Listen::Tcp(address) => InputDoor::tcp(key, address, udp_heartbeat, self.inherited).await?,
                Listen::Udp(address) => InputDoor::datagrams(&key, address, self.inherited).await?,
                Listen::Unix(path) => InputDoor::Unix(self.stream(key, path, unix).await?),
                Listen::Unixgram(path) => {
                    let from = (&mut *self.inherited, self.outlive);
                    InputDoor::Unix(BoundFile::datagram(key, path, unix, from).await?)
                }
            });
        }
        Ok(doors)
    }

    async fn stream(&mut self, key: String, path: &Path, unix: &UnixPlan) -> Result<BoundFile> {
        BoundFile::stream(key, path, unix, (&mut *self.inherited, self.outlive)).await
    }

    /// The engine looks in a directory that nobody has made before the first plugin.
    async fn plugin(&mut self, name: &str, plan: &DockerPluginPlan) -> Result<InputDoors> {
        let key = format!("inputs.{name}.socket");
        if let Some(parent) = plan.socket.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("{key}: cannot make the directory {}", parent.display()))?;
        }
        let door = InputDoor::Unix(self.stream(key, &plan.socket, &plan.unix).await?);
        Ok(InputDoors { gate: None, keys: None, doors: vec![door], files: None, guarded: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn heartbeats_get_the_port_of_the_tcp_address() {
        let zero = leaf::Address::new("127.0.0.1", 0);
        let door = InputDoor::tcp("inputs.a.listen".to_owned(), &zero, true, &mut Inherited::default())
            .await
            .unwrap();
        let InputDoor::Tcp(bound, Some(udp)) = door else { panic!("no UDP socket") };
        assert_eq!(udp.local_addr().unwrap(), bound.address);
        drop(bound);
        let same = leaf::Address::new("127.0.0.1", udp.local_addr().unwrap().port());
        let error = InputDoor::tcp("inputs.a.listen".to_owned(), &same, true, &mut Inherited::default())
            .await
            .err()
            .unwrap();
        let said = format!("{error:#}");
        assert!(said.contains("udp_heartbeat") && said.contains("another program"), "{said}");
    }
}
