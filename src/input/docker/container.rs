//! The task that follows one container: it waits, for room, for its turn and for new lines, and lets its [`Reader`] work
//! where blocking is allowed.
//!
//! A container whose records find no room is not read, and holds no turn and no bytes meanwhile; its files are still looked
//! at, so that what is rotated is opened before it is removed. Turns go round in the order they were asked for, a block
//! each, so that one noisy container delays no other for longer than that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::reader::{BLOCK, First, Reader, Step};
use crate::base::log_limit::LogLimit;
use crate::base::shutdown::Stop;
use crate::base::signal::Signal;
use crate::input::budget::Grant;
use crate::input::follow::FileError;
use crate::input::follow::window::Window;

/// What has just come is followed by more: a pause lets it gather.
const PAUSE: Duration = Duration::from_millis(20);

static FAILED: LogLimit = LogLimit::new(Duration::from_secs(10));

/// Follows a container until it is removed or the gateway stops.
pub(super) async fn follow(shared: Arc<Shared>, mut reader: Box<Reader>, first: First, stop: Stop) {
    let following = async {
        let mut lag = shared.tally.read.lag();
        while let Err(error) = reader.resume(first) {
            failed(&shared, &error).await;
        }
        let waker = Arc::new(Notify::new());
        let mut window = Window::default();
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
                    window.push(receipt, grant);
                }
                // Now, and not when the container has something to say again.
                None => drop(grant),
            }
            lag.set(reader.chain.lag());
            match step {
                Ok(Step::More) => window.has_place().await,
                Ok(Step::Idle) => idle(&shared, &mut reader, &waker, &mut window).await,
                Ok(Step::Gone) => {
                    window.drain().await;
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
    let look = || {
        if let Some(dir) = base.parent() {
            shared.hints.once_for_names(dir, waker);
        }
        if let Err(error) = chain.look() {
            complain(&error);
        }
    };
    window.until(room, waker, look).await
}

/// Waits for new lines, or for the time of an unfinished one to be up.
async fn idle(shared: &Shared, reader: &mut Reader, waker: &Arc<Notify>, window: &mut Window) {
    window.drain().await;
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

async fn failed(shared: &Shared, error: &FileError) {
    complain(error);
    sleep(shared.plan.scan_interval).await;
}

fn complain(error: &FileError) {
    if let Some(suppressed) = FAILED.allow() {
        tracing::warn!(%error, suppressed, "a container's log cannot be read");
    }
}
