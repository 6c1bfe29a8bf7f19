//! Delivering one sealed LogGroup: the same bytes until they are accepted, or parts of it where the service refuses.
//!
//! Every answer gets a verdict (`wire::errors`). What may pass later is sent again, for as long as it takes; what is too
//! large is halved; what is refused is halved until the refused records stand alone, with at most [`REQUESTS`] requests
//! a group, and only those become dead letters. Halves keep the group's pack id and go in order.

mod attempt;
mod list;
mod load;

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::concurrency::{Share, Strain};
use super::ensure::Ensure;
use super::rate::Rate;
use super::refused::{DeadLetters, Refusal};
use super::shard_key::Bucket;
use crate::base::backoff::Backoff;
use crate::base::limits;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::config::plan::OutOfRange;
use crate::record::Timestamp;
use crate::wire::compress::Kind;
use crate::wire::errors::Verdict;
use crate::wire::loggroup;
use attempt::{Fault, Post};
pub use list::Lists;
pub use load::Load;

/// Requests for one refused group.
const REQUESTS: usize = 32;
/// Tries of an answer nobody knows, before it counts as a refusal.
const FEW: u32 = 5;

/// First waiting times between tries; each is doubled up to a minute, `slow` to ten.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    pub soon: Duration,
    /// After a quota.
    pub long: Duration,
    /// For somebody to mend the configuration.
    pub slow: Duration,
}

impl Default for Waits {
    fn default() -> Waits {
        Waits { soon: Duration::from_secs(1), long: Duration::from_secs(3), slow: Duration::from_secs(2) }
    }
}

pub struct Delivery {
    pub client: Client,
    pub label: String,
    pub logstore: String,
    pub compression: Kind,
    pub letters: Arc<DeadLetters>,
    /// Its part in the limits on requests at once.
    pub share: Share,
    /// Bytes per second, where they are bounded.
    pub rate: Option<Arc<Rate>>,
    pub lists: Lists,
    /// Makes what is missing, where it may.
    pub ensure: Option<Ensure>,
    /// What becomes of logs whose time the service does not take.
    pub out_of_range: OutOfRange,
    pub waits: Waits,
    /// What is wrong right now, for `status`.
    pub trouble: std::sync::Mutex<Option<String>>,
    pub metrics: DeliveryMetrics,
    pub complaint: LogLimit,
}

pub struct DeliveryMetrics {
    pub delivered_records: Counter,
    pub delivered_bytes: Counter,
    pub sent_bytes: Counter,
    pub requests: Counter,
    pub retried: Counter,
    pub refused: Counter,
    pub lost: Counter,
    /// Records that were given the service's time.
    pub moved: Counter,
}

impl DeliveryMetrics {
    pub fn new(destination: &str) -> Self {
        let make = |name, help| counter(name, help, &[("destination", destination)]);
        DeliveryMetrics {
            delivered_records: make("sluicegate_delivered_records_total", "Records accepted by Log Service."),
            delivered_bytes: make(
                "sluicegate_delivered_bytes_total",
                "LogGroup bytes accepted, before compression.",
            ),
            sent_bytes: make("sluicegate_sent_bytes_total", "Body bytes sent, after compression."),
            requests: make("sluicegate_requests_total", "PutLogs requests sent."),
            retried: make("sluicegate_retried_total", "PutLogs requests that were sent again."),
            refused: make(
                "sluicegate_refused_records_total",
                "Records refused for good, kept as dead letters.",
            ),
            lost: make("sluicegate_lost_records_total", "Records whose bytes the disk did not give back."),
            moved: make(
                "sluicegate_retimed_records_total",
                "Records that got the service's time, as it refused their own.",
            ),
        }
    }
}

/// What one request came to.
enum Outcome {
    Accepted,
    Halve(Fault),
    Refused(Fault),
}

