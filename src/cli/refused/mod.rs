//! `sluicegate refused`: the dead letters of a data directory, listed, shown, sent again or dropped. The gateway may run
//! or not; its own file names are what the commands take.

mod resend;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{complain, say, status};
use crate::config::plan::Plan;
use crate::config::{self, Flags};
use crate::output::refused::{Letter, letters};

/// So much of a reason fits into a table.
const REASON_CHARS: usize = 100;

#[derive(Args)]
pub(super) struct Refused {
    #[command(subcommand)]
    command: Command,
    /// The data directory. Left out: that of the running gateway, or of the configuration.
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Configuration file, which says where destinations are.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The operations port of the running gateway.
    #[arg(long, value_name = "ADDR", global = true, default_value = "127.0.0.1:24290")]
    operations: String,
}

#[derive(Subcommand)]
enum Command {
    /// List the dead letters, oldest first.
    List(List),
    /// Show one: why it was refused, and its records.
    Show(Show),
    /// Send LogGroups again, as they were; those that are accepted are removed.
    Resend(Resend),
    /// Remove dead letters for good.
    Drop(Choice),
}

#[derive(Args)]
struct List {
    /// Only those of a destination, as NAME or NAME/LOGSTORE.
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// One JSON object per dead letter.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Show {
    /// Its name in the list, or the beginning of it.
    name: String,
    /// Each record as a JSON object.
    #[arg(long)]
    json: bool,
    /// Write the payload as it is: a LogGroup in protobuf, or what a sender sent.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

#[derive(Args)]
struct Resend {
    #[command(flatten)]
    choice: Choice,
    /// Send to this destination of the configuration instead, as NAME or NAME/LOGSTORE.
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
}

#[derive(Args)]
struct Choice {
    /// Names in the list, or beginnings of them.
    #[arg(required_unless_present_any = ["all", "destination"])]
    names: Vec<String>,
    /// Those of a destination, as NAME or NAME/LOGSTORE.
    #[arg(long, value_name = "NAME", conflicts_with = "names")]
    destination: Option<String>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["names", "destination"])]
    all: bool,
}

impl Refused {
    pub(super) fn execute(self) -> Result<ExitCode> {
        super::block_on(self.run())
    }

