//! The threads that scan: the store's own, and less eager than those that take logs in.
//!
//! Each scan has a thread, up to [`SCANS`] of them; more scans wait. Only so many threads work at the same moment as
//! leave a core free for what comes in: before each pack a thread takes its turn, in the order of asking, so that a
//! short search gets through beside a long one. The threads are niced besides, since the free core is the kernel's choice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Scans at the same time.
pub(super) const SCANS: usize = 8;
/// Of them, those that may take long: searches, histograms, analyses. The others are for who follows a shard, or wants
/// a context, and is done soon.
pub(super) const LONG: usize = 6;
/// Of those, analyses, which take longest, and memory and disk besides.
pub(super) const ANALYSES: usize = 3;
/// The kernel's scale goes to 19; 10 is about a tenth of what a thread of 0 gets beside it.
const NICE: i32 = 10;

pub(super) type Task = Box<dyn FnOnce() + Send>;

pub(super) struct Threads {
    tasks: SyncSender<Task>,
    pub(super) turns: Arc<Turns>,
}

impl Threads {
    pub(super) fn start() -> std::io::Result<Threads> {
        let (tasks, waiting) = sync_channel::<Task>(SCANS);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..SCANS {
            let waiting = waiting.clone();
            std::thread::Builder::new().name("store-scan".into()).spawn(move || run(&waiting))?;
        }
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Ok(Threads { tasks, turns: Arc::new(Turns::new(cores.saturating_sub(1).max(1))) })
    }

    /// Hands a task to a thread. Who calls holds one of [`SCANS`] permits, so that there is room.
    pub(super) fn run(&self, task: Task) -> bool {
        self.tasks.try_send(task).is_ok()
    }
}

/// The threads end when nobody can send them anything any more.
fn run(waiting: &Mutex<Receiver<Task>>) {
    yield_to_others();
    loop {
        let task = waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).recv();
        match task {
            // Who asked hears that it failed, since its answer is dropped; the others keep their thread.
            Ok(task) => drop(catch_unwind(AssertUnwindSafe(task))),
            Err(_) => return,
        }
    }
}

/// Makes this thread less eager; on Linux the number is a thread's own.
pub(super) fn yield_to_others() {
    // Where it is not allowed, the turns still leave a core.
    let _ = rustix::process::setpriority_process(None, NICE);
}

/// A semaphore that is fair: who asks first works first.
pub(super) struct Turns {
    at_once: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    working: usize,
    /// The number the next one to ask gets, and the number of who is next to work.
    last: u64,
    next: u64,
}

pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new(at_once: usize) -> Turns {
        let state = Mutex::new(State { working: 0, last: 0, next: 0 });
        Turns { at_once, state, changed: Condvar::new() }
    }

    /// How many may work at the same time.
    pub(super) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Waits for a turn, which lasts until it is dropped.
    pub(super) fn take(&self) -> Turn<'_> {
        let mut state = self.state();
        let mine = state.last;
        state.last += 1;
        while state.next != mine || state.working >= self.at_once {
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        state.next += 1;
        state.working += 1;
        if state.next != state.last {
            self.changed.notify_all();
        }
        Turn(self)
    }

    /// A turn when nobody else wants one; `None` when somebody does.
    pub(super) fn take_spare(&self) -> Option<Turn<'_>> {
        let mut state = self.state();
        if state.working > 0 || state.next != state.last {
            return None;
        }
        state.last += 1;
        state.next += 1;
        state.working += 1;
        Some(Turn(self))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.working -= 1;
        if state.next != state.last {
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn a_task_that_panics_takes_no_thread_along() {
        let threads = Threads::start().unwrap();
        let (answer, answers) = sync_channel(1);
        for number in 0..3 * SCANS {
            let answer = answer.clone();
            let task = Box::new(move || {
                answer.send(number).unwrap();
                assert!(number >= 2 * SCANS, "this is meant to happen");
            });
            assert!(threads.run(task));
            assert_eq!(answers.recv(), Ok(number));
        }
    }

    #[test]
    fn no_more_work_at_once_than_there_are_turns_and_all_get_theirs() {
        let (turns, working, most) = (Turns::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _turn = turns.take();
                        most.fetch_max(working.fetch_add(1, SeqCst) + 1, SeqCst);
                        std::thread::yield_now();
                        working.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
        assert_eq!(working.load(SeqCst), 0);
        assert!(most.load(SeqCst) <= 2);
        let spare = turns.take_spare();
        assert!(spare.is_some() && turns.take_spare().is_none());
        drop((spare, turns.take()));
        assert!(turns.take_spare().is_some());
    }
}
