//! One FIFO, from its first entry to its end.
//!
//! ```text
//! room in the buffers -> bytes in the FIFO -> budget -> look -> records + position: one commit -> receipt -> take
//!        ^                                                                                                |
//!        `------------------------------------------------------------------------------------------------'
//! ```
//!
//! Bytes leave the FIFO when their records are stored. Killed before that, the next process sees them again; killed between
//! the receipt and the taking, it finds in the position, which is in the commit of the records, what of the FIFO's head was
//! stored, and takes that off without storing it again.
//!
//! ```text
//! position   key "fifo " input " " path | value: length (u64 LE), xxh3-128 of so many bytes (LE)
//! ```
//!
//! While a buffer is full nothing is taken, so the FIFO fills and the container waits: that is what `on_full: block` says.
//!
//! A stop leaves what is in the FIFO, and what was just stored of it: the next process takes that off. It may have the data
//! directory by then, and two must not take from one FIFO. Only a FIFO whose container has ended is read to its end, since
//! the engine removes it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_128;

use super::container::Container;
use super::copies::Writer;
use super::fifo::{Fifo, FifoError, Seen};
use super::records::Records;
use super::{DockerPlugin, Metrics};
use crate::base::signal::Signal;
use crate::base::{host, limits};
use crate::input::batcher::Batcher;
use crate::input::budget::Grant;
use crate::input::positions::Positions;
use crate::journal::NotStored;
use crate::pipeline::join::{JoinSettings, Marks};
use crate::pipeline::stream::{Origin, Wish};
use crate::wire::log_entry::{LENGTH_BYTES, MAX_ENTRY};

/// A look takes so much, and the whole FIFO where an entry is larger.
const LOOK_BYTES: usize = limits::READ_BYTES;
/// Some kernels do not tell of bytes that come behind others which were left: half an entry is looked at again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// After such silence large buffers are given back.
const REST: Duration = Duration::from_secs(5);

