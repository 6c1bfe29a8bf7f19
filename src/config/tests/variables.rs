//! The environment: every documented key has its variable, and a variable that names no key is blamed by name.

mod keys;

use std::collections::BTreeSet;

use super::*;
use crate::config::load::from_tree;
use crate::config::source::{join, parse};

/// Paths of all leaves; a list is one when it can be typed in one text.
fn leaves(path: &str, value: &Value, into: &mut BTreeSet<String>) {
    match &value.kind {
        ValueKind::Table(table) if !table.is_empty() => {
            table.iter().for_each(|(key, value)| leaves(&join(path, key), value, into));
        }
        ValueKind::Array(items) if items.iter().any(|item| matches!(item.kind, ValueKind::Table(_))) => {}
        _ => {
            into.insert(path.to_owned());
        }
    }
}

#[test]
fn every_documented_key_can_be_set_by_a_variable() {
    let mut documented = BTreeSet::new();
    let tree = parse(&everything_on(), &Faults::default()).unwrap();
    for (key, value) in &tree {
        leaves(key, value, &mut documented);
    }
    let tested: BTreeSet<String> = keys::all()
        .map(|(name, ..)| name.to_lowercase().replace("__", ".").replace("tags.env", "tags"))
        .collect();
    assert_eq!(tested, documented);

    let base: Vec<(&str, &str)> = KEYS.to_vec();
    let before = full_plan().effective();
    for (key, value, shown) in keys::all() {
        for name in [format!("SLUICEGATE__{key}"), format!("sluicegate__{}", key.to_lowercase())] {
            let mut env = base.clone();
            if *key != "LOG_SERVICE__ENABLED" {
                env.push(EMBEDDED_ON);
            }
            env.push((&name, value));
            let after = from_tree(tree.clone(), &env, Faults::default());
            let after = after.unwrap_or_else(|errors| panic!("{name}: {errors}")).effective();
            let is_there = after.lines().any(|line| line.trim() == *shown);
            assert!(is_there, "{name} must give {shown}\n{after}");
            let unchanged = [
                "type: forward",
                "type: syslog",
                "type: gelf",
                "type: splunk",
                "type: docker_plugin",
                "type: docker",
                "type: file",
                "start: tail",
                "format: lines",
                "buffer: default",
                "enabled: true",
                "access_key_secret: \"***\"",
                "security_token: \"***\"",
                "shared_key: \"***\"",
                // Needed by no key as it is.
                "allow_empty_shared_key: false",
                "user_auth: true",
                "client_auth: optional",
                "resolve_hostname: true",
            ];
            assert_eq!(after == before, unchanged.contains(shown), "{name}");
        }
    }
}

#[test]
fn variables_that_name_no_key_or_are_wrong_are_blamed_by_name() {
    let of = |name: &str, value: &str, text: &str| lines(from_text(text, &[HOME, (name, value)])).join("\n");
    let on = "inputs: { forward: { listen: [ \"127.0.0.1:1\" ] } }\nroutes: [ { match: a } ]";
    for (name, value, expected) in [
        (
            "SLUICEGATE__INPUTS__FORWARD__LISEN",
            "x",
            "SLUICEGATE__INPUTS__FORWARD__LISEN: is not a key; did you mean listen?",
        ),
        (
            "SLUICEGATE__INPUT__FORWARD__LISTEN",
            "x",
            "SLUICEGATE__INPUT__FORWARD__LISTEN: is not a key; did you mean inputs?",
        ),
        (
            "SLUICEGATE__LIMITS__BYTE_BUDGET",
            "64M",
            "SLUICEGATE__LIMITS__BYTE_BUDGET: `64M` is not a size; write 64MiB",
        ),
        (
            "SLUICEGATE__LIMITS__BYTE_BUDGET",
            "",
            "SLUICEGATE__LIMITS__BYTE_BUDGET: `` is not a size; write 64MiB",
        ),
        (
            "SLUICEGATE__ROUTES__0__MATCH",
            "x",
            "SLUICEGATE__ROUTES__0__MATCH: routes is a list; what is inside a list is set in the file",
        ),
        ("SLUICEGATE__ROUTES", "x", "SLUICEGATE__ROUTES: is one value and must be a list"),
        ("SLUICEGATE__", "x", "SLUICEGATE__: names no key"),
        ("SLUICEGATE____LISTEN", "x", "SLUICEGATE____LISTEN: names no key"),
        (
            "SLUICEGATE__DEFAULT_DESTINATION",
            "locl",
            "SLUICEGATE__DEFAULT_DESTINATION: there is no destination `locl`; did you mean local?",
        ),
        (
            "SLUICEGATE__OPERATIONS__LISTEN",
            "127.0.0.1:24280",
            "SLUICEGATE__OPERATIONS__LISTEN: `127.0.0.1:24280` is taken by log_service.listen",
        ),
    ] {
        let found = of(name, value, on);
        assert!(found.starts_with(expected) && !found.contains('\n'), "{expected}\nis not\n{found}");
    }
    let text = "operations: { listen: \"127.0.0.1:1\" }";
    let found = of("SLUICEGATE__OPERATIONS__LISTEN__X", "x", text);
    assert!(found.contains("operations.listen is one value and has nothing inside"), "{found}");
    let two = [
        HOME,
        ("SLUICEGATE__OPERATIONS__LISTEN", "127.0.0.1:1"),
        ("sluicegate__operations__listen", "127.0.0.1:2"),
    ];
    assert!(
        lines(from_text("", &two))[0]
            .contains("sets operations.listen, which SLUICEGATE__OPERATIONS__LISTEN sets too")
    );
}

