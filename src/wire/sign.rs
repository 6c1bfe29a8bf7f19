//! Signature version 1 of Log Service: making it for what we send, checking it for what we receive.
//!
//! ```text
//! Authorization: LOG <AccessKeyId>:<base64(HMAC-SHA1(AccessKeySecret, S))>
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

/// What starts the Authorization header of a version 1 request.
pub const V1_SCHEME: &str = "LOG ";

/// One query parameter, decoded; the value is absent where the target had no `=`.
pub type Parameter<'a> = (&'a str, Option<&'a str>);

/// The Authorization header of a request with these headers. `path` is the unescaped path, `query` decoded pairs,
/// `headers` all that will be sent, in any order and letter case (Content-MD5, Content-Type and Date among them).
pub fn authorization_v1(
    key_id: &str,
    secret: &str,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> String {
    let query: Vec<Parameter<'_>> = query.iter().map(|(name, value)| (*name, Some(*value))).collect();
    let text = string_to_sign(method, path, &query, headers, false);
    format!("{V1_SCHEME}{key_id}:{}", STANDARD.encode(hmac_sha1(secret.as_bytes(), text.as_bytes())))
}

/// Splits an Authorization header into key id and signature (base64); `None` when it is not one of version 1.
pub fn parse_v1(authorization: &str) -> Option<(&str, &str)> {
    authorization.strip_prefix(V1_SCHEME)?.trim().rsplit_once(':')
}

/// Whether `signature` (base64) is that of this request under `secret`. `raw_path` is the path as received;
/// `path` the same, unescaped.
pub fn verify_v1(
    secret: &str,
    method: &str,
    (raw_path, path): (&str, &str),
    query: &[Parameter<'_>],
    headers: &[(&str, &str)],
    signature: &str,
) -> bool {
    let Ok(claimed) = STANDARD.decode(signature) else { return false };
    let with_date = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-log-date"));
    let mut paths = vec![raw_path];
    if path != raw_path {
        paths.push(path);
    }
    for path in paths {
        for dated in [false, true] {
            if dated && !with_date {
                continue;
            }
            let text = string_to_sign(method, path, query, headers, dated);
            if bool::from(hmac_sha1(secret.as_bytes(), text.as_bytes()).as_slice().ct_eq(&claimed)) {
                return true;
            }
        }
    }
    false
}

/// The Content-MD5 header of a body: upper-case hex of the bytes as sent.
pub fn content_md5(body: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(32);
    for byte in Md5::digest(body) {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

fn string_to_sign(
    method: &str,
    path: &str,
    query: &[Parameter<'_>],
    headers: &[(&str, &str)],
    sign_log_date: bool,
) -> String {
    let plain = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map_or("", |(_, value)| value.trim())
    };
    let mut text = String::with_capacity(512);
    for line in [method, plain("content-md5"), plain("content-type"), plain("date")] {
        text.push_str(line);
        text.push('\n');
    }
    let mut signed: Vec<(String, &str)> = headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .filter(|(name, _)| name.starts_with("x-log-") || name.starts_with("x-acs-"))
        .filter(|(name, _)| !name.starts_with("x-log-meta-") && (sign_log_date || name != "x-log-date"))
        .collect();
    signed.sort();
    for (name, value) in signed {
        text.push_str(&name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    text.push_str(path);
    let mut query = query.to_vec();
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

fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    // HMAC takes keys of every length; the error of its constructor cannot happen.
    match Hmac::<Sha1>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text);
            mac.finalize().into_bytes().into()
        }
        Err(_) => [0; 20],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const BODY: &str = "f1260a2f0880e2cfaa06120d0a056c6576656c1204696e666f12130a036d7367120c68656c6c6f20e4b896e7958c2515cd5b070a2808813100140e310082056572726f72120b3200f01604626f6f6d25050000001a03776562220831302e302e302e39320a0a03656e761203646576";

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn worked_example_of_a_write() {
        let md5 = content_md5(&unhex(BODY));
        assert_eq!(md5, "1FC15651232AD3BF7EB9ECB6F91993CB");
        let headers = [
            ("Content-MD5", md5.as_str()),
            ("Content-Type", "application/x-protobuf"),
            ("Date", DATE),
            ("x-log-date", DATE),
            ("x-log-compresstype", "lz4"),
            ("x-log-apiversion", "0.6.0"),
            ("X-Log-BodyRawSize", " 118 "),
            ("x-log-signaturemethod", "hmac-sha1"),
            ("x-log-meta-shade", "never signed"),
        ];
        let made =
            authorization_v1("testAk", "testSk", "POST", "/logstores/app-log/shards/lb", &[], &headers);
        assert_eq!(made, "LOG testAk:aTkQPr2sSe05CgUF9w+V5svlHuY=");
    }

    #[test]
    fn worked_example_of_a_read_with_a_token() {
        let headers = [
            ("Date", DATE),
            ("x-acs-security-token", "stsToken123"),
            ("x-log-apiversion", "0.6.0"),
            ("x-log-bodyrawsize", "0"),
            ("x-log-signaturemethod", "hmac-sha1"),
        ];
        let query = [
            ("type", "log"),
            ("from", "1700000000"),
            ("to", "1700000060"),
            ("query", "level: info"),
            ("line", "10"),
            ("topic", ""),
        ];
        let made = authorization_v1("testAk", "testSk", "GET", "/logstores/app-log", &query, &headers);
        assert_eq!(made, "LOG testAk:vefTqavdfNuUwR1DGclAseDb0n4=");
    }

    #[test]
    fn vectors_of_another_client() {
        let base = [
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("x-log-apiversion", "0.6.0"),
            ("x-log-signaturemethod", "hmac-sha1"),
        ];
        assert_eq!(authorization_v1("", "", "GET", "/", &[], &base), "LOG :SApFTtfTFKHmzdEdaMe5TjNn+RQ=");
        let mut headers = base.to_vec();
        headers.push(("content-type", "application/json"));
        headers.push(("content-md5", "CE688F8D1AC3ED309BA9BE0A5ABAFCE5"));
        let (id, secret) = ("test-access-key-id", "test-access-key");
        let query = [("type", "log"), ("offset", "0"), ("line", "100")];
        let made = authorization_v1(id, secret, "POST", "/logstores/test-logstore", &query, &headers);
        assert_eq!(made, "LOG test-access-key-id:4pL2xZJERC3tPKtRiHh9+nMG3tI=");
        headers.push(("x-acs-security-token", "test-security-token"));
        let made = authorization_v1(id, secret, "POST", "/logstores/test-logstore", &query, &headers);
        assert_eq!(made, "LOG test-access-key-id:ZQt+0wIvpd+O9yIJKeKxZTJ2hv0=");
        let query = [("type", "log"), ("count", "1000"), ("cursor", "MTczNzY2OTAzNjAxNzIxODQ1NA==")];
        let made = authorization_v1(id, secret, "POST", "/logstores/test/shards/2", &query, &headers);
        assert_eq!(made, "LOG test-access-key-id:K3rw5WXRe77aZ/meSyEa8NNUYFc=");
    }

    #[test]
    fn a_path_may_be_signed_escaped_or_not_and_a_date_header_may_be_signed() {
        let headers = [("Date", DATE), ("x-log-date", DATE)];
        let paths = ("/logstores/a%2Bb", "/logstores/a+b");
        for path in [paths.0, paths.1] {
            for dated in [false, true] {
                let text = string_to_sign("GET", path, &[("topic", None)], &headers, dated);
                assert!(text.ends_with("?topic"));
                let signature = STANDARD.encode(hmac_sha1(b"s", text.as_bytes()));
                assert!(verify_v1("s", "GET", paths, &[("topic", None)], &headers, &signature));
                assert!(!verify_v1("t", "GET", paths, &[("topic", None)], &headers, &signature));
                assert!(!verify_v1("s", "GET", paths, &[("topic", Some(""))], &headers, &signature));
            }
        }
        assert!(!verify_v1("s", "GET", paths, &[], &headers, "no base64"));
        assert!(!verify_v1("s", "GET", paths, &[], &headers, ""));
    }

    /// Requests recorded from unmodified clients: tests/data/sls, key `testAk` / `testSk`.
    #[test]
    fn recorded_requests_verify() {
        let (mut verified, mut others) = (0, 0);
        for entry in std::fs::read_dir("tests/data/sls").unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "jsonl") {
                continue;
            }
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let request = line["request_line"].as_str().unwrap();
                let headers: Vec<(&str, &str)> = line["headers"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
                    .collect();
                let header = |wanted: &str| {
                    headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|pair| pair.1)
                };
                if header("x-log-signaturemethod") != Some("hmac-sha1") {
                    others += 1;
                    continue;
                }
                let mut words = request.split(' ');
                let (method, target) = (words.next().unwrap(), words.next().unwrap());
                let target = match target.split_once("://") {
                    Some((_, rest)) => &rest[rest.find('/').unwrap()..],
                    None => target,
                };
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let query = crate::wire::query::parse(query);
                let query: Vec<Parameter<'_>> =
                    query.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
                let (id, signature) = parse_v1(header("authorization").unwrap()).unwrap();
                assert_eq!(id, "testAk");
                assert!(
                    verify_v1("testSk", method, (path, path), &query, &headers, signature),
                    "{request} of {path:?}"
                );
                let mut spoiled = signature.as_bytes().to_vec();
                spoiled[0] ^= 1;
                let spoiled = String::from_utf8(spoiled).unwrap();
                assert!(!verify_v1("testSk", method, (path, path), &query, &headers, &spoiled));
                verified += 1;
            }
        }
        assert!(verified > 90, "only {verified} requests ({others} signed in other ways)");
    }
}
