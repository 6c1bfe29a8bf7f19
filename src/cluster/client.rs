//! The client: one request, one answer, over HTTPS.
//!
//! ```text
//! GET    PATH/NAME                                     an object, or a Status 404
//! GET    PATH?limit=N[&continue=TOKEN]                 a page of all, and a version to watch from
//! GET    PATH?watch=1&resourceVersion=V                one line of JSON for each change
//! PATCH  PATH/NAME/status     merge-patch+json         a status
//! PATCH  PATH/NAME?fieldManager=sluicegate&force=true  apply-patch+yaml, made where it is not there
//! DELETE PATH/NAME
//! Authorization: Bearer TOKEN
//! ```
//!
//! The token is read for each request, since kubelet replaces it before it ends; the CA file is read again after a failed
//! connection. An answer is taken into memory up to a bound. That an object is not there counts only when the API server
//! itself says it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{ApiError, Asked, StatusObject};
use super::kind::{Kind, escape};
use crate::base::limits;
use crate::base::tls::ClientTls;
use crate::config::plan::{ClusterPlan, KubernetesApiPlan};

/// An object; etcd takes no larger one than 1.5 MiB.
pub(super) const OBJECT_BYTES: usize = 4 * limits::MIB;
const ERROR_BYTES: usize = 64 * limits::KIB;
const TOKEN_BYTES: u64 = 64 * limits::KIB as u64;
/// Who owns the fields that we apply.
/// What we apply is ours by this name.
pub const FIELD_MANAGER: &str = "sluicegate";
/// A connection that says nothing may be one whose other end is gone: the kernel asks.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where an API server is, and how it knows us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `https://host:port`.
    pub server: String,
    pub token_file: PathBuf,
    pub ca_file: PathBuf,
}

impl From<&KubernetesApiPlan> for Access {
    fn from(plan: &KubernetesApiPlan) -> Access {
        let KubernetesApiPlan { server, token_file, ca_file, .. } = plan.clone();
        Access { server, token_file, ca_file }
    }
}

impl From<&ClusterPlan> for Access {
    fn from(plan: &ClusterPlan) -> Access {
        let ClusterPlan { server, token_file, ca_file, .. } = plan.clone();
        Access { server, token_file, ca_file }
    }
}

/// A page of a list.
#[derive(Deserialize)]
pub struct Page<T> {
    #[serde(default)]
    pub metadata: PageMetadata,
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PageMetadata {
    /// What to watch from.
    pub resource_version: String,
    /// Of the next page; empty on the last.
    #[serde(rename = "continue")]
    pub next: String,
}

pub struct Client {
    access: Access,
    timeout: Duration,
    /// Absent until it is needed, and after a connection failed.
    http: Mutex<Option<reqwest::Client>>,
}

/// A request that is on its way to be sent.
struct Request<'a> {
    method: Method,
    verb: &'static str,
    /// As RBAC calls it.
    resource: &'a str,
    url: String,
    body: Option<(&'static str, Vec<u8>)>,
    most: usize,
}

impl Client {
    /// Nothing is connected or read yet. `timeout`: of a request and its whole answer.
    pub fn new(access: Access, timeout: Duration) -> Client {
        Client { access, timeout, http: Mutex::new(None) }
    }

    pub fn server(&self) -> &str {
        &self.access.server
    }

    /// The object of this name. `None`: there is none.
    pub async fn get<T: DeserializeOwned>(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<T>, ApiError> {
        let url = format!("{}{}", self.access.server, kind.object(namespace, name));
        let request = Request::get("get", kind, url, OBJECT_BYTES);
        let asked = self.asked(request.verb, kind.plural);
        match self.send(request).await? {
            None => Ok(None),
            Some((_, body)) => {
                serde_json::from_slice(&body).map(Some).map_err(|error| asked.malformed(error))
            }
        }
    }

    /// One page of all there are. `parameters`: keys as they are, values that are escaped here. `most`: bytes.
    pub async fn list<T: DeserializeOwned>(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        parameters: &[(&str, &str)],
        most: usize,
    ) -> Result<Page<T>, ApiError> {
        let url = self.url(kind, namespace, parameters);
        let asked = self.asked("list", kind.plural);
        let absent =
            || ApiError::Absent { server: self.access.server.clone(), resource: kind.plural.to_owned() };
        match self.send(Request::get("list", kind, url, most)).await {
            Ok(Some((_, body))) => serde_json::from_slice(&body).map_err(|error| asked.malformed(error)),
            // A path that no definition makes is nothing of the API's own: it has no Status.
            Ok(None) | Err(ApiError::Status { status: 404, .. }) => Err(absent()),
            Err(error) => Err(error),
        }
    }

    /// Begins to watch; the answer's body has a line for each change, for at most so long.
    pub(super) async fn watch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        version: &str,
        longest: Duration,
    ) -> Result<reqwest::Response, ApiError> {
        let seconds = longest.as_secs().max(1).to_string();
        let parameters = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", &seconds),
        ];
        let asked = self.asked("watch", kind.plural);
        let request = self.http()?.get(self.url(kind, namespace, &parameters));
        let request = request.header(AUTHORIZATION, self.token()?).timeout(longest + self.timeout);
        let sent = tokio::time::timeout(self.timeout, request.send()).await;
        let Ok(sent) = sent else { return Err(self.call(format!("no answer within {:?}", self.timeout))) };
        let answer = sent.map_err(|error| self.failed(&error))?;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = self.body(answer, asked, ERROR_BYTES).await?;
        let said: StatusObject = serde_json::from_slice(&body).unwrap_or_default();
        Err(asked.refused(status, &headers, &said))
    }

