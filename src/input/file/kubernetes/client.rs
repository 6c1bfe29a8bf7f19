//! The client of the Kubernetes API server: two requests, over HTTPS.
//!
//! ```text
//! GET /api/v1/namespaces/NAMESPACE/pods/NAME                                     a Pod, or a Status 404
//! GET /api/v1/pods?fieldSelector=spec.nodeName%3DNODE&resourceVersion=0          all of a node, from the server's cache
//! Authorization: Bearer TOKEN
//! ```
//!
//! The token is read for each request, since kubelet replaces it before it ends; the CA file is read again after a failed
//! connection. An answer is taken into memory up to a bound. A 404 counts only when the API server itself says it: who knows
//! what else listens there.
//!
//! Source: the Kubernetes API reference (Pod, PodList, Status), "Accessing the API from a Pod".

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::facts::{PodList, PodObject};
use crate::base::limits;
use crate::base::tls::ClientTls;
use crate::config::plan::KubernetesApiPlan;
use crate::input::file::pod::PodPath;

/// A Pod; etcd takes no larger one than 1.5 MiB.
const POD_BYTES: usize = 4 * limits::MIB;
/// All Pods of a node: some hundred, of some 10 KiB each.
const LIST_BYTES: usize = 32 * limits::MIB;
const TOKEN_BYTES: u64 = 64 * limits::KIB as u64;
/// Of what the server says of an error.
const MESSAGE_BYTES: usize = 300;
/// Longer than this no server is waited for because it says so.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("{}: {cause}; it is the token of the Pod's service account, so look at automountServiceAccountToken", path.display())]
    Token { path: PathBuf, cause: io::Error },
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    #[error("{server}: {cause}")]
    Call { server: String, cause: String },
    #[error("{server} does not accept the token of {}: {message}", path.display())]
    Token401 { server: String, path: PathBuf, message: String },
    #[error(
        "{server} forbids `{verb}` of pods: {message}; give the service account's ClusterRole the verbs get and list of pods"
    )]
    Forbidden { server: String, verb: &'static str, message: String },
    #[error("{server} answers {status} to `{verb}` of pods: {message}")]
    Status { server: String, verb: &'static str, status: u16, message: String, wait: Option<Duration> },
    #[error("{server} answers `{verb}` of pods with more than {most} bytes")]
    TooLarge { server: String, verb: &'static str, most: usize },
    #[error("{server} answers `{verb}` of pods with what is none: {cause}")]
    NoPod { server: String, verb: &'static str, cause: serde_json::Error },
}

impl ApiError {
    /// Whether the same request would be refused again, while others may go well.
    pub(super) fn is_of_request(&self) -> bool {
        matches!(self, ApiError::Forbidden { .. } | ApiError::TooLarge { .. } | ApiError::NoPod { .. })
    }

    /// What the server asks to be left alone for.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            ApiError::Status { wait, .. } => *wait,
            _ => None,
        }
    }
}

/// What the API server says instead of an object.
#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusObject {
    kind: String,
    message: String,
    reason: String,
}

pub(super) struct Client {
    server: String,
    token_file: PathBuf,
    ca_file: PathBuf,
    timeout: Duration,
    /// Absent until it is needed, and after a connection failed.
    http: Mutex<Option<reqwest::Client>>,
}

impl Client {
    pub(super) fn new(plan: &KubernetesApiPlan, timeout: Duration) -> Client {
        Client {
            server: plan.server.clone(),
            token_file: plan.token_file.clone(),
            ca_file: plan.ca_file.clone(),
            timeout,
            http: Mutex::new(None),
        }
    }

    /// The Pod of this name, whatever its uid. `None`: there is none.
    pub(super) async fn pod(&self, path: &PodPath) -> Result<Option<PodObject>, ApiError> {
        // Both are names that need no escaping, since they were cut from a path that kubelet made.
        let url = format!("{}/api/v1/namespaces/{}/pods/{}", self.server, path.namespace, path.pod);
        self.get("get", &url, POD_BYTES).await
    }

