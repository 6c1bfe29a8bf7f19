//! The steps against the embedded service, and against one that fails in the middle.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::names::{CHANGES, Names};
use super::steps;
use crate::api;
use crate::output::Client;
use crate::output::credentials::{AccessKey, Credentials};
use crate::output::testing::{Said, Server};
use crate::store::Store;

const TIMEOUT: Duration = Duration::from_secs(20);

struct House {
    _dir: tempfile::TempDir,
    client: Client,
    names: Names,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl House {
    async fn start() -> House {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let own = store.access_key().clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving =
            tokio::spawn(api::server::serve(listener, api::log_service::router(store), shutdown.clone()));
        let names = Names::of("c1", None).unwrap();
        let key = AccessKey { id: own.id, secret: own.secret, security_token: None };
        let client =
            Client::new(&endpoint, &names.project, Credentials::Static(Arc::new(key)), TIMEOUT).unwrap();
        House { _dir: dir, client, names, shutdown, serving }
    }

    /// What each step told.
    async fn deploy(&self, dry_run: bool) -> Vec<String> {
        let mut told = Vec::new();
        steps::deploy(&self.client, &self.names, dry_run, &mut |line| told.push(line.to_owned()))
            .await
            .unwrap();
        told
    }

    async fn groups(&self) -> Vec<String> {
        self.client.list("/machinegroups", "machinegroups").await.unwrap()
    }

    async fn stop(self) {
        drop(self.client);
        self.shutdown.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

fn ends(told: &[String], with: &str) -> usize {
    told.iter().filter(|line| line.ends_with(with)).count()
}

#[tokio::test]
async fn a_cluster_is_made_once_and_taken_away_again() {
    let house = House::start().await;
    let told = house.deploy(true).await;
    assert_eq!((told.len(), ends(&told, " would be made")), (6, 6), "{told:?}");
    assert!(house.client.ask::<Value>("/", &[]).await.unwrap_err().is_absent(), "a dry run makes nothing");

    let told = house.deploy(false).await;
    assert_eq!(ends(&told, " made"), 6, "{told:?}");
    let mut groups = house.groups().await;
    groups.sort_unstable();
    assert_eq!(groups, ["k8s-group-c1", "k8s-group-c1-singleton", "k8s-group-c1-statefulset"]);
    let group: Value = house.client.ask("/machinegroups/k8s-group-c1", &[]).await.unwrap();
    assert_eq!(group["machineList"], serde_json::json!(["k8s-group-c1"]));
    let index: Value = house.client.ask(&format!("/logstores/{CHANGES}/index"), &[]).await.unwrap();
    assert_eq!(index["keys"]["state"]["type"], "text");

    // Somebody took a part away: it is made again, and the rest stays.
    house.client.order("DELETE", "/machinegroups/k8s-group-c1-singleton", None).await.unwrap();
    assert_eq!(ends(&house.deploy(true).await, " would be made"), 1);
    let told = house.deploy(false).await;
    assert_eq!((ends(&told, " made"), ends(&told, " was there")), (1, 5), "{told:?}");

    let mut told = Vec::new();
    let doomed = steps::doomed(&house.client, &house.names, false).await.unwrap();
    assert_eq!((doomed.groups.len(), doomed.logs.is_none()), (3, true));
    steps::delete(&house.client, &house.names, &doomed, &mut |line| told.push(line.to_owned()))
        .await
        .unwrap();
    assert_eq!((ends(&told, " deleted"), house.groups().await.len()), (3, 0));
    assert!(house.client.ask::<Value>(&format!("/logstores/{CHANGES}"), &[]).await.is_ok(), "logs stay");

    let doomed = steps::doomed(&house.client, &house.names, true).await.unwrap();
    assert_eq!(doomed.logs.as_deref(), Some([CHANGES.to_owned()].as_slice()));
    steps::delete(&house.client, &house.names, &doomed, &mut |_| {}).await.unwrap();
    assert!(house.client.ask::<Value>("/", &[]).await.unwrap_err().is_absent());
    let doomed = steps::doomed(&house.client, &house.names, true).await.unwrap();
    assert!(doomed.groups.is_empty() && doomed.logs.is_none());
    house.stop().await;
}

#[tokio::test]
async fn a_project_that_others_use_keeps_its_logs() {
    let house = House::start().await;
    house.deploy(false).await;
    let other = Names::of("c2", Some(&house.names.project)).unwrap();
    steps::deploy(&house.client, &other, false, &mut |_| {}).await.unwrap();
    let refused = steps::doomed(&house.client, &house.names, true).await.err().unwrap().to_string();
    assert!(refused.contains("not of cluster c1 (k8s-group-c2"), "{refused}");
    assert_eq!(steps::doomed(&house.client, &house.names, false).await.unwrap().groups.len(), 3);
    house.stop().await;
}

#[tokio::test]
async fn what_is_there_is_looked_at_and_a_failure_names_its_step() {
    let server = Server::start(|_, seen| match (seen.method.as_str(), seen.target.as_str()) {
        ("GET", "/machinegroups/k8s-group-c1") => {
            Said::new(200, r#"{"machineIdentifyType":"ip","machineList":["10.0.0.1"]}"#)
        }
        ("GET", "/machinegroups/k8s-group-c1-statefulset") => Said::log_service(404, "GroupNotExist"),
        ("POST", "/machinegroups") => Said::log_service(403, "Unauthorized"),
        _ => Said::new(200, "{}"),
    })
    .await;
    let names = Names::of("c1", None).unwrap();
    let key = AccessKey {
        id: "id".to_owned(),
        secret: crate::base::secret::Secret::new("secret".to_owned()),
        security_token: None,
    };
    let client =
        Client::new(&server.url(), &names.project, Credentials::Static(Arc::new(key)), TIMEOUT).unwrap();
    let mut told = Vec::new();
    let failed = steps::deploy(&client, &names, false, &mut |line| told.push(line.to_owned())).await;
    let failed = format!("{:#}", failed.unwrap_err());
    assert!(
        failed
            .starts_with("step 5 of 6, machine group k8s-group-c1-statefulset, failed; what was made stays"),
        "{failed}"
    );
    assert!(
        failed.contains("Unauthorized: m (HTTP 403, request R); the access key may not do this"),
        "{failed}"
    );
    let notes: Vec<&String> = told.iter().filter(|line| line.starts_with("note: ")).collect();
    assert!(
        notes.len() == 1 && notes[0].contains("does not take agents with the user-defined id k8s-group-c1;")
    );
    assert_eq!(ends(&told, " was there"), 4);
}
