//! Concurrency: how many requests are on their way at once, to each logstore, each project and each endpoint.
//!
//! ```text
//! request --> endpoint --> project --> logstore --> sent        three limiters, entered together or not at all
//!                 ^            ^            ^
//!      no answer, 5xx   project quota   shard quota             each failure counts where it belongs,
//!                                                               everything else counts nowhere
//! ```
//!
//! All three begin with what their destinations' `in_flight` allow together, which is also the most there will be. A
//! quota of one project slows that project, a hot logstore slows itself, an endpoint that does not answer is probed by
//! one request at a time instead of by every destination behind it ([`limiter`] says how). A refusal, such as a
//! logstore that does not exist, slows nobody: it says that the endpoint is well.
//!
//! Nobody who waits elsewhere (between two tries, for the rate) holds a place here.

mod limiter;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::base::metrics::{Gauge, gauge};
use limiter::{Limiter, Result, Turn, Who};

/// Whose fault it was that a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strain {
    /// It was accepted.
    None,
    /// The service answered; something is wrong with the request or with what it is for.
    Other,
    /// No answer, a broken one, or 5xx.
    Endpoint,
    /// A quota of the project, or one that does not say whose it is.
    Project,
    /// A quota of a shard.
    Logstore,
    /// It never got as far as the service, for reasons of our own.
    Unsent,
}

impl Strain {
    /// What that says about endpoint, project and logstore.
    fn results(self) -> [Result; SCOPES] {
        use Result::{Bad, Good, Nothing};
        match self {
            Strain::None => [Good, Good, Good],
            Strain::Other => [Good, Nothing, Nothing],
            Strain::Endpoint => [Bad, Nothing, Nothing],
            Strain::Project => [Good, Bad, Nothing],
            Strain::Logstore => [Good, Nothing, Bad],
            Strain::Unsent => [Nothing; SCOPES],
        }
    }

    /// The limiter that paces a retry, where one does.
    fn scope(self) -> Option<usize> {
        match self {
            Strain::Endpoint => Some(ENDPOINT),
            Strain::Project => Some(1),
            Strain::Logstore => Some(2),
            Strain::None | Strain::Other | Strain::Unsent => None,
        }
    }
}

/// Endpoint, project, logstore.
const SCOPES: usize = 3;
/// The scope whose requests fail by hanging.
const ENDPOINT: usize = 0;
const SCOPE_NAMES: [&str; SCOPES] = ["endpoint", "project", "logstore"];

/// The limiters of a gateway.
#[derive(Default)]
pub struct Concurrency {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    limiters: Vec<Guarded>,
    /// By scope and name.
    by_name: HashMap<(usize, String), usize>,
    /// Requests under way, by destination.
    own: Vec<usize>,
}

struct Guarded {
    limiter: Limiter,
    changed: Arc<Notify>,
    gauge: Gauge,
}

/// One destination's part in its limiters.
#[derive(Clone)]
pub struct Share {
    concurrency: Arc<Concurrency>,
    who: Who,
    at: [usize; SCOPES],
}

/// The right to send one request; give it back with [`Permit::end`].
pub struct Permit<'a> {
    share: &'a Share,
    probes: [bool; SCOPES],
    ended: bool,
}

impl Concurrency {
    /// Takes a destination in, with what it may have in flight.
    pub fn join(self: &Arc<Self>, endpoint: &str, project: &str, logstore: &str, in_flight: usize) -> Share {
        let project = format!("{endpoint}/{project}");
        let logstore = format!("{project}/{logstore}");
        let mut table = self.lock();
        let who = table.own.len() as Who;
        table.own.push(0);
        let mut scope = 0;
        let at = [endpoint.to_owned(), project, logstore].map(|name| {
            let at = table.find_or_make(scope, name);
            if let Some(guarded) = table.limiters.get_mut(at) {
                guarded.limiter.raise(in_flight);
                guarded.gauge.set(guarded.limiter.limit() as f64);
            }
            scope += 1;
            at
        });
        Share { concurrency: self.clone(), who, at }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn count(&mut self, who: Who, change: isize) {
        if let Some(own) = self.own.get_mut(who as usize) {
            *own = own.saturating_add_signed(change);
        }
    }

    fn find_or_make(&mut self, scope: usize, name: String) -> usize {
        if let Some(at) = self.by_name.get(&(scope, name.clone())) {
            return *at;
        }
        let gauge = gauge(
            "sluicegate_request_limit",
            "Requests that may be under way at once; 0 while only probes are sent.",
            &[("scope", SCOPE_NAMES[scope]), ("name", &name)],
        );
        self.limiters.push(Guarded {
            limiter: Limiter::new(scope == ENDPOINT),
            changed: Arc::default(),
            gauge,
        });
        self.by_name.insert((scope, name), self.limiters.len() - 1);
        self.limiters.len() - 1
    }
}

impl Share {
    /// Waits until a request may go.
    pub async fn enter(&self) -> Permit<'_> {
        loop {
            // Asked for while the table is locked, so that no change is missed.
            let (turn, changed) = match self.try_enter() {
                Ok(permit) => return permit,
                Err(wait) => wait,
            };
            match turn {
                Turn::Ended => changed.await,
                Turn::Probe(next) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(next) => {}
                },
            }
        }
    }

    fn try_enter(&self) -> std::result::Result<Permit<'_>, (Turn, tokio::sync::futures::OwnedNotified)> {
        let now = Instant::now();
        let mut table = self.concurrency.lock();
        let own = table.own.get(self.who as usize).copied().unwrap_or(0);
        for at in self.at {
            let Some(guarded) = table.limiters.get(at) else { continue };
            if let Err(turn) = guarded.limiter.may_enter(self.who, own, now) {
                return Err((turn, guarded.changed.clone().notified_owned()));
            }
        }
        let probes = self
            .at
            .map(|at| table.limiters.get_mut(at).is_some_and(|guarded| guarded.limiter.enter(self.who)));
        table.count(self.who, 1);
        Ok(Permit { share: self, probes, ended: false })
    }

    /// Whether what failed so is down to probes: then those set the pace of every retry.
    pub fn is_probing(&self, strain: Strain) -> bool {
        let table = self.concurrency.lock();
        let guarded = strain.scope().and_then(|scope| table.limiters.get(self.at[scope]));
        guarded.is_some_and(|guarded| guarded.limiter.is_in_fallback())
    }
}

