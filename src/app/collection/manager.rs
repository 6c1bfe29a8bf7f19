//! Makes what runs follow what the sources want.
//!
//! ```text
//! sets of all sources -> one version per id (the first source wins) -> judged anew when it, or who we are, has changed
//!
//!   nothing --good--> running --changed, good--> ending --ended--> running
//!                        |  `--changed, refused--> running (stale)
//!                        `--gone--> ending --ended--> nothing; its queue is served until it is empty
//! ```
//!
//! An input that does not end, for its buffer is full, holds up its own next version and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::changes::{self, Changes};
use super::judge::{CONFIGS, Facts, Verdict, body_fault, judge, merge};
use super::running::{Marks, Ready, Running};
use super::{CHANGES, House, LongestDelay, place_of};
use crate::base::log_limit::LogLimit;
use crate::collection::identity::Identity;
use crate::collection::kept::{self, Sets};
use crate::collection::report::{Board, ConfigReport, State};
use crate::collection::{Form, Found, Source, Wanted};
use crate::config::plan::{CollectionPlan, DestinationPlan};

pub(super) struct Manager {
    house: House,
    collection: Arc<CollectionPlan>,
    board: Arc<Board>,
    identity: watch::Receiver<Arc<Identity>>,
    delay: Arc<LongestDelay>,
    sets: Sets,
    /// What has no version that can be looked at, of each source.
    refused: BTreeMap<Source, Vec<(String, Vec<String>)>>,
    parts: BTreeMap<String, Part>,
    ending: JoinSet<String>,
    changes: Changes,
    unkept: LogLimit,
}

/// One id: what is wanted of it, and what is done.
#[derive(Default)]
struct Part {
    /// What was judged last; nothing once it is not wanted any more.
    judged: Option<(Wanted, Facts)>,
    reasons: Vec<String>,
    /// Why there is no newer version to judge.
    newer: Vec<String>,
    notes: Vec<String>,
    doing: Doing,
    /// Runs once the version before it has ended.
    next: Option<Ready>,
}

#[derive(Default)]
enum Doing {
    #[default]
    Nothing,
    Running(Running),
    Ending,
}

impl Manager {
    pub(super) fn new(
        house: House,
        collection: Arc<CollectionPlan>,
        board: Arc<Board>,
        identity: watch::Receiver<Arc<Identity>>,
        delay: Arc<LongestDelay>,
    ) -> Manager {
        let changes = Changes::new(house.clone(), collection.clone());
        Manager {
            house,
            collection,
            board,
            identity,
            delay,
            sets: Sets::new(),
            refused: BTreeMap::new(),
            parts: BTreeMap::new(),
            ending: JoinSet::new(),
            changes,
            unkept: LogLimit::new(Duration::from_secs(600)),
        }
    }

    /// Starts what the last run kept, and delivers what it left of anything else.
    pub(super) async fn begin(&mut self, enabled: &BTreeSet<Source>, mut queues: Vec<String>) {
        let dir = self.house.plan.data_dir.clone();
        let kept = tokio::task::spawn_blocking(move || kept::read(&dir)).await.unwrap_or_default();
        self.sets = enabled.iter().map(|source| (*source, Vec::new())).collect();
        self.sets.extend(kept.into_iter().filter(|(source, _)| enabled.contains(source)));
        self.follow(&mut queues, true).await;
        for queue in queues {
            let Some((name, project, logstore)) = place_of(&queue) else { continue };
            let destination = if name.ends_with(CHANGES) {
                changes::destination(&self.collection, project, logstore)
            } else {
                DestinationPlan {
                    name: name.to_owned(),
                    project: project.to_owned(),
                    logstore: logstore.to_owned(),
                    ..self.collection.destination.clone()
                }
            };
            self.house.deliver(destination, queue);
        }
    }

    /// What a source said last.
    pub(super) fn kept(&self, source: Source) -> Vec<Wanted> {
        self.sets.get(&source).cloned().unwrap_or_default()
    }

