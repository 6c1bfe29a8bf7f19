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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(most: usize) -> Limiter {
        let mut limiter = Limiter::new(false);
        limiter.raise(most);
        limiter
    }

    /// One request of `who` from its start to its end.
    fn request(limiter: &mut Limiter, who: Who, result: Result, now: Instant) {
        limiter.may_enter(who, 0, now).unwrap();
        let probe = limiter.enter(who);
        limiter.leave(who, probe, result, now);
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn goes_down_to_probes_and_comes_back_soon() {
        let mut limiter = of(16);
        let mut now = Instant::now();
        let mut failures = 0;
        while !limiter.is_in_fallback() {
            request(&mut limiter, 1, Result::Bad, now);
            failures += 1;
        }
        assert_eq!(failures, 10 + 8 + 4 + 2 + 1, "16, 8, 4, 2, 1: the first window has ten");
        // Each probe waits twice as long as the one before, up to a minute; jitter takes up to half.
        for pause in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let Err(Turn::Probe(next)) = limiter.may_enter(1, 0, now) else { panic!("not paused") };
            let wait = next - now;
            assert!(wait <= seconds(pause) && wait >= seconds(pause) / 2, "{wait:?} of {pause}");
            now = next;
            limiter.may_enter(1, 0, now).unwrap();
            assert!(limiter.enter(1));
            assert_eq!(limiter.may_enter(1, 0, now + seconds(100)), Err(Turn::Ended), "one at a time");
            limiter.leave(1, true, Result::Bad, now);
        }
        now += seconds(60);
        let mut successes = 0;
        while limiter.limit() < 16 {
            request(&mut limiter, 1, Result::Good, now);
            successes += 1;
        }
        assert!(!limiter.is_in_fallback());
        assert_eq!(successes, 2 + 4 + 8 + 8 * 10, "1, 2, 4, 8 by doubling, then one more every ten");
    }

    #[test]
    fn a_few_failures_shrink_it_a_little() {
        let mut limiter = of(10);
        let now = Instant::now();
        let mut window = |bad: usize| {
            for n in 0..10 {
                request(&mut limiter, 1, if n < bad { Result::Bad } else { Result::Good }, now);
            }
            limiter.limit()
        };
        assert_eq!(window(1), 10);
        assert_eq!(window(4), 8);
        assert_eq!(window(0), 9);
        assert_eq!(window(5), 4);
    }

    #[test]
    fn a_window_ends_with_its_time() {
        let mut limiter = of(10);
        let now = Instant::now();
        request(&mut limiter, 1, Result::Bad, now);
        request(&mut limiter, 1, Result::Good, now + seconds(2));
        assert_eq!(limiter.limit(), 10);
        request(&mut limiter, 1, Result::Good, now + seconds(4));
        assert_eq!(limiter.limit(), 8);
    }

    #[test]
    fn one_that_fails_alone_holds_back_nobody() {
        let mut limiter = of(1);
        let now = Instant::now();
        request(&mut limiter, 1, Result::Bad, now);
        assert!(limiter.is_in_fallback());
        assert!(matches!(limiter.may_enter(1, 0, now), Err(Turn::Probe(_))));
        // Another one tries at once; its failure does not postpone the probe.
        let Err(Turn::Probe(next)) = limiter.may_enter(1, 0, now) else { panic!() };
        request(&mut limiter, 2, Result::Bad, now);
        assert_eq!(limiter.may_enter(1, 0, now), Err(Turn::Probe(next)));
        assert_eq!(limiter.may_enter(2, 0, now), Err(Turn::Probe(next)));
        request(&mut limiter, 3, Result::Good, now);
        assert!(!limiter.is_in_fallback());
        limiter.may_enter(1, 0, now).unwrap();
    }

    #[test]
    fn who_hangs_leaves_the_others_a_place() {
        let now = Instant::now();
        for (one_each, others) in [(true, Ok(())), (false, Err(Turn::Ended))] {
            let mut limiter = Limiter::new(one_each);
            limiter.raise(2);
            limiter.enter(1);
            limiter.enter(1);
            assert_eq!(limiter.may_enter(1, 2, now), Err(Turn::Ended));
            assert_eq!(limiter.may_enter(2, 0, now), others);
            assert_eq!(limiter.may_enter(2, 1, now), Err(Turn::Ended));
        }
        // Nor does a probe that hangs.
        let mut limiter = of(1);
        request(&mut limiter, 1, Result::Bad, now);
        assert!(limiter.enter(1) && limiter.may_enter(1, 1, now).is_err());
        limiter.may_enter(2, 0, now).unwrap();
        assert!(!limiter.enter(2));
        assert_eq!(limiter.may_enter(2, 1, now), Err(Turn::Ended), "once");
    }

    #[test]
    fn a_probe_that_says_nothing_lets_the_next_one_try() {
        let mut limiter = of(1);
        let now = Instant::now();
        request(&mut limiter, 1, Result::Bad, now);
        request(&mut limiter, 2, Result::Nothing, now);
        assert!(limiter.is_in_fallback());
        limiter.may_enter(2, 0, now).unwrap();
    }

    #[test]
    fn late_failures_of_before_postpone_no_probe() {
        let mut limiter = of(2);
        let now = Instant::now();
        for _ in 0..2 {
            limiter.may_enter(1, 0, now).unwrap();
            assert!(!limiter.enter(1));
        }
        for _ in 0..2 {
            limiter.leave(1, false, Result::Bad, now);
        }
        request(&mut limiter, 1, Result::Bad, now);
        let Err(Turn::Probe(next)) = limiter.may_enter(1, 0, now) else { panic!() };
        limiter.leave(2, false, Result::Bad, next + seconds(9));
        limiter.may_enter(1, 0, next).unwrap();
    }

    proptest! {
        /// Whatever happens: never more requests than allowed, the limit within its bounds, and a success always opens it.
        #[test]
        fn keeps_its_bounds(
            most in 1usize..40,
            one_each: bool,
            steps in prop::collection::vec((0u64..4, 0u8..4, 0u64..4_000), 1..300),
        ) {
            let mut limiter = Limiter::new(one_each);
            limiter.raise(most);
            let mut now = Instant::now();
            let mut flying: Vec<(Who, bool)> = Vec::new();
            for (who, what, wait) in steps {
                now += Duration::from_millis(wait);
                if what == 3 || flying.is_empty() {
                    let own = flying.iter().filter(|(other, _)| *other == who).count();
                    if limiter.may_enter(who, own, now).is_ok() {
                        let allowed = flying.len() < limiter.limit() || one_each && own == 0;
                        prop_assert!(allowed || limiter.is_in_fallback());
                        let probe = limiter.enter(who);
                        prop_assert!(!probe || limiter.is_in_fallback());
                        prop_assert!(probe || !limiter.is_in_fallback() || own == 0);
                        flying.push((who, probe));
                    }
                } else {
                    let (who, probe) = flying.swap_remove(wait as usize % flying.len());
                    let result = [Result::Good, Result::Bad, Result::Nothing][usize::from(what)];
                    limiter.leave(who, probe, result, now);
                    prop_assert!(result != Result::Good || !limiter.is_in_fallback());
                }
                prop_assert!((1..=most).contains(&limiter.limit()));
                prop_assert_eq!(limiter.busy, flying.len());
            }
            // Who waits is let in within a minute once nothing is under way any more.
            for (who, probe) in flying.drain(..) {
                limiter.leave(who, probe, Result::Nothing, now);
            }
            limiter.may_enter(1, 0, now + LONGEST_PAUSE).unwrap();
        }
    }
}
