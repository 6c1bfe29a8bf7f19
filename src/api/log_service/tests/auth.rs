//! Signatures of version 1 with HMAC-SHA256 and of version 4, and every way they are refused.

use serde_json::json;

use super::harness::{Call, Service, group};
use crate::wire::compress::Kind;

#[tokio::test]
async fn all_signatures_open_the_same_door() {
    let service = Service::start().await;
    let raw = group(&[1_700_000_000], "AB-0");
    let put = || Call::put(&raw, Kind::Lz4);
    assert_eq!(service.outcome(put()).await, "200");
    assert_eq!(service.outcome(put().set("x-log-signaturemethod", "hmac-sha256")).await, "200");
    assert_eq!(service.outcome(put().v4()).await, "200");
    let token = put().set("x-acs-security-token", "signed and ignored");
    assert_eq!(service.outcome(token).await, "200");
    let token = put().set("x-acs-security-token", "signed and ignored").v4();
    assert_eq!(service.outcome(token).await, "200");
    let mut call = put().v4();
    call.scope = Some(("20231114", "any region"));
    assert_eq!(service.outcome(call).await, "200");
    let mut list = Call::new("GET", "/logstores").v4();
    list.query = vec![("size", "100"), ("offset", "0"), ("logstoreName", "app log"), ("telemetryType", "")];
    list.host = "demo-project.sls.local:18080";
    assert_eq!(service.outcome(list).await, "200");
    let ask = json!({ "from": 0, "to": 2_000_000_000 });
    let found = service.call(Call::new("POST", "/logstores/app-log/logs").json(ask).v4()).await.json();
    assert_eq!(found["meta"]["count"], 6);
    service.stop().await;
}

#[tokio::test]
async fn version_4_is_refused_as_version_1_is() {
    let service = Service::start().await;
    let get = || Call::new("GET", "/logstores").v4();
    let mut call = get();
    call.secret = Some("guessed");
    assert_eq!(service.outcome(call).await, "401 SignatureNotMatch");
    let mut call = get();
    call.key_id = Some("somebody");
    assert_eq!(service.outcome(call).await, "401 Unauthorized");
    let mut call = get();
    call.after = |headers| headers.push(("x-acs-security-token", "after signing".into()));
    assert_eq!(service.outcome(call).await, "401 SignatureNotMatch");
    let mut call = get();
    call.after = |headers| headers.retain(|(name, _)| *name != "x-log-apiversion");
    assert_eq!(service.outcome(call).await, "401 SignatureNotMatch");
    let mut call = get();
    call.after = |headers| headers.retain(|(name, _)| *name != "authorization");
    assert_eq!(service.outcome(call).await, "400 MissingParameter");
    for (name, value, expected) in [
        ("x-log-date", "20231114T215900Z", "400 RequestTimeExpired"),
        ("x-log-date", "20231114T223100Z", "400 RequestTimeExpired"),
        ("x-log-date", "20231115T221500Z", "400 InvalidDateFormat"),
        ("x-log-date", "Tue, 14 Nov 2023 22:15:00 GMT", "400 InvalidDateFormat"),
        ("authorization", "SLS4-HMAC-SHA256 Credential=id,Signature=0", "401 Unauthorized"),
        ("authorization", "LOG id", "401 Unauthorized"),
        ("authorization", "Basic aWQ6c2VjcmV0", "400 InvalidSignatureMethod"),
    ] {
        let call = get().set(name, value);
        let outcome = match name {
            // The one that is signed is pushed behind it, and the first counts.
            "authorization" => service.outcome(Call { after: |headers| drop(headers.pop()), ..call }).await,
            _ => service.outcome(call).await,
        };
        assert_eq!(outcome, expected, "{name}: {value}");
    }
    assert_eq!(service.outcome(get().without("x-log-date")).await, "400 MissingParameter");
    assert_eq!(service.outcome(get().without("x-log-content-sha256")).await, "400 MissingParameter");
    service.stop().await;
}

#[tokio::test]
async fn a_body_is_the_one_that_was_signed() {
    let service = Service::start().await;
    let raw = group(&[1_700_000_000], "AB-0");
    let put = || Call::put(&raw, Kind::None);
    let wrong = put().v4().set("x-log-content-sha256", &"0".repeat(64));
    assert_eq!(service.outcome(wrong).await, "400 PostBodyInvalid");
    // Without its body a signed request is another one.
    let emptied = Call { body: Vec::new(), ..put() };
    assert_eq!(service.outcome(emptied).await, "400 PostBodyInvalid");
    let emptied = Call { body: Vec::new(), ..put().v4() };
    assert_eq!(service.outcome(emptied).await, "400 PostBodyInvalid");
    let upper = put().v4();
    let hash =
        upper.headers.iter().find(|(name, _)| *name == "x-log-content-sha256").unwrap().1.to_uppercase();
    assert_eq!(service.outcome(upper.set("x-log-content-sha256", &hash)).await, "200");
    service.stop().await;
}
