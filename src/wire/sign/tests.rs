//! The worked examples of both versions, other clients' vectors, and requests that unmodified clients sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::v1::string_to_sign;
use super::v4::canonical_request;
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
    let made = authorization_v1("testAk", "testSk", "POST", "/logstores/app-log/shards/lb", &[], &headers);
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
    let query = [("topic", None)];
    let request = Request {
        method: "GET",
        raw_path: "/logstores/a%2Bb",
        path: "/logstores/a+b",
        query: &query,
        headers: &headers,
    };
    let other = Request { query: &[("topic", Some(""))], ..request };
    for path in [request.raw_path, request.path] {
        for dated in [false, true] {
            let text = string_to_sign(&request, path, dated);
            assert!(text.ends_with("?topic"));
            for (hash, mac) in [
                (V1Method::HmacSha1, hmac_sha1(b"s", text.as_bytes()).to_vec()),
                (V1Method::HmacSha256, hmac_sha256(b"s", text.as_bytes()).to_vec()),
            ] {
                let signature = STANDARD.encode(mac);
                assert!(verify_v1("s", hash, &request, &signature));
                assert!(!verify_v1("t", hash, &request, &signature));
                assert!(!verify_v1("s", hash, &other, &signature));
            }
        }
    }
    assert!(!verify_v1("s", V1Method::HmacSha1, &request, "no base64"));
    assert!(!verify_v1("s", V1Method::HmacSha1, &request, ""));
}

const V4_DATE: &str = "20231114T221320Z";
const HOST: &str = "demo-project.cn-hangzhou.log.aliyuncs.com";
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn worked_example_of_a_write_in_version_4() {
    let hash = content_sha256(&unhex(BODY));
    assert_eq!(hash, "7f09cb5ce6595bbb6089145b1b1db31857b7653b623925804e0ea5aa9baa38e9");
    let headers = [
        ("Host", HOST),
        ("x-log-compresstype", "lz4"),
        ("x-log-apiversion", "0.6.0"),
        ("X-Log-BodyRawSize", " 118 "),
        ("x-log-content-sha256", &hash),
        ("x-log-meta-shade", "never signed"),
        ("x-log-date", V4_DATE),
        ("Content-Type", "application/x-protobuf"),
        ("User-Agent", "never signed"),
    ];
    let path = "/logstores/app-log/shards/lb";
    let request = Request { method: "POST", raw_path: path, path, query: &[], headers: &headers };
    let canonical = content_sha256(canonical_request(&request).as_bytes());
    assert_eq!(canonical, "47dcf812d50a5a2cc9ab0e80925f13fba008d7f12ef8428b4a6f9ec7cf317bcc");
    let made = authorization_v4("testAk", &SigningKey::new("testSk", "20231114", "cn-hangzhou"), &request);
    assert_eq!(
        made,
        "SLS4-HMAC-SHA256 Credential=testAk/20231114/cn-hangzhou/sls/aliyun_v4_request,\
         Signature=0d13a4c34903e0b455ca335009acf9b0db88864d8ecb5c4bd8d959b761bb24f4"
    );
    let Some(Claim::V4(claim)) = Claim::parse(&made) else { panic!() };
    assert!(verify_v4("testSk", &claim, &request));
    assert!(!verify_v4("testSk", &V4Claim { region: "cn-beijing", ..claim }, &request));
    assert!(!verify_v4("other", &claim, &request));
    let other_host = [("Host", "demo-project.cn-hangzhou.log.aliyuncs.com:80")];
    let headers: Vec<_> = headers[1..].iter().chain(&other_host).copied().collect();
    assert!(!verify_v4("testSk", &claim, &Request { headers: &headers, ..request }), "the port counts");
}

#[test]
fn keys_of_version_4_step_by_step() {
    let hex = |key: [u8; 32]| {
        let mut text = String::new();
        put_hex(&key, b"0123456789abcdef", &mut text);
        text
    };
    let date = hmac_sha256(b"aliyun_v4testSk", b"20231114");
    assert_eq!(hex(date), "be52be8097517ed81fc9da71afc8ab2d1f39b3e58bb7a30eb4a6b2404a3e44f4");
    let region = hmac_sha256(&date, b"cn-hangzhou");
    assert_eq!(hex(region), "abb777ff4b4bf5cf2d375f947dd052ee7c66c508fafffc60b7f537199bfa1190");
    let service = hmac_sha256(&region, b"sls");
    assert_eq!(hex(service), "fc4467a80f6af22a703afe636feca148209ef8f3b7403944b73e1c066ba392f2");
    let request = hmac_sha256(&service, b"aliyun_v4_request");
    assert_eq!(hex(request), "ab2b2fb48bf1594d156c01d7a638e7b418d90bc7ffdc30e14a81195f57cec318");
    let key = SigningKey::new("testSk", "20231114", "cn-hangzhou");
    assert!(key.is_of("20231114") && !key.is_of("20231115") && !key.is_of("2023111"));
    assert!(!format!("{key:?}").contains("testSk"));
}

