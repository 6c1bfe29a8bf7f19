//! An API server for tests: custom resources with versions, lists in pages, watches, statuses, server-side apply.
//!
//! Every write has the next version and is an event; [`ApiServer::compact`] forgets the events so far, after which who watches
//! from an older version is told 410. A status is its own subresource: a write of it does not change `generation`, and a write
//! of the rest does not change it.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use hyper_util::service::TowerToHyperService;
use rcgen::SanType;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Access, Client, Kind};
use crate::base::http;
use crate::base::tls::ServerTls;
use crate::base::tls::testing::{Setup, dns};

pub(crate) const TOKEN: &str = "token-1";

/// An answer instead of the one that is asked for.
pub(crate) type Fault = (u16, Value);

pub(crate) fn status(code: u16, reason: &str, message: &str) -> Fault {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code });
    (code, status)
}

/// Something that serves HTTPS with a certificate of a cluster's CA; `ca.pem` and `token` are in its directory.
pub(crate) struct Served {
    pub(crate) setup: Setup,
    pub(crate) address: String,
    _serving: JoinSet<()>,
}

impl Served {
    /// On a port of its own, or on this one.
    pub(crate) async fn start(at: Option<&str>, router: Router) -> Served {
        let setup = Setup::new();
        let names = vec![dns("localhost"), SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
        setup.write_pair("server", &setup.ca.issue("kube-apiserver", names));
        setup.write("token", &format!("{TOKEN}\n"));
        let listener = TcpListener::bind(at.unwrap_or("127.0.0.1:0")).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let tls = Arc::new(ServerTls::load(&setup.plan()).unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, router) = (tls.clone(), router.clone());
                connections.spawn(async move {
                    let Ok(accepted) = tls.accept(stream).await else { return };
                    let settings = http::Settings { header_timeout: None, buffer_bytes: 64 * 1024 };
                    let service = TowerToHyperService::new(router);
                    let _ = http::serve(accepted.stream, service, settings, &CancellationToken::new()).await;
                });
            }
        });
        Served { setup, address, _serving: serving }
    }

    pub(crate) fn access(&self) -> Access {
        Access {
            server: format!("https://{}", self.address),
            token_file: self.setup.path("token"),
            ca_file: self.setup.path("ca.pem"),
        }
    }
}

#[derive(Default)]
struct Objects {
    version: u64,
    /// What watches can be told from.
    compacted: u64,
    /// By the path of their collection, then by name. A collection that is absent here is of no kind.
    collections: BTreeMap<String, BTreeMap<String, Value>>,
    /// Version, path of the object, what watches are told.
    events: Vec<(u64, String, Value)>,
    faults: BTreeMap<String, Fault>,
    requests: Vec<String>,
    /// Lists continue as they began.
    pages: HashMap<String, (u64, Vec<Value>)>,
}

struct House {
    objects: Mutex<Objects>,
    /// The version, and how often watches were cut.
    news: watch::Sender<(u64, u64)>,
    /// Lines that watches get as they are.
    raw: Mutex<Vec<String>>,
    bookmark: Mutex<Duration>,
}

#[derive(Clone)]
pub(crate) struct ApiServer {
    served: Arc<Served>,
    house: Arc<House>,
}

