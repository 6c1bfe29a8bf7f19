//! The Pods that were asked for, and what is known of them.
//!
//! ```text
//! ask(path) --> [known: an answer for each Pod]  <-- publishes --  [asker]: list of the node once, then Pod by Pod
//!     `- watches its Pod's answer                                       a failure: all wait (back-off), one tries
//! ```
//!
//! Bounded in every way: one request at a time for a Pod, a few in all, and one while the server is away; at most
//! [`KNOWN`] answers beside those that somebody watches. An answer is asked for anew when it is old and a file begins to be
//! read; the old one stands until the new one is there. What is known of a Pod stays known when the server forgets the Pod:
//! its last lines come behind it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::asker::Asker;
use super::facts::{Facts, PodObject};
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::cluster::{Access, ApiError, Client, Page};
use crate::config::plan::KubernetesApiPlan;
use crate::input::file::pod::PodPath;

/// Answers kept; nodes have some hundred Pods.
const KNOWN: usize = 4_096;

static AWAY: LogLimit = LogLimit::new(Duration::from_secs(60));

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// A request.
    pub(super) timeout: Duration,
    /// Pauses after failures, the first and the longest.
    pub(super) pauses: (Duration, Duration),
    /// A request that is refused is made again so much later.
    pub(super) refused: Duration,
    /// Until an answer is old, and that there is no such Pod: kubelet makes that of a static one later than its files.
    pub(super) keeps: Duration,
    pub(super) gone_keeps: Duration,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            timeout: Duration::from_secs(10),
            pauses: (Duration::from_millis(500), Duration::from_secs(30)),
            refused: Duration::from_secs(30),
            keeps: Duration::from_secs(3_600),
            gone_keeps: Duration::from_secs(30),
        }
    }
}

/// What is known of a Pod.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Not asked yet, or why there is no answer.
    Unknown(Option<Arc<str>>),
    Found(Arc<Facts>),
    /// The API server does not know it.
    Gone,
}

pub(super) struct Pods {
    inner: Arc<Inner>,
    /// Ends with it.
    _asker: JoinSet<()>,
}

/// What asks and answers share.
pub(super) struct Inner {
    input: Arc<str>,
    pub(super) client: Client,
    pub(super) manners: Manners,
    known: Mutex<Known>,
    /// There is something to ask.
    pub(super) news: Notify,
    pub(super) tally: Tally,
}

#[derive(Default)]
struct Known {
    pods: HashMap<Key, Entry>,
    /// Pods to ask for.
    queue: VecDeque<Key>,
    /// Such as were refused, and when they may be asked for again: all wait equally long, so they are in order.
    later: VecDeque<(Instant, Key)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    namespace: String,
    pod: String,
    uid: Option<String>,
}

struct Entry {
    answer: watch::Sender<Answer>,
    /// When the answer is old.
    until: Instant,
    used: Instant,
    /// It is in a queue, or a request for it is under way.
    is_asked: bool,
}

pub(super) struct Tally {
    pub(super) found: Counter,
    pub(super) gone: Counter,
    pub(super) refused: Counter,
    pub(super) failed: Counter,
}

impl Tally {
    fn new(input: &str) -> Tally {
        let requests = |outcome| {
            counter(
                "sluicegate_kubernetes_requests_total",
                "Requests to the Kubernetes API server.",
                &[("input", input), ("outcome", outcome)],
            )
        };
        Tally {
            found: requests("found"),
            gone: requests("gone"),
            refused: requests("refused"),
            failed: requests("failed"),
        }
    }
}

impl Key {
    fn of(path: &PodPath) -> Key {
        let PodPath { namespace, pod, uid, .. } = path;
        Key { namespace: namespace.clone(), pod: pod.clone(), uid: uid.clone() }
    }

    pub(super) fn path(&self) -> PodPath {
        let Key { namespace, pod, uid } = self.clone();
        PodPath { namespace, pod, uid, container: String::new(), container_id: None }
    }
}

impl Pods {
    pub(super) fn new(input: &str, plan: &KubernetesApiPlan, manners: Manners) -> Pods {
        let inner = Arc::new(Inner {
            input: input.into(),
            client: Client::new(Access::from(plan), manners.timeout),
            manners,
            known: Mutex::default(),
            news: Notify::new(),
            tally: Tally::new(input),
        });
        let mut asker = JoinSet::new();
        asker.spawn(Asker::new(inner.clone(), plan.node.clone()).run());
        Pods { inner, _asker: asker }
    }

    /// What is known of a Pod. An old answer is asked for anew, and that a Pod is gone is nothing to rely on then.
    pub(super) fn known(&self, path: &PodPath) -> Option<Answer> {
        let (key, now) = (Key::of(path), Instant::now());
        let mut known = self.inner.lock();
        let entry = known.pods.get_mut(&key)?;
        entry.used = now;
        let (answer, is_old) = (entry.answer.borrow().clone(), entry.until <= now);
        match answer {
            Answer::Found(_) if is_old => self.inner.enqueue(&mut known, key),
            Answer::Found(_) => {}
            Answer::Gone if !is_old => {}
            _ => return None,
        }
        Some(answer)
    }

    /// The answer about a Pod, which may be there or come; asks for it where it is not known or old.
    pub(super) fn ask(&self, path: &PodPath) -> watch::Receiver<Answer> {
        let (key, now) = (Key::of(path), Instant::now());
        let mut known = self.inner.lock();
        let entry = known.entry(&key, now);
        entry.used = now;
        let is_old = entry.until <= now;
        if is_old && matches!(*entry.answer.borrow(), Answer::Gone) {
            entry.answer.send_replace(Answer::Unknown(None));
        }
        let answer = entry.answer.subscribe();
        if is_old {
            self.inner.enqueue(&mut known, key);
        }
        answer
    }

