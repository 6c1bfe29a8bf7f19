//! The HTTP client of Log Service: one pool of kept-alive connections per destination, every request signed.
//!
//! The project is part of the host name (`PROJECT.ENDPOINT`), or, where the endpoint is an address or `localhost`, the
//! header `x-log-project`. A request is repeated here for two reasons alone, each once: the service finds our clock wrong and
//! says its own, or it refuses a key and the destination's source has another one. All else is for the caller to judge.

use std::net::ToSocketAddrs;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue};
use serde::Deserialize;

use super::credentials::{AccessKey, Credentials, NoKey};
use crate::base::limits::{KIB, MIB};
use crate::base::tls::{ClientTls, TlsError};
use crate::config::plan::{CloudPlan, ProxyPlan, SignatureChoice, TransportPlan};
use crate::wire::sign::{self, SigningKey};

const CONNECT: Duration = Duration::from_secs(10);
/// What the embedded service is signed for; it takes any.
const EMBEDDED_REGION: &str = "local";
/// Rows of a statement, or a LogGroupList.
const ANSWER_BYTES: usize = 256 * MIB;
/// Of an answer that is an error.
const ERROR_BYTES: usize = 64 * KIB;
/// How often who was refused looks for another key.
const KEY_LOOK: Duration = Duration::from_secs(5);
/// A service's clock that is nearer than this is not corrected for: the answer was on its way.
const NEAR: i64 = 2;

pub struct Client {
    http: reqwest::Client,
    /// `scheme://host[:port]`, project included where it belongs into the host.
    base: String,
    /// What requests are sent to: as `base`, but without the port where `connect` has its own.
    url: String,
    /// The header Host: version 4 signs it as it is sent.
    host: String,
    project_header: Option<String>,
    credentials: Credentials,
    signer: Signer,
    /// Seconds the service's clock is ahead of ours.
    skew: AtomicI64,
    /// The key of the last 401.
    refused: Mutex<Option<Arc<AccessKey>>>,
    /// Of an answer that is 200.
    answer_bytes: usize,
}

/// The version of the signature, with what it keeps between requests.
enum Signer {
    V1,
    V4 { region: String, key: Mutex<Option<DayKey>> },
}

/// The signing key of one access key and day.
#[derive(Clone)]
struct DayKey {
    of: Arc<AccessKey>,
    key: SigningKey,
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
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the proxy cannot be used: {0}")]
    Proxy(String),
    #[error("{0}")]
    NoKey(#[from] NoKey),
    #[error("{base}: {}", root_cause(.source))]
    Call { base: String, source: reqwest::Error },
    #[error("{base}: an answer of more than {most} bytes")]
    TooLong { base: String, most: usize },
}

/// The innermost reason of a failed call: "Connection refused" and not "error sending request".
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What all clients of this house have in common.
pub(super) fn http_client(
    transport: &TransportPlan,
    timeout: Duration,
    connect_timeout: Duration,
) -> Result<reqwest::ClientBuilder, ClientError> {
    let mut builder = reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(Duration::from_secs(50))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")));
    match &transport.proxy {
        ProxyPlan::Environment => {}
        ProxyPlan::None => builder = builder.no_proxy(),
        ProxyPlan::Url(url) => {
            // The error would quote the URL, and with it the password.
            let proxy = reqwest::Proxy::all(url.expose())
                .map_err(|_| ClientError::Proxy(format!("{} is no proxy", transport.proxy.shown())))?;
            builder = builder.no_proxy().proxy(proxy);
        }
    }
    if let Some(path) = &transport.ca_file {
        let tls = ClientTls { ca: Some(path.clone()), ..ClientTls::default() };
        builder = builder.tls_backend_preconfigured((*tls.config()?).clone());
    }
    Ok(builder)
}

impl Client {
    /// The client of the embedded service at this endpoint, which is an address.
    pub fn new(
        endpoint: &str,
        project: &str,
        credentials: Credentials,
        timeout: Duration,
    ) -> Result<Client, ClientError> {
        let signer = if hashes_sha256_fast() { Signer::v4(EMBEDDED_REGION) } else { Signer::V1 };
        let transport = TransportPlan { proxy: ProxyPlan::None, ca_file: None };
        Client::make(endpoint, project, None, credentials, signer, &transport, timeout)
    }

    /// The client of a configured destination, with credentials of its own.
    pub fn for_cloud(cloud: &CloudPlan, project: &str, timeout: Duration) -> Result<Client, ClientError> {
        let credentials = Credentials::of("query", &cloud.credentials, &cloud.transport);
        Client::with_credentials(cloud, project, credentials, timeout)
    }

