//! Metrics and traces: each signal into its own logstore, unless a route says otherwise.

use super::harness::{EMBEDDED, data, start};
use super::peers::{deliver, signal};

#[tokio::test]
async fn each_signal_has_a_logstore_of_its_own() {
    let gateway = start(EMBEDDED).await;
    for name in ["event-type-metrics", "event-type-traces", "event-type-logs"] {
        gateway.send(&data(&format!("forward/fluent-bit-{name}.bin"))).await;
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
destinations: { local: { batch_age: 50ms, metrics_logstore: numbers, traces_logstore: spans, blobs_logstore: lumps } }
log_service: { listen: '127.0.0.1:0' }
routes:
  - match: "ev.*"
    logstore: events
  - match: "ev.*"
    signal: metrics
    when: { __name__: "/_load_gauge$/" }
    logstore: gauges
  - match: "**"
    signal: [traces, profiles]
    topic: traced
"#;

#[tokio::test]
async fn routes_take_the_signals_they_name() {
    let gateway = start(ROUTES).await;
    for name in ["metrics", "traces", "logs"] {
        gateway.send(&data(&format!("forward/fluent-bit-event-type-{name}.bin"))).await;
    }
    gateway.wait_for("events", "*", 1).await;
    let gauges = gateway.wait_for("gauges", "*", 1).await;
    assert_eq!(gauges[0]["__name__"], "kubernetes_network_load_gauge");
    // What no route names goes to the destination's own logstore for it; a route that names none keeps to that, too.
    gateway.wait_for("numbers", "*", 29).await;
    let spans = gateway.wait_for("spans", "*", 2).await;
    assert!(spans.iter().all(|span| span["__topic__"] == "traced"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_route_for_any_signal_takes_all() {
    let gateway =
        start("log_service: { listen: '127.0.0.1:0' }\nroutes: [ { signal: any, logstore: all } ]").await;
    for name in ["metrics", "traces", "logs"] {
        gateway.send(&data(&format!("forward/fluent-bit-event-type-{name}.bin"))).await;
    }
    gateway.wait_for("all", "*", 30 + 2 + 1).await;
    gateway.stop().await;
}

/// Blobs and profiles that a record can hold are records, in base64, in logstores of their own.
#[tokio::test]
async fn small_payloads_are_records() {
    let gateway = start(ROUTES).await;
    let mut stream = gateway.connect().await;
    // The largest that is a record, next to what a dead letter takes.
    let large = vec![0xa5; 786_432 / 4 * 3];
    for (number, payload, chunk) in [(3, &b"a blob"[..], "b"), (3, &large, "l"), (4, b"a profile", "p")] {
        deliver(&mut stream, &signal("ev.any", number, payload, chunk), chunk).await;
    }
    let lumps = gateway.wait_for("lumps", "*", 2).await;
    let payloads: Vec<&str> = lumps.iter().map(|lump| lump["payload"].as_str().unwrap()).collect();
    assert!(payloads.contains(&"YSBibG9i"));
    assert!(payloads.iter().any(|payload| payload.len() == 786_432));
    assert!(lumps.iter().all(|lump| lump["fluent_signal"] == "3"));
    let profiles = gateway.wait_for("default-profiles", "*", 1).await;
    assert_eq!(
        (&profiles[0]["payload"], &profiles[0]["__topic__"]),
        (&"YSBwcm9maWxl".into(), &"traced".into())
    );
    assert_eq!(gateway.letters(), []);
    gateway.stop().await;
}
