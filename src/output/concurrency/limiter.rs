//! One limiter: how many requests may be on their way at once, found by trying (additive increase, multiplicative
//! decrease). Pure: it is told the time and who asks, and it waits for nobody.
//!
//! ```text
//!            no failure: +1, or twice as many below half of where trouble began
//!          .--------------------------------------------------------------------.
//!          v                                                                    |
//!      [ window of results ] --- at most 10 % failed: as it is ----------------'|
//!          |          '--------- at most 40 %: x 0.8 ---------------------------'|
//!          |          '--------- more: x 0.5, never below 1 --------------------'
//!          | at 1, and nothing but failures
//!          v
//!      [ fallback ] one request at a time: a probe after 1 s, doubled to 60 s; any success leaves it
//! ```
//!
//! A window closes after ten results (fewer while few requests are allowed), after as many failures in a row as
//! requests are allowed, or at the first result more than 3 s after it was opened. The shares are Logtail's; where it
//! keeps half of a region's concurrency however dead the region is, this goes down to one probe.
//!
//! What is wrong may be wrong for one of those who share the limiter alone. So in fallback, who has not failed yet may
//! try once whatever the probes say; and where requests fail by hanging, everybody may have one under way whatever the
//! others have.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::backoff::Backoff;

const WINDOW_RESULTS: usize = 10;
const WINDOW: Duration = Duration::from_secs(3);
const FIRST_PROBE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whoever shares a limiter with others.
pub(super) type Who = u64;

/// What a request said about what a limiter guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Result {
    Good,
    Bad,
    /// Something else was wrong with it, or it was given up.
    Nothing,
}

/// Why a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// For a request that is under way to end.
    Ended,
    /// For the next probe, or for somebody else's success.
    Probe(Instant),
}

#[derive(Debug)]
pub(super) struct Limiter {
    /// Never more than this.
    most: usize,
    limit: usize,
    busy: usize,
    /// Who has none under way may have one.
    one_each: bool,
    opened: Option<Instant>,
    good: usize,
    bad: usize,
    /// Below this it grows by doubling: half of what was allowed when trouble began.
    threshold: usize,
    shrinking: bool,
    fallback: Option<Fallback>,
}

#[derive(Debug)]
struct Fallback {
    pauses: Backoff,
    next: Instant,
    probing: bool,
    failed: HashSet<Who>,
}

impl Limiter {
    pub(super) fn new(one_each: bool) -> Limiter {
        Limiter {
            one_each,
            most: 0,
            limit: 0,
            busy: 0,
            opened: None,
            good: 0,
            bad: 0,
            threshold: 0,
            shrinking: false,
            fallback: None,
        }
    }

    /// Makes room for another one that brings so many requests.
    pub(super) fn raise(&mut self, by: usize) {
        if self.limit == self.most {
            self.limit += by;
        }
        self.most += by;
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn is_in_fallback(&self) -> bool {
        self.fallback.is_some()
    }

    /// Whether a request may go now, of somebody who has so many under way.
    pub(super) fn may_enter(&self, who: Who, own: usize, now: Instant) -> std::result::Result<(), Turn> {
        match &self.fallback {
            None if self.busy < self.limit || self.one_each && own == 0 => Ok(()),
            None => Err(Turn::Ended),
            Some(fallback) if !fallback.failed.contains(&who) => {
                if own == 0 {
                    Ok(())
                } else {
                    Err(Turn::Ended)
                }
            }
            Some(fallback) if fallback.probing => Err(Turn::Ended),
            Some(fallback) if now < fallback.next => Err(Turn::Probe(fallback.next)),
            Some(_) => Ok(()),
        }
    }

    /// Lets a request go that [`Limiter::may_enter`] has let; says whether it is a probe.
    pub(super) fn enter(&mut self, who: Who) -> bool {
        self.busy += 1;
        match &mut self.fallback {
            Some(fallback) if fallback.failed.contains(&who) => {
                fallback.probing = true;
                true
            }
            _ => false,
        }
    }

    /// A request has ended. `probe` is what [`Limiter::enter`] said of it.
    pub(super) fn leave(&mut self, who: Who, probe: bool, result: Result, now: Instant) {
        self.busy = self.busy.saturating_sub(1);
        if let Some(fallback) = &mut self.fallback {
            if probe {
                fallback.probing = false;
            }
            match result {
                Result::Nothing => {}
                Result::Good => {
                    self.fallback = None;
                    self.note(true, who, now);
                }
                Result::Bad => {
                    fallback.failed.insert(who);
                    if probe {
                        fallback.next = now + fallback.pauses.next_wait();
                    }
                }
            }
            return;
        }
        match result {
            Result::Nothing => {}
            Result::Good => self.note(true, who, now),
            Result::Bad => self.note(false, who, now),
        }
    }

    fn note(&mut self, good: bool, who: Who, now: Instant) {
        let opened = *self.opened.get_or_insert(now);
        if good {
            self.good += 1;
        } else {
            self.bad += 1;
        }
        let enough = self.good + self.bad >= WINDOW_RESULTS.min(2 * self.limit)
            || self.good == 0 && self.bad >= self.limit
            || now.duration_since(opened) > WINDOW;
        if enough {
            self.close(who, now);
        }
    }

    fn close(&mut self, who: Who, now: Instant) {
        let (good, bad) = (self.good, self.bad);
        (self.opened, self.good, self.bad) = (None, 0, 0);
        match bad * 100 / (good + bad).max(1) {
            0 if bad == 0 => self.grow(),
            0..=10 => {}
            11..=40 => self.shrink(self.limit * 4 / 5),
            _ if self.limit <= 1 && good == 0 => self.fall_back(who, now),
            _ => self.shrink(self.limit / 2),
        }
    }

    fn grow(&mut self) {
        self.shrinking = false;
        let next =
            if self.limit < self.threshold { (self.limit * 2).min(self.threshold) } else { self.limit + 1 };
        self.limit = next.min(self.most);
    }

    fn shrink(&mut self, to: usize) {
        if !std::mem::replace(&mut self.shrinking, true) {
            self.threshold = (self.limit / 2).max(1);
        }
        self.limit = to.max(1);
    }

    fn fall_back(&mut self, who: Who, now: Instant) {
        self.shrink(1);
        let mut pauses = Backoff::new(FIRST_PROBE, LONGEST_PAUSE);
        let next = now + pauses.next_wait();
        self.fallback = Some(Fallback { pauses, next, probing: false, failed: HashSet::from([who]) });
    }
}

#[cfg(test)]
mod tests;
