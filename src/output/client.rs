//! The HTTP client of Log Service: one pool of kept-alive connections per destination, every request signed.
//!
//! The project is part of the host name (`PROJECT.ENDPOINT`), or, where the endpoint is an address or `localhost`, the
//! header `x-log-project`. The clock of the service is learned from its answers when it finds ours wrong.

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use super::credentials::{AccessKey, Credentials};
use crate::config::plan::CloudPlan;
use crate::wire::sign;

pub struct Client {
    http: reqwest::Client,
    /// `scheme://host[:port]`, project included where it belongs into the host.
    base: String,
    project_header: Option<String>,
    credentials: Credentials,
    /// Seconds the service's clock is ahead of ours.
    skew: AtomicI64,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Absent when something before the service answered.
    pub request_id: Option<String>,
    pub headers: reqwest::header::HeaderMap,
    pub body: Bytes,
}

/// The body of an answer that is not 200.
#[derive(Debug, Default, Deserialize)]
pub struct ServiceError {
    #[serde(rename = "errorCode", default)]
    pub code: String,
    #[serde(rename = "errorMessage", default)]
    pub message: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("endpoint {endpoint:?}: {why}; write scheme://host or scheme://host:port")]
    Endpoint { endpoint: String, why: String },
    #[error("cannot make an HTTP client: {0}")]
    Build(#[source] reqwest::Error),
    #[error("{base}: {}", root_cause(.source))]
    Call { base: String, source: reqwest::Error },
}

/// The innermost reason of a failed call: "Connection refused" and not "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl Client {
    /// `connect` is an address to use instead of what the host name resolves to.
    pub fn new(
        endpoint: &str,
        project: &str,
        connect: Option<&str>,
        credentials: Credentials,
        timeout: Duration,
    ) -> Result<Client, ClientError> {
        let bad = |why: &str| ClientError::Endpoint { endpoint: endpoint.to_owned(), why: why.to_owned() };
        let url = reqwest::Url::parse(endpoint).map_err(|error| bad(&error.to_string()))?;
        let host = url.host_str().ok_or_else(|| bad("it names no host"))?;
        let is_address =
            host.parse::<std::net::Ipv4Addr>().is_ok() || host.starts_with('[') || host == "localhost";
        let name =
            if is_address || project.is_empty() { host.to_owned() } else { format!("{project}.{host}") };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let mut builder = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .pool_idle_timeout(Duration::from_secs(50))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")));
        if let Some(text) = connect {
            let address = text
                .to_socket_addrs()
                .ok()
                .and_then(|mut found| found.next())
                .ok_or_else(|| bad(&format!("the address to connect to, {text}, is not known")))?;
            builder = builder.resolve(&name, address);
        }
        if is_address || connect.is_some() {
            // A proxy of the environment cannot reach what was named by address.
            builder = builder.no_proxy();
        }
        Ok(Client {
            http: builder.build().map_err(ClientError::Build)?,
            base: format!("{}://{name}{port}", url.scheme()),
            project_header: (is_address && !project.is_empty()).then(|| project.to_owned()),
            credentials,
            skew: AtomicI64::new(0),
        })
    }

    /// The client of a configured destination, with the keys its configuration gives it.
    pub fn for_cloud(cloud: &CloudPlan, project: &str, timeout: Duration) -> Result<Client, ClientError> {
        let key = AccessKey {
            id: cloud.access_key_id.clone(),
            secret: cloud.access_key_secret.clone(),
            security_token: cloud.security_token.clone(),
        };
        let connect = cloud.connect.as_ref().map(|address| address.to_string());
        let credentials = Credentials::Static(Arc::new(key));
        Client::new(&cloud.endpoint.to_string(), project, connect.as_deref(), credentials, timeout)
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends one request and reads its whole answer. `raw_size` is the size of `body` before compression.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        extra: &[(&str, &str)],
        body: Bytes,
        raw_size: usize,
    ) -> Result<Answer, ClientError> {
        let key = self.credentials.current();
        let now = Timestamp::now().as_second() + self.skew.load(Ordering::Relaxed);
        let date = http_date(now);
        let raw_size = raw_size.to_string();
        let md5 = if body.is_empty() { String::new() } else { sign::content_md5(&body) };
        let mut headers: Vec<(&str, &str)> = vec![
            ("Date", &date),
            ("x-log-apiversion", "0.6.0"),
            ("x-log-bodyrawsize", &raw_size),
            ("x-log-signaturemethod", "hmac-sha1"),
        ];
        if !md5.is_empty() {
            headers.push(("Content-MD5", &md5));
        }
        if let Some(project) = &self.project_header {
            headers.push(("x-log-project", project));
        }
        if let Some(token) = &key.security_token {
            headers.push(("x-acs-security-token", token.expose()));
        }
        headers.extend_from_slice(extra);
        let authorization =
            sign::authorization_v1(&key.id, key.secret.expose(), method, path, query, &headers);

        let mut url = format!("{}{path}", self.base);
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            crate::wire::query::encode(value, &mut url);
        }
        let failed = |source| ClientError::Call { base: self.base.clone(), source };
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or(reqwest::Method::GET);
        let mut request = self.http.request(method, url).header("Authorization", authorization);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let request_id = text("x-log-requestid").filter(|id| !id.is_empty()).map(str::to_owned);
        if let Some(service) = text("x-log-time").and_then(|time| time.parse::<i64>().ok())
            && status == 400
        {
            self.skew.store(service - Timestamp::now().as_second(), Ordering::Relaxed);
        }
        let body = answer.bytes().await.map_err(failed)?;
        Ok(Answer { status, request_id, headers, body })
    }
}

impl Answer {
    /// The service's error, as far as the body is one.
    pub fn error(&self) -> ServiceError {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// RFC 9110 date: `Tue, 14 Nov 2023 22:13:20 GMT`.
fn http_date(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(1_700_000_000), "Tue, 14 Nov 2023 22:13:20 GMT");
    }
}
