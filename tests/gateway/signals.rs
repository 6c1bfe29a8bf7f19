//! Metrics and traces: each signal into its own logstore, unless a route says otherwise.

use std::sync::Arc;

use sluicegate::app::Gateway;
use sluicegate::base::signal::Signal;
use sluicegate::config::{self, Flags};

use super::harness::{EMBEDDED, TestGateway, start};

fn capture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/forward/fluent-bit-{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn each_signal_has_a_logstore_of_its_own() {
    let gateway = start(EMBEDDED).await;
    for name in ["event-type-metrics", "event-type-traces", "event-type-logs"] {
        gateway.send(&capture(name)).await;
    }
    let metrics = gateway.wait_for("default-metrics", "*", 30).await;
    let load = |metric: &&serde_json::Map<String, serde_json::Value>| {
        metric["__name__"] == "k8s_network_load_histogram_sum" && metric["__labels__"] == "my_label#$#my_val"
    };
    assert_eq!(metrics.iter().find(load).unwrap()["__value__"], "1013.021");
    let spans = gateway.wait_for("default-traces", "*", 2).await;
    assert!(spans.iter().any(|span| span["name"] == "do-work" && span["kind"] == "client"));
    gateway.wait_for("default", "*", 1).await;
    gateway.stop().await;
}

const ROUTES: &str = r#"
operations: { listen: '127.0.0.1:0' }
inputs: { forward: { listen: '127.0.0.1:0' } }
log_service: { listen: '127.0.0.1:0' }
routes:
  - match: "ev.*"
    logstore: events
  - match: "ev.*"
    when: { __name__: "/_load_gauge$/" }
    logstore: gauges
  - match: "**"
    topic: spans
"#;

#[tokio::test]
async fn routes_take_the_signals_they_name() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let file = dir.path().join("sluicegate.yaml");
    std::fs::write(&file, ROUTES).unwrap();
    let flags = Flags { data_dir: Some(dir.path().join("data")) };
    let mut plan = config::load(Some(&file), std::iter::empty(), &flags).unwrap();
    plan.routes[1].signals = vec![Signal::Metrics];
    plan.routes[2].signals = vec![Signal::Traces, Signal::Profiles];
    let gateway = TestGateway { gateway: Gateway::start(plan, None).await.unwrap(), dir };
    for name in ["event-type-metrics", "event-type-traces", "event-type-logs"] {
        gateway.send(&capture(name)).await;
    }
    gateway.wait_for("events", "*", 1).await;
    let gauges = gateway.wait_for("gauges", "*", 1).await;
    assert_eq!(gauges[0]["__name__"], "kubernetes_network_load_gauge");
    gateway.wait_for("default-metrics", "*", 29).await;
    let spans = gateway.wait_for("default-traces", "*", 2).await;
    assert!(spans.iter().all(|span| span["__topic__"] == "spans"));
    gateway.stop().await;
}
