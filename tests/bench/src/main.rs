//! What a million records cost the gateway: one command, one table.
//!
//! ```text
//! load (process) --forward--> gateway (process) --PutLogs--> sink (process)
//!                                  |
//!                   /proc/PID, /metrics: this process
//! ```
//!
//! README.md tells what is measured and how to read it.

mod args;
#[cfg(feature = "counts")]
mod counts;
mod disk;
#[cfg(feature = "counts")]
mod encoded;
mod forward;
mod http;
mod inputs;
mod load;
mod loggroup;
mod msgpack;
mod process;
mod random;
mod records;
mod run;
mod sink;
mod subject;
mod table;
#[cfg(test)]
mod tests;
mod yardstick;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use crate::{
    args::Args,
    disk::Scratch,
    load::Load,
    msgpack::Mode,
    run::{Row, SinkProcess},
    subject::{Door, Subject},
    yardstick::Yardstick,
};

const LOAD: [&str; 7] = ["records", "connections", "seed", "entries", "window", "burst", "mode"];
const USAGE: &str = "\
sluicegate-bench [--records N] [--only packed|message] [--acks on|off] [--gateway PATH] [--data-dir DIR]
                 [--connections N] [--entries N] [--window N] [--burst N] [--seed N] [--patience SECONDS]
                 [--rounds N] [--no-verify] [--no-peers] [--idle]
                 forward [...]: the secure and compressed forward input; see forward --help
                 inputs [...]: syslog, gelf, splunk, json-file; see inputs --help
                 encoded [--only FORMAT[,FORMAT...]] [--records N] [--rounds N] [--seed N]: files up to the encoded record
                 (built with --features counts)