    /// The client of a configured destination whose credentials others use as well.
    pub fn with_credentials(
        cloud: &CloudPlan,
        project: &str,
        credentials: Credentials,
        timeout: Duration,
    ) -> Result<Client, ClientError> {
        let connect = cloud.connect.as_ref().map(|address| address.to_string());
        let signer = match (cloud.signature, &cloud.region) {
            (SignatureChoice::Auto | SignatureChoice::V4, Some(region)) => Signer::v4(region),
            // The configuration refuses version 4 without a region.
            _ => Signer::V1,
        };
        let endpoint = cloud.endpoint.to_string();
        Client::make(&endpoint, project, connect.as_deref(), credentials, signer, &cloud.transport, timeout)
    }

    /// `connect` is an address to use instead of what the host name resolves to.
    fn make(
        endpoint: &str,
        project: &str,
        connect: Option<&str>,
        credentials: Credentials,
        signer: Signer,
        transport: &TransportPlan,
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
        let direct = TransportPlan { proxy: ProxyPlan::None, ..transport.clone() };
        // A proxy of the environment cannot reach what was named by address.
        let by_address = is_address || connect.is_some();
        let inherits = transport.proxy == ProxyPlan::Environment;
        let transport = if by_address && inherits { &direct } else { transport };
        let mut builder = http_client(transport, timeout, timeout.min(CONNECT))?;
        if let Some(text) = connect {
            let address = text
                .to_socket_addrs()
                .ok()
                .and_then(|mut found| found.next())
                .ok_or_else(|| bad(&format!("the address to connect to, {text}, is not known")))?;
            builder = builder.resolve(&name, address);
        }
        let host = format!("{name}{port}");
        Ok(Client {
            http: builder.build().map_err(ClientError::Build)?,
            base: format!("{}://{host}", url.scheme()),
            // A port in the URL would win over that of `connect`.
            url: format!("{}://{name}{}", url.scheme(), if connect.is_some() { "" } else { &port }),
            host,
            project_header: (is_address && !project.is_empty()).then(|| project.to_owned()),
            credentials,
            signer,
            skew: AtomicI64::new(0),
            refused: Mutex::default(),
            answer_bytes: ANSWER_BYTES,
        })
    }

    /// A client of the same project with credentials of its own, which uses the connections of this one.
    pub fn twin(&self, credentials: Credentials) -> Client {
        Client {
            http: self.http.clone(),
            base: self.base.clone(),
            url: self.url.clone(),
            host: self.host.clone(),
            project_header: self.project_header.clone(),
            credentials,
            signer: match &self.signer {
                Signer::V1 => Signer::V1,
                Signer::V4 { region, .. } => Signer::v4(region),
            },
            skew: AtomicI64::new(self.skew.load(std::sync::atomic::Ordering::Relaxed)),
            refused: Mutex::default(),
            answer_bytes: self.answer_bytes,
        }
    }

    /// Takes no answer that is longer.
    pub fn with_longest_answer(mut self, bytes: usize) -> Client {
        self.answer_bytes = bytes.min(ANSWER_BYTES);
        self
    }

    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Waits until there is a key that lives, or no hope of one for now.
    pub async fn ready(&self) -> Result<(), NoKey> {
        self.credentials.current().await.map(|_| ())
    }

    /// Resolves when there is a key other than the one of the last 401; never where keys do not change.
    pub async fn other_key(&self) {
        if matches!(self.credentials, Credentials::Static(_)) {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(KEY_LOOK).await;
            // Asking is what makes a file be read again.
            if let Ok(key) = self.credentials.current().await
                && self.refused().as_ref().is_some_and(|refused| **refused != *key)
            {
                return;
            }
        }
    }

    fn refused(&self) -> MutexGuard<'_, Option<Arc<AccessKey>>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (mut renewed, mut corrected) = (false, false);
        loop {
            let key = self.credentials.current().await?;
            let answer = self.send(&key, method, path, query, extra, body.clone(), raw_size).await?;
            match answer.status {
                400 if !corrected && self.correct_clock(&answer) => corrected = true,
                401 if !renewed && self.credentials.renew_refused(&key).await => renewed = true,
                401 => {
                    *self.refused() = Some(key);
                    return Ok(answer);
                }
                _ => return Ok(answer),
            }
        }
    }

