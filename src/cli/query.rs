//! `sluicegate query`: GetLogs against the embedded service of the running gateway, or against the cloud.
//!
//! The operations port says where the embedded service listens and where its key lies; it never says the key. With
//! `--config` the destination's own endpoint, project and key are used.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{say, status};
use crate::base::secret::Secret;
use crate::config::plan::Target;
use crate::config::{self, Flags};
use crate::output::Client;
use crate::output::credentials::{AccessKey, Credentials};

/// GetLogs gives at most so many per page.
const PAGE: usize = 100;
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
/// `--follow` looks back so far for records that arrive late.
const FOLLOW_OVERLAP: i64 = 60;
const TIMEOUT: Duration = Duration::from_secs(60);
/// A query waits at most so long for what is stored and not delivered yet, and looks so often.
const DELIVERY_WAIT: Duration = Duration::from_secs(3);
const DELIVERY_LOOK: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(super) struct Query {
    /// What to search for, such as: error and container_name: web*
    #[arg(default_value = "*")]
    query: String,
    /// The logstore; without it, the destination's own.
    #[arg(long, value_name = "NAME")]
    logstore: Option<String>,
    /// Start of the time range: -15m, -2h, -1d, Unix seconds, or 2026-11-23T10:00:00Z.
    #[arg(long, value_name = "TIME", default_value = "-15m", allow_hyphen_values = true)]
    from: String,
    /// End of the time range, exclusive; `now` includes what carries a time of this minute.
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    to: String,
    /// Print at most so many records.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Go on printing what arrives.
    #[arg(long, short)]
    follow: bool,
    /// One JSON object per record.
    #[arg(long)]
    json: bool,
    /// The operations port of the running gateway.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:24290")]
    operations: String,
    /// Query a destination of this configuration file instead of the embedded service.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which destination, where the configuration has several.
    #[arg(long, value_name = "NAME", requires = "config")]
    destination: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    meta: Meta,
    data: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Meta {
    progress: String,
}

impl Query {
    pub(super) fn execute(self) -> Result<ExitCode> {
        super::block_on(self.run())
    }

    async fn run(self) -> Result<ExitCode> {
        let (client, logstore) = match &self.config {
            Some(file) => self.configured(file)?,
            None => self.embedded().await?,
        };
        let logstore = self.logstore.clone().unwrap_or(logstore);
        if self.config.is_none() && !self.follow {
            self.wait_for_delivery().await?;
        }
        let from = parse_time(&self.from)?;
        let to = parse_time(&self.to)?;
        if from >= to {
            bail!("--from {} is not before --to {}", self.from, self.to);
        }
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let print = |record: &Map<String, Value>| {
            if self.json {
                say(&Value::Object(record.clone()).to_string())
            } else {
                say(&line(record, colour))
            }
        };
        let mut pages = Pages { from, to, offset: 0 };
        let mut printed = 0;
        let mut seen = HashSet::new();
        loop {
            if self.follow {
                pages.to = parse_time("now")?;
            }
            let want = if self.follow { PAGE } else { PAGE.min(self.limit - printed) };
            if want == 0 {
                return Ok(ExitCode::SUCCESS);
            }
            let page = get_logs(&client, &logstore, &self.query, &pages, want).await?;
            for record in &page {
                // A followed range is read again and again: only what is new is printed.
                if self.follow && !seen.insert((second(record), serde_json::to_string(record)?)) {
                    continue;
                }
                if !print(record) {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            printed += page.len();
            if page.len() == want {
                pages.advance(&page);
            } else if self.follow {
                pages.look_back(&mut seen);
                tokio::time::sleep(FOLLOW_PAUSE).await;
            } else {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    /// What was stored before the question was asked should be in the answer: a LogGroup may still be filling.
    async fn wait_for_delivery(&self) -> Result<()> {
        let asked = Instant::now();
        while asked.elapsed() < DELIVERY_WAIT {
            let status = status::fetch(&self.operations).await?;
            let oldest = status["destinations"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|queue| queue["name"].as_str().is_some_and(|name| name.starts_with("local/")))
                .filter_map(|queue| queue["oldest_seconds"].as_f64())
                .fold(0.0, f64::max);
            if oldest <= asked.elapsed().as_secs_f64() {
                break;
            }
            tokio::time::sleep(DELIVERY_LOOK).await;
        }
        Ok(())
    }

    async fn embedded(&self) -> Result<(Client, String)> {
        let status = status::fetch(&self.operations).await?;
        let service = &status["log_service"];
        let text = |key: &str| service[key].as_str().map(str::to_owned);
        let (Some(address), Some(project), Some(logstore), Some(file)) =
            (text("address"), text("project"), text("logstore"), text("access_key_file"))
        else {
            bail!(
                "this gateway runs without the embedded Log Service; name its configuration with --config FILE to query the cloud"
            );
        };
        let key = read_key(Path::new(&file))?;
        let client = Client::new(&format!("http://{address}"), &project, None, key, TIMEOUT)?;
        Ok((client, logstore))
    }

    fn configured(&self, file: &Path) -> Result<(Client, String)> {
        let plan = config::load(Some(file), super::variables(), &Flags { data_dir: None })
            .map_err(|errors| anyhow::anyhow!("{errors}"))?;
        let destination = match &self.destination {
            Some(name) => plan
                .destinations
                .iter()
                .find(|destination| destination.name == *name)
                .with_context(|| format!("{}: there is no destinations.{name}", file.display()))?,
            None => &plan.destinations[plan.default_destination],
        };
        let Target::Cloud(cloud) = &destination.target else {
            bail!(
                "destination {} is the embedded Log Service; leave --config out to query it",
                destination.name
            );
        };
        let key = AccessKey {
            id: cloud.access_key_id.clone(),
            secret: cloud.access_key_secret.clone(),
            security_token: cloud.security_token.clone(),
        };
        let connect = cloud.connect.as_ref().map(|address| address.to_string());
        let credentials = Credentials::Static(Arc::new(key));
        let endpoint = cloud.endpoint.to_string();
        let client = Client::new(&endpoint, &destination.project, connect.as_deref(), credentials, TIMEOUT)?;
        Ok((client, destination.logstore.clone()))
    }
}

/// Reads the embedded service's key: two lines, id and secret.
fn read_key(path: &Path) -> Result<Credentials> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        use std::os::unix::fs::MetadataExt;
        let owner = std::fs::metadata(path).map(|meta| meta.uid());
        let command = format!("sudo {}", std::env::args().collect::<Vec<_>>().join(" "));
        match (error.kind(), owner) {
            (std::io::ErrorKind::PermissionDenied, Ok(uid)) => anyhow::anyhow!(
                "the access key of the embedded Log Service, {}, belongs to user {uid} and you may not read it; run: {command}",
                path.display()
            ),
            (std::io::ErrorKind::PermissionDenied, Err(_)) => anyhow::anyhow!(
                "the access key of the embedded Log Service, {}, lies in a directory you may not enter; run: {command}",
                path.display()
            ),
            _ => anyhow::anyhow!("cannot read the access key {}: {error}", path.display()),
        }
    })?;
    let mut lines = text.lines();
    match (lines.next(), lines.next()) {
        (Some(id), Some(secret)) => Ok(Credentials::Static(Arc::new(AccessKey {
            id: id.to_owned(),
            secret: Secret::new(secret.to_owned()),
            security_token: None,
        }))),
        _ => bail!("{} does not hold an access key: two lines, id and secret", path.display()),
    }
}

/// Where the next page begins: at a second, behind what is printed of it. A plain offset would make the service skip
/// everything again for each page.
struct Pages {
    from: i64,
    to: i64,
    offset: usize,
}

impl Pages {
    fn advance(&mut self, page: &[Map<String, Value>]) {
        let last = page.last().map_or(self.from, second);
        if last == self.from {
            self.offset += page.len();
        } else {
            self.from = last;
            self.offset = page.iter().rev().take_while(|record| second(record) == last).count();
        }
    }

    /// Turns back to the last minute, for records that arrive late, and forgets what is older.
    fn look_back(&mut self, seen: &mut HashSet<(i64, String)>) {
        self.offset = 0;
        if self.to - self.from > 2 * FOLLOW_OVERLAP {
            self.from = self.to - FOLLOW_OVERLAP;
            seen.retain(|(time, _)| *time >= self.from);
        }
    }
}

fn second(record: &Map<String, Value>) -> i64 {
    record.get("__time__").and_then(Value::as_str).and_then(|time| time.parse().ok()).unwrap_or_default()
}

async fn get_logs(
    client: &Client,
    logstore: &str,
    query: &str,
    pages: &Pages,
    line: usize,
) -> Result<Vec<Map<String, Value>>> {
    let Pages { from, to, offset } = pages;
    let body =
        json!({ "from": from, "to": to, "query": query, "line": line, "offset": offset, "reverse": false });
    let body = Bytes::from(serde_json::to_vec(&body)?);
    let size = body.len();
    let path = format!("/logstores/{logstore}/logs");
    loop {
        let headers = [("Content-Type", "application/json")];
        let answer = client.call("POST", &path, &[], &headers, body.clone(), size).await?;
        if answer.status != 200 {
            let error = answer.error();
            bail!("{}: {} (HTTP {})", error.code, error.message, answer.status);
        }
        let answer: Answer =
            serde_json::from_slice(&answer.body).context("the answer is not one of GetLogs")?;
        if answer.meta.progress == "Complete" {
            return Ok(answer.data);
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}

/// `now`, `-15m`, Unix seconds or RFC 3339, as Unix seconds.
fn parse_time(text: &str) -> Result<i64> {
    let now = Timestamp::now().as_second();
    if text == "now" {
        // The range is half-open, and senders' clocks differ a little.
        return Ok(now + 60);
    }
    if let Some(back) = text.strip_prefix('-') {
        let unit = back.char_indices().next_back().map_or(0, |(at, _)| at);
        let (number, unit) = back.split_at(unit);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => bail!("{text:?} is no time; write for example -15m, -2h or -1d"),
        };
        let number: i64 = number.parse().with_context(|| format!("{text:?} is no time"))?;
        return Ok(now - number.saturating_mul(seconds));
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    let time: Timestamp = text
        .parse()
        .with_context(|| format!("{text:?} is no time; write -15m, Unix seconds or 2026-11-23T10:00:00Z"))?;
    Ok(time.as_second())
}

/// A record for people: time, where it came from, the text, and what else it has.
fn line(record: &Map<String, Value>, colour: bool) -> String {
    let paint = |code: &str, text: &str| {
        let text = harmless(text);
        if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    };
    let text = |key: &str| record.get(key).and_then(Value::as_str);
    let nanos: i32 = text("__time_ns_part__").and_then(|nanos| nanos.parse().ok()).unwrap_or_default();
    let time = Timestamp::new(second(record), nanos).unwrap_or_default();
    let mut out = paint("2", &time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    let name = text("container_name").map(|name| name.trim_start_matches('/')).or_else(|| text("__topic__"));
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        out.push(' ');
        out.push_str(&paint("36", name));
    }
    if let Some(log) = text("log") {
        out.push(' ');
        out.push_str(&if text("source") == Some("stderr") { paint("31", log) } else { harmless(log) });
    }
    for (key, value) in record {
        if key.starts_with("__")
            || matches!(key.as_str(), "log" | "container_name" | "container_id" | "source")
        {
            continue;
        }
        out.push(' ');
        out.push_str(&paint("2", &format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    out
}

/// Log text is hostile: its control characters never reach the terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_or_absolute() {
        let now = Timestamp::now().as_second();
        assert!((now - 900 - parse_time("-15m").unwrap()).abs() <= 1);
        assert_eq!(parse_time("1700000000").unwrap(), 1_700_000_000);
        assert_eq!(parse_time("2023-11-14T22:13:20Z").unwrap(), 1_700_000_000);
        for bad in ["-15", "-m", "yesterday", "-1w", "-"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn escape_sequences_in_logs_stay_harmless() {
        let record =
            json!({ "__time__": "1700000000", "log": "\x1b[2Jgone", "container_name": "/web", "k": "v" });
        let Value::Object(record) = record else { return };
        assert_eq!(line(&record, false), "2023-11-14T22:13:20.000Z web \u{fffd}[2Jgone k=v");
        assert!(!line(&record, true).contains("\x1b[2J"));
    }
}
