//! The client against a server that checks what it is sent.

use std::time::Duration;

use super::*;
use crate::base::secret::Secret;
use crate::base::tls::ServerTls;
use crate::base::tls::testing::{Setup, dns};
use crate::config::endpoint::Endpoint;
use crate::config::leaf::Address;
use crate::config::plan::{CredentialsPlan, KeyPlan};
use crate::output::testing::{Said, Seen, Server};
use crate::wire::sign::{Claim, Request, V1Method, verify_v1, verify_v4};

const TIMEOUT: Duration = Duration::from_secs(20);
const BODY: &[u8] = b"no LogGroup";

fn plan(endpoint: &str) -> CloudPlan {
    CloudPlan {
        endpoint: Endpoint::parse(endpoint).unwrap(),
        connect: None,
        region: Some("cn-test".to_owned()),
        signature: SignatureChoice::Auto,
        transport: TransportPlan::default(),
        credentials: CredentialsPlan::Fixed(KeyPlan {
            id: "id".to_owned(),
            secret: Secret::new("hunter2".to_owned()),
            security_token: None,
        }),
    }
}

fn client(plan: &CloudPlan) -> Client {
    Client::for_cloud(plan, "demo", TIMEOUT).unwrap()
}

async fn put(client: &Client) -> Result<Answer, ClientError> {
    let headers = [("Content-Type", "application/x-protobuf")];
    client.call("POST", "/logstores/app/shards/lb", &[], &headers, Bytes::from_static(BODY), BODY.len()).await
}

/// Which version a request is signed by, when the signature is right.
fn signed(seen: &Seen, secret: &str) -> Option<&'static str> {
    let headers: Vec<(&str, &str)> =
        seen.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let target = match seen.target.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/').unwrap()..],
        None => seen.target.as_str(),
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = crate::wire::query::parse(query);
    let query: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    let request = Request { method: &seen.method, raw_path: path, path, query: &query, headers: &headers };
    match Claim::parse(seen.header("authorization"))? {
        Claim::V1 { signature, .. } => {
            let body = seen.body.is_empty() || seen.header("content-md5") == sign::content_md5(&seen.body);
            (body && verify_v1(secret, V1Method::HmacSha1, &request, signature)).then_some("v1")
        }
        Claim::V4(claim) => {
            let body = seen.header("x-log-content-sha256") == sign::content_sha256(&seen.body);
            (body && claim.region == "cn-test" && verify_v4(secret, &claim, &request)).then_some("v4")
        }
    }
}

#[test]
fn dates_of_both_versions() {
    assert_eq!(http_date(1_700_000_000), "Tue, 14 Nov 2023 22:13:20 GMT");
    assert_eq!(basic_date(1_700_000_000), "20231114T221320Z");
}

#[test]
fn a_signing_key_is_made_once_a_day_and_key() {
    let known: Mutex<Option<DayKey>> = Mutex::new(None);
    let key = || {
        let secret = Secret::new("s".to_owned());
        Arc::new(AccessKey { id: "i".to_owned(), secret, security_token: None })
    };
    let (one, other) = (key(), key());
    let is_kept = |of: &Arc<AccessKey>, date: &str| {
        let before = known
            .lock()
            .unwrap()
            .as_ref()
            .is_some_and(|day| Arc::ptr_eq(&day.of, of) && day.key.is_of(&date[..8]));
        day_key(&known, of, date, "r");
        before
    };
    assert!(!is_kept(&one, "20231114T221320Z"));
    assert!(is_kept(&one, "20231114T235959Z"));
    assert!(!is_kept(&one, "20231115T000000Z"));
    assert!(!is_kept(&other, "20231115T000000Z"));
}

#[tokio::test]
async fn requests_are_signed_as_the_plan_says() {
    let server = Server::start(|_, _| Said::log_service(200, "")).await;
    let mut plan = plan("http://sls.example:7777");
    // The port of `connect` counts, and the Host keeps that of the endpoint.
    plan.connect = Some(Address::new("127.0.0.1", server.address.port()));
    let query = [("type", "log"), ("query", "level: info"), ("topic", "")];
    for (signature, region, expected) in [
        (SignatureChoice::Auto, true, "v4"),
        (SignatureChoice::V4, true, "v4"),
        (SignatureChoice::V1, true, "v1"),
        (SignatureChoice::Auto, false, "v1"),
    ] {
        plan.signature = signature;
        plan.region = region.then(|| "cn-test".to_owned());
        let client = client(&plan);
        assert_eq!(put(&client).await.unwrap().status, 200);
        let get = client.call("GET", "/logstores/app", &query, &[], Bytes::new(), 0);
        assert_eq!(get.await.unwrap().status, 200);
        let seen = server.seen();
        for seen in &seen[seen.len() - 2..] {
            assert_eq!(signed(seen, "hunter2"), Some(expected), "{seen:?}");
            assert_eq!(signed(seen, "hunter3"), None);
            assert_eq!(seen.header("host"), "demo.sls.example:7777");
        }
    }
}

