//! Signatures of Log Service, both versions: made for what we send, checked for what we receive.
//!
//! ```text
//! Authorization: LOG <AccessKeyId>:<base64>                                                              v1, HMAC-SHA1 or -SHA256
//! Authorization: SLS4-HMAC-SHA256 Credential=<AccessKeyId>/<yyyyMMdd>/<region>/sls/aliyun_v4_request,Signature=<hex>   v4
//! ```
//!
//! The list of signed headers is not sent with either: who checks rebuilds it from what arrived. So the names that count
//! are a rule, the same for both sides, in [`signed_headers`]; what a version adds stands in its room. Version 1 covers the
//! body by Content-MD5, version 4 by `x-log-content-sha256`; whoever reads the body compares.
//!
//! It refuses an Authorization header that is neither, or has parts missing; nothing in one can make it allocate more than
//! the request already holds.

mod v1;
mod v4;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub use v1::{V1Method, authorization_v1, content_md5, hmac_sha1, verify_v1};
pub use v4::{SigningKey, V4Claim, authorization_v4, content_sha256, verify_v4};

/// What starts the Authorization header of a version 1 request.
pub const V1_SCHEME: &str = "LOG ";
/// What starts the Authorization header of a version 4 request.
pub const V4_SCHEME: &str = "SLS4-HMAC-SHA256 ";

/// One query parameter, decoded; the value is absent where the target had no `=`.
pub type Parameter<'a> = (&'a str, Option<&'a str>);

/// A request as both sides see it. Headers are all that are sent, in any order and letter case.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// As in the target, still escaped.
    pub raw_path: &'a str,
    /// The same, unescaped.
    pub path: &'a str,
    pub query: &'a [Parameter<'a>],
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> Request<'a> {
    /// The trimmed value of a header.
    fn header(&self, wanted: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim())
    }
}

/// What an Authorization header says: who signed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim<'a> {
    V1 {
        key_id: &'a str,
        /// Base64.
        signature: &'a str,
    },
    V4(V4Claim<'a>),
}

impl<'a> Claim<'a> {
    /// Takes an Authorization header apart. `None` when it is of neither version or lacks a part.
    pub fn parse(authorization: &'a str) -> Option<Claim<'a>> {
        if let Some(rest) = authorization.strip_prefix(V1_SCHEME) {
            let (key_id, signature) = rest.trim().rsplit_once(':')?;
            return Some(Claim::V1 { key_id, signature });
        }
        V4Claim::parse(authorization.strip_prefix(V4_SCHEME)?).map(Claim::V4)
    }

    pub fn key_id(&self) -> &'a str {
        match self {
            Claim::V1 { key_id, .. } => key_id,
            Claim::V4(claim) => claim.key_id,
        }
    }
}

/// The headers that count, lower-case and sorted, each with its trimmed value: `x-log-*` and `x-acs-*` but `x-log-meta-*`, and
/// what `also` names.
fn signed_headers<'a>(headers: &[(&str, &'a str)], also: impl Fn(&str) -> bool) -> Vec<(String, &'a str)> {
    let mut signed: Vec<(String, &str)> = headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .filter(|(name, _)| {
            let ours = name.starts_with("x-log-") || name.starts_with("x-acs-");
            ours && !name.starts_with("x-log-meta-") || also(name)
        })
        .collect();
    signed.sort();
    signed
}

fn put_headers(signed: &[(String, &str)], out: &mut String) {
    for (name, value) in signed {
        for part in [name.as_str(), ":", value, "\n"] {
            out.push_str(part);
        }
    }
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length; the error of its constructor cannot happen.
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text);
            mac.finalize().into_bytes().into()
        }
        Err(_) => [0; 32],
    }
}

fn put_hex(bytes: &[u8], digits: &[u8; 16], out: &mut String) {
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            out.push(char::from(digits[usize::from(half)]));
        }
    }
}

#[cfg(test)]
mod tests;
