//! A service that answers by a script and remembers every request, and deliveries to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::super::{Delivery, DeliveryMetrics, Lists, Waits};
use crate::base::log_limit::LogLimit;
use crate::base::secret::Secret;
use crate::config::plan::OutOfRange;
use crate::output::Client;
use crate::output::concurrency::Concurrency;
use crate::output::credentials::{AccessKey, Credentials};
use crate::output::refused::{DeadLetters, Letter, letters};
use crate::wire::compress::{Kind, decompress};
use crate::wire::loggroup::list;

#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    code: &'static str,
    message: &'static str,
    /// A proxy answers without.
    id: bool,
}

impl Answer {
    pub(super) const OK: Answer = Answer { status: 200, code: "", message: "", id: true };

    pub(super) fn error(status: u16, code: &'static str, message: &'static str) -> Answer {
        Answer { status, code, message, id: true }
    }

    pub(super) fn of_a_proxy(status: u16) -> Answer {
        Answer { status, code: "", message: "", id: false }
    }
}

/// One request, and how it was answered.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) number: usize,
    pub(super) method: String,
    /// With its parameters.
    pub(super) path: String,
    headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) status: u16,
    /// What came before it.
    earlier: Vec<(String, u16)>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub(super) fn is_put(&self) -> bool {
        self.path.contains("/shards/")
    }

    pub(super) fn is_list(&self) -> bool {
        self.header("x-log-mode") == "batch_group"
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The LogGroups it carries.
    pub(super) fn groups(&self) -> Vec<Vec<u8>> {
        let inflate = |kind, data: &[u8], size| {
            let mut group = Vec::new();
            decompress(kind, data, size, 16 << 20, &mut group).unwrap();
            group
        };
        if self.is_list() {
            let packages = list::packages(&self.body).map(|package| package.unwrap());
            return packages.map(|package| inflate(package.kind, package.data, package.raw_size)).collect();
        }
        let kind = Kind::from_header(self.header("x-log-compresstype")).unwrap();
        vec![inflate(kind, &self.body, self.header("x-log-bodyrawsize").parse().unwrap())]
    }

    pub(super) fn count_before(&self, path: &str) -> usize {
        self.earlier.iter().filter(|(other, _)| other == path).count()
    }

    /// Whether a path was answered 200 before.
    pub(super) fn made_before(&self, path: &str) -> bool {
        self.earlier.iter().any(|(other, status)| other == path && *status == 200)
    }
}

type Script = dyn Fn(&Seen) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
}

pub(super) struct Service {
    shared: Arc<Shared>,
    base: String,
    dir: tempfile::TempDir,
    shutdown: CancellationToken,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Service {
    pub(super) async fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { script: Box::new(script), seen: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let shutdown = CancellationToken::new();
        tokio::spawn(crate::api::server::serve(listener, router, shutdown.clone()));
        Service { shared, base, dir: tempfile::tempdir().unwrap(), shutdown }
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(super) async fn until(&self, condition: impl Fn(&[Seen]) -> bool) {
        let wait = async {
            while !condition(&self.shared.seen.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
    }

    pub(super) fn letters(&self) -> Vec<Letter> {
        letters(self.dir.path()).unwrap()
    }

    /// To its logstore `web`, with waiting times that a test does not feel.
    pub(super) fn delivery(&self) -> Delivery {
        self.delivery_to(&self.base)
    }

    /// The same to another place; dead letters are kept here.
    pub(super) fn delivery_to(&self, base: &str) -> Delivery {
        let key = AccessKey { id: "id".into(), secret: Secret::new("secret".into()), security_token: None };
        let timeout = Duration::from_secs(30);
        let credentials = Credentials::Static(Arc::new(key));
        let brief = Duration::from_millis(2);
        Delivery {
            client: Client::new(base, "demo", credentials, timeout).unwrap(),
            label: "cloud/web".into(),
            logstore: "web".into(),
            compression: Kind::Lz4,
            letters: Arc::new(DeadLetters::open(self.dir.path(), 1 << 20).unwrap()),
            share: Arc::new(Concurrency::default()).join(base, "demo", "web", 16),
            rate: None,
            lists: Lists::new(true),
            ensure: None,
            out_of_range: OutOfRange::Keep,
            waits: Waits { soon: brief, long: brief, slow: brief },
            trouble: Mutex::default(),
            metrics: DeliveryMetrics::new("cloud/web"),
            complaint: LogLimit::new(Duration::from_secs(10)),
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let Answer { status, code, message, id } = {
        let mut seen = shared.seen.lock().unwrap();
        let mut this = Seen {
            number: seen.len(),
            method: head.method.to_string(),
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: head.headers,
            body,
            status: 0,
            earlier: seen.iter().map(|other| (other.path.clone(), other.status)).collect(),
        };
        let answer = (shared.script)(&this);
        this.status = answer.status;
        seen.push(this);
        answer
    };
    let text = match (status, code) {
        (200, _) => String::new(),
        (_, "") => "<html>".to_owned(),
        _ => format!(r#"{{"errorCode":"{code}","errorMessage":"{message}"}}"#),
    };
    let mut response = (axum::http::StatusCode::from_u16(status).unwrap(), text).into_response();
    if id {
        response.headers_mut().insert("x-log-requestid", "0123456789ABCDEF01234567".parse().unwrap());
    }
    response
}