impl Delivery {
    /// Sends a LogGroup until every record of it is accepted or a dead letter; true when it was accepted whole. `bucket`
    /// is that of its shard key.
    pub async fn deliver(&self, mut load: Load, records: usize, bucket: Option<Bucket>) -> bool {
        match self.offer(&mut load, bucket).await {
            Outcome::Accepted => {
                self.count(records, load.raw_len());
                true
            }
            Outcome::Halve(fault) | Outcome::Refused(fault) => {
                self.deliver_halves(load.unpack().into_owned(), fault, bucket).await;
                false
            }
        }
    }

    /// Halves what was not accepted, the first half before the second, until the refused records stand alone. Requests
    /// are set aside for every part that was not tried yet, so none is given up untried.
    async fn deliver_halves(&self, group: Vec<u8>, fault: Fault, bucket: Option<Bucket>) {
        let mut requests = 1;
        let mut refused: Option<Fault> = None;
        let mut refused_parts = Vec::new();
        let mut untried: Vec<Vec<u8>> = Vec::new();
        let mut failed = Some((group, fault));
        loop {
            if let Some((part, fault)) = failed.take() {
                let may_halve = requests + untried.len() + 2 <= REQUESTS;
                match may_halve.then(|| loggroup::split(&part).ok().flatten()).flatten() {
                    Some((first, second)) => untried.extend([second, first]),
                    None => {
                        refused_parts.push(part);
                        refused.get_or_insert(fault);
                    }
                }
            }
            let Some(part) = untried.pop() else { break };
            requests += 1;
            let mut load = Load::Raw(part);
            match self.offer(&mut load, bucket).await {
                Outcome::Accepted => self.count(count_logs(&load.unpack()), load.raw_len()),
                Outcome::Halve(fault) | Outcome::Refused(fault) => {
                    failed = Some((load.unpack().into_owned(), fault));
                }
            }
        }
        if let Some(fault) = refused {
            self.bury(&refused_parts, fault).await;
        }
    }

