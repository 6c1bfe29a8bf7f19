//! Signals: the routes that take them, the logstores they go to; and how long duplicates are known.

use std::time::Duration;

use super::*;
use crate::base::signal::Signal;

#[test]
fn routes_take_signals() {
    let signals = |text: &str| {
        let text = format!("routes: [ {{ match: a, {text} }} ]");
        let plan = from_text(&text, &[HOME]).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(from_text(&plan.effective(), &[]).unwrap().effective(), plan.effective());
        plan.routes[0].signals.clone()
    };
    assert_eq!(signals("topic: x"), [Signal::Logs]);
    assert_eq!(signals("signal: metrics"), [Signal::Metrics]);
    assert_eq!(signals("signal: [ traces, logs, traces ]"), [Signal::Logs, Signal::Traces]);
    assert_eq!(signals("signal: any"), Signal::ALL);
    assert_eq!(signals("signal: [ any, logs ]"), Signal::ALL);

    let fault = |routes: &str| {
        from_text(&format!("routes: [ {routes} ]"), &[HOME]).err().map(|errors| errors.to_string())
    };
    assert_eq!(fault("{}, { match: a, signal: metrics }, { match: b, signal: [ logs, traces ] }"), None);
    assert_eq!(fault("{ signal: metrics }, {}, { signal: traces }"), None);
    assert_eq!(fault("{ match: a, signal: any }, {}"), None);
    for (routes, expected) in [
        ("{}, { match: a }", "routes[1]: is never reached, since routes[0] takes all that it could"),
        (
            "{ signal: any }, { match: a, signal: traces }",
            "routes[1]: is never reached, since routes[0] takes all that it could",
        ),
        (
            "{}, { signal: traces }, { match: a, signal: [ logs, traces ] }",
            "routes[2]: is never reached, since routes[0] with routes[1] takes all that it could",
        ),
        (
            "{}, { match: a, signal: log }",
            "routes[1].signal: `log` is not one of logs, metrics, traces, blobs, profiles, any",
        ),
        ("{ signal: [] }", "routes[0].signal: is an empty list; write at least one signal"),
    ] {
        assert_eq!(fault(routes), Some(format!("configuration: {expected}")));
    }
}

#[test]
fn signals_have_logstores_of_their_own() {
    let text = "destinations: { local: { metrics_logstore: m-1, profiles_logstore: shared } }\nlog_service: { logstore: web }";
    let plan = from_text(text, &[HOME]).unwrap();
    let stores = Signal::ALL.map(|signal| plan.destinations[0].logstore_of(signal).to_owned());
    assert_eq!(stores, ["web", "m-1", "web-traces", "web-blobs", "shared"]);
    let found = lines(from_text("destinations: { local: { blobs_logstore: Blobs } }", &[HOME]));
    assert!(
        found[0].starts_with("configuration: destinations.local.blobs_logstore: `Blobs` is no logstore name")
    );
}

#[test]
fn duplicates_have_bounds() {
    let duplicates =
        |keys: &str| from_text(&format!("duplicates: {{ {keys} }}"), &[HOME]).map(|plan| plan.duplicates);
    assert_eq!(duplicates("window: 0s").unwrap().window, Duration::ZERO);
    assert_eq!(duplicates("window: 24h, max_bytes: 64KiB").unwrap().max_bytes, 64 << 10);
    for (keys, expected) in [
        ("window: 25h", "duplicates.window: is 25h; it must lie between 0ms and 24h"),
        ("max_bytes: 1KiB", "duplicates.max_bytes: is 1KiB; it must lie between 64KiB and 1GiB"),
    ] {
        assert_eq!(duplicates(keys).unwrap_err().to_string(), format!("configuration: {expected}"));
    }
}
