//! The command lines of the client processes: written by the benchmark, read by the process, usable by hand.

use std::error::Error;

use super::{
    chunk::{Compression, Form, Shape},
    clients::{self, Clients},
    dial::{Tls, Way},
};
use crate::{args::Args, process};

const WAY: [&str; 4] = ["authority", "certificate", "key", "shared-key"];
const NUMBERS: [&str; 7] = ["records", "connections", "entries", "window", "seed", "rate", "series"];

impl Way {
    pub fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let mut flag = |name: &str, value: String| flags.extend([format!("--{name}"), value]);
        if let Some(tls) = &self.tls {
            flag("authority", tls.authority.display().to_string());
            if let Some((certificate, key)) = &tls.client {
                flag("certificate", certificate.display().to_string());
                flag("key", key.display().to_string());
            }
        }
        if let Some(key) = &self.shared_key {
            flag("shared-key", key.clone());
        }
        if self.tls.as_ref().is_some_and(|tls| tls.old) {
            flags.push("--tls12".to_owned());
        }
        flags
    }

    fn read(args: &Args) -> Way {
        let path = |name: &str| args.text(name).map(Into::into);
        let tls = path("authority").map(|authority| Tls {
            authority,
            client: path("certificate").zip(path("key")),
            old: args.has("tls12"),
        });
        Way { tls, shared_key: args.text("shared-key").map(str::to_owned) }
    }
}

impl Clients {
    pub fn flags(&self) -> Vec<String> {
        let mut flags = self.way.flags();
        let mut flag = |name: &str, value: String| flags.extend([format!("--{name}"), value]);
        flag("to", self.to.to_string());
        flag("form", self.shape.form.name().to_owned());
        flag("compression", self.shape.compression.name().to_owned());
        flag("records", self.records.to_string());
        flag("connections", self.connections.to_string());
        flag("entries", self.shape.entries.to_string());
        flag("window", self.window.to_string());
        flag("seed", self.seed.to_string());
        flag("series", self.series.to_string());
        if let Some(rate) = self.rate {
            flag("rate", rate.to_string());
        }
        flags
    }

    fn read(args: &Args) -> Result<Clients, Box<dyn Error>> {
        let form = Form::parse(args.text("form").unwrap_or("legacy"));
        let compression = Compression::parse(args.text("compression").unwrap_or("none"));
        Ok(Clients {
            to: args.parse("to")?.ok_or("--to ADDR is wanted")?,
            way: Way::read(args),
            shape: Shape {
                entries: args.count("entries", 1_000)?,
                form: form.ok_or("--form is legacy, v2 or metadata")?,
                compression: compression.ok_or("--compression is none, gzip or zstd")?,
            },
            records: args.count("records", 1_000_000)?,
            connections: args.count("connections", 4)?,
            seed: args.count("seed", 1)?,
            window: args.count("window", 8)? as usize,
            rate: args.parse("rate")?,
            series: args.parse("series")?.unwrap_or(0),
        })
    }
}

/// The subcommand `clients`.
pub fn clients(words: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let clients = read_clients(words)?;
    process::raise_open_files();
    clients::main(&clients)
}

pub fn read_clients(words: impl Iterator<Item = String>) -> Result<Clients, Box<dyn Error>> {
    let valued = [&WAY[..], &NUMBERS, &["to", "form", "compression"]].concat();
    Clients::read(&Args::read(words, &valued, &["tls12"])?)
}

/// The subcommand `shake`.
pub fn shake(words: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let args = Args::read(words, &[&WAY[..], &["to", "count", "at-once"]].concat(), &["tls12"])?;
    let to = args.parse("to")?.ok_or("--to ADDR is wanted")?;
    clients::shake(to, &Way::read(&args), args.count("count", 5_000)?, args.count("at-once", 8)?)
}
