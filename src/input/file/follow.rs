//! The task that follows one file: it waits, for room, for its turn and for new lines, and lets its [`Reader`] work where
//! blocking is allowed.
//!
//! ```text
//! resume -> room (Pod, rate, buffer, budget) -> turn -> step -> window -> idle -> rest: the task ends, an entry stays
//!            ^-- meanwhile its files are looked at ----------'---------'    ([super::looks])
//! at the stop: once more to the end, as far as there is room
//! ```
//!
//! A file whose records find no room is not read, and holds no turn and no bytes meanwhile; what is rotated is opened before
//! it is removed all the same. Turns go round in the order they were asked for, a block each, so that one noisy file delays
//! no other for longer than that.

use std::future::pending;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
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
use crate::input::follow::tally::Lag;
use crate::input::follow::window::{LOOK, Window};
use crate::input::follow::{Chain, FileError, FirstSight};

/// What has just come is followed by more: a pause lets it gather. At some MB a second a read then brings whole blocks, which
/// cost two thirds of what tenths of blocks do.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a file is looked at that was rotated away and may get some more lines.
const LINGER: Duration = Duration::from_millis(100);
/// What is read of a file at the stop, and how long it waits for room then.
const LAST_BYTES: usize = 16 * limits::MIB;
const LAST_ROOM: Duration = Duration::from_secs(2);

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
        let grant = match room {
            Ok(Some(grant)) => grant,
            Ok(None) => {
                task.refuse();
                bed.end = End::Refused;
                return;
            }
            Err(Lost) => return,
        };
        let after = match Box::pin(task.step(grant)).await {
            Ok(Ok(step)) => {
                task.status.set_error(None);
                last.run_until_cancelled(Box::pin(task.after(step))).await
            }
            Ok(Err(error)) => {
                shared.complain(&task.status, &error);
                last.run_until_cancelled(sleep(shared.plan.scan_interval)).await.map(|()| Ok(After::On))
            }
            Err(Lost) => return,
        };
        match after {
            Some(Ok(After::On)) => {}
            Some(Ok(After::Rest(seen))) => {
                bed.end = End::Rest(seen, task.put_down());
                return;
            }
            Some(Ok(After::Gone { is_kept })) => {
                bed.end = End::Gone { is_kept, position: task.put_down() };
                return;
            }
            Some(Err(Lost)) => return,
            None => break,
        }
    }
    // Whoever is lost has said so.
    let _ = Box::pin(task.finish()).await;
}

/// Reading a file failed; it begins again at its position.
#[derive(Debug)]
struct Lost;

impl From<JoinError> for Lost {
    fn from(error: JoinError) -> Lost {
        tracing::error!(%error, "reading a file failed; it begins again at its position");
        Lost
    }
}

impl From<oneshot::error::RecvError> for Lost {
    fn from(_: oneshot::error::RecvError) -> Lost {
        tracing::error!("looking at a file failed; it is read again from its position");
        Lost
    }
}

/// What follows a step.
enum After {
    On,
    Rest(Seen),
    /// `is_kept`: what it was rotated to would be taken for new files without it.
    Gone {
        is_kept: bool,
    },
}

/// What a look gave.
struct Look {
    chain: Chain,
    /// How the file looked before: what comes behind that is news to who looks at this again.
    seen: io::Result<Seen>,
    result: Result<(), FileError>,
}

/// Looks at the chain's files elsewhere.
fn send(shared: &Shared, stop: &Stop, path: &Arc<Path>, chain: &mut Chain) -> oneshot::Receiver<Look> {
    let (path, mut chain) = (path.clone(), chain.take());
    shared.looks.push(&stop.tasks, move || {
        let seen = Seen::at(&path);
        let result = chain.look();
        Look { chain, seen, result }
    })
}

/// What a look gave that is under way. May be dropped and called again.
async fn returned(looking: &mut Option<oneshot::Receiver<Look>>) -> Result<Look, Lost> {
    let Some(look) = looking else { return pending().await };
    let look = look.await;
    *looking = None;
    Ok(look?)
}

