//! What was handed to the journal and is not stored yet: receipts in order, each with the permits of what it came from.
//! Nobody waits for these receipts but the bounds: a full window stops the reading, and permits go back to the budget when
//! what they were taken for is on the disk.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::input::budget::Grant;
use crate::journal::{NotStored, Receipt};

/// What a commit costs beside its bytes: a flood of tiny messages is bounded by it.
const COMMIT_BYTES: usize = 512;
/// Receipts behind each other become one until they stand for this part of the window, so that it moves in steps.
const STEPS: usize = 8;

/// Between two commits of one sender whose little comes often: with a commit for each line, a steady trickle costs more
/// processor time than a flood.
const PACE: Duration = Duration::from_millis(5);

pub(super) struct Held {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    limit: usize,
    /// When the next little may be stored.
    paced: Option<Instant>,
}

struct Waiting {
    receipt: Receipt,
    grant: Grant,
    bytes: usize,
}

impl Held {
    /// `limit` in bytes; more is held only as far as one push goes beyond it.
    pub(super) fn new(limit: usize) -> Held {
        Held { waiting: VecDeque::new(), bytes: 0, limit, paced: None }
    }

    /// Adds what was just handed over and its permits.
    pub(super) fn push(&mut self, receipt: Receipt, grant: Grant, bytes: usize) {
        let bytes = bytes.max(COMMIT_BYTES);
        self.bytes += bytes;
        self.paced = Some(Instant::now() + PACE);
        // The oldest is on its way to the disk; what joined it would hold it back.
        if self.waiting.len() > 1
            && let Some(last) = self.waiting.back_mut()
            && last.bytes < self.limit / STEPS
        {
            last.receipt = last.receipt.clone().later(receipt);
            last.grant.merge(grant);
            last.bytes += bytes;
            return;
        }
        self.waiting.push_back(Waiting { receipt, grant, bytes });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether what is gathered should wait for nothing: the journal has nothing in hand, and had nothing just now.
    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && self.paced.is_none_or(|paced| paced <= Instant::now())
    }

    /// Runs `other` to its end and gives permits back meanwhile. Whoever waits for permits waits so: they may be its own.
    pub(super) async fn beside<T>(&mut self, other: impl Future<Output = T>) -> Result<T, NotStored> {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return Ok(done),
                stored = self.progress() => stored?,
            }
        }
    }

    /// Lets go of what is stored by now.
    pub(super) fn release_stored(&mut self) {
        while self.waiting.front().is_some_and(|oldest| oldest.receipt.is_stored()) {
            self.release();
        }
    }

    /// Waits until there is room to read more.
    pub(super) async fn make_room(&mut self) -> Result<(), NotStored> {
        while self.bytes >= self.limit && !self.is_empty() {
            self.progress().await?;
        }
        Ok(())
    }

    /// Waits until everything is stored.
    pub(super) async fn finish(&mut self) -> Result<(), NotStored> {
        while !self.is_empty() {
            self.progress().await?;
        }
        Ok(())
    }

    /// Waits until the oldest receipt resolves, or without one until the next little may be stored; then for ever.
    /// Cancelling it loses nothing.
    pub(super) async fn progress(&mut self) -> Result<(), NotStored> {
        match (self.waiting.front_mut(), self.paced) {
            (Some(oldest), _) => {
                oldest.receipt.stored().await?;
                self.release();
            }
            (None, Some(paced)) => {
                tokio::time::sleep_until(paced).await;
                self.paced = None;
            }
            (None, None) => std::future::pending().await,
        }
        Ok(())
    }

    fn release(&mut self) {
        if let Some(oldest) = self.waiting.pop_front() {
            self.bytes -= oldest.bytes;
        }
        if self.waiting.is_empty() {
            // Ten thousand quiet connections keep no tables.
            self.waiting = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::budget::Budget;

    #[tokio::test]
    async fn permits_go_back_in_steps_and_all_of_them() {
        let budget = Budget::new(1 << 20);
        let mut held = Held::new(8 * 1024);
        for _ in 0..32 {
            let mut grant = budget.empty_grant();
            budget.extend(&mut grant, 600).await;
            held.push(Receipt::nothing(), grant, 600);
        }
        assert!((8..=32).contains(&held.waiting.len()), "{}", held.waiting.len());
        held.make_room().await.unwrap();
        assert!(held.bytes < 8 * 1024 && held.bytes > 4 * 1024, "{}", held.bytes);
        assert_eq!(budget.used(), held.bytes);
        held.release_stored();
        assert!(held.is_empty());
        assert_eq!((budget.used(), held.bytes), (0, 0));
    }

    /// A wait for permits that only we can give back must not wait for ever.
    #[tokio::test]
    async fn waiting_for_permits_gives_back_our_own() {
        let budget = Budget::new(100);
        let mut held = Held::new(1 << 20);
        let (mut first, mut second) = (budget.empty_grant(), budget.empty_grant());
        budget.extend(&mut first, 100).await;
        budget.extend(&mut first, 100).await;
        held.push(Receipt::nothing(), first, 100);
        held.beside(budget.extend(&mut second, 50)).await.unwrap();
        assert_eq!(second.bytes(), 50);
    }
}
