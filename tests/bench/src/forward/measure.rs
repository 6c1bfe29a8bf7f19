//! The measurements: each starts a fresh subject and sink, lets clients at it, and reads what the subject used.

use std::{error::Error, path::Path, process::Command, thread, time::Duration};

use super::{
    certificates::Certificates,
    chunk::{Compression, Form, Shape},
    clients::Clients,
    dial::{Tls, Way},
};
use crate::{
    Bench,
    disk::Scratch,
    process::{self, Running},
    run::{self, Measured, Numbers, SinkProcess},
    subject::{Door, Subject},
};

const SHARED_KEY: &str = "bench-shared-key";
/// Records in a message where latency counts.
const SMALL: u64 = 10;
/// Until memory has settled.
const SETTLE: Duration = Duration::from_secs(2);
/// Messages in a second with which the idle connections speak once.
const ROLL_CALL: u64 = 4_000;

/// What is the same for all measurements.
pub struct Ground<'a> {
    pub bench: &'a Bench,
    pub certificates: Certificates,
    pub seed: u64,
}

/// A subject and what belongs to it. Dropped in this order.
struct Stage {
    subject: Subject,
    sink: SinkProcess,
    _scratch: Scratch,
}

/// How a connection is secured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Secured {
    pub name: &'static str,
    tls: bool,
    /// TLS 1.2, or 1.3.
    old: bool,
    rsa: bool,
    client_certificate: bool,
    shared_key: bool,
}

pub const PLAIN: Secured = Secured {
    name: "plain",
    tls: false,
    old: false,
    rsa: false,
    client_certificate: false,
    shared_key: false,
};
pub const TLS: Secured = Secured { name: "TLS", tls: true, ..PLAIN };

/// Every kind of handshake that is measured.
pub const HANDSHAKES: [Secured; 7] = [
    Secured { name: "TCP alone", ..PLAIN },
    Secured { name: "shared key", shared_key: true, ..PLAIN },
    Secured { name: "TLS 1.3", ..TLS },
    Secured { name: "TLS 1.3 + shared key", shared_key: true, ..TLS },
    Secured { name: "TLS 1.3 + client certificate", client_certificate: true, ..TLS },
    Secured { name: "TLS 1.3, RSA 2048", rsa: true, ..TLS },
    Secured { name: "TLS 1.2", old: true, ..TLS },
];

/// What is sent, all of it PackedForward with acks.
#[derive(Clone, Copy)]
pub struct Input {
    pub name: &'static str,
    secured: Secured,
    form: Form,
    compression: Compression,
}

const LEGACY: Input =
    Input { name: "plain", secured: PLAIN, form: Form::Legacy, compression: Compression::None };

/// Every input whose cost is measured; the first is what the others are compared with.
pub const INPUTS: [Input; 8] = [
    LEGACY,
    Input { name: "tls", secured: TLS, ..LEGACY },
    Input { name: "gzip", compression: Compression::Gzip, ..LEGACY },
    Input { name: "zstd", compression: Compression::Zstd, ..LEGACY },
    Input { name: "tls-key-gzip", secured: KEYED, compression: Compression::Gzip, ..LEGACY },
    Input { name: "tls-key-zstd", secured: KEYED, compression: Compression::Zstd, ..LEGACY },
    Input { name: "v2", form: Form::V2, ..LEGACY },
    Input { name: "metadata", form: Form::Metadata, ..LEGACY },
];
const KEYED: Secured = Secured { name: "TLS + shared key", shared_key: true, ..TLS };

/// How much of an input is sent, and how.
pub struct Load {
    pub records: u64,
    pub connections: u64,
    pub entries: u64,
    pub window: usize,
}

/// The cost of one input.
pub struct Cost {
    pub subject: String,
    pub input: &'static str,
    pub records: u64,
    pub measured: Measured,
    pub sink_cpu_seconds: f64,
    pub verdict: Option<String>,
}

/// The cost of opening connections.
pub struct Shaken {
    pub subject: String,
    pub kind: &'static str,
    pub count: u64,
    pub cpu_seconds: f64,
    pub said: Numbers,
}

