//! Who sent a request: signature version 1 under the store's access key, and a clock within 15 minutes of ours.
//!
//! Decided from the head of the request alone. The body is covered by Content-MD5, which is part of what was signed and
//! is checked when the body is there.

use axum::http::request::Parts;

use super::answer::Refusal;
use super::request::{Target, short};
use crate::store::AccessKey;
use crate::wire::sign;

/// Difference of clocks that is accepted, in seconds.
const SKEW: i64 = 15 * 60;

pub(super) fn check(head: &Parts, target: &Target, key: &AccessKey, now: i64) -> Result<(), Refusal> {
    let headers: Vec<(&str, &str)> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?)))
        .collect();
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.trim());

    let authorization = header("authorization").ok_or_else(|| Refusal::missing_header("authorization"))?;
    let method = header("x-log-signaturemethod").unwrap_or("hmac-sha1");
    if !authorization.starts_with(sign::V1_SCHEME) || !method.eq_ignore_ascii_case("hmac-sha1") {
        let message =
            "this server checks signature version 1 with hmac-sha1 only: Authorization: LOG id:signature";
        return Err(Refusal::new("InvalidSignatureMethod", message));
    }
    let (id, signature) = sign::parse_v1(authorization)
        .ok_or_else(|| Refusal::new("Unauthorized", "the Authorization header is not LOG id:signature"))?;
    if id != key.id {
        return Err(Refusal::new("Unauthorized", format!("AccessKeyId not found: {}", short(id))));
    }

    // x-log-date stands in for a Date that a proxy may have rewritten; Date has to be there all the same.
    let date = header("date").ok_or_else(|| Refusal::new("MissingDate", "the Date header is missing"))?;
    let date = header("x-log-date").unwrap_or(date);
    let sent = jiff::fmt::rfc2822::parse(date)
        .map_err(|_| Refusal::new("InvalidDateFormat", format!("not an RFC 1123 date: {}", short(date))))?
        .timestamp()
        .as_second();
    if sent.abs_diff(now) > SKEW as u64 {
        let message = format!("Request time {sent} has been expired while server time is {now}.");
        return Err(Refusal::new("RequestTimeExpired", message));
    }

    let query: Vec<sign::Parameter<'_>> =
        target.query.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    let paths = (target.raw_path.as_str(), target.path.as_str());
    if !sign::verify_v1(key.secret.expose(), target.method.as_str(), paths, &query, &headers, signature) {
        return Err(Refusal::new("SignatureNotMatch", format!("signature {} not matched", short(signature))));
    }
    Ok(())
}
