//! What becomes of each answer, without files.

use super::server::{ApiServer, TOKEN, UID, pod, status};
use super::*;
use serde_json::json;

fn manners() -> Manners {
    let soon = Duration::from_millis(20);
    Manners {
        pauses: (soon, soon),
        refused: soon,
        gone_keeps: Duration::from_secs(600),
        ..Manners::default()
    }
}

fn path(namespace: &str, pod: &str, uid: &str) -> PodPath {
    PodPath {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        uid: Some(uid.to_owned()),
        container: "app".to_owned(),
        container_id: None,
    }
}

/// Waits until the answer is such.
async fn until(answer: &mut watch::Receiver<Answer>, is_it: impl Fn(&Answer) -> bool) -> Answer {
    answer.wait_for(|now| is_it(now)).await.unwrap().clone()
}

fn is_found(answer: &Answer) -> bool {
    matches!(answer, Answer::Found(_))
}

/// Waits for a reason with this text in it.
async fn reason(answer: &mut watch::Receiver<Answer>, text: &str) -> String {
    let is_it = |now: &Answer| matches!(now, Answer::Unknown(Some(why)) if why.contains(text));
    match until(answer, is_it).await {
        Answer::Unknown(Some(why)) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_pod_is_asked_for_once_and_another_of_its_name_is_none() {
    let api = ApiServer::start(None).await;
    api.serve(pod("shop", "web", UID, &[]));
    let pods = Pods::new("test", &api.plan(Duration::ZERO), manners());
    let (mut web, mut again) = (pods.ask(&path("shop", "web", UID)), pods.ask(&path("shop", "web", UID)));
    until(&mut web, is_found).await;
    until(&mut again, is_found).await;
    assert_eq!(api.requests().len(), 1);
    for gone in [path("shop", "web", "1"), path("shop", "none", "1")] {
        until(&mut pods.ask(&gone), |answer| matches!(answer, Answer::Gone)).await;
        assert!(matches!(pods.known(&gone), Some(Answer::Gone)));
    }
    assert!(is_found(&pods.known(&path("shop", "web", UID)).unwrap()));
    assert!(pods.known(&path("shop", "unknown", "1")).is_none());
    // What is gone is known for a while.
    pods.ask_again(&path("shop", "none", "1"));
    until(&mut pods.ask(&path("shop", "web", UID)), is_found).await;
    assert_eq!(api.requests().len(), 3);
}

#[tokio::test]
async fn the_list_of_the_node_spares_the_others() {
    let api = ApiServer::start(None).await;
    let mut mirror = pod("kube-system", "etcd-node-1", "u1", &[]);
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.hash": "abc" });
    api.serve(mirror);
    for number in 0..50 {
        api.serve(pod("shop", &format!("web-{number}"), &number.to_string(), &[]));
    }
    let mut plan = api.plan(Duration::ZERO);
    plan.node = Some("node-1".to_owned());
    let pods = Pods::new("test", &plan, manners());
    for number in 0..50 {
        until(&mut pods.ask(&path("shop", &format!("web-{number}"), &number.to_string())), is_found).await;
    }
    until(&mut pods.ask(&path("kube-system", "etcd-node-1", "abc")), is_found).await;
    assert_eq!(api.requests(), ["/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&resourceVersion=0"]);
    // Who may not list asks for each.
    api.fail("/api/v1/pods", status(403, "Forbidden", "cannot list"));
    let pods = Pods::new("test", &plan, manners());
    until(&mut pods.ask(&path("shop", "web-1", "1")), is_found).await;
    assert_eq!(api.requests().len(), 3);
}

#[tokio::test]
async fn a_missing_right_is_named_and_holds_up_no_other_pod() {
    let api = ApiServer::start(None).await;
    api.serve(pod("shop", "web", UID, &[]));
    api.serve(pod("bank", "vault", "1", &[]));
    let said = "pods \"vault\" is forbidden: User \"system:serviceaccount:logging:sluicegate\" cannot get resource \"pods\"";
    api.fail("/api/v1/namespaces/bank", status(403, "Forbidden", said));
    let pods = Pods::new("test", &api.plan(Duration::ZERO), manners());
    let mut vault = pods.ask(&path("bank", "vault", "1"));
    let why = reason(&mut vault, "forbids").await;
    assert!(why.contains("forbids `get` of pods") && why.contains(said), "{why}");
    assert!(why.contains("ClusterRole the verb get of pods"), "{why}");
    until(&mut pods.ask(&path("shop", "web", UID)), is_found).await;
    api.fail("/api/v1/namespaces/bank", (200, json!("x".repeat(5 << 20))));
    reason(&mut vault, "more than 4194304 bytes").await;
    // Once it is given, nobody has to start anything anew.
    api.serve(pod("bank", "vault", "1", &[]));
    until(&mut vault, is_found).await;
}

#[tokio::test]
async fn a_token_is_read_anew_for_each_request() {
    let api = ApiServer::start(None).await;
    api.serve(pod("shop", "web", UID, &[]));
    api.serve(pod("shop", "db", "2", &[]));
    let pods = Pods::new("test", &api.plan(Duration::ZERO), manners());
    until(&mut pods.ask(&path("shop", "web", UID)), is_found).await;
    api.accept_token("token-2");
    let mut db = pods.ask(&path("shop", "db", "2"));
    let why = reason(&mut db, "does not accept the token").await;
    assert!(!why.contains(TOKEN), "{why}");
    for (text, expected) in [("", "is empty"), ("to\nken", "no token has"), ("token-2\n", "")] {
        api.setup.write("token", text);
        if expected.is_empty() {
            until(&mut db, is_found).await;
        } else {
            reason(&mut db, expected).await;
        }
    }
}

#[tokio::test]
async fn who_is_away_slow_or_somebody_else_is_asked_again() {
    let api = ApiServer::start(None).await;
    let address = api.address().to_owned();
    let mut plan = api.plan(Duration::ZERO);
    plan.token_file = api.setup.path("missing");
    let quick = Manners { timeout: Duration::from_millis(100), ..manners() };
    let pods = Pods::new("test", &plan, quick);
    let mut web = pods.ask(&path("shop", "web", UID));
    reason(&mut web, "automountServiceAccountToken").await;
    // A 404 that is not the API server's says nothing about the Pod; nor does a body that is none.
    api.fail("/", (404, json!("404 page not found")));
    api.setup.write("missing", TOKEN);
    reason(&mut web, "answers 404").await;
    api.fail("/", (200, json!({ "kind": "Pod" })));
    reason(&mut web, "with what is none").await;
    api.fail("/", (429, json!("")));
    reason(&mut web, "answers 429").await;
    let hold = api.hold().await;
    reason(&mut web, "no answer within").await;
    drop(hold);
    let setup = api.stop();
    reason(&mut web, "onnection refused").await;
    // Another server has its place, with a certificate of another CA, which is known a moment later.
    let api = ApiServer::start(Some(&address)).await;
    api.serve(pod("shop", "web", UID, &[]));
    reason(&mut web, "certificate").await;
    fs::copy(api.setup.path("ca.pem"), setup.path("ca.pem")).unwrap();
    until(&mut web, is_found).await;
}

#[tokio::test]
async fn answers_are_bounded_and_none_is_lost_that_somebody_watches() {
    let api = ApiServer::start(None).await;
    api.serve(pod("shop", "web", UID, &[]));
    let pods = Pods::new("test", &api.plan(Duration::ZERO), manners());
    let mut web = pods.ask(&path("shop", "web", UID));
    until(&mut web, is_found).await;
    let asked = api.requests().len();
    let bound = pods.fill();
    assert!(pods.len() <= bound, "{}", pods.len());
    assert!(is_found(&pods.known(&path("shop", "web", UID)).unwrap()));
    assert_eq!(api.requests().len(), asked);
}
