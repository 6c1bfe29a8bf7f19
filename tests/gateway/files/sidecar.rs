//! A sidecar that knows nothing but its environment.

use std::sync::Arc;

use sluicegate::app::Gateway;
use sluicegate::config::{self, Flags};

use super::program::{command, output};
use super::volume::{Volume, tag, text, texts};
use crate::gateway::harness::TestGateway;
use crate::gateway::watch::watch;

const LOGTAIL: [(&str, &str); 3] = [
    ("ALIYUN_LOGTAIL_USER_ID", "1234567890123456"),
    ("ALIYUN_LOGTAIL_USER_DEFINED_ID", "k8s-group-web"),
    ("ALIYUN_LOGTAIL_CONFIG", "/nowhere/etc/ilogtail/conf/cn-hangzhou/ilogtail_config.json"),
];
/// Records stay here, on ports that nobody else has.
const HERE: [(&str, &str); 3] = [
    ("SLUICEGATE__LOG_SERVICE__ENABLED", "true"),
    ("SLUICEGATE__LOG_SERVICE__LISTEN", "127.0.0.1:0"),
    ("SLUICEGATE__OPERATIONS__LISTEN", "127.0.0.1:0"),
];

/// Starts a gateway without a file, by these variables and those above.
async fn start_by(more: &[(&str, &str)]) -> TestGateway {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let flags = Flags { data_dir: Some(dir.path().join("data")) };
    let env = LOGTAIL.iter().chain(&HERE).chain(more);
    let env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let plan = config::load(None, env, &flags).unwrap_or_else(|errors| panic!("{errors}"));
    TestGateway { gateway: Gateway::start(plan, Some(watch())).await.unwrap(), dir }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_alone_is_enough() {
    let volume = Volume::new();
    let (access, app) = (volume.log("nginx/access.log"), volume.log("app/1.log"));
    access.put("GET /one\n");
    app.put("{\"level\":\"warn\",\"n\":7}\nno object\n");
    let gateway = start_by(&[
        ("aliyun_logs_access", &volume.text("nginx/*.log")),
        ("aliyun_logs_access_tags", "team=web,plain"),
        ("aliyun_logs_app", &volume.text("app/*.log")),
        ("aliyun_logs_app_logstore", "app-store"),
        ("aliyun_logs_app_jsonfile", "true"),
        ("ALIYUN_LOG_ENV_TAGS", "_pod_name_|_pod_ip_|_namespace_"),
        ("_pod_name_", "web-7d9f-x2"),
        ("_pod_ip_", "10.0.0.9"),
        ("ALIYUN_LOGTAIL_WORKING_IP", "10.0.0.9"),
        ("ALIYUN_LOGTAIL_WORKING_HOSTNAME", "web-host"),
    ])
    .await;
    gateway.wait_for("access", "*", 1).await;
    access.put("GET /two\n");
    let lines = gateway.wait_for("access", "*", 2).await;
    assert_eq!(texts(&lines, "content"), ["GET /one", "GET /two"]);
    let objects = gateway.wait_for("app-store", "*", 2).await;
    for record in lines.iter().chain(&objects) {
        assert_eq!(tag(record, "__user_defined_id__"), "k8s-group-web");
        assert_eq!((text(record, "__source__"), tag(record, "__hostname__")), ("10.0.0.9", "web-host"));
        assert_eq!((tag(record, "_pod_name_"), tag(record, "_pod_ip_")), ("web-7d9f-x2", "10.0.0.9"));
        // It is asked for and not set.
        assert_eq!(tag(record, "_namespace_"), "");
    }
    assert!(lines.iter().all(|record| tag(record, "__path__") == volume.text("nginx/access.log")));
    assert!(lines.iter().all(|record| (tag(record, "team"), tag(record, "plain")) == ("web", "plain")));
    assert!(objects.iter().all(|record| !record.contains_key("__tag__:team")));
    let object = objects.iter().find(|record| record.contains_key("level")).unwrap();
    assert_eq!((text(object, "level"), text(object, "n")), ("warn", "7"));
    let other = objects.iter().find(|record| record.contains_key("content")).unwrap();
    assert_eq!(text(other, "content"), "no object");
    gateway.stop().await;
}

/// Runs `run` to its end, which comes at once, and gives what it says.
async fn refusal(env: &[(&str, &str)]) -> String {
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().join("data");
    let env = env.iter().copied().chain([("SLUICEGATE__OPERATIONS__LISTEN", "127.0.0.1:0")]);
    let refused = output(command(&["run", "--data-dir", dir.to_str().unwrap()], env)).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(!dir.exists(), "nothing is made");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_says_too_little_learns_all_that_is_missing() {
    let said = refusal(&LOGTAIL).await;
    // Where to is known. What to collect its machine groups tell whoever has a key.
    for way in ["ALIYUN_LOGTAIL_USER_DEFINED_ID", "ACCESS_KEY", "type file", "aliyun_logs_<key>="] {
        assert!(said.contains(way), "{way}: {said}");
    }
    // Each that is missing or wrong is named.
    for (left_out, variable) in LOGTAIL.iter().enumerate() {
        let rest: Vec<_> =
            LOGTAIL.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, pair)| *pair).collect();
        let said = refusal(&rest).await;
        assert!(said.contains(&format!("{}: is not set", variable.0)), "{said}");
    }
    let wrong = [
        ("ALIYUN_LOGTAIL_CONFIG", "/etc/Nowhere/x.json"),
        ("ALIYUN_LOGTAIL_CONFIG", ""),
        ("aliyun_logs_web", "stdout"),
        ("aliyun_logs_web", "relative/*.log"),
        ("aliyun_logs_web_ttl_", "1"),
        ("aliyun_logs_web_tags", "a=b"),
        ("ALIYUN_LOG_ENV_TAGS", "a||b"),
        ("ALIYUN_LOG_FILE_TAGS", "/nowhere/tags.json"),
    ];
    for (name, value) in wrong {
        let rest = LOGTAIL.iter().filter(|(known, _)| *known != name);
        let env: Vec<_> = rest.chain(&HERE[..2]).copied().chain([(name, value)]).collect();
        let said = refusal(&env).await;
        assert!(said.contains(name), "{name}={value}: {said}");
    }
}