impl ApiServer {
    /// With both kinds of configurations.
    pub(crate) async fn start() -> ApiServer {
        let house = Arc::new(House {
            objects: Mutex::default(),
            news: watch::Sender::new((0, 0)),
            raw: Mutex::default(),
            bookmark: Mutex::new(Duration::from_secs(60)),
        });
        let router = Router::new().fallback(answer).with_state(house.clone());
        let served = Arc::new(Served::start(None, router).await);
        let server = ApiServer { served, house };
        server.define(&Kind::LOG_CONFIG);
        server.define(&Kind::PIPELINE_CONFIG);
        server
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.served.access(), Duration::from_secs(5))
    }

    pub(crate) fn define(&self, kind: &Kind) {
        self.lock().collections.entry(kind.collection(None)).or_default();
    }

    /// Takes a kind and all of it away, in silence.
    pub(crate) fn undefine(&self, kind: &Kind) {
        self.lock().collections.remove(&kind.collection(None));
    }

    /// Makes an object or another one of it, as `kubectl apply` would: its status stays.
    pub(crate) fn put(&self, kind: &Kind, namespace: Option<&str>, name: &str, spec: Value) -> u64 {
        let mut object = json!({ "apiVersion": kind.api_version(), "kind": kind.name,
            "metadata": { "name": name, "managedFields": [ {} ] }, "spec": spec });
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let version = self.lock().write(&kind.object(namespace, name), object, false);
        self.announce();
        version
    }

    pub(crate) fn remove(&self, kind: &Kind, namespace: Option<&str>, name: &str) {
        self.lock().remove(&kind.object(namespace, name));
        self.announce();
    }

    pub(crate) fn object(&self, kind: &Kind, namespace: Option<&str>, name: &str) -> Value {
        self.lock().find(&kind.object(namespace, name)).unwrap_or_default()
    }

    /// Answers whatever begins with this path and query by a fault, until [`ApiServer::heal`].
    pub(crate) fn fail(&self, method_and_path: &str, fault: Fault) {
        self.lock().faults.insert(method_and_path.to_owned(), fault);
    }

    pub(crate) fn heal(&self) {
        self.lock().faults.clear();
    }

    /// Forgets the events so far.
    pub(crate) fn compact(&self) {
        let mut objects = self.lock();
        objects.compacted = objects.version;
        objects.events.clear();
        objects.pages.clear();
    }

    /// Ends all watches.
    pub(crate) fn cut(&self) {
        self.house.news.send_modify(|(_, cuts)| *cuts += 1);
    }

    /// Says a line to all watches.
    pub(crate) fn say(&self, line: &str) {
        self.house.raw.lock().unwrap().push(line.to_owned());
        self.announce();
    }

    pub(crate) fn bookmark_every(&self, period: Duration) {
        *self.house.bookmark.lock().unwrap() = period;
    }

    /// `METHOD path?query` of all requests.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.house.objects.lock().unwrap()
    }

    fn announce(&self) {
        let version = self.lock().version;
        self.house.news.send_modify(|news| news.0 = version);
    }
}

/// Path of the collection over all namespaces, and name in it, of an object's path.
fn place(path: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["", "apis", group, version, "namespaces", namespace, plural, name] => {
            Some((format!("/apis/{group}/{version}/{plural}"), format!("{namespace}/{name}")))
        }
        ["", "apis", group, version, plural, name] => {
            Some((format!("/apis/{group}/{version}/{plural}"), name.to_owned()))
        }
        ["", "api", version, "namespaces", namespace, plural, name] => {
            Some((format!("/api/{version}/{plural}"), format!("{namespace}/{name}")))
        }
        ["", "api", version, plural, name] => Some((format!("/api/{version}/{plural}"), name.to_owned())),
        _ => None,
    }
}

impl Objects {
    fn find(&self, path: &str) -> Option<Value> {
        let (collection, name) = place(path)?;
        self.collections.get(&collection)?.get(&name).cloned()
    }

