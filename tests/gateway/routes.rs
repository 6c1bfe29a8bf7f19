//! Where records go: patterns, conditions, placeholders, and nothing away.

use super::harness::{message, start};

const ROUTES: &str = r#"
log_service: { listen: '127.0.0.1:0' }
routes:
  - match: "app.*"
    when: { level: "/^err/" }
    logstore: errors
    topic: "${tag[1]}"
  - match: "docker.** {kube,pod}.x"
    logstore: "c-${record.container_name:-none}"
    processors:
      - add: { env: prod, copy: "${record.log}" }
      - rename: { log: content }
      - remove: [secret]
"#;

#[tokio::test]
async fn the_first_match_decides_logstore_topic_and_fields() {
    let gateway = start(ROUTES).await;
    let bytes = [
        message("app.web", 1, &[("level", "error"), ("n", "1")], None),
        message("app.web", 1, &[("level", "info"), ("n", "2")], None),
        message("docker.a.b", 1, &[("container_name", "/Web_1"), ("log", "hi"), ("secret", "s")], None),
        message("pod.x", 1, &[("log", "bare")], None),
        message("other", 1, &[("n", "3")], None),
    ];
    gateway.send(&bytes.concat()).await;
    let errors = gateway.wait_for("errors", "*", 1).await;
    assert_eq!((errors[0]["n"].as_str(), errors[0]["__topic__"].as_str()), (Some("1"), Some("web")));
    let made = gateway.wait_for("c-web_1", "*", 1).await;
    assert_eq!(made[0]["content"], "hi");
    assert_eq!((made[0]["env"].as_str(), made[0]["copy"].as_str()), (Some("prod"), Some("hi")));
    assert!(!made[0].contains_key("secret") && !made[0].contains_key("log"));
    gateway.wait_for("c-none", "*", 1).await;
    let rest = gateway.wait_for("default", "*", 2).await;
    let topic_of = |n: &str| rest.iter().find(|record| record["n"] == n).unwrap()["__topic__"].clone();
    assert_eq!((topic_of("2"), topic_of("3")), ("app.web".into(), "other".into()));
    gateway.stop().await;
}

#[tokio::test]
async fn placeholders_make_a_bounded_number_of_logstores() {
    let gateway =
        start("log_service: { listen: '127.0.0.1:0' }\nroutes: [ { logstore: 'app-${record.n}' } ]").await;
    let bytes: Vec<u8> = (0..230).flat_map(|n| message("t", 1, &[("n", &n.to_string())], None)).collect();
    gateway.send(&bytes).await;
    gateway.wait_for("default", "*", 30).await;
    gateway.wait_for("app-199", "*", 1).await;
    assert!(gateway.query("app-200", "*").await.is_empty());
    gateway.stop().await;
}