#[test]
fn worked_example_of_a_read_with_a_token_in_version_4() {
    let headers = [
        ("host", HOST),
        ("x-acs-security-token", "stsToken123"),
        ("x-log-apiversion", "0.6.0"),
        ("x-log-bodyrawsize", "0"),
        ("x-log-content-sha256", EMPTY_SHA256),
        ("x-log-date", V4_DATE),
    ];
    assert_eq!(content_sha256(b""), EMPTY_SHA256);
    let query = [
        ("type", Some("log")),
        ("from", Some("1700000000")),
        ("to", Some("1700000060")),
        ("query", Some("level: info")),
        ("line", Some("10")),
        ("topic", Some("")),
    ];
    let path = "/logstores/app-log";
    let request = Request { method: "GET", raw_path: path, path, query: &query, headers: &headers };
    let text = canonical_request(&request);
    assert!(text.contains("\nfrom=1700000000&line=10&query=level%3A%20info&to=1700000060&topic&type=log\n"));
    let canonical = content_sha256(text.as_bytes());
    assert_eq!(canonical, "a8b9f83b3b94885eb7cde8c3c153297fe5d60d311997f59e868cd92dd9f0539c");
    let made = authorization_v4("testAk", &SigningKey::new("testSk", "20231114", "cn-hangzhou"), &request);
    assert!(
        made.ends_with(",Signature=fb6a02dbe3b07086bf506043e309b3d9cc444b5dd7eddefc2feb5ef8cc28a98c"),
        "{made}"
    );
}

#[test]
fn authorization_headers_of_other_shapes_are_none() {
    let good =
        format!("SLS4-HMAC-SHA256 Credential=i/d/20231114/r/sls/aliyun_v4_request,Signature={EMPTY_SHA256}");
    let Some(Claim::V4(claim)) = Claim::parse(&good) else { panic!() };
    assert_eq!((claim.key_id, claim.date, claim.region), ("i/d", "20231114", "r"));
    assert_eq!(Claim::parse("LOG a:b:c"), Some(Claim::V1 { key_id: "a:b", signature: "c" }));
    for wrong in [
        "",
        "LOG",
        "LOG a",
        "log a:b",
        "Bearer x",
        "SLS4-HMAC-SHA256",
        "SLS4-HMAC-SHA256 ",
        &good.replace("20231114", "2023-11-14"),
        &good.replace("/sls/", "/oss/"),
        &good.replace("_v4_", "_v5_"),
        &good.replace("Credential", "Credentials"),
        &good.replace(",Signature=", ",Signature=0"),
        &good.replace("e3b0", "g3b0"),
        &good.replace(",", " "),
        "SLS4-HMAC-SHA256 Credential=20231114/r/sls/aliyun_v4_request,Signature=00",
    ] {
        assert_eq!(Claim::parse(wrong), None, "{wrong}");
    }
}

/// Requests recorded from unmodified clients: tests/data/sls, key `testAk` / `testSk`.
#[test]
fn recorded_requests_verify() {
    let mut verified = [0; 3];
    for entry in std::fs::read_dir("tests/data/sls").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "jsonl") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let words = line["request_line"].as_str().unwrap();
            let headers: Vec<(&str, &str)> = line["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
                .collect();
            let mut parts = words.split(' ');
            let (method, target) = (parts.next().unwrap(), parts.next().unwrap());
            let target = match target.split_once("://") {
                Some((_, rest)) => &rest[rest.find('/').unwrap()..],
                None => target,
            };
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let query = crate::wire::query::parse(query);
            let query: Vec<Parameter<'_>> =
                query.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let unescaped = crate::wire::query::decode_path(path);
            let request =
                Request { method, raw_path: path, path: &unescaped, query: &query, headers: &headers };
            let authorization = request.header("authorization").unwrap();
            let claim = Claim::parse(authorization).unwrap();
            assert_eq!(claim.key_id(), "testAk");
            let check = |secret: &str, request: &Request<'_>| match claim {
                Claim::V1 { signature, .. } => {
                    let hash = V1Method::of(request.header("x-log-signaturemethod").unwrap()).unwrap();
                    verify_v1(secret, hash, request, signature)
                }
                Claim::V4(claim) => verify_v4(secret, &claim, request),
            };
            assert!(check("testSk", &request), "{words} of {}", entry_name(&line));
            assert!(!check("testSl", &request) && !check("testSk", &Request { method: "PATCH", ..request }));
            let kind = match claim {
                Claim::V4(_) => 2,
                _ => usize::from(request.header("x-log-signaturemethod") == Some("hmac-sha256")),
            };
            verified[kind] += 1;
        }
    }
    assert!(verified[0] > 90 && verified[1] > 4 && verified[2] > 4, "{verified:?}");
}

fn entry_name(line: &serde_json::Value) -> &str {
    line["call"].as_str().unwrap_or_default()
}

proptest! {
    #[test]
    fn no_authorization_panics(text in "(LOG |SLS4-HMAC-SHA256 |)[ -~]{0,120}") {
        let headers = [("authorization", text.as_str()), ("x-log-date", text.as_str())];
        let request = Request { method: "GET", raw_path: "/", path: "/", query: &[], headers: &headers };
        match Claim::parse(&text) {
            Some(Claim::V1 { signature, .. }) => {
                prop_assert!(!verify_v1("s", V1Method::HmacSha1, &request, signature));
            }
            Some(Claim::V4(claim)) => prop_assert!(!verify_v4("s", &claim, &request)),
            None => {}
        }
    }
}
