//! Who sent a request: a signature of either version under the store's access key, and a clock within 15 minutes of ours.
//!
//! ```text
//! LOG id:base64                                 version 1, HMAC-SHA1 or HMAC-SHA256 by x-log-signaturemethod
//! SLS4-HMAC-SHA256 Credential=...,Signature=... version 4, of any region
//! ```
//!
//! Decided from the head of the request alone. The body is covered by Content-MD5 or x-log-content-sha256, which is part of
//! what was signed and is checked when the body is there. A security token is signed like every header of the service, and
//! means nothing here.

use axum::http::request::Parts;
use jiff::civil;
use jiff::tz::TimeZone;

use super::answer::Refusal;
use super::request::{Target, short};
use crate::store::AccessKey;
use crate::wire::sign::{self, Claim, V1_SCHEME, V1Method, V4_SCHEME};

/// Difference of clocks that is accepted, in seconds.
const SKEW: u64 = 15 * 60;

pub(super) fn check(head: &Parts, target: &Target, key: &AccessKey, now: i64) -> Result<(), Refusal> {
    let headers: Vec<(&str, &str)> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?)))
        .collect();
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.trim());

    let authorization = header("authorization").ok_or_else(|| Refusal::missing_header("authorization"))?;
    let claim = claim(authorization)?;
    let hash = match claim {
        Claim::V1 { .. } => method(header("x-log-signaturemethod").unwrap_or("hmac-sha1"))?,
        Claim::V4(_) => V1Method::HmacSha256,
    };
    if claim.key_id() != key.id {
        let message = format!("AccessKeyId not found: {}", short(claim.key_id()));
        return Err(Refusal::new("Unauthorized", message));
    }

    let date = match claim {
        Claim::V1 { .. } => {
            // x-log-date stands in for a Date that a proxy may have rewritten; Date has to be there all the same.
            let date =
                header("date").ok_or_else(|| Refusal::new("MissingDate", "the Date header is missing"))?;
            header("x-log-date").unwrap_or(date)
        }
        Claim::V4(_) => header("x-log-date").ok_or_else(|| Refusal::missing_header("x-log-date"))?,
    };
    let sent = match claim {
        Claim::V1 { .. } => rfc_1123(date),
        Claim::V4(claim) => iso_8601(date).filter(|_| date.starts_with(claim.date)),
    };
    let sent = sent.ok_or_else(|| {
        let form = match claim {
            Claim::V1 { .. } => "an RFC 1123 date",
            Claim::V4(_) => "yyyyMMddTHHmmssZ of the day that the Credential names",
        };
        Refusal::new("InvalidDateFormat", format!("not {form}: {}", short(date)))
    })?;
    if sent.abs_diff(now) > SKEW {
        let message = format!("Request time {sent} has been expired while server time is {now}.");
        return Err(Refusal::new("RequestTimeExpired", message));
    }
    if matches!(claim, Claim::V4(_)) && header("x-log-content-sha256").is_none() {
        return Err(Refusal::missing_header("x-log-content-sha256"));
    }

    let query: Vec<sign::Parameter<'_>> =
        target.query.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    let request = sign::Request {
        method: target.method.as_str(),
        raw_path: &target.raw_path,
        path: &target.path,
        query: &query,
        headers: &headers,
    };
    let secret = key.secret.expose();
    let (matches, signature) = match &claim {
        Claim::V1 { signature, .. } => (sign::verify_v1(secret, hash, &request, signature), *signature),
        Claim::V4(claim) => (sign::verify_v4(secret, claim, &request), claim.signature),
    };
    if matches {
        return Ok(());
    }
    Err(Refusal::new("SignatureNotMatch", format!("signature {} not matched", short(signature))))
}

fn claim(authorization: &str) -> Result<Claim<'_>, Refusal> {
    Claim::parse(authorization).ok_or_else(|| match authorization {
        _ if authorization.starts_with(V1_SCHEME) => {
            Refusal::new("Unauthorized", "the Authorization header is not LOG id:signature")
        }
        _ if authorization.starts_with(V4_SCHEME) => Refusal::new(
            "Unauthorized",
            "the Authorization header is not SLS4-HMAC-SHA256 \
             Credential=id/yyyyMMdd/region/sls/aliyun_v4_request,Signature=hex",
        ),
        _ => Refusal::new(
            "InvalidSignatureMethod",
            "the Authorization header begins neither with LOG (version 1) nor with SLS4-HMAC-SHA256 (version 4)",
        ),
    })
}

fn method(name: &str) -> Result<V1Method, Refusal> {
    V1Method::of(name).ok_or_else(|| {
        let message = format!("x-log-signaturemethod {} is neither hmac-sha1 nor hmac-sha256", short(name));
        Refusal::new("InvalidSignatureMethod", message)
    })
}

/// Seconds since 1970 of `Tue, 14 Nov 2023 22:13:20 GMT`.
fn rfc_1123(text: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second())
}

/// Seconds since 1970 of `20231114T221320Z`.
fn iso_8601(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(date, 8) || !digits(time, 6) {
        return None;
    }
    let part = |text: &str, from: usize, to: usize| text.get(from..to)?.parse::<i8>().ok();
    let date = civil::Date::new(date.get(..4)?.parse().ok()?, part(date, 4, 6)?, part(date, 6, 8)?).ok()?;
    let time = civil::Time::new(part(time, 0, 2)?, part(time, 2, 4)?, part(time, 4, 6)?, 0).ok()?;
    Some(date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_both_versions() {
        assert_eq!(rfc_1123("Tue, 14 Nov 2023 22:13:20 GMT"), Some(1_700_000_000));
        assert_eq!(iso_8601("20231114T221320Z"), Some(1_700_000_000));
        for wrong in
            ["", "Z", "T", "20231114T221320", "20231314T221320Z", "20231114T246320Z", "+0231114T221320Z"]
        {
            assert_eq!(iso_8601(wrong), None, "{wrong}");
        }
    }
}
