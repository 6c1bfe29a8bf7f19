//! Signatures: any Authorization header over any request, checked as the embedded Log Service checks it.
//!
//! Input: one header a line, `name: value`; the first line is `METHOD target`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluicegate::wire::query;
use sluicegate::wire::sign::{Claim, Request, SigningKey, V1Method, authorization_v4, verify_v1, verify_v4};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines();
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or(("GET", "/"));
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let (raw_path, parameters) = target.split_once('?').unwrap_or((target, ""));
    let (path, parameters) = (query::decode_path(raw_path), query::parse(parameters));
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    let request = Request { method, raw_path, path: &path, query: &parameters, headers: &headers };
    for (name, value) in &headers {
        if !name.eq_ignore_ascii_case("authorization") {
            continue;
        }
        match Claim::parse(value.trim()) {
            Some(Claim::V1 { signature, .. }) => {
                verify_v1("secret", V1Method::HmacSha1, &request, signature);
                verify_v1("secret", V1Method::HmacSha256, &request, signature);
            }
            Some(Claim::V4(claim)) => {
                assert!(!verify_v4("secret", &claim, &request), "a signature was guessed");
                // What is made for the same request and scope opens the door.
                let key = SigningKey::new("secret", claim.date, claim.region);
                let made = authorization_v4(claim.key_id, &key, &request);
                if let Some(Claim::V4(made)) = Claim::parse(&made) {
                    assert!(verify_v4("secret", &made, &request));
                }
            }
            None => {}
        }
    }
});
