//! A server for tests that says what it is told to, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::base::http::{Settings, serve};

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// As received: path and query, or the whole URL through a proxy.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The values of a form, decoded.
    pub(crate) fn form(&self, name: &str) -> String {
        let body = std::str::from_utf8(&self.body).unwrap();
        let found = crate::wire::query::parse(body).into_iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value).unwrap_or_default()
    }
}

pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    pub(crate) delay: Duration,
}

impl Said {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Said {
        Said { status, headers: Vec::new(), body: body.into(), delay: Duration::ZERO }
    }

    /// An answer of Log Service.
    pub(crate) fn log_service(status: u16, code: &str) -> Said {
        let body = match status {
            200 => String::new(),
            _ => format!(r#"{{"errorCode":"{code}","errorMessage":"m"}}"#),
        };
        Said::new(status, body).with("x-log-requestid", "R")
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Said {
        self.headers.push((name, value.into()));
        self
    }
}

type Judge = dyn Fn(usize, &Seen) -> Said + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<()>,
}

impl Server {
    /// Answers by `judge`, which is told how many requests came before.
    pub(crate) async fn start(judge: impl Fn(usize, &Seen) -> Said + Send + Sync + 'static) -> Server {
        Server::at("127.0.0.1:0", None, judge).await
    }

    pub(crate) async fn at(
        address: &str,
        tls: Option<TlsAcceptor>,
        judge: impl Fn(usize, &Seen) -> Said + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (judge, remembered): (Arc<Judge>, _) = (Arc::new(judge), seen.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (judge, seen, tls) = (judge.clone(), remembered.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => talk(stream, judge, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                talk(stream, judge, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Server { address, seen, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn talk<S>(stream: S, judge: Arc<Judge>, seen: Arc<Mutex<Vec<Seen>>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let service = tower_like(judge, seen);
    let settings = Settings { header_timeout: None, buffer_bytes: 64 * 1024 };
    // A client that goes away is no fault of the test.
    let _ = serve(stream, service, settings, &CancellationToken::new()).await;
}

fn tower_like(judge: Arc<Judge>, seen: Arc<Mutex<Vec<Seen>>>) -> TowerToHyperService<axum::Router> {
    let answer = move |request: Request<Body>| {
        let (judge, seen) = (judge.clone(), seen.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap();
            let (method, target) = (head.method.to_string(), head.uri.to_string());
            let one = Seen { method, target, headers: head.headers, body };
            let before = {
                let mut seen = seen.lock().unwrap();
                seen.push(one.clone());
                seen.len() - 1
            };
            let said = judge(before, &one);
            tokio::time::sleep(said.delay).await;
            let mut response = Response::builder().status(said.status);
            for (name, value) in said.headers {
                response = response.header(name, value);
            }
            response.body(Body::from(said.body)).unwrap()
        }
    };
    TowerToHyperService::new(axum::Router::new().fallback(answer))
}
