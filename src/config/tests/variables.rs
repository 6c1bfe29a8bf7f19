//! The environment: every documented key has its variable, and a variable that names no key is blamed by name.

use std::collections::BTreeSet;

use super::*;
use crate::config::source::{join, parse};

/// Every key that a variable can set, with a value that is not its default.
const VARIABLES: &[(&str, &str, &str)] = &[
    ("DATA_DIR", "/else", "data_dir: \"/else\""),
    ("INPUTS__FORWARD__TYPE", "forward", "type: forward"),
    ("INPUTS__FORWARD__LISTEN", "127.0.0.1:1, [::1]:2", "listen: [\"127.0.0.1:1\", \"[::1]:2\"]"),
    ("INPUTS__FORWARD__UNIX_MODE", "0600", "unix_mode: \"0600\""),
    ("INPUTS__FORWARD__UNIX_OWNER", "fluent:1000", "unix_owner: \"fluent:1000\""),
    ("INPUTS__FORWARD__UDP_HEARTBEAT", "false", "udp_heartbeat: false"),
    ("INPUTS__FORWARD__TLS__CERTIFICATE", "/c.pem", "certificate: \"/c.pem\""),
    ("INPUTS__FORWARD__TLS__KEY", "/k.pem", "key: \"/k.pem\""),
    ("INPUTS__FORWARD__TLS__MIN_VERSION", "1.2", "min_version: \"1.2\""),
    ("INPUTS__FORWARD__TLS__CLIENT_CA", "/ca.pem", "client_ca: \"/ca.pem\""),
    ("INPUTS__FORWARD__TLS__CLIENT_AUTH", "optional", "client_auth: optional"),
    ("INPUTS__FORWARD__TLS__CLIENT_NAMES", "a b, *.c", "client_names: [\"a b\", \"*.c\"]"),
    ("INPUTS__FORWARD__TLS__ALLOW_PLAIN", "false", "allow_plain: false"),
    ("INPUTS__FORWARD__SECURITY__SELF_HOSTNAME", "me", "self_hostname: \"me\""),
    ("INPUTS__FORWARD__SECURITY__SHARED_KEY", "0123", "shared_key: \"***\""),
    ("INPUTS__FORWARD__SECURITY__ALLOW_EMPTY_SHARED_KEY", "true", "allow_empty_shared_key: false"),
    ("INPUTS__FORWARD__SECURITY__USER_AUTH", "true", "user_auth: true"),
    ("INPUTS__FORWARD__SECURITY__ALLOW_ANONYMOUS_SOURCE", "true", "allow_anonymous_source: true"),
    ("INPUTS__FORWARD__TAG", "a.${client}", "tag: \"a.${client}\""),
    ("INPUTS__FORWARD__ADD_TAG_PREFIX", "b", "add_tag_prefix: \"b\""),
    ("INPUTS__FORWARD__TAG_PREFIX", "c-", "tag_prefix: \"c-\""),
    ("INPUTS__FORWARD__SOURCE_ADDRESS_KEY", "d", "source_address_key: \"d\""),
    ("INPUTS__FORWARD__SOURCE_HOSTNAME_KEY", "e", "source_hostname_key: \"e\""),
    ("INPUTS__FORWARD__CLIENT_NAME_KEY", "f", "client_name_key: \"f\""),
    ("INPUTS__FORWARD__RESOLVE_HOSTNAME", "true", "resolve_hostname: true"),
    ("INPUTS__FORWARD__METADATA", "fields", "metadata: fields"),
    ("INPUTS__FORWARD__SKIP_INVALID_EVENT", "false", "skip_invalid_event: false"),
    ("INPUTS__FORWARD__DENY_KEEPALIVE", "true", "deny_keepalive: true"),
    ("INPUTS__FORWARD__LINGER_TIMEOUT", "0s", "linger_timeout: 0ms"),
    ("INPUTS__FORWARD__IDLE_TIMEOUT", "1s", "idle_timeout: 1s"),
    ("INPUTS__FORWARD__HANDSHAKE_TIMEOUT", "9s", "handshake_timeout: 9s"),
    ("INPUTS__FORWARD__FULL_TIMEOUT", "7s", "full_timeout: 7s"),
    ("INPUTS__FORWARD__CHUNK_SIZE_LIMIT", "1KiB", "chunk_size_limit: 1KiB"),
    ("INPUTS__FORWARD__CHUNK_SIZE_WARN_LIMIT", "2KiB", "chunk_size_warn_limit: 2KiB"),
    ("INPUTS__FORWARD__MAX_CONNECTIONS_PER_PEER", "3", "max_connections_per_peer: 3"),
    ("INPUTS__FORWARD__MAX_MESSAGE", "33MiB", "max_message: 33MiB"),
    ("INPUTS__FORWARD__MAX_INFLATED", "2097152", "max_inflated: 2MiB"),
    ("INPUTS__FORWARD__MAX_DEPTH", "33", "max_depth: 33"),
    ("INPUTS__FORWARD__MAX_CONNECTIONS", "7", "max_connections: 7"),
    ("INPUTS__FORWARD__STALL_TIMEOUT", "61s", "stall_timeout: 61s"),
    ("INPUTS__FORWARD__WINDOW", "3MiB", "window: 3MiB"),
    ("INPUTS__FORWARD__JOIN_PARTIAL", "false", "join_partial: false"),
    ("INPUTS__FORWARD__JOIN_TIMEOUT", "500ms", "join_timeout: 500ms"),
    ("INPUTS__FORWARD__MAX_LINE", "200KB", "max_line: 200000B"),
    ("DESTINATIONS__CLOUD__ENDPOINT", "http://h:9", "endpoint: \"http://h:9\""),
    ("DESTINATIONS__CLOUD__CONNECT", "127.0.0.1:8", "connect: \"127.0.0.1:8\""),
    ("DESTINATIONS__CLOUD__PROJECT", "another", "project: \"another\""),
    ("DESTINATIONS__CLOUD__LOGSTORE", "the_store", "logstore: \"the_store\""),
    ("DESTINATIONS__CLOUD__ACCESS_KEY_ID", "0123", "access_key_id: \"0123\""),
    ("DESTINATIONS__CLOUD__ACCESS_KEY_SECRET", "0123", "access_key_secret: \"***\""),
    ("DESTINATIONS__CLOUD__SECURITY_TOKEN", "${env:SECRET}", "security_token: \"***\""),
    ("DESTINATIONS__CLOUD__METRICS_LOGSTORE", "mine-metrics", "metrics_logstore: \"mine-metrics\""),
    ("DESTINATIONS__CLOUD__TRACES_LOGSTORE", "mine-traces", "traces_logstore: \"mine-traces\""),
    ("DESTINATIONS__CLOUD__BLOBS_LOGSTORE", "mine-blobs", "blobs_logstore: \"mine-blobs\""),
    ("DESTINATIONS__CLOUD__PROFILES_LOGSTORE", "mine-profiles", "profiles_logstore: \"mine-profiles\""),
    ("DESTINATIONS__LOCAL__TOPIC", "t-${tag[0]}", "topic: \"t-${tag[0]}\""),
    ("DESTINATIONS__LOCAL__COMPRESSION", "none", "compression: none"),
    ("DESTINATIONS__LOCAL__IN_FLIGHT", "9", "in_flight: 9"),
    ("DESTINATIONS__LOCAL__REQUEST_TIMEOUT", "2m", "request_timeout: 2m"),
    ("DESTINATIONS__LOCAL__BATCH_BYTES", "1MiB", "batch_bytes: 1MiB"),
    ("DESTINATIONS__LOCAL__BATCH_AGE", "3s", "batch_age: 3s"),
    ("DESTINATIONS__LOCAL__SOURCE", "host", "source: host"),
    ("DESTINATIONS__LOCAL__TAGS__ENV", "0123", "tags: { \"env\": \"0123\" }"),
    ("DESTINATIONS__LOCAL__HOSTNAME_TAG", "false", "hostname_tag: false"),
    ("DESTINATIONS__LOCAL__RECEIVE_TIME_TAG", "true", "receive_time_tag: true"),
    ("DESTINATIONS__LOCAL__BUFFER", "default", "buffer: default"),
    ("DEFAULT_DESTINATION", "cloud", "default_destination: cloud"),
    ("BUFFERS__DEFAULT__STORAGE", "memory", "storage: memory"),
    ("BUFFERS__DEFAULT__MAX_BYTES", "5MiB", "max_bytes: 5MiB"),
    ("BUFFERS__DEFAULT__ON_FULL", "evict_oldest", "on_full: evict_oldest"),
    ("RECORDS__NIL", "drop", "nil: drop"),
    ("TIME__OUT_OF_RANGE", "now", "out_of_range: now"),
    ("DUPLICATES__WINDOW", "0s", "window: 0ms"),
    ("DUPLICATES__MAX_BYTES", "1MiB", "max_bytes: 1MiB"),
    ("JOURNAL__MAX_BYTES", "6GiB", "max_bytes: 6GiB"),
    ("JOURNAL__SEGMENT_BYTES", "64KiB", "segment_bytes: 64KiB"),
    ("JOURNAL__FRESH_BYTES", "0", "fresh_bytes: 0B"),
    ("LIMITS__BYTE_BUDGET", "11MiB", "byte_budget: 11MiB"),
    ("LIMITS__DEAD_LETTER_BYTES", "12MiB", "dead_letter_bytes: 12MiB"),
    ("LIMITS__STOP_DEADLINE", "0s", "stop_deadline: 0ms"),
    ("LOG_SERVICE__ENABLED", "true", "enabled: true"),
    ("LOG_SERVICE__LISTEN", "127.0.0.1:0", "listen: \"127.0.0.1:0\""),
    ("LOG_SERVICE__PROJECT", "my-own", "project: \"my-own\""),
    ("LOG_SERVICE__LOGSTORE", "mine", "logstore: \"mine\""),
    ("OPERATIONS__LISTEN", "localhost:0", "listen: \"localhost:0\""),
];