    async fn run(self) -> Result<ExitCode> {
        let place = self.place().await?;
        let dir = place.data_dir.join("refused");
        let found = letters(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        match &self.command {
            Command::List(list) => {
                self::list(&found, list, &dir);
                Ok(ExitCode::SUCCESS)
            }
            Command::Show(wanted) => {
                let letter = one(&found, &wanted.name)?;
                show::show(letter, wanted.json, wanted.raw)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Resend(wanted) => {
                let chosen = wanted.choice.of(&found)?;
                let all = resend::resend(&place, &chosen, wanted.to.as_deref()).await?;
                Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            Command::Drop(choice) => {
                for letter in choice.of(&found)? {
                    letter.remove().with_context(|| format!("cannot remove {}", letter.path.display()))?;
                    say(&format!("dropped {}", letter.name));
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    /// What is typed wins, then what the running gateway says, then what a gateway started here would use.
    async fn place(&self) -> Result<Place> {
        let typed = self.config.is_some() || self.data_dir.is_some();
        let status = status::fetch(&self.operations).await.ok();
        let running = status.as_ref().and_then(|status| status["data_dir"].as_str()).map(PathBuf::from);
        let flags = Flags { data_dir: self.data_dir.clone() };
        let plan = config::load(self.config.as_deref(), super::variables(), &flags);
        if let (false, Some(data_dir)) = (typed, running) {
            return Ok(Place { data_dir, plan: plan.ok(), status });
        }
        let plan = plan.map_err(|errors| anyhow::anyhow!("{errors}"))?;
        // Another gateway's embedded service is none of this data directory's.
        let status = status.filter(|status| status["data_dir"].as_str() == plan.data_dir.to_str());
        Ok(Place { data_dir: plan.data_dir.clone(), plan: Some(plan), status })
    }
}

/// Where the letters are, and what is known of their destinations.
struct Place {
    data_dir: PathBuf,
    /// Absent when the gateway that runs was found and no configuration was.
    plan: Option<Plan>,
    /// Of the gateway that runs on this data directory.
    status: Option<Value>,
}

impl Choice {
    fn of<'a>(&self, found: &'a [Letter]) -> Result<Vec<&'a Letter>> {
        if let Some(destination) = &self.destination {
            let chosen: Vec<_> = found.iter().filter(|letter| is_of(letter, destination)).collect();
            if chosen.is_empty() {
                bail!("no dead letter is of destination {destination}; see `sluicegate refused list`");
            }
            return Ok(chosen);
        }
        if self.all {
            return Ok(found.iter().collect());
        }
        self.names.iter().map(|name| one(found, name)).collect()
    }
}

/// The letter whose name begins so.
fn one<'a>(found: &'a [Letter], name: &str) -> Result<&'a Letter> {
    if let Some(letter) = found.iter().find(|letter| letter.name == name) {
        return Ok(letter);
    }
    let mut fitting = found.iter().filter(|letter| letter.name.starts_with(name));
    match (fitting.next(), fitting.count()) {
        (Some(letter), 0) => Ok(letter),
        (Some(_), more) => bail!("{} dead letters begin with {name}; write more of the name", more + 1),
        (None, _) => bail!("no dead letter is named {name}; see `sluicegate refused list`"),
    }
}

/// Whether a letter is of `name` or `name/logstore`.
fn is_of(letter: &Letter, destination: &str) -> bool {
    let label = &letter.head.destination;
    label == destination || label.split_once('/').is_some_and(|(name, _)| name == destination)
}

fn list(found: &[Letter], list: &List, dir: &Path) {
    let wanted =
        |letter: &&Letter| list.destination.as_ref().is_none_or(|destination| is_of(letter, destination));
    let found: Vec<&Letter> = found.iter().filter(wanted).collect();
    if list.json {
        found.iter().all(|letter| say(&described(letter).to_string()));
        return;
    }
    if found.is_empty() {
        complain(&format!("no dead letters in {}", dir.display()));
        return;
    }
    let width = |of: fn(&Letter) -> usize, least: usize| {
        found.iter().map(|letter| of(letter)).max().unwrap_or(0).max(least)
    };
    let (names, of) = (width(|letter| letter.name.len(), 4), width(|letter| whose(letter).len(), 2));
    say(&format!(
        "{:names$}  {:19}  {:of$}  {:>7}  {:>10}  {}",
        "name", "time", "of", "records", "bytes", "reason"
    ));
    for letter in &found {
        let reason: String = letter.head.reason.chars().take(REASON_CHARS).collect();
        let line = format!(
            "{:names$}  {:19}  {:of$}  {:>7}  {:>10}  {}",
            letter.name,
            show::time(letter.time),
            whose(letter),
            letter.head.records,
            letter.bytes,
            printable(&reason),
        );
        if !say(&line) {
            return;
        }
    }
    let bytes: u64 = found.iter().map(|letter| letter.bytes).sum();
    let records: usize = found.iter().map(|letter| letter.head.records).sum();
    say(&format!("{} dead letters, {records} records, {bytes} bytes in {}", found.len(), dir.display()));
}

fn whose(letter: &Letter) -> &str {
    let head = &letter.head;
    if head.destination.is_empty() { &head.input } else { &head.destination }
}

fn described(letter: &Letter) -> Value {
    let mut object = serde_json::to_value(&letter.head).unwrap_or_default();
    if let Some(fields) = object.as_object_mut() {
        fields.insert("name".into(), json!(letter.name));
        fields.insert("time".into(), json!(letter.time));
        fields.insert("bytes".into(), json!(letter.bytes));
        fields.insert("resendable".into(), json!(letter.is_log_group()));
    }
    object
}

/// Text of peers as a terminal may be given it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::refused::Head;

    fn letter(name: &str, destination: &str) -> Letter {
        let head = Head { destination: destination.to_owned(), ..Head::default() };
        Letter { path: PathBuf::from(name), name: name.to_owned(), time: 0, bytes: 0, head }
    }

    #[test]
    fn letters_are_chosen_by_name_by_destination_or_all() {
        let found = [letter("1-1-a", "cloud/web"), letter("1-2-a", "cloud/db"), letter("2-1-b", "other/web")];
        let chosen = |names: &[&str], destination: Option<&str>, all| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let choice = Choice { names, destination: destination.map(str::to_owned), all };
            choice
                .of(&found)
                .map(|chosen| chosen.iter().map(|letter| letter.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&["2", "1-2-a"], None, false).unwrap(), ["2-1-b", "1-2-a"]);
        assert!(chosen(&["1"], None, false).unwrap_err().to_string().starts_with("2 dead letters begin"));
        assert!(chosen(&["7"], None, false).is_err());
        assert_eq!(chosen(&[], Some("cloud"), false).unwrap().len(), 2);
        assert_eq!(chosen(&[], Some("cloud/db"), false).unwrap(), ["1-2-a"]);
        assert!(chosen(&[], Some("clou"), false).is_err());
        assert_eq!(chosen(&[], None, true).unwrap().len(), 3);
    }
}
