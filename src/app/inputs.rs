//! From the plan's inputs and their doors to the tasks that read them. Building may fail; starting does not.

use std::collections::HashMap;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::descriptors;
use super::doors::{InputDoors, Opened};
use crate::base::shutdown::{Passed, Stop};
use crate::base::tls::ServerTls;
use crate::config::plan::{ConnectionsPlan, DatagramsPlan, InputKind, InputPlan, JoinPlan, Nil};
use crate::input::Intake;
use crate::input::docker::DockerFiles;
use crate::input::docker_plugin::DockerPlugin;
use crate::input::file::Files;
use crate::input::forward::Forward;
use crate::input::gelf::Gelf;
use crate::input::heartbeat::Heartbeat;
use crate::input::listener::Socket;
use crate::input::oneway::{Oneway, Protocol};
use crate::input::positions::Positions;
use crate::input::splunk::Splunk;
use crate::input::syslog::Syslog;
use crate::output::refused::DeadLetters;
use crate::pipeline::join::{JoinSettings, Marks};
use crate::pipeline::steps::Steps;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Goes on with a connection of an input.
type Adopt = Box<dyn Fn(Passed) + Send + Sync>;

/// What inputs are made with.
pub(super) struct Shared<'a> {
    pub(super) intake: Arc<Intake>,
    pub(super) letters: Arc<DeadLetters>,
    pub(super) positions: Arc<Positions>,
    pub(super) nil: Nil,
    pub(super) data_dir: &'a Path,
    pub(super) stop: Stop,
}

/// Inputs that are ready to read.
#[derive(Default)]
pub(super) struct Inputs {
    tasks: Vec<Task>,
    /// By the input's name.
    adopts: HashMap<String, Adopt>,
    /// Those whose keys can be read again.
    pub(super) forwards: Vec<(String, Arc<Forward>)>,
    /// Those that read files, by name.
    pub(super) files: Vec<(String, Arc<Files>)>,
    /// Certificates that can be read again.
    pub(super) tls: Vec<Arc<ServerTls>>,
    /// Second handles of all sockets, for a successor.
    pub(super) handles: Vec<OwnedFd>,
}

impl Inputs {
    /// Opens the doors of an input and makes what reads behind them.
    pub(super) fn add(&mut self, input: &InputPlan, doors: InputDoors, shared: &Shared<'_>) -> Result<()> {
        let name = &input.name;
        if let Some(gate) = &doors.gate {
            self.tls.extend(gate.tls().cloned());
        }
        match &input.kind {
            InputKind::Forward(plan) => {
                let (intake, letters) = (shared.intake.clone(), shared.letters.clone());
                let plan = (**plan).clone();
                let forward =
                    Arc::new(Forward::new(name, plan, doors.keys.clone(), shared.nil, intake, letters));
                self.forwards.push((name.clone(), forward.clone()));
                if let Some(gate) = doors.gate.clone() {
                    let (forward, stop) = (forward.clone(), shared.stop.clone());
                    self.adopts
                        .insert(name.clone(), Box::new(move |passed| forward.adopt(&gate, passed, &stop)));
                }
                self.open(name, doors, shared, move |gate, socket, stop| {
                    forward.clone().listen(gate, socket, stop)
                })
            }
            InputKind::Syslog(plan) => {
                let syslog = Syslog::new(name, plan).with_context(|| format!("inputs.{name}"))?;
                let rest = (&plan.connections, plan.datagrams, &plan.join, Marks::Length);
                self.oneway(name, doors, shared, syslog, rest)
            }
            InputKind::Gelf(plan) => {
                let rest = (&plan.connections, plan.datagrams, &plan.join, Marks::LengthAndTime);
                self.oneway(name, doors, shared, Gelf::new(name, plan), rest)
            }
            InputKind::Splunk(plan) => {
                let splunk = Arc::new(Splunk::new(name, plan.clone(), shared.intake.clone()));
                self.open(name, doors, shared, move |gate, socket, stop| {
                    splunk.clone().listen(gate, socket, stop)
                })
            }
            InputKind::DockerPlugin(plan) => {
                let state = shared.data_dir.join("docker-plugin").join(name);
                let (intake, positions) = (shared.intake.clone(), shared.positions.clone());
                let plugin = DockerPlugin::open(name, plan.clone(), intake, positions, &state)
                    .with_context(|| format!("inputs.{name}"))?;
                let plugin = Arc::new(plugin);
                for opened in self.doors(doors)? {
                    if let Opened::Connections(Socket::Unix(listener, file)) = opened {
                        let running = plugin.clone().run(listener, shared.stop.clone());
                        self.tasks.push(Box::pin(async move {
                            running.await;
                            drop(file);
                        }));
                    }
                }
                Ok(())
            }
            InputKind::Docker(plan) => {
                let (intake, positions) = (shared.intake.clone(), shared.positions.clone());
                let open = descriptors::for_files(descriptors::raise());
                let files = DockerFiles::new(name, plan.clone(), intake, positions).with_open_files(open);
                self.tasks.push(Box::pin(Arc::new(files).run(shared.stop.clone())));
                Ok(())
            }
            InputKind::File(plan) => {
                let (intake, positions) = (shared.intake.clone(), shared.positions.clone());
                let open = descriptors::for_files(descriptors::raise());
                let steps = Steps::new(&plan.processors, shared.nil);
                let files = Arc::new(Files::new(name, (**plan).clone(), steps, intake, positions, open));
                self.tasks.push(Box::pin(files.clone().run(shared.stop.clone())));
                self.files.push((name.clone(), files));
                Ok(())
            }
        }
    }

