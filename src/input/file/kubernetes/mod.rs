//! What an input knows of the Pods behind its files: whose files are read, and with which tags.
//!
//! ```text
//! path          namespace, pod, uid, container      [pod]: at once, for each file
//! API server    node, image, labels                 [pods]: asked for once for each Pod, by the [asker] by [crate::cluster]
//! ```
//!
//! * A file that is no Pod's is read like any other.
//! * Where labels decide, a file waits until the API server has answered; its lines stay where they are, and what is rotated
//!   away meanwhile is held open. Of a Pod that the API server does not know (any more), a file that an earlier run met and did
//!   not refuse is read on; others are not begun, since nobody can tell what labels it had.
//! * Tags alone are waited for until `patience` is over. Lines read until then go without; later ones have them, and are a
//!   stream of their own from there on. At the stop nobody waits for tags.
//!
//! What was answered holds for a file as long as it is followed: of labels that change, the next task that follows the file
//! takes note.

mod asker;
mod facts;
mod pods;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::pod::{PodFilter, PodPath};
use super::table::Status;
use crate::config::plan::KubernetesPlan;
use facts::Facts;
use pods::{Answer, Manners, Pods};

pub(super) struct Kubernetes {
    names: PodFilter,
    api: Option<Api>,
}

struct Api {
    pods: Pods,
    /// Labels that a Pod must have.
    must: Vec<(String, String)>,
    /// Labels that become tags; empty: all.
    tags: Vec<String>,
    patience: Duration,
}

/// Whether a file is one to follow, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    Refused,
    /// Only if it was read before: its Pod is gone.
    Known,
}

impl Kubernetes {
    /// Asks the API server from now on, where the plan says so.
    pub(super) fn new(input: &str, plan: &KubernetesPlan) -> Kubernetes {
        Kubernetes::with(input, plan, Manners::default())
    }

    fn with(input: &str, plan: &KubernetesPlan, manners: Manners) -> Kubernetes {
        let api = plan.api.as_ref().map(|api| Api {
            pods: Pods::new(input, api, manners),
            must: plan.labels.clone(),
            tags: api.labels.clone(),
            patience: api.patience,
        });
        Kubernetes { names: PodFilter::new(plan), api }
    }

    /// Does not wait for what is not known.
    pub(super) fn judge(&self, path: &Path) -> Verdict {
        let Some(pod) = PodPath::find(path) else { return Verdict::Taken };
        if !self.names.takes(&pod) {
            return Verdict::Refused;
        }
        let Some(api) = self.api.as_ref().filter(|api| !api.must.is_empty()) else { return Verdict::Taken };
        match api.pods.known(&pod) {
            Some(Answer::Found(facts)) if !facts.has(&api.must) => Verdict::Refused,
            Some(Answer::Gone) => Verdict::Known,
            _ => Verdict::Taken,
        }
    }

    /// The Pod of a file that is to be followed. `was_read`: a position of it is known.
    pub(super) fn pod_of(self: &Arc<Self>, path: &Path, was_read: bool) -> Option<FilePod> {
        let path = PodPath::find(path)?;
        let answer = self.api.as_ref().map(|api| api.pods.ask(&path));
        let is_open = answer.is_some() && self.api.as_ref().is_some_and(|api| !api.must.is_empty());
        Some(FilePod {
            kubernetes: self.clone(),
            path,
            answer,
            was_read,
            is_open,
            until: None,
            facts: None,
            has_news: false,
        })
    }
}

/// The Pod of a file that is followed.
pub(super) struct FilePod {
    kubernetes: Arc<Kubernetes>,
    path: PodPath,
    /// Absent where nobody is asked.
    answer: Option<watch::Receiver<Answer>>,
    /// An earlier run met it, and did not refuse it.
    was_read: bool,
    /// Its labels have to be known before it is read.
    is_open: bool,
    /// When it is not waited for any more.
    until: Option<Instant>,
    /// Those for its tags.
    facts: Option<Arc<Facts>>,
    /// Its tags are others than they were.
    pub(super) has_news: bool,
}

impl FilePod {
    /// Whether nobody knows yet that the file is to be read.
    pub(super) fn is_undecided(&self) -> bool {
        self.is_open
    }

    /// Waits until the file may be read, or may not be (false). May be dropped and called again.
    pub(super) async fn wait(&mut self, status: &Status, is_last: bool) -> bool {
        let (Some(answer), Some(api)) = (&mut self.answer, &self.kubernetes.api) else { return true };
        loop {
            let now = answer.borrow_and_update().clone();
            let is_read = match now {
                Answer::Found(facts) => {
                    let has = !self.is_open || facts.has(&api.must);
                    if self.facts.as_ref() != Some(&facts) {
                        self.has_news = true;
                        self.facts = Some(facts);
                    }
                    Some(has)
                }
                Answer::Gone => {
                    api.pods.ask_again(&self.path);
                    Some(!self.is_open || self.was_read)
                }
                Answer::Unknown(_) if !self.is_open && is_last => Some(true),
                Answer::Unknown(why) => {
                    if self.is_open {
                        let why = why.as_deref().unwrap_or("it was not asked yet");
                        let PodPath { namespace, pod, .. } = &self.path;
                        status.set_error(Some(format!(
                            "waits for the API server to tell the labels of the Pod {namespace}/{pod}: {why}"
                        )));
                    }
                    None
                }
            };
            if let Some(is_read) = is_read {
                self.is_open &= !is_read;
                return is_read;
            }
            let changed = answer.changed();
            let changed = if self.is_open {
                changed.await
            } else {
                let until = *self.until.get_or_insert_with(|| Instant::now() + api.patience);
                match timeout_at(until, changed).await {
                    Ok(changed) => changed,
                    Err(_) => return true,
                }
            };
            if changed.is_err() {
                // Whoever asks has ended, and the gateway with it.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What its LogGroups are marked with.
    pub(super) fn tags(&self) -> Vec<(String, String)> {
        let mut tags = self.path.tags();
        if let (Some(facts), Some(api)) = (&self.facts, &self.kubernetes.api) {
            tags.extend(facts.tags(&self.path.container, &api.tags));
        }
        tags
    }
}

#[cfg(test)]
mod tests;
