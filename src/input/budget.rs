//! The byte budget: one bound over all that is read and not yet stored, across all connections and inputs.
//!
//! A connection takes permits before it reads and gives them back when what it read is stored. When the budget is
//! spent, exactly one connection at a time may go beyond it, until its message is stored: otherwise many half-read
//! messages could hold all permits and wait for each other for ever.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

#[derive(Clone)]
pub struct Budget {
    permits: Arc<Semaphore>,
    overdraft: Arc<Mutex<()>>,
    total: usize,
}

/// Permits held. Dropping it gives them back.
pub struct Grant {
    permits: Arc<Semaphore>,
    bytes: usize,
    overdraft: Option<OwnedMutexGuard<()>>,
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        let total = bytes.clamp(1, u32::MAX as usize);
        Budget { permits: Arc::new(Semaphore::new(total)), overdraft: Arc::default(), total }
    }

    pub fn empty_grant(&self) -> Grant {
        Grant { permits: self.permits.clone(), bytes: 0, overdraft: None }
    }

    /// Bytes read and not yet stored, as far as they are covered by permits.
    pub fn used(&self) -> usize {
        self.total - self.permits.available_permits().min(self.total)
    }

    /// Whether there is next to nothing left: somebody is, or soon will be, waiting.
    pub fn is_spent(&self) -> bool {
        self.permits.available_permits() < self.total / 8
    }

    /// Waits for `bytes` more and adds them to `grant`. One that is in overdraft never waits.
    pub async fn extend(&self, grant: &mut Grant, bytes: usize) {
        if grant.overdraft.is_some() {
            return;
        }
        let wanted = bytes.min(self.total) as u32;
        tokio::select! {
            biased;
            permit = self.permits.acquire_many(wanted) => {
                // The semaphore is never closed.
                if let Ok(permit) = permit {
                    permit.forget();
                    grant.bytes += wanted as usize;
                }
            }
            guard = self.overdraft.clone().lock_owned() => grant.overdraft = Some(guard),
        }
    }
}

impl Grant {
    /// Splits off `bytes` (or what there is), with the overdraft: what was read moves on to be stored.
    pub fn split(&mut self, bytes: usize) -> Grant {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Grant { permits: self.permits.clone(), bytes, overdraft: self.overdraft.take() }
    }

    /// Lets another connection go beyond the budget.
    pub fn leave_overdraft(&mut self) {
        self.overdraft = None;
    }

    /// Gives back what is above `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        if self.bytes > bytes {
            self.permits.add_permits(self.bytes - bytes);
            self.bytes = bytes;
        }
    }

    /// Takes another grant's permits over.
    pub fn merge(&mut self, mut other: Grant) {
        self.bytes += std::mem::take(&mut other.bytes);
        self.overdraft = self.overdraft.take().or(other.overdraft.take());
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.permits.add_permits(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn half_read_messages_cannot_lock_each_other_out() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (budget.empty_grant(), budget.empty_grant());
        budget.extend(&mut first, 60).await;
        budget.extend(&mut second, 40).await;
        assert_eq!(budget.used(), 100);
        // Both need more: one goes into overdraft, the other waits until that one is done.
        budget.extend(&mut first, 60).await;
        let waiting = budget.clone();
        let second = tokio::spawn(async move {
            waiting.extend(&mut second, 30).await;
            second.bytes()
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first.split(60));
        drop(first);
        assert_eq!(second.await.unwrap(), 70);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_message_larger_than_the_budget_passes_alone() {
        let budget = Budget::new(100);
        let mut grant = budget.empty_grant();
        for _ in 0..10 {
            budget.extend(&mut grant, 80).await;
        }
        drop(grant);
        assert_eq!(budget.used(), 0);
    }
}