#[test]
fn a_variable_means_the_key_that_is_there() {
    let text =
        "destinations: { my-cloud: { endpoint: http://h, project: ppp, logstore: lll, access_key_id: i } }";
    let env = [HOME, ("SLUICEGATE__DESTINATIONS__MY_CLOUD__ACCESS_KEY_SECRET", "0123")];
    let plan = from_text(text, &env).unwrap();
    let Target::Cloud(cloud) = &plan.destinations[0].target else { panic!() };
    assert_eq!(cloud.credentials.fixed().unwrap().secret.expose(), "0123");
    assert_eq!((plan.destinations.len(), plan.log_service), (1, None));
}

#[test]
fn a_fault_names_the_variable_above_it() {
    for (text, env, expected) in [
        (
            "",
            vec![("SLUICEGATE__DESTINATIONS__CLOUD__PROJECT", "my-project")],
            "SLUICEGATE__DESTINATIONS__CLOUD__PROJECT: destinations.cloud.endpoint: is missing; write https://",
        ),
        (
            "journal: { segment_bytes: 64MiB }",
            vec![("SLUICEGATE__JOURNAL__MAX_BYTES", "1MiB")],
            "SLUICEGATE__JOURNAL__MAX_BYTES: leaves no room for two segments",
        ),
    ] {
        let env: Vec<_> = std::iter::once(HOME).chain(env).collect();
        let found = lines(from_text(text, &env));
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "{expected}\nis not in\n{}",
            found.join("\n")
        );
    }
}

#[test]
fn variables_that_are_nearly_ours_are_faults_and_those_of_kubernetes_are_not() {
    for (name, meant) in [
        ("SLUICEGATE_DATADIR", "SLUICEGATE_DATA_DIR"),
        ("SLUICEGATE_DATA_DIRECTORY", "SLUICEGATE_DATA_DIR"),
        ("sluicegate_data_dir", "SLUICEGATE_DATA_DIR"),
        ("SLUICEGATE_LOGS", "SLUICEGATE_LOG"),
        ("SLUICEGATE_LOG_LEVEL", "SLUICEGATE_LOG"),
        ("SLUICEGATE_OPERATIONS_LISTEN", "SLUICEGATE__OPERATIONS__LISTEN, with two underscores between keys"),
        (
            "SLUICEGATE_LOG_SERVICE_ENABLED",
            "SLUICEGATE__LOG_SERVICE__ENABLED, with two underscores between keys",
        ),
        (
            "SLUICEGATE_INPUTS__FORWARD__LISTEN",
            "SLUICEGATE__INPUTS__FORWARD__LISTEN, with two underscores between keys",
        ),
    ] {
        let expected = format!("{name}: is no variable of Sluicegate; did you mean {meant}?");
        assert_eq!(lines(from_text("", &[HOME, (name, "x")])), [expected]);
    }
    for name in [
        "SLUICEGATE_DATA_DIR",
        "SLUICEGATE_LOG",
        "SLUICEGATE_PORT",
        "SLUICEGATE_SERVICE_HOST",
        "SLUICEGATE_SERVICE_PORT",
        "SLUICEGATE_SERVICE_PORT_FORWARD",
        "SLUICEGATE_PORT_24224_TCP",
        "SLUICEGATE_PORT_24224_TCP_ADDR",
        "SLUICEGATE_OPERATIONS_PORT_24290_TCP",
        "SLUICEGATE_LOG_SERVICE_HOST",
        "SLUICEGATE_LOG_SERVICE_SERVICE_PORT",
        "SLUICEGATE_LOG_PORT",
        "SLUICEGATE_VERSION",
        "SLUICEGATES_DATADIR",
    ] {
        assert!(from_text("", &[HOME, (name, "/x")]).is_ok(), "{name}");
    }
}
