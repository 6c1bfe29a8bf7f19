//! The limiter against what it promises, and against any order of events.

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
