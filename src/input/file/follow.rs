//! The task that follows one file: it waits, for room, for its turn and for new lines, and lets its [`Reader`] work where
//! blocking is allowed.
//!
//! ```text
//! resume -> room (Pod, rate, buffer, budget) -> turn -> step -> window -> idle -> rest: the task ends, an entry stays
//!            ^-- meanwhile its files are looked at ----------'---------'
//! at the stop: once more to the end, as far as there is room
//! ```
//!
//! A file whose records find no room is not read, and holds no turn and no bytes meanwhile; what is rotated is opened before
//! it is removed all the same. Turns go round in the order they were asked for, a block each, so that one noisy file delays
//! no other for longer than that.

use std::collections::VecDeque;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::reader::{BLOCK, Reader, Step};
use super::start::First;
use super::table::{Seen, Status};
use crate::base::limits;
use crate::base::shutdown::Stop;
use crate::base::signal::Signal;
use crate::input::budget::Grant;
use crate::input::follow::survey::is_gone;
use crate::input::follow::{FileError, FirstSight};
use crate::journal::Receipt;

/// Blocks of one file that may be on their way to the disk.
const WINDOW: usize = 4;
/// What has just come is followed by more: a pause lets it gather. At some MB a second a read then brings whole blocks, which
/// cost two thirds of what tenths of blocks do.
const PAUSE: Duration = Duration::from_millis(200);
/// While nothing can be stored, files are looked at this often at least, and at most.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(20));
/// How often a file is looked at that was rotated away and may get some more lines.
const LINGER: Duration = Duration::from_millis(100);
/// What is read of a file at the stop, and how long it waits for room then.
const LAST_BYTES: usize = 16 * limits::MIB;
const LAST_ROOM: Duration = Duration::from_secs(2);

/// Blocks that were read and are not known to be stored.
type Window = VecDeque<(Receipt, Grant)>;

/// A file to be followed.
pub(super) struct Order {
    pub(super) path: Arc<Path>,
    pub(super) status: Arc<Status>,
    pub(super) waker: Arc<Notify>,
    pub(super) first: First,
    pub(super) sight: FirstSight,
    /// An earlier task read it to its end.
    pub(super) is_read: bool,
    /// Where an earlier task put it down.
    pub(super) position: Option<Bytes>,
}

/// Follows a file until it rests, is gone, or the gateway stops.
///
/// Thousands of these wait, most of them in `after`. What each state needs is boxed, so that none takes the room of the largest.
pub(super) async fn follow(shared: Arc<Shared>, order: Order, stop: Stop) {
    let first = order.first;
    let mut bed = Bed { shared: shared.clone(), path: order.path.clone(), end: End::Lost };
    let mut task = Task::new(shared.clone(), order, stop);
    if !Box::pin(task.resume(first)).await {
        return;
    }
    let last = &shared.last;
    while !last.is_cancelled() {
        let Some(room) = last.run_until_cancelled(Box::pin(task.room())).await else { break };
        let Some(grant) = room else {
            task.refuse();
            bed.end = End::Refused;
            return;
        };
        let after = match Box::pin(task.step(grant)).await {
            Ok(Ok(step)) => {
                task.status.set_error(None);
                last.run_until_cancelled(Box::pin(task.after(step))).await
            }
            Ok(Err(error)) => {
                shared.complain(&task.status, &error);
                last.run_until_cancelled(sleep(shared.plan.scan_interval)).await.map(|()| After::On)
            }
            Err(error) => return failed(&error),
        };
        match after {
            Some(After::On) => {}
            Some(After::Rest(seen)) => {
                bed.end = End::Rest(seen, task.put_down());
                return;
            }
            Some(After::Gone) => {
                bed.end = End::Gone(task.put_down());
                return;
            }
            None => break,
        }
    }
    if let Err(error) = Box::pin(task.finish()).await {
        failed(&error);
    }
}

fn failed(error: &JoinError) {
    tracing::error!(%error, "reading a file failed; it begins again at its position");
}

/// What follows a step.
enum After {
    On,
    Rest(Seen),
    Gone,
}

/// How a task ended.
enum End {
    Rest(Seen, Option<Bytes>),
    Gone(Option<Bytes>),
    /// Its Pod does not have the labels.
    Refused,
    /// It begins again.
    Lost,
}

/// Notes how the task ended, whichever way it does.
struct Bed {
    shared: Arc<Shared>,
    path: Arc<Path>,
    end: End,
}

