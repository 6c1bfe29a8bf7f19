//! Long searches: a time range in slices, so that none takes longer than a service gives it, and a line that says how far
//! it is, for who waits at a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::time::show;

/// Slices of a range to begin with, and the least of one in seconds.
const SLICES: i64 = 64;
const LEAST: i64 = 60;
/// A slice that is answered so soon may be longer, one that takes so long should be shorter.
const SOON: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_secs(3);
/// Who waits less need not be told.
const PATIENCE: Duration = Duration::from_secs(1);
const REDRAWN: Duration = Duration::from_millis(200);
const BAR: i64 = 30;

/// A range of Unix seconds, cut as the answers come.
pub(super) struct Slices {
    at: i64,
    to: i64,
    width: i64,
}

impl Slices {
    pub(super) fn new(from: i64, to: i64) -> Slices {
        Slices { at: from, to, width: (to.saturating_sub(from) / SLICES).max(LEAST) }
    }

    /// The range in one piece.
    pub(super) fn whole(from: i64, to: i64) -> Slices {
        Slices { at: from, to, width: i64::MAX }
    }

    /// The last one took so long.
    pub(super) fn took(&mut self, time: Duration) {
        if time < SOON {
            self.width = self.width.saturating_mul(2);
        } else if time > LATE {
            self.width = (self.width / 2).max(LEAST);
        }
    }
}

impl Iterator for Slices {
    type Item = (i64, i64);

    fn next(&mut self) -> Option<(i64, i64)> {
        let from = self.at;
        self.at = from.saturating_add(self.width).min(self.to);
        (from < self.to).then_some((from, self.at))
    }
}

/// The line on standard error.
pub(super) struct Progress {
    range: (i64, i64),
    started: Instant,
    found: usize,
    is_shown: bool,
    is_drawn: bool,
}

impl Progress {
    pub(super) fn new(from: i64, to: i64) -> Progress {
        let is_shown = std::io::stderr().is_terminal();
        Progress { range: (from, to), started: Instant::now(), found: 0, is_shown, is_drawn: false }
    }

    /// Waits for an answer about what begins `at`.
    pub(super) async fn watch<T>(&mut self, at: i64, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        loop {
            if let Ok(done) = tokio::time::timeout(REDRAWN, &mut answer).await {
                return done;
            }
            if self.is_shown && self.started.elapsed() >= PATIENCE {
                self.draw(at);
            }
        }
    }

    pub(super) fn found(&mut self, records: usize) {
        self.found += records;
    }

    /// Takes the line away, before something is printed and at the end.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn draw(&mut self, at: i64) {
        let (bar, percent) = bar(self.range, at);
        let seconds = self.started.elapsed().as_secs();
        let line = format!("\r\x1b[K[{bar}] {percent}%  {}  {} found  {seconds} s", show(at), self.found);
        let _ = write!(std::io::stderr(), "{line}");
        self.is_drawn = true;
    }
}

fn bar((from, to): (i64, i64), at: i64) -> (String, i64) {
    let (done, all) = (at.saturating_sub(from).max(0), to.saturating_sub(from).max(1));
    let part =
        |of: i64| (i128::from(done) * i128::from(of) / i128::from(all)).clamp(0, i128::from(of)) as i64;
    let full = part(BAR) as usize;
    (format!("{}{}", "#".repeat(full), "-".repeat(BAR as usize - full)), part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_range_and_follow_the_pace() {
        for time in [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(60)] {
            let (mut slices, mut at, mut count) = (Slices::new(100, 1_000_000), 100, 0);
            while let Some((from, to)) = slices.next() {
                assert_eq!(from, at);
                assert!(to > from);
                (at, count) = (to, count + 1);
                slices.took(time);
            }
            assert_eq!(at, 1_000_000);
            assert!(if time.is_zero() { count <= 7 } else { count >= 64 }, "{count}");
        }
        assert_eq!(Slices::whole(5, 9).collect::<Vec<_>>(), [(5, 9)]);
        assert_eq!(Slices::new(5, 5).next(), None);
        assert_eq!(Slices::new(0, i64::MAX).take(100).last().map(|last| last.1), Some(i64::MAX));
    }

    #[test]
    fn the_bar_says_how_far_it_is() {
        assert_eq!(bar((0, 100), 50), (format!("{}{}", "#".repeat(15), "-".repeat(15)), 50));
        assert_eq!(bar((0, 100), 0).1, 0);
        assert_eq!(bar((0, 0), 7).1, 100);
        assert_eq!(bar((i64::MIN, i64::MAX), i64::MAX).1, 100);
    }
}
