//! Questions and orders in JSON, and lists in pages: the part of Log Service's API that is no data.
//!
//! ```text
//! GET PATH                        -> a JSON object
//! GET PATH?offset=0&size=500 ...  -> {"total": 1, ITEMS: [...]}, until a page is not full
//! POST | PUT | DELETE PATH JSON   -> nothing that counts
//! ```

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::client::{Answer, Client, ClientError};
use crate::wire::errors::{Verdict, judge};

/// The most that a page may have, by the documentation of every list.
const PAGE: usize = 500;
/// No list of names that is meant is longer.
const LISTED: usize = 20_000;
/// So much of what a service says is quoted.
const QUOTED_CHARS: usize = 300;

/// Why a call gave nothing; a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{code}: {message} (HTTP {status}, request {request_id})")]
    Refused { status: u16, code: String, message: String, request_id: String },
    #[error("{base}: HTTP {status}, which is no answer of Log Service; check the endpoint")]
    Foreign { base: String, status: u16 },
    #[error("{path}: more than {LISTED} of them")]
    Endless { path: String },
}

impl CallError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            CallError::Refused { status, .. } | CallError::Foreign { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The service's word for a refusal.
    pub fn code(&self) -> &str {
        match self {
            CallError::Refused { code, .. } => code,
            _ => "",
        }
    }

