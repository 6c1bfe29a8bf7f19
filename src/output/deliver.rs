//! Delivering one sealed LogGroup: the same bytes until they are accepted, or parts of it where the service refuses.
//!
//! Every answer gets a verdict (`wire::errors`). What may pass later is sent again, for as long as it takes; what is too
//! large is halved; what is refused is halved until the refused records stand alone, with at most [`REQUESTS`] requests
//! a group, and only those become dead letters. Halves keep the group's pack id and go in order.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::client::{Client, ServiceError};
use super::refused::{DeadLetters, Refusal};
use crate::base::backoff::Backoff;
use crate::base::log_limit::LogLimit;
use crate::base::metrics::{Counter, counter};
use crate::wire::compress::{Kind, body};
use crate::wire::errors::{self, Verdict};
use crate::wire::loggroup::{self, packed};

/// Requests for one refused group.
const REQUESTS: usize = 32;
/// Tries of an answer nobody knows, before it counts as a refusal.
const FEW: u32 = 5;

pub struct Delivery {
    pub client: Client,
    pub label: String,
    pub logstore: String,
    pub compression: Kind,
    pub letters: Arc<DeadLetters>,
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
        }
    }
}

/// A LogGroup on its way.
pub enum Load {
    Raw(Vec<u8>),
    /// One LZ4 block, made before the logs were stored.
    Packed {
        block: Bytes,
        raw_len: usize,
    },
}

impl Load {
    /// Packed logs with their tail. `None` when the block is damaged, which its checksum would have shown.
    pub fn packed(logs: &[u8], len: usize, tail: &[u8]) -> Option<Load> {
        let block = packed::append(logs, tail)?;
        Some(Load::Packed { block: Bytes::from(block), raw_len: len + tail.len() })
    }

    fn raw_len(&self) -> usize {
        match self {
            Load::Raw(group) => group.len(),
            Load::Packed { raw_len, .. } => *raw_len,
        }
    }

    fn unpack(&self) -> Cow<'_, [u8]> {
        match self {
            Load::Raw(group) => Cow::Borrowed(group),
            Load::Packed { block, raw_len } => {
                let mut group = Vec::new();
                // We made the block ourselves; one that does not inflate would have been refused by its checksum.
                if let Err(error) = body::decompress(Kind::Lz4, block, *raw_len, *raw_len, &mut group) {
                    tracing::error!("a packed LogGroup does not inflate: {error}");
                }
                Cow::Owned(group)
            }
        }
    }
}

/// What one request came to.
enum Outcome {
    Accepted,
    Halve(Fault),
    Refused(Fault),
}

/// What was wrong with an attempt, and what to do about it.
struct Fault {
    verdict: Verdict,
    code: String,
    /// For people: status, code, message and request id, or what happened on the way.
    reason: String,
    request_id: String,
}

impl Fault {
    fn on_the_way(reason: String) -> Fault {
        Fault { verdict: Verdict::RetrySoon, code: String::new(), reason, request_id: String::new() }
    }

    /// Whether the service found our clock wrong, which the client has corrected by now.
    fn is_about_the_clock(&self) -> bool {
        self.code.starts_with("RequestTime")
    }
}

impl Delivery {
    /// Sends a LogGroup until every record of it is accepted or a dead letter.
    pub async fn deliver(&self, load: Load, records: usize) {
        let raw_len = load.raw_len();
        let outcome = match &load {
            Load::Packed { block, raw_len } if self.compression == Kind::Lz4 => {
                self.send(block.clone(), *raw_len).await
            }
            Load::Packed { .. } => self.pack_and_send(&load.unpack()).await,
            Load::Raw(group) => self.pack_and_send(group).await,
        };
        match outcome {
            Outcome::Accepted => self.count(records, raw_len),
            Outcome::Halve(fault) | Outcome::Refused(fault) => {
                self.deliver_halves(load.unpack().into_owned(), fault).await
            }
        }
    }

    /// Halves what was not accepted, the first half before the second, until the refused records stand alone. Requests
    /// are set aside for every part that was not tried yet, so none is given up untried.
    async fn deliver_halves(&self, group: Vec<u8>, fault: Fault) {
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
            match self.pack_and_send(&part).await {
                Outcome::Accepted => self.count(count_logs(&part), part.len()),
                Outcome::Halve(fault) | Outcome::Refused(fault) => failed = Some((part, fault)),
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

    async fn pack_and_send(&self, group: &[u8]) -> Outcome {
        let mut packed = Vec::new();
        if let Err(error) = body::compress(self.compression, group, &mut packed) {
            let fault = Fault { verdict: Verdict::Refuse, ..Fault::on_the_way(error.to_string()) };
            return Outcome::Refused(fault);
        }
        self.send(Bytes::from(packed), group.len()).await
    }

    /// Sends the same bytes until the service says something final about them.
    async fn send(&self, packed: Bytes, raw_len: usize) -> Outcome {
        let mut soon = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let mut long = Backoff::new(Duration::from_secs(3), Duration::from_secs(600));
        let mut slow = Backoff::new(Duration::from_secs(2), Duration::from_secs(600));
        let (mut corrected, mut unknown) = (false, 0);
        loop {
            let Err(fault) = self.attempt(&packed, raw_len).await else {
                *self.trouble() = None;
                return Outcome::Accepted;
            };
            let wait = match fault.verdict {
                Verdict::Split => return Outcome::Halve(fault),
                Verdict::Refuse => return Outcome::Refused(fault),
                Verdict::RetryFew if unknown + 1 >= FEW => return Outcome::Refused(fault),
                Verdict::RetryFew => {
                    unknown += 1;
                    soon.next_wait()
                }
                // Times that the service does not take stay what they are.
                Verdict::RetryNow if !fault.is_about_the_clock() => return Outcome::Refused(fault),
                Verdict::RetryNow if !std::mem::replace(&mut corrected, true) => Duration::ZERO,
                Verdict::RetryNow | Verdict::RetrySoon => soon.next_wait(),
                Verdict::Throttle => long.next_wait(),
                Verdict::Credentials | Verdict::Configuration => slow.next_wait(),
            };
            self.complain(fault.reason);
            tokio::time::sleep(wait).await;
            self.metrics.retried.increment(1);
        }
    }

    async fn attempt(&self, packed: &Bytes, raw_size: usize) -> Result<(), Fault> {
        self.metrics.requests.increment(1);
        self.metrics.sent_bytes.increment(packed.len() as u64);
        let path = format!("/logstores/{}/shards/lb", self.logstore);
        let mut headers = vec![("Content-Type", "application/x-protobuf")];
        headers.extend(self.compression.header().map(|name| ("x-log-compresstype", name)));
        let answer = self.client.call("POST", &path, &[], &headers, packed.clone(), raw_size).await;
        let answer = answer.map_err(|error| Fault::on_the_way(error.to_string()))?;
        let Some(request_id) = answer.request_id.clone() else {
            let (base, status) = (self.client.base(), answer.status);
            return Err(Fault::on_the_way(format!(
                "{base}: HTTP {status} without x-log-requestid, so something before Log Service answered"
            )));
        };
        if answer.status == 200 {
            return Ok(());
        }
        let ServiceError { code, message } = answer.error();
        let verdict = errors::judge(answer.status, &code, &message);
        let hint = match verdict {
            Verdict::Credentials => "; check the access key of this destination",
            Verdict::Configuration => "; check project, logstore and rights of this destination",
            _ => "",
        };
        let reason = format!("HTTP {} {code}: {message}{hint} (request {request_id})", answer.status);
        Err(Fault { verdict, code, reason, request_id })
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