/// How reading a FIFO ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing will come any more, and all of it is stored.
    Finished,
    /// The gateway stops; what is in the FIFO stays there. Never of one into which the engine writes no more.
    Left,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error(transparent)]
    Fifo(#[from] FifoError),
    #[error(transparent)]
    NotStored(#[from] NotStored),
}

pub(super) struct Follower {
    fifo: Fifo,
    /// The engine said that it writes no more.
    stopped: CancellationToken,
    work: Work,
}

/// Everything but the FIFO.
struct Work {
    plugin: Arc<DockerPlugin>,
    container: Arc<Container>,
    records: Records,
    batcher: Batcher,
    grant: Grant,
    /// For `docker logs`.
    copy: Option<Arc<Writer>>,
    framed: Vec<u8>,
    seen: Vec<u8>,
    scratch: Vec<u8>,
    key: Bytes,
}

impl Follower {
    pub(super) fn new(
        plugin: Arc<DockerPlugin>,
        container: Container,
        fifo: Fifo,
        stopped: CancellationToken,
    ) -> Follower {
        let Container { logstore, topic, .. } = &container;
        let wish = Wish { logstore: logstore.clone(), topic: topic.clone() };
        let wish = (wish != Wish::default()).then(|| wish.into());
        let origin = Origin { wish, ..Origin::new(plugin.name.clone(), host::name()) };
        let join = JoinSettings::new(&plugin.plan.join, Marks::Fields);
        let work = Work {
            batcher: Batcher::new(plugin.intake.clone(), origin, join),
            grant: plugin.intake.budget.empty_grant(),
            copy: plugin.copies.as_ref().map(|copies| Arc::new(copies.writer(&container.id))),
            key: position_key(&plugin.name, &container),
            records: Records::default(),
            framed: Vec::new(),
            seen: Vec::new(),
            scratch: Vec::new(),
            container: Arc::new(container),
            plugin,
        };
        Follower { fifo, stopped, work }
    }

    /// Reads until the FIFO ends or the gateway stops. `is_new`: nobody has read it, and its writer may still be to come.
    /// After an error it may be called again, with `is_new` false.
    pub(super) async fn follow(
        &mut self,
        is_new: bool,
        draining: &CancellationToken,
    ) -> Result<End, FollowError> {
        let Follower { fifo, stopped, work } = self;
        if !is_new {
            work.take_what_was_stored(fifo)?;
        }
        let stop = Stopping { draining, stopped };
        tokio::select! {
            biased;
            () = stop.leaves() => return Ok(End::Left),
            () = work.room_for_first() => {}
            () = stop.hurries() => {}
        }
        let max_entry = MAX_ENTRY.min(fifo.capacity() - LENGTH_BYTES);
        let (mut wait, mut rested) = (is_new, false);
        let mut want = LOOK_BYTES;
        // Bytes at the head that are the beginning of an entry and were seen before.
        let mut known = 0;
        loop {
            tokio::select! {
                biased;
                () = stop.leaves() => return Ok(End::Left),
                () = work.batcher.ready() => {}
                () = stop.hurries() => {}
            }
            let mut closed = false;
            if wait {
                let pause = if known > 0 { AGAIN } else { REST };
                tokio::select! {
                    biased;
                    () = stop.leaves() => return Ok(End::Left),
                    () = stopped.cancelled() => {}
                    readable = fifo.readable() => closed = readable?,
                    () = tokio::time::sleep(pause), if known > 0 => {}
                    () = tokio::time::sleep(pause), if known == 0 && !rested => {
                        work.rest();
                        rested = true;
                        continue;
                    }
                }
            }
            wait = true;
            // Asked before the look: what the engine wrote before it said so is seen by it.
            let is_over = closed || stopped.is_cancelled();
            let waiting = fifo.waiting()?;
            if waiting == known && waiting > 0 && !is_over {
                fifo.wait_for_more_than(known)?;
                continue;
            }
            let look = waiting.clamp(1, want);
            tokio::select! {
                biased;
                () = stop.leaves() => return Ok(End::Left),
                () = work.charge(look) => {}
            }
            let seen = fifo.look(&work.plugin.pipes, look, &mut work.seen)?;
            if seen != Seen::Bytes {
                work.grant.shrink(0);
                work.grant.leave_overdraft();
                if seen == Seen::Ended || is_over {
                    return Ok(End::Finished);
                }
                fifo.wait_for_more_than(0)?;
                continue;
            }
            rested = false;
            let Some(done) = work.store(fifo, max_entry, &stop).await? else { return Ok(End::Left) };
            work.grant.shrink(0);
            work.grant.leave_overdraft();
            if done > 0 {
                (known, want) = (0, LOOK_BYTES);
                wait = !stopped.is_cancelled();
            } else if look < waiting && want < fifo.capacity() {
                want = fifo.capacity();
                wait = false;
            } else if is_over {
                work.plugin.metrics.skipped.increment(look as u64);
                tracing::warn!(container = %work.container.name, bytes = look,
                    "a container's output ends within an entry; its writer ended too early");
                return Ok(End::Finished);
            } else {
                known = look;
                fifo.wait_for_more_than(known)?;
            }
        }
    }
}

/// The gateway's stop, and the engine's word that it writes no more.
struct Stopping<'s> {
    draining: &'s CancellationToken,
    stopped: &'s CancellationToken,
}

impl Stopping<'_> {
    fn is_leaving(&self) -> bool {
        self.draining.is_cancelled() && !self.stopped.is_cancelled()
    }

    /// Resolves when the gateway stops and the FIFO stays.
    async fn leaves(&self) {
        self.draining.cancelled().await;
        if !self.is_leaving() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when the gateway stops and the FIFO goes: a full buffer takes the little that is in it all the same.
    async fn hurries(&self) {
        self.stopped.cancelled().await;
        self.draining.cancelled().await;
    }
}

impl Work {
    async fn room_for_first(&self) {
        // Its own destination may have room where the route's has none; the second batch knows.
        if self.container.logstore.is_some() {
            return;
        }
        let tag = self.container.tag.as_bytes();
        self.plugin.intake.ready_for_first(Signal::Logs, tag, LOOK_BYTES as u64).await;
    }

    async fn charge(&mut self, bytes: usize) {
        let missing = bytes.saturating_sub(self.grant.bytes());
        self.plugin.intake.budget.extend(&mut self.grant, missing).await;
    }

    fn rest(&mut self) {
        self.batcher.rest();
        self.seen = Vec::new();
        self.scratch = Vec::new();
        self.framed = Vec::new();
    }

