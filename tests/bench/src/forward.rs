//! The forward input secured, compressed, with metadata, and with many connections: what that costs beside the plain one.
//!
//! ```text
//! clients (process) --forward, TLS, keys--> gateway or Fluent Bit (process) --HTTP--> sink (process)
//! ```
//!
//! [`measure`] holds the measurements, [`clients`] the other end, [`report`] the tables. All ratios are between rows of one
//! run, so that the machine's mood is in both.

pub mod certificates;
mod chunk;
mod clients;
mod dial;
pub mod flags;
mod measure;
mod report;
#[cfg(test)]
mod tests;

use std::{error::Error, path::Path, time::Duration};

use crate::{Bench, args::Args, process, subject, yardstick::Yardstick};
use certificates::Certificates;
use measure::{Ground, HANDSHAKES, INPUTS, Input, Load, PLAIN, TLS};

const PARTS: [&str; 4] = ["cost", "handshakes", "latency", "idle"];
const CONNECTIONS: [u64; 3] = [1, 100, 1_000];
/// Messages a second in the even load of the latency part, and how many.
const EVEN: (u64, u64) = (1_000, 5_000);

const USAGE: &str = "\
sluicegate-bench forward [--only PART[,PART...]] [--inputs NAME[,NAME...]] [--secured plain|tls]
                 [--records N] [--connections N] [--entries N] [--window N] [--rounds N] [--seed N]
                 [--handshakes N] [--messages N] [--idle N] [--active N]
                 [--gateway PATH] [--data-dir DIR] [--patience SECONDS] [--no-verify] [--no-peers]
parts:           cost handshakes latency idle
inputs:          plain tls gzip zstd tls-key-gzip tls-key-zstd v2 metadata
processes:       clients --to ADDR [...]    shake --to ADDR [...]";

