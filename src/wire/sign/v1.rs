//! Version 1.
//!
//! ```text
//! base64(HMAC(AccessKeySecret, S)), SHA-1, or SHA-256 where x-log-signaturemethod says hmac-sha256
//! S = VERB \n  Content-MD5 \n  Content-Type \n  Date \n  LogHeaders  Resource
//! LogHeaders = every x-log-* and x-acs-* header but x-log-meta-* and x-log-date, by name, each `name:value\n`
//! Resource   = path, then `?` and the parameters by name, decoded, `name=value` joined by `&`
//! ```
//!
//! Clients differ in three places, and a server has to follow all of them: the path is signed escaped or not, a
//! parameter without `=` is signed as its bare name, and `x-log-date` is added after signing by some and signed by
//! others. [`verify_v1`] therefore tries the forms in turn; each comparison takes the same time whatever it finds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::{Request, V1_SCHEME, hmac_sha256, put_headers, put_hex, signed_headers};

/// The hash of the HMAC, by `x-log-signaturemethod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum V1Method {
    HmacSha1,
    HmacSha256,
}

impl V1Method {
    /// By its name in the header, in any letter case.
    pub fn of(name: &str) -> Option<V1Method> {
        match name {
            _ if name.eq_ignore_ascii_case("hmac-sha1") => Some(V1Method::HmacSha1),
            _ if name.eq_ignore_ascii_case("hmac-sha256") => Some(V1Method::HmacSha256),
            _ => None,
        }
    }

    fn mac(self, secret: &str, text: &str) -> Vec<u8> {
        match self {
            V1Method::HmacSha1 => hmac_sha1(secret.as_bytes(), text.as_bytes()).to_vec(),
            V1Method::HmacSha256 => hmac_sha256(secret.as_bytes(), text.as_bytes()).to_vec(),
        }
    }
}

/// The Authorization header of a request with these headers. `path` is the unescaped path, `query` decoded pairs,
/// `headers` all that will be sent, in any order and letter case (Content-MD5, Content-Type and Date among them). The hash
/// is the one that x-log-signaturemethod names among them, else SHA-1.
pub fn authorization_v1(
    key_id: &str,
    secret: &str,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> String {
    let query: Vec<_> = query.iter().map(|(name, value)| (*name, Some(*value))).collect();
    let request = Request { method, raw_path: path, path, query: &query, headers };
    let hash = request.header("x-log-signaturemethod").and_then(V1Method::of).unwrap_or(V1Method::HmacSha1);
    let text = string_to_sign(&request, path, false);
    format!("{V1_SCHEME}{key_id}:{}", STANDARD.encode(hash.mac(secret, &text)))
}

/// Whether `signature` (base64) is that of this request under `secret`.
pub fn verify_v1(secret: &str, hash: V1Method, request: &Request<'_>, signature: &str) -> bool {
    let Ok(claimed) = STANDARD.decode(signature) else { return false };
    let dates: &[bool] = if request.header("x-log-date").is_some() { &[false, true] } else { &[false] };
    let paths = [request.raw_path, request.path];
    let paths = if request.path == request.raw_path { &paths[..1] } else { &paths[..] };
    for path in paths {
        for dated in dates {
            let text = string_to_sign(request, path, *dated);
            if bool::from(hash.mac(secret, &text).ct_eq(&claimed)) {
                return true;
            }
        }
    }
    false
}

/// The Content-MD5 header of a body: upper-case hex of the bytes as sent.
pub fn content_md5(body: &[u8]) -> String {
    let mut text = String::with_capacity(32);
    put_hex(&Md5::digest(body), b"0123456789ABCDEF", &mut text);
    text
}

pub(super) fn string_to_sign(request: &Request<'_>, path: &str, sign_log_date: bool) -> String {
    let plain = |name| request.header(name).unwrap_or("");
    let mut text = String::with_capacity(512);
    for line in [request.method, plain("content-md5"), plain("content-type"), plain("date")] {
        text.push_str(line);
        text.push('\n');
    }
    let mut signed = signed_headers(request.headers, |_| false);
    signed.retain(|(name, _)| sign_log_date || name != "x-log-date");
    put_headers(&signed, &mut text);
    text.push_str(path);
    let mut query = request.query.to_vec();
    query.sort();
    for (index, (name, value)) in query.into_iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(name);
        if let Some(value) = value {
            text.push('=');
            text.push_str(value);
        }
    }
    text
}

/// Also the MAC of the vendor's other services (STS), with a string of their own.
pub fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    // HMAC takes keys of every length; the error of its constructor cannot happen.
    match Hmac::<Sha1>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text);
            mac.finalize().into_bytes().into()
        }
        Err(_) => [0; 20],
    }
}