    /// Log Service says that what is asked for does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, CallError::Refused { status: 404, .. })
    }

    /// It exists already.
    pub fn is_there(&self) -> bool {
        self.code().ends_with("AlreadyExist")
    }

    /// Too many requests, or a service in trouble: it is to be left alone for a while.
    pub fn wants_rest(&self) -> bool {
        match self {
            CallError::Refused { status, code, message, .. } => {
                matches!(judge(*status, code, message), Verdict::Throttle | Verdict::RetrySoon)
            }
            CallError::Foreign { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

impl Client {
    /// GET.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, CallError> {
        let answer = self.call("GET", path, query, &[], Bytes::new(), 0).await?;
        self.granted(&answer)?;
        serde_json::from_slice(&answer.body)
            .map_err(|_| CallError::Foreign { base: self.base().to_owned(), status: answer.status })
    }

    /// POST, PUT or DELETE.
    pub async fn order(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(), CallError> {
        let headers: &[(&str, &str)] =
            if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let size = body.len();
        let answer = self.call(method, path, &[], headers, body, size).await?;
        self.granted(&answer)
    }

    /// All pages of a list; `items` is the key that has it.
    pub async fn list<T: DeserializeOwned>(&self, path: &str, items: &str) -> Result<Vec<T>, CallError> {
        let size = PAGE.to_string();
        let mut all: Vec<T> = Vec::new();
        loop {
            let offset = all.len().to_string();
            let mut page: Map<String, Value> =
                self.ask(path, &[("offset", &offset), ("size", &size)]).await?;
            let strange = || CallError::Foreign { base: self.base().to_owned(), status: 200 };
            let found: Vec<T> = match page.remove(items) {
                // Who has no word for what was asked for is somebody else, and must not be taken for an empty list.
                None | Some(Value::Null) if !says_none(&page) => return Err(strange()),
                None | Some(Value::Null) => Vec::new(),
                Some(found) => serde_json::from_value(found).map_err(|_| strange())?,
            };
            let count = found.len();
            all.extend(found);
            if all.len() > LISTED {
                return Err(CallError::Endless { path: path.to_owned() });
            }
            let total = page.get("total").and_then(Value::as_u64);
            // A service may give less than it was asked for, and some lists have no total.
            let more = total.map_or(count >= PAGE, |total| (all.len() as u64) < total);
            if count == 0 || !more {
                return Ok(all);
            }
        }
    }

    fn granted(&self, answer: &Answer) -> Result<(), CallError> {
        if answer.status == 200 {
            return Ok(());
        }
        let error = answer.error();
        if error.code.is_empty() {
            return Err(CallError::Foreign { base: self.base().to_owned(), status: answer.status });
        }
        Err(CallError::Refused {
            status: answer.status,
            code: quoted(&error.code),
            message: quoted(&error.message),
            request_id: quoted(answer.request_id.as_deref().unwrap_or("unknown")),
        })
    }
}

fn says_none(page: &Map<String, Value>) -> bool {
    ["total", "count"].into_iter().any(|key| page.get(key).and_then(Value::as_u64) == Some(0))
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_CHARS).collect()
}

/// Whether a name can stand in a path as it is, as every name that Log Service takes can.
pub fn is_askable(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'$');
    name.bytes().all(plain) && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::base::secret::Secret;
    use crate::output::credentials::{AccessKey, Credentials};
    use crate::output::testing::{Said, Server};

    fn client(server: &Server) -> Client {
        let secret = Secret::new("secret".to_owned());
        let key = AccessKey { id: "id".to_owned(), secret, security_token: None };
        let credentials = Credentials::Static(Arc::new(key));
        Client::new(&server.url(), "demo", credentials, Duration::from_secs(20)).unwrap()
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end_whatever_its_pages_are() {
        let server = Server::start(|before, seen| {
            let names: Vec<String> = match seen.target.split('?').next() {
                // Pages that are smaller than they may be, of a known total.
                Some("/small") => (before * 2..(before * 2 + 2).min(5)).map(|n| n.to_string()).collect(),
                Some("/stranger") => return Said::new(200, json!({ "status": "up" }).to_string()),
                Some("/nothing") => return Said::new(200, json!({ "total": 0, "names": null }).to_string()),
                _ => Vec::new(),
            };
            Said::new(200, json!({ "total": 5, "count": names.len(), "names": names }).to_string())
        })
        .await;
        let names: Vec<String> = client(&server).list("/small", "names").await.unwrap();
        assert_eq!(names.len(), 5);
        let seen: Vec<String> = server.seen().into_iter().map(|seen| seen.target).collect();
        assert_eq!(
            seen,
            ["/small?offset=0&size=500", "/small?offset=2&size=500", "/small?offset=4&size=500"]
        );
        // A total that is never reached ends with an empty page.
        assert_eq!(client(&server).list::<String>("/none", "names").await.unwrap().len(), 0);
        assert_eq!(client(&server).list::<String>("/nothing", "names").await.unwrap().len(), 0);
        assert!(client(&server).list::<String>("/stranger", "names").await.is_err(), "that is no list");
    }

    #[tokio::test]
    async fn refusals_are_told_from_strangers() {
        let server = Server::start(|_, seen| match seen.target.as_str() {
            "/gone" => Said::log_service(404, "GroupNotExist"),
            "/busy" => Said::log_service(503, "ServerBusy"),
            "/quota" => Said::log_service(403, "ReadQuotaExceed"),
            "/there" => Said::log_service(400, "ConfigAlreadyExist"),
            "/proxy" => Said::new(404, "<html>"),
            _ => Said::new(200, "no JSON"),
        })
        .await;
        let client = client(&server);
        let error = async |path: &str| client.ask::<Value>(path, &[]).await.unwrap_err();
        assert!(error("/gone").await.is_absent());
        assert_eq!(error("/gone").await.to_string(), "GroupNotExist: m (HTTP 404, request R)");
        assert!(error("/busy").await.wants_rest() && error("/quota").await.wants_rest());
        assert!(!error("/gone").await.wants_rest() && error("/there").await.is_there());
        let stranger = error("/proxy").await;
        assert!(!stranger.is_absent() && stranger.to_string().contains("no answer of Log Service"));
        assert!(matches!(error("/text").await, CallError::Foreign { status: 200, .. }));
        assert_eq!(client.order("PUT", "/gone", Some(&json!({}))).await.unwrap_err().status(), Some(404));
    }

    #[test]
    fn names_that_would_change_a_path_are_not_asked_for() {
        assert!(is_askable("k8s-group-c1") && is_askable("a_b.c$d"));
        for name in ["", "..", "a/b", "a?b", "a b", "\u{65e5}", "a%2f"] {
            assert!(!is_askable(name), "{name}");
        }
    }
}
