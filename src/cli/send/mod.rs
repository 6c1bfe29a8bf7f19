//! `sluicegate send`: the forward client of the house. Sends records and waits for their acks, so that a zero exit code
//! means stored.
//!
//! ```text
//! arguments or standard input -> message: batches -> delivery: one at a time, again until acknowledged
//!                                                     `-> connect: TCP or Unix, TLS, shared key
//! ```
//!
//! One message is on its way at a time, and standard input is read in bounded pieces, so memory is bounded however much
//! comes. A message goes out again with the same bytes and the same chunk id, which lets the server tell it from a new one.

mod answer;
mod connect;
mod delivery;
mod lines;
mod message;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::{block_on, complain};
use crate::config::leaf::parse_duration;
use connect::Connect;
use delivery::Delivery;
use lines::{Line, Lines};
use message::{Batch, Compression, Format, Mode};

/// Lines wait for others at most so long.
const LINGER: Duration = Duration::from_millis(100);

/// What the environment says, at the end of `--help`.
const VARIABLES: &str = "\
Environment:
  SLUICEGATE_SHARED_KEY   The shared key, unless --shared-key-file names a file with it
  SLUICEGATE_PASSWORD     The password of --user, unless --password-file names a file with it

Exit code 0 means that the server has acknowledged everything.";

#[derive(Args)]
#[command(after_help = VARIABLES)]
pub(super) struct Send {
    /// Tag of the records.
    #[arg(long, short)]
    tag: String,
    #[command(flatten)]
    connect: Connect,
    /// Do not ask for acks.
    #[arg(long)]
    no_ack: bool,
    /// How long to wait for an ack, such as 500ms, 60s or 5m.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    ack_timeout: Duration,
    /// Try so many times more, on a new connection each, when a message is not acknowledged.
    #[arg(long, value_name = "N", default_value_t = 3)]
    retries: u32,
    /// How records are laid into messages; `message` sends each by itself.
    #[arg(long, value_enum, default_value_t = Mode::Packed)]
    mode: Mode,
    /// Compress the records of a message (--mode packed).
    #[arg(long, value_enum, default_value_t = Compression::None)]
    compress: Compression,
    /// Lines of standard input are JSON objects.
    #[arg(long, conflicts_with = "json")]
    json_lines: bool,
    /// Records as JSON objects. Without any, every line of standard input becomes {"log": line}.
    json: Vec<String>,
}

impl Send {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let mut records = Vec::new();
        for (index, text) in self.json.iter().enumerate() {
            records.push(record(text).with_context(|| format!("record {}: {text}", index + 1))?);
        }
        if self.compress != Compression::None && self.mode != Mode::Packed {
            bail!("--compress works with --mode packed alone: the protocol has no other compressed messages");
        }
        let target = self.connect.target(|name| std::env::var(name).ok())?;
        let format = Format { tag: self.tag.clone(), mode: self.mode, compression: self.compress };
        let ack = (!self.no_ack).then_some(self.ack_timeout);
        let mut delivery = Delivery::new(target, format, ack, self.retries);
        block_on(async {
            if !records.is_empty() {
                send_all(&mut delivery, &records).await?;
                return delivery.finish().await;
            }
            let mut total = 0;
            let outcome = self.send_lines(&mut delivery, &mut Lines::of(std::io::stdin()), &mut total).await;
            let outcome = match outcome {
                Ok(()) => delivery.finish().await,
                failed => failed,
            };
            let done = if self.no_ack { "sent" } else { "stored" };
            complain(&format!("{total} lines {done}{}", if outcome.is_err() { ", then:" } else { "" }));
            outcome
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// Sends what comes until it ends; `total` counts what is sent.
    async fn send_lines(&self, delivery: &mut Delivery, lines: &mut Lines, total: &mut usize) -> Result<()> {
        let (mut number, mut ended, mut batch) = (0, false, Batch::default());
        let mut cut = false;
        while !ended {
            let mut fault = None;
            let mut due = None;
            while !delivery.format().is_full(&batch) {
                // The first line may take for ever, those behind it may not hold it back.
                let next = match due {
                    None => lines.next().await,
                    Some(due) => match timeout_at(due, lines.next()).await {
                        Ok(next) => next,
                        Err(_) => break,
                    },
                };
                let Some(line) = next.context("standard input cannot be read")? else {
                    ended = true;
                    break;
                };
                due.get_or_insert_with(|| Instant::now() + LINGER);
                number += 1;
                if line.cut && !self.json_lines && !std::mem::replace(&mut cut, true) {
                    complain("lines longer than 1 MiB are sent in pieces");
                }
                match self.line(&line) {
                    Ok(record) => batch.push(&record)?,
                    Err(error) => {
                        fault = Some(error.context(format!("line {number} of standard input")));
                        break;
                    }
                }
            }
            if !batch.is_empty() {
                delivery.deliver(&batch).await?;
                *total += batch.len();
                batch.clear();
            }
            if let Some(fault) = fault {
                return Err(fault);
            }
        }
        Ok(())
    }

    fn line(&self, line: &Line) -> Result<Map<String, Value>> {
        let text = String::from_utf8_lossy(&line.text);
        if !self.json_lines {
            return Ok(Map::from_iter([("log".to_owned(), Value::String(text.into_owned()))]));
        }
        if line.cut {
            bail!("is longer than 1 MiB");
        }
        record(&text)
    }
}

async fn send_all(delivery: &mut Delivery, records: &[Map<String, Value>]) -> Result<()> {
    let mut batch = Batch::default();
    for record in records {
        batch.push(record)?;
        if delivery.format().is_full(&batch) {
            delivery.deliver(&batch).await?;
            batch.clear();
        }
    }
    if !batch.is_empty() {
        delivery.deliver(&batch).await?;
    }
    Ok(())
}

fn record(text: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(text).context("is not JSON")? {
        Value::Object(record) => Ok(record),
        _ => bail!("is not a JSON object"),
    }
}
