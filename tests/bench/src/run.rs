//! One row of the table: a fresh subject, a fresh sink, one load; from the first byte sent to the last record delivered.
//!
//! Delivered is what the subject says (its metric of records answered 200, asked every 20 ms); the sink, which cannot
//! be fooled, counts afterwards. The subject's CPU seconds are the difference of utime + stime between the same two
//! moments, and so hold everything it does in between.

use std::{
    collections::BTreeMap,
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    http,
    load::Load,
    process::{self, Running},
    subject::Subject,
};

const POLL: Duration = Duration::from_millis(20);
pub const STOP: Duration = Duration::from_secs(20);

pub struct Row {
    pub subject: String,
    pub mode: &'static str,
    pub acks: bool,
    pub records: u64,
    pub delivered: u64,
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
    pub idle_megabytes: f64,
    pub peak_megabytes: f64,
    pub requests: u64,
    pub sent_bytes: u64,
    pub load_cpu_seconds: f64,
    pub sink_cpu_seconds: f64,
    /// p50, p90, p99 in milliseconds.
    pub ack_millis: Option<[f64; 3]>,
    pub verified: Option<String>,
}

/// A sink as a process, and where it listens.
pub struct SinkProcess {
    pub process: Running,
    pub port: u16,
}

impl SinkProcess {
    pub fn start(keep: bool) -> Result<SinkProcess, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("sink");
        if keep {
            command.arg("--keep");
        }
        let mut process = Running::start("sink", &mut command, None)?;
        let line = process.line(Duration::from_secs(10))?;
        let port =
            line.strip_prefix("port ").and_then(|port| port.parse().ok()).ok_or("the sink named no port")?;
        Ok(SinkProcess { process, port })
    }

    pub fn ask(&self, path: &str) -> Result<Numbers, Box<dyn Error>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let (_, text) = http::get(address, path, Duration::from_secs(120))?;
        Ok(Numbers(text.lines().filter_map(pair).collect()))
    }

    /// Whether each of `records` arrived, and once.
    pub fn verdict(&self, records: u64) -> Result<String, Box<dyn Error>> {
        let count = self.ask("/count")?;
        let missing = records as f64 - count.get("unique");
        Ok(format!(
            "{} records at the sink: {missing} missing, {} twice, {} strange, {} broken bodies, {:.1} MB raw",
            count.get("records"),
            count.get("twice"),
            count.get("strange"),
            count.get("broken"),
            count.get("raw_bytes") / 1e6
        ))
    }
}

/// `name value` lines.
#[derive(Default)]
pub struct Numbers(pub BTreeMap<String, f64>);

impl Numbers {
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// Reads one `name value` line.
pub fn pair(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.split_once(' ')?;
    Some((name.to_owned(), value.parse().ok()?))
}

/// What a subject did with what one generator sent it.
pub struct Measured {
    pub delivered: u64,
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
    pub peak_megabytes: f64,
    /// The generator did all it was to do.
    pub finished: bool,
    /// What the generator said about itself.
    pub said: Numbers,
}

/// Waits until a generator has built and opened all it needs; gives what it said about that.
pub fn ready(subject: &mut Subject, generator: &mut Running) -> Result<Numbers, Box<dyn Error>> {
    let mut said = Numbers::default();
    loop {
        let line = generator.line(Duration::from_secs(300)).map_err(|error| subject.explain(error))?;
        if line == "ready" {
            return Ok(said);
        }
        said.0.extend(pair(&line));
    }
}

/// Lets a generator that is ready go and follows its records until the subject delivered them. `patience` is how long the subject may
/// stand still.
pub fn follow(
    subject: &mut Subject,
    sink: &SinkProcess,
    generator: &mut Running,
    mut said: Numbers,
    records: u64,
    patience: Duration,
) -> Result<Measured, Box<dyn Error>> {
    let before = subject.delivered()?;

    let cpu = process::cpu_seconds(subject.process.pid())?;
    let start = Instant::now();
    generator.say("go")?;
    let mut finished = false;
    let (mut delivered, mut moved) = (0, Instant::now());
    loop {
        while let Some(line) = generator.try_line() {
            finished |= line == "done";
            said.0.extend(pair(&line));
        }
        if let Some(status) = generator.ended()
            && !finished
        {
            return Err(subject.explain(format!("{} ended: {status}", generator.name).into()));
        }
        let now = subject.delivered().map_err(|error| subject.explain(error))? - before;
        if now > delivered {
            (delivered, moved) = (now, Instant::now());
        }
        // Read before the wait: the moment is this one.
        if (delivered >= records && finished) || moved.elapsed() > patience {
            break;
        }
        thread::sleep(POLL);
    }
    let mut wall_seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = process::cpu_seconds(subject.process.pid())? - cpu;
    let peak_megabytes = process::memory_megabytes(subject.process.pid(), "VmHWM")?;
    if !subject.speaks_log_service {
        // Fluent Bit publishes its metric once a second: the sink knows better when it ended.
        wall_seconds -= sink.ask("/stats")?.get("idle_micros") / 1e6;
    }
    Ok(Measured { delivered, wall_seconds, cpu_seconds, peak_megabytes, finished, said })
}

/// Measures one load.
pub fn row(
    mut subject: Subject,
    sink: &mut SinkProcess,
    load: &Load,
    verify: bool,
    patience: Duration,
) -> Result<Row, Box<dyn Error>> {
    let idle_megabytes = process::memory_megabytes(subject.process.pid(), "VmRSS")?;
    let mut generator = start_generator(load)?;
    let said = ready(&mut subject, &mut generator)?;
    let measured = follow(&mut subject, sink, &mut generator, said, load.records, patience)?;
    let stats = sink.ask("/stats")?;
    let verified =
        if verify && subject.speaks_log_service { Some(sink.verdict(load.records)?) } else { None };
    generator.stop(STOP);
    subject.process.stop(STOP);
    sink.process.stop(Duration::from_secs(1));
    let millis = |percent: u32| measured.said.get(&format!("ack_p{percent}_micros")) / 1e3;
    Ok(Row {
        subject: subject.process.name.clone(),
        mode: load.mode.name(),
        acks: load.acks,
        records: load.records,
        delivered: measured.delivered,
        wall_seconds: measured.wall_seconds,
        cpu_seconds: measured.cpu_seconds,
        idle_megabytes,
        peak_megabytes: measured.peak_megabytes,
        requests: stats.get("requests") as u64,
        sent_bytes: stats.get("bytes") as u64,
        load_cpu_seconds: measured.said.get("cpu_seconds"),
        sink_cpu_seconds: stats.get("cpu_seconds"),
        ack_millis: load.acks.then(|| [millis(50), millis(90), millis(99)]),
        verified,
    })
}

fn start_generator(load: &Load) -> Result<Running, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["load", "--to", &load.to.to_string(), "--mode", load.mode.name()]);
    for (flag, value) in [
        ("--records", load.records),
        ("--connections", load.connections),
        ("--seed", load.seed),
        ("--entries", load.entries),
        ("--window", load.window as u64),
        ("--burst", load.burst as u64),
    ] {
        command.args([flag, &value.to_string()]);
    }
    if load.acks {
        command.arg("--acks");
    }
    Running::start("load", &mut command, None)
}