    /// Writes the status alone, or all but it.
    fn write(&mut self, path: &str, mut object: Value, is_status: bool) -> u64 {
        let (collection, name) = place(path).unwrap();
        let before = self.collections[&collection].get(&name).cloned();
        let generation =
            before.as_ref().map_or(0, |before| before["metadata"]["generation"].as_u64().unwrap());
        let mut now = match (&before, is_status) {
            (Some(before), true) => {
                let mut now = before.clone();
                now["status"] = object["status"].take();
                now
            }
            (Some(before), false) if !before["status"].is_null() => {
                object["status"] = before["status"].clone();
                object
            }
            _ => object,
        };
        // What changes nothing is no event.
        if before.as_ref().is_some_and(|b| b["spec"] == now["spec"] && b["status"] == now["status"]) {
            return self.version;
        }
        self.version += 1;
        now["metadata"]["resourceVersion"] = json!(self.version.to_string());
        now["metadata"]["generation"] = json!(generation + u64::from(!is_status));
        now["metadata"]["uid"] = json!(format!("uid-{name}"));
        let event = json!({ "type": if before.is_some() { "MODIFIED" } else { "ADDED" }, "object": now });
        self.events.push((self.version, path.to_owned(), event));
        self.collections.entry(collection).or_default().insert(name, now);
        self.version
    }

    fn remove(&mut self, path: &str) -> bool {
        let (collection, name) = place(path).unwrap();
        let gone = self.collections.get_mut(&collection).and_then(|objects| objects.remove(&name));
        let Some(mut gone) = gone else { return false };
        self.version += 1;
        gone["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.events.push((self.version, path.to_owned(), json!({ "type": "DELETED", "object": gone })));
        true
    }

    /// All of a path: of all namespaces, or of one.
    fn all(&self, path: &str) -> Option<Vec<Value>> {
        let parts: Vec<&str> = path.split('/').collect();
        let (collection, start) = match parts[..] {
            ["", "apis", group, version, "namespaces", namespace, plural] => {
                (format!("/apis/{group}/{version}/{plural}"), format!("{namespace}/"))
            }
            _ => (path.to_owned(), String::new()),
        };
        let objects = self.collections.get(&collection)?.iter();
        Some(objects.filter(|(name, _)| name.starts_with(&start)).map(|(_, object)| object.clone()).collect())
    }

    fn list(&mut self, path: &str, query: &HashMap<String, String>) -> Fault {
        let limit = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
        let (version, mut items) = match query.get("continue") {
            None => match self.all(path) {
                Some(items) => (self.version, items),
                None => return (404, json!("404 page not found")),
            },
            Some(next) => match self.pages.remove(next) {
                Some(page) => page,
                None => return status(410, "Expired", "The provided continue parameter is too old"),
            },
        };
        let rest = items.split_off(items.len().min(limit));
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        if !rest.is_empty() {
            let next = format!("page of {version} {}", rest.len());
            metadata["continue"] = json!(next);
            self.pages.insert(next, (version, rest));
        }
        (200, json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items }))
    }
}

