//! One request, and what its answer means: for the LogGroup ([`Verdict`]) and for who comes next ([`Strain`]).

use bytes::Bytes;

use super::Delivery;
use crate::output::client::{ClientError, ServiceError};
use crate::output::concurrency::Strain;
use crate::output::shard_key::Bucket;
use crate::wire::errors::{self, Verdict};

/// What the service says of an error goes into log lines, `status` and dead letters.
const MESSAGE_CHARS: usize = 500;

/// The body of a PutLogs and where it goes; sent again as it is.
pub(super) struct Post {
    pub(super) body: Bytes,
    /// What the service is told: bytes before compression, or those of a list.
    pub(super) declared: usize,
    /// LogGroup bytes before compression, which the rate counts.
    pub(super) raw_len: usize,
    pub(super) bucket: Option<Bucket>,
    /// The body is a package list.
    pub(super) is_list: bool,
}

/// What was wrong with an attempt, and what to do about it.
pub(super) struct Fault {
    pub(super) verdict: Verdict,
    pub(super) strain: Strain,
    pub(super) code: String,
    /// For people: status, code, message and request id, or what happened on the way.
    pub(super) reason: String,
    pub(super) request_id: String,
    /// Seconds since 1970 on the service's clock, where it told.
    pub(super) service_time: Option<i64>,
}

impl Fault {
    pub(super) fn new(verdict: Verdict, strain: Strain, reason: String) -> Fault {
        Fault { verdict, strain, code: String::new(), reason, request_id: String::new(), service_time: None }
    }

    /// Whether the service found our clock wrong, which the client has corrected by now.
    pub(super) fn is_about_the_clock(&self) -> bool {
        self.code.starts_with("RequestTime")
    }

    /// Whether it does not take the times of the logs.
    pub(super) fn is_about_times(&self) -> bool {
        self.verdict == Verdict::RetryNow && !self.is_about_the_clock()
    }

    /// Whether project or logstore do not exist.
    pub(super) fn is_about_absence(&self) -> bool {
        matches!(self.code.as_str(), "ProjectNotExist" | "LogStoreNotExist")
    }
}

impl Delivery {
    pub(super) async fn attempt(&self, post: &Post) -> Result<(), Fault> {
        self.metrics.requests.increment(1);
        self.metrics.sent_bytes.increment(post.body.len() as u64);
        let key = post.bucket.map(Bucket::key);
        let way = if key.is_some() { "route" } else { "lb" };
        let path = format!("/logstores/{}/shards/{way}", self.logstore);
        let query = key.as_deref().map(|key| ("key", key));
        let mut headers = vec![("Content-Type", "application/x-protobuf")];
        headers.extend(self.compression.header().map(|name| ("x-log-compresstype", name)));
        headers.extend(post.is_list.then_some(("x-log-mode", "batch_group")));
        let answer = self
            .client
            .call("POST", &path, query.as_slice(), &headers, post.body.clone(), post.declared)
            .await;
        let on_the_way = |reason| Fault::new(Verdict::RetrySoon, Strain::Endpoint, reason);
        let answer = answer.map_err(|error| match error {
            ClientError::Call { .. } | ClientError::TooLong { .. } => on_the_way(error.to_string()),
            other => Fault::new(Verdict::RetrySoon, Strain::Unsent, other.to_string()),
        })?;
        let Some(request_id) = answer.request_id.clone() else {
            let (base, status) = (self.client.base(), answer.status);
            return Err(on_the_way(format!(
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
        let message = bounded(&message);
        let reason = format!("HTTP {} {code}: {message}{hint} (request {request_id})", answer.status);
        let strain = match verdict {
            Verdict::RetrySoon => Strain::Endpoint,
            Verdict::Throttle if code == "ShardWriteQuotaExceed" => Strain::Logstore,
            Verdict::Throttle => Strain::Project,
            _ => Strain::Other,
        };
        let time = answer.headers.get("x-log-time").and_then(|time| time.to_str().ok());
        let service_time = time.and_then(|time| time.parse().ok());
        Err(Fault { verdict, strain, code, reason, request_id, service_time })
    }
}

/// Of a message for people, on one line.
fn bounded(message: &str) -> String {
    let line = message.chars().map(|char| if char.is_control() { ' ' } else { char });
    line.take(MESSAGE_CHARS).collect()
}