/// Acks under one load.
pub struct Latency {
    pub subject: String,
    pub secured: &'static str,
    pub connections: u64,
    /// Messages in a second, or as many as acks allow.
    pub rate: Option<u64>,
    pub messages: u64,
    pub measured: Measured,
}

/// Memory of connections that say nothing, and what they do to those that speak.
pub struct Idle {
    pub subject: String,
    pub secured: &'static str,
    pub connections: u64,
    /// VmRSS before the connections, with them open, and after each of them has sent one message.
    pub megabytes: [f64; 3],
    /// VmHWM at the end.
    pub peak_megabytes: f64,
    pub active: u64,
    pub messages: u64,
    /// The same active connections on a subject of their own, and beside the idle ones.
    pub alone: Measured,
    pub beside: Measured,
    /// Idle connections that the subject has not closed in the end.
    pub still_open: u64,
}

impl Ground<'_> {
    pub fn cost(&self, peer: Option<&Path>, input: &Input, load: &Load) -> Result<Cost, Box<dyn Error>> {
        let keep = self.bench.verify && peer.is_none();
        let mut stage = self.stage(peer, input.secured, None, keep)?;
        let clients = Clients {
            shape: Shape { entries: load.entries, form: input.form, compression: input.compression },
            records: load.records,
            connections: load.connections,
            window: load.window,
            ..self.clients(&stage, input.secured)
        };
        let measured = self.follow(&mut stage, &mut start(&clients)?, clients.records)?;
        Ok(Cost {
            subject: stage.subject.process.name.clone(),
            input: input.name,
            records: clients.records,
            measured,
            sink_cpu_seconds: stage.sink.ask("/stats")?.get("cpu_seconds"),
            verdict: if keep { Some(stage.sink.verdict(clients.records)?) } else { None },
        })
    }

    pub fn handshakes(
        &self,
        peer: Option<&Path>,
        kind: Secured,
        count: u64,
    ) -> Result<Shaken, Box<dyn Error>> {
        let mut stage = self.stage(peer, kind, None, false)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["shake", "--to", &stage.subject.forward.to_string(), "--count", &count.to_string()]);
        command.args(self.way(kind).flags());
        let mut generator = Running::start("shake", &mut command, None)?;
        let mut said = run::ready(&mut stage.subject, &mut generator)?;
        let cpu = process::cpu_seconds(stage.subject.process.pid())?;
        generator.say("go")?;
        loop {
            let line = generator.line(Duration::from_secs(300));
            let line = line.map_err(|error| stage.subject.explain(error))?;
            if line == "done" {
                break;
            }
            said.0.extend(run::pair(&line));
        }
        let cpu_seconds = process::cpu_seconds(stage.subject.process.pid())? - cpu;
        let subject = stage.subject.process.name.clone();
        let count = said.get("messages") as u64;
        Ok(Shaken { subject, kind: kind.name, count, cpu_seconds, said })
    }

    /// Acks of `messages` small messages on so many connections: at a rate, or each sent when the one before is acknowledged.
    pub fn latency(
        &self,
        peer: Option<&Path>,
        secured: Secured,
        connections: u64,
        rate: Option<u64>,
        messages: u64,
    ) -> Result<Latency, Box<dyn Error>> {
        let mut stage = self.stage(peer, secured, None, false)?;
        let measured = self.speak(&mut stage, secured, connections, rate, messages)?;
        let subject = stage.subject.process.name.clone();
        Ok(Latency { subject, secured: secured.name, connections, rate, messages, measured })
    }

    pub fn idle(
        &self,
        peer: Option<&Path>,
        secured: Secured,
        connections: u64,
        active: u64,
        messages: u64,
    ) -> Result<Idle, Box<dyn Error>> {
        let room = Some(connections + active + 100);
        let alone = {
            let mut stage = self.stage(peer, secured, room, false)?;
            self.speak(&mut stage, secured, active, None, messages)?
        };
        let mut stage = self.stage(peer, secured, room, false)?;
        let pid = stage.subject.process.pid();
        let settled = || {
            thread::sleep(SETTLE);
            process::memory_megabytes(pid, "VmRSS")
        };
        let before = settled()?;
        let silent = Clients {
            records: connections * SMALL,
            connections,
            rate: Some(ROLL_CALL),
            series: 1,
            seed: self.seed + 1,
            ..self.clients(&stage, secured)
        };
        let mut waiting = start(&silent)?;
        let said = run::ready(&mut stage.subject, &mut waiting)?;
        let opened = settled()?;
        self.follow_ready(&mut stage, &mut waiting, said, silent.records)?;
        let spoken = settled()?;
        let beside = self.speak(&mut stage, secured, active, None, messages)?;
        waiting.say("open?")?;
        let still_open = loop {
            if let Some(("open", count)) = waiting.line(self.bench.patience)?.split_once(' ') {
                break count.parse()?;
            }
        };
        Ok(Idle {
            subject: stage.subject.process.name.clone(),
            secured: secured.name,
            connections,
            megabytes: [before, opened, spoken],
            peak_megabytes: process::memory_megabytes(pid, "VmHWM")?,
            active,
            messages,
            alone,
            beside,
            still_open,
        })
    }

    /// Small messages on so many connections.
    fn speak(
        &self,
        stage: &mut Stage,
        secured: Secured,
        connections: u64,
        rate: Option<u64>,
        messages: u64,
    ) -> Result<Measured, Box<dyn Error>> {
        let clients = Clients {
            records: messages * SMALL,
            connections,
            window: if rate.is_some() { 64 } else { 1 },
            rate,
            ..self.clients(stage, secured)
        };
        self.follow(stage, &mut start(&clients)?, clients.records)
    }

    fn follow(
        &self,
        stage: &mut Stage,
        generator: &mut Running,
        records: u64,
    ) -> Result<Measured, Box<dyn Error>> {
        let said = run::ready(&mut stage.subject, generator)?;
        self.follow_ready(stage, generator, said, records)
    }

    /// Lets clients that are ready go; an error when not all of it arrives.
    fn follow_ready(
        &self,
        stage: &mut Stage,
        generator: &mut Running,
        said: Numbers,
        records: u64,
    ) -> Result<Measured, Box<dyn Error>> {
        let patience = self.bench.patience;
        let measured = run::follow(&mut stage.subject, &stage.sink, generator, said, records, patience)?;
        if measured.finished && measured.delivered >= records {
            return Ok(measured);
        }
        let what = format!("stands still: {} of {records} records delivered", measured.delivered);
        Err(stage.subject.explain(what.into()))
    }

    fn stage(
        &self,
        peer: Option<&Path>,
        secured: Secured,
        connections: Option<u64>,
        keep: bool,
    ) -> Result<Stage, Box<dyn Error>> {
        let scratch = Scratch::new(&self.bench.scratch.path, "row")?;
        // What earlier measurements left to be written back is not this one's.
        rustix::fs::sync();
        let sink = SinkProcess::start(keep)?;
        let certificates = &self.certificates;
        let server = if secured.rsa { &certificates.rsa } else { &certificates.ecdsa };
        let door = Door {
            tls: secured.tls.then(|| server.clone()),
            client_authority: secured.client_certificate.then(|| certificates.authority.clone()),
            shared_key: secured.shared_key.then(|| SHARED_KEY.to_owned()),
            connections,
        };
        let subject = self.bench.subject(peer, &scratch.path, &sink, &door)?;
        Ok(Stage { subject, sink, _scratch: scratch })
    }

    /// Clients of this run that are not told anything else yet.
    fn clients(&self, stage: &Stage, secured: Secured) -> Clients {
        Clients {
            to: stage.subject.forward,
            way: self.way(secured),
            shape: Shape { entries: SMALL, form: Form::Legacy, compression: Compression::None },
            records: 0,
            connections: 1,
            seed: self.seed,
            window: 1,
            rate: None,
            series: 0,
        }
    }

    fn way(&self, secured: Secured) -> Way {
        let client = &self.certificates.client;
        let client = secured.client_certificate.then(|| (client.certificate.clone(), client.key.clone()));
        Way {
            tls: secured.tls.then(|| Tls {
                authority: self.certificates.authority.clone(),
                client,
                old: secured.old,
            }),
            shared_key: secured.shared_key.then(|| SHARED_KEY.to_owned()),
        }
    }
}

fn start(clients: &Clients) -> Result<Running, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    Running::start("clients", command.arg("clients").args(clients.flags()), None)
}