/// Paths of all leaves outside lists.
fn leaves(path: &str, value: &Value, into: &mut BTreeSet<String>) {
    match &value.kind {
        ValueKind::Table(table) if !table.is_empty() => {
            table.iter().for_each(|(key, value)| leaves(&join(path, key), value, into));
        }
        ValueKind::Array(_) => {}
        _ => {
            into.insert(path.to_owned());
        }
    }
}

#[test]
fn every_documented_key_can_be_set_by_a_variable() {
    let mut documented = BTreeSet::new();
    for (key, value) in parse(&everything_on(), &Faults::default()).unwrap() {
        leaves(&key, &value, &mut documented);
    }
    let tested: BTreeSet<String> = VARIABLES
        .iter()
        .map(|(name, ..)| name.to_lowercase().replace("__", ".").replace("tags.env", "tags"))
        .collect();
    assert_eq!(tested, documented);

    let base: Vec<(&str, &str)> = KEYS.to_vec();
    let text = everything_on();
    let before = full_plan().effective();
    for (key, value, shown) in VARIABLES {
        for name in [format!("SLUICEGATE__{key}"), format!("sluicegate__{}", key.to_lowercase())] {
            let mut env = base.clone();
            if *key != "LOG_SERVICE__ENABLED" {
                env.push(EMBEDDED_ON);
            }
            env.push((&name, value));
            let after =
                from_text(&text, &env).unwrap_or_else(|errors| panic!("{name}: {errors}")).effective();
            let is_there = after.lines().any(|line| line.trim() == *shown);
            assert!(is_there, "{name} must give {shown}\n{after}");
            let unchanged = [
                "type: forward",
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
    assert_eq!(cloud.access_key_secret.expose(), "0123");
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
