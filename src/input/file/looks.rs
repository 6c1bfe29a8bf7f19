//! Looks at files that wait, where blocking is allowed: a file system that does not answer holds nobody but who asks it.
//!
//! ```text
//! task, task, task ... -> jobs -> one blocking thread, which takes all there are in one turn -> back to each task
//! ```
//!
//! Thousands of idle files look every few seconds each, mostly at the same moments, and a look is a system call or two.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Looks(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// One for each file at most.
    jobs: Vec<Job>,
    is_running: bool,
}

impl Looks {
    /// What `look` gives, once its turn came; an error when it failed.
    pub(super) fn push<T: Send + 'static>(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        let mut queue = self.lock();
        queue.jobs.push(Box::new(move || {
            // Whoever asked may have gone.
            let _ = tell.send(look());
        }));
        if !std::mem::replace(&mut queue.is_running, true) {
            let looks = self.clone();
            tasks.spawn_blocking(move || looks.run());
        }
        told
    }

    fn run(&self) {
        while let Some(jobs) = self.next() {
            for job in jobs {
                // The others go on; it is noticed by whoever asked.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        }
    }

    fn next(&self) -> Option<Vec<Job>> {
        let mut queue = self.lock();
        queue.is_running = !queue.jobs.is_empty();
        queue.is_running.then(|| std::mem::take(&mut queue.jobs))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_look_that_hangs_does_not_hold_the_runtime() {
        let (looks, tasks) = (Arc::<Looks>::default(), TaskTracker::new());
        let (answer, answered) = mpsc::sync_channel::<()>(1);
        let (begun, has_begun) = oneshot::channel();
        let hanging = looks.push(&tasks, move || {
            let _ = begun.send(());
            answered.recv().unwrap();
            1
        });
        // There is one worker, and it goes on.
        has_begun.await.unwrap();
        let next = looks.push(&tasks, || 2);
        tokio::task::yield_now().await;
        answer.send(()).unwrap();
        assert_eq!((hanging.await, next.await), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn what_waits_is_done_in_one_turn_and_a_failure_is_its_own() {
        let (looks, tasks) = (Arc::<Looks>::default(), TaskTracker::new());
        let (answer, answered) = mpsc::sync_channel::<()>(1);
        let first = looks.push(&tasks, move || answered.recv().unwrap());
        let failing = looks.push(&tasks, || panic!("a look that fails, as this test wants it"));
        let many: Vec<_> = (0..1_000).map(|_| looks.push(&tasks, || std::thread::current().id())).collect();
        answer.send(()).unwrap();
        first.await.unwrap();
        assert!(failing.await.is_err());
        let mut threads = HashSet::new();
        for one in many {
            threads.insert(one.await.unwrap());
        }
        assert_eq!(threads.len(), 1);
        tasks.close();
        tasks.wait().await;
        assert_eq!(looks.push(&tasks, || 3).await, Ok(3));
    }
}
