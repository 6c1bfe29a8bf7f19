//! `sluicegate query`: searches, statements, histograms and contexts, of the embedded service of the running gateway or of the
//! cloud.
//!
//! The operations port says where the embedded service listens and where its key lies; it never says the key. With
//! `--config` the destination's own endpoint, project and keys are used, with `--endpoint` those that are named.

mod around;
mod follow;
pub(super) mod key;
mod line;
mod pages;
mod place;
mod plot;
mod progress;
mod service;
mod table;
mod time;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::{complain, say, status};
use crate::config::plan::LOCAL;
use crate::store::query::{Analysis, read};
use around::Around;
use follow::Pull;
use line::line;
use pages::{Follow, PAGE, Pages, Record};
pub(super) use place::Embedded;
use place::Place;
use progress::{Progress, Slices};
use service::{Page, Service};
use table::Table;

const FOLLOW_PAUSE: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(120);
/// A query waits at most so long for what is stored and not delivered yet, and looks so often.
const DELIVERY_WAIT: Duration = Duration::from_secs(3);
const DELIVERY_LOOK: Duration = Duration::from_millis(50);
/// Records printed where no limit is given.
const LIMIT: usize = 1000;
/// Rows of a statement that names no limit, as Log Service has it.
const ROWS: usize = 100;

