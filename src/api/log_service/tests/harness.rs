//! A service on a port of its own, and requests that a test can spoil before or after they are signed.

use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::super::router_at;
use crate::api::server::serve;
use crate::store::{AccessKey, Store};
use crate::wire::compress::{Kind, compress};
use crate::wire::loggroup::encode::put_trailer;
use crate::wire::query::encode;
use crate::wire::sign::{
    Request, SigningKey, authorization_v1, authorization_v4, content_md5, content_sha256,
};

pub(super) const NOW: i64 = 1_700_000_100;
pub(super) const DATE: &str = "Tue, 14 Nov 2023 22:15:00 GMT";
/// The same moment for version 4.
pub(super) const V4_DATE: &str = "20231114T221500Z";

pub(super) struct Service {
    pub(super) _dir: tempfile::TempDir,
    pub(super) base: String,
    pub(super) key: AccessKey,
    pub(super) http: reqwest::Client,
    pub(super) shutdown: CancellationToken,
    pub(super) server: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `status code` of an error, or the status alone.
    pub(super) fn outcome(&self) -> String {
        assert_eq!(self.header("x-log-requestid").len(), 24);
        assert_eq!(self.header("x-log-time"), NOW.to_string());
        assert!(!self.header("date").is_empty());
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(body) if body["errorCode"].is_string() => {
                assert!(body["errorMessage"].as_str().is_some_and(|text| !text.is_empty()));
                format!("{} {}", self.status, body["errorCode"].as_str().unwrap())
            }
            _ => self.status.to_string(),
        }
    }
}

/// A request before it is signed; a test spoils it here.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Vec<(&'a str, &'a str)>,
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) host: &'a str,
    pub(super) key_id: Option<&'a str>,
    pub(super) secret: Option<&'a str>,
    /// Signed by version 4, for this day and region.
    pub(super) scope: Option<(&'a str, &'a str)>,
    /// Changes the headers after signing.
    pub(super) after: fn(&mut Vec<(&'a str, String)>),
}

impl<'a> Call<'a> {
    pub(super) fn new(method: &'a str, path: &'a str) -> Call<'a> {
        Call {
            method,
            path,
            query: Vec::new(),
            headers: vec![
                ("date", DATE.into()),
                ("x-log-apiversion", "0.6.0".into()),
                ("x-log-signaturemethod", "hmac-sha1".into()),
            ],
            body: Vec::new(),
            host: "demo-project.sls.local",
            key_id: None,
            secret: None,
            scope: None,
            after: |_| {},
        }
    }

    pub(super) fn body(mut self, content_type: &str, body: Vec<u8>) -> Call<'a> {
        self.headers.push(("content-type", content_type.into()));
        if !body.is_empty() {
            self.headers.push(("content-md5", content_md5(&body)));
        }
        self.body = body;
        self
    }

    pub(super) fn json(self, value: Value) -> Call<'a> {
        let mut call = self.body("application/json", value.to_string().into_bytes());
        call.headers.push(("x-log-bodyrawsize", "0".into()));
        call
    }

    pub(super) fn put(raw: &[u8], kind: Kind) -> Call<'a> {
        let mut body = Vec::new();
        compress(kind, raw, &mut body).unwrap();
        let mut call = Call::new("POST", "/logstores/app-log/shards/lb").body("application/x-protobuf", body);
        call.headers.push(("x-log-bodyrawsize", raw.len().to_string()));
        if let Some(name) = kind.header() {
            call.headers.push(("x-log-compresstype", name.into()));
        }
        call
    }

    /// The same request for version 4.
    pub(super) fn v4(mut self) -> Call<'a> {
        let hash = content_sha256(&self.body);
        self.scope = Some(("20231114", "local"));
        self.without("date")
            .without("content-md5")
            .without("x-log-signaturemethod")
            .set("x-log-date", V4_DATE)
            .set("x-log-content-sha256", &hash)
    }

    pub(super) fn set(mut self, name: &'a str, value: &str) -> Call<'a> {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Call<'a> {
        self.headers.retain(|(other, _)| *other != name);
        self
    }
}

impl Service {
    pub(super) async fn start() -> Service {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        store.ensure("demo-project", "app-log").await.unwrap();
        let key = store.access_key().clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, router_at(store, || NOW), shutdown.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Service { _dir: dir, base, key, http, shutdown, server }
    }

    pub(super) async fn call(&self, call: Call<'_>) -> Reply {
        let plain: Vec<(&str, &str)> =
            call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let key_id = call.key_id.unwrap_or(&self.key.id);
        let secret = call.secret.unwrap_or(self.key.secret.expose());
        let authorization = match call.scope {
            None => authorization_v1(key_id, secret, call.method, call.path, &call.query, &plain),
            Some((day, region)) => {
                let query: Vec<_> = call.query.iter().map(|(name, value)| (*name, Some(*value))).collect();
                let headers: Vec<_> = plain.iter().copied().chain([("host", call.host)]).collect();
                let request = Request {
                    method: call.method,
                    raw_path: call.path,
                    path: call.path,
                    query: &query,
                    headers: &headers,
                };
                authorization_v4(key_id, &SigningKey::new(secret, day, region), &request)
            }
        };
        let mut headers = call.headers.clone();
        headers.push(("authorization", authorization));
        (call.after)(&mut headers);
        let mut url = format!("{}{}", self.base, call.path);
        for (index, (name, value)) in call.query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            encode(value, &mut url);
        }
        let method = reqwest::Method::from_bytes(call.method.as_bytes()).unwrap();
        let mut request = self.http.request(method, url).header("host", call.host).body(call.body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Reply { status, headers, body: answer.bytes().await.unwrap().to_vec() }
    }

    pub(super) async fn outcome(&self, call: Call<'_>) -> String {
        self.call(call).await.outcome()
    }

    pub(super) async fn get_logs(&self, ask: Value) -> Reply {
        self.call(Call::new("POST", "/logstores/app-log/logs").json(ask)).await
    }

    pub(super) async fn stop(self) {
        drop(self.http);
        self.shutdown.cancel();
        self.server.await.unwrap().unwrap();
    }
}

/// Logs at these seconds, with a level and a numbered message.
pub(super) fn group(times: &[u32], pack_id: &str) -> Vec<u8> {
    let mut logs = Vec::new();
    for (index, time) in times.iter().enumerate() {
        let mut log = vec![0x08];
        let mut rest = *time;
        while rest >= 0x80 {
            log.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        log.push(rest as u8);
        let level = if index % 2 == 0 { "info" } else { "error" };
        for (key, value) in [("level", level), ("msg", &format!("hello number {index} of {pack_id}"))] {
            log.extend([0x12, (key.len() + value.len() + 4) as u8, 0x0a, key.len() as u8]);
            log.extend(key.as_bytes());
            log.extend([0x12, value.len() as u8]);
            log.extend(value.as_bytes());
        }
        logs.extend([0x0a, log.len() as u8]);
        logs.extend(log);
    }
    put_trailer(&mut logs, b"web", b"10.0.0.9", &[("env", "dev"), ("__pack_id__", pack_id)]);
    logs
}