    async fn bury(&self, parts: &[Vec<u8>], fault: Fault) {
        // Parts that cannot be walked were never made by us; they are kept end to end all the same.
        let group = loggroup::merge(parts).unwrap_or_else(|_| parts.concat());
        let records = count_logs(&group);
        let refusal = Refusal {
            destination: &self.label,
            reason: &fault.reason,
            request_id: &fault.request_id,
            records,
        };
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        // A full disk may have room later; until then the records stay in the journal.
        loop {
            match self.letters.write(&refusal, &group) {
                Ok(path) => {
                    self.metrics.refused.increment(records as u64);
                    tracing::error!(destination = %self.label, records, request_id = %fault.request_id, file = %path.display(),
                        "Log Service refused records for good: {}; they are kept in a dead-letter file", fault.reason);
                    return;
                }
                Err(error) => {
                    self.complain(format!("cannot write a dead-letter file: {error}"));
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    fn count(&self, records: usize, bytes: usize) {
        self.metrics.delivered_records.increment(records as u64);
        self.metrics.delivered_bytes.increment(bytes as u64);
    }

    /// Sends one LogGroup. One whose times are not taken gets new ones where that is configured, once.
    async fn offer(&self, load: &mut Load, bucket: Option<Bucket>) -> Outcome {
        match self.pack_and_send(load, bucket).await {
            Outcome::Refused(fault) if fault.is_about_times() => match self.retimed(load, &fault) {
                Some(retimed) => {
                    *load = Load::Raw(retimed);
                    self.pack_and_send(load, bucket).await
                }
                None => Outcome::Refused(fault),
            },
            outcome => outcome,
        }
    }

    /// The LogGroup with the service's time instead of each that is out of its window.
    fn retimed(&self, load: &Load, fault: &Fault) -> Option<Vec<u8>> {
        if self.out_of_range == OutOfRange::Keep {
            return None;
        }
        let now = fault.service_time.unwrap_or_else(|| Timestamp::now().seconds);
        let window = now - limits::TIME_BEHIND..=now + limits::TIME_AHEAD;
        let (retimed, changed) =
            loggroup::retime(&load.unpack(), u32::try_from(now).ok()?, window).ok().flatten()?;
        self.metrics.moved.increment(changed as u64);
        Some(retimed)
    }

    async fn pack_and_send(&self, load: &Load, bucket: Option<Bucket>) -> Outcome {
        match load.compressed(self.compression) {
            Ok(body) => {
                let raw_len = load.raw_len();
                self.send(&Post { body, declared: raw_len, raw_len, bucket, is_list: false }).await
            }
            Err(error) => Outcome::Refused(Fault::new(Verdict::Refuse, Strain::Unsent, error.to_string())),
        }
    }

    /// Sends the same bytes until the service says something final about them.
    async fn send(&self, post: &Post) -> Outcome {
        let mut soon = Backoff::new(self.waits.soon, Duration::from_secs(60));
        let mut long = Backoff::new(self.waits.long, Duration::from_secs(60));
        let mut slow = Backoff::new(self.waits.slow, Duration::from_secs(600));
        let (mut corrected, mut unknown) = (false, 0);
        loop {
            // Who waits for a key would hold a place that others could use.
            let answer = match self.client.ready().await {
                Ok(()) => {
                    if let Some(rate) = &self.rate {
                        rate.take(post.raw_len).await;
                    }
                    let permit = self.share.enter().await;
                    let answer = self.attempt(post).await;
                    permit.end(answer.as_ref().err().map_or(Strain::None, |fault| fault.strain));
                    answer
                }
                Err(why) => Err(Fault::new(Verdict::RetrySoon, Strain::Unsent, why.to_string())),
            };
            let Err(fault) = answer else {
                *self.trouble() = None;
                return Outcome::Accepted;
            };
            if post.is_list && list::is_refusal(&fault) {
                return Outcome::Refused(fault);
            }
            let (mut reason, mut making) = (fault.reason.clone(), false);
            if let Some(ensure) = self.ensure.as_ref().filter(|_| fault.is_about_absence()) {
                match ensure.make(&self.client, fault.code == "ProjectNotExist").await {
                    Ok(()) => making = true,
                    Err(error) => {
                        making = error.passing;
                        reason = format!("{reason}; {error}");
                    }
                }
            }
            let wait = match fault.verdict {
                Verdict::Split => return Outcome::Halve(fault),
                Verdict::Refuse => return Outcome::Refused(fault),
                Verdict::RetryFew if unknown + 1 >= FEW => return Outcome::Refused(fault),
                Verdict::RetryFew => {
                    unknown += 1;
                    soon.next_wait()
                }
                Verdict::RetryNow if !fault.is_about_the_clock() => return Outcome::Refused(fault),
                Verdict::RetryNow if !std::mem::replace(&mut corrected, true) => Duration::ZERO,
                // The probes set the pace for everybody; who slept beside them would come late.
                Verdict::RetrySoon | Verdict::Throttle if self.share.is_probing(fault.strain) => {
                    Duration::ZERO
                }
                Verdict::RetryNow | Verdict::RetrySoon => soon.next_wait(),
                Verdict::Configuration if making => soon.next_wait(),
                Verdict::Throttle => long.next_wait(),
                Verdict::Credentials | Verdict::Configuration => slow.next_wait(),
            };
            self.complain(reason);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Somebody has mended the keys.
                () = self.client.other_key(), if fault.verdict == Verdict::Credentials => {}
            }
            self.metrics.retried.increment(1);
        }
    }

    fn complain(&self, problem: String) {
        if let Some(suppressed) = self.complaint.allow() {
            tracing::warn!(destination = %self.label, suppressed, "not delivered, will be sent again: {problem}");
        }
        *self.trouble() = Some(problem);
    }

    pub fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn count_logs(group: &[u8]) -> usize {
    loggroup::walk(group).map_or(0, |group| group.log_count())
}

#[cfg(test)]
mod tests;