#[derive(Args)]
pub(super) struct Query {
    /// What to search for, such as: error and container_name: web*
    /// or: error | SELECT container_name, count(*) AS n GROUP BY container_name
    #[arg(default_value = "*", verbatim_doc_comment)]
    query: String,
    /// Start of the time range: -15m, -2h, -1d, -1w, "2026-11-23 10:00" (local time), 2026-11-23T10:00:00Z or Unix
    /// seconds.
    #[arg(long, value_name = "TIME", default_value = "-15m", allow_hyphen_values = true)]
    from: String,
    /// End of the time range, exclusive; `now` includes what carries a time of this minute.
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    to: String,
    /// Print at most so many records: 1000 unless told otherwise, and 5 hits with --context; --follow has no limit.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Go on printing what arrives, until Ctrl-C.
    #[arg(long, short, conflicts_with_all = ["csv", "context", "histogram", "to"])]
    follow: bool,
    /// One JSON object per record, row or piece.
    #[arg(long)]
    json: bool,
    /// CSV with the names in the first line.
    #[arg(long, conflicts_with_all = ["json", "context"])]
    csv: bool,
    /// Print each of the last 5 hits with so many lines that its sender wrote before and behind it.
    #[arg(long, short = 'C', value_name = "LINES", conflicts_with = "histogram")]
    context: Option<usize>,
    /// Print how many records there are over time.
    #[arg(long)]
    histogram: bool,
    #[command(flatten)]
    place: Place,
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
        let service = self.place.service().await?;
        if self.follow {
            self.follow(&service, from).await?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.place.is_embedded() {
            self.wait_for_delivery(&service.logstore).await?;
        }
        let found = match self.context {
            Some(lines) => {
                let around = Around {
                    query: &self.query,
                    lines,
                    hits: self.limit.unwrap_or(around::HITS),
                    json: self.json,
                    colour: colour(),
                };
                around.show(&service, from, to).await?
            }
            None if self.histogram => self.histogram(&service, from, to).await?,
            None => self.search(&service, from, to).await?,
        };
        if found == 0 && self.limit != Some(0) {
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

    /// Prints what is there, slice by slice and page by page; says how much it was.
    async fn search(&self, service: &Service, from: i64, to: i64) -> Result<usize> {
        let (print, limit) = (self.printer(), self.limit.unwrap_or(LIMIT));
        let mut progress = Progress::new(from, to);
        let mut slices = if is_search(&self.query) { Slices::new(from, to) } else { Slices::whole(from, to) };
        let (mut found, mut kept) = (0, Vec::new());
        'slices: while let Some((from, to)) = slices.next() {
            let mut pages = Pages { from, to, offset: 0 };
            while found < limit {
                let want = PAGE.min(limit - found);
                let asked = Instant::now();
                let answer = service.get_logs(&self.query, &pages, want, false);
                let page = progress.watch(from, answer).await.inspect_err(|_| progress.clear())?;
                slices.took(asked.elapsed());
                progress.clear();
                if page.meta.has_sql {
                    return Ok(self.print_rows(page));
                }
                let (count, page) = (page.data.len(), page.data);
                found += count;
                progress.found(count);
                pages.advance(&page);
                if self.csv {
                    kept.extend(page);
                } else if !page.iter().all(&print) {
                    break 'slices;
                }
                if count < want {
                    break;
                }
            }
            if found >= limit {
                break;
            }
        }
        if self.csv && found > 0 {
            print_csv(&Table::of_records(kept));
        }
        Ok(found)
    }

    /// Prints the rows of a statement; how many they were.
    fn print_rows(&self, page: Page) -> usize {
        let (meta, rows) = (page.meta, page.data);
        let count = rows.len();
        let types = meta.column_types.iter().map(String::as_str).chain(std::iter::repeat("varchar"));
        let numeric = meta.keys.iter().zip(types).map(|(_, kind)| matches!(kind, "bigint" | "double"));
        let table = Table { numeric: numeric.collect(), columns: meta.keys, rows };
        if self.json {
            let print = self.printer();
            table.rows.iter().all(print);
        } else if self.csv {
            print_csv(&table);
        } else {
            table.lines(colour()).iter().all(|line| say(line));
        }
        if count == ROWS && !self.query.to_ascii_lowercase().contains("limit") {
            complain("these are the first 100 rows: a statement has LIMIT 100 where it names none");
        }
        count
    }

    async fn histogram(&self, service: &Service, from: i64, to: i64) -> Result<usize> {
        let mut progress = Progress::new(from, to);
        let pieces = progress.watch(from, service.histogram(&self.query, from, to)).await;
        progress.clear();
        let pieces = pieces?;
        let total = plot::total(&pieces);
        if self.json {
            pieces.iter().all(|piece| say(&serde_json::json!(piece).to_string()));
        } else if self.csv {
            let lines = pieces.iter().map(|piece| format!("{},{},{}\r", piece.from, piece.to, piece.count));
            std::iter::once("from,to,count\r".to_owned()).chain(lines).all(|line| say(&line));
        } else if std::io::stdout().is_terminal() {
            let lines = plot::plot(&pieces, terminal_width(), colour());
            lines.iter().all(|line| say(line));
            say(&format!("{} records", plot::grouped(plot::number(total))));
        } else {
            plot::lines(&pieces).iter().all(|line| say(line));
        }
        Ok(usize::try_from(total).unwrap_or(usize::MAX))
    }

    /// Prints what is there and then what arrives, until nobody reads it or a signal ends it.
    async fn follow(&self, service: &Service, from: i64) -> Result<()> {
        let print = self.printer();
        let parsed = read(&self.query, None).context("--follow")?;
        if parsed.analysis.is_some() {
            bail!("--follow takes a search, without what stands behind `|`");
        }
        let mut pull = match Pull::start(service, parsed.search, from).await {
            Ok(pull) => pull,
            Err(error) => {
                complain(&format!(
                    "cannot pull ({error:#}); searching the last seconds again and again instead"
                ));
                return self.follow_by_time(service, from).await;
            }
        };
        if !pull.history(&self.query, Timestamp::now().as_second() + time::AHEAD, &print).await? {
            return Ok(());
        }
        loop {
            if !pull.next().await?.iter().all(&print) {
                return Ok(());
            }
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    }

    async fn follow_by_time(&self, service: &Service, from: i64) -> Result<()> {
        let print = self.printer();
        let now = || Timestamp::now().as_second();
        let mut follow = Follow::new(from, now());
        loop {
            let page = service.get_logs(&self.query, &follow.pages, PAGE, false).await?.data;
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
        let colour = colour();
        move |record| {
            if json { say(&Value::Object(record.clone()).to_string()) } else { say(&line(record, colour)) }
        }
    }

    /// What was stored before the question was asked should be in the answer: a LogGroup may still be filling.
    async fn wait_for_delivery(&self, logstore: &str) -> Result<()> {
        let asked = Instant::now();
        while asked.elapsed() < DELIVERY_WAIT {
            let status = status::fetch(&self.place.operations).await?;
            if !holds_older(&status, &format!("{LOCAL}/{logstore}"), asked.elapsed()) {
                break;
            }
            tokio::time::sleep(DELIVERY_LOOK).await;
        }
        Ok(())
    }
}

/// Colours are for terminals, and for those who want them.
fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| usize::from(size.ws_col));
    size.ok().filter(|columns| *columns > 0).unwrap_or(80)
}

/// Whether records answer it, so that its range can be cut. What we cannot read is the service's to judge.
fn is_search(query: &str) -> bool {
    read(query, None).is_ok_and(|parsed| matches!(parsed.analysis, None | Some(Analysis::PackMeta)))
}

fn print_csv(table: &Table) {
    table.csv().all(|line| say(&line));
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
    fn searches_are_told_from_statements() {
        assert!(is_search("*") && is_search("a | with_pack_meta"));
        assert!(!is_search("* | select 1") && !is_search("(a") && !is_search("* | where x"));
    }
}
