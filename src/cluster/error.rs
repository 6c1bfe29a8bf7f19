//! What the API server refuses, and what keeps us from asking it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

/// Of what the server says of an error.
const MESSAGE_BYTES: usize = 300;
/// Longer than this no server is waited for because it says so.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// `verb` and `resource` are those of RBAC, such as `patch` and `aliyunlogconfigs/status`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{}: {cause}; it is the token of the Pod's service account, so look at automountServiceAccountToken", path.display())]
    Token { path: PathBuf, cause: io::Error },
    #[error("cannot set up TLS: {0}")]
    Tls(String),
    #[error("{server}: {cause}")]
    Call { server: String, cause: String },
    #[error("{server} does not accept the token of {}: {message}", path.display())]
    Token401 { server: String, path: PathBuf, message: String },
    #[error(
        "{server} forbids `{verb}` of {resource}: {message}; give the service account's ClusterRole the verb {verb} of {resource}"
    )]
    Forbidden { server: String, verb: &'static str, resource: String, message: String },
    #[error("{server} answers 404: it has no {resource}")]
    Absent { server: String, resource: String },
    #[error("{server} no longer knows what {resource} were at the version that was asked for")]
    Outdated { server: String, resource: String },
    #[error("{server} answers {status} to `{verb}` of {resource}: {message}")]
    Status {
        server: String,
        verb: &'static str,
        resource: String,
        status: u16,
        message: String,
        wait: Option<Duration>,
    },
    #[error("{server} answers `{verb}` of {resource} with more than {most} bytes")]
    TooLarge { server: String, verb: &'static str, resource: String, most: usize },
    #[error("{server} answers `{verb}` of {resource} with what is none: {cause}")]
    Malformed { server: String, verb: &'static str, resource: String, cause: String },
    #[error("{0}")]
    Manifest(#[from] super::Unknown),
}

impl ApiError {
    /// Whether the same request would be refused again, while others may go well.
    pub fn is_of_request(&self) -> bool {
        match self {
            ApiError::Forbidden { .. }
            | ApiError::Absent { .. }
            | ApiError::TooLarge { .. }
            | ApiError::Malformed { .. }
            | ApiError::Manifest(_) => true,
            // Bad request, conflict, unsupported media type, invalid.
            ApiError::Status { status, .. } => matches!(status, 400 | 409 | 415 | 422),
            _ => false,
        }
    }

    /// What the server asks to be left alone for.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            ApiError::Status { wait, .. } => *wait,
            _ => None,
        }
    }
}

/// What the API server says instead of an object.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusObject {
    kind: String,
    message: String,
    reason: String,
    pub(super) code: u16,
}

/// What was asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) server: &'a str,
    pub(super) token_file: &'a std::path::Path,
    pub(super) verb: &'static str,
    pub(super) resource: &'a str,
}

impl Asked<'_> {
    /// The error of an answer that is none of success. A 404 is [`ApiError::Absent`] only where the path is unknown.
    pub(super) fn refused(self, status: StatusCode, headers: &HeaderMap, said: &StatusObject) -> ApiError {
        let (server, resource) = (self.server.to_owned(), self.resource.to_owned());
        let message = said.text();
        match status {
            StatusCode::UNAUTHORIZED => {
                ApiError::Token401 { server, path: self.token_file.to_owned(), message }
            }
            StatusCode::FORBIDDEN => ApiError::Forbidden { server, verb: self.verb, resource, message },
            StatusCode::GONE => ApiError::Outdated { server, resource },
            _ => {
                let (verb, status, wait) = (self.verb, status.as_u16(), wait(headers));
                ApiError::Status { server, verb, resource, status, message, wait }
            }
        }
    }

    pub(super) fn too_large(self, most: usize) -> ApiError {
        let (server, resource) = (self.server.to_owned(), self.resource.to_owned());
        ApiError::TooLarge { server, verb: self.verb, resource, most }
    }

    pub(super) fn malformed(self, cause: impl ToString) -> ApiError {
        let (server, resource) = (self.server.to_owned(), self.resource.to_owned());
        ApiError::Malformed { server, verb: self.verb, resource, cause: cause.to_string() }
    }
}

impl StatusObject {
    /// Whether the API server itself says that there is no such object: who knows what else listens there.
    pub(super) fn is_not_found(&self) -> bool {
        self.kind == "Status" && self.reason == "NotFound"
    }

    fn text(&self) -> String {
        let text = if self.message.is_empty() { "no reason is given" } else { &self.message };
        let short = &text[..text.floor_char_boundary(MESSAGE_BYTES)];
        short.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
    }
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}
