//! Keys that are renewed: one holder for all who ask, and one task at most that asks the source.
//!
//! ```text
//! fetched ------------------------------ stale ----------- dead
//!    handed out                            | handed out,     | not handed out: who asks waits for the source
//!                                          | renewed behind  |
//! ```
//!
//! A key with an end is stale a quarter of an hour before it (a third of its life, if that is less), a little earlier here
//! and there so that a fleet does not ask at once. A key from a file is stale after some seconds, and never dead. While an
//! old key lives, its own source is asked and no other: a chain must not slip to another identity because one answer failed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::http::Http;
use super::source::{Fetched, fetch};
use super::{AccessKey, NoKey};
use crate::base::backoff::Backoff;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::config::plan::{CredentialsPlan, TransportPlan};

/// The longest time ahead of a key's end.
const AHEAD: Duration = Duration::from_secs(15 * 60);
/// How often a file is read again.
const REREAD: Duration = Duration::from_secs(5);
/// A key counts as dead so long before its end: a request takes its time to arrive.
const MARGIN: Duration = Duration::from_secs(10);
/// Between two requests for another key because the service refused the one there is.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// All of one try, over all sources.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const COMPLAINT: Duration = Duration::from_secs(60);

pub struct Renewal {
    name: String,
    plan: CredentialsPlan,
    http: Http,
    held: Mutex<Option<Held>>,
    /// Whoever has it asks the source.
    work: Arc<tokio::sync::Mutex<Work>>,
    complaint: LogLimit,
    renewed: Counter,
    failed: Counter,
}

#[derive(Clone)]
struct Held {
    key: Arc<AccessKey>,
    /// Which of several sources gave it.
    source: usize,
    stale: Option<Instant>,
    dead: Option<Instant>,
}

struct Work {
    backoff: Backoff,
    /// After a failure.
    not_before: Option<Instant>,
    last: NoKey,
    refused: Option<Instant>,
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal").field("name", &self.name).field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Renewal {
    pub(super) fn new(name: &str, plan: CredentialsPlan, transport: TransportPlan) -> Renewal {
        let count = |outcome| {
            let help = "Times that the keys of a destination were asked for at their source, by outcome.";
            counter("sluicegate_key_renewals_total", help, &[("destination", name), ("outcome", outcome)])
        };
        Renewal {
            name: name.to_owned(),
            plan,
            http: Http::new(transport),
            held: Mutex::new(None),
            work: Arc::new(tokio::sync::Mutex::new(Work {
                backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
                not_before: None,
                last: NoKey { tried: Vec::new() },
                refused: None,
            })),
            complaint: LogLimit::new(COMPLAINT),
            renewed: count("renewed"),
            failed: count("failed"),
        }
    }

    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<AccessKey>, NoKey> {
        let now = Instant::now();
        if let Some(held) = self.alive(now) {
            if held.stale.is_some_and(|stale| stale <= now) {
                self.renew_behind();
            }
            return Ok(held.key);
        }
        let mut work = self.work.lock().await;
        // Whoever had it before may have succeeded.
        if let Some(held) = self.alive(Instant::now()) {
            return Ok(held.key);
        }
        if work.not_before.is_some_and(|moment| Instant::now() < moment) {
            return Err(work.last.clone());
        }
        self.renew(&mut work).await
    }

    pub(super) async fn renew_refused(&self, refused: &AccessKey) -> bool {
        let mut work = self.work.lock().await;
        if let Some(held) = self.alive(Instant::now())
            && *held.key != *refused
        {
            return true;
        }
        if work.refused.is_some_and(|before| before.elapsed() < REFUSED_PAUSE) {
            return false;
        }
        work.refused = Some(Instant::now());
        match self.renew(&mut work).await {
            Ok(key) => *key != *refused,
            // Its source has no key any more: that is no slip to another identity, but the next one's turn.
            Err(_) => self.replace(&mut work).await,
        }
    }

    /// Asks all sources instead of the one whose key is held; true when one has a key. Else the old one is held on to.
    async fn replace(&self, work: &mut Work) -> bool {
        let Some(old) = self.held().take() else { return false };
        let found = self.renew(work).await.is_ok();
        if !found {
            *self.held() = Some(old);
        }
        found
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self, now: Instant) -> Option<Held> {
        let held = self.held();
        held.as_ref().filter(|held| held.dead.is_none_or(|dead| now < dead)).cloned()
    }

    /// Renews in a task of its own, unless that is going on or was tried just now.
    fn renew_behind(self: &Arc<Self>) {
        let Ok(mut work) = self.work.clone().try_lock_owned() else { return };
        if work.not_before.is_some_and(|moment| Instant::now() < moment) {
            return;
        }
        let renewal = self.clone();
        tokio::spawn(async move {
            // Its outcome shows in what is held.
            let _ = renewal.renew(&mut work).await;
        });
    }

    async fn renew(&self, work: &mut Work) -> Result<Arc<AccessKey>, NoKey> {
        let old = self.alive(Instant::now());
        let asked = fetch(&self.plan, &self.http, old.as_ref().map(|held| held.source));
        let outcome = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            let why = format!("no answer within {PATIENCE:?}");
            Err(NoKey { tried: vec![("all sources".to_owned(), why)] })
        });
        match outcome {
            Ok((source, fetched)) => {
                let failed = work.not_before.take().is_some();
                work.backoff.reset();
                self.renewed.increment(1);
                if failed || old.is_none() {
                    tracing::info!(destination = %self.name, "keys come from {}", fetched.from);
                }
                Ok(self.hold(source, fetched))
            }
            Err(why) => {
                work.not_before = Some(Instant::now() + work.backoff.next_wait());
                work.last = why.clone();
                self.failed.increment(1);
                // Who asks without a key that lives hears of it and tells; behind a living one nobody hears.
                if old.is_some()
                    && let Some(suppressed) = self.complaint.allow()
                {
                    tracing::warn!(destination = %self.name, suppressed,
                        "keys are not renewed, and the old ones are used while they live: {why}");
                }
                Err(why)
            }
        }
    }

    fn hold(&self, source: usize, fetched: Fetched) -> Arc<AccessKey> {
        let now = Instant::now();
        let key = Arc::new(fetched.key);
        let mut held = self.held();
        // The same key goes on being the same one, for whoever compares by address.
        let key = match held.as_ref() {
            Some(before) if before.key == key => before.key.clone(),
            _ => key,
        };
        let (mut stale, mut dead) = (None, None);
        if let Some(life) = fetched.life {
            let ahead = AHEAD.min(life / 3);
            let ahead = (ahead + ahead.mul_f64(0.2 * chance())).min(life);
            stale = Some(now + life - ahead);
            dead = Some(now + life - MARGIN.min(life / 10));
        }
        if fetched.reread {
            let again = now + REREAD;
            stale = Some(stale.map_or(again, |stale| stale.min(again)));
        }
        *held = Some(Held { key: key.clone(), source, stale, dead });
        key
    }
}

#[cfg(test)]
impl Renewal {
    /// When a key will be stale and dead.
    pub(super) fn hold_for_test(&self, fetched: Fetched) -> (Instant, Instant) {
        self.hold(0, fetched);
        let held = self.alive(Instant::now()).unwrap();
        (held.stale.unwrap(), held.dead.unwrap())
    }
}

/// Between 0 and 1.
fn chance() -> f64 {
    let mut random = [0u8; 4];
    // Without entropy a fleet renews at once, which still works.
    let _ = getrandom::fill(&mut random);
    f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX)
}
