//! What became of all that is to be collected: for `status`, for metrics, and for sources that write it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Outcome, Source};
use crate::base::metrics::{Counter, Gauge, counter, gauge};

/// Of each configuration by source and id, all of them at once: who looks late misses none.
pub type Outcomes = Arc<BTreeMap<(Source, String), Outcome>>;

/// Problems that `status` lists; the configurations themselves are all there.
const PROBLEMS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    /// Nothing of it runs.
    Refused,
    /// Its last good version runs, a newer one is refused.
    Stale,
}

impl State {
    pub const ALL: [State; 3] = [State::Running, State::Refused, State::Stale];

    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Refused => "refused",
            State::Stale => "stale",
        }
    }
}

/// What became of one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigReport {
    pub source: Source,
    pub id: String,
    pub state: State,
    /// Why it is refused; of a running one nothing.
    pub reasons: Vec<String>,
    /// Keys that have no effect here.
    pub notes: Vec<String>,
}

/// How a source fares.
#[derive(Default)]
struct Health {
    last_ok: Option<Instant>,
    error: Option<String>,
    /// It answers, and something is amiss.
    warning: Option<String>,
}

/// Where sources and manager say how it goes, and everybody reads it.
pub struct Board {
    parts: Mutex<Parts>,
    outcomes: watch::Sender<Outcomes>,
    states: [Gauge; 3],
    refused: Counter,
    last_ok: BTreeMap<Source, Gauge>,
}

struct Parts {
    sources: BTreeMap<Source, Health>,
    configs: Vec<ConfigReport>,
    /// Configurations that read the files of another one, which comes behind.
    overlaps: BTreeMap<String, String>,
}

