//! Version 4.
//!
//! ```text
//! CanonicalRequest = METHOD \n Path \n Query \n Headers \n SignedHeaders \n ContentSha256
//!   Path           as sent
//!   Query          by name, `name=encoded` joined by `&`; an empty value is its bare name
//!   Headers        content-type, host, x-log-* but x-log-meta-*, x-acs-*: by lower-case name, each `name:value\n`
//!   SignedHeaders  the same names, joined by `;`
//!   ContentSha256  the header x-log-content-sha256: lower-case hex of the body as sent
//! StringToSign = SLS4-HMAC-SHA256 \n x-log-date \n yyyyMMdd/region/sls/aliyun_v4_request \n hex(SHA256(CanonicalRequest))
//! key = HMAC("aliyun_v4" + secret, yyyyMMdd) -> HMAC(, region) -> HMAC(, "sls") -> HMAC(, "aliyun_v4_request")
//! Signature = hex(HMAC(key, StringToSign))
//! ```
//!
//! The key holds for a day and a region, so whoever signs many requests keeps its [`SigningKey`]. `host` is signed as it is
//! sent, with its port or without: a server takes it as received.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Request, V4_SCHEME, hmac_sha256, put_headers, put_hex, signed_headers};
use crate::wire::query;

const LOWER: &[u8; 16] = b"0123456789abcdef";
const REQUEST: &str = "aliyun_v4_request";
const SERVICE: &str = "sls";

/// An Authorization header of version 4, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V4Claim<'a> {
    pub key_id: &'a str,
    /// `yyyyMMdd`.
    pub date: &'a str,
    pub region: &'a str,
    /// 64 hex digits.
    pub signature: &'a str,
}

impl<'a> V4Claim<'a> {
    /// What follows the scheme: `Credential=...,Signature=...`, with blanks or without.
    pub(super) fn parse(text: &'a str) -> Option<V4Claim<'a>> {
        let (credential, signature) = text.split_once(',')?;
        let signature = signature.trim().strip_prefix("Signature=")?;
        let mut parts = credential.trim().strip_prefix("Credential=")?.rsplitn(5, '/');
        let (request, service) = (parts.next()?, parts.next()?);
        let (region, date, key_id) = (parts.next()?, parts.next()?, parts.next()?);
        let is_date = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        let is_hex = signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_hexdigit());
        let whole = request == REQUEST && service == SERVICE && is_date && is_hex;
        whole.then_some(V4Claim { key_id, date, region, signature })
    }
}

/// The key of one secret, day and region.
#[derive(Clone)]
pub struct SigningKey {
    /// `yyyyMMdd/region/sls/aliyun_v4_request`
    scope: String,
    key: [u8; 32],
}

impl SigningKey {
    /// `date` is `yyyyMMdd`.
    pub fn new(secret: &str, date: &str, region: &str) -> SigningKey {
        let mut key = hmac_sha256(format!("aliyun_v4{secret}").as_bytes(), date.as_bytes());
        for part in [region, SERVICE, REQUEST] {
            key = hmac_sha256(&key, part.as_bytes());
        }
        SigningKey { scope: format!("{date}/{region}/{SERVICE}/{REQUEST}"), key }
    }

    /// Whether it is the key of this day.
    pub fn is_of(&self, date: &str) -> bool {
        self.scope.starts_with(date) && self.scope.as_bytes().get(date.len()) == Some(&b'/')
    }

    pub(super) fn signature(&self, request: &Request<'_>) -> [u8; 32] {
        let canonical = canonical_request(request);
        let mut text = String::with_capacity(192);
        let date = request.header("x-log-date").unwrap_or("");
        for part in [V4_SCHEME.trim_end(), "\n", date, "\n", self.scope.as_str(), "\n"] {
            text.push_str(part);
        }
        put_hex(&Sha256::digest(canonical.as_bytes()), LOWER, &mut text);
        hmac_sha256(&self.key, text.as_bytes())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.scope)
    }
}

/// The Authorization header of a request. Its headers are all that will be sent, `Host`, `x-log-date` and
/// `x-log-content-sha256` among them; `raw_path` is the path of its target.
pub fn authorization_v4(key_id: &str, key: &SigningKey, request: &Request<'_>) -> String {
    let mut text = String::with_capacity(192);
    for part in [V4_SCHEME, "Credential=", key_id, "/", &key.scope, ",Signature="] {
        text.push_str(part);
    }
    put_hex(&key.signature(request), LOWER, &mut text);
    text
}

/// Whether the claim's signature is that of this request under `secret`.
pub fn verify_v4(secret: &str, claim: &V4Claim<'_>, request: &Request<'_>) -> bool {
    let key = SigningKey::new(secret, claim.date, claim.region);
    let mut made = String::with_capacity(64);
    put_hex(&key.signature(request), LOWER, &mut made);
    bool::from(made.as_bytes().ct_eq(claim.signature.to_ascii_lowercase().as_bytes()))
}

/// The header `x-log-content-sha256` of a body: lower-case hex of the bytes as sent.
pub fn content_sha256(body: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    put_hex(&Sha256::digest(body), LOWER, &mut text);
    text
}

pub(super) fn canonical_request(request: &Request<'_>) -> String {
    let mut text = String::with_capacity(768);
    for line in [request.method, request.raw_path] {
        text.push_str(line);
        text.push('\n');
    }
    let mut parameters = request.query.to_vec();
    parameters.sort();
    for (index, (name, value)) in parameters.into_iter().enumerate() {
        if index > 0 {
            text.push('&');
        }
        text.push_str(name);
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text.push('=');
            query::encode(value, &mut text);
        }
    }
    text.push('\n');
    let signed = signed_headers(request.headers, |name| matches!(name, "content-type" | "host"));
    put_headers(&signed, &mut text);
    text.push('\n');
    for (index, (name, _)) in signed.iter().enumerate() {
        if index > 0 {
            text.push(';');
        }
        text.push_str(name);
    }
    text.push('\n');
    text.push_str(request.header("x-log-content-sha256").unwrap_or(""));
    text
}
