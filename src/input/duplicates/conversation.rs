//! What one connection has said and not yet proven to have an answer for.
//!
//! A message is met before it is decoded. New ones are claimed and collected until their batch is handed to the
//! journal; one that is known gets the receipt of the first copy.
//!
//! * Invariant: between a claim and the store it belongs to, nothing is awaited but the journal, for the parts of a large
//!   message, and nothing else can fail. So a claim is short, and whoever waits for one has none of its own: no two
//!   connections can wait for each other.
//! * A content id belongs to its connection until the ack is known to be read: bytes came behind a written ack, or an
//!   orderly end ([`Conversation::acks_were_read`]). Dropping the conversation arms those of which that is not known:
//!   they count as sent again wherever they come next.

use std::collections::VecDeque;
use std::sync::Arc;

use super::table::{Fingerprint, State};
use super::{Boarded, Class, Duplicates, Id};
use crate::base::metrics::Counter;
use crate::journal::{Commit, Receipt, Submitted};

/// Content ids of which a connection remembers that their acks are not proven read. Senders of such ids wait for each
/// ack, so that one would do.
const UNPROVEN: usize = 64;

/// What a message turned out to be.
#[derive(Debug)]
pub enum Meeting {
    /// Not known: it is claimed, and must be stored now.
    New,
    /// Stored, or being stored: to be acknowledged when this resolves, and not to be stored again.
    Again(Receipt),
    /// Claimed for a batch that is not handed over yet, perhaps this connection's own: hand over what is in hand, wait
    /// for [`Conversation::released`], and meet it again.
    Taken,
}

pub struct Conversation {
    shared: Arc<Duplicates>,
    peer: Box<[u8]>,
    hits: Counter,
    /// Random ids of the batch in hand.
    claimed: Vec<Fingerprint>,
    /// Content ids of the batch in hand; the newest of them.
    contents: VecDeque<Fingerprint>,
    unproven: VecDeque<Unproven>,
}

struct Unproven {
    fingerprint: Fingerprint,
    receipt: Receipt,
    at: u32,
}

impl Conversation {
    pub(super) fn new(shared: Arc<Duplicates>, peer: &str, hits: Counter) -> Self {
        Conversation {
            shared,
            peer: peer.as_bytes().into(),
            hits,
            claimed: Vec::new(),
            contents: VecDeque::new(),
            unproven: VecDeque::new(),
        }
    }

    /// What tells this message from others: its tag, its chunk id and its body as received; for content ids also who
    /// sent it.
    pub fn identify(&self, class: Class, tag: &[u8], chunk: &[u8], body: &[u8]) -> Id {
        let peer: &[u8] = if class == Class::Content { &self.peer } else { &[] };
        Id { fingerprint: self.shared.fingerprint(class, [tag, chunk, body, peer]), class }
    }

    /// Looks a message up without claiming it, before work that has to wait: the receipt when it is known already.
    pub fn known(&mut self, id: Id) -> Option<Receipt> {
        match id.class {
            Class::Random => match self.shared.table.get(id.fingerprint, self.shared.clock.now()) {
                Some(State::Stored(number)) => Some(self.again(number)),
                _ => None,
            },
            Class::Content => self.known_content(id.fingerprint),
        }
    }

    /// Claims a message that is sure to be stored with the batch in hand, or says what is known of it.
    pub fn meet(&mut self, id: Id) -> Meeting {
        match id.class {
            Class::Random => match self.shared.claim(id.fingerprint) {
                None => {
                    self.claimed.push(id.fingerprint);
                    Meeting::New
                }
                Some(State::Stored(number) | State::Armed(number)) => Meeting::Again(self.again(number)),
                Some(State::Claimed) => Meeting::Taken,
            },
            Class::Content if self.contents.contains(&id.fingerprint) => Meeting::Taken,
            Class::Content => match self.known_content(id.fingerprint) {
                Some(receipt) => Meeting::Again(receipt),
                None => {
                    if self.contents.len() == UNPROVEN {
                        self.contents.pop_front();
                    }
                    self.contents.push_back(id.fingerprint);
                    Meeting::New
                }
            },
        }
    }

    fn again(&self, number: u64) -> Receipt {
        self.hits.increment(1);
        self.shared.receipts.get(number)
    }

    fn known_content(&mut self, fingerprint: Fingerprint) -> Option<Receipt> {
        if let Some(known) = self.unproven.iter().find(|known| known.fingerprint == fingerprint) {
            self.hits.increment(1);
            return Some(known.receipt.clone());
        }
        let (number, at) = self.shared.table.disarm(fingerprint, self.shared.clock.now())?;
        let receipt = self.again(number);
        self.keep(Unproven { fingerprint, receipt: receipt.clone(), at });
        Some(receipt)
    }

    fn keep(&mut self, unproven: Unproven) {
        if self.unproven.len() == UNPROVEN
            && let Some(oldest) = self.unproven.pop_front()
        {
            self.shared.ledger.read([oldest.fingerprint]);
        }
        self.unproven.push_back(unproven);
    }

    /// Waits until nobody is about to store this message. The batch in hand must have been handed over.
    pub async fn released(&self, id: Id) {
        debug_assert!(self.claimed.is_empty(), "who waits for a claim holds none");
        if id.class == Class::Random {
            self.shared.released(id.fingerprint).await;
        }
    }

    /// Whether the batch in hand has messages with ids.
    pub(crate) fn has_claims(&self) -> bool {
        !self.claimed.is_empty() || !self.contents.is_empty()
    }

    /// Puts the ids of the batch in hand into its commit.
    pub(crate) fn board(&self, commit: &mut Commit) -> Boarded {
        let now = self.shared.clock.unix();
        Boarded(self.shared.ledger.board(commit, &self.claimed, self.contents.iter().copied(), now))
    }

    /// The batch in hand was handed to the journal. `boarded` is absent when its records do not outlive the process,
    /// so that their ids must not either.
    pub(crate) fn handed_over(&mut self, boarded: Option<Boarded>, submitted: &Submitted) {
        if submitted.receipt.number() == u64::MAX {
            self.let_go();
            return;
        }
        if let Some(Boarded(boarded)) = boarded {
            self.shared.ledger.submitted(boarded, submitted);
        }
        self.shared.stored(&self.claimed, &submitted.receipt);
        self.claimed.clear();
        let at = self.shared.clock.now();
        for fingerprint in std::mem::take(&mut self.contents) {
            self.keep(Unproven { fingerprint, receipt: submitted.receipt.clone(), at });
        }
    }

    fn let_go(&mut self) {
        self.contents.clear();
        self.shared.release(std::mem::take(&mut self.claimed));
    }

    /// The peer has read all acks that were ever due: bytes arrived, or the connection ended in order, when all of them
    /// had been written. To be called as often as that is seen.
    pub fn acks_were_read(&mut self) {
        if !self.unproven.is_empty() {
            self.shared.ledger.read(self.unproven.drain(..).map(|known| known.fingerprint));
        }
    }

    /// Gives buffers back while nothing comes.
    pub fn rest(&mut self) {
        self.claimed.shrink_to_fit();
        self.contents.shrink_to_fit();
        self.unproven.shrink_to_fit();
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.let_go();
        for known in std::mem::take(&mut self.unproven) {
            self.shared.arm(known.fingerprint, &known.receipt, known.at);
        }
    }
}