impl Board {
    /// For the sources that are configured.
    pub fn new(sources: &BTreeSet<Source>) -> Board {
        let state = |state: State| {
            let help = "Configurations that others say are to be collected, by what became of them.";
            gauge("sluicegate_collection_configs", help, &[("state", state.name())])
        };
        let last_ok = |source: &Source| {
            let help = "When a source last said what is to be collected, in seconds since 1970.";
            let labels = [("source", source.name())];
            (*source, gauge("sluicegate_collection_last_success_timestamp_seconds", help, &labels))
        };
        Board {
            parts: Mutex::new(Parts {
                sources: sources.iter().map(|source| (*source, Health::default())).collect(),
                configs: Vec::new(),
                overlaps: BTreeMap::new(),
            }),
            outcomes: watch::channel(Outcomes::default()).0,
            states: State::ALL.map(state),
            refused: counter(
                "sluicegate_collection_refused_total",
                "Versions of configurations that could not be honoured.",
                &[],
            ),
            last_ok: sources.iter().map(last_ok).collect(),
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A source has said what it wants.
    pub fn heard(&self, source: Source) {
        if let Some(health) = self.parts().sources.get_mut(&source) {
            (health.last_ok, health.error) = (Some(Instant::now()), None);
        }
        if let Some(gauge) = self.last_ok.get(&source) {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            gauge.set(now.as_secs() as f64);
        }
    }

    /// A source cannot be asked; what it last said stands. True when that is news, and so worth a line in the log.
    pub fn failed(&self, source: Source, error: &str) -> bool {
        let mut parts = self.parts();
        let Some(health) = parts.sources.get_mut(&source) else { return false };
        let is_new = health.error.as_deref() != Some(error);
        health.error = Some(error.to_owned());
        is_new
    }

    /// True when that is news.
    pub fn warned(&self, source: Source, warning: Option<&str>) -> bool {
        let mut parts = self.parts();
        let Some(health) = parts.sources.get_mut(&source) else { return false };
        let is_new = health.warning.as_deref() != warning;
        health.warning = warning.map(str::to_owned);
        is_new
    }

    /// All there are. Gives those that are not as they were, or are gone.
    pub fn set(&self, configs: Vec<ConfigReport>) -> (Vec<ConfigReport>, Vec<ConfigReport>) {
        let mut parts = self.parts();
        let key = |report: &ConfigReport| (report.source, report.id.clone());
        let before: BTreeMap<_, _> = parts.configs.drain(..).map(|report| (key(&report), report)).collect();
        let changed: Vec<ConfigReport> =
            configs.iter().filter(|report| before.get(&key(report)) != Some(report)).cloned().collect();
        let now: BTreeSet<_> = configs.iter().map(key).collect();
        let gone =
            before.into_iter().filter(|(key, _)| !now.contains(key)).map(|(_, report)| report).collect();
        for (state, gauge) in State::ALL.into_iter().zip(&self.states) {
            gauge.set(configs.iter().filter(|report| report.state == state).count() as f64);
        }
        self.refused.increment(changed.iter().filter(|report| report.state != State::Running).count() as u64);
        parts.configs = configs;
        let outcomes = parts.configs.iter().map(|report| (key(report), report.outcome())).collect();
        drop(parts);
        self.outcomes.send_if_modified(|known: &mut Outcomes| {
            let is_new = **known != outcomes;
            if is_new {
                *known = Arc::new(outcomes);
            }
            is_new
        });
        (changed, gone)
    }

    /// Configurations that read files of another one, each with that one.
    pub fn set_overlaps(&self, overlaps: BTreeMap<String, String>) {
        self.parts().overlaps = overlaps;
    }

    pub fn outcomes(&self) -> watch::Receiver<Outcomes> {
        self.outcomes.subscribe()
    }

    /// For the status document.
    pub fn document(&self) -> Value {
        let parts = self.parts();
        let sources: Vec<Value> = parts
            .sources
            .iter()
            .map(|(source, health)| {
                json!({
                    "name": source.name(),
                    "last_ok_seconds": health.last_ok.map(|at| at.elapsed().as_secs()),
                    "error": health.error,
                    "warning": health.warning,
                })
            })
            .collect();
        let configs: Vec<Value> = parts
            .configs
            .iter()
            .map(|report| {
                json!({
                    "id": report.id,
                    "source": report.source.name(),
                    "state": report.state.name(),
                    "reasons": report.reasons,
                    "notes": report.notes,
                })
            })
            .collect();
        json!({ "sources": sources, "configs": configs })
    }

    pub fn problems(&self) -> Vec<String> {
        let parts = self.parts();
        let mut problems: Vec<String> = parts
            .sources
            .iter()
            .filter_map(|(source, health)| {
                let error = health.error.as_ref()?;
                Some(format!("{}: {error}; what they said last stands", source.words()))
            })
            .collect();
        let warned = |(source, health): (&Source, &Health)| {
            Some(format!("{}: {}", source.words(), health.warning.as_ref()?))
        };
        problems.extend(parts.sources.iter().filter_map(warned));
        let refused = parts.configs.iter().filter(|report| report.state != State::Running);
        let mut beyond = 0;
        for (at, report) in refused.enumerate() {
            if at >= PROBLEMS {
                beyond += 1;
                continue;
            }
            let what = if report.state == State::Stale { ", its last good version runs" } else { "" };
            problems.push(format!("{} is refused{what}: {}", report.id, report.reasons.join("; ")));
        }
        if beyond > 0 {
            problems.push(format!("{beyond} more configurations are refused (status --json has them all)"));
        }
        for (id, other) in parts.overlaps.iter().take(PROBLEMS) {
            problems.push(format!(
                "{id} reads the same files as {other}, and both deliver them; take one of them off, or say force_multiconfig \
                 (AllowingIncludedByMultiConfigs) where that is meant"
            ));
        }
        if let Some(beyond) = parts.overlaps.len().checked_sub(PROBLEMS).filter(|beyond| *beyond > 0) {
            problems.push(format!("{beyond} more configurations read the same files as another one"));
        }
        problems
    }
}

impl ConfigReport {
    pub fn outcome(&self) -> Outcome {
        match self.state {
            State::Running => Outcome::Applied { notes: self.notes.clone() },
            State::Refused | State::Stale => Outcome::Refused { reasons: self.reasons.clone() },
        }
    }
}

impl Source {
    /// In metrics and documents.
    pub fn name(self) -> &'static str {
        match self {
            Source::MachineGroups => "machine_groups",
            Source::Directory => "directory",
            Source::Kubernetes => "kubernetes",
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Source::MachineGroups => "the machine groups",
            Source::Directory => "the custom resources in collection.directory",
            Source::Kubernetes => "the custom resources of the API server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: &str, state: State, reasons: &[&str]) -> ConfigReport {
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        ConfigReport { source: Source::MachineGroups, id: id.to_owned(), state, reasons, notes: Vec::new() }
    }

    #[test]
    fn changes_are_told_once() {
        let board = Board::new(&BTreeSet::from([Source::MachineGroups]));
        let mut outcomes = board.outcomes();
        let (good, bad) = (report("p.a", State::Running, &[]), report("p.b", State::Refused, &["x: y"]));
        assert_eq!(board.set(vec![good.clone(), bad.clone()]).0.len(), 2);
        assert!(outcomes.has_changed().unwrap());
        outcomes.mark_unchanged();
        assert_eq!(board.set(vec![good.clone(), bad.clone()]), (Vec::new(), Vec::new()));
        assert!(!outcomes.has_changed().unwrap());
        let stale = report("p.a", State::Stale, &["z"]);
        assert_eq!(board.set(vec![stale.clone()]), (vec![stale], vec![bad]));
        let refused = Outcome::Refused { reasons: vec!["z".to_owned()] };
        assert_eq!(outcomes.borrow()[&(Source::MachineGroups, "p.a".to_owned())], refused);
        assert_eq!(board.problems(), ["p.a is refused, its last good version runs: z"]);
    }

    #[test]
    fn files_of_two_are_a_problem() {
        let board = Board::new(&BTreeSet::new());
        let overlaps = (0..22).map(|at| (format!("p.b{at:02}"), "p.a".to_owned()));
        board.set_overlaps(overlaps.collect());
        let problems = board.problems();
        assert!(problems[0].starts_with("p.b00 reads the same files as p.a, and both deliver them"));
        assert_eq!((problems.len(), problems[20].starts_with("2 more ")), (21, true));
        board.set_overlaps(BTreeMap::new());
        assert!(board.problems().is_empty());
    }

    #[test]
    fn a_source_that_fails_is_a_problem_until_it_answers() {
        let board = Board::new(&BTreeSet::from([Source::MachineGroups]));
        assert!(board.failed(Source::MachineGroups, "no route"));
        assert!(!board.failed(Source::MachineGroups, "no route"), "that is known");
        assert!(!board.failed(Source::Kubernetes, "not asked"));
        assert_eq!(board.problems().len(), 1);
        assert!(board.document()["sources"][0]["last_ok_seconds"].is_null());
        board.heard(Source::MachineGroups);
        assert!(board.problems().is_empty());
        assert_eq!(board.document()["sources"][0]["last_ok_seconds"], 0);
    }
}
