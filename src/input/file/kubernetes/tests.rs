//! Files of Pods, and an API server that answers as Kubernetes' does, well and badly.

mod answers;
mod server;

use super::super::tests::house::House;
use super::*;
use crate::config::linear_regex::LinearRegex;
use crate::config::plan::{FileFormat, KubernetesApiPlan, NameFilter};
use server::{ApiServer, UID, pod};
use std::fs;
use std::path::PathBuf;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn plan(labels: &[(&str, &str)], api: Option<KubernetesApiPlan>) -> KubernetesPlan {
    KubernetesPlan {
        namespaces: NameFilter { include: Vec::new(), exclude: vec![LinearRegex::parse("kube-.*").unwrap()] },
        pods: NameFilter::default(),
        containers: NameFilter::default(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        api,
    }
}

/// A gateway that reads the containers of a node.
fn house(kubernetes: KubernetesPlan) -> House {
    House::with(|_, file, _| {
        file.format = FileFormat::Cri;
        file.kubernetes = Some(kubernetes);
    })
}

/// The log of a container, as kubelet lays it out.
fn container(house: &House, namespace: &str, pod: &str, uid: &str) -> PathBuf {
    let dir = house.path(&format!("pods/{namespace}_{pod}_{uid}/app"));
    fs::create_dir_all(&dir).unwrap();
    dir.join("0.log")
}

fn put(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "2026-11-23T11:00:00.000000001Z stdout F {text}").unwrap();
}

#[tokio::test]
async fn paths_say_what_is_read_and_with_which_tags() {
    let house = house(plan(&[], None));
    let (web, dns) = (container(&house, "shop", "web", UID), container(&house, "kube-system", "dns", UID));
    // The link comes before the file in a walk.
    let link = house.path(&format!("containers/web_shop_app-{ID}.log"));
    fs::create_dir(house.path("containers")).unwrap();
    std::os::unix::fs::symlink(&web, &link).unwrap();
    put(&web, "one");
    put(&dns, "unwanted");
    put(&house.path("other.log"), "other");
    let input = house.start();
    let mut records = house.wait(2).await;
    records.sort_by_key(|record| record["log"].clone());
    let [one, other] = &records[..] else { panic!("{records:?}") };
    let tag = |key: &str| one.get(key).map(String::as_str);
    assert_eq!((tag("log"), tag("__path__")), (Some("one"), link.to_str()));
    assert_eq!((tag("_namespace_"), tag("_pod_name_")), (Some("shop"), Some("web")));
    assert_eq!((tag("_pod_uid_"), tag("_container_name_")), (Some(UID), Some("app")));
    assert!(other["log"] == "other" && !other.contains_key("_pod_name_"), "a file of no Pod is read, too");
    // What is written to a file that is not read wakes nobody.
    put(&dns, "unwanted");
    put(&web, "two");
    assert_eq!(house.texts(1).await, ["two"]);
    assert_eq!(input.report().len(), 2);
    house.stop().await;
}

#[tokio::test]
async fn tags_come_from_the_api_server() {
    let api = ApiServer::start(None).await;
    api.serve(pod("shop", "web", UID, &[("app", "web"), ("tier", "front")]));
    let mut server = api.plan(Duration::from_secs(600));
    server.labels = vec!["app".to_owned()];
    let house = house(plan(&[], Some(server)));
    let web = container(&house, "shop", "web", UID);
    put(&web, "one");
    house.start();
    let record = house.wait(1).await.remove(0);
    let tag = |key: &str| record.get(key).map(String::as_str);
    assert_eq!((tag("_node_name_"), tag("_image_name_")), (Some("node-1"), Some("shop/app:1")));
    assert_eq!((tag("app"), tag("tier"), tag("_pod_name_")), (Some("web"), None, Some("web")));
    // One request, however much is read.
    put(&web, "two");
    assert_eq!(house.texts(1).await, ["two"]);
    assert_eq!(api.requests(), ["/api/v1/namespaces/shop/pods/web"]);
    house.stop().await;
}

#[tokio::test]
async fn without_an_answer_lines_go_with_what_is_known_and_later_ones_have_more() {
    let api = ApiServer::start(None).await;
    api.serve(pod("shop", "web", UID, &[("app", "web")]));
    let hold = api.hold().await;
    let house = house(plan(&[], Some(api.plan(Duration::from_millis(50)))));
    let web = container(&house, "shop", "web", UID);
    put(&web, "early");
    house.start();
    let early = house.wait(1).await.remove(0);
    assert!(early["_pod_name_"] == "web" && !early.contains_key("app"));
    drop(hold);
    for number in 0.. {
        put(&web, &number.to_string());
        let record = house.wait(1).await.remove(0);
        assert_eq!(record["log"], number.to_string());
        if record.get("app").is_some_and(|app| app == "web") {
            break;
        }
    }
    house.stop().await;
    assert_eq!(house.intake.budget.used(), 0);
}

#[tokio::test]
async fn labels_decide_and_files_wait_until_they_are_known() {
    let api = ApiServer::start(None).await;
    api.stop_serving();
    let house = house(plan(&[("app", "web")], Some(api.plan(Duration::ZERO))));
    let (web, db) = (container(&house, "shop", "web", UID), container(&house, "shop", "db", "2"));
    put(&web, "one");
    put(&db, "unwanted");
    let input = house.start();
    let waits = || {
        let error = |file: crate::input::file::FileReport| file.last_error.unwrap_or_default();
        input.report().into_iter().map(error).filter(|error| error.contains("answers 503")).count()
    };
    house.until(|| waits() == 2 && house.is_known(&web)).await;
    // What is rotated away meanwhile is still there to read.
    fs::rename(&web, web.with_extension("log.20261123-110000")).unwrap();
    put(&web, "two");
    house.until(|| waits() == 2).await;
    assert!(house.take().is_empty());
    let house = house.restart().await;
    let input = house.start();
    api.serve(pod("shop", "web", UID, &[("app", "web")]));
    api.serve(pod("shop", "db", "2", &[("app", "db")]));
    let records = house.wait(2).await;
    assert_eq!(records.iter().map(|record| record["log"].as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert!(records.iter().all(|record| record["app"] == "web"));
    house.until(|| input.report().len() == 1 && !house.is_known(&db)).await;
    put(&db, "unwanted");
    put(&web, "three");
    assert_eq!(house.texts(1).await, ["three"]);
    house.stop().await;
}

#[tokio::test]
async fn of_a_pod_that_is_gone_only_what_was_begun_is_read_on() {
    let api = ApiServer::start(None).await;
    api.serve(pod("shop", "web", UID, &[("app", "web")]));
    let house = house(plan(&[("app", "web")], Some(api.plan(Duration::ZERO))));
    let web = container(&house, "shop", "web", UID);
    put(&web, "one");
    house.start();
    assert_eq!(house.texts(1).await, ["one"]);
    house.stop().await;
    let house = house.restart().await;
    // Another one of its name, which says nothing about it.
    api.serve(pod("shop", "web", "3", &[("app", "web")]));
    let new = container(&house, "shop", "other", "4");
    put(&new, "unwanted");
    put(&web, "two");
    let input = house.start();
    assert_eq!(house.texts(1).await, ["two"]);
    house.until(|| input.report().len() == 1 && api.requests().len() == 3).await;
    put(&new, "unwanted");
    put(&web, "three");
    assert_eq!(house.texts(1).await, ["three"]);
    house.stop().await;
}
