//! The inputs of Docker's other log drivers and of files: what a record costs on each, beside Fluent Bit and rsyslog in the same run.
//!
//! ```text
//! feed (process) --syslog, GELF, HEC, files--> gateway, Fluent Bit or rsyslog (process) --HTTP or TCP--> sink (process)
//! ```
//!
//! [`kind`] holds the bytes, [`feed`] sends them, [`subjects`] are fed. All ratios are between rows of one run, so that the
//! machine's mood is in both.

pub mod feed;
pub mod kind;
mod report;
mod subjects;
#[cfg(test)]
mod tests;
pub mod text;

use std::{error::Error, path::PathBuf, process::Command, time::Duration};

use crate::{
    Bench,
    args::Args,
    disk::Scratch,
    process::Running,
    run::{self, Measured, SinkProcess},
    subject,
    yardstick::Yardstick,
};
use feed::{Feed, Target};
use kind::Kind;
use subjects::Who;

/// Nothing of datagrams comes after so long.
const LOST: Duration = Duration::from_secs(4);

const USAGE: &str = "\
sluicegate-bench inputs [--only KIND[,KIND...]] [--records N] [--connections N] [--batch N] [--rate N]
                 [--rounds N] [--seed N] [--gateway PATH] [--data-dir DIR] [--patience SECONDS] [--no-verify] [--no-peers]
kinds:           syslog-tcp syslog-udp syslog-unix gelf-tcp gelf-udp splunk json-file
                 file-lines file-multiline file-nginx file-json file-delimiter
process:         feed --kind KIND --to ADDR|PATH [...]";

/// The cost of one input.
struct Cost {
    subject: &'static str,
    kind: Kind,
    records: u64,
    measured: Measured,
    sink_cpu_seconds: f64,
    verdict: Option<String>,
}

impl Cost {
    /// Records that one second of the subject's CPU pays for.
    fn per_cpu_second(&self) -> f64 {
        // The clock of a process ticks every 10 ms.
        self.measured.delivered as f64 / self.measured.cpu_seconds.max(0.01)
    }
}

/// The subcommand.
pub fn main(words: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let mut words = words.peekable();
    if words.peek().is_some_and(|word| word == "--help" || word == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let numbers = ["records", "connections", "batch", "rate", "rounds", "seed"];
    let own = ["only", "gateway", "data-dir", "patience"];
    let args = Args::read(words, &[&numbers[..], &own].concat(), &["no-verify", "no-peers"])
        .map_err(|why| format!("{why}\n{USAGE}"))?;
    // Read the flags before anything is built.
    let kinds = match args.text("only") {
        None => Kind::ALL.to_vec(),
        Some(list) => list
            .split(',')
            .map(|name| Kind::parse(name).ok_or_else(|| format!("`{name}` is no kind\n{USAGE}")))
            .collect::<Result<_, _>>()?,
    };
    let rounds = args.count("rounds", 1)?;
    let sample = Feed {
        kind: Kind::SyslogTcp,
        to: Target::Path(PathBuf::new()),
        records: args.count("records", 1_000_000)?,
        connections: args.count("connections", 4)?,
        seed: args.count("seed", 1)?,
        batch: args.count("batch", 1_000)?,
        rate: args.count("rate", 40_000)?,
    };

    let bench = Bench::new(&args, Duration::from_secs(args.count("patience", 30)?))?;
    bench.introduce()?;
    let peers = [Who::FluentBit, Who::Rsyslog].map(|who| (who, subjects::find(who)));
    let mut all = vec![(Who::Gateway, bench.gateway.clone())];
    for (who, program) in peers {
        match program.filter(|_| !args.has("no-peers")) {
            Some(program) => {
                println!("peer       {}", program.display());
                if who == Who::FluentBit {
                    println!("           delivers by out_{}", subject::fluent_bit_output(&program)?);
                }
                all.push((who, program));
            }
            None => println!("peer       {} is not on PATH or not wanted", who.name()),
        }
    }
    let mut yardstick = Yardstick::new(sample.records, sample.connections, sample.seed);
    let (mut rows, mut failures) = (Vec::new(), 0);
    // Round by round, so that all inputs see the same moods of the machine.
    for _ in 0..rounds {
        for &kind in &kinds {
            for (who, program) in all.iter().filter(|(who, _)| who.has(kind)) {
                eprintln!("measuring {}: {}", who.name(), kind.name());
                match bench.fed(*who, program, &Feed { kind, ..sample.clone() }) {
                    Ok(row) => rows.push(row),
                    Err(error) => {
                        // What a peer cannot do is no failure of the run.
                        failures += u64::from(*who == Who::Gateway);
                        println!("{} could not: {}: {error}", who.name(), kind.name());
                    }
                }
            }
            yardstick.measure();
        }
    }
    rows.sort_by_key(|row| kinds.iter().position(|kind| *kind == row.kind));
    report::print(&rows, &yardstick);
    if failures > 0 { Err(format!("{failures} rows could not be measured").into()) } else { Ok(()) }
}

impl Bench {
    /// Measures one input of the gateway or a peer in a directory that is gone afterwards.
    fn fed(&self, who: Who, program: &std::path::Path, feed: &Feed) -> Result<Cost, Box<dyn Error>> {
        let scratch = Scratch::new(&self.scratch.path, "row")?;
        // What earlier rows left to be written back is not this row's.
        rustix::fs::sync();
        let keep = self.verify && who == Who::Gateway;
        let sink = SinkProcess::start(keep)?;
        let (mut subject, to) = subjects::start(who, program, feed.kind, &scratch.path, sink.port)?;
        let feed = Feed { to, ..feed.clone() };
        let mut command = Command::new(std::env::current_exe()?);
        let mut feeder = Running::start("feed", command.arg("feed").args(feed.flags()), None)?;
        let said = run::ready(&mut subject, &mut feeder)?;
        let patience = if feed.kind.is_lossy() { LOST } else { self.patience };
        let measured = run::follow(&mut subject, &sink, &mut feeder, said, feed.records, patience);
        let measured = measured.map_err(|error| subject.explain(error))?;
        let whole = measured.finished && measured.delivered >= feed.records;
        if !whole && !feed.kind.is_lossy() {
            let what = format!("stands still: {} of {} records delivered", measured.delivered, feed.records);
            return Err(subject.explain(what.into()));
        }
        if let (Target::Path(path), Kind::SyslogUnix) = (&feed.to, feed.kind) {
            let _ = std::fs::remove_file(path);
        }
        Ok(Cost {
            subject: who.name(),
            kind: feed.kind,
            records: feed.records,
            measured,
            sink_cpu_seconds: sink.ask("/stats")?.get("cpu_seconds"),
            verdict: if keep { Some(sink.verdict(feed.records)?) } else { None },
        })
    }
}
