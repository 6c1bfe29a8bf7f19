//! What is taken of the Pods of a node, as typed.
//!
//! A name is written as it is, with `*` for any text, or as a /regex/; either has to fit the whole name.

use std::path::PathBuf;
use std::time::Duration;

use super::{HOUR, not_empty};
use crate::config::endpoint::Endpoint;
use crate::config::linear_regex::LinearRegex;
use crate::config::plan::{ClusterPlan, KubernetesApiPlan, KubernetesPlan, NameFilter};
use crate::config::reader::{Leaf, Table};

/// What kubelet tells every container: where the API server is, whatever name servers it has.
const SERVICE: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT");
/// As the examples set it from the downward API.
const NODE: &str = "NODE_NAME";
/// The name that the API server has inside every cluster.
const SERVER: &str = "https://kubernetes.default.svc";
/// Where a Pod finds its service account.
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// An API server answers in some ten milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nothing when the section is absent or no map.
pub(super) fn kubernetes(leaf: Leaf<'_>) -> Option<KubernetesPlan> {
    if !leaf.is_present() {
        return None;
    }
    let mut table = leaf.table()?;
    let namespaces = names(table.take("namespaces"));
    let pods = names(table.take("pods"));
    let containers = names(table.take("containers"));
    let has_api = table.has("api");
    let typed = table.take("labels");
    if !has_api && typed.is_present() {
        typed.fault("are known to the API server alone; write api: {} beside them");
    }
    let labels = typed.entries().into_iter().filter_map(|(key, leaf)| Some((key, leaf.text()?))).collect();
    let api = table.take("api");
    let api = if has_api { api.table().map(server) } else { None };
    table.finish();
    Some(KubernetesPlan { namespaces, pods, containers, labels, api })
}

fn names(leaf: Leaf<'_>) -> NameFilter {
    let Some(mut table) = leaf.table() else { return NameFilter::default() };
    let mut patterns = |key| table.take(key).any_number("one name", name_pattern).unwrap_or_default();
    let filter = NameFilter { include: patterns("include"), exclude: patterns("exclude") };
    table.finish();
    filter
}

fn name_pattern(text: &str) -> Result<LinearRegex, String> {
    if let Some(source) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        return LinearRegex::parse(source);
    }
    let text = not_empty(text)?;
    let parts: Vec<String> = text.split('*').map(regex::escape).collect();
    LinearRegex::parse(&parts.join(".*"))
}

fn server(mut table: Table<'_>) -> KubernetesApiPlan {
    let node = table.variable(NODE).filter(|node| !node.is_empty()).map(str::to_owned);
    let node = table.take("node").parsed("a node's name", not_empty).or(node);
    let (server, token_file, ca_file) = account(&mut table);
    let plan = KubernetesApiPlan {
        server,
        node,
        token_file,
        ca_file,
        labels: table.take("labels").any_number("one label's name", not_empty).unwrap_or_default(),
        patience: table.take("patience").duration(Duration::ZERO..=HOUR).unwrap_or(PATIENCE),
    };
    table.finish();
    plan
}

/// An API server whose custom resources say what is to be collected.
pub(super) fn cluster(mut table: Table<'_>) -> ClusterPlan {
    let (server, token_file, ca_file) = account(&mut table);
    let namespace = table.take("namespace").parsed("a namespace's name", not_empty);
    table.finish();
    ClusterPlan { server, token_file, ca_file, namespace }
}

/// The API server, and the files of the service account that asks it: in a Pod, the Pod's own.
fn account(table: &mut Table<'_>) -> (String, PathBuf, PathBuf) {
    let service = in_cluster(table.variable(SERVICE.0), table.variable(SERVICE.1));
    let server = table.take("server").parsed("the API server's address", |text| {
        let endpoint = Endpoint::parse(text).map_err(|_| format!("is not an address; write {SERVER}"))?;
        if endpoint.tls {
            Ok(endpoint.to_string())
        } else {
            Err("would show the token to everyone; write https".to_owned())
        }
    });
    let mut path = |key, default: &str| {
        let typed = table.take(key).parsed("a path", absolute);
        typed.unwrap_or_else(|| PathBuf::from(default))
    };
    let (token_file, ca_file) = (path("token_file", TOKEN_FILE), path("ca_file", CA_FILE));
    (server.or(service).unwrap_or_else(|| SERVER.to_owned()), token_file, ca_file)
}

/// Nothing where the variables are not there, or are not kubelet's.
fn in_cluster(host: Option<&str>, port: Option<&str>) -> Option<String> {
    let host = host?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let endpoint = Endpoint::parse(&format!("https://{host}:{}", port.unwrap_or("443"))).ok()?;
    Some(endpoint.to_string())
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("is not an absolute path; write {TOKEN_FILE}")) }
}