    /// Stores what was seen and takes it off the FIFO; gives the number of bytes that were, 0 where there is no whole
    /// entry, nothing where the next process takes them off.
    async fn store(
        &mut self,
        fifo: &Fifo,
        max_entry: usize,
        stop: &Stopping<'_>,
    ) -> Result<Option<usize>, FollowError> {
        let seen = Bytes::from(std::mem::take(&mut self.seen));
        self.framed.clear();
        let framed = self.copy.is_some().then_some(&mut self.framed);
        let taken = self.records.read(&self.container, seen.clone(), max_entry, &mut self.batcher, framed);
        self.plugin.metrics.tell(taken.entries, taken.bytes, taken.skipped);
        if taken.skipped > 0
            && let Some(suppressed) = self.plugin.damage.allow()
        {
            tracing::warn!(container = %self.container.name, bytes = taken.skipped, suppressed,
                "bytes in a container's FIFO are no log entries and are skipped");
        }
        if taken.entries > 0 {
            let head = seen.get(..taken.bytes).unwrap_or_default();
            let value = position(head);
            let positions = &self.plugin.positions;
            let boarded = self.batcher.store_with(|commit| positions.board(commit, &self.key, value));
            let has_position = boarded.is_some();
            if let Some((boarded, submitted)) = boarded {
                positions.submitted(boarded, &submitted);
            }
            self.stored().await?;
            if has_position && stop.is_leaving() {
                return Ok(None);
            }
        }
        // A quiet container keeps no memory.
        self.batcher.batch.frame = Bytes::new();
        if taken.bytes > 0 {
            fifo.take(taken.bytes, &mut self.scratch)?;
        }
        Ok(Some(taken.bytes))
    }

    /// Waits for the receipt, and for the copy, which is written meanwhile.
    async fn stored(&mut self) -> Result<(), NotStored> {
        let copy = self.copy.clone().map(|copy| {
            let framed = std::mem::take(&mut self.framed);
            tokio::task::spawn_blocking(move || (copy.append(&framed), framed))
        });
        if let Some((mut receipt, made)) = self.batcher.take_receipt() {
            // Records are larger than their entries; that is charged as soon as there is room, and never waited for.
            let owed = made.saturating_sub(self.grant.bytes());
            let stored = receipt.stored();
            tokio::pin!(stored);
            tokio::select! {
                biased;
                stored = &mut stored => stored?,
                () = self.plugin.intake.budget.extend(&mut self.grant, owed) => stored.await?,
            }
        }
        let Some(copy) = copy else { return Ok(()) };
        // A task that panicked has no buffer to give back.
        let (written, framed) = copy.await.unwrap_or((Ok(()), Vec::new()));
        self.framed = framed;
        if let Err(error) = written {
            self.plugin.metrics.copy_failures.increment(1);
            if let Some(suppressed) = self.plugin.copying.allow() {
                tracing::warn!(container = %self.container.name, %error, suppressed,
                    "the copy that docker logs reads cannot be written; the lines themselves are stored");
            }
        }
        Ok(())
    }

    /// Takes off what an earlier process stored and had no time to take.
    fn take_what_was_stored(&mut self, fifo: &Fifo) -> Result<(), FifoError> {
        let Some((len, hash)) = self.plugin.positions.get(&self.key).and_then(|value| read_position(&value))
        else {
            return Ok(());
        };
        if len > fifo.waiting()? {
            return Ok(());
        }
        let seen = fifo.look(&self.plugin.pipes, len, &mut self.seen)?;
        if seen == Seen::Bytes && self.seen.len() == len && xxh3_128(&self.seen) == hash {
            fifo.take(len, &mut self.scratch)?;
            self.plugin.metrics.stored_before.increment(len as u64);
        }
        Ok(())
    }
}

impl Metrics {
    fn tell(&self, entries: usize, bytes: usize, skipped: usize) {
        self.records.increment(entries as u64);
        self.bytes.increment(bytes as u64);
        self.skipped.increment(skipped as u64);
    }
}

/// Keys of all positions of an input begin with this. Names hold no blank.
fn prefix(input: &str) -> Vec<u8> {
    format!("fifo {input} ").into_bytes()
}

pub(super) fn position_key(input: &str, container: &Container) -> Bytes {
    [&prefix(input), container.file.as_os_str().as_encoded_bytes()].concat().into()
}

/// Forgets how far FIFOs of this input were read that nobody knows any more.
pub(super) fn forget_others(input: &str, positions: &Positions, known: &[Container]) {
    let known: Vec<Bytes> = known.iter().map(|container| position_key(input, container)).collect();
    for key in positions.keys(&prefix(input)) {
        if !known.contains(&key) {
            positions.forget(&key);
        }
    }
}

fn position(head: &[u8]) -> Bytes {
    let mut value = (head.len() as u64).to_le_bytes().to_vec();
    value.extend_from_slice(&xxh3_128(head).to_le_bytes());
    value.into()
}

fn read_position(value: &[u8]) -> Option<(usize, u128)> {
    let (len, hash) = value.split_first_chunk()?;
    Some((usize::try_from(u64::from_le_bytes(*len)).ok()?, u128::from_le_bytes(hash.try_into().ok()?)))
}
