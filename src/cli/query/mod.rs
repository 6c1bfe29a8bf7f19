//! `sluicegate query`: GetLogs against the embedded service of the running gateway, or against the cloud.
//!
//! The operations port says where the embedded service listens and where its key lies; it never says the key. With
//! `--config` the destination's own endpoint, project and key are used.

mod key;
mod line;
mod pages;
mod service;
mod time;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::{complain, say, status};
use crate::config::names::{clean_logstore_name, is_logstore_name};
use crate::config::plan::{LOCAL, Target};
use crate::config::{self, Flags};
use crate::output::Client;
use line::line;
use pages::{Follow, PAGE, Pages, Record};
use service::Service;

const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
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
    /// Start of the time range: -15m, -2h, -1d, -1w, "2026-11-23 10:00" (local time), 2026-11-23T10:00:00Z or Unix
    /// seconds.
    #[arg(long, value_name = "TIME", default_value = "-15m", allow_hyphen_values = true)]
    from: String,
    /// End of the time range, exclusive; `now` includes what carries a time of this minute.
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    to: String,
    /// Print at most so many records; --follow has no limit.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Go on printing what arrives, until Ctrl-C.
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

impl Query {
    pub(super) fn execute(self) -> Result<ExitCode> {
        super::block_on(self.run())
    }

    async fn run(self) -> Result<ExitCode> {
        let from = time::parse(&self.from).context("--from")?;
        let to = time::parse_end(&self.to).context("--to")?;
        if from >= to {
            bail!("--from {} is not before --to {}", self.from, self.to);
        }
        if let Some(name) = &self.logstore {
            check_logstore(name)?;
        }
        let mut service = match &self.config {
            Some(file) => self.configured(file)?,
            None => self.embedded().await?,
        };
        if let Some(name) = &self.logstore {
            service.logstore.clone_from(name);
        }
        if self.follow {
            self.follow(&service, from).await?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.config.is_none() {
            self.wait_for_delivery(&service.logstore).await?;
        }
        if self.search(&service, Pages { from, to, offset: 0 }).await? == 0 && self.limit > 0 {
            // Nothing at all would leave open whether the place or the time was wrong.
            complain(&format!(
                "nothing found in logstore {} since {}{}",
                service.logstore,
                time::show(from),
                service.names().await
            ));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Prints what is there, page by page; says how much it was.
    async fn search(&self, service: &Service, mut pages: Pages) -> Result<usize> {
        let print = self.printer();
        let mut printed = 0;
        while printed < self.limit {
            let want = PAGE.min(self.limit - printed);
            let page = service.get_logs(&self.query, &pages, want).await?;
            printed += page.len();
            if !page.iter().all(&print) || page.len() < want {
                break;
            }
            pages.advance(&page);
        }
        Ok(printed)
    }

    /// Prints what is there and then what arrives, until nobody reads it or a signal ends it.
    async fn follow(&self, service: &Service, from: i64) -> Result<()> {
        let print = self.printer();
        let now = || Timestamp::now().as_second();
        let mut follow = Follow::new(from, now());
        loop {
            let page = service.get_logs(&self.query, &follow.pages, PAGE).await?;
            for record in &page {
                if follow.is_new(record) && !print(record) {
                    return Ok(());
                }
            }
            if follow.advance(&page, now()) {
                tokio::time::sleep(FOLLOW_PAUSE).await;
            }
        }
    }

    /// Prints a record; false when nobody reads it any more.
    fn printer(&self) -> impl Fn(&Record) -> bool {
        let json = self.json;
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        move |record| {
            if json { say(&Value::Object(record.clone()).to_string()) } else { say(&line(record, colour)) }
        }
    }

    /// What was stored before the question was asked should be in the answer: a LogGroup may still be filling.
    async fn wait_for_delivery(&self, logstore: &str) -> Result<()> {
        let asked = Instant::now();
        while asked.elapsed() < DELIVERY_WAIT {
            let status = status::fetch(&self.operations).await?;
            if !holds_older(&status, &format!("{LOCAL}/{logstore}"), asked.elapsed()) {
                break;
            }
            tokio::time::sleep(DELIVERY_LOOK).await;
        }
        Ok(())
    }

    async fn embedded(&self) -> Result<Service> {
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
        let key = key::read(Path::new(&file))?;
        let client = Client::new(&format!("http://{address}"), &project, key, TIMEOUT)?;
        Ok(Service { client, logstore })
    }

    fn configured(&self, file: &Path) -> Result<Service> {
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
        let client = Client::for_cloud(cloud, &destination.project, TIMEOUT)?;
        Ok(Service { client, logstore: destination.logstore.clone() })
    }
}

/// Whether a queue may hold something that was stored so long ago. Its age counts seconds of the clock, so it can be a second
/// off either way.
fn holds_older(status: &Value, queue: &str, ago: Duration) -> bool {
    let queues = status["destinations"].as_array().into_iter().flatten();
    queues.filter(|found| found["name"] == queue && found["buffered_entries"] != 0).any(|found| {
        let oldest = found["oldest_seconds"].as_f64().unwrap_or_default();
        oldest + 1.0 > ago.as_secs_f64()
    })
}

/// Names that Log Service cannot have are not asked for; most of them are names of containers.
fn check_logstore(name: &str) -> Result<()> {
    if !is_logstore_name(name) {
        let mut cleaned = String::new();
        clean_logstore_name(name.as_bytes(), &mut cleaned);
        bail!(
            "--logstore {name:?}: Log Service takes 3 to 63 of a-z, 0-9, - and _; the gateway makes that name {cleaned}, \
             so try --logstore {cleaned}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_queue_is_waited_for_until_what_it_holds_is_newer_than_the_question() {
        let holds = |entries: u64, oldest: Value, ago: u64| {
            let queue = |name, entries| json!({ "name": name, "buffered_entries": entries, "oldest_seconds": oldest });
            let status = json!({ "destinations": [queue("local/web", entries), queue("local/other", 1)] });
            holds_older(&status, "local/web", Duration::from_millis(ago))
        };
        assert!(!holds(0, Value::Null, 0));
        assert!(holds(1, json!(0.0), 0));
        assert!(holds(1, json!(0.0), 900));
        assert!(!holds(1, json!(0.0), 1_100));
        assert!(holds(1, json!(7.0), 2_900));
    }

    #[test]
    fn names_of_containers_are_told_what_they_became() {
        assert!(check_logstore("web").is_ok());
        for (name, cleaned) in [("db", "db0"), ("/web", "web"), ("My App", "my-app")] {
            let error = check_logstore(name).unwrap_err().to_string();
            assert!(error.ends_with(&format!("try --logstore {cleaned}")), "{error}");
        }
    }
}