/// The subcommand.
pub fn main(words: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let mut words = words.peekable();
    if words.peek().is_some_and(|word| word == "--help" || word == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let numbers = ["records", "connections", "entries", "window", "rounds", "seed", "handshakes", "messages"];
    let own = ["only", "inputs", "secured", "idle", "active", "gateway", "data-dir", "patience"];
    let args = Args::read(words, &[&numbers[..], &own].concat(), &["no-verify", "no-peers"])
        .map_err(|why| format!("{why}\n{USAGE}"))?;
    // Read the flags before anything is built.
    let parts = chosen(args.text("only"), &PARTS, |part| part)?;
    let inputs = chosen(args.text("inputs"), &INPUTS, |input| input.name)?;
    let secured = match args.text("secured") {
        None => vec![PLAIN, TLS],
        Some("plain") => vec![PLAIN],
        Some("tls") => vec![TLS],
        Some(_) => return Err("--secured is plain or tls".into()),
    };
    let rounds = args.count("rounds", 1)?;
    let load = Load {
        records: args.count("records", 1_000_000)?,
        connections: args.count("connections", 4)?,
        entries: args.count("entries", 1_000)?,
        window: args.count("window", 8)? as usize,
    };
    let (count, messages) = (args.count("handshakes", 5_000)?, args.count("messages", 20_000)?);
    let (idle, active) = (args.count("idle", 10_000)?, args.count("active", 1_000)?);
    let seed = args.count("seed", 1)?;
    let open_files = process::raise_open_files();
    if parts.contains(&"idle") && open_files < idle + active + 500 {
        return Err(format!(
            "{idle} idle and {active} active connections want a limit of {} open files, and it is {open_files}: \
             raise it (ulimit -Hn) or lower --idle",
            idle + active + 500
        )
        .into());
    }

    let bench = Bench::new(&args, Duration::from_secs(args.count("patience", 30)?))?;
    bench.introduce()?;
    let certificates = Certificates::make(&bench.scratch.path)?;
    let fluent_bit = subject::on_path("fluent-bit").filter(|_| !args.has("no-peers"));
    match &fluent_bit {
        Some(path) => {
            println!("peer       {}, out_{}", path.display(), subject::fluent_bit_output(path)?);
        }
        None => println!("peer       fluent-bit is not on PATH or not wanted"),
    }
    let mut run = Run {
        ground: Ground { bench: &bench, certificates, seed },
        subjects: [None].into_iter().chain(fluent_bit.as_deref().map(Some)).collect(),
        failures: 0,
    };
    for part in parts {
        match part {
            "cost" => run.costs(&inputs, &load, rounds),
            "handshakes" => run.handshakes(count, rounds),
            "latency" => run.latencies(&secured, messages, rounds),
            _ => run.idles(&secured, idle, active, messages),
        }
    }
    match run.failures {
        0 => Ok(()),
        failures => Err(format!("{failures} rows could not be measured").into()),
    }
}

/// Those of `all` that a comma-separated list names; all of them without a list.
fn chosen<T: Copy>(
    list: Option<&str>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, String> {
    let Some(list) = list else { return Ok(all.to_vec()) };
    list.split(',')
        .map(|wanted| {
            all.iter().copied().find(|one| name(*one) == wanted).ok_or_else(|| {
                let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
                format!("`{wanted}` is none of {}", names.join(", "))
            })
        })
        .collect()
}

struct Run<'a> {
    ground: Ground<'a>,
    /// The gateway, which is nobody's path, then its peer.
    subjects: Vec<Option<&'a Path>>,
    failures: usize,
}

impl Run<'_> {
    /// One row for every subject. A row that fails leaves the others; what a peer cannot do is no failure of the run.
    fn each<T>(
        &mut self,
        what: &str,
        rows: &mut Vec<T>,
        measure: impl Fn(&Ground, Option<&Path>) -> Result<T, Box<dyn Error>>,
    ) {
        for &peer in &self.subjects {
            let name = if peer.is_some() { "fluent-bit" } else { "the gateway" };
            eprintln!("measuring {name}: {what}");
            match measure(&self.ground, peer) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    self.failures += usize::from(peer.is_none());
                    println!("{name} could not: {what}: {error}");
                }
            }
        }
    }

    fn costs(&mut self, inputs: &[Input], load: &Load, rounds: u64) {
        let mut yardstick = Yardstick::new(load.records, load.connections, self.ground.seed);
        let mut rows = Vec::new();
        // Round by round, so that all inputs see the same moods of the machine.
        for _ in 0..rounds {
            for input in inputs {
                self.each(input.name, &mut rows, |ground, peer| ground.cost(peer, input, load));
                yardstick.measure();
            }
        }
        rows.sort_by_key(|row| inputs.iter().position(|input| input.name == row.input));
        report::costs(&rows, &yardstick);
    }

    fn handshakes(&mut self, count: u64, rounds: u64) {
        let mut rows = Vec::new();
        for kind in HANDSHAKES {
            for _ in 0..rounds {
                self.each(kind.name, &mut rows, |ground, peer| ground.handshakes(peer, kind, count));
            }
        }
        report::handshakes(&rows);
    }

    fn latencies(&mut self, secured: &[measure::Secured], messages: u64, rounds: u64) {
        let mut rows = Vec::new();
        for &secured in secured {
            for (rate, messages) in [(Some(EVEN.0), EVEN.1.min(messages)), (None, messages)] {
                for connections in CONNECTIONS {
                    // One connection waits for the disk each time.
                    let messages = if connections == 1 { messages / 4 } else { messages }.max(connections);
                    let what = format!("acks of {} on {connections}", secured.name);
                    for _ in 0..rounds {
                        self.each(&what, &mut rows, |ground, peer| {
                            ground.latency(peer, secured, connections, rate, messages)
                        });
                    }
                }
            }
        }
        report::latencies(&rows);
    }

    fn idles(&mut self, secured: &[measure::Secured], idle: u64, active: u64, messages: u64) {
        let mut rows = Vec::new();
        for &secured in secured {
            let what = format!("{idle} idle connections, {}", secured.name);
            self.each(&what, &mut rows, |ground, peer| {
                ground.idle(peer, secured, idle, active, messages.max(active))
            });
        }
        report::idles(&rows);
    }
}