    fn oneway<P: Protocol>(
        &mut self,
        name: &str,
        doors: InputDoors,
        shared: &Shared<'_>,
        protocol: P,
        (connections, datagrams, join, marks): (&ConnectionsPlan, DatagramsPlan, &JoinPlan, Marks),
    ) -> Result<()> {
        let join = JoinSettings::new(join, marks);
        let intake = shared.intake.clone();
        let oneway = Arc::new(Oneway::new(name, protocol, connections.clone(), datagrams, join, intake));
        let Some(gate) = doors.gate.clone() else { return Ok(()) };
        let (adopting, at, stop) = (oneway.clone(), gate.clone(), shared.stop.clone());
        self.adopts.insert(name.to_owned(), Box::new(move |passed| adopting.adopt(&at, passed, &stop)));
        for opened in self.doors(doors)? {
            let (oneway, stop) = (oneway.clone(), shared.stop.clone());
            match opened {
                Opened::Connections(socket) => {
                    self.tasks.push(Box::pin(oneway.listen(gate.clone(), socket, stop)))
                }
                Opened::Datagrams(socket) => self.tasks.push(Box::pin(oneway.receive(socket, stop))),
                Opened::Heartbeats(_) => {}
            }
        }
        Ok(())
    }

    /// Opens the doors of an input whose peers connect.
    fn open<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        name: &str,
        doors: InputDoors,
        shared: &Shared<'_>,
        listen: impl Fn(Arc<crate::input::listener::Gate>, Socket, Stop) -> F,
    ) -> Result<()> {
        let Some(gate) = doors.gate.clone() else { return Ok(()) };
        for opened in self.doors(doors)? {
            match opened {
                Opened::Connections(socket) => {
                    self.tasks.push(Box::pin(listen(gate.clone(), socket, shared.stop.clone())));
                }
                Opened::Heartbeats(socket) => {
                    self.tasks.push(Box::pin(Heartbeat::new(name, socket).run(shared.stop.draining.clone())));
                }
                Opened::Datagrams(_) => {}
            }
        }
        Ok(())
    }

    fn doors(&mut self, doors: InputDoors) -> Result<Vec<Opened>> {
        let mut opened = Vec::new();
        for door in doors.doors {
            opened.extend(door.open(&mut self.handles)?);
        }
        Ok(opened)
    }

    /// Goes on with what another process had. An input that is no more ends its connections.
    pub(super) fn adopt(&self, passed: Vec<Passed>) {
        for passed in passed {
            match self.adopts.get(&passed.input) {
                Some(adopt) => adopt(passed),
                None => tracing::warn!(input = %passed.input, peer = %passed.peer,
                    "a connection of the gateway before us is closed: this input takes none any more"),
            }
        }
    }

    pub(super) fn start(&mut self, stop: &Stop) {
        for task in self.tasks.drain(..) {
            stop.tasks.spawn(task);
        }
    }
}
