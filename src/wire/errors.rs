//! The errors of Log Service: which codes there are, the status they come with, and what a client does about them.
//!
//! One table serves both sides: the embedded service answers from it, the output judges answers by it. The status
//! and verdicts are those of the published error list and of the vendor's own clients.

/// What a client that holds a LogGroup does after an answer that is not 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try the same bytes again, exponentially from 1 s to 60 s, with jitter.
    RetrySoon,
    /// Repair what the answer names (the clock offset; times out of the window) and try again at once.
    RetryNow,
    /// A quota: wait longer (3 s to 60 s) and use less concurrency.
    Throttle,
    /// Refresh the credentials once, then as [`Verdict::Configuration`].
    Credentials,
    /// Project, logstore, rights or payment are missing: keep the data, retry slowly, tell the operator.
    Configuration,
    /// Too large: halve the LogGroup.
    Split,
    /// The same bytes will never be accepted.
    Refuse,
    /// A refusal nobody knows: try five times, then as [`Verdict::Refuse`].
    RetryFew,
}

/// One error code: its name on the wire, the HTTP status it comes with, the verdict of a client.
#[derive(Debug)]
pub struct Known {
    pub code: &'static str,
    pub status: u16,
    pub verdict: Verdict,
}

const fn known(status: u16, code: &'static str, verdict: Verdict) -> Known {
    Known { code, status, verdict }
}

use Verdict::{Configuration, Credentials, Refuse, RetryNow, RetrySoon, Split, Throttle};

/// All codes with a meaning of their own.
pub const TABLE: &[Known] = &[
    known(400, "RequestTimeExpired", RetryNow),
    known(400, "RequestTimeTooSkewed", RetryNow),
    known(400, "InvalidRequestTime", Refuse),
    known(400, "InvalidDateFormat", Refuse),
    known(400, "MissingDate", Refuse),
    known(400, "PostBodyInvalid", Refuse),
    known(400, "InvalidTimestamp", Refuse),
    known(400, "InvalidEncoding", Refuse),
    known(400, "InvalidKey", Refuse),
    known(400, "PostBodyUncompressError", Refuse),
    known(400, "InvalidBodyRawSize", Refuse),
    known(400, "InvalidCompressType", Refuse),
    known(413, "PostBodyTooLarge", Split),
    known(400, "ParameterInvalid", Refuse),
    known(400, "InvalidParameter", Refuse),
    known(400, "MissingParameter", Refuse),
    known(400, "InvalidHost", Refuse),
    known(400, "MissingHost", Refuse),
    known(400, "InvalidContentType", Refuse),
    known(400, "MissingContentType", Refuse),
    known(400, "MissingBodyRawSize", Refuse),
    known(400, "MissingAPIVersion", Refuse),
    known(400, "InvalidAPIVersion", Refuse),
    known(400, "MissAccessKeyId", Refuse),
    known(400, "MissingSignatureMethod", Refuse),
    known(400, "InvalidSignatureMethod", Refuse),
    known(400, "InvalidSequenceId", Refuse),
    known(400, "ProjectAlreadyExist", Refuse),
    known(400, "LogStoreAlreadyExist", Refuse),
    known(400, "IndexAlreadyExist", Refuse),
    known(400, "MachineGroupAlreadyExist", Refuse),
    known(400, "ConfigAlreadyExist", Refuse),
    known(400, "ConsumerGroupAlreadyExist", Refuse),
    known(400, "JobAlreadyExist", Refuse),
    known(400, "ProjectInfoInvalid", Refuse),
    known(400, "LogStoreInfoInvalid", Refuse),
    known(400, "ProjectQuotaExceed", Configuration),
    known(400, "ExceedQuota", Configuration),
    known(400, "InvalidTimeRange", Refuse),
    known(400, "InvalidQueryString", Refuse),
    known(400, "InvalidOffset", Refuse),
    known(400, "InvalidLine", Refuse),
    known(400, "InvalidReverse", Refuse),
    known(400, "InvalidCursor", Refuse),
    known(400, "IndexConfigNotExist", Refuse),
    known(400, "LogStoreWithoutShard", Configuration),
    known(400, "NotSupported", Configuration),
    known(401, "Unauthorized", Credentials),
    known(401, "SignatureNotMatch", Credentials),
    known(401, "InvalidAccessKeyId", Credentials),
    known(403, "WriteQuotaExceed", Throttle),
    known(403, "ShardWriteQuotaExceed", Throttle),
    known(403, "ReadQuotaExceed", Throttle),
    known(403, "ShardReadQuotaExceed", Throttle),
    known(403, "MetaOperationQpsLimitExceeded", Throttle),
    known(403, "ProjectForbidden", Configuration),
    known(404, "ProjectNotExist", Configuration),
    known(404, "LogStoreNotExist", Configuration),
    known(404, "ShardNotExist", Refuse),
    known(404, "GroupNotExist", Refuse),
    known(404, "MachineGroupNotExist", Refuse),
    known(404, "ConfigNotExist", Refuse),
    known(404, "ConsumerGroupNotExist", Refuse),
    known(404, "ConsumerNotExsit", Refuse),
    known(400, "ConsumerNotMatch", Refuse),
    known(405, "InvalidMethod", Refuse),
    known(411, "MissingContentLength", Refuse),
    known(500, "InternalServerError", RetrySoon),
    known(500, "RequestTimeout", RetrySoon),
    known(501, "NotImplemented", Refuse),
    known(503, "ServerBusy", RetrySoon),
];

