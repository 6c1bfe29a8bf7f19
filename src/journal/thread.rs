//! The writer's thread: when to step. Commits wake it, settles may wait a little, failures make it wait longer.

use super::writer::{Next, Writer};
use std::time::{Duration, Instant};

/// Settles may wait this long for a commit to ride with.
pub(super) const LAZY: Duration = Duration::from_millis(100);

impl Writer {
    /// Writes down everything that is still in memory alone, as well as it goes.
    pub(super) fn finish(&mut self) {
        while self.has_work() {
            if matches!(self.step(false), Next::After(_)) {
                return;
            }
        }
        if let Some(head) = self.head.as_mut().filter(|head| head.dirty) {
            // Nothing waits for it: what is lost are settles, which costs duplicates.
            let _ = head.file.sync();
        }
    }

    /// The thread: steps whenever something is due, until the journal is closed.
    pub(super) fn run(mut self) {
        let mut next = Next::Now;
        loop {
            let idle = match next {
                Next::Now => false,
                _ => match self.wait(next) {
                    Some(idle) => idle,
                    None => break,
                },
            };
            next = self.step(idle);
        }
        self.finish();
        self.shared.files.release();
    }

    /// Waits until a step is due; None when the journal is to be closed, else whether nothing came.
    fn wait(&self, next: Next) -> Option<bool> {
        let shared = &self.shared;
        let mut state = shared.lock();
        let deadline = match next {
            Next::After(wait) | Next::Within(wait) => Some(Instant::now() + wait),
            Next::Now | Next::Whenever => None,
        };
        let failed = matches!(next, Next::After(_));
        let had_lazy = state.has_lazy();
        loop {
            if state.closing {
                return None;
            }
            if !failed && (!state.waiting.is_empty() || state.pressed) {
                return Some(false);
            }
            let now = Instant::now();
            match deadline {
                Some(deadline) if deadline <= now => return Some(!had_lazy && !failed),
                Some(deadline) => {
                    state = match shared.wake.wait_timeout(state, deadline - now) {
                        Ok((state, _)) => state,
                        Err(poisoned) => poisoned.into_inner().0,
                    };
                }
                None => {
                    if state.has_lazy() {
                        drop(state);
                        return self.wait(Next::Within(LAZY));
                    }
                    state = match shared.wake.wait(state) {
                        Ok(state) => state,
                        Err(poisoned) => poisoned.into_inner(),
                    };
                }
            }
        }
    }
}