parts:           load --to ADDR [--mode packed|message] [--acks] [...]    sink [--keep]";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    let done = match words.peek().map(String::as_str) {
        Some("load") => load(words.skip(1)),
        Some("forward") => forward::main(words.skip(1)),
        Some("clients") => forward::flags::clients(words.skip(1)),
        Some("shake") => forward::flags::shake(words.skip(1)),
        Some("inputs") => inputs::main(words.skip(1)),
        Some("feed") => inputs::feed::Feed::read(words.skip(1)).and_then(|feed| inputs::feed::main(&feed)),
        #[cfg(feature = "counts")]
        Some("encoded") => encoded::main(words.skip(1)),
        #[cfg(feature = "counts")]
        Some("count") => count(words.skip(1)),
        Some("sink") => Args::read(words.skip(1), &[], &["keep"])
            .map_err(Into::into)
            .and_then(|args| Ok(sink::main(args.has("keep"))?)),
        Some("--help" | "-h" | "help") => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bench(words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load(words: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let args = Args::read(words, &[&LOAD[..], &["to"]].concat(), &["acks"])?;
    let mode = args.text("mode").unwrap_or("packed");
    let mode = Mode::parse(mode).ok_or("--mode is packed or message")?;
    let to = args.parse("to")?.ok_or("--to ADDR is wanted")?;
    load::main(&Load { to, ..load_of(&args, mode, args.has("acks"))? })
}

#[cfg(feature = "counts")]
fn count(words: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let args = Args::read(words, &["part", "mode", "records"], &[])?;
    let mode = args.text("mode").and_then(Mode::parse).ok_or("--mode is packed or message")?;
    counts::main(args.text("part").unwrap_or_default(), mode, args.count("records", 10_000)?)
}

/// The load that the flags describe; its address is filled in later.
fn load_of(args: &Args, mode: Mode, acks: bool) -> Result<Load, Box<dyn Error>> {
    let (window, burst) = match mode {
        Mode::Packed => (8, 1),
        Mode::Message => (256, 64),
    };
    Ok(Load {
        to: ([127, 0, 0, 1], 0).into(),
        mode,
        acks,
        records: args.count("records", 1_000_000)?,
        connections: args.count("connections", 4)?,
        seed: args.count("seed", 1)?,
        entries: args.count("entries", 1_000)?,
        window: args.count("window", window)? as usize,
        burst: args.count("burst", burst)? as usize,
    })
}

/// What stays the same for all rows.
pub struct Bench {
    gateway: PathBuf,
    scratch: Scratch,
    file_system: String,
    verify: bool,
    patience: Duration,
}

fn bench(words: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let own = ["only", "gateway", "data-dir", "acks", "patience", "rounds"];
    let plain = ["idle", "no-verify", "no-peers"];
    let args =
        Args::read(words, &[&LOAD[..6], &own].concat(), &plain).map_err(|why| format!("{why}\n{USAGE}"))?;
    let modes = match args.text("only") {
        None => vec![Mode::Packed, Mode::Message],
        Some(name) => vec![Mode::parse(name).ok_or("--only is packed or message")?],
    };
    let acks = match args.text("acks") {
        None => vec![false, true],
        Some("on") => vec![true],
        Some("off") => vec![false],
        Some(_) => return Err("--acks is on or off".into()),
    };
    // Read the flags before anything is built.
    let rounds = args.count("rounds", 1)?;
    let patience = Duration::from_secs(args.count("patience", 30)?);
    let sample = load_of(&args, Mode::Packed, false)?;

    let bench = Bench::new(&args, patience)?;
    if args.has("idle") {
        return bench.idle();
    }

    bench.introduce()?;
    let mut yardstick = Yardstick::new(sample.records, sample.connections, sample.seed);
    println!(
        "load       {} records on {} connections, {:.0} bytes each as Log, {:.1} MB in all; LZ4 ratio {:.2} in 512 KiB",
        sample.records,
        sample.connections,
        yardstick.raw_bytes as f64 / sample.records as f64,
        yardstick.raw_bytes as f64 / 1e6,
        yardstick.ratio()
    );
    println!("{}", yardstick.line());

    let fluent_bit = subject::on_path("fluent-bit").filter(|_| !args.has("no-peers"));
    match &fluent_bit {
        Some(path) => {
            println!("peer       {}, out_{}", path.display(), subject::fluent_bit_output(path)?);
        }
        None => {
            // Whether the reference seconds and this machine's yardstick go together shows in their quotient.
            let yards = |seconds: f64| seconds / yardstick.cpu_seconds() * sample.records as f64 / 1e6;
            println!(
                "peer       fluent-bit is not on PATH or not wanted. Reference for 1,000,000 records (5.1.1, 2 cores, no \
                 fsync):\n           packed 2.8 CPU s, 1.2 s wall; message 4.6 CPU s; peak 290 MB. In yardsticks of this \
                 run: {:.1}x, {:.1}x",
                yards(2.8),
                yards(4.6)
            );
        }
    }
    let (mut rows, mut failures) = (Vec::new(), 0);
    let subjects: Vec<Option<&Path>> =
        std::iter::repeat_n(None, rounds as usize).chain(fluent_bit.as_deref().map(Some)).collect();
    for (&mode, &acks) in modes.iter().flat_map(|mode| acks.iter().map(move |acks| (mode, acks))) {
        for &peer in &subjects {
            let what = format!("{} {}", mode.name(), if acks { "with acks" } else { "without acks" });
            eprintln!("measuring {} {what}", if peer.is_some() { "fluent-bit" } else { "the gateway" });
            match bench.row(peer, &load_of(&args, mode, acks)?) {
                Ok(row) => rows.push(row),
                // The other rows are still worth having.
                Err(error) => {
                    failures += 1;
                    eprintln!("{what}: {error}");
                }
            }
            yardstick.measure();
        }
    }
    table::print(&rows, &yardstick);
    if failures > 0 { Err(format!("{failures} rows could not be measured").into()) } else { Ok(()) }
}

impl Bench {
    /// From the flags `--data-dir`, `--gateway` and `--no-verify`; builds the gateway when none is named.
    fn new(args: &Args, patience: Duration) -> Result<Bench, Box<dyn Error>> {
        let under = args.text("data-dir").map_or_else(
            || {
                let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
                target.unwrap_or_else(|| subject::project().join("target"))
            },
            PathBuf::from,
        );
        fs::create_dir_all(&under)?;
        let file_system = disk::file_system(&under)?;
        let scratch = Scratch::new(&under, "bench-data")?;
        let gateway = match args.text("gateway") {
            Some(path) => PathBuf::from(path).canonicalize().map_err(|error| format!("{path}: {error}"))?,
            None => subject::build_gateway()?,
        };
        Ok(Bench { gateway, scratch, file_system, verify: !args.has("no-verify"), patience })
    }

    /// Prints where this runs.
    fn introduce(&self) -> Result<(), Box<dyn Error>> {
        let sync = disk::fdatasync_micros(&self.scratch.path)?;
        println!("machine    {}", machine());
        println!(
            "data       {} on {}, fdatasync of 4 KiB p50 {sync} us",
            self.scratch.path.display(),
            self.file_system
        );
        Ok(())
    }

    /// Starts the gateway, or the peer, with what it keeps in `dir`.
    fn subject(
        &self,
        peer: Option<&Path>,
        dir: &Path,
        sink: &SinkProcess,
        door: &Door,
    ) -> Result<Subject, Box<dyn Error>> {
        match peer {
            None => subject::gateway(&self.gateway, dir, sink.port, door),
            Some(program) => subject::fluent_bit(program, dir, sink.port, door),
        }
    }

    /// Measures the gateway, or the peer, in a directory that is gone afterwards.
    fn row(&self, peer: Option<&Path>, load: &Load) -> Result<Row, Box<dyn Error>> {
        let scratch = Scratch::new(&self.scratch.path, "row")?;
        // What earlier rows left to be written back is not this row's.
        rustix::fs::sync();
        let mut sink = SinkProcess::start(self.verify && peer.is_none())?;
        let subject = self.subject(peer, &scratch.path, &sink, &Door::default())?;
        let load = Load { to: subject.forward, ..load.clone() };
        run::row(subject, &mut sink, &load, self.verify, self.patience)
    }

    fn idle(&self) -> Result<(), Box<dyn Error>> {
        let sink = SinkProcess::start(false)?;
        let Subject { process, .. } = self.subject(None, &self.scratch.path, &sink, &Door::default())?;
        // Lets start-up work end.
        thread::sleep(Duration::from_secs(2));
        let (now, peak) = (
            process::memory_megabytes(process.pid(), "VmRSS")?,
            process::memory_megabytes(process.pid(), "VmHWM")?,
        );
        println!("idle RSS {now:.1} MB, peak {peak:.1} MB (target < 20 MB)");
        Ok(())
    }
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, {}, Linux {}", model.map_or("unknown processor", |(_, name)| name), kernel.trim())
}