    /// As [`Pods::ask`], for whoever watches already.
    pub(super) fn ask_again(&self, path: &PodPath) {
        drop(self.ask(path));
    }
}

impl Known {
    fn entry(&mut self, key: &Key, now: Instant) -> &mut Entry {
        if self.pods.len() >= KNOWN && !self.pods.contains_key(key) {
            let unwatched =
                self.pods.iter().filter(|(_, entry)| entry.answer.receiver_count() == 0 && !entry.is_asked);
            if let Some(oldest) = unwatched.min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone()) {
                self.pods.remove(&oldest);
            }
        }
        self.pods.entry(key.clone()).or_insert_with(|| Entry {
            answer: watch::Sender::new(Answer::Unknown(None)),
            until: now,
            used: now,
            is_asked: false,
        })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn enqueue(&self, known: &mut Known, key: Key) {
        let Some(entry) = known.pods.get_mut(&key) else { return };
        if !entry.is_asked {
            entry.is_asked = true;
            known.queue.push_back(key);
            self.news.notify_one();
        }
    }

    /// The next Pod to ask for, that somebody waits for or whose answer is old.
    pub(super) fn next(&self) -> Option<Key> {
        let mut known = self.lock();
        let now = Instant::now();
        while known.later.front().is_some_and(|(due, _)| *due <= now) {
            let key = known.later.pop_front().map(|(_, key)| key);
            known.queue.extend(key);
        }
        while let Some(key) = known.queue.pop_front() {
            let Some(entry) = known.pods.get_mut(&key) else { continue };
            // The list may have told meanwhile, and a file may have gone.
            let is_found = matches!(*entry.answer.borrow(), Answer::Found(_));
            if entry.until <= now && (is_found || entry.answer.receiver_count() > 0) {
                return Some(key);
            }
            entry.is_asked = false;
        }
        None
    }

    pub(super) fn next_later(&self) -> Option<Instant> {
        self.lock().later.front().map(|(due, _)| *due)
    }

    /// Tells what a Pod is to those who wait.
    pub(super) fn publish(&self, key: &Key, pod: Option<PodObject>) {
        let now = Instant::now();
        let mut known = self.lock();
        let entry = known.entry(key, now);
        let facts = pod.map(PodObject::into_facts);
        let is_known = facts.is_some() || matches!(*entry.answer.borrow(), Answer::Found(_));
        entry.is_asked = false;
        entry.until = now + if is_known { self.manners.keeps } else { self.manners.gone_keeps };
        entry.answer.send_if_modified(|answer| match (facts, &*answer) {
            (None, Answer::Found(_) | Answer::Gone) => false,
            (None, Answer::Unknown(_)) => {
                *answer = Answer::Gone;
                true
            }
            (Some(facts), before) => {
                let is_other = !matches!(before, Answer::Found(known) if **known == facts);
                if is_other {
                    *answer = Answer::Found(Arc::new(facts));
                }
                is_other
            }
        });
    }

    pub(super) fn publish_all(&self, list: Page<PodObject>) {
        for pod in list.items {
            let (namespace, name) = pod.name();
            let key = |uid: &str| {
                let uid = Some(uid.to_owned());
                Key { namespace: namespace.to_owned(), pod: name.to_owned(), uid }
            };
            let keys: Vec<Key> = pod.uids().map(key).collect();
            let facts = Arc::new(pod.into_facts());
            let now = Instant::now();
            let mut known = self.lock();
            for key in keys {
                let entry = known.entry(&key, now);
                entry.until = now + self.manners.keeps;
                entry.answer.send_replace(Answer::Found(facts.clone()));
            }
        }
    }

    /// Tells those who wait why there is no answer.
    fn excuse(&self, known: &mut Known, key: &Key, error: &ApiError) {
        if let Some(entry) = known.pods.get_mut(key) {
            entry.answer.send_if_modified(|answer| {
                let is_unknown = matches!(answer, Answer::Unknown(_));
                if is_unknown {
                    *answer = Answer::Unknown(Some(error.to_string().into()));
                }
                is_unknown
            });
        }
    }

    /// Asks for a Pod again: soon, or after a while where the request itself is the reason.
    pub(super) fn put_back(&self, key: Key, error: &ApiError) {
        let mut known = self.lock();
        if error.is_of_request() {
            self.excuse(&mut known, &key, error);
            known.later.push_back((Instant::now() + self.manners.refused, key));
            return;
        }
        known.queue.push_back(key);
        drop(known);
        self.excuse_all(error);
    }

    /// Tells all who wait for their turn.
    pub(super) fn excuse_all(&self, error: &ApiError) {
        let mut known = self.lock();
        let waiting: Vec<Key> = known.queue.iter().cloned().collect();
        for key in &waiting {
            self.excuse(&mut known, key, error);
        }
    }

    pub(super) fn complain(&self, error: &ApiError) {
        let outcome = if error.is_of_request() { &self.tally.refused } else { &self.tally.failed };
        outcome.increment(1);
        if let Some(suppressed) = AWAY.allow() {
            tracing::warn!(
                input = %self.input, %error, suppressed,
                "the Kubernetes API server does not tell about Pods; it is asked again, and no line is lost"
            );
        }
    }
}

#[cfg(test)]
impl Pods {
    pub(super) fn len(&self) -> usize {
        self.inner.lock().pods.len()
    }

    /// Makes many entries that nobody watches; gives the bound.
    pub(super) fn fill(&self) -> usize {
        for number in 0..2 * KNOWN {
            let key = Key { namespace: "a".to_owned(), pod: number.to_string(), uid: None };
            self.inner.lock().entry(&key, Instant::now());
        }
        KNOWN
    }
}
