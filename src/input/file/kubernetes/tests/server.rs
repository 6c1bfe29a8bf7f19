//! An API server with a certificate of a cluster's CA, which asks for a token.

use super::*;
use crate::base::http;
use crate::base::tls::ServerTls;
use crate::base::tls::testing::{Setup, dns};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper_util::service::TowerToHyperService;
use rcgen::SanType;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) const UID: &str = "8fd1b2a5-5a0a-4c52-9a4b-4c4d2f3c1e11";
pub(super) const TOKEN: &str = "token-1";

/// A Pod as the server keeps it.
pub(super) fn pod(namespace: &str, name: &str, uid: &str, labels: &[(&str, &str)]) -> Value {
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "uid": uid, "labels": labels, "managedFields": [ {} ] },
        "spec": { "nodeName": "node-1", "containers": [ { "name": "app", "image": format!("{namespace}/app:1") } ] },
        "status": { "phase": "Running" } })
}

/// What an answer is instead of the one that is asked for.
pub(super) type Fault = (u16, Value);

#[derive(Default)]
struct House {
    pods: Mutex<Vec<Value>>,
    token: Mutex<String>,
    requests: Mutex<Vec<String>>,
    /// By the beginning of the path.
    faults: Mutex<BTreeMap<String, Fault>>,
    /// Who holds it for writing holds all answers back.
    gate: Arc<RwLock<()>>,
}

pub(super) struct ApiServer {
    pub(super) setup: Setup,
    house: Arc<House>,
    address: String,
    _serving: JoinSet<()>,
}

impl ApiServer {
    /// On a port of its own, or on this one.
    pub(super) async fn start(at: Option<&str>) -> ApiServer {
        let setup = Setup::new();
        let names = vec![dns("localhost"), SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
        setup.write_pair("server", &setup.ca.issue("kube-apiserver", names));
        let house = Arc::new(House { token: Mutex::new(TOKEN.to_owned()), ..House::default() });
        setup.write("token", &format!("{TOKEN}\n"));
        let listener = TcpListener::bind(at.unwrap_or("127.0.0.1:0")).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let tls = Arc::new(ServerTls::load(&setup.plan()).unwrap());
        let router = Router::new().fallback(answer).with_state(house.clone());
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
        ApiServer { setup, house, address, _serving: serving }
    }

    pub(super) fn plan(&self, patience: Duration) -> KubernetesApiPlan {
        KubernetesApiPlan {
            server: format!("https://{}", self.address),
            node: None,
            token_file: self.setup.path("token"),
            ca_file: self.setup.path("ca.pem"),
            labels: Vec::new(),
            patience,
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Puts a Pod in place of one with its name. What is wrong otherwise is well again.
    pub(super) fn serve(&self, pod: Value) {
        let mut pods = self.house.pods.lock().unwrap();
        let name = |pod: &Value| (pod["metadata"]["namespace"].clone(), pod["metadata"]["name"].clone());
        pods.retain(|known| name(known) != name(&pod));
        pods.push(pod);
        self.house.faults.lock().unwrap().clear();
    }

    pub(super) fn fail(&self, path: &str, fault: Fault) {
        self.house.faults.lock().unwrap().insert(path.to_owned(), fault);
    }

    pub(super) fn stop_serving(&self) {
        self.fail("/", (503, json!("not ready")));
    }

    /// Ends it; its files stay.
    pub(super) fn stop(self) -> Setup {
        self.setup
    }

    pub(super) fn accept_token(&self, token: &str) {
        *self.house.token.lock().unwrap() = token.to_owned();
    }

    /// Answers wait until this is dropped.
    pub(super) async fn hold(&self) -> OwnedRwLockWriteGuard<()> {
        self.house.gate.clone().write_owned().await
    }

    /// What was asked for since the last call.
    pub(super) fn requests(&self) -> Vec<String> {
        self.house.requests.lock().unwrap().clone()
    }
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Fault {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code });
    (code, status)
}

async fn answer(State(house): State<Arc<House>>, request: Request) -> Response {
    let uri = request.uri();
    let path = uri.path_and_query().unwrap().to_string();
    house.requests.lock().unwrap().push(path.clone());
    drop(house.gate.read().await);
    let (code, body) =
        house.find(&path, request.headers().get("authorization").and_then(|text| text.to_str().ok()));
    (StatusCode::from_u16(code).unwrap(), body.to_string()).into_response()
}

impl House {
    fn find(&self, path: &str, authorization: Option<&str>) -> Fault {
        let faults = self.faults.lock().unwrap();
        if let Some((_, fault)) = faults.iter().find(|(start, _)| path.starts_with(start.as_str())) {
            return fault.clone();
        }
        if authorization != Some(&format!("Bearer {}", self.token.lock().unwrap())) {
            return status(401, "Unauthorized", "Unauthorized");
        }
        let pods = self.pods.lock().unwrap();
        if let Some(rest) = path.strip_prefix("/api/v1/pods?fieldSelector=spec.nodeName%3D") {
            let node = rest.strip_suffix("&resourceVersion=0").unwrap();
            let of_node = pods.iter().filter(|pod| pod["spec"]["nodeName"] == node);
            return (200, json!({ "kind": "PodList", "items": of_node.collect::<Vec<_>>() }));
        }
        let names: Vec<&str> = path.split('/').collect();
        let ["", "api", "v1", "namespaces", namespace, "pods", name] = names[..] else {
            return (404, json!("404 page not found"));
        };
        let of_name =
            |pod: &&Value| pod["metadata"]["namespace"] == namespace && pod["metadata"]["name"] == name;
        match pods.iter().find(of_name) {
            Some(pod) => (200, pod.clone()),
            None => status(404, "NotFound", &format!("pods \"{name}\" not found")),
        }
    }
}