    /// All Pods of a node. Without `resourceVersion=0` each would cost the server a walk through all Pods of the cluster.
    pub(super) async fn pods_of(&self, node: &str) -> Result<PodList, ApiError> {
        let mut url = format!("{}/api/v1/pods?fieldSelector=spec.nodeName%3D", self.server);
        for byte in node.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => url.push(char::from(byte)),
                // A string takes whatever is written.
                _ => drop(write!(url, "%{byte:02X}")),
            }
        }
        url.push_str("&resourceVersion=0");
        let list = self.get("list", &url, LIST_BYTES).await?;
        list.ok_or_else(|| ApiError::Status {
            server: self.server.clone(),
            verb: "list",
            status: 404,
            message: "it knows no pods".to_owned(),
            wait: None,
        })
    }

    async fn get<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        url: &str,
        most: usize,
    ) -> Result<Option<T>, ApiError> {
        let server = || self.server.clone();
        let token = self.token()?;
        let sent = self.http()?.get(url).header(AUTHORIZATION, token).send().await;
        let mut answer = sent.map_err(|error| self.failed(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let most = if status.is_success() { most } else { 64 * limits::KIB };
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + part.len() > most {
                return Err(ApiError::TooLarge { server: server(), verb, most });
            }
            body.extend_from_slice(&part);
        }
        if status == StatusCode::OK {
            let object = serde_json::from_slice(&body);
            return object.map(Some).map_err(|cause| ApiError::NoPod { server: server(), verb, cause });
        }
        let said: StatusObject = serde_json::from_slice(&body).unwrap_or_default();
        let message = message(&said);
        let status_code = status.as_u16();
        Err(match status {
            StatusCode::NOT_FOUND if said.kind == "Status" && said.reason == "NotFound" => return Ok(None),
            StatusCode::UNAUTHORIZED => {
                ApiError::Token401 { server: server(), path: self.token_file.clone(), message }
            }
            StatusCode::FORBIDDEN => ApiError::Forbidden { server: server(), verb, message },
            _ => ApiError::Status {
                server: server(),
                verb,
                status: status_code,
                message,
                wait: wait(&headers),
            },
        })
    }

    fn token(&self) -> Result<HeaderValue, ApiError> {
        let failed = |cause| ApiError::Token { path: self.token_file.clone(), cause };
        let text = read(&self.token_file).map_err(failed)?;
        let text = text.trim();
        if text.is_empty() {
            return Err(failed(io::Error::other("is empty")));
        }
        let mut value = HeaderValue::try_from(format!("Bearer {text}"))
            .map_err(|_| failed(io::Error::other("holds what no token has in it")))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn http(&self) -> Result<reqwest::Client, ApiError> {
        let mut http = self.http.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(http) = &*http {
            return Ok(http.clone());
        }
        let trusted = ClientTls { ca: Some(self.ca_file.clone()), ..ClientTls::default() };
        let tls = trusted.config().map_err(|error| ApiError::Tls(error.to_string()))?;
        let made = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .timeout(self.timeout)
            .connect_timeout(self.timeout)
            .redirect(redirect::Policy::none())
            // A proxy of the environment is for what is outside of the cluster, and not to see the token.
            .no_proxy()
            .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ApiError::Tls(error.to_string()))?;
        Ok(http.insert(made).clone())
    }

    fn failed(&self, error: &reqwest::Error) -> ApiError {
        // It may be the CA that is another one now.
        *self.http.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let cause = match error.is_timeout() {
            true => format!("no answer within {:?}", self.timeout),
            false => cause.to_string(),
        };
        ApiError::Call { server: self.server.clone(), cause }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(TOKEN_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn message(said: &StatusObject) -> String {
    let text = if said.message.is_empty() { "no reason is given" } else { &said.message };
    let clean: String = text[..text.floor_char_boundary(MESSAGE_BYTES)].to_owned();
    clean.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}