    /// Writes a status, of which the keys that are not named stay. False: there is no such object, or it has no status of its
    /// own.
    pub async fn patch_status(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        status: &Value,
    ) -> Result<bool, ApiError> {
        let resource = format!("{}/status", kind.plural);
        let body = serde_json::json!({ "status": status }).to_string().into_bytes();
        let request = Request {
            method: Method::PATCH,
            verb: "patch",
            resource: &resource,
            url: format!("{}{}/status", self.access.server, kind.object(namespace, name)),
            body: Some(("application/merge-patch+json", body)),
            most: OBJECT_BYTES,
        };
        match self.send(request).await {
            Ok(answer) => Ok(answer.is_some()),
            Err(ApiError::Status { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the object of a manifest, or makes it so (server-side apply). What others set besides stays theirs. True: it was
    /// not there.
    pub async fn apply(&self, manifest: &Value) -> Result<bool, ApiError> {
        let (kind, namespace, name) = Kind::of_manifest(manifest)?;
        let path = kind.object(namespace, name);
        let request = Request {
            method: Method::PATCH,
            verb: "patch",
            resource: kind.plural,
            url: format!("{}{path}?fieldManager={FIELD_MANAGER}&force=true", self.access.server),
            // JSON is YAML.
            body: Some(("application/apply-patch+yaml", manifest.to_string().into_bytes())),
            most: OBJECT_BYTES,
        };
        match self.send(request).await? {
            Some((status, _)) => Ok(status == StatusCode::CREATED),
            None => Err(ApiError::Absent {
                server: self.access.server.clone(),
                resource: match namespace {
                    Some(namespace) => format!("{} in a namespace {namespace:?}", kind.plural),
                    None => kind.plural.to_owned(),
                },
            }),
        }
    }

    /// Deletes the object of a manifest, and later what it owns. False: it was not there.
    pub async fn delete(&self, manifest: &Value) -> Result<bool, ApiError> {
        let (kind, namespace, name) = Kind::of_manifest(manifest)?;
        let path = kind.object(namespace, name);
        let request = Request {
            method: Method::DELETE,
            verb: "delete",
            resource: kind.plural,
            url: format!("{}{path}?propagationPolicy=Background", self.access.server),
            body: None,
            most: OBJECT_BYTES,
        };
        match self.send(request).await {
            Ok(answer) => Ok(answer.is_some()),
            // Not even its kind is there.
            Err(ApiError::Status { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn asked<'a>(&'a self, verb: &'static str, resource: &'a str) -> Asked<'a> {
        Asked { server: &self.access.server, token_file: &self.access.token_file, verb, resource }
    }

    fn url(&self, kind: &Kind, namespace: Option<&str>, parameters: &[(&str, &str)]) -> String {
        let mut url = format!("{}{}", self.access.server, kind.collection(namespace));
        for (number, (key, value)) in parameters.iter().enumerate() {
            url.push(if number == 0 { '?' } else { '&' });
            url.push_str(key);
            url.push('=');
            escape(&mut url, value);
        }
        url
    }

    /// The answer of success, or `None` where the server says that the object is not there.
    async fn send(&self, request: Request<'_>) -> Result<Option<(StatusCode, Vec<u8>)>, ApiError> {
        let asked = self.asked(request.verb, request.resource);
        let mut call = self.http()?.request(request.method, request.url).header(AUTHORIZATION, self.token()?);
        if let Some((media_type, body)) = request.body {
            call = call.header(CONTENT_TYPE, media_type).body(body);
        }
        let answer = call.send().await.map_err(|error| self.failed(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let is_success = matches!(status, StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED);
        let body = self.body(answer, asked, if is_success { request.most } else { ERROR_BYTES }).await?;
        if is_success {
            return Ok(Some((status, body)));
        }
        let said: StatusObject = serde_json::from_slice(&body).unwrap_or_default();
        if status == StatusCode::NOT_FOUND && said.is_not_found() {
            return Ok(None);
        }
        Err(asked.refused(status, &headers, &said))
    }

    async fn body(
        &self,
        mut answer: reqwest::Response,
        asked: Asked<'_>,
        most: usize,
    ) -> Result<Vec<u8>, ApiError> {
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + part.len() > most {
                return Err(asked.too_large(most));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn token(&self) -> Result<HeaderValue, ApiError> {
        let failed = |cause| ApiError::Token { path: self.access.token_file.clone(), cause };
        let text = read(&self.access.token_file).map_err(failed)?;
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
        let trusted = ClientTls { ca: Some(self.access.ca_file.clone()), ..ClientTls::default() };
        let tls = trusted.config().map_err(|error| ApiError::Tls(error.to_string()))?;
        let made = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .timeout(self.timeout)
            .connect_timeout(self.timeout)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .redirect(redirect::Policy::none())
            // A proxy of the environment is for what is outside of the cluster, and not to see the token.
            .no_proxy()
            .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ApiError::Tls(error.to_string()))?;
        Ok(http.insert(made).clone())
    }

    pub(super) fn failed(&self, error: &reqwest::Error) -> ApiError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        self.call(match error.is_timeout() {
            true => format!("no answer within {:?}", self.timeout),
            false => cause.to_string(),
        })
    }

    fn call(&self, cause: String) -> ApiError {
        // It may be the CA that is another one now.
        *self.http.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
        ApiError::Call { server: self.access.server.clone(), cause }
    }
}

impl<'a> Request<'a> {
    fn get(verb: &'static str, kind: &Kind, url: String, most: usize) -> Request<'a> {
        Request { method: Method::GET, verb, resource: kind.plural, url, body: None, most }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(TOKEN_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