/// How a task ended.
enum End {
    Rest(Seen, Option<Bytes>),
    Gone {
        is_kept: bool,
        position: Option<Bytes>,
    },
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
            End::Gone { is_kept, position } => self.shared.gone(&self.path, position, is_kept),
            End::Refused => self.shared.forget(&self.path),
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
    /// The reader's chain is away, and comes back here.
    looking: Option<oneshot::Receiver<Look>>,
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
            lag: shared.tally.read.lag(),
            want: shared.rate.as_ref().map_or(BLOCK, |rate| rate.block(BLOCK)),
            reader: Some(Box::new(reader)),
            looking: None,
            window: Window::default(),
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
    ) -> Result<T, Lost> {
        if self.looking.is_some() {
            let _ = self.looked().await?;
        }
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
                Err(Lost) => return false,
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
    async fn room(&mut self) -> Result<Option<Grant>, Lost> {
        let Task { shared, path, reader, looking, window, waker, status, stop, want, is_first, .. } = self;
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
        let mut is_watched = looking.is_some();
        loop {
            tokio::select! {
                biased;
                room = &mut room => return Ok(room),
                () = window.stored_first(), if !window.is_empty() => {}
                look = returned(looking), if looking.is_some() => {
                    let look = look?;
                    *chain = look.chain;
                    if let Err(error) = look.result {
                        shared.complain(status, &error);
                    }
                }
                () = async {
                    sleep(LOOK.1).await;
                    if is_watched {
                        let _ = timeout(LOOK.0, waker.notified()).await;
                    }
                }, if looking.is_none() => {
                    is_watched = true;
                    *looking = Some(send(shared, stop, path, chain));
                }
            }
        }
    }

    /// Puts the chain back that is away; how its file looked, and whether the look failed.
    async fn looked(&mut self) -> Result<(io::Result<Seen>, Result<(), FileError>), Lost> {
        let look = returned(&mut self.looking).await?;
        if let Some(reader) = &mut self.reader {
            reader.chain = look.chain;
        }
        Ok((look.seen, look.result))
    }

    async fn step(&mut self, mut grant: Grant) -> Result<Result<Step, FileError>, Lost> {
        let want = self.want;
        let step = self.work(move |reader| reader.step(want, Instant::now())).await?;
        let Some(reader) = &mut self.reader else { return pending().await };
        if let Some(rate) = &self.shared.rate {
            rate.settle(want, reader.read);
        }
        if let Some((receipt, made)) = reader.sink.batcher.take_receipt() {
            self.is_first = false;
            grant.shrink(reader.read.max(made));
            self.window.push(receipt, grant);
        }
        self.lag.set(reader.chain.lag());
        Ok(step)
    }

    async fn after(&mut self, step: Step) -> Result<After, Lost> {
        Ok(match step {
            Step::More => {
                self.window.has_place().await;
                // A small rest would be a commit and a LogGroup of its own.
                let shared = self.shared.clone();
                if self.reader.as_ref().is_some_and(|reader| reader.chain.lag() < self.want as u64 / 2)
                    && let Ok(_warm) = shared.warm.try_acquire()
                {
                    self.window.drain().await;
                    sleep(PAUSE).await;
                }
                After::On
            }
            Step::Lingering => {
                self.window.drain().await;
                let _ = timeout(LINGER, self.waker.notified()).await;
                After::On
            }
            Step::Idle => self.idle().await?,
            Step::Gone => {
                self.window.drain().await;
                let is_taken = self.reader.as_ref().is_some_and(|reader| reader.chain.is_taken());
                let (shared, path) = (self.shared.clone(), self.path.clone());
                let looks = &self.shared.looks;
                let is_kept = looks.push(&self.stop.tasks, move || !is_taken && shared.has_rotated(&path));
                After::Gone { is_kept: is_kept.await? }
            }
        })
    }

    /// Waits for new lines, for the time of an unfinished record to be up, or until it may rest.
    async fn idle(&mut self) -> Result<After, Lost> {
        self.window.drain().await;
        let Some(reader) = &mut self.reader else { return pending().await };
        reader.rest();
        let shared = self.shared.clone();
        let mut warm = shared.warm.try_acquire().ok();
        if warm.is_none() {
            reader.cool();
        }
        loop {
            sleep(PAUSE).await;
            let Some(reader) = &mut self.reader else { return pending().await };
            let now = Instant::now();
            self.looking = Some(send(&self.shared, &self.stop, &self.path, &mut reader.chain));
            let (seen, result) = self.looked().await?;
            let Some(reader) = &mut self.reader else { return pending().await };
            match result {
                Err(error) => self.shared.complain(&self.status, &error),
                Ok(()) if reader.chain.has_news() => return Ok(After::On),
                Ok(()) => {}
            }
            reader.note_missing(now);
            if warm.take().is_some() {
                reader.cool();
            }
            let deadline = reader.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(After::On);
            }
            let rests_at = reader.rests_at();
            if let (Ok(seen), Some(at)) = (seen, rests_at)
                && (at <= now || self.shared.open.is_crowded())
            {
                return Ok(After::Rest(seen));
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
    async fn finish(&mut self) -> Result<(), Lost> {
        let mut read = 0;
        while read < LAST_BYTES {
            let Ok(Ok(Some(grant))) = timeout(LAST_ROOM, self.room()).await else { break };
            match self.step(grant).await? {
                Ok(Step::More) => read += self.reader.as_ref().map_or(0, |reader| reader.read),
                Ok(_) => break,
                Err(error) => {
                    self.shared.complain(&self.status, &error);
                    break;
                }
            }
            self.window.has_place().await;
        }
        let is_last = !self.stop.successor.is_there();
        self.work(move |reader| reader.finish(is_last, Instant::now())).await?;
        // Senders deliver what is stored when the inputs have ended.
        let receipt = self.reader.as_mut().and_then(|reader| reader.sink.batcher.take_receipt());
        let stored = async {
            if let Some((mut receipt, _)) = receipt {
                let _ = receipt.stored().await;
            }
            self.window.drain().await;
        };
        let _ = timeout(LAST_ROOM, stored).await;
        Ok(())
    }
}