impl Drop for Bed {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.end, End::Lost) {
            End::Rest(seen, position) => self.shared.table.rest(&self.path, Some(seen), position),
            End::Gone(position) => self.shared.gone(&self.path, position),
            End::Refused => self.shared.table.remove(&self.path),
            End::Lost => self.shared.table.rest(&self.path, None, None),
        }
    }
}

struct Task {
    shared: Arc<Shared>,
    path: Arc<Path>,
    status: Arc<Status>,
    waker: Arc<Notify>,
    stop: Stop,
    /// Away while it works.
    reader: Option<Box<Reader>>,
    window: Window,
    /// Nothing was stored yet.
    is_first: bool,
    lag: Lag,
    /// What the next step reads at most.
    want: usize,
}

impl Task {
    fn new(shared: Arc<Shared>, order: Order, stop: Stop) -> Task {
        let reader = Reader::new(shared.clone(), &order);
        let Order { path, status, waker, .. } = order;
        Task {
            lag: Lag { shared: shared.clone(), bytes: 0 },
            want: shared.rate.as_ref().map_or(BLOCK, |rate| rate.block(BLOCK)),
            reader: Some(Box::new(reader)),
            window: Window::new(),
            is_first: true,
            shared,
            path,
            status,
            waker,
            stop,
        }
    }

