//! The task that follows one container: it waits, for room, for its turn and for new lines, and lets its [`Reader`] work
//! where blocking is allowed.
//!
//! A container whose records find no room is not read, and holds no turn and no bytes meanwhile; its files are still looked
//! at, so that what is rotated is opened before it is removed. Turns go round in the order they were asked for, a block
//! each, so that one noisy container delays no other for longer than that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::reader::{BLOCK, Reader, Step};
use crate::base::log_limit::LogLimit;
use crate::base::shutdown::Stop;
use crate::base::signal::Signal;
use crate::input::budget::Grant;
use crate::input::follow::FileError;
use crate::journal::Receipt;

/// Blocks of one container that may be on their way to the disk.
const WINDOW: usize = 4;
/// What has just come is followed by more: a pause lets it gather.
const PAUSE: Duration = Duration::from_millis(20);
/// While nothing can be stored, files are looked at this often at least, and at most.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(20));

static FAILED: LogLimit = LogLimit::new(Duration::from_secs(10));

/// Blocks that were read and are not known to be stored.
type Window = VecDeque<(Receipt, Grant)>;

/// Follows a container until it is removed or the gateway stops.
pub(super) async fn follow(shared: Arc<Shared>, mut reader: Box<Reader>, from_end: bool, stop: Stop) {
    let following = async {
        let mut lag = Lag { shared: &shared, bytes: 0 };
        while let Err(error) = reader.resume(from_end) {
            failed(&shared, &error).await;
        }
        let waker = Arc::new(Notify::new());
        let mut window = Window::new();
        let mut is_first = true;
        loop {
            let mut grant = room(&shared, &mut reader, &waker, &mut window, is_first).await;
            let Ok(_turn) = shared.turns.acquire().await else { return };
            let stepped = stop
                .tasks
                .spawn_blocking(move || {
                    let step = reader.step(Instant::now());
                    (reader, step)
                })
                .await;
            drop(_turn);
            let step = match stepped {
                Ok((back, step)) => {
                    reader = back;
                    step
                }
                Err(error) => {
                    tracing::error!(%error, "reading a container's log failed; it begins again at its position");
                    return;
                }
            };
            match reader.sink.batcher.take_receipt() {
                Some((receipt, made)) => {
                    is_first = false;
                    grant.shrink(reader.read.max(made));
                    window.push_back((receipt, grant));
                }
                // Now, and not when the container has something to say again.
                None => drop(grant),
            }
            lag.set(reader.chain.lag());
            match step {
                Ok(Step::More) => {
                    while window.len() > WINDOW || window.front().is_some_and(|(first, _)| first.is_stored())
                    {
                        stored_first(&mut window).await;
                    }
                }
                Ok(Step::Idle) => idle(&shared, &mut reader, &waker, &mut window).await,
                Ok(Step::Gone) => {
                    while !window.is_empty() {
                        stored_first(&mut window).await;
                    }
                    shared.positions.forget(reader.key());
                    return;
                }
                Err(error) => failed(&shared, &error).await,
            }
        }
    };
    // What the reader holds is in the journal or will be read again: it can be left anywhere but inside a step, which goes
    // on as a task of its own.
    tokio::select! {
        biased;
        () = stop.draining.cancelled() => {}
        () = following => {}
    }
}

/// Waits until the journal has room for what is to come, and the budget for a block. What is stored meanwhile gives its
/// bytes back: containers that wait for the budget must not hold what they wait for.
async fn room(
    shared: &Shared,
    reader: &mut Reader,
    waker: &Arc<Notify>,
    window: &mut Window,
    is_first: bool,
) -> Grant {
    let Reader { chain, sink, .. } = reader;
    let tag = sink.container().tag.clone();
    let base = chain.base().to_owned();
    let room = async {
        if is_first {
            shared.intake.ready_for_first(Signal::Logs, &tag, BLOCK as u64).await;
        }
        sink.batcher.ready().await;
        let mut grant = shared.intake.budget.empty_grant();
        shared.intake.budget.extend(&mut grant, BLOCK).await;
        grant
    };
    tokio::pin!(room);
    let mut is_watched = false;
    loop {
        tokio::select! {
            biased;
            grant = &mut room => return grant,
            () = stored_first(window), if !window.is_empty() => {}
            () = async {
                sleep(LOOK.1).await;
                if is_watched {
                    let _ = timeout(LOOK.0, waker.notified()).await;
                }
            } => {
                is_watched = true;
                if let Some(dir) = base.parent() {
                    shared.hints.once_for_names(dir, waker);
                }
                if let Err(error) = chain.look() {
                    complain(&error);
                }
            }
        }
    }
}

/// Waits for new lines, or for the time of an unfinished one to be up.
async fn idle(shared: &Shared, reader: &mut Reader, waker: &Arc<Notify>, window: &mut Window) {
    while !window.is_empty() {
        stored_first(window).await;
    }
    reader.chain.rest();
    reader.sink.batcher.rest();
    loop {
        sleep(PAUSE).await;
        reader.directories().for_each(|dir| shared.hints.once(dir, waker));
        reader.refresh();
        // What came before the hint was asked for gives none.
        if let Err(error) = reader.chain.look() {
            complain(&error);
        } else if reader.chain.has_news() || reader.is_gone() {
            return;
        }
        let scan = shared.plan.scan_interval;
        let now = Instant::now();
        let due = reader.pieces.deadline().map(|due| due.saturating_duration_since(now));
        if due.is_some_and(|due| due.is_zero()) {
            return;
        }
        let _ = timeout(due.map_or(scan, |due| due.min(scan)), waker.notified()).await;
    }
}

/// Waits for the oldest block and gives its bytes back. May be dropped and called again.
async fn stored_first(window: &mut Window) {
    let Some((receipt, _)) = window.front_mut() else { return };
    if receipt.stored().await.is_err() {
        // The journal is closed: the gateway stops, and nothing that is read now would be kept.
        std::future::pending::<()>().await;
    }
    window.pop_front();
}

async fn failed(shared: &Shared, error: &FileError) {
    complain(error);
    sleep(shared.plan.scan_interval).await;
}

fn complain(error: &FileError) {
    if let Some(suppressed) = FAILED.allow() {
        tracing::warn!(%error, suppressed, "a container's log cannot be read");
    }
}

/// A container's part of the metric.
struct Lag<'s> {
    shared: &'s Shared,
    bytes: u64,
}

impl Lag<'_> {
    fn set(&mut self, bytes: u64) {
        self.shared.tally.lag.increment(bytes as f64 - self.bytes as f64);
        self.bytes = bytes;
    }
}

impl Drop for Lag<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}
