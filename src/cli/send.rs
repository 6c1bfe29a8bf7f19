//! `sluicegate send`: a forward client. Sends records as PackedForward messages and waits for their acks, so that a
//! zero exit code means stored.

use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::complain;
use crate::config::leaf::Address;

/// Lines of standard input that go into one message.
const LINES: usize = 1_000;
/// Lines wait for others at most so long.
const LINGER: Duration = Duration::from_millis(100);
const ACK_WAIT: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(super) struct Send {
    /// Tag of the records.
    #[arg(long, short)]
    tag: String,
    /// Address of the forward input.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:24224")]
    to: String,
    /// Do not ask for acks.
    #[arg(long)]
    no_ack: bool,
    /// Records as JSON objects. Without any, every line of standard input becomes {"log": line}.
    json: Vec<String>,
}

#[derive(Serialize)]
struct Options<'a> {
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<&'a str>,
}

#[derive(Deserialize)]
struct Ack {
    ack: String,
}

impl Send {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let mut records = Vec::new();
        for (index, text) in self.json.iter().enumerate() {
            let record: Value = serde_json::from_str(text)
                .with_context(|| format!("record {} is not JSON: {text}", index + 1))?;
            if !record.is_object() {
                bail!("record {} is not a JSON object: {text}", index + 1);
            }
            records.push(record);
        }
        let mut connection = self.connect()?;
        if !records.is_empty() {
            self.send(&mut connection, &records)?;
            return Ok(ExitCode::SUCCESS);
        }
        let lines = stdin_lines();
        let mut total = 0;
        while let Some(batch) = next_batch(&lines) {
            let records: Vec<Value> =
                batch.into_iter().map(|line| serde_json::json!({ "log": line })).collect();
            self.send(&mut connection, &records)?;
            total += records.len();
        }
        complain(&format!("{total} lines {}", if self.no_ack { "sent" } else { "stored" }));
        Ok(ExitCode::SUCCESS)
    }

    fn connect(&self) -> Result<TcpStream> {
        // A name may stand for several addresses, and the gateway listens on one of them: `localhost` is ::1 as well.
        let connection = TcpStream::connect(addresses(&self.to)?.as_slice()).with_context(|| {
            format!("nothing accepts records on {}; is the gateway running there?", self.to)
        })?;
        connection.set_read_timeout(Some(ACK_WAIT))?;
        connection.set_nodelay(true)?;
        Ok(connection)
    }

    fn send(&self, connection: &mut TcpStream, records: &[Value]) -> Result<()> {
        let mut id = [0u8; 16];
        getrandom::fill(&mut id).context("the system gives no random bytes")?;
        let chunk = STANDARD.encode(id);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut entries = Vec::new();
        for record in records {
            entries.extend_from_slice(b"\x92\xd7\x00");
            entries.extend_from_slice(&(now.as_secs() as u32).to_be_bytes());
            entries.extend_from_slice(&now.subsec_nanos().to_be_bytes());
            rmp_serde::encode::write_named(&mut entries, record)?;
        }
        let options = Options { size: records.len(), chunk: (!self.no_ack).then_some(chunk.as_str()) };
        let mut message = vec![0x93];
        rmp_serde::encode::write(&mut message, &self.tag)?;
        message.push(0xc6);
        message.extend_from_slice(
            &u32::try_from(entries.len()).context("too much for one message")?.to_be_bytes(),
        );
        message.extend_from_slice(&entries);
        rmp_serde::encode::write_named(&mut message, &options)?;
        connection.write_all(&message).with_context(|| format!("{} closed the connection", self.to))?;
        if self.no_ack {
            return Ok(());
        }
        match read_ack(connection) {
            Ok(ack) if ack == chunk => Ok(()),
            Ok(_) => bail!("{} acknowledged something else; the records may not be stored", self.to),
            Err(error) => bail!("no ack from {}, the records may not be stored: {error}", self.to),
        }
    }
}

/// All addresses that `host:port` stands for.
fn addresses(to: &str) -> Result<Vec<SocketAddr>> {
    let Address { host, port } = Address::parse(to).map_err(|what| anyhow!("--to {to}: {what}"))?;
    let found = (host.as_str(), port).to_socket_addrs();
    let found = found.with_context(|| format!("--to {to}: the name {host} is not known here"))?;
    Ok(found.collect())
}

/// Reads one ack, however it is cut: an ack is far shorter than the buffer.
fn read_ack(connection: &mut TcpStream) -> Result<String> {
    let mut buffer = [0; 512];
    let mut filled = 0;
    loop {
        let read = connection.read(&mut buffer[filled..])?;
        if read == 0 {
            bail!("the connection was closed");
        }
        filled += read;
        if let Ok(ack) = rmp_serde::from_slice::<Ack>(&buffer[..filled]) {
            return Ok(ack.ack);
        }
    }
}

/// Lines of standard input, read beside: a pipe that pauses must not hold back what came before.
fn stdin_lines() -> Receiver<String> {
    let (sender, receiver): (SyncSender<String>, _) = sync_channel(4 * LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn next_batch(lines: &Receiver<String>) -> Option<Vec<String>> {
    let mut batch = vec![lines.recv().ok()?];
    while batch.len() < LINES {
        match lines.recv_timeout(LINGER) {
            Ok(line) => batch.push(line),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_named_by_host_and_port() {
        for to in ["127.0.0.1:24224", "[::1]:24224"] {
            assert_eq!(addresses(to).unwrap(), [to.parse().unwrap()]);
        }
        let localhost = addresses("localhost:24224").unwrap();
        assert!(localhost.iter().any(|address| address.ip().is_loopback()), "{localhost:?}");
        for (to, expected) in [
            ("localhost", "--to localhost: has no port; write it as host:port"),
            ("24224", "--to 24224: names no host; write it as host:port, such as 127.0.0.1:24224"),
            ("::1:24224", "--to ::1:24224: has several colons; write an IPv6 address in brackets"),
        ] {
            let error = addresses(to).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_name_is_tried_at_all_its_addresses() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("localhost:{}", listener.local_addr().unwrap().port());
        Send { tag: "t".to_owned(), to, no_ack: false, json: Vec::new() }.connect().unwrap();
    }
}