    /// Lets the reader work in its turn.
    async fn work<T: Send + 'static>(
        &mut self,
        what: impl FnOnce(&mut Reader) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let (Ok(_turn), Some(mut reader)) = (self.shared.turns.acquire().await, self.reader.take()) else {
            // Turns are never closed, and a reader that is lost ends its task.
            return pending().await;
        };
        let worked = self.stop.tasks.spawn_blocking(move || {
            let result = what(&mut reader);
            (reader, result)
        });
        let (reader, result) = worked.await?;
        self.reader = Some(reader);
        Ok(result)
    }

    /// Turns to where reading goes on; false when the gateway stops before that could be told.
    async fn resume(&mut self, first: First) -> bool {
        loop {
            match self.work(move |reader| reader.resume(first)).await {
                Ok(Ok(())) => return true,
                Ok(Err(error)) => self.shared.complain(&self.status, &error),
                Err(error) => {
                    failed(&error);
                    return false;
                }
            }
            let pause = sleep(self.shared.plan.scan_interval);
            if self.shared.last.run_until_cancelled(pause).await.is_none() {
                return false;
            }
        }
    }

    /// Waits until its Pod is known, the rate allows it, the journal has room for what is to come, and the budget has a block.
    /// What is stored meanwhile gives its bytes back: files that wait for the budget must not hold what they wait for.
    /// `None`: the file is not to be read.
    async fn room(&mut self) -> Option<Grant> {
        let Task { shared, path, reader, window, waker, status, want, is_first, .. } = self;
        let Some(reader) = reader else { return pending().await };
        let Reader { chain, sink, pod, .. } = &mut **reader;
        let tag = sink.tag().to_owned();
        let room = async {
            if let Some(pod) = pod {
                if !pod.wait(status, shared.last.is_cancelled()).await {
                    return None;
                }
                if pod.has_news && sink.retag(shared, path, pod) {
                    pod.has_news = false;
                    // Nothing is known of the new stream's way.
                    *is_first = true;
                }
            }
            if let Some(rate) = shared.rate.as_ref().filter(|_| !shared.last.is_cancelled()) {
                rate.reserve(*want).await;
            }
            if *is_first {
                shared.intake.ready_for_first(Signal::Logs, &tag, *want as u64).await;
            }
            sink.batcher.ready().await;
            let mut grant = shared.intake.budget.empty_grant();
            shared.intake.budget.extend(&mut grant, *want).await;
            Some(grant)
        };
        tokio::pin!(room);
        let mut is_watched = false;
        loop {
            tokio::select! {
                biased;
                room = &mut room => return room,
                () = stored_first(window), if !window.is_empty() => {}
                () = async {
                    sleep(LOOK.1).await;
                    if is_watched {
                        let _ = timeout(LOOK.0, waker.notified()).await;
                    }
                } => {
                    is_watched = true;
                    if let Err(error) = chain.look() {
                        shared.complain(status, &error);
                    }
                }
            }
        }
    }

    async fn step(&mut self, mut grant: Grant) -> Result<Result<Step, FileError>, JoinError> {
        let want = self.want;
        let step = self.work(move |reader| reader.step(want, Instant::now())).await?;
        let Some(reader) = &mut self.reader else { return pending().await };
        if let Some(rate) = &self.shared.rate {
            rate.settle(want, reader.read);
        }
        if let Some((receipt, made)) = reader.sink.batcher.take_receipt() {
            self.is_first = false;
            grant.shrink(reader.read.max(made));
            self.window.push_back((receipt, grant));
        }
        self.lag.set(reader.chain.lag());
        Ok(step)
    }

    async fn after(&mut self, step: Step) -> After {
        match step {
            Step::More => {
                while self.window.len() > WINDOW
                    || self.window.front().is_some_and(|(first, _)| first.is_stored())
                {
                    stored_first(&mut self.window).await;
                }
                // A small rest would be a commit and a LogGroup of its own.
                let shared = self.shared.clone();
                if self.reader.as_ref().is_some_and(|reader| reader.chain.lag() < self.want as u64 / 2)
                    && let Ok(_warm) = shared.warm.try_acquire()
                {
                    self.drain().await;
                    sleep(PAUSE).await;
                }
                After::On
            }
            Step::Lingering => {
                self.drain().await;
                let _ = timeout(LINGER, self.waker.notified()).await;
                After::On
            }
            Step::Idle => self.idle().await,
            Step::Gone => {
                self.drain().await;
                After::Gone
            }
        }
    }

    async fn drain(&mut self) {
        while !self.window.is_empty() {
            stored_first(&mut self.window).await;
        }
    }

    /// Waits for new lines, for the time of an unfinished record to be up, or until it may rest.
    async fn idle(&mut self) -> After {
        self.drain().await;
        let Some(reader) = &mut self.reader else { return pending().await };
        reader.rest();
        let mut warm = self.shared.warm.try_acquire().ok();
        if warm.is_none() {
            reader.cool();
        }
        loop {
            sleep(PAUSE).await;
            // Before the look: what comes behind it is news to who looks at this again.
            let seen = Seen::at(&self.path);
            let now = Instant::now();
            reader.note_missing(seen.as_ref().is_err_and(is_gone), now);
            match reader.chain.look() {
                Err(error) => self.shared.complain(&self.status, &error),
                Ok(()) if reader.chain.has_news() => return After::On,
                Ok(()) => {}
            }
            if warm.take().is_some() {
                reader.cool();
            }
            let deadline = reader.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return After::On;
            }
            let rests_at = reader.rests_at();
            if let (Ok(seen), Some(at)) = (seen, rests_at)
                && (at <= now || self.shared.open.is_crowded())
            {
                return After::Rest(seen);
            }
            let scan = now + self.shared.plan.scan_interval;
            let next = [deadline, rests_at].into_iter().flatten().fold(scan, Instant::min);
            let _ = timeout(next.saturating_duration_since(now), self.waker.notified()).await;
        }
    }

    fn refuse(&self) {
        if let Some(reader) = &self.reader {
            reader.refuse();
        }
    }

    /// Stores how far it was read.
    fn put_down(&mut self) -> Option<Bytes> {
        self.reader.as_mut().and_then(|reader| reader.put_down())
    }

    /// Reads what is there once more, as far as there is room. A successor goes on where this ends, so nothing is taken for
    /// complete then.
    async fn finish(&mut self) -> Result<(), JoinError> {
        let mut read = 0;
        while read < LAST_BYTES {
            let Ok(Some(grant)) = timeout(LAST_ROOM, self.room()).await else { break };
            match self.step(grant).await? {
                Ok(Step::More) => read += self.reader.as_ref().map_or(0, |reader| reader.read),
                Ok(_) => break,
                Err(error) => {
                    self.shared.complain(&self.status, &error);
                    break;
                }
            }
            while self.window.len() > WINDOW {
                stored_first(&mut self.window).await;
            }
        }
        let is_last = !self.stop.successor.is_there();
        self.work(move |reader| reader.finish(is_last, Instant::now())).await?;
        // Senders deliver what is stored when the inputs have ended.
        let receipt = self.reader.as_mut().and_then(|reader| reader.sink.batcher.take_receipt());
        let stored = async {
            if let Some((mut receipt, _)) = receipt {
                let _ = receipt.stored().await;
            }
            self.drain().await;
        };
        let _ = timeout(LAST_ROOM, stored).await;
        Ok(())
    }
}

/// Waits for the oldest block and gives its bytes back. May be dropped and called again.
async fn stored_first(window: &mut Window) {
    let Some((receipt, _)) = window.front_mut() else { return };
    if receipt.stored().await.is_err() {
        // The journal is closed: the gateway stops, and nothing that is read now would be kept.
        pending::<()>().await;
    }
    window.pop_front();
}

/// A file's part of the metric.
struct Lag {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Lag {
    fn set(&mut self, bytes: u64) {
        self.shared.tally.lag.increment(bytes as f64 - self.bytes as f64);
        self.bytes = bytes;
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.set(0);
    }
}