impl Permit<'_> {
    /// The request has ended so.
    pub fn end(mut self, strain: Strain) {
        self.give_back(strain);
    }

    fn give_back(&mut self, strain: Strain) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let now = Instant::now();
        let mut table = self.share.concurrency.lock();
        table.count(self.share.who, -1);
        let each = self.share.at.into_iter().zip(self.probes).zip(strain.results());
        for ((at, probe), result) in each {
            let Some(Guarded { limiter, changed, gauge }) = table.limiters.get_mut(at) else { continue };
            limiter.leave(self.share.who, probe, result, now);
            gauge.set(if limiter.is_in_fallback() { 0.0 } else { limiter.limit() as f64 });
            changed.notify_waiters();
        }
    }
}

impl Drop for Permit<'_> {
    /// A request that was given up says nothing.
    fn drop(&mut self) {
        self.give_back(Strain::Unsent);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    async fn request(share: &Share, strain: Strain) {
        share.enter().await.end(strain);
    }

    fn is_free(share: &Share) -> bool {
        share.try_enter().is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_slows_only_what_it_concerns() {
        for (strain, slowed) in [
            (Strain::Endpoint, [true, true, true, false]),
            (Strain::Project, [true, true, false, false]),
            (Strain::Logstore, [true, false, false, false]),
            (Strain::Other, [false; 4]),
            (Strain::Unsent, [false; 4]),
        ] {
            let all = Arc::new(Concurrency::default());
            let shares = [
                all.join("east", "one", "web", 1),
                all.join("east", "one", "db", 1),
                all.join("east", "two", "web", 1),
                all.join("west", "one", "web", 1),
            ];
            // All of them have failed once so, or the newcomers would be let try.
            for _ in 0..9 {
                for (share, _) in shares.iter().zip(slowed).filter(|(_, slowed)| *slowed) {
                    let permit = share.try_enter();
                    if let Ok(permit) = permit {
                        permit.end(strain);
                    }
                }
                if slowed == [false; 4] {
                    request(&shares[0], strain).await;
                }
            }
            for (share, slowed) in shares.iter().zip(slowed) {
                assert_eq!(is_free(share), !slowed, "{strain:?}");
                assert!(!slowed || share.is_probing(strain), "{strain:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_endpoint_gets_one_request_at_a_time_and_comes_back() {
        let all = Arc::new(Concurrency::default());
        let dead = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let (tried, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..50 {
            let share = all.join("east", "p", &format!("store{n}"), 4);
            for _ in 0..4 {
                let (share, dead, tried, done) = (share.clone(), dead.clone(), tried.clone(), done.clone());
                tasks.spawn(async move {
                    loop {
                        let permit = share.enter().await;
                        tried.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        if !dead.load(Ordering::Relaxed) {
                            permit.end(Strain::None);
                            done.fetch_add(1, Ordering::Relaxed);
                            return;
                        }
                        permit.end(Strain::Endpoint);
                        if !share.is_probing(Strain::Endpoint) {
                            tokio::time::sleep(Duration::from_millis(500)).await;
                        }
                    }
                });
            }
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        let settled = tried.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(600)).await;
        let probes = tried.load(Ordering::Relaxed) - settled;
        assert!((10..=25).contains(&probes), "{probes} probes of 200 tasks in ten minutes");
        dead.store(false, Ordering::Relaxed);
        let woken = Instant::now();
        while done.load(Ordering::Relaxed) < 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(woken.elapsed() < Duration::from_secs(63), "{:?}", woken.elapsed());
        while tasks.join_next().await.is_some() {}
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_has_none_under_way_goes_past_the_limit_of_an_endpoint() {
        let all = Arc::new(Concurrency::default());
        let shares = ["web", "db"].map(|logstore| all.join("east", "p", logstore, 2));
        // From four to two, to one.
        for _ in 0..4 + 2 {
            shares[0].try_enter().ok().unwrap().end(Strain::Endpoint);
        }
        let first = shares[0].try_enter().ok().unwrap();
        assert!(!is_free(&shares[0]), "one is under way");
        let other = shares[1].try_enter().ok().unwrap();
        assert!(!is_free(&shares[1]) && !is_free(&shares[0]));
        drop((first, other));
        assert!(is_free(&shares[0]) && is_free(&shares[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_up_frees_its_place() {
        let all = Arc::new(Concurrency::default());
        let share = all.join("east", "p", "l", 1);
        let permit = share.enter().await;
        assert!(!is_free(&share));
        drop(permit);
        assert!(is_free(&share));
    }
}