    /// Follows the sources until the gateway stops.
    pub(super) async fn run(mut self, mut finds: mpsc::Receiver<Found>) {
        let stop = self.house.inputs.draining.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(ended) = self.ending.join_next() => {
                    if let Ok(id) = ended {
                        self.ended(&id);
                    }
                }
                Some(found) = finds.recv() => self.take(found).await,
                Ok(()) = self.identity.changed() => self.follow(&mut Vec::new(), false).await,
                else => return,
            }
        }
    }

    async fn take(&mut self, found: Found) {
        self.board.heard(found.source);
        let Found { source, wanted, mut refused } = found;
        let Some(set) = self.sets.get_mut(&source) else { return };
        let (mut wanted, faulty) = fit(wanted);
        refused.extend(faulty);
        // What it was before goes on.
        let stays: Vec<Wanted> = {
            let without: HashSet<&str> = refused.iter().map(|(id, _)| id.as_str()).collect();
            let there: HashSet<String> = wanted.iter().map(Wanted::id).collect();
            let stays = |id: &str| without.contains(id) && !there.contains(id);
            set.iter().filter(|before| stays(&before.id())).cloned().collect()
        };
        wanted.extend(stays);
        let was_refused = self.refused.insert(source, refused.clone()).unwrap_or_default();
        if *set == wanted {
            if was_refused != refused {
                self.follow(&mut Vec::new(), false).await;
            }
            return;
        }
        *set = wanted;
        let (dir, sets) = (self.house.plan.data_dir.clone(), self.sets.clone());
        let kept = tokio::task::spawn_blocking(move || kept::write(&dir, &sets)).await;
        if let Ok(Err(error)) = kept
            && self.unkept.allow().is_some()
        {
            tracing::error!(
                "what is to be collected cannot be kept in {}: {error}; a start without network would go on with older \
                 configurations",
                self.house.plan.data_dir.display()
            );
        }
        self.follow(&mut Vec::new(), false).await;
    }

    /// Makes what runs what is wanted. Takes the queues of what it starts.
    async fn follow(&mut self, queues: &mut Vec<String>, is_first: bool) {
        let facts = self.facts();
        let (wanted, refused) = merge(&self.sets);
        let gone: Vec<String> = self.parts.keys().filter(|id| !wanted.contains_key(*id)).cloned().collect();
        for id in gone {
            self.end(&id);
        }
        let is_new = |(id, wanted): &(String, Wanted)| {
            let judged = self.parts.get(id).and_then(|part| part.judged.as_ref());
            judged.is_none_or(|(known, by)| known != wanted || *by != facts)
        };
        let new: Vec<(String, Wanted)> = wanted.into_iter().filter(is_new).collect();
        for (id, wanted, verdict) in self.judge(new, &facts).await {
            self.apply(&id, wanted, &facts, verdict, queues);
        }
        let refused = self.refuse(refused);
        self.publish(refused, &facts.marks, is_first);
    }

    /// Lays what cannot be looked at on what runs of it, and gives the reports of the rest.
    fn refuse(&mut self, mut reports: Vec<ConfigReport>) -> Vec<ConfigReport> {
        self.parts.values_mut().for_each(|part| part.newer.clear());
        for (source, refused) in &self.refused {
            for (id, reasons) in refused {
                match self.parts.get_mut(id) {
                    Some(part)
                        if part.judged.as_ref().is_some_and(|(wanted, _)| wanted.source == *source) =>
                    {
                        part.newer.clone_from(reasons);
                    }
                    // However many there are, their reports are bounded, too.
                    _ if reports.len() >= 2 * CONFIGS => {}
                    _ => reports.push(ConfigReport {
                        source: *source,
                        id: id.clone(),
                        state: State::Refused,
                        reasons: reasons.clone(),
                        notes: Vec::new(),
                    }),
                }
            }
        }
        reports
    }

    /// Translating compiles regular expressions: it is not for a thread that others wait on.
    async fn judge(&self, new: Vec<(String, Wanted)>, facts: &Facts) -> Vec<(String, Wanted, Verdict)> {
        if new.is_empty() {
            return Vec::new();
        }
        let (main, collection, facts) = (self.house.plan.clone(), self.collection.clone(), facts.clone());
        let all = move || {
            let one = |(id, wanted): (String, Wanted)| {
                let verdict = judge(&main, &collection, &id, &wanted, &facts);
                (id, wanted, verdict)
            };
            new.into_iter().map(one).collect()
        };
        // A panic would be told by its thread; what is not judged is asked for again with the next set.
        tokio::task::spawn_blocking(all).await.unwrap_or_default()
    }

    fn apply(&mut self, id: &str, wanted: Wanted, facts: &Facts, verdict: Verdict, queues: &mut Vec<String>) {
        let part = self.parts.entry(id.to_owned()).or_default();
        part.judged = Some((wanted, facts.clone()));
        let ready = match verdict {
            Ok((ready, notes)) => {
                (part.reasons, part.notes) = (Vec::new(), notes);
                ready
            }
            Err(reasons) => {
                (part.reasons, part.notes) = (reasons, Vec::new());
                return;
            }
        };
        match std::mem::take(&mut part.doing) {
            Doing::Nothing => {
                let prefix = format!("{id}/");
                let own: Vec<String> = queues.extract_if(.., |queue| queue.starts_with(&prefix)).collect();
                part.doing = Doing::Running(self.house.start(id, ready, &own));
            }
            Doing::Running(running) if running.made_of == ready.made_of => {
                part.doing = Doing::Running(running)
            }
            Doing::Running(running) => {
                self.ending.spawn(running.end(id.to_owned(), &self.house));
                (part.doing, part.next) = (Doing::Ending, Some(ready));
            }
            Doing::Ending => (part.doing, part.next) = (Doing::Ending, Some(ready)),
        }
    }

    /// It is not wanted any more.
    fn end(&mut self, id: &str) {
        let Some(part) = self.parts.get_mut(id) else { return };
        (part.judged, part.next) = (None, None);
        match std::mem::take(&mut part.doing) {
            Doing::Nothing => {
                self.parts.remove(id);
            }
            Doing::Running(running) => {
                self.ending.spawn(running.end(id.to_owned(), &self.house));
                part.doing = Doing::Ending;
            }
            Doing::Ending => part.doing = Doing::Ending,
        }
    }

    fn ended(&mut self, id: &str) {
        // What ends because the gateway stops is not followed by anything.
        if self.house.inputs.draining.is_cancelled() {
            return;
        }
        let Some(part) = self.parts.get_mut(id) else { return };
        part.doing = Doing::Nothing;
        match part.next.take() {
            Some(next) => {
                let running = self.house.start(id, next, &[]);
                self.house.shipping.retire(id, Some(&running.logstore));
                part.doing = Doing::Running(running);
            }
            None => {
                self.house.shipping.retire(id, None);
                if part.judged.is_none() {
                    self.parts.remove(id);
                }
            }
        }
        self.board.set_overlaps(self.overlaps());
        self.measure();
    }

    fn publish(&mut self, refused: Vec<ConfigReport>, marks: &Marks, is_first: bool) {
        self.measure();
        let mut reports = refused;
        for (id, part) in &self.parts {
            let Some((wanted, _)) = &part.judged else { continue };
            let runs = matches!(part.doing, Doing::Running(_)) || part.next.is_some();
            let reasons = if part.newer.is_empty() { &part.reasons } else { &part.newer };
            reports.push(ConfigReport {
                source: wanted.source,
                id: id.clone(),
                state: match (reasons.is_empty(), runs) {
                    (true, _) => State::Running,
                    (false, true) => State::Stale,
                    (false, false) => State::Refused,
                },
                reasons: reasons.clone(),
                notes: part.notes.clone(),
            });
        }
        self.board.set_overlaps(self.overlaps());
        let (changed, gone) = self.board.set(reports);
        for report in changed {
            match report.state {
                State::Running => tracing::info!(config = %report.id, "is collected"),
                state => tracing::warn!(config = %report.id, reasons = %report.reasons.join("; "),
                    "a configuration is refused{}",
                    if state == State::Stale { ", its last good version runs on" } else { "" }),
            }
            // A start that finds things as they were is no change.
            if !is_first || report.state != State::Running {
                self.changes.tell(&report, report.state.name(), marks);
            }
        }
        for report in gone {
            tracing::info!(config = %report.id, "is collected no more");
            self.changes.tell(&ConfigReport { reasons: Vec::new(), ..report }, "removed", marks);
        }
    }

    /// Configurations that read the same files, by id, with the one that comes before them. Logtail lets the first alone have
    /// a file, unless the other one is made for that.
    fn overlaps(&self) -> BTreeMap<String, String> {
        let mut first: HashMap<&str, &str> = HashMap::new();
        let mut overlaps = BTreeMap::new();
        for (id, part) in &self.parts {
            let (Doing::Running(running), Some((wanted, _))) = (&part.doing, &part.judged) else { continue };
            if shares_files(wanted) {
                continue;
            }
            for pattern in &running.patterns {
                let before = first.entry(pattern).or_insert(id);
                if *before != id {
                    overlaps.insert(id.clone(), (*before).to_owned());
                }
            }
        }
        overlaps
    }

    fn measure(&self) {
        let delays = self.parts.values().map(|part| match &part.doing {
            Doing::Running(running) => running.stop_delay.as_millis(),
            _ => 0,
        });
        let longest = u64::try_from(delays.max().unwrap_or_default()).unwrap_or(u64::MAX);
        self.delay.0.store(longest, Ordering::Relaxed);
    }

    fn facts(&mut self) -> Facts {
        let identity = self.identity.borrow_and_update().clone();
        let source = self.house.plan.agent.source.clone().or_else(|| identity.addresses.first().cloned());
        let marks = Marks { hostname: identity.hostname.clone(), source };
        Facts { marks, ids: identity.ids.clone() }
    }
}

/// Takes out what is not even kept, with the reasons.
fn fit(wanted: Vec<Wanted>) -> (Vec<Wanted>, Vec<(String, Vec<String>)>) {
    let mut faulty = Vec::new();
    let fits = |one: &Wanted| {
        let fault = body_fault(&one.body);
        faulty.extend(fault.iter().map(|fault| (one.id(), vec![fault.clone()])));
        fault.is_none()
    };
    let fit = wanted.into_iter().filter(fits).collect();
    (fit, faulty)
}

/// Its author says that others may have its files, too.
fn shares_files(wanted: &Wanted) -> bool {
    let said = match wanted.form {
        Form::Classic => &wanted.body["inputDetail"]["advanced"]["force_multiconfig"],
        Form::Pipeline => &wanted.body["inputs"][0]["AllowingIncludedByMultiConfigs"],
    };
    said == true
}