    /// Takes over the service's clock where that is what it complains of. True when it differs from what was used.
    fn correct_clock(&self, answer: &Answer) -> bool {
        if !matches!(answer.error().code.as_str(), "RequestTimeExpired" | "RequestTimeTooSkewed") {
            return false;
        }
        let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let of_date = || Some(jiff::fmt::rfc2822::parse(text(DATE.as_str())?).ok()?.timestamp().as_second());
        let stated = text("x-log-time").and_then(|time| time.trim().parse::<i64>().ok());
        let Some(service) = stated.or_else(of_date) else { return false };
        let skew = service - Timestamp::now().as_second();
        let before = self.skew.swap(skew, Ordering::Relaxed);
        if (skew - before).abs() <= NEAR {
            return false;
        }
        tracing::warn!(service = %self.base, "our clock is {skew} s behind that of Log Service, which is corrected for");
        true
    }

    #[allow(clippy::too_many_arguments)]
    async fn send(
        &self,
        key: &Arc<AccessKey>,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        extra: &[(&str, &str)],
        body: Bytes,
        raw_size: usize,
    ) -> Result<Answer, ClientError> {
        let now = Timestamp::now().as_second() + self.skew.load(Ordering::Relaxed);
        let raw_size = raw_size.to_string();
        let mut headers: Vec<(&str, &str)> = Vec::with_capacity(12);
        headers.extend([
            ("Host", self.host.as_str()),
            ("x-log-apiversion", "0.6.0"),
            ("x-log-bodyrawsize", raw_size.as_str()),
        ]);
        headers.extend(self.project_header.as_deref().map(|project| ("x-log-project", project)));
        headers.extend(key.security_token.as_ref().map(|token| ("x-acs-security-token", token.expose())));
        headers.extend_from_slice(extra);
        let (date, digest) = match &self.signer {
            Signer::V1 if body.is_empty() => (http_date(now), String::new()),
            Signer::V1 => (http_date(now), sign::content_md5(&body)),
            Signer::V4 { .. } => (basic_date(now), sign::content_sha256(&body)),
        };
        let authorization = match &self.signer {
            Signer::V1 => {
                headers.extend([("Date", date.as_str()), ("x-log-signaturemethod", "hmac-sha1")]);
                headers.extend((!digest.is_empty()).then_some(("Content-MD5", digest.as_str())));
                sign::authorization_v1(&key.id, key.secret.expose(), method, path, query, &headers)
            }
            Signer::V4 { region, key: known } => {
                headers.extend([("x-log-date", date.as_str()), ("x-log-content-sha256", digest.as_str())]);
                let query: Vec<_> = query.iter().map(|(name, value)| (*name, Some(*value))).collect();
                let request =
                    sign::Request { method, raw_path: path, path, query: &query, headers: &headers };
                let day = day_key(known, key, &date, region);
                sign::authorization_v4(&key.id, &day.key, &request)
            }
        };

        let mut url = format!("{}{path}", self.url);
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            crate::wire::query::encode(value, &mut url);
        }
        let failed = |source| ClientError::Call { base: self.base.clone(), source };
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or(reqwest::Method::GET);
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Ok(mut value) = HeaderValue::try_from(authorization) {
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let mut answer = request.body(body).send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let headers: HeaderMap = answer.headers().clone();
        let request_id = headers.get("x-log-requestid").and_then(|value| value.to_str().ok());
        let request_id = request_id.filter(|id| !id.is_empty()).map(str::to_owned);
        let most = if status == 200 { self.answer_bytes } else { ERROR_BYTES };
        let mut body = BytesMut::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > most {
                if status == 200 {
                    return Err(ClientError::TooLong { base: self.base.clone(), most });
                }
                // What is no error of Log Service is not read; its status says enough.
                break;
            }
            body.extend_from_slice(&part);
        }
        let body = body.freeze();
        Ok(Answer { status, request_id, headers, body })
    }
}

impl Signer {
    fn v4(region: &str) -> Signer {
        Signer::V4 { region: region.to_owned(), key: Mutex::new(None) }
    }
}

/// The signing key of this access key on the day of `date` (`yyyyMMddTHHmmssZ`), made once.
fn day_key(known: &Mutex<Option<DayKey>>, of: &Arc<AccessKey>, date: &str, region: &str) -> DayKey {
    let day = date.get(..8).unwrap_or(date);
    let mut known = known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    match &*known {
        Some(key) if Arc::ptr_eq(&key.of, of) && key.key.is_of(day) => key.clone(),
        _ => known
            .insert(DayKey { of: of.clone(), key: SigningKey::new(of.secret.expose(), day, region) })
            .clone(),
    }
}

/// Whether this processor has instructions for SHA-256: then version 4 costs less than version 1, whose MD5 has none.
fn hashes_sha256_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sha");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
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

/// The date of version 4: `20231114T221320Z`.
fn basic_date(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests;