#[tokio::test]
async fn addresses_of_ipv6_are_endpoints() {
    let server = Server::at("[::1]:0", None, |_, _| Said::log_service(200, "")).await;
    let client = client(&plan(&server.url()));
    assert_eq!(put(&client).await.unwrap().status, 200);
    let seen = &server.seen()[0];
    assert_eq!(signed(seen, "hunter2"), Some("v4"));
    assert_eq!(
        (seen.header("host"), seen.header("x-log-project")),
        (server.address.to_string().as_str(), "demo")
    );
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_for() {
    for by_date in [false, true] {
        let ahead = 5 * 3_600;
        let server = Server::start(move |_, seen| {
            let now = Timestamp::now().as_second() + ahead;
            let sent = seen.header("x-log-date").parse::<Timestamp>().unwrap().as_second();
            if (sent - now).abs() < 60 {
                return Said::log_service(200, "");
            }
            let said = Said::log_service(400, "RequestTimeExpired");
            if by_date { said.with("date", http_date(now)) } else { said.with("x-log-time", now.to_string()) }
        })
        .await;
        let client = client(&plan(&server.url()));
        assert_eq!(put(&client).await.unwrap().status, 200);
        assert_eq!(put(&client).await.unwrap().status, 200);
        assert_eq!(server.seen().len(), 3, "one request too many, and only the first time");
    }
}

#[tokio::test]
async fn a_clock_that_stays_wrong_is_the_callers_to_judge() {
    let server = Server::start(|before, _| {
        // A service that does not know the time itself.
        Said::log_service(400, "RequestTimeExpired").with("x-log-time", (before * 1_000_000).to_string())
    })
    .await;
    let client = client(&plan(&server.url()));
    assert_eq!(put(&client).await.unwrap().error().code, "RequestTimeExpired");
    assert_eq!(server.seen().len(), 2);
    let other = Server::start(|_, _| Said::log_service(400, "PostBodyInvalid").with("x-log-time", "5")).await;
    let client = self::client(&plan(&other.url()));
    assert_eq!(put(&client).await.unwrap().error().code, "PostBodyInvalid");
    assert_eq!((other.seen().len(), client.skew.load(Ordering::Relaxed)), (1, 0));
}

#[tokio::test]
async fn a_refused_key_is_asked_for_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let write =
        |secret: &str| std::fs::write(&path, format!("access_key_id: id\nsecret: {secret}\n")).unwrap();
    let server = Server::start(|_, seen| match signed(seen, "new") {
        Some(_) => Said::log_service(200, ""),
        None => Said::log_service(401, "SignatureNotMatch"),
    })
    .await;
    let mut plan = plan(&server.url());
    plan.credentials = CredentialsPlan::File { path: path.clone(), profile: None };
    let client = client(&plan);
    write("old");
    assert_eq!(put(&client).await.unwrap().status, 401);
    assert_eq!(server.seen().len(), 1, "the file says what it said");
    let client = self::client(&plan);
    client.credentials.current().await.unwrap();
    write("new");
    assert_eq!(put(&client).await.unwrap().status, 200);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn without_a_key_nothing_is_sent() {
    let server = Server::start(|_, _| Said::log_service(200, "")).await;
    let mut plan = plan(&server.url());
    plan.credentials = CredentialsPlan::FirstOf(vec![
        CredentialsPlan::Missing { source: "oidc", why: "ROLE is not set".to_owned() },
        CredentialsPlan::File { path: "/nowhere/keys".into(), profile: None },
    ]);
    let error = put(&client(&plan)).await.unwrap_err().to_string();
    assert_eq!(error, "no access key: oidc: ROLE is not set; /nowhere/keys: it is not there");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_proxy_is_used_when_it_is_said() {
    let proxy = Server::start(|_, _| Said::log_service(200, "")).await;
    let mut plan = plan("http://sls.example");
    let url = format!("http://user:pass%40word@{}", proxy.address);
    plan.transport.proxy = ProxyPlan::Url(Secret::new(url));
    assert_eq!(put(&client(&plan)).await.unwrap().status, 200);
    let seen = &proxy.seen()[0];
    assert_eq!(seen.target, "http://demo.sls.example/logstores/app/shards/lb");
    assert_eq!(seen.header("proxy-authorization"), "Basic dXNlcjpwYXNzQHdvcmQ=");
    assert_eq!(signed(seen, "hunter2"), Some("v4"));
    // One that is said holds for addresses as well.
    let mut plan = self::plan("http://127.0.0.1:1");
    plan.transport.proxy = ProxyPlan::Url(Secret::new(proxy.url()));
    assert_eq!(put(&client(&plan)).await.unwrap().status, 200);
    plan.transport.proxy = ProxyPlan::Url(Secret::new("http://u:hunter2@[".to_owned()));
    let error = Client::for_cloud(&plan, "demo", TIMEOUT).map(|_| ()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_said() {
    let setup = Setup::new();
    setup.write_pair("server", &setup.ca.issue("sls", vec![dns("demo.sls.example")]));
    let tls = ServerTls::load(&setup.plan()).unwrap().acceptor();
    let server = Server::at("127.0.0.1:0", Some(tls), |_, _| Said::log_service(200, "")).await;
    let mut plan = plan("https://sls.example");
    plan.connect = Some(Address::new("127.0.0.1", server.address.port()));
    assert!(matches!(put(&client(&plan)).await, Err(ClientError::Call { .. })));
    plan.transport.ca_file = Some(setup.path("ca.pem"));
    assert_eq!(put(&client(&plan)).await.unwrap().status, 200);
    plan.transport.ca_file = Some(setup.path("none.pem"));
    let error = Client::for_cloud(&plan, "demo", TIMEOUT).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("none.pem: cannot be read"), "{error}");
}
