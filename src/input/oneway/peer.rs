//! What is decoded into for one peer: its batcher, what it is called, and the account of what became of its messages.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::held::Held;
use super::{Decoder, Message, Sender};
use crate::input::Intake;
use crate::input::batcher::Batcher;
use crate::input::budget::Grant;
use crate::journal::{NotStored, Receipt};
use crate::pipeline::join::JoinSettings;
use crate::pipeline::stream::Origin;
use crate::record::Timestamp;

/// So many times its length a message may become before it is charged for that.
const TIMES: usize = 2;
/// Bytes that may be made of messages before they are charged.
const OWED_BYTES: usize = crate::base::limits::READ_BYTES;

pub(super) struct Peer {
    pub(super) sender: Sender,
    pub(super) batcher: Batcher,
    /// Nothing was stored yet, so the batcher does not know which buffers it fills.
    fresh: bool,
}

/// What came of messages and was not given to the window yet.
#[derive(Default)]
pub(super) struct Taken {
    receipt: Option<Receipt>,
    /// Bytes the records became.
    made: usize,
    pub(super) records: u64,
}

impl Peer {
    pub(super) fn new(
        input: &Arc<str>,
        sender: Sender,
        intake: &Arc<Intake>,
        join: Option<JoinSettings>,
    ) -> Peer {
        let origin = Origin::new(input.clone(), sender.label.clone());
        Peer { sender, batcher: Batcher::new(intake.clone(), origin, join), fresh: true }
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.sender.address
    }

    /// Decodes a message of a connection, or a datagram.
    pub(super) fn take<D: Decoder>(
        &mut self,
        decoder: &mut D,
        what: &Arrived,
        received: Timestamp,
        taken: &mut Taken,
    ) {
        let before = self.batcher.count();
        match what {
            Arrived::Message(message) => {
                decoder.message(&self.sender, message, received, &mut self.batcher);
            }
            Arrived::Datagram { from, to } => {
                decoder.datagram(&self.sender, *from..*to, received, &mut self.batcher);
            }
        }
        taken.records += self.batcher.count().saturating_sub(before);
        // A full batch sends off what was there first.
        self.collect(taken);
    }

    /// Stores what is in hand and lets its frame go.
    pub(super) fn store(&mut self, taken: &mut Taken) {
        self.batcher.open(Bytes::new());
        self.collect(taken);
    }

    fn collect(&mut self, taken: &mut Taken) {
        let Some((receipt, made)) = self.batcher.take_receipt() else { return };
        self.fresh = false;
        taken.made += made;
        taken.receipt = Some(match taken.receipt.take() {
            Some(before) => before.later(receipt),
            None => receipt,
        });
    }

    /// The first records of a peer have been decoded, and its buffers are still to be asked.
    pub(super) fn is_new(&self) -> bool {
        self.fresh && !self.batcher.batch.is_empty()
    }

    /// Waits for room for a peer's first records: one that comes anew for every message would else pass every bound.
    pub(super) async fn first_room(&mut self, intake: &Intake, bytes: usize) {
        self.fresh = false;
        let batch = &self.batcher.batch;
        intake.ready_for_first(batch.signal, batch.tag(), bytes as u64).await;
    }
}

pub(super) enum Arrived {
    Message(Message),
    /// Its place in the frame.
    Datagram {
        from: usize,
        to: usize,
    },
}

impl Taken {
    /// Some of it is on its way to the disk already.
    pub(super) fn has_stored(&self) -> bool {
        self.receipt.is_some()
    }

    /// Enough was made of few bytes that it has to be charged before more is.
    pub(super) fn owes(&self) -> bool {
        self.made >= OWED_BYTES
    }

    /// Gives all of it to the window with the permits for the `cost` bytes it came from, and takes more permits where it
    /// became much more than that: inflated messages, fields that records share.
    pub(super) async fn settle(
        &mut self,
        intake: &Intake,
        held: &mut Held,
        mut grant: Grant,
        cost: usize,
    ) -> Result<(), NotStored> {
        let made = std::mem::take(&mut self.made);
        let Some(receipt) = self.receipt.take() else { return Ok(()) };
        let more = made.saturating_sub(TIMES * cost.max(512));
        if more > 0 {
            held.beside(intake.budget.extend(&mut grant, more)).await?;
        }
        held.push(receipt, grant, cost.max(made));
        Ok(())
    }
}