async fn answer(State(house): State<Arc<House>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let line = format!("{} {}", parts.method, parts.uri);
    let query: HashMap<String, String> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.replace("%20", " ")))
        .collect();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut objects = house.objects.lock().unwrap();
    objects.requests.push(line.clone());
    let fault = objects.faults.iter().find(|(start, _)| line.starts_with(start.as_str()));
    let token = parts.headers.get("authorization").and_then(|text| text.to_str().ok());
    let kind = parts.headers.get("content-type").and_then(|text| text.to_str().ok()).unwrap_or_default();
    let (code, answer) = if let Some((_, fault)) = fault {
        fault.clone()
    } else if token != Some(&format!("Bearer {TOKEN}")) {
        status(401, "Unauthorized", "Unauthorized")
    } else if query.contains_key("watch") {
        let from: u64 = query["resourceVersion"].parse().unwrap();
        if objects.all(&path).is_none() {
            (404, json!("404 page not found"))
        } else if from < objects.compacted {
            status(410, "Expired", "too old resource version")
        } else {
            drop(objects);
            return watched(&house, path, from);
        }
    } else if parts.method == Method::PATCH {
        patch(&mut objects, &path, kind, &body)
    } else if parts.method == Method::DELETE {
        match objects.remove(&path) {
            true => (200, json!({ "kind": "Status", "status": "Success" })),
            false => status(404, "NotFound", "not found"),
        }
    } else if let Some((collection, _)) =
        place(&path).filter(|(known, _)| objects.collections.contains_key(known))
    {
        let object = objects.find(&path);
        object
            .map_or_else(|| status(404, "NotFound", &format!("none in {collection}")), |object| (200, object))
    } else {
        objects.list(&path, &query)
    };
    let version = objects.version;
    drop(objects);
    if parts.method != Method::GET {
        house.news.send_modify(|news| news.0 = version);
    }
    let text = match answer {
        Value::String(text) => text,
        other => other.to_string(),
    };
    (StatusCode::from_u16(code).unwrap(), text).into_response()
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return *target = patch.clone() };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.remove(key)),
            value => merge(target.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

fn patch(objects: &mut Objects, path: &str, kind: &str, body: &[u8]) -> Fault {
    let mut body: Value = serde_json::from_slice(body).unwrap();
    if let Some(path) = path.strip_suffix("/status") {
        assert_eq!(kind, "application/merge-patch+json");
        let Some(mut object) = objects.find(path) else { return status(404, "NotFound", "not found") };
        merge(&mut object["status"], &body["status"]);
        objects.write(path, object, true);
        return (200, objects.find(path).unwrap());
    }
    assert_eq!(kind, "application/apply-patch+yaml");
    let Some((collection, _)) = place(path) else { return (404, json!("404 page not found")) };
    if !objects.collections.contains_key(&collection) {
        return (404, json!("404 page not found"));
    }
    let is_new = objects.find(path).is_none();
    body["metadata"]["managedFields"] = json!([{ "manager": super::FIELD_MANAGER }]);
    objects.write(path, body, false);
    (if is_new { 201 } else { 200 }, objects.find(path).unwrap())
}

/// The body of a watch.
struct Lines(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn watched(house: &Arc<House>, path: String, mut from: u64) -> Response {
    let (lines, body) = mpsc::channel(16);
    let house = house.clone();
    let mut news = house.news.subscribe();
    let (cuts, mut said) = (news.borrow().1, house.raw.lock().unwrap().len());
    let bookmark = *house.bookmark.lock().unwrap();
    tokio::spawn(async move {
        loop {
            let mut text = String::new();
            let is_outdated;
            {
                let objects = house.objects.lock().unwrap();
                is_outdated = from < objects.compacted;
                let known = objects.collections.keys().find(|known| **known == path).cloned();
                let mine = |event: &(u64, String, Value)| {
                    event.0 > from
                        && match &known {
                            Some(known) => {
                                place(&event.1).is_some_and(|(collection, _)| collection == *known)
                            }
                            None => event.1.starts_with(&path),
                        }
                };
                for (_, _, event) in objects.events.iter().filter(|event| mine(event)) {
                    text.push_str(&format!("{event}\n"));
                }
                from = from.max(objects.version);
            }
            {
                let raw = house.raw.lock().unwrap();
                raw[said..].iter().for_each(|line| text.push_str(line));
                said = raw.len();
            }
            if is_outdated {
                let (_, gone) = status(410, "Expired", "too old resource version");
                text = format!("{}\n", json!({ "type": "ERROR", "object": gone }));
            }
            // In two pieces, as networks cut them.
            let middle = text.floor_char_boundary(text.len() / 2);
            for piece in [&text[..middle], &text[middle..]] {
                if !piece.is_empty() && lines.send(Bytes::copy_from_slice(piece.as_bytes())).await.is_err() {
                    return;
                }
            }
            if is_outdated {
                return;
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() || news.borrow().1 > cuts { return },
                () = tokio::time::sleep(bookmark) => {
                    let version = from.to_string();
                    let line = json!({ "type": "BOOKMARK", "object": { "metadata": { "resourceVersion": version } } });
                    if lines.send(format!("{line}\n").into()).await.is_err() {
                        return;
                    }
                }
                () = lines.closed() => return,
            }
        }
    });
    Response::new(Body::new(Lines(body)))
}