/// The entry of a code.
pub fn find(code: &str) -> Option<&'static Known> {
    TABLE.iter().find(|entry| entry.code == code)
}

/// What to do with a LogGroup that was answered so. `code` is empty when the body was no error of Log Service; an
/// answer without `x-log-requestid` came from a proxy, and is [`Verdict::RetrySoon`] whatever it says.
pub fn judge(status: u16, code: &str, message: &str) -> Verdict {
    if code == "PostBodyInvalid" && message.contains("time is out of range") {
        return RetryNow;
    }
    if let Some(entry) = find(code) {
        // A server in trouble may send any code: the status class decides then.
        return if status >= 500 && status != 501 { RetrySoon } else { entry.verdict };
    }
    match status {
        401 => Credentials,
        403 if ["Quota Exceed", "QPS Exceed"].iter().any(|part| message.contains(part)) => Throttle,
        403 | 404 => Configuration,
        408 => RetrySoon,
        413 => Split,
        429 => Throttle,
        405 | 411 | 415 | 501 => Refuse,
        // Redirects are not followed with signed requests: the endpoint is wrong.
        300..=399 => Configuration,
        400..=499 => Verdict::RetryFew,
        _ => RetrySoon,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once() {
        for (index, entry) in TABLE.iter().enumerate() {
            assert!(TABLE[..index].iter().all(|before| before.code != entry.code), "{} twice", entry.code);
            assert!((400..600).contains(&entry.status));
        }
    }

    #[test]
    fn judges_by_code_then_by_status() {
        assert_eq!(judge(400, "RequestTimeExpired", ""), RetryNow);
        assert_eq!(judge(400, "PostBodyInvalid", "Protobuffer content cannot be parsed."), Refuse);
        assert_eq!(judge(400, "PostBodyInvalid", "The post data time is out of range"), RetryNow);
        assert_eq!(judge(413, "PostBodyTooLarge", ""), Split);
        assert_eq!(judge(400, "PostBodyTooLarge", ""), Split);
        assert_eq!(judge(401, "SignatureNotMatch", ""), Credentials);
        assert_eq!(judge(403, "WriteQuotaExceed", "Inflow Quota Exceed"), Throttle);
        assert_eq!(judge(403, "", "Write QPS Exceed"), Throttle);
        assert_eq!(judge(403, "Denied", "no"), Configuration);
        assert_eq!(judge(404, "LogStoreNotExist", ""), Configuration);
        assert_eq!(judge(500, "LogStoreNotExist", ""), RetrySoon);
        assert_eq!(judge(503, "ServerBusy", ""), RetrySoon);
        assert_eq!(judge(502, "", "<html>"), RetrySoon);
        assert_eq!(judge(501, "NotImplemented", ""), Refuse);
        assert_eq!(judge(400, "BrandNew", ""), Verdict::RetryFew);
        assert_eq!(judge(301, "", ""), Configuration);
    }
}
